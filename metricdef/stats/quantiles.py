"""Quantiles of units or of events from three order statistics an arm, as `ArmEstimates`.

The density that the variance of a quantile needs is read off two neighbouring order statistics, so one sorted scan
gives everything. The estimates are unadjusted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats.effects import ArmEstimates, unadjusted_ratio
from metricdef.stats.moments import EPS, Floats, SecondMoments
from metricdef.stats.tails import check_alpha

RANK_Z = 1.959963984540054  # half width of the rank band in standard errors, whatever the level of the test

# Constants (a, b) of the continuous sample quantiles of Hyndman & Fan (1996): position a + p (n + 1 - a - b).
_POSITIONS = {4: (0.0, 1.0), 5: (0.5, 0.5), 6: (0.0, 0.0), 7: (1.0, 1.0), 8: (1 / 3, 1 / 3), 9: (3 / 8, 3 / 8)}


@dataclass(frozen=True, slots=True)
class RankBand:
    """Where to read the quantile and the two order statistics around it.

    Attributes:
        fractions: (lower, q, upper) for an interpolating PERCENTILE_CONT (type 7).
        ranks: The same as 1-based ranks ceil(n f) (PERCENTILE_DISC, type 1).
    """

    fractions: tuple[float, float, float]
    ranks: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class OrderStatistics:
    """The three values at a `RankBand` of n ranked values; None where n was too small to have them.

    The bounds lie `z` standard errors, in rank, off the quantile.
    """

    n: int
    estimate: float | None
    lower: float | None
    upper: float | None
    z: float = RANK_Z


@dataclass(frozen=True, slots=True)
class BinomialRanks:
    """Ranks of an exact interval of one quantile; None: no limit on that side. `coverage` is the attained level."""

    lower: int | None
    upper: int | None
    coverage: float


def rank_band(n: int, q: float, z: float = RANK_Z) -> RankBand:
    """What a query must fetch: fractions q -+ z sqrt(q (1 - q) / n). Woodruff (1952).

    Args:
        n: Number of ranked values: units, or events.
        q: The quantile, between 0 and 1.
        z: Half width of the band in standard errors.

    Raises:
        NotComputable: `too_few_units` when the band leaves (0, 1): n <= z^2 max(q / (1 - q), (1 - q) / q).
    """
    _check(q)
    if not n > z**2 * max(q / (1 - q), (1 - q) / q):
        raise NotComputable("too_few_units", f"{n} values are too few for the quantile {q:g} and its standard error")
    half = z * math.sqrt(q * (1 - q) / n)
    fractions = (q - half, q, q + half)
    low, mid, high = (_rank(n, f) for f in fractions)
    return RankBand(fractions, (low, mid, high))


def unit_quantiles(arms: Sequence[OrderStatistics], q: float, gbstats: bool = False) -> ArmEstimates:
    """Quantiles over units: se_a = (upper - lower) / (2 z) at the rank band, df_a = n_a - 1, arms independent.

    The order statistics z standard errors (in rank) to both sides of the quantile are z standard errors (in value)
    from it. Assumes a density that is smooth over the band. Price & Bonett (2001); Deng, Knoblich & Lu (2018).

    An arm with too few units, or whose band has no width, has no estimate: a comparison with it raises
    `too_few_units` or `ties`.

    Args:
        arms: Order statistics per arm, baseline first.
        q: The quantile.
        gbstats: Follow that program: a factor (n - 1) / n on the variance.
    """
    return _estimates(
        arms, q, [arm.n for arm in arms], [(arm.n - 1) / arm.n if gbstats and arm.n else 1.0 for arm in arms]
    )


def event_quantiles(
    arms: Sequence[OrderStatistics],
    units: Sequence[SecondMoments],
    below: str,
    rows: str,
    q: float,
    gbstats: bool = False,
) -> ArmEstimates:
    """Quantiles over events of randomised units: V_a = V_iid v_cluster / (q (1 - q) / n_rows).

    V_iid is the variance of `unit_quantiles` over rows; v_cluster the delta-method variance over units of the share
    of rows at or below the estimated quantile, sum(below) / sum(rows): the factor is the design effect.
    Deng, Knoblich & Lu (2018).

    Args:
        arms: Order statistics over rows per arm, baseline first.
        units: Moments over units per arm.
        below: Column of `units`: the unit's rows at or below the arm's estimate.
        rows: Column of `units`: the unit's rows.
        q: The quantile.
        gbstats: Follow that program: a factor (n_rows - 1) / n_rows on the variance, and Welch's df from rows instead
            of units.
    """
    sizes, factors = [], []
    for arm, m in zip(arms, units, strict=True):
        if abs(m.total[m.index(rows)] - arm.n) > 0.5:
            raise ValueError(f"{arm.n} rows were ranked, but the units have {m.total[m.index(rows)]:g}")
        sizes.append(arm.n if gbstats and m.n > 1 else m.n)
        share = float(unadjusted_ratio([m], below, rows).arm_variance[0]) if arm.n > 0 else 0.0
        factors.append(share / (q * (1 - q)) * (arm.n - 1 if gbstats else arm.n))
    return _estimates(arms, q, sizes, factors)


def _estimates(
    arms: Sequence[OrderStatistics], q: float, sizes: Sequence[int], factors: Sequence[float]
) -> ArmEstimates:
    _check(q)
    means, variance, df = (np.zeros(len(arms)) for _ in range(3))
    refused: dict[int, NotComputable] = {}
    for a, (arm, size, factor) in enumerate(zip(arms, sizes, factors, strict=True)):
        try:
            means[a], se = _one(arm, q)
            if size < 2:
                raise NotComputable("too_few_units", "an arm has too few units for a variance (at least 2 are needed)")
            if not factor > 0.0:
                raise NotComputable("zero_variance", "every unit has the same share of events below the quantile")
        except NotComputable as reason:
            refused[a] = reason
            means[a] = 0.0
        else:
            variance[a], df[a] = se * se * factor, size - 1.0
    return ArmEstimates("quantile", means, np.diag(variance), variance, df, refused=refused)


def _one(arm: OrderStatistics, q: float) -> tuple[float, float]:
    """Estimate and iid standard error of one arm."""
    rank_band(arm.n, q, arm.z)
    if arm.estimate is None or arm.lower is None or arm.upper is None:
        raise NotComputable("too_few_units", "an arm has no value at a rank of the band")
    if not all(map(math.isfinite, (arm.lower, arm.estimate, arm.upper))):
        raise NotComputable("not_finite", "an order statistic is not a finite number")
    if not arm.lower <= arm.estimate <= arm.upper:
        raise ValueError(f"order statistics are out of order: {arm.lower:g}, {arm.estimate:g}, {arm.upper:g}")
    if arm.upper - arm.lower <= 8 * EPS * max(abs(arm.lower), abs(arm.upper)):
        raise NotComputable(
            "ties", f"too many values equal {arm.estimate:g} for a standard error of the quantile {q:g}"
        )
    return arm.estimate, (arm.upper - arm.lower) / (2 * arm.z)


def binomial_ranks(n: int, q: float, alpha: float) -> BinomialRanks:
    """Ranks l, u of the distribution-free interval [y_(l), y_(u)] of one arm's quantile.

    l and u - 1 are the alpha/2 and 1 - alpha/2 quantiles of Binomial(n, q); coverage = P(l <= X < u), which exceeds
    1 - alpha. Without a rank (0 or n + 1) there is no limit. Conover (1999), section 3.2.

    Args:
        n: Number of values.
        q: The quantile.
        alpha: 1 - confidence.
    """
    from scipy.special import bdtr, bdtrik

    _check(q)
    check_alpha(alpha)
    if n < 1:
        raise NotComputable("too_few_units", "an arm has no values")

    def quantile(p: float) -> int:
        k = max(math.ceil(float(bdtrik(p, n, q))), 0) if bdtr(0, n, q) < p else 0
        while k > 0 and bdtr(k - 1, n, q) >= p:  # bdtrik is an inverse by interpolation: off by one at the most
            k -= 1
        return k

    low, high = quantile(alpha / 2), quantile(1 - alpha / 2) + 1
    below = float(bdtr(low - 1, n, q)) if low > 0 else 0.0
    return BinomialRanks(low or None, high if high <= n else None, float(bdtr(high - 1, n, q)) - below)


def sample_quantile(ordered: Sequence[float] | Floats, p: float, kind: int = 7) -> float:
    """Sample quantile of ascending values by one of the nine definitions of Hyndman & Fan (1996).

    Type 7 is PERCENTILE_CONT, type 1 PERCENTILE_DISC. A position within rounding of a rank counts as that rank.

    Args:
        ordered: The values, ascending.
        p: Between 0 and 1, both included.
        kind: 1 to 9.

    Raises:
        NotComputable: `too_few_units` without values.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"a fraction lies between 0 and 1: {p}")
    n = len(ordered)
    if not np.isfinite(ordered).all():
        raise ValueError("the values of a sample quantile must be finite")
    if n == 0:
        raise NotComputable("too_few_units", "no values have no quantile")
    if kind in _POSITIONS:
        a, b = _POSITIONS[kind]
        position = a + p * (n + 1 - a - b)
    elif kind in (1, 2, 3):
        position = n * p - (0.5 if kind == 3 else 0.0)
    else:
        raise ValueError(f"the definitions of a sample quantile are numbered 1 to 9: {kind}")
    j = math.floor(position + _fuzz(position))
    between = position - j if position - j > _fuzz(position) else 0.0
    if kind in (1, 2, 3):
        at_rank = {1: 0.0, 2: 0.5, 3: float(j % 2)}[kind]
        between = 1.0 if between > 0.0 else at_rank
    low, high = (float(ordered[min(max(rank, 1), n) - 1]) for rank in (j, j + 1))
    return low if low == high else low + between * (high - low)


def _check(q: float) -> None:
    if not 0 < q < 1:
        raise ValueError(f"a quantile lies strictly between 0 and 1: {q}")


def _fuzz(position: float) -> float:
    return 4 * EPS * max(1.0, abs(position))


def _rank(n: int, fraction: float) -> int:
    """ceil(n f), within 1..n; a product within rounding of a whole number is that number."""
    position = n * fraction
    return min(max(math.ceil(position - _fuzz(position)), 1), n)
