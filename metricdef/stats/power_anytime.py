"""Power, minimal detectable effect and size where a confidence sequence runs: alone, or in the hybrid.

At looks fixed in advance the sequence is a group-sequential test with the bounds m(N_j), its half width in standard
errors, so its power is a recursion over them. By default only the last look (in the hybrid, the planned ones) counts:
more looks reject more often, so that power is a lower bound and that size an upper one, apart from the chance to stop
in the wrong direction first (below half the level, and negligible at the powers one plans for).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from metricdef.stats.anytime import half_width, one_sided_margin, tuned_rho2
from metricdef.stats.group_sequential import Boundaries
from metricdef.stats.hybrid import Direction, HybridPlan, check_bounds, hybrid_plan
from metricdef.stats.looks import MIN_GROWTH
from metricdef.stats.power import Level, SampleSize, distance, rising_root, standard_error
from metricdef.stats.power_sequential import Schedule, SequentialPower, schedule
from metricdef.stats.tails import z_quantile


def power_anytime(
    difference: float,
    sd: float,
    n_treatment: float,
    n_control: float,
    level: Level,
    *,
    sd_control: float | None = None,
    null: float = 0.0,
    tuned_for: float | None = None,
    looks: Sequence[float] = (1.0,),
) -> SequentialPower:
    """Probability that a confidence sequence has excluded the null by the units given.

    With the last look alone Phi((difference - null) / se - m(N)), a lower bound; with more looks the recursion. m is
    that of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), `half_width` or `one_sided_margin`.

    Args:
        difference: True effect, treatment - control.
        sd: Of a unit in the treatment, and in the control unless `sd_control` is given.
        n_treatment: Units at the end.
        n_control: Units at the end.
        level: Of the sequence; `critical` has no meaning here.
        sd_control: Of a unit in the control.
        null: Effect under the null (-margin for non-inferiority).
        tuned_for: Total units the sequence is tightest at; by default those given.
        looks: Shares of the units at which one looks; the last is 1.
    """
    units = n_treatment + n_control
    drift = distance(difference, null, level.sided) / standard_error(sd, n_treatment, n_control, sd_control)
    return _sequence(level, tuned_for, units, looks).power(drift, units)


def mde_anytime(
    sd: float,
    n_treatment: float,
    n_control: float,
    level: Level,
    wanted: float,
    *,
    sd_control: float | None = None,
    tuned_for: float | None = None,
    looks: Sequence[float] = (1.0,),
) -> float:
    """Minimal detectable distance from the null: (m(N) + z_power) se with the last look alone, an upper bound.

    Assumptions and reference as in `power_anytime`.

    Args:
        sd: As in `power_anytime`, as are the others.
        n_treatment: Units at the end.
        n_control: Units at the end.
        level: Of the sequence.
        wanted: Power.
        sd_control: Of a unit in the control.
        tuned_for: Total units the sequence is tightest at.
        looks: Shares of the units.
    """
    se = standard_error(sd, n_treatment, n_control, sd_control)
    return _sequence(level, tuned_for, n_treatment + n_control, looks).drift(wanted) * se


def sample_size_anytime(
    difference: float,
    sd: float,
    level: Level,
    wanted: float,
    *,
    sd_control: float | None = None,
    allocation: float = 1.0,
    null: float = 0.0,
    arms: int = 1,
    tuned_for: float | None = None,
    looks: Sequence[float] = (1.0,),
) -> SampleSize:
    """Units by which a confidence sequence excludes the null with a given probability.

    With the last look alone the root of (difference - null) / se(N) = m(N) + z_power: on the safe side. Assumptions
    and reference as in `power_anytime`.

    Args:
        difference: True effect.
        sd: As in `power_anytime`, as are the others.
        level: Of the sequence.
        wanted: Power.
        sd_control: Of a unit in the control.
        allocation: Units of a treatment arm per unit of control.
        null: Effect under the null.
        arms: Treatment arms, each compared with the control.
        tuned_for: Units of two compared arms the sequence is tightest at; by default those found.
        looks: Shares of the units.
    """
    unit = _unit(sd, sd_control, allocation)
    gap = distance(difference, null, level.sided)
    if tuned_for is None:  # the bounds are those of any number of units
        return _split((unit * _sequence(level, None, 1.0, looks).drift(wanted) / gap) ** 2, allocation, arms)
    if not level.alpha / level.sided < wanted < 1:
        raise ValueError(f"the power must lie between the level and 1: {wanted}")

    def excess(units: float) -> float:
        return _sequence(level, tuned_for, units, looks).power(gap / unit * math.sqrt(units), units).correct - wanted

    return _split(rising_root(excess, 1.0), allocation, arms)


def power_hybrid(
    difference: float,
    sd: float,
    n_treatment: float,
    n_control: float,
    plan: HybridPlan,
    *,
    bounds: Boundaries | None = None,
    sd_control: float | None = None,
    null: float = 0.0,
    looks: Sequence[float] = (),
    heeded: bool = True,
) -> SequentialPower:
    """Probability that the hybrid has rejected by the planned end, where either of its parts rejects.

    Without `looks` only the planned ones count, a lower bound: of a fixed design the power of the test at the end at
    final_alpha. With them the recursion over all, whose bound is the smaller of the two parts'. Armitage, McPherson &
    Rowe (1969); Waudby-Smith et al. (2024).

    Args:
        difference: True effect, treatment - control; below the null for the direction "less".
        sd: Of a unit in the treatment, and in the control unless `sd_control` is given.
        n_treatment: Units at the planned end.
        n_control: Units at the planned end.
        plan: Fixed in advance.
        bounds: Of the planned looks, made at final_alpha; None for a fixed design.
        sd_control: Of a unit in the control.
        null: Effect under the null.
        looks: Shares of the units at which one looks besides.
        heeded: Whether everyone stops at futility bounds.
    """
    units = n_treatment + n_control
    drift = _directed(difference, null, plan) / standard_error(sd, n_treatment, n_control, sd_control)
    return _hybrid(plan, units, bounds, looks, heeded=heeded).power(drift, units)


def mde_hybrid(
    sd: float,
    n_treatment: float,
    n_control: float,
    plan: HybridPlan,
    wanted: float,
    *,
    bounds: Boundaries | None = None,
    sd_control: float | None = None,
    looks: Sequence[float] = (),
    heeded: bool = True,
) -> float:
    """Minimal detectable distance from the null, an upper bound without `looks`: drift se, a root of `power_hybrid`.

    Assumptions and references as in `power_hybrid`.

    Args:
        sd: As in `power_hybrid`, as are the others.
        n_treatment: Units at the planned end.
        n_control: Units at the planned end.
        plan: Fixed in advance.
        wanted: Power.
        bounds: Of the planned looks.
        sd_control: Of a unit in the control.
        looks: Shares of the units at which one looks besides.
        heeded: Whether everyone stops at futility bounds.
    """
    se = standard_error(sd, n_treatment, n_control, sd_control)
    return _hybrid(plan, n_treatment + n_control, bounds, looks, heeded=heeded).drift(wanted) * se


def sample_size_hybrid(
    difference: float,
    sd: float,
    anytime_alpha: float,
    final_alpha: float,
    wanted: float,
    *,
    direction: Direction = "two-sided",
    bounds: Boundaries | None = None,
    sd_control: float | None = None,
    allocation: float = 1.0,
    null: float = 0.0,
    arms: int = 1,
    looks: Sequence[float] = (),
    heeded: bool = True,
) -> SampleSize:
    """Units at the planned end with which the hybrid rejects with a given probability, its sequence tuned for them.

    N = (u drift / (difference - null))^2, u = sqrt(N) se and the drift a root of `power_hybrid`. Make the plan by
    `hybrid_plan` at treatment + control units. Assumptions and references as in `power_hybrid`.

    Args:
        difference: True effect.
        sd: As in `power_hybrid`, as are the others.
        anytime_alpha: Level of the confidence sequence.
        final_alpha: Level of the planned test.
        wanted: Power.
        direction: What a rejection shows.
        bounds: Of the planned looks.
        sd_control: Of a unit in the control.
        allocation: Units of a treatment arm per unit of control.
        null: Effect under the null.
        arms: Treatment arms, each compared with the control.
        looks: Shares of the units at which one looks besides.
        heeded: Whether everyone stops at futility bounds.
    """
    plan = hybrid_plan(anytime_alpha, final_alpha, 1.0, direction)  # its bounds are those of any number of units
    drift = _hybrid(plan, 1.0, bounds, looks, heeded=heeded).drift(wanted)
    gap = _directed(difference, null, plan)
    return _split((_unit(sd, sd_control, allocation) * drift / gap) ** 2, allocation, arms)


def _unit(sd: float, sd_control: float | None, allocation: float) -> float:
    """sqrt(N) se, which N total units leave the same."""
    if not 0 < allocation < math.inf:
        raise ValueError(f"the allocation must be positive and finite: {allocation}")
    return standard_error(sd, allocation, 1.0, sd_control) * math.sqrt(1 + allocation)


def _split(units: float, allocation: float, arms: int) -> SampleSize:
    """The units of two compared arms, each by its share."""
    return SampleSize(units * allocation / (1 + allocation), units / (1 + allocation), arms)


def _directed(difference: float, null: float, plan: HybridPlan) -> float:
    sign = -1 if plan.direction == "less" else 1
    return distance(sign * difference, sign * null, plan.sided)


def _margin(units: float, rho2: float, alpha: float, sided: int) -> float:
    """The bound on z of a confidence sequence."""
    return (half_width if sided == 2 else one_sided_margin)(1.0, units, rho2, alpha)


def _sequence(level: Level, tuned_for: float | None, units: float, looks: Sequence[float]) -> Schedule:
    if level.critical is not None:
        raise ValueError("a confidence sequence has no fixed critical value")
    rho2 = tuned_rho2(units if tuned_for is None else tuned_for, level.alpha if level.sided == 2 else 2 * level.alpha)
    shares = _distinct(looks)
    if not shares or shares[-1] != 1:
        raise ValueError(f"the last look has all the units, a share of 1: {list(looks)}")
    upper = tuple(_margin(share * units, rho2, level.alpha, level.sided) for share in shares)
    return Schedule(shares, _mirrored(upper, level.sided), upper, level.sided)


def _hybrid(
    plan: HybridPlan, units: float, bounds: Boundaries | None, looks: Sequence[float], *, heeded: bool
) -> Schedule:
    if bounds is None:
        c = z_quantile(plan.final_alpha * 2 / plan.sided)
        planned = Schedule((1.0,), _mirrored((c,), plan.sided), (c,), plan.sided)
    else:
        check_bounds(plan, bounds)
        planned = schedule(bounds, heeded=heeded)
    at = {share: (low, up) for share, low, up in zip(planned.shares, planned.lower, planned.upper, strict=True)}
    for share in _distinct(looks):
        if all(abs(share / other - 1) >= MIN_GROWTH for other in planned.shares):
            at[share] = (-math.inf, math.inf)
    shares = tuple(sorted(at))
    upper = tuple(min(at[t][1], _margin(t * units, plan.rho2, plan.anytime_alpha, plan.sided)) for t in shares)
    lower = tuple(min(at[t][0], up) for t, up in zip(shares, upper, strict=True))
    return Schedule(shares, _mirrored(upper, 2) if plan.sided == 2 else lower, upper, plan.sided)


def _distinct(looks: Sequence[float]) -> tuple[float, ...]:
    """Shares with looks that bring next to nothing left out."""
    if not all(0 < share <= 1 for share in looks) or list(looks) != sorted(looks):
        raise ValueError(f"looks are rising shares of the planned units, above 0 and at most 1: {list(looks)}")
    kept: list[float] = []
    for share in reversed(looks):
        if not kept or share * (1 + MIN_GROWTH) <= kept[-1]:
            kept.append(share)
    return tuple(reversed(kept))


def _mirrored(upper: tuple[float, ...], sided: int) -> tuple[float, ...]:
    return tuple(-bound if sided == 2 else -math.inf for bound in upper)
