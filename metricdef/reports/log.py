"""The log of an experiment, and whether its record verifies, as text and as a document."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from metricdef.governance.log import Event, Log
from metricdef.governance.verify import Verified
from metricdef.reports import words
from metricdef.reports.lines import GAP, Pen, pad, visible, wrap

_WORDS = {
    "lock": "locked",
    "amendment": "amended",
    "look": "look",
    "unplanned_look": "unplanned look",
    "decision": "decided",
}
_HEAD = 16  # characters of a hash that are shown


def render_log(logs: Sequence[Log], width: int, color: bool = False) -> str:
    """Every experiment with its events in the order of time; without a line break at the end."""
    pen = Pen(color)
    return "\n\n".join("\n".join(_experiment(log, width, pen)) for log in logs)


def _experiment(log: Log, width: int, pen: Pen) -> Iterator[str]:
    yield pen(visible(log.experiment), "bold")
    if not log.events:
        yield f"{GAP}nothing is recorded"
    times = [_time(event.at) for event in log.events]
    kinds = [event_kind(event) for event in log.events]
    for event, time, kind in zip(log.events, times, kinds, strict=True):
        first = f"{GAP}{pad(time, max(map(len, times)))}{GAP}{pad(kind, max(map(len, kinds)))}{GAP}"
        yield from wrap(event_words(event), width, first)
    if log.record.entries:
        yield pen(f"{GAP}{_rows(len(log.record.entries))}, head {log.record.head[:_HEAD]}", "dim")
    if log.record.torn:
        yield f"{GAP}{_TORN}"


_TORN = "behind the last row stands a part of one, left by a process that was killed: it is left out"


def _time(at: str) -> str:
    return visible(at) if len(at) == len("2026-09-01") else words.instant(at)


def event_kind(event: Event) -> str:
    """What happened, in a word or two."""
    return _WORDS.get(event.kind, visible(event.kind))


def event_words(event: Event) -> str:
    """What is said of an event, and whether the record lacks it."""
    return _what(event) + ("" if event.number else " (not in the record yet)")


def _what(event: Event) -> str:
    payload = event.payload
    match event.kind:
        case "lock":
            state = f", state {payload['state']}" if payload.get("state", 1) != 1 else ""
            return f"protocol {visible(payload.get('protocol', ''))[:_HEAD]}{state}"
        case "amendment":
            return f"{visible(payload['by'])}: {visible('; '.join(payload['what'])).rstrip('.')}. Reason: {visible(payload['why'])}"
        case "decision":
            note = f": {visible(payload['note'])}" if payload.get("note") else ""
            return f"{visible(payload['arm'])}{note}"
    return " · ".join([visible(event.key), *_scalars(payload)])


def _scalars(payload: Mapping[str, Any]) -> Iterator[str]:
    """What a look says of itself in single values; the rest is in the document."""
    for name, value in payload.items():
        if isinstance(value, bool | str | int | float):
            shown = (
                words.instant(value)
                if isinstance(value, str)
                else f"{value:.6g}"
                if isinstance(value, float)
                else value
            )
            yield f"{words.spelled(name)} {shown}"


def log_json(logs: Sequence[Log]) -> str:
    """The same as a JSON document."""
    found = [
        {
            "experiment": log.experiment,
            "events": [asdict(event) for event in log.events],
            "record": {"entries": len(log.record.entries), "head": log.record.head, "torn": log.record.torn},
        }
        for log in logs
    ]
    return json.dumps({"schema": "metricdef/log/1", "experiments": found}, indent=2) + "\n"


def render_verified(found: Sequence[Verified], color: bool = False) -> str:
    """A line for each record that verifies, and one for each fault of the others."""
    pen = Pen(color)
    return "\n".join(line for verified in found for line in _verified(verified, pen))


def _verified(verified: Verified, pen: Pen) -> Iterator[str]:
    if verified.faults:
        file = os.path.relpath(verified.file)
        for line, what in verified.faults:
            yield f"{visible(file)}:{line}: {pen('error', 'bold', 'red')}: {visible(what)}"
    elif not verified.entries:
        yield f"{visible(verified.experiment)}: nothing is recorded"
    else:
        rows = _rows(verified.entries)
        yield f"{visible(verified.experiment)}: {rows} verified, head {str(verified.head)[:_HEAD]}"
    if verified.torn:
        yield f"{visible(verified.experiment)}: {_TORN}"


def verified_json(found: Sequence[Verified]) -> str:
    """The same as a JSON document."""
    shown = [
        {
            "experiment": v.experiment,
            "entries": v.entries,
            "head": v.head,
            "torn": v.torn,
            "faults": [{"line": line, "message": message} for line, message in v.faults],
        }
        for v in found
    ]
    return json.dumps({"schema": "metricdef/log-verify/1", "experiments": shown}, indent=2) + "\n"


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"
