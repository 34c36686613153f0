"""Percentile caps that a look has fixed were given to other values of the same name: estimates moved between looks
although no row had come.
"""

import random
from datetime import datetime, timedelta

import pytest
from looks import Looks, row
from semantics.world import COUNT, SUM, build, changed, exposure, order

START = datetime(2026, 1, 1, 2)
REVENUE = {**SUM, "window": "3d", "cap": {"upper": "p90"}}
ORDERS = {**COUNT, "window": "3d"}
LOOKS = {"sequential": {"method": "group_sequential", "spending": "obrien_fleming", "looks": ["10d", "20d", "34d"]}}
DAYS = ("2026-01-12", "2026-01-22")  # before the first every unit's 3 days are over, not every unit's 7


@pytest.fixture(scope="module")
def rows():
    draw = random.Random(3)
    exposures, orders = [], []
    for i in range(2400):
        unit, at, size = f"u{i}", START + timedelta(hours=i % 120), draw.expovariate(0.01)
        exposures.append(exposure(unit, "control" if i % 2 else "treatment", at))
        for day, share in ((-20, 0.9), (-12, 0.9), (-2, 0.05), (1, 0.9), (2, 0.6)):
            if draw.random() < share:
                orders.append(order(unit, at + timedelta(days=day, hours=6), round(size + draw.random() * 20, 2)))
    return exposures, orders


def seen(tmp_path, rows, metrics, primary="revenue", covariates="28d", **protocol):
    exposures, orders = rows
    roles = {"primary": {primary: {"mde": "5%"}}, "secondary": dict.fromkeys(m for m in metrics if m != primary)}
    analysis = {**LOOKS, **({"covariates": {"lookback": covariates}} if covariates else {})}
    project = build(
        tmp_path,
        metrics,
        exposures,
        orders=orders,
        named={k: v for k, v in roles.items() if v},
        status="running",
        analysis=analysis,
        **protocol,
    )
    looks = Looks(project)
    shown = [row(looks.run(day), primary) for day in DAYS]
    assert looks.history[0].caps  # fixed at the first look
    return [(r.baseline_value, r.absolute.estimate, r.absolute.std_error, r.estimator.name) for r in shown]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, rows):
    first, second = seen(tmp_path_factory.mktemp("alone"), rows, {"revenue": REVENUE})
    assert first == second
    return first


def test_the_pre_period_check_over_another_time_has_caps_of_its_own(tmp_path, rows, alone):
    found = seen(tmp_path, rows, {"revenue": REVENUE}, validation={"aa_lookback": "7d"})
    assert found == [alone, alone]


@pytest.mark.parametrize(
    "other",
    [
        {**ORDERS, "covariates": {"lookback": "7d", "extra": ["revenue"]}},
        {**ORDERS, "window": "7d", "covariates": {"lookback": "28d", "extra": ["revenue"]}},
        {**ORDERS, "window": "7d", "immature": "include", "covariates": {"lookback": "28d", "extra": ["revenue"]}},
    ],
    ids=["look-back", "window", "immature"],
)
def test_another_metrics_covariate_has_caps_of_its_own(tmp_path, rows, alone, other):
    assert seen(tmp_path, rows, {"revenue": REVENUE, "other": other}) == [alone, alone]


def test_a_metric_called_like_the_part_of_a_ratio_has_caps_of_its_own(tmp_path, rows):
    ratio = {"type": "ratio", "numerator": "revenue", "denominator": "orders", "direction": "increase"}
    metrics = {"revenue": REVENUE, "orders": ORDERS, "value": ratio}
    first, second = seen(tmp_path, rows, metrics, "value", covariates=None)
    assert first == second
    metrics["value__numerator"] = {**ORDERS, "cap": {"upper": "p80", "zeros": "exclude"}}
    assert seen(tmp_path, rows, metrics, "value", covariates=None) == [first, first]


def test_a_measure_of_another_name_keeps_its_cap_and_another_expression_does_not(tmp_path, rows):
    """A ratio's looks are read together when a measure of its part is renamed; its cap was taken anew."""
    exposures, orders = rows
    for name, text, kept in (("amount", "amount", True), ("total", "amount", True), ("amount", "amount * 2", False)):
        looks, fixed = None, []
        for day, measure, expression in ((DAYS[0], "amount", "amount"), (DAYS[1], name, text)):
            ratio = {"type": "ratio", "numerator": "revenue", "denominator": "orders", "direction": "increase"}
            metrics = {"revenue": {**REVENUE, "measure": measure}, "orders": ORDERS, "value": ratio}
            project = build(
                tmp_path,
                metrics,
                exposures,
                orders=orders if day == DAYS[0] else [*orders, order("u1", START + timedelta(hours=30), 1e6)],
                sources=changed("orders", measures={measure: expression, "product": "product"}),
                named={"primary": {"value": {"mde": "5%"}}},
                status="running",
                analysis=LOOKS,
            )
            looks = looks or Looks(project)
            looks.project = project
            looks.run(day)
            fixed.append(set(looks.history[-1].caps.values()))
        assert (fixed[0] == fixed[1]) == kept


LARGE = {"source": "orders", "filter": "large = 1"}


@pytest.mark.parametrize(
    ("metric", "more"),
    [
        ({**REVENUE, "filter": "large = 1"}, {}),
        (
            {"type": "funnel", "window": "3d", "direction": "increase"}
            | {"steps": [{"name": "any", "source": "orders"}, {"name": "large", **LARGE}]},
            {},
        ),
        (REVENUE, {"exposure": {"source": "assignments", "key": "test", "trigger": LARGE}}),
        (REVENUE, {"population": ["buyers_of_much"], "segments": {"buyers_of_much": {**LARGE, "lookback": "28d"}}}),
    ],
    ids=["metric", "funnel", "trigger", "population"],
)
def test_a_dimension_that_means_something_else_is_another_metric(tmp_path, rows, metric, more):
    exposures, orders = rows
    shown = []
    looks = None
    for day, dimension in zip((*DAYS, "2026-02-04"), (50, 50, 5), strict=True):
        project = build(
            tmp_path,
            {"revenue": metric},
            exposures,
            orders=orders,
            sources=changed("orders", dimensions={"large": f"CASE WHEN amount > {dimension} THEN 1 ELSE 0 END"}),
            named={"primary": {"revenue": {"mde": "5%"}}},
            status="running",
            analysis=LOOKS,
            **more,
        )
        looks = looks or Looks(project)
        looks.project = project
        shown.append(row(looks.run(day), "revenue").reason)
    assert shown[-1] == "other_definition" and "other_definition" not in shown[:-1]
