"""What every metric has, and the contract of a metric type.

A type says which per-unit values it needs (`parts`) and how arms' moments of them become an effect (`effect`).
It knows no SQL and no YAML file; names of other metrics are resolved through the mapping handed in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from metricdef.metrics.fields import Cap, CovariatesField, FormatField, InstantField, Names, Strict, Window, WindowField

if TYPE_CHECKING:
    from metricdef.errors import NotComputable
    from metricdef.metrics.effect import Effect, Observed
    from metricdef.stats.adjustment import MeanOutcome, RatioOutcome

Agg = Literal["sum", "count", "count_distinct", "active_days", "min", "max", "first", "last"]
PartAgg = Literal[
    "sum",
    "count",
    "count_distinct",
    "active_days",
    "min",
    "max",
    "first",
    "last",
    "observed_days",
    "step",
    "events",
]
Presence = Literal["ignored", "required", "itself"]
Path = tuple[str | int, ...]

CAP_ON_PROPORTION = {"cap": ("cap-on-proportion", "a unit has 0 or 1, which a cap could only spoil", "remove `cap`")}
AGGS_WITHOUT_MEASURE = ("count", "active_days")
AGGS_WITHOUT_EMPTY_VALUE = ("min", "max", "first", "last")


@dataclass(frozen=True, slots=True)
class Limit:
    """A comparison that makes a 0/1 value of an aggregate."""

    op: Literal[">=", ">", "<=", "<"]
    value: float


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """Rows that count as one step; `within` is the longest time since the step before, in microseconds, exclusive."""

    source: str
    filter: tuple[str, ...]
    within: int | None


@dataclass(frozen=True, slots=True)
class Funnel:
    """All steps, and whether each must come after the one before."""

    steps: tuple[FunnelStep, ...]
    sequential: bool


@dataclass(frozen=True, slots=True)
class Part:
    """One per-unit value: an aggregate of a source's rows inside a window, capped, perhaps compared with a limit.

    `filter` holds SQL conditions that must all be true; `measure` names one of the source's measures. `window` is None
    where the project's default applies. `presence` says what a unit without rows (or without a measure that is not
    NULL) has: ignored, the value of 0; required, 0 whatever cap and limit say; itself, the part is 1 where there is a
    value and 0 where not. `observed_days` reads no rows; a `step` is 1 where `funnel` was passed up to `position`.
    """

    source: str
    agg: PartAgg
    measure: str | None
    filter: tuple[str, ...]
    window: Window | None
    cap: Cap | None = None
    limit: Limit | None = None
    presence: Presence = "ignored"
    funnel: Funnel | None = None
    position: int = 0
    label: str = "value"


@dataclass(frozen=True, slots=True)
class Reference:
    """A name or expression used by a metric: where it stands in the metric's YAML, what it names, in which source."""

    path: Path
    kind: Literal["source", "measure", "metric", "filter"]
    name: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong inside one metric, found without looking at other definitions."""

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
    # Keys of other types that people reach for: key -> rule, what is wrong, how to mend it.
    refused_keys: ClassVar[Mapping[str, tuple[str, str, str]]] = {}

    @property
    def takes_points(self) -> bool:
        """Whether percentage points (`pp`) are a unit of this metric."""
        return self.kind == "binary"

    def immature_policy(self, default: Literal["exclude", "include"]) -> Literal["exclude", "include"]:
        """Whether units whose window is not complete count."""
        return self.immature or default

    def references(self) -> Iterator[Reference]:
        """Every name and expression that other definitions must provide."""
        return iter(())

    def problems(self) -> Iterator[Problem]:
        """Contradictions between this metric's own fields."""
        return iter(())

    def parts(self, metrics: Mapping[str, Metric]) -> tuple[Part, ...]:
        """The per-unit values of this metric: the outcome first, a ratio's denominator second."""
        raise NotImplementedError(self.type)

    @property
    def outcome_parts(self) -> slice:
        """Which of `parts` make the outcome; the others are shown beside it (steps of a funnel)."""
        return slice(None)

    def covariate_parts(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        """The parts whose values before exposure sharpen the estimate."""
        return tuple(
            part for part in parts[self.outcome_parts] if part.agg != "observed_days" and part.presence != "itself"
        )

    def outcome(self, columns: Sequence[str]) -> MeanOutcome | RatioOutcome:
        """What is estimated, given the names of the moments' columns that hold the outcome's parts."""
        from metricdef.stats.adjustment import MeanOutcome

        return MeanOutcome(columns[0])

    def effects(
        self, observed: Observed, outcome: MeanOutcome | RatioOutcome, covariates: Sequence[str]
    ) -> list[Effect | NotComputable]:
        """The effect of each further arm against the first one observed, or why there is none."""
        from metricdef.metrics.effect import adjusted_effects, binary_effects

        return (binary_effects if self.kind == "binary" else adjusted_effects)(observed, outcome, covariates)


def valued(part: Part, missing: str | None) -> tuple[Part, ...]:
    """The part alone, or, where units without a value are left out, the part and whether there is a value."""
    if missing != "exclude":
        return (part,)
    return replace(part, presence="required"), replace(part, presence="itself", cap=None, limit=None, label="responded")


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
