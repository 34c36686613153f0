"""The estimate of an effect that is shown because it was significant: the winner's curse of a single test."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from metricdef.stats.tails import z_quantile


@dataclass(frozen=True, slots=True)
class SelectionAdjusted:
    """An estimate and interval that allow for having been selected; `naive` is the estimate as reported."""

    naive: float
    estimate: float
    lower: float
    upper: float
    alpha: float


def condition_on_significance(
    estimate: float, std_error: float, selection_alpha: float, alpha: float
) -> SelectionAdjusted:
    """Conditional maximum likelihood given that the two-sided test was significant.

    Z ~ N(mu, 1) is seen only if |Z| > c, c the quantile of `selection_alpha`: density phi(z - mu) / P(mu),
    P(mu) = Phi(mu - c) + Phi(-mu - c). The estimate solves z = E_mu[Z | selected]; with z just beyond c it is
    pulled far, with z large hardly. Interval: mu with P_mu(Z >= z | selected) and P_mu(Z <= z | selected) both at
    least alpha / 2. Assumes a normal estimate and that nothing but this test selected it: with a corrected family
    `selection_alpha` is the local level. After a sequential stop use the median-unbiased estimate instead.
    Zhong & Prentice (2008); Zollner & Pritchard (2007).

    Args:
        estimate: The effect.
        std_error: Its standard error, above 0.
        selection_alpha: Two-sided level at which it was significant.
        alpha: 1 - confidence of the interval.

    Raises:
        ValueError: the estimate was not significant at `selection_alpha`.
    """
    from scipy.optimize import brentq

    if not (math.isfinite(estimate) and 0 < std_error < math.inf):
        raise ValueError(f"an estimate needs a finite value and a standard error above 0: {estimate}, {std_error}")
    c = z_quantile(selection_alpha)
    z_quantile(alpha)  # refuses a wrong alpha
    side = math.copysign(1.0, estimate)
    z = abs(estimate) / std_error
    if not z > c:
        raise ValueError(f"the estimate was not significant at {selection_alpha}: nothing was selected")
    peak = float(brentq(lambda mu: _expected(mu, c) - z, 0.0, z, xtol=1e-12))
    level = math.log(alpha / 2)
    low = _cross(lambda mu: _log_upper(mu, z, c) - level, z, -1.0)
    high = _cross(lambda mu: level - _log_lower(mu, z, c), z, 1.0)
    ends = sorted((side * low * std_error, side * high * std_error))
    return SelectionAdjusted(estimate, side * peak * std_error, ends[0], ends[1], alpha)


def _log_selected(mu: float, c: float) -> float:
    from scipy.special import log_ndtr

    a, b = float(log_ndtr(mu - c)), float(log_ndtr(-mu - c))
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))


def _expected(mu: float, c: float) -> float:
    """E[Z | |Z| > c] = mu + [phi(c - mu) - phi(c + mu)] / P(mu)."""

    def share(x: float) -> float:
        return math.exp(-0.5 * x * x - 0.5 * math.log(2 * math.pi) - _log_selected(mu, c))

    return mu + share(c - mu) - share(c + mu)


def _log_upper(mu: float, z: float, c: float) -> float:
    """ln P(Z >= z | selected), z > c; rises in mu."""
    from scipy.special import log_ndtr

    return float(log_ndtr(mu - z)) - _log_selected(mu, c)


def _log_lower(mu: float, z: float, c: float) -> float:
    """ln P(Z <= z | selected), z > c: below -c, or between c and z; falls in mu."""
    from scipy.special import log_ndtr

    low, top, bottom = float(log_ndtr(-c - mu)), float(log_ndtr(z - mu)), float(log_ndtr(c - mu))
    between = top + math.log(-math.expm1(bottom - top)) if top > bottom else -math.inf
    a, b = max(low, between), min(low, between)
    return a + (math.log1p(math.exp(b - a)) if b > -math.inf else 0.0) - _log_selected(mu, c)


def _cross(gap: Callable[[float], float], start: float, direction: float) -> float:
    """The root of a function that rises in mu, from `start` outwards in the direction in which it changes sign."""
    from scipy.optimize import brentq

    # At `start` the sign is that of neither side for sure: widen both ends until they enclose the root.
    inner, outer, step = start - direction, start + direction, 1.0
    while gap(min(inner, outer)) > 0 or gap(max(inner, outer)) < 0:
        inner, outer, step = inner - direction * step, outer + direction * step, 2 * step
        if step > 1e9:
            raise ValueError("no end of the interval was found")
    return float(brentq(gap, min(inner, outer), max(inner, outer), xtol=1e-10))
