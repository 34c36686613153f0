"""Rules of the value per unit (section 3 of the semantics).

Filling:
  test_no_rows_*, test_only_null_*, test_an_empty_value_*, test_missing_zero_*     0, or `missing` stated
  test_a_threshold_*, test_first_and_last_*, test_count_distinct_*
Leaving out:
  test_missing_exclude_*                     sum over responders; response rates; never primary; selection
Ratios:
  test_a_ratio_*, test_a_window_on_a_ratio_*, test_points_*
Funnels and retention:
  test_a_funnel_*, test_retention_*
Quantiles:
  test_a_quantile_*
"""

import pytest

from .world import (
    ANY,
    COUNT,
    DAY,
    HOUR,
    LATE,
    MICRO,
    SUM,
    T0,
    build,
    changed,
    exposure,
    order,
    rules,
    see,
    visit,
)

A, B, T = exposure("a"), exposure("b"), exposure("t", "treatment")


def mean(agg, **fields):
    measure = {} if agg in ("count", "active_days") else {"measure": "amount"}
    return {"type": "mean", "source": "orders", "agg": agg, "direction": "increase", **measure, **fields}


# --- filling ------------------------------------------------------------------------------------------------------------

FILLED = ("sum", "count", "count_distinct", "active_days")


@pytest.mark.parametrize("agg", FILLED)
def test_no_rows_are_zero_and_the_unit_stays_in_the_mean(tmp_path, agg):
    seen = see(tmp_path, mean(agg), [A, B, T], orders=[order("a", amount=1.0)])
    assert (seen.units(), seen.value()) == (2, 0.5)


@pytest.mark.parametrize(("agg", "value"), [("sum", 0), ("count_distinct", 0), ("count", 2)])
def test_only_null_measures_are_zero_and_still_rows(tmp_path, agg, value):
    rows = [order("a", amount=None), order("a", amount=None)]
    assert see(tmp_path, mean(agg), [A, T], orders=rows).value() == value


def test_null_measures_beside_others_are_skipped(tmp_path):
    rows = [order("a", amount=None), order("a", amount=3.0), order("a", amount=3.0)]
    metrics = {"total": mean("sum"), "different": mean("count_distinct"), "smallest": mean("min", missing="zero")}
    seen = see(tmp_path, metrics, [A, T], orders=rows)
    assert [seen.value(metric=name) for name in metrics] == [6, 1, 3]


def test_count_distinct_counts_values_not_rows(tmp_path):
    rows = [order("a", product=p) for p in ("x", "y", "x", None)]
    assert see(tmp_path, mean("count_distinct", measure="product"), [A, T], orders=rows).value() == 2


def test_a_row_that_fails_a_filter_of_metric_or_source_is_no_row(tmp_path):
    rows = [
        order("a", amount=1.0),
        order("a", amount=2.0, status="open"),
        order("a", amount=4.0, status=None),
        order("a", amount=8.0, product="test"),
    ]
    sources = changed("orders", filter="product IS NULL")
    assert see(tmp_path, {**SUM, "filter": "status = 'paid'"}, [A, T], orders=rows, sources=sources).value() == 1


@pytest.mark.parametrize("agg", ["min", "max", "first", "last"])
def test_an_empty_value_must_be_stated_where_there_is_none(tmp_path, agg):
    assert "missing-not-stated" in rules(build(tmp_path, {"m": mean(agg)}))
    assert not rules(build(tmp_path, {"m": mean(agg, missing="zero")}))


def test_an_empty_value_must_be_stated_of_a_quantile_of_units(tmp_path):
    quantile = {"type": "quantile", "source": "orders", "quantile": "p50", "direction": "increase"}
    stated = [{}, {"missing": "zero"}, {"missing": "exclude"}, {"of": "events"}]
    found = []
    for fields in stated:
        agg = {} if "of" in fields else {"agg": "sum"}
        found.append(rules(build(tmp_path, {"m": {**quantile, "measure": "amount", **agg, **fields}})))
    assert ["missing-not-stated" in r for r in found] == [True, False, False, False]


@pytest.mark.parametrize(("agg", "value"), [("min", 2), ("max", 5), ("first", 5), ("last", 2)])
def test_missing_zero_fills_with_zero(tmp_path, agg, value):
    """The second unit has no row, the third only NULL: both are 0 in the mean over three."""
    rows = [order("a", T0, 5.0), order("a", T0 + HOUR, 2.0), order("c", amount=None)]
    seen = see(tmp_path, mean(agg, missing="zero"), [A, B, exposure("c"), T], orders=rows)
    assert (seen.units(), seen.total()) == (3, value)


@pytest.mark.parametrize(
    ("limit", "passing"),
    [({"at_most": 0}, 2), ({"less_than": 1}, 2), ({"at_least": 1}, 1), ({"more_than": 1}, 0), ({"at_most": 1}, 3)],
)
def test_a_threshold_compares_the_filled_value(tmp_path, limit, passing):
    """Values 1, 0 (no row) and 0 (only NULL), each limit exactly on one of them."""
    rows = [order("a", amount=1.0), order("c", amount=None)]
    definition = {**mean("sum"), "type": "threshold", **limit}
    assert see(tmp_path, definition, [A, B, exposure("c"), T], orders=rows).total() == passing


def test_a_threshold_compares_the_capped_value(tmp_path):
    definition = {**mean("sum"), "type": "threshold", "at_least": 5, "cap": {"upper": 4}}
    assert see(tmp_path, definition, [A, T], orders=[order("a", amount=9.0)]).value() == 0


def test_first_and_last_go_by_time_and_take_the_smallest_at_ties(tmp_path):
    rows = [order("a", T0 + 2 * HOUR, v) for v in (7.0, 6.0)] + [order("a", T0 + HOUR, v) for v in (4.0, 3.0, None)]
    for agg, value in (("first", 3), ("last", 6)):
        assert see(tmp_path, mean(agg, missing="zero"), [A, T], orders=rows).value() == value


def test_first_and_last_skip_null_and_stay_in_the_window(tmp_path):
    moments = {T0 - MICRO: 1.0, T0: None, T0 + HOUR: 2.0, T0 + 2 * HOUR: 4.0, T0 + 3 * HOUR: None, T0 + DAY: 8.0}
    rows = [order("a", moment, value) for moment, value in moments.items()]
    for agg, value in (("first", 2), ("last", 4)):
        assert see(tmp_path, mean(agg, missing="zero", window="1d"), [A, T], orders=rows).value() == value


# --- leaving out --------------------------------------------------------------------------------------------------------


def many(n, arm, prefix):
    return [exposure(f"{prefix}{i}", arm) for i in range(n)]


def test_missing_exclude_divides_by_those_who_have_a_value(tmp_path):
    rows = [order("a", amount=6.0), order("b", amount=None), order("d", amount=0.0)]
    exposures = [*(exposure(u) for u in "abcd"), T]
    seen = see(tmp_path, mean("sum", missing="exclude"), exposures, orders=rows)
    assert (seen.total() / 4, seen.units()) == (3, 4)  # (6 + 0) / 2, of 4 units
    count = see(tmp_path, mean("count", missing="exclude"), exposures, orders=rows)
    assert count.value() == 1  # rows of a, b and d: 3 / 3


def test_missing_exclude_of_a_threshold_is_the_share_of_those_who_have_a_value(tmp_path):
    definition = {**mean("sum"), "type": "threshold", "missing": "exclude", "at_most": 5}
    seen = see(tmp_path, definition, [A, B, exposure("c"), T], orders=[order("a", amount=6.0), order("b", amount=1.0)])
    assert seen.value() == 0.5  # the unit without rows passes `at_most` when filled, and is left out instead


def test_missing_exclude_caps_only_those_who_have_a_value(tmp_path):
    """A lower cap of 2 lifts no unit without rows."""
    definition = mean("min", missing="exclude", cap={"lower": 2})
    seen = see(tmp_path, definition, [A, B, T], orders=[order("a", amount=1.0)])
    assert seen.value() == 2
    assert (seen.moments(column="m__value")["capped"], seen.moments(column="m__value")["nonzero"]) == (1, 1)


def responses(tmp_path, control, treatment, n=200):
    """`control` and `treatment` of n units an arm have a value."""
    exposures = [*many(n, "control", "c"), *many(n, "treatment", "u")]
    rows = [order(f"{p}{i}", amount=1.0 + i % 3) for p, k in (("c", control), ("u", treatment)) for i in range(k)]
    return see(tmp_path, mean("min", missing="exclude"), exposures, orders=rows)


def test_missing_exclude_shows_the_response_rate_of_every_arm(tmp_path):
    response = responses(tmp_path, 60, 90).row().response
    assert (response.baseline, response.arm) == (0.3, 0.45)


@pytest.mark.parametrize(("treatment", "selection"), [(85, True), (84, False)])
def test_missing_exclude_is_inconclusive_where_response_differs(tmp_path, treatment, selection):
    """60 against 85 of 200: z = 2.61, p = 0.009; against 84: p = 0.012."""
    row = responses(tmp_path, 60, treatment).row()
    assert (row.response.p_value < 0.01) is selection
    assert (row.reason == "selection") is selection
    assert row.verdict == "inconclusive"


def test_missing_exclude_may_not_be_primary(tmp_path):
    metrics = {"m": mean("sum", missing="exclude")}
    for role, refused in (("primary", True), ("secondary", False), ("guardrail", False)):
        assert ("primary-missing-exclude" in rules(build(tmp_path, metrics, role=role))) is refused


# --- ratios -------------------------------------------------------------------------------------------------------------


def ratio(numerator="top", denominator="bottom", **fields):
    return {"type": "ratio", "numerator": numerator, "denominator": denominator, "direction": "increase", **fields}


def test_a_ratio_is_a_quotient_of_sums_and_keeps_units_with_denominator_zero(tmp_path):
    """(4 + 0 + 8 + 2) / (1 + 0 + 2 + 0): the second unit has nothing, the fourth an order that is not paid."""
    rows = [
        order("a", amount=4.0),
        order("c", amount=3.0),
        order("c", amount=5.0),
        order("d", amount=2.0, status="open"),
    ]
    metrics = {"top": SUM, "bottom": {**COUNT, "filter": "status = 'paid'"}, "m": ratio()}
    seen = see(tmp_path, metrics, [A, B, exposure("c"), exposure("d"), T], orders=rows)
    assert seen.value() == pytest.approx((4 + 8 + 2) / 3)
    assert seen.units() == 4


def test_a_ratio_keeps_the_filters_of_its_parts(tmp_path):
    rows = [order("a", amount=4.0), order("a", amount=16.0, status="open")]
    metrics = {
        "top": {**SUM, "filter": "status = 'paid'"},
        "m": ratio(denominator={"source": "orders", "agg": "count", "filter": "amount > 1"}),
    }
    assert see(tmp_path, metrics, [A, T], orders=rows).value() == 4 / 2


WINDOWED = {"top": {**SUM, "window": "1d"}, "bottom": {**COUNT, "window": "3d"}}
OVER_DAYS = [order("a", T0, 1.0), order("a", T0 + 2 * DAY, 2.0), order("a", T0 + 4 * DAY, 4.0)]


def test_a_ratio_keeps_the_windows_of_its_parts(tmp_path):
    assert see(tmp_path, {**WINDOWED, "m": ratio()}, [A, T], orders=OVER_DAYS).value() == 1 / 2


def test_a_window_on_a_ratio_replaces_both(tmp_path):
    assert see(tmp_path, {**WINDOWED, "m": ratio(window="5d")}, [A, T], orders=OVER_DAYS).value() == pytest.approx(
        7 / 3
    )


@pytest.mark.parametrize("longer", ["top", "bottom"])
def test_a_ratio_counts_a_unit_when_mature_for_both(tmp_path, longer):
    parts = {"top": {**SUM, "window": "1d"}, "bottom": {**COUNT, "window": "1d"}}
    parts[longer] = {**parts[longer], "window": "3d"}
    exposures = [A, exposure("b", at=T0 + MICRO), T]
    assert see(tmp_path, {**parts, "m": ratio()}, exposures, as_of=T0 + 3 * DAY).units() == 1


def test_a_ratio_waits_for_the_settling_of_both_sources(tmp_path):
    metrics = {"top": {**SUM, "window": "1d"}, "bottom": {"type": "proportion", "source": "visits", "window": "1d"}}
    exposures = [A, exposure("b", at=T0 + MICRO), T]
    sources = changed("visits", settles_after="2d")
    world = {"sources": sources, "as_of": T0 + 3 * DAY, "named": {"secondary": {"m": None}}}
    assert see(tmp_path, {**metrics, "m": ratio()}, exposures, **world).units() == 1


def test_a_ratio_keeps_the_caps_of_its_parts(tmp_path):
    metrics = {"top": {**SUM, "cap": {"upper": 5}}, "bottom": {**COUNT, "cap": {"upper": 2}}, "m": ratio()}
    rows = [*(order("a", amount=3.0) for _ in range(3)), order("b", amount=1.0)]
    seen = see(tmp_path, metrics, [A, B, T], orders=rows)
    assert seen.value() == (5 + 1) / (2 + 1)


PARTS = {
    "sums": mean("sum"),
    "counts": mean("count"),
    "distinct": mean("count_distinct"),
    "days": mean("active_days"),
    "buyers": ANY,
    "big": {**mean("sum"), "type": "threshold", "at_least": 1},
    "least": mean("min", missing="zero"),
    "firsts": mean("first", missing="zero"),
    "returned": {"type": "retention", "source": "orders", "window": "1d..2d", "direction": "increase"},
    "responders": mean("sum", missing="exclude"),
    "daily": mean("active_days", per="day"),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_ratio_is_made_of_sums_counts_days_proportions_and_thresholds(tmp_path, part):
    allowed = part in ("sums", "counts", "distinct", "days", "buyers", "big")
    for sides in ({"numerator": part, "denominator": "counts"}, {"numerator": "counts", "denominator": part}):
        found = rules(build(tmp_path, {**PARTS, "m": ratio(**sides)}, named={"secondary": {"m": None}}))
        assert ("ratio-part" not in found) is allowed


@pytest.mark.parametrize(("shown", "accepted"), [("percent", True), ("number", False)])
def test_points_fit_a_ratio_shown_in_percent(tmp_path, shown, accepted):
    metrics = {"top": ANY, "bottom": COUNT, "m": ratio(format=shown)}
    found = rules(build(tmp_path, metrics, named={"guardrail": {"m": {"margin": "1pp"}}}))
    assert ("mde-kind" not in found) is accepted


# --- funnels and retention ----------------------------------------------------------------------------------------------


def funnel(*steps, **fields):
    """Steps by page: `a`, or `a:1h` for one that must come within an hour of the step before."""
    written = []
    for position, step in enumerate(steps):
        page, _, within = step.partition(":")
        name = f"s{position + 1}"
        written.append({"name": name, "source": "visits", "filter": page, **({"within": within} if within else {})})
    return {"type": "funnel", "direction": "increase", "steps": written, **fields}


def page(name):
    return f"page = '{name}'"


SEQUENCE = funnel(page("x"), page("y"))


def completed(tmp_path, definition, visits, exposures=(A, T), **world):
    return see(tmp_path, definition, exposures, visits=visits, **world).value()


def test_a_funnel_counts_every_step_over_all_exposed_units(tmp_path):
    visits = [visit("a", T0, "x"), visit("a", T0 + HOUR, "y"), visit("b", T0, "x"), visit("c", T0, "y")]
    seen = see(tmp_path, SEQUENCE, [*(exposure(u) for u in "abcd"), T], visits=visits)
    assert seen.value() == 1 / 4
    steps = [(s["step"], s["baseline_value"]) for s in seen.row().steps]
    assert steps == [("s1", 2 / 4), ("s2", 1 / 4)]
    assert all(set(s) == {"step", "baseline_value", "arm_value"} for s in seen.row().steps)  # descriptive: no p


@pytest.mark.parametrize(("y", "done"), [(T0 + HOUR - MICRO, 0), (T0 + HOUR, 1), (T0 + 2 * HOUR, 1)])
def test_a_funnel_takes_steps_in_order_and_lets_them_share_an_instant(tmp_path, y, done):
    assert completed(tmp_path, SEQUENCE, [visit("a", T0 + HOUR, "x"), visit("a", y, "y")]) == done


@pytest.mark.parametrize(("y", "done"), [(T0 + 2 * HOUR - MICRO, 1), (T0 + 2 * HOUR, 0)])
def test_a_funnel_step_within_an_hour_is_less_than_an_hour(tmp_path, y, done):
    definition = funnel(page("x"), page("y") + ":1h")
    assert completed(tmp_path, definition, [visit("a", T0 + HOUR, "x"), visit("a", y, "y")]) == done


@pytest.mark.parametrize(("x", "done"), [(T0 + HOUR - MICRO, 1), (T0 + HOUR, 0)])
def test_a_funnel_first_step_is_timed_from_the_exposure(tmp_path, x, done):
    definition = funnel(page("x") + ":1h", page("y"))
    assert completed(tmp_path, definition, [visit("a", x, "x"), visit("a", T0 + 5 * HOUR, "y")]) == done


def test_a_funnel_needs_some_chain_not_the_earliest_one(tmp_path):
    """The first x is too old for y, the second is not; and its z is timed from the y that it led to."""
    definition = funnel(page("x"), page("y") + ":1h", page("z") + ":1h")
    visits = [visit("a", T0 + moment * HOUR, p) for moment, p in ((0, "x"), (0.5, "y"), (2, "x"), (2.5, "y"), (3, "z"))]
    assert completed(tmp_path, definition, visits) == 1
    broken = [v for v in visits if v[1] != T0 + 2 * HOUR]  # without the second x its y belongs to no chain
    assert completed(tmp_path, definition, broken) == 0


def test_a_funnel_row_may_serve_two_steps(tmp_path):
    definition = funnel("page IN ('x', 'xy')", "page IN ('y', 'xy')")
    assert completed(tmp_path, definition, [visit("a", T0, "xy")]) == 1


def test_a_funnel_row_must_lie_in_the_window(tmp_path):
    definition = {**SEQUENCE, "window": "1d"}
    for x, y, done in ((T0, T0 + DAY - MICRO, 1), (T0 - MICRO, T0 + HOUR, 0), (T0, T0 + DAY, 0)):
        assert completed(tmp_path, definition, [visit("a", x, "x"), visit("a", y, "y")]) == done


def test_a_funnel_in_any_order_needs_each_step_and_those_before(tmp_path):
    definition = funnel(page("x"), page("y"), page("z"), order="any")
    visits = [visit("a", T0 + i * HOUR, p) for i, p in enumerate("zyx")]
    visits += [visit("b", T0, "y"), visit("b", T0, "z")]  # no x: reaches nothing
    seen = see(tmp_path, definition, [A, B, T], visits=visits)
    assert [s["baseline_value"] for s in seen.row().steps] == [0.5, 0.5, 0.5]


def test_a_funnel_in_any_order_takes_no_within(tmp_path):
    definition = funnel(page("x"), page("y") + ":1h", order="any")
    assert "funnel-within" in rules(build(tmp_path, {"m": definition}))
    assert not rules(build(tmp_path, {"m": {**definition, "order": "sequential"}}))


def test_a_funnel_of_two_sources_waits_for_the_longest_settling(tmp_path):
    definition = {
        "type": "funnel",
        "direction": "increase",
        "window": "1d",
        "steps": [
            {"name": "see", "source": "visits"},
            {"name": "buy", "source": "orders", "filter": "status = 'paid'"},
        ],
    }
    exposures = [A, B, exposure("late", at=T0 + MICRO), T]
    world = {
        "visits": [visit("a"), visit("b")],
        "orders": [order("a", T0 + 2 * HOUR), order("b", T0)],
        "sources": changed("orders", settles_after="2d"),
    }
    seen = see(tmp_path, definition, exposures, **world, as_of=T0 + 3 * DAY)
    assert (seen.units(), seen.value()) == (2, 0.5)


@pytest.mark.parametrize(("rows", "kept"), [(1, 0), (2, 1), (3, 1)])
def test_retention_needs_its_rows_inside_the_window(tmp_path, rows, kept):
    definition = {"type": "retention", "source": "visits", "window": "1d..2d", "min_rows": 2, "direction": "increase"}
    outside = [visit("a", T0 + DAY - MICRO), visit("a", T0 + 2 * DAY), visit("a", T0 + 3 * DAY)]
    inside = [visit("a", T0 + DAY) for _ in range(rows)]
    assert see(tmp_path, definition, [A, T], visits=[*outside, *inside]).value() == kept


@pytest.mark.parametrize(
    ("window", "refused"), [("7d", True), ("0d..7d", True), ("1d..7d", False), ("experiment", True)]
)
def test_retention_needs_a_window_that_starts_after_exposure(tmp_path, window, refused):
    definition = {"type": "retention", "source": "visits", "window": window, "direction": "increase"}
    assert ("retention-window-at-zero" in rules(build(tmp_path, {"m": definition}))) is refused


# --- quantiles ----------------------------------------------------------------------------------------------------------


def quantile(q, **fields):
    return {
        "type": "quantile",
        "source": "orders",
        "measure": "amount",
        "quantile": q,
        "direction": "increase",
        **fields,
    }


@pytest.mark.parametrize(
    ("q", "missing", "value"),
    [
        ("p50", "zero", (49 + 64) / 2),
        ("p75", "zero", 169 + 0.25 * (196 - 169)),
        ("p50", "exclude", (81 + 100) / 2),
        ("p25", "exclude", 16 + 0.75 * (25 - 16)),
        ("p75", "exclude", 196 + 0.25 * (225 - 196)),
    ],
)
def test_a_quantile_of_units_is_of_type_7(tmp_path, q, missing, value):
    """Squares of 0 .. 19, and four units without rows: rank (n - 1) q from 0, of 24 values or of 20."""
    exposures = [*many(24, "control", "c"), *many(24, "treatment", "u")]
    rows = [order(f"{p}{i}", amount=float(i * i)) for p in "cu" for i in range(20)]
    seen = see(tmp_path, quantile(q, agg="sum", missing=missing), exposures, orders=rows)
    assert seen.value() == pytest.approx(value)


def test_a_quantile_of_events_is_over_rows(tmp_path):
    """Rows 1, 2, 3 of one unit, 10 and 20 of another: median 3. Other rows fail the window, the filter or are NULL."""
    exposures = [A, B, exposure("c"), T, exposure("t2", "treatment")]
    rows = [order("a", amount=v) for v in (1.0, 2.0, 3.0)] + [order("b", amount=v) for v in (10.0, 20.0, None)]
    rows += [order("a", T0 - MICRO, 99.0), order("a", amount=99.0, status="open"), order("c", amount=None)]
    rows += [order("t", amount=v) for v in (1.0, 2.0, 3.0)] + [order("t2", amount=v) for v in (4.0, 5.0)]
    definition = quantile("p50", of="events", filter="status = 'paid'")
    seen = see(tmp_path, definition, exposures, orders=rows)
    assert (seen.value(), seen.units()) == (pytest.approx(3), 3)


def test_a_quantile_leaves_out_mixed_and_immature_units(tmp_path):
    exposures = [
        *(exposure(u) for u in "abcde"),
        exposure("m"),
        exposure("m", "treatment", T0 + HOUR),
        exposure("late", at=T0 + DAY),
        *many(5, "treatment", "u"),
    ]
    rows = [order(u, T0 + DAY, float(i)) for i, u in enumerate("abcde")] + [
        order(f"u{i}", amount=float(i)) for i in range(5)
    ]
    rows += [order("m", T0 + DAY, 99.0), order("late", T0 + DAY, 99.0)]
    definition = quantile("p50", agg="sum", missing="zero", window="7d")
    seen = see(tmp_path, definition, exposures, orders=rows, as_of=T0 + 7 * DAY)
    assert (seen.value(), seen.units()) == (pytest.approx(2), 5)


def test_a_quantile_has_its_own_bounds_at_ranks_of_1_96(tmp_path):
    """100 values 0 .. 99 an arm: standard error (upper - lower) / (2 * 1.96) at ranks 1 + 99 (0.5 -+ 0.098)."""
    exposures = [*many(100, "control", "c"), *many(100, "treatment", "u")]
    rows = [order(f"{p}{i}", amount=float(i + (p == "u"))) for p in "cu" for i in range(100)]
    row = see(tmp_path, quantile("p50", agg="sum", missing="zero"), exposures, orders=rows).row()
    one = 2 * 99 * 1.96 * (0.5 * 0.5 / 100) ** 0.5 / (2 * 1.96)
    assert row.absolute.estimate == pytest.approx(1)
    assert row.absolute.std_error == pytest.approx(one * 2**0.5)


def test_a_late_look_changes_no_value(tmp_path):
    project = build(tmp_path, {"m": {**SUM, "window": "7d"}}, [A, T], orders=[order("a", amount=3.0)])
    early, late = (project.run("test", as_of=moment).estimates[0] for moment in (T0 + 7 * DAY, LATE))
    assert early.baseline_value == late.baseline_value == 3
