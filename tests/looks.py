"""Runs of a sequential design one after the other, with a record in memory that goes through JSON like a file would."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import datetime

import numpy as np
import pyarrow as pa
from databases import filling
from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, write_definitions
from scipy import stats

from metricdef.analysis.look_record import LookRecord
from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.api import Project

DAYS = ("2026-01-11", "2026-01-19", "2026-01-27", "2026-02-04")
LOOKS = ["10d", "18d", "26d", "34d"]
START = datetime(2026, 1, 1)
SETTINGS = {**PROJECT, "defaults": {"window": "3d"}}
CAPPED = {**METRICS["metrics"]["revenue"], "cap": {"upper": "p95"}}
DEFINED = {
    **METRICS["metrics"], "revenue": CAPPED, "orders_ever": {**METRICS["metrics"]["orders_per_user"], "window": "experiment"},
    "adjusted": {**METRICS["metrics"]["orders_per_user"], "covariates": {"lookback": "7d"}},
}  # fmt: skip
GROUP = {"method": "group_sequential", "looks": LOOKS}


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


class World:
    """Units that arrive evenly in January, with at most one order each, an hour after exposure."""

    def __init__(self, n=6000, lift=0.05, seed=1, base=0.3, arms=2):
        rng = np.random.default_rng(seed)
        self.at = np.arange(n) * (31 * 86_400 / n)
        self.arm = rng.integers(0, arms, n)
        self.bought = rng.random(n) < base + lift * self.arm
        self.amount = np.where(self.bought, rng.lognormal(1.0, 1.0, n), 0.0)

    def write(self, root, sequential=GROUP, *, primary="buyers", secondary=("revenue",), guardrail=(), **changes):
        metrics = {"primary": {primary: {"mde": "5%"}}, "secondary": dict.fromkeys(secondary)}
        metrics |= {"guardrail": {name: {"margin": "10%"} for name in guardrail}} if guardrail else {}
        protocol = {
            "analysis": {"sequential": sequential, **changes.pop("analysis", {})},
            "metrics": metrics,
            **changes,
        }
        write_definitions(root, SOURCES, {"metrics": DEFINED}, experiment(**protocol), project=SETTINGS)
        if not (root / "warehouse.duckdb").exists():
            self.fill(root)
        return Looks(Project(root))

    def fill(self, root):
        with filling(root / "warehouse.duckdb") as connection:
            for statement in TABLES:
                connection.execute(statement)
            units = [f"u{i}" for i in range(len(self.at))]
            start = np.datetime64(START, "us")
            shown = start + (self.at * 1e6).astype("timedelta64[us]")
            arms = np.array(["control", "treatment", "other"])[self.arm].tolist()
            rows = pa.table({"u": units, "arm": arms, "shown": shown, "amount": self.amount})
            connection.register("arrivals", rows)
            connection.execute("INSERT INTO assignments SELECT u, 'test', arm, shown, 'web' FROM arrivals")
            connection.execute(
                "INSERT INTO orders SELECT u, shown + INTERVAL 1 HOUR, amount, 'p', 'paid' FROM arrivals WHERE amount > 0"
            )

    def mature(self, as_of):
        """Units whose window of 3 days is complete."""
        return self.at + 3 * 86_400 <= (datetime.fromisoformat(as_of) - START).total_seconds()

    def welch(self, values, as_of):
        """Brute force: estimate, standard error, df, normal score of the one-sided p."""
        seen = self.mature(as_of)
        a, b = values[seen & (self.arm == 1)], values[seen & (self.arm == 0)]
        found = stats.ttest_ind(a, b, equal_var=False, alternative="greater")
        error = math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
        return a.mean() - b.mean(), error, found.df, stats.norm.isf(found.pvalue)
