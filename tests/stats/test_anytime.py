"""Confidence sequences and mixture tests: p and interval agree, errors hold at any time, the forms are one object."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from scipy.stats import t as student

from metricdef.stats.anytime import (
    confidence_sequence,
    exact_rho2,
    half_width,
    log_e_value,
    mixture_test,
    one_sided_margin,
    one_sided_sequence,
    regression_test,
    running_minimum,
    tuned_rho2,
)
from metricdef.stats.tails import z_quantile

Z = st.floats(-12, 12)
UNITS = st.floats(10, 1e7)
ALPHA = st.floats(1e-6, 0.4)
RHO2 = st.floats(1e-8, 1e-1)


def test_it_is_tightest_near_the_planned_size():
    rho2 = tuned_rho2(10_000, 0.05)
    factors = {n: half_width(1.0, n, rho2, 0.05) for n in (100, 1_000, 10_000, 100_000, 1_000_000)}
    assert min(factors, key=factors.__getitem__) == 10_000
    assert all(factor > 1.96 for factor in factors.values())


@given(st.floats(100, 1e7), st.floats(1e-6, 0.3))
def test_the_exact_rho2_is_the_tightest(units, alpha):
    exact = exact_rho2(units, alpha)
    best = half_width(1.0, units, exact, alpha)
    assert best <= half_width(1.0, units, tuned_rho2(units, alpha), alpha) * (1 + 1e-12)
    for factor in (0.7, 0.97, 1.03, 1.5):
        assert best <= half_width(1.0, units, exact * factor, alpha)


@given(Z, UNITS, RHO2, ALPHA, st.floats(1e-3, 1e3), st.floats(-5, 5))
def test_p_agrees_with_the_interval_and_the_interval_contains_the_fixed_one(z, units, rho2, alpha, se, null):
    found = confidence_sequence(null + z * se, se, units, rho2, alpha, null)
    assert (found.p_value <= alpha) == (not found.lower <= null <= found.upper)
    assert found.upper - found.lower >= 2 * z_quantile(alpha) * se
    assert 0 <= found.p_value <= 1
    mirrored = confidence_sequence(null - z * se, se, units, rho2, alpha, null)
    assert mirrored.p_value == pytest.approx(found.p_value, rel=1e-6)


@given(Z, UNITS, RHO2, ALPHA, st.booleans())
def test_one_sided_p_agrees_with_its_limit(z, units, rho2, alpha, greater):
    found = one_sided_sequence(z, 1.0, units, rho2, alpha, greater=greater)
    assert (found.lower is None) != (found.upper is None)
    excluded = found.lower > 0 if greater else found.upper < 0
    assert (found.p_value <= alpha) == excluded
    assert one_sided_margin(1.0, units, rho2, alpha) >= z_quantile(2 * alpha)
    assert one_sided_margin(1.0, units, rho2, alpha) <= half_width(1.0, units, rho2, alpha)


def test_the_one_sided_p_is_the_level_whose_margin_ends_there():
    z, units, rho2 = 3.1, 5_000, 1e-3
    p = one_sided_sequence(z, 1.0, units, rho2, 0.05, greater=True).p_value
    assert one_sided_margin(1.0, units, rho2, p) == pytest.approx(z)
    assert one_sided_sequence(-z, 1.0, units, rho2, 0.05, greater=True).p_value == 1.0
    assert one_sided_sequence(-z, 1.0, units, rho2, 0.05, greater=False).p_value == pytest.approx(p)


def test_far_tails_do_not_overflow():
    assert log_e_value(1e3, 1e6, 1e-4) == pytest.approx(495_047, rel=1e-3)
    assert confidence_sequence(1e3, 1.0, 1e6, 1e-4, 0.05).p_value == 0.0
    assert 0 < confidence_sequence(30.0, 1.0, 1e6, 1e-4, 0.05).p_value < 1e-190
    assert 0 < one_sided_sequence(30.0, 1.0, 1e6, 1e-4, 0.05, greater=True).p_value < 1e-190
    assert mixture_test(50.0, 1.0, 10.0, 0.05).log_ratio == pytest.approx(1135.2, abs=0.1)


@given(Z, st.floats(1e-3, 1e2), st.floats(1e-6, 1e3), ALPHA)
def test_the_mixture_sprt_is_the_confidence_sequence_with_a_prior_of_fixed_size(z, variance, tau2, alpha):
    units = 1000.0
    found = mixture_test(z * math.sqrt(variance), variance, tau2, alpha)
    same = confidence_sequence(z * math.sqrt(variance), math.sqrt(variance), units, tau2 / (units * variance), alpha)
    assert found.log_ratio == pytest.approx(same.log_e_value, rel=1e-9, abs=1e-9)
    assert found.half_width == pytest.approx((same.upper - same.lower) / 2, rel=1e-9)
    assert found.p_value == pytest.approx(same.p_value, rel=1e-8)


def test_the_mixture_is_an_average_of_likelihood_ratios():
    difference, variance, tau2 = 0.4, 0.05, 0.3

    def weighted(effect):
        ratio = norm.pdf(difference, effect, math.sqrt(variance)) / norm.pdf(difference, 0, math.sqrt(variance))
        return ratio * norm.pdf(effect, 0, math.sqrt(tau2))

    assert mixture_test(difference, variance, tau2, 0.05).log_ratio == pytest.approx(math.log(quad(weighted, -5, 5)[0]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_the_running_minimum_never_rises(p_values):
    found = running_minimum(p_values)
    assert all(a >= b for a, b in pairwise(found))
    assert found[-1] == min(p_values)


def test_error_over_a_whole_experiment_and_that_of_repeated_fixed_tests():
    """2000 null experiments of 100 looks: the sequence holds its level, the fixed interval does not."""
    rng = np.random.default_rng(11)
    looks, step = 100, 200
    score = rng.normal(size=(2000, looks)).cumsum(axis=1) * math.sqrt(step)
    units = step * np.arange(1, looks + 1)
    z = np.abs(score) / np.sqrt(units)
    rho2 = tuned_rho2(10_000, 0.05)
    factor = np.array([half_width(1.0, n, rho2, 0.05) for n in units])
    assert np.mean((z > factor).any(axis=1)) < 0.05
    assert np.mean((z > 1.96).any(axis=1)) > 0.3
    signed = score / np.sqrt(units)
    one = np.array([one_sided_margin(1.0, n, tuned_rho2(10_000, 0.1), 0.05) for n in units])
    assert np.mean((signed > one).any(axis=1)) < 0.05


@given(st.floats(-8, 8), st.floats(5, 500), st.floats(0.1, 1e4), ALPHA)
def test_the_regression_p_agrees_with_its_interval(t, df, g, alpha):
    found = regression_test(t, 2.0, df, df + 4, g, alpha)
    excluded = found.half_width is not None and abs(t) * 2.0 > found.half_width
    assert (found.p_value <= alpha) == excluded
    if found.half_width is not None:
        assert found.half_width >= 2.0 * student.isf(alpha / 2, df) * (1 - 1e-9)


def test_the_regression_test_of_a_huge_t():
    """t^2 overflowed: the log ratio was NaN."""
    r, df = 20 / 120, 96.0
    for t in (1e8, 1e150, 1e200, -1e300):
        found = regression_test(t, 1.0, df, 100, 20.0, 0.05)
        limit = 0.5 * math.log(r) - 0.5 * (df + 1) * math.log(r)
        assert found.log_ratio == pytest.approx(limit, rel=1e-9)
    near = [
        regression_test(t, 1.0, df, 100, 20.0, 0.05).log_ratio for t in (df**0.5 * (1 - 1e-9), df**0.5 * (1 + 1e-9))
    ]
    assert near[0] == pytest.approx(near[1], rel=1e-7)


def test_with_few_rows_the_regression_interval_is_the_whole_line():
    found = regression_test(100.0, 1.0, 3, 5, 1.0, 0.001)
    assert found.half_width is None
    assert found.p_value > 0.001


def test_in_large_samples_the_regression_test_is_the_mixture_of_known_variance():
    n, g, t = 1e9, 1e5, 4.0
    found = regression_test(t, 1.0, n - 4, n, g, 0.05)
    assert found.log_ratio == pytest.approx(log_e_value(t, n, 1 / g), rel=1e-6)
    assert found.half_width == pytest.approx(half_width(1.0, n, 1 / g, 0.05), rel=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda: half_width(0.0, 100, 0.1, 0.05),
        lambda: half_width(math.nan, 100, 0.1, 0.05),
        lambda: half_width(1.0, 0, 0.1, 0.05),
        lambda: half_width(1.0, 100, 0.0, 0.05),
        lambda: half_width(1.0, 100, 0.1, 1.0),
        lambda: tuned_rho2(0, 0.05),
        lambda: tuned_rho2(100, 0.0),
        lambda: exact_rho2(math.inf, 0.05),
        lambda: exact_rho2(100, 1e-200),
        lambda: log_e_value(1.0, -1, 0.1),
        lambda: mixture_test(1.0, 0.0, 1.0, 0.05),
        lambda: mixture_test(1.0, 1.0, 0.0, 0.05),
        lambda: regression_test(1.0, 1.0, 0.0, 5, 1.0, 0.05),
        lambda: regression_test(math.inf, 1.0, 4.0, 5, 1.0, 0.05),
        lambda: running_minimum([0.5, math.nan]),
    ],
)
def test_refusals(call):
    with pytest.raises(ValueError):
        call()
