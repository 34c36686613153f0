"""Results of unit tests of metrics, for people (only the figures that differ) and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from metricdef.analysis.metric_tests import CaseResult, Difference, Value
from metricdef.reports.lines import Pen, pad, visible

_STYLES = {"passed": "green", "failed": "red", "error": "red"}


def render_tests(results: Sequence[CaseResult], *, color: bool = False, quiet: bool = False) -> str:
    """One line per test, below a failed one the figures that differ; `quiet` leaves out what passed."""
    pen = Pen(color)
    shown = [result for result in results if not quiet or result.status != "passed"]
    return "\n".join([*(line for result in shown for line in _lines(result, pen)), _summary(results)])


def _lines(result: CaseResult, pen: Pen) -> Iterator[str]:
    status = pen(pad(result.status, 6), "bold", _STYLES[result.status])
    yield f"{status}  {visible(result.test)} ({visible(result.metric)})"
    if result.message is not None:
        yield f"  {visible(result.place.file)}:{result.place.line}:{result.place.column}: {visible(result.message)}"
        yield from (f"   {pen('=', 'bold')} help: {visible(line)}" for line in result.help)
    rows = [_cells(difference) for difference in result.differences]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(pad(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cells(d: Difference) -> tuple[str, ...]:
    place = f"{visible(d.place.file)}:{d.place.line}:{d.place.column}:"
    return (
        place,
        f"{d.kind} {visible(d.name)}",
        d.figure,
        f"expected {figure(d.expected)}",
        f"actual {figure(d.actual)}",
    )


def figure(value: Value) -> str:
    """A figure with as many digits as are compared."""
    if value is None:
        return "null"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.12g}"


def _summary(results: Sequence[CaseResult]) -> str:
    if not results:
        return "No tests."
    total = f"{len(results)} test{'' if len(results) == 1 else 's'}"
    counts = ((status, sum(r.status == status for r in results)) for status in ("failed", "error"))
    said = [f"{n} {'could not run' if status == 'error' else status}" for status, n in counts if n]
    return f"{', '.join(said)} of {total}." if said else f"{total} passed."


def tests_json(results: Iterable[CaseResult]) -> str:
    """The same results as a JSON document."""
    found = list(results)
    summary = {status: sum(r.status == status for r in found) for status in _STYLES}
    return json.dumps({"version": 1, "tests": [_record(r) for r in found], "summary": summary}, indent=2) + "\n"


def _record(r: CaseResult) -> dict[str, Any]:
    return {
        "test": r.test,
        "metric": r.metric,
        "status": r.status,
        "file": r.place.file,
        "line": r.place.line,
        "message": r.message,
        "differences": [
            {
                "where": {d.kind: d.name},
                "figure": d.figure,
                "expected": d.expected,
                "actual": d.actual,
                "file": d.place.file,
                "line": d.place.line,
                "column": d.place.column,
            }
            for d in r.differences
        ],
    }
