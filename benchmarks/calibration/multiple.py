"""Families: three arms and two correlated metrics, with no effect at all and with effects on the second metric.

The smallest p decides whether a family rejects anything. It is rejected by every procedure here where it is at most
alpha / m and by none where it is above alpha, so only what lies between needs the procedure itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.calibration.tally import Tallies, Tally
from benchmarks.calibration.worlds import WORLDS, Floats, Sums, World, companions, explaining, moments, sums
from metricdef.errors import NotComputable
from metricdef.stats.adjustment import MeanOutcome
from metricdef.stats.effects import baseline_contrasts, contrast_covariance, unadjusted_mean
from metricdef.stats.graph import parallel_gatekeeping, test_graph
from metricdef.stats.guards import guards
from metricdef.stats.max_t import Contrast, contrast_correlation
from metricdef.stats.moments import Moments
from metricdef.stats.multiplicity import Method, adjust
from metricdef.stats.normal_law import law_of

ALPHA = 0.05
ARMS = 3
REAL = 3.5  # standard errors, of an effect that there is
METHODS: tuple[Method, ...] = ("bonferroni", "holm", "hochberg", "hommel", "bh")
NAMES = {"bonferroni": "Bonferroni", "holm": "Holm", "hochberg": "Hochberg", "hommel": "Hommel", "bh": "BH"}


def family_sizes(n: int, split: str) -> tuple[int, int]:
    """(each arm, baseline): four equal arms, or a tenth of the units in the three arms together."""
    arm = n // 4 if split == "50/50" else n // 30
    return arm, n - ARMS * arm


def _welch(
    arm: tuple[Floats, Floats, int], baseline: tuple[Floats, Floats, int], shift: float
) -> tuple[Floats, Floats]:
    """Two-sided p and estimates of all replications, with a real effect of `shift` standard errors."""
    from scipy.special import stdtr

    (m1, s1, n1), (m0, s0, n0) = arm, baseline
    v1, v0 = s1 / (n1 - 1) / n1, s0 / (n0 - 1) / n0
    se2 = v1 + v0
    with np.errstate(divide="ignore", invalid="ignore"):
        df = se2**2 / (v1**2 / (n1 - 1) + v0**2 / (n0 - 1))
        t = np.where(se2 > 0, (m1 - m0) / np.sqrt(se2), 0.0) + shift
    p = np.minimum(1.0, 2 * stdtr(np.where(se2 > 0, df, 1.0), -np.abs(t)))
    return p, t


def batch(rng: np.random.Generator, world: World, n: int, split: str, reps: int) -> Tallies:
    """All procedures on `reps` families."""
    arm, baseline = family_sizes(n, split)
    sizes = (baseline, *[arm] * ARMS)
    ys = [sums(world.draw(rng, (reps, size)), world.mean) for size in sizes]
    slopes, noise = explaining(world, 1)
    joint = [companions(rng, y, world.mean, slopes, noise) for y in ys]

    def tested(column: int, shift: float) -> list[tuple[Floats, Floats]]:
        columns = [
            (mean[:, column], co[:, column, column], size) for (mean, co), size in zip(joint, sizes, strict=True)
        ]
        return [_welch(columns[a], columns[0], shift) for a in range(1, 1 + ARMS)]

    nulls, second, real = tested(0, 0.0), tested(1, 0.0), tested(1, REAL)
    fired = _fired(ys, 2 * ARMS)
    found: Tallies = {}
    complete, partial = _stack(nulls + second), _stack(nulls + real)
    for method in METHODS:
        found[f"{NAMES[method]}, no effect"] = _rates(complete, fired, _adjusted(method), 2 * ARMS)
        if method != "bonferroni":
            found[f"{NAMES[method]}, half with effects"] = _rates(
                partial, fired, _adjusted(method), ARMS, method == "bh"
            )
    graph = parallel_gatekeeping(ARMS, ARMS, 0.5)
    found["graph, no effect"] = _rates(complete, fired, lambda p: test_graph(graph, p, ALPHA).rejected, 2 * ARMS)
    found["Dunnett"] = _single_step(_stack(nulls), _fired(ys, ARMS), _dunnett(ys))
    found["max-T, 2 metrics"] = _single_step(_stack([nulls[0], second[0]]), _fired(ys, 2), _max_t(joint, ys, 1))
    if world is WORLDS[0] and n <= 2_000 and split == "50/50":
        both = _stack([*nulls[:2], *second[:2]])
        found["max-T, 2 metrics x 2 arms"] = _single_step(both, _fired(ys, 4), _max_t(joint, ys, 2))
    return found


def _stack(columns: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    return np.column_stack([p for p, _ in columns]), np.column_stack([t for _, t in columns])


def _fired(ys: list[Sums], tests: int) -> int:
    """Replications in which the guard of some row fires, in a family of so many tests."""
    outcome = MeanOutcome("y")
    count = 0
    for base, *arms in zip(*(moments(y) for y in ys), strict=True):
        errors = [(a.var("y") / a.n + base.var("y") / base.n) ** 0.5 for a in arms]
        count += any(
            guards(a, base, outcome, error, alpha=ALPHA / tests) for a, error in zip(arms, errors, strict=True)
        )
    return count


Rejected = Callable[[list[float]], tuple[bool, ...]]


def _adjusted(method: Method) -> Rejected:
    return lambda p: adjust(p, method, ALPHA).rejected


def _rates(tests: tuple[Floats, Floats], fired: int, rejected: Rejected, nulls: int, share: bool = False) -> Tally:
    """Families with a false rejection among the first `nulls`; `share`: the share of false ones among the rejected."""
    p, t = tests
    tally = Tally(kind="bound", replications=len(p), fired=fired)
    for r in np.flatnonzero(p.min(axis=1) <= ALPHA):
        found = rejected(p[r].tolist())
        false = [i for i in range(nulls) if found[i]]
        if false:
            first = min(false, key=lambda i: p[r, i])
            weight = len(false) / sum(found) if share else 1.0
            tally.rejection(t[r, first], weight)
    return tally


def _single_step(tests: tuple[Floats, Floats], fired: int, smallest: Callable[[int, float], float]) -> Tally:
    """Families whose smallest p is rejected: `smallest` gives its adjusted p."""
    p, t = tests
    tally = Tally(kind="bound", replications=len(p), fired=fired)
    least = p.min(axis=1)
    for r in np.flatnonzero(least <= ALPHA):
        if least[r] <= ALPHA / p.shape[1] or smallest(int(r), float(least[r])) <= ALPHA:
            tally.rejection(t[r, int(p[r].argmin())])
    return tally


def _dunnett(ys: list[Sums]) -> Callable[[int, float], float]:
    made = [moments(y) for y in ys]

    def smallest(r: int, p: float) -> float:
        cov = contrast_covariance(unadjusted_mean([m[r] for m in made], "y"), baseline_contrasts(1 + ARMS))
        varies = cov.diagonal() > 0
        if not varies.all():  # no event in two arms: no statistic, which joins by Bonferroni
            return min(1.0, ARMS * p)
        se = np.sqrt(cov.diagonal())
        return law_of(_clean(cov / np.outer(se, se)), two_sided=True).smallest(p, range(ARMS))

    return smallest


def _clean(correlation: Floats) -> Floats:
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _max_t(joint: list[tuple[Floats, Floats]], ys: list[Sums], arms: int) -> Callable[[int, float], float]:
    contrasts = [Contrast(MeanOutcome(c), a) for c in ("y", "x") for a in range(1, 1 + arms)]
    nothing, whole = np.zeros(2), np.zeros(2, dtype=np.int64)

    def smallest(r: int, p: float) -> float:
        found = [
            Moments(("y", "x"), int(y.n[r]), mean[r], co[r], nothing, nothing, whole, whole)
            for (mean, co), y in zip(joint[: 1 + arms], ys, strict=False)
        ]
        try:
            correlation = contrast_correlation(found, contrasts)
        except NotComputable:
            return min(1.0, len(contrasts) * p)
        return law_of(correlation, two_sided=True).smallest(p, range(len(contrasts)))

    return smallest
