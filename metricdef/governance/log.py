"""What happened to an experiment, in the order of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metricdef.definitions.project import Project
from metricdef.governance.changes import amendments_of
from metricdef.governance.freeze import new_decision
from metricdef.governance.protocol import digest
from metricdef.governance.record import Kind, Record, read, record_path
from metricdef.metrics.fields import Instant


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        at: The date that an amendment or a decision states, or when the row was written.
        kind: Of the record's row.
        key: Tells events of a kind apart.
        number: The row in the record; None of what the definitions say and the record lacks.
        payload: What happened.
    """

    at: str
    kind: Kind
    key: str
    number: int | None
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Log:
    """The events of one experiment, and the record that holds them."""

    experiment: str
    events: tuple[Event, ...]
    record: Record


def read_log(project: Project, name: str) -> Log:
    """Rows of the record, and the amendments and the outcome that it lacks. Raises UsageError and RecordBroken."""
    project.experiment(name)
    record = read(record_path(project.root, name))
    found = [*_recorded(record), *_not_recorded(project, name, record)]
    timezone = project.settings.defaults.timezone
    return Log(name, tuple(sorted(found, key=lambda event: _moment(event.at, timezone))), record)


def _recorded(record: Record) -> Iterator[Event]:
    for entry in record.entries:
        at = str(entry.payload.get({"amendment": "on", "decision": "decided"}.get(entry.kind, ""), entry.at))
        yield Event(at, entry.kind, entry.key, entry.number, entry.payload)  # type: ignore[arg-type]  # verified


def _not_recorded(project: Project, name: str, record: Record) -> Iterator[Event]:
    for amendment in amendments_of(project.experiments[name]):
        if record.find("amendment", digest(amendment)) is None:
            yield Event(amendment["on"], "amendment", digest(amendment), None, amendment)
    decision = new_decision(project, name, record)
    if decision is not None:
        key, payload = decision
        yield Event(payload["decided"], "decision", key, None, payload)


def _moment(text: str, timezone: str) -> datetime:
    return Instant.parse(text).at(timezone)
