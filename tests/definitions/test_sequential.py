"""Rules of sequential designs: each on a definition that breaks it and nothing else, and designs that break none."""

from datetime import UTC, datetime, timedelta

import pytest
from projects import METRICS, SOURCES, experiment, write_definitions

from metricdef.definitions.link_sequential import look_times
from metricdef.definitions.load import load_project

PROJECT = {
    "version": 1, "name": "tests", "entities": ["user", "shop"], "defaults": {"unit": "user", "window": "7d"},
    "profiles": {"local": {"type": "duckdb", "path": "warehouse.duckdb"}},
}  # fmt: skip
ASSIGNMENTS = {**SOURCES["sources"]["assignments"], "entities": {"user": "user_id", "shop": "shop_id"}}
ORDERS = {**SOURCES["sources"]["orders"], "settles_after": "1d"}
# Start 1 January, end 29 January; the last window is settled 8 days later.
LOOKS = ["15d", "22d", "29d", "36d"]
BUYERS = {"primary": {"buyers": {"mde": "2%"}}}
MORE = {**BUYERS, "secondary": {"revenue": None}}


def found(root, sequential, *, define=None, defaults=None, **changes):
    settings = {**PROJECT, "defaults": {**PROJECT["defaults"], **(defaults or {})}}
    analysis = {"sequential": sequential, **changes.pop("analysis", {})}
    write_definitions(
        root, {"sources": {"assignments": ASSIGNMENTS, "orders": ORDERS}},
        {"metrics": {**METRICS["metrics"], **(define or {})}},
        experiment(**{"metrics": BUYERS, "start": "2026-01-01", "end": "2026-01-29", "analysis": analysis, **changes}),
        project=settings,
    )  # fmt: skip
    return load_project(root).diagnostics


def group(**changes):
    return {"method": "group_sequential", "looks": LOOKS, **changes}


HYBRID = {"method": "hybrid", "anytime_alpha": "1%", "final_alpha": "4%", "planned_units": 10000}
FUTILITY = {"spending": "obrien_fleming"}
RAMP = [
    {"from": "2026-01-01", "shares": {"control": "90%", "treatment": "10%"}},
    {"from": "2026-01-08", "shares": {"control": "50%", "treatment": "50%"}},
]


@pytest.mark.parametrize(
    ("sequential", "changes", "rule", "points_at"),
    [
        ({"method": "fixed", "looks": LOOKS}, {}, "fixed-design", "sequential"),
        ({"method": "group_sequential"}, {}, "sequential-incomplete", "sequential"),
        ({"method": "always_valid"}, {}, "sequential-incomplete", "sequential"),
        (group(futility=FUTILITY), {}, "sequential-incomplete", "sequential"),
        ({**HYBRID, "final_alpha": None}, {}, "sequential-incomplete", "sequential"),
        ({**HYBRID, "final_alpha": "5%"}, {}, "hybrid-alpha", "anytime_alpha"),
        ({"method": "always_valid", "planned_units": 10000, "looks": LOOKS}, {}, "sequential-keys", "looks"),
        (group(anytime_alpha="1%"), {}, "sequential-keys", "anytime_alpha"),
        ({**HYBRID, "unplanned": "spend"}, {}, "sequential-keys", "unplanned"),
        ({**HYBRID, "futility": FUTILITY}, {}, "sequential-keys", "futility"),
        (group(spending="pocock", bounds="pocock"), {}, "spending-form", "bounds"),
        (group(spending="pocock", gamma=2), {}, "spending-form", "gamma"),
        (group(spending="hwang_shih_decani"), {}, "spending-form", "sequential"),
        (group(spending="kim_demets", gamma=-1), {}, "spending-form", "sequential"),
        (group(planned_units=9, futility={"spending": "slowly"}), {}, "spending-form", "futility"),
        (group(planned_units=9, futility={"spending": "kim_demets"}), {}, "spending-form", "futility"),
        (group(planned_units=9, futility={**FUTILITY, "gamma": 3}), {}, "spending-form", "futility"),
        (group(planned_units=9, futility={**FUTILITY, "binding": True}), {}, "futility-binding", "futility"),
        (group(looks=["22d", "15d", "36d"]), {}, "look-order", "15d"),
        (group(looks=["15d", "15d", "36d"]), {}, "look-order", "15d"),
        (group(looks=["8d", "36d"]), {}, "look-without-information", "8d"),
        (group(looks=["15d", "37d"]), {}, "look-after-last-maturity", "37d"),
        (group(looks=["15d", "36d", "864h"]), {}, "look-order", "864h"),
        (group(looks=["15d", "35d"]), {}, "look-before-last-maturity", "35d"),
        (group(looks="35d"), {}, "look-before-last-maturity", "35d"),
        (group(), {"validation": {"hold": "16d"}}, "look-in-hold", "15d"),
        (group(), {"analysis": {"multiplicity": {"primary": "hommel"}}}, "sequential-correction", "hommel"),
        (group(), {"analysis": {"multiplicity": {"secondary": "bh"}}, "metrics": MORE}, "sequential-correction", "bh"),
        (group(), {"defaults": {"multiplicity": {"secondary": "max_t"}}, "metrics": MORE}, "sequential-correction", "sequential"),
        ({"method": "always_valid", "planned_units": 9}, {"cluster": "shop"}, "sequential-cluster", "method"),
        (group(planned_units=9, futility=FUTILITY), {"cluster": "shop"}, "sequential-futility", "futility"),
        (group(planned_units=9, futility=FUTILITY), {"ramp": RAMP, "exposure": {"source": "assignments", "key": "test", "mixed": "first_arm"}}, "sequential-futility", "futility"),
    ],
)  # fmt: skip
def test_a_broken_design_is_named_with_its_place_and_a_way_out(tmp_path, sequential, changes, rule, points_at):
    sequential = {key: value for key, value in sequential.items() if value is not None}
    hits = [d for d in found(tmp_path, sequential, **changes) if d.rule == rule]
    assert hits, rule
    for hit in hits:
        line = (tmp_path / hit.place.file).read_text().splitlines()[hit.place.line - 1]
        assert points_at in line[hit.place.column - 1 :]
        assert hit.help


@pytest.mark.parametrize(
    ("define", "defaults", "why"),
    [
        ({}, {"window": "experiment"}, "its window is `experiment`"),
        ({"buyers": {**METRICS["metrics"]["buyers"], "window": "last 7d"}}, {}, "its window is `last 7d`"),
        ({"buyers": {**METRICS["metrics"]["buyers"], "immature": "include"}}, {}, "incomplete"),
        ({}, {"immature": "include"}, "incomplete"),
    ],
)
def test_metrics_that_decide_need_windows_of_fixed_length(tmp_path, define, defaults, why):
    hits = [
        d for d in found(tmp_path, group(), define=define, defaults=defaults) if d.rule == "look-needs-fixed-window"
    ]
    assert len(hits) == 1
    assert hits[0].severity == "error"
    assert "`buyers`" in hits[0].message
    assert why in hits[0].message


def test_a_secondary_metric_may_have_a_growing_window(tmp_path):
    growing = {"orders_ever": {**METRICS["metrics"]["orders_per_user"], "window": "experiment"}}
    diagnostics = found(
        tmp_path, group(), define=growing, metrics={**BUYERS, "secondary": {"orders_ever": None}}
    )  # fmt: skip
    assert "look-needs-fixed-window" not in [d.rule for d in diagnostics]


@pytest.mark.parametrize(
    "sequential",
    [
        group(), group(spending="hwang_shih_decani", gamma=-4), group(bounds="haybittle_peto"), group(unplanned="spend"),
        group(planned_units=10000, futility={"spending": "hwang_shih_decani", "gamma": -2}),
        {"method": "always_valid", "planned_units": 10000}, HYBRID, {**HYBRID, "looks": LOOKS}, {"method": "fixed"},
    ],
)  # fmt: skip
def test_a_sound_design_has_no_findings(tmp_path, sequential):
    rules = {d.rule for d in found(tmp_path, sequential)}
    assert not rules & {
        "fixed-design", "sequential-incomplete", "sequential-keys", "hybrid-alpha", "spending-form", "futility-binding",
        "look-order", "look-without-information", "look-after-last-maturity", "look-before-last-maturity",
        "look-in-hold", "sequential-correction", "look-needs-fixed-window",
    }  # fmt: skip


def test_a_clock_change_neither_ends_nor_outruns_the_experiment(tmp_path):
    """36 days of 24 hours from 15 March are an hour past the midnight at which Berlin's last window is complete."""
    looks = {"defaults": {"timezone": "Europe/Berlin"}, "start": "2026-03-15", "end": "2026-04-12"}
    assert [d.rule for d in found(tmp_path, group(), **looks) if d.rule.startswith("look")] == []


def test_looks_are_counted_from_the_start_in_24_hour_days(tmp_path):
    found(tmp_path, group(), start="2026-01-01T06:30:00Z")
    experiments = load_project(tmp_path).project.experiments
    (experiment_,) = experiments.values()
    first = datetime(2026, 1, 1, 6, 30, tzinfo=UTC)
    assert look_times(experiment_, "UTC") == tuple(first + timedelta(days=n) for n in (15, 22, 29, 36))


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "threshold", "source": "orders", "agg": "count", "direction": "increase"},
        {"type": "ratio", "numerator": "buyers", "denominator": "orders_per_user", "direction": "increase"},
    ],
)
def test_a_metric_that_contradicts_itself_is_reported_once(tmp_path, broken):
    """Nobody knows when its last window ends, and that is no error of the looks."""
    errors = found(tmp_path, {"method": "group_sequential", "looks": LOOKS}, define={"buyers": broken})
    assert errors
    assert not any("look" in str(error) for error in errors)
