"""What one experiment needs from the warehouse: which rows, per-unit values and moments. No SQL text, no dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Literal

from metricdef.compiler.open_instant import OpenInstant
from metricdef.definitions.models import Role, Source, Target
from metricdef.metrics import Metric
from metricdef.metrics.base import Funnel, Limit, PartAgg
from metricdef.metrics.fields import Cap

Anchor = Literal["outcome", "exposure"]
# Sums over the days d of a window, 24 hours each, of w_d times a unit's daily value; w_d are centred, d - (D - 1) / 2.
# The value is the measure's sum, the number of rows, or 1 where there is a row.
DayAgg = Literal["sum_by_day", "count_by_day", "any_by_day"]


@dataclass(frozen=True, slots=True)
class ArmPlan:
    """One arm. `code` numbers arms by key order, so that the smallest code is the smallest key."""

    name: str
    key: str
    code: int
    share: Fraction


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a row counts, in microseconds: offsets from the unit's anchor, and fixed instants.

    The anchor of outcomes is the first trigger, or first exposure where there is no trigger; that of values before
    exposure is always first exposure.
    """

    start: int
    end: int | None = None
    floor: int | None = None
    ceiling: int | None = None
    anchor: Anchor = "outcome"


@dataclass(frozen=True, slots=True)
class UnitColumn:
    """One value per unit made of a source's rows: a conditional aggregate; NULL or 0 where no row counts."""

    name: str
    source: str
    agg: PartAgg | DayAgg
    measure: str | None
    filter: tuple[str, ...]
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class FunnelColumns:
    """A funnel and the per-unit columns that say how far each unit came, one a step."""

    name: str
    funnel: Funnel
    bounds: Bounds
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EntryColumn:
    """A unit's own value: at its first exposure, or from the attributes row valid then."""

    name: str
    source: str
    expression: str


@dataclass(frozen=True, slots=True)
class Condition:
    """A test that a unit must pass to be analysed: a filter over entry columns, or a unit column above 0."""

    segment: str
    source: str
    filter: tuple[str, ...]
    unit_column: str | None
    columns: tuple[
        tuple[str, str], ...
    ] = ()  # what the filter names, in lower case, and the entry column that holds it


@dataclass(frozen=True, slots=True)
class Dimension:
    """A unit's level by which moments are split: a stratum of the overall estimate, a breakdown, or both.

    Neither: units whose first exposure lies before `since` are at level 0, the others at level 1.
    """

    name: str  # as the analyst wrote it
    column: str  # the entry column
    stratum: bool
    breakdown: bool
    since: int = 0


@dataclass(frozen=True, slots=True)
class TriggerPlan:
    """From which row on a unit could notice the treatment."""

    source: str
    filter: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Percentile:
    """A limit taken from the data: the percentile of a column over the mature, unmixed units of a block, all arms.

    `keys` name the caps that are this limit, across looks (`names.cap_key`).
    """

    name: str
    column: str
    fraction: float
    nonzero: bool  # over values other than 0 only
    present: bool  # over units with a value only
    block: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """One column of the moments, made of a unit or entry column: zero-filled, capped, compared with a limit.

    A limit of the cap is a number or the name of a Percentile. `presence` as in Part; `absent` is 1 where there is no
    value, `size` counts units (of a cluster). `residual` is the value `column` less rho times the value `minus`, rho the
    ratio of their centres: a ratio's numerator without what goes with its denominator, so that its variance keeps its
    digits. `daily` is cut as much as the value of the unit column `minus` is by the same limit. In a cluster-randomised experiment `total` values are summed over the cluster's units, the others averaged.
    """

    name: str
    column: str
    lower: float | str | None = None
    upper: float | str | None = None
    limit: Limit | None = None
    presence: Literal["ignored", "required", "itself", "absent", "size", "residual", "daily"] = "ignored"
    total: bool = True
    minus: str = ""

    @property
    def is_capped(self) -> bool:
        """Whether the cap may have changed it, which is then counted."""
        return self.presence not in ("itself", "daily") and (self.lower is not None or self.upper is not None)


@dataclass(frozen=True, slots=True)
class Block:
    """Values over the same eligible units: those whose anchor lies `horizon` microseconds before as-of."""

    name: str
    horizon: int | None
    anchor: Anchor
    values: tuple[Value, ...]
    products: tuple[tuple[int, int], ...]  # positions of values whose product is summed, the smaller first


@dataclass(frozen=True, slots=True)
class PartCap:
    """Limits of one part of a metric: its value, or a ratio's numerator or denominator. Text names a Percentile."""

    part: str
    column: str
    lower: float | str | None
    upper: float | str | None


@dataclass(frozen=True, slots=True)
class QuantilePlan:
    """A quantile of the values of a block's column, or of the rows that a unit column of `events` describes."""

    name: str
    fraction: float
    block: str
    column: str  # a Value's name for units, a UnitColumn's for events
    responded: str | None  # the Value that says whether a unit counts
    events: bool


@dataclass(frozen=True, slots=True)
class MetricPlan:
    """How a metric is read from the moments."""

    name: str
    metric: Metric
    role: Role
    target: Target
    block: str
    columns: tuple[str, ...]  # of the outcome
    size: str | None  # counts a cluster's units where the mean is one over units
    covariates: tuple[str, ...]
    covariate_words: Mapping[str, str]  # what the analyst calls them
    caps: tuple[PartCap, ...]  # of the parts that have one
    uncapped: tuple[str, ...]  # the outcome's columns before any cap; empty where there is none
    residual: str | None = None  # of a ratio: its numerator less the part that goes with its denominator
    uncapped_residual: str | None = None
    responded: str | None = None  # 1 where a unit has a value, of a metric that leaves out the others
    steps: tuple[tuple[str, str], ...] = ()  # of a funnel: name and column
    quantile: QuantilePlan | None = None
    diluted: tuple[str, str, tuple[str, ...]] | None = None  # with a trigger: block, size and columns over all exposed
    novelty: tuple[str, int] | None = None  # the column of values weighed by centred days, and the window's days
    read_caps: tuple[Cap | None, ...] = ()  # as declared: of the parts, then of metrics that it is adjusted by
    before: tuple[str, ...] = ()  # of the pre-period check: the outcome's columns over the time before exposure


@dataclass(frozen=True, slots=True)
class Dropped:
    """A metric that the engine refused: it keeps its place in the readout, with the engine's reason."""

    metric: Metric
    role: Role
    reason: str


@dataclass(frozen=True, slots=True)
class Epoch:
    """A part of a ramp in which the shares stood still."""

    start: int
    shares: Mapping[str, Fraction]


@dataclass(frozen=True, slots=True)
class Offset:
    """The local time zone's distance from UTC from an instant on, both in microseconds."""

    start: int
    distance: int


@dataclass(frozen=True, slots=True)
class State:
    """What is kept of every unit from one day to the next, in tables of a schema that are named `name` and an ending.

    `columns` are the unit columns that are read from there; all others are made of the facts anew.
    """

    schema: str
    name: str
    columns: frozenset[str]
    sources: tuple[str, ...]  # those with such columns: `values_1` holds those of the first


@dataclass(frozen=True, slots=True)
class Plan:
    """One experiment at one instant. Instants are microseconds since 1970-01-01 UTC."""

    experiment: str
    as_of: datetime
    start: int
    enrolment_end: int  # min(end, as-of)
    end: int
    unit: str
    cluster: str | None  # the entity that was randomised, where it is not the unit
    per_cluster: bool  # every cluster counts the same, whatever its size
    arms: tuple[ArmPlan, ...]  # the baseline first
    mixed: str
    exposure_source: str
    experiment_key: str
    exposure_filter: tuple[str, ...]
    trigger: TriggerPlan | None
    epochs: tuple[Epoch, ...]  # empty without a ramp
    entry_columns: tuple[EntryColumn, ...]
    unit_columns: tuple[UnitColumn, ...]
    funnels: tuple[FunnelColumns, ...]
    population: tuple[Condition, ...]
    dimensions: tuple[Dimension, ...]
    percentiles: tuple[Percentile, ...]
    blocks: tuple[Block, ...]
    metrics: tuple[MetricPlan, ...]
    dropped: Mapping[str, Dropped]  # metrics that the engine refused
    offsets: tuple[Offset, ...]  # of the project's time zone over the time that rows can have
    daily: bool
    sources: Mapping[str, Source]  # those used, by name
    fingerprint: str
    state: State | None = None
    sample: Fraction | None = None  # the share of units that are read, always the same ones; None: all
    open_until: int | None = None  # as-of is known when the SQL runs only, and then before this; None: it is `as_of`

    @property
    def as_of_us(self) -> int:
        """As-of in microseconds."""
        return microseconds(self.as_of) if self.open_until is None else open_as_of(self.as_of)

    def block(self, name: str) -> Block:
        """The block of that name."""
        return next(block for block in self.blocks if block.name == name)

    @property
    def counted_in_place(self) -> tuple[QuantilePlan, ...]:
        """Quantiles of events whose units are known from their exposure alone.

        Their rows are ranked before rows become values per unit, and counted in the same aggregation.
        """
        if self.population or self.trigger or self.breakdowns or self.cluster or len(self.epochs) > 1:
            return ()
        return tuple(m.quantile for m in self.metrics if m.quantile is not None and m.quantile.events)

    @property
    def strata(self) -> tuple[Dimension, ...]:
        """Dimensions that the overall estimate is stratified by."""
        return tuple(d for d in self.dimensions if d.stratum)

    @property
    def breakdowns(self) -> tuple[Dimension, ...]:
        """Dimensions whose levels have estimates of their own."""
        return tuple(d for d in self.dimensions if d.breakdown)


def open_as_of(moment: datetime) -> OpenInstant:
    """An as-of that is left open; `moment` is one that it can be."""
    return OpenInstant(microseconds(moment), 0, None)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exactly."""
    delta = moment - datetime(1970, 1, 1, tzinfo=moment.tzinfo)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
