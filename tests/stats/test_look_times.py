"""Times of looks: the correlations that they stand for are never above the true ones, so one-sided levels hold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from metricdef.errors import NotComputable
from metricdef.stats.group_sequential import AlphaSpending, boundaries
from metricdef.stats.look_times import EpochPart, combined_variance, correlation, following_time, units_time
from metricdef.stats.spending import Spending
from metricdef.stats.stagewise import stagewise

POCOCK = AlphaSpending(Spending("pocock"))
# Units of (arm, baseline) in each epoch, as three looks see them.
TO_BALANCE = [[(50, 950)], [(50, 950), (500, 500)], [(50, 950), (1000, 1000), (400, 400)]]
FROM_BALANCE = [[(500, 500)], [(500, 500), (100, 1900)], [(500, 500), (150, 2850)]]
DEVIATIONS = (1.0, 1.4, 0.8)  # of a unit, by epoch


def parts_of(look):
    total = sum(map(sum, look))
    return [
        EpochPart(f"epoch {k + 1}", sum(cell) / total, s**2 / cell[0], s**2 / cell[1])
        for k, (cell, s) in enumerate(zip(look, DEVIATIONS, strict=False))
    ]


def coefficients(look, last, factor=1.0):
    """What every unit of the last look has in the estimate of a look, by brute force, scaled by its deviation."""
    total, found = sum(map(sum, look)), []
    for k, (cell, s) in enumerate(zip(last, DEVIATIONS, strict=False)):
        seen = look[k] if k < len(look) else (0, 0)
        for side, sign in ((0, 1.0), (1, -factor)):
            row = np.zeros(cell[side])
            row[: seen[side]] = sign * sum(seen) / total / max(seen[side], 1) * s
            found.append(row)
    return np.concatenate(found)


@pytest.mark.parametrize("factor", [1.0, 0.7])
@pytest.mark.parametrize("looks", [TO_BALANCE, FROM_BALANCE])
def test_correlations_are_those_of_estimates_that_share_units(looks, factor):
    rows = [coefficients(look, looks[-1], factor) for look in looks]
    for (i, a), (j, b) in itertools.combinations(enumerate(looks), 2):
        assert combined_variance(parts_of(a), factor) == pytest.approx(rows[i] @ rows[i], rel=1e-12)
        expected = rows[i] @ rows[j] / np.linalg.norm(rows[i]) / np.linalg.norm(rows[j])
        assert correlation(parts_of(a), parts_of(b), factor) == pytest.approx(expected, rel=1e-12)


def test_scales_of_a_ratio_enter_once():
    """A ratio is y - R d over the mean of d, which differs from look to look."""
    was = EpochPart("epoch 1", 1.0, 2.0, 3.0, 0.1, arm_scale=0.5, baseline_scale=0.4)
    now = EpochPart("epoch 1", 1.0, 1.0, 1.5, 0.05, arm_scale=0.25, baseline_scale=0.2)
    assert correlation([was], [now]) == pytest.approx(np.sqrt(0.5), rel=1e-12)  # as if nothing but units came


def times_of(looks):
    times = []
    for j, look in enumerate(looks):
        parts = parts_of(look)
        past = [(t, correlation(parts_of(looks[i]), parts)) for i, t in enumerate(times)]
        times.append(following_time(past) if j else units_time(parts, sum(map(sum, look))))
    return times


def true_law(looks, factor=1.0):
    rows = [coefficients(look, looks[-1], factor) for look in looks]
    rows = np.array([row / np.linalg.norm(row) for row in rows])
    return rows @ rows.T


def crossing(bounds, law):
    return 1 - multivariate_normal(cov=law, allow_singular=True, maxpts=200_000, abseps=1e-7).cdf(np.array(bounds))


@pytest.mark.parametrize("looks", [TO_BALANCE, FROM_BALANCE])
def test_bounds_by_times_spend_the_level_and_by_information_they_may_overspend(looks):
    fractions = [1 / 3, 2 / 3, 1.0]
    times = times_of(looks)
    bounds = boundaries(POCOCK, times, 0.025, 1, fractions).upper
    assert crossing(bounds, true_law(looks)) == pytest.approx(0.025, abs=2e-5)
    information = [1 / combined_variance(parts_of(look)) for look in looks]
    naive = crossing(boundaries(POCOCK, information, 0.025, 1, fractions).upper, true_law(looks))
    assert naive > 0.0252 if looks is FROM_BALANCE else naive < 0.0248
    # N tau is a sum over units: its variance is the time of a first look.
    for look, at in zip(looks, times, strict=True):
        assert units_time(parts_of(look), sum(map(sum, look))) == pytest.approx(at, rel=1e-9)


def test_an_unknown_correlation_keeps_the_level_whatever_it_is():
    times = [1.0]
    for _ in range(2):
        times.append(following_time([(t, 0.0) for t in times]))
    bounds = boundaries(POCOCK, times, 0.025, 1, [1 / 3, 2 / 3, 1.0]).upper
    for rho in (0.0, 0.3, 0.9, 0.999):
        law = np.full((3, 3), rho) + (1 - rho) * np.eye(3)
        assert crossing(bounds, law) <= 0.025 + 2e-5
    with pytest.raises(NotComputable, match="too many"):
        following_time([(1e289, 0.0)])


def test_after_a_stop_the_estimate_is_median_unbiased_under_the_true_law():
    looks = FROM_BALANCE[:2]
    times, law = times_of(looks), true_law(looks)
    precisions = [combined_variance(parts_of(look)) ** -0.5 for look in looks]
    bounds = boundaries(POCOCK, times, 0.025, 1, [0.5, 1.0])
    z = 2.4
    found = stagewise(bounds, 1, z, 1 / precisions[1], precisions).estimate
    means = np.array(precisions) * found
    early = 1 - multivariate_normal.cdf(bounds.upper[0] - means[0])
    late = multivariate_normal(cov=law).cdf([bounds.upper[0] - means[0], np.inf]) - multivariate_normal(cov=law).cdf(
        [bounds.upper[0] - means[0], z - means[1]]
    )
    assert early + late == pytest.approx(0.5, abs=1e-5)
    same = boundaries(POCOCK, [1.0, 2.0], 0.025, 1, [0.5, 1.0])
    plain, with_precisions = (stagewise(same, 1, z, 0.5, p) for p in (None, [1.0, 2**0.5]))
    assert plain.estimate == pytest.approx(with_precisions.estimate, rel=1e-9)
    assert plain.upper == pytest.approx(with_precisions.upper, rel=1e-9)
