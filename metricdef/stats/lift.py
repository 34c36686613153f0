"""Relative effects by linearisation: other conventions than Fieller's set, which readouts show (`effects.relative`).

Their intervals need not agree with the absolute test and mislead when the baseline is fewer than about ten standard
errors from 0; they exist to compare with other programs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats.effects import ArmEstimates, contrast_covariance, degrees_of_freedom
from metricdef.stats.tails import t_quantile, t_tail

_LARGEST_LOG = 709.0  # of a double


@dataclass(frozen=True, slots=True)
class Lift:
    """A relative effect mu_arm / mu_baseline - 1 with its interval and two-sided test of no effect.

    `std_error` and `statistic` are on the scale that is taken as normal: the lift itself ("delta") or the logarithm
    of the ratio ("log").
    """

    estimate: float
    std_error: float
    df: float
    lower: float
    upper: float
    statistic: float
    p_value: float
    alpha: float
    method: Literal["delta", "log"]


def delta_lift(est: ArmEstimates, arm: int, alpha: float, baseline: int = 0) -> Lift:
    """Lift L = mu_1 / mu_0 - 1 by the delta method: var = Var(mu_1 - (1 + L) mu_0) / mu_0^2, L -+ t se.

    With independent arms that is V_1 / mu_0^2 + mu_1^2 V_0 / mu_0^4; the covariance of the arm estimates enters where
    there is one. The t quantile has the df of the absolute difference (`normal_theory` gives a normal quantile).
    Assumes that mu_0 is many standard errors from 0. Deng, Knoblich & Lu (2018).

    Raises:
        NotComputable: `baseline_zero`; `zero_variance`; the reason why an arm has no estimate.
    """
    df = degrees_of_freedom(est, arm, baseline)
    mu1, mu0 = float(est.means[arm]), float(est.means[baseline])
    if mu0 == 0.0:
        raise NotComputable("baseline_zero", "the baseline mean is 0, so there is no relative effect")
    se = _spread(est, arm, baseline, 1 / mu0, -(mu1 / mu0) / mu0)
    lift, half = (mu1 - mu0) / mu0, t_quantile(alpha, df) * se
    p_value = min(1.0, 2 * t_tail(abs(lift) / se, df))
    return Lift(lift, se, df, lift - half, lift + half, lift / se, p_value, alpha, "delta")


def log_lift(est: ArmEstimates, arm: int, alpha: float, baseline: int = 0) -> Lift:
    """Lift from a normal interval of log(mu_1 / mu_0): var = Var(mu_1 / m_1 - mu_0 / m_0) at the estimates m.

    With independent arms that is V_1 / mu_1^2 + V_0 / mu_0^2. Limits exp(log ratio -+ t se) - 1.
    Assumes that both means are many standard errors from 0, on the same side. Katz, Baptista, Azen & Pike (1978).

    Raises:
        NotComputable: `no_logarithm` when the ratio is not positive; `not_finite` when a limit is too large for a
            number; otherwise as `delta_lift`.
    """
    df = degrees_of_freedom(est, arm, baseline)
    mu1, mu0 = float(est.means[arm]), float(est.means[baseline])
    if not mu1 * math.copysign(1.0, mu0) > 0.0 or mu0 == 0.0:
        raise NotComputable("no_logarithm", f"a ratio of {mu1:g} to {mu0:g} has no logarithm")
    se = _spread(est, arm, baseline, 1 / mu1, -1 / mu0)
    log_ratio, half = math.log1p((mu1 - mu0) / mu0), t_quantile(alpha, df) * se
    if log_ratio + half > _LARGEST_LOG:
        raise NotComputable("not_finite", "the means are so uncertain that the limit of their ratio is no double")
    limits = math.expm1(log_ratio - half), math.expm1(log_ratio + half)
    p_value = min(1.0, 2 * t_tail(abs(log_ratio) / se, df))
    return Lift((mu1 - mu0) / mu0, se, df, *limits, log_ratio / se, p_value, alpha, "log")


def _spread(est: ArmEstimates, arm: int, baseline: int, on_arm: float, on_baseline: float) -> float:
    """Standard error of a combination of two arm estimates."""
    if not math.isfinite((on_arm * on_arm + on_baseline * on_baseline) * (1.0 + float(np.abs(est.cov).max()))):
        raise NotComputable("baseline_zero", "a mean is too close to 0 for a relative effect")
    weights = np.zeros(len(est.means))
    weights[arm] += on_arm
    weights[baseline] += on_baseline
    variance = float(contrast_covariance(est, weights)[0, 0])
    if variance <= 0.0:
        raise NotComputable("zero_variance", "the relative effect has no variance: the outcome does not vary")
    return math.sqrt(variance)
