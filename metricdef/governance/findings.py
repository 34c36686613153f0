"""What is wrong between the definitions, the lock file and the record."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from metricdef.compiler.refusals import refuse
from metricdef.definitions.files import FOLDER
from metricdef.definitions.policy import apply_policy, unused_waivers
from metricdef.definitions.project import Loaded, Project
from metricdef.definitions.used import renamed_metrics
from metricdef.errors import Diagnostic, Place, RecordBroken
from metricdef.governance.changes import Change, amendments_of, changes, uncovered
from metricdef.governance.lock import Lock, LockBroken, lock_path, read_entries, read_lock
from metricdef.governance.meaning import real
from metricdef.governance.places import change_place
from metricdef.governance.protocol import read_protocol
from metricdef.governance.record import Record, read, record_path
from metricdef.governance.renames import renamed_tree
from metricdef.governance.verify import against_commit, against_lock, unrecorded_states

UNRECORDED = "lock-unrecorded"  # a state of the lock file that the record has no row of: `lock` writes it


def all_findings(loaded: Loaded, seen: Iterable[Diagnostic] = ()) -> tuple[Diagnostic, ...]:
    """Everything wrong with definitions, their protocols included; `seen` is what the warehouse says of them."""
    project = loaded.project
    if project is None or loaded.errors:
        return loaded.diagnostics
    # What `run` would refuse is a warning: the definitions are right, this version is not there yet.
    refused = [replace(d, severity="warning") for name in project.experiments for d in refuse(project, name)]
    more, used = apply_policy(project, [*refused, *check_protocols(project), *seen])
    unused, _ = apply_policy(project, unused_waivers(project, loaded.waivers_used | used))
    return tuple(sorted({*loaded.diagnostics, *more, *unused}, key=lambda d: d.order))


def identity(found: Diagnostic) -> tuple[str, str, str]:
    """What makes a finding the same one in two revisions: its rule, its file below metrics/, its message."""
    file = f"/{found.place.file}".rpartition(f"/{FOLDER}/")[2] if found.place else ""
    return found.rule, file, found.message


def check_protocols(project: Project) -> list[Diagnostic]:
    """Every finding about every experiment of a valid project."""
    try:
        entries = read_entries(project.root)
    except LockBroken as broken:
        return [unreadable(project.root, str(broken))]
    orphans = [_orphan(project.root, name) for name in entries if name not in project.experiments]
    return [*orphans, *(finding for name in project.experiments for finding in _check(project, name, entries))]


def check_protocol(project: Project, name: str) -> list[Diagnostic]:
    """The findings about one experiment of a valid project, also against the rows of its record that are committed."""
    try:
        found = _read_and_checked(project, name)
        # A state goes to the lock file first: of one that was written between two readings the second knows.
        return _read_and_checked(project, name) if any(f.rule == "lock-gone" for f in found) else found
    except LockBroken as broken:
        return [unreadable(project.root, str(broken))]


def _read_and_checked(project: Project, name: str) -> list[Diagnostic]:
    return list(_check(project, name, read_entries(project.root), committed=True))


def _check(project: Project, name: str, entries: dict[str, object], *, committed: bool = False) -> Iterator[Diagnostic]:
    experiment = project.experiments[name]
    place = project.place("experiments", name, key=True)
    lock = None
    if name in entries:
        try:
            lock = read_lock(name, entries[name])
        except LockBroken as broken:
            yield _entry_broken(project.root, name, str(broken))
            return
        yield from _check_changes(project, name, lock)
    elif experiment.status != "draft":
        yield Diagnostic(
            "not-locked",
            f"experiment `{name}` is {experiment.status}, and its protocol is not locked",
            place,
            (f"freeze it with `metricdef lock {name}`, and commit {_shown(lock_path(project.root))}",),
            "warning",
        )
    yield from _check_record(project, name, lock, place, committed=committed)


def _check_changes(project: Project, name: str, lock: Lock) -> Iterator[Diagnostic]:
    amendments = amendments_of(project.experiments[name])
    for gone in (a for a in lock.amendments if a not in amendments):
        yield Diagnostic(
            "amendment-removed",
            f"experiment `{name}`: the amendment of {gone['on']} by {gone['by']} was locked, and is no longer in the file",
            project.place("experiments", name, "amendments", key=True),
            (f"put it back as it was: {entry_text(gone['what'], gone['on'], gone['by'], gone['why'])}",),
        )
    new = [amendment for amendment in amendments if amendment not in lock.amendments]
    before, now = renamed_tree(lock.frozen, renamed_metrics(project)), read_protocol(project, name).frozen
    for change in uncovered(real(changes(before, now), before, now), new):
        yield _changed(project, name, change)


def _changed(project: Project, name: str, change: Change) -> Diagnostic:
    return Diagnostic(
        "protocol-changed-after-start",
        f"the protocol of `{name}` is locked, and {change.what.replace(change.name, f'`{change.name}` changed', 1)}",
        change_place(project, name, change),
        (f"put it back, or add to `amendments` of `{name}`: - {entry_text([change.what], 'DATE', 'NAME', 'REASON')}",),
    )


def entry_text(what: list[str], on: str, by: str, why: str) -> str:
    """An amendment as YAML on one line."""
    told = ", ".join(_quoted(text) for text in what)
    return f"{{on: {on}, by: {_quoted(by)}, what: {f'[{told}]' if len(what) > 1 else told}, why: {_quoted(why)}}}"


def _quoted(text: str) -> str:
    return f"'{text.replace(chr(39), chr(39) * 2)}'"


def _check_record(
    project: Project, name: str, lock: Lock | None, place: Place, *, committed: bool
) -> Iterator[Diagnostic]:
    """The record must verify, hold every row that is known of elsewhere, and know no lock that the lock file lacks."""
    path = record_path(project.root, name)
    try:
        record = read(path)
    except RecordBroken as broken:
        for line, what in broken.faults:
            yield Diagnostic(
                "record-changed",
                f"the record of experiment `{name}` was changed: {what}",
                Place(_shown(path), line, 1),
                ("put its lines back as they were written: `git log -p` has them",),
            )
        return
    yield from _check_end(project, path, record, lock, committed=committed)
    known = lock.hashes if lock else ()
    for entry in record.entries:
        if entry.kind == "lock" and entry.payload.get("hash") not in known:
            yield Diagnostic(
                "lock-gone",
                f"experiment `{name}` was locked on {entry.at[:10]}, and the lock file does not have that state",
                place,
                (f"put its entry in {_shown(lock_path(project.root))} back as it was: `git log -p` has it",),
            )


def _check_end(
    project: Project, path: Path, record: Record, lock: Lock | None, *, committed: bool
) -> Iterator[Diagnostic]:
    """Rows at the end of the record, or all of it, may be gone: its own hashes don't show that."""
    gone = [*(against_lock(lock, record) if lock else ()), *(against_commit(project.root, path) if committed else ())]
    for line, what in gone:
        yield Diagnostic(
            "record-changed",
            f"the record of experiment `{record.name}` was changed: {what}",
            Place(_shown(path), line, 1),
            ("put its lines back as they were written: `git log -p` has them",),
        )
    for number in unrecorded_states(lock, record) if lock and not gone else ():
        yield Diagnostic(
            UNRECORDED,
            f"experiment `{record.name}` is locked, and its record has no row of state {number}: the row was removed, or never written",
            _entry_place(project.root, record.name),
            (
                f"put {_shown(path)} back, with the looks that it had",
                f"only where `metricdef lock {record.name}` was interrupted, run that again",
            ),
        )


def unreadable(root: Path, why: str) -> Diagnostic:
    """The finding that the lock file as a whole is no lock file."""
    place = Place(_shown(lock_path(root)), 1, 1)
    return Diagnostic("lock-file", f"the lock file cannot be used: {why}", place, ("restore it from git",))


def _entry_broken(root: Path, name: str, where: str) -> Diagnostic:
    return Diagnostic(
        "lock-file",
        f"the entry of `{name}` was edited by hand: {where}",
        _entry_place(root, name),
        ("restore it from git; a changed protocol takes an amendment, then `metricdef lock`",),
    )


def _orphan(root: Path, name: str) -> Diagnostic:
    return Diagnostic(
        "lock-orphan",
        f"experiment `{name}` is locked, and no longer defined",
        _entry_place(root, name),
        ("a locked experiment keeps its name: put it back, or remove its entry and its record together",),
        "warning",
    )


def _entry_place(root: Path, name: str) -> Place:
    path = lock_path(root)
    lines = path.read_text(encoding="utf-8").splitlines()
    line = next((i for i, text in enumerate(lines, 1) if text.strip().startswith(f'"{name}": {{')), 1)
    return Place(_shown(path), line, 1, 1, lines[line - 1])


def _shown(path: Path) -> str:
    """A path as a person at the prompt would type it."""
    relative = os.path.relpath(path)
    return path.as_posix() if relative.startswith("..") else Path(relative).as_posix()
