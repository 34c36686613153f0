"""Do all implementations give the same numbers? Counts, means and covariances per metric and arm, to 1e-9 relative."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


class Disagreement(AssertionError):
    """Two implementations give different numbers."""


def compiled_figures(plan: Plan, table: pa.Table) -> Figures:
    """From the result of metricdef's SQL, units that saw two arms left out; metrics of means only."""
    cells = read_cells(plan, table)
    found = {}
    for metric in plan.metrics:
        if metric.name in not_compared(plan):
            continue
        columns = (*metric.columns, *metric.covariates)
        for arm in plan.arms:
            moments = cells.moments(metric.block, columns, arm.name, with_mixed=False)
            found[metric.name, arm.name] = Figure(moments.n, moments.mean, moments.cov)
    return found


def not_compared(plan: Plan) -> list[str]:
    """Metrics that metricdef computes and `compiled_figures` does not read."""
    return [metric.name for metric in plan.metrics if metric.metric.kind == "quantile"]


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


def plain_quantiles(names: Names, tables: Sequence[pa.Table]) -> dict[tuple[str, str], dict[str, Any]]:
    """Quantiles of events and the sums of their clusters, of the comparison programs."""
    found = {}
    together = len(tables) == 1
    for position, spec in enumerate(quantiles(names)):
        table = tables[0] if together else tables[len(means(names)) + position]
        prefix = f"q{position}_" if together else "q0_"
        for row in table.to_pylist():
            figures = {key.removeprefix(prefix): value for key, value in row.items() if key.startswith(prefix)}
            found[spec.name, str(row["arm"])] = figures
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


def compare_quantiles(
    reference: Mapping[tuple[str, str], Mapping[str, Any]], other: Mapping[tuple[str, str], Mapping[str, Any]]
) -> None:
    """The quantiles of the comparison programs among themselves. Raises Disagreement."""
    if set(reference) != set(other):
        raise Disagreement(f"quantiles differ in kind: {sorted(set(reference) ^ set(other))}")
    for key, figures in reference.items():
        for name, value in figures.items():
            left, right = np.atleast_1d(value), np.atleast_1d(other[key][name])
            same = len(left) == len(right) and all(
                math.isclose(a, b, rel_tol=TOLERANCE) for a, b in zip(left, right, strict=True)
            )
            if not same:
                raise Disagreement(f"{key}, {name}: {left} against {right}")
