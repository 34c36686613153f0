"""Mean over units of an aggregate per unit: sums, counts, distinct counts, extremes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from metricdef.metrics.base import Agg, Metric, Part, Problem, Reference, aggregate_problems, source_references, valued
from metricdef.metrics.fields import Cap, Filter, Percentile

if TYPE_CHECKING:
    from metricdef.stats.adjustment import MeanOutcome, RatioOutcome


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
        if self.per and self.missing == "exclude":
            what = "`per: day` divides by the days observed; leaving out units without rows would be another question"
            yield Problem(("missing",), "per-day-missing", what, "remove `missing`")
        if self.per and self.cap is not None:
            yield Problem(("cap",), "per-day-cap", "a share of days is at most 1: it takes no cap", "remove `cap`")
        yield from cap_problems(self.cap)

    def parts(self, metrics: Mapping[str, Metric]) -> tuple[Part, ...]:
        """The aggregate, capped; with the days observed (`per: day`) or with whether there is a value beside it."""
        part = Part(self.source, self.agg, self.measure, self.filter, self.window, self.cap)
        if self.per:
            days = Part(self.source, "observed_days", None, (), self.window, label="observed_days")
            return replace(part, label="active_days"), days
        return valued(part, self.missing)

    def outcome(self, columns: Sequence[str]) -> MeanOutcome | RatioOutcome:
        """The mean over units; over those with a value, or per day observed, it is a ratio."""
        from metricdef.stats.adjustment import MeanOutcome, RatioOutcome

        return MeanOutcome(columns[0]) if len(columns) == 1 else RatioOutcome(columns[0], columns[1])


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
