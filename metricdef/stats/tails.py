"""Quantiles and tail probabilities, always from the small side: 1 - cdf would round a p of 1e-178 to 0.

Student's T with infinitely many degrees of freedom is a standard normal.
"""

from __future__ import annotations

import math


def _check(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1: {alpha}")


def t_quantile(alpha: float, df: float) -> float:
    """The value that |T| exceeds with probability alpha, T Student with real `df` > 0."""
    from scipy.special import stdtrit

    if math.isinf(df):
        return z_quantile(alpha)
    _check(alpha)
    return -float(stdtrit(df, alpha / 2))  # from the lower tail: 1 - alpha/2 would round


def t_tail(statistic: float, df: float) -> float:
    """P(T > statistic) for Student's T; 0.0 only below the smallest double (about 1e-308)."""
    from scipy.special import stdtr

    return z_tail(statistic) if math.isinf(df) else float(stdtr(df, -statistic))


def z_quantile(alpha: float) -> float:
    """The value that |Z| exceeds with probability alpha, Z standard normal."""
    from scipy.special import ndtri

    _check(alpha)
    return -float(ndtri(alpha / 2))


def z_tail(statistic: float) -> float:
    """P(Z > statistic) for a standard normal Z."""
    return 0.5 * math.erfc(statistic / math.sqrt(2))
