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
_LATTICE = 4093  # points of the lattice, a prime
_SHIFTS = 8  # random shifts of it, half as many beyond 16 statistics, where time counts
_TAIL = 0.02  # below this sum of p the estimate is made from the tail itself

# Generating vector of the lattice, component by component for product weights 1 / j^2: Sloan & Reztsov (2002).
_VECTOR = """
    1 1715 1422 1952 927 554 1870 749 1546 67 410 687 1897 1178 841 1790 1138 443 1093 362 1996 982 808 1226 209
    765 1389 1408 827 113 258 631 305 592 435 90 1656 1035 612 246 230 700 603 335 1502 487 1472 1623 1018 1919
    1777 1293 1566 223 1460 1891 80 1381 1467 1080 1820 1554 1463 579 1020 1678 1142 1350 636 1971 646 878 522 583
    219 1261 911 1340 601 1256 311 328 92 850 40 1082 1121 1038 876 1280 1319 1635 1145 918 1750 1400 1808 453 337
    438 320 164 281 1236 228 397 326 471 128 204 162 1371 1513 972 1651 649 1531 601 311 522 911 1678 1082 583 796
    679 1971 40 636 1121 1038 642 1350 1808 1280 1644 905 225 281 1145 1015 579 850 1932 438 1635 1400 337 397 320
    1236 255 471 646 918 1750 492 1504 1566 740 453 326 131 1154 1319 1758 419 776 485 164 223 1031 1680 251 128
    1020 92 1553 1261 1340 878 204 1609 1243 460 219 2022 742 228 1017 367 440 1257 1651 601 1474 1463 1141 876
    522 1371 649 311 1381 850 579 636 986 1513 1319 320 281 485 1007 1566 1280 326 1635 918 1758 492 1891 740 1236
    1015 419 128 642 972 1750 847 1038 471 223 131 1031 1625 1154 397 40 776 337 1145 1121 1680 1082 162 1400 1808
    453 646 1644 1350 583 251 911 1931
"""


@dataclass(frozen=True, slots=True)
class Integral:
    """A probability with the standard error of its integration."""

    value: float
    std_error: float


@dataclass(frozen=True, slots=True, eq=False)
class NormalLaw:
    """Standard normal statistics with a given correlation matrix, which may be singular.

    P(min P <= p) is exact to 1e-10 for two statistics (`ProductLaw`). For more, where m p >= 0.02: 1 minus the
    probability of the box, by sequential conditioning (Genz 1992) on 8 fixed shifts of a rank-1 lattice of 4,093
    points, 4 beyond 16 statistics: error about 5e-5, at worst 4e-4 (40 statistics). Below, where that would be
    lost: p sum_i E[1 / S | statistic i is beyond], S the number of statistics beyond (Owen, Maximov & Chertkov 2019),
    relative error about 0.1 %; it lies between p and m p by construction, so the smallest p survives. The points are
    fixed: the same input gives the same number. `estimate` gives the standard error over the shifts.

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
        return self.estimate(p, members).value

    def estimate(self, p: float, members: Sequence[int]) -> Integral:
        """As `smallest`, with the standard error of the integration (0 where it is exact)."""
        if not members or not 0 < p < 1:
            return Integral(float(bool(members) and p >= 1), 0.0)
        r = self.correlation[np.ix_(list(members), list(members))]
        if len(members) <= 2 and (loadings := _loadings(r)) is not None:
            return Integral(ProductLaw(loadings, self.two_sided).smallest(p, range(len(members))), 0.0)
        c = normal_score(p, "two-sided" if self.two_sided else "greater")
        root = _root(r)
        if len(members) * p < _TAIL:
            shifts = _from_the_tail(r, root, p, c, two_sided=self.two_sided)
        else:
            shifts = _outside_box(root, c, two_sided=self.two_sided)
        value = min(max(float(shifts.mean()), p), 1.0, p * len(members))
        return Integral(value, float(shifts.std(ddof=1)) / math.sqrt(shifts.size))


def law_of(correlation: Floats, *, two_sided: bool, df: float | None = None) -> ProductLaw | NormalLaw:
    """The law of statistics with this correlation: by quadrature where it is a product l_i l_j, else `NormalLaw`.

    Arms that share a baseline, independent statistics, equal correlations and any two statistics are products.

    Args:
        correlation: (m, m) correlation matrix.
        two_sided: Whether the statistics are judged by their size.
        df: Degrees of freedom of a variance estimate that all share; without a product they are taken as normal
            scores of their p.
    """
    general = NormalLaw(correlation, two_sided)
    loadings = _loadings(general.correlation)
    return general if loadings is None else ProductLaw(loadings, two_sided, df)


def _loadings(r: Floats) -> Floats | None:
    """l with r_ij = l_i l_j off the diagonal, within rounding; None where there is none."""
    m = r.shape[0]
    off = r - np.eye(m)
    size = np.zeros(m)
    for i in range(m):
        others = np.delete(np.delete(off, i, 0), i, 1)
        row = np.delete(off[i], i)
        if m > 2 and np.any(others != 0):  # l_i^2 = r_ij r_ik / r_jk, at the pair that leaves most digits
            j, k = np.unravel_index(int(np.abs(others).argmax()), others.shape)
            size[i] = math.sqrt(min(abs(float(row[j] * row[k] / others[j, k])), 1.0))
        elif m > 1:
            size[i] = math.sqrt(float(np.abs(row).max()))
    sign = np.where(off[int(size.argmax())] < 0, -1.0, 1.0) if m else np.ones(0)
    product = np.outer(sign * size, sign * size)
    np.fill_diagonal(product, 0.0)
    return sign * size if np.abs(product - off).max(initial=0.0) <= 1e-12 else None


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
    """(shifts, points, dimensions) of the shifted lattice, folded so that the integrand is periodic."""
    vector = np.array(_VECTOR.split()[:dimensions], dtype=np.int64)
    count = _SHIFTS if dimensions <= 17 else _SHIFTS // 2
    shifts = np.random.default_rng(_SEED).random((count, 1, dimensions))
    x = (np.arange(_LATTICE)[:, None] * vector % _LATTICE / _LATTICE + shifts) % 1.0
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
