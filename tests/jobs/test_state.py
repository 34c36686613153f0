"""Days added to a state: late and restated rows, units that move, gaps, runs that break off."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import duckdb
import pytest
import yaml
from projects import PROJECT, write_definitions, write_warehouse
from states import ORDER, add, assert_close, assert_same, build, execute, tables, write_data, write_project
from thorough import cases

from metricdef.api import Project
from metricdef.cli.main import main
from metricdef.errors import UsageError, WarehouseError
from metricdef.jobs.build import build_manifest


@pytest.fixture
def root(tmp_path):
    write_data(tmp_path)
    return tmp_path


def test_day_by_day_is_all_at_once(root):
    for day in range(5, 17):
        add(root, f"2026-01-{day:02d}")
        if day % 4 == 0:
            assert_same(root, f"2026-01-{day:02d}")
    assert_same(root, "2026-01-09")  # an earlier day can still be read


def test_a_state_may_begin_on_any_day(root):
    add(root, "2026-01-20", "2026-01-22")
    assert_same(root, "2026-01-20")
    assert_same(root, "2026-01-22")


def test_what_a_source_declares_is_not_checked_over_a_state_and_that_is_said(root, capsys):
    write_project(root, expect={"not_null": ["amount"]})
    job = add(root, "2026-01-10")
    got = Project(root).ingest(job.output.table, as_of="2026-01-10")
    want = Project(root).run("test", as_of="2026-01-10")
    assert [(row.check, row.status) for row in got.health if row.check.startswith("source")] == [
        ("source_rows", "warn")
    ]
    assert_close(got.moments, want.moments)
    folder = root / "target"
    assert main(["--project", str(root), "build", "--incremental", "--as-of", "2026-01-11", "-o", str(folder)]) == 0
    assert "test: rows of `orders` are not checked over a state" in capsys.readouterr().err
    (entry,) = json.loads((folder / "manifest.json").read_text())["jobs"]
    assert entry["state"]["unchecked"] == ["orders"]


def test_what_is_made_anew_is_named(root):
    (job,) = build(root, "2026-01-20")
    assert job.recomputed == ("products",)
    (entry,) = build_manifest(Project(root).definitions, [job])["jobs"]
    state = entry["state"]
    assert (state["after"], state["recomputed"]) == ("2026-01-19T00:00:00.000000Z", ["products"])
    execute(root, job.output.statements)
    with duckdb.connect(str(root / "warehouse.duckdb"), read_only=True) as connection:
        assert all(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchall() for table in state["tables"])


def test_slopes_over_days_are_those_of_a_run_and_said_to_be_made_anew(root):
    path = root / "metrics" / "part_3.yml"
    content = yaml.safe_load(path.read_text())
    only = content["experiments"]["test"]
    only["metrics"] = {"secondary": {"weekly": None, "buyers": None}}
    only["analysis"] = {"novelty": ["weekly"]}
    path.write_text(yaml.safe_dump(content))
    weekly = {"type": "mean", "source": "orders", "agg": "count", "window": "7d", "direction": "increase"}
    (root / "metrics" / "more.yml").write_text(yaml.safe_dump({"metrics": {"weekly": weekly}}))
    add(root, "2026-02-05", "2026-02-09")
    (job,) = build(root, "2026-02-09")
    assert job.recomputed == ("weekly",)
    assert_same(root, "2026-02-09")
    got = Project(root).ingest(job.output.table, as_of="2026-02-09").novelty
    assert got[0]["slope"]["std_error"] > 0
    assert_close(got, Project(root).run("test", as_of="2026-02-09").novelty)


def test_a_day_that_runs_again_leaves_the_same_rows(root):
    add(root, "2026-01-10", "2026-01-12")
    once = tables(root)
    add(root, "2026-01-12")
    assert tables(root) == once


def test_a_gap_is_refused_with_the_command_that_fills_it(root):
    add(root, "2026-01-10", "2026-01-12")
    once = tables(root)
    (job,) = build(root, "2026-01-15")
    with pytest.raises(duckdb.Error, match="metricdef build test --incremental --as-of 2026-01-13 --to 2026-01-15"):
        execute(root, job.output.statements)
    assert tables(root) == once
    add(root, "2026-01-13", "2026-01-15")
    assert_same(root, "2026-01-15")


def test_a_day_of_the_past_is_refused(root):
    add(root, "2026-01-10", "2026-01-12")
    once = tables(root)
    (job,) = build(root, "2026-01-11")
    with pytest.raises(duckdb.Error, match="is at 2026-01-12 already"):
        execute(root, job.output.statements)
    assert tables(root) == once


@pytest.mark.parametrize("day", ["2026-01-11", "2026-01-15"])
def test_a_client_that_goes_on_after_the_refusal_changes_nothing(root, day):
    add(root, "2026-01-10", "2026-01-12")
    once = tables(root)
    failed = 0
    with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
        for statement in build(root, day)[0].output.statements:
            try:
                connection.execute(statement)
            except duckdb.Error:
                failed += 1
    assert failed
    assert_close(tables(root), once)


def test_a_run_before_its_as_of_is_refused(root):
    statements = early(build(root, "2026-01-13")[0].output.statements)
    with pytest.raises(duckdb.Error, match="2026-01-13 has not come yet"):
        execute(root, statements)
    assert all(rows == [] for rows in tables(root).values())


def early(statements):
    """As if it were January 12."""
    return [s.replace("CURRENT_TIMESTAMP", "TIMESTAMP '2026-01-12'") for s in statements]


def test_without_transactions_the_last_thing_before_rows_go_is_the_test_that_the_day_follows_on(root):
    """Another run may have added the next day while this one looked for its units."""
    statements = build(root, "2026-01-10", dialect="clickhouse")[0].output.statements
    tests = [i for i, text in enumerate(statements) if "days are missing" in text]
    (first_clear,) = (i for i, text in enumerate(statements) if text.startswith("DELETE") and "_runs WHERE" in text)
    made = [i for i, text in enumerate(statements) if "TEMPORARY" in text and i < first_clear]
    assert tests == [min(tests), first_clear - 1]
    assert min(tests) < min(made) <= max(made) < first_clear - 1


def test_two_runs_at_the_same_time_are_noticed_by_the_next(root):
    add(root, "2026-01-10", "2026-01-12")
    last = build(root, "2026-01-12")[0].output.statements
    execute(root, [s for s in last if not s.startswith("DELETE")])  # as if neither had seen the other
    (job,) = build(root, "2026-01-13")
    with pytest.raises(duckdb.Error, match="metricdef build test"):
        execute(root, job.output.statements)
    add(root, "2026-01-12", "2026-01-13")
    assert_same(root, "2026-01-13")


def test_late_rows_are_read_and_counted_where_they_say_when_they_came(root):
    write_warehouse(root, "ALTER TABLE orders ADD COLUMN loaded_at TIMESTAMP", "UPDATE orders SET loaded_at = happened_at + INTERVAL 1 HOUR",
                    "UPDATE orders SET loaded_at = happened_at + INTERVAL 60 HOUR WHERE hash(happened_at) % 10 = 0")  # fmt: skip
    write_project(root, loaded_at="loaded_at")
    for day in range(5, 17):
        add(root, f"2026-01-{day:02d}")
        if day % 4 == 0:
            assert_same(root, f"2026-01-{day:02d}")
    with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
        ((before, now),) = connection.execute(
            "SELECT rows_before, rows_now FROM (SELECT rows_before, rows_now FROM readouts.{} WHERE rows_now > rows_before) LIMIT 1".format(
                next(
                    n
                    for (n,) in connection.execute("SELECT table_name FROM information_schema.tables").fetchall()
                    if n.endswith("_late")
                )
            )
        ).fetchall()
    assert now > before


def test_late_rows_are_read_as_long_as_a_source_may_settle(root):
    write_project(root, settles_after="48h")
    add(root, "2026-01-10", "2026-01-12")
    write_warehouse(root, ORDER.format(user="u0", at="2026-01-09 12:00", amount=1e3))
    add(root, "2026-01-13")
    with pytest.raises(AssertionError):
        assert_same(root, "2026-01-13")  # came later than the source says
    write_warehouse(
        root,
        ORDER.format(user="u0", at="2026-01-12 12:00", amount=1e3),
        "DELETE FROM orders WHERE amount = 1e3 AND happened_at < '2026-01-10'",
    )
    add(root, "2026-01-14")
    assert_same(root, "2026-01-14")


def test_restated_days_are_read_again_and_counted(root):
    add(root, "2026-01-10", "2026-01-15")
    day = "CAST(happened_at AS DATE) = '2026-01-11'"
    rows = rows_of_day(root, "2026-01-15")
    write_warehouse(root, f"DELETE FROM orders WHERE {day} AND user_id LIKE '%3'", f"DELETE FROM orders WHERE {day} AND user_id LIKE '%5'", f"UPDATE orders SET amount = amount * 2 WHERE {day}",
                    ORDER.format(user="u1", at="2026-01-11 23:59:59.999999", amount=1e3))  # fmt: skip
    add(root, "2026-01-16")
    with pytest.raises(AssertionError):
        assert_same(root, "2026-01-16")
    add(root, "2026-01-17", restate="2026-01-11")
    assert_same(root, "2026-01-17")
    add(root, "2026-01-18")
    assert_same(root, "2026-01-18")
    ((_, _, _, *counts),) = tables(root)["late"]
    early, all_units = rows_of_day(root, "2026-01-15"), rows_of_day(root, "2026-01-16")
    assert counts == [rows + all_units - early, all_units]  # whoever came on the 15th was read when the day had changed
    assert counts[0] != counts[1]


def rows_of_day(root, by):
    """Rows of January 11 of the units that had come `by` some day."""
    with duckdb.connect(str(root / "warehouse.duckdb"), read_only=True) as connection:
        ((count,),) = connection.execute(
            "SELECT COUNT(*) FROM orders WHERE CAST(happened_at AS DATE) = '2026-01-11' AND user_id IN"
            f" (SELECT user_id FROM assignments WHERE happened_at < '{by}')"
        ).fetchall()
    return count


def test_units_that_move_vanish_and_come_back(root):
    add(root, "2026-01-10", "2026-01-12")
    write_warehouse(
        root,
        "INSERT INTO assignments VALUES ('u3', 'test', 'treatment', '2026-01-01 06:00', 'web')",  # earlier than known
        "CREATE TABLE aside AS SELECT * FROM assignments WHERE user_id IN ('u4', 'u5')",
        "DELETE FROM assignments WHERE user_id IN ('u4', 'u5', 'u6')",
        "INSERT INTO assignments VALUES ('late', 'test', 'control', '2026-01-02', 'web')",
        ORDER.format(user="late", at="2026-01-05 10:00", amount=50),
    )
    add(root, "2026-01-13", "2026-01-14")
    assert_same(root, "2026-01-14")
    write_warehouse(root, "INSERT INTO assignments SELECT * FROM aside")
    add(root, "2026-01-15", "2026-01-16")
    assert_same(root, "2026-01-16")


@pytest.mark.parametrize("seed", range(2))
def test_first_exposures_that_change_every_day(root, seed):
    """Units start anew, are gone and are back, several times over, also where a day is added twice."""
    random_ = random.Random(seed)
    users = [f"u{i}" for i in range(12)]
    for day in range(10, 18):
        for user in random_.sample(users, 6):
            write_warehouse(
                root,
                f"DELETE FROM assignments WHERE user_id = '{user}'",
                *(
                    f"INSERT INTO assignments VALUES ('{user}', 'test', '{random_.choice(['control', 'treatment'])}',"
                    f" '2026-01-0{random_.randint(2, 9)} {random_.randint(10, 23)}:30', 'web')"
                    for _ in range(random_.choice([0, 1, 1, 2]))
                ),
            )
        for _ in range(random_.choice([1, 2])):
            add(root, f"2026-01-{day}")
        assert_same(root, f"2026-01-{day}")
    starts = [(unit, anew) for unit, _, _, anew in tables(root)["units"]]
    first = {unit for unit, anew in starts if anew == 0}
    assert len(first) == len([unit for unit, anew in starts if anew == 0])  # every unit has one first row
    assert max(sum(u == user and anew for u, anew in starts) for user in users) > 2


def test_definitions_that_change_what_is_kept_start_another_state(root):
    name = build(root, "2026-01-10")[0].query.plan.state.name
    write_project(root, description="what it is")
    assert build(root, "2026-01-10")[0].query.plan.state.name == name
    write_project(root, filter="status = 'paid'")
    assert build(root, "2026-01-10")[0].query.plan.state.name != name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"as_of": "2026-01-10T12:00:00Z"}, "begins no day in UTC"),
        ({"as_of": "2026-01-10", "restate": "2026-01-10"}, "no day before 2026-01-10"),
        ({"as_of": "2026-01-10", "restate": "January"}, "`January` is no day"),
        ({"as_of": "2026-01-10", "restate": "2026-01-09..2026-01-08"}, "before they start"),
        ({"as_of": "2026-01-10", "daily": True}, "daily series"),
        ({"as_of": "2026-01-10", "incremental": False, "restate": "2026-01-09"}, "goes with"),
    ],
)
def test_mistakes(root, options, message):
    with pytest.raises(UsageError, match=message):
        Project(root).build(["test"], **{"incremental": True, **options})


def test_states_are_dropped_when_the_project_keeps_them_no_longer(root, capsys):
    add(root, "2026-01-10", "2026-01-12")
    add_other = build(root, "2026-01-10")[0].output.table
    write_definitions(root, project={**PROJECT, "output_schema": "readouts", "retention": "30d"})
    words = ["--project", str(root), "build", "--drop-expired", "-o", str(root / "target"), "--as-of"]
    assert main([*words, "2026-02-10"]) == 0
    assert (root / "target" / "drop_expired.sql").read_text() == ""
    assert main([*words, "2026-02-11"]) == 0
    assert "5 table(s) have expired" in capsys.readouterr().err
    execute(root, (root / "target" / "drop_expired.sql").read_text().splitlines())
    with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
        left = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'readouts'"
        ).fetchall()
    assert [f"readouts.{name}" for (name,) in left] == [add_other]
    assert main([*words, "2026-02-11", "--incremental"]) == 2
    assert main(["--project", str(root), "build", "test"]) == 2
    assert "--as-of" in capsys.readouterr().err


def test_a_state_half_dropped_is_found_again_and_what_is_none_stays(tmp_path, capsys):
    """Whatever lies in the schema: tables of one state that expired, one that did not, and others with such names."""
    write_definitions(tmp_path, project={**PROJECT, "output_schema": "readouts", "retention": "30d"})
    old, young = (f"SELECT EPOCH_US(TIMESTAMP '2026-0{month}-01') AS written_us" for month in (1, 4))
    rows = {
        "state_old_00000001": {"values_1": old, "days": old, "runs": old},  # the drop ended after `units`
        "state_live_00000002": {"units": young, "values_1": old, "runs": old},  # a run broke off
        "state_kept_00000003": {"values_1": young, "runs": old},  # whatever happened, it is not old
        "state_new_00000004": {"units": f"{old} LIMIT 0", "runs": f"{old} LIMIT 0"},  # its first run is at work
        "state_mine_deadbeef": {"units": "SELECT 1 AS x", "runs": old},
        "state_text_deadbeef": {"units": "SELECT 'x' AS written_us", "runs": "SELECT 'x' AS written_us"},
        "state_part_00000005": {"units": old},
        "state_gone_00000006": {"runs": "FROM gone"},
    }
    made = [
        f"CREATE {'VIEW' if 'gone' in n else 'TABLE'} readouts.{n}_{k} AS {q}"
        for n, s in rows.items()
        for k, q in s.items()
    ]
    write_warehouse(
        tmp_path, "CREATE SCHEMA readouts", "CREATE TABLE gone AS SELECT 1 AS written_us", *made, "DROP TABLE gone"
    )
    words = ["--project", str(tmp_path), "build", "--drop-expired", "-o", str(tmp_path), "--as-of", "2026-04-15"]
    assert main([*words, "--format", "json"]) == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["tables"] == [f"readouts.state_old_00000001_{end}" for end in ("days", "values_1", "runs")]
    assert told["unlike"] == [
        *(f"readouts.state_mine_deadbeef_{end}" for end in ("runs", "units")),
        "readouts.state_part_00000005_units",
        *(f"readouts.state_text_deadbeef_{end}" for end in ("runs", "units")),
    ]
    assert [*told["unread"]] == ["readouts.state_gone_00000006"]
    assert "warning: readouts.state_part_00000005_units is called like a table of a state" in err
    assert "error: readouts.state_gone_00000006 stays" in err
    execute(tmp_path, ["DROP VIEW readouts.state_gone_00000006_runs"])
    execute(tmp_path, (tmp_path / "drop_expired.sql").read_text().splitlines()[:1])
    assert main(words) == 0
    assert "2 table(s) have expired" in capsys.readouterr().err
    execute(tmp_path, ["DROP SCHEMA readouts CASCADE", "CREATE SCHEMA empty"])
    assert main(words) == 1
    assert "error: schema `readouts` can't be seen" in capsys.readouterr().err
    write_definitions(tmp_path, project={**PROJECT, "output_schema": "EMPTY", "retention": "30d"})
    assert main(words) == 0
    assert "0 table(s) have expired" in capsys.readouterr().err


def test_rows_of_another_state_are_refused(root):
    job = add(root, "2026-01-10")
    write_project(root, filter="status = 'paid'")
    with pytest.raises(WarehouseError, match="other definitions"):
        Project(root).ingest(job.output.table)


@pytest.mark.thorough
@pytest.mark.parametrize("transactions", [True, False])
def test_a_run_that_breaks_off_at_any_statement_leaves_the_state_and_is_run_again(root, transactions):
    """Also where an engine has no transactions: what was written counts for nothing, and is written anew."""
    add(root, "2026-01-10", "2026-01-12")
    (job,) = build(root, "2026-01-13")
    statements = [s for s in job.output.statements if transactions or s not in ("BEGIN", "COMMIT")]
    before = tables(root)
    for until in range(1, len(statements), cases(3, 1)):
        execute(root, statements[:until])
        broken = tables(root)
        if transactions and "INSERT INTO readouts.moments" not in "".join(statements[: until + 1]):
            assert broken == before or len(broken["runs"]) == 4, until
    execute(root, statements)
    assert_same(root, "2026-01-13")
    clean = tables(root)
    execute(root, statements)
    assert tables(root) == clean
    add(root, "2026-01-14")
    assert_same(root, "2026-01-14")


def test_what_a_first_run_left_counts_for_nothing_though_it_stays(root):
    """On Spark the rows of a run that broke off at another date cannot be deleted."""
    plain = [s for s in build(root, "2026-01-09")[0].output.statements if s not in ("BEGIN", "COMMIT")]
    execute(root, plain[: next(i for i, s in enumerate(plain) if "_runs (" in s)])
    write_warehouse(root, ORDER.format(user="u0", at="2026-01-08 12:00", amount=1e3))
    for job in build(root, "2026-01-11", "2026-01-12"):
        execute(root, [s for s in job.output.statements if not s.startswith("DELETE FROM readouts.state_")])
    assert len({row[2] for row in tables(root)["units"]}) == 3
    assert_same(root, "2026-01-12")


RUN = """
import duckdb, sys
with duckdb.connect(sys.argv[1]) as connection:
    for statement in open(sys.argv[2]).read().split(chr(0)):
        connection.execute(statement)
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_killed_at_random_moments(root):
    """A process that is killed leaves the state as it was, or with the day in it; the run after it puts all right."""
    write_warehouse(
        root,
        "INSERT INTO orders SELECT 'u' || (i * 13 % 240), TIMESTAMP '2026-01-01' + INTERVAL (i) SECOND, 1, 'p', 'paid' FROM range(400000) AS t(i)",
    )
    add(root, "2026-01-04")
    file = root / "statements"
    (job,) = build(root, "2026-01-05")
    file.write_text("\0".join(job.output.statements))
    arguments = [sys.executable, "-c", RUN, str(root / "warehouse.duckdb"), str(file)]
    started = time.monotonic()
    subprocess.run(arguments, check=True)
    whole = time.monotonic() - started
    want = tables(root)
    write_warehouse(root, *(s for s in job.output.statements if s.startswith("DELETE")))
    assert tables(root) != want
    rng = random.Random(1)
    for _ in range(int(os.environ.get("METRICDEF_KILLS", cases("4", "12")))):
        process = subprocess.Popen(arguments)
        time.sleep(rng.uniform(0, whole * 1.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        runs = len(tables(root)["runs"])
        assert runs in (1, 2)
    subprocess.run(arguments, check=True)
    assert_close(tables(root), want)
    assert_same(root, "2026-01-05")
