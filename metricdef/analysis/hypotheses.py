"""The hypotheses that a metric's role and targets call for, each with its raw test (semantics.md, section 5)."""

from __future__ import annotations

import math
from typing import Literal

from metricdef.analysis.readout import TestRow
from metricdef.analysis.sequential_tests import score_of
from metricdef.analysis.settings import Settings
from metricdef.compiler.plan import MetricPlan
from metricdef.errors import NotComputable
from metricdef.metrics.effect import Effect
from metricdef.metrics.fields import Size
from metricdef.stats import effects
from metricdef.stats.hybrid import normal_score

Hypothesis = Literal["superiority", "non_inferiority", "equivalence", "deterioration"]
NullKind = Literal["absolute", "relative"]


def raw_tests(plan: MetricPlan, effect: Effect, settings: Settings) -> tuple[tuple[TestRow, ...], NotComputable | None]:
    """Every test of one metric and arm; adjusted p and rejection are filled in by families.py.

    An equivalence that cannot be tested (a relative margin of a baseline of 0) is left out, with the reason: the
    row keeps its other tests.

    Raises:
        NotComputable: where another test cannot be computed.
    """
    good_is_more, target = plan.metric.direction != "decrease", plan.target
    alpha = settings.level(plan.role)
    found = [_test("superiority", "absolute", 0.0, effect.superiority(alpha), alpha)]
    if target.margin is not None:
        alpha = settings.non_inferiority_alpha
        null, relative = signed_margin(target.margin, -1 if good_is_more else 1)
        test = effect.one_sided(null, good_is_more, alpha, relative)
        if relative is None:
            found.append(_test("non_inferiority", "absolute", null, test, alpha))
        else:
            found.append(_test("non_inferiority", "relative", relative, test, alpha))
    untested = None
    if target.equivalence is not None:
        try:
            found.append(_equivalence(target.equivalence, effect, settings.equivalence_alpha(plan.role)))
        except NotComputable as error:
            untested = error
    if plan.role != "secondary":
        alpha = settings.deterioration_alpha
        found.append(_test("deterioration", "absolute", 0.0, effect.one_sided(0.0, not good_is_more, alpha), alpha))
    return tuple(found), untested


def signed_margin(size: Size, sign: int) -> tuple[float, float | None]:
    """A size as (absolute null, None) or (0, relative null), with the sign given."""
    if size.kind == "relative":
        return 0.0, sign * size.value
    return sign * size.value, None


def _equivalence(margin: Size, effect: Effect, alpha: float) -> TestRow:
    """Two one-sided tests at `alpha` each; p is the larger one, so that p <= alpha needs no correction for the two.

    Schuirmann (1987); any kind of effect that has one-sided tests (`stats.equivalence` is the same for Welch's).
    """
    worse = max(equivalence_sides(margin, effect, alpha), key=lambda test: test.p_value)
    kind: NullKind = "relative" if margin.kind == "relative" else "absolute"
    return _test("equivalence", kind, margin.value, worse, alpha, sidedness="two one-sided")


def equivalence_sides(margin: Size, effect: Effect, alpha: float) -> tuple[effects.Test, effects.Test]:
    """The tests that the effect lies above the lower margin and below the upper one."""
    (low, below), (high, above) = (signed_margin(margin, sign) for sign in (-1, 1))
    return effect.one_sided(low, True, alpha, below), effect.one_sided(high, False, alpha, above)


def one_sided_scores(test: TestRow, plan: MetricPlan, effect: Effect) -> dict[str, float]:
    """The one-sided tests that a test is made of, by name: each with the normal score of its p, positive towards it.

    Bounds at looks apply to z = -Phi^-1 of the one-sided p (semantics.md, section 7). Where p is near 1 it is taken
    from the other side, which doubles can tell apart.
    """
    if test.hypothesis == "superiority":
        z = math.copysign(score_of(test.p_value / 2), test.statistic)
        return {"greater": z, "less": -z}
    if test.hypothesis == "equivalence" and plan.target.equivalence is not None:
        above, below = equivalence_sides(plan.target.equivalence, effect, test.alpha)
        return {"above": score_of(above.p_value), "below": score_of(below.p_value)}
    if test.p_value <= 0.5:
        return {"one": score_of(test.p_value)}
    return {"one": -abs(normal_score(test.statistic, test.df))}


def _test(
    hypothesis: Hypothesis,
    kind: NullKind,
    null: float,
    test: effects.Test,
    alpha: float,
    sidedness: str | None = None,
) -> TestRow:
    return TestRow(
        hypothesis=hypothesis,
        null=null,
        null_kind=kind,
        sidedness=sidedness or test.sidedness,
        alpha=alpha,
        statistic=test.statistic,
        df=test.df,
        p_value=test.p_value,
        p_adjusted=None,
        family=None,
        procedure="none",
        rejected=False,
    )
