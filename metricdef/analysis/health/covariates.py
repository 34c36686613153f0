"""Were the arms alike before treatment? Covariates of every metric, and the metrics themselves over a time before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from metricdef.analysis.cells import Cells
from metricdef.analysis.readout import HealthRow
from metricdef.analysis.settings import Settings
from metricdef.compiler.plan import MetricPlan
from metricdef.errors import NotComputable
from metricdef.stats.balance import Balance, check_balance
from metricdef.stats.multiplicity import adjust

ALPHA = 0.001
NAMED = 3  # metrics that a message names


@dataclass(frozen=True, slots=True)
class _Compared:
    """Columns of a block over the units of one epoch, and the metrics that they belong to."""

    metrics: tuple[str, ...]
    words: Mapping[str, str]
    arms: tuple[str, ...]
    balance: Balance


def check_covariates(cells: Cells, settings: Settings) -> Iterator[HealthRow]:
    """One omnibus test per metric and epoch of a ramp, Holm over all of them at 0.001; a difference warns."""
    with_mixed = settings.mixed == "first_arm"
    metrics = cells.plan.metrics
    advice = "check the assignment, and that the covariates were known before exposure"
    yield from _alike(
        cells, "covariate_balance", "covariates", advice, [(m, m.covariates) for m in metrics], with_mixed=with_mixed
    )
    advice = "the arms differed before treatment, so the differences since then are not the treatment's alone"
    yield from _alike(
        cells, "pre_period", "values before exposure", advice, [(m, m.before) for m in metrics], with_mixed=with_mixed
    )


def _alike(
    cells: Cells,
    check: str,
    what: str,
    advice: str,
    columns: Sequence[tuple[MetricPlan, tuple[str, ...]]],
    *,
    with_mixed: bool,
) -> Iterator[HealthRow]:
    sets: dict[tuple[str, tuple[str, ...]], list[MetricPlan]] = {}
    for metric, names in columns:
        if names:
            sets.setdefault((metric.block, names), []).append(metric)
    found = [
        compared
        for (block, names), metrics in sets.items()
        for epoch in range(max(1, len(cells.plan.epochs)))
        if (compared := _compare(cells, block, names, metrics, epoch, with_mixed=with_mixed)) is not None
    ]
    if not found:
        if sets:
            yield HealthRow(check, "skipped", f"{what} could not be compared: too few units, or no variation")
        return
    holm = adjust([compared.balance.p_value for compared in found], "holm", ALPHA)
    p_values = [p if p is not None else 1.0 for p in holm.p_adjusted]
    worst = sorted((i for i, rejected in enumerate(holm.rejected) if rejected), key=lambda i: p_values[i])
    smallest = min(range(len(found)), key=lambda i: p_values[i])
    message = f"{what} of {len({m for c in found for m in c.metrics}):,} metrics: the arms are alike"
    if worst:
        named = "; ".join(_words(found[i]) for i in worst[:NAMED])
        more = f"; and {len(worst) - NAMED:,} more" if len(worst) > NAMED else ""
        message = f"{what} differ between the arms: {named}{more}; {advice}"
    figures = found[smallest].balance.statistic, p_values[smallest], ALPHA
    yield HealthRow(check, "warn" if worst else "pass", message, *figures)


def _compare(
    cells: Cells, block: str, names: tuple[str, ...], metrics: list[MetricPlan], epoch: int, *, with_mixed: bool
) -> _Compared | None:
    try:
        moments = {
            arm.name: cells.moments(block, names, arm.name, with_mixed=with_mixed, epoch=epoch)
            for arm in cells.plan.arms
        }
        entered = {arm: m for arm, m in moments.items() if m.n}
        if len(entered) < 2:
            return None
        balance = check_balance(list(entered.values()), names)
    except NotComputable:
        return None
    words = {name: m.covariate_words.get(name, f"{m.name} before exposure") for m in metrics for name in names}
    return _Compared(tuple(m.name for m in metrics), words, tuple(entered), balance)


def _words(compared: _Compared) -> str:
    """The largest difference of a set, in standard deviations."""
    largest = max(compared.balance.differences, key=lambda d: abs(d.value) if d.value is not None else 0.0)
    value = (
        "differ"
        if largest.value is None
        else f"{largest.value:+.3f} standard deviations in {compared.arms[largest.arm]}"
    )
    return f"{compared.words[largest.covariate]} ({value}; {', '.join(compared.metrics[:NAMED])})"
