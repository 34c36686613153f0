"""Rules of caps and covariates (section 3 of the semantics).

Caps:
  test_a_percentile_is_*                     type 7, all arms pooled
  test_a_percentile_leaves_out_*             mixed, immature, outside the population, untriggered, without a value
  test_zeros_*                               included, or left out of the percentile
  test_the_same_cap_*                        of mixed units too, in every arm and cell
  test_a_capped_value_*, test_the_readout_*, test_a_lower_cap_*
  test_a_cap_is_degenerate_*                 0, or at most the median of what is not 0
Covariates:
  test_covariate_window_*, test_covariate_absent_*, test_covariate_is_the_same_value_*
  test_extra_*                               metrics, numbers of attributes and exposures; NULL is 0 and an indicator
  test_the_metric_beats_*, test_lookback_0d_*
  test_covariate_cap_*                       its own percentile; an absolute one unchanged
  test_constant_*, test_collinear_*          dropped by name
"""

import pytest
from scipy.stats import fisher_exact

from .world import (
    COUNT,
    DAY,
    HOUR,
    MICRO,
    SUM,
    T0,
    build,
    changed,
    defaults,
    exposure,
    order,
    rules,
    see,
    user,
    visit,
)

T = exposure("t", "treatment")


def capped(upper="p75", **fields):
    return {**SUM, "cap": {"upper": upper, **fields}}


def valued(control, treatment):
    """One unit per value, each with one order of it; None for a unit without orders."""
    exposures, orders = [], []
    for arm, values in (("control", control), ("treatment", treatment)):
        for i, value in enumerate(values):
            exposures.append(exposure(f"{arm}{i}", arm))
            if value is not None:
                orders.append(order(f"{arm}{i}", amount=float(value)))
    return {"exposures": exposures, "orders": orders}


def cap_of(seen, part=0):
    return seen.row().cap.parts[part]


def run(tmp_path, metric, world, **more):
    world = {**world, **more}
    return see(tmp_path, metric, world.pop("exposures"), **world)


# Pooled: 1, 2, 4, 8, 16, 32; p75 is at rank 1 + 5 * 0.75 = 4.75: 8 + 0.75 * 8 = 14. Apart: 22 and 12.
POOLED = valued([1, 16, 32], [2, 4, 8])


def test_a_percentile_is_of_type_7_over_all_arms_pooled(tmp_path):
    seen = run(tmp_path, capped(), POOLED)
    assert cap_of(seen).upper == pytest.approx(14)
    assert seen.total("control") == pytest.approx(1 + 14 + 14)
    assert seen.total("treatment") == pytest.approx(2 + 4 + 8)


def test_a_percentile_leaves_out_mixed_units_and_the_same_cap_holds_for_them(tmp_path):
    exposures = [*POOLED["exposures"], exposure("m"), exposure("m", "treatment", T0 + DAY)]
    world = {"exposures": exposures, "orders": [*POOLED["orders"], order("m", amount=64.0)]}
    assert cap_of(run(tmp_path, capped(), world)).upper == pytest.approx(14)
    first_arm = {"source": "assignments", "key": "test", "mixed": "first_arm"}
    kept = run(tmp_path, capped(), world, exposure=first_arm)
    assert cap_of(kept).upper == pytest.approx(14)
    assert (kept.units(), kept.total()) == (4, pytest.approx(1 + 14 + 14 + 14))


def test_a_percentile_leaves_out_immature_units(tmp_path):
    exposures = [*POOLED["exposures"], exposure("late", at=T0 + MICRO)]
    world = {"exposures": exposures, "orders": [*POOLED["orders"], order("late", amount=64.0)], "as_of": T0 + 7 * DAY}
    assert cap_of(run(tmp_path, {**capped(), "window": "7d"}, world)).upper == pytest.approx(14)


def test_a_percentile_leaves_out_units_outside_the_population(tmp_path):
    exposures = [(*row[:4], "web", *row[5:]) for row in POOLED["exposures"]] + [exposure("out", platform="app")]
    world = {"exposures": exposures, "orders": [*POOLED["orders"], order("out", amount=64.0)]}
    segments = {"web": {"source": "assignments", "filter": "platform = 'web'"}}
    assert cap_of(run(tmp_path, capped(), world, segments=segments, population=["web"])).upper == pytest.approx(14)


def test_a_percentile_leaves_out_untriggered_units(tmp_path):
    exposures = [*POOLED["exposures"], exposure("idle")]
    world = {"exposures": exposures, "orders": [*POOLED["orders"], order("idle", T0 + HOUR, 64.0)]}
    visits = [visit(row[0], T0) for row in POOLED["exposures"]]
    trigger = {"source": "assignments", "key": "test", "trigger": {"source": "visits"}}
    assert cap_of(run(tmp_path, capped(), world, visits=visits, exposure=trigger)).upper == pytest.approx(14)


def test_a_percentile_leaves_out_units_without_a_value_where_the_metric_does(tmp_path):
    world = valued([1, 16, 32, None], [2, 4, 8, None])
    assert cap_of(run(tmp_path, {**capped(), "missing": "exclude"}, world)).upper == pytest.approx(14)
    filled = run(tmp_path, capped(), world)  # 0, 0, 1, 2, 4, 8, 16, 32: rank 6.25
    assert cap_of(filled).upper == pytest.approx(10)


def test_zeros_count_in_a_percentile_unless_left_out(tmp_path):
    world = valued([1, 16, 32, 0, None], [2, 4, 8])
    assert cap_of(run(tmp_path, capped(), world)).upper == pytest.approx(10)
    left_out = run(tmp_path, capped(zeros="exclude"), world)
    assert cap_of(left_out).upper == pytest.approx(14)
    assert (left_out.units(), left_out.total()) == (5, pytest.approx(1 + 14 + 14))  # zeros stay in the mean


def test_the_same_cap_holds_in_every_cell(tmp_path):
    exposures = [(*row[:4], ("web", "app")[i % 2], *row[5:]) for i, row in enumerate(POOLED["exposures"])]
    exposures += [exposure("x", "treatment", platform="app"), exposure("y", platform="app")]
    world = {"exposures": exposures, "orders": POOLED["orders"]}
    seen = run(tmp_path, capped(zeros="exclude"), world, analysis={"breakdowns": ["platform"]})
    assert seen.value(level=("platform", "web")) == pytest.approx((1 + 14) / 2)
    assert seen.value(level=("platform", "app")) == pytest.approx((14 + 0) / 2)


def test_a_capped_value_is_one_that_the_cap_changed(tmp_path):
    """Values equal to the cap are not counted."""
    seen = run(tmp_path, capped(8), valued([1, 8, 8, 9], [16, 32, 8]))
    assert cap_of(seen).capped == (1, 2)
    assert (seen.total("control"), seen.total("treatment")) == (1 + 8 + 8 + 8, 8 + 8 + 8)


def test_a_lower_cap_lifts_what_lies_below_it(tmp_path):
    metric = {**SUM, "cap": {"lower": 2, "upper": 8}}
    seen = run(tmp_path, metric, valued([None, 2, 9, -5], [8, 1]))
    assert (cap_of(seen).lower, cap_of(seen).upper, cap_of(seen).capped) == (2, 8, (3, 1))
    assert (seen.total("control"), seen.total("treatment")) == (2 + 2 + 8 + 2, 8 + 2)


def test_a_lower_percentile_is_pooled_too(tmp_path):
    metric = {**SUM, "cap": {"lower": "p25"}}
    assert cap_of(run(tmp_path, metric, POOLED)).lower == pytest.approx(2.5)  # rank 2.25: 2 + 0.25 * 2


def test_the_readout_has_cap_counts_imbalance_and_the_uncapped_estimate(tmp_path):
    """10 of 50 against 1 of 50 above the cap: few, so Fisher's exact test."""
    world = valued([100] * 10 + [i % 5 for i in range(40)], [100] + [i % 5 for i in range(49)])
    row = run(tmp_path, capped(50), world).row()
    (part,) = row.cap.parts
    assert (part.part, part.capped) == ("value", (10, 1))
    assert part.imbalance_p_value == pytest.approx(fisher_exact([[10, 40], [1, 49]]).pvalue, rel=1e-9)
    assert row.absolute.estimate == pytest.approx((50 + 96) / 50 - (500 + 80) / 50)
    assert row.cap.uncapped["estimate"] == pytest.approx((100 + 96) / 50 - (1000 + 80) / 50)


def test_the_readout_has_the_caps_of_both_parts_of_a_ratio(tmp_path):
    metrics = {
        "top": capped(8),
        "bottom": {**COUNT, "cap": {"upper": 1}},
        "m": {"type": "ratio", "numerator": "top", "denominator": "bottom", "direction": "increase"},
    }
    exposures = [exposure(f"{arm}{i}", arm) for arm in ("control", "treatment") for i in range(4)]
    rows = [order(row[0], amount=float(6 + i)) for i, row in enumerate(exposures) for _ in range(1 + i % 2)]
    row = see(tmp_path, metrics, exposures, orders=rows).row()
    assert [(p.part, p.upper, p.capped) for p in row.cap.parts] == [
        ("numerator", 8, (2, 4)),
        ("denominator", 1, (2, 2)),
    ]


LEVELS = [0] * 20 + [2] * 6 + [4] * 6  # the median of what is not 0 is 3


@pytest.mark.parametrize(
    ("upper", "zeros", "values", "degenerate"),
    [
        ("p50", "include", LEVELS, True),  # 0
        ("p75", "include", LEVELS, True),  # 2
        ("p90", "include", LEVELS, False),  # 4
        ("p75", "include", [0] * 20 + [4] * 12, True),  # 4, which is the median
        ("p50", "exclude", list(range(1, 10)), True),  # 5, which is the median
        ("p51", "exclude", list(range(1, 10)), False),  # 5.08
    ],
)
def test_a_cap_is_degenerate_at_zero_or_at_most_the_median_of_what_is_not(tmp_path, upper, zeros, values, degenerate):
    row = run(tmp_path, capped(upper, zeros=zeros), valued(values[::2], values[1::2])).row()
    assert (row.reason == "cap_degenerate") is degenerate
    assert (row.verdict == "not_computed") is degenerate


def test_a_cap_is_degenerate_only_where_it_is_a_percentile(tmp_path):
    assert run(tmp_path, capped(1), valued([0, 4, 4, 4], [4, 4, 4])).row().reason != "cap_degenerate"


# --- covariates ---------------------------------------------------------------------------------------------------------


def adjusted(lookback="7d", extra=(), **fields):
    return {**SUM, "covariates": {"lookback": lookback, **({"extra": list(extra)} if extra else {})}, **fields}


def test_covariate_window_is_closed_at_its_start_and_open_at_the_exposure(tmp_path):
    moments = [T0 - 7 * DAY - MICRO, T0 - 7 * DAY, T0 - MICRO, T0]
    rows = [order("a", moment, 2.0**i) for i, moment in enumerate(moments)]
    seen = see(tmp_path, adjusted(), [exposure("a"), T], orders=rows)
    assert (seen.moments(column="m__pre")["mean"], seen.moments()["mean"]) == (2 + 4, 8)


def test_covariate_absent_is_zero_also_where_the_metric_leaves_units_out(tmp_path):
    metric = {**adjusted(), "agg": "min", "missing": "exclude"}
    rows = [order("a", T0 - DAY, 6.0), order("a"), order("b")]
    seen = see(tmp_path, metric, [exposure("a"), exposure("b"), T], orders=rows)
    pre = next(name for row in seen.readout.moments for name in row["columns"] if name.endswith("__pre"))
    assert (seen.moments(column=pre)["mean"], seen.moments(column=pre)["n"]) == (3, 2)


def test_covariate_is_the_same_value_with_the_filter_and_not_the_window_of_the_metric(tmp_path):
    metric = adjusted(filter="status = 'paid'", window="1d")
    rows = [order("a", T0 - 6 * DAY, 1.0), order("a", T0 - DAY, 2.0, status="open"), order("a", T0 - HOUR, 4.0)]
    seen = see(tmp_path, metric, [exposure("a"), T], orders=rows)
    assert seen.moments(column="m__pre")["mean"] == 1 + 4


def test_covariate_of_a_threshold_is_a_threshold(tmp_path):
    metric = {**adjusted(), "type": "threshold", "at_least": 2}
    rows = [order("a", T0 - DAY, 2.0), order("b", T0 - DAY, 1.0)]
    seen = see(tmp_path, metric, [exposure("a"), exposure("b"), T], orders=rows)
    assert seen.moments(column="m__pre")["mean"] == 0.5


def test_covariate_rows_loaded_at_as_of_do_not_count(tmp_path):
    as_of = T0 + 8 * DAY
    rows = [order("a", T0 - DAY, 1.0, loaded=as_of), order("a", T0 - DAY, 2.0, loaded=as_of - MICRO)]
    sources = changed("orders", loaded_at="loaded_at")
    seen = see(tmp_path, adjusted(window="7d"), [exposure("a"), T], orders=rows, sources=sources, as_of=as_of)
    assert seen.moments(column="m__pre")["mean"] == 2


def test_extra_names_a_metric_over_the_same_lookback(tmp_path):
    metrics = {"m": adjusted(extra=["visits"]), "visits": {"type": "mean", "source": "visits", "agg": "count"}}
    rows = [visit("a", moment) for moment in (T0 - 7 * DAY - MICRO, T0 - 7 * DAY, T0 - MICRO, T0)]
    seen = see(tmp_path, metrics, [exposure("a"), T], visits=rows, named={"secondary": {"m": None}})
    assert seen.moments(column="visits__pre")["mean"] == 2


@pytest.mark.parametrize("extra", ["users.age", "assignments.score"])
def test_extra_names_a_number_and_null_is_zero_with_an_indicator(tmp_path, extra):
    exposures = [exposure("a", platform="10"), exposure("b", platform="30"), exposure("c"), exposure("d"), T]
    users = [user("a", age=10.0), user("b", age=30.0), user("c", age=None)]
    sources = changed("assignments", dimensions={"score": "CAST(platform AS DOUBLE)"})
    seen = see(tmp_path, adjusted(extra=[extra]), exposures, users=users, sources=sources)
    column = extra.replace(".", "__")
    assert (seen.moments(column=column)["mean"], seen.moments(column=f"{column}__missing")["mean"]) == (10, 0.5)


def test_extra_attribute_is_the_one_valid_at_exposure(tmp_path):
    users = [user("a", age=10.0), user("a", age=20.0, since=T0), user("a", age=40.0, since=T0 + MICRO)]
    seen = see(tmp_path, adjusted(extra=["users.age"]), [exposure("a"), T], users=users)
    assert seen.moments(column="users__age")["mean"] == 20


def many(**world):
    """60 units an arm with orders before and after, ages that say little, and some without one."""
    units = [(f"{arm}{i}", arm, i) for arm in ("control", "treatment") for i in range(60)]
    before = [order(u, T0 - (1 + i % 10) * DAY, float(1 + i % 7)) for u, _, i in units]
    after = [order(u, amount=float(i % 7 + i % 3)) for u, _, i in units]
    users = [user(u, age=float(i % 11)) for u, _, i in units if i % 5]
    return {"exposures": [exposure(u, arm) for u, arm, _ in units], "orders": before + after, "users": users, **world}


def covariates(tmp_path, metric, **world):
    row = run(tmp_path, metric, many(**world)).row()
    return row.estimator.covariates


OWN, AGE, AGE_MISSING = "m before exposure", "users.age", "users.age missing"


@pytest.mark.parametrize(
    ("metric", "experiment", "project", "used"),
    [
        ("7d", None, None, (OWN,)),
        (None, "7d", None, (OWN,)),
        (None, None, "7d", (OWN,)),
        ("off", "7d", "7d", ()),
        (None, "off", "7d", ()),
        ("7d", "off", "off", (OWN,)),
        (None, None, None, ()),
    ],
)
def test_the_metric_beats_the_experiment_and_that_the_project(tmp_path, metric, experiment, project, used):
    def settings(value):
        return {} if value is None else {"covariates": value if value == "off" else {"lookback": value}}

    world = {"analysis": settings(experiment), "project": defaults(**settings(project))}
    assert covariates(tmp_path, {**SUM, **settings(metric)}, **world) == used


def test_the_metric_beats_the_experiment_with_its_whole_map(tmp_path):
    """Nothing is merged: the metric's map has no extras, so there are none."""
    analysis = {"covariates": {"lookback": "3d", "extra": ["users.age"]}}
    assert covariates(tmp_path, adjusted("30d"), analysis=analysis) == (OWN,)
    assert covariates(tmp_path, SUM, analysis=analysis) == (OWN, AGE, AGE_MISSING)


def test_lookback_0d_leaves_the_extras_only(tmp_path):
    assert covariates(tmp_path, adjusted("0d", ["users.age"])) == (AGE, AGE_MISSING)


def test_lookback_0d_leaves_a_metric_no_time(tmp_path):
    metrics = {"m": adjusted("0d", ["other"]), "other": COUNT}
    assert "covariate-without-lookback" in rules(build(tmp_path, metrics))


def test_covariate_cap_is_a_percentile_of_its_own(tmp_path):
    """Before: 10, 20, 40, 80, 160, 320, p75 is 140; after: 14. A cap of 14 would flatten what was before."""
    before = [order(row[0], T0 - DAY, row[2] * 10) for row in POOLED["orders"]]
    metric = {**capped(), "covariates": {"lookback": "7d"}}
    seen = run(tmp_path, metric, POOLED, orders=[*POOLED["orders"], *before])
    assert cap_of(seen).upper == pytest.approx(14)
    assert seen.moments("control", "m__pre")["mean"] == pytest.approx((10 + 140 + 140) / 3)
    assert seen.moments("treatment", "m__pre")["mean"] == pytest.approx((20 + 40 + 80) / 3)


def test_covariate_cap_leaves_out_zeros_like_its_metric(tmp_path):
    before = [order(row[0], T0 - DAY, row[2] * 10) for row in POOLED["orders"]]
    exposures = [*POOLED["exposures"], exposure("none")]
    world = {"exposures": exposures, "orders": [*POOLED["orders"], *before]}
    metric = {**capped(zeros="exclude"), "covariates": {"lookback": "7d"}}
    assert run(tmp_path, metric, world).moments("control", "m__pre")["max_abs"] == pytest.approx(140)


def test_covariate_cap_is_the_same_number_where_it_is_absolute(tmp_path):
    before = [order(row[0], T0 - DAY, row[2] * 10) for row in POOLED["orders"]]
    metric = {**capped(30), "covariates": {"lookback": "7d"}}
    seen = run(tmp_path, metric, POOLED, orders=[*POOLED["orders"], *before])
    assert seen.moments("control", "m__pre")["mean"] == pytest.approx((10 + 30 + 30) / 3)


def test_constant_covariates_are_dropped_by_name(tmp_path):
    world = many()
    world["users"] = [user(row[0], age=7.0) for row in world["exposures"]]
    row = run(tmp_path, adjusted(extra=["users.age"]), world).row()
    assert (row.estimator.covariates, row.estimator.dropped) == ((OWN,), (AGE,))


def test_collinear_covariates_are_dropped_by_name(tmp_path):
    """The second metric is three times the first before exposure."""
    metrics = {"m": adjusted("30d", ["triple"]), "triple": {**SUM, "measure": "triple"}}
    sources = changed("orders", measures={"amount": "amount", "triple": "3 * amount"})
    row = run(tmp_path, metrics, many(), sources=sources).row()
    assert (row.estimator.covariates, row.estimator.dropped) == ((OWN,), ("triple before exposure",))


def test_without_usable_covariates_the_estimate_is_the_plain_one(tmp_path):
    world = many()
    plain = run(tmp_path, SUM, world).row()
    world["users"] = [user(row[0], age=7.0) for row in world["exposures"]]
    row = run(tmp_path, adjusted("0d", ["users.age"]), world).row()
    assert (row.estimator.name, row.estimator.dropped) == ("unadjusted", (AGE,))
    assert (row.absolute, row.p_value) == (plain.absolute, plain.p_value)
