"""A review as one comment on a pull request: fewer than 60 lines, whatever the size of the change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from metricdef.reports.markdown import bare, block, code, label, table
from metricdef.reports.numbers_words import numbers_markdown
from metricdef.reports.review_costs import costs_markdown
from metricdef.reports.review_words import causes, consequence, counted, named, summary, touched, verdict
from metricdef.review.costs import RunCost
from metricdef.review.numbers import Numbers
from metricdef.review.records import Key, Review

MARK = "<!-- metricdef plan -->"  # by which the comment is found again
MOST_LINES = 59
_NO_LIMIT = 1e6
_SCALES = (8.0, 6.0, 4.0, 3.0, 2.5, 2.0, 1.6, 1.3, 1.0, 0.8, 0.6, 0.4, 0.2)
_SHAPES = {"project": ("[/", "/]"), "sources": ("[(", ")]"), "experiments": ("([", "])")}
_SENTENCE = 600  # characters
_ENTRY = 2000  # of an amendment, which must be whole to be of use


@dataclass(frozen=True, slots=True)
class _Room:
    """How many entries each part may have: in these proportions, at least one."""

    scale: float

    def of(self, weight: float) -> int:
        return max(1, round(weight * self.scale))


def render_comment(review: Review, numbers: Sequence[Numbers] = (), costs: Sequence[RunCost] = ()) -> str:
    """The comment, ended by a line break. `numbers`: of experiments before and now, where they were computed.

    `costs`: of computing experiments again, where the warehouse was asked.

    Lists are cut to what fits, and say how much was left out.
    """
    told = ["", costs_markdown(costs)] if costs else []
    whole = [*_lines(review, numbers, _Room(_NO_LIMIT)), *told]
    lines = whole if len(whole) <= MOST_LINES else _cut(review, numbers, told)
    return "\n".join(lines) + "\n"


def _cut(review: Review, numbers: Sequence[Numbers], told: Sequence[str]) -> list[str]:
    rest = [
        *told,
        "",
        "Lists are cut to what fits here: `metricdef plan -v` in a checkout of the branch prints all of it.",
    ]
    for scale in _SCALES:
        lines = [*_lines(review, numbers, _Room(scale)), *rest]
        if len(lines) <= MOST_LINES:
            break
    return lines


def _lines(review: Review, numbers: Sequence[Numbers], room: _Room) -> Iterator[str]:
    yield MARK
    yield f"### metricdef: {verdict(review)}"
    yield f"Against {code(review.base)}: {summary(review)}."
    yield from _listed("", [code(note) for note in review.notes], room.of(2))
    yield from _listed("**Blocked because**", [code(text) for text in review.blockers], room.of(3))
    yield from _listed("**Amended**", list(_amended(review)), room.of(2))
    yield from _changes(review, room.of(4))
    yield from _experiments(review, room.of(4))
    shown = room.of(1)
    for found in numbers[:shown]:
        yield from numbers_markdown(found, room.of(3))
    if len(numbers) > shown:
        yield ""
        yield f"Numbers of {counted(len(numbers) - shown, 'more experiment')} are not shown."
    folded = [part for part in (_entries(review, room.of(1.5)), _sentences(review, room.of(1.5)), _sql(review, room.of(5)), _lineage(review, room.of(4))) if part]  # fmt: skip
    for position, (title, body) in enumerate(folded):
        yield f"{'</details>' if position else ''}<details><summary>{title}</summary>"
        yield ""
        yield from body
    if folded:
        yield "</details>"


def _listed(title: str, items: Sequence[str], limit: int) -> Iterator[str]:
    if items:
        yield ""
        yield from [f"{title}{_part(len(items), limit)}"] if title else []
        yield from (f"- {item}" for item in items[:limit])


def _part(found: int, limit: int, noun: str = "") -> str:
    """` (3 of 5)` where something was left out."""
    return f" ({limit:,} of {found:,}{noun})" if found > limit else ""


def _amended(review: Review) -> Iterator[str]:
    for d in review.deviations:
        if d.amendment is not None:
            yield f"{code(d.experiment)} {code(d.what)} by {code(d.amendment['by'])}: {code(d.amendment['why'])}"


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
    yield from table((f"change{_part(len(review.items), limit)}", "definition", "what differs"), rows)


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
    head = f"experiment{_part(len(review.experiments), limit)}"
    yield from table((head, "status", "touched", "through", "consequence"), rows)


_Folded = tuple[str, list[str]]  # a title that is safe in HTML, and lines


def _entries(review: Review, limit: int) -> _Folded | None:
    """Amendments to paste."""
    entries = [f"{d.experiment}: - {d.entry}" for d in review.deviations if not d.is_covered]
    if not entries:
        return None
    title = f"{counted(len(entries), 'amendment')} to write, or put the parts back{_part(len(entries), limit)}"
    return title, block(entries[:limit], "yaml", _ENTRY)


def _sentences(review: Review, limit: int) -> _Folded | None:
    """What the metrics measure, before and now."""
    lines: list[str] = []
    for effect in review.metrics[:limit]:
        lines.append(f"@@ {effect.metric} @@")
        if effect.before == effect.after:
            lines += [f"  {effect.after}"] if effect.after else []
        else:
            lines += [f"{sign} {text}" for sign, text in (("-", effect.before), ("+", effect.after)) if text]
    if not lines:
        return None
    found = len(review.metrics)
    return f"In words: {counted(found, 'metric')}{_part(found, limit)}", block(lines, "diff", _SENTENCE)


def _sql(review: Review, limit: int) -> _Folded | None:
    if not review.sql:
        return None
    first, body = review.sql[0], list(review.sql[0].diff[2:])
    changed = [line for line in body if line[:1] in "+-"]
    others = ", ".join(bare(change.experiment) for change in review.sql[1:4])
    more = f"; also of {others}{', ...' if len(review.sql) > 4 else ''}" if others else ""
    whole = len(body) <= limit
    cut = "" if whole else _part(len(changed), limit, " changed lines")
    return f"Compiled SQL of {bare(first.experiment)}{cut}{more}", block(body if whole else changed[:limit], "diff")


def _lineage(review: Review, limit: int) -> _Folded | None:
    """Changed definitions and what they reach."""
    if not review.edges:
        return None
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
    lines += [f"  style {node} stroke-width:3px" for node in marked[:1]] if len(marked) == 1 else []
    if len(marked) > 1:
        lines += ["  classDef changed stroke-width:3px", f"  class {','.join(marked)} changed"]
    return f"Lineage of what changes{_part(len(review.edges), limit, ' edges')}", block(lines, "mermaid")


def _node(key: Key, nodes: dict[Key, str], drawn: set[Key]) -> str:
    if key in drawn:
        return nodes[key]
    drawn.add(key)
    left, right = _SHAPES.get(key[0], ("[", "]"))
    return f'{nodes[key]}{left}"{label(named(key))}"{right}'
