"""Planning functions invert each other and say what simulation says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from metricdef.errors import NotComputable
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
    sample_size_relative_margin,
    standard_error,
)
from metricdef.stats.power_proportions import mde_proportions, power_proportions, sample_size_proportions

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


@settings(max_examples=40, deadline=None)
@given(st.floats(0.1, 2), LEVELS, WANTED, ALLOCATION)
def test_the_same_by_t(effect, level, wanted, allocation):
    found = sample_size(effect, 1.0, level, wanted, allocation=allocation, t=True)
    if found.total > 6:
        got = power(effect, 1.0, found.treatment, found.control, level, t=True)
        assert got.correct == pytest.approx(wanted, rel=1e-7)
        assert mde(1.0, found.treatment, found.control, level, wanted, t=True) == pytest.approx(effect, rel=1e-6)
        assert found.total > sample_size(effect, 1.0, level, wanted, allocation=allocation).total


def test_power_by_t_against_simulation():
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.9, 1, (20_000, 12)), rng.normal(0, 1, (20_000, 15))
    pooled = np.sqrt((11 * a.var(axis=1, ddof=1) + 14 * b.var(axis=1, ddof=1)) / 25 * (1 / 12 + 1 / 15))
    t = (a.mean(axis=1) - b.mean(axis=1)) / pooled
    level = Level(0.05)
    assert np.mean(t > level.quantile(25)) == pytest.approx(power(0.9, 1, 12, 15, level, t=True).correct, abs=0.012)


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
        sample_size(1e-12, 1.0, Level(0.05), 0.8, t=True)
