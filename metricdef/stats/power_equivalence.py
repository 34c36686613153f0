"""Power to show that an effect lies between two margins, by the two one-sided tests of `equivalence.py`."""

from __future__ import annotations

import math

from metricdef.stats.power import Level, Power, SampleSize, needed_noncentrality, rising_root, standard_error
from metricdef.stats.tails import z_quantile, z_tail


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
) -> Power:
    """Probability that both one-sided tests reject: Phi((high - d) / se - c) - Phi((low - d) / se + c), at least 0.

    Normal estimates with known variances. Schuirmann (1987); Phillips (1990).

    Args:
        difference: True effect d, treatment - control, between the margins.
        sd: Of a unit in the treatment, and in the control unless `sd_control` is given.
        n_treatment: Units.
        n_control: Units.
        low: Lower margin.
        high: Upper margin.
        level: One-sided, of each test.
        sd_control: Of a unit in the control.
    """
    _room(difference, low, high, level)
    se = standard_error(sd, n_treatment, n_control, sd_control)
    return Power(_both((low - difference) / se, (high - difference) / se, level.quantile()), 0.0)


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
) -> SampleSize:
    """Units with which both one-sided tests reject with a given probability: a root of `power_equivalence`.

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
    """
    room = _room(difference, low, high, level)
    if not 0 < allocation < math.inf:
        raise ValueError(f"the allocation must be positive and finite: {allocation}")
    unit = standard_error(sd, allocation, 1.0, sd_control)  # se = unit / sqrt(n0)
    nearer = (unit * needed_noncentrality(level, wanted) / room) ** 2  # what the test of the nearer margin needs

    def excess(n: float) -> float:
        return (
            power_equivalence(difference, sd, allocation * n, n, low, high, level, sd_control=sd_control).correct
            - wanted
        )

    n = rising_root(excess, nearer)
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
) -> float:
    """The m for which equivalence between -m and m is shown with a power: a root of `power_equivalence`.

    Between |d| + (c + z_w) se and |d| + (c + z_{(1 + w) / 2}) se, w the power.

    Args:
        difference: True effect.
        sd: As in `power_equivalence`, as are the others.
        n_treatment: Units.
        n_control: Units.
        level: One-sided, of each test.
        wanted: Power.
        sd_control: Of a unit in the control.
    """
    from scipy.optimize import brentq

    if not math.isfinite(difference):
        raise ValueError(f"the effect must be finite: {difference}")
    if level.sided != 1:
        raise ValueError("each of the two tests is one-sided")
    se, off = standard_error(sd, n_treatment, n_control, sd_control), abs(difference)
    least = needed_noncentrality(level, wanted)
    most = level.quantile() + z_quantile(1 - wanted)

    def excess(distance: float) -> float:
        return _both(-distance - 2 * off / se, distance, level.quantile()) - wanted

    return off + se * float(brentq(excess, least - 1e-9, most + 1e-9, xtol=1e-13))


def _room(difference: float, low: float, high: float, level: Level) -> float:
    """Distance to the nearer margin."""
    if level.sided != 1:
        raise ValueError("each of the two tests is one-sided")
    if not -math.inf < low < difference < high < math.inf:
        raise ValueError(f"the true effect must lie between the margins: {low}, {difference}, {high}")
    return min(difference - low, high - difference)


def _both(below: float, above: float, c: float) -> float:
    """P(Z beyond `below` + c and short of `above` - c), from the small side."""
    a, b = below + c, above - c
    if a >= b:
        return 0.0
    return z_tail(a) - z_tail(b) if a > 0 else z_tail(-b) - z_tail(-a)
