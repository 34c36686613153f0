"""Which class a cell is in, from the law of its outcome and its sizes, never from its result."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from benchmarks.calibration import designs, estimators, groups, multiple, ranks, spreads
from benchmarks.calibration.tally import Key
from benchmarks.calibration.verdicts import Class
from benchmarks.calibration.worlds import WORLDS, World, arm_sizes
from metricdef.stats.guards import BEYOND_LIMIT

SMALL_SKEWNESS = 0.1  # of the difference, well below where the guard speaks
OWN_SKEWNESS = 0.16  # of an arm's mean: the guard speaks of arms one by one too, since a treatment may change a shape
EVENTS = 10  # expected values other than 0 in an arm
UNITS = 10  # in an arm, of each part that is compared by itself

_BY_NAME = {world.name: world for world in WORLDS}
Parts = list[tuple[float, float, float, float]]  # share of units, factor on the outcome, units of arm and baseline


def classify(key: Key) -> tuple[Class, str]:
    """Class, and for class C why."""
    if key.procedure.startswith("SRM"):
        return "B", ""
    if key.procedure.startswith("quantile"):
        return _quantile(key)
    if key.procedure in spreads.PROCEDURES:
        return _spread(key)
    world = _BY_NAME[key.world]
    if key.procedure.startswith("clusters"):
        return _clusters(world, key)
    if key.procedure in _families():
        return _bound(world, multiple.family_sizes(key.n, key.split), "")
    if key.procedure.startswith(_DESIGNS):
        arm, baseline = arm_sizes(key.n, key.split)
        looks = [j for j in range(1, designs.LOOKS + 1) if _read(key.procedure, min(arm, baseline) * j / designs.LOOKS)]
        share = (looks[0] if looks else designs.LOOKS) / designs.LOOKS
        return _bound(world, (int(arm * share), int(baseline * share)), "at the first look ")
    return _estimator(world, key)


_DESIGNS = ("group sequential", "confidence sequence", "mixture SPRT", "anytime regression", "hybrid")


def _read(procedure: str, smaller: float) -> bool:
    """Whether a look with so many units in the smaller arm is read."""
    return not procedure.startswith(("confidence", "mixture", "hybrid")) or smaller >= designs.FEWEST


def _families() -> set[str]:
    single = {"Dunnett", "max-T, 2 metrics", "max-T, 2 metrics x 2 arms", "graph, no effect"}
    names = multiple.NAMES.values()
    return single | {f"{name}, {what}" for name in names for what in ("no effect", "half with effects")}


def _bound(world: World, sizes: tuple[int, int], when: str) -> tuple[Class, str]:
    reason = _reason(world, sizes, world.skewness(*sizes))
    return ("C", when + reason) if reason else ("B", "")


def _reason(world: World, sizes: tuple[int, int], skewness: float) -> str:
    """Why a marginal test isn't expected to hold its level; empty if it is."""
    if min(sizes) < UNITS:
        return f"{min(sizes)} units in an arm"
    if world.events(*sizes) < EVENTS:
        return f"{world.events(*sizes):.3g} events expected in an arm"
    if skewness > SMALL_SKEWNESS:
        return f"skewness of the difference {skewness:.2g}"
    if world.name == "zero-inflated lognormal":
        return "tails too heavy for these sizes"
    return ""


def _estimator(world: World, key: Key) -> tuple[Class, str]:
    arm, baseline = arm_sizes(key.n, key.split)
    parts: Parts = [(1.0, 1.0, arm, baseline)]
    if key.procedure.startswith("post-stratification"):
        parts = [(w, 1 + k / 4, w * arm, w * baseline) for k, w in enumerate(estimators.STRATA)]
    if key.procedure.startswith("ramp"):
        shares = zip(estimators.RAMP_ARM, estimators.RAMP_BASELINE, strict=True)
        sizes = [(a * arm, b * baseline) for a, b in shares]
        parts = [((a + b) / key.n, 1 + k / 4, a, b) for k, (a, b) in enumerate(sizes)]
    fewest = min(min(a, b) for _, _, a, b in parts)
    if len(parts) > 1 and fewest < UNITS:
        return "C", f"{fewest:.3g} units expected in an arm of a part"
    third = sum(w**3 * f**3 * (a**-2 - b**-2) for w, f, a, b in parts)
    second = sum(w**2 * f**2 * (1 / a + 1 / b) for w, f, a, b in parts)
    skewness = abs(third * world.third) / (second * world.variance) ** 1.5 * _heavier(key.procedure)
    reason = _reason(world, (arm, baseline), skewness)
    return ("C", reason) if reason else ("A", "")


def _heavier(procedure: str) -> float:
    """Skewness of what is averaged over that of the outcome."""
    if procedure == "ratio":  # d (y - R)
        faces = np.arange(1, estimators.SIDES + 1)
        return float((faces**3).mean() / (faces**2).mean() ** 1.5)
    if procedure == "missing: exclude":  # r (y - R)
        return float(estimators.RESPONSE**-0.5)
    return estimators.tightening(procedure) ** -3


def _quantile(key: Key) -> tuple[Class, str]:
    q = float(key.procedure.rsplit(" ", 1)[1])
    each = (1 + ranks.EVENTS) / 2 if "events" in key.procedure else 1.0
    beyond = min(arm_sizes(key.n, key.split)) * each * min(q, 1 - q)
    return ("A", "") if beyond >= BEYOND_LIMIT else ("C", f"{beyond:.3g} values expected beyond the quantile in an arm")


def _spread(key: Key) -> tuple[Class, str]:
    fewest = min(arm_sizes(key.n, key.split))
    return ("C", f"{fewest} units in an arm") if fewest < UNITS else ("A", "")


def _clusters(world: World, key: Key) -> tuple[Class, str]:
    if ", few," in key.procedure:
        return "C", f"{min(groups.COUNTS['few', key.split])} clusters in an arm"
    arm, baseline = groups.COUNTS["many", key.split]
    unit_skewness, nonzero = _cluster_law(world, key.n / (arm + baseline), "per unit" in key.procedure)
    if nonzero * min(arm, baseline) < EVENTS:
        return "C", f"{nonzero * min(arm, baseline):.3g} clusters with events expected in an arm"
    own = unit_skewness / min(arm, baseline) ** 0.5
    if own > OWN_SKEWNESS:
        return "C", f"skewness of an arm's mean {own:.2g}"
    skewness = unit_skewness * abs(arm**-2 - baseline**-2) / (1 / arm + 1 / baseline) ** 1.5
    if skewness > SMALL_SKEWNESS:
        return "C", f"skewness of the difference {skewness:.2g}"
    if world.name == "zero-inflated lognormal":
        return "C", "tails too heavy for these sizes"
    return "A", ""


@lru_cache(maxsize=64)
def _cluster_law(world: World, size: float, per_unit: bool) -> tuple[float, float]:
    """|Skewness| of a cluster's influence and share of clusters with an event, from 400 000 clusters."""
    rng = np.random.default_rng(11)
    sizes = np.floor(size * (0.5 + rng.random((1, 400_000)))) + 1.0
    totals = groups._totals(rng, world, sizes)  # noqa: SLF001 - the worlds' own law
    value = totals - world.mean * sizes if per_unit else totals / sizes
    off = value - value.mean()
    return abs(float((off**3).mean() / (off**2).mean() ** 1.5)), float((totals != 0).mean())
