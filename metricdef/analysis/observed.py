"""From the result's cells to what one metric's estimators read, for all units or one level of a dimension."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from metricdef.analysis.cells import Cells, Level
from metricdef.compiler.order_statistics import BAND
from metricdef.compiler.plan import MetricPlan, QuantilePlan
from metricdef.errors import NotComputable
from metricdef.metrics.effect import Observed, QuantileArm
from metricdef.stats.adjustment import MeanOutcome, RatioOutcome
from metricdef.stats.indicators import with_indicators
from metricdef.stats.moments import Moments, SecondMoments, merge_all, select
from metricdef.stats.quantiles import OrderStatistics

STRATUM = "stratum:"


@dataclass(frozen=True, slots=True)
class View:
    """Which units are looked at. `strata`: the estimates are stratified as declared."""

    cells: Cells
    with_mixed: bool
    level: Level | None = None
    strata: bool = True


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as the warehouse reports it: moments per arm, all columns, and what is estimated from them."""

    plan: MetricPlan
    arms: dict[str, Moments | NotComputable]  # an arm whose sums are unusable says why
    epochs: dict[str, dict[str, Moments]]
    covariates: tuple[str, ...]
    clustered: bool
    quantiles: dict[str, QuantileArm] = field(default_factory=dict)
    slopes: dict[str, float] = field(default_factory=dict)  # of residuals

    def outcome(self) -> MeanOutcome | RatioOutcome:
        """What is estimated: over units of clusters a mean is a ratio."""
        return self._outcome(self.plan.columns)

    def estimated(self, *, capped: bool = True) -> MeanOutcome | RatioOutcome:
        """The outcome whose digits are safe.

        A ratio's numerator that is nearly a multiple of its denominator (values far from 0, of those units that have
        one) would leave its variance as a difference of huge numbers. So a ratio is estimated by the numerator less
        rho x denominator, with a constant rho (`shift`) added to the arms' values: R = rho + sum(y - rho x) / sum(x).
        """
        plan = self.plan
        found = self._outcome(plan.columns if capped else plan.uncapped)
        residual = plan.residual if capped else plan.uncapped_residual
        if residual is None or not isinstance(found, RatioOutcome):
            return found
        return RatioOutcome(residual, found.denominator)

    def shift(self, outcome: MeanOutcome | RatioOutcome) -> float:
        """What the values of an estimated outcome lack."""
        return self.slopes.get(outcome.numerator, 0.0) if isinstance(outcome, RatioOutcome) else 0.0

    def whole(self, *, capped: bool = True) -> str:
        """The column of values that a shift is taken off; events of a quantile have none."""
        return next(iter(self.plan.columns if capped else self.plan.uncapped), "")

    def _outcome(self, columns: tuple[str, ...]) -> MeanOutcome | RatioOutcome:
        if self.plan.size is not None:
            return RatioOutcome(columns[0], self.plan.size)
        return self.plan.metric.outcome(columns)

    def observed(self, arms: list[str]) -> Observed:
        """The arms named, in that order; all of them have usable moments."""
        usable = tuple(m for arm in arms if isinstance(m := self.arms[arm], Moments))
        epochs = {name: tuple(found[arm] for arm in arms) for name, found in self.epochs.items()}
        quantile = self.plan.quantile
        return Observed(
            usable,
            epochs,
            self.clustered,
            quantile=quantile.fraction if quantile else None,
            quantiles=tuple(self.quantiles[arm] for arm in arms) if self.quantiles else (),
        )


def observe(view: View, metric: MetricPlan) -> Metric:
    """Read one metric. Sums that are unusable make their arm a NotComputable, never a wrong number."""
    cells = view.cells
    size = (metric.size,) if metric.size else ()
    residuals = tuple(x for x in (metric.residual, metric.uncapped_residual) if x is not None)
    columns = tuple(dict.fromkeys((*metric.columns, *size, *metric.covariates, *metric.uncapped, *residuals)))
    strata = cells.strata() if view.strata and cells.plan.strata and metric.quantile is None else []
    names = _indicators(view, metric, strata)
    many = len(cells.plan.epochs) > 1
    epochs: dict[str, dict[str, Moments]] = {}
    arms: dict[str, Moments | NotComputable] = {}
    for arm in (a.name for a in cells.plan.arms):
        try:
            parts = []
            for epoch in range(max(1, len(cells.plan.epochs))):
                asked = {"with_mixed": view.with_mixed, "level": view.level, "epoch": epoch}
                part = cells.moments(metric.block, columns, arm, **asked)  # type: ignore[arg-type]  # each of its own
                if names:
                    means = cells.stratum_means(metric.block, columns, arm, **asked)  # type: ignore[arg-type]
                    part = with_indicators(part, {_label(x): found for x, found in means.items()}, names)
                parts.append(part)
                if many:
                    epochs.setdefault(f"epoch {epoch + 1}", {})[arm] = part
            arms[arm] = merge_all(parts)
        except NotComputable as error:
            arms[arm] = error
    if any(isinstance(m, NotComputable) for m in arms.values()):
        usable = [arm for arm, m in arms.items() if isinstance(m, Moments)]
        epochs = {name: {arm: found[arm] for arm in usable if arm in found} for name, found in epochs.items()}
    return Metric(
        metric,
        arms,
        epochs,
        (*metric.covariates, *names),
        cells.plan.cluster is not None,
        _quantiles(view, metric.quantile, metric.block) if metric.quantile else {},
        _slopes(cells, metric.block, residuals),
    )


def _slopes(cells: Cells, block: str, residuals: tuple[str, ...]) -> dict[str, float]:
    try:
        return {name: cells.slope(block, name) for name in residuals}
    except NotComputable:
        return {}  # every arm that has units says the same


def is_stratum(column: str) -> bool:
    """Whether a column says in which stratum a unit lies."""
    return column.startswith(STRATUM)


def _label(stratum: tuple[Level, ...]) -> str:
    return STRATUM + ", ".join(f"{x.dimension} = {'NULL' if x.value is None else x.value!r}" for x in stratum)


def _indicators(view: View, metric: MetricPlan, strata: list[tuple[Level, ...]]) -> tuple[str, ...]:
    """Strata that get a column: all but the largest, in a fixed order."""
    if len(strata) < 2:
        return ()
    sizes = dict.fromkeys(map(_label, strata), 0)
    for arm in view.cells.plan.arms:
        means = view.cells.stratum_means(metric.block, (), arm.name, with_mixed=view.with_mixed, level=view.level)
        for stratum, (n, _) in means.items():
            sizes[_label(stratum)] += n
    largest = max(sizes, key=lambda name: sizes[name])
    return tuple(name for name, n in sizes.items() if name != largest and n)


def _quantiles(view: View, quantile: QuantilePlan, block: str) -> dict[str, QuantileArm]:
    """Order statistics per arm; an arm without any value has none of them."""
    found = {}
    cells = view.cells
    if not any(name == quantile.name for name, _, _ in cells.quantiles) and not _computed(cells):
        return {}
    for arm in (a.name for a in cells.plan.arms):
        row = cells.quantiles.get((quantile.name, arm, view.level))
        n = cells.eligible(block, arm, with_mixed=view.with_mixed, level=view.level)
        if row is None:
            statistics = OrderStatistics(0, None, None, None)
        else:
            statistics = OrderStatistics(row.total, row.estimate, row.lower, row.upper, BAND)
        units = _event_moments(n, row.events if row else None) if quantile.events else None
        found[arm] = QuantileArm(statistics, units)
    return found


def _computed(cells: Cells) -> bool:
    return cells.plan.cluster is None and len(cells.plan.epochs) <= 1


def _event_moments(n: int, events: dict[str, float] | None) -> SecondMoments:
    """Moments over all n units of (rows at or below the quantile, rows); sums of whole numbers, so nothing is lost."""
    if events is None or n == 0:
        return SecondMoments(("low", "rows"), n, np.zeros(2), np.zeros((2, 2)))
    mean = np.array([events["low"], events["rows_here"]]) / n
    square = np.array([[events["low_low"], events["low_rows"]], [events["low_rows"], events["rows_rows"]]])
    return SecondMoments(("low", "rows"), n, mean, square - n * np.outer(mean, mean))


def columns_of(metric: Metric, arm: str, columns: tuple[str, ...]) -> Moments:
    """Some columns of one arm. Raises NotComputable where its sums are unusable."""
    found = metric.arms[arm]
    if isinstance(found, NotComputable):
        raise found
    return select(found, columns)
