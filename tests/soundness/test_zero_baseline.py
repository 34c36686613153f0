"""A baseline without anything to count has no relative effect, however its value is estimated."""

import numpy as np
import pytest
from semantics.world import COUNT, DAY, HOUR, T0, build, exposure, order, see

pytestmark = pytest.mark.soundness
METRICS = {
    "orders": COUNT,
    "gifts": {
        "type": "ratio",
        "numerator": {"source": "orders", "agg": "count", "filter": "status = 'gift'"},
        "denominator": "orders",
        "direction": "increase",
    },
    "any_gift": {"type": "proportion", "source": "orders", "filter": "status = 'gift'", "direction": "increase"},
    "least": {**COUNT, "agg": "min", "measure": "amount", "missing": "exclude"},
}
STEP = {"shares": {"control": "50%", "treatment": "50%"}}
RAMP = {
    "ramp": [{"from": "2026-01-01", **STEP}, {"from": "2026-01-06", **STEP}],
    "exposure": {"source": "assignments", "key": "test", "mixed": "first_arm"},
}
CLUSTERS = {"cluster": "shop", "unit": "user"}
BEFORE = {"analysis": {"covariates": {"lookback": "14d"}}}


def seen(tmp_path, units, target, **world):
    """Orders of the control are neither gifts nor worth anything; some units have none."""
    random = np.random.default_rng(units)
    exposures = [
        exposure(f"u{i}", ("control", "treatment")[i % 2], T0 + (i % 3) * DAY, shop=f"s{i % 122}") for i in range(units)
    ]
    orders = [
        order(f"u{i}", at + k * HOUR, float(random.integers(0, 3) * worth), status=status)
        for i in range(units)
        for k in range(random.integers(0, 4))
        for at, worth, status in [
            (T0 + 5 * DAY, i % 2, "gift" if i % 2 and random.random() < 0.2 else "paid"),
            (T0 - 2 * DAY, 1, "paid"),
        ]
    ]
    named = {"guardrail" if target else "secondary": {name: target for name in METRICS if name != "orders"}}
    return see(tmp_path, METRICS, exposures, orders=orders, named=named, **world)


@pytest.mark.parametrize("units", [475, 611, 733])
@pytest.mark.parametrize("world", [{}, RAMP, CLUSTERS, BEFORE, {**CLUSTERS, **BEFORE}], ids=str)
def test_a_ratio_over_a_baseline_of_zero(tmp_path, units, world):
    """The value was 1e-16, of either sign: an effect of 1e15, and a guardrail that was non-inferior to it."""
    found = seen(tmp_path, units, {"margin": "10%"}, **world)
    for metric in ("gifts", "least", *(["any_gift"] if "cluster" in world else [])):
        row = found.row(metric)
        assert row.baseline_value == 0.0, metric
        assert row.arm_value > 0.01
        assert row.relative is None
        assert (row.verdict, row.reason) == ("not_computed", "baseline_zero")


@pytest.mark.parametrize("world", [{}, RAMP, CLUSTERS, BEFORE], ids=str)
def test_the_absolute_effect_over_a_baseline_of_zero(tmp_path, world):
    found = seen(tmp_path, 475, None, **world)
    for metric in ("gifts", "least"):
        row = found.row(metric)
        assert (row.baseline_value, row.relative) == (0.0, None)
        assert row.absolute.estimate == row.arm_value
        assert row.absolute.std_error > 1e-4
        assert row.verdict == "superior"


def test_an_arm_without_anything_is_at_zero(tmp_path):
    """Also the other one: its relative effect is -100%, and its interval has no part of another arm's rounding."""
    exposures = [exposure(f"u{i}", ("treatment", "control")[i % 2]) for i in range(475)]
    orders = [
        order(f"u{i}", status="gift" if i % 2 and i % 5 == k else "paid") for i in range(475) for k in range(1 + i % 4)
    ]
    row = see(tmp_path, METRICS, exposures, orders=orders).row("gifts")
    assert row.arm_value == 0.0
    assert row.relative.estimate == -1.0
    assert row.absolute.estimate == -row.baseline_value


def test_two_arms_without_anything_do_not_vary(tmp_path):
    exposures = [exposure(f"u{i}", ("control", "treatment")[i % 2]) for i in range(475)]
    orders = [order(f"u{i}") for i in range(475) for _ in range(i * 7 % 4)]
    row = see(tmp_path, METRICS, exposures, orders=orders).row("gifts")
    assert (row.verdict, row.reason, row.absolute) == ("not_computed", "zero_variance", None)


def test_every_day_of_a_series(tmp_path):
    """Also while the other arm has nothing yet, and never where a day has values."""
    exposures = [exposure(f"u{i}", ("control", "treatment")[i % 2]) for i in range(475)]
    orders = [
        order(f"u{i}", T0 + HOUR + k * DAY, status="gift" if i % 2 and k and i % 3 else "paid")
        for i in range(475)
        for k in range(1 + i % 4)
    ]
    project = build(tmp_path, METRICS, exposures, orders=orders)
    series = project.run("test", as_of="2026-02-10", daily=True).series
    days = [row for row in series if row["metric"] == "gifts" and row["units"][0]]
    values = [(row["baseline_value"], row["arm_value"]) for row in days]
    want = [
        sum(i % 3 > 0 for i in range(1, 475, 2) for k in range(1, min(day, i % 4) + 1))
        / sum(min(day, i % 4) + 1 for i in range(1, 475, 2))
        for day in range(len(days))
    ]
    assert values == [(0.0, pytest.approx(x, abs=1e-12)) for x in want]
    assert values[0] == (0.0, 0.0)
    assert len({round(x, 6) for x in want}) == 4
    assert all(row["relative"] is None for row in days)
