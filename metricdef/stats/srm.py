"""Sample ratio mismatch: do the counts per arm fit the declared shares? Counts of the randomisation unit only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from metricdef.errors import NotComputable
from metricdef.stats import exact

Share = Fraction | float

Method = Literal["chi_square", "g", "binomial", "multinomial", "binomials", "bonferroni"]

_SMALL_EXPECTED = 50  # at a level of 0.001 chi-square still errs by half with 20 (docs/calibration.md)
_SMALL_TABLE = 100_000  # outcomes that cost a few milliseconds


@dataclass(frozen=True, slots=True)
class SrmResult:
    """Fixed-sample test. `expected` has one count per arm; arms with share 0 are not in the test.

    `method` says where the p comes from: "binomials" is every arm against the others with Bonferroni's correction,
    "bonferroni" the same over several tables (see `combine`). `statistic` is G with "g", else Pearson's, also beside
    another p; `df` goes with it. `log_p_value` is the natural logarithm, which is there when p_value is 0 in a double.
    """

    statistic: float
    df: int
    p_value: float
    log_p_value: float
    expected: tuple[float, ...]
    method: Method


@dataclass(frozen=True, slots=True)
class SequentialSrm:
    """One look of the sequential test. The p of a monitored experiment is the smallest over its looks."""

    log_bayes_factor: float
    p_value: float
    log_p_value: float
    concentration: float


def _arms(counts: Sequence[int], shares: Sequence[Share]) -> tuple[list[int], list[Fraction]]:
    """Counts and shares (exact, summing to 1) of the arms with a share; refuses impossible data."""
    if len(counts) != len(shares):
        raise ValueError(f"{len(counts)} counts but {len(shares)} shares")
    exact.check_counts(counts)
    if not all(0 <= share < math.inf for share in shares):
        raise ValueError(f"shares must be finite and not negative: {list(map(float, shares))}")
    declared = [Fraction(share) for share in shares]
    if any(share == 0 and count > 0 for share, count in zip(declared, counts, strict=True)):
        raise NotComputable("unexpected_arm", "an arm with share 0 has units; under the declared shares it can't")
    pairs = [(int(count), share) for count, share in zip(counts, declared, strict=True) if share > 0]
    if len(pairs) < 2:
        raise NotComputable("too_few_arms", "a ratio test needs at least 2 arms with a positive share")
    if sum(count for count, _ in pairs) == 0:
        raise NotComputable("no_units", "there are no units to test")
    total = sum(share for _, share in pairs)
    return [count for count, _ in pairs], [share / total for _, share in pairs]


def fixed_sample(
    counts: Sequence[int], shares: Sequence[Share], method: Literal["auto", "chi_square", "g", "exact"] = "auto"
) -> SrmResult:
    """Test the declared shares once, at a sample size fixed in advance. Shares need not sum to 1.

    chi_square: Pearson's sum (O - E)^2 / E; g: 2 sum O ln(O / E), where an arm without units adds 0; both chi-square
    with arms with a share - 1 df. exact: the probability of all outcomes no likelier than the observed one, binomial
    for two arms (as R's binom.test), multinomial for more. auto: chi_square where every arm expects 50 units or more,
    else exact; with three or more arms and over 100,000 outcomes each arm against the others by the exact binomial,
    K times the smallest p, which never exceeds its level. Pearson (1900); Wilks (1938); Fabijan et al. (2019).

    Args:
        counts: Units per arm.
        shares: Declared shares.
        method: One of the above.

    Raises:
        NotComputable: `no_units`, `too_few_arms`, `unexpected_arm` (units in an arm of share 0).
        ValueError: an unknown method; an exact test with too many outcomes.
    """
    if method not in ("auto", "chi_square", "g", "exact"):
        raise ValueError(f"unknown method {method!r}")
    observed, exactly = _arms(counts, shares)
    n, arms = sum(observed), len(observed)
    expected = [n * share for share in exactly]
    found: Method = _chosen(n, expected) if method == "auto" else method if method != "exact" else _exact(arms)
    if found == "g":
        statistic = 2 * sum(exact.deviance(o, e) for o, e in zip(observed, expected, strict=True))
    else:
        statistic = float(sum(((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True)), Fraction(0)))
    if found == "binomial":
        p = exact.binomial_two_sided(observed[0], n, exactly[0])
    elif found == "multinomial":
        p = exact.multinomial(observed, exactly)
    elif found == "binomials":
        p = exact.binomials(observed, exactly)
    else:
        p = exact.chi_square_tail(statistic, arms - 1)
    total = sum(Fraction(share) for share in shares)
    per_arm = tuple(float(n * Fraction(share) / total) for share in shares)
    return SrmResult(statistic, arms - 1, p.p_value, p.log_p_value, per_arm, found)


def _exact(arms: int) -> Method:
    return "binomial" if arms == 2 else "multinomial"


def _chosen(n: int, expected: Sequence[Fraction]) -> Method:
    """By expected counts and the size of the table only, never by the outcome."""
    if min(expected) >= _SMALL_EXPECTED:
        return "chi_square"
    arms = len(expected)
    return _exact(arms) if arms == 2 or exact.outcomes(n, arms) <= _SMALL_TABLE else "binomials"


def chi_square(counts: Sequence[int], shares: Sequence[Share]) -> SrmResult:
    """The default test of a fixed design: `fixed_sample` with "auto". Pearson (1900)."""
    return fixed_sample(counts, shares)


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
    observed, exactly = _arms(counts, shares)
    n = sum(observed)
    a_total = k + n
    log_bf = 0.5 * math.log(a_total / k) - (exact.stirling_rest(a_total) - exact.stirling_rest(k))
    for count, share in zip(observed, exactly, strict=True):
        theta = float(share)
        prior, scale = k * theta, a_total * theta
        a = prior + count
        e = float(count - n * share) / scale  # a - theta A, exact
        growth = (1 + e) * math.log1p(e) if e > -1 else 0.0  # e rounds to -1 for an empty arm and a tiny k
        log_bf += scale * (growth - e) - 0.5 * math.log(a / prior)
        log_bf += exact.stirling_rest(a) - exact.stirling_rest(prior)
    log_p = min(-log_bf, 0.0)
    return SequentialSrm(log_bf, math.exp(log_p), log_p, k)


def combine(parts: Sequence[SrmResult]) -> SrmResult:
    """Independent tables (the epochs of a ramp, each with its own shares) as one test.

    The sum of independent chi-square variables is one with the summed df. A table with another p, as some arm expects
    few units in it, stays by itself: then p is m times the smallest of the m p-values, one of all chi-square tables
    together and one of each other table (method "bonferroni"). Each table has at least one unit.
    Pearson (1900); Dunn (1961).
    """
    statistic, df = sum(part.statistic for part in parts), sum(part.df for part in parts)
    expected = tuple(sum(column) for column in zip(*(part.expected for part in parts), strict=True))
    found = exact.joined((part.method == "chi_square", part.statistic, part.df, part.log_p_value) for part in parts)
    method: Method = "bonferroni" if found.several else "chi_square"
    return SrmResult(statistic, df, found.p_value, found.log_p_value, expected, method)
