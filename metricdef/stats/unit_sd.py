"""The standard deviation of a unit for planning: ratios, quantiles, covariate adjustment, strata, clusters.

Take the moments from the same eligible population and the same length of window as the experiment will have: both
variance and R^2 change with them. The functions of `power.py` and its neighbours take the result as `sd`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from metricdef.stats.novelty import day_weights, sum_of_squares
from metricdef.stats.tails import z_quantile


def ratio_sd(mean_y: float, mean_d: float, var_y: float, var_d: float, cov: float) -> float:
    """Of a unit's influence on the ratio R = m_y / m_d: sqrt(S_yy - 2 R S_yd + R^2 S_dd) / |m_d|.

    Deng, Knoblich & Lu (2018).
    """
    if mean_d == 0 or not all(map(math.isfinite, (mean_y, mean_d, var_y, var_d, cov))):
        raise ValueError("the moments must be finite and the denominator's mean not 0")
    if var_y < 0 or var_d < 0 or cov * cov > var_y * var_d * (1 + 1e-9):
        raise ValueError(f"these are no variances and covariance: {var_y}, {var_d}, {cov}")
    ratio = mean_y / mean_d
    return math.sqrt(max(var_y - 2 * ratio * cov + ratio * ratio * var_d, 0.0)) / abs(mean_d)


def proportion_sd(rate: float) -> float:
    """Of a unit that counts 0 or 1: sqrt(p (1 - p))."""
    if not 0 < rate < 1:
        raise ValueError(f"a rate lies strictly between 0 and 1: {rate}")
    return math.sqrt(rate * (1 - rate))


def interval_sd(lower: float, upper: float, units: float, alpha: float) -> float:
    """From a pilot's confidence interval of one arm: (upper - lower) / (2 z) sqrt(n), z = z_{1-alpha/2}.

    For any estimate whose interval is about normal: a mean, a ratio, a quantile of units or of events.

    Args:
        lower: Limit.
        upper: Limit.
        units: Randomised units n behind it.
        alpha: 1 - confidence.
    """
    if not (-math.inf < lower < upper < math.inf and 0 < units < math.inf):
        raise ValueError(f"finite limits, the lower one below, and units: {lower}, {upper}, {units}")
    return (upper - lower) / (2 * z_quantile(alpha)) * math.sqrt(units)


def quantile_density(q: float, lower: float, upper: float, values: float, alpha: float) -> float:
    """The density f at a quantile, from two order statistics of a pilot: 2 z sqrt(q (1 - q) / n) / (upper - lower).

    `lower` and `upper` are the values at the fractions q -+ z sqrt(q (1 - q) / n), as of `rank_band`; assumes a
    density that is smooth between them. Its relative error is some 1 / sqrt(2 z sqrt(n q (1 - q))), 5 % with 100,000
    values at q = 0.9, twice that in a sample size. Price & Bonett (2001).

    Args:
        q: The quantile.
        lower: Order statistic below it.
        upper: Order statistic above it.
        values: Number n of ranked values: units, or events.
        alpha: z = z_{1-alpha/2} is the half width of the band.
    """
    return proportion_sd(q) / interval_sd(lower, upper, values, alpha)


def quantile_sd(q: float, density: float) -> float:
    """Of a unit's influence on a quantile of units: sqrt(q (1 - q)) / f, f the density at the quantile.

    Assumes a continuous density there; without it (ties, many zeros) the quantile has no such variance. Serfling (1980).
    """
    if not 0 < density < math.inf:
        raise ValueError(f"the density must be positive and finite: {density}")
    return proportion_sd(q) / density


def event_quantile_sd(
    q: float, density: float, mean_rows: float, var_rows: float, var_below: float, cov: float
) -> float:
    """Of a unit's influence on a quantile of its events: sqrt(S_bb - 2 q S_bn + q^2 S_nn) / (m_n f).

    b of a unit's n events lie at or below the quantile, so that their ratio of sums is q: the sd of that ratio
    (`ratio_sd`) over the density of events. Where a unit's share below doesn't depend on n and two of its events
    agree with correlation icc, the same as quantile_sd sqrt(deff / m_n), deff = `design_effect`(m_n, icc, cv of n).
    Deng, Knoblich & Lu (2018).

    Args:
        q: The quantile.
        density: Of events, at the quantile.
        mean_rows: Mean events per unit m_n.
        var_rows: Variance over units of the number of events, S_nn.
        var_below: The same of those at or below the quantile, S_bb.
        cov: Covariance of the two, S_bn.
    """
    if not (0 < q < 1 and 0 < density < math.inf):
        raise ValueError(f"a quantile strictly between 0 and 1, a positive density: {q}, {density}")
    return ratio_sd(q * mean_rows, mean_rows, var_below, var_rows, cov) / density


def stratified_sd(shares: Sequence[float], sds: Sequence[float]) -> float:
    """Left in a post-stratified comparison: sqrt(sum w_k s_k^2), the root of the mean variance within strata.

    Per arm, with one allocation in all strata. Left out are terms of order 1 / n^2 for the chance sizes of the strata
    and, where effects differ between strata, sum w_k (tau_k - tau)^2 / N. Cochran (1977); Miratrix, Sekhon & Yu
    (2013).

    Args:
        shares: Of the strata, w_k; they sum to 1.
        sds: Of a unit within each stratum.
    """
    if not math.isclose(math.fsum(shares), 1.0, rel_tol=1e-6) or not all(share > 0 for share in shares):
        raise ValueError(f"the shares of the strata are positive and sum to 1: {list(shares)}")
    if not all(0 <= sd < math.inf for sd in sds):
        raise ValueError(f"standard deviations are finite and not negative: {list(sds)}")
    return math.sqrt(math.fsum(w * sd * sd for w, sd in zip(shares, sds, strict=True)))


def adjusted_sd(sd: float, r_squared: float) -> float:
    """Left by covariates that explain R^2 of the variance: sd sqrt(1 - R^2). Deng, Xu, Kohavi & Walker (2013)."""
    if not 0 <= sd < math.inf or not 0 <= r_squared < 1:
        raise ValueError(f"an sd not negative, R^2 at least 0 and below 1: {sd}, {r_squared}")
    return sd * math.sqrt(1 - r_squared)


def design_effect(mean_size: float, icc: float, cv: float = 0.0) -> float:
    """Factor on the variance when clusters are randomised: 1 + ((1 + cv^2) m - 1) icc.

    Multiply the units needed, or the sd by its root. Eldridge, Ashby & Kerry (2006).

    Args:
        mean_size: Mean units m per cluster.
        icc: Intra-cluster correlation.
        cv: Coefficient of variation of the clusters' sizes.
    """
    if not (1 <= mean_size < math.inf and 0 <= icc <= 1 and 0 <= cv < math.inf):
        raise ValueError(f"sizes from 1, a correlation in [0, 1], cv not negative: {mean_size}, {icc}, {cv}")
    return 1 + ((1 + cv * cv) * mean_size - 1) * icc


def cluster_sd(sd: float, mean_size: float, icc: float, cv: float = 0.0) -> float:
    """Of a cluster as the unit, sd sqrt(deff / m): with it, sizes are clusters.

    Take the test "welch" below some 40 clusters an arm: its df are those of the clusters, however many units are in
    them. Donner & Klar (2000).
    """
    return clustered_sd(sd, mean_size, icc, cv) / math.sqrt(mean_size)


def clustered_sd(sd: float, mean_size: float, icc: float, cv: float = 0.0) -> float:
    """sd sqrt(deff): with it, sample sizes are units in clusters; see `design_effect`. Eldridge, Ashby & Kerry (2006)."""
    if not 0 <= sd < math.inf:
        raise ValueError(f"an sd must be finite and not negative: {sd}")
    return sd * math.sqrt(design_effect(mean_size, icc, cv))


def slope_sd(days: int, sd_day: float, autocorrelation: float = 0.0) -> float:
    """Of a unit's slope by days since exposure (`novelty.py`): sd sqrt(w' R w) / sum w^2, w the centred days.

    R has r^|d - e|; without autocorrelation the sd of a day over sqrt(D (D^2 - 1) / 12). What is the same on all days
    of a unit drops out, so `sd_day` is the spread of its days about its own mean. With it `power.power` and
    its neighbours take the change of the effect per day as the difference. Diggle, Heagerty, Liang & Zeger (2002).

    Args:
        days: D, the window's length.
        sd_day: Of a day's value within a unit.
        autocorrelation: r, of one day and the next within a unit.
    """
    if not (0 <= sd_day < math.inf and -1 < autocorrelation < 1):
        raise ValueError(f"an sd not negative, a correlation between -1 and 1: {sd_day}, {autocorrelation}")
    w = day_weights(days)
    total = math.fsum(
        a * b * (autocorrelation ** abs(i - j) if i != j else 1.0) for i, a in enumerate(w) for j, b in enumerate(w)
    )
    return sd_day * math.sqrt(max(total, 0.0)) / sum_of_squares(days)
