"""Planning functions invert each other and say what simulation says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nct, norm
from scipy.stats import t as student
from thorough import examples

from metricdef.errors import NotComputable
from metricdef.stats.effects import test_one_sided, unadjusted_mean
from metricdef.stats.noncentral_t import WelchDf, welch_tail
from metricdef.stats.power import (
    Level,
    SampleSize,
    allocation_for_control,
    bonferroni,
    duration,
    mde,
    needed_noncentrality,
    power,
    sample_size,
    standard_error,
)
from metricdef.stats.power_margin import power_relative_margin, sample_size_relative_margin, smallest_relative_margin
from metricdef.stats.power_proportions import mde_proportions, power_proportions, sample_size_proportions
from metricdef.stats.unit_sd import cluster_sd, clustered_sd
from stats.reference import moments

LEVELS = st.builds(Level, st.floats(0.001, 0.2), st.sampled_from([1, 2]))
WANTED = st.floats(0.5, 0.99)
ALLOCATION = st.floats(0.05, 4)
FORMULAS = st.sampled_from(["unpooled", "pooled", "arcsine"])


@settings(deadline=None)
@given(st.floats(0.05, 0.5), st.floats(0.1, 3), st.floats(0.1, 3), LEVELS, WANTED, ALLOCATION, st.booleans())
def test_size_power_and_effect_invert_each_other(effect, sd, sd_control, level, wanted, allocation, far_tail):
    found = sample_size(
        effect, sd, level, wanted, sd_control=sd_control, allocation=allocation, null=-0.02, far_tail=far_tail
    )
    assert found.treatment == pytest.approx(allocation * found.control)
    got = power(effect, sd, found.treatment, found.control, level, sd_control=sd_control, null=-0.02)
    assert (got.total if far_tail else got.correct) == pytest.approx(wanted, rel=1e-9)
    smallest = mde(sd, found.treatment, found.control, level, wanted, sd_control=sd_control, far_tail=far_tail)
    assert smallest == pytest.approx(effect + 0.02, rel=1e-9)


@settings(max_examples=examples(20), deadline=None)
@given(st.floats(0.1, 2), st.floats(0.3, 3), LEVELS, WANTED, ALLOCATION, st.sampled_from(["welch", "pooled"]))
def test_the_same_by_t(effect, sd_control, level, wanted, allocation, test):
    found = sample_size(effect, 1.0, level, wanted, sd_control=sd_control, allocation=allocation, test=test)
    if min(found.treatment, found.control) > 2 and found.total > 6:
        given_units = (found.treatment, found.control, level)
        got = power(effect, 1.0, *given_units, sd_control=sd_control, test=test)
        assert got.correct == pytest.approx(wanted, rel=1e-7)
        smallest = mde(1.0, *given_units, wanted, sd_control=sd_control, test=test)
        assert smallest == pytest.approx(effect, rel=1e-6)
        normal = sample_size(effect, 1.0, level, wanted, sd_control=sd_control, allocation=allocation)
        assert found.total > normal.total


def test_power_by_t_against_simulation():
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.9, 1, (20_000, 12)), rng.normal(0, 1, (20_000, 15))
    pooled = np.sqrt((11 * a.var(axis=1, ddof=1) + 14 * b.var(axis=1, ddof=1)) / 25 * (1 / 12 + 1 / 15))
    t = (a.mean(axis=1) - b.mean(axis=1)) / pooled
    level = Level(0.05)
    assert np.mean(t > level.quantile(25)) == pytest.approx(
        power(0.9, 1, 12, 15, level, test="pooled").correct, abs=0.012
    )


@pytest.mark.parametrize(
    ("n1", "n0", "sd", "sd_control", "effect"),
    [(5, 20, 1.0, 3.0, 2.5), (20, 5, 1.0, 3.0, 3.0), (3, 3, 1.0, 1.0, 2.0), (2, 30, 2.0, 1.0, 3.0)],
)
def test_power_of_welch_against_simulation(n1, n0, sd, sd_control, effect):
    rng = np.random.default_rng(3)
    a, b = rng.normal(effect, sd, (60_000, n1)), rng.normal(0, sd_control, (60_000, n0))
    v1, v0 = a.var(axis=1, ddof=1) / n1, b.var(axis=1, ddof=1) / n0
    df = (v1 + v0) ** 2 / (v1**2 / (n1 - 1) + v0**2 / (n0 - 1))
    rejected = np.mean((a.mean(axis=1) - b.mean(axis=1)) / np.sqrt(v1 + v0) > student.isf(0.025, df))
    got = power(effect, sd, n1, n0, Level(0.05), sd_control=sd_control, test="welch").correct
    assert got == pytest.approx(rejected, abs=4 * math.sqrt(got * (1 - got) / 60_000))


@pytest.mark.parametrize("f", [1.0, 2.0, 7.5, 300.0])
def test_welch_with_all_variance_in_one_arm_is_students_t_of_that_arm(f):
    for other in (1.0, 40.0, 1e6):
        for mean in (-1.0, 0.0, 2.0):
            want = nct.sf(student.isf(0.025, f), f, mean)
            for df in (WelchDf(1.0, f, other), WelchDf(0.0, other, f)):
                assert welch_tail(0.025, df, mean) == pytest.approx(want, rel=1e-9)


def test_power_with_few_clusters_against_simulation():
    rng, k, m, icc = np.random.default_rng(4), 6, 30, 0.1
    means = rng.normal(0, math.sqrt(icc + (1 - icc) / m), (60_000, 2, k))
    means[:, 1] += 0.6
    v = means.var(axis=2, ddof=1) / k
    df = v.sum(axis=1) ** 2 / (v**2 / (k - 1)).sum(axis=1)
    rejected = np.mean(np.diff(means.mean(axis=2))[:, 0] / np.sqrt(v.sum(axis=1)) > student.isf(0.025, df))
    of_a_cluster = cluster_sd(1.0, m, icc)
    assert power(0.6, of_a_cluster, k, k, Level(0.05), test="welch").correct == pytest.approx(rejected, abs=0.01)
    assert power(0.6, of_a_cluster, k, k, Level(0.05)).correct > rejected + 0.05
    units = power(0.6, clustered_sd(1.0, m, icc), k * m, k * m, Level(0.05)).correct
    assert units == pytest.approx(power(0.6, of_a_cluster, k, k, Level(0.05)).correct)


def test_no_effect_in_the_limit_is_the_level():
    found = power(1e-12, 1.0, 100, 100, Level(0.05))
    assert found.correct == pytest.approx(0.025)
    assert found.wrong == pytest.approx(0.025)
    assert power(1e-12, 1.0, 100, 100, Level(0.05, 1)).total == pytest.approx(0.05)


@given(st.integers(1, 9))
def test_the_square_root_rule_minimises_the_variance_of_the_comparisons(arms):
    def variance(allocation: float) -> float:
        control = 1 / (1 + arms * allocation)
        return standard_error(1.0, allocation * control, control) ** 2

    best = allocation_for_control(arms)
    assert variance(best) <= min(variance(best * 0.9), variance(best * 1.1))


def test_several_arms():
    level = bonferroni(0.05, 4)
    assert level == Level(0.0125, 2)
    assert bonferroni(0.05, 4, 1) == Level(0.0125, 1)
    found = sample_size(0.1, 1.0, level, 0.8, allocation=allocation_for_control(4), arms=4)
    assert found.total == pytest.approx(found.control + 4 * found.treatment)
    dunnett = Level(0.05, 2, critical=2.4)
    assert sample_size(0.1, 1.0, dunnett, 0.8).total < sample_size(0.1, 1.0, level, 0.8).total
    same = sample_size(0.1, 1.0, Level(0.05, 2, critical=1.959963984540054), 0.8)
    assert same.total == pytest.approx(sample_size(0.1, 1.0, Level(0.05), 0.8).total)


def test_rounding_is_up():
    assert SampleSize(100.2, 50.0).rounded() == SampleSize(101, 50)
    assert SampleSize(100.0000000000001, 3.5, 2).rounded() == SampleSize(100, 4, 2)


@settings(deadline=None)
@given(st.floats(0.02, 0.6), st.floats(0.01, 0.3), LEVELS, WANTED, ALLOCATION, FORMULAS, st.booleans())
def test_proportions_invert(p_control, difference, level, wanted, allocation, formula, far_tail):
    rates = (p_control + difference, p_control)
    found = sample_size_proportions(*rates, level, wanted, allocation=allocation, formula=formula, far_tail=far_tail)
    got = power_proportions(*rates, found.treatment, found.control, level, formula)
    assert (got.total if far_tail else got.correct) == pytest.approx(wanted, rel=1e-8)
    if not far_tail:
        smallest = mde_proportions(p_control, found.treatment, found.control, level, wanted, formula=formula)
        assert smallest == pytest.approx(difference, rel=1e-6)


def test_a_decrease_of_a_rate_is_an_increase_of_its_complement():
    level = Level(0.05)
    down = mde_proportions(0.3, 900, 1000, level, 0.8, increase=False)
    assert -0.3 < down < 0
    assert power_proportions(0.3 + down, 0.3, 900, 1000, level).correct == pytest.approx(0.8)
    with pytest.raises(NotComputable, match="no difference"):
        mde_proportions(0.5, 3, 3, level, 0.8)


def test_proportions_against_simulation():
    rng = np.random.default_rng(4)
    found = sample_size_proportions(0.14, 0.1, Level(0.05), 0.8)
    n1, n0 = found.rounded().treatment, found.rounded().control
    p1, p0 = rng.binomial(n1, 0.14, 40_000) / n1, rng.binomial(n0, 0.1, 40_000) / n0
    z = (p1 - p0) / np.sqrt(p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0)
    assert np.mean(z > 1.96) == pytest.approx(0.8, abs=0.01)


def test_relative_margin():
    level = Level(0.025, 1)
    found = sample_size_relative_margin(0.05, 20.0, 8.0, level, 0.8, lift=0.01)
    se = math.sqrt(64 / found.treatment + 0.95**2 * 64 / found.control)
    contrast = 20.0 * 1.01 - 0.95 * 20.0
    assert norm.sf(1.959963984540054 - contrast / se) == pytest.approx(0.8)
    mirrored = sample_size_relative_margin(0.05, -20.0, 8.0, level, 0.8, lift=0.01)
    assert mirrored.total > found.total
    with pytest.raises(NotComputable, match="baseline"):
        sample_size_relative_margin(0.05, 0.0, 8.0, level, 0.8)


@settings(max_examples=examples(12), deadline=None)
@given(st.floats(0.01, 0.3), st.floats(-50, 50).filter(lambda m: abs(m) > 1), WANTED, ALLOCATION, st.floats(0, 0.05))
def test_size_power_and_relative_margin_invert_each_other(margin, mean, wanted, allocation, lift):
    for test in ("z", "welch"):
        sds = {"lift": lift, "sd_control": 9.0, "test": test}
        level = Level(0.025, 1)
        found = sample_size_relative_margin(margin, mean, 8.0, level, wanted, allocation=allocation, **sds)
        if min(found.treatment, found.control) > 2:
            units = (found.treatment, found.control)
            got = power_relative_margin(margin, mean, 8.0, *units, level, **sds)
            assert got.correct == pytest.approx(wanted, rel=1e-7)
            assert smallest_relative_margin(mean, 8.0, *units, level, wanted, **sds) == pytest.approx(margin, rel=1e-6)


def test_power_of_a_relative_margin_against_simulation():
    rng, n1, n0 = np.random.default_rng(6), 12, 5
    arms = rng.normal(20, 4, (4_000, n1)), rng.normal(20, 12, (4_000, n0))
    rejected = 0
    for start in range(4_000):
        one, zero = (moments(len(x), ["y"], [x.mean()], [[x.var(ddof=1)]]) for x in (arm[start] for arm in arms))
        rejected += (
            test_one_sided(unadjusted_mean([zero, one], "y"), 1, 0.0, True, 0.025, relative=-0.6).p_value < 0.025
        )
    want = power_relative_margin(0.6, 20.0, 4.0, n1, n0, Level(0.025, 1), sd_control=12.0, test="welch").correct
    assert rejected / 4_000 == pytest.approx(want, abs=0.009)
    with pytest.raises(NotComputable, match="baseline"):
        smallest_relative_margin(1.0, 50.0, 10, 10, Level(0.025, 1), 0.8)


def test_duration():
    assert duration(1000, 250) == 4
    assert duration(1000, [400, 300, 200, 200]) == pytest.approx(3.5)
    assert duration(1000, [0, 0, 1000]) == 3
    with pytest.raises(NotComputable, match="900"):
        duration(1000, [500, 400])


@pytest.mark.parametrize(
    "call",
    [
        lambda: Level(0.05, 3),
        lambda: Level(0.5, 1),
        lambda: Level(0.05, 2, critical=0.0),
        lambda: bonferroni(0.05, 0),
        lambda: Level(0.05, 2, critical=2.4).quantile(10),
        lambda: allocation_for_control(0),
        lambda: sample_size(0.0, 1.0, Level(0.05), 0.8),
        lambda: sample_size(-0.1, 1.0, Level(0.05, 1), 0.8),
        lambda: sample_size(0.1, 0.0, Level(0.05), 0.8),
        lambda: sample_size(0.1, 1.0, Level(0.05), 0.8, allocation=0.0),
        lambda: sample_size(0.1, 1.0, Level(0.05), 1.0),
        lambda: sample_size(0.1, math.nan, Level(0.05), 0.8),
        lambda: needed_noncentrality(Level(0.05), 0.02),
        lambda: power(0.1, 1.0, 0, 10, Level(0.05)),
        lambda: sample_size_proportions(0.1, 0.1, Level(0.05), 0.8),
        lambda: sample_size_proportions(0.1, 0.0, Level(0.05), 0.8),
        lambda: sample_size_proportions(0.1, 0.2, Level(0.05, 1), 0.8),
        lambda: sample_size_proportions(0.2, 0.1, Level(0.05), 0.8, formula="wald"),
        lambda: sample_size_relative_margin(1.0, 1.0, 1.0, Level(0.025, 1), 0.8),
        lambda: power(0.1, 1.0, 20, 20, Level(0.05), test="t"),
        lambda: power(0.1, 1.0, 20, 20, Level(0.05, 2, critical=2.4), test="welch"),
        lambda: smallest_relative_margin(1.0, 1.0, 100, 100, Level(0.025, 1), 0.01),
        lambda: duration(0, 10),
        lambda: duration(10, 0),
        lambda: duration(10, [5, -1]),
    ],
)
def test_refusals(call):
    with pytest.raises(ValueError):
        call()


def test_an_effect_too_small_for_any_experiment():
    with pytest.raises(NotComputable, match="units"):
        sample_size(1e-12, 1.0, Level(0.05), 0.8, test="pooled")
