"""What is not a number is above every number for an engine: no metric may count it as a large value."""

import math

import pytest
from semantics.world import HOUR, SUM, T0, build, exposure, order, see

pytestmark = pytest.mark.soundness
THRESHOLD = {**SUM, "type": "threshold"}
QUANTILE = {"type": "quantile", "source": "orders", "measure": "amount", "quantile": "p50", "direction": "increase"}
METRICS = {
    "sum": SUM,
    "capped": {**SUM, "cap": {"upper": 3}},
    "capped_at_a_percentile": {**SUM, "cap": {"upper": "p90"}},
    "at_least": {**THRESHOLD, "at_least": 3},
    "at_most": {**THRESHOLD, "at_most": 3},
    "largest": {**THRESHOLD, "agg": "max", "missing": "exclude", "more_than": 3},
    "of_units": {**QUANTILE, "agg": "sum", "missing": "zero"},
    "of_events": {**QUANTILE, "of": "events"},
}


@pytest.mark.parametrize("trigger", [False, True])
def test_a_value_that_is_no_number_makes_the_metric_not_computed(tmp_path, trigger):
    units = [(f"u{i}", ("control", "treatment")[i % 2]) for i in range(60)]
    orders = [order(u, T0 + HOUR, math.nan if i % 12 == 0 else 1.0 + i % 5) for i, (u, _) in enumerate(units)]
    world = {"orders": orders}
    if trigger:  # quantiles of events are counted another way
        world["exposure"] = {"source": "assignments", "key": "test", "trigger": {"source": "orders"}}
    seen = see(tmp_path, METRICS, [exposure(u, arm) for u, arm in units], **world)
    assert {name: seen.row(name).reason for name in METRICS} == dict.fromkeys(METRICS, "not_finite")


@pytest.mark.parametrize("daily", [False, True])
def test_the_smallest_of_numbers_and_what_is_none_is_none(tmp_path, daily):
    """MIN passes over it: the unit's other row was its value."""
    units = [(f"u{i}", ("control", "treatment")[i % 2]) for i in range(60)]
    orders = [order(u, T0 + HOUR, 1.0 + i % 5) for i, (u, _) in enumerate(units)]
    orders += [order("u0", T0 + 30 * HOUR, math.nan)]
    metric = {**SUM, "agg": "min", "missing": "zero"}
    project = build(tmp_path, {"m": metric}, [exposure(u, arm) for u, arm in units], orders=orders)
    readout = project.run("test", as_of="2026-01-09", daily=daily)
    (row,) = readout.estimates
    assert row.reason == "not_finite"
    assert {(entry["day"], entry["reason"]) for entry in readout.series} == ({(None, row.message)} if daily else set())
