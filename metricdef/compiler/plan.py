"""What one experiment needs from the warehouse: which rows, per-unit values and moments. No SQL text, no dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from metricdef.definitions.models import Role, Source, Target
from metricdef.metrics import Metric
from metricdef.metrics.base import PartAgg


@dataclass(frozen=True, slots=True)
class ArmPlan:
    """One arm. `code` numbers arms by key order, so that the smallest code is the smallest key."""

    name: str
    key: str
    code: int
    share: Fraction


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a row counts, in microseconds: offsets from the unit's first exposure, and fixed instants."""

    start: int
    end: int | None = None
    floor: int | None = None
    ceiling: int | None = None


@dataclass(frozen=True, slots=True)
class UnitColumn:
    """One conditional aggregate per unit."""

    name: str
    source: str
    agg: PartAgg
    measure: str | None
    filter: tuple[str, ...]
    bounds: Bounds


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
class Value:
    """One column of the moments: a unit or entry column, zero-filled and capped. `missing`: 1 where it is absent."""

    name: str
    column: str
    lower: float | None = None
    upper: float | None = None
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """Values over the same eligible units: those whose first exposure lies `horizon` microseconds before as-of."""

    name: str
    horizon: int | None
    values: tuple[Value, ...]
    products: tuple[tuple[int, int], ...]  # positions of values whose product is summed, the smaller first


@dataclass(frozen=True, slots=True)
class PartCap:
    """Limits of one part of a metric: its value, or a ratio's numerator or denominator."""

    part: str
    column: str
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class MetricPlan:
    """How a metric is read from the moments."""

    name: str
    metric: Metric
    role: Role
    target: Target
    block: str
    columns: tuple[str, ...]
    covariates: tuple[str, ...]
    covariate_words: Mapping[str, str]  # what the analyst calls them
    caps: tuple[PartCap, ...]  # of the parts that have one
    uncapped: tuple[str, ...]  # the columns before any cap; empty where there is none


@dataclass(frozen=True, slots=True)
class Plan:
    """One experiment at one instant. Instants are microseconds since 1970-01-01 UTC."""

    experiment: str
    as_of: datetime
    start: int
    enrolment_end: int  # min(end, as-of)
    end: int
    unit: str
    arms: tuple[ArmPlan, ...]  # the baseline first
    exposure_source: str
    experiment_key: str
    exposure_filter: tuple[str, ...]
    entry_columns: tuple[EntryColumn, ...]
    unit_columns: tuple[UnitColumn, ...]
    population: tuple[Condition, ...]
    blocks: tuple[Block, ...]
    metrics: tuple[MetricPlan, ...]
    sources: Mapping[str, Source]  # those used, by name
    fingerprint: str

    @property
    def as_of_us(self) -> int:
        """As-of in microseconds."""
        return microseconds(self.as_of)

    def block(self, name: str) -> Block:
        """The block of that name."""
        return next(block for block in self.blocks if block.name == name)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exactly."""
    delta = moment - datetime(1970, 1, 1, tzinfo=moment.tzinfo)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
