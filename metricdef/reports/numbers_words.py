"""The numbers of an experiment before and now: as text, as Markdown and as a document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import Any

from metricdef.analysis.readout import DecisionRow, EstimateRow
from metricdef.reports import words
from metricdef.reports.comparison_table import joined
from metricdef.reports.lines import GAP, Pen, visible, wrap
from metricdef.reports.markdown import code, table
from metricdef.reports.numbers import count, figures
from metricdef.reports.review_words import counted
from metricdef.review.numbers import SAMPLED, Numbers, Pair

SCHEMA = "metricdef/diff/1"
NOTHING = "-"


def render_numbers(found: Numbers, width: int, color: bool = False) -> str:
    """Units, estimates, verdicts and decision before and now; without a line break at the end."""
    return "\n".join(_lines(found, width, Pen(color)))


def _lines(found: Numbers, width: int, pen: Pen) -> Iterator[str]:
    yield pen(f"{visible(found.experiment)}: {summary(found)}", "bold", "yellow" if found.is_changed else "green")
    yield f"before is {visible(found.base)}, now the work tree; both as of {words.instant(found.as_of)}"
    if found.sample:
        yield f"{sample_words(found.sample)}: the same units before and now, no verdict and no decision"
    yield from wrap(
        f"units      {'; '.join(f'{visible(arm)} {change}' for arm, change in _unit_changes(found))}",
        width,
        GAP,
        GAP * 3,
    )
    if found.hidden is not None:
        yield from wrap(f"estimates are not shown: {visible(found.hidden)}", width, GAP, GAP * 3)
        return
    if found.decisions:
        yield f"{GAP}decision   {decision_change(found)}"
    for pair in found.pairs:
        mark = pen("  VERDICT CHANGES", "bold", "red") if pair.is_flipped else "" if pair.is_changed else "  same"
        yield ""
        yield f"{GAP}{pen(visible(pair.metric), 'bold')} ({pair.role}), {visible(pair.arm)}{mark}"
        for word, row in (("before", pair.before), ("now   ", pair.after)):
            yield from wrap(f"{word}  {_row(row)}", width, GAP * 3, GAP * 7)
            if not pair.is_changed:
                break


def _row(row: EstimateRow | None) -> str:
    """`0.307% → 0.330%, +0.023pp (−0.067 to +0.113): better`."""
    if row is None:
        return "not there"
    shown = figures(row)
    values = f"{shown.baseline} → {shown.arm}, " if row.baseline_value is not None else ""
    units = f", {count(row.units[0])} and {count(row.units[1])} units" if row.units else ""
    verdict = "" if row.reason == SAMPLED else f": {words.verdict(row)}"
    return f"{values}{joined(shown.difference, shown.interval) or NOTHING}{verdict}{units}"


def summary(found: Numbers) -> str:
    """`2 verdicts change`, `numbers change`, `the same numbers`."""
    if found.hidden is not None:
        return "units change" if found.is_changed else "the same units"
    flips = len(found.flips)
    if flips:
        return f"{counted(flips, 'verdict')} {'changes' if flips == 1 else 'change'}"
    changed = sum(pair.is_changed for pair in found.pairs)
    if changed:
        return f"{counted(changed, 'comparison')} of {len(found.pairs)} {'changes' if changed == 1 else 'change'}, no verdict"
    return "numbers change" if found.is_changed else "the same numbers"


def sample_words(share: Fraction) -> str:
    """`on 10% of the units`."""
    return f"on {float(100 * share):.6g}% of the units"


def decision_change(found: Numbers) -> str:
    """`hold → ship new`."""
    one, two = (_call(decision) for decision in found.decisions or ())
    return one if one == two else f"{one} → {two}"


def _call(decision: DecisionRow) -> str:
    return f"{decision.recommendation.upper()}{f' {visible(decision.arm)}' if decision.arm else ''}"


def _unit_changes(found: Numbers) -> Iterator[tuple[str, str]]:
    for arm, one, two in found.units:
        before, now = (NOTHING if units is None else count(units) for units in (one, two))
        yield arm, before if one == two else f"{before} → {now}"


def numbers_markdown(found: Numbers, limit: int = 12) -> list[str]:
    """Lines of a table, those that change first, `limit` of them; a line says what is hidden."""
    units = ", ".join(f"{code(arm)} {change}" for arm, change in _unit_changes(found))
    head = f"**Numbers of {code(found.experiment)}**: {summary(found)}. Units: {units}."
    if found.sample:
        head += f" Computed {sample_words(found.sample)}, the same before and now: no verdict."
    if found.hidden is not None:
        return ["", head, f"Estimates are not shown: {code(found.hidden)}"]
    decided = f" Decision: {code(decision_change(found))}." if found.decisions else ""
    ordered = sorted(found.pairs, key=lambda pair: (not pair.is_flipped, not pair.is_changed))
    rows = [_markdown_row(pair) for pair in ordered[:limit]]
    cut = f" ({limit} of {len(ordered)})" if len(ordered) > limit else ""
    header = (f"metric{cut}", "arm", "before", "now", "verdict")
    return ["", head + decided, "", *table(header, rows)]


def _markdown_row(pair: Pair) -> Sequence[str]:
    shown = [_markdown_figures(row) for row in (pair.before, pair.after)]
    one, two = (_verdict(row) if row else "not there" for row in (pair.before, pair.after))
    verdict = code(one) if one == two else f"{code(one)} → **{code(two)}**"
    return (
        code(f"{pair.metric} ({pair.role})"),
        code(pair.arm),
        shown[0],
        "same" if not pair.is_changed else shown[1],
        verdict,
    )


def _verdict(row: EstimateRow) -> str:
    return NOTHING if row.reason == SAMPLED else words.verdict(row)


def _markdown_figures(row: EstimateRow | None) -> str:
    if row is None:
        return NOTHING
    shown = figures(row)
    return code(joined(shown.difference, shown.interval)) or NOTHING


def numbers_json(found: Sequence[Numbers]) -> str:
    """The document, ended by a line break: numbers are full doubles."""
    return (
        json.dumps({"schema": SCHEMA, "experiments": [numbers_dict(one) for one in found]}, indent=2, allow_nan=False)
        + "\n"
    )


def numbers_dict(found: Numbers) -> dict[str, Any]:
    """The document of one experiment as plain data."""
    return {
        "experiment": found.experiment,
        "base": found.base,
        "as_of": found.as_of,
        "sample": float(found.sample) if found.sample else None,
        "hidden": found.hidden,
        "changed": found.is_changed,
        "same_sql": found.same_sql,
        "units": [{"arm": arm, "before": one, "after": two} for arm, one, two in found.units],
        "decision": None
        if found.decisions is None
        else dict(zip(("before", "after"), map(asdict, found.decisions), strict=True)),
        "comparisons": [
            {
                "metric": pair.metric,
                "role": pair.role,
                "arm": pair.arm,
                "changed": pair.is_changed,
                "flipped": pair.is_flipped,
                "before": _estimate(pair.before),
                "after": _estimate(pair.after),
            }
            for pair in found.pairs
        ],
    }


def _estimate(row: EstimateRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "units": list(row.units) if row.units else None,
        "baseline_value": row.baseline_value,
        "arm_value": row.arm_value,
        "absolute": asdict(row.absolute) if row.absolute else None,
        "relative": asdict(row.relative) if row.relative else None,
        "p_value": row.p_value,
        "p_adjusted": row.p_adjusted,
        "verdict": row.verdict,
        "reason": row.reason,
    }
