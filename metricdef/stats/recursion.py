"""The joint law of the looks of a sequential test: sub-densities of the score, carried from look to look.

The score S_j = Z_j sqrt(I_j) has independent increments, S_j - S_{j-1} ~ N(theta (I_j - I_{j-1}), I_j - I_{j-1}). What
is carried is its density among the paths that have crossed no bound yet, as composite Gauss-Legendre quadrature whose
panels are as narrow as the smaller of the two neighbouring increments. Armitage, McPherson & Rowe (1969);
Jennison & Turnbull (2000), chapter 19.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from metricdef.stats.moments import Floats

_PANEL_NODES = 6  # bounds to 1e-11
_BODY = 9.0  # standard deviations kept where there is no bound: 1e-19 lies beyond
_BAND = 12.0  # the same of where a path can have been at the look before, given where it is
_FAR = 38.5  # standard deviations to a bound worth keeping: the tail beyond is no double
_TINY = -650.0  # logs of probabilities below this would underflow inside an integral
_LOG_ZERO = -800.0
_CHUNK = 128  # points at a time


@dataclass(frozen=True, slots=True)
class Crossing:
    """Probabilities of crossing first at each look; `upper` and `lower` bounds apart."""

    upper: tuple[float, ...]
    lower: tuple[float, ...]

    @property
    def stop(self) -> tuple[float, ...]:
        """Probability of stopping at each look, by either bound."""
        return tuple(u + v for u, v in zip(self.upper, self.lower, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Paths that go on after a look: quadrature nodes of the score with their probability masses."""

    theta: float
    information: float
    nodes: Floats
    mass: Floats

    def tail(self, information: float, bound: float, side: int) -> float:
        """P(gone on so far, then Z >= bound) at a later look; side -1: Z <= bound."""
        from scipy.special import ndtr

        if math.isinf(bound):
            return float(self.mass.sum()) if bound * side < 0 else 0.0
        growth = information - self.information
        centre = self.nodes + self.theta * growth
        return float(self.mass @ ndtr(side * (centre - bound * math.sqrt(information)) / math.sqrt(growth)))

    def bound(self, information: float, log_target: float, side: int) -> float:
        """The z whose `tail` is exp(log_target): closed at the first look, else a root on the log scale.

        Below e^-650 the closed form is used at every look: it ignores that some paths have stopped before, which
        makes the bound larger and so spends less than the target.
        """
        from scipy.optimize import brentq
        from scipy.special import ndtri_exp

        if log_target == -math.inf:
            return side * math.inf
        if self.information == 0 or log_target < _TINY:
            return self.theta * math.sqrt(information) - side * float(ndtri_exp(log_target))
        total = float(self.mass.sum())
        if total <= 0 or log_target >= math.log(total):
            return -side * math.inf  # no path is left, or all that are left may be spent

        def excess(z: float) -> float:
            tail = self.tail(information, z, side)
            return (math.log(tail) if tail > 0 else _LOG_ZERO) - log_target

        growth, root = information - self.information, math.sqrt(information)
        edges = self.nodes[[0, -1]] + self.theta * growth
        near, far = (edges[0], edges[1]) if side > 0 else (edges[1], edges[0])
        span = math.sqrt(growth)
        inner, outer = (near - side * _BODY * span) / root, (far + side * _FAR * span) / root
        return float(brentq(excess, inner, outer, xtol=1e-12, rtol=1e-14))

    def advance(self, information: float, lower: float, upper: float, following: float) -> State:
        """The paths that stay strictly between the bounds at a look; `following` is the next look's information."""
        growth, root = information - self.information, math.sqrt(information)
        centre = self.theta * information
        ends = [
            centre + side * root * (_FAR if math.isfinite(bound) else _BODY)
            for side, bound in ((-1, lower), (1, upper))
        ]
        low, high = max(lower * root, ends[0]), min(upper * root, ends[1])
        if not low < high:
            return State(self.theta, information, np.array([centre]), np.zeros(1))
        nodes, weights = _quadrature(low, high, math.sqrt(min(growth, following - information)))
        return State(self.theta, information, nodes, weights * self._density(nodes, information))

    def _density(self, at: Floats, information: float) -> Floats:
        """Density of the score at ascending points of a later look, from the paths that have gone on."""
        growth = information - self.information
        shift, scale = self.theta * growth, math.sqrt(growth)
        # Given where a path is later, it was near that times I / I' before, give or take sqrt(growth), whatever theta;
        # where a bound cut that off, near the bound. What lies further away adds nothing.
        centre = np.clip(at * (self.information / information), self.nodes[0], self.nodes[-1])
        first = np.searchsorted(self.nodes, centre - _BAND * scale)
        last = np.searchsorted(self.nodes, centre + _BAND * scale, side="right")
        density = np.empty_like(at)
        for start in range(0, len(at), _CHUNK):
            part = slice(start, start + _CHUNK)
            near = slice(first[start], last[part][-1])
            steps = (at[part, None] - (self.nodes[near] + shift)) / scale
            density[part] = np.exp(-0.5 * steps * steps) @ self.mass[near]
        density /= scale * math.sqrt(2 * math.pi)
        return density


def begin(theta: float) -> State:
    """Before the first look: all mass at score 0. `theta` is the drift: Z_j ~ N(theta sqrt(I_j), 1)."""
    return State(theta, 0.0, np.zeros(1), np.ones(1))


def with_next(looks: Sequence[int]) -> Iterator[tuple[int, int | None]]:
    """Each look with the one after it, None at the end."""
    yield from zip(looks, [*looks[1:], None], strict=False)


@cache
def _rule() -> tuple[Floats, Floats]:
    return np.polynomial.legendre.leggauss(_PANEL_NODES)


def _quadrature(low: float, high: float, width: float) -> tuple[Floats, Floats]:
    panels = max(1, math.ceil((high - low) / width))
    x, w = _rule()
    half = (high - low) / panels / 2
    middles = low + half * (2 * np.arange(panels) + 1)
    return (middles[:, None] + half * x).ravel(), np.tile(half * w, panels)


def crossing(information: Sequence[float], lower: Sequence[float], upper: Sequence[float], theta: float) -> Crossing:
    """First-crossing probabilities of given bounds under a drift: P(l_i < Z_i < u_i for i < j, Z_j beyond), each side.

    Cov(Z_i, Z_j) = sqrt(I_i / I_j). Armitage, McPherson & Rowe (1969).

    Args:
        information: Of each look. A look without bounds (-inf, inf) may repeat the look before; others must grow.
        lower: Bounds on z below, -inf where there is none.
        upper: Bounds on z above, inf where there is none.
        theta: Z_j ~ N(theta sqrt(I_j), 1).
    """
    state = begin(theta)
    looks = [j for j in range(len(information)) if math.isfinite(lower[j]) or math.isfinite(upper[j])]
    up, down = [0.0] * len(information), [0.0] * len(information)
    if not all(a < b for a, b in pairwise([0.0, *(information[j] for j in looks)])):
        raise ValueError(f"information must grow from look to look: {list(information)}")
    for j, following in with_next(looks):
        up[j] = state.tail(information[j], upper[j], 1)
        down[j] = state.tail(information[j], lower[j], -1)
        if following is not None:
            state = state.advance(information[j], lower[j], upper[j], information[following])
    return Crossing(tuple(up), tuple(down))
