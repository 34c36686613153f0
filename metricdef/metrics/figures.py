"""What a unit test of a metric may expect: named figures of an arm, and values of a unit, by the shape of the metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metricdef.metrics.base import Metric, Part

FigureKind = Literal["units", "sum", "sum_squares", "mean", "ratio", "capped", "values", "quantile"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of an arm: what it is, and of which of the metric's parts. A mean or ratio is of the first two."""

    name: str
    kind: FigureKind
    part: int = 0


@dataclass(frozen=True, slots=True)
class UnitFigure:
    """One value of a unit: which of the metric's parts; `present` is the part that says whether there is a value."""

    name: str
    part: int = 0
    present: int | None = None


def figures_of_arm(metric: Metric, parts: tuple[Part, ...]) -> tuple[Figure, ...]:
    """Everything that a test may expect of an arm."""
    units = Figure("n", "units")
    if metric.kind == "quantile":
        return units, Figure("values", "values"), Figure("quantile", "quantile")
    if _is_funnel(parts):
        return units, *(Figure(part.label, "sum", i) for i, part in enumerate(parts))
    if _is_ratio(parts):
        sides = ("numerator", "denominator")
        sums = (Figure(side, "sum", i) for i, side in enumerate(sides))
        capped = (Figure(f"{side}_capped", "capped", i) for i, side in enumerate(sides) if parts[i].cap)
        return units, *sums, Figure("ratio", "ratio"), *capped
    responded = [Figure("responded", "sum", 1)] if len(parts) > 1 else []
    mean = Figure("mean", "ratio" if responded else "mean")
    capped = (Figure("capped", "capped") for _ in range(parts[0].cap is not None))
    return units, *responded, Figure("sum", "sum"), Figure("sum_squares", "sum_squares"), mean, *capped


def figures_of_unit(parts: tuple[Part, ...]) -> tuple[UnitFigure, ...]:
    """Everything that a test may expect of a unit; nothing where the metric is one of events."""
    if parts[0].agg == "events":
        return ()
    if _is_funnel(parts):
        return tuple(UnitFigure(part.label, i) for i, part in enumerate(parts))
    if _is_ratio(parts):
        return UnitFigure("numerator"), UnitFigure("denominator", 1)
    return (UnitFigure("value", 0, 1 if len(parts) > 1 else None),)


def _is_funnel(parts: tuple[Part, ...]) -> bool:
    return parts[0].agg == "step"


def _is_ratio(parts: tuple[Part, ...]) -> bool:
    return len(parts) == 2 and parts[1].presence != "itself"
