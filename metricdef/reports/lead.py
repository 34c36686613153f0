"""The decision in plain words, for somebody who reads one paragraph."""

from __future__ import annotations

from collections.abc import Iterator

from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.reports import looks, remarks, words
from metricdef.reports.lines import visible
from metricdef.reports.numbers import Figures, count, figures
from metricdef.review.phrases import listed

MOST = 4  # comparisons in the lead; the tables have all
POINTS = "percentage points"


def headline(readout: Readout) -> str:
    """`Ship thompson`, `Hold`, `Stop`, `Invalid`."""
    word, _ = remarks.recommendation(readout)
    first, _, arm = word.partition(" ")
    return f"{first.capitalize()} {arm}".rstrip()


def lead(readout: Readout) -> Iterator[str]:
    """What the primary metrics say, of the arm that the decision names or of every arm; then what harm was seen."""
    if readout.decision.recommendation == "invalid":
        failed = [words.check(row.check) for row in readout.health if row.status == "fail"]
        yield f"A check of the experiment's health failed ({', '.join(dict.fromkeys(failed))}). Mend that, then measure again."
        return
    rows = [row for row in readout.estimates if row.segment is None]
    several, wanted = len({row.arm for row in rows}) > 1, readout.decision.arm
    primary = [row for row in rows if row.role == "primary" and wanted in (None, row.arm)]
    for row in primary[:MOST]:
        yield effect_sentence(row, several=several, stopped=readout.decision.recommendation in ("ship", "stop"))
    if len(primary) > MOST:
        yield f"{count(len(primary) - MOST)} more primary comparisons stand below."
    yield from _harm([row for row in rows if row.role != "primary" and wanted in (None, row.arm)], several=several)


def _harm(rows: list[EstimateRow], *, several: bool) -> Iterator[str]:
    worse = [row for row in rows if row.verdict == "inferior"]
    if worse:
        yield f"Worse: {_named(worse, several=several)}."
    unsure = [r for r in rows if r.role == "guardrail" and r.verdict in ("inconclusive", "not_computed")
              and r.reason not in (words.NOT_YET, words.NOT_CROSSED)]  # fmt: skip
    if unsure:
        yield f"Harm is not ruled out on: {_named(unsure, several=several)}."
    elif (
        rows
        and all(r.verdict == "non_inferior" for r in rows if r.role == "guardrail")
        and any(r.role == "guardrail" for r in rows)
    ):
        yield "No guardrail was harmed by more than its margin."  # fmt: skip


def _named(rows: list[EstimateRow], *, several: bool) -> str:
    """`Refund rate with new; Load time with new and old`."""
    arms: dict[str, list[str]] = {}
    for row in rows:
        arms.setdefault(visible(row.label), []).append(visible(row.arm))
    return "; ".join(f"{label} with {listed(found)}" if several else label for label, found in arms.items())


def effect_sentence(row: EstimateRow, *, several: bool, stopped: bool) -> str:
    """`Click-through: no clear difference. 0.43% became 0.52%: +0.09 percentage points (−0.02 to +0.20), +21% of ...`."""
    found, name = figures(row), visible(row.label)
    arm = f" with {visible(row.arm)}" if several else ""
    verdict = words.verdict(row)
    if row.absolute is None:
        return f"{name}{arm}: {verdict}."
    test = row.test("equivalence")
    if test is not None and not test.rejected:
        verdict += f", and not shown to be {words.equivalent(row)}".replace("pp", f" {POINTS}")
    quote = looks.quoted(row).replace("pp", f" {POINTS}") if stopped else ""
    instead = f" To quote, now that the test has stopped: {quote}; an early stop overstates." if quote else ""
    return f"{name}{arm}: {verdict}. {_change(found)}{instead}"


def _change(found: Figures) -> str:
    difference = found.difference.replace("pp", f" {POINTS}")
    size = f"{difference} {found.interval}"
    relative = (
        f"; relative {found.relative} {found.relative_interval}".rstrip() if found.relative not in ("", "-") else ""
    )
    return f"From {found.baseline} to {found.arm}: {size}{relative}."  # fmt: skip
