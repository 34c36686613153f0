"""Whether several estimates of one effect differ by more than chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CochranQ:
    """Cochran's Q with its chi-square p-value."""

    statistic: float
    df: int
    p_value: float


def cochran_q(estimates: Sequence[float], std_errors: Sequence[float]) -> CochranQ | None:
    """Test that independent estimates share one effect: Q = sum w_i (d_i - d.)^2, w_i = 1 / se_i^2, df = k - 1.

    d. is the w-weighted mean. Assumes estimates that are normal with known standard errors; with small levels it
    rejects too often. Cochran (1954).

    Args:
        estimates: One effect per level.
        std_errors: Their standard errors, above 0.

    Returns:
        None with fewer than two estimates: there is nothing to compare.
    """
    from scipy.special import chdtrc

    if not all(0 < se < math.inf for se in std_errors) or not all(map(math.isfinite, estimates)):
        raise ValueError("estimates must be finite, and standard errors finite and above 0")
    if len(estimates) < 2:
        return None
    # About the first estimate and in units of the smallest error: no squares of large or tiny numbers.
    unit = min(std_errors)
    weights = [(unit / se) ** 2 for se in std_errors]
    off = [(d - estimates[0]) / unit for d in estimates]
    mean = sum(w * d for w, d in zip(weights, off, strict=True)) / sum(weights)
    statistic = sum(w * (d - mean) ** 2 for w, d in zip(weights, off, strict=True))
    df = len(estimates) - 1
    return CochranQ(statistic, df, float(chdtrc(df, statistic)))
