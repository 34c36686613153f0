"""What a metricdef project means, computed by brute force: row by row, in exact arithmetic.

Written from the design's semantics and grammar alone and sharing no code with the package, so that a disagreement with
the compiled SQL is a finding about one of the two. `analyse(case)` is the entry point, `series(case)` the daily one.
Sections named in the docstrings are those of semantics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from .expressions import evaluate
from .reading import (
    ZERO,
    Case,
    Definition,
    OutOfScopeError,
    Table,
    Unit,
    as_list,
    local_days,
    midnight,
    only_keys,
    parse_instant,
    parse_percentile,
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
)
from .values import Part, Values

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


@dataclass(frozen=True)
class Column:
    name: str
    value: Callable[[UnitRecord, datetime], Value]  # of a unit, knowing the rows before an instant


class Oracle(Values):
    """Adds columns, blocks and days."""

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
