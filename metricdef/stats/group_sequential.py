"""Group-sequential bounds at planned or realised looks, one- and two-sided, and what such a design costs and gives.

Z_j ~ N(theta sqrt(I_j), 1) with Cov(Z_i, Z_j) = sqrt(I_i / I_j): true for any efficient estimator whose units are
complete when they enter a look. Units that go on accruing outcome between looks break it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from metricdef.stats.looks import Looks, tidy
from metricdef.stats.recursion import Crossing, begin, crossing, with_next
from metricdef.stats.spending import SpendingFunction, log_difference

_LOWEST = -690.0  # log of the smallest level worth telling from 0


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Bounds on z at each look. Two-sided: `lower` = -`upper`; one-sided: -inf, or the futility bounds.

    Attributes:
        looks: The looks, tidied.
        lower: -inf where there is no bound.
        upper: Reject at z >= upper; inf where the look spends nothing.
        alpha: Total level, both sides together.
        sided: 1 or 2.
        spent: Cumulative total level spent by each look; with non-binding futility as if nobody stopped for it.
        rule: What the bounds were made from.
        binding: Whether everyone stops at the lower bounds. If not, what is inferred must hold for those who go on.
    """

    looks: Looks
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    alpha: float
    sided: int
    spent: tuple[float, ...]
    rule: Rule
    binding: bool = True

    @property
    def level(self) -> float:
        """The level of one side."""
        return self.alpha / self.sided

    @property
    def nominal(self) -> tuple[float, ...]:
        """One-sided nominal level of each look, 1 - Phi(upper)."""
        from scipy.special import ndtr

        return tuple(float(ndtr(-bound)) for bound in self.upper)

    def rejects(self, look: int, z: float) -> bool:
        """Whether z rejects at a look (from 0); two-sided: in either direction."""
        if math.isnan(z):
            raise ValueError("z is not a number")
        return (abs(z) if self.sided == 2 else z) >= self.upper[look]

    def crossing(self, theta: float) -> Crossing:
        """First-crossing probabilities under a drift, per unit of sqrt(information)."""
        return crossing(self.looks.information, self.lower, self.upper, theta)


class Rule(Protocol):
    """A family of bounds, one member for every level of a side."""

    def bounds(self, looks: Looks, level: float, symmetric: bool) -> tuple[float, ...]:
        """Upper bounds at which each side spends `level`; `symmetric`: the mirrored lower bounds stop too."""
        ...

    def smallest_level(self, looks: Looks, look: int, z: float, symmetric: bool) -> float:
        """The smallest level of a side whose member rejects z at a look (from 0); 1.0 where none does."""
        ...


@dataclass(frozen=True, slots=True)
class AlphaSpending:
    """Bounds that spend by a function: P(first crossing up at j) = f(t_j) - f(t_{j-1}). Lan & DeMets (1983).

    Correlations come from the looks' information, spending from their fractions. Bounds of past looks never change
    when later ones are added.
    """

    spending: SpendingFunction

    def log_increments(self, looks: Looks, level: float) -> tuple[float, ...]:
        """Log of what each look spends; a look without new information leaves its share to the next."""
        so_far, found = -math.inf, []
        for fraction, grown in zip(looks.fractions, looks.grown, strict=True):
            now = self.spending.log_spent(fraction, level) if grown else so_far
            found.append(log_difference(now, so_far))
            so_far = max(so_far, now)
        return tuple(found)

    def bounds(self, looks: Looks, level: float, symmetric: bool) -> tuple[float, ...]:
        """Upper bounds by the recursion."""
        state, found = begin(0.0), [math.inf] * len(looks)
        logs = self.log_increments(looks, level)
        for j, following in with_next([j for j, log in enumerate(logs) if log > -math.inf]):
            found[j] = upper = state.bound(looks.information[j], logs[j], 1)
            if following is not None:
                lower = -upper if symmetric else -math.inf
                state = state.advance(looks.information[j], lower, upper, looks.information[following])
        return tuple(found)

    def smallest_level(self, looks: Looks, look: int, z: float, symmetric: bool) -> float:
        """A root in the log of the level, between two closed forms.

        With c_j = z, z is crossed at j only by paths that have crossed by then, so P(Z_j >= z) <= f(t_j) <= level; and
        what j spends is at most P(Z_j >= z).
        """
        from scipy.optimize import brentq
        from scipy.special import log_ndtr

        if not looks.grown[look]:
            return 1.0
        until, nominal = looks.until(look + 1), float(log_ndtr(-z))
        top = math.log(0.5 if symmetric else 0.999)

        def gap(log_level: float) -> float:
            bound = self.bounds(until, math.exp(log_level), symmetric)[look]
            return max(-60.0, min(60.0, bound - z))

        low = max(_LOWEST, nominal)

        def spent_less(log_level: float) -> float:
            # -inf becomes a number, below `nominal` whatever that is: beyond z = 37 it is less than `_LOWEST`.
            return max(2 * nominal - 1.0, self.log_increments(until, math.exp(log_level))[look]) - nominal

        if low >= top:
            return 1.0
        high = top
        if spent_less(top) > 0:
            # At `low` itself where the look spends the whole level: rounding must not cost the change of sign.
            high = low if spent_less(low) >= 0 else float(brentq(spent_less, low, top, xtol=1e-9))
            high += 1e-6
        if gap(min(high, top)) > 0:
            return 1.0
        return math.exp(float(brentq(gap, low, min(high, top), xtol=1e-10))) if gap(low) > 0 else math.exp(low)


def boundaries(
    rule: Rule,
    information: Sequence[float],
    alpha: float,
    sided: int,
    fractions: Sequence[float] | None = None,
) -> Boundaries:
    """Bounds of a design, planned or as it went.

    c_j such that P_0(Z_j >= c_j first at j) is what the rule gives look j, by recursion over the joint law of the
    looks. Two-sided: alpha / 2 to each side, symmetric bounds, both stop; |z| is compared with `upper`.
    Armitage, McPherson & Rowe (1969); Lan & DeMets (1983); Jennison & Turnbull (2000).

    Args:
        rule: `AlphaSpending`, `PowerShape` or `HaybittlePeto`.
        information: Per look, 1 / se^2 of the reported estimate (or planned, in any unit).
        alpha: Total level.
        sided: 1 or 2.
        fractions: Planned fractions by which alpha is spent; see `tidy`.
    """
    check_level(alpha, sided)
    looks = tidy(information, fractions)
    symmetric = sided == 2
    upper = rule.bounds(looks, alpha / sided, symmetric)
    lower = tuple(-bound if symmetric else -math.inf for bound in upper)
    per_look = crossing(looks.information, lower, upper, 0.0).upper
    return Boundaries(looks, lower, upper, alpha, sided, tuple(sided * p for p in accumulate(per_look)), rule)


def check_level(alpha: float, sided: int) -> None:
    """Refuse a number of sides other than 1 or 2 and a level of a side outside (0, 0.5)."""
    if sided not in (1, 2):
        raise ValueError(f"a test has 1 or 2 sides, not {sided}")
    if not 0 < alpha / sided < 0.5:
        raise ValueError(f"the level of a side must lie strictly between 0 and 0.5: {alpha / sided}")


def drift_for_power(reached: Callable[[float], float], power: float) -> float:
    """The drift, theta sqrt(I_J), at which a rising function of it reaches a power: a root.

    Args:
        reached: Probability of crossing an upper bound under a drift; at 0 the level of the side.
        power: Wanted.
    """
    from scipy.optimize import brentq

    if not reached(0.0) < power < 1:
        raise ValueError(f"the power must lie between the level and 1: {power}")
    high = 4.0
    while reached(high) < power:
        high *= 2
        if high > 200:
            raise ValueError("no drift gives this power: the design stops for futility too often")
    return float(brentq(lambda drift: reached(drift) - power, 0.0, high, xtol=1e-12))


def theta_for_power(bounds: Boundaries, power: float) -> float:
    """The drift under which the upper bounds are crossed with probability `power`, per unit of sqrt(information).

    The theta with sum_j P_theta(first crossing up at j) = power; crossing a lower bound counts as a stop, never as
    power. Jennison & Turnbull (2000).
    """
    scale = math.sqrt(bounds.looks.information[-1])
    return drift_for_power(lambda drift: sum(bounds.crossing(drift / scale).upper), power) / scale


@dataclass(frozen=True, slots=True)
class Characteristics:
    """What a design costs at a power.

    Attributes:
        drift: theta sqrt(I_J) at which the power is reached.
        inflation: Maximum information over that of the fixed design, (drift / (z_{1-a} + z_power))^2.
        crossing: First-crossing probabilities under `drift`.
        expected_fraction: Expected information at the stop under `drift`, over the maximum.
    """

    power: float
    drift: float
    inflation: float
    crossing: Crossing
    expected_fraction: float


def characteristics(bounds: Boundaries, power: float, theta: float | None = None) -> Characteristics:
    """Drift, inflation (drift / (z_{1-a} + z_power))^2 and expected information of a design.

    Jennison & Turnbull (2000).

    Args:
        bounds: The design, all looks.
        power: Wanted power.
        theta: Its drift, where it is known already (futility designs).
    """
    from scipy.special import ndtri

    found = theta_for_power(bounds, power) if theta is None else theta
    drift = found * math.sqrt(bounds.looks.information[-1])
    inflation = (drift / (float(ndtri(power)) - float(ndtri(bounds.level)))) ** 2
    return Characteristics(power, drift, inflation, bounds.crossing(found), expected_fraction(bounds, found))


def expected_fraction(bounds: Boundaries, theta: float) -> float:
    """Expected information at the stop over the maximum: sum t_j P(stop at j), the rest at the last look.

    Jennison & Turnbull (2000).
    """
    last = bounds.looks.information[-1]
    early = bounds.crossing(theta).stop[:-1]
    shares = [value / last for value in bounds.looks.information[:-1]]
    return 1.0 - sum(p * (1 - share) for p, share in zip(early, shares, strict=True))
