"""Ten looks: group-sequential bounds, confidence sequences, the mixture test, the regression form, the hybrid; and SRM.

The looks are equally spaced and so is their planned information, from which the bounds are made once. The path of
estimates and errors is computed for all replications at once; the decisions are those of metricdef.stats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from benchmarks.calibration.tally import Tallies, Tally
from benchmarks.calibration.worlds import Floats, Sums, World, arm_sizes, moments, sums
from metricdef.errors import NotComputable
from metricdef.stats import srm
from metricdef.stats.adjustment import MeanOutcome
from metricdef.stats.anytime import confidence_sequence, mixture_test, regression_test, tuned_rho2
from metricdef.stats.group_sequential import AlphaSpending, Boundaries, boundaries
from metricdef.stats.guards import guards
from metricdef.stats.hybrid import hybrid_look, hybrid_plan
from metricdef.stats.spending import Spending

ALPHA = 0.05
OUTCOME = MeanOutcome("y")
LOOKS = 10
SRM_ALPHA = 0.001
SRM_K = 1000.0
EFFECT_SD = 0.2  # prior standard deviation of the mixture test, in standard deviations of a unit
FEWEST = 100  # units an arm from which on a confidence sequence is meant to be read

SPENDING = {
    "O'Brien–Fleming type": Spending("obrien_fleming"),
    "Pocock type": Spending("pocock"),
    "Kim–DeMets, gamma 2": Spending("kim_demets", 2.0),
    "Hwang–Shih–DeCani, gamma -4": Spending("hwang_shih_decani", -4.0),
}


@lru_cache(maxsize=8)
def bounds(name: str) -> Boundaries:
    """Of the plan: ten equal looks."""
    return boundaries(AlphaSpending(SPENDING[name]), [j / LOOKS for j in range(1, LOOKS + 1)], ALPHA, 2)


@dataclass(frozen=True, slots=True)
class Paths:
    """(replications, looks) of everything that a look reads."""

    estimate: Floats
    std_error: Floats
    df: Floats
    pooled_error: Floats
    units: Floats  # (looks,)
    smaller: Floats  # (looks,) units of the smaller arm
    arms: tuple[Sums, Sums]  # (baseline, arm)

    @property
    def z(self) -> Floats:
        """Normal score of Welch's p; 0 where there is no variance yet."""
        from scipy.special import ndtri, stdtr

        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(self.std_error > 0, self.estimate / self.std_error, 0.0)
        tail = np.maximum(stdtr(np.where(self.std_error > 0, self.df, 1.0), -np.abs(t)), 1e-300)
        return np.asarray(np.copysign(-ndtri(tail), t))


def paths(world: World, values: tuple[Floats, Floats]) -> Paths:
    """Cumulative estimates at the looks, (baseline, arm)."""
    looks = []
    for y in values:
        rows, width = y.shape
        edges = np.round(np.arange(LOOKS + 1) / LOOKS * width).astype(np.int64)
        looks.append(_so_far(sums(y, world.mean, np.tile(np.diff(edges), (rows, 1))), world.mean))
    b, a = looks
    va, vb = a.variance / a.n, b.variance / b.n
    total = va + vb
    with np.errstate(divide="ignore", invalid="ignore"):
        df = total**2 / (va**2 / (a.n - 1) + vb**2 / (b.n - 1))
    pooled = (a.square + b.square) / (a.n + b.n - 2) * (1 / a.n + 1 / b.n)
    units = (a.n + b.n)[0].astype(np.float64)
    smaller = np.minimum(a.n, b.n)[0].astype(np.float64)
    return Paths(a.mean - b.mean, np.sqrt(total), df, np.sqrt(pooled), units, smaller, (b, a))


def _so_far(part: Sums, centre: float) -> Sums:
    off = part.mean - centre
    n = np.cumsum(part.n, axis=1)
    s1 = np.cumsum(off * part.n, axis=1)
    s2 = np.cumsum(part.square + part.n * off**2, axis=1)
    square = np.maximum(s2 - s1**2 / n, 0.0)
    square[square <= 1e-9 * n] = 0.0
    s3 = np.cumsum(part.third + 3 * off * part.square + part.n * off**3, axis=1)
    third = s3 - 3 * s1 / n * s2 + 2 * s1**3 / n**2
    largest = np.maximum.accumulate(part.largest, axis=1)
    return Sums(n, centre + s1 / n, square, third, largest, np.cumsum(part.nonzero, axis=1))


class Warnings:
    """Whether the readout warns at a look, each computed once."""

    def __init__(self, path: Paths) -> None:
        self.path = path
        self.known: dict[tuple[int, int], bool] = {}

    def at(self, r: int, j: int) -> bool:
        """At look j of replication r."""
        if (r, j) not in self.known:
            baseline, arm = (moments(s.part(j).only(r))[0] for s in self.path.arms)
            self.known[r, j] = bool(guards(arm, baseline, OUTCOME, float(self.path.std_error[r, j])))
        return self.known[r, j]


Look = Callable[[int, int], bool]


def follow(path: Paths, warnings: Warnings, rejects: Look, first: int = 0) -> Tally:
    """Stop at the first look that rejects; what has no variance yet can't. A warning counts at the first look or the last read."""
    tally = Tally(kind="bound")
    for r in range(path.estimate.shape[0]):
        tally.replications += 1
        stop = next((j for j in range(first, LOOKS) if path.std_error[r, j] > 0 and rejects(r, j)), None)
        if stop is not None:
            tally.rejection(path.estimate[r, stop])
        tally.fired += warnings.at(r, first) or warnings.at(r, LOOKS - 1 if stop is None else stop)
    return tally


def batch(rng: np.random.Generator, world: World, n: int, split: str, reps: int) -> Tallies:
    """All designs on `reps` replications of one cell."""
    arm, baseline = arm_sizes(n, split)
    values = (world.draw(rng, (reps, baseline)), world.draw(rng, (reps, arm)))
    path = paths(world, values)
    warnings = Warnings(path)
    size = np.abs(path.z)
    found: Tallies = {}
    for name in SPENDING:
        crossed = (size >= np.array(bounds(name).upper)).tolist()
        found[f"group sequential, {name}"] = follow(path, warnings, lambda r, j, c=crossed: c[r][j])  # type: ignore[misc]  # default binds
    return {**found, **_anytime(world, n, path, warnings)}


def _anytime(world: World, n: int, path: Paths, warnings: Warnings) -> Tallies:
    rho2, tau2 = tuned_rho2(n, ALPHA), (EFFECT_SD**2) * world.variance
    plan = hybrid_plan(0.01, 0.04, n)
    d, se, units = path.estimate.tolist(), path.std_error.tolist(), path.units.tolist()
    df, pooled = path.df.tolist(), path.pooled_error.tolist()
    ready = np.flatnonzero(path.smaller >= FEWEST)
    first = int(ready[0]) if len(ready) else LOOKS - 1

    def sequence(r: int, j: int) -> bool:
        return confidence_sequence(d[r][j], se[r][j], units[j], rho2, ALPHA).p_value <= ALPHA

    def mixture(r: int, j: int) -> bool:
        return mixture_test(d[r][j], se[r][j] ** 2, tau2, ALPHA).p_value <= ALPHA

    def regression(r: int, j: int) -> bool:
        error = pooled[r][j]
        return regression_test(d[r][j] / error, error, units[j] - 2, units[j], n / 10, ALPHA).p_value <= ALPHA

    def hybrid(r: int, j: int) -> bool:
        final = j == LOOKS - 1
        if not final and j < first:
            return False
        return hybrid_look(plan, d[r][j], se[r][j], units[j], df=df[r][j], final=final).rejected

    return {
        "confidence sequence": follow(path, warnings, sequence, first),
        "mixture SPRT": follow(path, warnings, mixture, first),
        "anytime regression test": follow(path, warnings, regression),
        "hybrid": follow(path, warnings, hybrid),
    }


def srm_batch(rng: np.random.Generator, n: int, split: str, reps: int) -> Tallies:
    """Sample ratio: the fixed test at n units, the sequential one at ten looks."""
    share = 0.5 if split == "50/50" else 0.1
    shares = (1 - share, share)
    steps = rng.binomial(n // LOOKS, share, (reps, LOOKS))
    counts = np.cumsum(steps, axis=1)

    @lru_cache(maxsize=1_000_000)
    def fixed(x: int) -> float:
        return srm.fixed_sample((n - x, x), shares).p_value

    @lru_cache(maxsize=1_000_000)
    def look(x: int, units: int) -> float:
        try:
            return srm.sequential((units - x, x), shares, SRM_K).p_value
        except NotComputable:
            return 1.0

    found = {}
    for name in ("SRM, fixed", "SRM, sequential"):
        tally = found[name] = Tally(nominal=SRM_ALPHA, kind="bound", guarded=False, replications=reps)
        for row in counts.tolist():
            if name == "SRM, fixed":
                stop = LOOKS if fixed(row[-1]) <= SRM_ALPHA else 0
            else:
                stop = next((j + 1 for j, x in enumerate(row) if look(x, (j + 1) * n // LOOKS) <= SRM_ALPHA), 0)
            if stop:
                tally.rejection(row[stop - 1] - share * stop * n / LOOKS)
    return found
