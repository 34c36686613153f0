"""Unit tests of metrics: the figures that come out are those of the definitions, worked out by hand here."""

from pathlib import Path

import pytest
import yaml
from projects import PROJECT, write_definitions

from metricdef.analysis.metric_tests import is_same, run_test
from metricdef.definitions.load import load_project
from metricdef.metrics import TYPES

ROOT = Path(__file__).resolve().parents[2]

SOURCES = """
sources:
  orders:
    table: shop.orders
    timestamp: ordered_at
    entities: {user: user_id}
    filter: not is_test
    measures: {net: amount - discount, product: product}
    dimensions:
      status: status
      big: CASE WHEN amount > 100 THEN 'yes' ELSE 'no' END
"""


def run(tmp_path, metric, given, expect, *, sources=SOURCES, project=PROJECT, exposures=None, schema=None, **more):
    """One test of one metric `m`, with users 1 and 2 in the control and 3 in the treatment unless said otherwise."""
    test = {
        "metric": "m",
        "exposures": exposures
        or [
            {"user": i, "arm": arm, "at": "2026-09-02"} for i, arm in enumerate(["control", "control", "treatment"], 1)
        ],
        "given": given,
        "expect": expect,
        **more,
    }
    metrics = metric if "m" in metric else {"m": metric}
    documents = (yaml.safe_load(sources), {"metrics": metrics}, {"tests": {"t": test}})
    write_definitions(tmp_path, *documents, project=project)
    if schema:
        (tmp_path / "metrics" / ".schema.json").write_text(schema)
    loaded = load_project(tmp_path)
    assert loaded.errors == ()
    return run_test(loaded.project, "t")


REVENUE = {"type": "mean", "source": "orders", "agg": "sum", "measure": "net"}
ROWS = """\
user_id, ordered_at, amount, discount, is_test
1,       2026-09-01, 50,     0,        false
1,       2026-09-03, 30,     5,        false
1,       2026-09-03, 1000,   0,        true
3,       2026-09-03, 8.5,    0.25,     false
"""


def test_rows_count_after_exposure_only_and_the_source_filter_holds(tmp_path):
    expect = [
        {"arm": "control", "n": 2, "sum": 25, "sum_squares": 625, "mean": 12.5},
        {"arm": "treatment", "sum": 8.25},
    ]
    result = run(tmp_path, REVENUE, {"orders": ROWS}, expect)
    assert (result.status, result.differences) == ("passed", ())
    assert set(result.arms["control"]) == {"n", "sum", "sum_squares", "mean"}


def test_only_the_figures_that_differ_are_named_with_their_places(tmp_path):
    expect = [{"arm": "control", "n": 2, "sum": 75}, {"arm": "treatment", "n": 2}]
    units = [{"user": 1, "value": 25}, {"user": 2, "value": 1}]
    result = run(tmp_path, REVENUE, {"orders": ROWS}, expect, expect_units=units)
    assert result.status == "failed"
    assert [(d.kind, d.name, d.figure, d.expected, d.actual) for d in result.differences] == [
        ("arm", "control", "sum", 75, 25.0),
        ("arm", "treatment", "n", 2, 1),
        ("user", "2", "value", 1, 0.0),
    ]
    lines = Path(result.differences[0].place.file).name, [d.place.text.strip() for d in result.differences]
    assert lines == ("part_2.yml", ["sum: 75", "n: 2", "value: 1"])


def test_a_source_that_is_a_query_behaves_as_if_the_rows_were_its_result(tmp_path):
    sources = """
    sources:
      visits:
        sql: SELECT user_id, started_at, duration FROM logs.sessions WHERE bot = false
        timestamp: started_at
        timezone: Europe/Berlin
        entities: {user: user_id}
        filter: duration > 3
    """
    # 23:30 in Berlin is 21:30 UTC of the same day: before exposure at 22:00 UTC. 00:30 in Berlin is 22:30 UTC.
    rows = [
        {"user_id": 1, "started_at": "2026-09-02 23:30:00", "duration": 10},
        {"user_id": 1, "started_at": "2026-09-03 00:30:00", "duration": 10},
        {"user_id": 1, "started_at": "2026-09-03 00:30:00", "duration": 3},
        {"user_id": 1, "started_at": "2026-09-03 00:30:00"},
    ]
    exposures = [{"user": 1, "arm": "control", "at": "2026-09-02T22:00:00Z"}]
    metric = {"type": "mean", "source": "visits", "agg": "count"}
    result = run(
        tmp_path, metric, {"visits": rows}, [{"arm": "control", "sum": 1}], sources=sources, exposures=exposures
    )
    assert result.status == "passed", result


@pytest.mark.parametrize(("arrived", "total"), [("2026-09-04", 5), ("2026-09-10", 0), (None, 0)])
def test_rows_must_have_arrived_by_as_of(tmp_path, arrived, total):
    sources = SOURCES.replace("filter: not is_test", "loaded_at: loaded_at")
    rows = [
        {"user_id": 1, "ordered_at": "2026-09-03", "loaded_at": arrived, "amount": 5, "discount": 0},
        {"user_id": 2, "ordered_at": "2026-09-03", "loaded_at": "2026-09-04", "amount": 7, "discount": 0},
    ]
    expect = [{"arm": "control", "sum": total + 7}]
    metric = REVENUE | {"window": "3d"}
    result = run(tmp_path, metric, {"orders": rows}, expect, sources=sources, as_of="2026-09-10")
    assert result.status == "passed", result


def test_rows_that_do_not_say_when_they_arrived_were_there_in_time(tmp_path):
    sources = SOURCES.replace("filter: not is_test", "loaded_at: loaded_at")
    rows = "user_id, ordered_at, amount, discount\n1, 2026-09-03, 5, 1\n"
    result = run(tmp_path, REVENUE, {"orders": rows}, [{"arm": "control", "sum": 4}], sources=sources)
    assert result.status == "passed", result


def test_a_percentile_cap_is_taken_over_all_arms(tmp_path):
    # Values 10, 20, 90: the median is 20, so one unit of the treatment is cut to it.
    rows = "user_id, ordered_at, amount, discount, is_test\n1,2026-09-03,10,0,false\n2,2026-09-03,20,0,false\n3,2026-09-03,90,0,false\n"
    metric = REVENUE | {"cap": {"upper": "p50"}}
    expect = [{"arm": "control", "sum": 30, "capped": 0}, {"arm": "treatment", "sum": 20, "capped": 1}]
    units = [{"user": 3, "value": 20}]
    result = run(tmp_path, metric, {"orders": rows}, expect, expect_units=units)
    assert result.status == "passed", result


def test_a_ratio_has_both_sums_and_one_cap_a_side(tmp_path):
    metrics = {
        "revenue": REVENUE | {"cap": {"upper": 20}},
        "m": {"type": "ratio", "numerator": "revenue", "denominator": {"source": "orders", "agg": "count"}},
    }
    expect = [
        {"arm": "control", "n": 2, "numerator": 20, "denominator": 1, "ratio": 20, "numerator_capped": 1},
        {"arm": "treatment", "n": 1, "numerator": 8.25, "denominator": 1, "ratio": 8.25},
    ]
    units = [{"user": 1, "numerator": 20, "denominator": 1}, {"user": 2, "numerator": 0, "denominator": 0}]
    result = run(tmp_path, metrics, {"orders": ROWS}, expect, expect_units=units)
    assert result.status == "passed", result


def test_units_without_a_value_are_left_out_where_the_metric_says_so(tmp_path):
    metric = REVENUE | {"agg": "max", "missing": "exclude"}
    rows = "user_id, ordered_at, amount, discount, is_test\n1, 2026-09-03, 0, 4, false\n1, 2026-09-03, 0, 9, false\n"
    expect = [
        {"arm": "control", "n": 2, "responded": 1, "sum": -4, "sum_squares": 16, "mean": -4},
        {"arm": "treatment", "n": 1, "responded": 0, "sum": 0, "mean": None},
    ]
    units = [{"user": 1, "value": -4}, {"user": 2, "value": None}]
    result = run(tmp_path, metric, {"orders": rows}, expect, expect_units=units)
    assert result.status == "passed", result


def test_days_per_day_observed(tmp_path):
    # As of 5 September at midnight user 1 has been watched on the 2nd, 3rd and 4th, and came on two of them.
    metric = {"type": "mean", "source": "orders", "agg": "active_days", "per": "day", "window": "experiment"}
    rows = "user_id, ordered_at, is_test\n1,2026-09-02 10:00,false\n1,2026-09-02 11:00,false\n1,2026-09-04,false\n"
    expect = [
        {"arm": "control", "numerator": 2, "denominator": 6},
        {"arm": "treatment", "numerator": 0, "denominator": 3},
    ]
    result = run(tmp_path, metric, {"orders": rows}, expect, as_of="2026-09-05")
    assert result.status == "passed", result


def test_a_quantile_of_events_counts_every_row(tmp_path):
    metric = {"type": "quantile", "source": "orders", "measure": "net", "quantile": "p50", "of": "events"}
    rows = "user_id, ordered_at, amount, discount, is_test\n1,2026-09-03,1,0,false\n1,2026-09-03,2,0,false\n2,2026-09-03,9,0,false\n"
    expect = [
        {"arm": "control", "n": 2, "values": 3, "quantile": 2},
        {"arm": "treatment", "n": 1, "values": 0, "quantile": None},
    ]
    result = run(tmp_path, metric, {"orders": rows}, expect)
    assert result.status == "passed", result


def test_the_last_days_need_a_stated_as_of_and_end_with_it(tmp_path):
    metric = REVENUE | {"window": "last 2d"}
    rows = "user_id, ordered_at, amount, discount, is_test\n1,2026-09-07,1,0,false\n1,2026-09-08,2,0,false\n1,2026-09-10,4,0,false\n"
    result = run(tmp_path, metric, {"orders": rows}, [{"arm": "control", "sum": 2}], as_of="2026-09-10")
    assert result.status == "passed", result


def test_units_that_wait_for_their_window_do_not_count(tmp_path):
    metric = REVENUE | {"window": "7d"}
    exposures = [{"user": 1, "arm": "control", "at": "2026-09-02"}, {"user": 2, "arm": "control", "at": "2026-09-04"}]
    expect = [{"arm": "control", "n": 1, "sum": 25}]
    units = [{"user": 1, "value": 25}, {"user": 2, "value": None}]
    result = run(
        tmp_path, metric, {"orders": ROWS}, expect, exposures=exposures, as_of="2026-09-09", expect_units=units
    )
    assert result.status == "passed", result


def test_by_default_one_looks_when_every_window_is_complete_and_settled(tmp_path):
    sources = SOURCES.replace("    filter: not is_test", "    settles_after: 30d")
    rows = "user_id, ordered_at, amount, discount\n1, 2026-09-15 23:59:59, 3, 0\n"
    expect = [{"arm": "control", "n": 2, "sum": 3}]
    result = run(tmp_path, REVENUE | {"window": "14d"}, {"orders": rows}, expect, sources=sources)
    assert result.status == "passed", result


def test_a_source_without_rows_and_columns_without_values_are_null(tmp_path):
    assert run(tmp_path, REVENUE, {}, [{"arm": "control", "n": 2, "sum": 0}]).status == "passed"
    # No `is_test`: NOT NULL is not true, and the row does not pass the source's filter.
    rows = [{"user_id": 1, "ordered_at": "2026-09-03", "amount": 5, "discount": 0}]
    assert run(tmp_path, REVENUE, {"orders": rows}, [{"arm": "control", "sum": 0}]).status == "passed"
    # A text compared with a column that no row fills.
    metric = {"type": "proportion", "source": "orders", "filter": ["status = 'paid'", "big = 'yes'"]}
    rows = [{"user_id": 1, "ordered_at": "2026-09-03", "is_test": False}]
    assert run(tmp_path, metric, {"orders": rows}, [{"arm": "control", "n": 2, "sum": 0}]).status == "passed"


def test_dimensions_that_are_expressions_hold(tmp_path):
    metric = {"type": "proportion", "source": "orders", "filter": "big = 'yes'"}
    rows = "user_id, ordered_at, amount, is_test\n1,2026-09-03,100,false\n2,2026-09-03,101,false\n"
    assert run(tmp_path, metric, {"orders": rows}, [{"arm": "control", "sum": 1}]).status == "passed"


@pytest.mark.parametrize("key", ["007", "a b", "1"])
def test_keys_of_units_keep_their_spelling(tmp_path, key):
    # A text anywhere makes all keys texts: `007` is not user 7.
    exposures = [{"user": key, "arm": "control", "at": "2026-09-02"}, {"user": 7, "arm": "control", "at": "2026-09-02"}]
    rows = [
        {"user_id": key, "ordered_at": "2026-09-03", "amount": 5, "discount": 0, "is_test": False},
        {"user_id": "7", "ordered_at": "2026-09-03", "amount": 1, "discount": 0, "is_test": False},
    ]
    units = [{"user": key, "value": 5}, {"user": 7, "value": 1}]
    result = run(tmp_path, REVENUE, {"orders": rows}, [], exposures=exposures, expect_units=units)
    assert result.status == "passed", result


def test_types_come_from_the_schema_file_where_there_is_one(tmp_path):
    # Compared as texts 9 comes after 10; as the numbers that they look like it would not.
    schema = '{"version": 1, "sources": {"orders": {"user_id": "BIGINT", "ordered_at": "TIMESTAMP", "is_test": "BOOLEAN", "amount": "BIGINT", "discount": "BIGINT", "product": "VARCHAR", "status": "VARCHAR"}}}'
    metric = {"type": "proportion", "source": "orders", "filter": "product > '10'"}
    rows = "user_id, ordered_at, product, is_test\n1,2026-09-03,9,false\n"
    result = run(tmp_path, metric, {"orders": rows}, [{"arm": "control", "sum": 1}], schema=schema)
    assert result.status == "passed", result


def test_two_projects_defaults_that_do_not_matter_are_left_out(tmp_path):
    defaults = {"covariates": {"lookback": "14d"}, "multiplicity": {"primary": "max_t"}, "window": "14d"}
    project = PROJECT | {"defaults": defaults, "min_units": 50}
    assert run(tmp_path, REVENUE, {"orders": ROWS}, [{"arm": "control", "sum": 25}], project=project).status == "passed"


def test_what_cannot_run_on_duckdb_is_said_and_does_not_pass(tmp_path):
    sources = SOURCES.replace("table: shop.orders", "table: shop.orders\n    dialect: snowflake")
    result = run(tmp_path, REVENUE, {"orders": ROWS}, [{"arm": "control", "sum": 25}], sources=sources)
    assert (result.status, "written for snowflake" in result.message) == ("error", True)


def test_what_only_duckdb_understands_runs_there(tmp_path):
    sources = SOURCES.replace("table: shop.orders", "table: shop.orders\n    dialect: duckdb")
    sources = sources.replace("net: amount - discount", 'net: "greatest(amount, discount)"')
    result = run(tmp_path, REVENUE, {"orders": ROWS}, [{"arm": "control", "sum": 30}], sources=sources)
    assert result.status == "passed", result


def test_arms_are_any_text_and_units_may_have_other_entities_beside(tmp_path):
    project = PROJECT | {"entities": ["household", "user"]}
    sources = SOURCES.replace("{user: user_id}", "{user: user_id, household: house}")
    exposures = [{"household": 5, "arm": 'it\'s 50% "new"', "at": "2026-09-02"}]
    rows = "house, user_id, ordered_at, amount, discount, is_test\n5,1,2026-09-03,1,0,false\n5,2,2026-09-03,2,0,false\n"
    expect = [{"arm": 'it\'s 50% "new"', "n": 1, "sum": 3}]
    result = run(tmp_path, REVENUE, {"orders": rows}, expect, sources=sources, project=project, exposures=exposures)
    assert result.status == "passed", result


def test_the_moments_are_those_of_the_units(tmp_path):
    """Figures of arms come from the centred sums that `run` reads, values of units from the stage before."""
    exposures = [{"user": i, "arm": "ab"[i % 2], "at": "2026-09-02"} for i in range(40)]
    lines = [f"{i % 37},2026-09-03,{(i * 7919) % 1000 / 8 + 1e6},{i % 5},false" for i in range(100)]
    rows = "\n".join(["user_id, ordered_at, amount, discount, is_test", *lines])
    units = [{"user": i, "value": 0} for i in range(40)]
    metric = REVENUE | {"cap": {"upper": "p90"}}
    result = run(tmp_path, metric, {"orders": rows}, [], exposures=exposures, expect_units=units)
    for arm, figures in result.arms.items():
        values = [result.units[str(i)]["value"] for i in range(40) if "ab"[i % 2] == arm]
        assert figures["n"] == len(values)
        assert figures["sum"] == pytest.approx(sum(values), rel=1e-12)
        assert figures["sum_squares"] == pytest.approx(sum(v * v for v in values), rel=1e-12)
        assert figures["capped"] == sum(v == max(values) for v in values) > 0


def test_rows_that_the_engine_refuses_are_an_error_of_that_test(tmp_path):
    schema = '{"version": 1, "sources": {"orders": {"user_id": "TINYINT", "ordered_at": "TIMESTAMP", "is_test": "BOOLEAN", "amount": "BIGINT", "discount": "BIGINT", "product": "VARCHAR", "status": "VARCHAR"}}}'
    rows = "user_id, ordered_at\n300,2026-09-03\n"
    result = run(tmp_path, REVENUE, {"orders": rows}, [{"arm": "control", "sum": 0}], schema=schema)
    assert result.status == "error"
    assert "300" in result.message


def test_agreement_is_to_nine_digits_and_nothing_agrees_with_nothing_only():
    assert is_same(1 / 3, 0.333333333333)
    assert is_same(None, None)
    assert not is_same(0, None)
    assert not is_same(None, 0.0)
    assert not is_same(1, 1.00000001)


def test_the_catalogue_tests_a_metric_of_every_type():
    project = load_project(ROOT).project
    results = [run_test(project, name) for name in project.tests]
    assert [(r.test, r.status) for r in results] == [(name, "passed") for name in project.tests]
    assert {project.metrics[r.metric].type for r in results} == set(TYPES)


@pytest.mark.parametrize(
    ("old", "new", "failed"),
    [
        ("window: 1h                      # counted", "window: 2h # counted", {"a_click_within_the_hour_counts"}),
        ("denominator: {source: impressions, agg: count, filter: campaign = 'men'}", "denominator: {source: impressions, agg: count}",
         {"only_the_mens_campaign_counts"}),
        ("cap: {upper: 800}", "cap: {upper: 900}", {"high_counts_are_cut_at_800"}),
        ("at_least: 500", "more_than: 500", {"a_count_of_500_is_enough"}),
        ("type: retention                 # enough rows in a window that starts after exposure\n    source: measurements\n    window: 90w..100w",
         "type: retention\n    source: measurements\n    window: 1w..100w", {"the_measurement_of_week_20_is_no_return"}),
        ("filter: week = 96, within: 80w", "filter: week = 96, within: 70w", {"week_96_without_week_20_is_not_both"}),
        ("missing: exclude                # a patient", "missing: zero # a patient", {"the_median_leaves_out_who_was_not_measured"}),
    ],
)  # fmt: skip
def test_the_catalogue_s_tests_notice_a_changed_definition(tmp_path, old, new, failed):
    for path in (ROOT / "metrics").rglob("*.yml"):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text().replace(old, new))
    (tmp_path / "metrics" / ".schema.json").write_text((ROOT / "metrics" / ".schema.json").read_text())
    project = load_project(tmp_path).project
    assert {name for name in project.tests if run_test(project, name).status == "failed"} == failed
