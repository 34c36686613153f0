"""Checks the oracle against numbers worked out by hand: windows, sums and counts, exposure, covariates, moments."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest

from .expressions import EXPOSURE_FILTERS, EXPRESSIONS, SESSION_MEASURES, USER_FILTERS, evaluate
from .files import DUCKDB_TYPES
from .oracle import OutOfScopeError, analyse, parse_instant
from .small import (
    BUYERS,
    COUNT,
    DAY,
    EXPOSURE_COLUMNS,
    LATE,
    ORDER_COLUMNS,
    REVENUE,
    T0,
    US,
    USER_COLUMNS,
    order,
    seen,
    small,
    value,
)


# --- windows and maturity ---------------------------------------------------------------------------------------------
def test_a_window_is_closed_then_open() -> None:
    times = [T0 - US, T0, T0 + 7 * DAY - US, T0 + 7 * DAY, T0 + 14 * DAY - US, T0 + 14 * DAY]
    orders = [order("a", time, 2.0**i) for i, time in enumerate(times)]
    metrics = {
        "first_week": {**REVENUE, "window": "7d"},
        "second_week": {**REVENUE, "window": "7d..14d"},
        "early": {**REVENUE, "window": "12h"},
        "all": REVENUE,
    }
    result = analyse(small(metrics, [seen("a")], orders))
    assert [value(result, name, "a") for name in metrics] == [2 + 4, 8 + 16, 2, 2 + 4 + 8 + 16 + 32]


@pytest.mark.parametrize(("as_of", "expected"), [(LATE, 3), (datetime(2026, 3, 10), 1), (datetime(2026, 3, 29), 3)])
def test_the_experiment_window_ends_at_end_or_as_of(as_of: datetime, expected: float) -> None:
    end = datetime(2026, 3, 29)
    orders = [order("a", datetime(2026, 3, 10) - US), order("a", end - US, 2), order("a", end, 4)]
    assert value(analyse(small({"m": REVENUE}, [seen("a")], orders, as_of=as_of)), "m", "a") == expected


def test_a_duration_window_runs_past_end() -> None:
    late = datetime(2026, 3, 28)
    metrics = {"m": {**REVENUE, "window": "7d"}}
    result = analyse(small(metrics, [seen("a", at=late)], [order("a", late + 6 * DAY, 5)]))
    assert value(result, "m", "a") == 5


def test_maturity_waits_for_window_and_settling_to_the_microsecond() -> None:
    metrics = {
        "strict": {**COUNT, "window": "7d"},
        "include": {**COUNT, "window": "7d", "immature": "include"},
        "open": COUNT,
    }
    exposures = [seen("a"), seen("b", at=T0 + US)]
    case = small(metrics, exposures, as_of=T0 + 9 * DAY, sources={"orders": {"settles_after": "2d"}})
    result = analyse(case)
    assert {name: result.metrics[name]["control", False].n for name in metrics} == {
        "strict": 1,
        "include": 2,
        "open": 2,
    }
    by_default = small(
        {"strict": {**metrics["strict"], "immature": "exclude"}, "default": metrics["strict"]},
        exposures,
        as_of=T0 + 9 * DAY - US,
        defaults={"immature": "include"},
    )
    result = analyse(by_default)
    assert result.metrics["strict"]["control", False].n == 2  # no settles_after here
    assert (
        analyse(small({"m": {**metrics["strict"], "immature": "exclude"}}, exposures, as_of=T0 + 7 * DAY))
        .metrics["m"]["control", False]
        .n
        == 1
    )
    assert (
        analyse(small({"m": metrics["strict"]}, exposures, as_of=T0 + 7 * DAY, defaults={"immature": "include"}))
        .metrics["m"]["control", False]
        .n
        == 2
    )


def test_rows_count_before_as_of_and_once_loaded() -> None:
    as_of = T0 + 3 * DAY
    orders = [
        order("a", T0, 1, ingested_at=as_of - US),
        order("a", T0, 2, ingested_at=as_of),
        order("a", T0, 4, ingested_at=None),
        order("a", as_of, 8, ingested_at=T0),
        order("a", as_of - US, 16, ingested_at=T0),
    ]
    metrics = {"m": {**REVENUE, "window": "7d", "immature": "include"}}
    assert value(analyse(small(metrics, [seen("a")], orders, as_of=as_of)), "m", "a") == 1 + 2 + 4 + 16
    with_loading = {"orders": {"loaded_at": "ingested_at"}}
    assert value(analyse(small(metrics, [seen("a")], orders, as_of=as_of, sources=with_loading)), "m", "a") == 1 + 16


# --- values -----------------------------------------------------------------------------------------------------------
def test_nulls_are_not_counted() -> None:
    orders = [
        order(None, T0, 100),
        order("a", None, 100),
        order("a", T0, None, product="x"),
        order("a", T0, 3, discount=None, product=None),
        order("a", T0, 5, discount=1.0, product="x"),
        order("a", T0, -7, discount=0.5, product="X"),
    ]
    metrics = {
        "sum": REVENUE,
        "net": {**REVENUE, "measure": "net"},
        "count": COUNT,
        "distinct": {**REVENUE, "agg": "count_distinct", "measure": "product"},
        "min": {**REVENUE, "agg": "min", "missing": "zero"},
        "max": {**REVENUE, "agg": "max", "missing": "zero"},
        "any": BUYERS,
    }
    result = analyse(small(metrics, [seen("a"), seen("b")], orders))
    assert [value(result, name, "a") for name in metrics] == [1, 4 - 7.5, 4, 2, -7, 5, 1]
    assert [value(result, name, "b") for name in metrics] == [0] * 7


def test_all_null_measures_are_zero_but_count_as_rows() -> None:
    metrics = {"min": {**REVENUE, "agg": "min", "missing": "zero"}, "count": COUNT, "any": BUYERS}
    result = analyse(small(metrics, [seen("a")], [order("a", T0, None)]))
    assert [value(result, name, "a") for name in metrics] == [0, 1, 1]


def test_filters_follow_three_valued_logic() -> None:
    orders = [order("a", T0, 2.0**i, status=status) for i, status in enumerate(["paid", "open", "refunded", None])]

    def total(condition: Any) -> float:
        return value(analyse(small({"m": {**REVENUE, "filter": condition}}, [seen("a")], orders)), "m", "a")

    assert total("status = 'paid'") == 1
    assert total("status <> 'paid'") == total("not (status = 'paid')") == 6
    assert total("status in ('paid', 'open')") == 3
    assert total("status not in ('paid', 'open')") == 4
    assert total("status is null") == 8
    assert total("amount > 10 or status = 'paid'") == 1  # 8 isn't above 10


def test_filters_of_source_and_metric_are_anded_whole() -> None:
    orders = [
        order("a", T0, 16, status="open", is_test=True),
        order("a", T0, 1, status="paid", is_test=False),
        order("a", T0, 2, status="paid", is_test=None),
        order("a", T0, 32, status="open", is_test=False),
    ]
    both = ["amount > 10 or status = 'paid'", "not is_test"]
    listed = {"m": {**REVENUE, "filter": both}}
    assert value(analyse(small(listed, [seen("a")], orders)), "m", "a") == 33
    split = {"m": {**REVENUE, "filter": both[0]}}
    case = small(split, [seen("a")], orders, sources={"orders": {"filter": "not is_test"}})
    assert value(analyse(case), "m", "a") == 33


def test_a_cap_clips_and_counts_what_it_changed() -> None:
    orders = [order("a", T0, 11), order("b", T0, 10), order("c", T0, -5), order("a", T0 - DAY, 99)]
    metrics = {"m": {**REVENUE, "cap": {"lower": 0.5, "upper": 10}, "covariates": {"lookback": "7d"}}}
    exposures = [seen(unit) for unit in "abcd"]
    block = analyse(small(metrics, exposures, orders)).metrics["m"]["control", False]
    assert block.columns == ["y", "y@pre"]
    assert block.mean.tolist() == [(10 + 10 + 0.5 + 0.5) / 4, (10 + 0.5 + 0.5 + 0.5) / 4]
    assert block.capped.tolist() == [3, 4]  # c and the absent d rise to 0.5; b sits exactly on the bound
    assert block.max_abs.tolist() == [10, 10]


# --- ratios -----------------------------------------------------------------------------------------------------------
def test_ratio_parts_keep_filter_window_and_cap_unless_the_ratio_has_a_window() -> None:
    orders = [order("a", T0, 50, status="paid"), order("a", T0 + 2 * DAY, 70, status="open")]
    metrics: dict[str, Any] = {
        "revenue": {**REVENUE, "window": "1d", "cap": {"upper": 40}},
        "ratio": {
            "type": "ratio",
            "numerator": "revenue",
            "denominator": {"source": "orders", "agg": "count"},
        },
        "wide": {
            "type": "ratio",
            "window": "3d",
            "numerator": {"source": "orders", "agg": "sum", "measure": "amount", "filter": "status <> 'paid'"},
            "denominator": "revenue",
        },
        "rate": {"type": "ratio", "numerator": "buyers", "denominator": "revenue"},
        "buyers": {**BUYERS, "filter": "status <> 'paid'"},
    }
    result = analyse(small(metrics, [seen("a"), seen("b")], orders))
    assert (value(result, "ratio", "a", "y"), value(result, "ratio", "a", "d")) == (40, 2)
    assert (value(result, "wide", "a", "y"), value(result, "wide", "a", "d")) == (70, 40)
    assert (value(result, "rate", "a", "y"), value(result, "rate", "a", "d")) == (1, 40)
    block = result.metrics["ratio"]["control", False]
    assert (block.n, block.columns) == (2, ["y", "d"])  # b stays, with denominator 0
    assert block.comoment.tolist() == [[800, 40], [40, 2]]


def test_a_ratio_is_mature_with_the_longest_window_and_settling() -> None:
    ratio = {
        "type": "ratio",
        "numerator": {"source": "returns", "agg": "count"},
        "denominator": "orders_week",
    }
    metrics: dict[str, Any] = {"orders_week": {**COUNT, "window": "7d"}, "ratio": ratio}

    def eligible(as_of: datetime) -> int:
        return analyse(small(metrics, [seen("a")], as_of=as_of)).metrics["ratio"]["control", False].n

    assert eligible(T0 + 10 * DAY) == 1  # 7d of the denominator and 3d of the numerator's source
    assert eligible(T0 + 10 * DAY - US) == 0


# --- exposure ---------------------------------------------------------------------------------------------------------
def test_excluded_rows_have_one_reason_each() -> None:
    as_of = datetime(2026, 3, 20)
    start, end = datetime(2026, 3, 1), datetime(2026, 3, 29)
    exposures = [
        seen(None, None, None),
        seen("a", None, None),
        seen("b", "ghost", start - US),
        seen("c", None, end),
        seen("d", None, end - US),
        seen("e", "control", as_of),
        seen("f", None),
        seen("g", "Control"),
        seen("h", "control", start),
        seen("i", "treatment", as_of - US),
        {**seen("j"), "experiment_key": "other"},
        {**seen("k"), "experiment_key": None},
    ]
    result = analyse(small({"m": COUNT}, exposures, as_of=as_of))
    assert {reason: count for reason, count in result.excluded.items() if count} == {
        "null_unit": 1,
        "null_time": 1,
        "before_start": 1,
        "on_or_after_end": 1,
        "after_as_of": 2,
        "unknown_arm": 2,
    }
    assert result.assigned == {"control": 1, "treatment": 1}


def test_mixed_units_go_by_first_arm_and_are_kept_apart() -> None:
    exposures = [
        seen("a", "treatment", T0 + DAY),
        seen("a", "control", T0),
        seen("b", "control", T0),
        seen("b", "ghost", T0 + DAY),
        seen("b", None, T0 + DAY),
        seen("c", "treatment", T0),
        seen("d", "treatment", T0),
        seen("d", "control", datetime(2026, 3, 29)),
    ]
    result = analyse(small({"m": REVENUE}, exposures, [order("a", T0, 3), order("b", T0, 5)]))
    assert result.assigned == {"control": 2, "treatment": 2}
    assert result.mixed == {"control": 1, "treatment": 0}
    assert result.analysed == {"control": 1, "treatment": 2}
    assert result.metrics["m"]["control", False].mean.tolist() == [5]
    assert result.metrics["m"]["control", True].mean.tolist() == [3]
    assert result.metrics["m"]["treatment", True].n == 0


def test_the_exposure_filter_and_as_of_come_before_mixing() -> None:
    exposures = [seen("a", "control", T0, platform="web"), seen("a", "treatment", T0 + DAY, platform=None)]
    filtered = small({"m": COUNT}, exposures, exposure={"source": "assignments", "filter": "platform = 'web'"})
    assert analyse(filtered).mixed == {"control": 0, "treatment": 0}
    assert analyse(small({"m": COUNT}, exposures, as_of=T0 + DAY)).mixed == {"control": 0, "treatment": 0}
    assert analyse(small({"m": COUNT}, exposures, as_of=T0 + DAY + US)).mixed == {"control": 1, "treatment": 0}


def test_a_tie_between_arms_takes_the_smallest_key_not_the_smallest_name() -> None:
    arms = {"control": {"key": "b"}, "treatment": {"key": "B"}}
    exposures = [seen("a", "b", T0), seen("a", "B", T0), seen("c", "b", T0)]
    result = analyse(small({"m": COUNT}, exposures, arms=arms))
    assert (result.assigned, result.mixed) == ({"control": 1, "treatment": 1}, {"control": 0, "treatment": 1})


def test_ties_take_each_columns_smallest_stated_value() -> None:
    exposures = [
        seen("a", "control", T0, platform=None, score=3),
        seen("a", "control", T0, platform="web", score=None),
        seen("a", "control", T0, platform="zen", score=2),
        seen("a", "control", T0 + US, platform="app", score=0),
        seen("b", "treatment", T0, platform="app", score=0),
        seen("b", "control", T0, platform="web", score=None),
        seen("c", "control", T0, platform="app", is_bot=True),
    ]
    segments = {"seen": {"source": "assignments", "filter": "platform = 'web'"}}
    result = analyse(small({"m": COUNT}, exposures, segments=segments, population=["seen"]))
    assert (result.units["a"].at_exposure["platform"], result.units["a"].at_exposure["score"]) == ("web", 2)
    assert result.units["b"].at_exposure["platform"] == "web"  # of the rows with the smallest arm key
    assert result.analysed == {"control": 1, "treatment": 0}
    assert result.mixed == {"control": 1, "treatment": 0}
    assert result.excluded["outside_population"] == 1
    assert result.metrics["m"]["control", True].n == 1


def test_population_by_attributes_needs_a_row_that_says_yes() -> None:
    users: list[dict[str, Any]] = [
        {"id": "a", "is_employee": False, "age": None},
        {"id": "b", "is_employee": True},
        {"id": "c", "is_employee": None, "age": 40},
        {"id": None, "is_employee": False},
    ]
    exposures = [seen(unit) for unit in "abcd"]
    segments = {
        "external": {"source": "users", "filter": "not is_employee"},
        "unaged": {"source": "users", "filter": "age is null"},
    }

    def inside(population: list[str]) -> list[Any]:
        result = analyse(small({"m": COUNT}, exposures, users=users, segments=segments, population=population))
        return [unit for unit, record in result.units.items() if record.in_population]

    assert inside(["external"]) == ["a"]
    assert inside(["unaged"]) == ["a", "b"]  # d has no row, so is in no segment of users
    assert inside([]) == ["a", "b", "c", "d"]


def test_loaded_at_on_exposures() -> None:
    exposures = [
        seen("a", "control", T0, ingested_at=T0),
        seen("a", "treatment", T0 + DAY, ingested_at=LATE),
        seen("b", "control", T0, ingested_at=None),
    ]
    result = analyse(small({"m": COUNT}, exposures, sources={"assignments": {"loaded_at": "ingested_at"}}))
    assert (result.assigned["control"], result.mixed["control"], result.excluded["not_loaded"]) == (1, 0, 2)


# --- covariates -------------------------------------------------------------------------------------------------------
def test_the_covariate_covers_the_lookback_before_first_exposure() -> None:
    times = [T0 - 14 * DAY - US, T0 - 14 * DAY, T0 - US, T0, T0 + DAY]
    orders = [order("a", time, 2.0**i) for i, time in enumerate(times)]
    setting = {"covariates": {"lookback": "14d"}}
    metrics = {"m": REVENUE, "p": BUYERS, "r": {"type": "ratio", "numerator": "m", "denominator": "n"}, "n": COUNT}
    result = analyse(small(metrics, [seen("a"), seen("b")], orders, analysis=setting))
    assert (value(result, "m", "a"), value(result, "m", "a", "y@pre")) == (8 + 16, 2 + 4)
    assert (value(result, "p", "a", "y@pre"), value(result, "p", "b", "y@pre")) == (1, 0)
    assert result.metrics["r"]["control", False].columns == ["y", "d", "y@pre", "d@pre"]
    assert (value(result, "r", "a", "y@pre"), value(result, "r", "a", "d@pre")) == (6, 2)


def test_the_covariate_ignores_window_and_maturity_but_not_filters_and_loading() -> None:
    orders = [
        order("a", T0 - DAY, 1, status="paid", ingested_at=T0),
        order("a", T0 - DAY, 2, status="open", ingested_at=T0),
        order("a", T0 - DAY, 4, status="paid", ingested_at=LATE),
    ]
    metrics = {"m": {**REVENUE, "filter": "status = 'paid'", "window": "7d..14d", "covariates": {"lookback": "2d"}}}
    case = small(metrics, [seen("a")], orders, sources={"orders": {"loaded_at": "ingested_at"}})
    assert value(analyse(case), "m", "a", "y@pre") == 1


def test_metric_beats_experiment_beats_project() -> None:
    orders = [order("a", T0 - timedelta(hours=6), 1), order("a", T0 - 5 * DAY, 2), order("a", T0 - 10 * DAY, 4)]
    metrics = {
        "own": {**REVENUE, "covariates": {"lookback": "12h"}},
        "off": {**REVENUE, "covariates": "off"},
        "inherits": REVENUE,
    }
    defaults = {"covariates": {"lookback": "14d"}}
    result = analyse(small(metrics, [seen("a")], orders, defaults=defaults))
    assert [result.values[name]["a"].get("y@pre") for name in metrics] == [1, None, 7]
    analysis = {"covariates": {"lookback": "7d"}}
    result = analyse(small(metrics, [seen("a")], orders, defaults=defaults, analysis=analysis))
    assert [result.values[name]["a"].get("y@pre") for name in metrics] == [1, None, 3]
    result = analyse(small(metrics, [seen("a")], orders, defaults=defaults, analysis={"covariates": "off"}))
    assert [result.values[name]["a"].get("y@pre") for name in metrics] == [1, None, None]


def test_extra_covariates() -> None:
    orders = [order("a", T0 - DAY, 30), order("a", T0 - 2 * DAY, 8), order("b", T0 - DAY, None)]
    users: list[dict[str, Any]] = [{"id": "a", "age": 40}, {"id": "b", "age": None}]
    metrics = {
        "m": {**COUNT, "covariates": {"lookback": "7d", "extra": ["revenue", "users.age", "m"]}},
        "revenue": {**REVENUE, "window": "1d", "cap": {"upper": 20}},
        "only": {**COUNT, "covariates": {"lookback": "0d", "extra": ["users.age"]}},
    }
    exposures = [seen(unit) for unit in "abc"]
    result = analyse(small(metrics, exposures, orders, users))
    block = result.metrics["m"]["control", False]
    assert block.columns == ["y", "y@pre", "revenue@pre", "users.age", "users.age@missing"]
    assert [[float(v) for v in result.values["m"][unit].values()] for unit in "abc"] == [
        [0, 2, 20, 40, 0],
        [0, 1, 0, 0, 1],
        [0, 0, 0, 0, 1],
    ]
    assert block.capped.tolist() == [0, 0, 1, 0, 0]
    assert block.nonzero.tolist() == [0, 2, 1, 1, 2]
    assert result.metrics["only"]["control", False].columns == ["y", "users.age", "users.age@missing"]


def test_a_dimension_of_the_exposures_as_covariate() -> None:
    metrics = {"m": {**COUNT, "covariates": {"lookback": "0d", "extra": ["assignments.score"]}}}
    result = analyse(small(metrics, [seen("a", score=4), seen("a", at=T0 + US, score=1), seen("b")]))
    assert result.metrics["m"]["control", False].comoment[1].tolist() == [0, 8, -2]


# --- moments ----------------------------------------------------------------------------------------------------------
def test_moments_by_hand_and_at_an_offset() -> None:
    units = "abcd"
    for offset in (0.0, 1e9):
        amounts = [offset + 1, offset + 2, offset + 4, offset + 9.015625]
        orders = [order(unit, T0, amount) for unit, amount in zip(units, amounts, strict=True)]
        block = analyse(small({"m": REVENUE}, [seen(unit) for unit in units], orders)).metrics["m"]["control", False]
        mean = 4.00390625
        deviations = [1 - mean, 2 - mean, 4 - mean, 9.015625 - mean]
        assert block.n == 4
        assert block.mean.tolist() == [offset + mean]
        assert block.comoment.tolist() == [[sum(d * d for d in deviations)]]
        assert block.third.tolist() == [sum(d**3 for d in deviations)]
        assert block.max_abs.tolist() == [offset + 9.015625]
        assert (block.nonzero.tolist(), block.capped.tolist()) == ([4], [0])


def test_an_empty_block_is_all_zero() -> None:
    result = analyse(small({"m": REVENUE}, [seen("a")], analysis={"covariates": {"lookback": "7d"}}))
    block = result.metrics["m"]["treatment", False]
    assert (block.n, block.mean.tolist(), block.comoment.shape) == (0, [0, 0], (2, 2))
    assert set(result.metrics["m"]) == set(itertools.product(["control", "treatment"], [False, True]))


# --- definitions ------------------------------------------------------------------------------------------------------
def test_dates_are_midnights_of_the_project_and_stamps_are_utc() -> None:
    assert parse_instant("2026-03-01", "America/New_York") == datetime(2026, 3, 1, 5)
    assert parse_instant("2026-03-01T02:00:00+02:00", "America/New_York") == datetime(2026, 3, 1)
    assert parse_instant("2026-03-01T00:00:00Z", "UTC") == parse_instant("2026-03-01T00:00:00", "UTC")


def test_metrics_come_from_roles_and_sets() -> None:
    case = small({"a": COUNT, "b": COUNT, "c": COUNT}, [])
    case.definitions["metrics.yml"]["metric_sets"] = {"s": {"guardrail": {"a": {"margin": "1%"}}}}
    experiment = case.definitions["experiment.yml"]["experiments"]["checkout"]
    experiment["metrics"] = {"primary": {"b": None}, "sets": ["s"]}
    assert list(analyse(case).metrics) == ["b", "a"]


@pytest.mark.parametrize(
    "metric",
    [
        {**BUYERS, "cap": {"upper": 1}},
        {**REVENUE, "agg": "min"},
        {**REVENUE, "per": "day"},
        {**REVENUE, "agg": "mean"},
        {**REVENUE, "type": "threshold"},
        {**REVENUE, "type": "threshold", "at_least": 1, "at_most": 2},
        {**REVENUE, "cap": {"upper": "99%"}},
        {"type": "retention", "source": "orders", "window": "7d"},
        {"type": "quantile", "source": "orders", "agg": "sum", "measure": "amount", "quantile": "p50"},
        {"type": "ratio", "numerator": {**REVENUE, "missing": "exclude"}, "denominator": COUNT},
        {"type": "funnel", "order": "any", "steps": [{"name": "a", "source": "orders", "within": "1h"}]},
        {**REVENUE, "surprise": 1},
    ],
)
def test_what_is_out_of_scope_is_refused(metric: dict[str, Any]) -> None:
    with pytest.raises(OutOfScopeError):
        analyse(small({"m": metric}, [seen("a")]))


# --- the menu against a database --------------------------------------------------------------------------------------
def test_the_menu_means_what_sql_means() -> None:
    duckdb = pytest.importorskip("duckdb")
    groups: list[tuple[dict[str, str], list[dict[str, Any]], list[str]]] = []
    orders: dict[str, list[Any]] = {
        "amount": [None, 0.0, 10.0, 10.015625, -4.0],
        "discount": [None, 0.5],
        "qty": [None, 0, 1],
        "status": [None, "paid", "open", "Paid", ""],
        "is_test": [None, True, False],
    }
    sessions: dict[str, list[Any]] = {"pages": [None, 1, 2], "duration": [None, 60.5], "device": [None, "ios", "iOS"]}
    exposures: dict[str, list[Any]] = {
        "platform": [None, "web", "ios"],
        "is_bot": [None, True, False],
        "score": [None, 1, 2],
    }
    people: dict[str, list[Any]] = {
        "age": [None, 29, 30],
        "tier": [None, "gold", "basic"],
        "is_employee": [None, True, False],
    }
    kinds = {
        **ORDER_COLUMNS,
        **EXPOSURE_COLUMNS,
        **USER_COLUMNS,
        "pages": "integer",
        "duration": "double",
        "device": "text",
    }
    elsewhere = {*EXPOSURE_FILTERS, *USER_FILTERS, *SESSION_MEASURES}
    checked = set()
    for grid in (orders, sessions, exposures, people):
        rows = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
        menu = []
        for sql, expression in EXPRESSIONS.items():
            try:
                for row in rows:
                    expression(row)
            except KeyError:
                continue
            menu.append(sql)
        groups.append(({column: kinds[column] for column in grid}, rows, menu))
    for columns, rows, menu in groups:
        connection = duckdb.connect()
        declared = ", ".join(f"{column} {DUCKDB_TYPES[kind]}" for column, kind in columns.items())
        connection.execute(f"CREATE TABLE t (id INTEGER, {declared})")
        connection.executemany(
            f"INSERT INTO t VALUES ({', '.join('?' * (len(columns) + 1))})",
            [[i, *row.values()] for i, row in enumerate(rows)],
        )
        answers = connection.execute(f"SELECT {', '.join(menu)} FROM t ORDER BY id").fetchall()
        for row, answer in zip(rows, answers, strict=True):
            assert [evaluate(sql, row) for sql in menu] == list(answer), row
        checked |= set(menu)
    assert set(EXPRESSIONS) - checked == {"product"}
    assert elsewhere <= checked
