"""Looks of a sequential design whose moments a job wrote: the numbers, the record and the refusals of a run."""

from __future__ import annotations

import json

import duckdb
import pytest
import yaml
from looks import DAYS, LOOKS, World
from states import assert_close

from metricdef.api import Project
from metricdef.errors import UsageError, WarehouseError
from metricdef.governance.record import read, record_path
from metricdef.jobs.build import build_manifest


@pytest.fixture
def root(tmp_path):
    return prepared(tmp_path)


def prepared(root, looks=LOOKS, n=3000, **changes):
    root.mkdir(exist_ok=True)
    World(n=n).write(root, {"method": "group_sequential", "looks": looks}, **changes)
    path = root / "metrics" / "project.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**content, "output_schema": "readouts"}), encoding="utf-8")
    with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
        connection.execute("CREATE SCHEMA readouts")
    return root


def execute(root, text):
    with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
        connection.execute("SET threads = 1")
        connection.execute(text)


def built(root, as_of, day=None):
    (job,) = Project(root).build(["test"], as_of=as_of)
    execute(root, job.text.replace("{{as_of}}", day or as_of))
    return job.output.table


def entries(root):
    return read(record_path(root, "test")).entries


def compared(readout, is_open):
    """All of a readout but for hashes of the record, in which the time is; of a file for any date, that of the SQL."""
    (readout["provenance"].pop("record") or {}).pop("head", None)
    for earlier in readout["look"]["earlier"]:
        del earlier["readout"]
    return {**readout, "provenance": {**readout["provenance"], "sql": is_open or readout["provenance"]["sql"]}}


def test_looks_of_jobs_are_those_of_runs(tmp_path):
    """Of a dated file the whole readout; of a file for any date only the hash of the SQL is another."""
    ran, read_back = prepared(tmp_path / "ran"), prepared(tmp_path / "read")
    for number, is_open in ((1, False), (3, True), (4, False)):  # the third fixes a cap
        day = DAYS[number - 1]
        want = json.loads(Project(ran).run("test", as_of=day).to_json())
        table = built(read_back, "{{as_of}}" if is_open else day, day)
        found = json.loads(Project(read_back).ingest(table, as_of=day).to_json())
        assert found["look"]["number"] == number
        assert compared(found, is_open) == compared(want, is_open)
    first, second = ([{**e.payload, "readout": ""} for e in entries(root)] for root in (ran, read_back))
    assert first == second
    assert len(first) == 3
    assert first[-1]["caps"]  # fixed at the third look, and a number in the SQL of the fourth
    replayed = Project(read_back).ingest(table, as_of=DAYS[-1])
    assert replayed.look["replay"]
    assert len(entries(read_back)) == 3


def test_looks_of_incremental_jobs_are_those_of_runs(tmp_path):
    """A cap that the first look fixes is a number in the files built after it; their state goes on, and is never begun anew."""
    design = {"n": 5000, "looks": ["10d", "12d", "13d", "34d"], "primary": "revenue", "secondary": ("buyers",)}
    ran, read_back = prepared(tmp_path / "ran", **design), prepared(tmp_path / "read", **design)
    tables = [added(read_back, f"2026-01-{day}") for day in (11, 12, 13)]  # ahead of the look on the 11th
    want, found = looked(ran, read_back, tables[0], "2026-01-11")
    assert_close(found, want)
    with pytest.raises(WarehouseError, match="came from other definitions"):
        Project(read_back).ingest(tables[2], as_of="2026-01-13")
    for day in ("2026-01-13", "2026-01-14"):  # the last day is added again, with the number
        tables.append(added(read_back, day))
        want, found = looked(ran, read_back, tables[-1], day)
        assert_close(found, want)
    assert found["look"]["number"] == 3
    first, second = ([{**e.payload, "readout": "", "sql": ""} for e in entries(root)] for root in (ran, read_back))
    assert_close(second, first)
    assert [bool(payload["caps"]) for payload in second] == [True, True, True]
    with duckdb.connect(str(read_back / "warehouse.duckdb"), read_only=True) as connection:
        (runs,) = (
            n for (n,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall() if n.endswith("_runs")
        )
        days = connection.execute(f"SELECT as_of FROM readouts.{runs} ORDER BY 1").fetchall()
    assert days == [(f"2026-01-{day}",) for day in (11, 12, 13, 14)]


def added(root, day):
    (job,) = Project(root).build(["test"], as_of=day, incremental=True)
    execute(root, job.text)
    return job.output.table


def looked(ran, read_back, table, day):
    """A run at some day, and the rows of a job ingested, without their SQL."""
    readouts = Project(ran).run("test", as_of=day), Project(read_back).ingest(table, as_of=day)
    return [{**compared(json.loads(readout.to_json()), True), "sql": ""} for readout in readouts]


def test_what_is_no_look_shows_nothing_and_is_not_recorded(root):
    Project(root).ingest(built(root, DAYS[1]), as_of=DAYS[1])
    for day in (DAYS[0], "2026-01-20"):  # seen less than the look; before the next one
        readout = Project(root).ingest(built(root, day), as_of=day)
        assert readout.estimates == ()
        assert readout.look is None
        assert readout.to_json() == Project(root).run("test", as_of=day).to_json()
    assert [e.key for e in entries(root)] == ["2"]


def test_a_job_of_before_a_look_that_fixed_a_cap_is_refused(root):
    table = built(root, DAYS[3])
    for day in DAYS[:3]:
        Project(root).run("test", as_of=day)
    with pytest.raises(WarehouseError, match="came from other definitions") as caught:
        Project(root).ingest(table)
    assert any("fixes a cap" in line for line in caught.value.help)
    assert len(entries(root)) == 3
    assert Project(root).ingest(built(root, DAYS[3])).look["number"] == 4


def test_rows_of_an_instant_that_has_not_come_are_no_look(root):
    table, path = built(root, DAYS[0]), root / "moments.parquet"
    rows = f"SELECT * REPLACE ('2100-01-01T00:00:00.000000Z' AS md_as_of) FROM {table}"
    execute(root, f"COPY ({rows}) TO '{path}'")
    with pytest.raises(UsageError, match="lies in the future"):
        Project(root).ingest(path)
    assert entries(root) == ()


def test_a_scheduler_is_told_when_looks_are_due(root):
    project = Project(root)
    (entry,) = build_manifest(project.definitions, project.build(["test"], as_of=DAYS[0]))["jobs"]
    assert entry["schedule"]["looks"] == list(DAYS)
