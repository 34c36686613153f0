"""Share of units with at least one row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from metricdef.metrics.base import Metric, Part, Problem, Reference, source_references
from metricdef.metrics.fields import Filter

if TYPE_CHECKING:
    from metricdef.errors import NotComputable
    from metricdef.metrics.effect import Effect
    from metricdef.stats.moments import Moments


class ProportionMetric(Metric):
    """Share of exposed units with at least one row that passes the filter."""

    type: Literal["proportion"]
    source: str
    filter: Filter = ()

    kind: ClassVar[Literal["mean", "binary", "ratio", "quantile"]] = "binary"

    def references(self) -> Iterator[Reference]:
        """The source and the filter's columns."""
        return source_references(self.source, None, self.filter)

    def not_yet(self) -> Iterator[Problem]:
        """Everything of a proportion is computed."""
        return iter(())

    def parts(self, metrics: Mapping[str, Metric]) -> tuple[Part, ...]:
        """One value: 1 for a unit with a row, else 0."""
        return (Part(self.source, "any", None, self.filter, self.window),)

    def effects(
        self, arms: Sequence[Moments], columns: Sequence[str], covariates: Sequence[str]
    ) -> list[Effect | NotComputable]:
        """As for means; the score family where an unadjusted arm has few successes or failures."""
        from metricdef.metrics.effect import binary_effects

        return binary_effects(arms, columns[0], covariates)
