"""Several treatment arms against one control: Dunnett's critical value for a planned allocation, power and sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from metricdef.stats.joint import normal_score, test_joint
from metricdef.stats.moments import Floats
from metricdef.stats.power import Level, needed_noncentrality, power_of_noncentrality, rising_root, standard_error
from metricdef.stats.product_law import ProductLaw
from metricdef.stats.tails import check_alpha

Goal = Literal["each", "any", "all"]

_POINTS = 8001  # of the trapezoidal rule over the control's share, from -10 to 10


@dataclass(frozen=True, slots=True)
class ArmsPower:
    """Power of several arms, each rejected in the direction of its effect.

    Attributes:
        each: Of every arm's comparison by itself; the level's for an arm without effect.
        any: Probability that some arm with an effect is rejected.
        all: Probability that every arm with an effect is rejected.
    """

    each: tuple[float, ...]
    any: float
    all: float


def dunnett_level(alpha: float, units: Sequence[float], sided: int = 2, sds: Sequence[float] | None = None) -> Level:
    """The level of each of several comparisons with one control: Dunnett's critical value in place of alpha / m.

    c solves P(max T_i > c) = alpha (|T_i| for two sides), T standard normal with correlation l_i l_j,
    l_i^2 = V_0 / (V_i + V_0), V = sd^2 / n: only the allocation matters, not the size. The single-step test of
    `dunnett` in large samples. Dunnett (1955, 1964).

    Args:
        alpha: Over all comparisons.
        units: Per arm, control first, at any scale.
        sided: 1 or 2.
        sds: Of a unit per arm, control first; equal by default.
    """
    check_alpha(alpha)
    lam = _loadings(units, sds)
    two_sided = Level(alpha, sided).sided == 2
    local = test_joint(ProductLaw(lam, two_sided), range(len(lam)), [1.0] * len(lam), alpha).local_alpha
    return Level(alpha, sided, normal_score(local, "two-sided" if two_sided else "greater"))


def power_arms(
    differences: Sequence[float], units: Sequence[float], level: Level, sds: float | Sequence[float]
) -> ArmsPower:
    """Power of the comparisons of several arms with one control, at one level for each (`dunnett_level`, `bonferroni`).

    T_i ~ N(|d_i| / se_i, 1) jointly normal with Dunnett's correlation; any and all are one integral over the control's
    deviation, E prod Phi((c - mean_i - l_i z) / r_i), r_i^2 = 1 - l_i^2, and its counterpart.
    Horn & Vollandt (1998).

    Args:
        differences: True effects, treatment - control; 0 for an arm that does nothing.
        units: Per arm, control first.
        level: Of each comparison.
        sds: Of a unit, one for all arms or one per arm, control first.
    """
    spread = _spread(sds, len(units))
    lam, errors = _loadings(units, spread), _errors(units, spread)
    means = np.array(differences, dtype=np.float64)
    if means.shape != lam.shape or not np.all(np.isfinite(means)):
        raise ValueError(f"{len(lam)} arms beside the control need as many finite effects: {list(differences)}")
    if level.sided == 1 and np.any(means < 0):
        raise ValueError("effects must not lie below the null; turn the signs where lower is better")
    means = means / errors
    each = tuple(power_of_noncentrality(abs(float(mean)), level).correct for mean in means)
    works = means != 0
    if not np.any(works):
        raise ValueError("no arm has an effect, so there is nothing to detect")
    some, every = _joint(np.abs(means[works]), (np.sign(means) * lam)[works], level.quantile())
    return ArmsPower(each, some, every)


def sample_size_arms(
    differences: Sequence[float],
    allocation: Sequence[float],
    level: Level,
    wanted: float,
    sds: float | Sequence[float],
    goal: Goal = "each",
) -> tuple[float, ...]:
    """Units per arm, control first, with which `power_arms` reaches a power: a root in the size of the control.

    Assumptions as there. Horn & Vollandt (1998).

    Args:
        differences: True effects, not 0.
        allocation: Units of each arm, control first, at any scale.
        level: Of each comparison; with Dunnett's critical value `dunnett_level(alpha, allocation, sided, sds)`.
        wanted: Power.
        sds: As in `power_arms`.
        goal: Of what: the weakest comparison by itself ("each"), some arm ("any"), every arm ("all").
    """
    if goal not in ("each", "any", "all"):
        raise ValueError(f"unknown goal {goal!r}; known: each, any, all")
    if not all(math.isfinite(d) and d != 0 for d in differences):
        raise ValueError(f"the effects must be finite and not 0: {list(differences)}")
    needed_noncentrality(level, wanted)  # refuses what is no power
    shares = [value / allocation[0] for value in allocation]

    def excess(n: float) -> float:
        found = power_arms(differences, [n * share for share in shares], level, sds)
        return (min(found.each) if goal == "each" else found.any if goal == "any" else found.all) - wanted

    control = rising_root(excess, 1e-6)
    return tuple(control * share for share in shares)


def _joint(means: Floats, lam: Floats, c: float) -> tuple[float, float]:
    """P(some statistic > c) and P(all > c), the first from its complement's logarithm."""
    from scipy.special import log_ndtr, ndtr

    z = np.linspace(-10, 10, _POINTS)
    density = np.exp(-0.5 * z * z)
    density /= density.sum()
    r = np.sqrt((1 - lam) * (1 + lam))
    at = (means - c + np.outer(z, lam)) / r
    some = -np.expm1(log_ndtr(-at).sum(axis=1))
    return min(1.0, float(density @ some)), min(1.0, float(density @ ndtr(at).prod(axis=1)))


def _spread(sds: float | Sequence[float], arms: int) -> list[float]:
    return [float(sds)] * arms if isinstance(sds, int | float) else list(sds)


def _errors(units: Sequence[float], sds: Sequence[float]) -> Floats:
    return np.array([standard_error(sd, n, units[0], sds[0]) for n, sd in zip(units[1:], sds[1:], strict=True)])


def _loadings(units: Sequence[float], sds: Sequence[float] | None) -> Floats:
    """l_i = sqrt(V_0 / (V_i + V_0))."""
    if len(units) < 2:
        raise ValueError("there must be a treatment arm beside the control")
    spread = [1.0] * len(units) if sds is None else list(sds)
    if len(spread) != len(units):
        raise ValueError(f"{len(units)} arms but {len(spread)} standard deviations")
    lam: Floats = spread[0] / math.sqrt(units[0]) / _errors(units, spread)
    return lam
