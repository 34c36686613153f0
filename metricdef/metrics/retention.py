"""Share of units that come back inside a window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import PositiveInt

from metricdef.metrics.base import CAP_ON_PROPORTION, Limit, Metric, Part, Problem, Reference, source_references
from metricdef.metrics.fields import Filter


class RetentionMetric(Metric):
    """Share of exposed units with at least `min_rows` rows inside a window that starts after exposure."""

    type: Literal["retention"]
    source: str
    filter: Filter = ()
    min_rows: PositiveInt = 1

    kind: ClassVar[Literal["mean", "binary", "ratio", "quantile"]] = "binary"
    refused_keys: ClassVar[Mapping[str, tuple[str, str, str]]] = CAP_ON_PROPORTION

    def immature_policy(self, default: Literal["exclude", "include"]) -> Literal["exclude", "include"]:
        """A unit that still has time to come back is never counted as lost."""
        return "exclude"

    def references(self) -> Iterator[Reference]:
        """The source and the filter's columns."""
        return source_references(self.source, None, self.filter)

    def problems(self) -> Iterator[Problem]:
        """The window must be stated and start after exposure; immature units never count."""
        if self.window is None or self.window.kind != "span" or self.window.start == 0:
            yield Problem(
                ("window",) if self.window else ("type",),
                "retention-window-at-zero",
                "retention needs a window that starts after exposure",
                "write for example `window: 7d..14d`",
            )
        if self.immature == "include":
            yield Problem(
                ("immature",), "retention-immature", "retention always leaves out units with an incomplete window"
            )

    def parts(self, metrics: Mapping[str, Metric]) -> tuple[Part, ...]:
        """One value: 1 for a unit with enough rows, else 0."""
        limit = Limit(">=", float(self.min_rows))
        return (Part(self.source, "count", None, self.filter, self.window, limit=limit),)
