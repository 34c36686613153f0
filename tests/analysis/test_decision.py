"""Families, verdicts and the rule: rows with known p-values in, recommendation out."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricdef.analysis.decision import decide
from metricdef.analysis.evidence import Evidence
from metricdef.analysis.families import judge
from metricdef.analysis.readout import EstimateRow, HealthRow, Interval, RelativeInterval, TestRow
from metricdef.analysis.settings import Settings
from metricdef.definitions.models import Conditions, Decision, ShipConditions
from metricdef.metrics.effect import WelchEffect
from metricdef.stats.effects import ArmEstimates
from metricdef.stats.multiplicity import adjust

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = Settings(
    confidence=0.95, success_alpha=0.025, non_inferiority_alpha=0.025, deterioration_alpha=0.01, srm_alpha=0.001,
    methods={"primary": "holm", "secondary": "holm", "guardrail": "none"}, mixed="exclude", decision=Decision(),
    prefer=(), shown_from=NOW, planned_end=NOW,
)  # fmt: skip
HEALTHY = (HealthRow("srm_assignment", "pass", "fine"), HealthRow("srm_analysed", "pass", "fine"))


def outcome_of(hypothesis, p, sign=1.0):
    sidedness, alpha = {"superiority": ("two-sided", 0.05), "non_inferiority": ("one-sided", 0.025)}.get(
        hypothesis, ("one-sided", 0.01)
    )
    return TestRow(hypothesis, 0.0, "absolute", sidedness, alpha, sign * 2.0, 100.0, p, None, None, "none", False)


def row(metric="m", role="primary", arm="treatment", p=0.5, effect=1.0, ni=None, worse=0.9, direction="increase"):
    """`effect`: estimate, sign included; `ni`, `worse`: p of non-inferiority and deterioration."""
    tests = [outcome_of("superiority", p, effect)]
    if ni is not None:
        tests.append(outcome_of("non_inferiority", ni))
    if role != "secondary":
        tests.append(outcome_of("deterioration", worse))
    return EstimateRow(
        metric, metric, "number", direction, role, arm, "control", (100, 100), baseline_value=10.0, arm_value=10 + effect,
        absolute=Interval(effect, 0.5, effect - 1, effect + 1),
        relative=RelativeInterval(effect / 10, None, None, "fieller", "unbounded", None), tests=tuple(tests), verdict="inconclusive",
    )  # fmt: skip


def missing(metric="m", role="primary", arm="treatment"):
    return EstimateRow(
        metric, metric, "number", "increase", role, arm, "control", (0, 0), reason="no_units", message="no units"
    )


def decision(*rows, settings=SETTINGS, health=HEALTHY, early=None, evidence=None):
    arms = list(dict.fromkeys(r.arm for r in rows))
    return decide(judge(rows, settings), health, settings, arms, early, evidence)


def pairs(**effects):
    """Arms against a baseline of 10; every mean has variance 1/8, so a difference has 1/4 and two of them share 1/8."""
    found = {}
    for arm, effect in effects.items():
        variance = np.array([0.125, 0.125])
        means = ArmEstimates(
            "unadjusted", np.array([10.0, 10 + effect]), np.diag(variance), variance, np.array([99.0, 99.0])
        )
        found["m", arm] = WelchEffect(means, 1)
    return Evidence(None, found)


def rule(ship=None, stop=None, practical=None):
    return replace(SETTINGS, decision=Decision(ship=ship, stop=stop, practical=practical or {}))


def test_default_rule():
    good, guard = row(p=0.001), row("g", "guardrail", ni=0.001)
    assert decision(good, guard).recommendation == "ship"
    assert decision(good).recommendation == "ship"
    assert decision(row(p=0.2), guard).recommendation == "hold"
    assert decision(good, row("g", "guardrail", ni=0.2)).recommendation == "hold"
    assert decision(row(p=0.001, effect=-1.0), guard).recommendation == "hold"
    assert decision(guard).recommendation == "hold"


def test_a_decrease_is_good_where_the_metric_says_so():
    assert decision(row(p=0.001, effect=-1.0, direction="decrease")).recommendation == "ship"
    assert decision(row(p=0.001, effect=1.0, direction="decrease")).recommendation == "hold"


def test_deterioration_stops_before_anything_ships():
    assert decision(row(p=0.001), row("g", "guardrail", ni=0.001, worse=0.001)).recommendation == "stop"
    # Holm over primary and guardrail together: 0.007 of two is not enough at 0.01.
    assert decision(row(p=0.5), row("g", "guardrail", ni=0.5, worse=0.007)).recommendation == "hold"
    assert decision(row(p=0.5), row("s", "secondary", p=1e-9, effect=-5.0)).recommendation == "hold"


def test_invalid_beats_everything():
    broken = (HealthRow("srm_assignment", "fail", "lost units"),)
    found = decision(row(p=0.001), row("g", "guardrail", ni=0.001, worse=1e-6), health=broken)
    assert found.recommendation == "invalid"
    mixed = (HealthRow("mixed_units", "fail", "many"),)
    assert decision(row(p=0.001), health=mixed).recommendation == "ship"
    assert decision(row(p=0.001), health=mixed, settings=replace(SETTINGS, mixed="fail")).recommendation == "invalid"


def test_what_could_not_be_computed_holds_and_is_named():
    found = decision(row(p=0.001), missing("g", "guardrail"))
    assert found.recommendation == "hold"
    assert "g" in found.because[0]
    assert decision(row(p=0.001), missing("other")).recommendation == "hold"
    assert decision(row(p=0.001), missing("s", "secondary")).recommendation == "ship"
    # Stopping needs only one deterioration.
    assert decision(row(p=0.5, worse=0.0001), missing("g", "guardrail")).recommendation == "stop"


def test_too_early_holds():
    found = decision(row(p=0.001), early="before_planned_end")
    assert (found.recommendation, found.because) == ("hold", ("before_planned_end",))


def test_holm_runs_over_metrics_and_arms_of_a_role():
    rows = judge([row("a", p=0.03), row("b", p=0.04)], SETTINGS)
    assert [r.verdict for r in rows] == ["inconclusive", "inconclusive"]
    assert [r.p_adjusted for r in rows] == [0.06, 0.06]
    assert rows[0].reason == "not_rejected_after_correction"
    rows = judge([row("a", p=0.02), row("b", p=0.04)], SETTINGS)
    assert [r.verdict for r in rows] == ["superior", "superior"]
    both_arms = judge([row("a", p=0.03), row("a", arm="other", p=0.2)], SETTINGS)
    assert [r.verdict for r in both_arms] == ["inconclusive", "inconclusive"]


def test_a_row_that_failed_keeps_its_place_in_the_family():
    rows = judge([row("a", p=0.03), missing("b")], SETTINGS)
    assert rows[0].p_adjusted == pytest.approx(0.06)
    assert rows[1].p_adjusted is None


def test_guardrails_are_not_corrected():
    rows = judge([row("a", "guardrail", ni=0.02), row("b", "guardrail", ni=0.024)], SETTINGS)
    assert [r.verdict for r in rows] == ["non_inferior", "non_inferior"]
    assert rows[0].p_value == 0.02
    assert rows[0].family == "guardrail"


def test_a_guardrail_inside_its_margin_but_worse_says_both():
    (found,) = judge([row("g", "guardrail", p=0.03, effect=-1.0, ni=0.001, worse=0.015)], SETTINGS)
    assert (found.verdict, found.also) == ("non_inferior", ("worse than 0",))
    (found,) = judge([row("g", "guardrail", p=0.03, effect=1.0, ni=0.001)], SETTINGS)
    assert (found.verdict, found.also) == ("non_inferior", ("better than 0",))


def test_declared_rules():
    both = rule(ship=ShipConditions(primary="all_superior", guardrail="all_non_inferior"))
    guard = row("g", "guardrail", ni=0.001)
    assert decision(row("a", p=0.001), row("b", p=0.001), guard, settings=both).recommendation == "ship"
    assert decision(row("a", p=0.001), row("b", p=0.2), guard, settings=both).recommendation == "hold"
    strict = rule(ship=ShipConditions(primary="any_superior", quality="all_pass"))
    warned = (*HEALTHY, HealthRow("exposure_unknown_arm", "warn", "3 rows"))
    assert decision(row(p=0.001), settings=strict).recommendation == "ship"
    assert decision(row(p=0.001), settings=strict, health=warned).recommendation == "hold"
    stop = rule(stop=Conditions(guardrail="any_inferior"))
    assert decision(row(p=0.5), row("g", "guardrail", ni=0.9, worse=0.0001), settings=stop).recommendation == "stop"
    # With a stop rule of its own a deteriorated primary does not stop, and still does not ship.
    assert decision(row(p=0.001, worse=0.0001), row("g", "guardrail", ni=0.001), settings=stop).recommendation == "hold"


def test_practical_significance():
    small = rule(practical={"m": 2})
    assert decision(row(p=0.001, effect=1.0), settings=small).recommendation == "hold"
    assert decision(row(p=0.001, effect=3.0), settings=small).recommendation == "ship"
    relative = rule(practical={"m": "20%"})
    assert decision(row(p=0.001, effect=1.0), settings=relative).recommendation == "hold"
    assert decision(row(p=0.001, effect=3.0), settings=relative).recommendation == "ship"
    down = rule(practical={"m": 2})
    assert decision(row(p=0.001, effect=-3.0, direction="decrease"), settings=down).recommendation == "ship"


def test_several_arms():
    rows = [row(arm="a", p=0.001, effect=1.0), row(arm="b", p=0.001, effect=2.0), row(arm="c", p=0.9)]
    found = decision(*rows)
    assert (found.recommendation, found.arm) == ("ship", "b")
    assert found.by_arm == {"a": "ship", "b": "ship", "c": "hold"}
    assert "shrunk" not in found.because[0]
    # V = 1/8 (I + 11'): mean 4/3 by symmetry, Q = sum (y - mean)^2 / (1/8 + tau2) = (2/3) / (1/8 + tau2) = 2 at
    # tau2 = 5/24; b takes (5/24) / (1/3) = 5/8 of its distance 2/3 from the mean: 4/3 + 5/12 = 1.75.
    found = decision(*rows, evidence=pairs(a=1.0, b=2.0, c=1.0))
    assert "+2 as estimated, +1.75 shrunk towards all arms" in found.because[0]
    assert decision(*rows, settings=replace(SETTINGS, prefer=("c", "a"))).arm == "a"
    # A declared rule without primary metrics chooses by the first metric there is.
    secondary = [
        row("s", "secondary", arm="a", p=0.001, effect=3.0),
        row("s", "secondary", arm="b", p=0.001, effect=1.0),
    ]
    assert decision(*secondary, settings=rule(ship=ShipConditions(secondary="any_superior"))).arm == "a"
    one_bad = decision(row(arm="a", p=0.5), row(arm="b", p=0.5, worse=0.0001))
    assert one_bad.recommendation == "hold"
    assert "stop arm b" in one_bad.because[0]
    assert decision(row(arm="a", worse=1e-5), row(arm="b", worse=1e-5)).recommendation == "stop"


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=8),
    st.sampled_from(["none", "bonferroni", "holm", "hochberg", "hommel", "bh", "by"]),
)
def test_adjusted_p_is_never_smaller_and_alone_makes_the_verdict(p_values, method):
    settings = replace(SETTINGS, methods={**SETTINGS.methods, "primary": method})
    rows = [missing(f"m{i}") if p is None else row(f"m{i}", p=p) for i, p in enumerate(p_values)]
    want = adjust(p_values, method, 0.05)
    for found, p, adjusted in zip(judge(rows, settings), p_values, want.p_adjusted, strict=True):
        if p is None:
            assert (found.verdict, found.p_value) == ("not_computed", None)
        else:
            assert found.p_adjusted == pytest.approx(adjusted, rel=1e-12)
            assert found.p_adjusted >= p
            assert (found.verdict == "superior") == found.test("superiority").rejected == (found.p_adjusted <= 0.05)
