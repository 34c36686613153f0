"""Definitions to a Plan: windows become bounds, shared values are planned once, covariates get their windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from itertools import combinations_with_replacement
from typing import Any, Literal

from metricdef.compiler.alternatives import dimension_texts
from metricdef.compiler.fingerprint import fingerprint
from metricdef.compiler.names import Names, block_name, cap_key
from metricdef.compiler.open_instant import OPEN_FOR, earlier
from metricdef.compiler.plan import (
    Anchor,
    ArmPlan,
    Block,
    Bounds,
    Condition,
    DayAgg,
    Dimension,
    Dropped,
    EntryColumn,
    Epoch,
    FunnelColumns,
    MetricPlan,
    PartCap,
    Percentile,
    Plan,
    QuantilePlan,
    TriggerPlan,
    UnitColumn,
    Value,
    microseconds,
    open_as_of,
)
from metricdef.compiler.refusals import refuse
from metricdef.compiler.zones import zone_offsets
from metricdef.definitions.expressions import columns_of, parse_expression
from metricdef.definitions.maturity import horizon_of, window_of
from metricdef.definitions.models import ROLES, Experiment, Role, Target
from metricdef.definitions.novelty import days_of
from metricdef.definitions.project import Project
from metricdef.definitions.used import (
    correction_of,
    covariates_of,
    dimension_candidates,
    dimensions_of,
    experiment_metrics,
    unit_of,
)
from metricdef.errors import DefinitionErrors, UsageError
from metricdef.metrics import Metric, Part, QuantileMetric
from metricdef.metrics.fields import Cap, Window
from metricdef.metrics.fields import Percentile as PercentileLimit

FIRST_WEEK = "first week"  # of enrolment; a dimension of the analyst's has no such name
WEEK = 7 * 86_400_000_000

_Limits = tuple[float | str | None, float | str | None]  # of a cap, lower and upper; text names a Percentile


def build_plan(
    project: Project,
    name: str,
    as_of: datetime,
    *,
    daily: bool = False,
    without: Mapping[str, str] | None = None,
    is_open: bool = False,
    frozen: Mapping[str, float] | None = None,
    sample: Fraction | None = None,
) -> Plan:
    """Plan experiment `name` as seen at `as_of` (with a zone).

    `daily`: with the cumulative moments of every day. `without`: metrics to leave out, each with the reason, which the
    readout repeats. `is_open`: the SQL learns its as-of when it runs; `as_of` is one that it can be. `frozen`: limits of
    percentile caps that an earlier look has fixed, by `Percentile.keys`. `sample`: the share of units to
    read. Raises UsageError for an unknown experiment and DefinitionErrors for what cannot be computed.
    """
    experiment = project.experiment(name)
    refused = refuse(project, name)
    if refused:
        raise DefinitionErrors(refused)
    builder = _Builder(project, name, experiment, as_of, daily, dict(without or {}), is_open, dict(frozen or {}))
    return replace(builder.build(), sample=sample)


@dataclass
class _Values:
    """A block that is being filled."""

    horizon: int | None
    anchor: Anchor
    values: list[Value] = field(default_factory=list)

    @property
    def name(self) -> str:
        return block_name(self.horizon, self.anchor)


@dataclass
class _Builder:
    """Collects columns while metrics are planned; used once."""

    project: Project
    name: str
    experiment: Experiment
    as_of: datetime
    daily: bool
    without: dict[str, str]
    is_open: bool
    frozen: dict[str, float]
    unit_columns: dict[tuple[Any, ...], UnitColumn] = field(default_factory=dict)
    funnels: dict[tuple[Any, ...], FunnelColumns] = field(default_factory=dict)
    entry_columns: dict[tuple[str, str], EntryColumn] = field(default_factory=dict)
    blocks: dict[str, _Values] = field(default_factory=dict)
    percentiles: dict[tuple[Any, ...], Percentile] = field(default_factory=dict)
    names: Names = field(default_factory=Names)

    def build(self) -> Plan:
        project, experiment = self.project, self.experiment
        timezone = project.settings.defaults.timezone
        self.start = microseconds(experiment.start.at(timezone))
        self.end = microseconds(experiment.end.at(timezone))
        if self.start < 0:
            raise UsageError(f"experiment `{self.name}` starts before 1970, which the compiled SQL cannot represent")
        as_of = microseconds(self.as_of)
        self.enrolment_end = earlier(self.end, open_as_of(self.as_of) if self.is_open else as_of)
        unit = unit_of(project, experiment)
        if unit is None:
            raise UsageError(f"experiment `{self.name}` has no unit")
        population = tuple(self._condition(segment) for segment in experiment.population)
        dimensions = self._dimensions()
        metrics = tuple(
            self._metric(n, role, target)
            for n, (role, target) in experiment_metrics(project, experiment).items()
            if n not in self.without
        )
        for block in self.blocks.values():
            if not block.values:
                self._size(block)  # a quantile of events reads no values, and still needs the number of units
        trigger = experiment.exposure.trigger
        open_until = self._open_until() if self.is_open else None
        earliest = self.start + min((c.bounds.start for c in self.unit_columns.values()), default=0)
        return Plan(
            experiment=self.name,
            as_of=self.as_of,
            start=self.start,
            enrolment_end=self.enrolment_end,
            end=self.end,
            unit=unit,
            cluster=experiment.cluster,
            per_cluster=experiment.cluster_effect == "per_cluster",
            arms=self._arms(),
            mixed=experiment.exposure.mixed,
            exposure_source=experiment.exposure.source,
            experiment_key=experiment.exposure.key or self.name,
            exposure_filter=experiment.exposure.filter,
            trigger=TriggerPlan(trigger.source, trigger.filter) if trigger else None,
            epochs=tuple(
                Epoch(microseconds(step.start.at(timezone)), {arm: step.shares[arm] for arm in experiment.arms})
                for step in experiment.ramp
            ),
            entry_columns=tuple(self.entry_columns.values()),
            unit_columns=tuple(self.unit_columns.values()),
            funnels=tuple(self.funnels.values()),
            population=population,
            dimensions=dimensions,
            percentiles=tuple(self.percentiles.values()),
            blocks=tuple(self._block(values, metrics) for values in self.blocks.values()),
            metrics=metrics,
            dropped={
                n: Dropped(self.project.metrics[n], role, self.without[n])
                for n, (role, _) in experiment_metrics(project, experiment).items()
                if n in self.without
            },
            offsets=zone_offsets(timezone, earliest, open_until)
            if open_until
            else zone_offsets(timezone, min(earliest, as_of), max(as_of, earliest)),
            daily=self.daily,
            sources=self._sources(population),
            fingerprint=fingerprint(project, self.name),
            open_until=open_until,
        )

    def _open_until(self) -> int:
        return self.end + max((b.horizon or 0 for b in self.blocks.values()), default=0) + OPEN_FOR

    def _sources(self, population: Iterable[Condition]) -> dict[str, Any]:
        used = {c.source for c in self.unit_columns.values()} | {c.source for c in self.entry_columns.values()}
        used |= {step.source for funnel in self.funnels.values() for step in funnel.funnel.steps}
        used |= {self.experiment.exposure.source, *(condition.source for condition in population)}
        if self.experiment.exposure.trigger:
            used.add(self.experiment.exposure.trigger.source)
        return {n: self.project.sources[n] for n in sorted(used)}

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
            bounds = Bounds(-segment.lookback.microseconds, 0, anchor="exposure")
            column = self._unit_column(segment_name, Part(segment.source, "count", None, segment.filter, None), bounds)
            return Condition(segment_name, segment.source, segment.filter, column.name)
        columns = {}
        for text in segment.filter:
            for column_name, _, _ in columns_of(parse_expression(text, source.dialect)):
                columns[column_name.casefold()] = self._entry_column(segment.source, column_name).name
        return Condition(segment_name, segment.source, segment.filter, None, tuple(columns.items()))

    def _dimensions(self) -> tuple[Dimension, ...]:
        analysis = self.experiment.analysis
        found = []
        for written in dimensions_of(self.experiment):
            source, name = dimension_candidates(self.project, self.experiment, written)[0]  # rule unknown-dimension
            column = self._entry_column(source, name).name
            stratum, breakdown = written in analysis.strata, written in analysis.breakdowns
            if self.experiment.cluster and stratum and breakdown:
                # A cluster lies in one stratum, and may have units of several levels.
                found += [Dimension(written, column, True, False), Dimension(written, column, False, True)]
            else:
                found.append(Dimension(written, column, stratum, breakdown))
        if "exclude_first_week" in analysis.sensitivity:
            found.append(Dimension(FIRST_WEEK, "", stratum=False, breakdown=False, since=self.start + WEEK))
        return tuple(found)

    # --- metrics ------------------------------------------------------------------------------------------------------

    def _metric(self, name: str, role: Role, target: Target) -> MetricPlan:
        metric = self.project.metrics[name]
        parts = metric.parts(self.project.metrics)
        horizon = horizon_of(self.project, metric, parts)
        block = self._values(horizon, "outcome")
        labels = self._labels(name, parts)
        if isinstance(metric, QuantileMetric):
            return self._quantile(name, metric, role, target, block, parts, labels)
        values = [self._part(block, label, part, "outcome") for part, label in zip(parts, labels, strict=True)]
        outcome = list(zip(parts, labels, values, strict=True))[metric.outcome_parts]
        caps = tuple(
            PartCap(part.label if len(outcome) > 1 else "value", value.name, value.lower, value.upper)
            for part, _, value in outcome
            if part.cap is not None and value.is_capped
        )
        uncapped = tuple(
            self._part(block, f"{label}__uncapped" if part.cap else label, replace(part, cap=None), "outcome").name
            for part, label, _ in (outcome if caps else ())
        )
        covariates = self._covariates(name, metric, parts, block)
        columns = tuple(value.name for _, _, value in outcome)
        size = self._size(block) if self.experiment.cluster and not self._per_cluster and len(columns) == 1 else None
        below = size or (columns[1] if len(columns) > 1 else None)
        return MetricPlan(
            name=name,
            metric=metric,
            role=role,
            target=target,
            block=block.name,
            columns=columns,
            residual=self._residual(block, columns, below),
            uncapped_residual=self._residual(block, uncapped, size or (uncapped[1] if len(uncapped) > 1 else None)),
            size=size,
            covariates=tuple(covariates),
            covariate_words=covariates,
            caps=caps,
            uncapped=uncapped,
            responded=next((v.name for p, _, v in outcome if p.presence == "itself"), None),
            steps=tuple((p.label, v.name) for p, v in zip(parts, values, strict=True) if p.agg == "step"),
            diluted=self._diluted(metric, outcome, horizon),
            before=self._pre_period(name, metric, parts, block),
            novelty=self._novelty(outcome[0], block) if name in self.experiment.analysis.novelty else None,
            read_caps=self._read_caps(metric, parts),
        )

    def _quantile(
        self,
        name: str,
        metric: QuantileMetric,
        role: Role,
        target: Target,
        block: _Values,
        parts: tuple[Part, ...],
        labels: tuple[str, ...],
    ) -> MetricPlan:
        fraction = metric.quantile.fraction
        safe = self.names.unique("quantile", name)
        if metric.of == "events":
            column = self._unit_column(name, parts[0], self._bounds(window_of(self.project, parts[0])))
            quantile = QuantilePlan(safe, fraction, block.name, column.name, None, events=True)
            columns: tuple[str, ...] = ()
        else:
            values = [self._part(block, label, part, "outcome") for part, label in zip(parts, labels, strict=True)]
            columns = tuple(value.name for value in values)
            responded = columns[1] if len(columns) > 1 else None
            quantile = QuantilePlan(safe, fraction, block.name, columns[0], responded, events=False)
        return MetricPlan(name, metric, role, target, block.name, columns, None, (), {}, (), (), quantile=quantile)

    def _diluted(
        self, metric: Metric, outcome: list[tuple[Part, str, Value]], horizon: int | None
    ) -> tuple[str, str, tuple[str, ...]] | None:
        """The outcome over all exposed units, from first exposure on: what a triggered effect is diluted to.

        Capped where the outcome is: a share of a total of other values would be none of this metric. Where every
        cluster counts the same there is no share of units to dilute by.
        """
        if self.experiment.exposure.trigger is None or self._per_cluster:
            return None
        block = self._values(horizon, "exposure")
        columns = tuple(
            self._part(block, f"{label}__exposed", part, "exposure", (value.lower, value.upper)).name
            for part, label, value in outcome
        )
        return block.name, self._size(block), columns

    def _part(self, block: _Values, label: str, part: Part, anchor: Anchor, limits: _Limits | None = None) -> Value:
        """The value of one part in a block, capped at `limits` where they are known already."""
        bounds = self._bounds(window_of(self.project, part), anchor)
        if part.agg == "step":
            column = self._funnel(label, part, bounds)
        else:
            column = self._unit_column(label, part, bounds).name
        lower, upper = limits or self._limits(part, bounds, column, block, label)
        total = not self._per_cluster
        return self._value(block, label, Value("", column, lower, upper, part.limit, part.presence, total))

    def _covariates(self, name: str, metric: Metric, parts: tuple[Part, ...], block: _Values) -> dict[str, str]:
        """Columns of the covariates and what this metric's analyst calls each."""
        settings = covariates_of(self.project, self.experiment, metric)
        if settings is None:
            return {}
        found: dict[str, str] = {}
        lookback = settings.lookback.microseconds
        if lookback:
            labels = dict(zip(parts, self._labels(name, parts), strict=True))
            for part in metric.covariate_parts(parts):
                label = name if len(metric.covariate_parts(parts)) == 1 else labels[part]
                found[self._before(block, label, part, lookback)] = _words(label)
        for extra in settings.extra:
            source, dot, dimension = extra.partition(".")
            if dot:
                column = self._entry_column(source, dimension).name
                found[self._value(block, column, Value("", column, total=False)).name] = extra
                indicator = Value("", column, presence="absent", total=False)
                found[self._value(block, f"{column}__missing", indicator).name] = f"{extra} missing"
            elif extra != name:
                other = self.project.metrics[extra]
                all_parts = other.parts(self.project.metrics)
                used = other.covariate_parts(all_parts)
                labels = dict(zip(all_parts, self._labels(extra, all_parts), strict=True))
                for part in used:
                    label = extra if len(used) == 1 else labels[part]
                    found.setdefault(self._before(block, label, part, lookback), _words(label))
        return found

    def _read_caps(self, metric: Metric, parts: tuple[Part, ...]) -> tuple[Cap | None, ...]:
        settings = covariates_of(self.project, self.experiment, metric)
        others = [self.project.metrics[n] for n in (settings.extra if settings else ()) if n in self.project.metrics]
        return tuple(p.cap for p in (*parts, *(q for other in others for q in other.parts(self.project.metrics))))

    def _novelty(self, outcome: tuple[Part, str, Value], block: _Values) -> tuple[str, int]:
        """The outcome's daily values, weighed by the days since the anchor: rule novelty-metric."""
        part, label, value = outcome
        bounds = self._bounds(window_of(self.project, part))
        agg: DayAgg = "sum_by_day" if part.agg == "sum" else "any_by_day" if part.limit else "count_by_day"
        column = self._unit_column(f"{label}__by_day", part, bounds, agg)
        wanted = Value("", column.name, None, value.upper, presence="daily", minus=value.column)
        days = days_of(bounds.start, bounds.end or 0)
        return self._value(block, f"{label}__by_day", wanted).name, days

    def _pre_period(self, name: str, metric: Metric, parts: tuple[Part, ...], block: _Values) -> tuple[str, ...]:
        """Columns of the outcome over the time that the pre-period check asks for."""
        lookback = self.experiment.validation.aa_lookback
        if lookback is None or not lookback.microseconds:
            return ()
        labels = dict(zip(parts, self._labels(name, parts), strict=True))
        before = (self._before(block, labels[p], p, lookback.microseconds) for p in metric.covariate_parts(parts))
        return tuple(dict.fromkeys(before))

    def _before(self, block: _Values, label: str, part: Part, lookback: int) -> str:
        """The same per-unit value over the time before first exposure; absent is 0."""
        bounds = Bounds(-lookback, 0, anchor="exposure")
        label = f"{label}__pre"
        if part.agg == "step":
            column = self._funnel(label, part, bounds)
        else:
            column = self._unit_column(label, part, bounds).name
        lower, upper = self._limits(part, bounds, column, block, label)
        value = Value("", column, lower, upper, part.limit, part.presence, total=False)
        return self._value(block, label, value).name

    # --- windows and maturity -----------------------------------------------------------------------------------------

    def _bounds(self, window: Window, anchor: Anchor = "outcome") -> Bounds:
        anchor = anchor if self.experiment.exposure.trigger else "outcome"
        if window.kind == "span":
            return Bounds(window.start, window.end, anchor=anchor)
        if window.kind == "last":
            return Bounds(0, None, self.enrolment_end - (window.end or 0), self.enrolment_end, anchor)
        return Bounds(0, None, None, self.enrolment_end, anchor)

    # --- columns ------------------------------------------------------------------------------------------------------

    @property
    def _per_cluster(self) -> bool:
        return self.experiment.cluster is not None and self.experiment.cluster_effect == "per_cluster"

    def _labels(self, name: str, parts: tuple[Part, ...]) -> tuple[str, ...]:
        return (name,) if len(parts) == 1 else tuple(f"{name}__{part.label}" for part in parts)

    def _values(self, horizon: int | None, anchor: Anchor) -> _Values:
        return self.blocks.setdefault(block_name(horizon, anchor), _Values(horizon, anchor))

    def _unit_column(self, label: str, part: Part, bounds: Bounds, agg: DayAgg | None = None) -> UnitColumn:
        key = (part.source, agg or part.agg, part.measure, part.filter, bounds)
        if key not in self.unit_columns:
            self.unit_columns[key] = UnitColumn(self.names.unique("unit", label), *key)
        return self.unit_columns[key]

    def _funnel(self, label: str, part: Part, bounds: Bounds) -> str:
        assert part.funnel is not None  # noqa: S101 - parts of agg `step` have one
        key = (part.funnel, bounds)
        if key not in self.funnels:
            name = self.names.unique("funnel", label)
            columns = tuple(self.names.unique("unit", f"{name}__{i + 1}") for i in range(len(part.funnel.steps)))
            self.funnels[key] = FunnelColumns(name, part.funnel, bounds, columns)
        return self.funnels[key].columns[part.position]

    def _entry_column(self, source: str, name: str) -> EntryColumn:
        """A dimension of that name, in whatever case, else the column."""
        dimensions = self.project.sources[source].dimensions
        expression = next((text for key, text in dimensions.items() if key.casefold() == name.casefold()), name)
        if (source, name.casefold()) not in self.entry_columns:
            column = EntryColumn(self.names.unique("entry", f"{source}__{name}".lower()), source, expression)
            self.entry_columns[source, name.casefold()] = column
        return self.entry_columns[source, name.casefold()]

    def _value(self, block: _Values, label: str, wanted: Value) -> Value:
        """The value in the block that equals `wanted`, whatever its name; a new one where there is none."""
        for value in block.values:
            if replace(value, name="") == wanted:
                return value
        block.values.append(replace(wanted, name=self.names.unique("value", label)))
        return block.values[-1]

    def _residual(self, block: _Values, columns: tuple[str, ...], below: str | None) -> str | None:
        """What a ratio's numerator has beyond its denominator; None for a mean."""
        if not columns or below is None:
            return None
        wanted = Value("", columns[0], presence="residual", minus=below)
        return self._value(block, f"{columns[0]}__residual", wanted).name

    def _size(self, block: _Values) -> str:
        return self._value(block, f"{block.name}__units", Value("", "", presence="size")).name

    def _limits(self, part: Part, bounds: Bounds, column: str, block: _Values, label: str) -> _Limits:
        cap = part.cap
        if cap is None:
            return None, None
        last = None if bounds.floor is None else self.enrolment_end - bounds.floor
        source = self.project.sources[part.source]
        measure = source.measures.get(part.measure) if part.measure else None
        rows = (part.source, part.filter, *dimension_texts(part.filter, source))
        meaning = (*rows, part.agg, measure, bounds.start, bounds.end, last, bounds.anchor)
        found: list[float | str | None] = []
        for side, limit in (("lower", cap.lower), ("upper", cap.upper)):
            if not isinstance(limit, PercentileLimit):
                found.append(limit)
                continue
            values = (limit.fraction, cap.zeros == "exclude", part.presence != "ignored", block.name)
            own = cap_key(f"{label}.{side}", (*meaning, *values))
            if own in self.frozen:
                found.append(self.frozen[own])
                continue
            key = (column, *values)
            if key not in self.percentiles:
                name = self.names.unique("percentile", f"{label}__{side}")
                self.percentiles[key] = Percentile(name, *key)
            known = self.percentiles[key]
            self.percentiles[key] = replace(known, keys=tuple(dict.fromkeys((*known.keys, own))))
            found.append(self.percentiles[key].name)
        return found[0], found[1]

    def _block(self, values: _Values, metrics: tuple[MetricPlan, ...]) -> Block:
        return Block(values.name, values.horizon, values.anchor, tuple(values.values), self._products(values, metrics))

    def _products(self, block: _Values, metrics: tuple[MetricPlan, ...]) -> tuple[tuple[int, int], ...]:
        """Pairs that an estimate needs: a metric's columns with its covariates; of a max-T family all its metrics'."""
        position = {value.name: i for i, value in enumerate(block.values)}
        groups: list[set[str]] = [{value.name} for value in block.values]
        families: dict[Literal["primary", "secondary", "guardrail"], set[str]] = {role: set() for role in ROLES}
        uncapped = "uncapped" in self.experiment.analysis.sensitivity
        for metric in metrics:
            if metric.block == block.name:
                names = {
                    *metric.columns,
                    *metric.covariates,
                    *metric.uncapped,
                    *(x for x in (metric.size, metric.residual, metric.uncapped_residual) if x),
                }
                groups.append(names)
                groups.append(set(metric.before))
                if metric.novelty is not None:
                    groups.append({metric.novelty[0], *metric.covariates})
                families[metric.role] |= names if uncapped else names - {*metric.uncapped, metric.uncapped_residual}
        for role, names in families.items():
            correction = correction_of(self.project, self.experiment, role)
            if correction is not None and correction.method == "max_t":
                groups.append(names)
        found: set[tuple[int, int]] = set()
        for names in groups:
            found |= set(combinations_with_replacement(sorted(position[name] for name in names), 2))
        return tuple(sorted(found))


def _words(label: str) -> str:
    return f"{label.replace('__', ' ')} before exposure"
