"""One comparison at a look: its tests, its interval, and what of it is recorded (semantics.md, section 7)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from metricdef.analysis.hypotheses import one_sided_scores, raw_tests
from metricdef.analysis.look_agreement import disagreement, withheld
from metricdef.analysis.look_meaning import with_steps
from metricdef.analysis.look_record import ResultLook, SideLook
from metricdef.analysis.look_tracks import information_of, track_of
from metricdef.analysis.readout import EstimateRow, Interval, LookTest, TestRow
from metricdef.analysis.schedule import LookPoint
from metricdef.analysis.sequential_design import ANYTIME_UNITS, SequentialDesign
from metricdef.analysis.sequential_tests import (
    MIN_UNITS,
    Monitor,
    Track,
    critical_value,
    intersect,
    look_p,
    monitor,
    two_sided_tail,
)
from metricdef.analysis.settings import Settings
from metricdef.compiler.plan import MetricPlan, Plan
from metricdef.errors import NotComputable
from metricdef.metrics.effect import Effect

LOOKS_APART = "looks-apart"  # a guard: the present estimate, or relative interval, is not what all looks leave


@dataclass(frozen=True, slots=True)
class Looking:
    """A run of a sequential design.

    Attributes:
        design: As declared.
        point: Which look it is.
        shares: Of the arms, for the planned units of a pair.
        harm_only: The run is no look: only deterioration is tested, which is valid at any time, and nothing is shown.
        meanings: By metric and arm, of today's definitions, less the steps of a ramp.
        tests: Not for the days of a series, which only keep the estimators that looks have chosen.
        plan: What was executed.
        analysis: Which sensitivity analysis is read; empty for the main one.
    """

    design: SequentialDesign
    point: LookPoint
    shares: Mapping[str, float]
    harm_only: bool = False
    meanings: Mapping[tuple[str, str], str] = field(default_factory=dict)
    tests: bool = True
    plan: Plan | None = None
    analysis: str = ""

    @property
    def clustered(self) -> bool:
        """Whether clusters are the units: the joint law of their looks is not known (semantics.md, section 7)."""
        return self.plan is not None and self.plan.cluster is not None

    def meaning(self, key: tuple[str, str], as_of: datetime) -> str:
        """What a look of a metric and arm as of an instant means by today's definitions."""
        found = self.meanings.get(key, "")
        return found if self.plan is None else with_steps(found, self.plan, as_of)

    def planned_units(self, baseline: str, arm: str) -> float:
        """Units of a pair of arms by the end, or the default size that intervals are tuned to."""
        if self.design.planned_units is None:
            return ANYTIME_UNITS
        return self.design.planned_units * (self.shares[baseline] + self.shares[arm])

    def earlier(self, metric: str, arm: str) -> list[tuple[float | None, ResultLook]]:
        """What earlier looks saw of a comparison, each with its fraction of the plan."""
        found = [(record.fraction, record.result(metric, arm, self.analysis)) for record in self.point.earlier]
        return [(fraction, result) for fraction, result in found if result is not None]

    def tuned(self, metric: str, arm: str, baseline: str) -> float:
        """Units for which a test valid at any time is tightest: fixed by the first look, whatever an amendment says."""
        known = [result.tuned for _, result in self.earlier(metric, arm)]
        return next((found for found in known if found is not None), self.planned_units(baseline, arm))

    def kept(self, metric: str, arm: str) -> str | None:
        """The estimator that the first look chose."""
        earlier = self.earlier(metric, arm)
        return earlier[0][1].estimator if earlier else None


@dataclass(frozen=True, slots=True)
class Reading:
    """How one comparison is read at a look.

    Attributes:
        tests: With p-values over all looks so far.
        untested: Why a declared equivalence has no test.
        main: How the tests of the row's own level spend it.
        harm: How deterioration spends its level.
        track: The looks so far.
        past: What the earlier ones of them recorded, with the fraction of the plan.
        level: One-sided level of the row's interval.
        critical: The normal score at which that interval ends; inf where the look spends nothing.
        result: What is recorded, its interval still to be filled in.
        final: Nothing is left to look at.
    """

    tests: tuple[TestRow, ...]
    untested: NotComputable | None
    main: Monitor
    harm: Monitor
    track: Track
    past: tuple[tuple[float | None, ResultLook], ...]
    level: float
    critical: float
    result: ResultLook
    final: bool

    @property
    def tail(self) -> float | None:
        """Level of the fixed interval that ends at the critical value; None where there is none."""
        return two_sided_tail(self.critical) if math.isfinite(self.critical) else None


def read(
    looking: Looking,
    plan: MetricPlan,
    effect: Effect,
    pair: tuple[str, str],
    units: tuple[int, int],
    settings: Settings,
    *,
    growing: bool,
) -> Reading:
    """Test one comparison at a look.

    Args:
        looking: The run.
        plan: The metric.
        effect: Of the arm against the baseline, by the estimator that the first look chose.
        pair: Names of baseline and arm.
        units: Of both.
        settings: The protocol.
        growing: Whether units go on accruing outcome between looks. Then only the final look tests, as a fixed design.

    Raises:
        NotComputable: Where the effect has no test.
    """
    earlier = [] if growing else looking.earlier(plan.name, pair[1])
    _check_past(looking, (plan.name, pair[1]), earlier)
    absolute = effect.absolute(settings.level(plan.role))
    information = information_of(effect, absolute.std_error, units)
    time, track = track_of(looking, plan, effect, earlier, information, units, growing=growing)
    planned = looking.tuned(plan.name, pair[1], pair[0])
    share = 0.0 if growing else looking.design.anytime_share
    level = settings.level(plan.role) / 2
    main = monitor(looking.design.rule, share, level, planned)
    harm = _harm(looking, settings, planned)
    found, untested = raw_tests(plan, effect, settings)
    tests: list[TestRow] = []
    sides: dict[str, SideLook] = {}
    for test in found:
        is_harm = test.hypothesis == "deterioration"
        if looking.harm_only and not is_harm:
            continue
        own = harm if is_harm else monitor(looking.design.rule, share, _one_sided(test), planned)
        z = one_sided_scores(test, plan, effect)
        p_values = {
            # The losing side of a two-sided test has a p above 1/2 at this look, which twice it makes 1.
            name: min(
                1.0 if test.hypothesis == "superiority" and score < 0 else look_p(own, track, score, _one_sided(test)),
                *_before(earlier, test, name),
            )
            for name, score in z.items()
        }
        tests.append(_tested(test, z, p_values, information, anytime=is_harm and not looking.clustered))
        sides |= {_side(test, name): SideLook(z[name], p_values[name]) for name in z}
    df = effect.superiority(settings.level(plan.role)).df
    result = ResultLook(
        plan.name, pair[1], sum(units), effect.estimator, information, absolute.estimate, absolute.std_error, df,
        None, None, None, sides, _meaning_now(looking, (plan.name, pair[1])), track.ready,
        time=time, epochs=effect.epochs, tuned=planned, analysis=looking.analysis,
    )  # fmt: skip
    critical = critical_value(main, track, level)
    return Reading(
        tuple(tests), untested, main, harm, track, tuple(earlier), level, critical, result, looking.point.final
    )


def _harm(looking: Looking, settings: Settings, planned: float) -> Monitor:
    """Deterioration is tested at every run, by a test valid at any time; of clusters at looks (docs/adr/0039-clusters-at-looks.md)."""
    if looking.clustered:
        return monitor(looking.design.rule, 0.0, settings.deterioration_alpha, planned)
    return monitor(None, 1.0, settings.deterioration_alpha, planned)


def _meaning_now(looking: Looking, key: tuple[str, str]) -> str:
    return looking.meanings.get(key, "") if looking.plan is None else looking.meaning(key, looking.plan.as_of)


def _check_past(looking: Looking, key: tuple[str, str], earlier: list[tuple[float | None, ResultLook]]) -> None:
    """Refuse to read looks together that tested something else, and a replay of what was not recorded."""
    recorded = looking.point.recorded
    looks = looking.point.earlier if earlier else ()
    if recorded is not None:
        if recorded.result(*key, looking.analysis) is None:
            raise NotComputable(
                "not_recorded", "the look was recorded without it, so later looks would not count its test"
            )
        looks = (*looks, recorded)
    for record in looks:
        past = record.result(*key, looking.analysis)
        if past is not None and past.meaning != looking.meaning(key, record.as_of):
            raise NotComputable(
                "other_definition",
                "it was defined otherwise at an earlier look: tests of the two can't be read together",
            )


def _one_sided(test: TestRow) -> float:
    """The level of one side of a test."""
    return test.alpha / 2 if test.sidedness == "two-sided" else test.alpha


def _side(test: TestRow, name: str) -> str:
    return test.hypothesis if name == "one" else f"{test.hypothesis}:{name}"


def _before(earlier: list[tuple[float | None, ResultLook]], test: TestRow, name: str) -> list[float]:
    """The p-values of a one-sided test at earlier looks, and 1."""
    key = _side(test, name)
    return [1.0, *(result.sides[key].p_value for _, result in earlier if key in result.sides)]


def _tested(
    test: TestRow, z: dict[str, float], p_values: dict[str, float], information: float, *, anytime: bool
) -> TestRow:
    """The test with its p over all looks: two-sided twice the smaller side, equivalence the larger, else its own."""
    direction = None
    if test.hypothesis == "superiority":
        direction = min(p_values, key=lambda name: (p_values[name], -z[name]))
        p_value = min(1.0, 2 * p_values[direction])
    else:
        p_value = max(p_values.values())
    return replace(
        test,
        p_value=p_value,
        kind="anytime" if anytime else "sequential",
        direction=direction,  # type: ignore[arg-type]  # greater or less
        look=LookTest(z, p_values, information),
    )


def with_reading(row: EstimateRow, reading: Reading, looking: Looking) -> tuple[EstimateRow, ResultLook]:
    """The row with its tests and the interval that all looks so far leave, and what is recorded of this look.

    `row` has the intervals of this look alone, at `reading.tail`. Where no effect fits all looks, the row has none.
    """
    assert row.absolute is not None  # noqa: S101 - a reading has an effect
    result, relative = reading.result, row.relative
    if reading.tail is not None:
        bounded = relative is not None and relative.shape == "bounded"
        result = replace(
            result,
            lower=row.absolute.lower,
            upper=row.absolute.upper,
            relative=(relative.lower, relative.upper) if bounded and relative is not None else None,  # type: ignore[arg-type]  # bounded
        )
    seen = [*(found for _, found in reading.past), result]
    row = replace(row, tests=reading.tests, interval_kind=_kind(looking))
    why = disagreement(row, seen, looking.point.earlier)
    if why is not None:
        return withheld(row, why), result
    left = intersect([(found.lower, found.upper) for found in seen])
    if left is None:
        if looking.harm_only:
            return row, result
        raise NotComputable(*_nothing_spent(looking, reading))
    shared = intersect([found.relative or (None, None) for found in seen])
    apart = not left[0] <= result.estimate <= left[1]
    if relative is not None and shared is not None:
        apart = apart or shared[0] >= shared[1]
        relative = replace(relative, lower=shared[0], upper=shared[1], shape="bounded", excluded=None)
        relative = relative if shared[0] < shared[1] else None
    elif reading.tail is None:
        relative = None
    interval = Interval(result.estimate, result.std_error, *left)
    guards = (*row.guards, *((LOOKS_APART,) if apart else ()))
    return replace(row, absolute=interval, relative=relative, guards=guards), result


def _kind(looking: Looking) -> str:
    return "anytime" if looking.design.method == "always_valid" else "repeated"


def _nothing_spent(looking: Looking, reading: Reading) -> tuple[str, str]:
    if looking.design.anytime_share and not reading.track.ready:
        return "too_few_units", f"tests valid at any time start at {MIN_UNITS} units in every arm"
    return "nothing_spent", "this look has no new information and spends nothing"
