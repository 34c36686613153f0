"""Power to show that an effect lies between two margins, by the two one-sided tests of `equivalence.py`."""

from __future__ import annotations

import math

from metricdef.errors import NotComputable
from metricdef.stats.noncentral_t import WelchDf, between, welch_between
from metricdef.stats.power import (
    Freedom,
    Level,
    Power,
    Reference,
    SampleSize,
    freedom,
    needed_noncentrality,
    rising_root,
    standard_error,
)
from metricdef.stats.tails import z_tail


def power_equivalence(
    difference: float,
    sd: float,
    n_treatment: float,
    n_control: float,
    low: float,
    high: float,
    level: Level,
    *,
    sd_control: float | None = None,
    test: Reference = "z",
) -> Power:
    """Probability that both one-sided tests reject: Phi((high - d) / se - c) - Phi((low - d) / se + c), at least 0.

    Normal estimates with known variances; by t exact for normal values, as `power.power`. Schuirmann (1987); Phillips
    (1990).

    Args:
        difference: True effect d, treatment - control, between the margins.
        sd: Of a unit in the treatment, and in the control unless `sd_control` is given.
        n_treatment: Units.
        n_control: Units.
        low: Lower margin.
        high: Upper margin.
        level: One-sided, of each test.
        sd_control: Of a unit in the control.
        test: As in `power.power`.
    """
    _room(difference, low, high, level)
    se = standard_error(sd, n_treatment, n_control, sd_control)
    df = freedom(test, sd, n_treatment, n_control, sd_control)
    return Power(_both((low - difference) / se, (high - difference) / se, level, df), 0.0)


def sample_size_equivalence(
    difference: float,
    sd: float,
    low: float,
    high: float,
    level: Level,
    wanted: float,
    *,
    sd_control: float | None = None,
    allocation: float = 1.0,
    arms: int = 1,
    test: Reference = "z",
) -> SampleSize:
    """Units with which both one-sided tests reject with a given probability: a root of `power_equivalence`.

    Assumptions as there. Phillips (1990).

    Args:
        difference: True effect, between the margins.
        sd: As in `power_equivalence`, as are the others.
        low: Lower margin.
        high: Upper margin.
        level: One-sided, of each test.
        wanted: Power.
        sd_control: Of a unit in the control.
        allocation: Units of a treatment arm per unit of control.
        arms: Treatment arms, each compared with the control.
        test: As in `power_equivalence`.
    """
    room = _room(difference, low, high, level)
    if not 0 < allocation < math.inf:
        raise ValueError(f"the allocation must be positive and finite: {allocation}")
    unit = standard_error(sd, allocation, 1.0, sd_control)  # se = unit / sqrt(n0)
    nearer = (unit * needed_noncentrality(level, wanted) / room) ** 2  # what the test of the nearer margin needs

    def excess(n: float) -> float:
        units = (allocation * n, n)
        found = power_equivalence(difference, sd, *units, low, high, level, sd_control=sd_control, test=test)
        return found.correct - wanted

    n = rising_root(excess, nearer if test == "z" else max(nearer, 2 / min(allocation, 1.0)))
    return SampleSize(allocation * n, n, arms)


def smallest_equivalence_margin(
    difference: float,
    sd: float,
    n_treatment: float,
    n_control: float,
    level: Level,
    wanted: float,
    *,
    sd_control: float | None = None,
    test: Reference = "z",
) -> float:
    """The m for which equivalence between -m and m is shown with a power: a root of `power_equivalence`.

    With normal quantiles it lies between |d| + (c + z_w) se and |d| + (c + z_{(1 + w) / 2}) se, w the power.
    Phillips (1990).

    Args:
        difference: True effect.
        sd: As in `power_equivalence`, as are the others.
        n_treatment: Units.
        n_control: Units.
        level: One-sided, of each test.
        wanted: Power.
        sd_control: Of a unit in the control.
        test: As in `power_equivalence`.
    """
    from scipy.optimize import brentq

    if not math.isfinite(difference):
        raise ValueError(f"the effect must be finite: {difference}")
    if level.sided != 1:
        raise ValueError("each of the two tests is one-sided")
    se, off = standard_error(sd, n_treatment, n_control, sd_control), abs(difference)
    df = freedom(test, sd, n_treatment, n_control, sd_control)
    # Each test alone has more power than both, and both at most as much as their misses leave together.
    least, most = (needed_noncentrality(level, w, df=df) for w in (wanted, (1 + wanted) / 2))

    def excess(distance: float) -> float:
        return _both(-distance - 2 * off / se, distance, level, df) - wanted

    return off + se * float(brentq(excess, least * (1 - 1e-6) - 1e-9, most * (1 + 1e-6) + 1e-9, xtol=1e-13))


def _room(difference: float, low: float, high: float, level: Level) -> float:
    """Distance to the nearer margin."""
    if level.sided != 1:
        raise ValueError("each of the two tests is one-sided")
    if not -math.inf < low < difference < high < math.inf:
        raise ValueError(f"the true effect must lie between the margins: {low}, {difference}, {high}")
    return min(difference - low, high - difference)


def _both(below: float, above: float, level: Level, df: Freedom) -> float:
    """P(Z beyond `below` + c and short of `above` - c), from the small side; by t with df."""
    if isinstance(df, WelchDf):
        return welch_between(level.one_sided(), df, below, above)
    if df is not None:
        if not df > 0:
            raise NotComputable("too_few_units", f"a t test needs at least 3 units in all, this one has {df + 2:g}")
        return between(level.quantile(df), df, below, above)
    c = level.quantile()
    a, b = below + c, above - c
    if a >= b:
        return 0.0
    return z_tail(a) - z_tail(b) if a > 0 else z_tail(-b) - z_tail(-a)
