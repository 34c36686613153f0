"""A quantile of units' values or of events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from metricdef.metrics.base import Agg, Metric, Part, Problem, Reference, aggregate_problems, source_references, valued
from metricdef.metrics.fields import Filter, PercentileField

if TYPE_CHECKING:
    from metricdef.errors import NotComputable
    from metricdef.metrics.effect import Effect, Observed
    from metricdef.stats.adjustment import MeanOutcome, RatioOutcome


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

    def parts(self, metrics: Mapping[str, Metric]) -> tuple[Part, ...]:
        """The per-unit value, with whether there is one beside it; or the events themselves."""
        if self.of == "events":
            return (Part(self.source, "events", self.measure, self.filter, self.window),)
        assert self.agg is not None  # noqa: S101 - rule quantile-agg
        return valued(Part(self.source, self.agg, self.measure, self.filter, self.window), self.missing)

    def covariate_parts(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        """None: quantiles are not adjusted."""
        return ()

    def outcome(self, columns: Sequence[str]) -> MeanOutcome | RatioOutcome:
        """Not read: the effect comes from order statistics."""
        from metricdef.stats.adjustment import MeanOutcome

        return MeanOutcome(columns[0] if columns else "")

    def effects(
        self, observed: Observed, outcome: MeanOutcome | RatioOutcome, covariates: Sequence[str]
    ) -> list[Effect | NotComputable]:
        """Difference of the arms' quantiles, from order statistics."""
        from metricdef.metrics.effect import quantile_effects

        return quantile_effects(observed)
