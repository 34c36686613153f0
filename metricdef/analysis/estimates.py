"""Moments to estimates: per metric and arm the effect, its intervals and its raw tests.

Nothing here adjusts for several tests or judges: families.py does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from metricdef.analysis.cells import Cells
from metricdef.analysis.readout import CapRow, EstimateRow, Estimator, Interval, RelativeInterval, TestRow
from metricdef.analysis.settings import Settings
from metricdef.compiler.plan import MetricPlan
from metricdef.errors import NotComputable
from metricdef.metrics.effect import Effect
from metricdef.metrics.fields import Size
from metricdef.stats import effects
from metricdef.stats.adjustment import MeanOutcome
from metricdef.stats.anytime import half_width, tuned_rho2
from metricdef.stats.guards import guards
from metricdef.stats.moments import Moments
from metricdef.stats.tails import t_tail, z_tail

ANYTIME_UNITS = 10_000  # the sample size at which interim intervals are tightest; fixed in advance for all experiments


def estimate_metric(
    cells: Cells, metric: MetricPlan, settings: Settings, *, with_mixed: bool, interim: bool
) -> list[EstimateRow]:
    """One row per arm. What cannot be computed is a row that says why; `interim`: anytime intervals and no tests."""
    baseline, *others = (arm.name for arm in cells.plan.arms)
    rows = [_blank(cells, metric, arm, baseline, with_mixed) for arm in others]
    columns = tuple(dict.fromkeys((*metric.columns, *metric.covariates)))
    try:
        arms = [cells.moments(metric.block, columns, arm, with_mixed=with_mixed) for arm in (baseline, *others)]
    except NotComputable as error:
        return [_failed(row, error) for row in rows]
    found = metric.metric.effects(arms, metric.columns, metric.covariates)
    plain = metric.metric.effects(arms, metric.columns, ()) if metric.covariates else found
    fill = _interim if interim else _final
    return [
        _fill(fill, row, metric, settings, arms, position, effect, unadjusted)
        for position, (row, effect, unadjusted) in enumerate(zip(rows, found, plain, strict=True), 1)
    ]


def _blank(cells: Cells, metric: MetricPlan, arm: str, baseline: str, with_mixed: bool) -> EstimateRow:
    units = (
        cells.eligible(metric.block, baseline, with_mixed=with_mixed),
        cells.eligible(metric.block, arm, with_mixed=with_mixed),
    )
    return EstimateRow(
        metric.name,
        metric.metric.label or metric.name,
        metric.metric.format,
        metric.metric.direction,
        metric.role,
        arm,
        baseline,
        units,
        metric.metric.takes_points,
    )


def _failed(row: EstimateRow, error: NotComputable) -> EstimateRow:
    return replace(row, verdict="not_computed", reason=error.reason, message=error.message)


Fill = Callable[[EstimateRow, MetricPlan, Settings, Effect], EstimateRow]


def _fill(
    fill: Fill,
    row: EstimateRow,
    metric: MetricPlan,
    settings: Settings,
    arms: Sequence[Moments],
    position: int,
    effect: Effect | NotComputable,
    plain: Effect | NotComputable,
) -> EstimateRow:
    if 0 in row.units:
        empty = row.baseline if row.units[0] == 0 else row.arm
        return _failed(row, NotComputable("no_units", f"no unit of arm `{empty}` is eligible for this metric"))
    if isinstance(effect, NotComputable):
        return _failed(_with_values(row, metric, arms, position), effect)
    try:
        base, value = effect.values
        row = replace(row, baseline_value=base, arm_value=value, cap=_cap(metric, arms[0], arms[position]))
        filled = fill(row, metric, settings, effect)
    except NotComputable as error:
        return _failed(_with_values(row, metric, arms, position), error)
    warnings = guards(
        arms[position],
        arms[0],
        metric.metric.outcome(metric.columns),
        filled.absolute.std_error if filled.absolute and filled.absolute.std_error else 0.0,
    )
    unadjusted = (
        _unadjusted(plain, settings.level(metric.role))
        if effect.covariates and not isinstance(plain, NotComputable)
        else None
    )
    return replace(filled, guards=warnings, unadjusted=unadjusted)


def _with_values(row: EstimateRow, metric: MetricPlan, arms: Sequence[Moments], position: int) -> EstimateRow:
    """Plain arm means where there are units, so that a row without an effect still shows what was seen."""
    outcome = metric.metric.outcome(metric.columns)
    values = []
    for arm in (arms[0], arms[position]):
        if isinstance(outcome, MeanOutcome):
            values.append(float(arm.mean[arm.index(outcome.column)]) if arm.n else None)
        else:
            base = float(arm.mean[arm.index(outcome.denominator)])
            values.append(float(arm.mean[arm.index(outcome.numerator)]) / base if base else None)
    return replace(row, baseline_value=values[0], arm_value=values[1])


def _final(row: EstimateRow, metric: MetricPlan, settings: Settings, effect: Effect) -> EstimateRow:
    alpha = settings.level(metric.role)
    row = _intervals(row, metric, settings, effect, alpha)
    return replace(row, tests=tuple(_tests(metric, settings, effect)))


def _interim(row: EstimateRow, metric: MetricPlan, settings: Settings, effect: Effect) -> EstimateRow:
    """Before the planned end: an interval that holds at any time, no p, no verdict (semantics.md, section 7)."""
    alpha = settings.level(metric.role)
    test = effect.superiority(alpha)
    factor = half_width(1.0, sum(row.units), tuned_rho2(ANYTIME_UNITS, alpha), alpha)
    # The level at which the fixed interval has exactly this half width; Fieller's set follows with the same factor.
    level = 2 * (t_tail(factor, test.df) if test.df is not None else z_tail(factor))
    row = _intervals(row, metric, settings, effect, min(max(level, 1e-300), alpha))
    return replace(
        row,
        interval_kind="anytime",
        reason="before_planned_end",
        message="the experiment has not reached its planned end: interval valid at any time, no test",
    )


def _intervals(row: EstimateRow, metric: MetricPlan, settings: Settings, effect: Effect, alpha: float) -> EstimateRow:
    absolute = effect.absolute(alpha)
    try:
        relative: RelativeInterval | None = _relative(effect.relative(alpha))
    except NotComputable:
        relative = None
    margin = metric.target.margin
    confidence = round(1 - settings.level(metric.role), 12)
    estimator = Estimator(
        effect.estimator,
        effect.covariates,
        effect.dropped,
        effect.variance_reduction,
        confidence,
        margin.text if margin else None,
    )
    interval = Interval(absolute.estimate, absolute.std_error, absolute.lower, absolute.upper)
    return replace(row, absolute=interval, relative=relative, estimator=estimator)


def _relative(found: effects.Relative) -> RelativeInterval:
    return RelativeInterval(found.estimate, found.lower, found.upper, found.method, found.shape, found.excluded)


def _tests(metric: MetricPlan, settings: Settings, effect: Effect) -> Iterator[TestRow]:
    """Raw tests; adjusted p and rejection are those of a family of one until families.py has been there."""
    good_is_more = metric.metric.direction != "decrease"
    alpha = settings.level(metric.role)
    yield _row("superiority", "absolute", 0.0, effect.superiority(alpha), alpha)
    if metric.target.margin is not None:
        null, relative = signed_margin(metric.target.margin, -1 if good_is_more else 1)
        test = effect.one_sided(null, good_is_more, settings.non_inferiority_alpha, relative)
        yield _row(
            "non_inferiority",
            "absolute" if relative is None else "relative",
            null if relative is None else relative,
            test,
            settings.non_inferiority_alpha,
        )
    if metric.role != "secondary":
        test = effect.one_sided(0.0, not good_is_more, settings.deterioration_alpha)
        yield _row("deterioration", "absolute", 0.0, test, settings.deterioration_alpha)


def _row(hypothesis: Any, kind: Any, null: float, test: effects.Test, alpha: float) -> TestRow:
    return TestRow(
        hypothesis,
        null,
        kind,
        test.sidedness,
        alpha,
        test.statistic,
        test.df,
        test.p_value,
        None,
        None,
        "none",
        rejected=False,
    )


def signed_margin(size: Size, sign: int) -> tuple[float, float | None]:
    """A size as (absolute null, None) or (0, relative null), with the sign given."""
    if size.kind == "relative":
        return 0.0, sign * size.value
    return sign * size.value, None


def _cap(metric: MetricPlan, baseline: Moments, arm: Moments) -> CapRow | None:
    if metric.cap is None or (metric.cap[0] is None and metric.cap[1] is None):
        return None
    column = metric.columns[0]
    return CapRow(
        metric.cap[0], metric.cap[1], (int(baseline.capped[baseline.index(column)]), int(arm.capped[arm.index(column)]))
    )


def _unadjusted(effect: Effect, alpha: float) -> dict[str, Any] | None:
    """The same comparison without covariates, beside the adjusted one."""
    try:
        absolute, test = effect.absolute(alpha), effect.superiority(alpha)
    except NotComputable:
        return None
    return {
        "estimator": effect.estimator,
        **asdict(absolute),
        "p_value": test.p_value if math.isfinite(test.p_value) else None,
    }
