"""Any weighted sum of estimated arm means, with its t test and interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats.effects import ArmEstimates, Difference
from metricdef.stats.moments import quadratic
from metricdef.stats.tails import t_quantile, t_tail


def test_contrast(est: ArmEstimates, weights: Sequence[float], alpha: float) -> Difference:
    """Two-sided test of sum w_a mu_a = 0 and its interval of level 1 - alpha.

    se^2 = w' C w; df: the pooled one, or Satterthwaite's (sum w_a^2 V_a)^2 / sum (w_a^4 V_a^2 / df_a).
    Satterthwaite (1946); with weights 1 and -1 it is Welch's test.

    Args:
        est: Arm estimates.
        weights: One per arm; arms of weight 0 take no part.
        alpha: 1 - confidence.

    Raises:
        NotComputable: `too_few_units` for an arm with weight that has no variance estimate; `zero_variance`.
    """
    w = np.array(weights, dtype=np.float64)
    if w.shape != est.means.shape or not np.any(w != 0) or not np.isfinite(w).all():
        raise ValueError(f"a contrast needs one weight per arm, finite and not all 0: {list(weights)}")
    used = w != 0
    if not np.all(est.arm_df[used] > 0):
        raise NotComputable("too_few_units", "an arm has too few units for a variance (at least 2 are needed)")
    parts = w[used] ** 2 * est.arm_variance[used]
    variance = quadratic(w, est.cov)
    if not (variance > 0 and parts.sum() > 0):
        raise NotComputable(
            "zero_variance",
            "the estimates have no variance: the outcome does not vary, or the covariates explain all of it",
        )
    if est.pooled_df is not None:
        df = est.pooled_df
    else:
        share = parts / parts.sum()  # as shares: squares of tiny variances would underflow
        df = 1.0 / float((share**2 / est.arm_df[used]).sum())
    value, se = float(w @ est.means), math.sqrt(variance)
    half = t_quantile(alpha, df) * se
    p_value = min(1.0, 2 * t_tail(abs(value) / se, df))
    return Difference(value, se, df, value - half, value + half, value / se, p_value, alpha)


test_contrast.__test__ = False  # type: ignore[attr-defined]  # pytest must not collect it
