"""Moments to estimates: per metric and arm the effect, its intervals and its raw tests.

Nothing here adjusts for several tests or judges: families.py does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from metricdef.analysis.cells import Cells
from metricdef.analysis.readout import CapPart, CapRow, EstimateRow, Estimator, Interval, RelativeInterval, TestRow
from metricdef.analysis.settings import Settings
from metricdef.compiler.plan import MetricPlan
from metricdef.errors import NotComputable
from metricdef.metrics.effect import Effect
from metricdef.metrics.fields import Size
from metricdef.stats import effects, srm
from metricdef.stats.adjustment import MeanOutcome
from metricdef.stats.anytime import half_width, tuned_rho2
from metricdef.stats.guards import guards
from metricdef.stats.moments import Moments
from metricdef.stats.tails import t_tail, z_tail

ANYTIME_UNITS = 10_000  # the sample size at which interim intervals are tightest; fixed in advance for all experiments


@dataclass(frozen=True, slots=True)
class _Pair:
    """One arm beside the baseline."""

    metric: MetricPlan
    settings: Settings
    baseline: Moments
    arm: Moments
    interim: bool

    @property
    def alpha(self) -> float:
        """Two-sided level of the row's fixed interval."""
        return self.settings.level(self.metric.role)

    def level(self, effect: Effect) -> float:
        """Level at which to ask for intervals: the row's own, or that of an interval valid at any time.

        A confidence sequence is the fixed interval with a wider factor; the level at which Welch's interval has just
        that factor makes Fieller's set follow with it (semantics.md, section 7).
        """
        if not self.interim:
            return self.alpha
        test = effect.superiority(self.alpha)
        factor = half_width(1.0, self.baseline.n + self.arm.n, tuned_rho2(ANYTIME_UNITS, self.alpha), self.alpha)
        level = 2 * (t_tail(factor, test.df) if test.df is not None else z_tail(factor))
        return min(max(level, 1e-300), self.alpha)

    def words(self, names: Sequence[str]) -> tuple[str, ...]:
        """Covariates in the analyst's words; an indicator of missing values where none is missing says nothing."""
        silent = {n for n in names if n.endswith("__missing") and not self._total(n)}
        return tuple(self.metric.covariate_words[name] for name in names if name not in silent)

    def _total(self, column: str) -> float:
        return sum(float(m.total[m.index(column)]) for m in (self.baseline, self.arm))

    def main_p(self, effect: Effect) -> float:
        """P of the row's main hypothesis: non-inferiority for a guardrail, else no effect."""
        tests = {test.hypothesis: test.p_value for test in _tests(self, effect)}
        return (
            tests.get("non_inferiority", tests["superiority"])
            if self.metric.role == "guardrail"
            else tests["superiority"]
        )


def estimate_metric(
    cells: Cells, metric: MetricPlan, settings: Settings, *, with_mixed: bool, interim: bool
) -> list[EstimateRow]:
    """One row per arm. What cannot be computed is a row that says why; `interim`: anytime intervals and no tests."""
    baseline, *others = (arm.name for arm in cells.plan.arms)
    found = {arm: _arm_moments(cells, metric, arm, with_mixed=with_mixed) for arm in (baseline, *others)}
    base = found[baseline]
    usable = {arm: moments for arm, moments in found.items() if not isinstance(moments, NotComputable)}
    rows = {arm: _blank(cells, metric, arm, baseline, with_mixed) for arm in others}
    if isinstance(base, NotComputable):
        return [_failed(row, base) for row in rows.values()]
    treatments = [arm for arm in others if arm in usable]
    arms = [base, *(usable[arm] for arm in treatments)]
    found_of = dict(zip(treatments, metric.metric.effects(arms, metric.columns, metric.covariates), strict=True))
    plain = metric.metric.effects(arms, metric.columns, ())
    uncapped = _uncapped(metric, arms)
    others_of = {arm: _Others(a, b) for arm, a, b in zip(treatments, plain, uncapped, strict=True)}
    result = []
    for arm, row in rows.items():
        moments = found[arm]
        if isinstance(moments, NotComputable):
            result.append(_failed(row, moments))
            continue
        pair = _Pair(metric, settings, base, moments, interim)
        empty = arm if row.units[0] else baseline
        waiting = cells.count("units_analysed", empty, mixed=None if with_mixed else False) > 0
        result.append(_row(row, pair, found_of[arm], others_of[arm], waiting=waiting))
    return result


@dataclass(frozen=True, slots=True)
class _Others:
    """The same comparison made another way, shown beside the headline."""

    unadjusted: Effect | NotComputable
    uncapped: Effect | NotComputable | None


def _uncapped(metric: MetricPlan, arms: Sequence[Moments]) -> Sequence[Effect | NotComputable | None]:
    if not metric.uncapped:
        return [None] * (len(arms) - 1)
    return metric.metric.effects(arms, metric.uncapped, metric.covariates)


def _arm_moments(cells: Cells, metric: MetricPlan, arm: str, *, with_mixed: bool) -> Moments | NotComputable:
    columns = tuple(dict.fromkeys((*metric.columns, *metric.covariates, *metric.uncapped)))
    try:
        return cells.moments(metric.block, columns, arm, with_mixed=with_mixed)
    except NotComputable as error:
        return error


def _blank(cells: Cells, metric: MetricPlan, arm: str, baseline: str, with_mixed: bool) -> EstimateRow:
    return EstimateRow(
        metric=metric.name,
        label=metric.metric.label or metric.name,
        format=metric.metric.format,
        direction=metric.metric.direction,
        role=metric.role,
        arm=arm,
        baseline=baseline,
        units=(
            cells.eligible(metric.block, baseline, with_mixed=with_mixed),
            cells.eligible(metric.block, arm, with_mixed=with_mixed),
        ),
        is_share=metric.metric.takes_points,
    )


def _failed(row: EstimateRow, error: NotComputable) -> EstimateRow:
    return replace(row, verdict="not_computed", reason=error.reason, message=error.message)


def _row(
    row: EstimateRow, pair: _Pair, effect: Effect | NotComputable, others: _Others, *, waiting: bool
) -> EstimateRow:
    if 0 in row.units:
        empty = row.baseline if row.units[0] == 0 else row.arm
        if waiting:
            return _failed(row, NotComputable("immature", f"no unit of arm `{empty}` has a complete window yet"))
        return _failed(row, NotComputable("no_units", f"arm `{empty}` has no unit to analyse"))
    row = _with_values(row, pair)
    if isinstance(effect, NotComputable):
        return _failed(row, effect)
    try:
        base, value = effect.values
        filled = _with_intervals(replace(row, baseline_value=base, arm_value=value), pair, effect)
        if pair.interim:
            filled = replace(
                filled,
                interval_kind="anytime",
                reason="before_planned_end",
                message="the experiment has not reached its planned end: interval valid at any time, no test",
            )
        else:
            filled = replace(filled, tests=tuple(_tests(pair, effect)))
    except NotComputable as error:
        return _failed(row, error)
    outcome = pair.metric.metric.outcome(pair.metric.columns)
    std_error = filled.absolute.std_error if filled.absolute else None
    return replace(
        filled,
        guards=guards(pair.arm, pair.baseline, outcome, std_error or 0.0),
        cap=_cap(pair, others.uncapped),
        unadjusted=_beside(pair, others.unadjusted) if effect.covariates else None,
    )


def _with_values(row: EstimateRow, pair: _Pair) -> EstimateRow:
    """Plain arm means where there are units, so that a row without an effect still shows what was seen."""
    outcome = pair.metric.metric.outcome(pair.metric.columns)
    values: list[float | None] = []
    for arm in (pair.baseline, pair.arm):
        if isinstance(outcome, MeanOutcome):
            values.append(float(arm.mean[arm.index(outcome.column)]))
        else:
            base = float(arm.mean[arm.index(outcome.denominator)])
            values.append(float(arm.mean[arm.index(outcome.numerator)]) / base if base else None)
    return replace(row, baseline_value=values[0], arm_value=values[1])


def _with_intervals(row: EstimateRow, pair: _Pair, effect: Effect) -> EstimateRow:
    level = pair.level(effect)
    absolute = effect.absolute(level)
    try:
        found = effect.relative(level)
        relative: RelativeInterval | None = RelativeInterval(
            found.estimate, found.lower, found.upper, found.method, found.shape, found.excluded
        )
    except NotComputable:
        relative = None
    margin = pair.metric.target.margin
    estimator = Estimator(
        name=effect.estimator,
        covariates=pair.words(effect.covariates),
        dropped=pair.words(effect.dropped),
        variance_reduction=effect.variance_reduction,
        confidence=round(1 - pair.alpha, 12),
        margin=margin.text if margin else None,
    )
    interval = Interval(absolute.estimate, absolute.std_error, absolute.lower, absolute.upper)
    return replace(row, absolute=interval, relative=relative, estimator=estimator)


def _tests(pair: _Pair, effect: Effect) -> Iterator[TestRow]:
    """Raw tests; adjusted p and rejection are those of a family of one until families.py has been there."""
    settings, metric = pair.settings, pair.metric
    good_is_more = metric.metric.direction != "decrease"
    yield _test("superiority", "absolute", 0.0, effect.superiority(pair.alpha), pair.alpha)
    if metric.target.margin is not None:
        alpha = settings.non_inferiority_alpha
        null, relative = signed_margin(metric.target.margin, -1 if good_is_more else 1)
        test = effect.one_sided(null, good_is_more, alpha, relative)
        if relative is None:
            yield _test("non_inferiority", "absolute", null, test, alpha)
        else:
            yield _test("non_inferiority", "relative", relative, test, alpha)
    if metric.role != "secondary":
        alpha = settings.deterioration_alpha
        yield _test("deterioration", "absolute", 0.0, effect.one_sided(0.0, not good_is_more, alpha), alpha)


def _test(
    hypothesis: Literal["superiority", "non_inferiority", "deterioration"],
    kind: Literal["absolute", "relative"],
    null: float,
    test: effects.Test,
    alpha: float,
) -> TestRow:
    return TestRow(
        hypothesis=hypothesis,
        null=null,
        null_kind=kind,
        sidedness=test.sidedness,
        alpha=alpha,
        statistic=test.statistic,
        df=test.df,
        p_value=test.p_value,
        p_adjusted=None,
        family=None,
        procedure="none",
        rejected=False,
    )


def signed_margin(size: Size, sign: int) -> tuple[float, float | None]:
    """A size as (absolute null, None) or (0, relative null), with the sign given."""
    if size.kind == "relative":
        return 0.0, sign * size.value
    return sign * size.value, None


def _cap(pair: _Pair, uncapped: Effect | NotComputable | None) -> CapRow | None:
    """The caps, how unevenly they cut, and the same comparison without them."""
    parts = []
    for cap in pair.metric.caps:
        counts = tuple(int(m.capped[m.index(cap.column)]) for m in (pair.baseline, pair.arm))
        try:
            p_value: float | None = srm.homogeneity(counts, (pair.baseline.n, pair.arm.n))
        except NotComputable:
            p_value = None  # nobody was cut, or everybody
        parts.append(CapPart(cap.part, cap.lower, cap.upper, (counts[0], counts[1]), p_value))
    return CapRow(tuple(parts), None if uncapped is None else _beside(pair, uncapped)) if parts else None


def _beside(pair: _Pair, effect: Effect | NotComputable) -> dict[str, Any] | None:
    """A second estimate of the same comparison, shown beside the headline; no p before the planned end."""
    if isinstance(effect, NotComputable):
        return None
    try:
        absolute = effect.absolute(pair.level(effect))
        p_value = None if pair.interim else pair.main_p(effect)
    except NotComputable:
        return None
    return {"estimator": effect.estimator, **asdict(absolute), "p_value": p_value}
