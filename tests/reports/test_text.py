import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from metricdef.analysis.readout import (
    ArmRow,
    DecisionRow,
    HealthRow,
    Heterogeneity,
    Interval,
    RelativeInterval,
    Response,
)
from metricdef.analysis.rounding import p_text
from metricdef.reports.lines import display_width
from metricdef.reports.text import render_text
from tests.reports import sample
from tests.reports.sample import (
    ALIKE,
    DIFFERS,
    FAILED,
    FIRST_ORDER,
    FUNNEL,
    LATENCY,
    LATENCY_P90,
    PASSED,
    PLAIN,
    REFUNDS,
    REFUSED,
    REVENUE,
    levels,
    outcome_of,
    readout,
    row,
)

GOLDEN = Path(__file__).parent / "golden"
FORBIDDEN = re.compile(r"\b(nan|NaN|inf|None|null)\b|[Ss]ignificant")
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def sound(text: str, width: int) -> None:
    for line in text.split("\n"):
        assert display_width(line) <= width, line
        assert line == line.rstrip(), repr(line)
    assert not FORBIDDEN.search(text), FORBIDDEN.search(text)


def interim():
    """The sample before its planned end."""
    early = {"interval_kind": "anytime", "verdict": "not_computed", "reason": "before_planned_end", "message": "no test yet", "tests": (),
             "p_value": None, "p_adjusted": None, "family": None}  # fmt: skip
    because = "before_planned_end: the fixed design is read at 2026-10-06T00:00:00Z, when every window is complete"
    rows = [replace(r, **early) for r in (row(), REVENUE)]
    return readout(*rows, as_of="2026-09-20T00:00:00Z", decision=DecisionRow("hold", None, (because,), {"new": "hold"}))


def invalid():
    because = (
        "the health of the experiment failed; its estimates cannot be trusted",
        f"srm_analysed: {FAILED[2].message}",
    )
    return readout(row(), health=FAILED, decision=DecisionRow("invalid", None, because))


def several_arms():
    """Three arms, another verdict in the sensitivity analysis, amendments of everything, a role, a metric, one that is gone."""
    rows = [replace(r, arm=arm) for r in (row(), REVENUE) for arm in ("new", "newer")]
    other = {"analysis": "mixed_first_arm", "units": (1, 2), "absolute": None, "p_value": 0.1, "reason": None}
    sensitivity = [other | {"metric": r.metric, "arm": r.arm, "verdict": r.verdict} for r in rows[:-1]]
    sensitivity.append(other | {"metric": "revenue", "arm": "newer", "verdict": "superior"})
    base = readout(*rows)
    who = {"on": "2026-09-10", "by": "ana"}
    amendments = [
        who | {"what": "end moved to 2026-09-29", "why": "a holiday"},
        who | {"what": "multiplicity", "why": "bh", "scope": "role", "role": "primary", "metrics": ["conversion"]},
        who | {"what": "cap", "why": "one order", "scope": "metric", "role": None, "metrics": ["revenue"]},
        who | {"what": "gone", "why": "dropped", "scope": "metric", "role": None, "metrics": ["latency"]},
    ]
    return replace(
        base,
        arms=(*base.arms, ArmRow("newer", 9_990, 0.0, None, 9_990, 0, 9_990)),
        sensitivity=tuple(sensitivity),
        provenance=base.provenance | {"deviations": amendments, "locked": True},
        decision=DecisionRow("ship", "new", ("new: primary conversion superior",), {"new": "ship", "newer": "hold"}),
    )


def broken_down():
    """Two dimensions: levels that differ, with one that is clear, one too rare for Welch and one without numbers; levels alike."""
    first = levels("conversion", DIFFERS, ("android", 0.0052, "superior"), ("ios", 0.31, "inconclusive"), ("NULL", 1.0, "inconclusive"), (None, 1.0, "inconclusive"))  # fmt: skip
    first[2] = replace(first[2], estimator=replace(PLAIN, name="score"), guards=("small-sample",))
    silent = replace(LATENCY, role="guardrail", segment={"platform": "ios"}, heterogeneity=None)
    other = levels(
        "conversion", ALIKE, ("DE", 0.86, "inconclusive"), ("FR", 1.0, "inconclusive"), dimension="users.country"
    )
    return readout(row(), *first, silent, *other)


def triggered():
    """What stands beside an estimate: steps, response rates, a diluted effect, a quantile, a refused metric."""
    arms = (
        ArmRow("control", 5_661, 0.5, 0.5021, 10_001, 0, 10_000),
        ArmRow("new", 5_612, 0.5, 0.4979, 10_012, 0, 10_012),
    )
    left_out = {"untriggered": 8_739, "null_cluster": 1, "immature_7d": 2}
    rows = (FUNNEL, FIRST_ORDER, LATENCY_P90, REFUSED)
    return readout(*(replace(r, guards=()) for r in rows), arms=arms, excluded_units=left_out)


def clustered():
    """A ramp over clusters."""
    arms = (ArmRow("control", 900, 0.5, 0.5, 905, 5, 900, 9), ArmRow("new", 900, 0.5, 0.5, 900, 0, 900, 11))
    made = replace(PLAIN, name="stratified", left_out=("epoch 1 (2.1% of units)",))
    adjusted = replace(made, covariates=("checkout before exposure",), variance_reduction=0.12)
    rows = (row(estimator=made, units=(9, 11)), replace(FUNNEL, estimator=adjusted, units=(9, 11)))
    return readout(*rows, arms=arms, excluded_units={"null_cluster": 12, "immature_7d": 2})


BUILDS = (readout, interim, invalid, several_arms, broken_down, triggered, clustered)


def golden(build, width):
    """Verbose at one width, for two of them."""
    verbose = build in (readout, broken_down) and width == 120
    return GOLDEN / f"{build.__name__}_{width}{'_verbose' if verbose else ''}.txt", verbose


@pytest.mark.parametrize("width", [60, 100, 120])
@pytest.mark.parametrize("build", BUILDS, ids=lambda f: f.__name__)
def test_golden(build, width):
    file, verbose = golden(build, width)
    text = render_text(build(), width, verbose=verbose)
    sound(text, width)
    assert text + "\n" == file.read_text(encoding="utf-8"), (
        "read the new text; to accept it: PYTHONPATH=. python tests/reports/test_text.py"
    )


def one(*rows, width=120, **more):
    return render_text(readout(*rows, **more), width)


def test_health_then_the_decision_stand_before_every_number():
    text = render_text(readout(), 100)
    order = [
        text.index(word)
        for word in (
            "New checkout",
            "Health:",
            "DECISION  HOLD",
            "because",
            "ARMS",
            "PRIMARY",
            "SECONDARY",
            "GUARDRAILS",
            "definitions",
        )
    ]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        (DecisionRow("ship", "new", ()), "SHIP new: the rule for shipping is met"),
        (DecisionRow("stop", "new", ()), "STOP new: the rule for stopping is met"),
        (DecisionRow("stop", None, ()), "STOP: the rule for stopping is met by every arm"),
        (DecisionRow("hold", None, ()), "HOLD: the rule for shipping is not met"),
        (DecisionRow("invalid", None, ()), "INVALID: the experiment can't be trusted"),
    ],
)
def test_decision_in_words(decision, says):
    assert f"DECISION  {says}" in one(row(), decision=decision)


def test_a_hold_for_want_of_numbers_says_so():
    """It read as if the effects were known."""
    said = "DECISION  HOLD: something that the rule asks about could not be computed"
    assert said in one(row(), LATENCY, decision=DecisionRow("hold", None, ()))


def test_health_is_one_line_when_all_passed():
    assert "\nHealth: all 3 checks passed (SRM p = 0.93)\n" in one()


def test_failed_checks_come_first():
    text = one(health=FAILED)
    assert "Health: 1 failed, 1 to look at, 1 skipped, 1 passed" in text
    assert (
        text.index("FAIL  srm_analysed (p < 0.0001, limit 0.0005)")
        < text.index("warn  exposure_null_unit")
        < text.index("skip  mixed_units")
    )
    assert "pass  " not in text


def test_shares_are_percentages_and_their_differences_points():
    text = one(row())
    assert "10.00% → 11.00%" in text
    assert "+1.00pp (+0.30 to +1.70)" in text
    assert "+10.0% (+2.9 to +17.7)" in text


def test_currency_stands_behind_the_number():
    text = one(REVENUE)
    assert "12.35 EUR → 12.51 EUR" in text
    assert "+0.17 EUR (+0.01 to +0.33)" in text


def test_the_values_shown_differ_by_the_difference_shown():
    """30% → 37% beside +8pp looked wrong: 29.6% and 37.2% were rounded apart."""
    wide = row(baseline_value=0.296, arm_value=0.372, absolute=Interval(0.076, 0.058, -0.04, 0.19))
    assert "29.6% → 37.2% " in one(wide)
    assert " +8pp (−4 to +19) " in one(wide)
    narrow = row(baseline_value=0.296, arm_value=0.376, absolute=Interval(0.080, 0.058, -0.04, 0.19))
    assert "30% → 38% " in one(narrow)


def test_a_limit_never_looks_like_the_zero_that_it_excludes():
    text = one(row(is_share=False, absolute=Interval(1.0, 0.5, 0.0004, 2.0)))
    assert "(+0.0004 to +2.0000)" in text


def test_a_limit_never_looks_like_the_margin_that_it_keeps():
    text = one(replace(REFUNDS, absolute=Interval(0.0, 0.0014, -0.00299, 0.002996)))
    assert "(−0.2990 to +0.2996)" in text


def test_rounding_does_not_move_p_across_alpha():
    assert "0.0504" in one(
        row(p_adjusted=0.0504, tests=(outcome_of(p=0.03, adjusted=0.0504, rejected=False),), verdict="inconclusive")
    )


@pytest.mark.parametrize(("p", "says"), [(0.0, "< 0.0001"), (3.14e-9, "< 0.0001"), (0.00123, "0.0012"), (0.5, "0.50"), (0.999, "> 0.99"), (1.0, "1.0")])  # fmt: skip
def test_p(p, says):
    assert f"  {says}  better" in one(row(p_adjusted=p, tests=(outcome_of(p=p),)))


def test_a_p_held_against_a_smaller_level_is_written_out():
    assert [p_text(p, 1e-6) for p in (3.14e-9, 1e-200)] == ["3.1e-9", "< 1e-15"]


@pytest.mark.parametrize(
    ("relative", "says"),
    [
        (RelativeInterval(0.5, None, None, "fieller", "complement", (-3.2, 1.1)), "+50%, outside (−320%, +110%)"),
        (
            RelativeInterval(0.5, None, None, "fieller", "unbounded", None),
            "+50%, not bounded (baseline too close to 0)",
        ),
        (RelativeInterval(None, None, None, "score", "unbounded", None), "not bounded (baseline too close to 0)"),
        (RelativeInterval(None, 0.31, None, "score", "unbounded", None), "above +31%, not bounded"),
        (RelativeInterval(-0.5, None, -0.11, "fieller", "unbounded", None), "−50%, below −11%, not bounded"),
    ],
)
@pytest.mark.parametrize("width", [60, 160])
def test_shapes_of_the_relative_effect(relative, says, width):
    text = " ".join(one(row(relative=relative), width=width).split())
    assert says in text


def test_no_relative_effect_is_a_dash():
    assert re.search(r"\+1.70\) +- +0\.0080  better", one(row(relative=None)))


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (row(), "better"),
        (row(verdict="inferior"), "worse"),
        (row(verdict="inconclusive"), "no clear difference"),
        (row(verdict="equivalent"), "equivalent"),
        (REFUNDS, "within the margin of 0.3pp"),
        (replace(REFUNDS, estimator=replace(PLAIN, margin="2%")), "within the margin of 2% (relative)"),
        (replace(REFUNDS, verdict="inconclusive"), "not shown to be within the margin of 0.3pp"),
        (replace(REFUNDS, verdict="inconclusive", estimator=PLAIN), "no clear difference"),
        (LATENCY, "not computed: the outcome doesn't vary"),
        (replace(LATENCY, reason="something_new"), "not computed: something new"),
        (replace(LATENCY, reason=None, message=None), "not computed: no reason given"),
    ],
)
def test_verdicts_in_words(found, says):
    assert f"  {says}\n" in one(found, width=160)
    assert says in " ".join(one(found, width=50).split())


def test_what_holds_for_the_family_is_said_in_the_heading():
    text = one()
    assert "PRIMARY  p two-sided, adjusted by Holm over 1 test, at 0.05" in text
    assert "GUARDRAILS  p one-sided, against the margin, not adjusted, at 0.025" in text
    assert text.count("95%") == 1


def test_levels_that_differ_are_said_per_role():
    text = one(row(), replace(REFUNDS, estimator=replace(PLAIN, confidence=0.9)))
    assert "at 0.05 · 95% intervals" in text
    assert "at 0.025 · 90% intervals" in text


def test_notes():
    text = one(width=160)
    assert "Lin-adjusted for revenue before exposure, variance −39%" in text
    assert "values capped at 500 EUR; units cut: 12 of control, 1,015 of new" in text
    assert "its own interval excludes 0, but not after the holm correction over 2 tests" in text
    assert "small sample: the normal approximation may be off here" in text
    assert "Refund rate (refund_rate) · lower is better" in text
    assert (
        "Left out: 3 units that saw several arms; 1 unit whose 7d window is not complete yet; 12 exposure rows without unit."
        in text
    )


def test_what_else_was_shown():
    deteriorated = outcome_of("deterioration", 0.0001, adjusted=0.0002)
    text = one(
        row(
            also=("non_inferior", "deteriorated", "worse than 0"),
            tests=(outcome_of(), deteriorated),
            estimator=replace(PLAIN, margin="1%"),
        )
    )
    assert "also within the margin of 1% (relative)" in text
    assert "also worse than 0" in text
    assert "deteriorated: p = 0.00020, one-sided, adjusted by Holm, at 0.01" in text


def test_a_note_that_all_arms_share_is_said_once():
    text = one(row(guards=("small-sample",)), row(arm="newer", guards=("small-sample", "dominant-unit")), width=160)
    assert text.count("small sample") == 1
    assert "newer: one unit makes up more than a tenth" in text


def test_before_the_planned_end_nothing_is_tested():
    text = render_text(interim(), 120, verbose=True)
    assert "valid at any time; not yet tested: the planned end is 2026-10-06 00:00 UTC" in text
    assert "planned end 2026-10-06 00:00 UTC (not reached)" in text
    assert "because   the fixed design is read at 2026-10-06 00:00 UTC, when" in text
    # The unadjusted comparison has a fixed-sample p and interval, which do not hold here.
    assert "unadjusted +0.17 EUR\n" in text
    assert " p = " not in text.partition("PRIMARY")[2]


def test_sensitivity_and_deviations():
    text = render_text(several_arms(), 200)
    assert (
        "Sensitivity, mixed units kept in their first arm: another verdict in 1 of 4 comparisons: Revenue per user, newer: better instead of no clear difference."
        in text
    )
    assert "Deviation from the protocol (2026-09-10, ana): end moved to 2026-09-29. Reason: a holiday" in text
    assert "by arm    new ship · newer hold" in text
    same = {"analysis": "mixed_excluded", "metric": "conversion", "arm": "new", "verdict": "superior", "reason": None}
    assert "mixed units left out: the same verdict in the one comparison." in one(row(), sensitivity=(same,))


def test_verbose_adds_tests_and_the_unadjusted_estimate():
    text = render_text(readout(), 200, verbose=True)
    assert "unadjusted +0.17 EUR (−0.03 to +0.37), p = 0.10" in text
    assert "non-inferiority against +0.3pp: t = 2.90 with 19,990.4 df, one-sided p = 0.011; shown at 0.025" in text
    assert "covariates left out as constant or collinear: users.age missing" in text
    assert "pass  mixed_units" in text


def test_provenance_is_last():
    last = one(width=200).split("\n")[-1]
    assert (
        last
        == "definitions 47c200203e4900d9 · SQL 918ea1769b23355e · metricdef 0.1.0 · dialect duckdb · revision 0123456789ab · protocol not locked"
    )


def test_colour_adds_nothing_but_codes():
    for build in BUILDS:
        assert ANSI.sub("", render_text(build(), 100, color=True)) == render_text(build(), 100)
        assert "\x1b" in render_text(build(), 100, color=True)
        assert "\x1b" not in render_text(build(), 100)


def test_levels_stand_apart_from_the_overall_effects():
    text = render_text(broken_down(), 120)
    assert text.index("PRIMARY") < text.index("BREAKDOWN BY platform") < text.index("BREAKDOWN BY users.country")
    assert text.partition("BREAKDOWN")[0].count("+1.00pp") == 1
    assert "over 1 test, at 0.05" in text
    assert (
        "p two-sided, adjusted by Holm over 5 tests, at 0.05, and never below p of the test that levels differ" in text
    )
    assert "(Holm over 2 dimensions). Levels never enter the decision." in " ".join(text.split())


def test_the_test_that_levels_differ_comes_first():
    text = render_text(broken_down(), 120)
    assert text.index("conversion · higher is better · new: effects differ between levels (p = 0.0052)") < text.index(
        "android"
    )
    assert "conversion · higher is better · new: levels don't clearly differ (p = 0.86)" in text
    assert "errors · lower is better · new: whether levels differ can't be tested" in text
    full = " ".join(render_text(broken_down(), 120, verbose=True).split())
    assert "(Cochran's Q = 14.20 with 3 df, p = 0.0052, p = 0.0026 not adjusted)" in full


def test_a_level_without_value_is_not_the_text_null():
    lines = [line.split() for line in render_text(broken_down(), 120).split("\n")]
    starts = [line[0] for line in lines if line]
    assert starts.count("NULL") == 1
    assert starts.count("'NULL'") == 1
    text = one(*levels("m", None, ("", 1.0, "inconclusive"), (" null ", 1.0, "inconclusive")))
    assert "    ''      " in text
    assert "    'null'  " in text


def test_before_the_planned_end_levels_are_not_tested():
    early = {"interval_kind": "anytime", "verdict": "not_computed", "reason": "before_planned_end", "message": "no test yet", "tests": (),
             "p_value": None, "p_adjusted": None, "family": None, "heterogeneity": None}  # fmt: skip
    rows = [replace(r, **early) for r in (row(), *levels("conversion", ALIKE, ("a", 0.5, "inconclusive")))]
    section = one(*rows).partition("BREAKDOWN")[2]
    assert "  Levels never enter the decision." in section
    assert "\n  conversion · higher is better · new\n" in section
    assert "not yet tested" in section
    assert "p =" not in section


def test_of_very_many_levels_the_clear_ones_and_the_largest_are_shown():
    found = [(f"l{i:02}", 1.0, "inconclusive") for i in range(30)]
    found[29] = ("l29", 0.001, "inferior")
    rows = levels("conversion", DIFFERS, *found)
    text = one(row(), *rows)
    shown = re.findall(r"^    (l\d\d)", text, re.MULTILINE)
    assert shown == [*(f"l{i:02}" for i in range(11)), "l29"]
    assert "18 smaller levels without a clear difference: shown with --verbose" in text
    assert len(re.findall(r"^    l\d\d  ", render_text(readout(*rows), 120, verbose=True), re.MULTILINE)) == 30


def test_a_level_says_why_it_has_no_number():
    text = render_text(broken_down(), 160)
    assert "'NULL': score test and interval (Miettinen-Nurminen)" in text
    assert "ios  " in text
    assert "not computed: the outcome doesn't vary" in text


def test_what_stands_beside_an_estimate():
    text = render_text(triggered(), 160)
    assert "steps reached (control / new): cart 52.0% / 51.3%, paid 10.4% / 9.5%" in text
    assert "units with a value: 76.1% of control, 74.0% of new (p = 0.00070)" in text
    assert (
        "diluted to all exposed units (trigger rate 74.5%): −0.8 EUR (−2.3 to +0.7), relative −1.6% (−4.6 to +1.3)"
        in text
    )
    assert "quantile: not adjusted, interval from order statistics" in text
    assert "not computed: the warehouse can't compute it" in text
    assert (
        "Left out: 8,739 exposed units that never triggered; 1 unit without a cluster; 2 units whose 7d window" in text
    )
    assert re.search(r"expected +exposed +assigned\n +control +5,661 .* 10,000 +10,001 ", text)


def test_steps_of_several_arms_are_one_line():
    both = [
        replace(FUNNEL, guards=()),
        replace(FUNNEL, arm="newer", steps=tuple(s | {"arm_value": None} for s in FUNNEL.steps)),
    ]
    assert "steps reached (control / new / newer): cart 52.0% / 51.3% / -, paid 10.4% / 9.5% / -" in one(*both)


def test_response_rates_are_silent_where_everybody_has_a_value():
    assert "units with a value: " in one(FIRST_ORDER)
    assert "units with a value: " not in one(replace(FIRST_ORDER, response=Response(1.0, 1.0, 1.0)))


def test_epochs_of_a_ramp():
    text = render_text(clustered(), 160)
    assert text.count("    left out as too small: epoch 1 (2.1% of units)\n") == 2
    assert "    compared within each epoch of the ramp\n" in text
    assert "compared within each epoch of the ramp, adjusted for checkout before exposure, variance −12%" in text


def test_clusters_are_counted():
    text = render_text(clustered(), 160)
    assert re.search(r"control +900 +50.00% +50.00% +9 +905 +5 +baseline", text)
    assert "fewer than 10 clusters in an arm" in text
    assert "2 clusters whose 7d window is not complete yet" in text


HOSTILE = "a\x1b[2J\x07\n\r\tb\u202ec\u2066\u200b\x9b\ud800\x00 %s {x} 世界 e\u0301"


def test_hostile_text_cannot_act_on_the_terminal():
    hostile_row = row(HOSTILE, label=HOSTILE, arm=HOSTILE, baseline=HOSTILE, format=f"currency:{HOSTILE}", is_share=False, reason=HOSTILE, message=HOSTILE,
                      also=(HOSTILE,), guards=(HOSTILE,), steps=({"step": HOSTILE, "baseline_value": 0.1, "arm_value": None},), cap=sample.CapRow((sample.CapPart(HOSTILE, 1.0, 2.0, (1, 2), None),), None),
                      estimator=replace(PLAIN, name=HOSTILE, covariates=(HOSTILE,), dropped=(HOSTILE,), margin=HOSTILE, left_out=(HOSTILE,)))  # fmt: skip
    level = replace(hostile_row, segment={HOSTILE: HOSTILE}, heterogeneity=ALIKE, response=Response(0.1, 0.2, 0.001))
    hostile = readout(
        hostile_row, replace(hostile_row, role=HOSTILE, verdict="inconclusive"), replace(hostile_row, verdict="not_computed"), level,
        experiment=HOSTILE, label=HOSTILE, hypothesis=HOSTILE, status=HOSTILE, as_of=HOSTILE, window={"start": HOSTILE, "end": HOSTILE, "planned_end": HOSTILE},
        arms=(ArmRow(HOSTILE, 1, 0.5, 0.5, 2, 3, 1),), health=(HealthRow(HOSTILE, "fail", HOSTILE, segment={HOSTILE: HOSTILE}),),
        decision=DecisionRow("ship", HOSTILE, (HOSTILE,), {HOSTILE: "ship", "b": HOSTILE}), excluded_units={HOSTILE: 3},
        provenance={"definitions": HOSTILE, "revision": HOSTILE, "deviations": [HOSTILE, {"what": HOSTILE, "by": HOSTILE}]},
    )  # fmt: skip
    for width in (40, 60, 100, 200):
        text = render_text(hostile, width, verbose=True)
        assert not set(text) & set("\x1b\x07\r\t\u202e\u2066\u200b\x9b\x00\ud800")
        text.encode("utf-8")
        for line in text.split("\n"):
            assert display_width(line) <= width, line


finite = st.floats(-1e9, 1e9, allow_nan=False) | st.sampled_from([0.0, -0.0, 1e-12, 5e-324, 1e300, -1e300])
shares = st.floats(0, 1)
shapes = st.builds(
    RelativeInterval, st.none() | finite, st.none() | finite, st.none() | finite, st.just("fieller"), st.sampled_from(["bounded", "complement", "unbounded"]),
    st.none() | st.tuples(finite, finite),
)  # fmt: skip
p_values = st.none() | shares | st.floats(0, 1e-20)
tests = st.lists(
    st.builds(
        outcome_of, st.sampled_from(["superiority", "non_inferiority", "deterioration", "equivalence"]), shares, adjusted=shares | st.floats(0, 1e-20),
        rejected=st.booleans(), procedure=st.sampled_from(["none", "holm", "bonferroni"]), null=finite, df=st.none() | st.floats(1, 1e6),
        null_kind=st.sampled_from(["absolute", "relative"]),
    ),
    max_size=3,
)  # fmt: skip
effect = st.fixed_dictionaries({"estimate": finite, "lower": finite, "upper": finite})
rows = st.builds(
    row, st.sampled_from(["m", "a_metric_with_a_rather_long_name_that_nobody_would_want_in_a_table"]),
    format=st.sampled_from(["number", "percent", "duration", "currency:EUR"]), direction=st.sampled_from(["increase", "decrease", None]),
    role=st.sampled_from(["primary", "secondary", "guardrail"]), arm=st.sampled_from(["b", "c" * 70]), is_share=st.booleans(),
    baseline_value=st.none() | finite, arm_value=st.none() | finite, absolute=st.none() | st.builds(Interval, finite, st.none() | finite, finite, finite),
    relative=st.none() | shapes, p_value=p_values, p_adjusted=p_values, tests=tests.map(tuple), simultaneous=st.none() | st.builds(Interval, finite, st.none(), finite, finite),
    interval_kind=st.sampled_from(["marginal", "simultaneous", "repeated", "anytime"]),
    estimator=st.none() | st.builds(
        lambda name, covariates, dropped, reduction, confidence, margin: replace(PLAIN, name=name, covariates=covariates, dropped=dropped,
                                                                                 variance_reduction=reduction, confidence=confidence, margin=margin),
        st.sampled_from(["unadjusted", "lin", "ancova", "score", "stratified", "quantile"]), st.sampled_from([(), ("spend__pre",)]), st.sampled_from([(), ("x__y",)]),
        st.none() | st.floats(-2, 1), st.sampled_from([0.9, 0.95, 0.975]), st.sampled_from([None, "0.3pp", "2%", "1.5"]),
    ),
    unadjusted=st.none() | st.just({"estimator": "unadjusted", "estimate": 0.1, "std_error": None, "lower": 0.0, "upper": 0.2, "p_value": None}),
    cap=st.none() | st.builds(sample.CapRow, st.tuples(st.builds(sample.CapPart, st.sampled_from(["value", "numerator"]), st.none() | finite, st.none() | finite, st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), st.none() | st.floats(0, 1))), st.none()),
    verdict=st.sampled_from(["superior", "inferior", "non_inferior", "equivalent", "inconclusive", "not_computed"]),
    also=st.sampled_from([(), ("non_inferior",), ("better than 0",)]), guards=st.sampled_from([(), ("small-sample", "dominant-unit")]),
    reason=st.none() | st.sampled_from(["no_units", "before_planned_end", "not_rejected_after_correction"]), message=st.none() | st.just("some message"),
    segment=st.none() | st.builds(lambda value: {"country": value}, st.none() | st.sampled_from(["DE", "", "NULL", "x" * 70])),
    heterogeneity=st.none() | st.builds(Heterogeneity, finite.map(abs), st.integers(1, 50), shares, shares | st.floats(0, 1e-20)),
    response=st.none() | st.builds(Response, shares, shares, shares),
    steps=st.none() | st.just(FUNNEL.steps), diluted=st.none() | st.builds(
        lambda rate, a, r: {"trigger_rate": rate, "baseline_value": 1.0, "absolute": a, "relative": r}, shares, effect, st.none() | effect),
)  # fmt: skip


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(rows, min_size=1, max_size=4),
    st.integers(40, 200),
    st.booleans(),
    st.sampled_from(["ship", "stop", "hold", "invalid"]),
)
def test_every_combination_renders(found, width, verbose, recommendation):
    text = render_text(
        readout(*found, decision=DecisionRow(recommendation, None, ("because",))), width, verbose=verbose
    )
    sound(text, width)


def test_an_empty_readout_renders():
    text = render_text(
        readout(
            estimates=(), health=(), arms=(), provenance={}, ledger={}, window={}, excluded_units={}, hypothesis=""
        ),
        60,
    )
    sound(text, 60)
    assert "none are shown" in text
    assert "Health: nothing was checked" in text


def test_checks_of_one():
    assert "Health: the only check passed (SRM p = 0.94)" in one(health=PASSED[:1])


if __name__ == "__main__":  # rewrites the golden files
    for make in BUILDS:
        for columns in (60, 100, 120):
            path, full = golden(make, columns)
            path.write_text(render_text(make(), columns, verbose=full) + "\n", encoding="utf-8")


@pytest.mark.parametrize("width", [40, 60, 100])
def test_a_series_is_a_picture_and_a_table(width):
    days = [
        {
            "metric": row().metric, "day": f"2026-09-{day:02d}", "as_of": f"2026-09-{day:02d}T22:00:00Z", "arm": row().arm, "units": (day * 10, day * 11),
            "baseline_value": 10.0, "arm_value": 11.0, "relative": None, "estimator": "unadjusted", "interval_kind": "marginal", "reason": None,
            "absolute": {"estimate": 1 / day, "std_error": 1 / day, "lower": -1 / day, "upper": 3 / day} if day > 2 else None,
        }
        for day in range(1, 21)
    ]  # fmt: skip
    found = replace(readout(row()), series=tuple(days))
    text = render_text(found, width)
    sound(text, width)
    section = text[text.index("BY DAY") :]
    assert section.count("●") == 18
    assert section.index("●") < section.index("2026-09-07")
    assert "2026-09-01" in section
    assert section.count("●") == render_text(found, 150, verbose=True).count("●")
    assert "┤" not in render_text(replace(found, series=tuple(days[:3])), width)


def test_quiet_is_health_and_the_decision():
    found = several_arms()
    whole, short = render_text(found), render_text(found, quiet=True)
    assert whole.startswith(f"{short}\n\nARMS")
    assert "DECISION" in short
    assert "Health" in short
    assert render_text(found, verbose=True, quiet=True) == render_text(found, verbose=True)
