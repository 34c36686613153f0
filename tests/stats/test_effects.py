from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import t as student

from metricdef.errors import NotComputable
from metricdef.stats import effects
from metricdef.stats.effects import (
    ArmEstimates,
    difference,
    one_sided_limit,
    relative,
    unadjusted_mean,
    unadjusted_ratio,
)
from metricdef.stats.equivalence import equivalence
from metricdef.stats.moments import from_rows, merge

from .reference import moments

values = st.floats(-20, 20).map(lambda v: round(v, 3))
variances = st.floats(0.05, 30)


@st.composite
def estimates(draw: st.DrawFn) -> ArmEstimates:
    """Two arms with any means, variances and a common term."""
    v = np.array([draw(variances), draw(variances)])
    b = np.array([draw(st.floats(-3, 3)), draw(st.floats(-3, 3))])
    means = np.array([draw(values), draw(values)])
    df = np.array([draw(st.floats(1, 500)), draw(st.floats(1, 500))])
    return ArmEstimates("lin", means, np.diag(v) + np.outer(b, b), v, df)


@given(estimates(), st.sampled_from([0.01, 0.05, 0.2]))
def test_p_and_both_intervals_say_the_same(est: ArmEstimates, alpha: float) -> None:
    d = difference(est, 1, alpha)
    assume(abs(d.p_value - alpha) > 1e-9 and abs(est.means[0]) > 1e-3)
    significant = d.p_value < alpha
    assert significant == (d.lower > 0 or d.upper < 0)
    r = relative(est, 1, alpha)
    if r.shape == "bounded":
        assert r.lower is not None
        assert r.upper is not None
        assert r.estimate is not None
        assert r.lower <= r.estimate <= r.upper
        assert significant == (r.lower > 0 or r.upper < 0)
    elif r.shape == "complement":
        assert r.excluded is not None
        assert significant == (r.excluded[0] < 0 < r.excluded[1])
        assert r.estimate is not None
        assert not r.excluded[0] < r.estimate < r.excluded[1]
    else:
        assert not significant


@given(estimates(), st.floats(-0.5, 0.5), st.booleans())
def test_a_relative_margin_agrees_with_fieller(est: ArmEstimates, margin: float, greater: bool) -> None:
    mu0 = float(est.means[0])
    assume(mu0 != 0)
    r = relative(est, 1, 0.1)
    assume(r.shape == "bounded")
    assert r.lower is not None
    assert r.upper is not None
    t = effects.test_one_sided(est, 1, 0.0, greater, 0.05, relative=margin)
    assume(abs(t.p_value - 0.05) > 1e-9)
    bound = margin if mu0 > 0 else -margin
    beyond = r.lower > bound if greater == (mu0 > 0) else r.upper < bound
    assert (t.p_value < 0.05) == beyond


@given(estimates(), st.floats(1e-6, 1e6))
def test_scale_and_label_invariance(est: ArmEstimates, scale: float) -> None:
    d = difference(est, 1, 0.05)
    back = difference(est, 0, 0.05, baseline=1)
    assert (back.estimate, back.statistic) == (pytest.approx(-d.estimate), pytest.approx(-d.statistic))
    assert back.p_value == pytest.approx(d.p_value)
    scaled = ArmEstimates("lin", est.means * scale, est.cov * scale**2, est.arm_variance * scale**2, est.arm_df)
    s = difference(scaled, 1, 0.05)
    assert s.p_value == pytest.approx(d.p_value, rel=1e-9)
    assert s.lower == pytest.approx(d.lower * scale, rel=1e-9, abs=1e-9 * scale)
    if est.means[0] != 0:
        a, b = relative(est, 1, 0.05), relative(scaled, 1, 0.05)
        assert a.shape == b.shape
        if a.lower is not None:
            assert b.lower == pytest.approx(a.lower, rel=1e-6, abs=1e-9)


def test_two_sided_is_twice_the_smaller_one_sided() -> None:
    est = unadjusted_mean([moments(30, ["y"], [1.0], [[2.0]]), moments(25, ["y"], [1.9], [[3.0]])], "y")
    both = effects.test_superiority(est, 1, 0.05)
    up = effects.test_one_sided(est, 1, 0.0, True, 0.025)
    down = effects.test_one_sided(est, 1, 0.0, False, 0.025)
    assert both.p_value == pytest.approx(2 * up.p_value)
    assert up.p_value + down.p_value == pytest.approx(1)
    assert (both.sidedness, up.hypothesis, down.hypothesis) == ("two-sided", "greater", "less")


def test_far_tail_survives() -> None:
    arms = [moments(10**9, ["y"], [m], [[1.0]]) for m in (0.0, 28.5 * math.sqrt(2e-9))]
    p = effects.test_one_sided(unadjusted_mean(arms, "y"), 1, 0.0, True, 0.05).p_value
    assert p == pytest.approx(5.8576e-179, rel=1e-3)  # Phi(-28.5) = 5.857e-179


def reason(call: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(NotComputable) as caught:
        call(*args, **kwargs)
    return caught.value.reason


def test_what_cannot_be_computed_says_why() -> None:
    constant = from_rows(["y", "d"], [[0.1, 1.0]] * 12)
    other = from_rows(["y", "d"], [[0.3, 0.0]] * 7)
    vary = from_rows(["y", "d"], [[1.0, 1.0], [2.0, 3.0], [4.0, 1.0]])
    single = from_rows(["y", "d"], [[1.0, 1.0]])
    zero_mean = from_rows(["y", "d"], [[-1.0, 1.0], [1.0, 2.0]])
    still = unadjusted_mean([merge(constant, constant), other], "y")
    assert reason(difference, still, 1, 0.05) == "zero_variance"
    assert reason(relative, still, 1, 0.05) == "zero_variance"
    assert reason(difference, unadjusted_mean([vary, single], "y"), 1, 0.05) == "too_few_units"
    assert reason(unadjusted_ratio, [vary, other], "y", "d") == "zero_denominator"
    from_zero = unadjusted_mean([zero_mean, vary], "y")
    assert reason(relative, from_zero, 1, 0.05) == "baseline_zero"
    assert reason(effects.test_one_sided, from_zero, 1, 0.0, True, 0.05, relative=-0.01) == "baseline_zero"
    # An unusable arm doesn't stop the others, nor does an arm without variance beside one with it (df of the other).
    three = unadjusted_mean([vary, single, zero_mean], "y")
    assert math.isfinite(difference(three, 2, 0.05).p_value)
    assert difference(unadjusted_mean([constant, vary], "y"), 1, 0.05).df == pytest.approx(2)


def test_a_ratio_that_is_exactly_constant_has_no_variance() -> None:
    d = np.random.default_rng(3).integers(1, 9, 50).astype(float)
    arms = [from_rows(["y", "d"], np.column_stack([0.1 * d, d])), from_rows(["y", "d"], np.column_stack([0.3 * d, d]))]
    assert reason(difference, unadjusted_ratio(arms, "y", "d"), 1, 0.05) == "zero_variance"


def test_fieller_half_line_has_one_limit() -> None:
    shape, ends = effects._solve(0.0, 2.0, 1.0)
    assert (shape, ends) == ("unbounded", (0.25, None))
    assert effects._solve(0.0, 0.0, -1.0) == ("unbounded", (None, None))


@given(estimates(), st.floats(-5, 5), st.booleans(), st.sampled_from([0.01, 0.05, 0.3]))
def test_a_one_sided_limit_is_where_its_test_just_rejects(
    est: ArmEstimates, null: float, greater: bool, alpha: float
) -> None:
    limit = one_sided_limit(est, 1, greater, alpha)
    p = effects.test_one_sided(est, 1, null, greater, alpha).p_value
    assume(abs(p - alpha) > 1e-9)
    assert (p < alpha) == (limit > null if greater else limit < null)
    assert effects.test_one_sided(est, 1, limit, greater, alpha).p_value == pytest.approx(alpha, rel=1e-6)


@given(estimates(), st.floats(-5, 5), st.sampled_from([0.01, 0.05, 0.3]))
def test_a_null_is_rejected_exactly_when_the_interval_excludes_it(est: ArmEstimates, null: float, alpha: float) -> None:
    d = difference(est, 1, alpha, null=null)
    assume(abs(d.p_value - alpha) > 1e-9)
    assert (d.p_value < alpha) == (not d.lower <= null <= d.upper)
    assert (d.lower, d.std_error) == (difference(est, 1, alpha).lower, difference(est, 1, alpha).std_error)


@given(estimates(), st.floats(-3, 3), st.floats(0.01, 4), st.booleans())
def test_equivalence_is_an_interval_inside_the_margins(
    est: ArmEstimates, low: float, width: float, relative_margins: bool
) -> None:
    mu0 = float(est.means[0])
    assume(mu0 != 0)
    got = equivalence(est, 1, low, low + width, 0.05, relative_margins)
    assume(abs(got.p_value - 0.05) > 1e-9)
    if relative_margins:
        r = relative(est, 1, 0.1)
        assume(r.lower is not None and r.upper is not None)
        ends = sorted(np.multiply((low, low + width), math.copysign(1, mu0)))
        inside = ends[0] < r.lower and r.upper < ends[1]  # type: ignore[operator]
    else:
        d = difference(est, 1, 0.1)
        inside = low < d.lower and d.upper < low + width
    assert got.equivalent == inside == (got.p_value < 0.05)
    assert got.p_value == max(got.above.p_value, got.below.p_value)


@pytest.mark.parametrize("sign", [1, -1])
def test_relative_margins_of_equivalence_are_shares_of_the_baseline(sign: int) -> None:
    """By hand: the contrasts mu_1 - (1 + m) mu_0 for m = -2 % and 3 % (mirrored for a baseline below 0)."""
    est = ArmEstimates(
        "unadjusted", sign * np.array([50.0, 50.2]), np.diag([0.04, 0.09]), np.array([0.04, 0.09]), np.full(2, 1e9)
    )
    got = equivalence(est, 1, -0.02, 0.03, 0.05, relative=True)
    low, high = (0.98, 1.03) if sign > 0 else (1.02, 0.97)
    above, below = (sign * (50.2 - f * 50) / math.sqrt(0.09 + f * f * 0.04) for f in (low, high))
    assert (got.above.statistic, got.below.statistic) == (pytest.approx(above), pytest.approx(below))
    p = max(0.5 * math.erfc(above / math.sqrt(2)), 0.5 * math.erfc(-below / math.sqrt(2)))
    assert got.p_value == pytest.approx(p, rel=1e-6)
    assert got.equivalent
    assert (got.above.null, got.below.null) == (-0.02, 0.03)


def test_equivalence_needs_ordered_margins() -> None:
    est = unadjusted_mean([moments(30, ["y"], [1.0], [[2.0]])] * 2, "y")
    with pytest.raises(ValueError, match="not below"):
        equivalence(est, 1, 0.5, 0.5, 0.05)
    with pytest.raises(ValueError, match="one-sided"):
        one_sided_limit(est, 1, True, 0.5)


@given(estimates())
def test_normal_theory_is_the_limit_of_many_degrees_of_freedom(est: ArmEstimates) -> None:
    a = difference(effects.normal_theory(est), 1, 0.05)
    b = difference(replace(est, pooled_df=1e13), 1, 0.05)
    assert (a.lower, a.upper) == (pytest.approx(b.lower, rel=1e-8), pytest.approx(b.upper, rel=1e-8))
    assert a.p_value == pytest.approx(b.p_value, rel=1e-6)
    assert difference(effects.normal_theory(est), 1, 0.05).df == math.inf


def test_joint_covariance_of_contrasts() -> None:
    """Against the empirical covariance formula C V C' by hand: a shared baseline and a shared term."""
    v, shared = np.diag([0.5, 1.0, 2.0]), np.array([0.3, -0.2, 0.7])
    est = ArmEstimates("lin", np.zeros(3), v + np.outer(shared, shared), v.diagonal(), np.full(3, 50.0))
    got = effects.contrast_covariance(est, effects.baseline_contrasts(3))
    assert got[0, 1] == pytest.approx(0.5 + (-0.2 - 0.3) * (0.7 - 0.3))
    for a in (1, 2):
        assert got[a - 1, a - 1] == pytest.approx(difference(est, a, 0.05).std_error ** 2)
    np.testing.assert_array_equal(effects.baseline_contrasts(3, 1), [[1, -1, 0], [0, -1, 1]])
    with pytest.raises(ValueError, match="weights"):
        effects.contrast_covariance(est, [[1.0, -1.0]])
    refusing = replace(est, refused={2: NotComputable("ties", "no")})
    assert reason(effects.contrast_covariance, refusing, effects.baseline_contrasts(3)) == "ties"
    assert effects.contrast_covariance(refusing, [[-1.0, 1.0, 0.0]])[0, 0] == pytest.approx(got[0, 0])
    assert reason(difference, refusing, 2, 0.05) == "ties"


def test_satterthwaite_ignores_what_has_no_variance() -> None:
    assert effects.satterthwaite([2.0, 0.0], [7.0, 0.0]) == pytest.approx(7.0)
    assert effects.satterthwaite([1e-300, 1e-300], [5.0, 5.0]) == pytest.approx(10.0)
    assert reason(effects.satterthwaite, [0.0, 0.0], [5.0, 5.0]) == "zero_variance"
    assert reason(effects.satterthwaite, [1.0, 1.0], [5.0, 0.0]) == "too_few_units"


@pytest.mark.parametrize("sizes", [(2, 3), (9, 40)])
def test_a_ratio_by_the_delta_method(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    rows = [np.column_stack([rng.normal(5, 1, n), 1.0 + rng.poisson(2, n) + rng.random(n)]) for n in sizes]
    lonely = from_rows(["y", "d"], [[1.0, 2.0]])
    est = unadjusted_ratio([*(from_rows(["y", "d"], r) for r in rows), lonely], "y", "d")
    for a, r in enumerate(rows):
        ratio = r[:, 0].sum() / r[:, 1].sum()
        scores = (r[:, 0] - ratio * r[:, 1]) / r[:, 1].mean()
        assert est.means[a] == pytest.approx(ratio, rel=1e-12)
        assert est.arm_variance[a] == pytest.approx(scores.var(ddof=1) / len(r), rel=1e-9)
        assert est.cov[a, a] == est.arm_variance[a]
    assert est.arm_df.tolist() == [sizes[0] - 1, sizes[1] - 1, 0]
    with pytest.raises(NotComputable, match="too few units"):
        difference(est, 2, 0.05)


def test_any_arm_can_be_the_baseline() -> None:
    rng = np.random.default_rng(4)
    arms = [from_rows(["y"], rng.normal(a, 1 + a, (20 + 7 * a, 1))) for a in range(3)]
    est = unadjusted_mean(arms, "y")
    pair = unadjusted_mean([arms[2], arms[1]], "y")
    d = difference(est, 1, 0.05, baseline=2)
    assert d == difference(pair, 1, 0.05)
    test = effects.test_superiority(est, 1, 0.05, baseline=2)
    assert test == effects.Test("superiority", 0.0, "two-sided", 0.05, d.statistic, d.df, d.p_value)
    for greater in (True, False):
        assert one_sided_limit(est, 1, greater, 0.05, baseline=2) == one_sided_limit(pair, 1, greater, 0.05)
        one = effects.test_one_sided(est, 1, 0.3, greater, 0.05, baseline=2)
        assert one == effects.test_one_sided(pair, 1, 0.3, greater, 0.05)
        t = (d.estimate - 0.3) / d.std_error
        tail = student.sf(t, d.df) if greater else student.cdf(t, d.df)
        word = "greater" if greater else "less"
        assert replace(one, p_value=0.0) == effects.Test(word, 0.3, "one-sided", 0.05, t, d.df, 0.0)
        assert one.p_value == pytest.approx(tail, rel=1e-10)
    assert relative(est, 1, 0.05, baseline=2) == relative(pair, 1, 0.05)


@pytest.mark.parametrize("alpha", [0.0, 0.5, -0.1])
def test_a_one_sided_level_is_below_one_half(alpha: float) -> None:
    est = unadjusted_mean([from_rows(["y"], [[1.0], [2.0]])] * 2, "y")
    with pytest.raises(ValueError, match="one-sided level"):
        one_sided_limit(est, 1, True, alpha)


@pytest.mark.parametrize("mean", [3.0, -3.0, 0.9])
@pytest.mark.parametrize("greater", [True, False])
def test_a_relative_margin_is_that_of_fiellers_set(mean: float, greater: bool) -> None:
    rng = np.random.default_rng(5)
    est = unadjusted_mean([from_rows(["y"], rng.normal(m, abs(mean) / 3, (60, 1))) for m in (mean, 1.05 * mean)], "y")
    found = relative(est, 1, 0.05)
    assert found.shape == "bounded" and found.lower is not None and found.upper is not None
    assert 0.5 < abs(est.means[0]) < 4
    # A negative baseline turns the lift over: above -3 by a tenth is a lift of -10 %.
    limit = found.lower if greater == (mean > 0) else found.upper
    margin = limit if mean > 0 else -limit
    for step, rejected in ((1e-6, not greater), (-1e-6, greater)):
        test = effects.test_one_sided(est, 1, 0.0, greater, 0.025, relative=margin + step)
        assert (test.p_value <= 0.025) == rejected
        assert (test.hypothesis, test.null) == ("greater" if greater else "less", margin + step)
