"""Share of units with at least one row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from metricdef.metrics.base import CAP_ON_PROPORTION, Limit, Metric, Part, Reference, source_references
from metricdef.metrics.fields import Filter


class ProportionMetric(Metric):
    """Share of exposed units with at least one row that passes the filter."""

    type: Literal["proportion"]
    source: str
    filter: Filter = ()

    kind: ClassVar[Literal["mean", "binary", "ratio", "quantile"]] = "binary"
    refused_keys: ClassVar[Mapping[str, tuple[str, str, str]]] = CAP_ON_PROPORTION

    def references(self) -> Iterator[Reference]:
        """The source and the filter's columns."""
        return source_references(self.source, None, self.filter)

    def parts(self, metrics: Mapping[str, Metric]) -> tuple[Part, ...]:
        """One value: 1 for a unit with a row, else 0."""
        return (Part(self.source, "count", None, self.filter, self.window, limit=Limit(">=", 1.0)),)
