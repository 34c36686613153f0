"""Robust variances that moments can't give, from units: for local data, and to check what a warehouse computed.

HC0 to HC3 need sums of e^2 w w' (fourth order), CR2 the leverage of every cluster. A readout uses neither: Lin's
superpopulation variance and the delta method come from moments, and a dominant unit is warned about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats.adjustment import usable
from metricdef.stats.effects import ArmEstimates
from metricdef.stats.moments import Floats, from_rows

Sandwich = Literal["HC0", "HC1", "HC2", "HC3", "M"]

LEVERAGE_LIMIT = 1 - 1e-12


@dataclass(frozen=True, slots=True)
class _Fit:
    """Least squares of one arm on (1, x - grand mean): coefficients, residuals, leverages, and A^-1 w for the intercept."""

    beta: Floats
    residual: Floats
    leverage: Floats
    weight: Floats


def lin_from_units(y: Sequence[Floats], x: Sequence[Floats], sandwich: Sandwich) -> ArmEstimates:
    """Lin's estimator with a sandwich variance: Var(mu_a) = sum over units of (weight_i e_i)^2 f(h_i).

    weight_i is the unit's part in the adjusted mean, h_i its leverage; f = 1 (HC0), N / (N - K (k + 1)) (HC1),
    1 / (1 - h) (HC2), 1 / (1 - h)^2 (HC3): the covariates are taken as fixed, df = N - K (k + 1). "M": the influence
    weight_i e_i 1{i in a} + b_a'(x_i - x.) / N squared and summed, which includes the estimated covariate mean; df as
    for `lin`. White (1980); MacKinnon & White (1985); Lin (2013); Negi & Wooldridge (2021).

    Args:
        y: (n_a,) outcomes per arm, baseline first.
        x: (n_a, k) covariates per arm; constant and collinear columns are dropped, named by their number.
        sandwich: Which variance.

    Raises:
        NotComputable: `too_few_units` when an arm has fewer than k + 2 units, or one alone decides its own fit.
    """
    numbers = [str(j) for j in range(x[0].shape[1])]
    names = usable([from_rows(numbers, values) for values in x], numbers, per_arm=True)
    at = [int(name) for name in names.kept]
    everyone = np.vstack([values[:, at] for values in x])
    off = [values[:, at] - everyone.mean(axis=0) for values in x]
    k, total = len(at), len(everyone)
    fits = [_fit(values, centred) for values, centred in zip(y, off, strict=True)]
    df = np.array([len(values) - k - 1.0 for values in y])
    slopes = np.array([fit.beta[1:] for fit in fits]).reshape(len(fits), k)
    if sandwich == "M":
        own = np.array([((fit.weight * fit.residual) ** 2).sum() for fit in fits])
        shared = np.vstack(off) @ slopes.T / total
        start = 0
        for a, fit in enumerate(fits):
            shared[start : start + len(fit.residual), a] += fit.weight * fit.residual
            start += len(fit.residual)
        cov, pooled = shared.T @ shared, None
    else:
        own = np.array([((fit.weight * fit.residual) ** 2 * _factor(fit, sandwich)).sum() for fit in fits])
        own *= total / df.sum() if sandwich == "HC1" else 1.0
        cov, pooled = np.diag(own), float(df.sum())
    means = np.array([fit.beta[0] for fit in fits])
    return ArmEstimates("lin", means, cov, own, df, pooled, names.kept, names.dropped, None, slopes)


def _fit(y: Floats, x: Floats) -> _Fit:
    n, k = x.shape
    if n < k + 2:
        raise NotComputable("too_few_units", f"{k} covariates need at least {k + 2} units an arm, one has {n}")
    design = np.column_stack([np.ones(n), x])
    q, r = np.linalg.qr(design)
    leverage = (q**2).sum(axis=1)
    beta = np.linalg.solve(r, q.T @ y)
    # Row 0 of (W'W)^-1 W' = R^-1 Q'.
    weight = q @ np.linalg.solve(r.T, np.eye(k + 1)).T[0]
    return _Fit(beta, y - design @ beta, leverage, weight)


def _factor(fit: _Fit, sandwich: Sandwich) -> Floats:
    power = {"HC2": 1, "HC3": 2}.get(sandwich, 0)
    if power and np.any(fit.leverage > LEVERAGE_LIMIT):
        raise NotComputable("too_few_units", "a unit alone decides its own fit")
    return (1 - fit.leverage) ** -power if power else np.ones_like(fit.leverage)


def ratio_cr2(numerator: Sequence[Floats], denominator: Sequence[Floats], arm: int, baseline: int = 0) -> ArmEstimates:
    """Two arms' ratios sum(y) / sum(d) with the CR2 variance and its Satterthwaite df, for d = rows of a unit.

    With D the rows of an arm and leverage h_g = d_g / D: V_a = sum_g (y_g - R d_g)^2 / (1 - h_g) / D^2. Under
    independent rows the variance estimate has df = (sum_a 1 / D_a)^2 / sum_a tr(P_a^2), P = diag(s^2 d) - (s d)(s d)' / D,
    s_g = (1 - h_g)^(-1/2) / D. It sees a dominant unit, which the delta method doesn't.
    Bell & McCaffrey (2002); Pustejovsky & Tipton (2018).

    Args:
        numerator: (n_a,) totals of units per arm.
        denominator: (n_a,) rows of units per arm, none negative.
        arm: The arm to be compared.
        baseline: The arm compared with.

    Returns:
        Estimates of (baseline, arm); the df are those of their difference.

    Raises:
        NotComputable: `zero_denominator`; `too_few_units` when one unit has all rows of an arm.
    """
    means, variance = np.zeros(2), np.zeros(2)
    trace, squares = 0.0, 0.0
    for i, a in enumerate((baseline, arm)):
        y, d = numerator[a], denominator[a]
        total = float(d.sum())
        if total <= 0.0:
            raise NotComputable("zero_denominator", f"an arm of {len(d)} units has no rows")
        free = 1 - d / total
        if np.any(free <= 1 - LEVERAGE_LIMIT):
            raise NotComputable("too_few_units", "one unit has all rows of an arm")
        means[i] = float(y.sum()) / total
        variance[i] = float(((y - means[i] * d) ** 2 / free).sum()) / total / total
        spread = d / free / total**2  # s^2 d
        inner = d * spread  # (s d)^2
        trace += 1 / total
        squares += float((spread**2).sum() - 2 * (spread * inner).sum() / total + inner.sum() ** 2 / total**2)
    df = trace**2 / squares
    if not math.isfinite(df):
        raise NotComputable("too_few_units", "the variance has no degrees of freedom")
    return ArmEstimates("unadjusted", means, np.diag(variance), variance, np.full(2, df), df)
