"""Sample ratio mismatch: do the counts per arm fit the declared shares? Counts of the randomisation unit only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from metricdef.errors import NotComputable

Share = Fraction | float

_SMALL_EXPECTED = 5
_STIRLING_FROM = 30.0


@dataclass(frozen=True, slots=True)
class SrmResult:
    """Fixed-sample test. `expected` has one count per arm; arms with share 0 are not in the test.

    `statistic` and `df` are always those of chi-square; with `method` "binomial" the p_value is exact.
    """

    statistic: float
    df: int
    p_value: float
    expected: tuple[float, ...]
    method: Literal["chi_square", "binomial"]


@dataclass(frozen=True, slots=True)
class SequentialSrm:
    """One look of the sequential test. The p of a monitored experiment is the smallest over its looks."""

    log_bayes_factor: float
    p_value: float
    concentration: float


def _arms(counts: Sequence[int], shares: Sequence[Share]) -> tuple[list[int], list[Fraction]]:
    """Counts and shares (exact, summing to 1) of the arms with a share; refuses impossible data."""
    if len(counts) != len(shares):
        raise ValueError(f"{len(counts)} counts but {len(shares)} shares")
    if any(count < 0 or count != int(count) for count in counts):
        raise ValueError(f"counts must be whole and not negative: {list(counts)}")
    exact = [Fraction(share) for share in shares]
    if any(share < 0 for share in exact):
        raise ValueError("a share is negative")
    if any(share == 0 and count > 0 for share, count in zip(exact, counts, strict=True)):
        raise NotComputable("unexpected_arm", "an arm with share 0 has units; under the declared shares it can't")
    pairs = [(int(count), share) for count, share in zip(counts, exact, strict=True) if share > 0]
    if len(pairs) < 2:
        raise NotComputable("too_few_arms", "a ratio test needs at least 2 arms with a positive share")
    if sum(count for count, _ in pairs) == 0:
        raise NotComputable("no_units", "there are no units to test")
    total = sum(share for _, share in pairs)
    return [count for count, _ in pairs], [share / total for _, share in pairs]


def chi_square(counts: Sequence[int], shares: Sequence[Share]) -> SrmResult:
    """Pearson's test of the declared shares: sum (O - E)^2 / E, df = arms with a share - 1.

    Two arms of which one expects fewer than 5 units: the exact two-sided binomial p (the total probability of the
    outcomes no likelier than the observed one, as R's binom.test). Shares need not sum to 1.
    Pearson (1900); Fabijan et al. (2019).

    Raises:
        NotComputable: `no_units`, `too_few_arms`, `unexpected_arm` (units in an arm of share 0).
    """
    from scipy.special import chdtrc

    observed, exact = _arms(counts, shares)
    n = sum(observed)
    expected = [n * share for share in exact]
    statistic = float(sum(((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True)), Fraction(0)))
    df = len(observed) - 1
    small = df == 1 and min(expected) < _SMALL_EXPECTED
    p_value = _binomial_two_sided(observed, exact) if small else float(chdtrc(df, statistic))
    total = sum(Fraction(share) for share in shares)
    per_arm = tuple(float(n * Fraction(share) / total) for share in shares)
    return SrmResult(statistic, df, p_value, per_arm, "binomial" if small else "chi_square")


def _binomial_two_sided(observed: Sequence[int], shares: Sequence[Fraction]) -> float:
    """Exact two-sided p of `observed[0]` among the sum, by R's rule with its relative tolerance of 1e-7."""
    from scipy.special import bdtr, bdtrc, gammaln

    n, x, p = sum(observed), observed[0], float(shares[0])
    mode = n * shares[0]
    if x == mode:
        return 1.0

    def log_mass(k: int) -> float:
        choose = float(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
        return choose + k * math.log(p) + (n - k) * math.log(float(shares[1]))

    bar = log_mass(x) + math.log1p(1e-7)
    # The mass falls away from the mode, so the other tail starts at the first point that is no likelier.
    if x < mode:
        inside, outside = math.ceil(mode) - 1, n + 1
        while outside - inside > 1:
            middle = (inside + outside) // 2
            inside, outside = (inside, middle) if log_mass(middle) <= bar else (middle, outside)
        other = float(bdtrc(outside - 1, n, p)) if outside <= n else 0.0
        return min(1.0, float(bdtr(x, n, p)) + other)
    inside, outside = math.floor(mode) + 1, -1
    while inside - outside > 1:
        middle = (inside + outside) // 2
        inside, outside = (inside, middle) if log_mass(middle) <= bar else (middle, outside)
    other = float(bdtr(outside, n, p)) if outside >= 0 else 0.0
    return min(1.0, float(bdtrc(x - 1, n, p)) + other)


def _stirling_rest(z: float) -> float:
    """gammaln(z) - [(z - 1/2) ln z - z + ln(2 pi) / 2], accurate also where both are huge."""
    from scipy.special import gammaln

    if z >= _STIRLING_FROM:
        s = 1.0 / (z * z)
        return (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s / 1680))) / z
    return float(gammaln(z)) - ((z - 0.5) * math.log(z) - z + 0.5 * math.log(2 * math.pi))


def sequential(counts: Sequence[int], shares: Sequence[Share], k: float) -> SequentialSrm:
    """Anytime-valid test of the declared shares by the Dirichlet-multinomial Bayes factor.

    ln BF = ln B(k theta + S) - ln B(k theta) - sum S_i ln theta_i, prior Dirichlet(k theta);
    p = min(1, 1 / BF), valid at any look. Written with a_i = k theta_i + S_i, A = k + N and Stirling's series so
    that the huge log gammas cancel on paper: the leading term is sum theta_i A [(1+e) ln(1+e) - e],
    e = a_i / (theta_i A) - 1. Lindon & Malek (2022).

    Args:
        counts: Units per arm so far.
        shares: Declared shares; arms with share 0 are left out.
        k: Prior concentration; large is powerful against small shifts, slow at the start.

    Raises:
        NotComputable: as `chi_square`.
    """
    if not 0 < k < math.inf:
        raise ValueError(f"the concentration must be positive: {k}")
    observed, exact = _arms(counts, shares)
    n = sum(observed)
    a_total = k + n
    log_bf = 0.5 * math.log(a_total / k) - (_stirling_rest(a_total) - _stirling_rest(k))
    for count, share in zip(observed, exact, strict=True):
        theta = float(share)
        prior, scale = k * theta, a_total * theta
        a = prior + count
        e = float(count - n * share) / scale  # a - theta A, exact
        log_bf += scale * ((1 + e) * math.log1p(e) - e) - 0.5 * math.log(a / prior)
        log_bf += _stirling_rest(a) - _stirling_rest(prior)
    return SequentialSrm(log_bf, min(1.0, math.exp(min(-log_bf, 0.0))), k)


def homogeneity(hits: Sequence[int], totals: Sequence[int]) -> float:
    """P-value that a rate is the same in all arms: Pearson's chi-square of the 2 x K table, df = K - 1.

    Args:
        hits: Units with the property, per arm.
        totals: Units, per arm; arms without units are left out.

    Raises:
        NotComputable: `too_few_arms` with fewer than 2 arms; `no_variation` when no unit or every unit has it.
    """
    from scipy.special import chdtrc

    pairs = [(hit, total) for hit, total in zip(hits, totals, strict=True) if total > 0]
    if len(pairs) < 2:
        raise NotComputable("too_few_arms", "comparing rates needs at least 2 arms with units")
    everything, hit = sum(total for _, total in pairs), sum(hit for hit, _ in pairs)
    if hit in (0, everything):
        raise NotComputable("no_variation", "the rate is 0 or 1 in every arm")
    rate = hit / everything
    statistic = sum((x - n * rate) ** 2 / (n * rate * (1 - rate)) for x, n in pairs)
    return float(chdtrc(len(pairs) - 1, statistic))


def combine(parts: Sequence[SrmResult]) -> SrmResult:
    """Independent tables (the epochs of a ramp, each with its own shares) as one test: statistics and df add up.

    Each table has at least one unit. The sum of independent chi-square variables is one with the summed df.
    """
    from scipy.special import chdtrc

    statistic, df = sum(part.statistic for part in parts), sum(part.df for part in parts)
    expected = tuple(sum(column) for column in zip(*(part.expected for part in parts), strict=True))
    return SrmResult(statistic, df, float(chdtrc(df, statistic)), expected, "chi_square")
