"""A look in words: which it is, what its bounds were, what to quote after a stop."""

from dataclasses import replace

import pytest

from metricdef.analysis.readout import Headline, LookTest
from metricdef.reports.text import render_text
from tests.reports.sample import outcome_of, readout, row

LOOK = {
    "method": "group_sequential", "number": 2, "of": 4, "fraction": 0.5, "planned": True, "final": False,
    "next": "2026-10-08T00:00:00Z", "replay": False, "differences": [], "record": {},
}  # fmt: skip
SPENT = [
    {"look": j + 1, "at": "", "fraction": (j + 1) / 4, "alpha_spent": a}
    for j, a in enumerate((1e-5, 0.003, 0.02, 0.05))
]
SEEN = LookTest({"greater": 2.7, "less": -2.7}, {"greater": 0.02, "less": 1.0}, 77_000.0, 2.963, 0.0031, 0.4, False)
TEST = outcome_of(p=0.04, kind="sequential", direction="greater", look=SEEN)
FOUND = row(tests=(TEST,), interval_kind="repeated")


def text(*rows, look=LOOK, width=100, **more):
    ledger = {"false_ship": 0.025, "looks": SPENT}
    shown = render_text(readout(*(rows or (FOUND,)), look=look, ledger=ledger, **more), width)
    return " ".join(shown.split())


def test_the_head_says_which_look_and_what_comes_next():
    shown = text()
    assert "group-sequential design: look 2 of 4" in shown
    assert "50% of the plan" in shown
    assert "0.3% of 5% alpha spent" in shown
    assert "the next look lies at 2026-10-08 00:00 UTC" in shown
    assert "intervals that hold at all looks together" in shown
    assert "p two-sided over all looks so far" in shown


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"replay": True}, "look 2 of 4 again"),
        ({"number": None}, "an unplanned look"),
        ({"number": None, "method": "hybrid", "fraction": None}, "a look between the planned ones"),
        ({"number": None, "of": None, "method": "always_valid", "fraction": None}, "tests valid at any time: a look"),
        ({"final": True, "next": None, "number": 4}, "nothing is left to look at"),
    ],
)
def test_kinds_of_looks(changes, words):
    assert words in text(look={**LOOK, **changes})


def test_a_score_stands_beside_its_bound():
    assert "z = 2.70, bound ±2.96 at this look; 0.31% of its alpha spent so far" in text()
    assert "futility bound 0.40: not met" in text()
    idle = replace(TEST, look=replace(SEEN, bound=None, futility=None))
    assert "this look spends nothing of its level" in text(replace(FOUND, tests=(idle,)))
    met = replace(TEST, look=replace(SEEN, futile=True))
    assert "futility bound 0.40: met: the planned effect is unlikely" in text(replace(FOUND, tests=(met,)))
    one = outcome_of("non_inferiority", 0.04, look=replace(SEEN, z={"one": 2.7}, futility=None), kind="sequential")
    assert "bound 2.96 at this look" in text(replace(FOUND, role="guardrail", tests=(one,)))


def test_after_a_stop_the_estimate_to_quote_is_named():
    shown = text(replace(FOUND, headline=Headline("median_unbiased", 0.0087, 0.087)))
    assert "to quote, now that the test has stopped: +0.87pp (median-unbiased)" in shown


def test_a_row_that_waits_has_no_verdict_yet():
    waiting = replace(FOUND, verdict="inconclusive", reason="bound_not_crossed", message=None)
    shown = text(waiting)
    assert "no bound crossed yet" in shown
    assert "bound not crossed" not in shown


def test_what_late_rows_changed_is_said():
    difference = {
        "metric": "conversion", "arm": "new", "recorded": {"units": 100, "estimate": 0.01}, "now": {"units": 101, "estimate": 0.02},
    }  # fmt: skip
    shown = text(look={**LOOK, "differences": [difference, {**difference, "now": None}]})
    assert (
        "Not as recorded at this look: conversion, new: recorded 0.010000 from 100 units, now 0.020000 from 101."
        in shown
    )
    assert "now not computed" in shown


@pytest.mark.parametrize("width", [24, 40, 79])
def test_it_fits_any_terminal(width):
    shown = render_text(readout(FOUND, look=LOOK, ledger={"looks": SPENT}), width)
    assert max(map(len, shown.splitlines())) <= width
