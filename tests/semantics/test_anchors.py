"""Rules of what is known of a unit before assignment, and of triggers (section 2 of the semantics).

Triggers:
  test_a_trigger_*, test_the_window_starts_*, test_maturity_counts_*    [first exposure, min(end, as-of)), first row wins
  test_the_experiment_window_*                                         starts at the trigger, too
  test_population_*, test_covariates_stay_*, test_attributes_stay_*, test_epochs_stay_*, test_breakdowns_stay_*
                                                                       anchored before assignment
  test_srm_*                                                           for exposed and for triggered units
  test_the_diluted_effect_*                                            beside the triggered one
Dimensions:
  test_breakdown_*, test_attribute_*, test_current_*, test_a_name_*    value at exposure, NULL its own cell
  test_strata_*                                                        estimates weigh the cells, NULL among them
Segments:
  test_a_segment_*, test_population_segments_*                         events in [a - lookback, a), lookback stated
"""

import pytest

from .world import (
    ANY,
    COUNT,
    DAY,
    END,
    HOUR,
    LATE,
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
TRIGGER = {"source": "assignments", "key": "test", "trigger": {"source": "visits"}}
VT = visit("t")
AS_OF_PAST = T0 + 3 * DAY


def triggered(tmp_path, metric, exposures, visits, **world):
    world.setdefault("exposure", TRIGGER)
    return see(tmp_path, metric, [*exposures, T], visits=[*visits, VT], **world)


# --- triggers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "counts"),
    [(T0 - MICRO, False), (T0, True), (END - MICRO, True), (END, False)],
)
def test_a_trigger_lies_between_exposure_and_end(tmp_path, moment, counts):
    exposures = [exposure("a"), exposure("b")]
    seen = triggered(tmp_path, SUM, exposures, [visit("a", moment), visit("b")])
    assert (seen.units(), seen.excluded["untriggered"]) == ((2, 0) if counts else (1, 1))


def test_a_trigger_lies_before_as_of(tmp_path):
    visits = [visit("a", AS_OF_PAST - MICRO), visit("b", AS_OF_PAST)]
    seen = triggered(tmp_path, SUM, [exposure("a"), exposure("b")], visits, as_of=AS_OF_PAST)
    assert (seen.units(), seen.excluded["untriggered"]) == (1, 1)


def test_a_trigger_row_must_pass_the_filters_of_trigger_and_source(tmp_path):
    visits = [visit("a", T0, "cart"), visit("b", T0, "home"), visit("c", T0, "admin cart"), visit("t", T0, "cart")]
    seen = triggered(
        tmp_path,
        SUM,
        [exposure(u) for u in "abc"],
        visits,
        sources=changed("visits", filter="page NOT LIKE 'admin%'"),
        exposure={**TRIGGER, "trigger": {"source": "visits", "filter": "page LIKE '%cart'"}},
    )
    assert (seen.units(), seen.excluded["untriggered"]) == (1, 2)


def test_a_trigger_row_loaded_at_as_of_does_not_count(tmp_path):
    trigger = {**TRIGGER, "trigger": {"source": "orders"}}
    loaded = changed("orders", loaded_at="loaded_at")
    orders = [order("a", loaded=AS_OF_PAST), order("b", loaded=AS_OF_PAST - MICRO), order("t")]
    world = {"orders": orders, "sources": loaded, "exposure": trigger, "as_of": AS_OF_PAST}
    assert see(tmp_path, SUM, [exposure("a"), exposure("b"), T], **world).units() == 1


def test_the_window_starts_at_the_first_trigger(tmp_path):
    first = T0 + 2 * DAY
    rows = [first - MICRO, first, first + 7 * DAY - MICRO, first + 7 * DAY]
    orders = [order("a", moment, 2.0**i) for i, moment in enumerate(rows)]
    visits = [visit("a", first + DAY), visit("a", first), visit("a", T0 - DAY)]
    seen = triggered(tmp_path, {**SUM, "window": "7d"}, [exposure("a")], visits, orders=orders)
    assert seen.value() == 2 + 4


def test_the_experiment_window_starts_at_the_trigger_and_ends_at_the_end(tmp_path):
    first = T0 + 2 * DAY
    orders = [order("a", moment, 2.0**i) for i, moment in enumerate([first - MICRO, first, END - MICRO, END])]
    assert triggered(tmp_path, SUM, [exposure("a")], [visit("a", first)], orders=orders).value() == 2 + 4


def test_maturity_counts_from_the_trigger(tmp_path):
    as_of = T0 + 9 * DAY
    visits = [visit("a", T0 + 2 * DAY), visit("b", T0 + 2 * DAY + MICRO)]
    seen = triggered(tmp_path, {**SUM, "window": "7d"}, [exposure("a"), exposure("b")], visits, as_of=as_of)
    assert (seen.units(), seen.excluded["immature_7d"]) == (1, 1)


def test_population_stays_anchored_before_assignment(tmp_path):
    """`a` ordered in the day before exposure; `b` between exposure and trigger, which is after assignment."""
    segments = {"buyers": {"source": "orders", "filter": "amount > 0", "lookback": "1d"}}
    first = T0 + 6 * HOUR
    orders = [order("a", T0 - DAY, 1.0), order("b", T0 + HOUR, 1.0), order("t", T0 - HOUR, 1.0)]
    seen = triggered(
        tmp_path, COUNT, [exposure("a"), exposure("b")], [visit("a", first), visit("b", first)],
        orders=orders, segments=segments, population=["buyers"],
    )  # fmt: skip
    assert (seen.units(), seen.value(), seen.excluded["outside_population"]) == (1, 0, 1)


def test_covariates_stay_anchored_before_assignment(tmp_path):
    first = T0 + 6 * HOUR
    rows = [T0 - DAY - MICRO, T0 - DAY, T0 - MICRO, T0, first - MICRO, first]
    orders = [order("a", moment, 2.0**i) for i, moment in enumerate(rows)]
    definition = {**SUM, "covariates": {"lookback": "1d"}}
    seen = triggered(tmp_path, definition, [exposure("a")], [visit("a", first)], orders=orders)
    assert (seen.moments(column="m__pre")["mean"], seen.moments()["mean"]) == (2 + 4, 32)


def test_attributes_stay_those_of_the_exposure(tmp_path):
    users = [user("a", tier="old"), user("a", tier="new", since=T0 + HOUR), user("t", tier="old")]
    segments = {"old": {"source": "users", "filter": "tier = 'old'"}}
    seen = triggered(
        tmp_path, SUM, [exposure("a")], [visit("a", T0 + 2 * HOUR)], users=users, segments=segments, population=["old"]
    )
    assert seen.units() == 1


def test_breakdowns_stay_those_of_the_exposure(tmp_path):
    users = [user("a", tier="old"), user("a", tier="new", since=T0 + HOUR)]
    seen = triggered(
        tmp_path, SUM, [exposure("a")], [visit("a", T0 + 2 * HOUR)], users=users, analysis={"breakdowns": ["tier"]}
    )
    assert seen.units(level=("tier", "old")) == 1


def test_epochs_stay_those_of_the_exposure(tmp_path):
    step = {"shares": {"control": "50%", "treatment": "50%"}}
    ramp = [{"from": "2026-01-01", **step}, {"from": "2026-01-06", **step}]
    exposed = {**TRIGGER, "mixed": "first_arm"}
    seen = triggered(tmp_path, SUM, [exposure("a")], [visit("a", T0 + 2 * DAY)], exposure=exposed, ramp=ramp)
    assert [seen.moments(epoch=epoch)["n"] for epoch in (0, 1)] == [1, 0]


def crowd(n, arm, prefix, **fields):
    return [exposure(f"{prefix}{i}", arm, **fields) for i in range(n)]


def test_srm_is_judged_for_exposed_and_for_triggered_units(tmp_path):
    exposures = [*crowd(300, "control", "c"), *crowd(299, "treatment", "u")]
    visits = [*(visit(f"c{i}") for i in range(200)), *(visit(f"u{i}") for i in range(99))]
    seen = triggered(tmp_path, SUM, exposures, visits)
    exposed, at_trigger = seen.health("srm_analysed"), seen.health("srm_triggered")
    assert (exposed.status, exposed.statistic) == ("pass", 0)
    assert (at_trigger.status, at_trigger.statistic) == ("fail", pytest.approx(2 * 50**2 / 150))
    assert exposed.threshold == pytest.approx(0.001 / 3)  # assigned, exposed, triggered
    assert seen.readout.decision.recommendation == "invalid"


DILUTED = {
    "exposures": [*crowd(40, "control", "c"), *crowd(39, "treatment", "u")],
    "visits": [*(visit(f"c{i}") for i in range(20)), *(visit(f"u{i}") for i in range(19))],
    "orders": [
        *(order(f"c{i}", amount=2.0 + i % 2) for i in range(20)),  # triggered: mean 2.5
        *(order(f"c{i}", amount=4.0) for i in range(20, 40)),  # not triggered: mean 4
        *(order(f"u{i}", amount=3.0 + i % 2) for i in range(19)),
        *(order(f"u{i}", amount=4.0) for i in range(19, 39)),
        order("t", T0 + HOUR, 4.0),  # triggered: mean 3.5 with u0 .. u18
    ],
}


def test_the_diluted_effect_is_the_triggered_one_times_the_trigger_rate(tmp_path):
    seen = triggered(tmp_path, SUM, **DILUTED)
    row = seen.row()
    assert (row.units, row.baseline_value, row.arm_value) == ((20, 20), 2.5, 3.5)
    assert row.diluted["trigger_rate"] == 0.5
    assert row.diluted["absolute"]["estimate"] == pytest.approx((3.5 - 2.5) * 0.5)
    assert row.diluted["absolute"]["lower"] == pytest.approx(row.absolute.lower * 0.5)
    assert row.diluted["baseline_value"] == pytest.approx((20 * 2.5 + 20 * 4) / 40)
    assert row.diluted["relative"]["estimate"] == pytest.approx(0.5 / 3.25)


def test_the_diluted_baseline_counts_rows_from_exposure_on(tmp_path):
    """Rows between exposure and trigger belong to the mean over all exposed, not to the triggered outcome."""
    extra = {**DILUTED, "orders": [*DILUTED["orders"], *(order(f"c{i}", T0, 40.0) for i in range(2))]}
    row = triggered(tmp_path, SUM, **extra).row()
    assert row.baseline_value == 2.5
    assert row.diluted["baseline_value"] == pytest.approx(3.25 + 80 / 40)


# --- dimensions ---------------------------------------------------------------------------------------------------------


def test_breakdown_cells_have_their_own_estimates_null_among_them(tmp_path):
    exposures = [exposure("a", platform="web"), exposure("b", platform="app"), exposure("c"), exposure("d"), T]
    exposures += [exposure(f"t{level}", "treatment", platform=level) for level in ("web", "app")]
    orders = [order(unit, amount=2.0**i) for i, unit in enumerate("abcd")]
    seen = see(tmp_path, SUM, exposures, orders=orders, analysis={"breakdowns": ["platform"]})
    cells = {level: (seen.units(level=("platform", level)), seen.value(level=("platform", level))) for level in ("app", "web", None)}  # fmt: skip
    assert cells == {"web": (1, 1), "app": (1, 2), None: (2, (4 + 8) / 2)}
    assert seen.total() == 15  # the overall row has them all


def test_breakdown_level_called_null_is_not_null(tmp_path):
    exposures = [exposure("a", platform="NULL"), exposure("b", platform="n"), exposure("c"), T]
    seen = see(tmp_path, SUM, exposures, analysis={"breakdowns": ["platform"]})
    assert [seen.units(level=("platform", level)) for level in ("NULL", "n", None)] == [1, 1, 1]


def test_breakdown_of_a_truth_value_is_written_in_words(tmp_path):
    users = [user("a", age=20.0), user("b", age=60.0), user("c")]
    sources = changed("users", dimensions={"senior": "age >= 50"})
    exposures = [*(exposure(u) for u in "abc"), T]
    seen = see(tmp_path, SUM, exposures, users=users, sources=sources, analysis={"breakdowns": ["senior"]})
    units = [seen.units(level=("senior", level)) for level in ("false", "true", None)]
    assert units == [1, 1, 1]


@pytest.mark.parametrize(
    ("rows", "level"),
    [
        ([user("a", tier="x", since=T0)], "x"),  # valid from the exposure on
        ([user("a", tier="x", since=T0 + MICRO)], None),  # not yet
        ([user("a", tier="x", until=T0)], None),  # no longer
        ([user("a", tier="x", until=T0 + MICRO)], "x"),
        ([user("a", tier="x"), user("a", tier="a", since=T0 - 2 * DAY), user("a", tier="b", since=T0 - DAY)], "b"),
        ([user("a", tier="x", since=T0 - DAY, until=T0), user("a", tier="y", since=T0 - 2 * DAY)], "y"),
        ([user("a", tier="y", since=T0 - DAY), user("a", tier="x", since=T0 - DAY)], "x"),  # smallest of several
        ([user("a", tier=None, since=T0 - DAY), user("a", tier="y", since=T0 - DAY)], "y"),
        ([user("a", tier="x", since=T0 - 2 * DAY), user("a", tier=None, since=T0 - DAY)], None),  # the latest says NULL
        ([user("b", tier="x")], None),
    ],
)
def test_attribute_is_that_of_the_row_valid_at_exposure(tmp_path, rows, level):
    seen = see(tmp_path, SUM, [exposure("a"), T], users=rows, analysis={"breakdowns": ["tier"]})
    assert seen.units(level=("tier", level)) == 1


CURRENT = changed("users", valid_from=None, valid_to=None)


def test_current_value_holds_where_attributes_have_no_time_and_is_warned_of(tmp_path):
    users = [user("a", tier="x", since=END)]
    world = {"users": users, "sources": CURRENT, "analysis": {"breakdowns": ["tier"]}}
    assert see(tmp_path, SUM, [exposure("a"), T], **world).units(level=("tier", "x")) == 1
    warned = [d for d in build(tmp_path, {"m": SUM}, **world).check() if d.rule == "current-value-attribute"]
    assert [d.severity for d in warned] == ["warning"]
    assert "current-value-attribute" not in rules(build(tmp_path, {"m": SUM}, **{**world, "sources": changed("users")}))


@pytest.mark.parametrize("key", ["breakdowns", "strata"])
def test_a_name_found_in_two_sources_is_written_with_its_source(tmp_path, key):
    sources = changed("users", dimensions={"platform": "tier", "age": "age"})
    rows = [exposure("a", platform="web"), T]
    assert "ambiguous-dimension" in rules(build(tmp_path, {"m": SUM}, sources=sources, analysis={key: ["platform"]}))
    both = ["assignments.platform", "users.platform"]
    project = build(tmp_path, {"m": SUM}, rows, sources=sources, users=[user("a", tier="gold")], analysis={key: both})
    assert not {d.rule for d in project.check() if d.severity == "error"}
    if key == "breakdowns":
        found = [r.segment for r in project.run("test", as_of=LATE).estimates if r.segment and r.units[0]]
        assert found == [{"assignments.platform": "web"}, {"users.platform": "gold"}]


def test_strata_are_levels_of_the_estimate_null_among_them(tmp_path):
    """Cells of unequal weight: the stratified difference is the mean of the cells' differences, weighted by size.

    web: 60 and 20 units, difference 1; NULL: 20 and 60 units, difference 3. Weights 1/2 each: 2. Plain means differ by
    (2 * 20 + 13 * 60) / 80 - (1 * 60 + 10 * 20) / 80 = 10.25 - 3.25 = 7.
    """
    sizes = {("control", "web"): 60, ("treatment", "web"): 20, ("control", None): 20, ("treatment", None): 60}
    means = {("control", "web"): 1, ("treatment", "web"): 2, ("control", None): 10, ("treatment", None): 13}
    exposures, orders = [], []
    for (arm, platform), n in sizes.items():
        for i in range(n):
            unit = f"{arm}{platform}{i}"
            exposures.append(exposure(unit, arm, platform=platform))
            orders.append(order(unit, amount=float(means[arm, platform] + (i % 2 or -1) * 0.5)))
    plain = see(tmp_path, SUM, exposures, orders=orders).row()
    row = see(tmp_path, SUM, exposures, orders=orders, analysis={"strata": ["platform"]}).row()
    assert plain.absolute.estimate == pytest.approx(7)
    assert row.absolute.estimate == pytest.approx(2)
    assert row.unadjusted["estimate"] == pytest.approx(7)
    assert row.estimator.covariates == ("strata",)


def test_strata_and_breakdown_of_one_dimension_agree_on_its_cells(tmp_path):
    exposures = [exposure("a", platform="web"), exposure("b"), exposure("c"), T]
    seen = see(tmp_path, SUM, exposures, analysis={"strata": ["platform"], "breakdowns": ["platform"]})
    assert [seen.units(level=("platform", level)) for level in ("web", None)] == [1, 2]
    assert seen.units() == 3


# --- segments -----------------------------------------------------------------------------------------------------------


def segment(**fields):
    return {"s": {"source": "orders", "filter": "status = 'paid'", "lookback": "2d", **fields}}


@pytest.mark.parametrize(
    ("moment", "inside"), [(T0 - 2 * DAY - MICRO, False), (T0 - 2 * DAY, True), (T0 - MICRO, True), (T0, False)]
)
def test_a_segment_on_events_looks_back_from_exposure(tmp_path, moment, inside):
    orders = [order("a", moment), order("b", T0 - HOUR), order("t", T0 - HOUR)]
    world = {"orders": orders, "segments": segment(), "population": ["s"]}
    assert see(tmp_path, ANY, [exposure("a"), exposure("b"), T], **world).units() == (2 if inside else 1)


def test_a_segment_row_must_pass_the_filters_of_segment_and_source(tmp_path):
    orders = [order("a", T0 - HOUR, 5.0), order("b", T0 - HOUR, status="open"), order("c", T0 - HOUR, 0.5), order("t", T0 - HOUR, 5.0)]  # fmt: skip
    world = {"sources": changed("orders", filter="amount > 1"), "segments": segment(), "population": ["s"]}
    exposures = [*(exposure(u) for u in "abc"), T]
    assert see(tmp_path, ANY, exposures, orders=orders, **world).units() == 1


def test_a_segment_row_loaded_at_as_of_does_not_count(tmp_path):
    orders = [order(u, T0 - HOUR, loaded=AS_OF_PAST - lead) for u, lead in (("a", MICRO), ("b", 0 * DAY), ("t", DAY))]
    loaded = changed("orders", loaded_at="loaded_at")
    world = {"orders": orders, "sources": loaded, "segments": segment(), "population": ["s"], "as_of": AS_OF_PAST}
    assert see(tmp_path, ANY, [exposure("a"), exposure("b"), T], **world).units() == 1


def test_a_segment_on_events_must_state_its_lookback(tmp_path):
    stated = segment()
    silent = {"s": {k: v for k, v in stated["s"].items() if k != "lookback"}}
    found = [rules(build(tmp_path, {"m": ANY}, segments=s, population=["s"])) for s in (stated, silent)]
    assert ["segment-after-exposure" in r for r in found] == [False, True]


def test_population_segments_must_all_hold(tmp_path):
    segments = {**segment(), "web": {"source": "assignments", "filter": "platform = 'web'"}}
    exposures = [
        exposure("a", platform="web"),
        exposure("b", platform="web"),
        exposure("c", platform="app"),
        exposure("t", "treatment", platform="web"),
    ]
    orders = [order(u, T0 - HOUR) for u in "act"]
    seen = see(tmp_path, ANY, exposures, orders=orders, segments=segments, population=["s", "web"])
    assert (seen.units(), seen.excluded["outside_population"]) == (1, 2)


def test_a_segment_has_no_day_of_its_own(tmp_path):
    """A lookback of 1d is 24 hours, in whatever zone."""
    orders = [order("a", T0 - DAY), order("b", T0 - DAY - MICRO), order("t", T0 - HOUR)]
    world = {"segments": segment(lookback="1d"), "population": ["s"], "project": defaults(timezone="America/New_York")}
    assert see(tmp_path, ANY, [exposure("a"), exposure("b"), T], orders=orders, **world).units() == 1
