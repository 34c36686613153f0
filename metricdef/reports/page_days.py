"""The cumulative effect by the end of every day as a page draws it, with the intervals of looks beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.reports.comparisons import metric_name
from metricdef.reports.effect_rows import metric_design
from metricdef.reports.lines import visible
from metricdef.reports.numbers import count, unit_of
from metricdef.reports.plots import round_step, step_text
from metricdef.reports.series import day_effect

MOST_DAYS = 92  # drawn in one figure; of more, some are left out evenly
MOST_FIGURES = 16
HEIGHT = 160.0
WIDEST = 2.5  # times the usual interval: first days are too wide to be drawn whole


Span = tuple[float, float]  # the ends of the axis, in the unit shown


@dataclass(frozen=True, slots=True)
class Day:
    """One interval: its place across in percent, its heights in pixels, and in words. `place`: in the document's `series`."""

    place: int
    at: float
    day: str
    units: str
    effect: str
    estimate: float
    lower: float
    upper: float
    cut: bool


@dataclass(frozen=True, slots=True)
class DayFigure:
    """The days of one metric and arm."""

    title: str
    caption: str
    zero: float
    margin: float | None  # of a guardrail, where it is not relative
    ticks: tuple[tuple[float, str], ...]
    days: tuple[Day, ...]
    looks: tuple[Day, ...]
    text: str


def day_figures(readout: Readout) -> Iterator[DayFigure]:
    """One figure a metric and arm, primary metrics and guardrails only, as far as they fit."""
    yield from (figure for _, figure in zip(range(MOST_FIGURES), _figures(readout), strict=False))


def _figures(readout: Readout) -> Iterator[DayFigure]:
    numbered: dict[tuple[str, str], list[tuple[int, dict[str, Any]]]] = {}
    for i, day in enumerate(readout.series):
        if day["day"] and day["absolute"]:
            numbered.setdefault((day["metric"], day["arm"]), []).append((i, day))
    for row in readout.estimates:
        days = numbered.get((row.metric, row.arm))
        if row.segment is None and row.role != "secondary" and days:
            yield _figure(readout, row, days)


def days_left_out(readout: Readout) -> Iterator[str]:
    """Series that no figure shows, and why."""
    for entry in readout.series:
        if entry["day"] is None:
            yield f"{visible(entry['metric'])} has no daily series: {visible(entry['reason'])}"
    hidden = sum(1 for _ in _figures(readout)) - MOST_FIGURES
    if hidden > 0:
        yield f"{count(hidden)} more series are not drawn here; the JSON document has them."
    if any(row.role == "secondary" for row in readout.estimates) and readout.series:
        yield "Secondary metrics are not drawn by day; the JSON document has them."


def _figure(readout: Readout, row: EstimateRow, days: Sequence[tuple[int, dict[str, Any]]]) -> DayFigure:
    unit, step = unit_of(row), math.ceil(len(days) / MOST_DAYS)
    shown = [d for k, d in enumerate(days) if (len(days) - 1 - k) % step == 0]
    seen = list(_looks(readout, row))
    margin = _margin(readout, row, unit.factor)
    span = _span(
        [(d["absolute"]["lower"] * unit.factor, d["absolute"]["upper"] * unit.factor) for _, d in shown], margin
    )
    ends = [str(day["as_of"]) for _, day in shown]
    placed = tuple(_day(i, day, row, span, _across(k, len(shown))) for k, (i, day) in enumerate(shown))
    looks = tuple(
        _look(found, row, span, _across(_nearest(ends, found["as_of"]), len(shown)), k) for k, found in enumerate(seen)
    )
    return DayFigure(
        title=f"{metric_name(row)} · {visible(row.arm)}",
        caption=f"One day in {step} is drawn." if step > 1 else "",
        zero=_down(0.0, span),
        margin=None if margin is None else _down(margin, span),
        ticks=tuple(_ticks(span, unit.difference_suffix)),
        days=placed,
        looks=looks,
        text=f"by {placed[0].day} {placed[0].effect}; by {placed[-1].day} {placed[-1].effect}",
    )


def _margin(readout: Readout, row: EstimateRow, factor: float) -> float | None:
    """The margin of a guardrail on the side of harm, in the unit shown."""
    size = (metric_design(readout, row.metric).get("sizes") or {}).get("margin")
    if row.role != "guardrail" or size is None or size["kind"] == "relative":
        return None
    return float(size["value"]) * factor * (1 if row.direction == "decrease" else -1)


def days_words(readout: Readout) -> str:
    """What the intervals of days are, and how they go with the readout's; said once for all figures."""
    days = [day for day in readout.series if day["day"] and day["absolute"]]
    if not days:
        return ""
    guarded = any(row.role == "guardrail" for row in readout.estimates)
    crossed = f"one that leaves 0{', of a guardrail its margin,' if guarded else ''} aside has crossed"
    said = ["Each line is the interval of all data up to the end of that day, the dot its estimate."]
    anytime = [day["interval_kind"] == "anytime" for day in days]
    if all(anytime):
        said.append(f"These intervals hold at any time: {crossed} a boundary that holds on all days together.")
    elif any(anytime):
        said.append(
            f"Before the planned end they hold at any time, and are wider for it: {crossed} a "
            "boundary that holds on all days together. From the planned end on they are those of the readout."
        )
    if any(anytime):
        said.append("No day decides: tests are made " + ("at looks." if readout.look else "at the planned end."))
    if readout.look and readout.look["record"]:
        said.append(f"Brackets are the intervals at the recorded looks; {crossed} that look's boundary.")
        said.append(
            "The interval of a day knows that day alone, and not the plan: the readout's own, which is what those of all looks "
            "share, differs from the last day's."
        )
    said.append("A line that ends at the edge goes on beyond it.")
    return " ".join(said)


def _looks(readout: Readout, row: EstimateRow) -> Iterator[dict[str, Any]]:
    """What recorded looks and this one saw of a comparison, as far as it was defined as it is now."""
    look = readout.look
    if look is None:
        return
    records = [*look.get("earlier", ()), look["record"]] if look["record"] else []
    found = [(r["as_of"], x) for r in records for x in r["results"] if (x["metric"], x["arm"]) == (row.metric, row.arm)]
    for as_of, result in found:
        if result["lower"] is not None and result.get("meaning") == found[-1][1].get("meaning"):
            yield {"as_of": as_of, **{key: result[key] for key in ("units", "estimate", "lower", "upper")}}


def _across(position: int, days: int) -> float:
    return round((position + 0.5) / days * 100, 3)


def _nearest(ends: Sequence[str], as_of: str) -> int:
    """The first day that ends at or after the instant; ISO texts in UTC sort by time."""
    return next((k for k, end in enumerate(ends) if end >= as_of), len(ends) - 1)


def _span(intervals: Sequence[tuple[float, float]], margin: float | None) -> Span:
    """What the axis holds: 0, the margin and the intervals, of very wide ones as much as is usual."""
    usual = median(max(abs(lower), abs(upper)) for lower, upper in intervals) or 1.0
    lower = max(-WIDEST * usual, min(0.0, *(lower for lower, _ in intervals)))
    upper = min(WIDEST * usual, max(0.0, *(upper for _, upper in intervals)))
    lower, upper = min(lower, margin or 0.0), max(upper, margin or 0.0)
    room = 0.05 * (upper - lower) or 1.0
    return lower - room, upper + room


def _down(value: float, span: Span) -> float:
    """Pixels from the top."""
    lower, upper = span
    return round(HEIGHT * (upper - max(lower, min(upper, value))) / (upper - lower), 2)


def _day(place: int, day: Mapping[str, Any], row: EstimateRow, span: Span, at: float) -> Day:
    found, factor = day["absolute"], unit_of(row).factor
    lower, upper = found["lower"] * factor, found["upper"] * factor
    return Day(
        place=place,
        at=at,
        day=str(day["day"]),
        units=count(sum(day["units"])) if day["units"] else "-",
        effect=day_effect(row, day),
        estimate=_down(found["estimate"] * factor, span),
        lower=_down(lower, span),
        upper=_down(upper, span),
        cut=lower < span[0] or upper > span[1],
    )


def _look(found: Mapping[str, Any], row: EstimateRow, span: Span, at: float, k: int) -> Day:
    factor = unit_of(row).factor
    estimate, lower, upper = (_down(found[key] * factor, span) for key in ("estimate", "lower", "upper"))
    effect = day_effect(row, {"absolute": {**found, "std_error": None}, "baseline_value": None, "arm_value": None})
    return Day(k, at, str(found["as_of"])[:10], count(found["units"]), effect, estimate, lower, upper, cut=False)


def _ticks(span: Span, suffix: str) -> Iterator[tuple[float, str]]:
    step = round_step((span[1] - span[0]) / 2.5)
    for k in range(-2, 3):
        if span[0] <= k * step <= span[1]:
            yield _down(k * step, span), step_text(k, step, suffix)
