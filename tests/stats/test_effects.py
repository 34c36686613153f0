from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from metricdef.errors import NotComputable
from metricdef.stats import effects
from metricdef.stats.effects import ArmEstimates, difference, relative, unadjusted_mean, unadjusted_ratio
from metricdef.stats.moments import from_rows, merge

from .reference import Case, agrees, cases, moments, name, sufficient_arms, summary_arms


def with_df(est: ArmEstimates, df: float) -> ArmEstimates:
    return ArmEstimates(est.estimator, est.means, est.cov, est.arm_variance, est.arm_df, df)


@pytest.mark.parametrize("case", cases("two_sample", "welch_t"), ids=name)
def test_welch(case: Case) -> None:
    d = difference(unadjusted_mean(summary_arms(case), "y"), 1, 1 - case["inputs"]["confidence"])
    got = {"difference": d.estimate, "se": d.std_error, "df": d.df, "t": d.statistic, "p_value": d.p_value}
    for key, value in {**got, "ci_lower": d.lower, "ci_upper": d.upper}.items():
        agrees(case, value, case["expected"][key])


@pytest.mark.parametrize("case", cases("two_sample", "welch_t_one_sided", "non_inferiority_absolute"), ids=name)
def test_one_sided(case: Case) -> None:
    inputs, expected = case["inputs"], case["expected"]
    est = unadjusted_mean(summary_arms(case), "y")
    level = 1 - inputs["confidence"]
    t = effects.test_one_sided(est, 1, inputs["null_difference"], inputs["alternative"] == "greater", level)
    agrees(case, t.statistic, expected["t"])
    agrees(case, t.p_value, expected["p_value"])
    assert t.df is not None
    agrees(case, t.df, expected["df"])
    both = difference(est, 1, 2 * level)  # a one-sided limit is that of the two-sided interval at 2 alpha
    for key, limit in (("ci_lower", both.lower), ("ci_upper", both.upper)):
        if expected[key] is not None:
            agrees(case, limit, expected[key])


@pytest.mark.parametrize("case", cases("two_sample", "tost_equivalence"), ids=name)
def test_equivalence_as_two_one_sided_tests(case: Case) -> None:
    inputs, expected = case["inputs"], case["expected"]
    est = unadjusted_mean(summary_arms(case), "y")
    lower = effects.test_one_sided(est, 1, inputs["low"], True, inputs["alpha"])
    upper = effects.test_one_sided(est, 1, inputs["high"], False, inputs["alpha"])
    agrees(case, lower.p_value, expected["p_lower"])
    agrees(case, upper.p_value, expected["p_upper"])
    d = difference(est, 1, 2 * inputs["alpha"])
    agrees(case, d.lower, expected["ci_lower"])
    agrees(case, d.upper, expected["ci_upper"])


@pytest.mark.parametrize("case", cases("two_sample", "non_inferiority_relative"), ids=name)
def test_relative_margin(case: Case) -> None:
    """The reference takes Satterthwaite's df of the contrast, we that of the difference: both with our contrast."""
    inputs, expected = case["inputs"], case["expected"]
    est = unadjusted_mean(summary_arms(case), "y")
    lower_better = inputs["better"] == "lower"
    margin = inputs["relative_margin"] * (1 if lower_better else -1)
    t = effects.test_one_sided(est, 1, 0.0, not lower_better, 0.05, relative=margin)
    agrees(case, t.statistic, expected["t"])
    assert t.df == difference(est, 1, 0.05).df
    for df, key in ((expected["df"], "p_value"), (1e15, "p_value_normal")):
        p = effects.test_one_sided(with_df(est, df), 1, 0.0, not lower_better, 0.05, relative=margin).p_value
        agrees(case, p, expected[key])


@pytest.mark.parametrize("case", cases("two_sample", "relative_lift_fieller"), ids=name)
def test_fieller(case: Case) -> None:
    """The references take the normal quantile (df = infinity), mratios its own df: the same set at that df."""
    expected = case["expected"]
    est = unadjusted_mean(summary_arms(case), "y")
    got = relative(with_df(est, 1e15), 1, 0.05)
    assert got.estimate is not None
    agrees(case, got.estimate, expected["lift"])
    assert got.shape == {"whole_line": "unbounded"}.get(expected["kind"], expected["kind"])
    if got.shape == "bounded":
        pairs = [(got.lower, expected["ci_lower"]), (got.upper, expected["ci_upper"])]
        variant = expected["welch_t_variant"]
        v1, v0 = est.arm_variance[1], est.arm_variance[0] * (est.means[1] / est.means[0]) ** 2
        satterthwaite = (v1 + v0) ** 2 / (v1**2 / est.arm_df[1] + v0**2 / est.arm_df[0])  # at the estimated ratio
        at_df = relative(with_df(est, satterthwaite), 1, 0.05)
        for value, want in pairs:
            assert value is not None
            agrees(case, value, want)
        assert at_df.lower is not None
        assert at_df.upper is not None
        agrees(case, 1 + at_df.lower, variant["ratio_ci_lower"])
        agrees(case, 1 + at_df.upper, variant["ratio_ci_upper"])
    elif got.shape == "complement":
        assert got.excluded is not None
        agrees(case, got.excluded[0], expected["excluded_lower"])
        agrees(case, got.excluded[1], expected["excluded_upper"])
    else:
        assert (got.lower, got.upper, got.excluded) == (None, None, None)


@pytest.mark.parametrize("case", cases("two_sample", "relative_lift_delta"), ids=name)
def test_lift_estimate(case: Case) -> None:
    """Only the estimate: the delta interval is not reported."""
    got = relative(unadjusted_mean(summary_arms(case), "y"), 1, 0.05).estimate
    assert got is not None
    agrees(case, got, case["expected"]["lift"])


@pytest.mark.parametrize("case", cases("two_sample", "proportions_z_unpooled"), ids=name)
def test_proportions_differ_from_the_reference_by_the_divisor(case: Case) -> None:
    """The reference has divisor n, we n - 1: V_n = V (n - 1) / n, exactly."""
    arms = []
    for arm in ("control", "treatment"):
        n, x = case["inputs"][arm]["n"], case["inputs"][arm]["successes"]
        arms.append(moments(n, ["y"], [x / n], [[x * (n - x) / n / (n - 1)]]))
    est = unadjusted_mean(arms, "y")
    se = math.sqrt(sum(float(v) * (a.n - 1) / a.n for v, a in zip(est.arm_variance, arms, strict=True)))
    agrees(case, se, case["expected"]["se_unpooled"])
    agrees(case, difference(est, 1, 0.05).estimate, case["expected"]["difference"])


@pytest.mark.parametrize("case", cases("ratio_cluster", "ratio_delta", "ratio_delta_vs_cluster_ols"), ids=name)
def test_ratio(case: Case) -> None:
    arms = sufficient_arms(case)
    est = unadjusted_ratio(arms, "y", "d")
    comparisons = case["expected"].get("comparisons", {"1_vs_0": case["expected"]})
    for key, expected in comparisons.items():
        arm = int(key[0])
        for a in (0, arm):
            agrees(case, est.means[a], expected["ratio"][str(a)])
            agrees(case, est.arm_variance[a], expected["variance"][str(a)])
        d, big = difference(est, arm, 0.05), difference(with_df(est, 1e15), arm, 0.05)
        agrees(case, d.estimate, expected["difference"])
        agrees(case, d.std_error, expected["se_delta"])
        agrees(case, big.p_value, expected["p_value_z"])
        agrees(case, big.lower, expected["ci_lower"])
        lift = relative(est, arm, 0.05).estimate
        assert lift is not None
        agrees(case, lift, expected["lift"])
    # CR0 / HC0 has divisor n where we have n - 1.
    if "se_CR0" in case["expected"]:
        cr0 = sum(v * (m.n - 1) / m.n for v, m in zip(est.arm_variance, arms, strict=True))
        agrees(case, math.sqrt(cr0), case["expected"]["se_CR0"])


@pytest.mark.parametrize("case", cases("ratio_cluster", "cluster_means_unweighted"), ids=name)
def test_unweighted_cluster_means(case: Case) -> None:
    rows: dict[str, Any] = {key: np.array(value) for key, value in case["inputs"]["rows"].items()}
    arms = []
    for arm in (0, 1):
        units = np.unique(rows["unit"][rows["arm"] == arm])
        arms.append(from_rows(["y"], [[rows["y"][rows["unit"] == u].mean()] for u in units]))
    d = difference(unadjusted_mean(arms, "y"), 1, 0.05)
    for key in ("difference", "se", "df", "p_value", "ci_lower", "ci_upper"):
        got = {"difference": d.estimate, "se": d.std_error, "ci_lower": d.lower, "ci_upper": d.upper}.get(key)
        agrees(case, getattr(d, key) if got is None else got, case["expected"][key])


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
