"""The sufficient statistics as the readout shows them: by block, arm, epoch and level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from metricdef.analysis.breakdowns import Hidden
from metricdef.analysis.cells import Cells, Level
from metricdef.compiler.plan import Block, MetricPlan, Plan
from metricdef.errors import NotComputable
from metricdef.stats.moments import Moments


def moment_rows(cells: Cells, hidden: Hidden, *, with_mixed: bool) -> Iterator[dict[str, Any]]:
    """Every block: each arm in each epoch, then each level of each breakdown over all epochs.

    At a level without columns that only hidden metrics read, and not at all where that leaves none.

    A covariance is null where no estimate needs it. A column whose sums are unusable is left out and named.
    """
    plan = cells.plan
    epochs: list[int | None] = [None] if len(plan.epochs) <= 1 else list(range(len(plan.epochs)))
    levels = [level for d in plan.breakdowns for level in cells.levels(d.name)]
    for block in plan.blocks:
        names = {level: _shown(plan, block, hidden, level) for level in levels}
        for arm in plan.arms:
            for epoch in epochs:
                yield _row(cells, block, arm.name, _names(block), with_mixed=with_mixed, epoch=epoch, level=None)
            for level in levels:
                if names[level] or not hidden:
                    yield _row(cells, block, arm.name, names[level], with_mixed=with_mixed, epoch=None, level=level)


def _names(block: Block) -> list[str]:
    return [value.name for value in block.values]


def _shown(plan: Plan, block: Block, hidden: Hidden, level: Level) -> list[str]:
    """The columns of a block that a metric reads which is not hidden."""
    shown = [metric for metric in plan.metrics if (metric.name, level) not in hidden]
    if len(shown) == len(plan.metrics):
        return _names(block)
    read = {column for metric in shown for column in _read(metric)}
    return [name for name in _names(block) if name in read]


def _read(metric: MetricPlan) -> set[str | None]:
    """Columns that a metric is made of."""
    return {
        *metric.columns,
        *metric.covariates,
        *metric.uncapped,
        *metric.before,
        *(column for _, column in metric.steps),
        *(metric.diluted[2] if metric.diluted else ()),
        *(metric.novelty[:1] if metric.novelty else ()),
        metric.size,
        metric.residual,
        metric.uncapped_residual,
        metric.responded,
        metric.diluted[1] if metric.diluted else None,
        metric.quantile.column if metric.quantile else None,
        metric.quantile.responded if metric.quantile else None,
    }


def _row(
    cells: Cells,
    block: Block,
    arm: str,
    names: Sequence[str],
    *,
    with_mixed: bool,
    epoch: int | None,
    level: Level | None,
) -> dict[str, Any]:
    def moments(columns: list[str]) -> Moments:
        return cells.moments(block.name, columns, arm, with_mixed=with_mixed, epoch=epoch, level=level)

    single: dict[str, Moments] = {}
    for name in names:
        try:
            cells.centre(block.name, name)  # of all arms: unusable even where this one is empty
            single[name] = moments([name])
        except NotComputable:
            continue
    usable = list(single)
    n = moments([]).n
    cov: list[list[float | None]] | None = None
    if n > 1:
        cov = [[None] * len(usable) for _ in usable]
        every = _names(block)
        for i, j in block.products:
            if every[i] in single and every[j] in single:
                of_both = single[every[i]] if i == j else moments([every[i], every[j]])
                value = float(of_both.cov[0, -1])
                a, b = usable.index(every[i]), usable.index(every[j])
                cov[a][b] = cov[b][a] = value
    return {
        "block": block.name,
        "arm": arm,
        "segment": {level.dimension: level.value} if level else None,
        "epoch": epoch,
        "n": n,
        "columns": usable,
        "unusable": [name for name in names if name not in single],
        "centre": [cells.centre(block.name, name) for name in usable],
        "mean": [float(m.mean[0]) for m in single.values()],
        "cov": cov,
        "third": [float(m.third[0]) for m in single.values()],
        "max_abs": [float(m.max_abs[0]) for m in single.values()],
        "nonzero": [int(m.nonzero[0]) for m in single.values()],
        "capped": [int(m.capped[0]) for m in single.values()],
    }
