"""The append-only record of an experiment: `metrics/.record/NAME.jsonl`, a row a line, chained by hash.

Several processes may write at once: each holds the file while it reads, checks and appends. A row is written behind all
others and synced to the disk before `append` returns. A process that is killed leaves at most a part of a row without a line
break behind the last whole one: it was never acknowledged, reading leaves it out and says so, and the next `append`
removes it. (A row that is whole but for its line break counts.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from metricdef.errors import RecordBroken, RecordMoved
from metricdef.governance.chain import Entry, Fault, faults, genesis, make_entry, parse_line
from metricdef.governance.files import append_bytes, exclusive, read_whole

Kind = Literal["lock", "amendment", "look", "unplanned_look", "decision"]

LOOKS = ("look", "unplanned_look")
FOLDER = ".record"


@dataclass(frozen=True, slots=True)
class Record:
    """What a record holds.

    Attributes:
        name: The experiment.
        entries: In the order in which they were written.
        torn: Whether a part of a row that a killed process left behind was left out.
    """

    name: str
    entries: tuple[Entry, ...]
    torn: bool = False

    @property
    def head(self) -> str:
        """Hash of the last row: with it all rows are known. Of an empty record the hash that the first row will follow."""
        return self.entries[-1].hash if self.entries else genesis(self.name)

    def find(self, kind: Kind, key: str) -> Entry | None:
        """The entry of that kind and key."""
        return next((e for e in self.entries if (e.kind, e.key) == (kind, key)), None)


@dataclass(frozen=True, slots=True)
class Appended:
    """The entry of the kind and key asked for: `is_new` if this call wrote it, else it was there, perhaps with other content."""

    entry: Entry
    is_new: bool


def record_path(root: Path, experiment: str) -> Path:
    """Where the record of an experiment is, in the project at `root`."""
    return root / "metrics" / FOLDER / f"{experiment}.jsonl"


def recorded(root: Path) -> list[str]:
    """Experiments that have a record."""
    return sorted(path.stem for path in (root / "metrics" / FOLDER).glob("*.jsonl"))


def read(path: Path) -> Record:
    """The record, verified; empty where there is no file. Raises RecordBroken, with the lines, where it was changed."""
    return _verified(path, read_whole(path))[0]


def broken_lines(path: Path) -> list[Fault]:
    """Where the record was changed; empty if it verifies."""
    try:
        read(path)
    except RecordBroken as broken:
        return list(broken.faults)
    return []


def append(
    path: Path,
    kind: Kind,
    key: str,
    payload: Mapping[str, Any],
    *,
    expected_head: str | None = None,
    at: datetime | None = None,
) -> Appended:
    """Write an entry, once: where one of that kind and key is there already, that one is returned and nothing written.

    Args:
        path: See `record_path`.
        kind: What happened.
        key: Tells entries of a kind apart, such as the number of a look.
        payload: Plain data.
        expected_head: Write only if the record's head is still this.
        at: When it happened (default: now).

    Raises:
        RecordBroken: The record was changed; nothing is added to it.
        RecordMoved: The head is another than `expected_head`.
        ValueError: The payload holds NaN or infinity.
    """
    with exclusive(path) as file:
        data = file.readall()
        record, whole = _verified(path, data)
        there = record.find(kind, key)
        if there is not None:
            return Appended(there, is_new=False)
        if expected_head is not None and record.head != expected_head:
            raise RecordMoved(f"the record of `{record.name}` has grown since it was read", ["run it again"])
        moment = (at or datetime.now(UTC)).astimezone(UTC)
        entry = make_entry(len(record.entries) + 1, kind, key, f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z", payload, record.head)
        gap = b"\n" if whole and data[whole - 1 : whole] != b"\n" else b""
        append_bytes(file, whole, gap + entry.line.encode() + b"\n")
        return Appended(entry, is_new=True)


def _verified(path: Path, data: bytes) -> tuple[Record, int]:
    """The record in `data`, and how many bytes its whole rows take."""
    name = path.stem
    *lines, last = data.split(b"\n")
    rows = [_row(line) for line in lines]
    whole, torn = len(data) - len(last), bool(last)
    row = _row(last) if last else None
    if row is not None and not faults(name, [*rows, row]):
        rows, whole, torn = [*rows, row], len(data), False  # all there but for the line break
    found = faults(name, rows)
    if found:
        raise RecordBroken(str(path), found)
    return Record(name, tuple(row for row in rows if row is not None), torn), whole


def _row(line: bytes) -> Entry | None:
    try:
        return parse_line(line.decode("ascii"))
    except UnicodeDecodeError:
        return None
