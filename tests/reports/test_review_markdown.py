"""The comment on a pull request: short whatever the change, and nothing that others wrote is obeyed."""

from __future__ import annotations

import re

import pytest

from metricdef.analysis.readout import DecisionRow, EstimateRow, Interval
from metricdef.errors import Diagnostic
from metricdef.reports.markdown import block, code, label, table
from metricdef.reports.review_markdown import MARK, render_comment
from metricdef.reports.review_text import render_review
from metricdef.review.numbers import Numbers, Pair
from metricdef.review.records import Deviation, ExperimentEffect, Item, MetricEffect, Review, SqlChange

HOSTILE = [
    "<script>alert(1)</script>",
    "</details><img src=x onerror=alert(1)>",
    "<!-- hidden",
    "@everyone and @org/team",
    "#1 GH-2 fixes #3",
    "[click](https://example.com) https://example.com",
    "a | b | c",
    "a \\| b",
    "`code` ``two`` ```three```",
    "```\n</details>\n# heading",
    "line\nbreak\r\nand\ttab",
    "\u202egnol\u200b",
    "www.example.com",
    "**bold** _under_ ~~gone~~",
    '"]; click n1 "javascript:alert(1)" %%{init: {}}%%',
    "&lt;b&gt; &#64;",
    "x" * 1000,
]


def row(metric: str, estimate: float, verdict: str) -> EstimateRow:
    interval = Interval(estimate, 0.1, estimate - 0.2, estimate + 0.2)
    return EstimateRow(metric, metric, "number", "increase", "primary", "new", "old", (100, 100), baseline_value=1.0, arm_value=1.0 + estimate, absolute=interval, verdict=verdict)  # type: ignore[arg-type]  # fmt: skip


def review(text: str, size: int = 1) -> tuple[Review, list[Numbers]]:
    keys = [("metrics", f"{text}{i or ''}") for i in range(size)]
    uncovered = Deviation(text, f"metrics.x {text} -> 2", None, None, f"{{what: {text}}}")
    covered = Deviation(text, text, {"by": text, "on": text, "why": text, "what": [text]}, None, "")
    found = Review(
        text,
        tuple(Item("metrics", name, "breaking", "changed", (text, text, text, text), text, text) for _, name in keys),
        tuple(MetricEffect(name, "result-changing", tuple(keys), text, f"{text}!") for _, name in keys),
        tuple(ExperimentEffect(name, "running", "protocol deviation", {text: "primary"}, False, tuple(keys), (text,), (uncovered, covered)) for _, name in keys),
        tuple(Diagnostic(text, text) for _ in keys),
        tuple(text for _ in keys),
        tuple(SqlChange(name, ("--- before", "+++ after", *(f"+{text}" for _ in range(50)))) for _, name in keys),
        tuple((key, ("experiments", text)) for key in keys),
    )  # fmt: skip
    pairs = tuple(
        Pair(name, text, text, row(name, 0.1, "inconclusive"), row(name, 0.5, "superior")) for _, name in keys
    )
    decisions = (DecisionRow("hold", None, ()), DecisionRow("ship", text, ()))
    shown = Numbers(text, text, "2026-01-01T00:00:00Z", None, ((text, 1, 2),), pairs, decisions, same_sql=False)
    hidden = Numbers(text, text, "2026-01-01T00:00:00Z", text, ((text, 1, 2),), (), None, same_sql=False)
    return found, [shown, hidden]


def outside_code(text: str) -> str:
    """What Markdown reads as text: blocks of code and code spans taken out, as CommonMark does."""
    lines, fence = [], ""
    for line in text.split("\n"):
        opened = re.match(r"(`{3,})(\w*)$", line)
        if fence:
            if line.startswith(fence) and set(line) == {"`"} and len(line) >= len(fence):
                fence = ""
        elif opened:
            fence = opened[1]
        else:
            lines.append(re.sub(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", "", line))
    assert not fence, "a block is never closed"
    return "\n".join(lines)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("size", [1, 40])
def test_what_others_wrote_is_shown_and_not_obeyed(text, size):
    comment = render_comment(*review(text, size))
    assert len(comment.splitlines()) < 60
    assert len(comment) < 60_000  # of the 65,536 characters that a comment may have
    assert comment.startswith(f"{MARK}\n")
    plain = outside_code(comment)
    own = re.sub(r"</?details>|</?summary>|<!-- metricdef plan -->", "", plain)
    # What is left of a hostile text outside code are letters and digits in titles, where a name stands.
    assert not re.search(r"[<>@#`\[\]]|https?:|www\.|javascript:", own.replace("### metricdef", "")), own


def test_bars_end_no_cells():
    lines = table(("a", "b"), [(code("x | y"), code("x \\| y")), ("1", "2")])
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert [len(row) for row in cells] == [2, 2, 2, 2]


def test_a_code_span_holds_any_backticks():
    assert code("a`b``c") == "```a`b``c```"
    assert code("`a`") == "`` `a` ``"
    assert block(["```", "a"])[0] == "````"


def test_a_label_of_a_diagram_holds_names_only():
    assert label('a"]; click b "javascript:x"') == "a??? click b ?javascript?x?"


def test_a_small_change_is_a_short_comment():
    assert render_comment(Review("main (1a2b3c4d)")).splitlines() == [
        MARK,
        "### metricdef: nothing changes",
        "Against `main (1a2b3c4d)`: 0 definitions differ; no metric and no experiment is affected.",
    ]


def test_control_characters_do_not_reach_the_terminal():
    for text in HOSTILE:
        shown = render_review(review(text)[0], 100, verbose=True)
        assert not re.search("[\u202e\u200b\r\t]", shown)
        assert "\x1b" not in shown
