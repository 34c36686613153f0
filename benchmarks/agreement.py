"""Do all implementations give the same numbers? Counts, means and covariances per metric and arm, to 1e-9 relative."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.metrics import Names, means, quantiles
from metricdef.analysis.cells import read_cells
from metricdef.compiler.plan import Plan

TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric in one arm: units, means of its columns (values, then covariates), their covariances (n - 1)."""

    n: int
    mean: NDArray[np.float64]
    cov: NDArray[np.float64]


Figures = dict[tuple[str, str], Figure]
Quantiles = dict[tuple[str, str], dict[str, float]]

# Sums over users of rows (m), rows at or below the quantile (l), and their products.
_CLUSTER_SUMS = {"m": "rows_here", "l": "low", "mm": "rows_rows", "ml": "low_rows", "ll": "low_low"}


class Disagreement(AssertionError):
    """Two implementations give different numbers."""


def compiled_figures(plan: Plan, table: pa.Table) -> Figures:
    """From the result of metricdef's SQL, units that saw two arms left out; metrics of means only."""
    cells = read_cells(plan, table)
    found = {}
    for metric in plan.metrics:
        if metric.metric.kind == "quantile":
            continue
        columns = (*metric.columns, *metric.covariates)
        for arm in plan.arms:
            moments = cells.moments(metric.block, columns, arm.name, with_mixed=False)
            found[metric.name, arm.name] = Figure(moments.n, moments.mean, moments.cov)
    return found


def compiled_quantiles(plan: Plan, table: pa.Table) -> Quantiles:
    """Quantiles of events and the sums of their clusters, from the result of metricdef's SQL."""
    found: Quantiles = {}
    for (name, arm, level), statistics in read_cells(plan, table).quantiles.items():
        if level is None and statistics.events is not None:
            counts = {ours: statistics.events[theirs] for ours, theirs in _CLUSTER_SUMS.items()}
            found[name, arm] = {"at": statistics.estimate, **counts}
    return found


def plain_figures(names: Names, tables: Sequence[pa.Table]) -> Figures:
    """From plain sums: one table of all metrics, or a table a metric."""
    found: Figures = {}
    for position, spec in enumerate(means(names)):
        together = len(tables) == 1
        table, prefix = (tables[0], f"m{position}_") if together else (tables[position], "m0_")
        size = len(spec.parts) * (2 if spec.covariates else 1)
        for row in table.to_pylist():
            n = int(row[f"{prefix}n"])
            mean = np.array([row[f"{prefix}s{i}"] / n for i in range(size)])
            cov = np.empty((size, size))
            for i in range(size):
                for j in range(size):
                    product = row[f"{prefix}p{min(i, j)}_{max(i, j)}"]
                    cov[i, j] = (product - n * mean[i] * mean[j]) / (n - 1)
            found[spec.name, str(row["arm"])] = Figure(n, mean, cov)
    return found


def plain_quantiles(names: Names, tables: Sequence[pa.Table]) -> Quantiles:
    """The same from the comparison programs."""
    found: Quantiles = {}
    together = len(tables) == 1
    for position, spec in enumerate(quantiles(names)):
        table = tables[0] if together else tables[len(means(names)) + position]
        prefix = f"q{position}_" if together else "q0_"
        for row in table.to_pylist():
            counts = {name: float(row[f"{prefix}{name}"]) for name in _CLUSTER_SUMS}
            found[spec.name, str(row["arm"])] = {"at": float(row[f"{prefix}at"][1]), **counts}
    return found


def compare(reference: Figures, other: Figures, label: str) -> float:
    """The largest relative difference. Raises Disagreement beyond the tolerance, or where a figure is missing."""
    if set(reference) != set(other):
        raise Disagreement(f"{label}: figures differ in kind: {sorted(set(reference) ^ set(other))}")
    worst = 0.0
    for key, figure in reference.items():
        theirs = other[key]
        if figure.n != theirs.n:
            raise Disagreement(f"{label}: {key} has {theirs.n} units instead of {figure.n}")
        sd = np.sqrt(figure.cov.diagonal())
        # A mean is held to its own size, a covariance to the two standard deviations.
        gaps = [np.abs(figure.mean - theirs.mean) / np.where(figure.mean == 0, 1, np.abs(figure.mean))]
        gaps.append((np.abs(figure.cov - theirs.cov) / np.where(np.outer(sd, sd) == 0, 1, np.outer(sd, sd))).ravel())
        gap = float(np.max(np.concatenate(gaps)))
        if not gap <= TOLERANCE:
            raise Disagreement(f"{label}: {key} differs by {gap:.1e} relative: {figure} against {theirs}")
        worst = max(worst, gap)
    return worst


def compare_quantiles(reference: Quantiles, other: Quantiles, label: str) -> None:
    """Raises Disagreement where a quantile or a sum differs, or is missing."""
    if set(reference) != set(other):
        raise Disagreement(f"{label}: quantiles differ in kind: {sorted(set(reference) ^ set(other))}")
    for key, figures in reference.items():
        for name, value in figures.items():
            if not math.isclose(value, other[key][name], rel_tol=TOLERANCE):
                raise Disagreement(f"{label}: {key} has {name} = {other[key][name]!r} instead of {value!r}")
