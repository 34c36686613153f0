"""A quantile of units' values or of events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from metricdef.metrics.base import Agg, Metric, Problem, Reference, aggregate_problems, source_references
from metricdef.metrics.fields import Filter, PercentileField


class QuantileMetric(Metric):
    """A quantile of the per-unit value, or of events clustered by unit."""

    type: Literal["quantile"]
    source: str
    measure: str | None = None
    filter: Filter = ()
    quantile: PercentileField
    of: Literal["units", "events"] = "units"
    agg: Agg | None = None
    missing: Literal["zero", "exclude"] | None = None

    kind: ClassVar[Literal["mean", "binary", "ratio", "quantile"]] = "quantile"

    def references(self) -> Iterator[Reference]:
        """The source, its measure and the filter's columns."""
        return source_references(self.source, self.measure, self.filter)

    def problems(self) -> Iterator[Problem]:
        """A quantile of units needs an aggregate and a value for units without rows."""
        if self.of == "events":
            if self.agg is not None:
                yield Problem(
                    ("agg",),
                    "quantile-agg",
                    "a quantile of events takes no `agg`",
                    "remove `agg`, or write `of: units`",
                )
            if self.measure is None:
                yield Problem(("type",), "measure-missing", "a quantile of events needs a measure")
            return
        if self.agg is None:
            yield Problem(("type",), "quantile-agg", "a quantile of units needs `agg`", "write for example `agg: sum`")
        elif self.missing is None:
            yield Problem(
                ("type",),
                "missing-not-stated",
                "a quantile of units has no value for units without rows",
                "add `missing: zero` or `missing: exclude`",
            )
        yield from (
            p for p in aggregate_problems(self.agg, self.measure, self.missing) if p.rule != "missing-not-stated"
        )
