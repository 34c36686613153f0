"""Which numbers the guards of a readout's row are given."""

from __future__ import annotations

import pytest
from projects import METRICS, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.api import Project

MEDIAN = {
    "type": "quantile",
    "source": "orders",
    "agg": "sum",
    "measure": "amount",
    "quantile": "p50",
    "missing": "exclude",
    "direction": "increase",
}
RAMP = [
    {"from": "2026-01-01", "shares": {"control": "90%", "treatment": "10%"}},
    {"from": "2026-01-08", "shares": {"control": "50%", "treatment": "50%"}},
]


def enrol(arm: str, first: int, count: int, day: str) -> tuple[str, str]:
    """Units with one order each; every unit's amount is 1, 2 or 3, and 20 more from the second week on."""
    late = 20 if day >= "2026-01-08" else 0
    span = f"FROM range({first}, {first + count}) AS r(i)"
    return (
        f"INSERT INTO assignments SELECT 'u' || i, 'test', '{arm}', TIMESTAMP '{day}', 'web' {span}",
        f"INSERT INTO orders SELECT 'u' || i, TIMESTAMP '{day}' + INTERVAL 1 HOUR, {late} + 1 + i % 3 + (i % 97) / 1e3, 'p', 'paid' {span}",
    )


def readout(root, *statements, definitions=METRICS, **changes):
    write_definitions(root, SOURCES, definitions, experiment(**changes))
    write_warehouse(root, *TABLES, *statements)
    return Project(root).run("test", as_of="2026-03-01")


def guards_of(found, metric):
    return next(row.guards for row in found.estimates if row.metric == metric)


def test_epochs_of_a_ramp_are_no_skewness(tmp_path):
    # One tenth of the treatment comes early and low: a mixture, skewed as a whole and symmetric within the epochs.
    early = [*enrol("control", 0, 270, "2026-01-02"), *enrol("treatment", 1000, 30, "2026-01-02")]
    late = [*enrol("control", 2000, 900, "2026-01-09"), *enrol("treatment", 4000, 900, "2026-01-09")]
    found = readout(
        tmp_path,
        *early,
        *late,
        ramp=RAMP,
        exposure={"source": "assignments", "key": "test", "mixed": "first_arm"},
        arms={"control": {}, "treatment": {}},
        metrics={"primary": {"buyers": {"mde": "2%"}}, "secondary": {"revenue": None}},
    )
    assert guards_of(found, "revenue") == ()


@pytest.mark.parametrize(("count", "expected"), [(99, ("small-sample",)), (101, ())])
def test_a_median_of_few_values(tmp_path, count, expected):
    found = readout(
        tmp_path,
        *enrol("control", 0, 150, "2026-01-02"),
        *enrol("treatment", 1000, count, "2026-01-02"),
        definitions={"metrics": {**METRICS["metrics"], "median_revenue": MEDIAN}},
        metrics={"primary": {"buyers": {"mde": "2%"}}, "secondary": {"median_revenue": None}},
    )
    assert guards_of(found, "median_revenue") == expected


@pytest.mark.parametrize(("secondary", "expected"), [(1, ()), (8, ("small-sample",))])
def test_a_family_of_many_bears_less_skewness(tmp_path, secondary, expected):
    names = [f"revenue_{i}" for i in range(secondary)]
    found = readout(
        tmp_path,
        *enrol("control", 0, 2000, "2026-01-02"),
        *enrol("treatment", 4000, 150, "2026-01-02"),
        "UPDATE orders SET amount = -LN(1 - (CAST(SUBSTR(user_id, 2) AS INTEGER) * 0.6180339887) % 1)",
        definitions={"metrics": {**METRICS["metrics"], **dict.fromkeys(names, METRICS["metrics"]["revenue"])}},
        metrics={"primary": {"buyers": {"mde": "2%"}}, "secondary": dict.fromkeys(names)},
    )
    assert guards_of(found, "revenue_0") == expected
