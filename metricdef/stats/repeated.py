"""Inference valid at every look of a group-sequential design, whether or not its bounds are obeyed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from metricdef.errors import NotComputable
from metricdef.stats.group_sequential import Boundaries
from metricdef.stats.recursion import crossing
from metricdef.stats.tails import finite


@dataclass(frozen=True, slots=True)
class RepeatedInterval:
    """An interval that covers at all looks at once: two-sided 1 - alpha; one-sided each limit at alpha."""

    lower: float
    upper: float
    critical_value: float


def repeated_interval(bounds: Boundaries, look: int, estimate: float, std_error: float) -> RepeatedInterval:
    """The repeated confidence interval at a look: estimate -+ c_j se_j.

    It excludes 0 exactly when `repeated_p` is at most alpha, and when the look rejects; but for a design with binding
    futility, whose bounds keep the level only while everyone heeds them. There c_j is the bound of the same design
    without futility, a little above that of the look. Jennison & Turnbull (1989).

    Args:
        bounds: The design.
        look: From 0.
        estimate: At this look.
        std_error: Of the estimate.

    Raises:
        NotComputable: `nothing_spent` at a look that spends nothing.
    """
    finite(estimate=estimate)
    if not 0 < std_error < math.inf:
        raise ValueError(f"the standard error must be positive and finite: {std_error}")
    c = _free_of_futility(bounds)[look]
    if not math.isfinite(c):
        raise NotComputable("nothing_spent", "this look has no new information and spends nothing: no interval")
    return RepeatedInterval(estimate - c * std_error, estimate + c * std_error, c)


def repeated_p(bounds: Boundaries, look: int, z: float) -> float:
    """The smallest total level at which the design of the same family rejects at this look.

    At most alpha exactly when the bound is crossed; two-sided from |z|. 1.0 where no level rejects. The family has no
    futility bounds, so p holds for those who go on below one; with binding ones a look may reject whose p is a little
    above alpha, as in `repeated_interval`. Jennison & Turnbull (2000), section 9.5.

    Args:
        bounds: The design; only looks up to this one matter to a spending function.
        look: From 0.
        z: The statistic.
    """
    if math.isnan(z):
        raise ValueError("z is not a number")
    two_sided = bounds.sided == 2
    level = bounds.rule.smallest_level(bounds.looks, look, abs(z) if two_sided else z, two_sided)
    p_value = min(1.0, bounds.sided * level)
    # The level is a root: its last digits must not contradict the comparison with the bound.
    if (abs(z) if two_sided else z) >= _free_of_futility(bounds)[look]:
        return min(p_value, bounds.alpha)
    return max(p_value, math.nextafter(bounds.alpha, 1.0))


def _free_of_futility(bounds: Boundaries) -> tuple[float, ...]:
    """Upper bounds at which the level holds whether or not anyone stops low."""
    if bounds.sided == 1 and bounds.binding and any(map(math.isfinite, bounds.lower)):
        return bounds.rule.bounds(bounds.looks, bounds.level, False)
    return bounds.upper


def sequential_p(bounds: Boundaries, z: Sequence[float]) -> tuple[float, ...]:
    """The smallest total level at which any look so far would have rejected, after each look; never rises.

    A valid p-value at any of the looks, whatever the rule to stop: the running minimum of the repeated p.
    Liu & Anderson (2008).

    Args:
        bounds: The design.
        z: Statistics of the looks so far.
    """
    if not 0 < len(z) <= len(bounds.upper):
        raise ValueError(f"{len(z)} statistics for a design of {len(bounds.upper)} looks")
    return tuple(accumulate((repeated_p(bounds, look, value) for look, value in enumerate(z)), min))


def conditional_power(bounds: Boundaries, look: int, z: float, theta: float) -> float:
    """P(crossing an upper bound at a later look | Z_look = z) under a drift.

    The later scores less the present one are a sequence of their own, with information I_j - I_k and bounds
    (c_j sqrt(I_j) - z sqrt(I_k)) / sqrt(I_j - I_k). Lower bounds stop. Lan & Wittes (1988).

    Args:
        bounds: The design, all looks.
        look: The present look, from 0.
        z: Its statistic.
        theta: Per unit of sqrt(information): 0, the planned one, or z / sqrt(I_k) for the estimate.
    """
    if not 0 <= look < len(bounds.upper) - 1:
        raise ValueError(f"no look follows look {look}")
    finite(z=z, theta=theta)
    now = bounds.looks.information[look]
    score = z * math.sqrt(now)
    rest, low, high = [], [], []
    for j in range(look + 1, len(bounds.upper)):
        information = bounds.looks.information[j]
        free = not math.isfinite(bounds.upper[j]) and not math.isfinite(bounds.lower[j])
        grown = information - now
        rest.append(grown)
        root = 1.0 if free else math.sqrt(grown)
        low.append((bounds.lower[j] * math.sqrt(information) - score) / root)
        high.append((bounds.upper[j] * math.sqrt(information) - score) / root)
    return min(1.0, sum(crossing(rest, low, high, theta).upper))
