"""Numbers for people: as many digits as the interval supports, units in words, percentages told from points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from metricdef.analysis.readout import EstimateRow, RelativeInterval
from metricdef.analysis.rounding import significant_decimals
from metricdef.reports.lines import visible

MINUS = "−"
DASH = "-"


@dataclass(frozen=True, slots=True)
class Unit:
    """How numbers of one kind are written: multiplied by `factor`, followed by `suffix`."""

    factor: float
    suffix: str
    difference_suffix: str


_SHARE = Unit(100.0, "%", "pp")
PERCENT = Unit(100.0, "%", "%")
_NUMBER = Unit(1.0, "", "")


def unit_of(row: EstimateRow) -> Unit:
    """Percentages and points for shares and percent metrics, the code behind the number for currencies."""
    if row.is_share or row.format == "percent":
        return _SHARE
    kind, _, code = row.format.partition(":")
    if kind == "currency" and code:
        return Unit(1.0, f" {visible(code)}", f" {visible(code)}")
    return _NUMBER


def decimals_for(lower: float, upper: float, apart: Iterable[float] = ()) -> int:
    """Decimals that show two digits of half the interval's width (negative: tens, hundreds, ...).

    Up to three more where a limit would otherwise look equal to a number in `apart` from which it differs.
    """
    half = (upper - lower) / 2
    if not (math.isfinite(half) and half > 0):
        size = max(abs(lower), abs(upper))
        return significant_decimals(size, 4) if math.isfinite(size) else 0
    decimals = significant_decimals(half, 2)
    special = tuple(apart)
    for more in range(decimals, decimals + 4):
        if all(_told_apart(limit, other, more) for limit in (lower, upper) for other in special):
            return more
    return decimals


def _told_apart(a: float, b: float, decimals: int) -> bool:
    return a == b or round(a, decimals) != round(b, decimals)


def number(value: float, decimals: int, signed: bool = False) -> str:
    """A number with thousands separators. What rounds to 0 has no sign: it may be the noise of a sum."""
    if not math.isfinite(value):
        return DASH
    sign = MINUS if value < 0 else "+" if signed and value > 0 else ""
    size = abs(value)
    if decimals > 8 or size >= 1e15:
        digits = f"{size:.3g}"
    else:
        digits = f"{round(size, decimals) if decimals < 0 else size:,.{max(0, decimals)}f}"
    sign = sign if any(digit in "123456789" for digit in digits) else ""
    return f"{sign}{digits.replace('-', MINUS)}"


def count(value: int) -> str:
    """A count with thousands separators."""
    return f"{value:,}"


def percent(share: float, digits: int = 2) -> str:
    """A share as a percentage, rounded to significant digits: 2.5%, 0.1%, 33.3%."""
    value = share * 100
    text = number(value, max(0, significant_decimals(value, digits)))
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%"


def span(limits: tuple[float, float], unit: Unit, decimals: int, suffix: str = "") -> str:
    """`+0.49 to +1.05`."""
    return " to ".join(number(limit * unit.factor, decimals, signed=True) + suffix for limit in limits)


@dataclass(frozen=True, slots=True)
class Figures:
    """One comparison in words: values of both arms, difference and relative effect, each with its interval."""

    baseline: str
    arm: str
    difference: str
    interval: str
    relative: str
    relative_interval: str


NOISE = 1e-9  # a size below which an estimate is rounding noise of its sums


def figures(row: EstimateRow) -> Figures:
    """The row's numbers, rounded together."""
    unit, found = unit_of(row), row.absolute
    values = [value * unit.factor for value in (row.baseline_value, row.arm_value) if value is not None]
    if found is None:
        decimals = max(0, significant_decimals(max(map(abs, values), default=0.0), 4))
    else:
        nulls = [0.0, *(test.null * unit.factor for test in row.tests if test.null_kind == "absolute")]
        decimals = decimals_for(found.lower * unit.factor, found.upper * unit.factor, nulls)
    # A small effect on a large value must not cut the value's own digits down to nothing.
    level = max(decimals, significant_decimals(max(map(abs, values), default=0.0), 2))
    if found is not None and len(values) == 2 and not _adds_up(values, found.estimate * unit.factor, level, decimals):
        level += 1  # 30% to 37% is no +8pp, 29.6% to 37.2% is
    shown = [_value(value, unit, level) for value in (row.baseline_value, row.arm_value)]
    relative, around = _relative(row)
    if found is None:
        return Figures(shown[0], shown[1], "", "", relative, around)
    difference = estimate_text(found.estimate * unit.factor, decimals) + unit.difference_suffix
    return Figures(
        shown[0], shown[1], difference, f"({span((found.lower, found.upper), unit, decimals)})", relative, around
    )


def _adds_up(values: Sequence[float], difference: float, level: int, decimals: int) -> bool:
    """Whether a reader who subtracts the values shown finds the difference shown, but for a tenth of it."""
    baseline, arm = (round(value, level) for value in values)
    shown = round(difference, decimals)
    return abs(arm - baseline - shown) <= abs(shown) / 10 or round(arm - baseline, decimals) == shown


def _value(value: float | None, unit: Unit, decimals: int) -> str:
    return DASH if value is None else number(value * unit.factor, decimals) + unit.suffix


def _relative(row: EstimateRow) -> tuple[str, str]:
    """The relative effect and its confidence set; `-` where there is none."""
    found = row.relative
    if found is None:
        return (DASH, "") if row.absolute else ("", "")
    nulls = [0.0, *(test.null for test in row.tests if test.null_kind == "relative")]
    limits = found.excluded if found.shape == "complement" else (found.lower, found.upper)
    decimals = _relative_decimals(found.estimate, limits, nulls)
    estimate = "" if found.estimate is None else estimate_text(found.estimate * 100, decimals) + "%"
    return estimate, _confidence_set(found, decimals)


def estimate_text(value: float, decimals: int) -> str:
    """An estimate at its interval's digits, and at one more where a wide interval would change it by a fifth."""
    if abs(value) > NOISE and abs(round(value, decimals) - value) > abs(value) / 5:
        decimals += 1
    return number(value, decimals, signed=True)


def _relative_decimals(estimate: float | None, limits: Sequence[float | None] | None, nulls: Iterable[float]) -> int:
    if limits is not None and limits[0] is not None and limits[1] is not None:
        return decimals_for(limits[0] * 100, limits[1] * 100, [null * 100 for null in nulls])
    known = [abs(x) * 100 for x in (estimate, *(limits or ())) if x is not None]
    return max(0, significant_decimals(max(known, default=0.0), 2))


def _confidence_set(found: RelativeInterval, decimals: int) -> str:
    if found.shape == "complement" and found.excluded is not None:
        return f"outside ({span(found.excluded, PERCENT, decimals, '%').replace(' to ', ', ')})"
    if found.lower is not None and found.upper is not None:
        return f"({span((found.lower, found.upper), PERCENT, decimals)})"
    for limit, side in ((found.lower, "above"), (found.upper, "below")):
        if limit is not None:
            return f"{side} {number(limit * 100, decimals, signed=True)}%, not bounded (baseline too close to 0)"
    return "not bounded (baseline too close to 0)"
