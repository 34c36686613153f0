"""How much of an error level may be used up by each look: spending functions, on the log scale.

The log scale keeps the spends of very early looks (1e-23 and far less), which would round to 0 and lose their bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Literal, Protocol

SpendingName = Literal["obrien_fleming", "pocock", "kim_demets", "hwang_shih_decani"]


class SpendingFunction(Protocol):
    """Any f with f(0) = 0, f(t) = the level from t = 1 on, never falling."""

    def log_spent(self, fraction: float, level: float) -> float:
        """Natural log of the level spent by a fraction of the plan."""
        ...


def _obrien_fleming(fraction: float, level: float, _: float) -> float:
    from scipy.special import log_ndtr, ndtri

    return math.log(2) + float(log_ndtr(float(ndtri(level / 2)) / math.sqrt(fraction)))


def _pocock(fraction: float, level: float, _: float) -> float:
    return math.log(level) + math.log(math.log1p((math.e - 1) * fraction))


def _kim_demets(fraction: float, level: float, gamma: float) -> float:
    return math.log(level) + gamma * math.log(fraction)


def _hwang_shih_decani(fraction: float, level: float, gamma: float) -> float:
    if gamma == 0:
        return math.log(level) + math.log(fraction)
    size = abs(gamma)
    share = math.log(-math.expm1(-size * fraction)) - math.log(-math.expm1(-size))
    # For a negative gamma both exponentials grow; taken out as a factor they can't overflow.
    return math.log(level) + share + (size * (fraction - 1) if gamma < 0 else 0.0)


_FUNCTIONS: Mapping[str, Callable[[float, float, float], float]] = MappingProxyType(
    {
        "obrien_fleming": _obrien_fleming,
        "pocock": _pocock,
        "kim_demets": _kim_demets,
        "hwang_shih_decani": _hwang_shih_decani,
    }
)
_WITH_GAMMA = ("kim_demets", "hwang_shih_decani")


@dataclass(frozen=True, slots=True)
class Spending:
    """A spending function f(t) of a level a, with f(0) = 0, f(1) = a, increasing.

    obrien_fleming: 2 (1 - Phi(z_{1-a/2} / sqrt t)). pocock: a ln(1 + (e - 1) t). kim_demets: a t^gamma, gamma > 0.
    hwang_shih_decani: a (1 - e^(-gamma t)) / (1 - e^(-gamma)), any gamma (0: a t). The first two are Lan and DeMets'
    approximations of the tests of those names. Lan & DeMets (1983); Kim & DeMets (1987); Hwang, Shih & DeCani (1990).

    Attributes:
        name: Which function.
        gamma: Its parameter; required by the last two, refused by the others.
    """

    name: SpendingName
    gamma: float | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown name and a parameter that is missing, idle or out of range."""
        if self.name not in _FUNCTIONS:
            raise ValueError(f"unknown spending function {self.name!r}; known: {', '.join(_FUNCTIONS)}")
        if (self.gamma is None) == (self.name in _WITH_GAMMA):
            raise ValueError(f"{self.name} {'needs' if self.gamma is None else 'has no'} gamma")
        if self.gamma is not None and not math.isfinite(self.gamma):
            raise ValueError(f"gamma must be finite: {self.gamma}")
        if self.name == "kim_demets" and not (self.gamma or 0.0) > 0:
            raise ValueError(f"gamma of kim_demets must be positive: {self.gamma}")

    def log_spent(self, fraction: float, level: float) -> float:
        """Natural log of the level spent by a fraction of the plan: -inf at 0, ln(level) from 1 on.

        Args:
            fraction: Of the planned information or time; above 1 it counts as 1.
            level: The level a to be spent in the end, of one side.
        """
        if not 0 < level <= 1:
            raise ValueError(f"the level must lie between 0 and 1: {level}")
        if not fraction >= 0:
            raise ValueError(f"the fraction must not be negative: {fraction}")
        if fraction == 0:
            return -math.inf
        if fraction >= 1:
            return math.log(level)
        return min(_FUNCTIONS[self.name](fraction, level, self.gamma or 0.0), math.log(level))

    def spent(self, fraction: float, level: float) -> float:
        """The level spent by a fraction of the plan; 0.0 where it is below the smallest double."""
        return math.exp(self.log_spent(fraction, level))


@dataclass(frozen=True, slots=True)
class TableSpending:
    """Spending given point by point: the share of the level spent by each fraction, linear between the points.

    Attributes:
        fractions: Rising, above 0; the last is 1.
        shares: Of the level, never falling; the last is 1.
    """

    fractions: tuple[float, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse points that are no spending function."""
        rising = all(a < b for a, b in pairwise((0.0, *self.fractions)))
        falling = any(a > b for a, b in pairwise((0.0, *self.shares)))
        if len(self.fractions) != len(self.shares) or not rising or falling:
            raise ValueError(f"fractions must rise and shares not fall: {self.fractions}, {self.shares}")
        if not self.fractions or self.fractions[-1] != 1 or self.shares[-1] != 1:
            raise ValueError("the whole level is spent at fraction 1")

    def log_spent(self, fraction: float, level: float) -> float:
        """See `SpendingFunction`."""
        if not 0 < level <= 1 or not fraction >= 0:
            raise ValueError(f"the level must lie in (0, 1], the fraction not be negative: {level}, {fraction}")
        points = zip((0.0, *self.fractions), (0.0, *self.shares), strict=True)
        for (t0, s0), (t1, s1) in pairwise(points):
            if fraction <= t1:
                share = s0 + (s1 - s0) * (fraction - t0) / (t1 - t0)
                return math.log(level) + math.log(share) if share > 0 else -math.inf
        return math.log(level)


def log_difference(high: float, low: float) -> float:
    """ln(e^high - e^low); -inf when nothing is left."""
    return high + math.log(-math.expm1(low - high)) if high > low else -math.inf
