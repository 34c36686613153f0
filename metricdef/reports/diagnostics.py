"""Findings about the definitions, for people (with the source line and a caret) and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from metricdef.errors import Diagnostic, Place
from metricdef.reports.lines import Pen, display_width, visible

TAB = "    "
GUTTER = 5
LONGEST_SOURCE = 120
BEFORE_CARET = 40
_STYLES = {"error": "red", "warning": "yellow", "notice": "cyan"}


def render_diagnostics(diagnostics: Iterable[Diagnostic], files: int, color: bool = False) -> str:
    """Every finding with its place, source line and help, then a summary; without a line break at the end.

    Args:
        diagnostics: In any order.
        files: How many files were read.
        color: Whether to write ANSI colours.
    """
    found, pen = sorted(diagnostics, key=lambda d: d.order), Pen(color)
    return "\n".join([*(line for d in found for line in _finding(d, pen)), summary(found, files)])


def diagnostics_json(diagnostics: Iterable[Diagnostic], files: int) -> str:
    """The same findings as a JSON document."""
    found = sorted(diagnostics, key=lambda d: d.order)
    summary = {f"{severity}s": sum(d.severity == severity for d in found) for severity in _STYLES}
    document = {"version": 1, "diagnostics": [_record(d) for d in found], "summary": {**summary, "files": files}}
    return json.dumps(document, indent=2) + "\n"


def _record(d: Diagnostic) -> dict[str, Any]:
    place = d.place
    return {
        "rule": d.rule, "severity": d.severity, "message": d.message, "file": place.file if place else None, "line": place.line if place else None,
        "column": place.column if place else None, "length": place.length if place else None, "help": list(d.help),
    }  # fmt: skip


def _finding(d: Diagnostic, pen: Pen) -> Iterator[str]:
    where = f"{visible(d.place.file)}:{d.place.line}:{d.place.column}: " if d.place else ""
    kind = pen(f"{d.severity}[{visible(d.rule)}]", "bold", _STYLES[d.severity])
    yield f"{pen(where, 'bold')}{kind}: {visible(d.message)}".rstrip()
    if d.place and d.place.text.strip():
        yield from _source(d.place, pen, _STYLES[d.severity])
    for help in d.help:
        yield f"   {pen('=', 'bold')} help: {visible(help)}".rstrip()


def _source(place: Place, pen: Pen, style: str) -> Iterator[str]:
    """The source line, and under the part that is meant a caret for each column it takes on the screen."""
    start = max(0, place.column - 1)
    text = place.text.rstrip()
    before, meant, after = (
        _shown(part) for part in (text[:start], text[start : start + place.length], text[start + place.length :])
    )
    before, meant, after = _shortened(before, meant, after)
    gutter = max(GUTTER, len(str(place.line)))
    yield f"{place.line:>{gutter}} | {before}{meant}{after}".rstrip()
    yield f"{'':>{gutter}} | {' ' * display_width(before)}{pen('^' * max(1, display_width(meant)), 'bold', style)}"


def _shown(text: str) -> str:
    return visible(text.replace("\t", TAB), spaces=False)


def _shortened(before: str, meant: str, after: str) -> tuple[str, str, str]:
    """A very long line is cut on both sides of what is meant, so that the caret stays under it."""
    if display_width(before + meant + after) <= LONGEST_SOURCE:
        return before, meant, after
    if display_width(before) > BEFORE_CARET:
        before = "..." + before[-BEFORE_CARET:]
    room = LONGEST_SOURCE - BEFORE_CARET
    if display_width(meant) > room:
        return before, meant[:room], "..."
    left = room - display_width(meant)
    return before, meant, after if display_width(after) <= left else after[:left] + "..."


def summary(found: Sequence[Diagnostic], files: int) -> str:
    """How many findings of each severity, in how many of the files."""
    total = f"{files} file{'' if files == 1 else 's'}"
    if not found:
        return f"No problems in {total}."
    counts = ((severity, sum(d.severity == severity for d in found)) for severity in _STYLES)
    said = ", ".join(f"{n} {severity}{'' if n == 1 else 's'}" for severity, n in counts if n)
    touched = len({d.place.file for d in found if d.place})
    return f"{said} in {touched} of {total}." if 0 < touched <= files else f"{said}."
