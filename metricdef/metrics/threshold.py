"""Share of units whose aggregate passes a threshold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from metricdef.metrics.base import (
    Agg,
    Limit,
    Metric,
    Part,
    Problem,
    Reference,
    aggregate_problems,
    source_references,
    valued,
)
from metricdef.metrics.fields import Cap, Filter
from metricdef.metrics.mean import cap_problems

if TYPE_CHECKING:
    from metricdef.stats.adjustment import MeanOutcome, RatioOutcome

LIMITS: dict[str, Literal[">=", ">", "<=", "<"]] = {
    "at_least": ">=",
    "more_than": ">",
    "at_most": "<=",
    "less_than": "<",
}


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

    def parts(self, metrics: Mapping[str, Metric]) -> tuple[Part, ...]:
        """1 for a unit whose capped aggregate passes; with whether there is a value beside it."""
        key = next(key for key in LIMITS if getattr(self, key) is not None)
        limit = Limit(LIMITS[key], float(getattr(self, key)))
        part = Part(self.source, self.agg, self.measure, self.filter, self.window, self.cap, limit)
        return valued(part, self.missing)

    def outcome(self, columns: Sequence[str]) -> MeanOutcome | RatioOutcome:
        """The share of units; over those with a value it is a ratio."""
        from metricdef.stats.adjustment import MeanOutcome, RatioOutcome

        return MeanOutcome(columns[0]) if len(columns) == 1 else RatioOutcome(columns[0], columns[1])
