"""Definitions to a Plan: windows become bounds, shared values are planned once, covariates get their windows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import combinations_with_replacement
from typing import Any

from metricdef.compiler.plan import (
    ArmPlan,
    Block,
    Bounds,
    Condition,
    EntryColumn,
    MetricPlan,
    PartCap,
    Plan,
    UnitColumn,
    Value,
    microseconds,
)
from metricdef.compiler.refusals import refuse
from metricdef.definitions.expressions import columns_of, parse_expression
from metricdef.definitions.models import Experiment, Role, Target
from metricdef.definitions.project import Project
from metricdef.definitions.used import covariates_of, experiment_metrics, unit_of, used_by
from metricdef.errors import DefinitionErrors, UsageError
from metricdef.metrics import Metric, Part
from metricdef.metrics.fields import Percentile, Window

MAX_NAME = 48  # PostgreSQL cuts names at 63 without a word


def build_plan(project: Project, name: str, as_of: datetime) -> Plan:
    """Plan experiment `name` as seen at `as_of` (with a zone).

    Raises UsageError for an unknown experiment and DefinitionErrors for what this version cannot compute.
    """
    experiment = project.experiment(name)
    refused = refuse(project, name)
    if refused:
        raise DefinitionErrors(refused)
    return _Builder(project, name, experiment, as_of).build()


@dataclass
class _Builder:
    """Collects columns while metrics are planned; used once."""

    project: Project
    name: str
    experiment: Experiment
    as_of: datetime
    unit_columns: dict[tuple[Any, ...], UnitColumn] = field(default_factory=dict)
    entry_columns: dict[tuple[str, str], EntryColumn] = field(default_factory=dict)
    blocks: dict[int | None, list[Value]] = field(default_factory=dict)
    names: set[tuple[str, str]] = field(default_factory=set)

    def build(self) -> Plan:
        project, experiment = self.project, self.experiment
        timezone = project.settings.defaults.timezone
        self.start = microseconds(experiment.start.at(timezone))
        self.end = microseconds(experiment.end.at(timezone))
        if self.start < 0:
            raise UsageError(f"experiment `{self.name}` starts before 1970, which the compiled SQL cannot represent")
        as_of = microseconds(self.as_of)
        self.enrolment_end = min(self.end, as_of)
        unit = unit_of(project, experiment)
        if unit is None:
            raise UsageError(f"experiment `{self.name}` has no unit")
        population = tuple(self._condition(segment) for segment in experiment.population)
        metrics = tuple(
            self._metric(n, role, target) for n, (role, target) in experiment_metrics(project, experiment).items()
        )
        sources = {c.source for c in self.unit_columns.values()} | {c.source for c in self.entry_columns.values()}
        sources |= {experiment.exposure.source, *(condition.source for condition in population)}
        return Plan(
            experiment=self.name,
            as_of=self.as_of,
            start=self.start,
            enrolment_end=self.enrolment_end,
            end=self.end,
            unit=unit,
            arms=self._arms(),
            exposure_source=experiment.exposure.source,
            experiment_key=experiment.exposure.key or self.name,
            exposure_filter=experiment.exposure.filter,
            entry_columns=tuple(self.entry_columns.values()),
            unit_columns=tuple(self.unit_columns.values()),
            population=population,
            blocks=tuple(
                Block(_block_name(horizon), horizon, tuple(values), _products(horizon, values, metrics))
                for horizon, values in self.blocks.items()
            ),
            metrics=metrics,
            sources={n: project.sources[n] for n in sorted(sources)},
            fingerprint=fingerprint(project, self.name),
        )

    def _arms(self) -> tuple[ArmPlan, ...]:
        keys = {arm: self.experiment.arms[arm].key or arm for arm in self.experiment.ordered_arms}
        codes = {key: code for code, key in enumerate(sorted(keys.values()))}
        shares = self.experiment.shares
        return tuple(ArmPlan(arm, key, codes[key], shares[arm]) for arm, key in keys.items())

    def _condition(self, segment_name: str) -> Condition:
        segment = self.project.segments[segment_name]
        source = self.project.sources[segment.source]
        if source.kind == "events":
            assert segment.lookback is not None  # noqa: S101 - rule segment-after-exposure
            bounds = Bounds(-segment.lookback.microseconds, 0)
            column = self._unit_column(segment_name, Part(segment.source, "any", None, segment.filter, None), bounds)
            return Condition(segment_name, segment.source, segment.filter, column.name)
        columns = {}
        for text in segment.filter:
            for column_name, _, _ in columns_of(parse_expression(text, source.dialect)):
                columns[column_name.casefold()] = self._entry_column(segment.source, column_name).name
        return Condition(segment_name, segment.source, segment.filter, None, tuple(columns.items()))

    def _metric(self, name: str, role: Role, target: Target) -> MetricPlan:
        metric = self.project.metrics[name]
        parts = metric.parts(self.project.metrics)
        windows = [part.window or self._default_window() for part in parts]
        horizon = self._horizon(metric, parts, windows)
        values = self.blocks.setdefault(horizon, [])
        columns = []
        labels = (name,) if len(parts) == 1 else _part_labels(name)
        for part, window, label in zip(parts, windows, labels, strict=True):
            column = self._unit_column(label, part, self._bounds(window))
            columns.append(self._value(values, label, column.name, part).name)
        part_names = ("value",) if len(parts) == 1 else ("numerator", "denominator")
        caps = tuple(
            PartCap(part_name, column, *_limits(part.cap))
            for part_name, column, part in zip(part_names, columns, parts, strict=True)
            if part.cap is not None
        )
        uncapped = []
        for part, window, label in zip(parts, windows, labels, strict=True) if caps else ():
            unit_column = self._unit_column(label, part, self._bounds(window))
            words = f"{label}__uncapped" if part.cap is not None else label
            uncapped.append(self._value(values, words, unit_column.name, None).name)
        covariates = self._covariates(name, metric, parts, labels, values)
        block = _block_name(horizon)
        return MetricPlan(
            name, metric, role, target, block, tuple(columns), tuple(covariates), covariates, caps, tuple(uncapped)
        )

    def _covariates(
        self, name: str, metric: Metric, parts: tuple[Part, ...], labels: tuple[str, ...], values: list[Value]
    ) -> dict[str, str]:
        settings = covariates_of(self.project, self.experiment, metric)
        if settings is None:
            return {}
        found: dict[str, str] = {}  # column and what this metric's analyst calls it
        lookback = settings.lookback.microseconds
        if lookback:
            found |= {
                self._before(label, part, lookback, values): _words(label)
                for part, label in zip(parts, labels, strict=True)
            }
        for extra in settings.extra:
            source, dot, dimension = extra.partition(".")
            if dot:
                column = self._entry_column(source, dimension).name
                found[self._value(values, column, column, None).name] = extra
                indicator = self._value(values, f"{column}__missing", column, None, missing=True)
                found[indicator.name] = f"{extra} missing"
            elif extra != name:
                other = self.project.metrics[extra].parts(self.project.metrics)
                names = (extra,) if len(other) == 1 else _part_labels(extra)
                for part, label in zip(other, names, strict=True):
                    found.setdefault(self._before(label, part, lookback, values), _words(label))
        return found

    def _before(self, label: str, part: Part, lookback: int, values: list[Value]) -> str:
        """The same per-unit value over the time before first exposure."""
        column = self._unit_column(f"{label}__pre", part, Bounds(-lookback, 0))
        return self._value(values, f"{label}__pre", column.name, part).name

    def _default_window(self) -> Window:
        return self.project.settings.defaults.window or Window.parse("experiment")

    def _bounds(self, window: Window) -> Bounds:
        if window.kind == "span":
            return Bounds(window.start, window.end)
        if window.kind == "last":
            return Bounds(0, None, self.enrolment_end - (window.end or 0), self.enrolment_end)
        return Bounds(0, None, None, self.enrolment_end)

    def _horizon(self, metric: Metric, parts: tuple[Part, ...], windows: list[Window]) -> int | None:
        """How long before as-of a unit must have entered to count; None where every unit does."""
        if (metric.immature or self.project.settings.defaults.immature) == "include":
            return None
        ends = [window.end for window in windows if window.kind == "span" and window.end is not None]
        if not ends:
            return None
        settles = [self.project.sources[part.source].settles_after for part in parts]
        return max(ends) + max((s.microseconds for s in settles if s), default=0)

    def _unit_column(self, label: str, part: Part, bounds: Bounds) -> UnitColumn:
        key = (part.source, part.agg, part.measure, part.filter, bounds)
        if key not in self.unit_columns:
            self.unit_columns[key] = UnitColumn(
                self._name("unit", label), part.source, part.agg, part.measure, part.filter, bounds
            )
        return self.unit_columns[key]

    def _entry_column(self, source: str, name: str) -> EntryColumn:
        """A dimension of that name, in whatever case, else the column."""
        dimensions = self.project.sources[source].dimensions
        expression = next((text for key, text in dimensions.items() if key.casefold() == name.casefold()), name)
        if (source, name.casefold()) not in self.entry_columns:
            column = EntryColumn(self._name("entry", f"{source}__{name}".lower()), source, expression)
            self.entry_columns[source, name.casefold()] = column
        return self.entry_columns[source, name.casefold()]

    def _value(
        self, values: list[Value], label: str, column: str, part: Part | None, *, missing: bool = False
    ) -> Value:
        lower, upper = _limits(part.cap) if part and part.cap else (None, None)
        wanted = Value("", column, lower, upper, missing)
        for value in values:
            if replace(value, name="") == wanted:
                return value
        values.append(replace(wanted, name=self._name("value", label)))
        return values[-1]

    def _name(self, kind: str, label: str) -> str:
        """A name that no other column of its kind has, short enough for every engine."""
        safe = "".join(c if (c.isalnum() and c.isascii()) or c == "_" else "_" for c in label)
        if len(safe) > MAX_NAME:
            safe = f"{safe[: MAX_NAME - 9]}_{hashlib.sha256(label.encode()).hexdigest()[:8]}"
        name, count = safe, 1
        while (kind, name) in self.names:
            count += 1
            name = f"{safe}_{count}"
        self.names.add((kind, name))
        return name


def _limits(cap: Any) -> tuple[float | None, float | None]:
    return tuple(None if limit is None or isinstance(limit, Percentile) else limit for limit in (cap.lower, cap.upper))  # type: ignore[return-value]  # always two


def _products(horizon: int | None, values: list[Value], metrics: tuple[MetricPlan, ...]) -> tuple[tuple[int, int], ...]:
    """Pairs that an estimate needs: those within one metric, its covariates and its uncapped value."""
    position = {value.name: i for i, value in enumerate(values)}
    found: set[tuple[int, int]] = set()
    for metric in metrics:
        if metric.block == _block_name(horizon):
            names = {*metric.columns, *metric.covariates, *metric.uncapped}
            found |= set(combinations_with_replacement(sorted(position[name] for name in names), 2))
    return tuple(sorted(found))


def _words(label: str) -> str:
    return f"{label.replace('__', ' ')} before exposure"


def _part_labels(name: str) -> tuple[str, str]:
    return f"{name}__numerator", f"{name}__denominator"


def _block_name(horizon: int | None) -> str:
    if horizon is None:
        return "all"
    for unit, size in (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000)):
        if horizon % size == 0:
            return f"mature_{horizon // size}{unit}"
    raise AssertionError(horizon)  # durations are whole minutes


def fingerprint(project: Project, name: str) -> str:
    """Hash of every definition that experiment `name` uses, as written: no environment, no clock, no key order."""
    used = used_by(project, project.experiments[name])
    root = next(d for d in project.documents.values() if ("version",) in d.keys)
    content: dict[str, Any] = {key: root.data.get(key) for key in ("defaults", "entities", "dialect")}
    for kind, names in (
        ("experiments", (name,)),
        ("metrics", used.metrics),
        ("sources", used.sources),
        ("segments", used.segments),
        ("metric_sets", used.metric_sets),
    ):
        content[kind] = {n: project.origins[kind, n].data[kind][n] for n in names}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
