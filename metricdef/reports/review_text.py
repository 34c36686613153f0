"""A review as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from metricdef.reports.lines import GAP, Pen, pad, visible, wrap
from metricdef.reports.review_words import STYLES, causes, consequence, named, summary, touched, verdict
from metricdef.review.records import ExperimentEffect, Item, MetricEffect, Review

_DEEP = GAP * 3


def render_review(review: Review, width: int, color: bool = False, verbose: bool = False) -> str:
    """All of it, without a line break at the end; `verbose` adds the SQL."""
    pen = Pen(color)
    return "\n".join(_lines(review, width, pen, verbose))


def _lines(review: Review, width: int, pen: Pen, verbose: bool) -> Iterator[str]:
    style = "red" if review.blockers else STYLES.get(review.change or "", "green")
    yield from (pen(line, "bold", style) for line in wrap(visible(verdict(review)), width))
    yield from wrap(f"against {visible(review.base)}: {summary(review)}", width)
    yield from (line for note in review.notes for line in wrap(f"note: {visible(note)}", width))
    yield from _section("BLOCKED BECAUSE", [line for text in review.blockers for line in wrap(visible(text), width, GAP, GAP * 2)], pen)  # fmt: skip
    yield from _section("CHANGED", [line for item in review.items for line in _item(item, width, pen)], pen)
    yield from _section("METRICS", [line for effect in review.metrics for line in _metric(effect, width, pen)], pen)
    yield from _section("EXPERIMENTS", [line for e in review.experiments for line in _experiment(e, width, pen)], pen)
    yield from _section("SQL", list(_sql(review, pen, verbose)), pen)


def _section(title: str, lines: list[str], pen: Pen) -> Iterator[str]:
    if lines:
        yield ""
        yield pen(title, "bold")
        yield from lines


def _item(item: Item, width: int, pen: Pen) -> Iterator[str]:
    was = f", before {visible(item.was)}" if item.was else ""
    place = f"  {visible(item.place.file)}:{item.place.line}" if item.place else ""
    state = "" if item.state == "changed" else f" ({item.state})"
    label = pen(pad(item.change, len("protocol deviation")), STYLES.get(item.change, ""))
    yield f"{GAP}{label}  {visible(named(item.key))}{was}{state}{pen(place, 'dim')}"
    for text in (*item.details, item.why):
        if text:
            yield from wrap(visible(text), width, _DEEP, GAP * 4)


def _metric(effect: MetricEffect, width: int, pen: Pen) -> Iterator[str]:
    others = [cause for cause in effect.causes if cause != ("metrics", effect.metric)]
    why = f", through {causes(others)}" if others else ""
    yield f"{GAP}{pen(visible(effect.metric), 'bold')}: {effect.change}{visible(why)}"
    if effect.before == effect.after:
        yield from wrap(visible(effect.after), width, _DEEP) if effect.after else []
        return
    for word, text in (("before", effect.before), ("now", effect.after)):
        if text:
            yield from wrap(visible(text), width, f"{_DEEP}{pad(word, 6)}  ")


def _experiment(effect: ExperimentEffect, width: int, pen: Pen) -> Iterator[str]:
    label = pen(effect.change, STYLES.get(effect.change, ""))
    yield f"{GAP}{pen(visible(effect.experiment), 'bold')} ({effect.status}): {label}; {consequence(effect)}"
    scope = "all results" if effect.whole else touched(effect)
    yield from wrap(f"{visible(scope)}, through {visible(causes(effect.causes)) or 'its own file'}", width, _DEEP)
    deviating = {deviation.what for deviation in effect.deviations}
    for text in effect.details:
        if text not in deviating and text not in ("new", "gone"):
            yield from wrap(visible(text), width, _DEEP, GAP * 4)
    for deviation in effect.deviations:
        yield from wrap(visible(deviation.what), width, _DEEP, GAP * 4)
        if deviation.amendment is not None:
            told = (
                f"amended by {deviation.amendment['by']} on {deviation.amendment['on']}: {deviation.amendment['why']}"
            )
        else:
            told = f"put it back, or add to its `amendments`: - {deviation.entry}"
        yield from wrap(visible(told), width, GAP * 4)


def _sql(review: Review, pen: Pen, verbose: bool) -> Iterator[str]:
    for change in review.sql:
        body = change.diff[2:]
        gone, new = (sum(line.startswith(sign) for line in body) for sign in "-+")
        hint = "" if verbose else " (-v shows them)"
        yield f"{GAP}{visible(change.experiment)}: {gone} lines of SQL before, {new} now{hint}"
        for line in change.diff[2:] if verbose else ():
            yield _DEEP + pen(visible(line, spaces=False), {"-": "red", "+": "green", "@": "cyan"}.get(line[:1], ""))
