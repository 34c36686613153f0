"""Arms whose outcomes spread differently, without an effect: the mean, and the default adjustment.

The covariates are the same in both arms and explain half of the narrower arm's variance; what they leave is 2 or 3 times
as wide in one arm as in the other.
"""

from __future__ import annotations

import numpy as np

from benchmarks.calibration.estimators import MEAN, Pair, compare, each
from benchmarks.calibration.tally import Tallies, Tally
from benchmarks.calibration.worlds import EXPLAINED, Floats, arm_sizes
from metricdef.stats.adjustment import choose
from metricdef.stats.effects import unadjusted_mean
from metricdef.stats.moments import Moments

SIZES = (40, 200)
COVARIATES = (1, 3)
# Standard deviation of what the covariates leave: (arm, baseline).
SPREADS = {
    "normal, arm twice as wide": (2.0, 1.0),
    "normal, arm 3 times as wide": (3.0, 1.0),
    "normal, baseline 3 times as wide": (1.0, 3.0),
}
PROCEDURES = (
    "unequal spread, mean",
    "unequal spread, default with 1 covariate",
    "unequal spread, default with 3 covariates",
)


def batch(rng: np.random.Generator, n: int, split: str, reps: int) -> dict[str, Tallies]:
    """All procedures on `reps` replications, by spread."""
    found: dict[str, Tallies] = {}
    for name, spreads in SPREADS.items():
        arm, baseline = arm_sizes(n, split)
        sizes = ((baseline, spreads[1]), (arm, spreads[0]))
        pairs = list(zip(*(_arm(rng, reps, size, spread) for size, spread in sizes), strict=True))
        found[name] = {PROCEDURES[0]: each(Tally(), pairs, _plain)}
        for procedure, k in zip(PROCEDURES[1:], COVARIATES, strict=True):
            names = tuple(f"x{j}" for j in range(k))
            found[name][procedure] = each(
                Tally(),
                pairs,
                lambda t, p, names=names: compare(t, choose(p, MEAN, names), p),  # type: ignore[misc]  # default binds
            )
    return found


def _plain(tally: Tally, pair: Pair) -> None:
    compare(tally, unadjusted_mean(pair, "y"), pair)


def _arm(rng: np.random.Generator, reps: int, n: int, spread: float) -> list[Moments]:
    """Columns y, x0, x1, x2 of every replication; y is the average of the covariates, scaled, and the rest."""
    k = max(COVARIATES)
    x = rng.standard_normal((reps, n, k))
    scale = np.sqrt(EXPLAINED / (1 - EXPLAINED) / k)
    rows = np.concatenate([scale * x.sum(2, keepdims=True) + spread * rng.standard_normal((reps, n, 1)), x], axis=2)
    mean = rows.mean(axis=1)
    off = rows - mean[:, None, :]
    comoment = np.einsum("rni,rnj->rij", off, off)
    third: Floats = (off**3).sum(axis=1)
    largest = np.abs(rows).max(axis=1)
    columns, whole, none = ("y", *(f"x{j}" for j in range(k))), np.full(1 + k, n), np.zeros(1 + k, dtype=np.int64)
    return [
        Moments(columns, n, m, c, t, a, whole, none) for m, c, t, a in zip(mean, comoment, third, largest, strict=True)
    ]
