"""Levels of breakdowns as a page shows them: a forest plot per metric and arm, the most telling ones first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from metricdef.analysis.readout import Readout
from metricdef.reports import words
from metricdef.reports.breakdowns import QUIET, differ, hidden, holds, worth_showing
from metricdef.reports.comparisons import ROLES
from metricdef.reports.effect_rows import EffectGroup, Numbered, group_of
from metricdef.reports.lines import visible
from metricdef.reports.numbers import count

MOST_ROWS = 240  # on one page; the document has all

ONE_AT_A_TIME = (
    "Intervals are of one level at a time, verdicts are not: one that leaves 0 aside may be chance among so many."
)


def breakdowns(readout: Readout) -> list[dict[str, Any]]:
    """Per dimension the correction, the plots that fit on a page, and how many do not."""
    dimensions: dict[tuple[str, ...], dict[tuple[str, str], list[Numbered]]] = {}
    for i, row in enumerate(readout.estimates):
        if row.segment is not None:
            groups = dimensions.setdefault(tuple(row.segment), {})
            groups.setdefault((row.metric, row.arm), []).append((i, row))
    room = MOST_ROWS // max(1, len(dimensions))
    return [_dimension(readout, names, groups, len(dimensions), room) for names, groups in dimensions.items()]


def _dimension(
    readout: Readout,
    names: tuple[str, ...],
    groups: dict[tuple[str, str], list[Numbered]],
    dimensions: int,
    room: int,
) -> dict[str, Any]:
    ranked = sorted(groups.values(), key=_rank)
    shown: list[tuple[EffectGroup, bool]] = []
    for members in ranked:
        group = _group(readout, members)
        if shown and len(group.rows) > room:
            break
        shown.append((group, _is_quiet(members)))
        room -= len(group.rows)
    everything = [row for members in groups.values() for _, row in members]
    more = len(ranked) - len(shown)
    return {
        "title": ", ".join(map(visible, names)),
        "holds": f"{holds(everything, dimensions)} {ONE_AT_A_TIME}",
        "groups": [group for group, quiet in shown if not quiet],
        "quiet": [group for group, quiet in shown if quiet],
        "more": f"{count(more)} more comparisons are not drawn here, whose levels say least; the JSON document has them."
        if more
        else "",
    }


def _is_quiet(members: list[Numbered]) -> bool:
    """Whether the plot may wait until somebody asks for it: not a primary metric, and no level says anything."""
    return all(row.verdict in QUIET and row.role != "primary" for _, row in members)


def _rank(members: list[Numbered]) -> tuple[bool, int]:
    rows = [row for _, row in members]
    role = ROLES.index(rows[0].role) if rows[0].role in ROLES else len(ROLES)
    return all(row.verdict in QUIET for row in rows), role


def _group(readout: Readout, members: list[Numbered]) -> EffectGroup:
    rows = [row for _, row in members]
    kept = set(map(id, worth_showing(rows)))
    shown = [(i, row) for i, row in members if id(row) in kept]
    said = differ(rows, verbose=False)
    more = hidden(len(rows) - len(shown)).partition(":")[0] if len(shown) < len(rows) else ""
    title = ": ".join(part for part in (visible(rows[0].arm), said) if part)
    group = group_of(readout, shown, lambda row: words.levels(row.segment or {}, named=False), title)
    return replace(group, notes=(*group.notes, f"{more}: in the JSON document")) if more else group
