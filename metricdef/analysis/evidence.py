"""What stands behind a family's rows: their effects, and the joint law of their statistics for Dunnett and max-T."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from metricdef.analysis.look_rows import Reading
from metricdef.analysis.observed import View, is_stratum, observe
from metricdef.analysis.readout import EstimateRow, Interval, TestRow
from metricdef.compiler.plan import MetricPlan
from metricdef.errors import NotComputable
from metricdef.metrics.effect import Effect, WelchEffect
from metricdef.stats.effects import contrast_covariance
from metricdef.stats.joint import Blocks, Law
from metricdef.stats.max_t import Contrast, contrast_correlation
from metricdef.stats.max_t_strata import stratified_correlation
from metricdef.stats.moments import Floats, Moments
from metricdef.stats.normal_law import LARGEST, law_of

Key = tuple[str, str]  # metric, arm


@dataclass(frozen=True, slots=True)
class Statistic:
    """A statistic of the form sign x (arm - factor x baseline) / error; `sign` is that of the side on which it counts."""

    key: Key
    effect: WelchEffect
    factor: float
    sign: float


@dataclass(frozen=True, slots=True)
class JointLaw:
    """The law of some of a family's tests: `members` are their positions, `joint` says with which metrics each is joint."""

    law: Law
    members: tuple[int, ...]
    joint: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The effects of one view of the data, by metric and arm, and how they were read at a look."""

    view: View
    effects: Mapping[Key, Effect]
    readings: Mapping[Key, Reading] = field(default_factory=dict)

    def interval(self, key: Key, level: float) -> Interval | None:
        """The absolute effect with its interval of level 1 - `level`; None where there is no effect."""
        effect = self.effects.get(key)
        if effect is None:
            return None
        found = effect.absolute(level)
        return Interval(found.estimate, found.std_error, found.lower, found.upper)

    def arm_covariance(self, keys: Sequence[Key]) -> Floats | None:
        """Covariance of the differences of several arms in one metric; None where it is not known."""
        found = [self.effects.get(key) for key in keys]
        statistics = [Statistic(k, e, 1.0, 1.0) for k, e in zip(keys, found, strict=True) if isinstance(e, WelchEffect)]
        return _arms_covariance(statistics) if len(statistics) == len(keys) else None

    def law(self, rows: Sequence[EstimateRow], tests: Sequence[TestRow | None], *, across: bool) -> JointLaw | None:
        """The joint law of a family's tests, `across` metrics of one block of moments or within each metric only.

        Rows that have no variance of this kind (score proportions) or none that is shared (quantiles) are left to
        Bonferroni. Blocks of which nothing joint is known add up (`joint.Blocks`). None where there is no law at all.
        """
        found: dict[int, Statistic] = {}
        for i, (row, test) in enumerate(zip(rows, tests, strict=True)):
            statistic = self._statistic(row, test) if test is not None else None
            if statistic is not None:
                found[i] = statistic
        sides = {test.sidedness for test in tests if test is not None}
        if not found or len(sides) != 1:
            return None
        two_sided = sides == {"two-sided"}
        # In the order of names, so that the digits don't hang on the order of the definitions.
        order = sorted(found, key=lambda i: found[i].key)
        laws: list[Law] = []
        members: list[int] = []
        joint: list[tuple[str, ...]] = []
        for group, law in self._laws([found[i] for i in order], across=across, two_sided=two_sided):
            own = {s.key for s in group}
            laws.append(law)
            members += [i for i in order if found[i].key in own]
            joint += [tuple(dict.fromkeys(metric for metric, _ in sorted(own)))] * len(group)
        if not laws:
            return None
        return JointLaw(laws[0] if len(laws) == 1 else Blocks(tuple(laws)), tuple(members), tuple(joint))

    def _statistic(self, row: EstimateRow, test: TestRow) -> Statistic | None:
        effect = self.effects.get((row.metric, row.arm))
        if not isinstance(effect, WelchEffect) or effect.estimator == "quantile":
            return None
        factor = _factor(effect, test)
        greater = test.sidedness == "two-sided" or row.direction != "decrease"
        return Statistic((row.metric, row.arm), effect, factor, 1.0 if greater else -1.0)

    def _laws(
        self, statistics: Sequence[Statistic], *, across: bool, two_sided: bool
    ) -> Iterator[tuple[list[Statistic], Law]]:
        """Statistics with their joint law: of all metrics of a block where that can be had, else metric by metric."""
        plans = {plan.name: plan for plan in self.view.cells.plan.metrics}
        for block in _grouped(statistics, lambda s: plans[s.key[0]].block):
            metrics = _grouped(block, lambda s: s.key[0])
            if across and len(metrics) > 1 and len(block) <= LARGEST:
                correlation = self._correlation(block)
                if correlation is not None:
                    yield block, law_of(correlation, two_sided=two_sided)
                    continue
            for own in metrics:
                law = _arms_law(own, two_sided=two_sided)
                if law is not None:
                    yield own, law

    def _correlation(self, group: Sequence[Statistic]) -> Floats | None:
        """Correlation over metrics and arms from the moments of their block; None where these do not give it.

        That is: where the arms of a ramp do not share their epochs; where an arm's sums are unusable; where a contrast
        has no variance.
        """
        view, plans = self.view, {plan.name: plan for plan in self.view.cells.plan.metrics}
        members = [plans[name] for name in dict.fromkeys(s.key[0] for s in group)]
        whole = observe(view, _all_columns(members))
        names = [arm.name for arm in view.cells.plan.arms]
        arms = [m for name in names if isinstance(m := whole.arms[name], Moments)]
        if len(arms) != len(names):
            return None
        stratified = {s.effect.estimator == "stratified" for s in group}
        if stratified == {True} and any(len(s.effect.arms.means) != len(names) for s in group):
            return None  # pairs over other epochs each
        contrasts = []
        for s in group:
            estimator, covariates = s.effect.estimator, s.effect.covariates
            if estimator == "stratified":
                own = plans[s.key[0]].covariates
                estimator, covariates = "lin", tuple(c for c in whole.covariates if c in own or is_stratum(c))
            outcome = replace(whole, plan=plans[s.key[0]]).estimated()
            contrasts.append(
                Contrast(outcome, names.index(s.key[1]), estimator, covariates, s.factor)  # type: ignore[arg-type]  # a name of `choose`
            )
        try:
            if stratified == {True}:
                epochs = {name: [found[arm] for arm in names] for name, found in whole.epochs.items()}
                correlation = stratified_correlation(epochs, contrasts)
            else:
                correlation = contrast_correlation(arms, contrasts)
        except NotComputable:
            return None
        signs = np.array([s.sign for s in group])
        turned: Floats = correlation * np.outer(signs, signs)
        return turned


def contrast_error(effect: Effect | None, test: TestRow) -> float | None:
    """Standard error of what a test is about: arm - factor x baseline; None for the score family, which has none."""
    if not isinstance(effect, WelchEffect):
        return None
    weights = np.zeros(len(effect.arms.means))
    weights[effect.arm], weights[0] = 1.0, -_factor(effect, test)
    return math.sqrt(float(contrast_covariance(effect.arms, weights)[0, 0]))


def _factor(effect: WelchEffect, test: TestRow) -> float:
    """1, or 1 + r for a margin r relative to the baseline's size, of whatever sign: `effects.test_one_sided`."""
    if test.null_kind != "relative":
        return 1.0
    return 1.0 + math.copysign(1.0, effect.values[0]) * test.null


def _grouped(statistics: Iterable[Statistic], key: Callable[[Statistic], str]) -> list[list[Statistic]]:
    found: dict[str, list[Statistic]] = {}
    for statistic in statistics:
        found.setdefault(key(statistic), []).append(statistic)
    return list(found.values())


def _arms_law(group: Sequence[Statistic], *, two_sided: bool) -> Law | None:
    """The law of one metric's arms (Dunnett); None where their covariance is not known."""
    covariance = _arms_covariance(group)
    if covariance is None:
        return None
    scale = np.array([s.sign for s in group]) / np.sqrt(covariance.diagonal())
    correlation = np.clip(covariance * np.outer(scale, scale), -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    # One variance that all arms share makes the statistics jointly Student's; else each p is a normal score.
    return law_of(correlation, two_sided=two_sided, df=group[0].effect.arms.pooled_df)


def _all_columns(members: Sequence[MetricPlan]) -> MetricPlan:
    """One metric with the columns of several, to read their moments together."""
    columns = [c for m in members for c in (*m.columns, m.size, m.residual) if c is not None]
    covariates = [c for m in members for c in m.covariates]
    return replace(
        members[0],
        columns=tuple(dict.fromkeys(columns)),
        size=None,
        covariates=tuple(dict.fromkeys(covariates)),
        residual=None,
        uncapped=(),
        uncapped_residual=None,
    )


def _arms_covariance(group: Sequence[Statistic]) -> Floats | None:
    """Covariance of one metric's contrasts of several arms with the baseline.

    From the arms' joint covariance where they were estimated together; else every arm was compared with the same
    unadjusted baseline, whose variance is all that two contrasts share.
    """
    first = group[0].effect.arms
    if all(s.effect.arms is first for s in group):
        weights = np.zeros((len(group), len(first.means)))
        for k, s in enumerate(group):
            weights[k, s.effect.arm], weights[k, 0] = 1.0, -s.factor
        return contrast_covariance(first, weights)
    if any(s.effect.estimator not in ("unadjusted", "quantile") for s in group):
        return None  # pairs over other epochs each: what their baselines share is not known
    factors = np.array([s.factor for s in group])
    covariance: Floats = np.outer(factors, factors) * float(first.cov[0, 0])
    np.fill_diagonal(
        covariance,
        [s.effect.arms.cov[s.effect.arm, s.effect.arm] + s.factor**2 * s.effect.arms.cov[0, 0] for s in group],
    )
    return covariance
