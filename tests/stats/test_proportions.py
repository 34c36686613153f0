from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from thorough import examples

from metricdef.errors import NotComputable
from metricdef.stats.proportions import score_difference, score_ratio, score_test, score_test_relative

# Newcombe (1998), Statistics in Medicine 17:873, table II, method 6 (Miettinen-Nurminen): x1, n1, x0, n0, limits.
NEWCOMBE = [
    (56, 70, 48, 80, 0.0528, 0.3382),
    (9, 10, 3, 10, 0.1700, 0.8406),
    (6, 7, 2, 7, 0.0342, 0.8534),
    (5, 56, 0, 29, -0.0326, 0.1933),
    (0, 10, 0, 20, -0.1658, 0.2844),
    (0, 10, 0, 10, -0.2879, 0.2879),
    (10, 10, 0, 20, 0.7156, 1.0),
]

# statsmodels 0.15.0 confint_proportions_2indep(compare="ratio", method="score", correction=True), ratio scale. (Its
# score interval for the difference is not used: it gives 0.0526..0.3440 for the first of Newcombe's tables.)
STATSMODELS_RATIO = [
    (56, 70, 48, 80, 1.0790471195344218, 1.6721453590897675),
    (9, 10, 3, 10, 1.3279565734835286, 8.691914949017299),
    (6, 7, 2, 7, 1.0636865203144201, 11.147770894161665),
    (310, 4000, 2200, 30500, 0.9581155756057268, 1.2038766684768991),
    (12, 2000000, 31, 2000000, 0.2011528108054053, 0.7449251902008148),
    (3, 20, 40, 180, 0.2284415452697978, 1.7118619678707918),
]

# statsmodels 0.15.0 test_proportions_2indep(value=0.9, compare="ratio", method="score", alternative="larger").
STATSMODELS_RATIO_TEST = [
    (56, 70, 48, 80, 0.00020192985419478858),
    (5, 56, 0, 29, 0.04077566405502409),
    (10, 10, 10, 10, 0.15211552649995003),
    (310, 4000, 2200, 30500, 0.0012336952565728942),
    (12, 2000000, 31, 2000000, 0.9947043232728029),
]


@pytest.mark.parametrize(("x1", "n1", "x0", "n0", "lower", "upper"), NEWCOMBE)
def test_published_difference_intervals(x1: int, n1: int, x0: int, n0: int, lower: float, upper: float) -> None:
    got = score_difference(x1, n1, x0, n0, 0.05)
    assert (got.lower, got.upper) == (pytest.approx(lower, abs=5.1e-5), pytest.approx(upper, abs=5.1e-5))


@pytest.mark.parametrize(("x1", "n1", "x0", "n0", "lower", "upper"), STATSMODELS_RATIO)
def test_ratio_intervals(x1: int, n1: int, x0: int, n0: int, lower: float, upper: float) -> None:
    got = score_ratio(x1, n1, x0, n0, 0.05)
    assert got.upper is not None
    assert (1 + got.lower, 1 + got.upper) == (pytest.approx(lower, rel=1e-10), pytest.approx(upper, rel=1e-10))


@pytest.mark.parametrize(("x1", "n1", "x0", "n0", "p"), STATSMODELS_RATIO_TEST)
def test_relative_margin(x1: int, n1: int, x0: int, n0: int, p: float) -> None:
    assert score_test_relative(x1, n1, x0, n0, -0.1, greater=True).p_value == pytest.approx(p, rel=1e-10)


def restricted_z(x1: int, n1: int, x0: int, n0: int, null: float, relative: bool) -> float:
    """The statistic with the restricted likelihood maximised on a fine grid."""
    p0 = np.linspace(0, 1, 2_000_001)
    p1 = (1 + null) * p0 if relative else p0 + null
    ok = (p1 >= 0) & (p1 <= 1)
    p0, p1 = p0[ok], p1[ok]

    def part(x: int, p: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(x > 0, x * np.log(p), 0.0)

    best = np.argmax(part(x1, p1) + part(n1 - x1, 1 - p1) + part(x0, p0) + part(n0 - x0, 1 - p0))
    p0, p1 = p0[best], p1[best]
    factor = 1 + null if relative else 1.0
    variance = (p1 * (1 - p1) / n1 + factor**2 * p0 * (1 - p0) / n0) * (n1 + n0) / (n1 + n0 - 1)
    return float((x1 / n1 - factor * x0 / n0 - (0.0 if relative else null)) / math.sqrt(variance))


@pytest.mark.parametrize(
    "table", [(3, 20, 40, 180), (0, 12, 5, 9), (12, 12, 5, 9), (4, 9, 0, 30), (4, 9, 30, 30), (7, 8, 0, 5)]
)
@pytest.mark.parametrize("null", [-0.6, -0.2, 0.05, 0.35])
def test_statistic_against_a_grid_search(table: tuple[int, int, int, int], null: float) -> None:
    assert score_test(*table, null, True).statistic == pytest.approx(
        restricted_z(*table, null, False), abs=1e-4, rel=1e-4
    )
    got = score_test_relative(*table, null, True).statistic
    assert got == pytest.approx(restricted_z(*table, null, True), abs=1e-4, rel=1e-4)


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int, int]:
    n1, n0 = draw(st.integers(1, 200)), draw(st.integers(1, 200))
    return draw(st.integers(0, n1)), n1, draw(st.integers(0, n0)), n0


@settings(max_examples=examples(200), deadline=None)
@given(tables(), st.sampled_from([0.01, 0.05, 0.3]))
def test_test_and_both_intervals_agree(table: tuple[int, int, int, int], alpha: float) -> None:
    d, r = score_difference(*table, alpha), score_ratio(*table, alpha)
    assert -1 <= d.lower <= d.estimate <= d.upper <= 1
    assert (d.statistic, d.p_value) == (r.statistic, r.p_value)
    upper = math.inf if r.upper is None else r.upper
    assert math.isfinite(r.lower)
    assert -1 <= r.lower <= upper
    assert (r.upper is None) == (r.estimate is None) == (table[2] == 0) == (r.shape == "unbounded")
    if d.p_value is None:
        assert table[0] + table[2] in (0, table[1] + table[3])
        assert d.lower < 0 < d.upper
        return
    assume(abs(d.p_value - alpha) > 1e-9)
    assert (d.p_value < alpha) == (not d.lower <= 0 <= d.upper) == (not r.lower <= 0 <= upper)


@settings(max_examples=examples(100), deadline=None)
@given(tables(), st.floats(-0.9, 0.9))
def test_limits_invert_the_one_sided_tests(table: tuple[int, int, int, int], null: float) -> None:
    d, r = score_difference(*table, 0.1), score_ratio(*table, 0.1)
    assume(abs(null) > 1e-6)
    p = score_test(*table, null, True).p_value
    assume(abs(p - 0.05) > 1e-9)
    assert (p < 0.05) == (d.lower > null)
    assume(table[0] + table[2] > 0)
    p = score_test_relative(*table, null, True).p_value
    assume(abs(p - 0.05) > 1e-9)
    assert (p < 0.05) == (r.lower > null)


@settings(max_examples=examples(100), deadline=None)
@given(tables())
def test_swapping_arms_or_outcomes_mirrors(table: tuple[int, int, int, int]) -> None:
    x1, n1, x0, n0 = table
    d = score_difference(*table, 0.05)
    for mirror in (score_difference(x0, n0, x1, n1, 0.05), score_difference(n1 - x1, n1, n0 - x0, n0, 0.05)):
        assert (mirror.lower, mirror.upper) == (pytest.approx(-d.upper, abs=1e-12), pytest.approx(-d.lower, abs=1e-12))


def test_rare_events_keep_their_digits() -> None:
    rare = score_difference(12, 2_000_000, 31, 2_000_000, 0.05)
    common = score_difference(2_000_000 - 12, 2_000_000, 2_000_000 - 31, 2_000_000, 0.05)
    assert common.lower == pytest.approx(-rare.upper, rel=1e-9)
    ratio = score_ratio(2_000_000 - 12, 2_000_000, 2_000_000 - 31, 2_000_000, 0.05)
    assert ratio.lower == pytest.approx(common.lower, rel=1e-4)  # p0 is 0.99998


def test_reasons() -> None:
    for call, reason in (
        (lambda: score_test(0, 9, 0, 8, 0.0, True), "no_variation"),
        (lambda: score_test_relative(0, 9, 0, 8, -0.1, True), "no_variation"),
        (lambda: score_test_relative(9, 9, 8, 8, 0.0, True), "no_variation"),
        (lambda: score_test(1, 9, 2, 8, -1.0, True), "null_out_of_range"),
        (lambda: score_test_relative(1, 9, 2, 8, -1.0, True), "null_out_of_range"),
        (lambda: score_difference(0, 0, 2, 8, 0.05), "too_few_units"),
    ):
        with pytest.raises(NotComputable) as caught:
            call()
        assert caught.value.reason == reason
    assert score_test(0, 900, 0, 800, -0.05, True).p_value < 1e-9  # no event at all still shows non-inferiority
