"""Every estimator: test, absolute interval and Fieller's set say the same; relabelled arms mirror each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from metricdef.errors import NotComputable
from metricdef.stats import effects
from metricdef.stats.adjustment import (
    MeanOutcome,
    RatioOutcome,
    ancova,
    ancova_ratio,
    ancova_welch,
    choose,
    lin,
    lin_ratio,
)
from metricdef.stats.clusters import PerCluster, PerUnit, cluster_estimates
from metricdef.stats.cuped import cuped, cuped_ratio
from metricdef.stats.dunnett import dunnett
from metricdef.stats.effects import ArmEstimates
from metricdef.stats.moments import Moments, from_rows
from metricdef.stats.stratification import stratified

MEAN, RATIO, PAST = MeanOutcome("y"), RatioOutcome("y", "d"), RatioOutcome("x", "w")
ESTIMATORS: dict[str, Callable[[Sequence[Moments]], ArmEstimates]] = {
    "mean": lambda arms: effects.unadjusted_mean(arms, "y"),
    "ratio": lambda arms: effects.unadjusted_ratio(arms, "y", "d"),
    "lin": lambda arms: lin(arms, "y", ["x", "w"]),
    "lin, ratio": lambda arms: lin_ratio(arms, "y", "d", ["x", "w"]),
    "ancova": lambda arms: ancova(arms, "y", ["x", "w"]),
    "ancova, ratio": lambda arms: ancova_ratio(arms, "y", "d", ["x"]),
    "ancova_welch": lambda arms: ancova_welch(arms, MEAN, ["x", "w"]),
    "ancova_welch, ratio": lambda arms: ancova_welch(arms, RATIO, ["x", "w"]),
    "cuped": lambda arms: cuped(arms, MEAN, ["x", "w"]),
    "cuped, total": lambda arms: cuped(arms, MEAN, ["x"], "total"),
    "cuped, ratio": lambda arms: cuped_ratio(arms, RATIO, PAST),
    "default": lambda arms: choose(arms, MEAN, ["x", "w"]),
    "default, ratio": lambda arms: choose(arms, RATIO, ["x", "w"]),
    "clusters, per unit": lambda arms: cluster_estimates(arms, PerUnit("y", "d"), ["x"]),
    "clusters, per cluster": lambda arms: cluster_estimates(arms, PerCluster("y"), ["x", "w"]),
}
SEEDS = st.integers(0, 2**32 - 1)


def arms_of(seed: int) -> list[Moments]:
    """Two to four arms of 3 to 150 units, with offsets, scales and imbalances of every kind."""
    rng = np.random.default_rng(seed)
    offset, scale = rng.choice([0, 0, 0.1, 3, -5, 1e6]), rng.choice([1, 1, 1e-8, 1e8])
    found = []
    for a in range(rng.integers(2, 5)):
        n = int(rng.choice([3, 4, 5, 8, 12, 30, 60, 150]))
        x = rng.normal(rng.choice([0, 50]), 1, size=n)
        w = x * rng.choice([0, 1]) + rng.normal(size=n)
        y = rng.choice([0.1, 1, 5]) * rng.normal(size=n) + rng.choice([0, 1]) * x + offset + a * rng.choice([0, 0.5, 3])
        d = rng.poisson(2, size=n) + 1.0
        found.append(from_rows(["y", "d", "x", "w"], np.column_stack([y * scale, d, x, w])))
    return found


def excludes(r: effects.Relative, value: float) -> bool:
    if r.excluded is not None:
        return r.excluded[0] < value < r.excluded[1]
    return (r.lower is not None and r.lower > value) or (r.upper is not None and r.upper < value)


def compare(est: ArmEstimates, arm: int, alpha: float) -> None:
    d = effects.difference(est, arm, alpha)
    if abs(d.p_value - alpha) > 1e-9:
        assert (d.p_value < alpha) == (d.lower > 0 or d.upper < 0)
        assert (d.p_value < alpha) == excludes(effects.relative(est, arm, alpha), 0.0)
    r = effects.relative(est, arm, alpha)
    assert r.excluded is None or not r.excluded[0] < r.estimate < r.excluded[1]
    assert (r.lower is None or r.lower <= r.estimate) and (r.upper is None or r.upper >= r.estimate)
    one = effects.test_one_sided(est, arm, 0.0, True, alpha / 2)
    if abs(one.p_value - alpha / 2) > 1e-9:
        assert (one.p_value < alpha / 2) == (effects.one_sided_limit(est, arm, True, alpha / 2) > 0)


@pytest.mark.parametrize("name", ESTIMATORS)
@settings(max_examples=examples(25), deadline=None)
@given(seed=SEEDS, alpha=st.sampled_from([0.001, 0.05, 0.3]))
def test_p_interval_and_fieller_agree(name: str, seed: int, alpha: float) -> None:
    arms = arms_of(seed)
    try:
        est = ESTIMATORS[name](arms)
    except NotComputable:
        return
    for arm in range(1, len(arms)):
        try:
            compare(est, arm, alpha)
        except NotComputable:
            continue


@pytest.mark.parametrize("name", ESTIMATORS)
@settings(max_examples=examples(15), deadline=None)
@given(seed=SEEDS)
def test_relabelled_arms_mirror_each_other(name: str, seed: int) -> None:
    arms = arms_of(seed)
    turned = [arms[1], arms[0], *arms[2:]]
    try:
        here, there = (effects.difference(ESTIMATORS[name](a), 1, 0.05) for a in (arms, turned))
    except NotComputable:
        return
    assert there.estimate == pytest.approx(-here.estimate, rel=1e-6, abs=1e-6 * here.std_error)
    assert there.p_value == pytest.approx(here.p_value, rel=1e-5, abs=1e-12)
    assert there.df == pytest.approx(here.df, rel=1e-6)


@pytest.mark.parametrize("name", ESTIMATORS)
@settings(max_examples=examples(8), deadline=None)
@given(seed=SEEDS, alternative=st.sampled_from(["two-sided", "greater", "less"]))
def test_dunnett_of_every_estimator_agrees_with_itself(name: str, seed: int, alternative: str) -> None:
    try:
        found = dunnett(ESTIMATORS[name](arms_of(seed)), 0.05, alternative)  # type: ignore[arg-type]  # one of three
    except NotComputable:
        return
    for row in found.arms:
        if row.p_value is None:
            continue
        assert row.p_adjusted >= row.p_value * (1 - 1e-12)
        if abs(row.p_adjusted - 0.05) > 1e-6:
            assert row.rejected == ((row.lower or 0.0) > 0 or (row.upper or 0.0) < 0)


@settings(max_examples=examples(25), deadline=None)
@given(seed=SEEDS, alpha=st.sampled_from([0.001, 0.05, 0.3]))
def test_strata_agree_too(seed: int, alpha: float) -> None:
    first, second = arms_of(seed), arms_of(seed + 1)
    count = min(len(first), len(second))
    for outcome in (MEAN, RATIO):
        try:
            est = stratified({"a": first[:count], "b": second[:count]}, outcome, ["x"]).estimates
            compare(est, 1, alpha)
        except NotComputable:
            continue
        assert math.isfinite(float(est.means[1]))
