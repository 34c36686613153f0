r"""Rows chained by hash: what a row is, and where a chain is broken.

    h_0 = sha256("metricdef/record/1 " + name)
    h_i = sha256(h_{i-1} + "\n" + canonical JSON of row i)

A row that is edited, removed, added or moved breaks the chain there. Who recomputes every hash from there on can only be
found by a hash that was kept elsewhere: the head of the chain, which readouts carry and git keeps.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Fault = tuple[int, str]  # a line of the file, counted from 1, and what is wrong there

_KEYS = {"at", "hash", "key", "kind", "n", "payload", "previous"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. `key` tells entries of a kind apart; `at` is when it was written (UTC); `number` counts from 1."""

    number: int
    kind: str
    key: str
    at: str
    payload: Mapping[str, Any]
    previous: str
    hash: str

    @property
    def line(self) -> str:
        """The row as its line of the file, without the line break."""
        stamps = {"hash": self.hash, "previous": self.previous}
        return canonical({**_content(self.number, self.kind, self.key, self.at, self.payload), **stamps})

    @property
    def is_intact(self) -> bool:
        """Whether the hash is that of the content."""
        content = _content(self.number, self.kind, self.key, self.at, self.payload)
        return self.hash == chained(self.previous, content)


def canonical(value: object) -> str:
    """JSON with one spelling: sorted keys, no spaces, ASCII. Raises ValueError for NaN and infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def chained(previous: str, content: object) -> str:
    """Hash of something that follows what has the hash `previous`."""
    return hashlib.sha256(f"{previous}\n{canonical(content)}".encode()).hexdigest()


def genesis(name: str) -> str:
    """What the first row of a record follows; records of different names don't fit each other."""
    return hashlib.sha256(f"metricdef/record/1 {name}".encode()).hexdigest()


def make_entry(number: int, kind: str, key: str, at: str, payload: Mapping[str, Any], previous: str) -> Entry:
    """The row that follows the one with hash `previous`. Raises ValueError or TypeError for what JSON can't hold."""
    plain: dict[str, Any] = json.loads(canonical(payload))
    return Entry(number, kind, key, at, plain, previous, chained(previous, _content(number, kind, key, at, plain)))


def parse_line(line: str) -> Entry | None:
    """The row in a line; None where it is not what `Entry.line` writes, to the byte."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or set(found) != _KEYS or not isinstance(found["payload"], dict):
        return None
    texts = [found[key] for key in ("kind", "key", "at", "previous", "hash")]
    if type(found["n"]) is not int or not all(isinstance(text, str) for text in texts):
        return None
    kind, key, at, previous, own = texts
    entry = Entry(found["n"], kind, key, at, found["payload"], previous, own)
    try:
        return entry if entry.line == line else None
    except ValueError:
        return None


def faults(name: str, rows: Sequence[Entry | None]) -> list[Fault]:
    """Every place where `rows`, one per line, are not the record of that name as it was written; empty if they are."""
    found: list[Fault] = []
    position, number, previous = 0, 1, genesis(name)
    while position < len(rows):
        row, line = rows[position], position + 1
        after = rows[position + 1] if line < len(rows) else None
        position += 1
        if row is None:
            found.append((line, f"row {number} was edited: this is no row"))
            number, previous = number + 1, ""
            continue
        if not row.is_intact:
            found.append((line, f"row {number} was edited: its content is not what its hash was taken of"))
        elif after is not None and (row.number, after.number) == (number + 1, number):
            found.append((line, f"rows {number} and {number + 1} were swapped: this line and the next"))
            position, number, previous = position + 1, number + 2, row.hash
            continue
        elif row.number > number:
            gone = f"row {number} was" if row.number == number + 1 else f"rows {number} to {row.number - 1} were"
            found.append((line, f"{gone} removed before this line"))
        elif row.number < number:
            found.append((line, f"row {row.number} stands here a second time"))
            continue
        elif previous and row.previous != previous:
            found.append((line, _not_following(line)))
        number, previous = (row.number if row.is_intact else number) + 1, row.hash
    return found


def _not_following(line: int) -> str:
    if line == 1:
        return "this is no row of this experiment's record: it follows another beginning"
    return "this row follows another one than the line before it: that one was replaced"


def _content(number: int, kind: str, key: str, at: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {"n": number, "kind": kind, "key": key, "at": at, "payload": payload}
