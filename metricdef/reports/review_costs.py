"""What computing again costs, beside a review."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from metricdef.reports.lines import GAP, visible, wrap
from metricdef.reports.markdown import code
from metricdef.reports.review_words import counted
from metricdef.review.costs import RunCost
from metricdef.warehouses.cost import size_words


def render_costs(costs: Sequence[RunCost], width: int) -> str:
    """A section of the text, without a line break at the end."""
    lines = [
        line for cost in costs for line in wrap(f"{visible(cost.experiment)}: {_words(cost)}", width, GAP, GAP * 2)
    ]
    return "\n".join(["COST", *lines, *wrap(total(costs), width, GAP)])


def _words(cost: RunCost) -> str:
    if cost.after is None:
        return f"refused: {visible(cost.refused or '')}"
    same = cost.before is None or cost.before == cost.after
    return visible(cost.after.words()) + (
        "" if same or cost.before is None else f" (before: {visible(cost.before.words())})"
    )


def total(costs: Sequence[RunCost]) -> str:
    """`computing 3 experiments again reads at most 12.3 GB, before 11 GB`."""
    sums = [
        [side.bytes for cost in costs if (side := getattr(cost, state)) is not None] for state in ("after", "before")
    ]
    now, before = (None if None in found else sum(size or 0 for size in found) for found in sums)
    what = f"computing {counted(len(sums[0]), 'experiment')} again reads"
    if now is None:
        return f"{what} an amount that this engine does not tell"
    told = f", {size_words(before)} as defined before" if sums[1] and before is not None else ""
    return f"{what} at most {size_words(now)}{told}"


def costs_markdown(costs: Sequence[RunCost]) -> str:
    """One line of the comment."""
    refused = [code(f"{cost.experiment}: {cost.refused}") for cost in costs if cost.refused][:1]
    return f"Cost: {total(costs)}.{f' Refused by the warehouse: {refused[0]}' if refused else ''}"


def costs_list(costs: Sequence[RunCost]) -> list[dict[str, Any]]:
    """For the document."""
    return [
        {
            "experiment": cost.experiment,
            "before": asdict(cost.before) if cost.before else None,
            "after": asdict(cost.after) if cost.after else None,
            "refused": cost.refused,
        }
        for cost in costs
    ]
