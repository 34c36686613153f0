"""Rows that a look has read, and that were restated since: what it showed must not decide against the rows of today."""

from __future__ import annotations

import duckdb
import pytest
from looks import DAYS, World, row

from metricdef.reports.text import render_text

SMALL = {"lift": 0.0, "seed": 11}


def wrong(root, value):
    """Every order of the treatment is loaded several times over; `right` takes that back."""
    change(root, f"UPDATE orders SET amount = amount * {value} WHERE user_id IN ({TREATED})")


def right(root, value):
    change(root, f"UPDATE orders SET amount = amount / {value} WHERE user_id IN ({TREATED})")


TREATED = "SELECT user_id FROM assignments WHERE arm = 'treatment'"


def change(root, statement):
    with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
        connection.execute(statement)


@pytest.fixture
def looks(tmp_path):
    found = World(**SMALL).write(tmp_path, primary="revenue", secondary=(), guardrail=("buyers",))
    found.root = tmp_path
    return found


@pytest.mark.parametrize("today", [0.85, 0.93, 0.97])
def test_a_look_of_wrong_rows_does_not_ship_what_the_rows_of_today_do_not_show(looks, today):
    """Its p stayed, and with it `superior` and `ship`, beside an estimate outside of its own interval, or below 0."""
    wrong(looks.root, 1.3)
    shown = looks.run(DAYS[1])
    assert row(shown, "revenue").verdict == "superior"
    right(looks.root, 1.3)
    change(looks.root, f"UPDATE orders SET amount = amount * {today} WHERE user_id IN ({TREATED})")
    now = looks.run(DAYS[2])
    found = row(now, "revenue")
    past, last = (record.result("revenue", "treatment") for record in looks.history)
    assert past.lower < last.upper  # some effects fit both looks
    assert not past.lower <= last.estimate <= past.upper
    assert last.estimate < 0 or today > 0.9
    assert (found.verdict, found.reason) == ("not_computed", "looks_disagree")
    assert found.absolute is None
    assert now.decision.recommendation == "hold"
    assert "2026-01-19" in found.message
    assert "superiority" in found.message
    assert "contradict" in render_text(now)


def test_intervals_that_share_nothing_are_not_shown_as_one(looks):
    """One that lay apart from the others was left out without a word."""
    wrong(looks.root, 6)
    looks.run(DAYS[1])
    right(looks.root, 6)
    change(looks.root, f"UPDATE orders SET amount = amount * 1.2 WHERE user_id IN ({TREATED})")
    found = row(looks.run(DAYS[3]), "revenue")
    past, last = (looks.history[k].result("revenue", "treatment") for k in (0, 1))
    assert last.upper < past.lower
    assert last.estimate > 0
    assert (found.verdict, found.reason) == ("not_computed", "looks_disagree")


def test_harm_that_shows_today_still_stops_where_looks_disagree(looks):
    wrong(looks.root, 8)
    looks.run(DAYS[1])
    right(looks.root, 8)
    change(looks.root, f"UPDATE orders SET amount = amount * 0.3 WHERE user_id IN ({TREATED})")
    now = looks.run(DAYS[2])
    assert row(now, "revenue").reason == "looks_disagree"
    assert row(now, "revenue").test("deterioration").rejected
    assert now.decision.recommendation == "stop"


def test_an_estimate_outside_of_what_all_looks_leave_says_so(looks):
    wrong(looks.root, 1.5)
    looks.run(DAYS[1])
    right(looks.root, 1.5)
    change(looks.root, f"UPDATE orders SET amount = amount * 1.15 WHERE user_id IN ({TREATED})")
    found = row(looks.run(DAYS[2]), "revenue")
    past, last = (record.result("revenue", "treatment") for record in looks.history)
    assert 0 < last.lower < last.estimate < past.lower
    assert (found.absolute.lower, found.absolute.upper) == (past.lower, last.upper)
    assert found.verdict == "superior"  # both looks say so
    assert "looks-apart" in found.guards


def test_looks_of_the_same_rows_agree(tmp_path):
    for seed in range(4):
        looks = World(lift=0.05, seed=seed).write(tmp_path / str(seed), secondary=("revenue", "adjusted"))
        rows = [row for readout in looks.all(DAYS) for row in readout.estimates]
        assert not [found for found in rows if found.reason == "looks_disagree"]
