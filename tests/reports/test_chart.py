"""The picture of a series: every mark stands where its number does."""

import random

import pytest

from metricdef.reports.chart import ESTIMATE, HEIGHT, INTERVAL, draw

LABELS = ("2026-09-01", "2026-09-30")


def write(value):
    return f"{value:+.3f}"


def columns(lines):
    """Rows of the estimate and of the interval's ends, by column of the picture."""
    bodies = [line.split("┤", 1)[1] for line in lines[:HEIGHT]]
    found = []
    for at in range(max(map(len, bodies))):
        cells = [body[at] if at < len(body) else " " for body in bodies]
        estimate = [row for row, cell in enumerate(cells) if cell == ESTIMATE]
        interval = [row for row, cell in enumerate(cells) if cell in (ESTIMATE, INTERVAL)]
        found.append((estimate[0], interval[0], interval[-1]) if estimate else None)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_marks_stand_where_the_numbers_are(seed):
    rng = random.Random(seed)
    points = []
    for day in range(1, 25):
        half = rng.uniform(0.5, 2) / day**0.5
        estimate = rng.gauss(0.1, 0.5 / day**0.5)
        points.append((estimate, estimate - half, estimate + half))
    if seed % 2:
        points[5] = None
    lines = draw(points, LABELS, 70, write)
    high, low = (float(lines[row].split("┤")[0]) for row in (0, HEIGHT - 1))
    known = [p for p in points if p]
    assert high == pytest.approx(max(0, *(p[0] for p in known), points[-1][2]), abs=6e-4)
    assert low == pytest.approx(min(0, *(p[0] for p in known), points[-1][1]), abs=6e-4)
    step = (high - low) / (HEIGHT - 1)
    drawn = columns(lines)
    assert len(drawn) == len(points)
    for point, rows in zip(points, drawn, strict=True):
        assert (point is None) == (rows is None)
        for value, row in zip(point or (), (rows and (rows[0], rows[2], rows[1])) or (), strict=True):
            shown = min(max(value, low), high)
            assert abs(high - row * step - shown) <= step / 2 + 1e-3
    zero = next(row for row, line in enumerate(lines) if line.split("┤")[0].strip() == "0") if low < 0 < high else None
    assert zero is None or abs(high - zero * step) <= step / 2 + 1e-3
    assert lines[-1].strip() == "2026-09-01    2026-09-30"


@pytest.mark.parametrize("width", [12, 24, 40, 90])
def test_no_line_is_wider_than_the_terminal_and_the_last_day_is_there(width):
    points = [(0.1 + 1 / day, 0.1 - 1 / day, 0.5 + 1 / day) for day in range(1, 200)]
    lines = draw(points, LABELS, width, write)
    assert all(len(line) <= width for line in lines)
    assert columns(lines)[-1] == columns(draw(points, LABELS, 400, write))[-1]


def test_what_is_no_picture_is_left_out():
    assert draw([(0.1, 0.0, 0.2)], LABELS, 80, write) == []
    assert draw([None, None, None], LABELS, 80, write) == []
    assert draw([(0.0, 0.0, 0.0)] * 3, LABELS, 80, write) == []
    assert draw([(1.0, 0.0, 2.0)] * 3, LABELS, 8, write) == []
