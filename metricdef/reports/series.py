"""The cumulative effect by the end of every day as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from metricdef.analysis.readout import EstimateRow, Interval, Readout
from metricdef.reports.chart import draw
from metricdef.reports.comparison_table import joined
from metricdef.reports.comparisons import metric_name
from metricdef.reports.lines import GAP, Pen, table, visible, wrap
from metricdef.reports.numbers import count, decimals_for, figures, number, unit_of

MOST_DAYS = 14  # the last ones; all of them in verbose mode


def render_series(readout: Readout, width: int, pen: Pen, verbose: bool) -> list[str]:
    """One table a metric and arm, of primary metrics and guardrails; of all in verbose mode. Empty without a series."""
    if not readout.series:
        return []
    lines = [pen(line, "bold") for line in wrap("BY DAY, cumulative", width)]
    before = any(day.get("interval_kind") == "anytime" for day in readout.series)
    if before:
        lines += wrap("Before the planned end the intervals are those that hold at any time.", width, GAP)
    for row in readout.estimates:
        days = [d for d in readout.series if d["day"] and (d["metric"], d["arm"]) == (row.metric, row.arm)]
        if row.segment is None and days and (verbose or row.role != "secondary"):
            lines += _table(row, days, width, pen, verbose)
    for left in (entry for entry in readout.series if entry["day"] is None):
        lines += wrap(f"{visible(left['metric'])} has no daily series: {visible(left['reason'])}", width, GAP, GAP * 2)
    return lines


def _table(row: EstimateRow, days: Sequence[dict[str, Any]], width: int, pen: Pen, verbose: bool) -> Iterator[str]:
    yield from (pen(line, "bold") for line in wrap(f"{metric_name(row)} · {visible(row.arm)}", width, GAP))
    yield from _chart(row, days, width)
    shown = days if verbose else days[-MOST_DAYS:]
    cells = [[day["day"], count(sum(day["units"])), day_effect(row, day)] for day in shown]
    header = ["until", "units", "difference"]
    found = table([header, *cells], "<><", width, GAP * 2)
    if found is None:
        found = [line for cell in cells for line in wrap(" · ".join(cell), width, GAP * 2, GAP * 3)]
        yield from found
    else:
        yield pen(found[0], "dim")
        yield from found[1:]
    if len(shown) < len(days):
        more = len(days) - len(shown)
        yield from (pen(line, "dim") for line in wrap(f"{more} earlier days: shown with --verbose", width, GAP * 2))


def _chart(row: EstimateRow, days: Sequence[dict[str, Any]], width: int) -> Iterator[str]:
    """The difference by the end of every day, with its interval."""
    unit = unit_of(row)
    found = [day["absolute"] for day in days]
    points = [(x["estimate"], x["lower"], x["upper"]) if x is not None else None for x in found]
    last = next((point for point in reversed(points) if point is not None), None)
    if last is None:
        return
    decimals = decimals_for(last[1] * unit.factor, last[2] * unit.factor)

    def write(value: float) -> str:
        return number(value * unit.factor, decimals, signed=True) + unit.difference_suffix

    for line in draw(points, (days[0]["day"], days[-1]["day"]), width - len(GAP) * 2, write):
        yield f"{GAP * 2}{line}"


def day_effect(row: EstimateRow, day: Mapping[str, Any]) -> str:
    """The cumulative difference by the end of a day, with its interval."""
    found = day["absolute"]
    if found is None:
        return "not computed"
    dated = replace(
        row,
        absolute=Interval(found["estimate"], found["std_error"], found["lower"], found["upper"]),
        relative=None,
        baseline_value=day["baseline_value"],
        arm_value=day["arm_value"],
        tests=(),
    )
    shown = figures(dated)
    return joined(shown.difference, shown.interval)
