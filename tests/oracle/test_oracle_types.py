"""Checks every metric type and option against numbers worked out by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from .oracle import Result, analyse, moments_of, quantile_of
from .results import type7
from .small import COUNT, DAY, LATE, REVENUE, T0, US, order, seen, session, small, value

HOUR = timedelta(hours=1)
VISITS = {"type": "mean", "source": "sessions", "agg": "count"}
DAYS = {"type": "mean", "source": "sessions", "agg": "active_days"}


def row(result: Result, metric: str, unit: str) -> list[float]:
    return [float(found) for found in result.values[metric][unit].values()]


# --- aggregates -------------------------------------------------------------------------------------------------------
def test_first_and_last_skip_nulls_and_take_the_smallest_at_a_tie() -> None:
    orders = [
        order("a", T0, None),
        order("a", T0 + HOUR, 5),
        order("a", T0 + HOUR, 3),
        order("a", T0 + 2 * DAY, 9),
        order("a", T0 + 2 * DAY, 7),
        order("a", T0 + 3 * DAY, None),
        order("a", T0 + 2 * HOUR, 100),
    ]
    metrics = {agg: {**REVENUE, "agg": agg, "missing": "zero"} for agg in ("first", "last")}
    result = analyse(small(metrics, [seen("a"), seen("b")], orders))
    assert [value(result, agg, "a") for agg in metrics] == [3, 7]
    assert [value(result, agg, "b") for agg in metrics] == [0, 0]


def test_active_days_are_those_of_the_projects_clock() -> None:
    # New York moves from UTC-5 to UTC-4 on 8 March 2026 at 2:00; that day begins at 5:00 UTC and ends at 4:00 UTC.
    times = [datetime(2026, 3, 8, 5) - US, datetime(2026, 3, 8, 5), datetime(2026, 3, 9, 4) - US]
    sessions = [session("a", time) for time in times]
    sessions += [session("b", time) for time in times[1:]]
    sessions += [session("c", datetime(2026, 3, 9, 4) - US), session("c", datetime(2026, 3, 9, 4))]
    exposures = [seen(unit) for unit in "abc"]
    for zone, expected in (("UTC", [2, 2, 1]), ("America/New_York", [2, 1, 2])):
        result = analyse(small({"m": DAYS}, exposures, sessions=sessions, defaults={"timezone": zone}))
        assert [value(result, "m", unit) for unit in "abc"] == expected


@pytest.mark.parametrize(
    ("window", "as_of", "days"),
    [
        ("7d", LATE, 8),  # noon of 2 March to noon of 9 March
        ("12h..36h", LATE, 1),  # midnight to midnight
        ("12h..37h", LATE, 2),
        ("7d", datetime(2026, 3, 5), 3),
        ("7d", datetime(2026, 3, 5) + US, 4),
        ("7d..14d", datetime(2026, 3, 5), 0),
        ("experiment", datetime(2026, 3, 5), 3),
        ("experiment", LATE, 27),  # 2 to 28 March
        ("last 36h", LATE, 2),  # 27 March at noon to 29 March at 0:00
        ("last 36h", datetime(2026, 3, 3), 1),
        ("last 7d", datetime(2026, 3, 5), 3),
    ],
)
def test_observed_days_end_with_the_window_or_as_of(window: str, as_of: datetime, days: int) -> None:
    metric = {**DAYS, "per": "day", "window": window, "immature": "include"}
    sessions = [session("a", datetime(2026, 3, 2, 13)), session("a", datetime(2026, 3, 2, 14))]
    result = analyse(small({"m": metric}, [seen("a")], sessions=sessions, as_of=as_of))
    assert value(result, "m", "a", "d") == days
    starts_late = window in ("12h..36h", "12h..37h", "7d..14d") or (window == "last 36h" and as_of == LATE)
    assert value(result, "m", "a") == (0 if starts_late else 1)


def test_a_short_local_day_counts_as_one() -> None:
    metric = {**DAYS, "per": "day", "window": "1d"}
    begin = datetime(2026, 3, 8, 5)  # midnight in New York, before a day of 23 hours
    case = small({"m": metric}, [seen("a", at=begin)], defaults={"timezone": "America/New_York"})
    assert value(analyse(case), "m", "a", "d") == 2
    assert value(analyse(small({"m": metric}, [seen("a", at=datetime(2026, 3, 8))])), "m", "a", "d") == 1


def test_the_last_days_never_wait() -> None:
    metric = {**REVENUE, "window": "last 2d"}
    as_of = datetime(2026, 3, 20)
    orders = [order("a", as_of - 2 * DAY - US, 1), order("a", as_of - 2 * DAY, 2), order("a", as_of - US, 4)]
    orders += [order("b", as_of - DAY - US, 8), order("b", as_of - DAY, 16)]
    result = analyse(small({"m": metric}, [seen("a"), seen("b", at=as_of - DAY)], orders, as_of=as_of))
    assert [value(result, "m", unit) for unit in "ab"] == [6, 16]


# --- missing: exclude -------------------------------------------------------------------------------------------------
def test_missing_exclude_is_a_value_and_a_response() -> None:
    orders = [order("a", T0, 30), order("c", T0, None), order("d", T0, 1), order("b", T0 - DAY, 7)]
    metric = {**REVENUE, "missing": "exclude", "cap": {"lower": 5, "upper": 20}, "covariates": {"lookback": "7d"}}
    metrics = {"m": metric, "count": {**COUNT, "missing": "exclude"}}
    result = analyse(small(metrics, [seen(unit) for unit in "abcd"], orders))
    assert result.metrics["m"]["control", False].columns == ["y", "r", "y@pre"]
    assert [row(result, "m", unit) for unit in "abcd"] == [[20, 1, 0], [0, 0, 7], [0, 0, 0], [5, 1, 0]]
    assert result.metrics["m"]["control", False].capped.tolist() == [2, 0, 0]
    assert [row(result, "count", unit) for unit in "abc"] == [[1, 1], [0, 0], [1, 1]]


# --- thresholds -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("limit", "expected"),
    [("at_least", [1, 0, 1]), ("more_than", [0, 0, 1]), ("at_most", [1, 1, 0]), ("less_than", [0, 1, 0])],
)
def test_a_threshold_compares_the_filled_value(limit: str, expected: list[int]) -> None:
    orders = [order("a", T0, 10), order("c", T0, 10), order("c", T0, 0.015625)]
    metrics = {"m": {**REVENUE, "type": "threshold", limit: 10}}
    metrics["r"] = {**metrics["m"], "missing": "exclude"}
    result = analyse(small(metrics, [seen(unit) for unit in "abc"], orders))
    assert [value(result, "m", unit) for unit in "abc"] == expected
    assert [row(result, "r", unit) for unit in "abc"] == [[expected[0], 1], [0, 0], [expected[2], 1]]


def test_a_threshold_compares_the_capped_value() -> None:
    orders = [order("a", T0, 10)]
    base = {**REVENUE, "type": "threshold"}
    metrics = {
        "upper": {**base, "at_least": 10, "cap": {"upper": 9}},
        "lower": {**base, "at_least": 3, "cap": {"lower": 3}},
    }
    result = analyse(small(metrics, [seen("a"), seen("b")], orders))
    assert [row(result, "upper", unit) for unit in "ab"] == [[0], [0]]
    assert [row(result, "lower", unit) for unit in "ab"] == [[1], [1]]
    assert result.metrics["upper"]["control", False].capped.tolist() == [1]


# --- retention --------------------------------------------------------------------------------------------------------
def test_retention_counts_rows_and_never_takes_immature_units() -> None:
    times = [T0 + 7 * DAY, T0 + 14 * DAY - US]
    sessions = [session("a", time) for time in times] + [session("b", times[0]), session("b", T0 + 14 * DAY)]
    sessions += [session("c", T0), session("c", T0 + 7 * DAY - US)]
    base: dict[str, Any] = {"type": "retention", "source": "sessions", "window": "7d..14d"}
    metrics = {"one": base, "two": {**base, "min_rows": 2}, "filtered": {**base, "filter": "pages > 1"}}
    exposures = [seen(unit) for unit in "abc"] + [seen("late", at=datetime(2026, 3, 20))]
    as_of = datetime(2026, 4, 1)
    result = analyse(small(metrics, exposures, sessions=sessions, defaults={"immature": "include"}, as_of=as_of))
    assert {name: [value(result, name, unit) for unit in "abc"] for name in metrics} == {
        "one": [1, 1, 0],
        "two": [1, 0, 0],
        "filtered": [0, 0, 0],
    }
    assert "late" not in result.values["one"]


# --- ratios -----------------------------------------------------------------------------------------------------------
def test_a_ratio_of_a_threshold_and_active_days_over_two_sources() -> None:
    metrics: dict[str, Any] = {
        "big": {**REVENUE, "type": "threshold", "at_least": 10, "window": "1d"},
        "r": {"type": "ratio", "numerator": "big", "denominator": {"source": "sessions", "agg": "active_days"}},
    }
    orders = [order("a", T0, 12), order("b", T0, 3), order("b", T0 + DAY, 9)]
    sessions = [session("a", T0), session("a", T0 + HOUR), session("a", T0 + DAY), session("b", T0)]
    setting = {"covariates": {"lookback": "7d"}}
    result = analyse(small(metrics, [seen("a"), seen("b")], orders, sessions=sessions, analysis=setting))
    assert [row(result, "r", unit) for unit in "ab"] == [[1, 2, 0, 0], [0, 1, 0, 0]]
    assert result.metrics["r"]["control", False].columns == ["y", "d", "y@pre", "d@pre"]


# --- funnels ----------------------------------------------------------------------------------------------------------
def funnel(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    names = ("cart", "pay", "done")
    return {"type": "funnel", "steps": [{"name": names[i], **step} for i, step in enumerate(steps)], **more}


OPEN = {"source": "orders", "filter": "status <> 'paid'"}
PAID = {"source": "orders", "filter": "status = 'paid'"}


def bought(unit: str, *events: tuple[float, str]) -> list[dict[str, Any]]:
    return [order(unit, T0 + hours * HOUR, 1, status=status) for hours, status in events]


def test_a_funnel_asks_for_a_chain_not_for_the_first_rows() -> None:
    metrics = {"f": funnel(OPEN, {**PAID, "within": "2h"}), "loose": funnel(OPEN, PAID)}
    orders = [
        *bought("late_start", (0, "open"), (3, "open"), (4, "paid")),
        *bought("edge", (0, "open"), (2, "paid")),
        *bought("inside", (0, "open"), (1.99, "paid")),
        *bought("backwards", (1, "open"), (0.5, "paid")),
        *bought("same_time", (1, "open"), (1, "paid")),
        *bought("no_start", (1, "paid")),
    ]
    units = ["late_start", "edge", "inside", "backwards", "same_time", "no_start"]
    result = analyse(small(metrics, [seen(unit) for unit in units], orders))
    assert result.metrics["f"]["control", False].columns == ["cart", "pay"]
    assert [row(result, "f", unit) for unit in units] == [[1, 1], [1, 0], [1, 1], [1, 0], [1, 1], [0, 0]]
    assert [row(result, "loose", unit)[1] for unit in units] == [1, 1, 1, 0, 1, 0]


def test_a_later_step_depends_on_the_chain_that_reaches_the_one_before() -> None:
    steps = (OPEN, {**PAID, "within": "2h"}, {"source": "sessions", "within": "2h"})
    orders = bought("a", (0, "open"), (1, "paid"), (9, "paid")) + bought("b", (0, "open"), (1, "paid"), (9, "paid"))
    sessions = [session("a", T0 + 10 * HOUR), session("b", T0 + 3 * HOUR - US)]
    result = analyse(small({"f": funnel(*steps)}, [seen("a"), seen("b")], orders, sessions=sessions))
    assert row(result, "f", "a") == [1, 1, 0]  # the row at 10 h follows only a payment that nothing led to
    assert row(result, "f", "b") == [1, 1, 1]


def test_the_first_step_counts_from_the_anchor_and_one_row_serves_two_steps() -> None:
    metrics = {"f": funnel({**PAID, "within": "1h"}, {"source": "orders"}), "any": funnel(PAID, OPEN, order="any")}
    orders = [*bought("a", (0, "paid")), *bought("b", (1, "paid")), *bought("c", (2, "paid"), (1, "open"))]
    result = analyse(small(metrics, [seen(unit) for unit in "abc"], orders))
    assert [row(result, "f", unit) for unit in "abc"] == [[1, 1], [0, 0], [0, 0]]
    assert [row(result, "any", unit) for unit in "abc"] == [[1, 0], [1, 0], [1, 1]]


def test_any_order_still_needs_the_steps_before() -> None:
    result = analyse(small({"f": funnel(PAID, OPEN, order="any")}, [seen("a")], bought("a", (1, "open"))))
    assert row(result, "f", "a") == [0, 0]


def test_a_funnel_waits_for_the_source_that_settles_last_and_has_one_covariate() -> None:
    metric = funnel({"source": "orders"}, {"source": "returns"}, window="7d", covariates={"lookback": "2d"})
    orders = [order("a", T0 - DAY), order("a", T0 + DAY)]
    result = analyse(small({"f": metric}, [seen("a")], orders, as_of=T0 + 10 * DAY))
    assert row(result, "f", "a") == [1, 1, 1]
    assert result.metrics["f"]["control", False].columns == ["cart", "pay", "y@pre"]
    assert not analyse(small({"f": metric}, [seen("a")], orders, as_of=T0 + 10 * DAY - US)).values["f"]


# --- quantiles --------------------------------------------------------------------------------------------------------
def test_a_quantile_of_units() -> None:
    metric = {**REVENUE, "type": "quantile", "quantile": "p75", "missing": "zero"}
    metrics = {"m": metric, "stated": {**metric, "missing": "exclude"}}
    orders = [order("b", T0, 1), order("c", T0, 2), order("d", T0, 4), order("t", T0, 100)]
    exposures = [seen(unit) for unit in "abcd"] + [seen("t", "treatment")]
    result = analyse(small(metrics, exposures, orders, analysis={"covariates": {"lookback": "7d"}}))
    found = result.quantiles["m"]["control", False]
    # ranks 0..3: 0.75 x 3 = 2.25; bounds at 0.75 -+ 1.96 sqrt(0.75 x 0.25 / 4) = 0.75 -+ 0.424352, at most 1
    assert (found.n, found.n_rows, found.estimate, found.upper) == (4, None, Fraction(5, 2), 4)
    assert found.lower is not None and float(found.lower) == pytest.approx((0.75 - 0.424352) * 3, abs=1e-5)
    stated = result.quantiles["stated"]["control", False]
    assert (stated.n, stated.estimate) == (3, 3)  # of 1, 2, 4
    assert result.metrics["m"]["control", False].columns == ["y"]
    assert row(result, "stated", "a") == [0, 0]
    assert quantile_of(result, "m", ["a", "b"]).estimate == Fraction(3, 4)
    assert quantile_of(result, "m", []).estimate is None


def test_a_quantile_of_events_pools_the_rows_and_keeps_counts_by_unit() -> None:
    metric = {"type": "quantile", "source": "orders", "measure": "amount", "quantile": "p50", "of": "events"}
    orders = [order("a", T0, amount) for amount in (1, 2, 3, None)] + [
        order("b", T0, 10),
        order("x", T0, 5),
        order("x", T0, 5),
    ]
    exposures = [seen("a"), seen("b"), seen("c"), seen("x"), seen("x", "treatment", T0 + US)]
    result = analyse(small({"m": metric}, exposures, orders))
    found = result.quantiles["m"]["control", False]
    assert (found.n, found.n_rows, found.estimate) == (3, 4, Fraction(5, 2))
    assert [row(result, "m", unit) for unit in "abcx"] == [[2, 3], [0, 1], [0, 0], [0, 2]]
    with_mixed = result.quantiles["m"]["control", True]
    assert (with_mixed.n, with_mixed.n_rows, with_mixed.estimate) == (4, 6, 4)  # of 1, 2, 3, 5, 5, 10
    assert result.metrics["m"]["control", False].mean.tolist() == [pytest.approx(2 / 3), pytest.approx(4 / 3)]
    assert result.quantiles["m"]["treatment", False].estimate is None


# --- percentile caps --------------------------------------------------------------------------------------------------
def capped(cap: dict[str, Any], amounts: list[float], **more: Any) -> Result:
    """Units u0, u1, ... with these amounts, alternating arms, and a mixed unit with 1,000."""
    exposures = [seen(f"u{i}", ("control", "treatment")[i % 2]) for i in range(len(amounts))]
    exposures += [seen("x"), seen("x", "treatment", T0 + US)]
    orders = [order(f"u{i}", T0, amount) for i, amount in enumerate(amounts)] + [order("x", T0, 1000)]
    return analyse(small({"m": {**REVENUE, "cap": cap, **more}}, exposures, orders))


def test_a_percentile_cap_is_pooled_over_arms_without_mixed_units() -> None:
    result = capped({"upper": "p75"}, [0, 10, 20, 30, 40])
    assert (result.caps["m"]["y"].upper, result.caps["m"]["y"].n, result.caps["m"]["y"].degenerate) == (30, 5, False)
    assert [value(result, "m", unit) for unit in ("u2", "u3", "u4", "x")] == [20, 30, 30, 30]
    assert result.metrics["m"]["control", False].capped.tolist() == [1]
    assert result.metrics["m"]["control", True].capped.tolist() == [1]


def test_zeros_may_be_left_out_of_the_percentile() -> None:
    result = capped({"upper": "p75", "zeros": "exclude"}, [0, 10, 20, 30, 40])
    assert result.caps["m"]["y"].upper == Fraction(65, 2)  # rank 2.25 of 10, 20, 30, 40
    both = capped({"lower": "p25", "upper": "p75"}, [0, 10, 20, 30, 40])
    assert (both.caps["m"]["y"].lower, both.caps["m"]["y"].upper) == (10, 30)
    assert value(both, "m", "u0") == 10
    mixed_kinds = capped({"lower": 5, "upper": "p75"}, [0, 10, 20, 30, 40])
    assert (mixed_kinds.caps["m"]["y"].lower, mixed_kinds.caps["m"]["y"].upper) == (5, 30)


@pytest.mark.parametrize(
    ("cap", "amounts", "degenerate"),
    [
        ({"upper": "p50"}, [0, 0, 0, 5, 7], True),  # 0
        ({"upper": "p50"}, [1, 1, 1, 9], True),  # at the median of the non-zero values
        ({"upper": "p75"}, [1, 1, 1, 9], False),
        ({"upper": "p75"}, [0, 0, 0, 5, 9], True),  # 5 is below 7, the median of 5 and 9
        ({"upper": "p90"}, [0, 0, 0, 5, 9], False),
        ({"upper": "p50"}, [0, 0], True),
        ({"lower": "p50"}, [0, 0, 0, 5, 7], False),
        ({"upper": 0}, [0, 0, 0, 5, 7], False),
    ],
)
def test_a_cap_that_leaves_nothing_is_degenerate(cap: dict[str, Any], amounts: list[float], degenerate: bool) -> None:
    assert capped(cap, amounts).caps["m"]["y"].degenerate is degenerate


def test_no_unit_no_percentile() -> None:
    result = capped({"upper": "p50", "zeros": "exclude"}, [0, 0])
    assert (result.caps["m"]["y"].upper, result.caps["m"]["y"].n) == (None, 0)
    assert value(result, "m", "x") == 1000
    absent = capped({"upper": "p50"}, [10, 20], missing="exclude", filter="amount > 10")
    assert (absent.caps["m"]["y"].upper, absent.caps["m"]["y"].n) == (20, 1)


def test_immature_and_outside_units_are_not_in_the_percentile() -> None:
    metric = {**REVENUE, "cap": {"upper": "p50"}, "window": "7d"}
    exposures = [seen("a", score=2), seen("b", score=2), seen("c", score=1), seen("d", at=T0 + US, score=2)]
    orders = [order("a", T0, 1), order("b", T0, 2), order("c", T0, 50), order("d", T0 + US, 99)]
    segments = {"s": {"source": "assignments", "filter": "score > 1"}}
    case = small({"m": metric}, exposures, orders, as_of=T0 + 7 * DAY, segments=segments, population=["s"])
    assert analyse(case).caps["m"]["y"].upper == Fraction(3, 2)


def test_a_covariate_has_its_own_percentile_of_the_same_units() -> None:
    setting = {"lookback": "7d", "extra": ["other"]}
    metrics: dict[str, Any] = {
        "m": {**REVENUE, "cap": {"upper": "p50"}, "covariates": setting},
        "fixed": {**REVENUE, "cap": {"upper": 5}, "covariates": setting},
        "other": {**COUNT, "cap": {"upper": "p50"}},
    }
    orders = [order(unit, T0, 10.0 * i) for i, unit in enumerate("abc", 1)]
    orders += [order("a", T0 - DAY, 8), order("b", T0 - DAY, 2), order("b", T0 - DAY, 2)]
    result = analyse(small(metrics, [seen(unit) for unit in "abc"], orders))
    caps = result.caps["m"]
    assert {column: cap.upper for column, cap in caps.items()} == {"y": 20, "y@pre": 4, "other@pre": 1}
    assert [row(result, "m", unit) for unit in "abc"] == [[10, 4, 1], [20, 4, 1], [20, 0, 0]]
    assert [row(result, "fixed", unit)[1] for unit in "abc"] == [5, 4, 0]
    assert caps["y@pre"].degenerate and caps["y"].degenerate  # 4 is below 6, the median of 4 and 8; 20 is at its own
    assert moments_of(result, "m", "abc").capped.tolist() == [1, 1, 1]


def test_extras_of_other_types() -> None:
    extras = ["big", "back", "latest"]
    metrics: dict[str, Any] = {
        "m": {**COUNT, "covariates": {"lookback": "7d", "extra": extras}},
        "big": {**REVENUE, "type": "threshold", "at_most": 5},
        "back": {"type": "retention", "source": "orders", "window": "7d..14d", "min_rows": 2},
        "latest": {**REVENUE, "agg": "last", "missing": "exclude"},
    }
    orders = [order("a", T0 - DAY, 8), order("a", T0 - 2 * DAY, 2)]
    result = analyse(small(metrics, [seen("a"), seen("b")], orders))
    assert result.metrics["m"]["control", False].columns == ["y", "y@pre", "big@pre", "back@pre", "latest@pre"]
    assert [row(result, "m", unit) for unit in "ab"] == [[0, 2, 0, 1, 8], [0, 0, 1, 0, 0]]


def test_type_7_is_linear_between_ranks() -> None:
    for size in (1, 2, 3, 7, 20, 41):
        values = sorted(Fraction((i * 37) % 101, 64) for i in range(size))
        for p in (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.995):
            assert float(type7(values, p)) == pytest.approx(
                float(np.quantile([float(v) for v in values], p)), abs=1e-12
            )
    assert type7([Fraction(i) for i in range(11)], 0.7) == 7  # 10 x 0.7 is 7 in doubles, though 0.7 is below 7/10
