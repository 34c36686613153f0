"""What a metricdef project means, computed by brute force: row by row, in exact arithmetic.

Written from the design's semantics and grammar alone and sharing no code with the package, so that a disagreement with
the compiled SQL is a finding about one of the two. `analyse(case)` is the entry point, `series(case)` the daily one.
Sections named in the docstrings are those of semantics.md.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from .exposure import Exposure
from .expressions import evaluate, holds
from .reading import (
    ZERO,
    Case,
    Covariates,
    Definition,
    Limit,
    OutOfScopeError,
    Percentile,
    Table,
    Unit,
    Window,
    as_list,
    local_day,
    local_days,
    midnight,
    only_keys,
    parse_duration,
    parse_instant,
    parse_limit,
    parse_percentile,
    parse_window,
)
from .results import (
    ClusterRecord,
    Layout,
    MetricMoments,
    MetricTable,
    QuantileEstimate,
    ResolvedCap,
    Result,
    UnitRecord,
    Value,
    moments_of,
    quantile_of,
    quantile_over,
    table_moments,
    type7,
)

__all__ = [
    "Case",
    "ClusterRecord",
    "MetricMoments",
    "Oracle",
    "OutOfScopeError",
    "QuantileEstimate",
    "ResolvedCap",
    "Result",
    "Table",
    "UnitRecord",
    "analyse",
    "day_ends",
    "moments_of",
    "parse_instant",
    "quantile_of",
    "series",
]

METRIC_KEYS = (
    "type source agg measure filter missing window immature cap covariates numerator denominator per at_least "
    "more_than at_most less_than min_rows steps order quantile of direction description label owner tags format"
)
LIMITS: dict[str, Callable[[Any, Any], bool]] = {
    "at_least": operator.ge,
    "more_than": operator.gt,
    "at_most": operator.le,
    "less_than": operator.lt,
}
AGGS = ("sum", "count", "count_distinct", "active_days", "min", "max", "first", "last")
WITHOUT_EMPTY_VALUE = ("min", "max", "first", "last")
PART_AGGS = ("sum", "count", "count_distinct", "active_days", "any_row")


@dataclass(frozen=True)
class Part:
    """One per-unit value: an aggregate of a source's rows, capped, perhaps compared with a limit."""

    source: str
    agg: str  # one of AGGS; any_row: 1 with at least min_rows rows, else 0
    measure: str | None
    filters: list[str]
    window: Window
    lower: Limit = None
    upper: Limit = None
    zeros: bool = True  # percentiles over zeros too
    limit: tuple[str, Fraction] | None = None
    min_rows: int = 1
    excludes: bool = False  # missing: exclude

    @property
    def is_capped(self) -> bool:
        return self.lower is not None or self.upper is not None


@dataclass(frozen=True)
class Step:
    source: str
    filters: list[str]
    within: timedelta | None


@dataclass(frozen=True)
class Column:
    name: str
    value: Callable[[UnitRecord, datetime], Value]  # of a unit, knowing the rows before an instant


class Oracle(Exposure):
    def __init__(self, case: Case) -> None:
        super().__init__(case)
        for name, metric in self.metrics.items():
            only_keys(f"metric {name}", metric, METRIC_KEYS)
        found = self.exposed()
        self.units, self.clusters, self.excluded = found.units, found.clusters, found.excluded
        self._caps: dict[str, dict[str, ResolvedCap]] = {}

    def exposed_units(self) -> tuple[dict[Unit, UnitRecord], dict[str, int]]:
        return self.units, self.excluded

    # --- reading metrics ----------------------------------------------------------------------------------------------
    def window(self, metric: Definition) -> Window:
        return parse_window(metric.get("window") or self.defaults.get("window") or "experiment")

    def part(self, definition: Definition, window: str | None = None) -> Part:
        """A mean, proportion, threshold or retention metric, or the inline side of a ratio."""
        kind = definition.get("type", "mean")
        source = definition["source"]
        filters = as_list(definition.get("filter"))
        over = parse_window(window) if window else self.window(definition)
        if kind in ("proportion", "retention"):
            if "cap" in definition or (kind == "retention" and over.begin == ZERO):
                raise OutOfScopeError(f"{kind} with a cap or a window from 0")
            return Part(source, "any_row", None, filters, over, min_rows=definition.get("min_rows", 1))
        if kind not in ("mean", "threshold", "quantile"):
            raise OutOfScopeError(f"the value of type {kind}")
        agg = definition["agg"]
        if agg not in AGGS or (agg in WITHOUT_EMPTY_VALUE and "missing" not in definition):
            raise OutOfScopeError(f"agg {agg} with missing {definition.get('missing')}")
        cap = definition.get("cap") or {}
        only_keys("cap", cap, "lower upper zeros")
        limits = [(name, Fraction(definition[name])) for name in LIMITS if name in definition]
        if len(limits) != (kind == "threshold"):
            raise OutOfScopeError(f"{kind} with {len(limits)} limits")
        without_measure = agg in ("count", "active_days")
        return Part(
            source,
            agg,
            None if without_measure else self.sources[source]["measures"][definition["measure"]],
            filters,
            over,
            parse_limit(cap.get("lower")),
            parse_limit(cap.get("upper")),
            cap.get("zeros", "include") == "include",
            limits[0] if limits else None,
            excludes=definition.get("missing") == "exclude",
        )

    def parts(self, metric: Definition) -> dict[str, Part]:
        """Column -> part: y, and d for a ratio. Empty for funnels and quantiles of events."""
        if metric["type"] == "funnel" or metric.get("of") == "events":
            return {}
        if metric["type"] != "ratio":
            return {"y": self.part(metric)}
        sides = {}
        for column, side in (("y", metric["numerator"]), ("d", metric["denominator"])):
            definition = self.metrics[side] if isinstance(side, str) else side
            part = self.part(definition, metric.get("window"))
            allowed = part.agg in PART_AGGS or part.limit is not None
            if not allowed or part.excludes or "per" in definition or definition.get("type") == "retention":
                raise OutOfScopeError(f"{side} as part of a ratio")
            sides[column] = part
        return sides

    def steps(self, metric: Definition) -> list[Step]:
        if metric["type"] != "funnel":
            return []
        steps = []
        for step in metric["steps"]:
            within = parse_duration(step["within"]) if "within" in step else None
            steps.append(Step(step["source"], as_list(step.get("filter")), within))
        if metric.get("order") == "any" and any(step.within is not None for step in steps):
            raise OutOfScopeError("within in a funnel of any order")
        return steps

    def windows(self, metric: Definition) -> list[tuple[Window, str]]:
        """Every window of the metric with the source it reads."""
        if metric["type"] == "funnel":
            return [(self.window(metric), step.source) for step in self.steps(metric)]
        if metric.get("of") == "events":
            return [(self.window(metric), metric["source"])]
        return [(part.window, part.source) for part in self.parts(metric).values()]

    def covariates(self, metric: Definition) -> Covariates | None:
        """Metric beats experiment beats project; the nearest setting replaces the others whole."""
        if metric["type"] == "quantile":  # section 9: unadjusted
            return None
        for holder in (metric, self.analysis, self.defaults):
            if holder.get("covariates") is not None:
                setting = holder["covariates"]
                if setting is False or setting == "off":  # YAML 1.1 reads a bare `off` as False
                    return None
                only_keys("covariates", setting, "lookback extra")
                return Covariates(parse_duration(setting["lookback"]), list(dict.fromkeys(setting.get("extra") or [])))
        return None

    def is_ratio(self, metric: Definition) -> bool:
        return metric["type"] == "ratio" or metric.get("missing") == "exclude" or "per" in metric

    # --- who counts (section 1) ---------------------------------------------------------------------------------------
    def includes_immature(self, metric: Definition) -> bool:
        if metric["type"] == "retention":
            return False
        return bool((metric.get("immature") or self.defaults.get("immature")) == "include")

    def is_mature(self, metric: Definition, anchor: datetime, horizon: datetime) -> bool:
        """Every window is over and settled, waiting for the longest settles_after of the metric's sources."""
        windows = self.windows(metric)
        settles = max(parse_duration(self.sources[source].get("settles_after", "0d")) for _, source in windows)
        return all(window.wait is None or anchor + window.wait + settles <= horizon for window, _ in windows)

    def eligible(self, metric: Definition, horizon: datetime) -> list[UnitRecord]:
        """In the population, triggered before the horizon, and mature unless immature units count; mixed ones too."""
        always = self.includes_immature(metric)
        return [
            record
            for record in self.units.values()
            if record.in_population
            and record.anchor is not None
            and record.anchor < horizon
            and (always or self.is_mature(metric, record.anchor, horizon))
        ]

    def interval(self, window: Window, anchor: datetime, horizon: datetime) -> tuple[datetime, datetime]:
        if window.kind == "span":
            assert window.end is not None
            return anchor + window.begin, anchor + window.end
        until = min(self.end, horizon)
        if window.kind == "last":
            assert window.end is not None
            return max(anchor, until - window.end), until
        return anchor, until

    # --- the per-unit value (section 3) -------------------------------------------------------------------------------
    def rows_between(
        self, source: str, filters: list[str], unit: Unit, begin: datetime, end: datetime, horizon: datetime
    ) -> list[tuple[datetime, dict[str, Any]]]:
        return [
            (time, row)
            for time, loaded, row in self.events(source).get(unit, ())
            if begin <= time < end and time < horizon and loaded < horizon and holds(filters, row)
        ]

    def raw(self, part: Part, unit: Unit, begin: datetime, end: datetime, horizon: datetime) -> Fraction | None:
        """The aggregate over [begin, end) before the cap; None where there is no row, or no stated measure."""
        rows = self.rows_between(part.source, part.filters, unit, begin, end, horizon)
        if part.agg == "any_row":
            return Fraction(len(rows) >= part.min_rows)
        if not rows:
            return None
        if part.agg == "count":
            return Fraction(len(rows))
        if part.agg == "active_days":
            return Fraction(len({local_day(time, self.timezone) for time, _ in rows}))
        assert part.measure is not None
        stated = [(time, value) for time, row in rows if (value := evaluate(part.measure, row)) is not None]
        values = [value for _, value in stated]
        if not values:
            return None
        if part.agg == "count_distinct":
            return Fraction(len(set(values)))
        if part.agg == "sum":
            return sum((Fraction(value) for value in values), Fraction(0))
        if part.agg in ("min", "max"):
            return Fraction(min(values) if part.agg == "min" else max(values))
        ends = [time for time, _ in stated]
        at = min(ends) if part.agg == "first" else max(ends)
        return Fraction(min(value for time, value in stated if time == at))

    def finished(self, part: Part, raw: Fraction | None, cap: ResolvedCap | None) -> Value:
        """Filled with zero (with `missing: exclude` the whole value is 0), clipped, compared with the limit."""
        if raw is None:
            if part.excludes:
                return Fraction(0), False
            raw = Fraction(0)
        clipped = raw
        if cap is not None and cap.lower is not None:
            clipped = max(clipped, cap.lower)
        if cap is not None and cap.upper is not None:
            clipped = min(clipped, cap.upper)
        changed = clipped != raw
        if part.limit is not None:
            name, limit = part.limit
            return Fraction(LIMITS[name](clipped, limit)), changed
        return clipped, changed

    def over_window(self, part: Part, record: UnitRecord, horizon: datetime) -> Fraction | None:
        assert record.anchor is not None
        begin, end = self.interval(part.window, record.anchor, horizon)
        return self.raw(part, record.unit, begin, end, horizon)

    def over_lookback(self, part: Part, lookback: timedelta, record: UnitRecord, horizon: datetime) -> Fraction | None:
        first = record.first_exposure
        return self.raw(part, record.unit, first - lookback, first, horizon)

    def reached(
        self, metric: Definition, unit: Unit, origin: datetime, begin: datetime, end: datetime, horizon: datetime
    ) -> list[bool]:
        """For each step of a funnel whether the unit reaches it, its first `within` counted from `origin`."""
        answers: list[bool] = []
        previous: list[datetime] = [origin]
        for step in self.steps(metric):
            rows = self.rows_between(step.source, step.filters, unit, begin, end, horizon)
            times = [time for time, _ in rows]
            if metric.get("order", "sequential") == "any":
                answers.append(bool(times) and all(answers))
                continue
            previous = [
                time
                for time in times
                if any(before <= time and (step.within is None or time - before < step.within) for before in previous)
            ]
            answers.append(bool(previous))
        return answers

    # --- caps ---------------------------------------------------------------------------------------------------------
    def caps(self, name: str) -> dict[str, ResolvedCap]:
        """By column, the limits in force: percentiles over the metric's units that count, arms pooled, at as-of."""
        if name not in self._caps:
            metric = self.metrics[name]
            parts = self.parts(metric)
            base = [record for record in self.eligible(metric, self.as_of) if not record.mixed]
            if metric.get("missing") == "exclude":
                base = [r for r in base if self.over_window(parts["y"], r, self.as_of) is not None]
            resolved = {}
            for column, part in parts.items():
                values = (self.over_window(part, record, self.as_of) for record in base)
                resolved[column] = resolve_cap(part, values)
            for column, (part, lookback) in self.lookback_parts(name).items():
                values = (self.over_lookback(part, lookback, record, self.as_of) for record in base)
                resolved[column] = resolve_cap(part, values)
            self._caps[name] = {column: cap for column, cap in resolved.items() if cap is not None}
        return self._caps[name]

    def lookback_parts(self, name: str) -> dict[str, tuple[Part, timedelta]]:
        """Column -> part of every covariate that is a value over the lookback, funnels apart."""
        metric = self.metrics[name]
        covariates = self.covariates(metric)
        if covariates is None or covariates.lookback == ZERO:
            return {}
        found = {f"{column}@pre": part for column, part in self.parts(metric).items()}
        for extra in covariates.extra:
            if "." not in extra and extra != name:
                other = self.metrics[extra]
                if other["type"] not in ("mean", "proportion", "threshold", "retention") or "per" in other:
                    raise OutOfScopeError(f"{extra} as extra covariate")
                found[f"{extra}@pre"] = self.part(other)
        return {column: (part, covariates.lookback) for column, part in found.items()}

    # --- columns ------------------------------------------------------------------------------------------------------
    def outcome_columns(self, name: str) -> list[Column]:
        metric = self.metrics[name]
        if metric["type"] == "funnel":
            return [self.step_column(metric, i, step["name"]) for i, step in enumerate(metric["steps"])]
        caps = self.caps(name)

        def capped(column: str, part: Part) -> Column:
            return Column(
                column,
                lambda record, horizon: self.finished(part, self.over_window(part, record, horizon), caps.get(column)),
            )

        parts = self.parts(metric)
        columns = [capped(column, part) for column, part in parts.items()]
        if metric.get("missing") == "exclude":
            part = parts["y"]
            columns.append(
                Column(
                    "r", lambda record, horizon: (Fraction(self.over_window(part, record, horizon) is not None), False)
                )
            )
        if "per" in metric:
            if metric["agg"] != "active_days" or metric.get("missing") == "exclude":
                raise OutOfScopeError("per: day")
            window = parts["y"].window

            def observed(record: UnitRecord, horizon: datetime) -> Value:
                assert record.anchor is not None
                return self.observed_days(*self.interval(window, record.anchor, horizon), horizon)

            columns.append(Column("d", observed))
        return columns

    def step_column(self, metric: Definition, at: int, name: str) -> Column:
        window = self.window(metric)

        def value(record: UnitRecord, horizon: datetime) -> Value:
            assert record.anchor is not None
            begin, end = self.interval(window, record.anchor, horizon)
            return Fraction(self.reached(metric, record.unit, record.anchor, begin, end, horizon)[at]), False

        return Column(name, value)

    def observed_days(self, begin: datetime, end: datetime, horizon: datetime) -> Value:
        return Fraction(len(local_days(begin, min(end, horizon), self.timezone))), False

    def covariate_columns(self, name: str) -> list[Column]:
        """The lookback's values first, then extras as written; a number of the unit with its indicator of absence."""
        metric = self.metrics[name]
        covariates = self.covariates(metric)
        if covariates is None:
            return []
        caps = self.caps(name)
        parts = self.lookback_parts(name)

        def over_lookback(column: str) -> Column:
            part, lookback = parts[column]
            return Column(
                column,
                lambda record, horizon: self.finished(
                    part, self.over_lookback(part, lookback, record, horizon), caps.get(column)
                ),
            )

        columns = []
        lookback = covariates.lookback
        if lookback > ZERO:
            columns = [over_lookback(f"{column}@pre") for column in self.parts(metric)]
            if metric["type"] == "funnel":
                columns.append(self.funnel_covariate(metric, lookback))
            if "per" in metric:
                columns.append(self.observed_covariate(lookback))
        for extra in covariates.extra:
            if "." in extra:
                columns += self.number_columns(extra)
            elif lookback == ZERO:
                raise OutOfScopeError("a metric as extra covariate with lookback 0d")
            elif extra != name:
                columns.append(over_lookback(f"{extra}@pre"))
        return columns

    def funnel_covariate(self, metric: Definition, lookback: timedelta) -> Column:
        """Completion over the lookback, as if the unit's time began with it."""

        def value(record: UnitRecord, horizon: datetime) -> Value:
            first = record.first_exposure
            begin = first - lookback
            return Fraction(self.reached(metric, record.unit, begin, begin, first, horizon)[-1]), False

        return Column("y@pre", value)

    def observed_covariate(self, lookback: timedelta) -> Column:
        def value(record: UnitRecord, horizon: datetime) -> Value:
            return self.observed_days(record.first_exposure - lookback, record.first_exposure, horizon)

        return Column("d@pre", value)

    def number_columns(self, dotted: str) -> list[Column]:
        return [
            Column(dotted, lambda record, horizon: (self.dimension(dotted, record) or Fraction(0), False)),
            Column(
                f"{dotted}@missing", lambda record, horizon: (Fraction(self.dimension(dotted, record) is None), False)
            ),
        ]

    # --- quantiles (section 9) ----------------------------------------------------------------------------------------
    def quantile_rows(self, name: str) -> dict[Unit, list[Fraction]]:
        """The values of each eligible unit: of events all of them, of units its one, or none where it is left out."""
        metric = self.metrics[name]
        found: dict[Unit, list[Fraction]] = {}
        for record in self.eligible(metric, self.as_of):
            assert record.anchor is not None
            if metric.get("of") == "events":
                measure = self.sources[metric["source"]]["measures"][metric["measure"]]
                begin, end = self.interval(self.window(metric), record.anchor, self.as_of)
                filters = as_list(metric.get("filter"))
                rows = self.rows_between(metric["source"], filters, record.unit, begin, end, self.as_of)
                measured = [evaluate(measure, row) for _, row in rows]
                found[record.unit] = [Fraction(value) for value in measured if value is not None]
            else:
                part = self.part(metric)
                if "missing" not in metric:
                    raise OutOfScopeError("a quantile of units must state missing")
                value = self.over_window(part, record, self.as_of)
                zero = [] if part.excludes else [Fraction(0)]
                found[record.unit] = zero if value is None else [value]
        return found

    # --- everything ---------------------------------------------------------------------------------------------------
    def analysed_metrics(self) -> list[str]:
        roles = ("primary", "secondary", "guardrail")
        listed = self.experiment["metrics"]
        only_keys("metrics", listed, "primary secondary guardrail sets")
        holders = [listed, *(self.metric_sets[name] for name in listed.get("sets") or [])]
        return list(dict.fromkeys(name for holder in holders for role in roles for name in holder.get(role) or {}))

    def cluster_effect(self, metric: Definition) -> str | None:
        if self.cluster is None:
            return None
        effect: str = self.experiment.get("cluster_effect", "per_unit")
        if metric["type"] == "quantile" or (effect == "per_cluster" and self.is_ratio(metric)):
            raise OutOfScopeError(f"{metric['type']} with clusters, {effect}")
        return effect

    def table(self, name: str, horizon: datetime) -> MetricTable:
        """Every eligible unit's values as known at the horizon, with the caps of as-of."""
        metric = self.metrics[name]
        outcome, covariates = self.outcome_columns(name), self.covariate_columns(name)
        layout = Layout([c.name for c in outcome], [c.name for c in covariates], self.is_ratio(metric))
        rows = {
            record.unit: {column.name: column.value(record, horizon) for column in (*outcome, *covariates)}
            for record in self.eligible(metric, horizon)
        }
        return MetricTable(layout, rows, self.cluster_effect(metric))

    def events_table(self, name: str, rows: dict[Unit, list[Fraction]]) -> MetricTable:
        """Of a quantile of events: each unit's rows at or below its arm's quantile, and all its rows.

        The arm's quantile is over units that aren't mixed; for a mixed unit it is over all units of its first arm.
        """
        p = parse_percentile(self.metrics[name]["quantile"]).p
        below: dict[Unit, Fraction] = {}
        for arm in self.arms:
            pure = quantile_over(p, "events", rows, self.in_arm(arm, with_mixed=False))
            everyone = quantile_over(p, "events", rows, self.in_arm(arm, with_mixed=True))
            below |= everyone.below | pure.below
        values: dict[Unit, dict[str, Value]] = {
            unit: {"below": (below[unit], False), "rows": (Fraction(len(measured)), False)}
            for unit, measured in rows.items()
        }
        return MetricTable(Layout(["below", "rows"], [], True), values, self.cluster_effect(self.metrics[name]))

    def in_arm(self, arm: str, *, with_mixed: bool) -> list[Unit]:
        return [r.unit for r in self.units.values() if r.arm == arm and (with_mixed or not r.mixed)]

    def blocks(self, table: MetricTable) -> dict[tuple[str, bool], MetricMoments]:
        """Moments by arm, of its mixed units and of the others."""
        found = {}
        for arm in self.arms:
            for mixed in (False, True):
                units = [r.unit for r in self.units.values() if r.arm == arm and r.mixed == mixed]
                found[arm, mixed] = table_moments(table, self.units, units)
        return found

    def analyse(self) -> Result:
        names = self.analysed_metrics()
        rows = {name: self.quantile_rows(name) for name in names if self.metrics[name]["type"] == "quantile"}
        levels = {
            name: (parse_percentile(self.metrics[name]["quantile"]).p, self.metrics[name].get("of", "units"))
            for name in rows
        }
        tables = {
            name: self.events_table(name, rows[name])
            if name in levels and levels[name][1] == "events"
            else self.table(name, self.as_of)
            for name in names
        }
        quantiles = {
            name: {
                (arm, mixed): quantile_over(*levels[name], found, self.in_arm(arm, with_mixed=mixed))
                for arm in self.arms
                for mixed in (False, True)
            }
            for name, found in rows.items()
        }

        def count(keep: Callable[[UnitRecord], bool]) -> dict[str, int]:
            return {arm: sum(1 for r in self.units.values() if r.arm == arm and keep(r)) for arm in self.arms}

        return Result(
            assigned=count(lambda record: True),
            mixed=count(lambda record: record.mixed),
            in_population=count(lambda record: not record.mixed and record.in_population),
            analysed=count(lambda record: not record.mixed and record.in_population and record.triggered),
            excluded=self.excluded,
            metrics={name: self.blocks(table) for name, table in tables.items()},
            units=self.units,
            clusters=self.clusters,
            values={
                name: {unit: {c: value for c, (value, _) in row.items()} for unit, row in table.rows.items()}
                for name, table in tables.items()
            },
            caps={name: self.caps(name) for name in names},
            quantiles=quantiles,
            quantile_rows=rows,
            quantile_level=levels,
            tables=tables,
        )

    # --- the daily series (section 10) --------------------------------------------------------------------------------
    def day_ends(self) -> list[datetime]:
        """The next local midnight after each calendar day from the experiment's start on, and last as-of itself."""
        if self.as_of <= self.start:
            return []
        days = local_days(self.start, self.as_of, self.timezone)
        ends = [midnight(day + timedelta(days=1), self.timezone) for day in days]
        return [*(end for end in ends if end < self.as_of), self.as_of]

    def series(
        self, days: Iterable[datetime] | None = None
    ) -> dict[datetime, dict[str, dict[tuple[str, bool], MetricMoments]]]:
        names = [name for name in self.analysed_metrics() if self.metrics[name]["type"] != "quantile"]
        ends = self.day_ends() if days is None else list(days)
        return {end: {name: self.blocks(self.table(name, end)) for name in names} for end in ends}


def resolve_cap(part: Part, values: Iterable[Fraction | None]) -> ResolvedCap | None:
    """The limits over the values of the units that count, absent ones as 0; no value, no percentile limit."""
    if not part.is_capped:
        return None
    filled = [value or Fraction(0) for value in values]
    nonzero = sorted(value for value in filled if value)
    ordered = sorted(filled) if part.zeros else nonzero

    def resolve(limit: Limit) -> Fraction | None:
        if not isinstance(limit, Percentile):
            return limit
        # A cap is a double: a value that equals it after rounding is not changed by it.
        return Fraction(float(type7(ordered, limit.p))) if ordered else None

    lower, upper = resolve(part.lower), resolve(part.upper)
    degenerate = False
    if isinstance(part.upper, Percentile) and upper is not None:
        degenerate = upper == 0 or (bool(nonzero) and upper <= type7(nonzero, 0.5))
    percentiles = isinstance(part.lower, Percentile) or isinstance(part.upper, Percentile)
    return ResolvedCap(lower, upper, degenerate, len(ordered) if percentiles else None)


def analyse(case: Case) -> Result:
    return Oracle(case).analyse()


def day_ends(case: Case) -> list[datetime]:
    return Oracle(case).day_ends()


def series(
    case: Case, days: Iterable[datetime] | None = None
) -> dict[datetime, dict[str, dict[tuple[str, bool], MetricMoments]]]:
    """Per day's end, metric and (arm, mixed): moments with today's definitions, mixed units, population and caps.

    Over units that had entered by then and rows known by then; quantiles have no series.
    """
    return Oracle(case).series(days)
