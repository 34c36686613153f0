"""Incremental states that gave other numbers than all rows, without a word. Each would have moved an effect for good."""

from __future__ import annotations

import re
from dataclasses import replace

import duckdb
import pytest
from projects import write_warehouse
from states import ORDER, add, assert_same, build, execute, tables, write_data, write_project

from metricdef.api import Project
from metricdef.compiler.dialects import DIALECTS
from metricdef.errors import UsageError


@pytest.fixture
def root(tmp_path):
    write_data(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("settles", "at"), [("6h", "2026-01-11 20:00"), ("36h", "2026-01-10 14:00")])
def test_rows_that_settle_within_part_of_a_day(root, settles, at):
    """Days were counted from the first midnight within the time, so the day in which it begins was not read again."""
    write_project(root, settles_after=settles)
    add(root, "2026-01-10", "2026-01-12")
    write_warehouse(root, ORDER.format(user="u0", at=at, amount=1e3))
    add(root, "2026-01-13", "2026-01-14")
    assert_same(root, "2026-01-14")


def test_a_restated_day_stays_restated_when_the_run_is_repeated(root):
    """The repeated run forgot which days it had read, and the state went back to the rows of before; or it knew them, and
    did not look for their rows, so that the days were empty from then on."""
    add(root, "2026-01-10", "2026-01-15")
    write_warehouse(root, "UPDATE orders SET amount = amount * 2 WHERE CAST(happened_at AS DATE) = '2026-01-11'")
    add(root, "2026-01-16", restate="2026-01-11")
    assert_same(root, "2026-01-16")
    once = tables(root)
    with pytest.raises(duckdb.Error, match="the run of 2026-01-16 has read earlier days again, from 2026-01-11 on"):
        add(root, "2026-01-16")
    assert tables(root) == once
    add(root, "2026-01-16", restate="2026-01-10..2026-01-11")
    assert_same(root, "2026-01-16")
    add(root, "2026-01-17")
    assert_same(root, "2026-01-17")


@pytest.mark.parametrize("transactions", [True, False])
def test_what_a_first_run_left_that_was_never_recorded(root, transactions):
    """Its units were taken for known ones, whose earlier rows need not be read."""
    statements = build(root, "2026-01-12")[0].output.statements
    keep = [s for s in statements if transactions or s not in ("BEGIN", "COMMIT")]
    upto = next(i for i, s in enumerate(keep) if "INSERT INTO" in s and "_days (" in s)
    execute(root, [*keep[:upto], *(["COMMIT"] if transactions else [])])
    assert tables(root)["units"]
    write_warehouse(root, ORDER.format(user="u0", at="2026-01-11 23:00", amount=1e3))
    add(root, "2026-01-14", "2026-01-15")
    assert_same(root, "2026-01-15")


def test_a_source_with_another_name_starts_another_state(root):
    """Days are marked as read by source: under another name every earlier reading counted as well."""
    name = build(root, "2026-01-10")[0].query.plan.state.name
    folder = root / "metrics"
    for path in folder.glob("*.yml"):
        text = path.read_text()
        path.write_text(
            text.replace("source: orders", "source: purchases").replace("\n  orders:\n", "\n  purchases:\n")
        )
    assert build(root, "2026-01-10")[0].query.plan.state.name != name


def test_another_time_zone_or_time_to_settle_starts_another_state(root):
    names = set()
    for changes in ({}, {"settles_after": "1d"}, {"settles_after": "2d"}):
        write_project(root, **changes)
        names.add(build(root, "2026-01-10")[0].query.plan.state.name)
    assert len(names) == 3
    settings = root / "metrics" / "project.yml"
    settings.write_text(settings.read_text() + "defaults: {timezone: Africa/Abidjan}\n")  # UTC, by another name
    assert build(root, "2026-01-10")[0].query.plan.state.name not in names


def test_experiments_with_a_long_common_beginning_have_states_of_their_own(root):
    file = next(p for p in (root / "metrics").glob("*.yml") if "experiments:" in p.read_text())
    text, found = file.read_text(), set()
    for name in ("homepage_recommendations_ranking_a", "homepage_recommendations_ranking_b"):
        file.write_text(text.replace("\n  test:\n", f"\n  {name}:\n"))
        found.add(build(root, "2026-01-10")[0].query.plan.state.name)
    assert len(found) == 2


def test_the_run_itself_is_taken_back_first(root):
    """Two runs at once could both count, and one that broke off while it deleted its rows still did."""
    add(root, "2026-01-10", "2026-01-12")
    statements = [s for s in build(root, "2026-01-12")[0].output.statements if s not in ("BEGIN", "COMMIT")]
    deletes = [i for i, s in enumerate(statements) if s.startswith("DELETE")]
    for until in deletes[:-1]:  # the last one belongs to the moments
        execute(root, statements[: until + 1])
        with pytest.raises(duckdb.Error, match="metricdef build test"):
            execute(root, build(root, "2026-01-13")[0].output.statements)
        add(root, "2026-01-12")
    add(root, "2026-01-13")
    assert_same(root, "2026-01-13")


@pytest.mark.parametrize("noted", [False, True, "and the day after it"])
def test_rows_that_a_second_attempt_appends(root, monkeypatch, noted):
    """Without transactions the rows of two attempts at a day stood beside each other, and one of the two noted the run."""
    monkeypatch.setitem(DIALECTS, "duckdb", replace(DIALECTS["duckdb"], transactions=False))
    add(root, "2026-01-10", "2026-01-11")
    (job,) = build(root, "2026-01-12")
    statements = job.output.statements
    note = next(i for i, s in enumerate(statements) if s.startswith("INSERT INTO") and "_runs (" in s)
    appends = [s for s in statements[:note] if re.match(r"INSERT INTO \S+_(units|values_1) ", s)]
    assert len(appends) == 3
    if noted == "and the day after it":
        execute(root, statements)
        add(root, "2026-01-13")
        execute(root, appends[1:])
        with pytest.raises(duckdb.Error, match="rows stand twice in the state of test"):
            add(root, "2026-01-14")
        return
    if noted:  # what the other one still had to write comes after the day is done
        execute(root, [*statements, *appends[1:]])
    else:
        execute(root, [*statements[:note], *appends, *statements[note:]])
        with pytest.raises(UsageError, match="2026-01-12"):  # there are no moments of it
            Project(root).ingest(job.output.table, as_of="2026-01-12")
    with pytest.raises(duckdb.Error, match="--as-of 2026-01-12"):
        add(root, "2026-01-13")
    add(root, "2026-01-12", "2026-01-13")
    assert_same(root, "2026-01-12")
    assert_same(root, "2026-01-13")


def test_an_exposure_that_comes_between_state_and_moments_waits_for_the_next_day(root):
    """It counted as a unit without any outcome."""
    add(root, "2026-01-10", "2026-01-12")
    statements = build(root, "2026-01-13")[0].output.statements
    until = statements.index("COMMIT") + 1
    execute(root, statements[:until])
    write_warehouse(
        root,
        "INSERT INTO assignments SELECT 'x' || i, 'test', 'control', '2026-01-05', 'web' FROM range(50) AS t(i)",
        *(ORDER.format(user=f"x{i}", at="2026-01-06", amount=1) for i in range(50)),
        "UPDATE assignments SET happened_at = '2026-01-01 01:00' WHERE user_id = 'u0'",
    )
    execute(root, statements[until:])
    from metricdef.api import Project  # the rows just written, as a job's reader has them

    job = build(root, "2026-01-13")[0]
    units = {arm.arm: arm.units for arm in Project(root).ingest(job.output.table, as_of="2026-01-13").arms}
    everyone = {arm.arm: arm.units for arm in Project(root).run("test", as_of="2026-01-13").arms}
    assert units["control"] == everyone["control"] - 51
    add(root, "2026-01-14")
    assert_same(root, "2026-01-14")


def test_rows_that_were_loaded_before_a_run_could_see_them(root):
    """A long transaction's rows carry the time at which it began: `settles_after` reads their days again."""
    write_warehouse(
        root, "ALTER TABLE orders ADD COLUMN loaded_at TIMESTAMP", "UPDATE orders SET loaded_at = happened_at"
    )
    write_project(root, loaded_at="loaded_at", settles_after="2d")
    add(root, "2026-01-10", "2026-01-12")
    write_warehouse(root, "INSERT INTO orders VALUES ('u0', '2026-01-11 12:00', 1e3, 'p', 'paid', '2026-01-11 23:58')")
    add(root, "2026-01-13")
    assert_same(root, "2026-01-13")


@pytest.mark.parametrize("repeated", [True, False])
def test_rows_that_nobody_checked_do_not_ship(root, repeated):
    """Rows of earlier days are not read again, so a repeated `grain`, which makes a run invalid, was not found: ship."""
    write_project(root, grain="product")
    write_warehouse(root, "DELETE FROM orders WHERE CAST(SUBSTR(user_id, 2) AS INTEGER) % 2 = 0")
    if not repeated:
        write_warehouse(root, "UPDATE orders SET product = 'p' || rowid")
    job = add(root, "2026-03-01")
    project = Project(root)
    want = project.run("test", as_of="2026-03-01").decision
    assert want.recommendation == ("invalid" if repeated else "ship")
    got = project.ingest(job.output.table).decision
    assert got.recommendation == "hold"
    (reason,) = got.because
    assert reason == (
        "source_grain: `orders`: not checked whether rows repeat `product`: a state of earlier days was read; "
        "`metricdef run test` of the same as-of checks all rows"
    )
