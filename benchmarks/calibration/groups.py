"""Randomised clusters, few and many: effects per unit and per cluster."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.calibration.estimators import Pair, each
from benchmarks.calibration.tally import Tallies, Tally
from benchmarks.calibration.worlds import SPREAD, Floats, World
from metricdef.stats.adjustment import MeanOutcome, RatioOutcome
from metricdef.stats.clusters import PerCluster, PerUnit, cluster_estimates, cluster_guards
from metricdef.stats.effects import difference
from metricdef.stats.guards import guards
from metricdef.stats.moments import from_rows

ALPHA = 0.05
WITHIN = 0.1  # intraclass correlation, roughly
# Clusters (arm, baseline).
COUNTS = {
    ("few", "50/50"): (5, 5),
    ("few", "90/10"): (4, 36),
    ("many", "50/50"): (100, 100),
    ("many", "90/10"): (20, 180),
}


def _totals(rng: np.random.Generator, world: World, sizes: Floats) -> Floats:
    """Sum of the outcome over the units of each cluster."""
    whole = sizes.astype(np.int64)
    if world.name == "normal":
        shared = math.sqrt(WITHIN * world.variance) * rng.standard_normal(sizes.shape)
        own = np.sqrt(sizes * (1 - WITHIN) * world.variance) * rng.standard_normal(sizes.shape)
        return np.asarray(sizes * (world.mean + shared) + own)
    if world.name == "Poisson":
        return rng.poisson(sizes * rng.gamma(1 / WITHIN, WITHIN * world.mean, sizes.shape)).astype(np.float64)
    concentration = 1 / WITHIN - 1
    rate = rng.beta(world.nonzero * concentration, (1 - world.nonzero) * concentration, sizes.shape)
    paid = rng.binomial(whole, rate)
    if world.name == "Bernoulli 3%":
        return paid.astype(np.float64)
    each_payer = np.append(np.exp(SPREAD * rng.standard_normal(int(paid.sum()))), 0.0)
    ends = np.cumsum(paid.ravel())
    sums = np.add.reduceat(each_payer, ends - paid.ravel()).reshape(paid.shape)
    return np.asarray(np.where(paid > 0, sums, 0.0))


def batch(rng: np.random.Generator, world: World, n: int, split: str, reps: int) -> Tallies:
    """Cluster-randomised cells with n units expected in all."""
    found: Tallies = {}
    for kind in ("few", "many"):
        counts = COUNTS[kind, split]
        size = n / sum(counts)
        if size < 2:
            continue
        arms = []
        for clusters in reversed(counts):
            sizes = np.floor(size * (0.5 + rng.random((reps, clusters)))) + 1.0
            totals = _totals(rng, world, sizes)
            rows = np.stack([totals, sizes, totals / sizes], axis=2)
            arms.append([from_rows(("total", "size", "mean"), unit) for unit in rows])
        pairs = list(zip(*arms, strict=True))
        found[f"clusters, {kind}, per unit"] = each(Tally(), pairs, _per_unit)
        found[f"clusters, {kind}, per cluster"] = each(Tally(), pairs, _per_cluster)
    return found


def _per_unit(tally: Tally, pair: Pair) -> None:
    d = difference(cluster_estimates(pair, PerUnit("total", "size")), 1, ALPHA)
    if d.p_value <= ALPHA:
        tally.rejection(d.statistic)
    outcome = RatioOutcome("total", "size")
    tally.fired += bool((*guards(pair[1], pair[0], outcome, d.std_error), *cluster_guards(pair[1], pair[0])))


def _per_cluster(tally: Tally, pair: Pair) -> None:
    d = difference(cluster_estimates(pair, PerCluster("mean")), 1, ALPHA)
    if d.p_value <= ALPHA:
        tally.rejection(d.statistic)
    outcome = MeanOutcome("mean")
    tally.fired += bool((*guards(pair[1], pair[0], outcome, d.std_error), *cluster_guards(pair[1], pair[0])))
