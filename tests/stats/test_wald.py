from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from metricdef.errors import NotComputable
from metricdef.stats.effects import difference, unadjusted_mean
from metricdef.stats.moments import from_rows
from metricdef.stats.tails import z_quantile
from metricdef.stats.wald import newcombe, pooled_test, wald_proportions, wilson

# Newcombe (1998), Statistics in Medicine 17:873, table II, method 10 (hybrid score): x1, n1, x0, n0, limits.
HYBRID = [
    (56, 70, 48, 80, 0.0524, 0.3339),
    (9, 10, 3, 10, 0.1705, 0.8090),
    (6, 7, 2, 7, 0.0582, 0.8062),
    (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 20, -0.1611, 0.2775),
    (0, 10, 0, 10, -0.2775, 0.2775),
    (10, 10, 0, 20, 0.6791, 1.0),
    (10, 10, 0, 10, 0.6075, 1.0),
]


@pytest.mark.parametrize(("x1", "n1", "x0", "n0", "lower", "upper"), HYBRID)
def test_published_hybrid_intervals(x1: int, n1: int, x0: int, n0: int, lower: float, upper: float) -> None:
    got = newcombe(x1, n1, x0, n0, 0.05)
    assert (got.lower, got.upper) == (pytest.approx(lower, abs=5.1e-5), pytest.approx(upper, abs=5.1e-5))


@settings(max_examples=examples(50), deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(1e-6, 0.5))
def test_limits_stay_where_proportions_are(n1, n0, alpha) -> None:
    """Rounding put the upper limit of n of n at 1 + 2e-16."""
    for x1, x0 in ((n1, 0), (0, n0), (n1, n0)):
        one = wilson(x1, n1, alpha)
        assert 0 <= one.lower <= one.upper <= 1
        found = newcombe(x1, n1, x0, n0, alpha)
        assert -1 <= found.lower <= found.estimate <= found.upper <= 1


@given(st.integers(1, 10**7), st.floats(0, 1), st.sampled_from([0.01, 0.05, 0.4]))
def test_wilson_limits_solve_their_equation(n: int, share: float, alpha: float) -> None:
    x, q = round(share * n), z_quantile(alpha)
    found = wilson(x, n, alpha)
    lower, upper = found.lower, found.upper
    assert (found.estimate, found.alpha) == (x / n, alpha)
    assert 0 <= lower <= x / n <= upper * (1 + 1e-12)
    for limit in (lower, upper):
        assert (x / n - limit) ** 2 == pytest.approx(q**2 * limit * (1 - limit) / n, rel=1e-6, abs=1e-13)
    mirror = wilson(n - x, n, alpha)
    assert (mirror.lower, mirror.upper) == (pytest.approx(1 - upper, abs=1e-12), pytest.approx(1 - lower, abs=1e-12))


@given(st.integers(2, 60), st.integers(2, 60), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_welch_differs_from_wald_by_its_divisor_only(n1: int, n0: int, p1: float, p0: float) -> None:
    """V (divisor n) = V (divisor n - 1) (n - 1) / n in each arm."""
    x1, x0 = round(p1 * n1), round(p0 * n0)
    est = wald_proportions((x0, x1), (n0, n1))
    rows = [np.repeat([1.0, 0.0], [x, n - x])[:, None] for x, n in ((x0, n0), (x1, n1))]
    plain = unadjusted_mean([from_rows(["y"], table) for table in rows], "y")
    np.testing.assert_allclose(est.arm_variance, plain.arm_variance * [1 - 1 / n0, 1 - 1 / n1], rtol=1e-12)
    np.testing.assert_allclose(est.means, plain.means, rtol=1e-12)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 40), st.integers(0, 40))
def test_pooled_test_is_pearsons_chi_square(n1: int, n0: int, x1: int, x0: int) -> None:
    x1, x0 = min(x1, n1), min(x0, n0)
    x, n = x1 + x0, n1 + n0
    if x in (0, n):
        with pytest.raises(NotComputable) as caught:
            pooled_test(x1, n1, x0, n0)
        assert caught.value.reason == "no_variation"
        return
    observed = np.array([[x1, n1 - x1], [x0, n0 - x0]])
    expected = np.outer([n1, n0], [x, n - x]) / n
    got = pooled_test(x1, n1, x0, n0)
    assert got.statistic**2 == pytest.approx(((observed - expected) ** 2 / expected).sum(), rel=1e-9, abs=1e-12)
    assert pooled_test(x0, n0, x1, n1).statistic == pytest.approx(-got.statistic)


def test_an_arm_without_success() -> None:
    est = wald_proportions((0, 7), (50, 60))
    d = difference(est, 1, 0.05)
    assert d.std_error == pytest.approx(math.sqrt(7 * 53 / 60**3))
    assert newcombe(7, 60, 0, 50, 0.05).lower < d.lower
    both = wald_proportions((0, 0), (50, 60))
    with pytest.raises(NotComputable) as caught:
        difference(both, 1, 0.05)
    assert caught.value.reason == "zero_variance"
    with pytest.raises(NotComputable):
        wald_proportions((0, 0), (50, 0))
    with pytest.raises(ValueError, match="successes"):
        pooled_test(3, 2, 1, 5)
