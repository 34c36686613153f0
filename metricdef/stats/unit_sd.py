"""The standard deviation of a unit for planning: ratios, covariate adjustment, clusters.

Take the moments from the same eligible population and the same length of window as the experiment will have: both
variance and R^2 change with them.
"""

from __future__ import annotations

import math


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


def adjusted_sd(sd: float, r_squared: float) -> float:
    """Left by covariates that explain R^2 of the variance: sd sqrt(1 - R^2). Deng, Xu, Kohavi & Walker (2013)."""
    if not 0 <= r_squared < 1:
        raise ValueError(f"R^2 must be at least 0 and below 1: {r_squared}")
    return sd * math.sqrt(1 - r_squared)


def design_effect(mean_size: float, icc: float, cv: float = 0.0) -> float:
    """Factor on the variance when clusters are randomised: 1 + ((1 + cv^2) m - 1) icc.

    Multiply the units needed, or the sd by its root. Eldridge, Ashby & Kerry (2006).

    Args:
        mean_size: Mean units m per cluster.
        icc: Intra-cluster correlation.
        cv: Coefficient of variation of the clusters' sizes.
    """
    if not (mean_size >= 1 and 0 <= icc <= 1 and 0 <= cv < math.inf):
        raise ValueError(f"sizes from 1, a correlation in [0, 1], cv not negative: {mean_size}, {icc}, {cv}")
    return 1 + ((1 + cv * cv) * mean_size - 1) * icc


def clustered_sd(sd: float, mean_size: float, icc: float, cv: float = 0.0) -> float:
    """sd sqrt(deff): with it, sample sizes are units in clusters; see `design_effect`."""
    return sd * math.sqrt(design_effect(mean_size, icc, cv))
