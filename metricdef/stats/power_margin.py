"""Power of non-inferiority by a margin relative to the baseline, by the linear contrast of `effects.test_one_sided`."""

from __future__ import annotations

import math
from dataclasses import replace

from metricdef.errors import NotComputable
from metricdef.stats.noncentral_t import WelchDf
from metricdef.stats.power import (
    Level,
    Power,
    Reference,
    SampleSize,
    distance,
    freedom,
    needed_noncentrality,
    power_of_noncentrality,
    rising_root,
    sample_size,
    standard_error,
)


def power_relative_margin(
    margin: float,
    mean: float,
    sd: float,
    n_treatment: float,
    n_control: float,
    level: Level,
    *,
    lift: float = 0.0,
    sd_control: float | None = None,
    test: Reference = "z",
) -> Power:
    """Probability of showing that the treatment is worse by less than a share of the baseline's size.

    The test is of mu1 - (1 - margin) mu0 > 0 (baseline mean above 0; for one below, of its mirror image), without
    dividing: expectation (lift + margin) |mu0|, unit variances s1^2 and (1 - margin)^2 s0^2; df as in the analysis,
    of the difference. Laster & Johnson (2003).

    Args:
        margin: 0.01 is one per cent.
        mean: Of the baseline; where lower is better with its sign turned.
        sd: Of a unit, treatment and (unless given) control.
        n_treatment: Units.
        n_control: Units.
        level: One-sided.
        lift: True relative effect in the good direction.
        sd_control: Of a unit in the control.
        test: As in `power.power`.

    Raises:
        NotComputable: `baseline_zero`.
    """
    other = sd if sd_control is None else sd_control
    gap, control = _contrast(margin, mean, lift, other, level)
    se = standard_error(sd, n_treatment, n_control, control)
    df = freedom(test, sd, n_treatment, n_control, control)
    if isinstance(df, WelchDf):
        df = replace(df, df_share=sd**2 / n_treatment / standard_error(sd, n_treatment, n_control, other) ** 2)
    return power_of_noncentrality(distance(gap, 0.0, level.sided) / se, level, df)


def sample_size_relative_margin(
    margin: float,
    mean: float,
    sd: float,
    level: Level,
    wanted: float,
    *,
    lift: float = 0.0,
    sd_control: float | None = None,
    allocation: float = 1.0,
    arms: int = 1,
    test: Reference = "z",
) -> SampleSize:
    """Units for a power of `power_relative_margin`: the formula of `sample_size` for its contrast, with "welch" a root.

    Assumptions as there. Laster & Johnson (2003).

    Args:
        margin: As in `power_relative_margin`, as are the others.
        mean: Of the baseline.
        sd: Of a unit.
        level: One-sided.
        wanted: Power.
        lift: True relative effect in the good direction.
        sd_control: Of a unit in the control.
        allocation: As in `sample_size`.
        arms: As in `sample_size`.
        test: As in `sample_size`.

    Raises:
        NotComputable: `baseline_zero`.
    """
    other = sd if sd_control is None else sd_control
    gap, control = _contrast(margin, mean, lift, other, level)
    if test != "welch":
        return sample_size(gap, sd, level, wanted, sd_control=control, allocation=allocation, arms=arms, test=test)
    needed_noncentrality(level, wanted)  # refuses what is no power

    def excess(n: float) -> float:
        units = (allocation * n, n)
        found = power_relative_margin(margin, mean, sd, *units, level, lift=lift, sd_control=other, test=test)
        return found.correct - wanted

    n = rising_root(excess, 2 / min(allocation, 1.0))
    return SampleSize(allocation * n, n, arms)


def smallest_relative_margin(
    mean: float,
    sd: float,
    n_treatment: float,
    n_control: float,
    level: Level,
    wanted: float,
    *,
    lift: float = 0.0,
    sd_control: float | None = None,
    test: Reference = "z",
) -> float:
    """The smallest margin that is shown with a power: a root of `power_relative_margin` in the margin.

    Assumptions as there. Laster & Johnson (2003).

    Args:
        mean: As in `power_relative_margin`, as are the others.
        sd: Of a unit.
        n_treatment: Units.
        n_control: Units.
        level: One-sided.
        wanted: Power.
        lift: True relative effect in the good direction.
        sd_control: Of a unit in the control.
        test: As in `power.power`.

    Raises:
        NotComputable: `baseline_zero`; `too_few_units` when not even a margin of all of the baseline is shown.
    """
    from scipy.optimize import brentq

    def excess(margin: float) -> float:
        if lift + margin <= 0:
            return -wanted
        shown = power_relative_margin(
            margin, mean, sd, n_treatment, n_control, level, lift=lift, sd_control=sd_control, test=test
        )
        return shown.correct - wanted

    if not level.alpha / level.sided < wanted < 1:
        raise ValueError(f"the power must lie between the level and 1: {wanted}")
    low, high = max(0.0, -lift) + 1e-12, 1 - 1e-12
    if not low < high or excess(high) < 0:
        raise NotComputable("too_few_units", "not even a margin of all of the baseline is shown with this power")
    return low if excess(low) >= 0 else float(brentq(excess, low, high, xtol=1e-14))


def _contrast(margin: float, mean: float, lift: float, sd_control: float, level: Level) -> tuple[float, float]:
    """Expectation of the contrast and the sd of the control's term."""
    if level.sided != 1:
        raise ValueError("non-inferiority is a one-sided test")
    if not 0 < margin < 1:
        raise ValueError(f"a relative margin lies between 0 and 1: {margin}")
    if mean == 0 or not math.isfinite(mean):
        raise NotComputable("baseline_zero", "the baseline mean is 0, so a relative margin has no size")
    factor = 1 - margin if mean > 0 else 1 + margin
    return (lift + margin) * abs(mean), factor * sd_control
