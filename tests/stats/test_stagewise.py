"""Inference at a look and after a stop: coherent with the bounds, and what the definitions say."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm
from thorough import examples

from metricdef.errors import NotComputable
from metricdef.stats.group_sequential import AlphaSpending, Rule, boundaries
from metricdef.stats.repeated import conditional_power, repeated_interval, repeated_p, sequential_p
from metricdef.stats.spending import Spending
from metricdef.stats.stagewise import _more_extreme, stagewise
from metricdef.stats.true_bounds import HaybittlePeto, PowerShape

OF, POCOCK = AlphaSpending(Spending("obrien_fleming")), AlphaSpending(Spending("pocock"))
RULES: list[Rule] = [OF, POCOCK, PowerShape(0.0), PowerShape(0.5), HaybittlePeto(3.0)]
DESIGNS = [boundaries(rule, [0.4, 0.7, 1.0], 0.025 * sided, sided) for rule in RULES for sided in (1, 2)]
IDS = [f"{d.rule}-{d.sided}" for d in DESIGNS]
Z = st.floats(-6, 6)


@pytest.mark.parametrize("bounds", DESIGNS, ids=IDS)
@settings(max_examples=examples(15), deadline=None)
@given(z=Z, look=st.integers(0, 2), std_error=st.floats(1e-3, 1e3))
def test_p_interval_and_bound_agree_at_every_look(bounds, z: float, look: int, std_error: float) -> None:
    rejected = bounds.rejects(look, z)
    assert (repeated_p(bounds, look, z) <= bounds.alpha) == rejected
    estimate = z * std_error
    interval = repeated_interval(bounds, look, estimate, std_error)
    if abs(abs(z) - bounds.upper[look]) > 1e-9:
        assert (interval.lower > 0 or (bounds.sided == 2 and interval.upper < 0)) == rejected
    assert interval.lower < estimate < interval.upper


@pytest.mark.parametrize("bounds", DESIGNS, ids=IDS)
def test_on_the_bound_p_is_alpha(bounds) -> None:
    for look, c in enumerate(bounds.upper):
        if isinstance(bounds.rule, HaybittlePeto) and look < 2:
            assert repeated_p(bounds, look, c) < bounds.alpha  # its interim levels are fixed
            continue
        assert repeated_p(bounds, look, c) == pytest.approx(bounds.alpha, rel=1e-7)
        assert repeated_p(bounds, look, np.nextafter(c, 0)) > bounds.alpha
        if bounds.sided == 2:
            assert repeated_p(bounds, look, -c) == repeated_p(bounds, look, c)


@pytest.mark.parametrize("bounds", DESIGNS[:6], ids=IDS[:6])
def test_p_is_that_of_the_member_whose_bound_is_z(bounds) -> None:
    """Brute force: a design at level p has its bound at z."""
    p = repeated_p(bounds, 1, 1.9)
    again = boundaries(bounds.rule, [0.4, 0.7, 1.0], p, bounds.sided)
    assert again.upper[1] == pytest.approx(1.9, abs=1e-7)


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(Z, min_size=1, max_size=3), st.sampled_from(DESIGNS))
def test_sequential_p_never_rises_and_decides_as_the_bounds(z: list[float], bounds) -> None:
    found = sequential_p(bounds, z)
    assert all(a >= b for a, b in pairwise(found))
    assert (found[-1] <= bounds.alpha) == any(bounds.rejects(look, value) for look, value in enumerate(z))
    assert all(0 <= p <= 1 for p in found)


def test_extreme_statistics() -> None:
    bounds = DESIGNS[1]
    assert 0 < repeated_p(bounds, 2, 30.0) < 1e-150
    assert repeated_p(bounds, 0, 0.0) == 1.0
    assert repeated_p(DESIGNS[0], 2, -5.0) == 1.0
    stopped = stagewise(bounds, 0, 30.0, 1.0)
    assert 0 < stopped.p_value < 1e-190
    late = stagewise(bounds, 2, 30.0, 1.0)
    assert late.p_value == pytest.approx(bounds.spent[1], rel=1e-3)
    assert late.lower < late.estimate < late.upper < 30


def test_a_look_that_spends_nothing() -> None:
    bounds = boundaries(OF, [0.5, 0.5, 1.0], 0.05, 2, [0.3, 0.6, 1.0])
    assert repeated_p(bounds, 1, 9.0) == 1.0
    with pytest.raises(NotComputable, match="nothing"):
        repeated_interval(bounds, 1, 1.0, 0.1)
    assert stagewise(bounds, 2, 2.4, 1.0).p_value < 0.05


@pytest.mark.parametrize("bounds", DESIGNS, ids=IDS)
@settings(max_examples=examples(15), deadline=None)
@given(z=Z, look=st.integers(0, 2))
def test_stagewise_p_decides_as_the_bounds(bounds, z: float, look: int) -> None:
    rejected = bounds.rejects(look, z)
    if look < 2 and not rejected:
        with pytest.raises(NotComputable, match="no bound"):
            stagewise(bounds, look, z, 1.0)
        return
    found = stagewise(bounds, look, z, 1.0)
    if abs(abs(z) - bounds.upper[look]) > 1e-7:
        assert (found.p_value <= bounds.alpha) == rejected
        assert (found.lower > 0 or (bounds.sided == 2 and found.upper < 0)) == rejected
    assert found.lower < found.estimate < found.upper


def test_stopping_at_the_first_look_is_the_fixed_test() -> None:
    bounds = DESIGNS[3]
    found = stagewise(bounds, 0, 2.9, 0.2)
    assert found.p_value == pytest.approx(2 * norm.sf(2.9))
    assert found.estimate == pytest.approx(2.9 * 0.2)
    assert found.lower == pytest.approx((2.9 - 1.959963985) * 0.2)


def test_stagewise_against_the_multivariate_normal() -> None:
    bounds = DESIGNS[3]
    z, se = 2.6, 0.3
    found = stagewise(bounds, 1, z, se)
    root = math.sqrt(0.4 / 0.7)

    def more_extreme(effect: float) -> float:
        mean = np.array([effect / se * root, effect / se])
        cov = [[1, root], [root, 1]]
        stopped = norm.sf(bounds.upper[0] - mean[0])
        later = multivariate_normal.cdf(
            [bounds.upper[0], 40], mean, cov, lower_limit=[-bounds.upper[0], z], abseps=1e-10, releps=1e-10
        )
        return float(stopped + later)

    assert found.p_value == pytest.approx(2 * more_extreme(0.0), abs=1e-7)
    assert more_extreme(found.estimate) == pytest.approx(0.5, abs=1e-7)
    assert more_extreme(found.lower) == pytest.approx(0.025, abs=1e-7)
    assert more_extreme(found.upper) == pytest.approx(0.975, abs=1e-7)
    assert found.estimate < z * se  # the naive estimate of an early stop is too large


def test_mirrored_data_give_mirrored_inference() -> None:
    bounds = DESIGNS[1]
    up, down = stagewise(bounds, 2, 1.3, 1.0), stagewise(bounds, 2, -1.3, 1.0)
    assert down.p_value == pytest.approx(up.p_value)
    assert (down.estimate, down.lower, down.upper) == pytest.approx((-up.estimate, -up.upper, -up.lower))


def test_the_probability_of_more_extreme_outcomes_is_uniform() -> None:
    """So the estimate is median-unbiased and the limits cover: both solve it for theta."""
    bounds, theta = DESIGNS[3], 2.0
    information = np.array([0.4, 0.7, 1.0])
    rng = np.random.default_rng(3)
    steps = rng.normal(size=(4000, 3)) * np.sqrt(np.diff(information, prepend=0))
    found = []
    for row in (steps.cumsum(axis=1) + theta * information) / np.sqrt(information):
        look = next((j for j in range(2) if bounds.rejects(j, row[j])), 2)
        up, down = (_more_extreme(bounds, look, row[look], theta * math.sqrt(information[look]), s) for s in (1, -1))
        assert up + down == pytest.approx(1.0, abs=1e-9)
        found.append(up)
    for level in (0.025, 0.2, 0.5, 0.8, 0.975):
        assert np.mean(np.array(found) <= level) == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / 4000))


def test_conditional_power_averages_to_power() -> None:
    bounds, theta = DESIGNS[2], 2.5
    mean = theta * math.sqrt(0.4)
    x, w = np.polynomial.legendre.leggauss(60)
    low, high = mean - 8, bounds.upper[0]
    nodes = (high + low) / 2 + (high - low) / 2 * x
    later = sum(
        weight * (high - low) / 2 * norm.pdf(node - mean) * conditional_power(bounds, 0, node, theta)
        for node, weight in zip(nodes, w, strict=True)
    )
    assert norm.sf(high - mean) + later == pytest.approx(sum(bounds.crossing(theta).upper), rel=1e-7)


def test_conditional_power_before_the_last_look() -> None:
    bounds = DESIGNS[0]
    z = 1.5
    want = norm.sf((bounds.upper[2] - z * math.sqrt(0.7)) / math.sqrt(0.3))
    assert conditional_power(bounds, 1, z, 0.0) == pytest.approx(want)
    with pytest.raises(ValueError, match="follows"):
        conditional_power(bounds, 2, z, 0.0)


def test_a_lower_bound_stops_on_the_way() -> None:
    """P(low < Z_1 < up, Z_2 >= c | Z_0), where stopping below costs a tenth of the power."""
    bounds = replace(DESIGNS[0], lower=(-math.inf, 1.2, -math.inf))
    z, theta = 0.9, 1.5
    step, mean = np.array([0.3, 0.6]), z * math.sqrt(0.4) + theta * np.array([0.3, 0.6])
    first, last = (bounds.upper[j] * math.sqrt(i) for j, i in ((1, 0.7), (2, 1.0)))
    cov = [[step[0], step[0]], [step[0], step[1]]]
    between = multivariate_normal.cdf(
        [first, 40], mean, cov, lower_limit=[1.2 * math.sqrt(0.7), last], abseps=1e-10, releps=1e-10
    )
    want = norm.sf((first - mean[0]) / math.sqrt(0.3)) + between
    assert conditional_power(bounds, 0, z, theta) == pytest.approx(want, abs=1e-7)
    assert want < 0.9 * conditional_power(DESIGNS[0], 0, z, theta)


def test_conditional_power_over_a_look_without_new_information() -> None:
    bounds = boundaries(OF, [0.5, 0.5, 1.0], 0.025, 1, [0.3, 0.6, 1.0])
    want = norm.sf((bounds.upper[2] - 1.1 * math.sqrt(0.5)) / math.sqrt(0.5) - 0.7 * math.sqrt(0.5))
    assert conditional_power(bounds, 0, 1.1, 0.7) == pytest.approx(want)


def test_refusals() -> None:
    bounds = DESIGNS[0]
    for call in (
        lambda: stagewise(bounds, 2, math.nan, 1.0),
        lambda: stagewise(bounds, 2, 1.0, 0.0),
        lambda: repeated_interval(bounds, 0, 1.0, math.nan),
        lambda: repeated_p(bounds, 0, math.nan),
        lambda: sequential_p(bounds, []),
        lambda: sequential_p(bounds, [1.0] * 4),
    ):
        with pytest.raises(ValueError):
            call()
