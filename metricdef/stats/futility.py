"""Futility bounds by beta spending, for one-sided group-sequential designs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from metricdef.stats.group_sequential import AlphaSpending, Boundaries, Rule, check_level
from metricdef.stats.looks import Looks, tidy
from metricdef.stats.recursion import begin, crossing, with_next


@dataclass(frozen=True, slots=True)
class FutilityDesign:
    """A one-sided design that also stops for futility.

    Attributes:
        bounds: Its bounds; the last lower bound is the last upper one.
        theta: The drift at which it misses with probability `beta`, per unit of sqrt(information).
        beta: 1 - power, with stopping for futility.
        beta_spent: Cumulative probability of stopping low under `theta`.
        binding: Whether alpha was computed as if everyone stops at the lower bounds.
    """

    bounds: Boundaries
    theta: float
    beta: float
    beta_spent: tuple[float, ...]
    binding: bool


@dataclass(frozen=True, slots=True)
class FutilityBounds:
    """Bounds on z by look; `missed` is P_theta(reaching the last look, below its upper bound)."""

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    missed: float


def futility_design(
    rule: Rule,
    beta_spending: AlphaSpending,
    information: Sequence[float],
    alpha: float,
    beta: float,
    *,
    binding: bool,
    fractions: Sequence[float] | None = None,
) -> FutilityDesign:
    """Bounds whose lower ones spend beta under the drift at which they meet the upper ones at the last look.

    P_theta(first crossing low at j) = g(t_j) - g(t_{j-1}), theta a root. Non-binding: the upper bounds are those
    without futility, so alpha holds when a team goes on below a lower bound. Binding: lower upper bounds, alpha holds
    only if everyone stops. Pampallona, Tsiatis & Kim (2001).

    Args:
        rule: Of the upper bounds; binding needs a spending function.
        beta_spending: How beta is spent.
        information: Of all looks.
        alpha: One-sided level.
        beta: 1 - power.
        binding: See above.
        fractions: By which both are spent; see `tidy`.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri

    check_level(alpha, 1)
    if not 0 < beta < 1 - alpha:
        raise ValueError(f"beta must lie between 0 and 1 - alpha: {beta}")
    looks = tidy(information, fractions)
    if looks.fractions[-1] < 1:
        raise ValueError("a futility design needs all looks; the last fraction must be 1")
    last = sum(math.exp(log) for log in beta_spending.log_increments(looks, beta)[-1:])
    scale = math.sqrt(looks.information[-1])

    def excess(drift: float) -> float:
        found = futility_bounds(rule, beta_spending, looks, alpha, beta, drift / scale, binding=binding)
        return found.missed - last

    fixed = -float(ndtri(beta)) - float(ndtri(alpha))
    high = fixed
    while excess(high) > 0:
        high += fixed
        if high > 100:
            raise ValueError("no drift has this power")
    drift = float(brentq(excess, 0.0, high, xtol=1e-11))
    found = futility_bounds(rule, beta_spending, looks, alpha, beta, drift / scale, binding=binding)
    upper = found.upper
    lower = (*found.lower[:-1], upper[-1])
    spent = crossing(looks.information, lower if binding else [-math.inf] * len(looks), upper, 0.0).upper
    bounds = Boundaries(looks, lower, upper, alpha, 1, tuple(accumulate(spent)), rule, binding)
    beta_spent = tuple(accumulate(bounds.crossing(drift / scale).lower))
    if not math.isfinite(upper[-1]) or abs(beta_spent[-1] - beta) > 1e-6 * beta:
        # The root is a jump, where bounds that would cross earlier are cut off.
        raise ValueError("there are no bounds that meet at the last look: they meet before it, or it spends nothing")
    return FutilityDesign(bounds, drift / scale, beta, beta_spent, binding)


def futility_bounds(
    rule: Rule, beta_spending: AlphaSpending, looks: Looks, alpha: float, beta: float, theta: float, *, binding: bool
) -> FutilityBounds:
    """Lower and upper bounds under a drift fixed in advance. Pampallona, Tsiatis & Kim (2001).

    With realised information and the planned `theta` these are the bounds of a running experiment; a final look
    rejects or not by its upper bound alone. Where the two meet before the last look, the bound decides there.
    """
    if binding and not isinstance(rule, AlphaSpending):
        raise ValueError("binding futility needs upper bounds by a spending function")
    ups = rule.log_increments(looks, alpha) if isinstance(rule, AlphaSpending) else ()
    fixed = () if binding else rule.bounds(looks, alpha, False)
    downs = beta_spending.log_increments(looks, beta)
    null, drifted = begin(0.0), begin(theta)
    lower, upper = [-math.inf] * len(looks), [math.inf] * len(looks)
    active = [j for j, grown in enumerate(looks.grown) if grown]
    missed = 0.0
    for j, following in with_next(active):
        now = looks.information[j]
        upper[j] = null.bound(now, ups[j], 1) if binding else fixed[j]
        lower[j] = min(drifted.bound(now, downs[j], -1), upper[j])
        missed = drifted.tail(now, upper[j], -1)
        if following is None:
            break
        if not lower[j] < upper[j]:
            missed = 0.0  # nobody goes on
            break
        after = looks.information[following]
        drifted = drifted.advance(now, lower[j], upper[j], after)
        null = null.advance(now, lower[j], upper[j], after) if binding else null
    return FutilityBounds(tuple(lower), tuple(upper), missed)
