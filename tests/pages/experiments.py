"""Experiments made for pages: real runs on DuckDB whose outcome is known beforehand, and readouts too large to run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from metricdef.analysis.readout import Heterogeneity, Interval, Readout, RelativeInterval
from metricdef.api import Project
from tests.projects import METRICS, SOURCES, TABLES, experiment, write_definitions, write_warehouse
from tests.reports.sample import levels, outcome_of, readout, row

AS_OF = "2026-03-01"
DAYS = 31
HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>'",
    "</style></title><b>bold",
    "مرحبا بالعالم",
    "\u202eevil\u202c",
    "🚀👩‍🔬 emoji",
    "long " * 40,
)
IN_DATA = (*HOSTILE, "{{ 7 * 7 }} {% raw %}")  # definitions hold no Jinja

# Shares of buyers and of refunded ones in control and treatment; the share of exposures lost in treatment.
WORLDS: dict[str, dict[str, Any]] = {
    "ship": {"buyers": (0.20, 0.26), "refunds": (0.05, 0.05)},
    "stop": {"buyers": (0.26, 0.20), "refunds": (0.05, 0.05)},
    "hold": {"buyers": (0.20, 0.20), "refunds": (0.05, 0.05)},
    "invalid": {"buyers": (0.20, 0.20), "refunds": (0.05, 0.05), "lost": 0.2},
    "not_computed": {"buyers": (0.0, 0.0), "refunds": (0.0, 0.0)},
}


def run(root: Path, world: str) -> Readout:
    """One of WORLDS, run day by day with a breakdown, a cap, a covariate and hostile words in definitions and data."""
    write_warehouse(root, *TABLES)
    _fill(root, **WORLDS[world])
    metrics = {name: dict(metric) for name, metric in METRICS["metrics"].items()}
    for (_, metric), name in zip(metrics.items(), HOSTILE, strict=False):
        metric |= {"label": name, "description": name}
    metrics["revenue"] |= {"format": "currency:EUR", "cap": {"upper": 250}}
    targets = {
        "primary": {"buyers": {"mde": "10%"}},
        "secondary": {"revenue": None, "order_value": None},
        "guardrail": {"refunds": {"margin": "2pp"}},
    }
    changes = experiment(
        label=HOSTILE[0],
        hypothesis=HOSTILE[1],
        owners=[HOSTILE[2]],
        metrics=targets,
        arms={
            "control": {"share": "50%", "description": HOSTILE[3]},
            "treatment": {"share": "50%", "description": HOSTILE[4]},
        },
        analysis={"breakdowns": ["platform"], "sensitivity": ["uncapped"]},
        decision={"practical": {"buyers": "1pp"}},
    )
    write_definitions(root, SOURCES, {"metrics": metrics}, changes)
    return Project(root).run("test", as_of=AS_OF, daily=True)


def _fill(root: Path, buyers: tuple[float, float], refunds: tuple[float, float], lost: float = 0.0) -> None:
    """6,000 users over the enrolment, each with a platform; some buy within three days, some of those are refunded."""
    draw = np.random.default_rng(7)
    n = 6_000
    arm = draw.integers(0, 2, n)
    kept = ~((arm == 1) & (draw.random(n) < lost))
    entered = draw.integers(0, DAYS * 86_400, n)
    platform = draw.choice(len(IN_DATA), n)
    exposures = {
        "user_id": [f"u{i}" for i in range(n) if kept[i]],
        "experiment": ["test"] * int(kept.sum()),
        "arm": [("control", "treatment")[arm[i]] for i in range(n) if kept[i]],
        "second": entered[kept],
        "platform": [IN_DATA[platform[i]] for i in range(n) if kept[i]],
    }
    buys = draw.random(n) < np.take(buyers, arm)
    back = draw.random(n) < np.take(refunds, arm)
    amounts = np.round(draw.lognormal(3.5, 0.8, n), 2)
    users = [i for i in range(n) if buys[i] or back[i]]
    orders = {
        "user_id": [f"u{i}" for i in users],
        "second": [int(entered[i] + 3_600 * (1 + i % 60)) for i in users],
        "amount": [float(amounts[i]) for i in users],
        "status": ["refunded" if back[i] else "paid" for i in users],
    }
    at = "TIMESTAMP '2026-01-01' + to_seconds(second)"
    with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
        connection.register("e", pa.table(exposures))
        connection.register("o", pa.table(orders, schema=_ORDERS))
        connection.execute(f"INSERT INTO assignments SELECT user_id, experiment, arm, {at}, platform FROM e")
        connection.execute(f"INSERT INTO orders SELECT user_id, {at}, amount, 'thing', status FROM o")


_ORDERS = pa.schema(
    [("user_id", pa.string()), ("second", pa.int64()), ("amount", pa.float64()), ("status", pa.string())]
)


def large(metrics: int = 200, arms: int = 5, segments: int = 30) -> Readout:
    """A readout of that many metrics and levels in every arm but the baseline, with one in ten clear."""
    draw = np.random.default_rng(3)
    names = [f"arm_{k}" for k in range(1, arms)]
    rows = []
    for m in range(metrics):
        role = "primary" if m < 5 else "guardrail" if m < 25 else "secondary"
        for arm in names:
            rows.append(_drawn(draw, f"metric_{m}", arm, role))  # noqa: PERF401
    gate = Heterogeneity(30.0, segments - 1, 0.4, 0.4)
    found = [
        replace(r, arm=arm, role="primary" if m < 5 else "secondary", metric=f"metric_{m}", label=f"Metric {m}")
        for m in range(metrics)
        for arm in names
        for r in levels("m", gate, *((f"level {k}", 0.9, "inconclusive") for k in range(segments)), dimension="country")
    ]
    base = readout(*rows, *found)
    extra = [replace(base.arms[1], arm=name) for name in names]
    return replace(base, arms=(base.arms[0], *extra))


def _drawn(draw: np.random.Generator, metric: str, arm: str, role: str) -> Any:
    effect, error = float(draw.normal(0, 0.004)), 0.002
    clear = abs(effect) > 2 * error
    absolute = Interval(effect, error, effect - 2 * error, effect + 2 * error)
    relative = RelativeInterval(effect * 10, (effect - 2 * error) * 10, (effect + 2 * error) * 10, "fieller", "bounded", None)  # fmt: skip
    verdict = ("superior" if effect > 0 else "inferior") if clear else "inconclusive"
    test = outcome_of(p=0.004 if clear else 0.4, adjusted=0.04 if clear else 1.0, rejected=clear)
    return row(
        metric,
        label=f"Metric {metric.removeprefix('metric_')}",
        arm=arm,
        role=role,
        absolute=absolute,
        relative=relative,
        arm_value=0.1 + effect,
        verdict=verdict,
        tests=(test,),
    )
