"""What a readout does not say, in sentences: of whom and of which time it speaks, and what nobody tested."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.reports import words
from metricdef.reports.lines import visible

_UNITS = (("w", "week"), ("d", "day"), ("h", "hour"), ("m", "minute"))
MOST = 5  # names in one sentence


def limits(readout: Readout) -> Iterator[str]:
    """Population, duration and what was not tested, as far as the document says."""
    yield from _population(readout)
    yield from _duration(readout)
    yield from _untested(readout)


def _population(readout: Readout) -> Iterator[str]:
    design = readout.design or {}
    unit, days = visible(design.get("unit") or "unit"), enrolment(readout)
    segments = [visible(s["description"] or s["segment"]).rstrip(".") for s in design.get("population") or ()]
    whom = f" in the population ({'; '.join(segments)})" if segments else ""
    when = f", first exposed within {days}" if days else ""
    yield f"The result speaks of every {unit}{whom} that took part{when}. Others, and other times of the year, may differ."
    if design.get("trigger"):
        yield "Only units that could notice the change are compared; on everybody exposed the effect is smaller."
    if design.get("cluster"):
        yield f"Whole groups ({visible(design['cluster'])}) were randomised: what counts is how many of them there are."


def enrolment(readout: Readout) -> str:
    """`7 days`: how long units could enter; empty where the document does not say."""
    start, end = (words.parse_instant(readout.window.get(key, "")) for key in ("start", "end"))
    now = words.parse_instant(readout.as_of)
    if start is None or end is None or now is None or now <= start:
        return ""
    spent = min(now, end) - start
    if spent < timedelta(days=2):
        return _times(round(spent / timedelta(hours=1)), "hour")
    return _times(round(spent / timedelta(days=1)), "day")


def _duration(readout: Readout) -> Iterator[str]:
    metrics = (readout.design or {}).get("metrics") or {}
    windows = dict.fromkeys(w for metric in metrics.values() for w in metric["windows"])
    if windows:
        since = "the trigger" if (readout.design or {}).get("trigger") else "first exposure"
        named = ", ".join(window_words(text, since) for text in windows)
        yield f"Outcomes are counted {named}. What happens later is not in these numbers: an effect may fade or grow."


def window_words(text: str, since: str) -> str:
    """`up to 7 days after first exposure`."""
    if text == "experiment":
        return "until the experiment ends"
    if text.startswith("last "):
        return f"over the last {_duration_words(text.removeprefix('last '))}"
    first, dots, second = text.partition("..")
    if dots:
        return f"from {_duration_words(first)} to {_duration_words(second)} after {since}"
    return f"up to {_duration_words(text)} after {since}"


def _duration_words(text: str) -> str:
    for letter, name in _UNITS:
        if text.endswith(letter) and text[:-1].isdigit():
            return _times(int(text[:-1]), name)
    return visible(text)


def _times(count: int, name: str) -> str:
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"


def _untested(readout: Readout) -> Iterator[str]:
    rows = [row for row in readout.estimates if row.segment is None]
    yield from _verdicts(rows)
    if rows and not any(row.segment for row in readout.estimates):
        yield "No breakdown was computed: an effect that helps some and harms others would not show."
    if any(row.segment for row in readout.estimates):
        yield "Levels of breakdowns hold few units each: they suggest where to look next and decide nothing."
    skipped = [words.check(row.check) for row in readout.health if row.status == "skipped"]
    if skipped:
        yield f"Not checked: {_named(list(dict.fromkeys(skipped)))}."
    early = next((row for row in rows if row.reason == words.NOT_YET), None)
    if early is None and rows and not readout.novelty:
        yield "Whether the effect wears off as units get used to the change (novelty) was not tested."


def _verdicts(rows: list[EstimateRow]) -> Iterator[str]:
    failed = [f"{visible(r.label)} ({visible(r.arm)})" for r in rows
              if r.verdict == "not_computed" and r.reason != words.NOT_YET]  # fmt: skip
    if failed:
        yield f"Not computed, and so unknown: {_named(failed)}."
    if any(row.reason == words.NOT_YET for row in rows):
        yield "Nothing is tested yet: intervals before the planned end are wide on purpose, and no difference is claimed."
    if any(row.verdict == "inconclusive" for row in rows):
        yield "No clear difference does not mean no difference: every value inside an interval fits the data."


def _named(names: list[str]) -> str:
    more = len(names) - MOST
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:MOST])} and {more:,} more"
