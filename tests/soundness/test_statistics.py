"""Ways in which a statistic could contradict itself."""

from dataclasses import astuple

import numpy as np
import pytest

from metricdef.stats import srm
from metricdef.stats.bayes import effect_variance, update
from metricdef.stats.contingency import homogeneity
from metricdef.stats.effects import relative, unadjusted_mean
from metricdef.stats.moments import from_rows
from metricdef.stats.power import Level, power
from metricdef.stats.power_arms import power_arms
from metricdef.stats.power_equivalence import power_equivalence
from metricdef.stats.power_margin import power_relative_margin
from metricdef.stats.proportions import score_difference, score_ratio, score_test
from metricdef.stats.tails import t_quantile

pytestmark = pytest.mark.soundness


@pytest.mark.parametrize("table", [(0, 11, 3, 13), (3, 13, 0, 11), (11, 11, 10, 13), (10, 13, 11, 11)])
def test_the_score_interval_does_not_end_at_a_vanishing_difference(table):
    """Bisection met a difference of 5e-17, where the restricted rates had no digits left: the limit became 0."""
    d, r = score_difference(*table, 0.05), score_ratio(*table, 0.05)
    assert d.p_value > 0.05
    assert d.lower < -1e-3
    assert d.upper > 1e-3
    assert r.lower < 0 < (r.upper or 1)


@pytest.mark.parametrize("null", [1e-15, 1e-13, 1e-12, -1e-12, 1e-10])
@pytest.mark.parametrize("table", [(1, 1, 1_159_430, 2_000_000), (2, 5, 3, 2_000_000), (0, 11, 3, 13)])
def test_the_score_statistic_is_continuous_at_no_difference(table, null):
    """Rounding in 1 - p - difference gave the restricted rate the wrong end, and a statistic of 1e9."""
    at_zero = score_difference(*table, 0.05).statistic
    assert score_test(*table, null, greater=True).statistic == pytest.approx(at_zero, rel=1e-3)


@pytest.mark.parametrize(
    ("n", "shares"),
    [(2_000, (0.0001, 0.49995, 0.49995)), (1_000, (0.004, 0.004, 0.496, 0.496)), (800, (0.004, 0.498, 0.498))],
)
def test_three_arms_with_a_small_one_keep_the_level_of_an_alarm(n, shares):
    """Pearson's chi-square with an expected count of 0.2 raised 1.8 % false alarms at a level of 0.1 %."""
    draws = np.random.default_rng(7).multinomial(n, shares, size=4_000)
    found, times = np.unique(draws, axis=0, return_counts=True)
    alarms = sum(
        t for row, t in zip(found, times, strict=True) if srm.chi_square(row.tolist(), shares).p_value <= 0.001
    )
    assert alarms <= 4 + 3 * 4**0.5


def test_an_epoch_with_few_units_does_not_lend_its_chi_square_to_the_whole():
    """Of 20 units in the first epoch, 1 %, one in the small arm more than doubled the sum of the statistics."""
    shares, rng = ((0.99, 0.01), (0.5, 0.5)), np.random.default_rng(8)
    first, second = rng.binomial(20, 0.01, 6_000), rng.binomial(4_000, 0.5, 6_000)
    alarms = 0
    for x, y in zip(first.tolist(), second.tolist(), strict=True):
        parts = [srm.chi_square((20 - x, x), shares[0]), srm.chi_square((4_000 - y, y), shares[1])]
        alarms += srm.combine(parts).p_value <= 0.001
    assert alarms <= 6 + 3 * 6**0.5


@pytest.mark.parametrize(("sizes", "rate"), [((200, 1_800), 0.005), ((500, 4_500), 0.004), ((100, 900, 900), 0.01)])
def test_a_rare_rate_in_a_small_arm_keeps_the_level_of_an_alarm(sizes, rate):
    """Pearson's chi-square with 1 expected unit raised 0.4 % false alarms at 0.1 %, enough to fail a health check."""
    draws = np.random.default_rng(9).binomial(sizes, rate, size=(20_000, len(sizes)))
    found, times = np.unique(draws, axis=0, return_counts=True)
    alarms = sum(
        t
        for row, t in zip(found, times, strict=True)
        if row.any() and homogeneity(row.tolist(), sizes).p_value <= 0.001
    )
    assert alarms <= 20 + 3 * 20**0.5


def test_an_arm_that_is_always_0_leaves_no_gap_in_fiellers_set():
    """Rounding made a set that excludes only [-1 - 1e-8, -1 + 1e-8], with the estimate -1 in the gap."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        noise = rng.normal(0.02, 1, size=(int(rng.integers(5, 60)), 1))
        found = relative(unadjusted_mean([from_rows(["y"], noise), from_rows(["y"], np.zeros((20, 1)))], "y"), 1, 0.05)
        assert found.estimate == -1
        if abs(noise.mean()) < t_quantile(0.05, len(noise) - 1) * noise.std(ddof=1) / len(noise) ** 0.5:
            assert found.shape == "unbounded"  # (L + 1)^2 mu0^2 <= q^2 (L + 1)^2 V0 for every L
        else:
            assert found.lower <= -1 <= found.upper


@pytest.mark.parametrize("n", [1e3, 1e5, 1e7])
@pytest.mark.parametrize("test", ["welch", "pooled"])
def test_a_power_is_no_more_than_1(n, test):
    """Weights that sum to 1 but for rounding made 1.0000000000000004 of certainty."""
    for units in ((n, n), (n, 3 * n), (7 * n, n)):
        found = power(5.0, 1.0, *units, Level(0.05, 2), sd_control=2.0, test=test)
        assert 1 - 1e-9 < found.correct <= found.total <= 1
        assert 1 - 1e-9 < power_equivalence(0.0, 1.0, *units, -5.0, 5.0, Level(0.05, 1), test=test).correct <= 1
        found = power_arms([5.0, 6.0], [n, *units], Level(0.02, 2), 1.0)
        assert max(found.each) <= 1
        assert 1 - 1e-9 < found.all <= found.any <= 1


def test_a_relative_margin_is_not_shown_by_a_treatment_beyond_it():
    """At a two-sided level the distance lost its sign: an effect of -9 % was "shown" to be within 5 % with power 0.98."""
    with pytest.raises(ValueError, match="one-sided"):
        power_relative_margin(0.05, 10.0, 1.0, 200, 200, Level(0.05), lift=-0.09)
    with pytest.raises(ValueError, match="above the null"):
        power_relative_margin(0.05, 10.0, 1.0, 200, 200, Level(0.025, 1), lift=-0.09)


@pytest.mark.parametrize("shift", [-10.0, 10.0])
def test_the_chance_to_beat_a_negative_baseline_is_that_of_a_larger_mean(shift):
    """A relative effect was taken over the baseline with its sign: the better arm of two losses had a chance of 0."""
    rng = np.random.default_rng(4)
    est = unadjusted_mean([from_rows(["y"], shift + rng.normal(mean, 1, (200, 1))) for mean in (0.0, 0.3)], "y")
    chances = [update(*astuple(effect_variance(est, 1, scale))).chance_to_beat for scale in ("absolute", "relative")]
    assert chances[1] == pytest.approx(chances[0], abs=0.02)
    assert min(chances) > 0.9
