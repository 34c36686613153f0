"""A small picture of estimates with their intervals, one column each, in characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

HEIGHT = 9  # rows
ESTIMATE, INTERVAL, ZERO, AXIS = "●", "│", "·", "┤"

Point = tuple[float, float, float]  # estimate, lower and upper limit


def draw(
    points: Sequence[Point | None], labels: tuple[str, str], width: int, write: Callable[[float], str]
) -> list[str]:
    """Lines of at most `width` columns; none where there is nothing to draw or no room for it.

    The scale covers 0, every estimate and the last interval; wider intervals are cut at its ends. Of more points than
    columns every k-th is drawn, the last always.

    Args:
        points: In order; None where there is no estimate.
        labels: Of the first and the last point.
        width: Columns.
        write: A number as it stands at the axis.
    """
    known = [point for point in points if point is not None]
    if len(known) < 2:
        return []
    values = [0.0, *(estimate for estimate, _, _ in known), *known[-1][1:]]
    low, high = min(values), max(values)
    if not high > low:
        return []
    marks = {_row(high, low, high): write(high), _row(low, low, high): write(low)}
    marks[_row(0.0, low, high)] = "0"
    margin = max(map(len, marks.values()))
    room = width - margin - 2
    if room < 2:
        return []
    every = -(-len(points) // room)
    shown = list(points)[::-1][::every][::-1]
    rows = [
        f"{marks.get(row, ''):>{margin}} {AXIS}{''.join(_cell(point, row, low, high) for point in shown)}".rstrip()
        for row in range(HEIGHT)
    ]
    first, last = labels
    gap = len(shown) - len(first) - len(last)
    below = f"{first}{' ' * gap}{last}" if gap > 0 else f"{first} to {last}"
    return [*rows, *([f"{' ' * (margin + 2)}{below}"] if margin + 2 + len(below) <= width else [])]


def _row(value: float, low: float, high: float) -> int:
    """Row of a value, 0 at the top; beyond the scale the nearest."""
    return min(HEIGHT - 1, max(0, round((high - value) / (high - low) * (HEIGHT - 1))))


def _cell(point: Point | None, row: int, low: float, high: float) -> str:
    zero = ZERO if row == _row(0.0, low, high) else " "
    if point is None:
        return zero
    estimate, lower, upper = point
    if row == _row(estimate, low, high):
        return ESTIMATE
    return INTERVAL if _row(upper, low, high) <= row <= _row(lower, low, high) else zero
