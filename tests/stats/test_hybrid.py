from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student
from thorough import examples

from metricdef.stats.anytime import confidence_sequence
from metricdef.stats.group_sequential import AlphaSpending, boundaries
from metricdef.stats.hybrid import HybridPlan, hybrid_look, hybrid_plan, normal_score
from metricdef.stats.spending import Spending

PLANS = {d: hybrid_plan(0.01, 0.04, 10_000, d) for d in ("two-sided", "greater", "less")}
DIRECTIONS = st.sampled_from(sorted(PLANS))


def bounds_of(plan: HybridPlan):
    return boundaries(AlphaSpending(Spending("obrien_fleming")), [0.5, 1.0], plan.final_alpha, plan.sided)


def excludes(found, null: float) -> bool:
    return (found.lower is not None and null < found.lower) or (found.upper is not None and null > found.upper)


@settings(max_examples=examples(60), deadline=None)
@given(
    DIRECTIONS,
    st.floats(-7, 7),
    st.floats(1e-3, 1e3),
    st.floats(200, 1e6),
    st.sampled_from([None, 12.5, 800.0]),
    st.sampled_from(["running", "final", "first", "last"]),
)
def test_p_interval_and_decision_agree(direction, z, std_error, units, df, kind):
    plan = PLANS[direction]
    more = {
        "running": {},
        "final": {"final": True},
        "first": {"bounds": bounds_of(plan), "look": 0},
        "last": {"bounds": bounds_of(plan), "look": 1},
    }[kind]
    found = hybrid_look(plan, 3.0 + z * std_error, std_error, units, df=df, null=3.0, **more)
    assert found.rejected == (found.look_p <= plan.alpha) == (found.by is not None)
    if abs(found.look_p - plan.alpha) > 1e-9:
        assert excludes(found, 3.0) == found.rejected
    assert found.planned == (kind != "running")
    assert (found.lower is None) == (direction == "less")
    assert (found.upper is None) == (direction == "greater")
    assert 0 <= found.look_p <= 1


def test_while_running_it_is_the_sequence_at_its_level():
    plan = PLANS["two-sided"]
    found, same = hybrid_look(plan, 0.3, 0.1, 5000), confidence_sequence(0.3, 0.1, 5000, plan.rho2, 0.01)
    assert (found.lower, found.upper) == (same.lower, same.upper)
    assert found.look_p == pytest.approx(same.p_value * 5)


def test_at_the_end_it_is_the_fixed_test_at_its_level():
    plan = PLANS["two-sided"]
    found = hybrid_look(plan, 0.3, 0.1, 10_000, df=900.0, final=True)
    half = student.isf(0.02, 900) * 0.1
    assert (found.lower, found.upper) == pytest.approx((0.3 - half, 0.3 + half))
    assert found.look_p == pytest.approx(2 * student.sf(3.0, 900) * 0.05 / 0.04)
    assert found.by == "planned"


def test_an_early_rejection_is_kept_by_the_running_p():
    plan = PLANS["two-sided"]
    early = hybrid_look(plan, 0.5, 0.1, 4000)
    assert (early.rejected, early.by) == (True, "anytime")
    late = hybrid_look(plan, 0.1, 0.1, 10_000, final=True, previous_p=early.p_value)
    assert not late.rejected
    assert late.p_value == early.p_value <= plan.alpha < late.look_p


def test_error_over_a_whole_experiment():
    """2000 null experiments with a look every 200 units and a fixed test at 10 000."""
    plan = PLANS["two-sided"]
    rng = np.random.default_rng(5)
    score = rng.normal(size=(2000, 50)).cumsum(axis=1)
    z = score / np.sqrt(np.arange(1, 51))
    half = np.array([hybrid_look(plan, 0.0, 1.0, 200 * (j + 1), final=j == 49).upper for j in range(50)])
    assert 0.03 < np.mean((np.abs(z) > half).any(axis=1)) <= 0.05


def test_a_planned_look_that_spends_nothing_leaves_the_sequence():
    plan = PLANS["two-sided"]
    rule = AlphaSpending(Spending("pocock"))
    stalled = boundaries(rule, [0.5, 0.5, 1.0], 0.04, 2, [0.3, 0.6, 1.0])
    found = hybrid_look(plan, 0.3, 0.1, 5000, bounds=stalled, look=1)
    assert found.lower == hybrid_look(plan, 0.3, 0.1, 5000).lower


def test_a_planned_look_so_early_that_its_bound_has_no_tail():
    plan = PLANS["two-sided"]
    early = boundaries(AlphaSpending(Spending("obrien_fleming")), [0.001, 1.0], 0.04, 2, [0.001, 1.0])
    assert early.upper[0] > 60
    found = hybrid_look(plan, 1.0, 0.1, 300, df=298.0, bounds=early, look=0)
    assert found.by == "anytime"
    assert found.lower == hybrid_look(plan, 1.0, 0.1, 300).lower


def test_normal_scores():
    assert normal_score(2.5, None) == 2.5
    assert normal_score(-2.5, 10) == pytest.approx(-2.15, abs=0.01)
    assert normal_score(0.0, 5) == 0.0
    assert 37 < normal_score(1e9, 1e6) < 38
    assert normal_score(6.0, 1e12) == pytest.approx(6.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: hybrid_plan(0.0, 0.04, 1000),
        lambda: hybrid_plan(0.3, 0.3, 1000),
        lambda: hybrid_plan(0.01, 0.04, 1000, "both"),
        lambda: hybrid_look(PLANS["greater"], 1, 1, 1000, look=1),
        lambda: hybrid_look(PLANS["greater"], 1, 1, 1000, final=True, bounds=bounds_of(PLANS["greater"]), look=1),
        lambda: hybrid_look(PLANS["greater"], 1, 1, 1000, bounds=bounds_of(PLANS["two-sided"]), look=1),
        lambda: hybrid_look(PLANS["greater"], 1, 0, 1000),
        lambda: hybrid_look(PLANS["greater"], 1, 1, 1000, previous_p=math.nan),
    ],
)
def test_refusals(call):
    with pytest.raises(ValueError):
        call()
