"""Power for two proportions. Three formulas are in use and give three numbers; each has its name.

A margin of non-inferiority needs the variance at its null: `power_score.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from metricdef.errors import NotComputable
from metricdef.stats.power import Level, Power, SampleSize, needed_noncentrality, rising_root
from metricdef.stats.tails import z_tail
from metricdef.stats.unit_sd import proportion_sd

Formula = Literal["unpooled", "pooled", "arcsine"]
# (effect, root under the null, root under the alternative) with se = root / sqrt(n0)
_Parts = Callable[[float, float, float], tuple[float, float, float]]


def _unpooled(p1: float, p0: float, r: float) -> tuple[float, float, float]:
    root = math.hypot(proportion_sd(p1) / math.sqrt(r), proportion_sd(p0))
    return abs(p1 - p0), root, root


def _pooled(p1: float, p0: float, r: float) -> tuple[float, float, float]:
    under_null = proportion_sd((r * p1 + p0) / (1 + r)) * math.sqrt(1 + 1 / r)
    return abs(p1 - p0), under_null, _unpooled(p1, p0, r)[2]


def _arcsine(p1: float, p0: float, r: float) -> tuple[float, float, float]:
    proportion_sd(p1), proportion_sd(p0)
    root = math.sqrt(1 + 1 / r)
    return abs(2 * math.asin(math.sqrt(p1)) - 2 * math.asin(math.sqrt(p0))), root, root


_FORMULAS: Mapping[str, _Parts] = MappingProxyType({"unpooled": _unpooled, "pooled": _pooled, "arcsine": _arcsine})


def _parts(
    p_treatment: float, p_control: float, allocation: float, level: Level, formula: Formula
) -> tuple[float, float, float]:
    if formula not in _FORMULAS:
        raise ValueError(f"unknown formula {formula!r}; known: {', '.join(_FORMULAS)}")
    if not 0 < allocation < math.inf:
        raise ValueError(f"the allocation must be positive and finite: {allocation}")
    if p_treatment == p_control or (level.sided == 1 and p_treatment < p_control):
        raise ValueError("the rates must differ; a one-sided test takes the treatment's as the larger")
    return _FORMULAS[formula](p_treatment, p_control, allocation)


def sample_size_proportions(
    p_treatment: float,
    p_control: float,
    level: Level,
    wanted: float,
    *,
    allocation: float = 1.0,
    arms: int = 1,
    formula: Formula = "unpooled",
    far_tail: bool = False,
) -> SampleSize:
    """Units to tell two rates apart: n0 = (c s_null + z_power s)^2 / effect^2, n1 = r n0.

    unpooled: s_null = s = sqrt(p1 q1 / r + p0 q0), the Wald z the analysis uses. pooled: s_null from the common rate
    (r p1 + p0) / (1 + r), Fleiss (1981). arcsine: effect 2 asin sqrt p1 - 2 asin sqrt p0, s_null = s = sqrt(1 + 1/r),
    Cohen (1988). They are within 0.1 % of each other at equal allocation, 2 % at four to one and a rate of 1 %.

    Args:
        p_treatment: True rate.
        p_control: True rate.
        level: Of the comparison.
        wanted: Power.
        allocation: r, units of a treatment arm per unit of control.
        arms: Treatment arms.
        formula: Which.
        far_tail: Count rejections in the wrong direction as power too (1e-6 at 80 %); a root, not the closed form.
    """
    effect, under_null, root = _parts(p_treatment, p_control, allocation, level, formula)
    c = level.quantile()
    n = ((c * under_null + (needed_noncentrality(level, wanted) - c) * root) / effect) ** 2
    if far_tail:

        def excess(units: float) -> float:
            found = power_proportions(p_treatment, p_control, allocation * units, units, level, formula)
            return found.total - wanted

        n = rising_root(excess, n / 2)
    return SampleSize(allocation * n, n, arms)


def power_proportions(
    p_treatment: float,
    p_control: float,
    n_treatment: float,
    n_control: float,
    level: Level,
    formula: Formula = "unpooled",
) -> Power:
    """Power to tell two rates apart: Phi((effect sqrt(n0) - c s_null) / s), and the far tail with two sides.

    Normal approximation; s, s_null and the references as in `sample_size_proportions`.
    """
    effect, under_null, root = _parts(p_treatment, p_control, n_treatment / n_control, level, formula)
    c, scaled = level.quantile() * under_null, effect * math.sqrt(n_control)
    return Power(z_tail((c - scaled) / root), z_tail((c + scaled) / root) if level.sided == 2 else 0.0)


def mde_proportions(
    p_control: float,
    n_treatment: float,
    n_control: float,
    level: Level,
    wanted: float,
    *,
    increase: bool = True,
    formula: Formula = "unpooled",
) -> float:
    """Smallest detectable p_treatment - p_control (negative for a decrease), a root of `power_proportions`.

    A one-sided test for a decrease is that of the complements. References as in `sample_size_proportions`.

    Raises:
        NotComputable: `too_few_units` when even the largest possible difference has less power.
    """
    from scipy.optimize import brentq

    proportion_sd(p_control)
    if not increase:
        return -mde_proportions(1 - p_control, n_treatment, n_control, level, wanted, formula=formula)
    needed_noncentrality(level, wanted)  # refuses what is no power
    room = 1 - p_control
    low, high = room * 1e-12, room * (1 - 1e-12)

    def excess(difference: float) -> float:
        return (
            power_proportions(p_control + difference, p_control, n_treatment, n_control, level, formula).correct
            - wanted
        )

    if excess(high) < 0:
        raise NotComputable("too_few_units", "no difference of rates reaches this power with these units")
    return float(brentq(excess, low, high, xtol=1e-16, rtol=1e-13))
