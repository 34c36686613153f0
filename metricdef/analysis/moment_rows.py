"""The sufficient statistics as the readout shows them: by block, arm, epoch and level."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metricdef.analysis.cells import Cells, Level
from metricdef.compiler.plan import Block
from metricdef.errors import NotComputable
from metricdef.stats.moments import Moments


def moment_rows(cells: Cells, hidden: frozenset[Level], *, with_mixed: bool) -> Iterator[dict[str, Any]]:
    """Every block: each arm in each epoch, then each level of each breakdown over all epochs but those that are hidden.

    A covariance is null where no estimate needs it. A column whose sums are unusable is left out and named.
    """
    plan = cells.plan
    epochs: list[int | None] = [None] if len(plan.epochs) <= 1 else list(range(len(plan.epochs)))
    levels = [level for d in plan.breakdowns for level in cells.levels(d.name) if level not in hidden]
    for block in plan.blocks:
        for arm in plan.arms:
            for epoch in epochs:
                yield _row(cells, block, arm.name, with_mixed=with_mixed, epoch=epoch, level=None)
            for level in levels:
                yield _row(cells, block, arm.name, with_mixed=with_mixed, epoch=None, level=level)


def _row(
    cells: Cells, block: Block, arm: str, *, with_mixed: bool, epoch: int | None, level: Level | None
) -> dict[str, Any]:
    def moments(columns: list[str]) -> Moments:
        return cells.moments(block.name, columns, arm, with_mixed=with_mixed, epoch=epoch, level=level)

    names = [value.name for value in block.values]
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
        for i, j in block.products:
            if names[i] in single and names[j] in single:
                of_both = single[names[i]] if i == j else moments([names[i], names[j]])
                value = float(of_both.cov[0, -1])
                a, b = usable.index(names[i]), usable.index(names[j])
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
