"""The estimates of a readout as text: by role, per metric one row per arm, and below it what qualifies the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.reports import notes, words
from metricdef.reports.lines import GAP, Pen, column_widths, display_width, flow, pad, visible, wrap
from metricdef.reports.numbers import equation, figures, p_text

ROLES = ("primary", "secondary", "guardrail")
HEADER = ("arm", "baseline → arm", "difference", "relative", "p")
NARROWEST_VERDICT = 11
MOST_VERDICT_LINES = 3
LONGEST_RELATIVE = 26


@dataclass(frozen=True, slots=True)
class Cells:
    """One row of the table, each cell already in words."""

    columns: tuple[str, ...]  # all but the verdict, which takes the room that is left
    verdict: str
    style: str
    relative_note: str


def render_estimates(readout: Readout, width: int, pen: Pen, verbose: bool) -> list[str]:
    """Every section with a heading, in the order of the roles."""
    rows = readout.estimates
    if not rows:
        return [pen("ESTIMATES", "bold"), *wrap("none are shown", width, GAP)]
    cells = dict(zip(map(id, rows), _cells(rows), strict=True))
    header = HEADER if any(map(notes.shown_p, rows)) else HEADER[:-1]
    widths = column_widths([header, *(c.columns for c in cells.values())])
    fits = _fits(widths, [c.verdict for c in cells.values()], width)
    levels = _levels(rows)
    lines = [line for legend in _legend(readout, levels) for line in wrap(legend, width)]
    roles = [*ROLES, *dict.fromkeys(row.role for row in rows if row.role not in ROLES)]
    for role in roles:
        members = [row for row in rows if row.role == role]
        if not members:
            continue
        lines += ["", *_heading(role, members, len(levels) > 1, width, pen)]
        if fits:
            lines.append(pen(_table_line((*header, "verdict"), widths), "dim"))
        for metric in dict.fromkeys(row.metric for row in members):
            block = [row for row in members if row.metric == metric]
            lines += _block(block, [cells[id(row)] for row in block], width, widths if fits else None, pen, verbose)
    return lines


def _left(widths: Sequence[int]) -> int:
    """Columns before the verdict."""
    return len(GAP) * (len(widths) + 2) + sum(widths)


def _fits(widths: Sequence[int], verdicts: Iterable[str], width: int) -> bool:
    """Whether a table leaves enough room for the verdicts."""
    room = width - _left(widths)
    return room >= NARROWEST_VERDICT and all(len(wrap(text, room)) <= MOST_VERDICT_LINES for text in verdicts)


def _levels(rows: Iterable[EstimateRow]) -> list[float]:
    return sorted({row.estimator.confidence for row in rows if row.estimator}, reverse=True)


def _legend(readout: Readout, levels: Sequence[float]) -> Iterator[str]:
    """What holds for all intervals, said once."""
    level = f"{words.confidence(levels[0])} intervals" if len(levels) == 1 else "intervals"
    if any(row.interval_kind == "anytime" for row in readout.estimates):
        end = words.instant(readout.window.get("planned_end", ""))
        until = f"; not yet tested: the planned end is {end}" if end else ""
        yield f"In brackets: {level} valid at any time{until}."
    elif levels:
        yield f"In brackets: {level}, one comparison at a time. Better or worse by the metric's direction."
    if readout.decision.recommendation == "invalid":
        yield "The experiment is invalid: these numbers help to find the fault, they decide nothing."


def _heading(role: str, rows: Sequence[EstimateRow], levels: bool, width: int, pen: Pen) -> list[str]:
    """`PRIMARY  p two-sided, adjusted by Holm over 2 tests, at 0.05`; the intervals' levels where roles differ."""
    parts = []
    overall = [row for row in rows if row.segment is None]
    main = next((test for row in overall if (test := notes.main_test(row))), None)
    if main is not None:
        against = ", against the margin" if main.hypothesis == "non_inferiority" else ""
        corrected = "not adjusted"
        if main.procedure != "none":
            tests = "1 test" if len(overall) == 1 else f"{len(overall)} tests"
            corrected = f"adjusted by {words.procedure(main.procedure)} over {tests}"
        parts.append(f"p {visible(main.sidedness)}{against}, {corrected}, at {main.alpha:g}")
    if levels:
        parts += [f"{words.confidence(level)} intervals" for level in _levels(rows)]
    name = {"guardrail": "GUARDRAILS"}.get(role) or words.spelled(role).upper()
    if display_width(name) > width // 2:
        return [*(pen(line, "bold") for line in wrap(name, width)), *(flow(parts, width, GAP) if parts else ())]
    lines = flow(parts, width, f"{name}{GAP}")
    return [pen(name, "bold") + line.removeprefix(name) if i == 0 else line for i, line in enumerate(lines)]


def _cells(rows: Sequence[EstimateRow]) -> list[Cells]:
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
            around, note = "(see below)", f"relative effect {_joined(f.relative, f.relative_interval)}"
        p = notes.shown_p(row)
        effects = (
            _joined(pad(f.difference, difference, ">"), f.interval),
            _joined(pad(f.relative, relative, ">"), around),
        )
        columns = (_arm(row), values, *effects, *([p_text(*p) if p else "-"] if tested else []))
        cells.append(Cells(columns, words.verdict(row), words.verdict_style(row), note))
    return cells


def _has_values(row: EstimateRow) -> bool:
    return row.baseline_value is not None or row.arm_value is not None


def _joined(estimate: str, interval: str) -> str:
    """`+10% (+3 to +18)`, `+50%, not bounded`."""
    comma = "," if estimate.strip() and interval and not interval.startswith("(") else ""
    return f"{estimate}{comma} {interval}".rstrip() if estimate else interval


def _arm(row: EstimateRow) -> str:
    segment = ", ".join(f"{visible(k)} {visible(v)}" for k, v in (row.segment or {}).items())
    return f"{visible(row.arm)} [{segment}]" if segment else visible(row.arm)


def _block(
    rows: Sequence[EstimateRow],
    cells: Sequence[Cells],
    width: int,
    widths: Sequence[int] | None,
    pen: Pen,
    verbose: bool,
) -> Iterator[str]:
    """One metric: its name, its arms, its notes."""
    yield from _metric_name(rows[0], width, pen)
    for row, cell in zip(rows, cells, strict=True):
        yield from _table_row(cell, width, widths, pen) if widths else _stacked_row(row, cell, width, pen)
    extra = [c.relative_note for c in cells] if widths else [""] * len(cells)
    for note in notes.of_metric(rows, extra, verbose):
        yield from (pen(line, "dim") for line in wrap(note, width, GAP * 2, GAP * 3))


def _metric_name(row: EstimateRow, width: int, pen: Pen) -> list[str]:
    name, label = visible(row.metric), visible(row.label)
    parts = [label or name]
    if label and label != name:
        parts.append(f"({name})")
    title = " ".join(parts)
    if row.direction == "decrease":
        title += " · lower is better"
    return [pen(line, "bold") for line in wrap(title, width, GAP)]


def _table_line(cells: Iterable[str], widths: Sequence[int]) -> str:
    *columns, last = cells
    aligns = "<<<<>"[: len(widths)]
    shown = [pad(cell, w, align) for cell, w, align in zip(columns, widths, aligns, strict=True)]
    return (GAP * 2 + GAP.join([*shown, last])).rstrip()


def _table_row(cell: Cells, width: int, widths: Sequence[int], pen: Pen) -> Iterator[str]:
    left = _left(widths)
    first, *more = wrap(cell.verdict, max(1, width - left))
    before = _table_line([*cell.columns, ""], widths)
    yield pad(before, left) + pen(first, cell.style)
    yield from (" " * left + pen(line, cell.style) for line in more)


def _stacked_row(row: EstimateRow, cell: Cells, width: int, pen: Pen) -> Iterator[str]:
    """For narrow terminals: the verdict beside the arm, the numbers below."""
    yield from (pen(line, cell.style) for line in wrap(f"{cell.columns[0]}: {cell.verdict}", width, GAP * 2, GAP * 3))
    f, p = figures(row), notes.shown_p(row)
    values = f"{f.baseline} → {f.arm}" if _has_values(row) else ""
    relative = _joined(f.relative, f.relative_interval)
    parts = [
        values,
        _joined(f.difference, f.interval),
        f"relative {relative}" if relative not in ("", "-") else "",
        equation("p", *p) if p else "",
    ]
    shown = [part for part in parts if part]
    if shown:
        yield from flow(shown, width, GAP * 3)
