from __future__ import annotations

import math
from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricdef.errors import NotComputable
from metricdef.stats.contingency import add_up, homogeneity, independence
from metricdef.stats.exact import binomial_two_sided, chi_square_tail, outcomes
from metricdef.stats.srm import (
    chi_square,
    combine,
    fixed_sample,
    sequential,
)


def exact_two_sided(x: int, n: int, p: Fraction) -> float:
    mass = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    return float(sum(m for m in mass if m <= mass[x]))


@given(st.integers(1, 40), st.data(), st.sampled_from([Fraction(1, 2), Fraction(1, 10), Fraction(2, 3)]))
def test_exact_binomial(n: int, data: st.DataObject, p: Fraction) -> None:
    x = data.draw(st.integers(0, n))
    want = exact_two_sided(x, n, p)
    found = binomial_two_sided(x, n, p)
    assert found.p_value == pytest.approx(want, rel=1e-11)
    assert found.log_p_value == pytest.approx(math.log(want), abs=1e-11)
    got = chi_square([x, n - x], [p, 1 - p])
    if got.method == "binomial":
        assert got.p_value == pytest.approx(want, rel=1e-11)


def every_outcome(n: int, arms: int):
    if arms == 1:
        yield (n,)
        return
    for first in range(n + 1):
        yield from ((first, *rest) for rest in every_outcome(n - first, arms - 1))


@given(st.lists(st.integers(0, 6), min_size=2, max_size=4).filter(any))
def test_exact_multinomial(counts: list[int]) -> None:
    """By enumeration in fractions."""
    arms, n = len(counts), sum(counts)
    shares = [Fraction(i + 1, arms * (arms + 1) // 2) for i in range(arms)]

    def mass(outcome) -> Fraction:
        found = Fraction(math.factorial(n))
        for count, share in zip(outcome, shares, strict=True):
            found *= share**count / Fraction(math.factorial(count))
        return found

    own = mass(counts)
    want = float(sum(m for m in map(mass, every_outcome(n, arms)) if m <= own))
    got = fixed_sample(counts, shares, "exact")
    assert got.p_value == pytest.approx(want, rel=1e-10)
    assert got.log_p_value == pytest.approx(math.log(want), abs=1e-10)
    assert got.method == ("binomial" if arms == 2 else "multinomial")
    assert fixed_sample(counts, shares).method == got.method


def test_a_table_too_large_is_tested_arm_by_arm() -> None:
    from scipy.stats import binomtest

    shares = [Fraction(1, 10**6)] * 2 + [1 - Fraction(2, 10**6)]
    got = fixed_sample([3, 1, 10**6], shares)
    want = 3 * min(binomtest(c, 10**6 + 4, float(s)).pvalue for c, s in zip([3, 1, 10**6], shares, strict=True))
    assert (got.method, got.p_value) == ("binomials", pytest.approx(want, rel=1e-9))
    assert fixed_sample([1, 1, 10**6], shares).p_value == 1.0
    assert fixed_sample([50, 60, 40], [1, 1, 1]).method == "chi_square"
    assert fixed_sample([50, 60, 39], [1, 1, 1]).method == "multinomial"
    with pytest.raises(ValueError, match="too many"):
        fixed_sample([3, 1, 10**6], shares, "exact")
    with pytest.raises(ValueError, match="unknown method"):
        fixed_sample([3, 1], [1, 1], "fisher")  # type: ignore[arg-type]


def test_g_of_an_arm_without_units() -> None:
    got = fixed_sample([0, 20], [0.5, 0.5], "g")
    assert got.statistic == pytest.approx(40 * math.log(2))
    assert got.p_value == pytest.approx(math.erfc(math.sqrt(20 * math.log(2))))
    assert fixed_sample([10, 10], [1, 1], "g").statistic == 0.0


def test_logarithms_where_a_double_ends() -> None:
    from scipy import special, stats

    for df, x in ((1, 1e4), (2, 3000.0), (9, 1e6), (30, 5e4)):
        tail = chi_square_tail(x, df)
        assert tail.p_value == 0.0
        if df == 2:
            assert tail.log_p_value == pytest.approx(-x / 2, rel=1e-13)
        if df == 1:
            assert tail.log_p_value == pytest.approx(math.log(2) + float(stats.norm.logsf(math.sqrt(x))), rel=1e-12)
    for df, x in ((1, 1300.0), (9, 1300.0), (30, 1300.0)):  # both ways, just above the smallest double
        assert chi_square_tail(x, df).log_p_value == pytest.approx(float(stats.chi2.logsf(x, df)), rel=1e-9)
    huge = fixed_sample([10**9, 10**9 + 10**7], [1, 1])
    assert (huge.p_value, huge.log_p_value < -20_000) == (0.0, True)
    far = binomial_two_sided(4000, 10**7, Fraction(1, 10**7))
    assert far.p_value == 0.0
    assert far.log_p_value == pytest.approx(float(stats.binom.logpmf(4000, 10**7, 1e-7)), rel=1e-6)
    for x, n, share in ((10, 4000, 0.5), (3200, 4000, 0.5), (2000, 10**5, 0.001), (0, 10**6, 0.01), (500, 500, 0.125)):
        mass = stats.binom.logpmf(np.arange(n + 1), n, share)
        want = float(special.logsumexp(mass[mass <= mass[x] + 1e-7]))
        assert binomial_two_sided(x, n, Fraction(share)).log_p_value == pytest.approx(want, abs=1e-8)
    assert sequential([10**6, 0], [1, 1], 100).log_p_value < -1e5


def test_the_epochs_of_a_ramp_add_up() -> None:
    from scipy import stats

    got = combine([chi_square([900, 110], [0.9, 0.1]), chi_square([480, 520], [1, 1])])
    statistic = 9**2 / 909 + 9**2 / 101 + 2 * 20**2 / 500
    assert (got.statistic, got.df, got.method) == (pytest.approx(statistic), 2, "chi_square")
    assert got.expected == pytest.approx((1409, 601))
    assert got.p_value == pytest.approx(stats.chi2.sf(statistic, 2))
    assert got.log_p_value == pytest.approx(-statistic / 2)
    # An epoch with few units stays by itself, beside the two others together.
    few = chi_square([18, 2], [0.99, 0.01])
    whole = combine([chi_square([900, 110], [0.9, 0.1]), few, chi_square([480, 520], [1, 1])])
    assert (whole.method, whole.df) == ("bonferroni", 3)
    assert whole.p_value == pytest.approx(2 * min(stats.binomtest(2, 20, 0.01).pvalue, stats.chi2.sf(statistic, 2)))
    assert combine([few]).p_value == pytest.approx(few.p_value)


def test_outcomes_are_those_that_are_enumerated() -> None:
    for n, arms in ((1, 2), (5, 2), (4, 3), (6, 4)):
        assert outcomes(n, arms) == sum(1 for _ in every_outcome(n, arms))


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


@pytest.mark.parametrize(
    ("counts", "shares", "message"),
    [([1, 2, 3], [0.5, 0.5], "3 counts"), ([-1, 2], [0.5, 0.5], "whole"), ([1, 2], [-0.5, 1.5], "negative")],
)
def test_refused(counts, shares, message) -> None:
    with pytest.raises(ValueError, match=message):
        fixed_sample(counts, shares)
    with pytest.raises(ValueError, match="concentration"):
        sequential([1, 1], [1, 1], 0.0)


@given(st.lists(st.tuples(st.integers(300, 400), st.integers(400, 5_000)), min_size=2, max_size=5))
def test_homogeneity_is_pearsons_test_of_the_table(table: list[tuple[int, int]]) -> None:
    from scipy.stats import chi2, chi2_contingency

    hits, totals = [x for x, _ in table], [n for _, n in table]
    if sum(hits) in (0, sum(totals)):
        with pytest.raises(NotComputable, match="0 or 1"):
            homogeneity(hits, totals)
        return
    want = chi2_contingency([hits, [n - x for x, n in table]], correction=False)
    got = homogeneity(hits, totals)
    if want.expected_freq.min() < 50:
        assert got.method == "exact"
        return
    assert (got.statistic, got.df) == (pytest.approx(want.statistic, abs=1e-9), want.dof)
    assert got.p_value == pytest.approx(want.pvalue, rel=1e-9, abs=1e-300)
    if want.pvalue > 1e-290:  # further out scipy's logarithm is -inf
        assert got.log_p_value == pytest.approx(chi2.logsf(want.statistic, want.dof), rel=1e-9, abs=1e-9)
    else:
        assert -1e5 < got.log_p_value < -600


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(60, 5_000)), min_size=2, max_size=4), st.booleans())
def test_homogeneity_of_few_is_fishers_test(table: list[tuple[int, int]], turned: bool) -> None:
    from scipy.stats import chi2_contingency, fisher_exact

    table = [(n - x, n) if turned else (x, n) for x, n in table]
    hits, totals = [x for x, _ in table], [n for _, n in table]
    if sum(hits) in (0, sum(totals)):
        return
    expected = chi2_contingency([hits, [n - x for x, n in table]], correction=False).expected_freq
    if expected.min() >= 50:
        return
    each = []
    for x, n in table:
        others = [[x, n - x], [sum(hits) - x, sum(totals) - sum(hits) - n + x]]
        both = chi2_contingency(others, correction=False)
        each.append(fisher_exact(others).pvalue if both.expected_freq.min() < 50 else both.pvalue)
    want = each[0] if len(table) == 2 else min(1.0, len(table) * min(each))
    got = homogeneity(hits, totals)
    assert got.method == "exact"
    assert got.p_value == pytest.approx(want, rel=1e-6)
    assert got.log_p_value == pytest.approx(math.log(want), abs=1e-6)


def test_fishers_p_below_the_smallest_double() -> None:
    """Of 40,000 units in the small arm and 4,000,000 in all, 300 have the property: all of them in the small arm."""
    got = homogeneity([300, 0], [40_000, 3_960_000])
    want = sum(math.log((40_000 - i) / (4_000_000 - i)) for i in range(300))
    assert (got.p_value, got.method) == (0.0, "exact")
    assert got.log_p_value == pytest.approx(want, rel=1e-12)
    assert homogeneity([3, 297], [40_000, 3_960_000]).p_value == 1.0


@given(st.lists(st.tuples(*[st.integers(0, 500)] * 3), min_size=1, max_size=6))
def test_independence_is_pearsons_test_of_the_table(table: list[tuple[int, int, int]]) -> None:
    from scipy.stats import chi2_contingency

    used = np.array([row for row in table if sum(row)])
    used = used[:, used.sum(axis=0) > 0] if len(used) else np.zeros((0, 0))
    if min(used.shape) < 2:
        with pytest.raises(NotComputable, match="at least 2"):
            independence(table)
        return
    want, got = chi2_contingency(used, correction=False), independence(table)
    assert (got.statistic, got.df) == (pytest.approx(want.statistic, abs=1e-9), want.dof)
    assert got.p_value == pytest.approx(want.pvalue, rel=1e-9, abs=1e-300)


def test_independent_tables_add_up() -> None:
    from scipy.stats import chi2

    parts = [independence([(30, 20), (25, 40)]), homogeneity([300, 190, 240], [700, 600, 700])]
    got = add_up(parts)
    assert (got.statistic, got.df) == (pytest.approx(sum(part.statistic for part in parts)), 3)
    assert got.p_value == pytest.approx(chi2.sf(got.statistic, 3), rel=1e-12)
    few = homogeneity([9, 1], [50, 60])
    mixed = add_up([*parts, few])
    assert (mixed.df, mixed.method) == (4, "bonferroni")
    assert mixed.p_value == pytest.approx(2 * min(got.p_value, few.p_value), rel=1e-12)
    assert add_up([few]).p_value == pytest.approx(few.p_value)


@pytest.mark.parametrize(("n", "share"), [(200, 0.1), (200, 0.5), (500, 0.01), (490, 0.1), (2000, 0.02), (3000, 0.02)])
def test_two_arms_keep_the_level_of_an_alarm(n: int, share: float) -> None:
    # By enumeration. Pearson's chi-square with 20 expected units would raise 0.17 % false alarms at 0.1 %.
    from scipy.stats import binom

    shares = (1 - share, share)
    mass = binom.pmf(range(n + 1), n, share)
    size = sum(m for x, m in enumerate(mass) if m > 1e-12 and chi_square((n - x, x), shares).p_value <= 0.001)
    assert 0 < size <= 0.001
    assert chi_square((n - 1, 1), shares).method == ("chi_square" if n * share >= 50 else "binomial")
