"""Estimates as a page shows them: each comparison in words, with its place in the document, grouped by metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.analysis.rounding import equation
from metricdef.reports import deviations, notes, words
from metricdef.reports.breakdowns import level_notes
from metricdef.reports.lines import visible
from metricdef.reports.numbers import figures
from metricdef.reports.plots import NAMES, Bar, Strip, strip_of

Numbered = tuple[int, EstimateRow]  # a row with its place in `estimates`
SHAPES = {"superior": "▲", "inferior": "▼", "non_inferior": "✓", "equivalent": "✓", "inconclusive": "●"}
TONES = {"superior": "good", "non_inferior": "good", "equivalent": "good", "inferior": "bad"}
UNTESTED = "○"


@dataclass(frozen=True, slots=True)
class EffectRow:
    """One comparison. `place` is its number in the document's `estimates`."""

    place: int
    name: str
    verdict: str
    shape: str
    tone: str
    values: str
    difference: str
    interval: str
    relative: str
    relative_interval: str
    p: str
    unadjusted: str
    unadjusted_p: str
    bar: Bar | None
    beside: Bar | None


@dataclass(frozen=True, slots=True)
class EffectGroup:
    """Comparisons of one metric on one axis."""

    metric: str
    label: str
    better: str
    direction: str
    role: str
    description: str
    sizes: tuple[tuple[str, str, bool], ...]  # kind and words of what was declared, and whether the axis shows it
    rows: tuple[EffectRow, ...]
    strip: Strip | None
    notes: tuple[str, ...]
    deviations: tuple[str, ...]
    differ: str = ""  # of levels: whether they differ at all
    step_arms: tuple[str, ...] = ()  # of a funnel: the columns of its steps
    steps: tuple[tuple[str, tuple[str, ...]], ...] = ()


def effect_groups(readout: Readout, role: str) -> list[EffectGroup]:
    """The overall comparisons of a role, one group a metric."""
    found: dict[str, list[Numbered]] = {}
    for i, row in enumerate(readout.estimates):
        if row.segment is None and row.role == role:
            found.setdefault(row.metric, []).append((i, row))
    return [group_of(readout, members, lambda row: visible(row.arm)) for members in found.values()]


def group_of(readout: Readout, members: Sequence[Numbered], name: Any, differ: str = "") -> EffectGroup:
    """Some rows of one metric; `name` says what a row is called."""
    rows = [row for _, row in members]
    first, declared = rows[0], metric_design(readout, rows[0].metric)
    strip = strip_of(rows, declared.get("sizes") or {})
    bars = strip.bars if strip else [None] * len(rows)
    beside = strip.beside if strip else [None] * len(rows)
    # What stands in the columns of a terminal's table has columns here as well.
    extra = [""] * len(rows)
    said = (
        level_notes(rows, extra, verbose=False) if differ else notes.of_metric(rows, extra, verbose=False, steps=False)
    )
    arms, steps = notes.step_shares(rows) if not differ else ([], {})
    return EffectGroup(
        metric=visible(first.metric),
        label=visible(first.label) or visible(first.metric),
        better=words.BETTER.get(first.direction or "", ""),
        direction=first.direction or "",
        role=first.role,
        description=visible(declared.get("description") or ""),
        sizes=tuple(_sizes(declared.get("sizes") or {}, strip)),
        rows=tuple(_row(i, row, name(row), *pair) for (i, row), *pair in zip(members, bars, beside, strict=True)),
        strip=strip,
        notes=tuple(said),
        deviations=tuple(deviations.of_metric(readout, first.metric)) if not differ else (),
        differ=differ,
        step_arms=tuple(arms),
        steps=tuple((step, tuple(values)) for step, values in steps.items()),
    )


def metric_design(readout: Readout, metric: str) -> dict[str, Any]:
    """What the document says was declared of a metric; empty where it says nothing."""
    found = ((readout.design or {}).get("metrics") or {}).get(metric)
    return found if isinstance(found, dict) else {}


def _sizes(sizes: Mapping[str, Mapping[str, Any]], strip: Strip | None) -> Iterator[tuple[str, str, bool]]:
    """`margin of equivalence ±1% (relative)`; of a planned effect that the axis needs in its own unit, how much that is."""
    drawn = {mark.kind: mark.text for mark in strip.marks} if strip else {}
    for kind, size in sizes.items():
        text = visible(size["text"])
        relative = " (relative)" if size["kind"] == "relative" else ""
        name = NAMES.get(kind) or words.spelled(kind)
        here = f" ≈ {drawn[kind]}" if drawn.get(kind) else ""
        yield kind, f"{name} {'±' if kind == 'equivalence' else ''}{text}{relative}{here}", kind in drawn


def _row(place: int, row: EstimateRow, name: str, bar: Bar | None, beside: Bar | None) -> EffectRow:
    found, p, untested = figures(row), notes.shown_p(row), row.verdict == "not_computed"
    verdict, (unadjusted, unadjusted_p) = words.verdict(row), notes.unadjusted_words(row)
    has_values = row.baseline_value is not None or row.arm_value is not None
    return EffectRow(
        place=place,
        name=name,
        verdict=verdict,
        shape=UNTESTED if untested else SHAPES.get(row.verdict, UNTESTED),
        tone=TONES.get(row.verdict, "unclear"),
        values=f"{found.baseline} → {found.arm}" if has_values else "",
        difference=found.difference,
        interval=found.interval,
        relative="" if found.relative == "-" else found.relative,
        relative_interval=found.relative_interval,
        p=equation("p", *p).removeprefix("p = ").removeprefix("p ") if p else "",
        unadjusted=unadjusted,
        unadjusted_p=unadjusted_p,
        bar=bar,
        beside=beside,
    )
