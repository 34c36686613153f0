"""The levels of breakdowns as text: per dimension, metric and arm first whether levels differ at all, then each level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from metricdef.analysis.readout import EstimateRow, Heterogeneity, Readout
from metricdef.analysis.rounding import equation
from metricdef.reports import notes, words
from metricdef.reports.comparison_table import ComparisonTable
from metricdef.reports.comparisons import metric_name
from metricdef.reports.lines import GAP, Pen, visible, wrap
from metricdef.reports.numbers import number

MOST_LEVELS = 12  # rows of one metric and arm; all of them in verbose mode
QUIET = ("inconclusive", "not_computed")


def render_breakdowns(readout: Readout, width: int, pen: Pen, verbose: bool) -> list[str]:
    """One section per dimension; empty where nothing is broken down."""
    dimensions: dict[tuple[str, ...], list[EstimateRow]] = {}
    for row in readout.estimates:
        if row.segment is not None:
            dimensions.setdefault(tuple(row.segment), []).append(row)
    lines: list[str] = []
    for dimension, rows in dimensions.items():
        lines += [""] if lines else []
        lines += _section(", ".join(map(visible, dimension)), rows, len(dimensions), width, pen, verbose)
    return lines


def _section(
    dimension: str, rows: Sequence[EstimateRow], dimensions: int, width: int, pen: Pen, verbose: bool
) -> Iterator[str]:
    yield from (pen(line, "bold") for line in wrap(f"BREAKDOWN BY {dimension}", width))
    yield from wrap(holds(rows, dimensions), width, GAP)
    table = ComparisonTable.of(rows, "level", _level, width, pen, _verdict)
    yield from table.head()
    for metric, arm in dict.fromkeys((row.metric, row.arm) for row in rows):
        members = [row for row in rows if (row.metric, row.arm) == (metric, arm)]
        title = f"{metric_name(members[0])} · {visible(arm)}"
        said = differ(members, verbose)
        for line in wrap(f"{title}: {said}" if said else title, width, GAP):
            yield pen(line, "bold")
        shown = members if verbose else worth_showing(members)
        for row in shown:
            yield from table.lines(row)
        found = level_notes(shown, table.notes(shown), verbose)
        if len(shown) < len(members):
            found = [*found, hidden(len(members) - len(shown))]
        for note in found:
            yield from (pen(line, "dim") for line in wrap(note, width, GAP * 2, GAP * 3))


def holds(rows: Sequence[EstimateRow], dimensions: int) -> str:
    """The correction, said once per dimension."""
    test = next((test for row in rows if (test := row.test("superiority"))), None)
    if test is None:
        return "Levels never enter the decision."
    adjusted = "not adjusted"
    if test.procedure != "none":
        adjusted = f"adjusted by {words.procedure(test.procedure)} over {words.tests(len(rows))}"
    over = "" if dimensions == 1 else f" (Holm over {dimensions} dimensions)"
    held = f"p {visible(test.sidedness)}, {adjusted}, at {test.alpha:g}"
    return f"{held}, and never below p of the test that levels differ{over}. Levels never enter the decision."


def differ(rows: Sequence[EstimateRow], verbose: bool) -> str:
    """The test that levels differ, which no level passes by; empty before the planned end, when nothing is tested."""
    gate = next((row.heterogeneity for row in rows if row.heterogeneity), None)
    test = next((test for row in rows if (test := row.test("superiority"))), None)
    if gate is None:
        early = any(row.reason == words.NOT_YET for row in rows)
        return "" if early else "whether levels differ can't be tested (it takes two levels with a standard error)"
    said = "effects differ between levels" if test and gate.p_adjusted <= test.alpha else "levels don't clearly differ"
    return f"{said} ({_gate(gate, test.alpha if test else None, verbose)})"


def _gate(gate: Heterogeneity, alpha: float | None, verbose: bool) -> str:
    adjusted = equation("p", gate.p_adjusted, alpha)
    if not verbose:
        return adjusted
    plain = "" if gate.p_value == gate.p_adjusted else f", {equation('p', gate.p_value, alpha)} not adjusted"
    return f"Cochran's Q = {number(gate.statistic, 2)} with {gate.df} df, {adjusted}{plain}"


def _level(row: EstimateRow) -> str:
    return words.levels(row.segment or {}, named=False)


def _verdict(row: EstimateRow) -> str:
    """Shorter than in the tables of overall effects: there are many levels."""
    return "unclear" if row.verdict == "inconclusive" else words.verdict(row)


def worth_showing(rows: Sequence[EstimateRow]) -> list[EstimateRow]:
    """All levels, or of very many those that say something and then the largest, in their own order."""
    ranked = sorted(rows, key=lambda row: (row.verdict in QUIET, -sum(row.units or ())))
    kept = {id(row) for row in ranked[: max(MOST_LEVELS, sum(row.verdict not in QUIET for row in rows))]}
    return [row for row in rows if id(row) in kept]


def hidden(count: int) -> str:
    """How many levels a list leaves out, and where they are."""
    levels = "1 smaller level" if count == 1 else f"{count:,} smaller levels"
    return f"{levels} without a clear difference: shown with --verbose"


def level_notes(rows: Sequence[EstimateRow], extra: Sequence[str], verbose: bool) -> list[str]:
    """What qualifies single levels; what several share is said once."""
    found: dict[str, list[str]] = {}
    for row, more in zip(rows, extra, strict=True):
        for note in [*([more] if more else []), *notes.of_level(row, verbose)]:
            found.setdefault(note, []).append(_level(row))
    return [note if len(levels) == len(rows) else f"{', '.join(levels)}: {note}" for note, levels in found.items()]
