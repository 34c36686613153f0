"""Power to show that a rate is no worse than another by a margin, with the score test of `proportions.py`.

The variance under the null is that of the rates the data would suggest if the margin were the truth, which keeps the
test at its level where rates are low or the margin is wide and the Wald test does not.
"""

from __future__ import annotations

import math

from metricdef.errors import NotComputable
from metricdef.stats.power import Level, Power, SampleSize, needed_noncentrality
from metricdef.stats.proportions import restricted_variance, restricted_variance_ratio
from metricdef.stats.tails import z_tail
from metricdef.stats.unit_sd import proportion_sd


def power_non_inferiority(
    p_treatment: float,
    p_control: float,
    margin: float,
    n_treatment: float,
    n_control: float,
    level: Level,
    *,
    relative: bool = False,
) -> Power:
    """Power of the score test of p1 - p0 > -margin: Phi(((p1 - p0 + margin) sqrt(n0) - c s_null) / s).

    r = n1 / n0; s^2 = p1 q1 / r + p0 q0 at the true rates; s_null the same at the rates p~ that the true ones lead to
    under the null, the maximum-likelihood estimates with p~1 - p~0 = -margin from expected counts. With `relative` the
    test is of p1 - phi p0 > 0, phi = 1 - margin: its distance is p1 - phi p0, the second term of s^2 has a factor
    phi^2, and p~1 = phi p~0. Normal approximation: fails where an arm expects few successes or failures.
    Farrington & Manning (1990).

    Args:
        p_treatment: True rate of what is good; for what is bad take the complements of both.
        p_control: True rate.
        margin: Positive: 0.01 is one percentage point down, or (`relative`) one per cent of the control's rate.
        n_treatment: Units.
        n_control: Units.
        level: One-sided.
        relative: Whether the margin is a share of the control's rate.
    """
    if not all(0 < n < math.inf for n in (n_treatment, n_control)):
        raise ValueError(f"units must be positive and finite: {n_treatment}, {n_control}")
    gap, under_null, root = _parts(p_treatment, p_control, margin, n_treatment / n_control, level, relative=relative)
    return Power(z_tail((level.quantile() * under_null - gap * math.sqrt(n_control)) / root), 0.0)


def sample_size_non_inferiority(
    p_treatment: float,
    p_control: float,
    margin: float,
    level: Level,
    wanted: float,
    *,
    allocation: float = 1.0,
    arms: int = 1,
    relative: bool = False,
) -> SampleSize:
    """Units for a power: n0 = (c s_null + z_power s)^2 / (p1 - p0 + margin)^2, n1 = r n0. Farrington & Manning (1990).

    With `relative` the distance is p1 - phi p0.

    Args:
        p_treatment: As in `power_non_inferiority`, as are the others.
        p_control: True rate.
        margin: Absolute, or with `relative` a share of the control's rate.
        level: One-sided.
        wanted: Power.
        allocation: r, units of a treatment arm per unit of control.
        arms: Treatment arms, each compared with the control.
        relative: Whether the margin is relative.
    """
    gap, under_null, root = _parts(p_treatment, p_control, margin, allocation, level, relative=relative)
    c = level.quantile()
    n = ((c * under_null + (needed_noncentrality(level, wanted) - c) * root) / gap) ** 2
    return SampleSize(allocation * n, n, arms)


def smallest_margin(
    p_treatment: float,
    p_control: float,
    n_treatment: float,
    n_control: float,
    level: Level,
    wanted: float,
    *,
    relative: bool = False,
) -> float:
    """The smallest margin that the units given show with a power: a root of `power_non_inferiority`.

    Farrington & Manning (1990) for the power.

    Raises:
        NotComputable: `too_few_units` when even the widest margin, all of the control's rate, has less power.
    """
    from scipy.optimize import brentq

    needed_noncentrality(level, wanted)  # refuses what is no power

    def excess(margin: float) -> float:
        return (
            power_non_inferiority(
                p_treatment, p_control, margin, n_treatment, n_control, level, relative=relative
            ).correct
            - wanted
        )

    widest = 1.0 if relative else p_control
    worst = max(p_control - p_treatment, 0.0) / (p_control if relative else 1.0)
    low, high = worst + widest * 1e-9, widest * (1 - 1e-9)
    if not low < high or excess(high) < 0:
        raise NotComputable("too_few_units", "no margin is shown with this power by these units")
    return float(brentq(excess, low, high, xtol=1e-16, rtol=1e-13)) if excess(low) < 0 else low


def _parts(
    p_treatment: float, p_control: float, margin: float, allocation: float, level: Level, *, relative: bool
) -> tuple[float, float, float]:
    """Distance from the null, sqrt(n0) times the standard error at it, and the same at the true rates."""
    s1, s0 = proportion_sd(p_treatment), proportion_sd(p_control)
    if level.sided != 1:
        raise ValueError("non-inferiority is a one-sided test")
    if not 0 < allocation < math.inf:
        raise ValueError(f"the allocation must be positive and finite: {allocation}")
    if not 0 < margin < 1:
        raise ValueError(f"a margin of rates lies between 0 and 1: {margin}")
    phi = 1 - margin if relative else 1.0
    gap = p_treatment - phi * p_control + (0.0 if relative else margin)
    if not gap > 1e-12:  # what rounding leaves of no gap
        raise ValueError(f"the true rates lie beyond the margin: {p_treatment}, {p_control}, {margin}")
    expected = (allocation * p_treatment, allocation, p_control, 1.0)
    variance = restricted_variance_ratio(*expected, phi) if relative else restricted_variance(*expected, -margin)
    return gap, math.sqrt(variance), math.hypot(s1 / math.sqrt(allocation), phi * s0)
