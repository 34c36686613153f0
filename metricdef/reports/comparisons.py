"""The overall estimates of a readout as text: by role, per metric one row per arm, and below it what qualifies them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.reports import deviations, notes, words
from metricdef.reports.comparison_table import ComparisonTable
from metricdef.reports.lines import GAP, Pen, display_width, flow, visible, wrap

ROLES = ("primary", "secondary", "guardrail")


def render_estimates(readout: Readout, width: int, pen: Pen, verbose: bool) -> list[str]:
    """Every section with a heading, in the order of the roles. Levels of breakdowns stand elsewhere."""
    rows = [row for row in readout.estimates if row.segment is None]
    if not rows:
        return [pen("ESTIMATES", "bold"), *wrap("none are shown", width, GAP)]
    table = ComparisonTable.of(rows, "arm", lambda row: visible(row.arm), width, pen)
    levels = _levels(rows)
    lines = [line for legend in interval_words(readout) for line in wrap(legend, width)]
    roles = [*ROLES, *dict.fromkeys(row.role for row in rows if row.role not in ROLES)]
    for role in roles:
        members = [row for row in rows if row.role == role]
        if not members:
            continue
        lines += ["", *_heading(role, members, len(levels) > 1, width, pen)]
        lines += [line for found in deviations.of_role(readout, role) for line in wrap(found, width, GAP, GAP * 2)]
        lines += table.head()
        for metric in dict.fromkeys(row.metric for row in members):
            deviating = list(deviations.of_metric(readout, metric))
            lines += _block([row for row in members if row.metric == metric], table, verbose, deviating)
    return lines


def _levels(rows: Iterable[EstimateRow]) -> list[float]:
    return sorted({row.estimator.confidence for row in rows if row.estimator}, reverse=True)


def interval_words(readout: Readout) -> Iterator[str]:
    """What holds for all intervals, said once."""
    levels = _levels(row for row in readout.estimates if row.segment is None)
    level = f"{words.confidence(levels[0])} intervals" if len(levels) == 1 else "intervals"
    if readout.look is not None:
        together = (
            "valid at any time" if readout.look["method"] == "always_valid" else "that hold at all looks together"
        )
        yield f"In brackets: {level} {together}, one comparison at a time. Better or worse by the metric's direction."
    elif any(row.interval_kind == "anytime" for row in readout.estimates):
        end = words.instant(readout.window.get("planned_end", ""))
        until = f"; not yet tested: the planned end is {end}" if end else ""
        yield f"In brackets: {level} valid at any time{until}."
    elif levels:
        yield f"In brackets: {level}, one comparison at a time. Better or worse by the metric's direction."
    if readout.decision.recommendation == "invalid":
        yield "The experiment is invalid: these numbers help to find the fault, they decide nothing."


def _heading(role: str, rows: Sequence[EstimateRow], levels: bool, width: int, pen: Pen) -> list[str]:
    """`PRIMARY  p two-sided, adjusted by Holm over 2 tests, at 0.05`; the intervals' levels where roles differ."""
    parts = [said] if (said := _testing_words(rows)) else []
    if levels:
        parts += [f"{words.confidence(level)} intervals" for level in _levels(rows)]
    name = {"guardrail": "GUARDRAILS"}.get(role) or words.spelled(role).upper()
    return _headed(name, parts, width, pen)


def testing_words(readout: Readout, role: str) -> str:
    """`p two-sided, adjusted by Holm over 2 tests, at 0.05`, of a role's main tests; empty where nothing is tested."""
    return _testing_words([row for row in readout.estimates if row.segment is None and row.role == role])


def _testing_words(rows: Sequence[EstimateRow]) -> str:
    main = next((test for row in rows if (test := notes.main_test(row))), None)
    if main is None:
        return ""
    against = ", against the margin" if main.hypothesis == "non_inferiority" else ""
    corrected = "not adjusted"
    if main.procedure != "none":
        corrected = f"adjusted by {words.procedure(main.procedure)} over {words.tests(len(rows))}"
    over = "" if main.kind == "fixed" else " over all looks so far"
    return f"p {visible(main.sidedness)}{against}{over}, {corrected}, at {main.alpha:g}"


def _headed(name: str, parts: Sequence[str], width: int, pen: Pen) -> list[str]:
    """A section's name, and behind it (below it where it is long) what holds for the section."""
    if display_width(name) > width // 2:
        return [*(pen(line, "bold") for line in wrap(name, width)), *(flow(parts, width, GAP) if parts else ())]
    lines = flow(parts, width, f"{name}{GAP}")
    return [pen(name, "bold") + line.removeprefix(name) if i == 0 else line for i, line in enumerate(lines)]


def _block(
    rows: Sequence[EstimateRow], table: ComparisonTable, verbose: bool, deviating: Sequence[str]
) -> Iterator[str]:
    """One metric: its name, its arms, how it deviates from the protocol, its notes."""
    title = metric_name(rows[0])
    yield from (table.pen(line, "bold") for line in wrap(title, table.width, GAP))
    for row in rows:
        yield from table.lines(row)
    for deviation in deviating:
        yield from wrap(deviation, table.width, GAP * 2, GAP * 3)
    for note in notes.of_metric(rows, table.notes(rows), verbose):
        yield from (table.pen(line, "dim") for line in wrap(note, table.width, GAP * 2, GAP * 3))


def metric_name(row: EstimateRow) -> str:
    """`Refund rate (refund_rate) · lower is better`."""
    name, label = visible(row.metric), visible(row.label)
    title = f"{label} ({name})" if label and label != name else name
    better = words.BETTER.get(row.direction or "")
    return f"{title} · {better}" if better else title
