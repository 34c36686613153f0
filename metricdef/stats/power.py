"""Sample size, power and minimal detectable effect of two arms, from the variance of a unit in each.

Everything is a function of two numbers: the effect less its null, and the standard error. What a unit's standard
deviation is for ratios, adjusted and clustered metrics stands in `unit_sd.py`; proportions, whose variance depends on
the effect, in `power_proportions.py`; margins relative to the baseline in `power_margin.py`; group-sequential designs
in `power_sequential.py`, confidence sequences and the hybrid in `power_anytime.py`. Sizes are not rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from metricdef.errors import NotComputable
from metricdef.stats.noncentral_t import WelchDf, noncentral_tail, welch_tail
from metricdef.stats.tails import t_quantile, z_quantile, z_tail

Reference = Literal["z", "welch", "pooled"]
Freedom = float | WelchDf | None

_LARGEST = 1e15  # units


@dataclass(frozen=True, slots=True)
class Level:
    """The level of one comparison.

    Attributes:
        alpha: Total level of the comparison.
        sided: 1 or 2.
        critical: Critical value on the z scale in place of that of alpha: Dunnett's, for several arms.
    """

    alpha: float
    sided: int = 2
    critical: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no level."""
        if self.sided not in (1, 2):
            raise ValueError(f"a test has 1 or 2 sides, not {self.sided}")
        if not 0 < self.alpha / self.sided < 0.5:
            raise ValueError(f"the level of a side must lie strictly between 0 and 0.5: {self.alpha / self.sided}")
        if self.critical is not None and not 0 < self.critical < math.inf:
            raise ValueError(f"the critical value must be positive and finite: {self.critical}")

    def one_sided(self) -> float:
        """The level of a side, which a given critical value has on the z scale only."""
        if self.critical is not None:
            raise ValueError("a given critical value is on the z scale; there is none for t")
        return self.alpha / self.sided

    def quantile(self, df: float | None = None) -> float:
        """What the statistic must exceed; with `df` on the t scale."""
        if self.critical is not None and df is None:
            return self.critical
        two_sided = 2 * self.one_sided()
        return z_quantile(two_sided) if df is None else t_quantile(two_sided, df)


def bonferroni(alpha: float, comparisons: int, sided: int = 2) -> Level:
    """The level of each of several comparisons, alpha / m. Dunn (1961)."""
    if comparisons < 1:
        raise ValueError(f"there must be a comparison: {comparisons}")
    return Level(alpha / comparisons, sided)


@dataclass(frozen=True, slots=True)
class SampleSize:
    """Units per arm, unrounded; `arms` treatment arms share one control."""

    treatment: float
    control: float
    arms: int = 1

    def __post_init__(self) -> None:
        """Refuse what is no number of units."""
        _positive("units", self.treatment, self.control, self.arms)

    @property
    def total(self) -> float:
        """Units in all arms."""
        return self.control + self.arms * self.treatment

    def rounded(self) -> SampleSize:
        """Whole units, rounded up; a relative 1e-12 above a whole number is rounding of doubles."""
        return SampleSize(math.ceil(self.treatment * (1 - 1e-12)), math.ceil(self.control * (1 - 1e-12)), self.arms)


@dataclass(frozen=True, slots=True)
class Power:
    """Probability of rejecting in the direction of the effect, and (two-sided) in the other one."""

    correct: float
    wrong: float

    @property
    def total(self) -> float:
        """Probability of rejecting at all."""
        return self.correct + self.wrong


def allocation_for_control(arms: int) -> float:
    """Units of a treatment arm per unit of control that minimise the variance of all comparisons: 1 / sqrt(k).

    The control then has sqrt(k) times the units of each of k arms. Dunnett (1955).
    """
    if arms < 1:
        raise ValueError(f"there must be a treatment arm: {arms}")
    return 1 / math.sqrt(arms)


def _positive(what: str, *values: float) -> None:
    if not all(0 < value < math.inf for value in values):
        raise ValueError(f"{what} must be positive and finite: {', '.join(map(str, values))}")


def distance(difference: float, null: float, sided: int) -> float:
    """|difference - null|, which a test must detect; a one-sided one must have its effect above the null."""
    gap = difference - null
    if not math.isfinite(gap) or gap == 0:
        raise ValueError(f"the effect must differ from its null: {difference}, {null}")
    if sided == 1 and gap < 0:
        raise ValueError("the effect must lie above the null; turn the signs where lower is better")
    return abs(gap)


def standard_error(sd: float, n_treatment: float, n_control: float, sd_control: float | None = None) -> float:
    """sqrt(s1^2 / n1 + s0^2 / n0), of independent arms. `sd` is of the treatment and, unless given, of the control."""
    other = sd if sd_control is None else sd_control
    _positive("standard deviations and units", sd, other, n_treatment, n_control)
    return math.hypot(sd / math.sqrt(n_treatment), other / math.sqrt(n_control))


def power_of_noncentrality(noncentrality: float, level: Level, df: Freedom = None) -> Power:
    """Power of a z test (or t test with `df`) whose statistic has mean (noncentrality) |effect - null| / se.

    correct = P(T > c), wrong = P(T < -c) for two sides: Phi(noncentrality - c) and Phi(-noncentrality - c), or T
    noncentral; with the df of two arms Welch's test, exactly. Lachin (1981); Johnson, Kotz & Balakrishnan (1995),
    chapter 31, for the noncentral t; Moser, Stevens & Watts (1989) for Welch's.
    """
    if not 0 <= noncentrality < math.inf:
        raise ValueError(f"the noncentrality must be finite and not negative: {noncentrality}")
    means = (noncentrality, -noncentrality)
    if isinstance(df, WelchDf):
        one_sided = level.one_sided()
        correct, wrong = (welch_tail(one_sided, df, mean) for mean in means)
        return Power(correct, wrong if level.sided == 2 else 0.0)
    if df is not None and not df > 0:
        raise NotComputable("too_few_units", f"a t test needs at least 3 units in all, this one has {df + 2:g}")
    c = level.quantile(df)
    if df is None or math.isinf(df):
        correct, wrong = (z_tail(c - mean) for mean in means)
    else:
        correct, wrong = (noncentral_tail(c, df, mean) for mean in means)
    return Power(correct, wrong if level.sided == 2 else 0.0)


def freedom(
    test: Reference, sd: float, n_treatment: float, n_control: float, sd_control: float | None = None
) -> Freedom:
    """Degrees of freedom of a test of two arms: none for z, n1 + n0 - 2 pooled, n1 - 1 and n0 - 1 for Welch's.

    Raises:
        NotComputable: `too_few_units` for a t test that has no degree of freedom.
    """
    if test == "z":
        return None
    if test == "pooled":
        return n_treatment + n_control - 2
    if test != "welch":
        raise ValueError(f"unknown test {test!r}; known: z, welch, pooled")
    one, zero = sd**2 / n_treatment, (sd if sd_control is None else sd_control) ** 2 / n_control
    return WelchDf(one / (one + zero), n_treatment - 1, n_control - 1)


def power(
    difference: float,
    sd: float,
    n_treatment: float,
    n_control: float,
    level: Level,
    *,
    sd_control: float | None = None,
    null: float = 0.0,
    test: Reference = "z",
) -> Power:
    """Power of the comparison of two means with the units given: Phi(|difference - null| / se - c), and the far tail.

    Assumes independent units and estimates that are about normal, with variances known from the past. Below about 100
    units, or clusters, an arm the test matters: "welch" is the test of the analysis, exact for normal values whatever
    their variances; "pooled" the classical one of equal variances. Lachin (1981); Moser, Stevens & Watts (1989).

    Args:
        difference: True effect, treatment - control.
        sd: Of a unit in the treatment, and in the control unless `sd_control` is given.
        n_treatment: Units.
        n_control: Units.
        level: Of the comparison.
        sd_control: Of a unit in the control.
        null: Effect under the null (-margin for non-inferiority).
        test: See above.
    """
    noncentrality = distance(difference, null, level.sided) / standard_error(sd, n_treatment, n_control, sd_control)
    return power_of_noncentrality(noncentrality, level, freedom(test, sd, n_treatment, n_control, sd_control))


def _reached(found: Power, far_tail: bool) -> float:
    return found.total if far_tail else found.correct


def needed_noncentrality(level: Level, wanted: float, *, far_tail: bool = False, df: Freedom = None) -> float:
    """|effect - null| / se that gives a power: c + z_power where only the correct direction counts, else a root.

    Lachin (1981).

    Args:
        level: Of the comparison.
        wanted: Power.
        far_tail: Count rejections in the wrong direction as power too.
        df: Degrees of freedom of a t test; see `freedom`.
    """
    from scipy.optimize import brentq

    if not level.alpha / level.sided * (2 if far_tail else 1) < wanted < 1:
        raise ValueError(f"the power must lie between the level and 1: {wanted}")
    normal = level.quantile() - _upper_quantile(wanted)
    if df is None and not far_tail:
        if normal <= 0:
            raise ValueError(f"the power is no more than that of no effect: {wanted}")
        return normal

    def excess(noncentrality: float) -> float:
        return _reached(power_of_noncentrality(noncentrality, level, df), far_tail) - wanted

    high = 2 * max(normal, 1.0)
    while excess(high) < 0:
        high *= 2
    return float(brentq(excess, 0.0, high, xtol=1e-13, rtol=1e-13))


def _upper_quantile(p: float) -> float:
    """The value exceeded with probability p, by either sign of it."""
    from scipy.special import ndtri

    return -float(ndtri(p))


def mde(
    sd: float,
    n_treatment: float,
    n_control: float,
    level: Level,
    wanted: float,
    *,
    sd_control: float | None = None,
    test: Reference = "z",
    far_tail: bool = False,
) -> float:
    """Minimal detectable distance from the null: (c + z_power) sqrt(s1^2 / n1 + s0^2 / n0). Bloom (1995).

    Assumptions as in `power`.

    Args:
        sd: As in `power`.
        n_treatment: Units.
        n_control: Units.
        level: Of the comparison.
        wanted: Power.
        sd_control: As in `power`.
        test: As in `power`.
        far_tail: Count rejections in the wrong direction as power too (1e-6 at 80 %).
    """
    se = standard_error(sd, n_treatment, n_control, sd_control)
    df = freedom(test, sd, n_treatment, n_control, sd_control)
    return needed_noncentrality(level, wanted, far_tail=far_tail, df=df) * se


def sample_size(
    difference: float,
    sd: float,
    level: Level,
    wanted: float,
    *,
    sd_control: float | None = None,
    allocation: float = 1.0,
    null: float = 0.0,
    arms: int = 1,
    test: Reference = "z",
    far_tail: bool = False,
) -> SampleSize:
    """Units for a power: n0 = (s1^2 / r + s0^2) (c + z_power)^2 / (difference - null)^2, n1 = r n0. Lachin (1981).

    Assumptions as in `power`.

    Args:
        difference: True effect.
        sd: As in `power`.
        level: Of one comparison.
        wanted: Power of one comparison.
        sd_control: As in `power`.
        allocation: r, units of a treatment arm per unit of control.
        null: As in `power`.
        arms: Treatment arms, each compared with the control.
        test: As in `power`; with "welch" at least 2 units an arm, with "pooled" at least 3 in all.
        far_tail: As in `mde`.
    """
    other = sd if sd_control is None else sd_control
    _positive("standard deviations and the allocation", sd, other, allocation)
    gap = distance(difference, null, level.sided)
    unit = math.hypot(sd / math.sqrt(allocation), other)  # se = unit / sqrt(n0)
    if test == "z":
        n = (unit * needed_noncentrality(level, wanted, far_tail=far_tail) / gap) ** 2
        return SampleSize(allocation * n, n, arms)

    def excess(n: float) -> float:
        df = freedom(test, sd, allocation * n, n, other)
        return _reached(power_of_noncentrality(gap / unit * math.sqrt(n), level, df), far_tail) - wanted

    needed_noncentrality(level, wanted, far_tail=far_tail)  # refuses what no size reaches
    least = 3 / (1 + allocation) if test == "pooled" else 2 / min(allocation, 1.0)
    n = rising_root(excess, least)
    return SampleSize(allocation * n, n, arms)


def rising_root(excess: Callable[[float], float], low: float) -> float:
    """Where a function of the units turns positive, at or above `low`."""
    from scipy.optimize import brentq

    if excess(low) >= 0:
        return low
    high = 2 * low
    while excess(high) < 0:
        low, high = high, 2 * high
        if high > _LARGEST:
            raise NotComputable("too_small_effect", f"more than {_LARGEST:.0e} units are needed")
    return float(brentq(excess, low, high, rtol=1e-13))


def duration(units: float, weekly: float | Sequence[float]) -> float:
    """Weeks until `units` have entered, linear within a week.

    Args:
        units: In all arms.
        weekly: New units per week: a constant rate, or one figure a week (fewer new ones come later).

    Raises:
        NotComputable: `too_little_traffic` when the weeks given don't bring enough.
    """
    _positive("the units needed", units)
    if isinstance(weekly, int | float):
        _positive("the weekly rate", weekly)
        return units / weekly
    so_far = 0.0
    for week, new in enumerate(weekly):
        if not 0 <= new < math.inf:
            raise ValueError(f"new units of a week must be finite and not negative: {new}")
        if so_far + new >= units:
            return week + (units - so_far) / new
        so_far += new
    raise NotComputable("too_little_traffic", f"{len(weekly)} weeks bring {so_far:.0f} units, {units:.0f} are needed")
