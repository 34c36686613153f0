"""Exact tests of counts against shares, and log tails for p-values below the smallest double."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

TIE = 1e-7  # outcomes whose probability is larger by no more than this share count as equally likely (as R does)
LARGEST_TABLE = 1_000_000  # outcomes that an exact multinomial test may enumerate

_STIRLING_FROM = 30.0
_UNDERFLOW = 1e-290
_FRACTION_TERMS = 200


@dataclass(frozen=True, slots=True)
class Tail:
    """A p-value and its natural logarithm, which is there when the p is 0 in a double."""

    p_value: float
    log_p_value: float


def check_counts(counts: Iterable[float]) -> None:
    """ValueError unless all are whole numbers and none is negative: a NaN must not become a p of 1."""
    given = list(counts)
    if not all(0 <= count < math.inf and count == int(count) for count in given):
        raise ValueError(f"counts must be whole and not negative: {given}")


def stirling_rest(z: float) -> float:
    """gammaln(z) - [(z - 1/2) ln z - z + ln(2 pi) / 2], accurate also where both are huge.

    The series 1 / (12 z) - 1 / (360 z^3) + ... from z = 30. Loader (2000).
    """
    from scipy.special import gammaln

    if z >= _STIRLING_FROM:
        s = 1.0 / (z * z)
        return (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s / 1680))) / z
    return float(gammaln(z)) - ((z - 0.5) * math.log(z) - z + 0.5 * math.log(2 * math.pi))


def deviance(observed: Fraction | int, expected: Fraction) -> float:
    """observed ln(observed / expected) - observed + expected, from the exact difference; `expected` above 0.

    Loader (2000).
    """
    e = float((observed - expected) / expected)
    return float(expected) * ((1 + e) * math.log1p(e) - e if e > -1 else 1.0)


def binomial_two_sided(observed: int, n: int, share: Fraction) -> Tail:
    """Two-sided exact binomial p and its logarithm.

    The total probability of the outcomes no likelier than the observed one (as R's binom.test, with its tolerance);
    tails by the incomplete beta function. Clopper & Pearson (1934) for the tails.

    Args:
        observed: Successes.
        n: Trials, at least 1.
        share: Their probability, strictly between 0 and 1.
    """
    mode = n * share
    if observed == mode:
        return Tail(1.0, 0.0)

    def log_mass(k: int) -> float:
        """Loader (2000): no difference of huge logarithms."""
        if k in (0, n):
            rest = 1 - share if k == 0 else share
            return n * (math.log1p(-float(1 - rest)) if rest > Fraction(1, 2) else math.log(float(rest)))
        rests = stirling_rest(n) - stirling_rest(k) - stirling_rest(n - k)
        spread = 0.5 * math.log(n / (2 * math.pi * k * (n - k)))
        return rests + spread - deviance(k, mode) - deviance(n - k, n - mode)

    bar = log_mass(observed) + math.log1p(TIE)
    below = observed < mode
    # The mass falls away from the mode, so the other tail starts at the first point that is no likelier.
    inside, outside = (math.ceil(mode) - 1, n + 1) if below else (math.floor(mode) + 1, -1)
    while abs(outside - inside) > 1:
        middle = (inside + outside) // 2
        inside, outside = (inside, middle) if log_mass(middle) <= bar else (middle, outside)
    low, high = (observed, outside) if below else (outside, observed)
    p = min(1.0, _lower(low, n, share) + _upper(high, n, share))
    if p > _UNDERFLOW:
        return Tail(p, math.log(p))
    # Below a double each tail is the mass at its end times what the incomplete beta function leaves of it.
    s = float(share)
    logs = []
    if low >= 0:
        logs.append(log_mass(low) + math.log(s) + math.log(_beta_fraction(n - low, low + 1, float(1 - share))))
    if high <= n:
        logs.append(log_mass(high) + math.log(float(1 - share)) + math.log(_beta_fraction(high, n - high + 1, s)))
    largest = max(logs)
    return Tail(p, largest + math.log(sum(math.exp(log - largest) for log in logs)))


def _beta_fraction(a: int, b: int, x: float) -> float:
    """I_x(a, b) a B(a, b) / (x^a (1 - x)^b), the continued fraction; x well below a / (a + b).

    Abramowitz & Stegun (1964), 26.5.8.
    """
    value = 1.0
    for m in range(_FRACTION_TERMS, 0, -1):
        value = 1 + m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)) / value
        value = 1 - (a + m - 1) * (a + b + m - 1) * x / ((a + 2 * m - 2) * (a + 2 * m - 1)) / value
    return 1 / value


def _lower(k: int, n: int, share: Fraction) -> float:
    """P(X <= k)."""
    from scipy.special import betainc

    return 0.0 if k < 0 else 1.0 if k >= n else float(betainc(n - k, k + 1, float(1 - share)))


def _upper(k: int, n: int, share: Fraction) -> float:
    """P(X >= k)."""
    from scipy.special import betainc

    return 0.0 if k > n else 1.0 if k <= 0 else float(betainc(k, n - k + 1, float(share)))


def binomials(counts: Sequence[int], shares: Sequence[Fraction]) -> Tail:
    """Several arms, each against all others by `binomial_two_sided`: min(1, K min p_a), and its logarithm.

    A bound: the level holds at any counts, whatever the dependence between arms. Bonferroni's inequality; Dunn (1961).
    """
    n = sum(counts)
    least = min(binomial_two_sided(c, n, share).log_p_value for c, share in zip(counts, shares, strict=True))
    log_p = min(0.0, least + math.log(len(counts)))
    return Tail(math.exp(log_p), log_p)


def hypergeometric_two_sided(observed: int, n: int, hits: int, total: int) -> Tail:
    """Two-sided exact p of Fisher's test and its logarithm: of `total` units `hits` have a property, of n `observed`.

    The total probability of the counts no likelier than the observed one given both margins (as R's fisher.test, with
    its tolerance), from the ratios of neighbouring ones. Fisher (1935).
    """
    from scipy.special import logsumexp

    low, high = max(0, n + hits - total), min(n, hits)
    k = np.arange(low, high, dtype=np.float64)
    steps = np.log((n - k) / (k + 1)) + np.log((hits - k) / (total - n - hits + k + 1))
    mass = np.concatenate([[0.0], np.cumsum(steps)])
    own = mass[observed - low]
    counted = mass[mass <= own + TIE]
    log_p = min(0.0, float(logsumexp(counted) - logsumexp(mass))) if len(counted) < len(mass) else 0.0
    return Tail(math.exp(log_p), log_p)


def outcomes(n: int, arms: int) -> int:
    """Number of ways to put n units into arms."""
    return math.comb(n + arms - 1, arms - 1)


def multinomial(counts: Sequence[int], shares: Sequence[Fraction]) -> Tail:
    """Exact multinomial p and its logarithm: the probability of all outcomes no likelier than the observed one.

    Enumerates all outcomes. Radlow & Alf (1975).

    Raises:
        ValueError: more than `LARGEST_TABLE` outcomes.
    """
    from scipy.special import gammaln, logsumexp

    n, arms = sum(counts), len(counts)
    if outcomes(n, arms) > LARGEST_TABLE:
        raise ValueError(f"an exact test of {n} units in {arms} arms has too many outcomes")
    logs = [math.log(float(share)) for share in shares]
    k = np.arange(n + 1)
    terms = [k * log - gammaln(k + 1) for log in logs]
    left, mass = np.array([n]), np.array([float(gammaln(n + 1))])
    for term in terms[:-1]:  # every way to give the next arm some of what is left
        repeats = left + 1
        start = np.repeat(np.cumsum(repeats) - repeats, repeats)
        given = np.arange(int(repeats.sum())) - start
        left, mass = np.repeat(left, repeats) - given, np.repeat(mass, repeats) + term[given]
    mass = mass + terms[-1][left]
    own = float(gammaln(n + 1)) + sum(float(term[c]) for term, c in zip(terms, counts, strict=True))
    counted = mass[mass <= own + TIE]
    log_p = min(0.0, float(logsumexp(counted))) if len(counted) < len(mass) else 0.0
    return Tail(math.exp(log_p), log_p)


@dataclass(frozen=True, slots=True)
class Joined:
    """One p of several independent tables; `several` unless all are chi-square and add up."""

    p_value: float
    log_p_value: float
    several: bool


def joined(tables: Iterable[tuple[bool, float, int, float]]) -> Joined:
    """Chi-square tables added up, and m times the smallest p of them and the m - 1 others. Dunn (1961).

    Args:
        tables: Per table whether its p is that of chi-square, the statistic, its df, and the logarithm of p.
    """
    parts = list(tables)
    large = [(statistic, df) for is_chi_square, statistic, df, _ in parts if is_chi_square]
    logs = [log_p for is_chi_square, _, _, log_p in parts if not is_chi_square]
    if large:
        tail = chi_square_tail(sum(statistic for statistic, _ in large), sum(df for _, df in large))
        if not logs:
            return Joined(tail.p_value, tail.log_p_value, several=False)
        logs.append(tail.log_p_value)
    log_p = min(0.0, min(logs) + math.log(len(logs)))
    return Joined(math.exp(log_p), log_p, several=True)


def chi_square_tail(statistic: float, df: int) -> Tail:
    """P(chi-square with `df` > statistic) and its logarithm, which survives where the p is 0 in a double.

    Far out: -y + a ln y - ln Gamma(a) + ln of Legendre's continued fraction, a = df / 2, y = statistic / 2.
    Abramowitz & Stegun (1964), section 6.5.
    """
    from scipy.special import chdtrc, gammaln

    p = float(chdtrc(df, statistic))
    if p > _UNDERFLOW:
        return Tail(p, math.log(p))
    a, y = df / 2, statistic / 2
    fraction = 0.0
    for i in range(200, 0, -1):
        fraction = i * (i - a) / (y + 2 * i + 1 - a - fraction)
    return Tail(p, -y + a * math.log(y) - float(gammaln(a)) - math.log(y + 1 - a - fraction))
