"""How effects go over the days since exposure, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.analysis.rounding import equation
from metricdef.reports import words
from metricdef.reports.lines import visible
from metricdef.reports.numbers import decimals_for, estimate_text, span, unit_of

_COURSES = {"grows": "it grows", "fades": "it fades"}


def render_novelty(readout: Readout) -> Iterator[str]:
    """A sentence per comparison: `Over the 14 days since exposure, Revenue, new: ...`."""
    rows = {(row.metric, row.arm): row for row in readout.estimates if row.segment is None}
    for found in readout.novelty:
        row = rows.get((found["metric"], found["arm"]))
        if row is not None:
            start = f"Over the {found['days']} days since exposure, {visible(row.label)}, {visible(row.arm)}"
            yield f"{start}: {_slope(row, found)}."


def _slope(row: EstimateRow, found: dict[str, Any]) -> str:
    slope = found["slope"]
    if slope is None:
        reason = found["reason"] or ""
        return f"no slope ({words.REASONS.get(reason) or words.spelled(reason)})"
    unit = unit_of(row)
    limits = slope["lower"], slope["upper"]
    decimals = decimals_for(limits[0] * unit.factor, limits[1] * unit.factor, (0.0,))
    change = estimate_text(slope["estimate"] * unit.factor, decimals) + unit.difference_suffix
    course = _COURSES.get(found["course"], "no clear change")
    p = equation("p", found["p_value"])
    return f"{course}; the daily effect changes by {change} a day ({span(limits, unit, decimals)}), {p}"
