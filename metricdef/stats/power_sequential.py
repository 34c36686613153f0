"""Power, minimal detectable effect and size of group-sequential designs.

Information is taken to grow with the units, so a design is its bounds on z at shares of the planned units (`Schedule`)
and everything is a function of the drift: the effect less its null, over the standard error with all units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

from metricdef.stats.group_sequential import Boundaries, characteristics, drift_for_power, expected_fraction
from metricdef.stats.power import SampleSize, distance, standard_error
from metricdef.stats.recursion import crossing


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


@dataclass(frozen=True, slots=True)
class SequentialPower:
    """Power of a design with several looks, at given units.

    Attributes:
        correct: Probability of rejecting in the direction of the effect, at any look.
        wrong: The same in the other direction; 0 for one side.
        by_look: `correct` by each look that brings information, cumulative.
        expected: Mean units at the stop, in all arms.
    """

    correct: float
    wrong: float
    by_look: tuple[float, ...]
    expected: float

    @property
    def total(self) -> float:
        """Probability of rejecting at all."""
        return self.correct + self.wrong


@dataclass(frozen=True, slots=True)
class Schedule:
    """Bounds on z at shares of the planned units.

    Attributes:
        shares: Rising; the last is 1.
        lower: -inf where there is no bound. Two-sided: rejects; one-sided: stops for futility.
        upper: Rejects.
        sided: 1 or 2.
    """

    shares: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    sided: int

    def power(self, drift: float, units: float) -> SequentialPower:
        """First-crossing probabilities of Z_j ~ N(drift sqrt(t_j), 1), Cov(Z_i, Z_j) = sqrt(t_i / t_j)."""
        found = crossing(self.shares, self.lower, self.upper, drift)
        by_look = tuple(min(p, 1.0) for p in accumulate(found.upper))
        saved = sum(p * (1 - share) for p, share in zip(found.stop, self.shares, strict=True))
        return SequentialPower(by_look[-1], sum(found.lower) if self.sided == 2 else 0.0, by_look, units * (1 - saved))

    def drift(self, wanted: float) -> float:
        """The drift with a power, a root."""
        return drift_for_power(lambda drift: sum(crossing(self.shares, self.lower, self.upper, drift).upper), wanted)


def schedule(bounds: Boundaries, *, heeded: bool = True) -> Schedule:
    """The bounds of a design by share of its units, without looks that bring no information.

    Args:
        bounds: The design, all looks.
        heeded: Whether everyone stops at the futility bounds; binding ones must be.
    """
    lower = bounds.lower
    if not heeded and bounds.sided == 1:
        if bounds.binding and any(map(math.isfinite, lower)):
            raise ValueError("the level of a design with binding futility holds only if everyone stops there")
        lower = (-math.inf,) * len(lower)
    looks = bounds.looks
    rows = [
        (information / looks.information[-1], low, up)
        for information, low, up, grown in zip(looks.information, lower, bounds.upper, looks.grown, strict=True)
        if grown
    ]
    shares, lower, upper = zip(*rows, strict=True)
    return Schedule(shares, lower, upper, bounds.sided)


def power_group_sequential(
    difference: float,
    sd: float,
    n_treatment: float,
    n_control: float,
    bounds: Boundaries,
    *,
    sd_control: float | None = None,
    null: float = 0.0,
    heeded: bool = True,
) -> SequentialPower:
    """Probability of crossing the bounds with the units given, under (difference - null) / se at the last look.

    Exact for normal estimates with independent increments. Armitage, McPherson & Rowe (1969); Jennison & Turnbull
    (2000), chapter 19.

    Args:
        difference: True effect, treatment - control.
        sd: Of a unit in the treatment, and in the control unless `sd_control` is given.
        n_treatment: Units at the last look.
        n_control: Units at the last look.
        bounds: The design, all looks.
        sd_control: Of a unit in the control.
        null: Effect under the null (-margin for non-inferiority).
        heeded: Whether everyone stops at futility bounds; if not, non-binding ones cost no power.
    """
    se = standard_error(sd, n_treatment, n_control, sd_control)
    drift = distance(difference, null, bounds.sided) / se
    return schedule(bounds, heeded=heeded).power(drift, n_treatment + n_control)


def mde_group_sequential(
    sd: float,
    n_treatment: float,
    n_control: float,
    bounds: Boundaries,
    wanted: float,
    *,
    sd_control: float | None = None,
    heeded: bool = True,
) -> float:
    """Minimal detectable distance from the null: drift se, the drift a root of `power_group_sequential`.

    Assumptions and references as there.

    Args:
        sd: As in `power_group_sequential`, as are the others.
        n_treatment: Units at the last look.
        n_control: Units at the last look.
        bounds: The design, all looks.
        wanted: Power, of rejecting in the direction of the effect.
        sd_control: Of a unit in the control.
        heeded: Whether everyone stops at futility bounds.
    """
    return schedule(bounds, heeded=heeded).drift(wanted) * standard_error(sd, n_treatment, n_control, sd_control)


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
