"""Sample size of sequential designs: group-sequential by inflation, confidence sequences by their width."""

from __future__ import annotations

import math
from dataclasses import dataclass

from metricdef.stats.anytime import half_width, one_sided_margin, tuned_rho2
from metricdef.stats.group_sequential import Boundaries, characteristics, expected_fraction
from metricdef.stats.power import Level, SampleSize, needed_noncentrality, rising_root


@dataclass(frozen=True, slots=True)
class SequentialSize:
    """Units in all arms of a group-sequential design.

    Attributes:
        fixed: Of the design with one look.
        maximum: If it runs to the last look: inflation times fixed.
        inflation: What the looks cost at most.
        expected: Mean at the stop under the planned effect.
        expected_null: Mean at the stop without an effect.
        early_rejection: Probability under the planned effect of rejecting for it before the last look.
        early_stop: The same of stopping for any reason: for it, against it, or for futility.
    """

    fixed: float
    maximum: float
    inflation: float
    expected: float
    expected_null: float
    early_rejection: float
    early_stop: float


def sample_size_group_sequential(
    fixed: SampleSize, bounds: Boundaries, power: float, theta: float | None = None
) -> SequentialSize:
    """Units of a group-sequential design from those of the fixed one at the same level and power.

    n_max = n_fixed (drift / (c + z_power))^2: information is proportional to units. Jennison & Turnbull (2000).

    Args:
        fixed: By `sample_size` or another formula; its level and sides must be those of `bounds`.
        bounds: The planned design, all looks.
        power: That of `fixed`.
        theta: Drift of a futility design (`FutilityDesign.theta`).
    """
    found = characteristics(bounds, power, theta)
    maximum = found.inflation * fixed.total
    return SequentialSize(
        fixed.total,
        maximum,
        found.inflation,
        maximum * found.expected_fraction,
        maximum * expected_fraction(bounds, 0.0),
        sum(found.crossing.upper[:-1]),
        sum(found.crossing.stop[:-1]),
    )


def sample_size_anytime(
    difference: float,
    sd: float,
    level: Level,
    wanted: float,
    *,
    sd_control: float | None = None,
    allocation: float = 1.0,
    tuned_for: float | None = None,
) -> SampleSize:
    """Units at which a confidence sequence excludes 0 with a given probability.

    Solves difference / se(N) = m(N) + z_power, m the half width in standard errors: the power of the look at N alone.
    An approximation on the safe side, since the sequence may have excluded 0 at an earlier look.

    Args:
        difference: True effect.
        sd: Of a unit in the treatment, and in the control unless given.
        level: Of the sequence; `critical` has no meaning here.
        wanted: Power.
        sd_control: Of a unit in the control.
        allocation: Units of treatment per unit of control.
        tuned_for: Total units the sequence is tightest at; by default those found.
    """
    other = sd if sd_control is None else sd_control
    if not all(0 < v < math.inf for v in (sd, other, allocation)) or difference == 0 or not math.isfinite(difference):
        raise ValueError("standard deviations and allocation must be positive, the difference not 0")
    if level.sided == 1 and difference < 0:
        raise ValueError("the effect must lie above 0; turn the signs where lower is better")
    if level.critical is not None:
        raise ValueError("a confidence sequence has no fixed critical value")
    unit = math.hypot(sd / math.sqrt(allocation), other) * math.sqrt(1 + allocation)  # se = unit / sqrt(N)
    from_power = needed_noncentrality(level, wanted) - level.quantile()

    def excess(units: float) -> float:
        return abs(difference) / unit * math.sqrt(units) - _factor(units, tuned_for or units, level) - from_power

    n = rising_root(excess, 1.0)
    return SampleSize(n * allocation / (1 + allocation), n / (1 + allocation))


def _factor(units: float, tuned_for: float, level: Level) -> float:
    if level.sided == 2:
        return half_width(1.0, units, tuned_rho2(tuned_for, level.alpha), level.alpha)
    return one_sided_margin(1.0, units, tuned_rho2(tuned_for, 2 * level.alpha), level.alpha)
