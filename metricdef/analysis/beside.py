"""What is shown beside an estimate: the steps of a funnel, and a triggered effect diluted to all exposed units."""

from __future__ import annotations

from typing import Any

from metricdef.analysis.observed import View
from metricdef.analysis.readout import EstimateRow
from metricdef.compiler.plan import MetricPlan
from metricdef.errors import NotComputable


def steps(view: View, plan: MetricPlan, row: EstimateRow) -> tuple[dict[str, Any], ...] | None:
    """Share of all units that came through each step of a funnel, without a test; None for other metrics."""
    if not plan.steps:
        return None
    found = []
    for name, column in plan.steps:
        shares = [_share(view, plan, column, arm) for arm in (row.baseline, row.arm)]
        found.append({"step": name, "baseline_value": shares[0], "arm_value": shares[1]})
    return tuple(found)


def _share(view: View, plan: MetricPlan, column: str, arm: str) -> float | None:
    """A column's sum over the units; over those in the clusters where rows are clusters."""
    try:
        m, size = (
            view.cells.moments(plan.block, [name], arm, with_mixed=view.with_mixed, level=view.level)
            for name in (column, plan.size or column)
        )
    except NotComputable:
        return None
    units = m.n if plan.size is None else float(size.total[0])
    return float(m.total[0]) / units if units else None


def dilute(view: View, plan: MetricPlan, row: EstimateRow) -> dict[str, Any] | None:
    """The triggered effect as one on everybody exposed: units that never triggered have none.

    absolute = triggered difference x trigger rate; relative = the same over the baseline's mean over all exposed
    units. The rate and that mean are taken as known, so that p and verdict stay those of the triggered test.
    A ratio is diluted by the share of the denominator that triggered units have, not of units.
    """
    if plan.diluted is None or row.absolute is None:
        return None
    block, size, columns = plan.diluted
    cells, arms = view.cells, (row.baseline, row.arm)

    def totals(block: str, column: str) -> list[float]:
        found = [cells.moments(block, [column], a, with_mixed=view.with_mixed, level=view.level) for a in arms]
        return [float(m.total[0]) for m in found]

    try:
        if len(columns) > 1:
            triggered, exposed = totals(plan.block, plan.columns[1]), totals(block, columns[1])
        elif plan.size is not None:
            triggered, exposed = totals(plan.block, plan.size), totals(block, size)  # units of clusters
        else:
            units = [cells.eligible(plan.block, a, with_mixed=view.with_mixed, level=view.level) for a in arms]
            triggered, exposed = [float(n) for n in units], totals(block, size)
        top = totals(block, columns[0])[0]
    except NotComputable:
        return None
    if not sum(exposed) or not exposed[0]:
        return None
    rate, mean = sum(triggered) / sum(exposed), top / exposed[0]
    found = row.absolute
    absolute = {"estimate": found.estimate * rate, "lower": found.lower * rate, "upper": found.upper * rate}
    return {"trigger_rate": rate, "baseline_value": mean, "absolute": absolute, "relative": _over(absolute, mean)}


def _over(absolute: dict[str, float], mean: float) -> dict[str, float] | None:
    """The effect over a mean; below 0 that turns its sign, as in every relative effect, and with it the interval."""
    if not mean:
        return None
    found = {key: value / mean for key, value in absolute.items()}
    return found | {"lower": min(found.values()), "upper": max(found.values())}
