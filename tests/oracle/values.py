"""What a metric says about one unit: its parts, its windows, when it is mature, its value and its caps (sections 1, 3)."""

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
    Unit,
    Window,
    as_list,
    local_day,
    only_keys,
    parse_duration,
    parse_limit,
    parse_window,
)
from .results import ResolvedCap, UnitRecord, Value, type7

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


class Values(Exposure):
    """Adds the metrics' values of the units."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        for name, metric in self.metrics.items():
            only_keys(f"metric {name}", metric, METRIC_KEYS)
        found = self.exposed()
        self.units, self.clusters, self.excluded = found.units, found.clusters, found.excluded
        self._caps: dict[str, dict[str, ResolvedCap]] = {}

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


def resolve_cap(part: Part, values: Iterable[Fraction | None]) -> ResolvedCap | None:
    """The limits over the values of the units that count; absent ones are 0, or left out with `missing: exclude`."""
    if not part.is_capped:
        return None
    filled = [value or Fraction(0) for value in values if value is not None or not part.excludes]
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
