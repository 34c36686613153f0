"""Which rows count and which units are analysed: sources, exposure, arms, clusters, population, trigger (section 2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any

from .expressions import evaluate, holds
from .reading import (
    Case,
    Definition,
    OutOfScopeError,
    Unit,
    as_list,
    as_text,
    only_keys,
    parse_duration,
    parse_instant,
    smallest,
    to_utc,
)
from .results import ClusterRecord, UnitRecord

Row = dict[str, Any]
ALWAYS = datetime.min
NEVER = datetime.max

SOURCE_KEYS = (
    "kind table timestamp entities filter settles_after measures dimensions experiment arm loaded_at description "
    "timezone valid_from valid_to grain expect"
)
EXPERIMENT_KEYS = (
    "label owners status hypothesis unit exposure population arms baseline start end metrics analysis ramp cluster "
    "cluster_effect"
)
REASONS = (
    "null_unit null_time before_start on_or_after_end after_as_of not_loaded unknown_arm null_cluster "
    "outside_population untriggered"
)


@dataclass
class Assignment:
    """What a unit's exposure rows say, before anything else is known about it."""

    first: datetime
    arm_key: str
    arm_keys: set[str]  # of all its rows that count
    at_exposure: Row
    exposures: int  # rows that count
    cluster: Any = None


@dataclass
class Exposed:
    units: dict[Unit, UnitRecord] = field(default_factory=dict)
    clusters: dict[Any, ClusterRecord] = field(default_factory=dict)
    excluded: dict[str, int] = field(default_factory=dict)


class Sources:
    """The definitions and the rows behind them."""

    def __init__(self, case: Case) -> None:
        self.tables = case.tables
        self.as_of = case.as_of
        self.sources: dict[str, Definition] = {}
        self.segments: dict[str, Definition] = {}
        self.metrics: dict[str, Definition] = {}
        self.metric_sets: dict[str, Definition] = {}
        experiments: dict[str, Definition] = {}
        self.defaults: Definition = {}
        for content in case.definitions.values():
            self.sources.update(content.get("sources") or {})
            self.segments.update(content.get("segments") or {})
            self.metrics.update(content.get("metrics") or {})
            self.metric_sets.update(content.get("metric_sets") or {})
            experiments.update(content.get("experiments") or {})
            if "version" in content:
                self.defaults = content.get("defaults") or {}
        for name, source in self.sources.items():
            only_keys(f"source {name}", source, SOURCE_KEYS)
        self.name = case.experiment
        self.experiment = experiments[case.experiment]
        only_keys("experiment", self.experiment, EXPERIMENT_KEYS)
        self.analysis: Definition = self.experiment.get("analysis") or {}
        only_keys("analysis", self.analysis, "covariates confidence multiplicity strata breakdowns")
        self.timezone: str = self.defaults.get("timezone", "UTC")
        self.start = parse_instant(self.experiment["start"], self.timezone)
        self.end = parse_instant(self.experiment["end"], self.timezone)
        self.entity: str = self.experiment.get("unit") or self.defaults["unit"]
        self.cluster: str | None = self.experiment.get("cluster")
        arms: dict[str, Definition | None] = self.experiment["arms"]
        self.arm_of_key = {(arm or {}).get("key", name): name for name, arm in arms.items()}
        self.arms = list(arms)
        self._rows: dict[str, list[Row]] = {}
        self._events: dict[str, dict[Unit, list[tuple[datetime, datetime, Row]]]] = {}
        self._attributes: dict[str, dict[Unit, list[Row]]] = {}

    def rows(self, name: str) -> list[Row]:
        """The source's rows with every column, times in UTC, its named dimensions added, that pass its filter."""
        if name not in self._rows:
            source = self.sources[name]
            table = self.tables[source["table"]]
            zone: Any = source.get("timezone")
            times = [column for column, kind in table.columns.items() if kind == "timestamp"] if zone else []
            dimensions = source.get("dimensions") or []
            named = dimensions if isinstance(dimensions, dict) else {}
            filters = as_list(source.get("filter"))
            kept = []
            for given in table.rows:
                row = {column: given.get(column) for column in table.columns}
                for column in times:
                    if row[column] is not None:
                        row[column] = to_utc(row[column], zone)
                if named:
                    row |= {dimension: evaluate(sql, row) for dimension, sql in named.items()}
                if holds(filters, row):
                    kept.append(row)
            self._rows[name] = kept
        return self._rows[name]

    def loaded(self, source: Definition, row: Row) -> datetime:
        """Section 1: where the source declares loaded_at, a row counts once that is past; NULL never is."""
        if "loaded_at" not in source:
            return ALWAYS
        return NEVER if row[source["loaded_at"]] is None else row[source["loaded_at"]]

    def kind(self, name: str) -> str:
        kind: str = self.sources[name].get("kind", "events")
        return kind

    def events(self, name: str) -> dict[Unit, list[tuple[datetime, datetime, Row]]]:
        """By unit, the rows of an events source that count at all: time, when loaded, row."""
        if name not in self._events:
            source = self.sources[name]
            if self.kind(name) != "events":
                raise OutOfScopeError(f"metric on {name}, which isn't an events source")
            by_unit: dict[Unit, list[tuple[datetime, datetime, Row]]] = {}
            for row in self.rows(name):
                unit, time = row[source["entities"][self.entity]], row[source["timestamp"]]
                loaded = self.loaded(source, row)
                if unit is None or time is None or time >= self.as_of or loaded >= self.as_of:
                    continue
                by_unit.setdefault(unit, []).append((time, loaded, row))
            self._events[name] = by_unit
        return self._events[name]

    def attributes(self, name: str) -> dict[Unit, list[Row]]:
        """By unit, the rows of an attributes source that are loaded."""
        if name not in self._attributes:
            source = self.sources[name]
            if "valid_to" in source and "valid_from" not in source:
                raise OutOfScopeError("valid_to without valid_from")
            by_unit: dict[Unit, list[Row]] = {}
            for row in self.rows(name):
                unit = row[source["entities"][self.entity]]
                if unit is not None and self.loaded(source, row) < self.as_of:
                    by_unit.setdefault(unit, []).append(row)
            if "valid_from" not in source and any(len(rows) > 1 for rows in by_unit.values()):
                raise OutOfScopeError(f"two current rows for a unit in {name}")
            self._attributes[name] = by_unit
        return self._attributes[name]

    def attribute_row(self, name: str, unit: Unit, at: datetime) -> Row | None:
        """The current row, or the one valid at `at`: the latest valid_from; of several, each column's smallest value."""
        source = self.sources[name]
        rows = self.attributes(name).get(unit, [])
        if "valid_from" in source:
            valid = []
            for row in rows:
                begin = row[source["valid_from"]] or ALWAYS
                until = row[source["valid_to"]] if "valid_to" in source else None
                if begin <= at < (until or NEVER):
                    valid.append((begin, row))
            latest = max((begin for begin, _ in valid), default=None)
            rows = [row for begin, row in valid if begin == latest]
        if not rows:
            return None
        return {column: smallest(row[column] for row in rows) for column in rows[0]}


class Exposure(Sources):
    """Adds the units."""

    # --- dimensions ---------------------------------------------------------------------------------------------------
    def find_dimension(self, name: str) -> tuple[str, str]:
        """Source and dimension of `dimension` or `source.dimension`."""
        source, dot, dimension = name.partition(".")
        if dot:
            return source, dimension
        own = self.experiment["exposure"]["source"]
        candidates = [own, *(other for other in self.sources if self.kind(other) == "attributes")]
        found = [other for other in candidates if name in (self.sources[other].get("dimensions") or [])]
        if len(found) != 1:
            raise OutOfScopeError(f"dimension {name} in {found}")
        return found[0], name

    def at_exposure(self, name: str, unit: Unit, first: datetime, row: Row) -> Any:
        """A dimension's value at first exposure: of the exposure source, or of the attributes row valid then."""
        source, dimension = self.find_dimension(name)
        if source == self.experiment["exposure"]["source"]:
            return row[dimension]
        if self.kind(source) != "attributes":
            raise OutOfScopeError(f"dimension {name}")
        valid = self.attribute_row(source, unit, first)
        return None if valid is None else valid[dimension]

    def dimension(self, dotted: str, record: UnitRecord) -> Fraction | None:
        """A numeric dimension as a covariate."""
        value = self.at_exposure(dotted, record.unit, record.first_exposure, record.at_exposure)
        return None if value is None else Fraction(value)

    # --- from rows to units -------------------------------------------------------------------------------------------
    def assignments(self, excluded: dict[str, int]) -> dict[Unit, Assignment]:
        """Order of section 2: exposure filter, dates and as-of, arm known, first exposure; each dropped row counted."""
        exposure = self.experiment["exposure"]
        only_keys("exposure", exposure, "source key filter trigger mixed assignment")
        source = self.sources[exposure["source"]]
        key = exposure.get("key", self.name)
        filters = as_list(exposure.get("filter"))
        by_unit: dict[Unit, list[tuple[datetime, str, Row]]] = {}
        for row in self.rows(exposure["source"]):
            if row[source["experiment"]] != key or not holds(filters, row):
                continue
            unit, time = row[source["entities"][self.entity]], row[source["timestamp"]]
            arm_key = row[source["arm"]]
            reason = None
            if unit is None:
                reason = "null_unit"
            elif time is None:
                reason = "null_time"
            elif time < self.start:
                reason = "before_start"
            elif time >= self.end:
                reason = "on_or_after_end"
            elif time >= self.as_of:
                reason = "after_as_of"
            elif self.loaded(source, row) >= self.as_of:
                reason = "not_loaded"
            elif arm_key not in self.arm_of_key:  # NULL too
                reason = "unknown_arm"
            if reason is not None:
                excluded[reason] += 1
                continue
            by_unit.setdefault(unit, []).append((time, arm_key, row))

        found: dict[Unit, Assignment] = {}
        for unit, exposures in by_unit.items():
            first, arm_key = min((time, arm_key) for time, arm_key, _ in exposures)
            tied = [row for time, other, row in exposures if (time, other) == (first, arm_key)]
            row = {column: smallest(row[column] for row in tied) for column in tied[0]}
            found[unit] = Assignment(first, arm_key, {arm_key for _, arm_key, _ in exposures}, row, len(exposures))
        return found

    def exposed(self) -> Exposed:
        excluded = dict.fromkeys(REASONS.split(), 0)
        assignments = self.assignments(excluded)
        clusters: dict[Any, ClusterRecord] = {}
        if self.cluster is not None:
            column = self.sources[self.experiment["exposure"]["source"]]["entities"][self.cluster]
            for unit in list(assignments):
                assignments[unit].cluster = assignments[unit].at_exposure[column]
                if assignments[unit].cluster is None:
                    excluded["null_cluster"] += 1
                    del assignments[unit]
            clusters = self.cluster_records(assignments)
        units = {unit: self.unit_record(unit, assigned, clusters) for unit, assigned in assignments.items()}
        for record in units.values():
            if not record.mixed:
                excluded["outside_population"] += not record.in_population
                excluded["untriggered"] += record.in_population and not record.triggered
        return Exposed(units, clusters, excluded)

    def cluster_records(self, assignments: dict[Unit, Assignment]) -> dict[Any, ClusterRecord]:
        """A cluster's arm, epoch and strata are those of its earliest unit; it is mixed when its rows name two arms."""
        members: dict[Any, list[Unit]] = {}
        for unit, assigned in assignments.items():
            members.setdefault(assigned.cluster, []).append(unit)
        records = {}
        for cluster, units in members.items():
            first, arm_key = min((assignments[unit].first, assignments[unit].arm_key) for unit in units)
            earliest = [unit for unit in units if assignments[unit].first == first]
            strata = [self.strata(unit, assignments[unit]) for unit in earliest]
            records[cluster] = ClusterRecord(
                arm=self.arm_of_key[arm_key],
                mixed=len(set.union(*(assignments[unit].arm_keys for unit in units))) > 1,
                epoch=self.epoch(first),
                strata=tuple(smallest(levels) for levels in zip(*strata, strict=True)),
                units=tuple(units),
            )
        return records

    def unit_record(self, unit: Unit, assigned: Assignment, clusters: dict[Any, ClusterRecord]) -> UnitRecord:
        first, row = assigned.first, assigned.at_exposure
        anchor = self.anchor(unit, first)
        if self.cluster is None:
            arm, mixed = self.arm_of_key[assigned.arm_key], len(assigned.arm_keys) > 1
            epoch, strata = self.epoch(first), self.strata(unit, assigned)
        else:
            cluster = clusters[assigned.cluster]
            arm, mixed, epoch, strata = cluster.arm, cluster.mixed, cluster.epoch, cluster.strata
        return UnitRecord(
            unit=unit,
            first_exposure=first,
            arm=arm,
            mixed=mixed,
            in_population=self.in_population(unit, first, row),
            at_exposure=row,
            anchor=anchor,
            triggered=anchor is not None,
            epoch=epoch,
            strata=strata,
            breakdowns={
                name: as_text(self.at_exposure(name, unit, first, row))
                for name in as_list(self.analysis.get("breakdowns"))
            },
            cluster=assigned.cluster,
            exposures=assigned.exposures,
        )

    def strata(self, unit: Unit, assigned: Assignment) -> tuple[str | None, ...]:
        names = as_list(self.analysis.get("strata"))
        return tuple(as_text(self.at_exposure(name, unit, assigned.first, assigned.at_exposure)) for name in names)

    def epoch(self, first: datetime) -> int:
        """The last ramp step that has begun."""
        begins = [parse_instant(step["from"], self.timezone) for step in as_list(self.experiment.get("ramp"))]
        if begins and (begins != sorted(begins) or begins[0] > self.start):
            raise OutOfScopeError("a ramp that starts late or isn't in order")
        return max(sum(1 for begin in begins if begin <= first) - 1, 0)

    def trigger_times(self, unit: Unit) -> Iterable[datetime]:
        """Every row of the unit that the trigger names, whenever it was."""
        trigger = self.experiment["exposure"]["trigger"]
        only_keys("trigger", trigger, "source filter")
        filters = as_list(trigger.get("filter"))
        return [time for time, _, row in self.events(trigger["source"]).get(unit, []) if holds(filters, row)]

    def anchor(self, unit: Unit, first: datetime) -> datetime | None:
        """First exposure, or the first trigger row from then on and before min(end, as-of)."""
        if "trigger" not in self.experiment["exposure"]:
            return first
        until = min(self.end, self.as_of)
        return min((time for time in self.trigger_times(unit) if first <= time < until), default=None)

    def in_population(self, unit: Unit, first: datetime, at_exposure: Row) -> bool:
        """In every segment. A unit without a valid row in an attributes source is in none of its segments."""
        for name in as_list(self.experiment.get("population")):
            segment = self.segments[name]
            only_keys(f"segment {name}", segment, "source filter lookback description")
            source, filters = segment["source"], as_list(segment["filter"])
            kind = self.kind(source)
            if kind == "events":
                begin = first - parse_duration(segment["lookback"])
                rows = self.events(source).get(unit, [])
                inside = any(begin <= time < first and holds(filters, row) for time, _, row in rows)
            elif kind == "attributes":
                valid = self.attribute_row(source, unit, first)
                inside = valid is not None and holds(filters, valid)
            elif source == self.experiment["exposure"]["source"]:
                inside = holds(filters, at_exposure)
            else:
                raise OutOfScopeError(f"segment {name} on {source}")
            if not inside:
                return False
        return True
