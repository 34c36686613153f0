"""A short version of `make calibrate-stats`: some cells, up to 2,000 replications, the same classes and bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from thorough import cases

from benchmarks.calibration import designs, estimators, groups, multiple, ranks, spreads
from benchmarks.calibration.classes import classify
from benchmarks.calibration.tally import Key, Tally
from benchmarks.calibration.verdicts import Verdict, judge
from benchmarks.calibration.worlds import WORLDS, arm_sizes, companions, explaining, sums
from metricdef.stats.moments import from_rows

NORMAL, BERNOULLI, LOGNORMAL, POISSON = WORLDS
REPLICATIONS = cases(500, 2_000)


def judged(group: object, world: object, n: int, split: str, replications: int = REPLICATIONS) -> dict[str, Verdict]:
    rng = np.random.default_rng([7, n, WORLDS.index(world)])
    found = group(rng, world, n, split, replications)
    cells = {Key(name, world.name, n, split): tally for name, tally in found.items()}
    return {v.key.procedure: v for v in judge(cells, {key: classify(key) for key in cells})}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("group", "world", "n", "split", "replications"),
    [
        (estimators.batch, NORMAL, 200, "50/50", cases(100, 400)),
        (estimators.batch, POISSON, 2_000, "90/10", cases(50, 200)),
        (designs.batch, NORMAL, 2_000, "50/50", REPLICATIONS),
        (multiple.batch, NORMAL, 2_000, "50/50", REPLICATIONS),
        (groups.batch, POISSON, 2_000, "50/50", cases(150, 600)),
    ],
)
def test_sound_cells(group: object, world: object, n: int, split: str, replications: int) -> None:
    verdicts = judged(group, world, n, split, replications)
    assert {v.kind for v in verdicts.values()} & {"A", "B"}
    assert not {name: (v.rate, v.warned, v.what) for name, v in verdicts.items() if not v.holds}


def test_the_guard_speaks_where_a_tail_is_too_large() -> None:
    rng, reps = np.random.default_rng(5), 600
    for world, n in ((LOGNORMAL, 2_000), (BERNOULLI, 200)):
        arm, baseline = arm_sizes(n, "90/10")
        arms = [sums(world.draw(rng, (reps, size)), world.mean) for size in (baseline, arm)]
        found = estimators.means(world, tuple(arms))
        mean = found["mean"]
        assert mean.lower / reps > 0.1
        assert mean.fired / reps >= 0.95
        assert classify(Key("mean", world.name, n, "90/10"))[0] == "C"
        if world is BERNOULLI:  # the score family mends what the mean does
            score = found["proportion (score or Welch)"]
            assert score.lower + score.upper <= 0.05 * reps + 3 * np.sqrt(0.05 * 0.95 * reps)


def test_sample_ratio_alarms_keep_their_level() -> None:
    for split in ("50/50", "90/10"):
        for tally in designs.srm_batch(np.random.default_rng(6), 200, split, 20_000).values():
            assert tally.lower + tally.upper <= 20 + 3 * np.sqrt(20)


@pytest.mark.thorough
@pytest.mark.parametrize(("n", "split"), [(40, "50/50"), (200, "90/10")])
def test_arms_that_spread_differently(n: int, split: str) -> None:
    for world, found in spreads.batch(np.random.default_rng(9), n, split, cases(250, 1_000)).items():
        cells = {Key(name, world, n, split): tally for name, tally in found.items()}
        for v in judge(cells, {key: classify(key) for key in cells}):
            assert (v.kind, v.holds) == ("A", True), v.key


def test_quantiles_of_units() -> None:
    found = ranks.unit_batch(np.random.default_rng(8), 20_000, "50/50", 1_000)["lognormal"]
    for tally in found.values():
        assert abs(tally.lower + tally.upper - 50) <= 5 + 3 * np.sqrt(50)


# --- the simulation itself --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_sums_are_the_moments_of_the_units(world: object) -> None:
    rng = np.random.default_rng(1)
    y = world.draw(rng, (20, 40))
    sizes = rng.multinomial(40, [0.4, 0.3, 0.2, 0.1], size=20)
    sizes[:4] = [[40, 0, 0, 0], [10, 10, 10, 0], [1, 0, 0, 39], [0, 0, 0, 0]]
    sizes[-1] = [0, 0, 39, 1]
    whole, parts = sums(y, world.mean), sums(y, world.mean, sizes)
    for r in range(20):
        edges = np.concatenate([[0], np.cumsum(sizes[r])])
        pieces = [(parts.part(k), y[r, edges[k] : edges[k + 1]]) for k in range(4)]
        for found, units in [(whole, y[r]), *pieces]:
            want = from_rows(["y"], units[:, None])
            got = [found.n[r], found.mean[r], found.square[r], found.third[r], found.nonzero[r]]
            expected = [want.n, want.mean[0], want.comoment[0, 0], want.third[0], want.nonzero[0]]
            assert got == pytest.approx(expected, rel=1e-9, abs=1e-8)
        assert whole.largest[r] == np.abs(y[r]).max()


def test_companions_have_the_law_of_drawn_covariates() -> None:
    rng = np.random.default_rng(2)
    n, reps, k = 12, 40_000, 3
    y = POISSON.draw(rng, (reps, n))
    slopes, noise = explaining(POISSON, k)
    mean, comoment = companions(rng, sums(y, POISSON.mean), POISSON.mean, slopes, noise)
    x = (y - POISSON.mean)[..., None] * slopes + rng.standard_normal((reps, n, k)) @ noise
    rows = np.concatenate([y[..., None], x], axis=2)
    off = rows - rows.mean(axis=1, keepdims=True)
    drawn = np.swapaxes(off, 1, 2) @ off
    for ours, theirs in ((mean, rows.mean(axis=1)), (comoment, drawn), (np.linalg.det(comoment), np.linalg.det(drawn))):
        error = np.maximum(theirs.std(axis=0), 1e-12) / np.sqrt(reps)
        assert np.all(np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) <= 6 * error)
        assert np.all(np.abs(ours.std(axis=0) / np.maximum(theirs.std(axis=0), 1e-12) - 1) <= 0.05)


# --- the verdicts can fail --------------------------------------------------------------------------------------------


def cell(kind: str, tally: Tally) -> tuple[str, ...]:
    key = Key("anything", "normal", 200, "50/50")
    return judge({key: tally}, {key: (kind, "")})[0].what


def test_a_wrong_rate_is_found() -> None:
    right = Tally(replications=20_000, lower=500, upper=500)
    assert cell("A", right) == ()
    assert cell("A", replace(right, lower=700)) == ("rate",)
    assert cell("A", replace(right, lower=300)) == ("rate",)
    assert cell("B", replace(right, lower=100, upper=100)) == ()  # a bound may be low
    assert cell("B", replace(right, lower=550, upper=560)) == ("rate",)
    assert cell("C", replace(right, lower=700)) == ()


def test_a_wrong_guard_is_found() -> None:
    tally = Tally(replications=20_000, lower=500, upper=500)
    assert cell("A", replace(tally, fired=300)) == ("warns",)
    assert cell("A", replace(tally, fired=200)) == ()
    assert cell("C", replace(tally, lower=900, fired=18_000)) == ("silent",)
    assert cell("C", replace(tally, lower=900, fired=19_500)) == ()


def test_holm_over_the_cells() -> None:
    # 0.16 % by chance is one of a thousand cells, and no fault there.
    keys = [Key(str(i), "normal", 200, "50/50") for i in range(1_000)]
    cells = {key: Tally(replications=20_000, lower=500, upper=500) for key in keys}
    cells[keys[3]] = Tally(replications=20_000, lower=550, upper=545)
    assert all(v.holds for v in judge(cells, dict.fromkeys(keys, ("B", ""))))
    alone = {keys[3]: cells[keys[3]]}
    assert not judge(alone, {keys[3]: ("B", "")})[0].holds
