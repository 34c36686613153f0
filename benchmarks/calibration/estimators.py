"""Estimators on simulated moments: one replication at a time through the functions a readout calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from benchmarks.calibration.tally import Tallies, Tally
from benchmarks.calibration.worlds import (
    EXPLAINED,
    WORLDS,
    Counts,
    Floats,
    Sums,
    World,
    arm_sizes,
    companions,
    explaining,
    moments,
    sums,
)
from metricdef.errors import NotComputable
from metricdef.metrics.effect import Observed, ScoreEffect, binary_effects
from metricdef.stats.adjustment import MeanOutcome, RatioOutcome, ancova, lin
from metricdef.stats.cuped import cuped
from metricdef.stats.effects import (
    ArmEstimates,
    Relative,
    difference,
    relative,
    test_one_sided,
    unadjusted_mean,
    unadjusted_ratio,
)
from metricdef.stats.guards import guards
from metricdef.stats.moments import Moments
from metricdef.stats.stratification import stratified

ALPHA = 0.05
MEAN, RATIO = MeanOutcome("y"), RatioOutcome("y", "d")
LIFT = -0.1  # the true relative effect where one is needed
RESPONSE = 0.8
SIDES = 6  # a denominator is a throw of a die
STRATA = (0.4, 0.3, 0.2, 0.1)
# Share of an arm's units that enter in each epoch: the arm's allocation grows.
RAMP_ARM, RAMP_BASELINE = (0.1, 0.3, 0.6), (0.4, 0.35, 0.25)
SLOPES = (0.8, 0.0)  # correlation with the covariate, arm and baseline, where they differ

Estimator = Callable[[Sequence[Moments]], ArmEstimates]
Pair = tuple[Moments, Moments]


def compare(
    tally: Tally,
    est: ArmEstimates,
    pair: Pair,
    outcome: MeanOutcome | RatioOutcome = MEAN,
    parts: Sequence[Pair] = (),
) -> None:
    """Count the two-sided test of no effect, which holds, and the guard. `pair` is (baseline, arm)."""
    d = difference(est, 1, ALPHA)
    if d.p_value <= ALPHA:
        tally.rejection(d.statistic)
    tally.fired += bool(guards(pair[1], pair[0], outcome, d.std_error, [(a, b) for b, a in parts]))


def each(tally: Tally, pairs: Sequence[Pair], one: Callable[[Tally, Pair], None]) -> Tally:
    """`one` for every replication. What cannot be computed is no rejection, and says so without a guard."""
    for pair in pairs:
        tally.replications += 1
        try:
            one(tally, pair)
        except NotComputable:
            tally.refused += 1
            tally.fired += 1
    return tally


def means(world: World, arms: tuple[Sums, Sums]) -> Tallies:
    """Welch on the mean; with a true lift: Fieller's set, and non-inferiority at exactly the margin."""
    pairs = list(zip(*(moments(s) for s in arms), strict=True))
    shifted = [(b, a) for (b, _), a in zip(pairs, moments(arms[1].scaled(1 + LIFT)), strict=True)]
    found = {"mean": each(Tally(), pairs, lambda t, p: compare(t, unadjusted_mean(p, "y"), p))}
    if world.name.startswith("Bernoulli"):
        found["proportion (score or Welch)"] = each(Tally(), pairs, _proportion)
    found["relative effect, Fieller"] = each(Tally(), shifted, _fieller)
    found["non-inferiority, relative margin"] = each(Tally(nominal=ALPHA / 2, sides=1), shifted, _non_inferiority)
    return found


def _fieller(tally: Tally, pair: Pair) -> None:
    est = unadjusted_mean(pair, "y")
    found = relative(est, 1, ALPHA)
    if not covers(found, LIFT):
        tally.rejection((found.estimate or 0.0) - LIFT)
    tally.fired += bool(guards(pair[1], pair[0], MEAN, difference(est, 1, ALPHA).std_error))


def covers(found: Relative, truth: float) -> bool:
    """Whether a confidence set of any shape has the value."""
    if found.excluded is not None:
        return not found.excluded[0] < truth < found.excluded[1]
    below = found.lower is not None and truth < found.lower
    above = found.upper is not None and truth > found.upper
    return not (below or above)


def _non_inferiority(tally: Tally, pair: Pair) -> None:
    est = unadjusted_mean(pair, "y")
    if test_one_sided(est, 1, 0.0, True, ALPHA / 2, relative=LIFT).p_value <= ALPHA / 2:
        tally.upper += 1
    tally.fired += bool(guards(pair[1], pair[0], MEAN, difference(est, 1, ALPHA).std_error))


@lru_cache(maxsize=1_000_000)
def _score_p(x1: int, n1: int, x0: int, n0: int) -> tuple[float, float] | None:
    try:
        test = ScoreEffect(x1, n1, x0, n0).superiority(ALPHA)
    except NotComputable:
        return None
    return test.statistic, test.p_value


def _proportion(tally: Tally, pair: Pair) -> None:
    (effect,) = binary_effects(Observed(pair), MEAN, ())
    if isinstance(effect, NotComputable):
        raise effect
    if isinstance(effect, ScoreEffect):
        cached = _score_p(effect.arm_successes, effect.arm_units, effect.baseline_successes, effect.baseline_units)
        if cached is None:
            raise NotComputable("no_variation", "no event at all")
        statistic, p_value = cached
        std_error = 0.0
    else:
        test = effect.superiority(ALPHA)
        statistic, p_value = test.statistic, test.p_value
        std_error = effect.absolute(ALPHA).std_error or 0.0
    if p_value <= ALPHA:
        tally.rejection(statistic)
    tally.fired += bool(guards(pair[1], pair[0], MEAN, std_error))


def _two_columns(y: Sums, d: Sums, cross: Floats) -> list[Moments]:
    """Columns y, d; `cross` is the co-moment of the two."""
    rows = zip(
        y.n,
        np.column_stack([y.mean, d.mean]),
        np.stack([np.column_stack([y.square, cross]), np.column_stack([cross, d.square])], axis=2),
        np.column_stack([y.third, d.third]),
        np.column_stack([y.largest, d.largest]),
        np.column_stack([y.nonzero, d.nonzero]),
        strict=True,
    )
    nothing = np.zeros(2, dtype=np.int64)
    return [Moments(("y", "d"), int(n), m, s, t, a, z, nothing) for n, m, s, t, a, z in rows]


def _ratio(tally: Tally, pair: Pair) -> None:
    compare(tally, unadjusted_ratio(pair, "y", "d"), pair, RATIO)


def ratios(rng: np.random.Generator, world: World, values: tuple[Floats, Floats]) -> Tallies:
    """Sum over sum: a value per event times a number of events; and the mean among those who respond."""
    by_event, responders = [], []
    for y in values:
        d = rng.integers(1, SIDES + 1, y.shape, dtype=np.int8).astype(np.float64)
        top = y * d
        a, b = sums(top, world.mean * 3.5), sums(d, 3.5)
        cross = np.einsum("ij,ij->i", top - world.mean * 3.5, d - 3.5)
        cross -= a.n * (a.mean - world.mean * 3.5) * (b.mean - 3.5)
        by_event.append(_two_columns(a, b, cross))
        responders.append(_responding(rng, world, y))
    return {
        "ratio": each(Tally(), list(zip(*by_event, strict=True)), _ratio),
        "missing: exclude": each(Tally(), list(zip(*responders, strict=True)), _ratio),
    }


def _responding(rng: np.random.Generator, world: World, y: Floats) -> list[Moments]:
    """Columns y r and r; the first units of a row are those who respond."""
    rows, width = y.shape
    m: Counts = np.asarray(rng.binomial(width, RESPONSE, rows), dtype=np.int64)
    part = sums(y, world.mean, m[:, None]).part(0)
    n = np.full(rows, width, dtype=np.int64)
    share = m / width
    total = part.mean * m
    raw2 = part.square + m * part.mean**2
    raw3 = part.third + 3 * part.mean * part.square + m * part.mean**3
    mean = total / width
    top = Sums(
        n,
        mean,
        raw2 - width * mean**2,
        raw3 - 3 * mean * raw2 + 2 * width * mean**3,
        part.largest,
        part.nonzero,
    )
    third = m * (1 - share) ** 3 - (width - m) * share**3
    answers = Sums(n, share, m * (1 - share), third, np.minimum(m, 1).astype(np.float64), m)
    return _two_columns(top, answers, total - width * mean * share)


def adjusted(rng: np.random.Generator, world: World, arms: tuple[Sums, Sums]) -> Tallies:
    """CUPED, ANCOVA and Lin with one and three covariates that explain half the variance; Lin with unequal slopes."""
    found: Tallies = {}
    for k in (1, 3):
        slopes, noise = explaining(world, k)
        names = tuple(f"x{j}" for j in range(k))
        pairs = _with_covariates(rng, world, arms, [(slopes, noise)] * 2)
        # mypy doesn't infer a lambda with a default, which binds the variable of the loop.
        kinds: dict[str, Estimator] = {
            "CUPED": lambda p, names=names: cuped(p, MEAN, names),  # type: ignore[misc]  # default binds
            "ANCOVA": lambda p, names=names: ancova(p, "y", names),  # type: ignore[misc]  # default binds
            "Lin": lambda p, names=names: lin(p, "y", names),  # type: ignore[misc]  # default binds
        }
        for name, estimator in kinds.items():
            label = f"{name}, {k} covariate{'s' * (k > 1)}"
            found[label] = each(Tally(), pairs, lambda t, p, e=estimator: compare(t, e(p), p))  # type: ignore[misc]  # default binds
    if world is WORLDS[0]:
        laws = [(np.array([rho]), np.array([[np.sqrt(1 - rho * rho)]])) for rho in reversed(SLOPES)]
        pairs = _with_covariates(rng, world, arms, laws)
        found["Lin, slopes that differ"] = each(Tally(), pairs, lambda t, p: compare(t, lin(p, "y", ("x0",)), p))
    return found


def _with_covariates(
    rng: np.random.Generator, world: World, arms: tuple[Sums, Sums], laws: Sequence[tuple[Floats, Floats]]
) -> list[Pair]:
    """Moments of y with its covariates, (baseline, arm)."""
    made = []
    for y, (slopes, noise) in zip(arms, laws, strict=True):
        mean, comoment = companions(rng, y, world.mean, slopes, noise)
        k = len(slopes)
        columns = ("y", *(f"x{j}" for j in range(k)))
        rest, whole = np.zeros(k), np.zeros(1 + k, dtype=np.int64)
        made.append(
            [
                Moments(columns, int(n), m, c, np.append(t, rest), np.append(a, rest), np.append(z, whole[1:]), whole)
                for n, m, c, t, a, z in zip(y.n, mean, comoment, y.third, y.largest, y.nonzero, strict=True)
            ]
        )
    return list(zip(*made, strict=True))


def standardised(
    rng: np.random.Generator, world: World, values: tuple[Floats, Floats], arms: tuple[Sums, Sums]
) -> Tallies:
    """Post-stratification, and a ramp whose shares change while the outcome grows: the pooled difference would be biased."""
    wholes = list(zip(*(moments(s) for s in arms), strict=True))  # the guards count units that are not 0
    strata, epochs = [], []
    for y, shares in zip(values, (RAMP_BASELINE, RAMP_ARM), strict=True):
        rows, width = y.shape
        strata.append(_parts(y, world, rng.multinomial(width, STRATA, rows)))
        edges = np.round(np.cumsum((0.0, *shares)) * width).astype(np.int64)
        epochs.append(_parts(y, world, np.tile(np.diff(edges), (rows, 1))))
    return {
        "post-stratification, 4 strata": _stratified(wholes, strata),
        "ramp of 3 epochs": _stratified(wholes, epochs),
    }


def _parts(y: Floats, world: World, sizes: Counts) -> list[list[Moments]]:
    """Moments by part; part k is multiplied by 1 + k / 4."""
    parts = sums(y, world.mean, sizes)
    return [moments(parts.part(k).scaled(1 + k / 4)) for k in range(sizes.shape[1])]


def _stratified(wholes: Sequence[Pair], arms: Sequence[list[list[Moments]]]) -> Tally:
    tally = Tally()
    names = [str(k) for k in range(len(arms[0]))]
    for whole, *cells in zip(wholes, *(zip(*arm, strict=True) for arm in arms), strict=True):
        tally.replications += 1
        parts = list(zip(*cells, strict=True))
        try:
            compare(tally, stratified(dict(zip(names, parts, strict=True)), MEAN).estimates, whole, MEAN, parts)
        except NotComputable:
            tally.refused += 1
            tally.fired += 1
    return tally


def tightening(procedure: str) -> float:
    """Standard error of an adjusted estimate over the unadjusted one, by which its skewness counts for more."""
    adjusts = procedure.startswith(("CUPED", "ANCOVA", "Lin"))
    return float(np.sqrt(1 - EXPLAINED)) if adjusts else 1.0


def batch(rng: np.random.Generator, world: World, n: int, split: str, reps: int) -> Tallies:
    """All estimators on `reps` replications of one cell."""
    arm, baseline = arm_sizes(n, split)
    values = (world.draw(rng, (reps, baseline)), world.draw(rng, (reps, arm)))
    arms = (sums(values[0], world.mean), sums(values[1], world.mean))
    return {
        **means(world, arms),
        **ratios(rng, world, values),
        **adjusted(rng, world, arms),
        **standardised(rng, world, values, arms),
    }
