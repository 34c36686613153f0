"""Limits of caps that an earlier look has fixed are numbers in the plan, and the SQL asks for no percentile."""

from datetime import UTC, datetime

import pytest
from projects import METRICS, SOURCES, experiment, write_definitions

from metricdef.compiler.build_plan import build_plan
from metricdef.compiler.render import render
from metricdef.definitions.load import load_project

CAP = {"lower": "p1", "upper": "p99"}
REVENUE = {**METRICS["metrics"]["revenue"], "cap": CAP, "covariates": {"lookback": "7d"}}
DEFINED = {
    **METRICS["metrics"],
    "revenue": REVENUE,
    "again": REVENUE,
    "per_order": {**METRICS["metrics"]["order_value"]},
}
OUTCOMES = {"primary": {"revenue": None}, "secondary": {"again": None, "per_order": None}}
# A ratio's part keeps its own cap; covariates have caps of their own.
KEYS = {
    *("revenue.lower", "revenue.upper", "again.lower", "again.upper"),
    *("revenue__pre.lower", "revenue__pre.upper", "again__pre.lower", "again__pre.upper"),
    *("per_order__numerator.lower", "per_order__numerator.upper"),
}


@pytest.fixture
def project(tmp_path):
    write_definitions(tmp_path, SOURCES, {"metrics": DEFINED}, experiment(metrics=OUTCOMES))
    return load_project(tmp_path).project


def plan(project, frozen=()):
    """`frozen`: limits by what of which metric they cap, without the hash that tells such names apart."""
    known = keys(build_plan(project, "test", datetime(2026, 3, 1, tzinfo=UTC))) if frozen else {}
    fixed = {known[name]: value for name, value in dict(frozen).items()}
    return build_plan(project, "test", datetime(2026, 3, 1, tzinfo=UTC), frozen=fixed)


def keys(plan):
    found = [key for percentile in plan.percentiles for key in percentile.keys]
    assert len(found) == len(set(found))
    return {key.rpartition(":")[0]: key for key in found}


def test_every_cap_taken_from_the_data_has_a_key_of_its_own(project):
    assert keys(plan(project)).keys() == KEYS


def test_fixed_caps_are_numbers_and_the_others_stay(project):
    partly = plan(project, {"revenue.upper": 9.5, "again.upper": 9.5})
    caps = {metric.name: metric.caps for metric in partly.metrics}
    assert caps["revenue"][0].upper == caps["again"][0].upper == 9.5
    assert isinstance(caps["revenue"][0].lower, str)
    assert keys(partly).keys() == KEYS - {"revenue.upper", "again.upper"}


def test_a_cap_shared_by_two_metrics_may_be_fixed_for_one(project):
    """Each keeps the limit it was seen with, even where their definitions are the same."""
    own = plan(project, {"revenue.upper": 9.5})
    caps = {metric.name: metric.caps[0].upper for metric in own.metrics}
    assert caps["revenue"] == 9.5
    assert isinstance(caps["again"], str)


def test_with_all_caps_fixed_no_percentile_is_computed(project):
    fixed = plan(project, dict.fromkeys(KEYS, 3.0))
    assert fixed.percentiles == ()
    text = "\n".join(render(fixed, "duckdb").statements)
    assert "quantile_cont" not in text.lower()
    assert "quantile_cont" in "\n".join(render(plan(project), "duckdb").statements).lower()
