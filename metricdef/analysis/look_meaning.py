"""What a recorded look's figures of a metric mean: only looks that mean the same can be read together."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any

from metricdef.analysis.settings import Settings
from metricdef.compiler.alternatives import dimension_texts
from metricdef.compiler.plan import Bounds, MetricPlan, Plan, microseconds
from metricdef.metrics.fields import Cap, Percentile

_DESCRIPTIVE = ("label", "description", "owner", "owners", "tags", "format", "renamed_from", "deprecated")
# Fields that name other metrics, which may be called otherwise later: the values below are what they stand for.
_BY_NAME = ("numerator", "denominator", "covariates")
_OF_A_SOURCE = (
    "kind",
    "table",
    "sql",
    "dialect",
    "entities",
    "timestamp",
    "timezone",
    "loaded_at",
    "settles_after",
    "filter",
)


def meanings(plan: Plan, settings: Settings, fixed: Collection[float] = ()) -> dict[tuple[str, str], str]:
    """A hash for each metric and arm of everything that its estimates, tests and intervals rest on, less as-of.

    The looks themselves are not part of it: an amended plan goes on from what was spent. Neither are the steps of a ramp,
    of which a look has those before it (`with_steps`). `fixed`: percentiles that looks have fixed, which are numbers
    from then on.
    """
    baseline, *others = plan.arms
    shared = [
        plan.exposure_source,
        plan.experiment_key,
        plan.exposure_filter,
        plan.start,
        plan.unit,
        plan.mixed,
        plan.trigger,
        [replace(c, unit_column=None) for c in plan.population],
        [d for d in plan.dimensions if d.stratum],
        settings.sequential.method if settings.sequential else "fixed",
        settings.confidence,
        settings.success_alpha,
        settings.non_inferiority_alpha,
        settings.deterioration_alpha,
    ]
    shared += [plan.cluster, plan.per_cluster] if plan.cluster is not None else []
    asked = [(plan.exposure_source, plan.exposure_filter), *((c.source, c.filter) for c in plan.population)]
    asked += [(plan.trigger.source, plan.trigger.filter)] if plan.trigger is not None else []
    shared += [text for source, filter_ in asked for text in dimension_texts(filter_, plan.sources[source])]
    return {
        (metric.name, arm.name): _hash(
            [shared, _metric(plan, metric, fixed), [(a.name, a.key) for a in (baseline, arm)]]
        )
        for metric in plan.metrics
        for arm in others
    }


def with_steps(meaning: str, plan: Plan, as_of: datetime) -> str:
    """The meaning of a look as of an instant: an estimate rests on where the steps of a ramp before it lie."""
    before = [epoch.start for epoch in plan.epochs[1:] if epoch.start < microseconds(as_of)]
    return f"{meaning}/{_hash(before)}" if before and meaning else meaning


def shares_until(plan: Plan, as_of: datetime) -> str:
    """A hash of the arms' shares up to an instant, and of when they changed."""
    steps = [epoch for epoch in plan.epochs if epoch.start < microseconds(as_of)]
    first = steps[0].shares if steps else {arm.name: arm.share for arm in plan.arms}
    later = [(epoch.start, sorted(epoch.shares.items())) for epoch in steps[1:]]
    return _hash([sorted(first.items()), *later])


def _metric(plan: Plan, metric: MetricPlan, fixed: Collection[float]) -> list[Any]:
    block = plan.block(metric.block)
    values = {value.name: value for value in block.values}
    names = [*metric.columns, *metric.covariates]
    columns = {c.name: c for c in plan.unit_columns}
    steps = {name: f for f in plan.funnels for name in f.columns}
    own = {key: value for key, value in dict(metric.metric).items() if key not in (*_DESCRIPTIVE, *_BY_NAME)}
    found: list[Any] = [sorted(own.items()), metric.role, sorted(dict(metric.target).items())]
    found += [block.horizon, block.anchor]
    others = [_percentiles(cap) if cap is not None and cap != own.get("cap") else None for cap in metric.read_caps]
    found += [others] if any(others) else []
    for value in (values[name] for name in names if name in values):
        limits = (None if isinstance(x, str) or x in fixed else x for x in (value.lower, value.upper))
        lower, upper = limits  # percentiles are there as they were declared
        found.append(replace(value, name="", column="", minus="", lower=lower, upper=upper))
        column, funnel = columns.get(value.column), steps.get(value.column)
        if column is not None:
            source = plan.sources[column.source]
            measure = source.measures.get(column.measure) if column.measure else None
            found += [
                column.source,
                column.agg,
                measure,
                column.filter,
                *dimension_texts(column.filter, source),
                _bounds(column.bounds),
                _source(plan, column.source),
            ]
        elif funnel is not None:
            found += [funnel.funnel, funnel.columns.index(value.column), _bounds(funnel.bounds)]
            found += [_source(plan, step.source) for step in funnel.funnel.steps]
            for step in funnel.funnel.steps:
                found += dimension_texts(step.filter, plan.sources[step.source])
        else:
            found += [e for e in plan.entry_columns if e.name == value.column]
    return found


def _percentiles(cap: Cap) -> tuple[Any, ...] | None:
    """The percentiles that a cap takes, and of which values; None for a cap at numbers."""
    limits = [x.fraction if isinstance(x, Percentile) else None for x in (cap.lower, cap.upper)]
    return (*limits, cap.zeros) if any(limits) else None


def _bounds(bounds: Bounds) -> tuple[Any, ...]:
    """Without the instants that follow as-of."""
    return (bounds.start, bounds.end, bounds.floor is None, bounds.anchor)


def _source(plan: Plan, name: str) -> list[Any]:
    source = plan.sources[name]
    return [(key, getattr(source, key)) for key in _OF_A_SOURCE]


def _hash(content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]
