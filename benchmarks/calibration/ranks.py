"""Quantiles of units and of clustered events.

Three order statistics are all that an estimate reads. For units they are drawn as such: uniform spacings are gamma
variables. Events need their units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.calibration.tally import Tallies, Tally
from benchmarks.calibration.worlds import Floats, arm_sizes
from metricdef.errors import NotComputable
from metricdef.stats.effects import ArmEstimates, difference
from metricdef.stats.guards import quantile_guards
from metricdef.stats.moments import SecondMoments
from metricdef.stats.quantiles import OrderStatistics, event_quantiles, rank_band, unit_quantiles

ALPHA = 0.05
LEVELS = (0.5, 0.9)
LAWS: Mapping[str, Callable[[Floats], Floats]] = {"normal": lambda z: z, "lognormal": np.exp}
EVENTS = 3  # at most, from each unit
SHARED = 0.3  # of an event's variance is its unit's


def _positions(n: int, q: float) -> tuple[Floats, list[int]] | None:
    """Positions of the three fractions among 0..n - 1, and the ranks beside them (from 1); None: too few."""
    try:
        fractions = rank_band(n, q).fractions
    except NotComputable:
        return None
    h = (n - 1) * np.array(fractions)
    ranks = sorted({int(k) + 1 for k in (*np.floor(h), *np.minimum(np.floor(h) + 1, n - 1))})
    return h, ranks


def _interpolate(h: Floats, ranks: list[int], values: Floats) -> Floats:
    """(replications, 3) type-7 quantiles from the values at the ranks."""
    at = {rank: k for k, rank in enumerate(ranks)}
    low = np.floor(h)
    first = values[:, [at[int(k) + 1] for k in low]]
    following = values[:, [at[min(int(k) + 2, max(ranks))] for k in low]]
    return np.asarray(first + (h - low) * (following - first))


def unit_batch(rng: np.random.Generator, n: int, split: str, reps: int) -> dict[str, Tallies]:
    """By law of the outcome."""
    from scipy.special import ndtri

    found: dict[str, Tallies] = {law: {} for law in LAWS}
    for q in LEVELS:
        drawn: list[tuple[int, Floats, list[int], Floats] | None] = []
        for size in reversed(arm_sizes(n, split)):
            placed = _positions(size, q)
            if placed is None:
                drawn.append(None)
                continue
            h, ranks = placed
            gaps = np.diff([0, *ranks, size + 1])
            walk = np.cumsum(rng.standard_gamma(gaps, (reps, len(gaps))), axis=1)
            drawn.append((size, h, ranks, ndtri(walk[:, :-1] / walk[:, -1:])))
        for law, transform in LAWS.items():
            tally = found[law][f"quantile of units, {q:g}"] = Tally()
            arms = [None if d is None else (d[0], _interpolate(d[1], d[2], transform(d[3]))) for d in drawn]
            for r in range(reps):
                statistics = [
                    OrderStatistics(0, None, None, None)
                    if a is None
                    else OrderStatistics(a[0], float(a[1][r, 1]), float(a[1][r, 0]), float(a[1][r, 2]))
                    for a in arms
                ]
                _count(tally, unit_quantiles(statistics, q), statistics, q)
    return found


def _count(tally: Tally, est: ArmEstimates, statistics: Sequence[OrderStatistics], q: float) -> None:
    tally.replications += 1
    tally.fired += bool(quantile_guards([s.n for s in statistics], q))
    try:
        d = difference(est, 1, ALPHA)
    except NotComputable:
        tally.refused += 1
        return
    if d.p_value <= ALPHA:
        tally.rejection(d.statistic)


def event_batch(rng: np.random.Generator, n: int, split: str, reps: int) -> dict[str, Tallies]:
    """Quantiles over one to three events a unit, whose values go together."""
    found: dict[str, Tallies] = {law: {f"quantile of events, {q:g}": Tally() for q in LEVELS} for law in LAWS}
    for _ in range(reps):
        arms = [_events(rng, size) for size in reversed(arm_sizes(n, split))]
        for law, transform in LAWS.items():
            for q in LEVELS:
                statistics = [arm[q].statistics(transform) for arm in arms]
                est = event_quantiles(statistics, [arm[q].units for arm in arms], "below", "rows", q)
                _count(found[law][f"quantile of events, {q:g}"], est, statistics, q)
    return found


@dataclass(frozen=True, slots=True)
class _Ranked:
    """One arm's events about one quantile: neighbours of the three positions, on the normal scale."""

    rows: int
    first: Floats
    following: Floats
    between: Floats
    units: SecondMoments

    def statistics(self, transform: Callable[[Floats], Floats]) -> OrderStatistics:
        """Interpolated after the transformation, which keeps the order and so the units' shares below."""
        a, b = transform(self.first), transform(self.following)
        lower, estimate, upper = (a + self.between * (b - a)).tolist()
        return OrderStatistics(self.rows, estimate, lower, upper)


def _events(rng: np.random.Generator, size: int) -> dict[float, _Ranked]:
    counts = rng.integers(1, EVENTS + 1, size)
    of_unit = np.repeat(np.arange(size), counts)
    values = math.sqrt(SHARED) * rng.standard_normal(size)[of_unit]
    values += math.sqrt(1 - SHARED) * rng.standard_normal(len(of_unit))
    rows = len(values)
    found = {}
    for q in LEVELS:
        placed = _positions(rows, q)
        if placed is None:
            nothing = SecondMoments(("below", "rows"), 0, np.zeros(2), np.zeros((2, 2)))
            found[q] = _Ranked(0, np.zeros(3), np.zeros(3), np.zeros(3), nothing)
            continue
        h, ranks = placed
        low = np.floor(h).astype(np.int64)
        ordered = np.partition(values, [rank - 1 for rank in ranks])
        first, following = ordered[low], ordered[np.minimum(low + 1, rows - 1)]
        between = h - low
        estimate = first[1] + between[1] * (following[1] - first[1])
        below = np.bincount(of_unit[values <= estimate], minlength=size)
        both = np.column_stack([below, counts]).astype(np.float64)
        mean = both.mean(axis=0)
        off = both - mean
        found[q] = _Ranked(rows, first, following, between, SecondMoments(("below", "rows"), size, mean, off.T @ off))
    return found
