"""One way to ask for an arm's effect, whichever family of tests answers.

Both kinds agree in themselves: p < alpha exactly when the absolute interval excludes 0, and exactly when the
relative interval does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from metricdef.errors import NotComputable
from metricdef.stats import adjustment, effects, proportions

if TYPE_CHECKING:
    from metricdef.stats.adjustment import MeanOutcome, RatioOutcome
    from metricdef.stats.moments import Moments

RARE = 10  # successes or failures in an arm below which the score family answers (semantics.md, section 5)


@dataclass(frozen=True, slots=True)
class Absolute:
    """An absolute effect with its interval; `std_error` is None for the score family, which has none."""

    estimate: float
    std_error: float | None
    lower: float
    upper: float


class Effect(Protocol):
    """The effect of one arm against the baseline."""

    @property
    def estimator(self) -> str:
        """unadjusted, lin, ancova or score."""

    @property
    def covariates(self) -> tuple[str, ...]:
        """Covariates in use."""

    @property
    def dropped(self) -> tuple[str, ...]:
        """Covariates left out as constant or collinear."""

    @property
    def variance_reduction(self) -> float | None:
        """How much adjustment shrank the variance of the difference; None where nothing is adjusted."""

    @property
    def values(self) -> tuple[float, float]:
        """Estimated mean, proportion or ratio of the baseline and of the arm."""

    def absolute(self, alpha: float) -> Absolute:
        """Difference with its interval of level 1 - alpha."""

    def relative(self, alpha: float) -> effects.Relative:
        """Relative effect with its confidence set of level 1 - alpha."""

    def superiority(self, alpha: float) -> effects.Test:
        """Two-sided test against no effect."""

    def one_sided(self, null: float, greater: bool, alpha: float, relative: float | None = None) -> effects.Test:
        """One-sided test against a margin."""


@dataclass(frozen=True, slots=True)
class WelchEffect:
    """The effect of arm `arm` from estimated arm means with their joint covariance."""

    arms: effects.ArmEstimates
    arm: int

    @property
    def estimator(self) -> str:
        """unadjusted, lin or ancova."""
        return self.arms.estimator

    @property
    def covariates(self) -> tuple[str, ...]:
        """Covariates in use."""
        return self.arms.covariates

    @property
    def dropped(self) -> tuple[str, ...]:
        """Covariates left out as constant or collinear."""
        return self.arms.dropped

    @property
    def variance_reduction(self) -> float | None:
        """None for an unadjusted estimator."""
        return None if self.arms.variance_reduction is None else float(self.arms.variance_reduction[self.arm])

    @property
    def values(self) -> tuple[float, float]:
        """Estimated means. Raises NotComputable where an arm has none."""
        if not (self.arms.arm_df[0] > 0 and self.arms.arm_df[self.arm] > 0):
            raise NotComputable("too_few_units", "an arm has too few units for an estimate (at least 2 are needed)")
        return float(self.arms.means[0]), float(self.arms.means[self.arm])

    def absolute(self, alpha: float) -> Absolute:
        """Welch's interval."""
        d = effects.difference(self.arms, self.arm, alpha)
        return Absolute(d.estimate, d.std_error, d.lower, d.upper)

    def relative(self, alpha: float) -> effects.Relative:
        """Fieller's set."""
        return effects.relative(self.arms, self.arm, alpha)

    def superiority(self, alpha: float) -> effects.Test:
        """Welch's test."""
        return effects.test_superiority(self.arms, self.arm, alpha)

    def one_sided(self, null: float, greater: bool, alpha: float, relative: float | None = None) -> effects.Test:
        """Welch's test against a margin."""
        return effects.test_one_sided(self.arms, self.arm, null, greater, alpha, relative)


@dataclass(frozen=True, slots=True)
class ScoreEffect:
    """The effect on a rare proportion: p and both intervals from the Miettinen-Nurminen score family."""

    arm_successes: int
    arm_units: int
    baseline_successes: int
    baseline_units: int
    estimator: str = "score"
    covariates: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    variance_reduction: float | None = None

    @property
    def _table(self) -> tuple[int, int, int, int]:
        return self.arm_successes, self.arm_units, self.baseline_successes, self.baseline_units

    @property
    def values(self) -> tuple[float, float]:
        """The proportions."""
        if not (self.baseline_units and self.arm_units):
            raise NotComputable("too_few_units", "an arm has no units")
        return self.baseline_successes / self.baseline_units, self.arm_successes / self.arm_units

    def absolute(self, alpha: float) -> Absolute:
        """Score interval of the difference."""
        d = proportions.score_difference(*self._table, alpha)
        return Absolute(d.estimate, None, d.lower, d.upper)

    def relative(self, alpha: float) -> effects.Relative:
        """Score interval of the ratio, minus 1."""
        r = proportions.score_ratio(*self._table, alpha)
        return effects.Relative(r.estimate, r.lower, r.upper, r.shape, None, r.method)

    def superiority(self, alpha: float) -> effects.Test:
        """Score test of equal proportions."""
        d = proportions.score_difference(*self._table, alpha)
        if d.p_value is None or d.statistic is None:
            raise NotComputable("no_variation", "no unit, or every unit, has the outcome: there is nothing to test")
        return effects.Test("superiority", 0.0, "two-sided", alpha, d.statistic, None, d.p_value)

    def one_sided(self, null: float, greater: bool, alpha: float, relative: float | None = None) -> effects.Test:
        """Score test against a margin."""
        if relative is None:
            test = proportions.score_test(*self._table, null, greater)
        else:
            test = proportions.score_test_relative(*self._table, relative, greater)
        return effects.Test(
            "greater" if greater else "less", test.null, "one-sided", alpha, test.statistic, None, test.p_value
        )


def adjusted_effects(
    arms: Sequence[Moments], outcome: MeanOutcome | RatioOutcome, covariates: Sequence[str]
) -> list[Effect | NotComputable]:
    """Effects of arms 1, 2, ... against arm 0 by the default estimator: Lin, ANCOVA or unadjusted, chosen on size and rank.

    Without adjustment every arm is compared with the baseline alone, so that a further arm changes nothing.
    """
    try:
        joint = adjustment.choose(arms, outcome, covariates)
    except NotComputable:
        joint = None
    if joint is not None and joint.estimator != "unadjusted":
        return [WelchEffect(joint, arm) for arm in range(1, len(arms))]
    found: list[Effect | NotComputable] = []
    for arm in arms[1:]:
        try:
            pair = adjustment.unadjusted((arms[0], arm), outcome)
            found.append(WelchEffect(pair if joint is None else replace(pair, dropped=joint.dropped), 1))
        except NotComputable as error:
            found.append(error)
    return found


def binary_effects(arms: Sequence[Moments], column: str, covariates: Sequence[str]) -> list[Effect | NotComputable]:
    """As `adjusted_effects`; the score family for a 0/1 outcome that is rare, or rarely absent, in one of the arms.

    Also where covariates are declared: with a handful of events their adjustment gains nothing, and its normal theory
    rejects about twice as often as it says (docs/adr/0008-rare-proportions.md).
    """
    found = adjusted_effects(arms, adjustment.MeanOutcome(column), covariates)
    counts = [(round(float(arm.mean[arm.index(column)]) * arm.n), arm.n) for arm in arms]
    for position in range(1, len(arms)):
        pair = (counts[0], counts[position])
        if all(n for _, n in pair) and any(min(x, n - x) < RARE for x, n in pair):
            found[position - 1] = ScoreEffect(*counts[position], *counts[0], dropped=tuple(covariates))
    return found
