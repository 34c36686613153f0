"""Rules of who is in an experiment, in which arm and since when (section 2 of the semantics).

The order of the steps, one test for each pair that could be swapped:
  test_a_filtered_row_*                    filter before everything else
  test_a_row_outside_the_dates_*           dates and as-of before mixed
  test_an_unknown_arm_*, test_rows_without_*   dropped, counted, and no reason to call a unit mixed
  test_ties_*, test_the_first_exposure_*   first row; then smallest arm key, then smallest value, NULL last
  test_mixed_*_population, test_the_population_comes_before_the_trigger
Mixed units:
  test_mixed_units_*                       exclude (default), first_arm, fail; counted by first arm
  test_mixed_health_*                      above 1 %, or uneven over first arms or epochs at 0.001
  test_the_other_policy_*                  the other analysis, of the same query, beside the headline
  test_srm_is_computed_*                   before and after exclusion
  test_a_ramp_*                            excluding needs sticky assignment; epochs by first exposure
Shares:
  test_shares_*, test_a_share_*            percent or fraction, exact sums, equal where none is stated
Clusters:
  test_a_cluster_*, test_units_without_a_cluster_*
"""

import pytest

from metricdef.errors import DefinitionErrors

from .world import (
    ANY,
    COUNT,
    DAY,
    END,
    HOUR,
    MICRO,
    START,
    SUM,
    T0,
    build,
    defaults,
    exposure,
    order,
    rules,
    see,
    visit,
)

T = exposure("t", "treatment")
WEEK = {**SUM, "window": "7d"}


def crowd(n, arm, prefix, at=T0, **fields):
    return [exposure(f"{prefix}{i}", arm, at, **fields) for i in range(n)]


# --- the order of the steps ---------------------------------------------------------------------------------------------


def test_a_filtered_row_is_no_exposure_and_makes_nobody_mixed(tmp_path):
    exposures = [
        exposure("a", "treatment", T0 - DAY, platform="bot"),
        exposure("a", "control", T0, platform="web"),
        exposure("b", "control", T0, platform="bot"),
        exposure("t", "treatment", platform="web"),
    ]
    orders = [order("a", T0 - MICRO, 1.0), order("a", T0, 2.0)]
    seen = see(
        tmp_path,
        WEEK,
        exposures,
        orders=orders,
        exposure={"source": "assignments", "key": "test", "filter": "platform <> 'bot'"},
    )
    assert (seen.units(), seen.value(), seen.excluded["mixed"]) == (1, 2, 0)


@pytest.mark.parametrize("outside", [START - MICRO, END, END + DAY])
def test_a_row_outside_the_dates_makes_nobody_mixed(tmp_path, outside):
    seen = see(tmp_path, SUM, [exposure("a"), exposure("a", "treatment", outside), T])
    assert (seen.units(), seen.excluded["mixed"]) == (1, 0)


def test_a_row_outside_as_of_makes_nobody_mixed(tmp_path):
    as_of = T0 + 2 * DAY
    exposures = [
        exposure("a"),
        exposure("a", "treatment", as_of),
        exposure("b"),
        exposure("b", "treatment", as_of - MICRO),
        T,
    ]
    seen = see(tmp_path, SUM, exposures, as_of=as_of)
    assert (seen.units(), seen.excluded["mixed"]) == (1, 1)


@pytest.mark.parametrize("arm", ["other", None, "Control"])
def test_an_unknown_arm_is_dropped_and_counted_and_makes_nobody_mixed(tmp_path, arm):
    exposures = [exposure("a", arm, T0 - DAY), exposure("a", arm, T0 + DAY), exposure("a"), T, exposure("b", arm)]
    orders = [order("a", T0 - MICRO, 1.0), order("a", T0, 2.0)]
    seen = see(tmp_path, WEEK, exposures, orders=orders)
    assert (seen.units(), seen.value()) == (1, 2)  # in its own arm, from its known row on
    assert (seen.excluded["rows_unknown_arm"], seen.excluded["mixed"]) == (3, 0)


def test_rows_without_unit_or_time_are_dropped_and_counted(tmp_path):
    exposures = [exposure("a"), T, exposure(None), exposure(None, "treatment", None), exposure("a", "treatment", None)]
    seen = see(tmp_path, SUM, exposures)
    assert (seen.units(), seen.excluded["mixed"]) == (1, 0)
    assert (seen.excluded["rows_null_unit"], seen.excluded["rows_null_time"]) == (2, 1)


def test_rows_of_another_experiment_are_none_of_ours(tmp_path):
    exposures = [exposure("a"), T, exposure("a", "treatment", key="other"), exposure("b", key=None)]
    seen = see(tmp_path, SUM, exposures)
    assert (seen.units(), seen.excluded["mixed"]) == (1, 0)


def test_the_first_exposure_is_the_earliest_row_and_counts_once(tmp_path):
    exposures = [exposure("a", at=T0 + DAY), exposure("a", at=T0), exposure("a", at=T0 + 2 * DAY), T]
    orders = [order("a", T0 - MICRO, 1.0), order("a", T0, 2.0), order("a", T0 + 7 * DAY, 4.0)]
    seen = see(tmp_path, WEEK, exposures, orders=orders)
    assert (seen.units(), seen.value()) == (1, 2)


def test_ties_go_to_the_smallest_arm_key_not_the_smallest_name(tmp_path):
    arms = {"control": {"key": "20"}, "treatment": {"key": "10"}}
    exposures = [exposure("a", "20"), exposure("a", "10"), exposure("c", "20"), exposure("t", "10")]
    first_arm = {"source": "assignments", "key": "test", "mixed": "first_arm"}
    seen = see(tmp_path, SUM, exposures, arms=arms, exposure=first_arm)
    assert (seen.units("control"), seen.units("treatment")) == (1, 2)


def test_ties_go_to_the_smallest_value_null_last(tmp_path):
    exposures = [
        *(exposure("a", platform=p) for p in ("web", None, "app")),
        *(exposure("b", platform=p) for p in (None, "web")),
        exposure("c", platform=None),
        exposure("d", platform="web"),
        exposure("d", at=T0 + MICRO, platform="app"),  # later: no tie
        T,
    ]
    seen = see(tmp_path, SUM, exposures, analysis={"breakdowns": ["platform"]})
    units = {level: seen.units(level=("platform", level)) for level in ("app", "web", None)}
    assert units == {"app": 1, "web": 2, None: 1}


def test_ties_between_arms_take_the_value_of_the_winning_arm(tmp_path):
    exposures = [exposure("a", "control", platform="web"), exposure("a", "treatment", platform="app"), T]
    first_arm = {"source": "assignments", "key": "test", "mixed": "first_arm"}
    seen = see(tmp_path, SUM, exposures, exposure=first_arm, analysis={"breakdowns": ["platform"]})
    assert seen.units(level=("platform", "web")) == 1


def test_mixed_is_judged_before_the_population(tmp_path):
    """`a` is mixed by a row on a platform outside the population, `b` is outside and not mixed."""
    segments = {"web": {"source": "assignments", "filter": "platform = 'web'"}}
    exposures = [
        exposure("a", platform="web"),
        exposure("a", "treatment", T0 + DAY, platform="app"),
        exposure("b", platform="app"),
        exposure("c", platform="web"),
        exposure("t", "treatment", platform="web"),
    ]
    seen = see(tmp_path, SUM, exposures, segments=segments, population=["web"])
    assert (seen.units(), seen.excluded["mixed"], seen.excluded["outside_population"]) == (1, 1, 1)


def test_the_population_is_read_at_the_first_exposure(tmp_path):
    segments = {"web": {"source": "assignments", "filter": "platform = 'web'"}}
    exposures = [
        exposure("a", platform="web"),
        exposure("a", at=T0 + DAY, platform="app"),
        exposure("b", platform="app"),
        exposure("b", at=T0 + DAY, platform="web"),
        exposure("t", "treatment", platform="web"),
    ]
    orders = [order("a", amount=1.0), order("b", T0 + 2 * DAY, 2.0)]
    seen = see(tmp_path, SUM, exposures, orders=orders, segments=segments, population=["web"])
    assert (seen.units(), seen.total()) == (1, 1)


def test_the_population_comes_before_the_trigger(tmp_path):
    segments = {"web": {"source": "assignments", "filter": "platform = 'web'"}}
    exposures = [
        exposure("in", platform="web"),
        exposure("idle", platform="web"),
        exposure("out", platform="app"),
        exposure("out_idle", platform="app"),
        exposure("t", "treatment", platform="web"),
    ]
    seen = see(
        tmp_path,
        SUM,
        exposures,
        visits=[visit("in"), visit("out"), visit("t")],
        segments=segments,
        population=["web"],
        exposure={"source": "assignments", "key": "test", "trigger": {"source": "visits"}},
    )
    assert (seen.units(), seen.excluded["outside_population"], seen.excluded["untriggered"]) == (1, 2, 1)


# --- mixed units --------------------------------------------------------------------------------------------------------

MIXED = [
    exposure("m", "treatment", T0),
    exposure("m", "control", T0 + DAY),
    exposure("n", "control", T0),
    exposure("n", "treatment", T0 + DAY),
    exposure("n2", "control", T0),
    exposure("n2", "treatment", T0 + 2 * DAY),
    exposure("c"),
    T,
]
PAID = [order("m", amount=1.0), order("n", amount=2.0), order("n2", amount=4.0), order("c", amount=8.0), order("t", amount=16.0)]  # fmt: skip


def policy(mixed):
    return {"source": "assignments", "key": "test", **({"mixed": mixed} if mixed else {})}


@pytest.mark.parametrize("mixed", [None, "exclude", "fail"])
def test_mixed_units_are_excluded_and_counted_by_first_arm(tmp_path, mixed):
    seen = see(tmp_path, SUM, MIXED, orders=PAID, exposure=policy(mixed))
    assert (seen.total("control"), seen.total("treatment")) == (8, 16)
    assert (seen.arm("control").units_mixed, seen.arm("treatment").units_mixed) == (2, 1)
    assert (seen.arm("control").units_assigned, seen.arm("treatment").units_assigned) == (3, 2)
    assert seen.excluded["mixed"] == 3


def test_mixed_units_stay_in_their_first_arm_where_declared(tmp_path):
    seen = see(tmp_path, SUM, MIXED, orders=PAID, exposure=policy("first_arm"))
    assert (seen.total("control"), seen.total("treatment")) == (2 + 4 + 8, 1 + 16)
    assert (seen.units("control"), seen.units("treatment"), seen.excluded["mixed"]) == (3, 2, 0)


@pytest.mark.parametrize(("mixed", "decision"), [("exclude", False), ("first_arm", False), ("fail", True)])
def test_mixed_units_make_the_decision_invalid_only_where_declared(tmp_path, mixed, decision):
    exposures = [*crowd(300, "control", "c"), *crowd(300, "treatment", "t"), exposure("c0", "treatment", T0 + DAY)]
    seen = see(tmp_path, SUM, exposures, exposure=policy(mixed))
    assert (seen.readout.decision.recommendation == "invalid") is decision


@pytest.mark.parametrize(("n", "status"), [(4, "pass"), (5, "fail")])
def test_mixed_health_fails_above_one_percent(tmp_path, n, status):
    """4 of 400 are exactly 1 %; both arms alike, so that evenness plays no part."""
    exposures = [*crowd(200, "control", "c"), *crowd(200, "treatment", "t")]
    exposures += [exposure(f"{'ct'[i % 2]}{i}", ("treatment", "control")[i % 2], T0 + DAY) for i in range(n)]
    assert see(tmp_path, SUM, exposures).health("mixed_units").status == status


@pytest.mark.parametrize(("first", "status"), [(11, "fail"), (9, "pass")])
def test_mixed_health_fails_where_the_rate_differs_between_first_arms(tmp_path, first, status):
    """11 of 1200 against 0 of 1200: chi-square 11.05, p = 0.0009; 9 against 0: p = 0.0027. All below 1 %."""
    exposures = [*crowd(1200, "control", "c"), *crowd(1200, "treatment", "t")]
    exposures += [exposure(f"c{i}", "treatment", T0 + DAY) for i in range(first)]
    health = see(tmp_path, SUM, exposures).health("mixed_units")
    assert (health.status, health.statistic < 0.01) == (status, True)


RAMP = [
    {"from": "2026-01-01", "shares": {"control": "50%", "treatment": "50%"}},
    {"from": "2026-01-05", "shares": {"control": "50%", "treatment": "50%"}},
]


@pytest.mark.parametrize(("second", "status"), [(6, "fail"), (4, "pass")])
def test_mixed_health_fails_where_the_rate_differs_between_epochs(tmp_path, second, status):
    """2 x 6 of 1200 against 0 of 1200 over epochs: p = 0.0005; 2 x 4: p = 0.0046. Arms are alike, all below 1 %."""
    exposures = [
        *crowd(600, "control", "c", START), *crowd(600, "treatment", "t", START),
        *crowd(600, "control", "d"), *crowd(600, "treatment", "u"),
    ]  # fmt: skip
    exposures += [exposure(f"d{i}", "treatment", T0 + DAY) for i in range(second)]
    exposures += [exposure(f"u{i}", "control", T0 + DAY) for i in range(second)]
    seen = see(tmp_path, SUM, exposures, ramp=RAMP, exposure=policy("first_arm"))
    assert (seen.health("mixed_units").status, seen.health("mixed_units").statistic < 0.01) == (status, True)


@pytest.mark.parametrize(("mixed", "name", "units"), [("exclude", "mixed_first_arm", (3, 2)), ("first_arm", "mixed_excluded", (1, 1))])  # fmt: skip
def test_the_other_policy_stands_beside(tmp_path, mixed, name, units):
    (beside,) = see(tmp_path, SUM, MIXED, orders=PAID, exposure=policy(mixed)).readout.sensitivity
    assert (beside["analysis"], beside["metric"], tuple(beside["units"])) == (name, "m", units)


def test_the_other_policy_has_the_numbers_of_its_own_analysis(tmp_path):
    exposures = [*crowd(40, "control", "c"), *crowd(40, "treatment", "t"), exposure("c0", "treatment", T0 + DAY)]
    orders = [order(f"{p}{i}", amount=float(i % 9 + (p == "t"))) for p in "ct" for i in range(40)]
    headline = see(tmp_path, SUM, exposures, orders=orders, exposure=policy("first_arm")).row()
    (beside,) = see(tmp_path, SUM, exposures, orders=orders, exposure=policy("exclude")).readout.sensitivity
    assert beside["absolute"]["estimate"] == pytest.approx(headline.absolute.estimate, rel=1e-12)
    assert beside["p_value"] == pytest.approx(headline.p_value, rel=1e-9)


def test_srm_is_computed_before_and_after_exclusion(tmp_path):
    exposures = [*crowd(400, "control", "c"), *crowd(400, "treatment", "t")]
    exposures += [exposure(f"t{i}", "control", T0 + DAY) for i in range(200)]
    seen = see(tmp_path, SUM, exposures)
    before, after = seen.health("srm_assignment"), seen.health("srm_analysed")
    assert (before.status, before.statistic) == ("pass", 0)
    assert after.status == "fail"
    assert after.statistic == pytest.approx(2 * 100**2 / 300)  # 400 and 200 where 300 each are expected
    assert seen.readout.decision.recommendation == "invalid"


# --- ramps --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exposed", "refused"),
    [({}, True), ({"mixed": "exclude"}, True), ({"assignment": "sticky"}, False), ({"mixed": "first_arm"}, False), ({"mixed": "fail"}, False)],
)  # fmt: skip
def test_a_ramp_may_exclude_mixed_units_only_with_sticky_assignment(tmp_path, exposed, refused):
    project = build(tmp_path, {"m": SUM}, ramp=RAMP, exposure={**policy(None), **exposed})
    assert ("ramp-mixed" in rules(project)) is refused


def test_a_ramp_step_begins_at_its_instant(tmp_path):
    step = T0.replace(hour=0)
    exposures = [exposure("a", at=step - MICRO), exposure("b", at=step), exposure("b2", at=step + DAY), T]
    seen = see(tmp_path, COUNT, exposures, ramp=RAMP, exposure=policy("first_arm"))
    assert [seen.moments(epoch=epoch)["n"] for epoch in (0, 1)] == [1, 2]


def test_a_ramp_epoch_is_that_of_the_first_exposure(tmp_path):
    step = T0.replace(hour=0)
    exposures = [exposure("a", at=step + DAY), exposure("a", at=step - MICRO), exposure("b", at=step), T]
    seen = see(tmp_path, COUNT, exposures, ramp=RAMP, exposure=policy("first_arm"))
    assert [seen.moments(epoch=epoch)["n"] for epoch in (0, 1)] == [1, 1]


# --- shares -------------------------------------------------------------------------------------------------------------


def arms(**shares):
    return {name: {"share": share} if share else None for name, share in shares.items()}


@pytest.mark.parametrize(
    ("shares", "accepted"),
    [
        ({"control": "1/3", "treatment": "1/3", "other": "1/3"}, True),
        ({"control": "33.3%", "treatment": "33.3%", "other": "33.4%"}, True),
        ({"control": "33.33%", "treatment": "33.33%", "other": "33.33%"}, False),
        ({"control": "1/3", "treatment": "2/3"}, True),
        ({"control": "1/3", "treatment": "66.666666666666666%"}, False),  # equal in floating point, not exactly
        ({"control": "0.1%", "treatment": "99.9%"}, True),
        ({"control": "50%", "treatment": None}, False),
    ],
)
def test_shares_sum_exactly(tmp_path, shares, accepted):
    assert ("shares-not-100" not in rules(build(tmp_path, {"m": SUM}, arms=arms(**shares)))) is accepted


def test_shares_left_out_are_equal(tmp_path):
    exposures = [*crowd(100, "control", "c"), *crowd(100, "treatment", "t"), *crowd(100, "other", "o")]
    seen = see(tmp_path, SUM, exposures, arms=arms(control=None, treatment=None, other=None))
    assert [arm.share_expected for arm in seen.readout.arms] == [1 / 3] * 3
    assert seen.health("srm_assignment").statistic == 0


def test_a_share_may_be_a_fraction(tmp_path):
    exposures = [*crowd(100, "control", "c"), *crowd(200, "treatment", "t")]
    seen = see(tmp_path, SUM, exposures, arms=arms(control="1/3", treatment="2/3"))
    assert (seen.health("srm_assignment").statistic, seen.health("srm_assignment").p_value) == (0, 1)
    wrong = see(tmp_path, SUM, exposures)
    assert wrong.health("srm_assignment").statistic == pytest.approx(2 * 50**2 / 150)


# --- clusters -----------------------------------------------------------------------------------------------------------


def test_a_cluster_has_the_arm_of_its_earliest_exposure_and_is_mixed_with_all_its_units(tmp_path):
    exposures = [
        exposure("a", "treatment", T0 + DAY, shop="s"),
        exposure("b", "control", T0, shop="s"),
        exposure("c", "control", shop="r"),
        exposure("d", "treatment", shop="q"),
    ]
    orders = [order(unit, T0 + 2 * DAY, 2.0**i) for i, unit in enumerate("abcd")]
    seen = see(tmp_path, SUM, exposures, orders=orders, cluster="shop")
    assert (seen.moments("control")["mean"], seen.moments("treatment")["mean"]) == (4, 8)
    assert (seen.arm("control").units_mixed, seen.arm("treatment").units_mixed) == (2, 0)
    kept = see(tmp_path, SUM, exposures, orders=orders, cluster="shop", exposure=policy("first_arm"))
    assert (kept.moments("control")["n"], kept.moments("control")["mean"]) == (2, (1 + 2 + 4) / 2)
    assert kept.moments("treatment")["n"] == 1


def test_a_cluster_is_that_of_the_first_exposure_the_smallest_at_ties(tmp_path):
    exposures = [
        exposure("a", shop="s2"), exposure("a", shop="s1"), exposure("a", shop=None),
        exposure("b", shop="s1"), exposure("b", at=T0 + DAY, shop="s3"),
        exposure("t", "treatment", shop="s9"),
    ]  # fmt: skip
    seen = see(tmp_path, COUNT, exposures, orders=[order("a"), order("b")], cluster="shop")
    assert (seen.moments()["n"], seen.moments()["mean"]) == (1, 2)


def test_units_without_a_cluster_are_dropped_and_counted(tmp_path):
    exposures = [exposure("a", shop="s"), exposure("b"), exposure("t", "treatment", shop="q")]
    seen = see(tmp_path, COUNT, exposures, orders=[order("a"), order("b"), order("b")], cluster="shop")
    assert (seen.moments()["n"], seen.moments()["mean"], seen.excluded["null_cluster"]) == (1, 1, 1)


def test_a_cluster_weighs_as_many_units_as_it_has_unless_declared_otherwise(tmp_path):
    """Shops with 1 unit of value 6 and with 3 of value 2: 12 / 4 per unit, (6 + 2) / 2 per cluster."""
    exposures = [exposure("a", shop="s"), *(exposure(u, shop="r") for u in "bcd"), exposure("t", "treatment", shop="q")]
    orders = [order("a", amount=6.0), *(order(u, amount=2.0) for u in "bcd")]
    assert see(tmp_path, SUM, exposures, orders=orders, cluster="shop").value() == pytest.approx(3)
    whole = see(tmp_path, SUM, exposures, orders=orders, cluster="shop", cluster_effect="per_cluster")
    assert whole.value() == pytest.approx(4)


def test_a_cluster_without_units_to_analyse_is_no_cluster(tmp_path):
    """Only clusters with an eligible unit are counted: those of `r` are immature."""
    exposures = [exposure("a", shop="s"), exposure("b", at=T0 + HOUR, shop="r"), exposure("t", "treatment", shop="q")]
    seen = see(tmp_path, {**ANY, "window": "7d"}, exposures, cluster="shop", as_of=T0 + 7 * DAY)
    assert seen.units() == 1


def test_a_zone_of_the_project_moves_no_exposure(tmp_path):
    seen = see(tmp_path, SUM, [exposure("a", at=START), T], project=defaults(timezone="Asia/Tokyo"))
    assert seen.units() == 1  # the experiment starts at 15:00 UTC the day before
    with pytest.raises(DefinitionErrors):
        build(tmp_path, {"m": SUM}, end="2026-01-01").compile("test")
