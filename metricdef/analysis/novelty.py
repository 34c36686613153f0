"""Whether effects fade or grow with the days since exposure: shown beside the estimates, never part of a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from metricdef.analysis.estimates import degenerate_cap
from metricdef.analysis.observed import View, is_stratum, observe
from metricdef.analysis.readout import EstimateRow
from metricdef.analysis.settings import Settings
from metricdef.compiler.plan import MetricPlan
from metricdef.errors import NotComputable
from metricdef.metrics.effect import Effect, adjusted_effects
from metricdef.stats.adjustment import MeanOutcome
from metricdef.stats.moments import Moments
from metricdef.stats.novelty import sum_of_squares


def novelty_rows(view: View, settings: Settings, rows: Sequence[EstimateRow]) -> Iterator[dict[str, Any]]:
    """The slope of every effect that `analysis.novelty` asks for, by the default estimator, with p and interval.

    b_i = s_i / sum w_d^2 is the least-squares slope of unit i's daily values over its complete window, so the difference
    of its means is the slope of the daily effects (`stats.novelty`), within epochs and strata like the metric itself.

    Args:
        view: Which units.
        settings: The level of the intervals.
        rows: Judged, of the same view: with their sign a slope fades or grows.
    """
    effects = {(row.metric, row.arm): row.absolute.estimate for row in rows if row.absolute and row.segment is None}
    for plan in view.cells.plan.metrics:
        if plan.novelty is not None:
            for arm, found in _slopes(view, plan).items():
                yield _row(plan, plan.novelty[1], arm, found, effects.get((plan.name, arm)), settings)


def _slopes(view: View, plan: MetricPlan) -> dict[str, Effect | NotComputable]:
    """The effect on the weighed daily values, per arm beside the baseline."""
    assert plan.novelty is not None  # noqa: S101 - asked by the caller
    column, _ = plan.novelty
    own = replace(plan, columns=(column,), residual=None, uncapped=(), uncapped_residual=None, caps=(), steps=())
    metric = observe(view, own)
    baseline, *others = (arm.name for arm in view.cells.plan.arms)
    refused = {arm: m for arm, m in metric.arms.items() if isinstance(m, NotComputable)}
    why = degenerate_cap(view, plan) or refused.get(baseline)
    if why is not None:
        return dict.fromkeys(others, why)
    usable = [arm for arm in others if isinstance(metric.arms[arm], Moments)]
    found = adjusted_effects(metric.observed([baseline, *usable]), MeanOutcome(column), metric.covariates)
    known = dict(zip(usable, found, strict=True))
    return {arm: refused[arm] if arm in refused else known[arm] for arm in others}


def _row(
    plan: MetricPlan, days: int, arm: str, effect: Effect | NotComputable, whole: float | None, settings: Settings
) -> dict[str, Any]:
    row: dict[str, Any] = {"metric": plan.name, "arm": arm, "days": days, "slope": None, "p_value": None}
    row |= {"last_less_first": None, "course": None, "estimator": None, "covariates": (), "reason": None}
    alpha = 1 - settings.confidence
    try:
        if isinstance(effect, NotComputable):
            raise effect
        found, test = effect.absolute(alpha), effect.superiority(alpha)
    except NotComputable as error:
        return row | {"reason": error.reason}
    unit = sum_of_squares(days)
    figures = ("estimate", "std_error", "lower", "upper")
    values = {name: None if (x := getattr(found, name)) is None else x / unit for name in figures}
    course = None
    if whole and test.p_value <= alpha:
        course = "grows" if (found.estimate > 0) == (whole > 0) else "fades"
    return row | {
        "slope": values,
        "p_value": test.p_value,
        "last_less_first": found.estimate / unit * (days - 1),
        "course": course,
        "estimator": effect.estimator,
        "covariates": tuple(plan.covariate_words[name] for name in effect.covariates if not is_stratum(name)),
    }
