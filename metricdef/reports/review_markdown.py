"""A review as one comment on a pull request: fewer than 60 lines, whatever the size of the change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from metricdef.reports.markdown import block, code, details, label, table
from metricdef.reports.numbers_words import numbers_markdown
from metricdef.reports.review_words import causes, consequence, counted, named, summary, touched, verdict
from metricdef.review.numbers import Numbers
from metricdef.review.records import Key, MetricEffect, Review

MARK = "<!-- metricdef plan -->"  # by which the comment is found again
MOST_LINES = 59
_LIMITS = (12, 9, 7, 6, 5, 4, 3, 2, 1)
_SHAPES = {"project": ("[/", "/]"), "sources": ("[(", ")]"), "experiments": ("([", "])")}


def render_comment(review: Review, numbers: Sequence[Numbers] = ()) -> str:
    """The comment, ended by a line break. `numbers`: of experiments before and now, where they were computed.

    Lists are cut to what fits, and say how much was left out.
    """
    for limit in _LIMITS:
        lines = list(_lines(review, numbers, limit))
        if len(lines) <= MOST_LINES:
            break
    return "\n".join(lines) + "\n"


def _lines(review: Review, numbers: Sequence[Numbers], limit: int) -> Iterator[str]:
    yield MARK
    yield f"### metricdef: {verdict(review)}"
    yield f"Against {code(review.base)}: {summary(review)}."
    yield from _listed("", [code(note) for note in review.notes], min(limit, 3))
    yield from _listed("**Blocked because**", [code(text) for text in review.blockers], limit)
    yield from _missing(review, limit)
    yield from _changes(review, limit)
    yield from _experiments(review, limit)
    yield from (line for found in numbers[: max(1, limit // 3)] for line in numbers_markdown(found, limit))
    yield from _left_out(len(numbers), max(1, limit // 3), "", " experiments with numbers")
    yield from _sentences(review.metrics, limit)
    yield from _sql(review, limit)
    yield from _lineage(review, limit)


def _listed(title: str, items: Sequence[str], limit: int) -> Iterator[str]:
    if items:
        yield ""
        yield from [title] if title else []
        yield from (f"- {item}" for item in items[:limit])
        yield from _left_out(len(items), limit, "- ")


def _left_out(found: int, limit: int, before: str = "", after: str = "") -> Iterator[str]:
    if found > limit:
        yield f"{before}and {found - limit:,} more{after}"


def _missing(review: Review, limit: int) -> Iterator[str]:
    """Amendments to paste, and those that are there."""
    uncovered = [d for d in review.deviations if not d.is_covered]
    entries = [f"{d.experiment}: - {d.entry}" for d in uncovered]
    if entries:
        most = max(1, limit // 2)
        body = [*block(entries[:most], "yaml", 2000), *_left_out(len(entries), most)]
        yield from ["", *details(f"{counted(len(entries), 'amendment')} to write, or put the parts back", body)]
    told = [
        f"{code(d.experiment)} {code(d.what)}, amended by {code(d.amendment['by'])}: {code(d.amendment['why'])}"
        for d in review.deviations
        if d.amendment is not None
    ]
    yield from _listed("**Amended**", told, limit)


def _changes(review: Review, limit: int) -> Iterator[str]:
    if not review.items:
        return
    rows = []
    for item in review.items[:limit]:
        was = f", before {code(item.was)}" if item.was else ""
        what = ", ".join(code(text, 120) for text in item.details[:3])
        more = f" and {len(item.details) - 3} more" if len(item.details) > 3 else ""
        state = {"new": "new", "gone": "gone"}.get(item.state, "")
        rows.append((item.change, code(named(item.key)) + was, what + more or code(item.why) or state))
    yield ""
    yield from table(("change", "definition", "what differs"), rows)
    yield from _left_out(len(review.items), limit, "| | ", " | |")


def _experiments(review: Review, limit: int) -> Iterator[str]:
    if not review.experiments:
        return
    rows = [
        (
            code(e.experiment),
            e.status,
            "all results" if e.whole else code(touched(e)),
            code(causes(e.causes)),
            f"{e.change}: {consequence(e)}",
        )
        for e in review.experiments[:limit]
    ]
    yield ""
    yield from table(("experiment", "status", "touched", "through", "consequence"), rows)
    yield from _left_out(len(review.experiments), limit, "| ", " | | | | |")


def _sentences(metrics: Sequence[MetricEffect], limit: int) -> Iterator[str]:
    """What the metrics measure, before and now."""
    lines: list[str] = []
    for effect in metrics[: max(1, limit // 2)]:
        lines.append(f"@@ {effect.metric} @@")
        if effect.before == effect.after:
            lines.append(f"  {effect.after}")
        else:
            lines += [f"{sign} {text}" for sign, text in (("-", effect.before), ("+", effect.after)) if text]
    if lines:
        body = [*block(lines, "diff", 600), *_left_out(len(metrics), max(1, limit // 2))]
        yield from ["", *details(f"In words: {counted(len(metrics), 'metric')}", body)]


def _sql(review: Review, limit: int) -> Iterator[str]:
    if not review.sql:
        return
    first, body = review.sql[0], list(review.sql[0].diff[2:])
    changed = [line for line in body if line[:1] in "+-@"]
    others = ", ".join(label(change.experiment) for change in review.sql[1:5])
    more = f"; also of {others}{', ...' if len(review.sql) > 5 else ''}" if others else ""
    shown = body if len(body) <= limit else changed[:limit]
    left = [] if len(body) <= limit else list(_left_out(len(changed), limit, "", " changed lines"))
    title = f"Compiled SQL of {label(first.experiment)}{more}"
    yield from ["", *details(title, [*block(shown, "diff"), *left])]


def _lineage(review: Review, limit: int) -> Iterator[str]:
    """Changed definitions and what they reach."""
    if not review.edges:
        return
    shown = review.edges[:limit]
    nodes: dict[Key, str] = {}
    for edge in shown:
        for key in edge:
            nodes.setdefault(key, f"n{len(nodes)}")
    changed = {item.key for item in review.items}
    lines = ["flowchart LR"]
    drawn: set[Key] = set()
    for up, down in shown:
        lines.append(f"  {_node(up, nodes, drawn)} --> {_node(down, nodes, drawn)}")
    marked = [nodes[key] for key in nodes if key in changed]
    lines += (
        ["  classDef changed stroke-width:3px,stroke:#d97706", f"  class {','.join(marked)} changed"] if marked else []
    )
    left = list(_left_out(len(review.edges), limit, "", " edges"))
    yield from ["", *details("Lineage of what changes", [*block(lines, "mermaid"), *left])]


def _node(key: Key, nodes: dict[Key, str], drawn: set[Key]) -> str:
    if key in drawn:
        return nodes[key]
    drawn.add(key)
    left, right = _SHAPES.get(key[0], ("[", "]"))
    return f'{nodes[key]}{left}"{label(named(key))}"{right}'
