"""Two proportions by normal approximations, as other programs report them.

The default of a readout is Welch's test on the 0/1 values (divisor n - 1), or the score family for rare outcomes
(`proportions`); these functions state the other conventions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats.effects import ArmEstimates
from metricdef.stats.tails import z_quantile, z_tail


@dataclass(frozen=True, slots=True)
class PooledTest:
    """The pooled z statistic of p_1 = p_0 with its two-sided p."""

    statistic: float
    p_value: float


@dataclass(frozen=True, slots=True)
class NewcombeInterval:
    """p_1 - p_0 with Newcombe's interval of level 1 - alpha."""

    estimate: float
    lower: float
    upper: float
    alpha: float


@dataclass(frozen=True, slots=True)
class WilsonInterval:
    """x / n with Wilson's interval of level 1 - alpha."""

    estimate: float
    lower: float
    upper: float
    alpha: float


def _check(x: int, n: int) -> None:
    if n < 1:
        raise NotComputable("too_few_units", "a proportion needs at least 1 unit in each arm")
    if not 0 <= x <= n < math.inf:
        raise ValueError(f"not a count of successes among units: {x} of {n}")


def wald_proportions(successes: Sequence[int], units: Sequence[int]) -> ArmEstimates:
    """Proportions with unpooled variance of divisor n: V_a = p_a (1 - p_a) / n_a, normal theory.

    `difference` gives the unpooled z test, `log_lift` the log interval of the ratio of proportions. An arm without
    success or without failure has V_a = 0: the interval is then too short (use `newcombe` or the score family), and
    the difference of two such arms is `zero_variance`. Newcombe (1998), method 1.

    Args:
        successes: Units with the outcome per arm, baseline first.
        units: All units per arm.

    Raises:
        NotComputable: `too_few_units` when an arm is empty.
    """
    for x, n in zip(successes, units, strict=True):
        _check(x, n)
    hits, size = np.array(successes, dtype=np.float64), np.array(units, dtype=np.float64)
    variance = hits * (size - hits) / size**3
    every = np.full(len(size), math.inf)
    return ArmEstimates("unadjusted", hits / size, np.diag(variance), variance, every, math.inf)


def pooled_test(x1: int, n1: int, x0: int, n0: int) -> PooledTest:
    """z = (p_1 - p_0) / sqrt(p (1 - p) (1 / n_1 + 1 / n_0)), p the pooled proportion: Pearson's chi-square of 2 x 2.

    Assumes independent binomial arms that expect some 5 successes and failures each. Pearson (1900).

    Raises:
        NotComputable: `too_few_units`; `no_variation` without any success or any failure.
    """
    _check(x1, n1)
    _check(x0, n0)
    x, n = x1 + x0, n1 + n0
    if x in (0, n):
        raise NotComputable("no_variation", "no unit differs from another, so the pooled z is 0/0")
    gap = (x1 * n0 - x0 * n1) / (n1 * n0)  # integers: exactly 0 when the proportions are equal
    z = gap / math.sqrt(x * (n - x) / n / n * (1 / n1 + 1 / n0))
    return PooledTest(z, min(1.0, 2 * z_tail(abs(z))))


def wilson(x: int, n: int, alpha: float) -> WilsonInterval:
    """Wilson's score interval of one proportion: all p with |x / n - p| <= z sqrt(p (1 - p) / n). Wilson (1927)."""
    _check(x, n)
    q2 = z_quantile(alpha) ** 2
    centre, half = x + q2 / 2, math.sqrt(q2 * (x * (n - x) / n + q2 / 4))
    # The smaller root as the quotient of the product of the roots by the larger: rare events keep their digits.
    return WilsonInterval(x / n, x * x / n / (centre + half), min(1.0, (centre + half) / (n + q2)), alpha)


def newcombe(x1: int, n1: int, x0: int, n0: int, alpha: float) -> NewcombeInterval:
    """Newcombe's hybrid score interval of p_1 - p_0, from the Wilson limits (l_a, u_a) of each arm.

    lower = d - sqrt((p_1 - l_1)^2 + (u_0 - p_0)^2); upper = d + sqrt((u_1 - p_1)^2 + (p_0 - l_0)^2).
    Never of zero width, also without any success. Newcombe (1998), method 10.

    Raises:
        NotComputable: `too_few_units` when an arm is empty.
    """
    one, zero = wilson(x1, n1, alpha), wilson(x0, n0, alpha)
    gap = (x1 * n0 - x0 * n1) / (n1 * n0)
    below = math.hypot(one.estimate - one.lower, zero.upper - zero.estimate)
    above = math.hypot(one.upper - one.estimate, zero.estimate - zero.lower)
    return NewcombeInterval(gap, max(-1.0, gap - below), min(1.0, gap + above), alpha)
