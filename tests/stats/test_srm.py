from __future__ import annotations

import math
from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricdef.errors import NotComputable
from metricdef.stats.srm import _binomial_two_sided, chi_square, homogeneity, sequential

from .reference import Case, agrees, cases, name


@pytest.mark.parametrize("case", cases("srm", "srm_chi_square"), ids=name)
def test_chi_square(case: Case) -> None:
    inputs, expected = case["inputs"], case["expected"]
    got = chi_square(inputs["counts"], inputs["expected_ratio"])
    agrees(case, got.statistic, expected["chi2"])
    agrees(case, got.p_value, expected["p_value"])
    assert (got.df, got.method) == (expected["df"], "chi_square")
    for value, want in zip(got.expected, expected["expected_counts"], strict=True):
        agrees(case, value, want)
    if "binomial_exact_p" in expected:
        shares = [Fraction(s).limit_denominator(100) for s in inputs["expected_ratio"]]
        assert _binomial_two_sided(inputs["counts"], shares) == pytest.approx(expected["binomial_exact_p"], rel=1e-7)


def exact_two_sided(x: int, n: int, p: Fraction) -> float:
    mass = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    return float(sum(m for m in mass if m <= mass[x]))


@given(st.integers(1, 40), st.data(), st.sampled_from([Fraction(1, 2), Fraction(1, 10), Fraction(2, 3)]))
def test_exact_binomial(n: int, data: st.DataObject, p: Fraction) -> None:
    x = data.draw(st.integers(0, n))
    assert _binomial_two_sided([x, n - x], [p, 1 - p]) == pytest.approx(exact_two_sided(x, n, p), rel=1e-9)
    got = chi_square([x, n - x], [p, 1 - p])
    if got.method == "binomial":
        assert got.p_value == pytest.approx(exact_two_sided(x, n, p), rel=1e-9)


@given(st.lists(st.integers(0, 400), min_size=2, max_size=5).filter(any), st.floats(0.5, 1000))
def test_sequential_is_the_ratio_of_likelihoods(counts: list[int], k: float) -> None:
    """Predictive probability unit by unit (Polya's urn) against the declared shares."""
    shares = [Fraction(i + 1, sum(range(len(counts) + 1))) for i in range(len(counts))]
    total, seen = 0.0, 0
    for count, share in zip(counts, shares, strict=True):
        for already in range(count):
            total += math.log((k * share + already) / (k + seen) / share)
            seen += 1
    got = sequential(counts, shares, k)
    assert got.log_bayes_factor == pytest.approx(total, rel=1e-9, abs=1e-9)
    assert 0 <= got.p_value <= 1  # exp(-1000) is 0 in a double; the log keeps it


def test_sequential_with_a_billion_units_keeps_its_digits() -> None:
    got = sequential([500_050_000, 499_950_000], [Fraction(1, 2)] * 2, 1000)
    # mpmath 1.3, 50 digits
    assert got.log_bayes_factor == pytest.approx(-1.90801076535192229548884, rel=1e-11)


def test_declared_shares() -> None:
    thirds = chi_square([10, 10, 10], [Fraction(1, 3)] * 3)
    assert (thirds.statistic, thirds.p_value) == (0.0, 1.0)
    with_zero = chi_square([50, 0, 70], [0.5, 0, 0.5])
    assert (with_zero.df, with_zero.expected[1]) == (1, 0.0)
    assert with_zero.p_value == chi_square([50, 70], [1, 1]).p_value
    assert list(accumulate(with_zero.expected))[-1] == 120


@pytest.mark.parametrize(
    ("counts", "shares", "reason"),
    [
        ([5, 1], [1.0, 0.0], "unexpected_arm"),
        ([5, 0], [1.0, 0.0], "too_few_arms"),
        ([0, 0], [0.5, 0.5], "no_units"),
    ],
)
def test_reasons(counts: list[int], shares: list[float], reason: str) -> None:
    for call in (lambda: chi_square(counts, shares), lambda: sequential(counts, shares, 100)):
        with pytest.raises(NotComputable) as caught:
            call()
        assert caught.value.reason == reason


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(400, 5_000)), min_size=2, max_size=5))
def test_homogeneity_is_pearsons_test_of_the_table(table: list[tuple[int, int]]) -> None:
    from scipy.stats import chi2_contingency

    hits, totals = [x for x, _ in table], [n for _, n in table]
    if sum(hits) in (0, sum(totals)):
        with pytest.raises(NotComputable, match="0 or 1"):
            homogeneity(hits, totals)
        return
    want = chi2_contingency([hits, [n - x for x, n in table]], correction=False).pvalue
    assert homogeneity(hits, totals) == pytest.approx(want, rel=1e-9, abs=1e-300)
