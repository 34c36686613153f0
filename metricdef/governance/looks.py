"""Looks of sequential designs in an experiment's record: read before a run, written before its readout is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC
from pathlib import Path

from metricdef.analysis.look_record import LookRecord
from metricdef.analysis.readout import Readout
from metricdef.errors import RecordMoved
from metricdef.governance.record import LOOKS, Record, append, read

ATTEMPTS = 50  # each lost one means that another process has recorded its look


def recorded_looks(record: Record) -> tuple[LookRecord, ...]:
    """The looks of a record, in the order in which they were written."""
    return tuple(LookRecord.from_dict(entry.payload) for entry in record.entries if entry.kind in LOOKS)


def run_recorded(path: Path, run: Callable[[tuple[LookRecord, ...]], Readout]) -> Readout:
    """Run after the recorded looks, and record the look that the run is.

    Where another process has recorded one in between, the run is made again after it, and may then be no look.

    Args:
        path: Of the record.
        run: The readout after a history of looks.

    Raises:
        RecordBroken: The record was changed.
        RecordMoved: Others kept recording looks in between.
    """
    for _ in range(ATTEMPTS):
        record = read(path)
        readout = run(recorded_looks(record))
        look = readout.look
        if look is None or look["replay"]:
            return readout
        found = LookRecord.from_dict(look["record"])
        kind = "look" if look["planned"] or look["method"] == "hybrid" else "unplanned_look"
        at = f"{found.as_of.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        key = at if found.number is None else f"{found.number}"
        if any(
            entry.key == key and entry.payload["as_of"] != look["record"]["as_of"]
            for entry in record.entries
            if entry.kind == kind
        ):
            key = f"{key}, {at}"  # a look of this number was taken under a plan that was amended since
        payload = {**look["record"], "readout": hashlib.sha256(readout.to_json().encode()).hexdigest()}
        try:
            written = append(path, kind, key, payload, expected_head=record.head)  # type: ignore[arg-type]  # one of the two
        except RecordMoved:
            continue
        if written.is_new:  # else another process has recorded a look of this number
            return readout
    raise RecordMoved(f"the record {path.name} grew during every one of {ATTEMPTS} runs", ["run it again"])
