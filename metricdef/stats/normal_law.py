"""The joint law of normal statistics with any correlation: by lattice integration, exact for two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from metricdef.stats.joint import normal_score
from metricdef.stats.moments import Floats
from metricdef.stats.product_law import ProductLaw

LARGEST = 256  # statistics; a larger family is refused (Bonferroni loses little there)
_SEED = 20090131
_SHIFTS = 8
_LATTICE = 4096
_TAIL = 1e-3  # below this sum of p the estimate is made from the tail itself


@dataclass(frozen=True, slots=True, eq=False)
class NormalLaw:
    """Standard normal statistics with a given correlation matrix, which may be singular.

    P(min P <= p) is exact to 1e-10 for two statistics (`ProductLaw`). For more, where m p >= 0.001: 1 minus the
    probability of the box, by sequential conditioning on 8 fixed shifts of a rank-1 lattice of 4,096 points (Genz
    1992), error about 2e-5. Below, where that would be lost: p sum_i E[1 / S | statistic i is beyond], S the number
    of statistics beyond (Owen, Maximov & Chertkov 2019), relative error
    at most about 2 % (correlations of 0.9); it lies between p and m p by
    construction, so the smallest p survives. The points are fixed: the same input gives the same number.
    `estimate` gives the standard error over the shifts.

    Attributes:
        correlation: (m, m) correlation matrix.
        two_sided: Whether the statistics are judged by their size.
    """

    correlation: Floats
    two_sided: bool

    def __post_init__(self) -> None:
        """Freeze and check the matrix."""
        r = np.array(self.correlation, dtype=np.float64)
        m = r.shape[0] if r.ndim == 2 else 0
        if r.shape != (m, m) or not np.all(np.isfinite(r)):
            raise ValueError("a correlation matrix is square and finite")
        if m > LARGEST:
            raise ValueError(f"{m} statistics, more than the {LARGEST} this law takes: use Bonferroni or Holm")
        if m and (np.abs(r.diagonal() - 1).max() > 1e-9 or np.abs(r - r.T).max() > 1e-9):
            raise ValueError("a correlation matrix is symmetric with ones on its diagonal")
        if m and float(np.linalg.eigvalsh(r)[0]) < -1e-8 * m:
            raise ValueError("the correlation matrix is not positive semidefinite")
        r = np.clip((r + r.T) / 2, -1.0, 1.0)
        np.fill_diagonal(r, 1.0)
        r.setflags(write=False)
        object.__setattr__(self, "correlation", r)

    @property
    def size(self) -> int:
        """Number of statistics."""
        return int(self.correlation.shape[0])

    def smallest(self, p: float, members: Sequence[int]) -> float:
        """P(the smallest p of the members <= p)."""
        return self.estimate(p, members)[0]

    def estimate(self, p: float, members: Sequence[int]) -> tuple[float, float]:
        """As `smallest`, with the standard error of the integration (0 where it is exact)."""
        if not members or not 0 < p < 1:
            return float(bool(members) and p >= 1), 0.0
        r = self.correlation[np.ix_(list(members), list(members))]
        if len(members) <= 2:
            rho = float(r[0, -1]) if len(members) == 2 else 0.0
            loadings = np.array([math.sqrt(abs(rho)), math.copysign(math.sqrt(abs(rho)), rho)])[: len(members)]
            return ProductLaw(loadings, self.two_sided).smallest(p, range(len(members))), 0.0
        c = normal_score(p, "two-sided" if self.two_sided else "greater")
        root = _root(r)
        if len(members) * p < _TAIL:
            shifts = _from_the_tail(r, root, p, c, two_sided=self.two_sided)
        else:
            shifts = _outside_box(root, c, two_sided=self.two_sided)
        value = min(max(float(shifts.mean()), p), 1.0, p * len(members))
        return value, float(shifts.std(ddof=1)) / math.sqrt(_SHIFTS)


def _root(r: Floats) -> Floats:
    """Lower triangular L with L L' = r; a column is 0 where r is singular."""
    m = r.shape[0]
    out = np.zeros((m, m))
    for j in range(m):
        left = float(r[j, j] - out[j, :j] @ out[j, :j])
        if left > 1e-10:
            out[j, j] = math.sqrt(left)
            out[j + 1 :, j] = (r[j + 1 :, j] - out[j + 1 :, :j] @ out[j, :j]) / out[j, j]
    return out


@lru_cache(maxsize=16)
def _points(dimensions: int) -> Floats:
    """(shifts, points, dimensions) of Richtmyer's lattice, folded so that the integrand is periodic."""
    primes = [2]
    while len(primes) < dimensions:
        primes.append(next(n for n in range(primes[-1] + 1, 2 * primes[-1] + 1) if all(n % q for q in primes)))
    steps = np.sqrt(np.array(primes[:dimensions], dtype=np.float64))
    shifts = np.random.default_rng(_SEED).random((_SHIFTS, 1, dimensions))
    x = (np.arange(1, _LATTICE + 1)[:, None] * steps + shifts) % 1.0
    return np.clip(np.abs(2 * x - 1), 1e-16, 1 - 1e-16)


def _outside_box(root: Floats, c: float, *, two_sided: bool) -> Floats:
    """P(a statistic is beyond c), per shift: sequential conditioning."""
    from scipy.special import ndtr, ndtri

    m = root.shape[0]
    w = _points(m)
    y = np.zeros(w.shape)
    log_inside = np.zeros(w.shape[:2])
    for i in range(m):
        mean = y[..., :i] @ root[i, :i]
        if root[i, i] == 0.0:
            beyond = mean > c
            u = (beyond | (mean < -c) if two_sided else beyond).astype(np.float64)
        else:
            below = ndtr((-c - mean) / root[i, i]) if two_sided else np.zeros(mean.shape)
            u = np.minimum(below + ndtr((mean - c) / root[i, i]), 1.0)
            y[..., i] = ndtri(np.clip(below + w[..., i] * (1 - u), 1e-300, 1 - 1e-16))
        with np.errstate(divide="ignore"):
            log_inside += np.log1p(-u)
    outside: Floats = -np.expm1(log_inside).mean(axis=1)
    return outside


def _from_the_tail(r: Floats, root: Floats, p: float, c: float, *, two_sided: bool) -> Floats:
    """P(a statistic is beyond c), per shift, from draws in which one of them is."""
    from scipy.special import ndtri

    m = root.shape[0]
    w = _points(m + 1)
    free = ndtri(w[..., :m]) @ root.T
    beyond = -ndtri(w[..., m] * (p / 2 if two_sided else p))  # by symmetry the upper side stands for both
    total = np.zeros(w.shape[0])
    for i in range(m):
        x = free + r[i] * (beyond - free[..., i])[..., None]
        x[..., i] = beyond
        count = ((np.abs(x) if two_sided else x) >= c * (1 - 1e-12)).sum(axis=-1)
        total += p * (1 / np.maximum(count, 1)).mean(axis=1)
    return total
