"""One one-sided test at a look: its bound on z, and a p-value that is valid over all looks so far.

Every directional statement has its own one-sided level, which is spent over the planned looks (`boundaries`), kept for a
test that is valid at any time (`one_sided_sequence`), or split between the two (hybrid). A two-sided test is one on
either side at half its level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from metricdef.stats.anytime import one_sided_margin, one_sided_sequence, tuned_rho2
from metricdef.stats.group_sequential import AlphaSpending, Boundaries, boundaries
from metricdef.stats.repeated import repeated_p

MIN_UNITS = 100  # of an arm, from which on tests valid at any time are: their theory is for large samples
_FURTHEST = 37.0  # normal scores beyond it have tails that are no doubles


@dataclass(frozen=True, slots=True)
class Monitor:
    """How one kind of test spends its one-sided level.

    Attributes:
        rule: Of the planned looks; None where no look is planned.
        share: Part of the level that the test valid at any time has.
        rho2: Of that test, fixed in advance; None where it has no part.
    """

    rule: AlphaSpending | None
    share: float
    rho2: float | None


def monitor(rule: AlphaSpending | None, share: float, level: float, units: float) -> Monitor:
    """A monitor of tests at a one-sided level, tightest at `units` in both arms.

    rho^2 by `tuned_rho2` at twice the level of that part. Waudby-Smith et al. (2024).
    """
    return Monitor(rule, share, tuned_rho2(units, 2 * level * share) if share else None)


@dataclass(frozen=True, slots=True)
class Track:
    """What a metric's comparison was seen with at the looks so far, this one the last.

    Attributes:
        information: 1 / se^2 at each look that spends, or the time that stands for it in the joint law of the looks.
        fractions: Of the plan at each of those.
        spends: Whether this look is one of them.
        units: In both arms now; with a ramp in units of its first epoch.
        ready: Whether both arms are large enough for a test valid at any time.
    """

    information: tuple[float, ...]
    fractions: tuple[float, ...]
    spends: bool
    units: float
    ready: bool


def planned_bounds(found: Monitor, track: Track, level: float) -> Boundaries | None:
    """Bounds of the planned part at a one-sided level of the whole test; None where nothing is spent now."""
    own = level * (1 - found.share)
    if found.rule is None or not track.spends or own <= 0:
        return None
    return _boundaries(found.rule, track.information, own, track.fractions)


@lru_cache(maxsize=1024)
def _boundaries(
    rule: AlphaSpending, information: tuple[float, ...], level: float, fractions: tuple[float, ...]
) -> Boundaries:
    """The bounds of a side: the tests of a comparison ask for the same ones."""
    return boundaries(rule, information, level, 1, fractions)


def critical_value(found: Monitor, track: Track, level: float) -> float:
    """The normal score from which on this look rejects at a one-sided level; inf where it can't.

    The smaller of the planned bound and of the margin valid at any time, each at its part of the level: both have the
    same centre, and Bonferroni's inequality bounds their sum.
    """
    parts = [math.inf]
    if found.rho2 is not None and track.ready and level * found.share > 0:
        parts.append(one_sided_margin(1.0, track.units, found.rho2, level * found.share))
    bounds = planned_bounds(found, track, level)
    if bounds is not None:
        parts.append(bounds.upper[-1])
    smallest = min(parts)
    return smallest if smallest < _FURTHEST else math.inf


def look_p(found: Monitor, track: Track, z: float, level: float) -> float:
    """One-sided p of this look alone: the smallest level of the whole test at which it rejects; 1 where none does.

    Of a split level the smaller p of the two parts, each divided by its share.

    Args:
        found: How the level is spent.
        track: The looks so far.
        z: Normal score, positive towards the alternative.
        level: At which p and bound must agree to the last digit.
    """
    parts = [1.0]
    if found.rho2 is not None and track.ready:
        sequence = one_sided_sequence(z, 1.0, track.units, found.rho2, level * found.share, greater=True)
        parts.append(sequence.p_value / found.share)
    bounds = planned_bounds(found, track, level)
    if bounds is not None:
        parts.append(repeated_p(bounds, len(track.information) - 1, z) / (1 - found.share))
    p_value = min(parts)
    crossed = z >= critical_value(found, track, level)
    return min(p_value, level) if crossed else min(1.0, max(p_value, math.nextafter(level, 1.0)))


def two_sided_tail(critical: float) -> float:
    """The level at which a fixed two-sided test has this critical value: 2 Phi(-c)."""
    from scipy.special import ndtr

    return float(2 * ndtr(-critical))


def score_of(p_value: float) -> float:
    """Normal score of a one-sided p: -Phi^-1(p), within what doubles can tell from 0."""
    from scipy.special import ndtri

    if not 0 <= p_value <= 1:
        raise ValueError(f"a p-value lies between 0 and 1: {p_value}")
    return (
        max(-_FURTHEST, min(_FURTHEST, -float(ndtri(p_value))))
        if 0 < p_value < 1
        else (_FURTHEST if p_value == 0 else -_FURTHEST)
    )


def intersect(
    limits: Sequence[tuple[float | None, float | None]],
) -> tuple[float, float] | None:
    """The largest lower and the smallest upper limit of all looks so far; None without any.

    Intervals that cover at all looks at once cover together, so what they share covers, too. Where they share nothing
    the lower limit is not below the upper one: no effect fits all looks.
    """
    found = [(lower, upper) for lower, upper in limits if lower is not None and upper is not None]
    return (max(lower for lower, _ in found), min(upper for _, upper in found)) if found else None
