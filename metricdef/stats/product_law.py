"""The joint law of statistics that share one factor, such as arms that share a baseline: by quadrature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from metricdef.stats.joint import normal_score
from metricdef.stats.moments import Floats

_POINTS = 16  # of Gauss-Legendre per panel
_NEGLIGIBLE = 40.0  # e-folds below the peak at which a panel adds nothing
_SHARP = 0.5  # residual standard deviation below which the integrand needs panels of its own


@dataclass(frozen=True, slots=True, eq=False)
class ProductLaw:
    """Statistics with correlation l_i l_j: normal, or Student's with one common variance estimate.

    P(min P <= p) = E_s int [1 - prod (1 - u_i(z, s))] phi(z) dz, u_i the probability that statistic i is beyond c s
    given the factor z, r_i = sqrt(1 - l_i^2): Phi((l_i z - c s) / r_i) and, if two-sided, + Phi((-l_i z - c s) / r_i);
    c the quantile of p, s = chi_df / sqrt(df), or 1 for normal statistics. The complement is integrated, over the
    region in which it lives, so a p of 1e-178 keeps its digits. Relative error about 1e-10 by composite
    Gauss-Legendre (16 points a panel). Dunnett (1955); Dunnett (1989).

    Attributes:
        loadings: (m,) l, between -1 and 1.
        two_sided: Whether the statistics are judged by their size.
        df: Degrees of freedom of the common variance estimate; None: known variances.
    """

    loadings: Floats
    two_sided: bool
    df: float | None = None

    def __post_init__(self) -> None:
        """Freeze and check the loadings."""
        array = np.array(self.loadings, dtype=np.float64)
        if array.ndim != 1 or not np.all(np.abs(array) <= 1):
            raise ValueError(f"loadings lie between -1 and 1: {array.tolist()}")
        if self.df is not None and not self.df > 0:
            raise ValueError(f"degrees of freedom must be above 0: {self.df}")
        array.setflags(write=False)
        object.__setattr__(self, "loadings", array)

    @property
    def size(self) -> int:
        """Number of statistics."""
        return int(self.loadings.size)

    def smallest(self, p: float, members: Sequence[int]) -> float:
        """P(the smallest p of the members <= p)."""
        if not members or not 0 < p < 1:
            return float(bool(members) and p >= 1)
        if len(members) == 1:
            return p
        lam = self.loadings[list(members)]
        c = quantile(p, self.df, two_sided=self.two_sided)
        two = self.two_sided
        if self.df is None:
            value = _beyond(c, lam, two_sided=two)
        else:
            pairs = zip(*_scale_nodes(c, self.df), strict=True)
            value = sum(weight * _beyond(c * s, lam, two_sided=two) for s, weight in pairs)
        return min(max(value, p), 1.0, p * len(members))


def quantile(p: float, df: float | None, *, two_sided: bool) -> float:
    """The value c with P(T > c) = p, two-sided P(|T| > c) = p: T Student's, normal without df."""
    from scipy.special import stdtrit

    if df is None:
        return normal_score(p, "two-sided" if two_sided else "greater")
    if not df > 0:
        raise ValueError(f"degrees of freedom must be above 0: {df}")
    return -float(stdtrit(df, p / 2 if two_sided else p))


@cache
def _legendre() -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    return nodes, weights


def _panels(edges: Floats) -> tuple[Floats, Floats]:
    nodes, weights = _legendre()
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    return (middle[:, None] + half[:, None] * nodes).ravel(), (half[:, None] * weights).ravel()


def _beyond(c: float, lam: Floats, *, two_sided: bool) -> float:
    """P(a statistic is beyond c), for normal statistics with loadings `lam`."""
    from scipy.special import ndtr

    r = np.maximum(np.sqrt((1 - lam) * (1 + lam)), 1e-12)
    reach = min(float(np.abs(lam).max()) * abs(c) + 9.0, 38.5)
    edges = [np.linspace(-reach, reach, 2 * math.ceil(reach) + 1)]
    for load, width in zip(lam, r, strict=True):
        if width < _SHARP:  # a step of this width where the statistic crosses c, and where it crosses -c
            steps = width * np.array([-9.0, -5.0, -3.0, -1.5, 0.0, 1.5, 3.0, 5.0, 9.0])
            edges += [(c + steps) / load, (-c + steps) / load]
    z, weights = _panels(np.unique(np.clip(np.concatenate(edges), -reach, reach)))
    shift = z[:, None] * lam
    u = ndtr((shift - c) / r)
    if two_sided:
        u = np.minimum(u + ndtr((-shift - c) / r), 1.0)
    with np.errstate(divide="ignore"):
        union = -np.expm1(np.log1p(-u).sum(axis=1))
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return float(weights @ (union * density))


def _scale_nodes(c: float, df: float) -> tuple[list[float], list[float]]:
    """Nodes and weights for s = chi_df / sqrt(df), in log s; they reach to where a far c gets its probability."""
    from scipy.special import log_ndtr

    # Panels of the width of the density in log s; beyond it in both directions as far as anything is left.
    width = min(0.5, 2 / math.sqrt(2 * df))
    low = -(_NEGLIGIBLE / df + 12 / math.sqrt(2 * df) + 1) - math.log(math.hypot(1.0, c / math.sqrt(df)))
    high = min(12 / math.sqrt(2 * df), 0.5 * math.log1p(2 * _NEGLIGIBLE / df) + 0.5)
    x, step = _panels(np.arange(low, high + width, width))
    log_density = -0.5 * df * (np.expm1(2 * x) - 2 * x)
    total = float(step @ np.exp(log_density))
    use = log_density + np.minimum(0.0, log_ndtr(-c * np.exp(x)))
    near = use > use.max() - _NEGLIGIBLE
    weights = step * np.exp(log_density) / total
    return np.exp(x[near]).tolist(), weights[near].tolist()
