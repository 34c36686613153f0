"""Where the marks of a plot stand, as percentages of its width. Nothing is estimated here: places are the readout's numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from metricdef.analysis.readout import EstimateRow
from metricdef.analysis.rounding import significant_decimals
from metricdef.reports.numbers import PERCENT, Unit, number, unit_of

ROOM = 1.08  # of the axis beyond what it must hold
WIDEST = 8  # times the usual interval: one that reaches further is cut, with an arrow
FURTHEST = 3  # times the intervals: a planned effect that lies further away is named and not drawn
NARROW, CHARACTER = 240, 7  # pixels of the narrowest axis, and of a character of its ticks
NAMES = {
    "margin": "margin",
    "mde": "planned effect (MDE)",
    "practical": "smallest effect worth having",
    "equivalence": "margin of equivalence",
}


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on the axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A declared size: margin, mde, practical or equivalence."""

    kind: str
    at: float
    text: str = ""  # of one that was declared in another unit: its size on this axis


@dataclass(frozen=True, slots=True)
class Bar:
    """An interval with its estimate. `cut_lower`, `cut_upper`: it goes on beyond the axis."""

    at: float
    lower: float
    upper: float
    cut_lower: bool
    cut_upper: bool
    outer: tuple[float, float] | None = None  # the interval that holds for the whole family


@dataclass(frozen=True, slots=True)
class Strip:
    """Intervals on one axis, 0 in its middle. `half` is the axis' end in the unit shown."""

    relative: bool
    half: float
    ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    bars: tuple[Bar | None, ...]
    beside: tuple[Bar | None, ...]  # without covariates


def strip_of(rows: Sequence[EstimateRow], sizes: Mapping[str, Mapping[str, Any]]) -> Strip | None:
    """The intervals of some rows of one metric; None where no row has one.

    Args:
        rows: The rows, of one metric.
        sizes: What was declared for it, as in the readout's `design`.
    """
    shown = [row for row in rows if row.absolute is not None]
    if not shown:
        return None
    relative = _is_relative(shown, sizes)
    unit = PERCENT if relative else unit_of(shown[0])
    found = [_interval(row, unit, relative=relative) for row in rows]
    plain = [None if relative else _unadjusted(row, unit) for row in rows]
    reach = [max(map(abs, f)) for f in (*found, *plain) if f is not None and any(f)]
    usual = median(reach) if reach else 0.0
    declared = list(_declared(shown[0], sizes, unit, relative=relative))
    widest = min(max(reach, default=0.0), WIDEST * usual)
    near = [found for found in declared if found[0] == "margin" or abs(found[1]) <= FURTHEST * widest or not widest]
    half = ROOM * max([widest, *(abs(x) for _, x, _ in near)]) or 1.0
    outer = [None if relative else _simultaneous(row, unit) for row in rows]
    return Strip(
        relative,
        half,
        tuple(_ticks(half, unit.difference_suffix)),
        tuple(Mark(kind, _place(x, half), text) for kind, x, text in near),
        tuple(_bar(f, half, o) for f, o in zip(found, outer, strict=True)),
        tuple(_bar(f, half) for f in plain),
    )


def _is_relative(rows: Sequence[EstimateRow], sizes: Mapping[str, Mapping[str, Any]]) -> bool:
    """The axis is that of what was declared for the metric; else points for shares, and relative where that is bounded."""
    if any(row.relative is None or row.relative.shape != "bounded" or row.relative.estimate is None for row in rows):
        return False
    for name in ("margin", "practical", "equivalence", "mde"):
        if name in sizes:
            return bool(sizes[name]["kind"] == "relative")
    return not rows[0].is_share


def _interval(row: EstimateRow, unit: Unit, *, relative: bool) -> tuple[float, float, float] | None:
    """Estimate and limits in the unit shown."""
    found = row.relative if relative else row.absolute
    if found is None or found.estimate is None or found.lower is None or found.upper is None:
        return None
    return found.estimate * unit.factor, found.lower * unit.factor, found.upper * unit.factor


def _unadjusted(row: EstimateRow, unit: Unit) -> tuple[float, float, float] | None:
    plain = row.unadjusted or {}
    values = [plain.get(name) for name in ("estimate", "lower", "upper")]
    if row.interval_kind == "anytime" or not all(isinstance(value, int | float) for value in values):
        return None
    estimate, lower, upper = (float(value) * unit.factor for value in values if value is not None)
    return estimate, lower, upper


def _simultaneous(row: EstimateRow, unit: Unit) -> tuple[float, float] | None:
    found = row.simultaneous
    if found is None or found == row.absolute:
        return None
    return found.lower * unit.factor, found.upper * unit.factor


def _declared(
    row: EstimateRow, sizes: Mapping[str, Mapping[str, Any]], unit: Unit, *, relative: bool
) -> Iterable[tuple[str, float, str]]:
    """Declared sizes of the axis' kind, each on the side that its role gives it.

    A planned effect, against which nothing is tested, is drawn in the other kind too, by the baseline's value as estimated.
    """
    for kind, size in sizes.items():
        same, baseline, text = (size["kind"] == "relative") == relative, abs(row.baseline_value or 0.0), ""
        if kind not in NAMES or not (same or (kind == "mde" and baseline)):
            continue
        value = float(size["value"])
        if not same:
            value = value / baseline if relative else value * baseline
            scaled = value * unit.factor
            text = number(scaled, max(0, significant_decimals(scaled, 2))) + unit.difference_suffix
        value *= unit.factor
        better = -1.0 if row.direction == "decrease" else 1.0
        if kind == "equivalence":
            yield kind, -value, text
            yield kind, value, text
        else:
            yield kind, (-better if kind == "margin" else better) * value, text


def _place(value: float, half: float) -> float:
    return round(50 + 50 * value / half, 3)


def _bar(found: tuple[float, float, float] | None, half: float, outer: tuple[float, float] | None = None) -> Bar | None:
    if found is None:
        return None
    at, lower, upper = (_place(max(-half, min(half, x)), half) for x in found)
    around = None
    if outer is not None:
        around = (_place(max(-half, outer[0]), half), _place(min(half, outer[1]), half))
    return Bar(at, lower, upper, found[1] < -half, found[2] > half, around)


def _ticks(half: float, suffix: str) -> Iterable[Tick]:
    """0 and round numbers on either side: two where there is room for their words, else one."""
    for apart in (2.2, 1.5, 1.1):
        step = round_step(half / apart)
        texts = {k: step_text(k, step, suffix) for k in (-2, -1, 0, 1, 2) if abs(k * step) <= half * 0.92}
        room = NARROW * step / (2 * half)
        if room >= CHARACTER * max(map(len, texts.values())) + CHARACTER:
            break
    else:
        texts = {k: text for k, text in texts.items() if abs(k) < 2}
    for k, text in texts.items():
        yield Tick(_place(k * step, half), text)


def step_text(k: int, step: float, suffix: str) -> str:
    """`+0.5pp`: k steps from 0."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9) + (1 if f"{step:.1e}".startswith("2.5") else 0))
    return number(k * step, decimals, signed=True) + suffix if k else "0"


def round_step(size: float) -> float:
    """The largest of 1, 2, 2.5 and 5 times a power of ten that is at most `size`."""
    power = 10.0 ** math.floor(math.log10(size))
    return next(m * power for m in (5, 2.5, 2, 1, 0.5) if m * power <= size * (1 + 1e-9))
