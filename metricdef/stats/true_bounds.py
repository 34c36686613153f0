"""Group-sequential bounds given by their shape, not by spending: O'Brien-Fleming, Pocock, Wang-Tsiatis, Haybittle-Peto."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise

from metricdef.stats.looks import Looks, tidy
from metricdef.stats.recursion import begin, crossing
from metricdef.stats.tails import finite


@dataclass(frozen=True, slots=True)
class PowerShape:
    """Bounds c_j = C (I_j / I_J)^(delta - 1/2), one root for C. Needs the information of all looks.

    delta 0: O'Brien & Fleming (1979); 1/2: Pocock (1977); between: Wang & Tsiatis (1987).
    """

    delta: float

    def __post_init__(self) -> None:
        """Refuse an exponent that is no number."""
        finite(delta=self.delta)

    def _shape(self, looks: Looks) -> tuple[float, ...]:
        _finished(looks)
        last = looks.information[-1]
        pairs = zip(looks.information, looks.grown, strict=True)
        return tuple((i / last) ** (self.delta - 0.5) if grown else math.inf for i, grown in pairs)

    def bounds(self, looks: Looks, level: float, symmetric: bool) -> tuple[float, ...]:
        """Upper bounds with total crossing probability `level`."""
        from scipy.optimize import brentq
        from scipy.special import ndtri

        shape = self._shape(looks)

        def excess(c: float) -> float:
            total = _total(looks, [c * s for s in shape], symmetric)
            return (math.log(total) if total > 0 else -800.0) - math.log(level)

        # Bonferroni over the looks, at a bound that is c times at least the smallest of the shape.
        high = -float(ndtri(level / len(looks))) / min(shape)
        low = 0.0 if symmetric or level < 0.5 else -10.0 / min(shape)
        c = float(brentq(excess, low, high + 1e-9, xtol=1e-12))
        return tuple(c * s for s in shape)

    def cumulative(self, looks: Looks, level: float, symmetric: bool) -> tuple[float, ...]:
        """The level spent by each look."""
        return _cumulative(looks, self.bounds(looks, level, symmetric), symmetric)

    def smallest_level(self, looks: Looks, look: int, z: float, symmetric: bool) -> float:
        """The level of the member that passes through z: one recursion."""
        if not looks.grown[look] or z <= 0:
            return 1.0
        shape = self._shape(looks)
        return _total(looks, [z / shape[look] * s for s in shape], symmetric)


@dataclass(frozen=True, slots=True)
class HaybittlePeto:
    """One constant bound at every interim, the last bound solved for the level. Haybittle (1971); Peto et al. (1976)."""

    interim: float = 3.0

    def _interim(self, looks: Looks) -> tuple[float, ...]:
        _finished(looks)
        if not 0 < self.interim < math.inf:
            raise ValueError(f"the interim bound must be positive: {self.interim}")
        return tuple(self.interim if grown else math.inf for grown in looks.grown[:-1])

    def bounds(self, looks: Looks, level: float, symmetric: bool) -> tuple[float, ...]:
        """Constant bounds, then the root for the last."""
        interim = self._interim(looks)
        state = begin(0.0)
        spent = _total(looks, [*interim, math.inf], symmetric)
        if not spent < level:
            raise ValueError(f"interim bounds of {self.interim} spend {spent:.3g}, more than the level {level:.3g}")
        active = [j for j, grown in enumerate(looks.grown) if grown]
        for j, following in pairwise(active):
            lower = -self.interim if symmetric else -math.inf
            state = state.advance(looks.information[j], lower, self.interim, looks.information[following])
        return (*interim, state.bound(looks.information[-1], math.log(level - spent), 1))

    def cumulative(self, looks: Looks, level: float, symmetric: bool) -> tuple[float, ...]:
        """The level spent by each look; a level below the interim looks' own is spent by them."""
        spent = _cumulative(looks, [*self._interim(looks), math.inf], symmetric)
        return (*(min(level, s) for s in spent[:-1]), level)

    def smallest_level(self, looks: Looks, look: int, z: float, symmetric: bool) -> float:
        """At an interim no level below the interim looks' own exists; z beyond the constant has that one."""
        interim, last = self._interim(looks), len(looks) - 1
        if look < last:
            crossed = looks.grown[look] and z >= self.interim
            return _total(looks, [*interim, math.inf], symmetric) if crossed else 1.0
        return _total(looks, [*interim, z], symmetric and z > 0)


@dataclass(frozen=True, slots=True)
class PlannedSpending:
    """The spending of a design of true bounds, for looks whose information came out otherwise than planned.

    At a planned fraction it has spent what that design would have; between, what it had at the planned look before.
    With information as planned the bounds are the true ones.

    Attributes:
        rule: The true bounds.
        fractions: Planned information of the looks, the last 1.
        sided: 1 or 2.
    """

    rule: PowerShape | HaybittlePeto
    fractions: tuple[float, ...]
    sided: int

    def log_spent(self, fraction: float, level: float) -> float:
        """See `SpendingFunction`."""
        if not 0 < level <= 1 or not fraction >= 0:
            raise ValueError(f"the level must lie in (0, 1], the fraction not be negative: {level}, {fraction}")
        spent = _planned(self, level)
        so_far = sum(planned <= fraction * (1 + 1e-9) for planned in self.fractions)
        if fraction >= 1 or so_far == len(spent):
            return math.log(level)
        return math.log(spent[so_far - 1]) if so_far and spent[so_far - 1] > 0 else -math.inf


@lru_cache(maxsize=256)
def _planned(spending: PlannedSpending, level: float) -> tuple[float, ...]:
    return spending.rule.cumulative(tidy(spending.fractions), level, spending.sided == 2)


def _finished(looks: Looks) -> None:
    if looks.fractions[-1] < 1:
        raise ValueError("these bounds need the information of all looks; use a spending function while looks go on")


def _total(looks: Looks, upper: Sequence[float], symmetric: bool) -> float:
    """Probability under the null of crossing the upper bounds (first, where the mirrored ones stop as well)."""
    return min(1.0, _cumulative(looks, upper, symmetric)[-1])


def _cumulative(looks: Looks, upper: Sequence[float], symmetric: bool) -> tuple[float, ...]:
    lower = [-bound if symmetric else -math.inf for bound in upper]
    return tuple(accumulate(crossing(looks.information, lower, upper, 0.0).upper))
