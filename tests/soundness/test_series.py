"""The last day of a daily series is the overall figure: running values must not drift from it."""

from datetime import timedelta

import numpy as np
import pytest
from semantics.world import DAY, HOUR, LATE, T0, build, changed, exposure, order

pytestmark = pytest.mark.soundness
LAST = {
    "type": "threshold",
    "source": "orders",
    "agg": "last",
    "measure": "amount",
    "missing": "zero",
    "direction": "increase",
}


@pytest.mark.parametrize(
    ("limit", "amounts"),
    [
        ({"at_least": 0.9}, (0.1, 0.2, 0.9)),  # 0.1 + (0.2 - 0.1) + (0.9 - 0.2) < 0.9
        ({"at_most": 0.9}, (0.1, 0.3, 0.9)),  # and here it is > 0.9
    ],
)
def test_a_last_value_is_the_row_itself_on_every_day(tmp_path, limit, amounts):
    units = [(f"u{i}", ("control", "treatment")[i % 2]) for i in range(20)]
    orders = [order(u, T0 + HOUR + k * DAY, amount) for u, _ in units[:10] for k, amount in enumerate(amounts)]
    project = build(tmp_path, {"m": {**LAST, **limit}}, [exposure(u, arm) for u, arm in units], orders=orders)
    readout = project.run("test", as_of=str(T0 + timedelta(days=9)), daily=True)
    (row,) = readout.estimates
    day = readout.series[-1]
    assert (day["baseline_value"], day["arm_value"]) == (row.baseline_value, row.arm_value)
    assert row.baseline_value == (0.5 if "at_least" in limit else 1.0)


@pytest.mark.parametrize("offset", [0.0, 1e7, 1e9])
@pytest.mark.parametrize("window", [{}, {"window": "3d"}])
def test_a_ratio_far_from_zero_keeps_its_digits_on_every_day(tmp_path, offset, window):
    """Two of three units have a value: its standard error was that of rounding."""
    rng = np.random.default_rng(5)
    amounts = offset + np.round(rng.normal(10, 1, 90) * 64) / 64
    units = [(f"u{i}", ("control", "treatment")[i % 2]) for i in range(90)]
    orders = [order(f"u{i}", T0 + HOUR + (i % 4) * DAY, amounts[i]) for i in range(90) if i % 3]
    metric = {**LAST, "type": "mean", "agg": "sum", "missing": "exclude", **window}
    project = build(tmp_path, {"m": metric}, [exposure(u, arm) for u, arm in units], orders=orders)
    readout = project.run("test", as_of=str(T0 + timedelta(days=9)), daily=True)
    days = {entry["day"]: entry for entry in readout.series if entry["absolute"]}
    last = days[max(days)]
    want = []
    for arm in (0, 1):
        i = np.arange(arm, 90, 2)
        x = ((i % 3 != 0) & ((i % 4 < 3) | (not window))).astype(float)
        y = (amounts[i] - offset) * x
        ratio = y.sum() / x.sum()
        want.append(((y - ratio * x) ** 2).sum() * len(x) / (len(x) - 1) / x.sum() ** 2)
    assert last["absolute"]["std_error"] == pytest.approx(sum(want) ** 0.5, rel=1e-6)
    assert readout.estimates[0].absolute.std_error == pytest.approx(sum(want) ** 0.5, rel=1e-6)
    if not window:
        assert len(days) >= 4  # other days have theirs


@pytest.mark.parametrize("n", [14, 22, 46])
def test_an_arm_without_a_value_yet_has_a_mean_of_exactly_0(tmp_path, n):
    """Its mean was the rounding of the pooled centre, 6e-8, and what the other arm had was shown relative to that."""
    units = [(f"u{i}", ("control", "treatment")[i % 2]) for i in range(n)]
    orders = [order(u, T0 + HOUR, 2e9 + i / 3) for i, (u, arm) in enumerate(units) if arm == "treatment" and i % 3]
    orders += [order(u, T0 + 5 * DAY, 1e9 / 7 + i) for i, (u, arm) in enumerate(units) if arm == "control" and i % 3]
    metric = {**LAST, "type": "mean", "agg": "sum"}
    project = build(tmp_path, {"m": metric}, [exposure(u, arm) for u, arm in units], orders=orders)
    readout = project.run("test", as_of=str(T0 + timedelta(days=9)), daily=True)
    first = next(entry for entry in readout.series if entry["absolute"])
    assert first["baseline_value"] == 0.0
    assert first["relative"] is None
    assert first["arm_value"] > 1e9


def test_a_series_ends_when_nothing_can_change(tmp_path):
    """As of years later, thousands of days said the same."""
    units = [(f"u{i}", ("control", "treatment")[i % 2]) for i in range(40)]
    orders = [order(u, T0 + HOUR + (i % 4) * DAY, 10 + i) for i, (u, _) in enumerate(units)]
    metrics = {"m": {**LAST, "type": "mean", "agg": "sum"}, "w": {**LAST, "type": "mean", "agg": "sum", "window": "3d"}}
    project = build(tmp_path, metrics, [exposure(u, arm) for u, arm in units], orders=orders)
    late = project.run("test", as_of=LATE, daily=True)
    soon = project.run("test", as_of=late.window["planned_end"], daily=True)
    assert late.series == soon.series
    assert late.series[-1]["as_of"] == late.window["planned_end"]
    assert len({day["day"] for day in late.series}) < 60
    for row, day in zip(late.estimates, late.series[-2:], strict=True):
        assert (row.metric, row.arm, row.units) == (day["metric"], day["arm"], day["units"])
        assert day["interval_kind"] != "anytime"
        assert day["absolute"]["estimate"] == pytest.approx(row.absolute.estimate, rel=1e-12)
        assert day["absolute"]["std_error"] == pytest.approx(row.absolute.std_error, rel=1e-12)


def test_rows_that_arrive_after_the_planned_end_prolong_a_series(tmp_path):
    units = [(f"u{i}", ("control", "treatment")[i % 2]) for i in range(40)]
    arrives = T0 + timedelta(days=90)
    orders = [order(u, T0 + HOUR, 10 + i, loaded=arrives if i == 7 else T0 + DAY) for i, (u, _) in enumerate(units)]
    metrics = {"m": {**LAST, "type": "mean", "agg": "sum"}}
    project = build(
        tmp_path,
        metrics,
        [exposure(u, arm) for u, arm in units],
        orders=orders,
        sources=changed("orders", loaded_at="loaded_at"),
    )
    readout = project.run("test", as_of=LATE, daily=True)
    (row,), last = readout.estimates, readout.series[-1]
    assert last["day"] == f"{arrives:%Y-%m-%d}"
    assert last["absolute"]["estimate"] == pytest.approx(row.absolute.estimate, rel=1e-12)
    before = readout.series[-2]["absolute"]["estimate"]
    assert before != pytest.approx(row.absolute.estimate, rel=1e-3)


def test_what_the_overall_figures_refuse_has_no_days(tmp_path):
    """Caps that cut most values, or values that are no numbers without their cap, were refused overall and shown by day."""
    units = [(f"u{i}", ("control", "treatment")[i % 2]) for i in range(40)]
    orders = [order(u, T0 + HOUR + (i % 4) * DAY, float(1 + i % 9)) for i, (u, _) in enumerate(units[:12])]
    orders += [order("u3", T0 + (2 + i) * HOUR, 1e308) for i in range(2)]
    total = {**LAST, "type": "mean", "agg": "sum"}
    metrics = {
        "most_cut": {**total, "cap": {"upper": "p75"}},
        "crossed": {**total, "cap": {"lower": 50, "upper": "p90"}},
        "endless": {**total, "cap": {"upper": 100}},
        "orders": {"type": "mean", "source": "orders", "agg": "count", "direction": "increase"},
    }
    readout = build(tmp_path, metrics, [exposure(u, arm) for u, arm in units], orders=orders).run(
        "test", as_of=LATE, daily=True
    )
    refused = {row.metric: row.message for row in readout.estimates if row.absolute is None}
    assert refused.keys() == metrics.keys() - {"orders"}
    left_out = {entry["metric"]: entry["reason"] for entry in readout.series if entry["day"] is None}
    assert left_out == refused
    assert {entry["metric"] for entry in readout.series if entry["day"]} == {"orders"}
