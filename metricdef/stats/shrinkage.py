"""Empirical-Bayes shrinkage of several estimates towards their common mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from metricdef.errors import NotComputable
from metricdef.stats.moments import Floats

Between = Literal["PM", "DL", "REML"]

FEW = 10  # estimates below which tau^2 is too uncertain to be relied on


@dataclass(frozen=True, slots=True)
class Shrunk:
    """Estimates pulled towards their common mean.

    Attributes:
        method: How tau^2 was estimated.
        tau2: Variance between the true effects, 0 where the estimates vary no more than their errors explain.
        mean: Common mean.
        mean_std_error: Its standard error, tau^2 taken as known.
        estimates: The shrunk estimates.
        std_errors: Of true effect - shrunk estimate, with the uncertainty of the mean (metafor's blup).
        weights: Share of the own estimate: tau^2 / (tau^2 + se_i^2), of the matrix its diagonal.
        q: Cochran's Q at tau^2 = 0, chi-square with k - 1 df when all effects are equal.
        few: Fewer than 10 estimates: say so beside the numbers.
    """

    method: Between
    tau2: float
    mean: float
    mean_std_error: float
    estimates: tuple[float, ...]
    std_errors: tuple[float, ...]
    weights: tuple[float, ...]
    q: float
    few: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Rotated:
    """The problem in the coordinates in which the errors are independent: y and 1 there, and the error variances."""

    y: Floats
    one: Floats
    variance: Floats
    axes: Floats | None

    def mean(self, tau2: float) -> tuple[float, float]:
        """GLS mean and its variance."""
        w = 1 / (self.variance + tau2)
        precision = float((w * self.one**2).sum())
        return float((w * self.one * self.y).sum()) / precision, 1 / precision

    def q(self, tau2: float) -> float:
        """Squared distance of y from the mean, in the metric of the total variance; falls in tau2."""
        rest = self.y - self.mean(tau2)[0] * self.one
        return float((rest**2 / (self.variance + tau2)).sum())


def shrink(estimates: Sequence[float], std_errors: Sequence[float], method: Between = "PM") -> Shrunk:
    """Normal-normal shrinkage of independent estimates.

    y_i ~ N(theta_i, se_i^2), theta_i ~ N(mu, tau^2). tau^2, at least 0: PM, the root of
    Q(tau^2) = sum (y_i - mu)^2 / (tau^2 + se_i^2) = k - 1; DL, (Q(0) - (k - 1)) / (sum w - sum w^2 / sum w),
    w = 1 / se^2; REML, the maximum of the restricted likelihood. mu weighs by 1 / (tau^2 + se_i^2);
    shrunk_i = mu + B_i (y_i - mu), B_i = tau^2 / (tau^2 + se_i^2); sd^2 = B_i se_i^2 + (1 - B_i)^2 var(mu).
    Paule & Mandel (1982), preferred: Veroniki et al. (2016); DerSimonian & Laird (1986); Efron & Morris (1973).
    Assumes effects that are alike before the data; one outlier inflates tau^2 for all.

    Args:
        estimates: At least 2 effects on one scale, in one direction.
        std_errors: Their standard errors, above 0.
        method: "PM", "DL" or "REML".
    """
    y, se = np.array(estimates, dtype=np.float64), np.array(std_errors, dtype=np.float64)
    if y.shape != se.shape or y.size < 2 or not (np.all(se > 0) and np.all(np.isfinite(se)) and np.all(np.isfinite(y))):
        raise ValueError("shrinkage takes at least 2 finite estimates with standard errors above 0")
    unit = float(se.min())
    return _shrink(_Rotated(y / unit, np.ones_like(y), (se / unit) ** 2, None), method, unit)


def shrink_dependent(estimates: Sequence[float], covariance: ArrayLike, method: Between = "PM") -> Shrunk:
    """`shrink` for estimates whose errors are correlated, such as arms that share a baseline.

    y ~ N(theta, S), theta ~ N(mu 1, tau^2 I): everything of `shrink` with V = S + tau^2 I in place of the diagonal:
    Q = (y - mu 1)' V^-1 (y - mu 1), mu the GLS mean, theta^ = mu 1 + tau^2 V^-1 (y - mu 1), with variance
    tau^2 I - tau^4 V^-1 + h h' var(mu), h = 1 - tau^2 V^-1 1. Taking such arms as independent would put the
    baseline's error, which all share, into tau^2's place. Higgins, Thompson & Spiegelhalter (2009); Jackson, White
    & Riley (2013) for the multivariate case.

    Args:
        estimates: At least 2 effects.
        covariance: (k, k) covariance of their errors, positive definite: V_0 off the diagonal for arms that share
            an unadjusted baseline.
        method: As in `shrink`.

    Raises:
        NotComputable: `singular` when the errors are linearly dependent.
    """
    y, s = np.array(estimates, dtype=np.float64), np.array(covariance, dtype=np.float64)
    k = y.size
    if k < 2 or s.shape != (k, k) or not (np.all(np.isfinite(y)) and np.all(np.isfinite(s))):
        raise ValueError("shrinkage takes at least 2 finite estimates and their covariance matrix")
    if not np.all(s.diagonal() > 0) or np.abs(s - s.T).max() > 1e-9 * float(s.diagonal().max()):
        raise ValueError("a covariance matrix is symmetric, with variances above 0")
    unit = math.sqrt(s.diagonal().min())
    scaled = s / unit / unit
    values, axes = np.linalg.eigh((scaled + scaled.T) / 2)
    if not values[0] > 1e-12 * values[-1]:
        raise NotComputable("singular", "the errors of the estimates are linearly dependent")
    return _shrink(_Rotated(axes.T @ (y / unit), axes.T @ np.ones(k), values, axes), method, unit)


def dersimonian_laird(estimates: Sequence[float], std_errors: Sequence[float]) -> Shrunk:
    """`shrink` with the moment estimate of tau^2. DerSimonian & Laird (1986)."""
    return shrink(estimates, std_errors, "DL")


def _shrink(data: _Rotated, method: Between, unit: float) -> Shrunk:
    """The answer from `data` in units of the smallest error, whose squares and weights neither over- nor underflow."""
    if method not in _BETWEEN:
        raise ValueError(f"unknown method {method!r}")
    tau2 = _BETWEEN[method](data)
    mean, variance = data.mean(tau2)
    own = tau2 / (data.variance + tau2)
    pulled = mean * data.one + own * (data.y - mean * data.one)
    spread = own * data.variance  # tau^2 - tau^4 / (variance + tau^2)
    left = (1 - own) * data.one
    if data.axes is not None:
        pulled, left = data.axes @ pulled, data.axes @ left
        spread, own = (data.axes**2) @ spread, (data.axes**2) @ own
    errors = np.sqrt(spread + left**2 * variance)
    return Shrunk(
        method,
        tau2 * unit * unit,
        mean * unit,
        math.sqrt(variance) * unit,
        tuple((pulled * unit).tolist()),
        tuple((errors * unit).tolist()),
        tuple(own.tolist()),
        data.q(0.0),
        data.y.size < FEW,
    )


def _moment(data: _Rotated) -> float:
    """DerSimonian & Laird: Q(0) less its expectation without heterogeneity, over what heterogeneity adds."""
    w = 1 / data.variance
    slope = float(w.sum() - (w**2 * data.one**2).sum() / (w * data.one**2).sum())
    return max(0.0, (data.q(0.0) - (data.y.size - 1)) / slope)


def _paule_mandel(data: _Rotated) -> float:
    from scipy.optimize import brentq

    df = data.y.size - 1
    if data.q(0.0) <= df:
        return 0.0
    high = float(data.variance.max())
    while data.q(high) > df:
        high *= 4
    return float(brentq(lambda tau2: data.q(tau2) - df, 0.0, high, xtol=1e-16 * high, rtol=1e-14))


def _restricted_likelihood(data: _Rotated) -> float:
    """The best of the stationary points and 0: the likelihood may have more than one peak."""
    from scipy.optimize import brentq

    def slope(tau2: float) -> float:
        w = 1 / (data.variance + tau2)
        rest = data.y - data.mean(tau2)[0] * data.one
        trace = float(w.sum() - (w**2 * data.one**2).sum() / (w * data.one**2).sum())
        return float((w**2 * rest**2).sum()) - trace

    def log_likelihood(tau2: float) -> float:
        w = 1 / (data.variance + tau2)
        return 0.5 * float(np.log(w).sum() - np.log((w * data.one**2).sum())) - 0.5 * data.q(tau2)

    top = float(data.variance.max() + np.var(data.y) * data.y.size)
    grid = np.concatenate([[0.0], np.geomspace(1e-8, 4.0, 200) * top])
    slopes = [slope(t) for t in grid]
    peaks = [0.0]
    for a, b, left, right in zip(grid, grid[1:], slopes, slopes[1:], strict=False):
        if left > 0 >= right:
            peaks.append(float(brentq(slope, a, b, xtol=1e-16 * top, rtol=1e-14)))
    return max(peaks, key=log_likelihood)


_BETWEEN = {"PM": _paule_mandel, "DL": _moment, "REML": _restricted_likelihood}
