"""Ratio of two per-unit sums, by the delta method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from metricdef.metrics.base import Metric, Part, Problem, Reference, aggregate_problems, source_references
from metricdef.metrics.fields import Filter, Strict

if TYPE_CHECKING:
    from metricdef.stats.adjustment import RatioOutcome

PART_AGGS = ("sum", "count", "count_distinct", "active_days")
PART_TYPES = ("mean", "proportion", "threshold")


class InlinePart(Strict):
    """A numerator or denominator written in place."""

    source: str
    agg: Literal["sum", "count", "count_distinct", "active_days"]
    measure: str | None = None
    filter: Filter = ()


def _reject_other(value: object) -> object:
    if isinstance(value, str | dict | InlinePart):
        return value
    raise ValueError("write the name of a metric, or {source, agg, measure, filter}")


RatioPart = Annotated[str | InlinePart, BeforeValidator(_reject_other)]


class RatioMetric(Metric):
    """Sum of the numerator over units, divided by the sum of the denominator."""

    type: Literal["ratio"]
    numerator: RatioPart
    denominator: RatioPart

    kind: ClassVar[Literal["mean", "binary", "ratio", "quantile"]] = "ratio"
    refused_keys: ClassVar[Mapping[str, tuple[str, str, str]]] = {
        "cap": ("unknown-key", "each part of a ratio has a cap of its own", "name metrics with a `cap` as its parts")
    }

    @property
    def takes_points(self) -> bool:
        """A ratio shown in percent may be compared in percentage points."""
        return self.format == "percent"

    @property
    def sides(self) -> tuple[tuple[str, str | InlinePart], ...]:
        """Both parts with their keys."""
        return (("numerator", self.numerator), ("denominator", self.denominator))

    def references(self) -> Iterator[Reference]:
        """Metrics by name, or the inline parts' sources, measures and columns."""
        for key, part in self.sides:
            if isinstance(part, str):
                yield Reference((key,), "metric", part)
            else:
                yield from source_references(part.source, part.measure, part.filter, (key,))

    def problems(self) -> Iterator[Problem]:
        """Contradictions inside inline parts."""
        for key, part in self.sides:
            if isinstance(part, InlinePart):
                for problem in aggregate_problems(part.agg, part.measure, None):
                    yield replace(problem, path=(key, *problem.path))

    def parts(self, metrics: Mapping[str, Metric]) -> tuple[Part, ...]:
        """Numerator and denominator; a window on the ratio replaces both parts' windows."""
        return tuple(replace(self._part(part, metrics), label=key) for key, part in self.sides)

    def _part(self, part: str | InlinePart, metrics: Mapping[str, Metric]) -> Part:
        if isinstance(part, str):
            value = metrics[part].parts(metrics)[0]
        else:
            value = Part(part.source, part.agg, part.measure, part.filter, None)
        return replace(value, window=self.window) if self.window else value

    def outcome(self, columns: Sequence[str]) -> RatioOutcome:
        """Numerator over denominator."""
        from metricdef.stats.adjustment import RatioOutcome

        return RatioOutcome(columns[0], columns[1])
