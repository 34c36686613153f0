"""Moments to estimates: per metric and arm the effect, its intervals and its raw tests.

Nothing here adjusts for several tests or judges: families.py does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from metricdef.analysis.beside import dilute, steps
from metricdef.analysis.cells import Cells
from metricdef.analysis.hypotheses import raw_tests
from metricdef.analysis.look_record import ResultLook
from metricdef.analysis.look_rows import Looking, Reading, read, with_reading
from metricdef.analysis.observed import Metric, View, is_stratum, observe
from metricdef.analysis.readout import (
    CapPart,
    CapRow,
    EstimateRow,
    Estimator,
    Interval,
    RelativeInterval,
    Response,
)
from metricdef.analysis.sequential_design import ANYTIME_UNITS
from metricdef.analysis.settings import Settings
from metricdef.compiler.plan import MetricPlan
from metricdef.errors import NotComputable
from metricdef.metrics.effect import Effect, Observed
from metricdef.stats import contingency
from metricdef.stats.adjustment import MeanOutcome
from metricdef.stats.anytime import half_width, tuned_rho2
from metricdef.stats.clusters import cluster_guards
from metricdef.stats.guards import guards, quantile_guards
from metricdef.stats.look_times import units_time
from metricdef.stats.moments import Moments
from metricdef.stats.responses import response_test
from metricdef.stats.tails import t_tail, z_tail


@dataclass(frozen=True, slots=True)
class _Pair:
    """One arm beside the baseline."""

    metric: Metric
    settings: Settings
    baseline: Moments
    arm: Moments
    interim: bool
    reading: Reading | None = None

    @property
    def role(self) -> str:
        """The metric's role in the experiment."""
        return self.metric.plan.role

    @property
    def direction(self) -> str | None:
        """Which way is better."""
        return self.metric.plan.metric.direction

    @property
    def alpha(self) -> float:
        """Two-sided level of the row's fixed interval."""
        return self.settings.level(self.role)

    def level(self, effect: Effect) -> float:
        """Level at which to ask for intervals: the row's own, that of a look, or that of an interval valid at any time.

        A confidence sequence is the fixed interval with a wider factor; the level at which Welch's interval has just
        that factor makes Fieller's set follow with it (semantics.md, section 7).
        """
        if self.reading is not None:
            return self.reading.tail or self.alpha
        if not self.interim:
            return self.alpha
        test = effect.superiority(self.alpha)
        units: float = self.baseline.n + self.arm.n
        units = units_time(effect.epochs, units) if effect.epochs else units  # docs/adr/0038-ramps-at-looks.md
        factor = half_width(1.0, units, tuned_rho2(ANYTIME_UNITS, self.alpha), self.alpha)
        level = 2 * (t_tail(factor, test.df) if test.df is not None else z_tail(factor))
        return min(max(level, 1e-300), self.alpha)

    def words(self, names: Sequence[str]) -> tuple[str, ...]:
        """Covariates in the analyst's words; an indicator of missing values where none is missing says nothing."""
        plan = self.metric.plan
        silent = {n for n in names if n.endswith("__missing") and not self._total(n)}
        strata = ("strata",) if any(is_stratum(name) for name in names) else ()
        return *strata, *(plan.covariate_words[n] for n in names if n not in silent and not is_stratum(n))

    def _total(self, column: str) -> float:
        return sum(float(m.total[m.index(column)]) for m in (self.baseline, self.arm))

    def main_p(self, effect: Effect) -> float:
        """P of the row's main hypothesis: non-inferiority for a guardrail, else no effect."""
        tests = {test.hypothesis: test.p_value for test in raw_tests(self.metric.plan, effect, self.settings)[0]}
        return tests.get("non_inferiority", tests["superiority"]) if self.role == "guardrail" else tests["superiority"]


@dataclass(frozen=True, slots=True)
class Estimated:
    """A row, and the effect behind it where it has one: what joint tests and other levels of interval need."""

    row: EstimateRow
    effect: Effect | None
    reading: Reading | None = None
    result: ResultLook | None = None


def estimate_metric(
    view: View, plan: MetricPlan, settings: Settings, *, interim: bool, looking: Looking | None = None
) -> list[EstimateRow]:
    """One row per arm. What cannot be computed is a row that says why; `interim`: anytime intervals and no tests."""
    return [found.row for found in estimate_effects(view, plan, settings, interim=interim, looking=looking)]


def estimate_effects(
    view: View, plan: MetricPlan, settings: Settings, *, interim: bool, looking: Looking | None = None
) -> list[Estimated]:
    """As `estimate_metric`, with the effects; with `looking` by the tests of a look and its repeated intervals."""
    baseline, *others = (arm.name for arm in view.cells.plan.arms)
    metric = observe(view, plan)
    base = metric.arms[baseline]
    rows = {arm: _blank(view, plan, arm, baseline) for arm in others}
    refusal = degenerate_cap(view, plan)
    if isinstance(base, NotComputable) or refusal is not None:
        return [Estimated(_failed(row, refusal or base), None) for row in rows.values()]  # type: ignore[arg-type]  # one is
    treatments = [arm for arm in others if isinstance(metric.arms[arm], Moments)]
    observed = metric.observed([baseline, *treatments])
    outcome = metric.estimated()
    kept = tuple(looking.kept(plan.name, arm) if looking else None for arm in treatments)
    observed = replace(observed, shift=metric.shift(outcome), whole=metric.whole(), kept=kept if any(kept) else ())
    found_of = dict(zip(treatments, plan.metric.effects(observed, outcome, metric.covariates), strict=True))
    plain = plan.metric.effects(observed, outcome, ())
    uncapped = _uncapped(metric, observed)
    others_of = {arm: _Others(a, b) for arm, a, b in zip(treatments, plain, uncapped, strict=True)}
    result = []
    for arm, row in rows.items():
        moments = metric.arms[arm]
        if isinstance(moments, NotComputable):
            result.append(Estimated(_failed(row, moments), None))
            continue
        pair = _Pair(metric, settings, base, moments, interim)
        effect = found_of[arm]
        if looking is not None and looking.tests:
            pair, effect = _at_look(pair, view, row, effect, looking)
        empty = arm if row.units and row.units[0] else baseline
        mixed = None if view.with_mixed else False
        waiting = view.level is None and view.cells.count("units_analysed", empty, mixed=mixed) > 0
        filled = _row(view, row, pair, effect, others_of[arm], waiting=waiting)
        seen = None
        if looking is not None and pair.reading is not None and filled.absolute is not None:
            try:
                filled, seen = with_reading(filled, pair.reading, looking)
            except NotComputable as error:
                filled = _failed(replace(filled, absolute=None, relative=None), error)
        known = None if isinstance(effect, NotComputable) or not filled.absolute else effect
        result.append(Estimated(filled, known, pair.reading, seen))
    return result


def _at_look(
    pair: _Pair, view: View, row: EstimateRow, effect: Effect | NotComputable, looking: Looking
) -> tuple[_Pair, Effect | NotComputable]:
    """The pair as it is read at a look, and its effect or why it has no test there.

    A metric whose units go on accruing outcome is tested at the last look alone.
    """
    plan = pair.metric.plan
    growing = view.cells.plan.block(plan.block).horizon is None
    if growing and (not looking.point.final or looking.design.method == "always_valid"):
        return replace(pair, interim=True), effect
    if isinstance(effect, NotComputable) or not row.units or 0 in row.units:
        return pair, effect
    try:
        found = read(looking, plan, effect, (row.baseline, row.arm), row.units, pair.settings, growing=growing)
    except NotComputable as error:
        return pair, error
    return replace(pair, reading=found), effect


@dataclass(frozen=True, slots=True)
class _Others:
    """The same comparison made another way, shown beside the headline."""

    unadjusted: Effect | NotComputable
    uncapped: Effect | NotComputable | None


def _uncapped(metric: Metric, observed: Observed) -> Sequence[Effect | NotComputable | None]:
    plan = metric.plan
    if not plan.uncapped:
        return [None] * (len(observed.arms) - 1)
    outcome = metric.estimated(capped=False)
    observed = replace(observed, shift=metric.shift(outcome), whole=metric.whole(capped=False))
    return plan.metric.effects(observed, outcome, metric.covariates)


def degenerate_cap(view: View, plan: MetricPlan) -> NotComputable | None:
    """A cap taken from the data that would cut most of what is not 0 says nothing about the metric."""
    for cap in plan.caps:
        lower, upper = (_limit(view.cells, side) for side in (cap.lower, cap.upper))
        if isinstance(cap.upper, str) and upper is not None:
            _, median = view.cells.percentile(cap.upper)
            if upper == 0 or (median is not None and upper <= median):
                what = f"the cap of `{plan.name}` is {upper:g}, at most the median of the values other than 0"
                return NotComputable("cap_degenerate", f"{what}: take a higher percentile, or `zeros: exclude`")
        if lower is not None and upper is not None and lower > upper:
            return NotComputable("cap_degenerate", f"the caps of `{plan.name}` cross: {lower:g} is above {upper:g}")
    return None


def _limit(cells: Cells, limit: float | str | None) -> float | None:
    return cells.percentile(limit)[0] if isinstance(limit, str) else limit


def _blank(view: View, plan: MetricPlan, arm: str, baseline: str) -> EstimateRow:
    level = view.level
    units = tuple(
        view.cells.eligible(plan.block, name, with_mixed=view.with_mixed, level=level) for name in (baseline, arm)
    )
    return EstimateRow(
        metric=plan.name,
        label=plan.metric.label or plan.name,
        format=plan.metric.format,
        direction=plan.metric.direction,
        role=plan.role,
        arm=arm,
        baseline=baseline,
        units=(units[0], units[1]),
        is_share=plan.metric.takes_points,
        equivalence=plan.target.equivalence.text if plan.target.equivalence else None,
        segment={level.dimension: level.value} if level else None,
    )


def suppressed(view: View, plan: MetricPlan, min_units: int) -> list[EstimateRow]:
    """Rows of a level that is too small to be shown: that it is there, and no figure."""
    baseline, *others = (arm.name for arm in view.cells.plan.arms)
    why = NotComputable(
        "suppressed", f"an arm has fewer than {min_units} units with a value here, or at the one other small level"
    )
    return [_failed(replace(_blank(view, plan, arm, baseline), units=None), why) for arm in others]


def _failed(row: EstimateRow, error: NotComputable) -> EstimateRow:
    return replace(row, verdict="not_computed", reason=error.reason, message=error.message)


def _row(
    view: View, row: EstimateRow, pair: _Pair, effect: Effect | NotComputable, others: _Others, *, waiting: bool
) -> EstimateRow:
    assert row.units is not None  # noqa: S101 - only `suppressed` leaves them out
    if 0 in row.units:
        empty = row.baseline if row.units[0] == 0 else row.arm
        if waiting:
            return _failed(row, NotComputable("immature", f"no unit of arm `{empty}` has a complete window yet"))
        return _failed(row, NotComputable("no_units", f"arm `{empty}` has no unit to analyse"))
    row = replace(_with_values(row, pair), steps=steps(view, pair.metric.plan, row), response=_response(pair))
    if isinstance(effect, NotComputable):
        if effect.reason == "zero_denominator" and pair.metric.plan.responded and not pair.metric.clustered:
            return _failed(row, NotComputable("no_values", "no unit of an arm has a value"))
        return _failed(row, effect)
    try:
        base, value = effect.values
        filled = _with_intervals(replace(row, baseline_value=base, arm_value=value), pair, effect)
        if pair.interim:
            filled = replace(
                filled,
                interval_kind="anytime",
                reason="before_planned_end",
                message=_untested(pair),
            )
        else:
            tests, untested = raw_tests(pair.metric.plan, effect, pair.settings)
            filled = replace(filled, tests=tests if pair.reading is None else pair.reading.tests)
            if untested is not None:
                filled = replace(filled, reason=untested.reason, message=f"no test of equivalence: {untested.message}")
    except NotComputable as error:
        return _failed(row, error)
    return replace(
        filled,
        guards=_guards(view, pair, filled),
        cap=_cap(view.cells, pair, others.uncapped),
        unadjusted=_beside(pair, others.unadjusted) if effect.covariates else None,
        # Before the planned end the triggered are those whose window since the trigger is complete, the exposed those
        # whose window since exposure is: their quotient is no share.
        diluted=None
        if pair.interim or (pair.reading and not pair.reading.final)
        else dilute(view, pair.metric.plan, filled),
    )


def _untested(pair: _Pair) -> str:
    return (
        "the experiment has not reached its planned end: interval valid at any time, no test"
        if pair.settings.sequential is None
        else "units go on accruing outcome between looks: no test at this one"
    )


def _guards(view: View, pair: _Pair, row: EstimateRow) -> tuple[str, ...]:
    plan = pair.metric.plan
    few = cluster_guards(pair.arm, pair.baseline) if pair.metric.clustered else ()
    if plan.quantile is not None:
        ranked = [found.statistics.n for arm in (row.baseline, row.arm) if (found := pair.metric.quantiles.get(arm))]
        return *(quantile_guards(ranked, plan.quantile.fraction) if ranked else ()), *few
    std_error = row.absolute.std_error if row.absolute else None
    epochs = [(found[row.arm], found[row.baseline]) for found in pair.metric.epochs.values()]
    level = pair.alpha
    if pair.settings.correction(plan.role).method != "none":
        metrics = sum(m.role == plan.role for m in view.cells.plan.metrics)
        level /= max(1, metrics * (len(view.cells.plan.arms) - 1))
    return *guards(pair.arm, pair.baseline, pair.metric.outcome(), std_error or 0.0, epochs, level), *few


def _response(pair: _Pair) -> Response | None:
    """How many units have a value at all, of a metric that leaves out the others."""
    column = pair.metric.plan.responded
    if column is None or pair.metric.clustered:
        return None
    try:
        test = response_test(pair.arm, pair.baseline, column)
    except NotComputable:
        return None
    return Response(test.baseline, test.arm, test.p_value)


def _with_values(row: EstimateRow, pair: _Pair) -> EstimateRow:
    """Plain arm means where there are units, so that a row without an effect still shows what was seen."""
    if pair.metric.plan.quantile is not None:
        return row
    outcome = pair.metric.outcome()
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
    margin = pair.metric.plan.target.margin
    estimator = Estimator(
        name=effect.estimator,
        covariates=pair.words(effect.covariates),
        dropped=pair.words(effect.dropped),
        variance_reduction=effect.variance_reduction,
        confidence=round(1 - pair.alpha, 12),
        margin=margin.text if margin else None,
        left_out=effect.left_out,
    )
    interval = Interval(absolute.estimate, absolute.std_error, absolute.lower, absolute.upper)
    return replace(row, absolute=interval, relative=relative, estimator=estimator)


def _cap(cells: Cells, pair: _Pair, uncapped: Effect | NotComputable | None) -> CapRow | None:
    """The caps, how unevenly they cut, and the same comparison without them."""
    parts = []
    for cap in pair.metric.plan.caps:
        counts = tuple(int(m.capped[m.index(cap.column)]) for m in (pair.baseline, pair.arm))
        try:
            # Of clusters the moments count clusters, and the cap cuts units.
            p_value = (
                None
                if pair.metric.clustered
                else contingency.homogeneity(counts, (pair.baseline.n, pair.arm.n)).p_value
            )
        except NotComputable:
            p_value = None  # nobody was cut, or everybody
        lower, upper = _limit(cells, cap.lower), _limit(cells, cap.upper)
        parts.append(CapPart(cap.part, lower, upper, (counts[0], counts[1]), p_value))
    return CapRow(tuple(parts), None if uncapped is None else _beside(pair, uncapped)) if parts else None


def _beside(pair: _Pair, effect: Effect | NotComputable) -> dict[str, Any] | None:
    """A second estimate of the same comparison, shown beside the headline; no p before the planned end."""
    if isinstance(effect, NotComputable):
        return None
    try:
        absolute = effect.absolute(pair.level(effect))
        # Before the planned end and at looks another analysis has an interval and no test of its own.
        p_value = None if pair.interim or pair.reading else pair.main_p(effect)
    except NotComputable:
        return None
    return {"estimator": effect.estimator, **asdict(absolute), "p_value": p_value}
