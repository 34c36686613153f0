"""What a metricdef project means, computed by brute force: row by row, in exact arithmetic.

Written from design/semantics.md and design/grammar.md alone and sharing no code with the package, so that a
disagreement with the compiled SQL is a finding about one of the two. `analyse(case)` is the entry point. Sections
named in the docstrings are those of semantics.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from .expressions import evaluate, holds

Unit = Hashable
Definition = dict[str, Any]


class OutOfScopeError(Exception):
    """The definitions use something this oracle doesn't implement."""


# --- input ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Table:
    columns: dict[str, str]  # name -> text | integer | double | timestamp | boolean
    rows: list[dict[str, Any]]  # a column left out of a row is NULL


@dataclass(frozen=True)
class Case:
    definitions: dict[str, dict[str, Any]]  # file name -> plain data
    experiment: str
    tables: dict[str, Table]
    as_of: datetime  # naive UTC
    options: frozenset[str] = frozenset()  # labels of what the case exercises


# --- output -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class MetricMoments:
    """Moments of one metric over one block of units; every array follows `columns`. All zero when n is 0."""

    n: int
    columns: list[str]
    mean: NDArray[np.float64]
    comoment: NDArray[np.float64]  # Σ (y - ȳ)(y - ȳ)'
    third: NDArray[np.float64]  # Σ (y - ȳ)³
    max_abs: NDArray[np.float64]
    nonzero: NDArray[np.int64]
    capped: NDArray[np.int64]  # units whose value the cap changed


@dataclass(frozen=True)
class UnitRecord:
    unit: Unit
    first_exposure: datetime
    arm: str
    mixed: bool
    in_population: bool
    at_exposure: dict[str, Any]  # column values at first exposure


@dataclass(frozen=True)
class Result:
    assigned: dict[str, int]  # by arm of first exposure: mixed units included, before the population
    mixed: dict[str, int]  # mixed units by first arm, before the population
    analysed: dict[str, int]  # not mixed, in the population
    excluded: dict[str, int]
    metrics: dict[str, dict[tuple[str, bool], MetricMoments]]  # metric -> (arm, mixed) -> moments
    units: dict[Unit, UnitRecord]
    values: dict[str, dict[Unit, dict[str, Fraction]]]  # metric -> eligible unit in the population -> column -> value


# --- reading definitions ----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Window:
    """[t0 + begin, t0 + end); end None: until min(end of the experiment, as-of)."""

    begin: timedelta
    end: timedelta | None


@dataclass(frozen=True)
class Part:
    """One per-unit value: a mean or proportion metric, or one side of a ratio."""

    source: str
    agg: str  # sum, count, min, max, count_distinct, any_row
    measure: str | None
    filters: list[str]
    lower: Fraction | None
    upper: Fraction | None
    window: Window


@dataclass(frozen=True)
class Covariates:
    lookback: timedelta
    extra: list[str]


def parse_duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d+)([mhdw])", text)
    if match is None:
        raise OutOfScopeError(f"duration {text!r}")
    unit = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(hours=24), "w": timedelta(days=7)}
    return int(match[1]) * unit[match[2]]


def parse_window(text: str) -> Window:
    if text == "experiment":
        return Window(timedelta(0), None)
    begin, dots, end = text.partition("..")
    if dots:
        return Window(parse_duration(begin), parse_duration(end))
    return Window(timedelta(0), parse_duration(text))


def parse_instant(value: date | datetime | str, timezone: str) -> datetime:
    """Naive UTC. A date is its midnight in the project's zone; a timestamp without zone is UTC."""
    if isinstance(value, str):
        value = date.fromisoformat(value) if len(value) == len("YYYY-MM-DD") else datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=ZoneInfo(timezone))
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def only_keys(what: str, definition: Definition, known: str) -> None:
    strange = set(definition) - set(known.split())
    if strange:
        raise OutOfScopeError(f"{what}: {sorted(strange)}")


METRIC_KEYS = (
    "type source agg measure filter missing window immature cap covariates numerator denominator "
    "direction description label owner tags format"
)
SOURCE_KEYS = (
    "kind table timestamp entities filter settles_after measures dimensions experiment arm loaded_at description"
)


# --- the oracle -------------------------------------------------------------------------------------------------------
class Oracle:
    def __init__(self, case: Case) -> None:
        self.tables = case.tables
        self.as_of = case.as_of
        self.sources: dict[str, Definition] = {}
        self.segments: dict[str, Definition] = {}
        self.metrics: dict[str, Definition] = {}
        self.metric_sets: dict[str, Definition] = {}
        experiments: dict[str, Definition] = {}
        defaults: Definition = {}
        for content in case.definitions.values():
            self.sources.update(content.get("sources") or {})
            self.segments.update(content.get("segments") or {})
            self.metrics.update(content.get("metrics") or {})
            self.metric_sets.update(content.get("metric_sets") or {})
            experiments.update(content.get("experiments") or {})
            if "version" in content:
                defaults = content.get("defaults") or {}
        for name, source in self.sources.items():
            only_keys(f"source {name}", source, SOURCE_KEYS)
        for name, metric in self.metrics.items():
            only_keys(f"metric {name}", metric, METRIC_KEYS)

        self.name = case.experiment
        self.experiment = experiments[case.experiment]
        self.defaults = defaults
        timezone = defaults.get("timezone", "UTC")
        self.start = parse_instant(self.experiment["start"], timezone)
        self.end = parse_instant(self.experiment["end"], timezone)
        self.entity: str = self.experiment.get("unit") or defaults["unit"]
        arms: dict[str, Definition | None] = self.experiment["arms"]
        self.arm_of_key = {(arm or {}).get("key", name): name for name, arm in arms.items()}
        self.arms = list(arms)
        self._events: dict[str, dict[Unit, list[tuple[datetime, dict[str, Any]]]]] = {}
        self._attributes: dict[str, dict[Unit, dict[str, Any]]] = {}

    # --- rows ---------------------------------------------------------------------------------------------------------
    def rows(self, source: Definition) -> list[dict[str, Any]]:
        """The source's rows with every column, its named dimensions added, that pass its filter."""
        table = self.tables[source["table"]]
        kept = []
        for given in table.rows:
            row = {column: given.get(column) for column in table.columns}
            dimensions = source.get("dimensions") or []
            if isinstance(dimensions, dict):
                row |= {name: evaluate(sql, row) for name, sql in dimensions.items()}
            if holds(as_list(source.get("filter")), row):
                kept.append(row)
        return kept

    def is_loaded(self, source: Definition, row: dict[str, Any]) -> bool:
        """Section 1: where the source declares loaded_at, that is < as-of too; NULL is not."""
        if "loaded_at" not in source:
            return True
        loaded = row[source["loaded_at"]]
        return loaded is not None and loaded < self.as_of

    def events(self, name: str) -> dict[Unit, list[tuple[datetime, dict[str, Any]]]]:
        """The rows of an events source that count at all, by unit."""
        if name not in self._events:
            source = self.sources[name]
            if source.get("kind", "events") != "events":
                raise OutOfScopeError(f"metric on {name}, which isn't an events source")
            by_unit: dict[Unit, list[tuple[datetime, dict[str, Any]]]] = {}
            for row in self.rows(source):
                unit, time = row[source["entities"][self.entity]], row[source["timestamp"]]
                if unit is None or time is None or time >= self.as_of or not self.is_loaded(source, row):
                    continue
                by_unit.setdefault(unit, []).append((time, row))
            self._events[name] = by_unit
        return self._events[name]

    def attributes(self, name: str) -> dict[Unit, dict[str, Any]]:
        """The current row of each unit in an attributes source."""
        if name not in self._attributes:
            source = self.sources[name]
            by_unit: dict[Unit, dict[str, Any]] = {}
            for row in self.rows(source):
                unit = row[source["entities"][self.entity]]
                if unit is None or not self.is_loaded(source, row):
                    continue
                if unit in by_unit:
                    raise OutOfScopeError(f"two rows for unit {unit!r} in {name}")
                by_unit[unit] = row
            self._attributes[name] = by_unit
        return self._attributes[name]

    # --- exposure (section 2) -----------------------------------------------------------------------------------------
    def exposed_units(self) -> tuple[dict[Unit, UnitRecord], dict[str, int]]:
        exposure = self.experiment["exposure"]
        only_keys("exposure", exposure, "source key filter")
        source = self.sources[exposure["source"]]
        key = exposure.get("key", self.name)
        kinds = "null_unit null_time before_start on_or_after_end after_as_of not_loaded unknown_arm outside_population"
        excluded = dict.fromkeys(kinds.split(), 0)

        by_unit: dict[Unit, list[tuple[datetime, str, dict[str, Any]]]] = {}
        for row in self.rows(source):
            if row[source["experiment"]] != key or not holds(as_list(exposure.get("filter")), row):
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
            elif not self.is_loaded(source, row):
                reason = "not_loaded"
            elif arm_key not in self.arm_of_key:  # NULL too
                reason = "unknown_arm"
            if reason is not None:
                excluded[reason] += 1
                continue
            by_unit.setdefault(unit, []).append((time, arm_key, row))

        units: dict[Unit, UnitRecord] = {}
        for unit, exposures in by_unit.items():
            first = min(time for time, _, _ in exposures)
            first_key = min(arm_key for time, arm_key, _ in exposures if time == first)
            tied = [row for time, arm_key, row in exposures if time == first and arm_key == first_key]
            at_exposure = {}
            for column in tied[0]:
                stated = [row[column] for row in tied if row[column] is not None]
                at_exposure[column] = min(stated) if stated else None
            mixed = len({arm_key for _, arm_key, _ in exposures}) > 1
            inside = self.in_population(unit, at_exposure)
            units[unit] = UnitRecord(unit, first, self.arm_of_key[first_key], mixed, inside, at_exposure)
            if not mixed and not inside:
                excluded["outside_population"] += 1
        return units, excluded

    def in_population(self, unit: Unit, at_exposure: dict[str, Any]) -> bool:
        """In every segment. A unit without a row in an attributes source is in none of its segments."""
        for name in as_list(self.experiment.get("population")):
            segment = self.segments[name]
            kind = self.sources[segment["source"]].get("kind", "events")
            if kind == "exposures" and segment["source"] == self.experiment["exposure"]["source"]:
                row: dict[str, Any] | None = at_exposure
            elif kind == "attributes":
                row = self.attributes(segment["source"]).get(unit)
            else:
                raise OutOfScopeError(f"segment {name} on {segment['source']}")
            if row is None or not holds(as_list(segment["filter"]), row):
                return False
        return True

    # --- the per-unit value (section 3) -------------------------------------------------------------------------------
    def part(self, definition: Definition, replaced_window: str | None = None) -> Part:
        """A mean or proportion metric, or the inline side of a ratio."""
        kind = definition.get("type", "mean")
        if kind not in ("mean", "proportion"):
            raise OutOfScopeError(f"type {kind}")
        if definition.get("missing", "zero") != "zero":
            raise OutOfScopeError("missing: exclude")
        agg = definition["agg"] if kind == "mean" else "any_row"
        if agg not in ("sum", "count", "min", "max", "count_distinct", "any_row"):
            raise OutOfScopeError(f"agg {agg}")
        if agg in ("min", "max") and "missing" not in definition:
            raise OutOfScopeError("min and max must state missing")
        if kind == "proportion" and "cap" in definition:
            raise OutOfScopeError("cap on a proportion")
        cap = definition.get("cap") or {}
        only_keys("cap", cap, "lower upper")
        bounds = [cap.get("lower"), cap.get("upper")]
        if any(isinstance(bound, str) for bound in bounds):
            raise OutOfScopeError("percentile cap")
        lower, upper = (None if bound is None else Fraction(bound) for bound in bounds)
        source = self.sources[definition["source"]]
        measure = None
        if agg not in ("count", "any_row"):
            measure = source["measures"][definition["measure"]]
        window = replaced_window or definition.get("window") or self.defaults.get("window") or "experiment"
        return Part(
            definition["source"], agg, measure, as_list(definition.get("filter")), lower, upper, parse_window(window)
        )

    def parts(self, metric: Definition) -> dict[str, Part]:
        """Column -> part: y, and d for a ratio."""
        if metric["type"] != "ratio":
            return {"y": self.part(metric)}
        only_keys("ratio", metric, "type numerator denominator window immature covariates direction format description")
        sides = {}
        for column, side in (("y", metric["numerator"]), ("d", metric["denominator"])):
            definition = self.metrics[side] if isinstance(side, str) else side
            part = self.part(definition, metric.get("window"))
            if part.agg not in ("sum", "count", "count_distinct", "any_row"):
                raise OutOfScopeError(f"a ratio of {part.agg}")
            sides[column] = part
        return sides

    def value(self, part: Part, unit: Unit, begin: datetime, end: datetime) -> tuple[Fraction, bool]:
        """The unit's value over [begin, end) after the cap, and whether the cap changed it."""
        rows = [
            row
            for time, row in self.events(part.source).get(unit, [])
            if begin <= time < end and holds(part.filters, row)
        ]
        if part.agg == "any_row":
            raw = Fraction(1 if rows else 0)
        elif part.agg == "count":
            raw = Fraction(len(rows))
        else:
            assert part.measure is not None
            measured = [evaluate(part.measure, row) for row in rows]
            stated = [value for value in measured if value is not None]
            if part.agg == "count_distinct":
                raw = Fraction(len(set(stated)))
            elif not stated:
                raw = Fraction(0)
            elif part.agg == "sum":
                raw = sum((Fraction(value) for value in stated), Fraction(0))
            else:
                raw = Fraction(min(stated) if part.agg == "min" else max(stated))
        capped = raw
        if part.lower is not None:
            capped = max(capped, part.lower)
        if part.upper is not None:
            capped = min(capped, part.upper)
        return capped, capped != raw

    def is_eligible(self, metric: Definition, parts: dict[str, Part], first: datetime) -> bool:
        """Section 1, maturity. A ratio needs both parts mature, with the longest settles_after of the two."""
        if (metric.get("immature") or self.defaults.get("immature") or "exclude") == "include":
            return True
        settles = max(parse_duration(self.sources[part.source].get("settles_after", "0d")) for part in parts.values())
        return all(
            part.window.end is None or first + part.window.end + settles <= self.as_of for part in parts.values()
        )

    def covariates(self, metric: Definition) -> Covariates | None:
        """Metric beats experiment beats project; the nearest setting replaces the others whole."""
        analysis = self.experiment.get("analysis") or {}
        only_keys("analysis", analysis, "covariates confidence multiplicity")
        for holder in (metric, analysis, self.defaults):
            if holder.get("covariates") is not None:
                setting = holder["covariates"]
                if setting is False or setting == "off":  # YAML 1.1 reads a bare `off` as False
                    return None
                only_keys("covariates", setting, "lookback extra")
                return Covariates(parse_duration(setting["lookback"]), list(dict.fromkeys(setting.get("extra") or [])))
        return None

    def columns(self, name: str) -> dict[str, Callable[[UnitRecord], tuple[Fraction, bool]]]:
        """Every column of a metric, in order: name -> function(unit) -> (value, changed by the cap)."""
        metric = self.metrics[name]
        columns: dict[str, Callable[[UnitRecord], tuple[Fraction, bool]]] = {}

        def outcome(part: Part) -> Callable[[UnitRecord], tuple[Fraction, bool]]:
            def over_window(record: UnitRecord) -> tuple[Fraction, bool]:
                begin = record.first_exposure + part.window.begin
                until = part.window.end
                end = min(self.end, self.as_of) if until is None else record.first_exposure + until
                return self.value(part, record.unit, begin, end)

            return over_window

        def before(part: Part, lookback: timedelta) -> Callable[[UnitRecord], tuple[Fraction, bool]]:
            def over_lookback(record: UnitRecord) -> tuple[Fraction, bool]:
                return self.value(part, record.unit, record.first_exposure - lookback, record.first_exposure)

            return over_lookback

        def attribute(dotted: str) -> Callable[[UnitRecord], tuple[Fraction, bool]]:
            return lambda record: (self.dimension(dotted, record) or Fraction(0), False)

        def indicator(dotted: str) -> Callable[[UnitRecord], tuple[Fraction, bool]]:
            return lambda record: (Fraction(self.dimension(dotted, record) is None), False)

        parts = self.parts(metric)
        for column, part in parts.items():
            columns[column] = outcome(part)
        covariates = self.covariates(metric)
        if covariates is None:
            return columns
        if covariates.lookback > timedelta(0):
            for column, part in parts.items():
                columns[f"{column}@pre"] = before(part, covariates.lookback)
        for extra in covariates.extra:
            if "." in extra:
                columns[extra] = attribute(extra)
                columns[f"{extra}@missing"] = indicator(extra)
            elif covariates.lookback == timedelta(0):
                raise OutOfScopeError("a metric as extra covariate with lookback 0d")
            elif extra != name and self.metrics[extra]["type"] != "ratio":
                columns[f"{extra}@pre"] = before(self.part(self.metrics[extra]), covariates.lookback)
        return columns

    def dimension(self, dotted: str, record: UnitRecord) -> Fraction | None:
        """A numeric dimension of an attributes source (current row) or of the exposures (at first exposure)."""
        source, _, dimension = dotted.partition(".")
        if source == self.experiment["exposure"]["source"]:
            row: dict[str, Any] = record.at_exposure
        elif self.sources[source].get("kind") == "attributes":
            row = self.attributes(source).get(record.unit, {dimension: None})
        else:
            raise OutOfScopeError(f"covariate {dotted}")
        return None if row[dimension] is None else Fraction(row[dimension])

    # --- everything ---------------------------------------------------------------------------------------------------
    def analysed_metrics(self) -> list[str]:
        roles = ("primary", "secondary", "guardrail")
        listed = self.experiment["metrics"]
        only_keys("metrics", listed, "primary secondary guardrail sets")
        holders = [listed, *(self.metric_sets[name] for name in listed.get("sets") or [])]
        return list(dict.fromkeys(name for holder in holders for role in roles for name in holder.get(role) or {}))

    def analyse(self) -> Result:
        units, excluded = self.exposed_units()
        records = list(units.values())
        metrics: dict[str, dict[tuple[str, bool], MetricMoments]] = {}
        values: dict[str, dict[Unit, dict[str, Fraction]]] = {}
        for name in self.analysed_metrics():
            columns = self.columns(name)
            parts = self.parts(self.metrics[name])
            eligible = [
                record
                for record in records
                if record.in_population and self.is_eligible(self.metrics[name], parts, record.first_exposure)
            ]
            computed = {
                record.unit: {column: compute(record) for column, compute in columns.items()} for record in eligible
            }
            metrics[name] = {
                (arm, mixed): moments(
                    list(columns),
                    [computed[record.unit] for record in eligible if record.arm == arm and record.mixed == mixed],
                )
                for arm in self.arms
                for mixed in (False, True)
            }
            values[name] = {
                unit: {column: value for column, (value, _) in row.items()} for unit, row in computed.items()
            }

        def count(keep: Callable[[UnitRecord], bool]) -> dict[str, int]:
            return {arm: sum(1 for record in records if record.arm == arm and keep(record)) for arm in self.arms}

        return Result(
            assigned=count(lambda record: True),
            mixed=count(lambda record: record.mixed),
            analysed=count(lambda record: not record.mixed and record.in_population),
            excluded=excluded,
            metrics=metrics,
            units=units,
            values=values,
        )


def moments(columns: list[str], block: list[dict[str, tuple[Fraction, bool]]]) -> MetricMoments:
    """Exact until the last step, so an offset of 1e9 costs no digit."""
    n, k = len(block), len(columns)
    mean = [Fraction(0)] * k
    deviations: list[list[Fraction]] = [[] for _ in columns]
    for i, column in enumerate(columns):
        values = [unit[column][0] for unit in block]
        mean[i] = sum(values, Fraction(0)) / n if n else Fraction(0)
        deviations[i] = [value - mean[i] for value in values]
    comoment = np.zeros((k, k))
    for i in range(k):
        for j in range(i, k):
            exact = sum((a * b for a, b in zip(deviations[i], deviations[j], strict=True)), Fraction(0))
            comoment[i, j] = comoment[j, i] = float(exact)
    return MetricMoments(
        n=n,
        columns=columns,
        mean=np.array([float(value) for value in mean], dtype=np.float64),
        comoment=comoment,
        third=np.array([float(sum((d**3 for d in row), Fraction(0))) for row in deviations], dtype=np.float64),
        max_abs=np.array([float(max((abs(u[c][0]) for u in block), default=0)) for c in columns], dtype=np.float64),
        nonzero=np.array([sum(1 for u in block if u[c][0] != 0) for c in columns], dtype=np.int64),
        capped=np.array([sum(1 for u in block if u[c][1]) for c in columns], dtype=np.int64),
    )


def analyse(case: Case) -> Result:
    return Oracle(case).analyse()
