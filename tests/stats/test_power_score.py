"""Planned power of non-inferiority of rates against the score test itself, over every pair of counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom
from thorough import examples

from metricdef.errors import NotComputable
from metricdef.stats.power import Level, power, sample_size
from metricdef.stats.power_score import power_non_inferiority, sample_size_non_inferiority, smallest_margin
from metricdef.stats.proportions import restricted_variance, restricted_variance_ratio, score_test, score_test_relative
from metricdef.stats.unit_sd import proportion_sd

RATES = st.floats(0.02, 0.98)


def rejects(x1: int, n1: int, x0: int, n0: int, margin: float, alpha: float, *, relative: bool) -> bool:
    if relative:
        return x1 + x0 > 0 and score_test_relative(x1, n1, x0, n0, -margin, greater=True).p_value <= alpha
    return score_test(x1, n1, x0, n0, -margin, greater=True).p_value <= alpha


def exact_power(p1: float, p0: float, margin: float, n1: int, n0: int, alpha: float, *, relative: bool) -> float:
    """Sum over the baseline's counts of the chance of a treatment count that the score test rejects."""
    total, tail = 0.0, binom.sf(np.arange(n1 + 1) - 1, n1, p1)
    for x0 in range(n0 + 1):
        weight = binom.pmf(x0, n0, p0)
        if weight < 1e-10:
            continue
        low, high = 0, n1 + 1
        while low < high:
            middle = (low + high) // 2
            if rejects(middle, n1, x0, n0, margin, alpha, relative=relative):
                high = middle
            else:
                low = middle + 1
        total += weight * tail[low] if low <= n1 else 0.0
    return float(total)


@pytest.mark.parametrize(
    ("p1", "p0", "margin", "allocation", "alpha", "wanted"),
    [
        (0.9, 0.9, 0.1, 1.0, 0.025, 0.8),
        (0.3, 0.3, 0.1, 1.0, 0.05, 0.9),
        (0.1, 0.1, 0.05, 1.0, 0.025, 0.8),
        (0.12, 0.1, 0.05, 0.5, 0.025, 0.8),
        (0.95, 0.95, 0.05, 2.0, 0.05, 0.8),
        (0.05, 0.05, 0.04, 3.0, 0.025, 0.9),
        (0.6, 0.55, 0.1, 1.0, 0.025, 0.85),
    ],
)
@pytest.mark.parametrize("relative", [False, True])
def test_the_size_gives_its_power_to_the_score_test(p1, p0, margin, allocation, alpha, wanted, relative):
    share, more = (margin / p0 if relative else margin), {"relative": relative}
    found = sample_size_non_inferiority(p1, p0, share, Level(alpha, 1), wanted, allocation=allocation, **more).rounded()
    n1, n0 = found.treatment, found.control
    rare = min(n1, n0) * min(p0, 1 - p0) < 20  # expected of what is rare; counts are whole, and power is in steps
    assert exact_power(p1, p0, share, n1, n0, alpha, **more) == pytest.approx(wanted, abs=0.03 if rare else 0.01)
    smaller = (round(n1 * 0.75), round(n0 * 0.75))
    planned = power_non_inferiority(p1, p0, share, *smaller, Level(alpha, 1), **more).correct
    assert exact_power(p1, p0, share, *smaller, alpha, **more) == pytest.approx(planned, abs=0.04 if rare else 0.01)
    assert planned < wanted - 0.05


def test_the_variance_at_the_null_is_not_that_at_the_true_rates():
    """Rates of 5 % with a margin of 4 points: the formula of the Wald test would plan 8 % too few units."""
    level = Level(0.025, 1)
    found = sample_size_non_inferiority(0.05, 0.05, 0.04, level, 0.8)
    wald = sample_size(0.0, proportion_sd(0.05), level, 0.8, null=-0.04)
    assert found.control == pytest.approx(1.081 * wald.control, rel=1e-3)
    narrow = sample_size_non_inferiority(0.5, 0.5, 0.01, level, 0.8)
    same = sample_size(0.0, 0.5, level, 0.8, null=-0.01)
    assert narrow.control == pytest.approx(same.control, rel=1e-3)
    got = power_non_inferiority(0.5, 0.5, 0.01, 9000, 9000, level)
    assert got.correct == pytest.approx(power(0.0, 0.5, 9000, 9000, level, null=-0.01).correct, abs=1e-3)
    assert got.wrong == 0


@settings(max_examples=examples(60), deadline=None)
@given(
    RATES, RATES, st.floats(0.01, 0.3), st.floats(0.1, 4), st.floats(0.3, 0.99), st.floats(0.001, 0.1), st.booleans()
)
def test_size_power_and_margin_invert_each_other(p1, p0, margin, allocation, wanted, alpha, relative):
    assume(p1 - p0 * (1 - margin) > 0.01 if relative else p1 - p0 + margin > 0.01 and margin < p0)
    level, more = Level(alpha, 1), {"relative": relative}
    found = sample_size_non_inferiority(p1, p0, margin, level, wanted, allocation=allocation, arms=2, **more)
    assert found.treatment == pytest.approx(allocation * found.control)
    assert found.total == pytest.approx(found.control + 2 * found.treatment)
    n = (found.treatment, found.control)
    assert power_non_inferiority(p1, p0, margin, *n, level, **more).correct == pytest.approx(wanted)
    shown = smallest_margin(p1, p0, *n, level, wanted, **more)
    assert power_non_inferiority(p1, p0, shown, *n, level, **more).correct >= wanted - 1e-8
    assert shown <= margin * (1 + 1e-9)


def test_a_difference_so_good_that_any_margin_is_shown():
    assert smallest_margin(0.5, 0.2, 500, 500, Level(0.025, 1), 0.8) < 1e-9
    with pytest.raises(NotComputable, match="no margin"):
        smallest_margin(0.2, 0.2, 5, 5, Level(0.025, 1), 0.9)
    with pytest.raises(NotComputable, match="no margin"):
        smallest_margin(0.01, 0.2, 5, 5, Level(0.025, 1), 0.99)


@settings(max_examples=examples(40), deadline=None)
@given(RATES, RATES, st.floats(-0.4, 0.4), st.floats(0.1, 5))
def test_the_restricted_rates_maximise_the_likelihood(p1, p0, delta, r):
    """Against a search on the likelihood of the expected counts; the variance pins the rates down."""
    low, high = max(0.0, -delta) + 1e-9, min(1.0, 1.0 - delta) - 1e-9

    def lost(p: float) -> float:
        q = p + delta
        of_treatment = p1 * math.log(q) + (1 - p1) * math.log1p(-q)
        return -(r * of_treatment + p0 * math.log(p) + (1 - p0) * math.log1p(-p))

    p = minimize_scalar(lost, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    q = p + delta
    want = q * (1 - q) / r + p * (1 - p)
    assert restricted_variance(r * p1, r, p0, 1.0, delta) == pytest.approx(want, rel=1e-5, abs=1e-7)


@settings(max_examples=examples(40), deadline=None)
@given(RATES, RATES, st.floats(0.3, 2.5), st.floats(0.1, 5))
def test_the_restricted_rates_of_a_ratio_maximise_the_likelihood(p1, p0, phi, r):
    def lost(p: float) -> float:
        q = phi * p
        of_treatment = p1 * math.log(q) + (1 - p1) * math.log1p(-q)
        return -(r * of_treatment + p0 * math.log(p) + (1 - p0) * math.log1p(-p))

    top = min(1.0, 1 / phi) - 1e-12
    p = minimize_scalar(lost, bounds=(1e-12, top), method="bounded", options={"xatol": 1e-13}).x
    want = phi * p * (1 - phi * p) / r + phi * phi * p * (1 - p)
    assert restricted_variance_ratio(r * p1, r, p0, 1.0, phi) == pytest.approx(want, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(
    "call",
    [
        lambda: sample_size_non_inferiority(0.5, 0.5, 0.1, Level(0.05, 2), 0.8),
        lambda: sample_size_non_inferiority(0.5, 0.5, 0.0, Level(0.05, 1), 0.8),
        lambda: sample_size_non_inferiority(0.5, 0.5, 1.0, Level(0.05, 1), 0.8),
        lambda: sample_size_non_inferiority(0.4, 0.5, 0.1, Level(0.05, 1), 0.8),
        lambda: sample_size_non_inferiority(1.0, 0.5, 0.1, Level(0.05, 1), 0.8),
        lambda: sample_size_non_inferiority(0.5, 0.5, 0.1, Level(0.05, 1), 0.01),
        lambda: sample_size_non_inferiority(0.5, 0.5, 0.1, Level(0.05, 1), 0.8, allocation=-1.0),
        lambda: power_non_inferiority(0.5, 0.5, 0.1, 0, 100, Level(0.05, 1)),
        lambda: power_non_inferiority(0.5, 0.5, math.nan, 100, 100, Level(0.05, 1)),
        lambda: power_non_inferiority(math.nan, 0.5, 0.1, 100, 100, Level(0.05, 1)),
        lambda: smallest_margin(0.5, 0.5, 100, 100, Level(0.05, 1), 1.0),
    ],
)
def test_refusals(call):
    with pytest.raises(ValueError):
        call()
