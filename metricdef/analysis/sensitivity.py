"""The same tests under another choice, from the same query: declared ones, and the other policy for mixed units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from metricdef.analysis.cells import Level
from metricdef.analysis.estimates import Estimated, estimate_effects
from metricdef.analysis.evidence import Evidence
from metricdef.analysis.families import judge
from metricdef.analysis.look_record import ResultLook
from metricdef.analysis.look_rows import Looking
from metricdef.analysis.observed import View
from metricdef.analysis.readout import EstimateRow
from metricdef.analysis.settings import Settings
from metricdef.compiler.build_plan import FIRST_WEEK
from metricdef.compiler.plan import MetricPlan, Plan


@dataclass(frozen=True, slots=True)
class Analysis:
    """Another choice: how the units are seen, and the metrics that it concerns as they are read then."""

    name: str
    view: View
    metrics: dict[str, MetricPlan]


def compare_analyses(
    view: View,
    settings: Settings,
    main: Sequence[EstimateRow],
    dropped: Sequence[EstimateRow],
    declared: Sequence[str],
    looking: Looking | None = None,
) -> tuple[tuple[dict[str, Any], ...], list[ResultLook]]:
    """Every comparison that another choice concerns, judged in families as large as the main ones, and whether it agrees.

    At a look each analysis has looks of its own; what they saw is to be recorded beside those of the main one.

    Args:
        view: The main analysis's.
        settings: The same levels and corrections hold.
        main: Its judged rows.
        dropped: Rows of metrics that the engine refused, which keep their places.
        declared: `analysis.sensitivity`.
        looking: The look; None for a fixed design.
    """
    verdicts = {(row.metric, row.arm): row.verdict for row in main}
    shown: list[dict[str, Any]] = []
    results: list[ResultLook] = []
    for analysis in _analyses(view, declared):
        rows, seen = _judged(view, analysis, settings, dropped, looking)
        results += seen
        shown += [
            {
                "analysis": analysis.name,
                "metric": row.metric,
                "arm": row.arm,
                "units": row.units,
                "absolute": asdict(row.absolute) if row.absolute else None,
                "p_value": row.p_value,
                "verdict": row.verdict,
                "agrees": row.verdict == verdicts.get((row.metric, row.arm)),
                "reason": row.reason,
            }
            for row in rows
            if row.metric in analysis.metrics
        ]
    return tuple(shown), results


def _analyses(view: View, declared: Sequence[str]) -> Iterator[Analysis]:
    plan = view.cells.plan
    # Order statistics are those of the main analysis, so quantiles have no other.
    sums = {m.name: m for m in plan.metrics if m.quantile is None}
    if any(view.cells.count("units_assigned", arm.name, mixed=True) for arm in plan.arms):
        name = "mixed_excluded" if view.with_mixed else "mixed_first_arm"
        yield Analysis(name, replace(view, with_mixed=not view.with_mixed), sums)
    for name in declared:
        match name:
            case "unadjusted":
                adjusted = {n: m for n, m in sums.items() if m.covariates or plan.strata}
                plain = {n: replace(m, covariates=(), covariate_words={}) for n, m in adjusted.items()}
                yield Analysis(name, replace(_reading(view, plain), strata=False), plain)
            case "uncapped":
                found = {n: _uncapped(m) for n, m in sums.items() if m.caps}
                yield Analysis(name, _reading(view, found), found)
            case "exclude_first_week":
                yield Analysis(name, replace(view, level=Level(FIRST_WEEK, "1")), sums)


def _uncapped(metric: MetricPlan) -> MetricPlan:
    return replace(
        metric, columns=metric.uncapped, residual=metric.uncapped_residual, caps=(), uncapped=(), uncapped_residual=None
    )


def _reading(view: View, metrics: dict[str, MetricPlan]) -> View:
    """The view over a plan that reads these metrics in their other way."""
    plan: Plan = view.cells.plan
    changed = replace(plan, metrics=tuple(metrics.get(m.name, m) for m in plan.metrics))
    return replace(view, cells=replace(view.cells, plan=changed))


def _judged(
    main: View, analysis: Analysis, settings: Settings, dropped: Sequence[EstimateRow], looking: Looking | None
) -> tuple[list[EstimateRow], list[ResultLook]]:
    """All rows, those of other metrics as in the main analysis: they have their places in the families.

    And what a look saw of those that the analysis concerns.
    """
    found: list[Estimated] = []
    results: list[ResultLook] = []
    for metric in analysis.view.cells.plan.metrics:
        concerned = metric.name in analysis.metrics
        view = analysis.view if concerned else main
        own = replace(looking, analysis=analysis.name) if looking is not None and concerned else looking
        estimated = estimate_effects(view, metric, settings, interim=False, looking=own)
        found += estimated
        results += [e.result for e in estimated if concerned and e.result is not None]
    effects = {(e.row.metric, e.row.arm): e.effect for e in found if e.effect is not None}
    rows = [*(e.row for e in found), *dropped]
    judged = judge([replace(row, segment=None) for row in rows], settings, Evidence(analysis.view, effects))
    return judged, results
