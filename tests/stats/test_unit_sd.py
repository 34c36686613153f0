"""The planned standard deviation of a unit is the one that the estimates have."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import expon, multivariate_normal, norm

from metricdef.stats.adjustment import MeanOutcome
from metricdef.stats.effects import difference
from metricdef.stats.moments import from_rows
from metricdef.stats.power import Level, mde, power, sample_size, standard_error
from metricdef.stats.quantiles import RANK_Z, OrderStatistics, rank_band, unit_quantiles
from metricdef.stats.stratification import stratified
from metricdef.stats.unit_sd import (
    adjusted_sd,
    clustered_sd,
    design_effect,
    event_quantile_sd,
    interval_sd,
    proportion_sd,
    quantile_density,
    quantile_sd,
    ratio_sd,
    stratified_sd,
)


def test_sd_of_a_ratio_is_that_of_its_influence():
    rng = np.random.default_rng(1)
    d = rng.poisson(3, 5000) + 1.0
    y = 0.4 * d + rng.normal(size=5000)
    cov = np.cov(y, d)
    ratio = y.mean() / d.mean()
    want = np.std((y - ratio * d) / d.mean(), ddof=1)
    assert ratio_sd(y.mean(), d.mean(), cov[0, 0], cov[1, 1], cov[0, 1]) == pytest.approx(want)
    assert ratio_sd(0.3, 1.0, 0.21, 0.0, 0.0) == pytest.approx(proportion_sd(0.3))


def test_adjustment_and_clusters():
    assert adjusted_sd(2.0, 0.25) ** 2 == pytest.approx(3.0)
    assert design_effect(1, 0.5) == 1.0
    assert design_effect(10, 0.1) == pytest.approx(1.9)
    assert design_effect(10, 0.1, cv=0.5) > design_effect(10, 0.1)
    level = Level(0.05)
    plain, clustered = sample_size(0.1, 1.0, level, 0.8), sample_size(0.1, clustered_sd(1.0, 10, 0.1), level, 0.8)
    assert clustered.total == pytest.approx(1.9 * plain.total)


def order_statistics(values, q: float) -> OrderStatistics:
    ranked, band = np.sort(values), rank_band(len(values), q)
    low, mid, high = (float(ranked[rank - 1]) for rank in band.ranks)
    return OrderStatistics(len(values), mid, low, high)


def test_quantile_of_a_known_law():
    assert quantile_sd(0.5, norm.pdf(0) / 3.0) == pytest.approx(3 * math.sqrt(math.pi / 2))
    assert quantile_sd(0.9, 0.1) == pytest.approx(3.0)  # exponential: the density at its quantile q is 1 - q


def test_quantile_from_a_pilot():
    q, n, rng = 0.9, 20_000, np.random.default_rng(3)
    pilots = [order_statistics(rng.exponential(size=n), q) for _ in range(300)]
    densities = [quantile_density(q, pilot.lower, pilot.upper, n, 0.05) for pilot in pilots]
    noise = 1 / math.sqrt(2 * RANK_Z * math.sqrt(n * q * (1 - q)))
    assert np.median(densities) == pytest.approx(0.1, rel=4 * noise / math.sqrt(300))
    assert np.std(densities) == pytest.approx(0.1 * noise, rel=0.15)
    same = interval_sd(pilots[0].lower, pilots[0].upper, n, 0.05)
    assert quantile_sd(q, densities[0]) == pytest.approx(same, rel=1e-12)
    assert same / math.sqrt(n) == pytest.approx((pilots[0].upper - pilots[0].lower) / (2 * RANK_Z))


def test_power_of_a_quantile_is_that_of_its_test():
    q, lift, reps, rng = 0.9, 1.15, 1500, np.random.default_rng(6)
    base = float(expon.ppf(q))
    sd, sd_control = quantile_sd(q, 0.1 / lift), quantile_sd(q, 0.1)
    size = sample_size(base * (lift - 1), sd, Level(0.05), 0.8, sd_control=sd_control, allocation=0.5)
    n1, n0 = size.rounded().treatment, size.rounded().control
    rejected = 0
    for _ in range(reps):
        arms = [order_statistics(rng.exponential(s, k), q) for s, k in ((1.0, n0), (lift, n1))]
        rejected += difference(unit_quantiles(arms, q), 1, 0.05).p_value <= 0.05
    assert rejected / reps == pytest.approx(0.8, abs=3 * math.sqrt(0.16 / reps) + 0.01)  # the density is estimated
    assert mde(sd, n1, n0, Level(0.05), 0.8, sd_control=sd_control) == pytest.approx(base * (lift - 1), rel=1e-3)


def binormal_icc(q: float, correlation: float) -> float:
    """Correlation of the indicators below the quantile of two normal events of one unit."""
    z = norm.ppf(q)
    both = multivariate_normal([0, 0], [[1, correlation], [correlation, 1]]).cdf([z, z])
    return float((both - q * q) / (q * (1 - q)))


def test_quantile_of_events_by_the_design_effect():
    q, icc, mean, var = 0.75, binormal_icc(0.75, 0.4), 4.0, 3.0
    second = var + mean * mean
    var_below = q * (1 - q) * (mean + (second - mean) * icc) + q * q * var
    found = event_quantile_sd(q, 0.3, mean, var, var_below, q * var)
    effect = design_effect(mean, icc, math.sqrt(var) / mean)
    assert found == pytest.approx(quantile_sd(q, 0.3) * math.sqrt(effect / mean))
    assert event_quantile_sd(q, 0.3, 1.0, 0.0, q * (1 - q), 0.0) == pytest.approx(quantile_sd(q, 0.3))


def test_quantile_of_events_against_simulation():
    q, n, reps, rng = 0.75, 400, 1500, np.random.default_rng(8)
    mean, var = 4.0, 3.0  # 1 + Poisson(3) events a unit
    icc = binormal_icc(q, 0.4)
    planned = quantile_sd(q, float(norm.pdf(norm.ppf(q)))) * math.sqrt(design_effect(mean, icc, var**0.5 / mean) / mean)
    estimates = []
    for _ in range(reps):
        rows = 1 + rng.poisson(3, n)
        y = math.sqrt(0.4) * np.repeat(rng.normal(size=n), rows) + math.sqrt(0.6) * rng.normal(size=rows.sum())
        estimates.append(np.quantile(y, q))
    assert np.std(estimates) == pytest.approx(planned / math.sqrt(n), rel=0.06)
    ignored = quantile_sd(q, float(norm.pdf(norm.ppf(q)))) / math.sqrt(mean)
    assert planned > 1.3 * ignored


def test_strata_leave_the_variance_within_them():
    shares, means, sds = (0.2, 0.5, 0.3), (0.0, 4.0, 9.0), (1.0, 2.0, 3.0)
    sd = stratified_sd(shares, sds)
    assert sd * sd == pytest.approx(0.2 + 2.0 + 2.7)
    mean = np.dot(shares, means)
    between = float(np.dot(shares, (np.array(means) - mean) ** 2))
    total = math.sqrt(sd * sd + between)
    assert sd == pytest.approx(adjusted_sd(total, between / total**2))
    rng, reps, n = np.random.default_rng(2), 1200, (300, 600)
    estimates = []
    for _ in range(reps):
        strata = {}
        counts = [rng.multinomial(k, shares) for k in n]
        for k, (centre, spread) in enumerate(zip(means, sds, strict=True)):
            strata[str(k)] = [from_rows(["y"], rng.normal(centre, spread, (c[k], 1))) for c in counts]
        estimates.append(difference(stratified(strata, MeanOutcome("y")).estimates, 1, 0.05).estimate)
    assert np.std(estimates) == pytest.approx(standard_error(sd, *n), rel=0.065)
    assert power(0.6, sd, *n, Level(0.05)).correct > power(0.6, total, *n, Level(0.05)).correct + 0.1


@pytest.mark.parametrize(
    "call",
    [
        lambda: ratio_sd(1, 0, 1, 1, 0),
        lambda: ratio_sd(1, 1, 1, 1, 2),
        lambda: adjusted_sd(1.0, 1.0),
        lambda: design_effect(0.5, 0.1),
        lambda: interval_sd(1.0, 1.0, 100, 0.05),
        lambda: interval_sd(0.0, math.inf, 100, 0.05),
        lambda: interval_sd(0.0, 1.0, 0, 0.05),
        lambda: interval_sd(0.0, 1.0, 100, 1.0),
        lambda: quantile_density(1.0, 0.0, 1.0, 100, 0.05),
        lambda: quantile_sd(0.5, 0.0),
        lambda: quantile_sd(0.0, 1.0),
        lambda: event_quantile_sd(0.5, math.nan, 1.0, 1.0, 1.0, 0.0),
        lambda: event_quantile_sd(1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
        lambda: event_quantile_sd(0.5, 1.0, 0.0, 1.0, 1.0, 0.0),
        lambda: stratified_sd((0.5, 0.4), (1.0, 1.0)),
        lambda: stratified_sd((1.5, -0.5), (1.0, 1.0)),
        lambda: stratified_sd((0.5, 0.5), (1.0, -1.0)),
        lambda: stratified_sd((0.5, 0.5), (1.0,)),
        lambda: stratified_sd((), ()),
    ],
)
def test_refusals(call):
    with pytest.raises(ValueError):
        call()
