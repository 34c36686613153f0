"""Locking: the entry in the lock file, and the rows of the record that say when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metricdef.definitions.project import Project
from metricdef.errors import DefinitionErrors, Diagnostic
from metricdef.governance.changes import amendments_of
from metricdef.governance.columns import snapshot_columns
from metricdef.governance.findings import UNRECORDED, check_protocol, entry_text, unreadable
from metricdef.governance.lock import Lock, LockBroken, add_state, read_entries
from metricdef.governance.protocol import digest, read_protocol
from metricdef.governance.record import LOOKS, Record, append, read, record_path


@dataclass(frozen=True, slots=True)
class Locked:
    """What `lock` did: the protocol's fingerprint, how many states the entry has, and whether this call added the last."""

    experiment: str
    protocol: str
    states: int
    is_new: bool


def lock_protocol(project: Project, name: str) -> Locked:
    """Freeze the protocol of an experiment of a valid project, or its next state where amendments cover what changed.

    Amendments and the outcome go to the record too, each once. Raises DefinitionErrors where a change is not covered or
    the entry or the record was tampered with, or looks were taken before.
    """
    project.experiment(name)
    errors = [f for f in check_protocol(project, name) if f.severity == "error" and f.rule != UNRECORDED]
    if errors:
        raise DefinitionErrors(errors)
    path = record_path(project.root, name)
    before = read(path)
    amendments = amendments_of(project.experiments[name])
    late = _late(project, name, before, amendments)
    if late is not None:
        raise DefinitionErrors([late])
    try:
        lock, is_new = add_state(
            project.root,
            name,
            read_protocol(project, name),
            amendments,
            {"entries": len(before.entries), "head": before.head},
            snapshot_columns(project, name),
        )
    except LockBroken as broken:
        raise DefinitionErrors([unreadable(project.root, str(broken))]) from None
    _write_rows(project, name, lock, amendments)
    return Locked(name, lock.states[-1]["fingerprints"]["protocol"][:16], len(lock.states), is_new)


def _late(project: Project, name: str, record: Record, amendments: list[dict[str, Any]]) -> Diagnostic | None:
    """A first lock after looks were taken freezes what may have been chosen by them: an amendment must say so."""
    looks = sum(entry.kind in LOOKS for entry in record.entries)
    if not looks or name in read_entries(project.root):
        return None
    what = f"locked after {looks} look{'s' * (looks > 1)}"
    if any(what in amendment["what"] for amendment in amendments):
        return None
    return Diagnostic(
        "lock-after-look",
        f"experiment `{name}` was read before its protocol was locked: its record has {looks} look{'s' * (looks > 1)}",
        project.place("experiments", name, key=True),
        (f"add to `amendments` of `{name}`: - {entry_text([what], 'DATE', 'NAME', 'REASON')}",),
    )


def _write_rows(project: Project, name: str, lock: Lock, amendments: list[dict[str, Any]]) -> None:
    """Every state, amendment and outcome that the record lacks: also those of a call that was killed before this."""
    path = record_path(project.root, name)
    for amendment in amendments:
        append(path, "amendment", digest(amendment), amendment)
    for number, state in enumerate(lock.states, 1):
        append(path, "lock", state["hash"], {"state": number, "hash": state["hash"], **state["fingerprints"]})
    decision = new_decision(project, name, read(path))
    if decision is not None:
        append(path, "decision", *decision)


def new_decision(project: Project, name: str, record: Record) -> tuple[str, dict[str, Any]] | None:
    """Key and payload of the outcome, where it is another than the last one recorded. A decision may be taken back."""
    outcome = project.experiments[name].outcome
    if outcome is None:
        return None
    note = " ".join(outcome.note.split()) if outcome.note else None
    payload = {"decided": outcome.decided.text, "arm": outcome.arm, "note": note}
    last = next((entry for entry in reversed(record.entries) if entry.kind == "decision"), None)
    if last is not None and last.payload == payload:
        return None
    return digest([payload, last.hash if last else None]), payload
