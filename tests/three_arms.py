"""600 units in three arms with their orders, as a warehouse and as plain arrays."""

import shutil
from pathlib import Path

import numpy as np
from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.analysis.readout import Readout
from metricdef.api import Project
from metricdef.stats.moments import from_rows

ARMS = {"control": {"share": "1/3"}, "blue": {"share": "1/3"}, "green": {"share": "1/3"}}
NAMES = tuple(ARMS)
N = 600
BALANCE = "CASE WHEN product = 'control' THEN 0 ELSE amount END"  # 0 in the baseline
MORE = {
    "late_revenue": {"type": "mean", "source": "orders", "agg": "sum", "measure": "amount", "window": "7d", "direction": "increase"},
    "median": {"type": "quantile", "source": "orders", "agg": "sum", "measure": "amount", "quantile": "p50", "missing": "zero", "direction": "increase"},
    "rare": {"type": "proportion", "source": "orders", "filter": "status = 'rare'", "direction": "increase"},
}  # fmt: skip
FACTS = np.random.default_rng(20260101)
UNITS = np.arange(N)
ARM = FACTS.permutation(UNITS % 3)
BEFORE = FACTS.integers(1, 40, N)
COUNT = np.minimum(FACTS.poisson(1.2 + 0.25 * (ARM == 1), N), 4)
AMOUNT = BEFORE + FACTS.integers(0, 30, (4, N)) + 16 * (ARM == 2)
PLATFORM = np.where(FACTS.random(N) < 0.3, "app", "web")


def statements():
    """Units with orders before exposure (one each) and after it (0 to 4 each)."""
    users = ", ".join(
        f"('u{i}', 'test', '{NAMES[a]}', TIMESTAMP '2026-01-02', '{p}')"
        for i, a, p in zip(UNITS, ARM, PLATFORM, strict=True)
    )
    before = [f"('u{i}', TIMESTAMP '2025-12-30', {x}, 'p', 'paid')" for i, x in zip(UNITS, BEFORE, strict=True)]
    after = [
        f"('u{i}', TIMESTAMP '2026-01-03', {AMOUNT[k, i]}, '{NAMES[ARM[i]]}', '{'rare' if i % 97 == 5 else 'paid'}')"
        for i in UNITS
        for k in range(COUNT[i])
    ]
    return (
        f"INSERT INTO assignments VALUES {users}",
        f"INSERT INTO orders VALUES {', '.join(before + after)}",
    )


REVENUE = (AMOUNT * (np.arange(4)[:, None] < COUNT)).sum(axis=0)
VALUES = {"revenue": REVENUE, "orders_per_user": COUNT, "buyers": COUNT > 0}


def arms_of(*columns):
    """Moments of plain arrays by arm, as the stats layer takes them."""
    names = [name for name, _ in columns]
    table = np.column_stack([np.asarray(values, dtype=float) for _, values in columns])
    return [from_rows(names, table[a == ARM]) for a in range(3)]


def make_warehouse(root):
    write_warehouse(root, *TABLES, *statements())
    return root


def run_protocol(
    root: Path,
    roles: dict,
    correction: object = None,
    role: str = "primary",
    *,
    more: dict | None = None,
    assignments: dict | None = None,
    **changes: object,
) -> Readout:
    """The readout of three arms.

    `roles` has metrics with or without targets, `correction` is that of `role`; `more` metrics; `assignments` changes
    the exposure source.
    """
    metrics = {r: dict.fromkeys(names) if not isinstance(names, dict) else names for r, names in roles.items()}
    analysis = {**({"multiplicity": {role: correction}} if correction else {}), **changes.pop("analysis", {})}
    protocol = {"arms": ARMS, "metrics": metrics, **({"analysis": analysis} if analysis else {}), **changes}
    shutil.rmtree(root / "metrics", ignore_errors=True)
    exposures, orders = SOURCES["sources"]["assignments"], SOURCES["sources"]["orders"]
    sources = {
        "assignments": {k: v for k, v in {**exposures, **(assignments or {})}.items() if v is not None},
        "orders": {**orders, "measures": {**orders["measures"], "balance": BALANCE}},
    }
    settings = {**PROJECT, "entities": ["user", "shop"], "defaults": {"unit": "user"}}
    definitions = {"sources": sources, "metrics": {**METRICS["metrics"], **MORE, **(more or {})}}
    write_definitions(root, definitions, experiment(**protocol), project=settings)
    return Project(root).run("test", as_of="2026-03-01")


def by_row(readout, role="primary", hypothesis="superiority"):
    """(metric, arm) -> test, overall rows of one role."""
    return {(r.metric, r.arm): r.test(hypothesis) for r in readout.estimates if r.role == role and r.segment is None}
