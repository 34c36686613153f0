"""A confidence sequence while the experiment runs, a fixed or group-sequential test at the planned looks.

The error is split: anytime_alpha to the sequence, final_alpha to the planned test. By Bonferroni the whole procedure
errs with at most the sum, at whatever look it stops and for any dependence between the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from metricdef.stats.anytime import confidence_sequence, half_width, one_sided_margin, one_sided_sequence, tuned_rho2
from metricdef.stats.group_sequential import Boundaries
from metricdef.stats.repeated import repeated_p
from metricdef.stats.tails import t_quantile, t_tail, z_quantile, z_tail

Direction = Literal["two-sided", "greater", "less"]
_SMALLEST = 1e-307


@dataclass(frozen=True, slots=True)
class HybridPlan:
    """What is fixed before the start.

    Attributes:
        anytime_alpha: Level of the confidence sequence.
        final_alpha: Level of the planned test, all its looks together.
        rho2: Of the sequence; see `hybrid_plan`.
        direction: What a rejection shows.
    """

    anytime_alpha: float
    final_alpha: float
    rho2: float
    direction: Direction = "two-sided"

    def __post_init__(self) -> None:
        """Refuse levels that are no error split."""
        if not (self.anytime_alpha > 0 and self.final_alpha > 0 and self.alpha < 0.5):
            raise ValueError(
                f"both levels must be positive, their sum below 0.5: {self.anytime_alpha} {self.final_alpha}"
            )
        if self.direction not in ("two-sided", "greater", "less"):
            raise ValueError(f"unknown direction {self.direction!r}")

    @property
    def alpha(self) -> float:
        """Level of the whole procedure."""
        return self.anytime_alpha + self.final_alpha

    @property
    def sided(self) -> int:
        """1 or 2."""
        return 2 if self.direction == "two-sided" else 1


def hybrid_plan(
    anytime_alpha: float, final_alpha: float, planned_units: float, direction: Direction = "two-sided"
) -> HybridPlan:
    """A plan whose sequence is tightest at `planned_units` total units, which are fixed in advance.

    rho^2 by `tuned_rho2` at anytime_alpha (2 anytime_alpha for one side). Waudby-Smith et al. (2024).

    Args:
        anytime_alpha: Level of the confidence sequence.
        final_alpha: Level of the planned test, all its looks together.
        planned_units: Total units at the planned end.
        direction: What a rejection shows.
    """
    tuned_at = anytime_alpha if direction == "two-sided" else 2 * anytime_alpha
    return HybridPlan(anytime_alpha, final_alpha, tuned_rho2(planned_units, tuned_at), direction)


def check_bounds(plan: HybridPlan, bounds: Boundaries) -> None:
    """ValueError unless the bounds of the planned looks are made at final_alpha with the plan's sides."""
    if bounds.sided != plan.sided or not math.isclose(bounds.alpha, plan.final_alpha, rel_tol=1e-9):
        raise ValueError("the bounds must have the plan's final_alpha and its number of sides")


@dataclass(frozen=True, slots=True)
class HybridLook:
    """One look.

    Attributes:
        rejected: At this look: exactly when the interval excludes the null, and when look_p <= alpha.
        by: The part that rejects here; the planned test first, None where neither does.
        look_p: Of this look, for the whole level: min over the parts of p alpha / alpha_part, at most 1.
        p_value: The smallest so far; at most alpha exactly when some look so far has rejected.
        lower: Limit below, None for "less". Covers with the other looks' at 1 - alpha.
        upper: Limit above, None for "greater".
        alpha: Level of the whole procedure.
        planned: Whether the planned test was made at this look.
    """

    rejected: bool
    by: Literal["planned", "anytime"] | None
    look_p: float
    p_value: float
    lower: float | None
    upper: float | None
    alpha: float
    planned: bool


def normal_score(statistic: float, df: float | None) -> float:
    """z with the same tail probability as a t statistic: Phi(-|z|) = P(T < -|t|), sign kept; bounded at about 37.5.

    The scale on which group-sequential bounds apply to Welch's test. None: `statistic` is a z already.
    """
    from scipy.special import ndtri

    if df is None:
        return statistic
    tail = max(t_tail(abs(statistic), df), _SMALLEST)
    return math.copysign(-float(ndtri(tail)), statistic)


def hybrid_look(
    plan: HybridPlan,
    estimate: float,
    std_error: float,
    units: float,
    *,
    df: float | None = None,
    final: bool = False,
    bounds: Boundaries | None = None,
    look: int | None = None,
    previous_p: float = 1.0,
    null: float = 0.0,
) -> HybridLook:
    """Decision, p and interval at a look.

    Between the planned looks only the confidence sequence speaks. At the planned end of a fixed design (`final`), or
    at a planned look of a group-sequential one (`bounds`, `look`), the interval is the narrower of the sequence's at
    anytime_alpha and the planned test's at final_alpha: both have the same centre, so it is their intersection.
    P(any look rejects) <= anytime_alpha + final_alpha by Bonferroni's inequality, the first as in
    `confidence_sequence` and the second as in `boundaries`. Dunn (1961); Waudby-Smith et al. (2024).

    Args:
        plan: Fixed in advance.
        estimate: Now.
        std_error: Now.
        units: Total units now, in both arms.
        df: Of Welch's test; None for a normal statistic.
        final: The planned end of a fixed design is reached.
        bounds: Of the planned looks so far, made at final_alpha with the plan's sides.
        look: The planned look this is, from 0.
        previous_p: `p_value` of the look before.
        null: Value tested.
    """
    if (bounds is None) != (look is None) or (final and bounds is not None):
        raise ValueError("give `bounds` with `look` for a group-sequential plan, or `final` for a fixed one")
    if not 0 <= previous_p <= 1:
        raise ValueError(f"a p-value lies between 0 and 1: {previous_p}")
    half, anytime_p = _anytime(plan, estimate, std_error, units, null)
    by: Literal["planned", "anytime"] | None = "anytime" if anytime_p <= plan.anytime_alpha else None
    look_p = anytime_p * (plan.alpha / plan.anytime_alpha)
    if final or bounds is not None:
        planned_half, planned_p = _planned(plan, (estimate - null) / std_error, df, bounds, look)
        half = min(half, planned_half * std_error)
        by = "planned" if planned_p <= plan.final_alpha else by
        look_p = min(look_p, planned_p * (plan.alpha / plan.final_alpha))
    rejected = by is not None
    # The factors round; the decision is what the parts say.
    look_p = min(look_p, plan.alpha) if rejected else min(1.0, max(look_p, math.nextafter(plan.alpha, 1.0)))
    lower = None if plan.direction == "less" else estimate - half
    upper = None if plan.direction == "greater" else estimate + half
    planned = final or bounds is not None
    return HybridLook(rejected, by, look_p, min(look_p, previous_p), lower, upper, plan.alpha, planned)


def _anytime(plan: HybridPlan, estimate: float, std_error: float, units: float, null: float) -> tuple[float, float]:
    """Half width and p of the confidence sequence."""
    level = plan.anytime_alpha
    if plan.direction == "two-sided":
        found = confidence_sequence(estimate, std_error, units, plan.rho2, level, null)
        return half_width(std_error, units, plan.rho2, level), found.p_value
    greater = plan.direction == "greater"
    found = one_sided_sequence(estimate, std_error, units, plan.rho2, level, greater=greater, null=null)
    return one_sided_margin(std_error, units, plan.rho2, level), found.p_value


def _planned(
    plan: HybridPlan, statistic: float, df: float | None, bounds: Boundaries | None, look: int | None
) -> tuple[float, float]:
    """Half width in standard errors and p of the planned test."""
    signed = -statistic if plan.direction == "less" else statistic
    if bounds is not None and look is not None:
        check_bounds(plan, bounds)
        return _as_t(bounds.upper[look], df), repeated_p(bounds, look, normal_score(signed, df))
    two_sided = plan.sided == 2
    level = plan.final_alpha if two_sided else 2 * plan.final_alpha
    quantile = z_quantile(level) if df is None else t_quantile(level, df)
    compared = abs(signed) if two_sided else signed
    tail = z_tail(compared) if df is None else t_tail(compared, df)
    p_value = min(1.0, plan.sided * tail)
    agreeing = (
        min(p_value, plan.final_alpha) if compared > quantile else max(p_value, math.nextafter(plan.final_alpha, 1))
    )
    return quantile, agreeing


def _as_t(bound: float, df: float | None) -> float:
    """A bound on z as a bound on t with the same tail; `normal_score` the other way round."""
    if df is None or not math.isfinite(bound):
        return bound
    tail = z_tail(bound)
    return t_quantile(2 * tail, df) if tail > _SMALLEST else math.inf
