"""Probabilities of t statistics away from their null, pooled and Welch's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats.moments import Floats

_MOST_POINTS = 100_001
_FALL = 40.0  # by which a log density has fallen where its grid ends


@dataclass(frozen=True, slots=True)
class WelchDf:
    """What Welch's test of two arms depends on besides the noncentrality, as all of it scales with the units' sd.

    Attributes:
        share: True variance of the treatment's mean over that of the difference, V1 / (V1 + V0).
        treatment: Degrees of freedom of its variance, n1 - 1 (clusters - 1 where clusters are randomised).
        control: The same of the control.
        df_share: The share by which the df are estimated, where that is of another difference than the one tested.
    """

    share: float
    treatment: float
    control: float
    df_share: float | None = None

    def __post_init__(self) -> None:
        """Refuse arms without a variance of their own."""
        if not (self.treatment > 0 and self.control > 0):
            raise NotComputable("too_few_units", "Welch's test needs more than 1 unit in each arm")
        for share in (self.share, self.share if self.df_share is None else self.df_share):
            if not 0 <= share <= 1:
                raise ValueError(f"a share of the variance lies between 0 and 1: {share}")


def noncentral_tail(c: float, df: float, mean: float) -> float:
    """P(T > c) = E Phi(mean - c s), s = chi_df / sqrt(df), by the trapezoidal rule in x = ln s: exact to 1e-12.

    scipy's noncentral t is NaN or loses its digits in the tail away from the mean and for many degrees of freedom.
    The log density of x is -df (e^2x - 1 - 2x) / 2; the grid ends where it has fallen by 40 or more.
    Johnson, Kotz & Balakrishnan (1995), chapter 31.
    """
    from scipy.special import ndtr

    s, density = _scales(df, abs(mean))
    return min(1.0, float(density @ ndtr(mean - c * s)))


def between(c: float, df: float, below: float, above: float) -> float:
    """E of max(0, P(below + c s < Z < above - c s)), s = chi_df / sqrt(df): that two one-sided t tests both reject.

    Z standard normal; below and above are the margins less the effect, in standard errors. Error about 1e-7: the
    integrand has a corner. Phillips (1990).
    """
    from scipy.special import ndtr

    s, density = _scales(df, 8 * min(abs(below), abs(above)))
    low, high = below + c * s, above - c * s
    inside = np.where(low > 0, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))  # from the small side
    return min(1.0, float(density @ np.maximum(inside, 0.0)))


def _scales(df: float, steepness: float) -> tuple[Floats, Floats]:
    """Nodes and weights for s = chi_df / sqrt(df); what is averaged steps within 1 / steepness of some ln s."""
    spread = 14 / math.sqrt(2 * df)
    low, high = -spread - _FALL / df, min(spread, 0.5 * math.log1p(2 * _FALL / df) + 0.5)
    points = 601 + 8 * (high - low) * steepness
    x = np.linspace(low, high, min(math.ceil(points), _MOST_POINTS))
    density = np.exp(-0.5 * df * (np.expm1(2 * x) - 2 * x))
    return np.exp(x), density / density.sum()


def welch_tail(one_sided: float, df: WelchDf, mean: float) -> float:
    """P((d - null) / se > t_{1-a, df}), se and df estimated: the exact power of Welch's test on normal values.

    With Q_a = f_a s_a^2 / sigma_a^2, chi-square of f_a, the sum Q and B = Q_1 / Q ~ Beta(f_1 / 2, f_0 / 2) are
    independent; the df depends on B alone, and given B the statistic is a noncentral t of f_1 + f_0, scaled. So it is
    E_B P(T > c(B) w(B)), w^2 = (f_1 + f_0) (B V_1 / f_1 + (1 - B) V_0 / f_0) / (V_1 + V_0), by the trapezoidal rule
    in logit B: exact to 1e-9. Moser, Stevens & Watts (1989).

    Args:
        one_sided: Level a.
        df: Of the two arms.
        mean: Of the z statistic that has the true variances; negative for the tail away from the effect.
    """
    total = df.treatment + df.control
    return min(1.0, sum(w * noncentral_tail(q, total, mean) for w, q in zip(*_critical(one_sided, df), strict=True)))


def welch_between(one_sided: float, df: WelchDf, below: float, above: float) -> float:
    """That both one-sided Welch tests of an equivalence reject: `between`, averaged as in `welch_tail`.

    Moser, Stevens & Watts (1989); Phillips (1990).
    """
    total = df.treatment + df.control
    return min(1.0, sum(w * between(q, total, below, above) for w, q in zip(*_critical(one_sided, df), strict=True)))


def _critical(one_sided: float, df: WelchDf) -> tuple[list[float], list[float]]:
    """Weights over B and the critical values c(B) w(B) of `welch_tail`."""
    from scipy.special import expit, stdtrit

    f1, f0 = df.treatment, df.control
    a, b = f1 / 2, f0 / 2
    spread = 9 * math.sqrt(1 / a + 1 / b)
    step = min(spread / 24, 0.25)
    centre = math.log(a / b)
    x = np.arange(centre - spread - _FALL / a, centre + spread + _FALL / b + step, step)
    # ln of B^a (1 - B)^b, which is the density of logit B.
    log_density = -a * np.logaddexp(0.0, -x) - b * np.logaddexp(0.0, x)
    density = np.exp(log_density - log_density.max())
    keep = density > math.exp(-_FALL)
    x, density = x[keep], density[keep] / density[keep].sum()
    share = df.share if df.df_share is None else df.df_share
    one, zero = share * expit(x) / f1, (1 - share) * expit(-x) / f0  # parts of the estimated variance
    satterthwaite = (one + zero) ** 2 / (one * one / f1 + zero * zero / f0)
    variance = df.share * expit(x) / f1 + (1 - df.share) * expit(-x) / f0
    c = -stdtrit(satterthwaite, one_sided) * np.sqrt((f1 + f0) * variance)
    return density.tolist(), c.tolist()
