"""Rules of designs and of what newer metric types may say: each on a definition that breaks it and nothing else."""

import pytest
from projects import METRICS, PROJECT, SOURCES, experiment, write_definitions

from metricdef.definitions.load import load_project

SETTINGS = {**PROJECT, "entities": ["user", "shop"], "defaults": {"unit": "user"}}
ASSIGNMENTS = {**SOURCES["sources"]["assignments"], "entities": {"user": "user_id", "shop": "shop_id"}}
ORDERS = SOURCES["sources"]["orders"]
USERS = {
    "kind": "attributes", "table": "users", "entities": {"user": "user_id"}, "valid_from": "since", "dimensions": ["country", "platform"],
}  # fmt: skip
SUM = {"type": "mean", "source": "orders", "agg": "sum", "measure": "amount", "direction": "increase"}
MORE = {
    "first": {**SUM, "agg": "first", "missing": "exclude"},
    "days": {"type": "mean", "source": "orders", "agg": "active_days", "per": "day", "direction": "increase"},
    "p90": {"type": "quantile", "source": "orders", "measure": "amount", "quantile": "p90", "of": "events", "direction": "increase"},
    "spenders": {"type": "threshold", "source": "orders", "agg": "sum", "measure": "amount", "more_than": 5, "direction": "increase"},
}  # fmt: skip
BUYERS = {"primary": {"buyers": {"mde": "2%"}}}
HALVES = {"control": "50%", "treatment": "50%"}
FIRST_ARM = {"source": "assignments", "key": "test", "mixed": "first_arm"}
RAMP = [
    {"from": "2026-01-01", "shares": {"control": "90%", "treatment": "10%"}},
    {"from": "2026-01-08", "shares": HALVES},
]


def found(root, *, define=None, sources=None, sets=None, **changes):
    """Findings of one small project as (rule, severity, message, the source text that is pointed at)."""
    definitions = {"sources": {"assignments": ASSIGNMENTS, "orders": ORDERS, "users": USERS, **(sources or {})}}
    more = [{"metric_sets": sets}] if sets else []
    write_definitions(
        root, definitions, {"metrics": {**METRICS["metrics"], **MORE, **(define or {})}}, *more,
        experiment(**{"metrics": BUYERS, **changes}), project=SETTINGS,
    )  # fmt: skip
    return load_project(root).diagnostics


def rules(root, **changes):
    return [d.rule for d in found(root, **changes)]


def secondary(name):
    return {**BUYERS, "secondary": {name: None}}


def ramp(*shares, start="2026-01-01"):
    return [{"from": start, "shares": dict(zip(("control", "treatment"), shares, strict=False))}]


@pytest.mark.parametrize(
    ("changes", "rule", "points_at"),
    [
        ({"ramp": RAMP}, "ramp-mixed", "ramp"),
        ({"ramp": ramp("50%", "50%", start="2026-01-02"), "exposure": FIRST_ARM}, "ramp-start", "from"),
        ({"ramp": [*RAMP, {"from": "2026-01-08", "shares": HALVES}], "exposure": FIRST_ARM}, "ramp-order", "from"),
        ({"ramp": ramp("50%"), "exposure": FIRST_ARM}, "shares-not-100", "from"),
        ({"ramp": ramp("50%", "49%"), "exposure": FIRST_ARM}, "shares-not-100", "from"),
        ({"ramp": [{"from": "2026-01-01", "shares": {**HALVES, "tretment": "0%"}}], "exposure": FIRST_ARM}, "unknown-arm", "shares"),
        ({"cluster_effect": "per_cluster"}, "cluster-missing", "cluster_effect"),
        ({"cluster": "user"}, "cluster-is-unit", "user"),
        ({"cluster": "shp"}, "unknown-entity", "shp"),
        ({"cluster": "shop", "cluster_effect": "per_cluster", "metrics": secondary("order_value")}, "per-cluster-ratio", "order_value"),
        ({"cluster": "shop", "cluster_effect": "per_cluster", "metrics": secondary("first")}, "per-cluster-ratio", "first"),
        ({"cluster": "shop", "cluster_effect": "per_cluster", "metrics": secondary("days")}, "per-cluster-ratio", "days"),
        ({"cluster": "shop", "metrics": secondary("p90")}, "quantile-design", "p90"),
        ({"ramp": RAMP, "exposure": FIRST_ARM, "metrics": secondary("p90")}, "quantile-design", "p90"),
        ({"metrics": {"primary": {"first": {"mde": "2%"}}}}, "primary-missing-exclude", "first"),
        ({"analysis": {"strata": ["contry"]}}, "unknown-dimension", "contry"),
        ({"analysis": {"breakdowns": ["country", "status"]}}, "unknown-dimension", "status"),
        ({"analysis": {"breakdowns": ["users.status"]}}, "unknown-dimension", "users.status"),
        ({"analysis": {"strata": ["country", "country"]}}, "duplicate-name", "country"),
        ({"exposure": {"source": "assignments", "trigger": {"source": "users"}}}, "source-kind", "users"),
        ({"analysis": {"strata": ["country", "platform"]}}, "ambiguous-dimension", "platform"),
        ({"analysis": {"covariates": {"lookback": "7d", "extra": ["p90"]}}}, "covariate-metric", "p90"),
        ({"metrics": {**BUYERS, "secondary": {"p90": {"mde": "1pp"}}}}, "mde-kind", "1pp"),
    ],
)  # fmt: skip
def test_a_design_that_is_wrong(tmp_path, changes, rule, points_at):
    (diagnostic,) = found(tmp_path, **changes)
    assert (diagnostic.rule, diagnostic.severity) == (rule, "error")
    assert diagnostic.place.text[diagnostic.place.column - 1 :].startswith(points_at), diagnostic.place


@pytest.mark.parametrize(
    "changes",
    [
        {"ramp": RAMP, "exposure": FIRST_ARM},
        {"ramp": RAMP, "exposure": {**FIRST_ARM, "mixed": "fail"}},
        {"ramp": RAMP, "exposure": {**FIRST_ARM, "mixed": "exclude", "assignment": "sticky"}},
        {"ramp": ramp("100%", "0%", start="2025-12-01"), "exposure": FIRST_ARM, "metrics": secondary("p90")},
        {"cluster": "shop", "metrics": {**BUYERS, "secondary": {"order_value": None, "first": None, "days": None}}},
        {"cluster": "shop", "cluster_effect": "per_cluster", "metrics": secondary("spenders")},
        {"cluster": "shop", "ramp": RAMP, "exposure": FIRST_ARM},
        {"metrics": secondary("first")},
        {"analysis": {"strata": ["Country"], "breakdowns": ["users.platform", "assignments.platform"]}},
        {"exposure": {"source": "assignments", "trigger": {"source": "orders", "filter": "status = 'paid'"}}},
    ],
)
def test_a_design_that_is_right(tmp_path, changes):
    assert found(tmp_path, **changes) == ()


def test_a_primary_metric_of_a_set_may_not_leave_units_out_either(tmp_path):
    sets = {"main": {"primary": {"first": {"mde": "2%"}}}}
    assert rules(tmp_path / "unused", sets=sets) == []
    assert rules(tmp_path / "used", sets=sets, metrics={"sets": ["main"]}) == ["primary-missing-exclude"]


def test_a_cluster_needs_its_column_in_the_exposure_source(tmp_path):
    sources = {"assignments": SOURCES["sources"]["assignments"]}
    (diagnostic,) = found(tmp_path, sources=sources, cluster="shop")
    assert diagnostic.rule == "unit-not-in-source"
    assert "cluster `shop`" in diagnostic.message


def test_a_current_value_that_splits_is_a_warning(tmp_path):
    sources = {"users": {key: value for key, value in USERS.items() if key != "valid_from"}}
    (diagnostic,) = found(tmp_path, sources=sources, analysis={"breakdowns": ["country"]})
    assert (diagnostic.rule, diagnostic.severity) == ("current-value-attribute", "warning")


STEPS = [{"name": "see", "source": "orders"}, {"name": "pay", "source": "orders", "within": "1h"}]


@pytest.mark.parametrize(
    ("metric", "rule", "points_at"),
    [
        ({"type": "funnel", "order": "any", "steps": STEPS}, "funnel-within", "1h"),
        ({"type": "funnel", "steps": STEPS[:1]}, "funnel-steps", ""),
        ({"type": "funnel", "steps": [STEPS[0], STEPS[0]]}, "duplicate-name", "see"),
        ({**MORE["days"], "missing": "exclude"}, "per-day-missing", "exclude"),
        ({**MORE["days"], "cap": {"upper": 1}}, "per-day-cap", ""),
        ({**SUM, "cap": {"upper": 5, "zeros": "exclude"}}, "cap-zeros", "exclude"),
        ({**SUM, "cap": {"lower": "p90", "upper": "p10"}}, "cap-empty", "p90"),
        ({"type": "retention", "source": "orders", "window": "7d"}, "retention-window-at-zero", "7d"),
        ({"type": "ratio", "numerator": "first", "denominator": "revenue"}, "ratio-part", "first"),
        ({"type": "ratio", "numerator": "days", "denominator": "revenue"}, "ratio-part", "days"),
        ({"type": "ratio", "numerator": "p90", "denominator": "revenue"}, "ratio-part", "p90"),
    ],
)
def test_a_metric_that_contradicts_itself(tmp_path, metric, rule, points_at):
    (diagnostic,) = found(tmp_path, define={"odd": {"direction": "increase", **metric}})
    assert diagnostic.rule == rule
    assert diagnostic.place.text[diagnostic.place.column - 1 :].startswith(points_at), diagnostic.place
