"""Quantiles and tail probabilities, always from the small side: 1 - cdf would round a p of 1e-178 to 0.

Student's T with infinitely many degrees of freedom is a standard normal.
"""

from __future__ import annotations

import math


def check_alpha(alpha: float) -> None:
    """ValueError unless alpha is a level: strictly between 0 and 1."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1: {alpha}")


def _check_t(df: float) -> None:
    if not df > 0:
        raise ValueError(f"degrees of freedom must be above 0: {df}")


def finite(**values: float) -> None:
    """ValueError, with the names, unless all values are finite: a NaN must not become a p of 1."""
    if not all(map(math.isfinite, values.values())):
        given = ", ".join(f"{name} = {value}" for name, value in values.items())
        raise ValueError(f"a finite number is needed: {given}")


def t_quantile(alpha: float, df: float) -> float:
    """The value that |T| exceeds with probability alpha, T Student with real `df` > 0."""
    from scipy.special import stdtrit

    _check_t(df)
    if math.isinf(df):
        return z_quantile(alpha)
    check_alpha(alpha)
    return -float(stdtrit(df, alpha / 2))  # from the lower tail: 1 - alpha/2 would round


def t_tail(statistic: float, df: float) -> float:
    """P(T > statistic) for Student's T; 0.0 only below the smallest double (about 1e-308)."""
    from scipy.special import stdtr

    _check_t(df)
    if math.isnan(statistic):
        raise ValueError("the statistic is not a number")
    return z_tail(statistic) if math.isinf(df) else float(stdtr(df, -statistic))


def z_quantile(alpha: float) -> float:
    """The value that |Z| exceeds with probability alpha, Z standard normal."""
    from scipy.special import ndtri

    check_alpha(alpha)
    return -float(ndtri(alpha / 2))


def z_tail(statistic: float) -> float:
    """P(Z > statistic) for a standard normal Z: erfc(statistic / sqrt 2) / 2."""
    if math.isnan(statistic):
        raise ValueError("the statistic is not a number")
    return 0.5 * math.erfc(statistic / math.sqrt(2))
