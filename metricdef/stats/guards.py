"""Warnings that the normal theory may not hold for these numbers. They never change a number or a verdict."""

from __future__ import annotations

from metricdef.stats.adjustment import MeanOutcome, RatioOutcome
from metricdef.stats.moments import Moments

SKEWNESS_LIMIT = 0.2
NONZERO_LIMIT = 10
DOMINANCE_LIMIT = 0.1


def guards(arm: Moments, baseline: Moments, outcome: MeanOutcome | RatioOutcome, std_error: float) -> tuple[str, ...]:
    """The guard words for a comparison of two arms, in a fixed order; empty when nothing is to be said.

    "small-sample": the skewness of the difference |k3_1 / n_1^2 - k3_0 / n_0^2| / se^3 exceeds 0.2 (k3 = third / n,
    the third cumulant of a unit), or an arm has fewer than 10 non-zero values (numerator or denominator), or a unit
    dominates. "dominant-unit": in an arm max(d) / sum(d) > 0.1 for the denominator of a ratio, which the variance
    formula can't see. Cf. Kohavi et al. (2014) for skewness and sample size.

    The third moment of the linearised ratio is not among the sufficient statistics; for a ratio the skewness is that
    of the difference of the numerator means, with its own unadjusted standard error.

    Args:
        arm: Moments of the arm.
        baseline: Moments of the baseline.
        outcome: What was compared.
        std_error: Standard error of the reported difference of means (not read for a ratio).
    """
    arms = (arm, baseline)
    ratio = isinstance(outcome, RatioOutcome)
    column = outcome.numerator if isinstance(outcome, RatioOutcome) else outcome.column
    if any(m.n < 2 for m in arms):
        return ("small-sample",)
    k3 = [float(m.third[m.index(column)]) / m.n**3 for m in arms]
    spread = sum(m.var(column) / m.n for m in arms) ** 0.5 if ratio else std_error
    small = spread > 0 and abs(k3[0] - k3[1]) / spread / spread / spread > SKEWNESS_LIMIT
    columns = [column]
    dominant = False
    if isinstance(outcome, RatioOutcome):
        columns.append(outcome.denominator)
        for m in arms:
            i = m.index(outcome.denominator)
            dominant = dominant or float(m.max_abs[i]) > DOMINANCE_LIMIT * abs(float(m.total[i]))
    few = any(int(m.nonzero[m.index(c)]) < NONZERO_LIMIT for m in arms for c in columns)
    words = []
    if small or few or dominant:
        words.append("small-sample")
    if dominant:
        words.append("dominant-unit")
    return tuple(words)
