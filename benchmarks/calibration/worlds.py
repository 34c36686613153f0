"""Simulated units: the four outcomes, and many replications of an arm's sums at once.

Units are drawn, not their moments, because the guards read third moments and maxima. Covariates are the exception: given
an outcome's sums, those of normal covariates have a known law, so they are drawn as such (`companions`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metricdef.stats.moments import Moments

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

EXPLAINED = 0.5  # share of the outcome's variance that the covariates explain
SIZES = (200, 2_000, 20_000)
SPLITS = ("50/50", "90/10")


@dataclass(frozen=True, slots=True)
class World:
    """A law of the outcome, with the cumulants that classify a cell."""

    name: str
    mean: float
    variance: float
    third: float
    nonzero: float

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        """Independent values."""
        if self.name == "normal":
            return rng.standard_normal(shape) + self.mean
        if self.name == "Bernoulli 3%":
            return (rng.random(shape) < self.nonzero).astype(np.float64)
        if self.name == "Poisson":
            return rng.poisson(self.mean, shape).astype(np.float64)
        values = np.zeros(shape)
        paid = rng.random(shape) < self.nonzero
        values[paid] = np.exp(SPREAD * rng.standard_normal(int(paid.sum())))
        return values

    def skewness(self, arm: int, baseline: int) -> float:
        """Of the difference of two means, from the cumulants."""
        gap = abs(self.third * (arm**-2 - baseline**-2))
        return float(gap / (self.variance * (1 / arm + 1 / baseline)) ** 1.5)

    def events(self, arm: int, baseline: int) -> float:
        """Expected values other than 0 (for a proportion: events) in the smaller arm."""
        return self.nonzero * min(arm, baseline)


SPREAD = 1.5  # standard deviation of the logarithm
_PAYING = 0.1


def _moment(k: int) -> float:
    return _PAYING * math.exp((k * SPREAD) ** 2 / 2)


WORLDS = (
    World("normal", 4.0, 1.0, 0.0, 1.0),
    World("Bernoulli 3%", 0.03, 0.03 * 0.97, 0.03 * 0.97 * 0.94, 0.03),
    World(
        "zero-inflated lognormal",
        _moment(1),
        _moment(2) - _moment(1) ** 2,
        _moment(3) - 3 * _moment(1) * _moment(2) + 2 * _moment(1) ** 3,
        _PAYING,
    ),
    World("Poisson", 4.0, 4.0, 4.0, 1.0 - math.exp(-4.0)),
)


def arm_sizes(n: int, split: str) -> tuple[int, int]:
    """(arm, baseline) of n units."""
    arm = n // 2 if split == "50/50" else n // 10
    return arm, n - arm


@dataclass(frozen=True, slots=True)
class Sums:
    """Moments of one column for many replications; every array has the replications first, perhaps parts after."""

    n: Counts
    mean: Floats
    square: Floats
    third: Floats
    largest: Floats
    nonzero: Counts

    def scaled(self, factor: float | Floats) -> Sums:
        """Of the column times a positive factor."""
        f = np.asarray(factor)
        return replace(
            self,
            mean=self.mean * f,
            square=self.square * f**2,
            third=self.third * f**3,
            largest=self.largest * f,
        )

    def part(self, k: int) -> Sums:
        """One of the parts."""
        return Sums(
            self.n[:, k], self.mean[:, k], self.square[:, k], self.third[:, k], self.largest[:, k], self.nonzero[:, k]
        )

    def only(self, r: int) -> Sums:
        """One replication."""
        at = slice(r, r + 1)
        return Sums(self.n[at], self.mean[at], self.square[at], self.third[at], self.largest[at], self.nonzero[at])

    @property
    def variance(self) -> Floats:
        """Sample variances; 0 for fewer than 2 units."""
        return self.square / np.maximum(self.n - 1, 1)


def sums(y: Floats, centre: float, sizes: Counts | None = None) -> Sums:
    """Moments of consecutive parts of each row; `sizes` is (replications, parts), left out: the row is one part."""
    rows, width = y.shape
    if sizes is None:
        n = np.full(rows, width, dtype=np.int64)
        c = y - centre
        c2 = c * c
        raw = (c.sum(1), c2.sum(1), (c2 * c).sum(1))
        return _centred(n, centre, *raw, np.abs(y).max(1), np.count_nonzero(y, 1))
    starts = np.cumsum(np.column_stack([width * np.arange(rows), sizes]), axis=1).ravel()

    def add(values: Floats) -> Floats:
        total = np.add.reduceat(values, starts).reshape(rows, -1)[:, :-1]
        return np.where(sizes > 0, total, 0.0)  # for an empty part reduceat gives the value that stands there

    c = np.zeros(y.size + 1)  # a row may end where the array does: the closing part needs a place to start
    np.subtract(y.ravel(), centre, out=c[:-1])
    c2 = c * c
    raw = (add(c), add(c2), add(c2 * c))
    there = np.zeros(y.size + 1)
    there[:-1] = y.ravel() != 0
    return _centred(sizes, centre, *raw, np.abs(y).max(1)[:, None] + np.zeros(sizes.shape), add(there).astype(np.int64))


def _centred(n: Counts, centre: float, s1: Floats, s2: Floats, s3: Floats, largest: Floats, nonzero: Counts) -> Sums:
    d = s1 / np.maximum(n, 1)
    square = np.maximum(s2 - n * d * d, 0.0)
    square[square <= 1e-9 * n] = 0.0  # a constant part: what is left is rounding
    third = np.where(square > 0, s3 - 3 * d * s2 + 2 * n * d**3, 0.0)
    return Sums(n, np.where(n > 0, centre + d, 0.0), square, third, largest, nonzero)


def companions(rng: np.random.Generator, y: Sums, mean: float, slopes: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """Means and co-moments of (y, x) with x = (y - mean) b' + Z A, Z standard normal, given the moments of y.

    With y fixed, Z has mean N(0, I / n), its products with the centred y are |y| times N(0, I), and the rest of its
    co-moment is Wishart with n - 2 degrees of freedom (Bartlett's triangle): exact, without drawing a unit.

    Args:
        rng: Source of randomness.
        y: Of (replications,).
        mean: Population mean of y.
        slopes: (k,) b.
        noise: (k, k) A.

    Returns:
        (replications, 1 + k) means and (replications, 1 + k, 1 + k) co-moments.
    """
    r, k = len(y.n), len(slopes)
    g = rng.standard_normal((r, k))
    free = np.maximum(y.n - 2, 0)
    root = np.tril(rng.standard_normal((r, k, k)), -1)
    for j in range(k):
        root[:, j, j] = np.sqrt(rng.chisquare(np.maximum(free - j, 1)))
    zz = root @ root.transpose(0, 2, 1) + g[:, :, None] * g[:, None, :]
    size = np.sqrt(y.square)
    xy = y.square[:, None] * slopes + size[:, None] * (g @ noise)
    cross = size[:, None, None] * (slopes[None, :, None] * (g @ noise)[:, None, :])
    xx = noise.T @ zz @ noise + cross + cross.transpose(0, 2, 1)
    xx = xx + y.square[:, None, None] * np.outer(slopes, slopes)
    x_mean = (y.mean - mean)[:, None] * slopes + rng.standard_normal((r, k)) @ noise / np.sqrt(y.n)[:, None]
    comoment = np.empty((r, 1 + k, 1 + k))
    comoment[:, 0, 0], comoment[:, 1:, 1:] = y.square, xx
    comoment[:, 0, 1:] = comoment[:, 1:, 0] = xy
    return np.column_stack([y.mean, x_mean]), comoment


def explaining(world: World, k: int, share: float = EXPLAINED) -> tuple[Floats, Floats]:
    """Slopes and noise of k independent-noise covariates that together explain `share` of the outcome's variance.

    x_j = (y - mean) / sd + s Z_j: R^2 = k / (k + s^2).
    """
    s = math.sqrt(k * (1 - share) / share)
    return np.full(k, 1 / math.sqrt(world.variance)), s * np.eye(k)


def moments(y: Sums) -> list[Moments]:
    """One column "y" per replication."""
    return [
        Moments(("y",), int(n), np.array([m]), np.array([[s]]), np.array([t]), np.array([a]), np.array([z]), _NONE)
        for n, m, s, t, a, z in zip(y.n, y.mean, y.square, y.third, y.largest, y.nonzero, strict=True)
    ]


_NONE = np.zeros(1, dtype=np.int64)
