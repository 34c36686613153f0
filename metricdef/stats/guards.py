"""Warnings that the normal theory may not hold for these numbers. They never change a number or a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence

from metricdef.stats.adjustment import MeanOutcome, RatioOutcome
from metricdef.stats.moments import Moments
from metricdef.stats.tails import z_quantile

SKEWNESS_LIMIT = 0.16  # at a two-sided level of 5 %
FEWEST_IN_PART = 3  # units of an arm in a stratum or epoch: the variance of two has one degree of freedom
NONZERO_LIMIT = 10
DOMINANCE_LIMIT = 0.1
DOMINANCE_SHARES = 2.5  # a share of 1 / n is nobody's dominance, however few units there are
BEYOND_LIMIT = 50  # values on the shorter side of a quantile
CHANCE = 2.0  # standard deviations of the skewness that normal values show by chance


def guards(
    arm: Moments,
    baseline: Moments,
    outcome: MeanOutcome | RatioOutcome,
    std_error: float,
    parts: Sequence[tuple[Moments, Moments]] = (),
    alpha: float = 0.05,
) -> tuple[str, ...]:
    """The guard words for a comparison of two arms, in a fixed order; empty when nothing is to be said.

    "small-sample": the difference is skewed (`skewed`), or an arm has fewer than 10 non-zero values (numerator or
    denominator), or 2 units in a stratum or epoch, or a unit dominates. "dominant-unit": in an arm max(d) / sum(d)
    exceeds 0.1 and 2.5 / n for the denominator d of a ratio, which the variance formula can't see. Cf. Kohavi et al.
    (2014) for skewness and sample size; docs/calibration.md for what the limits catch.

    The third moment of the linearised ratio is not among the sufficient statistics; for a ratio the skewness is that
    of the difference of the numerator means, with its own unadjusted standard error.

    Args:
        arm: Moments of the arm.
        baseline: Moments of the baseline.
        outcome: What was compared.
        std_error: Standard error of the reported difference of means (not read for a ratio; 0: there is none).
        parts: (arm, baseline) of every stratum or epoch, when the arms were compared within them.
        alpha: Two-sided level at which the comparison is tested: in a family, of the strictest step.
    """
    arms = (arm, baseline)
    if any(m.n < 2 for m in arms):
        return ("small-sample",)
    ratio = isinstance(outcome, RatioOutcome)
    columns = [outcome.numerator, outcome.denominator] if isinstance(outcome, RatioOutcome) else [outcome.column]
    dominant = ratio and any(_dominated(m, columns[1]) for m in arms)
    few = any(int(m.nonzero[m.index(c)]) < NONZERO_LIMIT for m in arms for c in columns)
    few = few or any(1 < min(m.n for m in part) < FEWEST_IN_PART for part in parts)
    words = []
    if few or dominant or skewed(parts or [arms], columns[0], None if ratio else std_error, skewness_limit(alpha)):
        words.append("small-sample")
    if dominant:
        words.append("dominant-unit")
    return tuple(words)


def quantile_guards(counts: Sequence[int], q: float) -> tuple[str, ...]:
    """("small-sample",) when an arm has fewer than 50 values on the shorter side of the quantile, n min(q, 1 - q).

    With so few the density read off two order statistics is skewed: up to some 4 % err to one side instead of 2.5 when
    the arms differ in size. The limit is this project's, from simulation (docs/calibration.md).

    Args:
        counts: Ranked values per arm: units, or events.
        q: The quantile.
    """
    return ("small-sample",) if min(counts) * min(q, 1 - q) < BEYOND_LIMIT else ()


def _dominated(m: Moments, column: str) -> bool:
    i = m.index(column)
    return float(m.max_abs[i]) > max(DOMINANCE_LIMIT, DOMINANCE_SHARES / m.n) * abs(float(m.total[i]))


def skewness_limit(alpha: float) -> float:
    """Skewness of a difference at which a tail errs 1.5 times as often as it should: 0.16 at 5 %, 0.08 at 1 %.

    From the first Edgeworth term of a studentised mean, P(T > z) = 1 - Phi(z) - skewness (2 z^2 + 1) phi(z) / 6 (Hall
    1992, The Bootstrap and Edgeworth Expansion, section 2.6): the share it adds to alpha / 2 is the same at any level.
    The further out a test rejects, the less skewness it bears.

    Args:
        alpha: Two-sided level of the test.
    """

    def share(level: float) -> float:
        z = z_quantile(level)
        return (2 * z**2 + 1) * math.exp(-(z**2) / 2) / level

    return SKEWNESS_LIMIT * share(0.05) / share(alpha)


def skewed(
    parts: Sequence[tuple[Moments, Moments]], column: str, std_error: float | None, limit: float = SKEWNESS_LIMIT
) -> bool:
    """Whether the skewness of a difference of means exceeds 0.16: some 4 % then err to one side instead of 2.5.

    With one part (w = 1), k2 = S / (n - 1) and k3 = t / n of an arm, it is judged twice.

    From both arms together, K2 = (S_1 + S_0) / (n_1 + n_0 - 2) and K3 = (t_1 + t_0) / (n_1 + n_0):
    |sum w^3 K3 (1 / n_1^2 - 1 / n_0^2)| / (sum w^2 K2 (1 / n_1 + 1 / n_0))^(3/2), which is 0 for arms of one size.
    A small arm by itself doesn't show its skewness: the rare large values are missing in the samples that mislead.

    From each arm by itself, |sum w^3 (k3_1 / n_1^2 - k3_0 / n_0^2)| / se^3, for arms that differ in shape.

    To either limit twice the chance is added: the standard deviation that the figure has for normal values, from
    Var(k3) = 6 k2^3 / n. An adjusted standard error is smaller than the unadjusted one by a factor r, and all figures
    are divided by r^3, as if the covariates explained none of the skewness. Johnson (1978) for the skewness of a mean
    in its t statistic; the limit is from simulation (docs/calibration.md).

    Args:
        parts: (arm, baseline) of every stratum or epoch, weighted by its share of units; of the whole, one part. A
            part with fewer than 2 units in an arm has no share.
        column: The outcome.
        std_error: Of the reported difference; None: the unadjusted one; 0: there is none, and nothing to judge.
        limit: In place of 0.16, by `skewness_limit`.
    """
    pairs = [pair for pair in parts if min(m.n for m in pair) > 1]
    if not pairs or std_error == 0.0:
        return False
    i = pairs[0][0].index(column)
    total = sum(a.n + b.n for a, b in pairs)
    plain = sum(((a.n + b.n) / total) ** 2 * sum(m.var(column) / m.n for m in (a, b)) for a, b in pairs)
    if not plain > 0.0:
        return False
    own = own_chance = together = together_chance = spread = 0.0
    for arm, baseline in pairs:
        n1, n0, n = arm.n, baseline.n, arm.n + baseline.n
        w = n / total
        # In units of the error: sixth powers of a small unit would underflow.
        s1, s0 = (float(m.comoment[i, i]) / plain for m in (arm, baseline))
        t1, t0 = (float(m.third[i]) / plain / math.sqrt(plain) for m in (arm, baseline))
        own += w**3 * (t1 / n1**3 - t0 / n0**3)
        own_chance += w**6 * 6 * ((s1 / (n1 - 1)) ** 3 / n1**5 + (s0 / (n0 - 1)) ** 3 / n0**5)
        k2, k3, lever = (s1 + s0) / (n - 2), (t1 + t0) / n, w**3 * (1 / n1**2 - 1 / n0**2)
        together += lever * k3
        together_chance += lever**2 * 6 * k2**3 / n
        spread += w**2 * k2 * (1 / n1 + 1 / n0)
    tighter = 1.0 if std_error is None else std_error / math.sqrt(plain)
    size = spread**1.5
    # Only a covariate makes an error smaller; a larger one is another estimate of the same variance.
    return (
        abs(own) - CHANCE * math.sqrt(own_chance) > limit * tighter**3
        or (abs(together) - CHANCE * math.sqrt(together_chance)) / size > limit * min(tighter, 1.0) ** 3
    )
