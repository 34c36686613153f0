"""Health checks against figures computed from the rows themselves: what is counted, which test, when it warns."""

import copy
from datetime import timedelta

import numpy as np
import pytest
from scipy.stats import chi2_contingency, chisquare, ttest_ind
from semantics.world import ANY, DAY, HOUR, SOURCES, START, defaults, exposure, order, see

EXPOSURE = {"source": "assignments", "key": "test"}


def crowd(n, arm, at, prefix, **fields):
    return [exposure(f"{prefix}{arm}{at:%m%d}{i}", arm, at + i * timedelta(seconds=1), **fields) for i in range(n)]


def days_of(counts, **fields):
    """Units per day: (control, treatment), from the start on."""
    return [
        row
        for day, (control, treatment) in enumerate(counts)
        for arm, n in (("control", control), ("treatment", treatment))
        for row in crowd(n, arm, START + day * DAY + HOUR, "u", **fields)
    ]


def holm(p_values):
    ordered = sorted(p_values)
    adjusted = [min(1, max((len(ordered) - j) * ordered[j] for j in range(i + 1))) for i in range(len(ordered))]
    return dict(zip(ordered, adjusted, strict=True))


# --- sample ratios by day and segment -------------------------------------------------------------------------------


COUNTS = [(100, 110), (95, 90), (160, 60), (104, 99), (90, 101)]


def test_every_day_is_tested_with_holm_over_the_days(tmp_path):
    found = see(tmp_path, ANY, days_of(COUNTS)).health("srm_by_day")
    tests = [chisquare(day) for day in COUNTS]
    p_values = [test.pvalue for test in tests]
    assert found.p_value == pytest.approx(min(holm(p_values).values()))
    assert found.statistic == pytest.approx(tests[2].statistic)
    assert (found.status, found.threshold) == ("warn", 0.001)
    assert found.message == (
        "1 of 5 days differ from the shares: 2026-01-03 (control 160, treatment 60); "
        "find out what was released or lost on them"
    )


def test_days_that_fit_pass(tmp_path):
    seen = see(tmp_path, ANY, days_of([(100, 110), (95, 90)]))
    assert (seen.health("srm_by_day").status, seen.health("srm_by_day").statistic) == ("pass", 100 / 210)
    assert seen.health("allocation_drift").status == "pass"


def test_a_day_is_that_of_the_projects_time_zone(tmp_path):
    late = START + DAY + timedelta(hours=23, minutes=30)  # in Berlin the day after
    exposures = [*crowd(60, "control", late, "u"), *crowd(60, "treatment", late + 2 * HOUR, "u")]
    assert see(tmp_path, ANY, exposures).health("srm_by_day").status == "warn"
    assert (
        see(tmp_path, ANY, exposures, project=defaults(timezone="Europe/Berlin")).health("srm_by_day").status == "pass"
    )


def test_a_day_on_which_a_ramp_steps_is_tested_with_the_shares_of_each_part(tmp_path):
    ramp = [
        {"from": "2026-01-01", "shares": {"control": "90%", "treatment": "10%"}},
        {"from": "2026-01-03T12:00:00Z", "shares": {"control": "50%", "treatment": "50%"}},
    ]
    first, second = START + 2 * DAY + HOUR, START + 2 * DAY + 13 * HOUR
    exposures = [
        *crowd(900, "control", first, "a"),
        *crowd(100, "treatment", first, "a"),
        *crowd(500, "control", second, "b"),
        *crowd(500, "treatment", second, "b"),
    ]
    sticky = {**EXPOSURE, "assignment": "sticky"}
    seen = see(tmp_path, ANY, exposures, ramp=ramp, exposure=sticky)
    assert (seen.health("srm_by_day").status, seen.health("srm_by_day").statistic) == ("pass", 0)
    assert see(tmp_path, ANY, exposures, exposure=sticky).health("srm_by_day").status == "warn"


def test_clusters_of_a_ramp_count_on_the_day_of_their_first_unit(tmp_path):
    """Later days bring units to clusters that are there already, in both epochs: nothing to test, and no reason to fail."""
    ramp = [
        {"from": "2026-01-01", "shares": {"control": "50%", "treatment": "50%"}},
        {"from": "2026-01-03", "shares": {"control": "50%", "treatment": "50%"}},
    ]
    exposures = [
        exposure(f"u{shop}{day}", ("control", "treatment")[shop % 2], START + day * DAY + HOUR, shop=f"s{shop}")
        for shop in range(40)
        for day in ((0, 4) if shop < 20 else (2, 4))
    ]
    sticky = {**EXPOSURE, "assignment": "sticky"}
    seen = see(tmp_path, ANY, exposures, ramp=ramp, exposure=sticky, cluster="shop", unit="user")
    assert seen.health("srm_by_day").status == "pass"


def test_every_level_is_tested_with_holm_over_the_levels(tmp_path):
    sizes = {"web": (500, 510), "app": (300, 190), None: (40, 45)}
    exposures = [row for platform, (a, b) in sizes.items() for row in days_of([(a, b)], platform=platform)]
    exposures = [(f"{row[0]}{row[4]}", *row[1:]) for row in exposures]
    seen = see(tmp_path, ANY, exposures, analysis={"breakdowns": ["platform"]})
    found = [row for row in seen.readout.health if row.check == "srm_by_segment"]
    assert [row.segment for row in found] == [{"platform": "app"}]
    assert found[0].statistic == pytest.approx(chisquare(sizes["app"]).statistic)
    assert found[0].p_value == pytest.approx(3 * chisquare(sizes["app"]).pvalue)
    assert found[0].status == "warn"
    assert seen.readout.decision.recommendation != "invalid"


def test_strata_are_segments_too_and_small_levels_stay_unnamed(tmp_path):
    exposures = [*days_of([(200, 210)], platform="web"), *days_of([(0, 20)], platform="app")]
    exposures = [(f"{row[0]}{row[4]}", *row[1:]) for row in exposures]
    analysis = {"strata": ["platform"]}
    seen = see(tmp_path, ANY, exposures, analysis=analysis)
    assert seen.health("srm_by_segment").segment == {"platform": "app"}
    seen = see(tmp_path, ANY, exposures, analysis=analysis, project={**defaults(), "min_units": 10})
    assert (seen.health("srm_by_segment").status, seen.health("srm_by_segment").segment) == ("pass", None)


def test_units_of_an_arm_without_share_fail(tmp_path):
    arms = {"control": {"share": "50%"}, "treatment": {"share": "50%"}, "off": {"share": "0%"}}
    exposures = [*days_of([(50, 50)]), exposure("x", "off")]
    seen = see(tmp_path, ANY, exposures, arms=arms)
    found = seen.health("srm_assignment")
    assert (found.status, seen.readout.decision.recommendation) == ("fail", "invalid")
    assert "off 1; an arm with share 0 has units" in found.message


# --- drift ------------------------------------------------------------------------------------------------------------


def test_drift_names_the_epoch_of_a_ramp_in_which_the_split_changes(tmp_path):
    half, most = {"control": "50%", "treatment": "50%"}, {"control": "20%", "treatment": "80%"}
    ramp = [{"from": "2026-01-01", "shares": half}, {"from": "2026-01-05", "shares": most}]
    counts = [(100, 100)] * 4 + [(20, 80), (20, 80), (80, 20), (80, 20)]
    sticky = {"source": "assignments", "key": "test", "assignment": "sticky"}
    found = see(tmp_path, ANY, days_of(counts), ramp=ramp, exposure=sticky).health("allocation_drift")
    assert found.status == "warn"
    assert "changes over time within epoch 2 of the ramp: control got 20.00%" in found.message


def test_drift_compares_the_split_of_the_days_whatever_the_shares(tmp_path):
    counts = [(140, 60), (138, 62), (90, 110), (95, 104)]
    found = see(tmp_path, ANY, days_of(counts)).health("allocation_drift")
    want = chi2_contingency(np.array(counts), correction=False)
    assert (found.statistic, found.p_value) == (pytest.approx(want.statistic), pytest.approx(want.pvalue))
    assert found.status == "warn"
    first, second = 278 / 400, 185 / 399
    assert f"control got {first:.2%} in the first half of the days and {second:.2%} in the second" in found.message


def test_drift_joins_days_until_every_arm_expects_five(tmp_path):
    counts = [(3, 2), (2, 3), (4, 1), (50, 50), (1, 2)]
    found = see(tmp_path, ANY, days_of(counts)).health("allocation_drift")
    # 13 of 118 would do for neither of the first two days alone: 5 units in the smaller arm need 11 of these
    want = chi2_contingency(np.array([(9, 6), (51, 52)]), correction=False)
    assert found.statistic == pytest.approx(want.statistic)


def test_drift_is_within_the_epochs_of_a_ramp(tmp_path):
    ramp = [
        {"from": "2026-01-01", "shares": {"control": "80%", "treatment": "20%"}},
        {"from": "2026-01-03", "shares": {"control": "50%", "treatment": "50%"}},
    ]
    counts = [(160, 40), (170, 41), (100, 101), (80, 90)]
    found = see(tmp_path, ANY, days_of(counts), ramp=ramp, exposure={**EXPOSURE, "assignment": "sticky"})
    parts = [chi2_contingency(np.array(part), correction=False) for part in (counts[:2], counts[2:])]
    assert found.health("allocation_drift").statistic == pytest.approx(sum(part.statistic for part in parts))


# --- rates of units -----------------------------------------------------------------------------------------------------


def test_re_exposures_are_compared_over_arms(tmp_path):
    exposures = days_of([(300, 300)])
    again = [row for row in exposures if row[2] == "control"][:20] + [
        row for row in exposures if row[2] == "treatment"
    ][:90]
    rows = [*exposures, *(exposure(row[0], row[2], row[3] + HOUR) for row in again)]
    found = see(tmp_path, ANY, rows).health("re_exposures")
    want = chi2_contingency(np.array([(20, 280), (90, 210)]), correction=False)
    assert (found.statistic, found.p_value) == (110 / 600, pytest.approx(want.pvalue))
    assert found.status == "warn"
    assert found.message.startswith("110 of 600 units were exposed more than once (control 6.67%, treatment 30.00%)")


def test_trigger_rates_are_compared_over_arms(tmp_path):
    exposures = days_of([(400, 400)])
    units = {arm: [row[0] for row in exposures if row[2] == arm] for arm in ("control", "treatment")}
    orders = [order(u, START + 2 * DAY, status="cart") for u in [*units["control"][:200], *units["treatment"][:120]]]
    trigger = {**EXPOSURE, "trigger": {"source": "orders", "filter": "status = 'cart'"}}
    seen = see(tmp_path, ANY, exposures, orders=orders, exposure=trigger)
    found = seen.health("trigger_rate")
    want = chi2_contingency(np.array([(200, 200), (120, 280)]), correction=False)
    assert (found.statistic, found.p_value, found.status) == (320 / 800, pytest.approx(want.pvalue), "warn")
    assert "control 50.00%, treatment 30.00%" in found.message


def test_units_of_clusters_are_counted_and_not_tested(tmp_path):
    exposures = [
        exposure(f"{arm}{shop}{i}", arm, START + (shop % 3) * DAY + i * HOUR, shop=f"{arm}{shop}")
        for arm in ("control", "treatment")
        for shop in range(12)
        for i in range(4)
    ]
    seen = see(tmp_path, ANY, [*exposures, *exposures[:30]], cluster="shop")
    assert seen.health("re_exposures").p_value is None
    found = seen.health("srm_by_day")
    assert (found.status, found.statistic) == ("pass", 0)  # 4 clusters of each arm a day, not 16 units
    assert seen.readout.health


def test_only_declared_faults_make_it_invalid(tmp_path):
    seen = see(tmp_path, ANY, days_of([*COUNTS[:2], (1000, 600), (600, 1000), *COUNTS[3:]]))
    assert {row.check for row in seen.readout.health if row.status == "warn"} >= {"srm_by_day", "allocation_drift"}
    assert seen.readout.decision.recommendation != "invalid"


# --- weeks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "as_of", "status", "weeks", "message"),
    [
        ("2026-01-29", "2026-06-01", "pass", 4, "enrolment covers 28 days"),
        ("2026-02-01", "2026-06-01", "warn", 31 / 7, "4 weeks and 3"),
        ("2026-01-05", "2026-06-01", "warn", 4 / 7, "less than a week"),
        ("2026-01-29", "2026-01-11", "pass", 10 / 7, "10 of 28 days of enrolment so far"),
    ],
)
def test_enrolment_covers_whole_weeks(tmp_path, end, as_of, status, weeks, message):
    found = see(tmp_path, ANY, days_of([(5, 5)]), end=end, as_of=as_of).health("whole_weeks")
    assert (found.status, found.statistic) == (status, pytest.approx(weeks))
    assert message in found.message


def test_days_of_enrolment_are_local_ones_over_a_change_of_the_clocks(tmp_path):
    project = defaults(timezone="Europe/Berlin")
    found = see(tmp_path, ANY, [], project=project, start="2026-03-23", end="2026-04-06").health("whole_weeks")
    assert (found.status, found.statistic) == ("pass", 2)


# --- before treatment ---------------------------------------------------------------------------------------------------

BEFORE, AFTER = START - DAY, START + 10 * DAY
SPEND = {"type": "mean", "source": "orders", "agg": "sum", "measure": "amount", "window": "7d", "direction": "increase"}


def amounts(n, seed, shift=0.0):
    """Orders of everybody before and after exposure; the second arm spent `shift` more before."""
    rng = np.random.default_rng(seed)
    exposures = days_of([(n, n)])
    before = {row[0]: round(float(rng.normal(20 + shift * (row[2] == "treatment"), 5)), 3) for row in exposures}
    orders = [order(unit, BEFORE, amount) for unit, amount in before.items()]
    orders += [order(row[0], row[3] + HOUR, before[row[0]] + 1) for row in exposures]
    return exposures, orders, before


@pytest.mark.parametrize(("check", "protocol"), [
    ("covariate_balance", {"analysis": {"covariates": {"lookback": "14d"}}}), ("pre_period", {"validation": {"aa_lookback": "14d"}}),
])  # fmt: skip
def test_what_was_before_exposure_is_compared_over_arms(tmp_path, check, protocol):
    for shift, status in ((0.0, "pass"), (3.0, "warn")):
        exposures, orders, before = amounts(200, 3, shift)
        found = see(tmp_path, SPEND, exposures, orders=orders, **protocol).health(check)
        arms = [np.array([before[row[0]] for row in exposures if row[2] == arm]) for arm in ("control", "treatment")]
        test = ttest_ind(*arms)
        assert found.p_value == pytest.approx(test.pvalue, rel=1e-9)  # Hotelling's test of one column is Student's
        assert found.statistic == pytest.approx(test.statistic**2, rel=1e-9)
        assert found.status == status
    gap = (arms[1].mean() - arms[0].mean()) / np.sqrt((arms[0].var(ddof=1) + arms[1].var(ddof=1)) / 2)
    assert f"({gap:+.3f} standard deviations in treatment; m)" in found.message


def test_every_metric_and_epoch_has_its_own_test_with_holm_over_all(tmp_path):
    ramp = [
        {"from": "2026-01-01", "shares": {"control": "80%", "treatment": "20%"}},
        {"from": "2026-01-02", "shares": {"control": "50%", "treatment": "50%"}},
    ]
    rng = np.random.default_rng(1)
    exposures = days_of([(160, 40), (100, 100)])
    # Whoever came early spent more, in both arms: no imbalance within the epochs.
    before = {row[0]: round(float(rng.normal(60 if row[3] < START + DAY else 20, 5)), 3) for row in exposures}
    orders = [order(unit, BEFORE, amount) for unit, amount in before.items()]
    count = {"type": "mean", "source": "orders", "agg": "count", "window": "7d", "direction": "increase"}
    protocol = {"ramp": ramp, "exposure": {**EXPOSURE, "assignment": "sticky"}, "validation": {"aa_lookback": "14d"}}
    found = see(tmp_path, {"m": SPEND, "n": count}, exposures, orders=orders, **protocol).health("pre_period")

    def values(arm, early):
        return [before[row[0]] for row in exposures if row[2] == arm and (row[3] < START + DAY) == early]

    p_values = [ttest_ind(values("control", early), values("treatment", early)).pvalue for early in (True, False)]
    assert found.p_value == pytest.approx(min(holm(p_values).values()), rel=1e-9)  # `n` is 1 for everybody
    assert found.status == "pass"


# --- values of the metrics ----------------------------------------------------------------------------------------------


def test_an_arm_without_any_value_is_named(tmp_path):
    exposures = days_of([(100, 100)])
    orders = [order(row[0], AFTER) for row in exposures if row[2] == "control"][:30]
    found = see(tmp_path, ANY, exposures, orders=orders).health("metric_fill")
    assert (found.status, found.statistic) == ("warn", 0.15)
    assert found.message.startswith(
        "`m`: 15.00% of 200 units have a value other than 0 (control 30.00%, treatment 0.00%)"
    )
    few = see(tmp_path, ANY, exposures, orders=orders[:9]).health("metric_fill")
    assert few.status == "pass"
    assert see(tmp_path, ANY, exposures).health("metric_fill").status == "warn"


@pytest.mark.parametrize("cap", [{"lower": 1}, {"upper": 0}])
def test_a_cap_hides_no_arm_without_values(tmp_path, cap):
    """Values that the cap raised, or cut to 0, were counted in place of the rows' own."""
    exposures = days_of([(100, 100)])
    orders = [order(row[0], AFTER) for row in exposures if row[2] == "control"][:30]
    found = see(tmp_path, {**SPEND, "window": "experiment", "cap": cap}, exposures, orders=orders).health("metric_fill")
    assert (found.status, found.statistic) == ("warn", 0.15)
    assert "none in treatment" in found.message


def test_one_unit_with_much_of_the_total_is_counted(tmp_path):
    exposures = days_of([(100, 100)])
    sizes = {row[0]: 8.0 if i == 150 else 1.0 for i, row in enumerate(exposures)}
    orders = [order(unit, AFTER, amount) for unit, amount in sizes.items()]
    metric = {**SPEND, "window": "experiment"}
    seen = see(tmp_path, metric, exposures, orders=orders)
    assert (seen.health("top_unit").status, seen.health("top_unit").statistic) == ("pass", pytest.approx(8 / 107))
    orders[150] = order(exposures[150][0], AFTER, 40.0)
    found = see(tmp_path, metric, exposures, orders=orders).health("top_unit")
    assert (found.status, found.statistic) == ("warn", pytest.approx(40 / 139))
    assert "one unit of treatment has 28.8% of its total" in found.message


def test_denominators_at_0_are_compared_over_arms(tmp_path):
    exposures = days_of([(300, 300)])
    units = {arm: [row[0] for row in exposures if row[2] == arm] for arm in ("control", "treatment")}
    orders = [order(unit, AFTER) for unit in [*units["control"][:150], *units["treatment"][:90]]]
    ratio = {
        "type": "ratio", "direction": "increase", "numerator": {"source": "orders", "agg": "sum", "measure": "amount"},
        "denominator": {"source": "orders", "agg": "count"},
    }  # fmt: skip
    found = see(tmp_path, ratio, exposures, orders=orders).health("zero_denominators")
    want = chi2_contingency(np.array([(150, 150), (210, 90)]), correction=False)
    assert (found.statistic, found.p_value, found.status) == (360 / 600, pytest.approx(want.pvalue), "warn")
    assert "(control 50.00%, treatment 70.00%)" in found.message


def test_checks_that_would_show_results_wait_for_them(tmp_path):
    exposures, orders, _ = amounts(50, 1)
    protocol = {"orders": orders, "as_of": "2026-01-04", "analysis": {"covariates": {"lookback": "14d"}}}
    metric = {**SPEND, "window": "1d"}
    shown = {row.check for row in see(tmp_path, metric, exposures, **protocol).readout.health}
    held = {row.check for row in see(tmp_path, metric, exposures, validation={"hold": "7d"}, **protocol).readout.health}
    assert shown - held == {"metric_fill", "top_unit"}
    assert "covariate_balance" in held


def test_every_exposure_that_does_not_count_is_counted_with_its_reason(tmp_path):
    """Those of the future and those not loaded yet are no mistake at this as-of; the others point to one."""
    as_of = START + 10 * DAY
    rows = [
        *days_of([(30, 30)]),
        exposure("early", "control", START - HOUR),
        exposure("early", "treatment", START - HOUR),
        exposure("future", "control", as_of + HOUR),
        exposure("other", "neither"),
        exposure(None),
        exposure("timeless", at=None),
    ]
    sources = copy.deepcopy(SOURCES)
    sources["assignments"]["loaded_at"] = "loaded_at"
    rows.append(exposure("slow", loaded=as_of + DAY))
    seen = see(tmp_path, ANY, rows, as_of=as_of, sources=sources)
    found = {
        name: seen.health(f"exposure_{name}")
        for name in ("before_start", "after_as_of", "unknown_arm", "null_unit", "null_time", "not_loaded")
    }
    assert {name: (row.statistic, row.status) for name, row in found.items()} == {
        "before_start": (2, "warn"), "after_as_of": (1, "pass"), "unknown_arm": (1, "warn"),
        "null_unit": (1, "warn"), "null_time": (1, "warn"), "not_loaded": (1, "pass"),
    }  # fmt: skip
    after = see(tmp_path, ANY, [*days_of([(3, 3)]), exposure("late", "control", START + 40 * DAY)])
    assert (after.health("exposure_on_or_after_end").statistic, after.health("exposure_on_or_after_end").status) == (
        1,
        "pass",
    )
