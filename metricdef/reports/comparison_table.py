"""Rows of estimates in aligned columns; where the terminal is too narrow for them, the numbers below the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from metricdef.analysis.readout import EstimateRow
from metricdef.analysis.rounding import equation, p_text
from metricdef.reports import notes, words
from metricdef.reports.lines import GAP, Pen, column_widths, display_width, flow, pad, wrap
from metricdef.reports.numbers import figures

NUMBERS = ("baseline → arm", "difference", "relative")
NARROWEST_VERDICT = 11
MOST_VERDICT_LINES = 3
LONGEST_RELATIVE = 26


@dataclass(frozen=True, slots=True)
class Cells:
    """One row, each cell already in words."""

    columns: tuple[str, ...]  # all but the verdict, which takes the room that is left
    verdict: str
    style: str
    relative_note: str


@dataclass(frozen=True, slots=True)
class ComparisonTable:
    """Rows that share their columns. `widths` is None where the columns don't fit."""

    header: tuple[str, ...]
    cells: dict[int, Cells]  # by the row's identity: two rows may be equal
    widths: tuple[int, ...] | None
    width: int
    pen: Pen

    @classmethod
    def of(
        cls,
        rows: Sequence[EstimateRow],
        first: str,
        name: Callable[[EstimateRow], str],
        width: int,
        pen: Pen,
        verdict: Callable[[EstimateRow], str] = words.verdict,
    ) -> ComparisonTable:
        """A table whose first column is titled `first` and says `name` of each row, and whose last says `verdict`."""
        cells = dict(zip(map(id, rows), _cells(rows, name, verdict), strict=True))
        header = (first, *NUMBERS, *(("p",) if any(map(notes.shown_p, rows)) else ()))
        widths = column_widths([header, *(c.columns for c in cells.values())])
        fits = _fits(widths, [c.verdict for c in cells.values()], width)
        return cls(header, cells, tuple(widths) if fits else None, width, pen)

    def head(self) -> Iterator[str]:
        """The columns' titles, where there are columns."""
        if self.widths:
            yield self.pen(_line((*self.header, "verdict"), self.widths), "dim")

    def lines(self, row: EstimateRow) -> Iterator[str]:
        """One row."""
        cell = self.cells[id(row)]
        yield from self._aligned(cell, self.widths) if self.widths else self._stacked(row, cell)

    def notes(self, rows: Sequence[EstimateRow]) -> list[str]:
        """What did not fit into the columns, one text a row."""
        return [self.cells[id(row)].relative_note if self.widths else "" for row in rows]

    def _aligned(self, cell: Cells, widths: Sequence[int]) -> Iterator[str]:
        left = _left(widths)
        first, *more = wrap(cell.verdict, max(1, self.width - left))
        yield pad(_line([*cell.columns, ""], widths), left) + self.pen(first, cell.style)
        yield from (" " * left + self.pen(line, cell.style) for line in more)

    def _stacked(self, row: EstimateRow, cell: Cells) -> Iterator[str]:
        for line in wrap(f"{cell.columns[0]}: {cell.verdict}", self.width, GAP * 2, GAP * 3):
            yield self.pen(line, cell.style)
        f, p = figures(row), notes.shown_p(row)
        relative = joined(f.relative, f.relative_interval)
        parts = [
            f"{f.baseline} → {f.arm}" if _has_values(row) else "",
            joined(f.difference, f.interval),
            f"relative {relative}" if relative not in ("", "-") else "",
            equation("p", *p) if p else "",
        ]
        shown = [part for part in parts if part]
        if shown:
            yield from flow(shown, self.width, GAP * 3)


def joined(estimate: str, interval: str) -> str:
    """`+10% (+3 to +18)`, `+50%, not bounded`."""
    comma = "," if estimate.strip() and interval and not interval.startswith("(") else ""
    return f"{estimate}{comma} {interval}".rstrip() if estimate else interval


def _cells(
    rows: Sequence[EstimateRow], name: Callable[[EstimateRow], str], verdict: Callable[[EstimateRow], str]
) -> list[Cells]:
    """Rows in words; parts of one column are aligned with each other."""
    found = [figures(row) for row in rows]
    baseline = max(display_width(f.baseline) for f in found)
    arm = max(display_width(f.arm) for f in found)
    difference = max(display_width(f.difference) for f in found)
    relative = max(display_width(f.relative) for f in found)
    tested = any(map(notes.shown_p, rows))
    cells = []
    for row, f in zip(rows, found, strict=True):
        values = f"{pad(f.baseline, baseline, '>')} → {pad(f.arm, arm)}" if _has_values(row) else ""
        around, note = f.relative_interval, ""
        if display_width(around) > LONGEST_RELATIVE:
            around, note = "(see below)", f"relative effect {joined(f.relative, f.relative_interval)}"
        p = notes.shown_p(row)
        effects = (
            joined(pad(f.difference, difference, ">"), f.interval),
            joined(pad(f.relative, relative, ">"), around),
        )
        columns = (name(row), values, *effects, *([p_text(*p) if p else "-"] if tested else []))
        cells.append(Cells(columns, verdict(row), words.verdict_style(row), note))
    return cells


def _has_values(row: EstimateRow) -> bool:
    return row.baseline_value is not None or row.arm_value is not None


def _left(widths: Sequence[int]) -> int:
    """Columns before the verdict."""
    return len(GAP) * (len(widths) + 2) + sum(widths)


def _fits(widths: Sequence[int], verdicts: Iterable[str], width: int) -> bool:
    """Whether a table leaves enough room for the verdicts."""
    room = width - _left(widths)
    return room >= NARROWEST_VERDICT and all(len(wrap(text, room)) <= MOST_VERDICT_LINES for text in verdicts)


def _line(cells: Iterable[str], widths: Sequence[int]) -> str:
    *columns, last = cells
    aligns = "<<<<>"[: len(widths)]
    shown = [pad(cell, w, align) for cell, w, align in zip(columns, widths, aligns, strict=True)]
    return (GAP * 2 + GAP.join([*shown, last])).rstrip()
