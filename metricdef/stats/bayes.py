"""Bayesian reading of an estimate: a normal prior, the normal likelihood of the estimate, a normal posterior.

Peeking with a flat prior has no error control: these figures describe, they never decide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats.effects import ArmEstimates
from metricdef.stats.moments import quadratic
from metricdef.stats.tails import z_quantile

_LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)
_SERIES_FROM = 30.0

Scale = Literal["absolute", "relative"]


@dataclass(frozen=True, slots=True)
class NormalPrior:
    """Prior of the effect, on the scale of the estimate: N(mean, variance)."""

    mean: float
    variance: float

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not (math.isfinite(self.mean) and 0 < self.variance < math.inf):
            raise ValueError(f"a prior needs a finite mean and a variance above 0: {self.mean}, {self.variance}")


@dataclass(frozen=True, slots=True)
class Posterior:
    """Posterior of an effect and what follows from it. Logarithms are natural and hold where the number itself is 0.

    Attributes:
        mean: Posterior mean.
        std_dev: Posterior standard deviation.
        lower: Lower end of the equal-tailed credible interval.
        upper: Its upper end.
        credible: Its probability.
        chance_to_beat: Probability that the treatment is better.
        log_chance_to_beat: Its logarithm.
        log_chance_to_lose: Logarithm of the rest.
        loss_of_treatment: Expected loss of choosing the treatment: E[by how much it is worse, 0 where it is better].
        loss_of_control: Expected loss of staying with the baseline.
        log_loss_of_treatment: Its logarithm.
        log_loss_of_control: Its logarithm.
    """

    mean: float
    std_dev: float
    lower: float
    upper: float
    credible: float
    chance_to_beat: float
    log_chance_to_beat: float
    log_chance_to_lose: float
    loss_of_treatment: float
    loss_of_control: float
    log_loss_of_treatment: float
    log_loss_of_control: float


def update(
    estimate: float,
    variance: float,
    prior: NormalPrior | None = None,
    *,
    lower_is_better: bool = False,
    credible: float = 0.95,
) -> Posterior:
    """Posterior of an effect: precisions add, means are weighed by them; without a prior it is N(estimate, variance).

    M, D its mean and standard deviation, turned so that more is better, r = M / D: chance to beat Phi(r); expected
    loss of the treatment D [phi(r) - r Phi(-r)], of the baseline D [phi(r) + r Phi(r)]. For the far side the
    bracket is phi(r) (1 - r m(r)), m Mills' ratio, and beyond r = 30 its asymptotic series, so nothing cancels.
    Assumes a normal estimate with known variance and a prior chosen before the data. Raiffa & Schlaifer (1961).

    Args:
        estimate: The effect, absolute or relative; the prior must be on the same scale.
        variance: Its variance, above 0.
        prior: None: flat (the chance to beat is then 1 - the one-sided p).
        lower_is_better: Whether a smaller value is the better one.
        credible: Probability of the credible interval.
    """
    from scipy.special import log_ndtr

    if not (math.isfinite(estimate) and 0 < variance < math.inf):
        raise ValueError(f"an estimate needs a finite value and a variance above 0: {estimate}, {variance}")
    weight = 0.0 if prior is None else variance / (variance + prior.variance)
    mean = estimate if prior is None else estimate + weight * (prior.mean - estimate)
    sd = math.sqrt(variance if prior is None else weight * prior.variance)
    half = z_quantile(1 - credible) * sd
    r = (-mean if lower_is_better else mean) / sd
    log_win, log_lose = float(log_ndtr(r)), float(log_ndtr(-r))
    log_treatment, log_control = (math.log(sd) + _log_unit_loss(side) for side in (r, -r))
    return Posterior(
        mean,
        sd,
        mean - half,
        mean + half,
        credible,
        math.exp(log_win),
        log_win,
        log_lose,
        math.exp(log_treatment),
        math.exp(log_control),
        log_treatment,
        log_control,
    )


def _log_unit_loss(r: float) -> float:
    """ln E[max(0, -X)], X normal with mean r and variance 1: ln [phi(r) - r Phi(-r)]."""
    from scipy.special import erfcx, ndtr

    if r <= 0:  # both terms are positive
        return math.log(math.exp(-0.5 * r * r - _LOG_ROOT_2PI) - r * float(ndtr(-r)))
    log_density = -0.5 * r * r - _LOG_ROOT_2PI
    if r < _SERIES_FROM:
        return log_density + math.log1p(-r * math.sqrt(math.pi / 2) * float(erfcx(r / math.sqrt(2))))
    s = 1 / (r * r)
    return log_density + math.log(s) + math.log1p(-s * (3 - s * (15 - s * 105)))


@dataclass(frozen=True, slots=True)
class EffectVariance:
    """An effect with the variance of its estimate."""

    estimate: float
    variance: float


def effect_variance(est: ArmEstimates, arm: int, scale: Scale = "absolute", baseline: int = 0) -> EffectVariance:
    """Estimate and variance of an effect on the scale of the prior.

    Absolute: mu_1 - mu_0. Relative: (mu_1 - mu_0) / |mu_0| by the delta method, variance of mu_1 - (mu_1 / mu_0) mu_0
    over mu_0^2: with a baseline below 0, too, an effect above 0 is a larger mean, which is what the chance to beat the
    baseline asks (`effects.relative` has the opposite sign there). Deng, Knoblich & Lu (2018).

    Raises:
        NotComputable: `too_few_units`; `baseline_zero`; `zero_variance`.
        ValueError: an unknown scale.
    """
    if scale not in ("absolute", "relative"):
        raise ValueError(f"unknown scale {scale!r}")
    if not (est.arm_df[arm] > 0 and est.arm_df[baseline] > 0):
        raise NotComputable("too_few_units", "an arm has too few units for a variance (at least 2 are needed)")
    mu1, mu0 = float(est.means[arm]), float(est.means[baseline])
    if scale == "relative" and mu0 == 0.0:
        raise NotComputable("baseline_zero", "the baseline mean is 0, so there is no relative effect")
    factor, unit = (mu1 / mu0, mu0) if scale == "relative" else (1.0, 1.0)
    weights = np.zeros(len(est.means))
    weights[arm] += 1.0
    weights[baseline] -= factor
    variance = quadratic(weights, est.cov) / unit / unit
    if not variance > 0:
        raise NotComputable("zero_variance", "the estimates have no variance")
    return EffectVariance((mu1 - mu0) / abs(unit), variance)
