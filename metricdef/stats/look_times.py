"""Which times of a Brownian motion stand for the looks of an estimator that is not efficient.

Bounds at looks take Cov(Z_i, Z_j) = sqrt(t_i / t_j). With 1 / se^2 as t that holds for an efficient estimator. One that is
combined over the epochs of a ramp weighs them by their units, not by their precision; and a cluster that gains units
between looks changes. By Slepian's inequality the chance that any of several scores crosses its bound only falls as their
correlations grow: times whose correlations are nowhere larger than the true ones keep every one-sided level.
Slepian (1962).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from metricdef.errors import NotComputable

UNKNOWN = 0.01  # a correlation that stands for none: it moves a bound by less than 0.001
_LATEST = 1e290


@dataclass(frozen=True, slots=True)
class EpochPart:
    """What one epoch of a ramp has in a combined difference.

    Attributes:
        name: Of the epoch.
        weight: Its share of the units; the weights of an estimate sum to 1.
        arm: Variance of the arm's mean within it; of a ratio that of y - R d.
        baseline: The same of the baseline.
        covariance: Of the two.
        arm_scale: What a mean is multiplied by in the estimate of the arm: of a ratio 1 / mean of d at that look.
        baseline_scale: The same of the baseline.
    """

    name: str
    weight: float
    arm: float
    baseline: float
    covariance: float = 0.0
    arm_scale: float = 1.0
    baseline_scale: float = 1.0

    def variance(self, factor: float = 1.0) -> float:
        """Variance of arm - factor x baseline within the epoch."""
        return self.shared(self, factor)

    @property
    def is_scaled(self) -> bool:
        """Whether the estimate is a ratio, whose scale moves from look to look."""
        return (self.arm_scale, self.baseline_scale) != (1.0, 1.0)

    def shared(self, earlier: EpochPart, factor: float = 1.0) -> float:
        """Covariance with the same epoch of an earlier look: what averages of units share is the later variance."""
        u, v = self.arm_scale, factor * self.baseline_scale
        x, y = earlier.arm_scale, factor * earlier.baseline_scale
        return u * x * self.arm + v * y * self.baseline - (u * y + v * x) * self.covariance


def combined_variance(parts: Sequence[EpochPart], factor: float = 1.0) -> float:
    """sum_k w_k^2 V_k, of arm - factor x baseline."""
    return math.fsum(part.weight**2 * part.variance(factor) for part in parts)


def correlation(before: Sequence[EpochPart], now: Sequence[EpochPart], factor: float = 1.0) -> float:
    """Corr(Z_i, Z_j) of a look i and a later one j: sum_k w_ki w_kj C_k / sqrt(sum w_ki^2 V_ki sum w_kj^2 V_kj).

    Within an epoch the estimate is an average over units whose values stay, by an estimator that is at least as precise
    at the later look, so C_k = Cov(tau_ki, tau_kj) = V_kj (`shared`); epochs are independent.

    Args:
        before: Epochs of the earlier look.
        now: Of the later one.
        factor: Of arm - factor x baseline, the contrast that is tested: 1 but for a relative margin.
    """
    earlier = {part.name: part for part in before}
    both = [(part, earlier[part.name]) for part in now if part.name in earlier]
    shared = math.fsum(part.weight * was.weight * part.shared(was, factor) for part, was in both)
    scale = math.sqrt(combined_variance(before, factor) * combined_variance(now, factor))
    return shared / scale if scale > 0 else 0.0


def units_time(parts: Sequence[EpochPart], units: float) -> float:
    """The time of a first look, in units of the first epoch: N sum_k w_k^2 V_k / (w_1 V_1).

    N tau = sum over units of what each adds, whose variance in epoch k is v_k = n_k V_k: a sum with independent
    increments and the variance sum_k n_k v_k, here over v_1. Of a single epoch it is the units themselves.
    """
    first = parts[0]
    scale = first.weight * first.variance()
    return units * combined_variance(parts) / scale if scale > 0 else units


def following_time(past: Sequence[tuple[float, float]]) -> float:
    """The time of a look after others: max_i t_i / rho_i^2, so that sqrt(t_i / t_j) is at most rho_i for all i.

    Args:
        past: Time of each earlier look, and its correlation with this one.

    Raises:
        NotComputable: `too_many_looks` where times outgrow what doubles hold, after some 70 looks without any correlation.
    """
    found = max(time / max(rho, UNKNOWN) ** 2 for time, rho in past)
    if found > _LATEST:
        raise NotComputable("too_many_looks", "the looks are too many to be read without knowing how they are related")
    return found
