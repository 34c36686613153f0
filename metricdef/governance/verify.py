"""Whether a record is what was written to it, by its own hashes and by what was kept elsewhere.

The hashes in the file show every row that was edited, removed, added or moved while others follow it. Not so its end: who
removes the last rows, or recomputes every hash from some row on, leaves a chain that fits. That takes an anchor:

- the lock file holds number and head of the record at each lock, and each lock is a row;
- the commit that is checked out holds the rows up to then;
- every readout holds number and head of the record when it was made.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from metricdef.errors import RecordBroken
from metricdef.governance.chain import Fault, genesis
from metricdef.governance.git import git_environment
from metricdef.governance.lock import Lock, LockBroken, read_entries, read_lock
from metricdef.governance.record import Record, read, record_path


@dataclass(frozen=True, slots=True)
class Verified:
    """What a record was found to be: `faults` are its lines and what is wrong there, none if it verifies."""

    experiment: str
    file: Path
    entries: int
    head: str | None
    torn: bool
    faults: tuple[Fault, ...]


def verify_record(root: Path, name: str, head: str | None = None) -> Verified:
    """Check the record of an experiment; `head`: it must hold the row with this hash, or one that begins so."""
    path = record_path(root, name)
    try:
        record = read(path)
    except RecordBroken as broken:
        return Verified(name, path, 0, None, torn=False, faults=broken.faults)
    found = [*_against_lock(root, record), *against_commit(root, path)]
    if head and not any(entry.hash.startswith(head) for entry in record.entries):
        what = f"no row has the hash {head}: it was removed, or replaced together with every hash after it"
        found.append((len(record.entries) + 1, what))
    return Verified(name, path, len(record.entries), record.head, record.torn, tuple(sorted(found)))


def _against_lock(root: Path, record: Record) -> list[Fault]:
    try:
        entries = read_entries(root)
        lock = read_lock(record.name, entries[record.name]) if record.name in entries else None
    except LockBroken:
        return []  # a finding of `check`
    if lock is None:
        return []
    unrecorded = (
        f"the row of locked state {number} was removed from the end (or never written: `metricdef lock` does)"
        for number in unrecorded_states(lock, record)
    )
    return [*against_lock(lock, record), *((len(record.entries) + 1, what) for what in unrecorded)]


def against_lock(lock: Lock, record: Record) -> list[Fault]:
    """The rows that the record had at each lock must be its first."""
    found: list[Fault] = []
    hashes = [genesis(record.name), *(entry.hash for entry in record.entries)]
    for number, state in enumerate(lock.states, 1):
        rows, head = state["record"]["entries"], state["record"]["head"]
        if rows >= len(hashes):
            what = f"the record had {rows} rows when state {number} was locked: the last were removed"
            found.append((len(hashes), what))
        elif hashes[rows] != head:
            found.append((rows, f"this is another row than when state {number} was locked"))
    return found


def unrecorded_states(lock: Lock, record: Record) -> list[int]:
    """Locked states, by number, whose row does not follow: it was removed, or never written by a `lock` that was killed."""
    hashes = [genesis(record.name), *(entry.hash for entry in record.entries)]
    return [
        number
        for number, state in enumerate(lock.states, 1)
        if hashes[state["record"]["entries"] :][:1] == [state["record"]["head"]]
        and record.find("lock", state["hash"]) is None
    ]


def against_commit(root: Path, path: Path) -> list[Fault]:
    """The committed rows must be the first of those in the file."""
    committed = _committed(root, path)
    if committed is None:
        return []
    now = path.read_bytes().splitlines() if path.exists() else []
    for line, row in enumerate(committed.splitlines(), 1):
        if line > len(now):
            return [(line, "this row is committed, and was removed from the end")]
        if now[line - 1] != row:
            return [(line, "this is another row than the committed one")]
    return []


def _committed(root: Path, path: Path) -> bytes | None:
    """The file as of the commit that is checked out; None where there is none."""
    try:
        found = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", "-C", str(root), "show", f"HEAD:./{path.relative_to(root).as_posix()}"],  # noqa: S607
            capture_output=True,
            env=git_environment(),
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout if found.returncode == 0 else None
