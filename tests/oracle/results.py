"""What the oracle answers, and the exact arithmetic over any subset of its units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from math import floor, lcm, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .reading import Unit

Value = tuple[Fraction, bool]  # the value, and whether the cap changed it

RANK_BANDWIDTH = 1.96


@dataclass(frozen=True)
class MetricMoments:
    """Moments of one metric over one block of units; every array follows `columns`. All zero when n is 0."""

    n: int
    columns: list[str]
    mean: NDArray[np.float64]
    comoment: NDArray[np.float64]  # Σ (y - ȳ)(y - ȳ)'
    third: NDArray[np.float64]  # Σ (y - ȳ)³
    max_abs: NDArray[np.float64]
    nonzero: NDArray[np.int64]
    capped: NDArray[np.int64]  # units whose value the cap changed, also where the rows are clusters


@dataclass(frozen=True)
class UnitRecord:
    """One exposed unit. With clusters, arm, mixed, epoch and strata are those of its cluster."""

    unit: Unit
    first_exposure: datetime
    arm: str
    mixed: bool
    in_population: bool
    at_exposure: dict[str, Any]  # column values at first exposure
    anchor: datetime | None  # where outcome windows begin: the trigger or the first exposure; None without a trigger
    triggered: bool  # True where the experiment has no trigger
    epoch: int = 0
    strata: tuple[str | None, ...] = ()
    breakdowns: dict[str, str | None] = field(default_factory=dict)
    cluster: Any = None
    exposures: int = 1  # rows that count


@dataclass(frozen=True)
class ClusterRecord:
    arm: str
    mixed: bool
    epoch: int
    strata: tuple[str | None, ...]
    units: tuple[Unit, ...]


@dataclass(frozen=True)
class ResolvedCap:
    lower: Fraction | None
    upper: Fraction | None
    degenerate: bool  # an upper percentile that is 0 or at most the median of the non-zero values
    n: int | None  # values the percentiles were taken over; None where both limits are absolute


@dataclass(frozen=True)
class Layout:
    """The columns of a metric's units: first the outcome's, then the covariates."""

    outcome: list[str]
    covariates: list[str]
    is_ratio: bool  # Σ first / Σ second: ratios, `missing: exclude`, `per: day`

    @property
    def columns(self) -> list[str]:
        return [*self.outcome, *self.covariates]


@dataclass(frozen=True)
class QuantileEstimate:
    """A quantile and its rank bounds; `None` where there is nothing to take it over."""

    n: int  # units: those with a value, or, of events, all of them
    n_rows: int | None  # of events only
    estimate: Fraction | None
    lower: Fraction | None
    upper: Fraction | None
    below: dict[Unit, Fraction]  # of events: rows of the unit at or below the estimate


@dataclass(frozen=True)
class MetricTable:
    """The values of every eligible unit."""

    layout: Layout
    rows: dict[Unit, dict[str, Value]]
    cluster_effect: str | None  # per_unit or per_cluster where the experiment has clusters


@dataclass(frozen=True)
class Result:
    assigned: dict[str, int]  # by arm of first exposure: mixed units included, before the population
    mixed: dict[str, int]  # mixed units by first arm, before the population
    in_population: dict[str, int]  # not mixed, in the population, before the trigger
    analysed: dict[str, int]  # not mixed, in the population, triggered
    excluded: dict[str, int]
    metrics: dict[str, dict[tuple[str, bool], MetricMoments]]  # metric -> (arm, mixed) -> moments
    units: dict[Unit, UnitRecord]
    clusters: dict[Any, ClusterRecord]
    values: dict[str, dict[Unit, dict[str, Fraction]]]  # metric -> eligible unit in the population -> column -> value
    caps: dict[str, dict[str, ResolvedCap]]  # metric -> column with a cap (a part's or a covariate's) -> limits
    quantiles: dict[str, dict[tuple[str, bool], QuantileEstimate]]  # metric -> (arm, with mixed units) -> estimate
    quantile_rows: dict[str, dict[Unit, list[Fraction]]]  # metric -> unit -> its values (of units: one, or none)
    quantile_level: dict[str, tuple[float, str]]  # metric -> (p, units or events)
    tables: dict[str, MetricTable]


# --- moments ----------------------------------------------------------------------------------------------------------
def moments_of(result: Result, metric: str, units: Iterable[Unit]) -> MetricMoments:
    """Moments over those of `units` that are eligible for the metric; clusters first where the experiment has them."""
    return table_moments(result.tables[metric], result.units, units)


def table_moments(table: MetricTable, records: dict[Unit, UnitRecord], units: Iterable[Unit]) -> MetricMoments:
    chosen = [unit for unit in units if unit in table.rows]
    rows = [table.rows[unit] for unit in chosen]
    columns = table.layout.columns
    capped = [sum(1 for row in rows if row[column][1]) for column in columns]
    block = [[row[column][0] for column in columns] for row in rows]
    if table.cluster_effect is not None:
        members: dict[Any, list[dict[str, Value]]] = {}
        for unit, row in zip(chosen, rows, strict=True):
            members.setdefault(records[unit].cluster, []).append(row)
        block = [cluster_row(table, list(group)) for group in members.values()]
        if has_size(table):
            at = len(table.layout.outcome)
            columns = [*columns[:at], "size", *columns[at:]]
            capped.insert(at, 0)
    return moments(columns, block, capped)


def has_size(table: MetricTable) -> bool:
    """Whether a cluster's row carries its number of eligible units, the denominator of means over units."""
    return table.cluster_effect == "per_unit" and not table.layout.is_ratio


def cluster_row(table: MetricTable, units: list[dict[str, Value]]) -> list[Fraction]:
    """Totals of the outcome (per_cluster: means), the size, and means of the covariates."""
    size = len(units)

    def total(column: str) -> Fraction:
        return sum((unit[column][0] for unit in units), Fraction(0))

    divisor = size if table.cluster_effect == "per_cluster" else 1
    row = [total(column) / divisor for column in table.layout.outcome]
    if has_size(table):
        row.append(Fraction(size))
    return row + [total(column) / size for column in table.layout.covariates]


def moments(columns: list[str], block: list[list[Fraction]], capped: list[int]) -> MetricMoments:
    """Exact until the last step, so an offset of 1e9 costs no digit."""
    n, k = len(block), len(columns)
    by_column = [[row[i] for row in block] for i in range(k)]
    mean = [sum(values, Fraction(0)) / n if n else Fraction(0) for values in by_column]
    deviations = [[value - mean[i] for value in by_column[i]] for i in range(k)]
    # over a common denominator the products are those of integers, which is many times faster
    scales = [1] * k
    whole: list[list[int]] = []
    for i, row in enumerate(deviations):
        scales[i] = lcm(*(value.denominator for value in row))
        whole.append([value.numerator * (scales[i] // value.denominator) for value in row])
    comoment = np.zeros((k, k))
    for i in range(k):
        for j in range(i, k):
            products = sum(a * b for a, b in zip(whole[i], whole[j], strict=True))
            comoment[i, j] = comoment[j, i] = float(Fraction(products, scales[i] * scales[j]))
    third = [float(Fraction(sum(d**3 for d in row), scale**3)) for row, scale in zip(whole, scales, strict=True)]
    return MetricMoments(
        n=n,
        columns=columns,
        mean=np.array([float(value) for value in mean], dtype=np.float64),
        comoment=comoment,
        third=np.array(third, dtype=np.float64),
        max_abs=np.array([float(max(map(abs, values), default=0)) for values in by_column], dtype=np.float64),
        nonzero=np.array([sum(1 for value in values if value) for values in by_column], dtype=np.int64),
        capped=np.array(capped, dtype=np.int64),
    )


# --- quantiles --------------------------------------------------------------------------------------------------------
def type7(ordered: list[Fraction], p: float) -> Fraction:
    """The quantile at rank h = (n - 1) p, counted from 0, by linear interpolation; h is a double."""
    h = (len(ordered) - 1) * p
    low = floor(h)
    weight = Fraction(h) - low
    return ordered[low] + weight * (ordered[low + 1] - ordered[low]) if weight else ordered[low]


def quantile_of(result: Result, metric: str, units: Iterable[Unit]) -> QuantileEstimate:
    """The quantile over those of `units` that are eligible for the metric."""
    p, of = result.quantile_level[metric]
    return quantile_over(p, of, result.quantile_rows[metric], units)


def quantile_over(p: float, of: str, rows: dict[Unit, list[Fraction]], units: Iterable[Unit]) -> QuantileEstimate:
    chosen = {unit: rows[unit] for unit in units if unit in rows}
    ordered = sorted(value for values in chosen.values() for value in values)
    size = len(ordered)
    n = len(chosen) if of == "events" else size
    n_rows = size if of == "events" else None
    if not ordered:
        return QuantileEstimate(n, n_rows, None, None, None, dict.fromkeys(chosen, Fraction(0)))
    half = RANK_BANDWIDTH * sqrt(p * (1 - p) / size)
    estimate = type7(ordered, p)
    # The engine compares rows with a double, so this does too: one of 1e9 and a bit is not below itself.
    limit = Fraction(float(estimate))
    below = {unit: Fraction(sum(1 for value in values if value <= limit)) for unit, values in chosen.items()}
    return QuantileEstimate(
        n, n_rows, estimate, type7(ordered, max(p - half, 0.0)), type7(ordered, min(p + half, 1.0)), below
    )
