"""Sufficient statistics of an arm: size, means, co-moments, third moments and the counts the guards need.

Every estimator in this room reads only these. They are additive: two disjoint parts of an arm merge exactly,
whatever the order. Linear combinations of columns keep the first two orders (`SecondMoments`), which is all that
estimators need; the guards need `Moments`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metricdef.errors import NotComputable

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EPS = float(np.finfo(np.float64).eps)

# (mean - centre)^2 / variance above this costs the variance about six of its sixteen digits.
WORST_CENTRE = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class SecondMoments:
    """Means and centred second moments of `columns` over `n` units: what estimators read. Arrays are read-only.

    Attributes:
        columns: Names of the p columns.
        n: Number of units.
        mean: (p,) means; zeros when n == 0.
        comoment: (p, p) sum over units of (y - mean)(y - mean)'; zeros when n <= 1.
    """

    vectors: ClassVar[tuple[str, ...]] = ("mean",)
    counts: ClassVar[tuple[str, ...]] = ()

    columns: tuple[str, ...]
    n: int
    mean: Floats
    comoment: Floats

    def __post_init__(self) -> None:
        """Freeze the arrays and check their shapes (a wrong shape is a programming error)."""
        p = len(self.columns)
        if len(set(self.columns)) != p:
            raise ValueError(f"columns are not unique: {self.columns}")
        for name in (*self.vectors, *self.counts, "comoment"):
            array = np.array(getattr(self, name), dtype=np.int64 if name in self.counts else np.float64)
            shape = (p, p) if name == "comoment" else (p,)
            if array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
            if not np.isfinite(array).all():
                raise NotComputable("not_finite", f"the {name} of {', '.join(self.columns)} is not a finite number")
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def total(self) -> Floats:
        """(p,) sums over units, n * mean."""
        return self.n * self.mean

    @property
    def cov(self) -> Floats:
        """(p, p) covariance matrix, divisor n - 1, diagonal never negative.

        Raises:
            NotComputable: `too_few_units` when n < 2.
        """
        if self.n < 2:
            raise NotComputable("too_few_units", f"a variance needs at least 2 units, this arm has {self.n}")
        cov = self.comoment / (self.n - 1)
        np.fill_diagonal(cov, np.maximum(cov.diagonal(), 0.0))
        return cov

    def index(self, column: str) -> int:
        """Position of `column`; KeyError when the moments don't have it."""
        try:
            return self.columns.index(column)
        except ValueError:
            raise KeyError(f"no column {column!r} among {self.columns}") from None

    def var(self, column: str) -> float:
        """Sample variance of one column, divisor n - 1 (NotComputable `too_few_units` when n < 2)."""
        i = self.index(column)
        return float(self.cov[i, i])


@dataclass(frozen=True, slots=True, eq=False)
class Moments(SecondMoments):
    """All moments of `columns` over the `n` units of one arm (one cell, one day, ...). Arrays are read-only.

    Attributes:
        third: (p,) sum over units of (y - mean)^3.
        max_abs: (p,) largest |y|.
        nonzero: (p,) units with y != 0.
        capped: (p,) units whose value was cut at the cap.
    """

    vectors: ClassVar[tuple[str, ...]] = ("mean", "third", "max_abs")
    counts: ClassVar[tuple[str, ...]] = ("nonzero", "capped")

    third: Floats
    max_abs: Floats
    nonzero: Ints
    capped: Ints


def _tidy(m: Moments) -> Moments:
    """Set the moments of columns that vary by no more than rounding to exactly 0.

    A constant column like 0.1 otherwise keeps a variance of 1e-34, and a difference of two such arms a t of 1e15.
    A spread below 8 units in the last place of the largest value carries no information in float64.
    """
    comoment, third = m.comoment.copy(), m.third.copy()
    if m.n <= 1:
        comoment[:], third[:] = 0.0, 0.0
    still = comoment.diagonal() <= m.n * (8 * EPS * m.max_abs) ** 2
    comoment[still, :], comoment[:, still], third[still] = 0.0, 0.0, 0.0
    return Moments(m.columns, m.n, m.mean, comoment, third, m.max_abs, m.nonzero, m.capped)


def empty(columns: Sequence[str]) -> Moments:
    """The moments of no units: the neutral element of `merge`."""
    p = len(columns)
    zeros, none = np.zeros(p), np.zeros(p, dtype=np.int64)
    return Moments(tuple(columns), 0, zeros, np.zeros((p, p)), zeros, zeros, none, none)


def from_shifted_sums(
    columns: Sequence[str],
    n: int,
    centre: ArrayLike,
    sums: ArrayLike,
    products: ArrayLike,
    cubes: ArrayLike,
    max_abs: ArrayLike,
    nonzero: ArrayLike,
    capped: ArrayLike,
) -> Moments:
    """Moments from sums about a fixed centre c, as a warehouse returns them.

    With s = sum(y - c), Q = sum (y - c)(y - c)', q3 = sum (y - c)^3 and delta = s / n:
    mean = c + delta; comoment = Q - n delta delta'; third = q3 - 3 delta diag(Q) + 2 n delta^3.
    Assumes that all three sums run over the same rows (no pairwise deletion of NULL).
    The error of the variance is about eps * (1 + (mean - c)^2 / var): Chan, Golub & LeVeque (1983), section 3.

    Args:
        columns, n: Names of the p columns, number of units.
        centre: (p,) the constants c.
        sums: (p,) s.
        products: (p, p) Q, both triangles.
        cubes: (p,) q3.
        max_abs: (p,) max |y|.
        nonzero: (p,) count of y != 0.
        capped: (p,) count of capped values.

    Raises:
        NotComputable: `ill_conditioned` when (mean - c)^2 > 1e6 var for a column that varies; `not_finite`.
    """
    if n < 0:
        raise ValueError(f"n is negative: {n}")
    if n == 0:
        return empty(columns)
    c, s = np.asarray(centre, dtype=np.float64), np.asarray(sums, dtype=np.float64)
    q, q3 = np.asarray(products, dtype=np.float64), np.asarray(cubes, dtype=np.float64)
    largest = np.asarray(max_abs, dtype=np.float64)
    for name, array in (("centre", c), ("sums", s), ("products", q), ("cubes", q3), ("max_abs", largest)):
        if not np.all(np.isfinite(array)):
            raise NotComputable("not_finite", f"the {name} of {', '.join(columns)} have a value that is not finite")
    delta = s / n
    mean = c + delta
    comoment = q - n * np.outer(delta, delta)
    comoment = (comoment + comoment.T) / 2
    third = q3 - 3 * delta * q.diagonal() + 2 * n * delta**3
    for j, name in enumerate(columns):
        if n > 1 and comoment[j, j] * WORST_CENTRE < (n - 1) * delta[j] ** 2:
            # What is left is rounding noise; that is honest only for a column with a single value.
            if not _single_value(n, c[j], delta[j], largest[j], comoment[j, j], q[j, j]):
                raise NotComputable(
                    "ill_conditioned",
                    f"the centre {c[j]:g} of {name} is too far from the arm's mean {mean[j]:g} for its spread; "
                    "its variance would lose its digits",
                )
            mean[j] = math.copysign(largest[j], mean[j]) if largest[j] > 0 else 0.0
            comoment[j, :], comoment[:, j], third[j] = 0.0, 0.0, 0.0
    np.fill_diagonal(comoment, np.maximum(comoment.diagonal(), 0.0))
    ints = np.asarray(nonzero, dtype=np.int64), np.asarray(capped, dtype=np.int64)
    return _tidy(Moments(tuple(columns), int(n), mean, comoment, third, largest, *ints))


def _single_value(n: int, centre: float, delta: float, largest: float, spread: float, square: float) -> bool:
    """Whether all n values are equal: |mean| = max |y| within the rounding of the sums, and no visible spread."""
    slack = 16 * EPS * (math.sqrt(n) * abs(delta) + abs(centre) + largest)
    return abs(abs(centre + delta) - largest) <= slack and spread <= 1e-8 * square


def from_rows(columns: Sequence[str], rows: ArrayLike) -> Moments:
    """Moments from the units themselves, two passes; for tests and small local data. `rows` is (n, p).

    Chan, Golub & LeVeque (1983).
    """
    values = np.asarray(rows, dtype=np.float64).reshape(-1, len(columns))
    n = values.shape[0]
    if n == 0:
        return empty(columns)
    mean = values.mean(axis=0)
    off = values - mean
    mean = mean + off.mean(axis=0)  # the second pass takes the rounding error out of the first
    off = values - mean
    counts = np.count_nonzero(values, axis=0)
    comoment, third = off.T @ off, (off**3).sum(axis=0)
    nothing = np.zeros(len(columns), dtype=np.int64)
    return _tidy(Moments(tuple(columns), n, mean, comoment, third, np.abs(values).max(axis=0), counts, nothing))


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of two disjoint sets of units taken together.

    With d = mean_b - mean_a, n = n_a + n_b (Chan, Golub & LeVeque 1983; third order: Pebay 2008, eq. 2.1):
    comoment = A + B + d d' n_a n_b / n; third = t_a + t_b + d^3 n_a n_b (n_a - n_b) / n^2
    + 3 d (n_a diag(B) - n_b diag(A)) / n.
    """
    if a.columns != b.columns:
        raise ValueError(f"cannot merge moments of {a.columns} with moments of {b.columns}")
    if a.n == 0 or b.n == 0:
        return b if a.n == 0 else a
    n = a.n + b.n
    d = b.mean - a.mean
    share = b.n / n
    comoment = a.comoment + b.comoment + np.outer(d, d) * (a.n * share)
    third = (
        a.third
        + b.third
        + d**3 * (a.n * share * ((a.n - b.n) / n))
        + 3 * d * ((a.n / n) * b.comoment.diagonal() - share * a.comoment.diagonal())
    )
    largest = np.maximum(a.max_abs, b.max_abs)
    counts = a.nonzero + b.nonzero, a.capped + b.capped
    return _tidy(Moments(a.columns, n, a.mean + d * share, comoment, third, largest, *counts))


def merge_all(parts: Iterable[Moments], columns: Sequence[str] | None = None) -> Moments:
    """Moments of any number of disjoint sets of units taken together, in one pass over `parts`: see `merge`.

    Args:
        parts: Moments with the same columns.
        columns: The columns of the answer when there are no parts (moments of no units).

    Raises:
        ValueError: No parts and no columns, or parts with different columns.
    """
    total = None if columns is None else empty(columns)
    for part in parts:
        total = part if total is None else merge(total, part)
    if total is None:
        raise ValueError("merging no moments at all needs the names of the columns")
    return total


def quadratic(weights: Floats, cov: Floats) -> float:
    """The variance w' C w, with a value that is only cancellation noise set to 0 (a variance is never negative)."""
    terms = np.outer(weights, weights) * cov
    value = float(terms.sum())
    return value if value > 64 * EPS * float(np.abs(terms).sum()) else 0.0


def transform(
    m: SecondMoments, matrix: ArrayLike, names: Sequence[str], shift: ArrayLike | None = None
) -> SecondMoments:
    """Moments of the columns A y + c: mean A m + c, comoment A M A'.

    Third moments, extremes and counts of a combination can't be had from those of its parts, so the answer has none.
    A combination whose variance is only the rounding noise of a cancellation has variance exactly 0. No units stay
    no units, with mean 0.

    Args:
        m: Moments of p columns.
        matrix: (q, p) A.
        names: Names of the q new columns.
        shift: (q,) c, 0 when left out.
    """
    a = np.asarray(matrix, dtype=np.float64)
    if a.shape != (len(names), len(m.columns)):
        raise ValueError(f"the matrix has shape {a.shape}, expected {(len(names), len(m.columns))}")
    c = np.zeros(len(names)) if shift is None else np.asarray(shift, dtype=np.float64)
    if m.n == 0:
        return SecondMoments(tuple(names), 0, np.zeros(len(names)), np.zeros((len(names), len(names))))
    comoment = a @ m.comoment @ a.T
    comoment = (comoment + comoment.T) / 2
    np.fill_diagonal(comoment, [quadratic(row, m.comoment) for row in a])
    still = comoment.diagonal() == 0.0
    comoment[still, :], comoment[:, still] = 0.0, 0.0
    return SecondMoments(tuple(names), m.n, a @ m.mean + c, comoment)


@dataclass(frozen=True, slots=True, eq=False)
class RatioGradient:
    """The ratio R of an arm and the weights w over its columns: w'(row - mean) is a unit's influence on R."""

    ratio: float
    weights: Floats


def ratio_gradient(arm: SecondMoments, numerator: str, denominator: str) -> RatioGradient:
    """R = m_y / m_d with the influence (y - R d) / m_d of a unit, by the delta method. Deng, Knoblich & Lu (2018).

    Raises:
        NotComputable: `zero_denominator`.
    """
    y, d = arm.index(numerator), arm.index(denominator)
    base = float(arm.mean[d])
    if base == 0.0:
        raise NotComputable("zero_denominator", f"the denominator sums to 0 in an arm of {arm.n} units")
    ratio = float(arm.mean[y]) / base
    weights = np.zeros(len(arm.columns))
    weights[y] += 1 / base
    weights[d] -= ratio / base
    return RatioGradient(ratio, weights)


def linearise_ratio(
    m: SecondMoments, numerator: str, denominator: str, name: str, keep: Sequence[str] = ()
) -> SecondMoments:
    """Moments of L = R + (y - R d) / m_d, whose mean is the ratio R = m_y / m_d, beside the columns of `keep`.

    The variance of L over n is the delta-method variance of R; every estimator of a mean serves L.
    Deng, Knoblich & Lu (2018).

    Raises:
        NotComputable: `zero_denominator` (also for no units).
    """
    found = ratio_gradient(m, numerator, denominator)
    rows = [found.weights, *(np.eye(len(m.columns))[m.index(column)] for column in keep)]
    shift = np.zeros(len(rows))
    shift[0] = found.ratio - float(found.weights @ m.mean)
    return transform(m, rows, (name, *keep), shift)


def select(m: Moments, columns: Sequence[str]) -> Moments:
    """The moments of some of the columns, in the order asked for."""
    at = [m.index(column) for column in columns]
    square = m.comoment[np.ix_(at, at)]
    return Moments(tuple(columns), m.n, m.mean[at], square, m.third[at], m.max_abs[at], m.nonzero[at], m.capped[at])
