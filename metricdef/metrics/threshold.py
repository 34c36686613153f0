"""Share of units whose aggregate passes a threshold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from metricdef.metrics.base import Agg, Metric, Problem, Reference, aggregate_problems, source_references
from metricdef.metrics.fields import Cap, Filter
from metricdef.metrics.mean import cap_problems

LIMITS = ("at_least", "more_than", "at_most", "less_than")


class ThresholdMetric(Metric):
    """Share of exposed units whose per-unit aggregate passes one limit."""

    type: Literal["threshold"]
    source: str
    agg: Agg
    measure: str | None = None
    filter: Filter = ()
    missing: Literal["zero", "exclude"] | None = None
    cap: Cap | None = None
    at_least: float | int | None = None
    more_than: float | int | None = None
    at_most: float | int | None = None
    less_than: float | int | None = None

    kind: ClassVar[Literal["mean", "binary", "ratio", "quantile"]] = "binary"

    def references(self) -> Iterator[Reference]:
        """The source, its measure and the filter's columns."""
        return source_references(self.source, self.measure, self.filter)

    def problems(self) -> Iterator[Problem]:
        """Exactly one limit; and what holds for any aggregate."""
        if sum(getattr(self, limit) is not None for limit in LIMITS) != 1:
            yield Problem(
                ("type",), "threshold-limit", "a threshold needs exactly one limit", f"write one of {', '.join(LIMITS)}"
            )
        yield from aggregate_problems(self.agg, self.measure, self.missing)
        yield from cap_problems(self.cap)
