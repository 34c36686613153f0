"""Runs of a sequential design one after the other, with a record in memory that goes through JSON like a file would."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from metricdef.analysis.look_record import LookRecord
from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.api import Project


class Looks:
    """The record of one experiment, and the readouts of its runs."""

    def __init__(self, project: Project, experiment: str = "test") -> None:
        self.project, self.experiment = project, experiment
        self.history: list[LookRecord] = []

    def run(self, as_of: str | datetime, *, record: bool = True, **options: object) -> Readout:
        readout = self.project.run(self.experiment, as_of=as_of, history=tuple(self.history), **options)  # type: ignore[arg-type]
        if record and readout.look is not None and not readout.look["replay"]:
            document = json.loads(readout.to_json())
            self.history.append(LookRecord.from_dict(document["look"]["record"]))
        return readout

    def all(self, as_ofs: Iterable[str | datetime]) -> list[Readout]:
        return [self.run(at) for at in as_ofs]


def row(readout: Readout, metric: str, arm: str = "treatment") -> EstimateRow:
    return next(r for r in readout.estimates if (r.metric, r.arm) == (metric, arm) and r.segment is None)
