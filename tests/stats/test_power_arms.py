"""Planning of several arms, interactions, slopes and ratio tests, against tables, integrals by scipy and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, multivariate_normal, norm
from thorough import examples

from metricdef.stats.dunnett import dunnett
from metricdef.stats.effects import unadjusted_mean
from metricdef.stats.moments import from_rows
from metricdef.stats.novelty import test_novelty as novelty_test
from metricdef.stats.power import Level, SampleSize, bonferroni, power, sample_size
from metricdef.stats.power_arms import dunnett_level, power_arms, sample_size_arms
from metricdef.stats.power_interaction import (
    interaction_error,
    mde_interaction,
    power_interaction,
    sample_size_interaction,
)
from metricdef.stats.power_srm import power_srm, sample_size_srm, smallest_loss
from metricdef.stats.srm import chi_square
from metricdef.stats.unit_sd import slope_sd


@pytest.mark.parametrize(
    ("arms", "sided", "alpha", "critical"),  # Dunnett (1955, 1964), tables for infinitely many degrees of freedom
    [
        (1, 2, 0.05, 1.96), (2, 2, 0.05, 2.21), (3, 2, 0.05, 2.35), (4, 2, 0.05, 2.44), (5, 2, 0.05, 2.51),
        (2, 2, 0.01, 2.79), (4, 2, 0.01, 3.00), (2, 1, 0.05, 1.92), (3, 1, 0.05, 2.06), (5, 1, 0.05, 2.23),
    ],
)  # fmt: skip
def test_published_critical_values(arms, sided, alpha, critical):
    assert dunnett_level(alpha, [100] * (arms + 1), sided).critical == pytest.approx(critical, abs=0.0051)


def correlation(units, sds):
    v = np.array(sds) ** 2 / np.array(units)
    lam = np.sqrt(v[0] / (v[1:] + v[0]))
    out = np.outer(lam, lam)
    np.fill_diagonal(out, 1.0)
    return out, np.sqrt(v[1:] + v[0])


@pytest.mark.parametrize("sided", [1, 2])
def test_unequal_allocation_against_the_multivariate_normal(sided):
    units, sds = [300, 100, 150, 60], [1.0, 1.3, 0.8, 2.0]
    level = dunnett_level(0.05, units, sided, sds)
    r, _ = correlation(units, sds)
    c = level.quantile()
    low = [-c if sided == 2 else -40.0] * 3
    inside = multivariate_normal.cdf([c] * 3, np.zeros(3), r, lower_limit=low, abseps=1e-9, releps=1e-9)
    assert 1 - inside == pytest.approx(0.05, abs=1e-6)
    assert level.quantile() < bonferroni(0.05, 3, sided).quantile()
    assert dunnett_level(0.05, [10 * n for n in units], sided, sds).critical == pytest.approx(level.critical)


def test_the_critical_value_is_that_of_the_test():
    rng = np.random.default_rng(1)
    rows = [rng.normal(size=(n, 1)) for n in (4_000, 1_000, 2_000)]
    est = unadjusted_mean([from_rows(["y"], x) for x in rows], "y")
    got = dunnett(est, 0.05, known_variances=True).critical_value
    sds = [float(x.std(ddof=1)) for x in rows]
    assert dunnett_level(0.05, [4_000, 1_000, 2_000], 2, sds).critical == pytest.approx(got, rel=1e-6)


def test_power_of_arms_against_the_multivariate_normal():
    units, sds, effects = [300, 100, 150], [1.0, 1.3, 0.8], [0.4, -0.3]
    level = dunnett_level(0.05, units, 2, sds)
    r, errors = correlation(units, sds)
    r[0, 1] = r[1, 0] = -r[0, 1]  # the second arm's statistic turned
    mean = np.abs(effects) / errors
    none = multivariate_normal.cdf([level.quantile()] * 2, mean, r, abseps=1e-10, releps=1e-10)
    both = multivariate_normal.cdf([-level.quantile()] * 2, -mean, r, abseps=1e-10, releps=1e-10)
    got = power_arms(effects, units, level, sds)
    assert got.any == pytest.approx(1 - none, abs=1e-7)
    assert got.all == pytest.approx(both, abs=1e-7)
    assert got.each == pytest.approx(norm.sf(level.quantile() - mean))
    one = power_arms([0.4, 0.0], units, level, sds)
    assert one.any == pytest.approx(one.all)
    assert one.any == pytest.approx(got.each[0], rel=1e-9)


@settings(max_examples=examples(15), deadline=None)
@given(
    st.lists(st.floats(0.2, 3), min_size=1, max_size=4), st.floats(0.55, 0.95), st.sampled_from(["each", "any", "all"])
)
def test_sizes_of_arms_have_their_power(allocation, wanted, goal):
    shares = [1.0, *allocation]
    effects = [0.1 * (i + 1) for i in range(len(allocation))]
    level = dunnett_level(0.05, shares)
    units = sample_size_arms(effects, shares, level, wanted, 1.0, goal)
    found = power_arms(effects, units, level, 1.0)
    assert {"each": min(found.each), "any": found.any, "all": found.all}[goal] == pytest.approx(wanted, rel=1e-8)
    assert found.all <= min(found.each) + 1e-9
    assert max(found.each) - 1e-9 <= found.any <= sum(found.each)


def test_one_arm_is_the_comparison_of_two():
    level = dunnett_level(0.05, [2, 1])
    assert level.critical == pytest.approx(1.959963984540054)
    units = sample_size_arms([0.2], [2, 1], level, 0.8, 1.0)
    want = sample_size(0.2, 1.0, Level(0.05), 0.8, allocation=0.5)
    assert SampleSize(units[1], units[0]).total == pytest.approx(want.total, rel=1e-9)


# --- interaction, slope -----------------------------------------------------------------------------------------------


def test_power_of_an_interaction_against_simulation():
    rng, sds, units = np.random.default_rng(2), ((1.0, 2.0), (1.5, 1.0)), ((400, 100), (200, 50))
    error = math.sqrt(1 / 400 + 4 / 100 + 2.25 / 200 + 1 / 50)
    assert interaction_error(sds, units) == pytest.approx(error)
    draws = rng.normal(0.7, error, 20_000)
    got = power_interaction(0.7, sds, units, Level(0.05))
    assert got.correct == pytest.approx(np.mean(draws / error > 1.96), abs=0.012)
    assert mde_interaction(sds, units, Level(0.05), got.correct) == pytest.approx(0.7)


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.floats(0.5, 0.95))
def test_size_of_an_interaction(share_a, share_b, wanted):
    n = sample_size_interaction(-0.1, 1.3, Level(0.05), wanted, share_a, share_b)
    a, b = (1 - share_a, share_a), (1 - share_b, share_b)
    units = ((n * a[0] * b[0], n * a[0] * b[1]), (n * a[1] * b[0], n * a[1] * b[1]))
    assert power_interaction(-0.1, 1.3, units, Level(0.05)).correct == pytest.approx(wanted)


def test_an_interaction_costs_four_times_a_main_effect():
    main = sample_size(0.1, 1.0, Level(0.05), 0.8).total
    assert sample_size_interaction(0.1, 1.0, Level(0.05), 0.8) == pytest.approx(4 * main)


@pytest.mark.parametrize("r", [0.0, 0.6, -0.3])
def test_the_sd_of_a_slope_against_simulation(r):
    rng, days, n = np.random.default_rng(3), 14, 20_000
    noise = rng.normal(size=(n, days))
    for d in range(1, days):
        noise[:, d] = r * noise[:, d - 1] + math.sqrt(1 - r * r) * noise[:, d]
    y = 3 * rng.normal(size=(n, 1)) + 2 * noise  # the unit's own level drops out
    slopes = np.polyfit(np.arange(days), y.T, 1)[0]
    assert slope_sd(days, 2.0, r) == pytest.approx(slopes.std(ddof=1), rel=0.02)
    w = np.arange(days) - (days - 1) / 2
    arms = [from_rows(["s"], (half @ w)[:, None]) for half in np.split(y, 2)]
    (found,) = novelty_test(arms, "s", days, 0.05)
    assert found.slope.std_error == pytest.approx(slope_sd(days, 2.0, r) * math.sqrt(4 / n), rel=0.03)
    assert power(0.01, slope_sd(days, 2.0, r), n / 2, n / 2, Level(0.05)).correct > 0.5


# --- sample ratios ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "share", "loss"), [(20_000, 0.5, 0.05), (100_000, 0.5, 0.02), (50_000, 0.9, 0.1)])
def test_power_of_the_ratio_test_against_the_binomial(n, share, loss):
    true = [share, (1 - share) * (1 - loss)]
    counted = round(n * sum(true))
    x = np.arange(counted + 1)
    mass = binom.pmf(x, counted, true[0] / sum(true))
    use = x[mass > 1e-10]
    rejected = [
        chi_square((k, counted - k), (share, 1 - share)).p_value <= 0.001 for k in use[:: max(1, len(use) // 400)]
    ]
    edges = use[:: max(1, len(use) // 400)]
    want = float(np.interp(use, edges, np.array(rejected, dtype=float)) @ mass[use])
    assert power_srm(counted, true, (share, 1 - share), 0.001) == pytest.approx(want, abs=0.02)


def test_a_loss_of_two_per_cent():
    """3 %, 45 % and 88 % with 20, 100 and 200 thousand units: by the normal law of the smaller arm's share."""
    for n, want in ((20_000, 0.03), (100_000, 0.45), (200_000, 0.88)):
        true = (0.5, 0.5 * 0.98)
        assert power_srm(n * 0.99, true, (1, 1), 0.001) == pytest.approx(want, abs=0.015)
    assert power_srm(1e4, (1, 1, 1), (1, 1, 1), 0.001) == pytest.approx(0.001)


def test_size_and_loss_of_the_ratio_test_invert_each_other():
    shares = (0.6, 0.3, 0.1)
    lost = smallest_loss(80_000, shares, 2, 0.001, 0.8)
    true = (0.6, 0.3, 0.1 * (1 - lost))
    assert power_srm(80_000 * (1 - 0.1 * lost), true, shares, 0.001) == pytest.approx(0.8)
    assert sample_size_srm(true, shares, 0.001, 0.8) == pytest.approx(80_000 * (1 - 0.1 * lost), rel=1e-9)
    assert smallest_loss(10, (1, 1), 0, 0.001, 0.99) == 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: dunnett_level(0.05, [1.0]),
        lambda: dunnett_level(1.5, [1.0, 1.0]),
        lambda: dunnett_level(0.05, [1.0, 0.0]),
        lambda: dunnett_level(0.05, [1.0, 1.0], 2, [1.0]),
        lambda: power_arms([0.1], [1, 1, 1], Level(0.05), 1.0),
        lambda: power_arms([0.0, 0.0], [1, 1, 1], Level(0.05), 1.0),
        lambda: power_arms([-0.1], [1, 1], Level(0.05, 1), 1.0),
        lambda: sample_size_arms([0.1, 0.0], [1, 1, 1], Level(0.05), 0.8, 1.0),
        lambda: sample_size_arms([0.1], [1, 1], Level(0.05), 0.8, 1.0, "most"),  # type: ignore[arg-type]
        lambda: sample_size_arms([0.1], [1, 1], Level(0.05), 0.01, 1.0),
        lambda: interaction_error(1.0, ((1, 1), (1, 0))),
        lambda: power_interaction(0.0, 1.0, ((1, 1), (1, 1)), Level(0.05)),
        lambda: sample_size_interaction(0.1, 1.0, Level(0.05), 0.8, 1.0),
        lambda: slope_sd(1, 1.0),
        lambda: slope_sd(7, 1.0, 1.0),
        lambda: power_srm(0, (1, 1), (1, 1), 0.001),
        lambda: power_srm(10, (1, 1), (1, 0), 0.001),
        lambda: power_srm(10, (1, 1), (1, 1, 1), 0.001),
        lambda: sample_size_srm((1, 1), (0.5, 0.5), 0.001, 0.8),
        lambda: smallest_loss(100, (1, 1), 0, 0.001, 0.0005),
    ],
)
def test_refusals(call):
    with pytest.raises(ValueError):
        call()
