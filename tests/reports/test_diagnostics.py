import json
import re

from hypothesis import given
from hypothesis import strategies as st

from metricdef.errors import Diagnostic, Place
from metricdef.reports.diagnostics import diagnostics_json, render_diagnostics
from metricdef.reports.lines import display_width

METRIC = Diagnostic(
    "unknown-metric", "guardrail `refund_rat` is not a metric",
    Place("metrics/experiments/checkout.yml", 21, 9, 10, "        refund_rat: {margin: 0.3pp}"),
    ("did you mean `refund_rate` (metrics/metrics/checkout.yml:38)?",),
)  # fmt: skip
COLUMN = Diagnostic(
    "sql-column", "column `net_revenu` is not in source `orders`",
    Place("metrics/metrics/checkout.yml", 9, 13, 10, "    filter: net_revenu > 0"),
    ("columns: amount, discount", "measures cannot be used in `filter`"),
)  # fmt: skip
LOOSE = Diagnostic("no-project", "there is no project", severity="warning")


def test_the_form_of_a_finding():
    assert (
        render_diagnostics([COLUMN, METRIC], 6)
        == """\
metrics/experiments/checkout.yml:21:9: error[unknown-metric]: guardrail `refund_rat` is not a metric
   21 |         refund_rat: {margin: 0.3pp}
      |         ^^^^^^^^^^
   = help: did you mean `refund_rate` (metrics/metrics/checkout.yml:38)?
metrics/metrics/checkout.yml:9:13: error[sql-column]: column `net_revenu` is not in source `orders`
    9 |     filter: net_revenu > 0
      |             ^^^^^^^^^^
   = help: columns: amount, discount
   = help: measures cannot be used in `filter`
2 errors in 2 of 6 files."""
    )


def test_summary():
    assert render_diagnostics([], 6) == "No problems in 6 files."
    assert render_diagnostics([], 1) == "No problems in 1 file."
    assert render_diagnostics([LOOSE], 6) == "warning[no-project]: there is no project\n1 warning."
    mixed = render_diagnostics([METRIC, COLUMN, LOOSE, Diagnostic("x", "y", severity="notice")], 6)
    assert mixed.split("\n")[-1] == "2 errors, 1 warning, 1 notice in 2 of 6 files."


def caret(place):
    _, source, marks, _ = render_diagnostics([Diagnostic("r", "m", place)], 1).split("\n")
    start, end = marks.index("^"), marks.rindex("^") + 1
    return source, start, end


def test_caret_under_tabs_and_wide_characters():
    source, start, end = caret(Place("f", 1, 8, 2, "\tname: 世界 # x"))
    assert source == "    1 |     name: 世界 # x"
    assert display_width(source.partition("世")[0]) == start
    assert end - start == 4


def test_caret_at_the_end_of_a_line_and_on_an_empty_one():
    _, start, end = caret(Place("f", 3, 5, 1, "name"))
    assert (start, end) == (12, 13)
    assert render_diagnostics([Diagnostic("r", "m", Place("f", 3, 1))], 1).count("\n") == 1


def test_a_very_long_line_is_cut_around_the_caret():
    source, start, end = caret(Place("f", 1, 501, 4, "a" * 500 + "here" + "b" * 500))
    assert source[start:end] == "here"
    assert display_width(source) < 140


def test_colour_adds_nothing_but_codes():
    coloured = render_diagnostics([METRIC, COLUMN, LOOSE], 6, color=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == render_diagnostics([METRIC, COLUMN, LOOSE], 6)


@given(st.text(), st.integers(1, 300), st.integers(1, 300))
def test_hostile_text_cannot_act_on_the_terminal(text, column, length):
    evil = text + "\x1b[2J\u202e\u2066\x07\x9b\u200b\ud800"
    line = evil.replace("\n", "").replace("\r", "")
    found = Diagnostic(evil, evil, Place(evil, 1, column, length, line), (evil,))
    shown = render_diagnostics([found], 1)
    assert not set(shown) & set("\x1b\u202e\u2066\x07\x9b\u200b\r\t")
    shown.encode("utf-8")
    assert shown.count("\n") <= 4
    assert json.loads(diagnostics_json([found], 1))["diagnostics"][0]["message"] == evil
    assert diagnostics_json([found], 1).isascii()


def test_json():
    assert json.loads(diagnostics_json([COLUMN, METRIC, LOOSE], 6)) == {
        "version": 1,
        "diagnostics": [
            {"rule": "no-project", "severity": "warning", "message": LOOSE.message, "file": None, "line": None, "column": None, "length": None, "help": []},
            {"rule": "unknown-metric", "severity": "error", "message": METRIC.message, "file": "metrics/experiments/checkout.yml", "line": 21, "column": 9,
             "length": 10, "help": list(METRIC.help)},
            {"rule": "sql-column", "severity": "error", "message": COLUMN.message, "file": "metrics/metrics/checkout.yml", "line": 9, "column": 13,
             "length": 10, "help": list(COLUMN.help)},
        ],
        "summary": {"errors": 2, "warnings": 1, "notices": 0, "files": 6},
    }  # fmt: skip
    assert diagnostics_json([], 0).endswith("}\n")
