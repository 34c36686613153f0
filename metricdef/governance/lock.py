"""The lock file `metrics/.protocol.lock.json`: per experiment the protocol as it was frozen, and every amended state.

    {"version": 1, "experiments": {NAME: {"states": [STATE, ...]}}}

The first state holds the frozen values in full, each further one what changed and the amendments that say why. A state
is never rewritten: its hash is taken over that of the state before it and everything in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from metricdef.governance.chain import chained
from metricdef.governance.changes import Change, apply, changes
from metricdef.governance.files import exclusive, replace_file
from metricdef.governance.protocol import Protocol, Tree, digest

FILE = ".protocol.lock.json"
_VERSION = 1


class LockBroken(ValueError):
    """An entry is not what `lock` wrote."""


@dataclass(frozen=True, slots=True)
class Lock:
    """One experiment's entry, verified.

    Attributes:
        frozen: The protocol as of the last state.
        amendments: Those of all states, in order.
        hashes: One per state.
        states: As they stand in the file.
        trees: The protocol as of each state.
    """

    frozen: Tree
    amendments: tuple[Mapping[str, Any], ...]
    hashes: tuple[str, ...]
    states: tuple[Mapping[str, Any], ...]
    trees: tuple[Tree, ...]


def lock_path(root: Path) -> Path:
    """Where the lock file of the project at `root` is."""
    return root / "metrics" / FILE


def read_entries(root: Path) -> dict[str, Any]:
    """Entries by experiment, not verified; empty where there is no file. Raises LockBroken where it can't be read."""
    path = lock_path(root)
    return _entries(path.read_text(encoding="utf-8")) if path.is_file() else {}


def read_lock(name: str, entry: object) -> Lock:
    """An experiment's entry. Raises LockBroken where its content and hashes don't agree."""
    try:
        return _read_lock(name, entry)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise error if isinstance(error, LockBroken) else LockBroken("it is incomplete") from None


def _read_lock(name: str, entry: Any) -> Lock:
    previous, states = _beginning(name), entry["states"]
    frozen: Tree = {}
    amendments: list[Mapping[str, Any]] = []
    hashes: list[str] = []
    trees: list[Tree] = []
    for number, state in enumerate(states, 1):
        content = {key: value for key, value in state.items() if key != "hash"}
        frozen = state["frozen"] if number == 1 else apply(frozen, _changes(state))
        if state["hash"] != chained(previous, content) or state["fingerprints"]["protocol"] != digest(frozen):
            raise LockBroken(f"state {number} does not agree with its hash")
        previous = state["hash"]
        hashes.append(previous)
        trees.append(frozen)
        amendments += state["amendments"]
    if not states:
        raise KeyError("states")
    return Lock(frozen, tuple(amendments), tuple(hashes), tuple(states), tuple(trees))


def add_state(
    root: Path,
    name: str,
    protocol: Protocol,
    amendments: list[dict[str, Any]],
    record: Mapping[str, Any],
    columns: Mapping[str, Any] | None = None,
) -> tuple[Lock, bool]:
    """Freeze an experiment as it is now: its entry, and whether a state was added to it.

    Args:
        root: The project's folder.
        name: The experiment.
        protocol: What is frozen.
        amendments: All of the experiment; those of earlier states are not repeated.
        record: Number of rows and head of the record at this time, so that these rows can't be removed later.
        columns: Types of the columns that its sources have now, where known: runs compare with them.

    Where nothing changed and no amendment is new, nothing is written. Raises LockBroken.
    """
    path = lock_path(root)
    with exclusive(path) as file:
        entries = _entries(file.readall().decode("utf-8"))
        lock = read_lock(name, entries[name]) if name in entries else None
        new = [amendment for amendment in amendments if lock is None or amendment not in lock.amendments]
        found = list(changes(lock.frozen, protocol.frozen)) if lock else []
        if lock and not found and not new:
            return lock, False
        state: dict[str, Any] = {"amendments": new, "fingerprints": protocol.fingerprints, "record": record}
        if columns:
            state["columns"] = columns
        if lock is None:
            state["frozen"] = protocol.frozen
        else:
            state["changes"] = [
                {"path": list(change.path), "before": change.before, "after": change.after} for change in found
            ]
        state["hash"] = chained(lock.hashes[-1] if lock else _beginning(name), state)
        entry = {"states": [*(lock.states if lock else ()), state]}
        written = {"version": _VERSION, "experiments": {**entries, name: entry}}
        replace_file(path, json.dumps(written, indent=1, sort_keys=True) + "\n")
        return read_lock(name, json.loads(json.dumps(entry))), True


@lru_cache(
    maxsize=2
)  # whoever asks about every experiment asks for the same file each time; nobody changes what it holds
def _entries(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
        version, entries = found["version"], found["experiments"]
    except (ValueError, KeyError, TypeError):
        raise LockBroken("it is no lock file") from None
    if version != _VERSION or not isinstance(entries, dict):
        raise LockBroken(f"it has version {version}, this program reads version {_VERSION}")
    return entries


def _changes(state: Mapping[str, Any]) -> list[Change]:
    return [Change(tuple(c["path"]), c["before"], c["after"]) for c in state["changes"]]


def _beginning(name: str) -> str:
    """What the first state follows; entries of different experiments don't fit each other."""
    return hashlib.sha256(f"metricdef/protocol/1 {name}".encode()).hexdigest()
