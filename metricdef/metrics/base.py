"""What every metric has, and the contract of a metric type.

A type says which per-unit values it needs (`parts`) and how arms' moments of them become an effect (`effect`).
It knows no SQL and no YAML file; names of other metrics are resolved through the mapping handed in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from metricdef.metrics.fields import Cap, CovariatesField, FormatField, InstantField, Names, Strict, Window, WindowField

if TYPE_CHECKING:
    from metricdef.errors import NotComputable
    from metricdef.metrics.effect import Effect
    from metricdef.stats.adjustment import MeanOutcome, RatioOutcome
    from metricdef.stats.moments import Moments

Agg = Literal["sum", "count", "count_distinct", "active_days", "min", "max", "first", "last"]
PartAgg = Literal["sum", "count", "count_distinct", "min", "max", "any"]
Path = tuple[str | int, ...]

AGGS_WITHOUT_MEASURE = ("count", "active_days")
AGGS_WITHOUT_EMPTY_VALUE = ("min", "max", "first", "last")


@dataclass(frozen=True, slots=True)
class Part:
    """One per-unit value: an aggregate of a source's rows inside a window, capped.

    `filter` holds SQL conditions that must all be true; `measure` names one of the source's measures. `window` is None
    where the project's default applies. A unit without rows has the value 0.
    """

    source: str
    agg: PartAgg
    measure: str | None
    filter: tuple[str, ...]
    window: Window | None
    cap: Cap | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A name or expression used by a metric: where it stands in the metric's YAML, what it names, in which source."""

    path: Path
    kind: Literal["source", "measure", "metric", "filter"]
    name: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong or not yet computed inside one metric, found without looking at other definitions."""

    path: Path
    rule: str
    message: str
    help: str = ""


class Deprecated(Strict):
    """A metric on its way out."""

    use: str
    since: InstantField


class Metric(Strict):
    """Fields that all metric types share."""

    type: str
    description: str | None = None
    label: str | None = None
    owner: str | None = None
    tags: Names = ()
    direction: Literal["increase", "decrease"] | None = None
    format: FormatField = "number"
    window: WindowField | None = None
    immature: Literal["exclude", "include"] | None = None
    covariates: CovariatesField = None
    renamed_from: str | None = None
    deprecated: Deprecated | None = None

    kind: ClassVar[Literal["mean", "binary", "ratio", "quantile"]] = "mean"

    @property
    def takes_points(self) -> bool:
        """Whether percentage points (`pp`) are a unit of this metric."""
        return self.kind == "binary"

    def references(self) -> Iterator[Reference]:
        """Every name and expression that other definitions must provide."""
        return iter(())

    def problems(self) -> Iterator[Problem]:
        """Contradictions between this metric's own fields."""
        return iter(())

    def not_yet(self) -> Iterator[Problem]:
        """What this version loads but does not compute."""
        yield Problem(("type",), "not-yet", f"metrics of type `{self.type}` are not computed yet")

    def parts(self, metrics: Mapping[str, Metric]) -> tuple[Part, ...]:
        """The per-unit values of this metric: the outcome first, a ratio's denominator second."""
        raise NotImplementedError(self.type)

    def outcome(self, columns: Sequence[str]) -> MeanOutcome | RatioOutcome:
        """What is estimated, given the names of the moments' columns that hold `parts`."""
        from metricdef.stats.adjustment import MeanOutcome

        return MeanOutcome(columns[0])

    def effects(
        self, arms: Sequence[Moments], columns: Sequence[str], covariates: Sequence[str]
    ) -> list[Effect | NotComputable]:
        """The effect of each further arm against the first of `arms`, or why there is none."""
        from metricdef.metrics.effect import adjusted_effects

        return adjusted_effects(arms, self.outcome(columns), covariates)


def aggregate_problems(agg: str | None, measure: str | None, missing: str | None) -> Iterator[Problem]:
    """Contradictions between `agg`, `measure` and `missing`."""
    if agg is None:
        return
    if agg in AGGS_WITHOUT_MEASURE and measure is not None:
        yield Problem(
            ("measure",),
            "measure-not-used",
            f"`agg: {agg}` counts rows and takes no measure",
            "remove `measure`, or use `agg: sum`",
        )
    if agg not in AGGS_WITHOUT_MEASURE and measure is None:
        yield Problem(
            ("agg",),
            "measure-missing",
            f"`agg: {agg}` needs a measure",
            "add `measure:` with a name from the source's `measures`",
        )
    if agg in AGGS_WITHOUT_EMPTY_VALUE and missing is None:
        yield Problem(
            ("agg",),
            "missing-not-stated",
            f"`agg: {agg}` has no value for units without rows",
            "add `missing: zero` (count them as 0) or `missing: exclude` (leave them out)",
        )


def source_references(source: str, measure: str | None, filters: Sequence[str], at: Path = ()) -> Iterator[Reference]:
    """References of anything that has `source`, `measure` and `filter`."""
    yield Reference((*at, "source"), "source", source)
    if measure is not None:
        yield Reference((*at, "measure"), "measure", measure, source)
    for position, text in enumerate(filters):
        yield Reference((*at, "filter", position), "filter", text, source)
