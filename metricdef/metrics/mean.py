"""Mean over units of an aggregate per unit: sums, counts, distinct counts, extremes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from metricdef.metrics.base import Agg, Metric, Part, PartAgg, Problem, Reference, aggregate_problems, source_references
from metricdef.metrics.fields import Cap, Filter, Percentile

COMPUTED: dict[str, PartAgg] = {
    "sum": "sum",
    "count": "count",
    "count_distinct": "count_distinct",
    "min": "min",
    "max": "max",
}


class MeanMetric(Metric):
    """Mean of a per-unit aggregate over all exposed units."""

    type: Literal["mean"]
    source: str
    agg: Agg
    measure: str | None = None
    filter: Filter = ()
    missing: Literal["zero", "exclude"] | None = None
    per: Literal["day"] | None = None
    cap: Cap | None = None

    def references(self) -> Iterator[Reference]:
        """The source, its measure and the filter's columns."""
        return source_references(self.source, self.measure, self.filter)

    def problems(self) -> Iterator[Problem]:
        """Contradictions between aggregate, measure, `missing`, `per` and cap."""
        yield from aggregate_problems(self.agg, self.measure, self.missing)
        if self.per and self.agg != "active_days":
            yield Problem(("per",), "per-without-active-days", "`per: day` goes with `agg: active_days` only")
        yield from cap_problems(self.cap)

    def not_yet(self) -> Iterator[Problem]:
        """Aggregates and options that load but are not computed by this version."""
        if self.agg not in COMPUTED:
            yield Problem(("agg",), "not-yet", f"`agg: {self.agg}` is not computed yet")
        if self.missing == "exclude":
            yield Problem(("missing",), "not-yet", "`missing: exclude` is not computed yet")
        yield from cap_not_yet(self.cap)

    def parts(self, metrics: Mapping[str, Metric]) -> tuple[Part, ...]:
        """One value: the aggregate, capped."""
        return (Part(self.source, COMPUTED[self.agg], self.measure, self.filter, self.window, self.cap),)


def cap_problems(cap: Cap | None) -> Iterator[Problem]:
    """A cap must state a limit, and a lower limit below the upper one."""
    if cap is None:
        return
    if cap.zeros == "exclude" and not any(isinstance(limit, Percentile) for limit in (cap.lower, cap.upper)):
        what = "`zeros: exclude` says which values a percentile is taken over, and the cap has none"
        yield Problem(("cap", "zeros"), "cap-zeros", what, "remove `zeros`")
    if cap.lower is None and cap.upper is None:
        yield Problem(("cap",), "cap-empty", "the cap has no limit", "add `upper: p99.5` or `upper: 500`")
    numbers = [
        limit.fraction if isinstance(limit, Percentile) else limit
        for limit in (cap.lower, cap.upper)
        if limit is not None
    ]
    if len(numbers) == 2 and type(cap.lower) is type(cap.upper) and numbers[0] >= numbers[1]:
        yield Problem(("cap", "lower"), "cap-empty", "the cap's lower limit is not below its upper limit")


def cap_not_yet(cap: Cap | None) -> Iterator[Problem]:
    """Percentile caps load but are not computed by this version."""
    for name in ("lower", "upper"):
        if cap and isinstance(getattr(cap, name), Percentile):
            yield Problem(("cap", name), "not-yet", "percentile caps are not computed yet")
