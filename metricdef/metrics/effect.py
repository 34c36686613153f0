"""One way to ask for an arm's effect, whichever family of tests answers.

Both kinds agree in themselves: p < alpha exactly when the absolute interval excludes 0, and exactly when the
relative interval does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats import adjustment, clusters, effects, proportions, quantiles, stratification
from metricdef.stats.look_times import EpochPart
from metricdef.stats.moments import EPS

if TYPE_CHECKING:
    from metricdef.stats.adjustment import MeanOutcome, RatioOutcome
    from metricdef.stats.moments import Moments, SecondMoments
    from metricdef.stats.quantiles import OrderStatistics

OWN_SLOPES = ("unadjusted", "lin", "stratified")  # estimators that let no arm's slope into the value of another
ROUNDING = 256 * EPS  # of a unit's share in a ratio, with room for units many times the average
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
    def left_out(self) -> tuple[str, ...]:
        """Epochs of a ramp that are too small to take part, in words."""

    @property
    def epochs(self) -> tuple[EpochPart, ...]:
        """What each epoch of a ramp has in the difference; empty without a ramp."""

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
    left_out: tuple[str, ...] = ()
    epochs: tuple[EpochPart, ...] = ()

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
        for refusal in (self.arms.refused.get(0), self.arms.refused.get(self.arm)):
            if refusal is not None:
                raise NotComputable(refusal.reason, refusal.message)
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
    left_out: tuple[str, ...] = ()
    epochs: tuple[EpochPart, ...] = ()

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


@dataclass(frozen=True, slots=True)
class QuantileArm:
    """An arm's order statistics; for events also the moments over units of (rows at or below the quantile, rows)."""

    statistics: OrderStatistics
    units: SecondMoments | None


@dataclass(frozen=True, slots=True)
class Observed:
    """What the warehouse says of one metric, baseline first.

    `epochs` has the moments of each epoch of a ramp, and is empty without one; `clustered`: they are over clusters.
    `shift` was taken off the values of a ratio, those of the column `whole`, before they were summed. `kept`: the
    estimator of each further arm that an earlier look has chosen; empty, or None, where there was none.
    """

    arms: tuple[Moments, ...]
    epochs: Mapping[str, tuple[Moments, ...]] = field(default_factory=dict)
    clustered: bool = False
    shift: float = 0.0
    whole: str = ""
    quantile: float | None = None
    quantiles: tuple[QuantileArm, ...] = ()
    kept: tuple[str | None, ...] = ()


def adjusted_effects(
    observed: Observed, outcome: MeanOutcome | RatioOutcome, covariates: Sequence[str]
) -> list[Effect | NotComputable]:
    """Effects of arms 1, 2, ... against arm 0 by the default estimator, chosen on size and rank.

    Lin, ANCOVA or unadjusted; within the epochs of a ramp, combined. Without adjustment every arm is compared with
    the baseline alone, so that a further arm changes nothing.
    """
    if observed.epochs:
        return _ramp_effects(observed, outcome, covariates)
    arms = observed.arms
    kept = next((name for name in observed.kept if name in ("lin", "ancova_welch", "unadjusted")), None)
    estimate = _cluster_estimates if observed.clustered else partial(adjustment.choose, kept=kept)
    try:
        joint = _shifted(estimate(arms, outcome, covariates), arms, observed)
    except NotComputable:
        joint = None
    if joint is not None and joint.estimator != "unadjusted":
        return [WelchEffect(joint, arm) for arm in range(1, len(arms))]
    found: list[Effect | NotComputable] = []
    for arm in arms[1:]:
        try:
            pair = _shifted(estimate((arms[0], arm), outcome, ()), (arms[0], arm), observed)
            found.append(WelchEffect(pair if joint is None else replace(pair, dropped=joint.dropped), 1))
        except NotComputable as error:
            found.append(error)
    return found


def _shifted(estimates: effects.ArmEstimates, arms: Sequence[Moments], observed: Observed) -> effects.ArmEstimates:
    """The same with `shift` added to every arm's value: what a constant taken off a ratio needs back.

    A spread between units below the rounding of their values, y - rho x of a ratio that all share, is no variance. An arm
    in which every y is 0 is at 0, also adjusted by slopes of its own, which are 0 too: not at the rounding of rho.
    """
    if not observed.shift:
        return estimates
    nothing = np.array([_is_zero(arm, arm.index(observed.whole)) for arm in arms])
    nothing &= estimates.estimator in OWN_SLOPES
    means = np.where(nothing, 0.0, estimates.means + observed.shift)
    units = np.array([arm.n for arm in arms])
    still = estimates.arm_variance * units <= (ROUNDING * means) ** 2
    varies = ~(still | nothing)
    return replace(
        estimates,
        means=means,
        cov=estimates.cov * np.outer(varies, varies),
        arm_variance=estimates.arm_variance * varies,
    )


def _is_zero(arm: Moments, at: int) -> bool:
    """Whether a column is 0 throughout. Moments of a day in a series have no counts of what is not."""
    return float(arm.mean[at]) == 0.0 and float(arm.comoment[at, at]) == 0.0


def _cluster_estimates(
    arms: Sequence[Moments], outcome: MeanOutcome | RatioOutcome, covariates: Sequence[str]
) -> effects.ArmEstimates:
    if isinstance(outcome, adjustment.RatioOutcome):
        effect: clusters.PerUnit | clusters.PerCluster = clusters.PerUnit(outcome.numerator, outcome.denominator)
    else:
        effect = clusters.PerCluster(outcome.column)
    return clusters.cluster_estimates(arms, effect, covariates)


def _ramp_effects(
    observed: Observed, outcome: MeanOutcome | RatioOutcome, covariates: Sequence[str]
) -> list[Effect | NotComputable]:
    """Arms within every epoch. All arms share the epochs unless one is missing from some: then each pair has its own."""
    complete = all(min(m.n for m in arms) > 1 or max(m.n for m in arms) < 2 for arms in observed.epochs.values())
    count = len(observed.arms)
    groups = [range(count)] if complete else [(0, arm) for arm in range(1, count)]
    found: list[Effect | NotComputable] = []
    for group in groups:
        epochs = {name: [arms[i] for i in group] for name, arms in observed.epochs.items()}
        try:
            result = stratification.stratified(epochs, outcome, covariates)
        except NotComputable as error:
            found += [error] * (len(group) - 1)
            continue
        gone = tuple(f"{x.name} ({x.share:.1%} of units)" for x in result.left_out if x.share > 0)
        shifted = _shifted(result.estimates, [observed.arms[i] for i in group], observed)
        few = _few_clusters(epochs, result) if observed.clustered else {}
        found += [
            few.get(i) or few.get(0) or WelchEffect(shifted, i, gone, _epoch_parts(result, i))
            for i in range(1, len(group))
        ]
    return found


def _epoch_parts(result: stratification.Stratified, arm: int) -> tuple[EpochPart, ...]:
    """The epochs of a difference, without the scale that a ratio has at this look."""
    u, v = float(result.scales[arm]), float(result.scales[0])
    return tuple(
        EpochPart(
            name,
            weight,
            float(cov[arm, arm]) / u**2,
            float(cov[0, 0]) / v**2,
            float(cov[arm, 0]) / (u * v),
            u,
            v,
        )
        for (name, weight), cov in zip(result.weights, result.within, strict=True)
    )


def _few_clusters(
    epochs: Mapping[str, Sequence[Moments]], result: stratification.Stratified
) -> dict[int, NotComputable]:
    """Arms with too few clusters in the epochs that take part."""
    out = {part.name for part in result.left_out}
    used = [arms for name, arms in epochs.items() if name not in out]
    counts = [sum(m.n for m in arm) for arm in zip(*used, strict=True)]
    return {i: reason for i, n in enumerate(counts) if (reason := clusters.too_few_clusters(n)) is not None}


def binary_effects(
    observed: Observed, outcome: MeanOutcome | RatioOutcome, covariates: Sequence[str]
) -> list[Effect | NotComputable]:
    """As `adjusted_effects`; the score family for a 0/1 outcome that is rare, or rarely absent, in one of the arms.

    Also where covariates are declared: with a handful of events their adjustment gains nothing, and its normal theory
    rejects about twice as often as it says (docs/adr/0008-rare-proportions.md). Not within epochs of a ramp nor over
    clusters, whose variance is another one.
    """
    found = adjusted_effects(observed, outcome, covariates)
    if observed.epochs or observed.clustered or not isinstance(outcome, adjustment.MeanOutcome):
        return found
    column = outcome.column
    counts = [(round(float(arm.mean[arm.index(column)]) * arm.n), arm.n) for arm in observed.arms]
    for position in range(1, len(counts)):
        pair = (counts[0], counts[position])
        kept = observed.kept[position - 1] if observed.kept else None
        rare = any(min(x, n - x) < RARE for x, n in pair) if kept is None else kept == "score"
        if all(n for _, n in pair) and rare:
            found[position - 1] = ScoreEffect(*counts[position], *counts[0], dropped=tuple(covariates))
    return found


def quantile_effects(observed: Observed) -> list[Effect | NotComputable]:
    """Differences of quantiles, each arm against the baseline alone."""
    q = observed.quantile
    if q is None or not observed.quantiles:
        what = "clusters" if observed.clustered else "the epochs of a ramp"
        reason = NotComputable("quantile_design", f"quantiles are not computed over {what}")
        return [reason] * (len(observed.arms) - 1)
    found: list[Effect | NotComputable] = []
    base = observed.quantiles[0]
    for arm in observed.quantiles[1:]:
        pair = (base, arm)
        try:
            statistics = [a.statistics for a in pair]
            units = [a.units for a in pair if a.units is not None]
            if len(units) == len(pair):
                found.append(WelchEffect(quantiles.event_quantiles(statistics, units, "low", "rows", q), 1))
            else:
                found.append(WelchEffect(quantiles.unit_quantiles(statistics, q), 1))
        except NotComputable as error:
            found.append(error)
    return found
