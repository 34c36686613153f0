"""Tests of a family by the joint law of its statistics: Dunnett and max-T share this, each brings its law.

Everything is on the scale of the marginal p: a law says how likely the smallest p of a set is to be at most p. So
Student and normal statistics, one- and two-sided tests, and rows that join by Bonferroni take the same path.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from metricdef.stats.multiplicity import check_p_values
from metricdef.stats.tails import z_tail

Alternative = Literal["two-sided", "greater", "less"]


class Law(Protocol):
    """Joint law, with all effects at their nulls, of the statistics of `size` hypotheses."""

    @property
    def size(self) -> int:
        """Number of statistics."""

    @property
    def two_sided(self) -> bool:
        """Whether the statistics are judged by their size."""

    def smallest(self, p: float, members: Sequence[int]) -> float:
        """P(the smallest p of the members <= p): from p to min(1, p * number of members)."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Several laws of which nothing joint is known: their probabilities add up (Boole). E.g. Dunnett within metrics.

    The statistics are numbered through the blocks in their order.
    """

    blocks: tuple[Law, ...]

    def __post_init__(self) -> None:
        """Check that the blocks go together."""
        if len({law.two_sided for law in self.blocks}) != 1:
            raise ValueError("the blocks of a family must all be two-sided, or none of them")

    @property
    def two_sided(self) -> bool:
        """Whether the statistics are judged by their size."""
        return self.blocks[0].two_sided

    @property
    def size(self) -> int:
        """Number of statistics."""
        return sum(law.size for law in self.blocks)

    def smallest(self, p: float, members: Sequence[int]) -> float:
        """Upper bound of P(the smallest p of the members <= p), exact within a block."""
        total, start = 0.0, 0
        for law in self.blocks:
            inside = [i - start for i in members if start <= i < start + law.size]
            total += law.smallest(p, inside) if inside else 0.0
            start += law.size
        return min(1.0, total)


@dataclass(frozen=True, slots=True)
class JointResult:
    """Adjusted p-values and the level of the intervals that go with the single step.

    Attributes:
        step_down: Whether p_adjusted is of the step-down test; the intervals are always single-step.
        local_alpha: Marginal level: an interval of level 1 - local_alpha for each hypothesis covers all parameters
            at once with probability 1 - alpha, and excludes the null exactly when the single-step p is <= alpha.
    """

    alpha: float
    step_down: bool
    p_adjusted: tuple[float | None, ...]
    rejected: tuple[bool, ...]
    local_alpha: float


def test_joint(
    law: Law, members: Sequence[int], p_values: Sequence[float | None], alpha: float, *, step_down: bool = False
) -> JointResult:
    """Single-step or step-down test of a family by the smallest p (the largest standardised statistic).

    Single step: p_adjusted = P(min P <= p). Step-down, hypotheses in the order of their p: the largest, over i up to
    the own rank, of P(min over ranks >= i of P <= p_(i)), which is the closed test. Hypotheses outside the law, and
    those without a p, join by Bonferroni: each adds p to the probability, so nothing is assumed of their dependence.
    Dunnett (1955); Westfall & Young (1993); Hothorn, Bretz & Westfall (2008).

    Args:
        law: Joint law of some of the hypotheses.
        members: Positions in `p_values` of those, in the law's order.
        p_values: Marginal p, one per hypothesis of the family, None where it could not be computed.
        alpha: Level of the family, between 0 and 1.
        step_down: Whether to step down.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1: {alpha}")
    p = check_p_values(p_values)
    if len(members) != law.size or len(set(members)) != len(members) or not set(members) <= set(range(p.size)):
        raise ValueError(f"the law has {law.size} statistics, which must be different hypotheses: {list(members)}")
    known = {i: position for position, i in enumerate(members) if p_values[i] is not None}
    order = sorted((i for i, value in enumerate(p_values) if value is not None), key=lambda i: (p[i], i))
    single = _running(known, order, [float(p[i]) for i in order], law, p.size, step_down=False)
    chosen = _running(known, order, [float(p[i]) for i in order], law, p.size, step_down=True) if step_down else single
    adjusted: list[float | None] = [None] * p.size
    for i, value in zip(order, chosen, strict=True):
        adjusted[i] = value
    # The level must separate rejected from other hypotheses exactly, whatever the root's last digit.
    below = [float(p[i]) for i, value in zip(order, single, strict=True) if value <= alpha]
    above = [float(p[i]) for i, value in zip(order, single, strict=True) if value > alpha]
    level = _local_alpha(law, list(known.values()), p.size - len(known), alpha)
    if above:
        level = min(level, math.nextafter(min(above), 0.0))
    level = max([level, *below])
    rejected = tuple(value is not None and value <= alpha for value in adjusted)
    return JointResult(alpha, step_down, tuple(adjusted), rejected, level)


test_joint.__test__ = False  # type: ignore[attr-defined]  # pytest must not collect it


def _running(
    known: dict[int, int], order: list[int], p: list[float], law: Law, size: int, *, step_down: bool
) -> list[float]:
    """Adjusted p along the order; never below an earlier one, so that numerical error can't swap two hypotheses."""
    found: list[float] = []
    highest, last = 0.0, -1.0
    for rank, value in enumerate(p):
        if step_down or value != last:
            left = order[rank:] if step_down else order
            inside = [known[j] for j in left if j in known]
            outside = size - len(inside) - (rank if step_down else 0)
            highest = max(highest, min(1.0, _union(law, inside, outside, value)))
            last = value
        found.append(highest)
    return found


def _union(law: Law, inside: list[int], outside: int, p: float) -> float:
    """P(min P <= p) of the law's members, plus p for each hypothesis whose dependence is not known."""
    return (law.smallest(p, inside) if inside else 0.0) + outside * p


def _local_alpha(law: Law, inside: list[int], outside: int, alpha: float) -> float:
    from scipy.optimize import brentq

    m = len(inside) + outside
    if m <= 1 or not inside:
        return alpha / max(m, 1)

    def gap(log_p: float) -> float:
        return math.log(_union(law, inside, outside, math.exp(log_p)) / alpha)

    low, high = math.log(alpha / m), math.log(alpha)
    if gap(low) >= 0:  # Bonferroni's level is exact
        return alpha / m
    if gap(high) <= 0:  # all statistics are one
        return alpha
    return math.exp(brentq(gap, low, high, xtol=1e-13))


def normal_score(p: float, alternative: Alternative) -> float:
    """-Phi^-1(p), two-sided -Phi^-1(p / 2): what a standard normal statistic (its size) exceeds with probability p.

    +-inf at p = 0 and 1.
    """
    from scipy.special import ndtri

    return -float(ndtri(p / 2 if alternative == "two-sided" else p))


def check_alternative(alternative: str) -> None:
    """ValueError unless it is one of the three."""
    if alternative not in ("two-sided", "greater", "less"):
        raise ValueError(f"unknown alternative {alternative!r}")


def normal_p(z: float, alternative: Alternative) -> float:
    """P of a standard normal statistic: Phi(-z) for "greater", Phi(z) for "less", 2 Phi(-|z|) at most 1 for both."""
    check_alternative(alternative)
    if alternative == "two-sided":
        return min(1.0, 2 * z_tail(abs(z)))
    return z_tail(z if alternative == "greater" else -z)
