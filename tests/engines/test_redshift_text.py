"""SQL for Redshift, executed by PostgreSQL in its place: Redshift itself cannot be had.

PostgreSQL reads literals as its version 8 did, from which Redshift comes, and is given the functions that it lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest
from comparison import assert_cells
from oracle.cases import random_case
from oracle.files import write_project
from pyarrow import parquet

from metricdef.analysis.cells import read_cells
from metricdef.api import Project
from metricdef.compiler.dialects import DIALECTS
from metricdef.compiler.render import render
from metricdef.compiler.sql_text import SqlText

from .engine import Engine
from .postgres import Postgres

ENGINE = "postgres"
CASES = 60
STANDINS = (
    "SET standard_conforming_strings = off",
    "SET escape_string_warning = off",
    "DROP SCHEMA IF EXISTS standins CASCADE",
    "CREATE SCHEMA standins",
    "SET search_path = public, standins",
    """CREATE FUNCTION standins.datediff(TEXT, since TIMESTAMP, t TIMESTAMP) RETURNS BIGINT IMMUTABLE LANGUAGE sql
    AS 'SELECT CAST(EXTRACT(EPOCH FROM t - since) * 1000000 AS BIGINT)'""",
    "CREATE FUNCTION standins.smaller(BOOLEAN, BOOLEAN) RETURNS BOOLEAN IMMUTABLE STRICT LANGUAGE sql AS 'SELECT $1 AND $2'",
    "CREATE FUNCTION standins.getdate() RETURNS TIMESTAMP LANGUAGE sql AS 'SELECT CAST(CURRENT_TIMESTAMP AS TIMESTAMP)'",
    "CREATE AGGREGATE standins.min(BOOLEAN) (SFUNC = standins.smaller, STYPE = BOOLEAN)",
)


def answer(engine: Postgres, statements: Sequence[str]) -> pa.Table:
    """Rows of the last statement, in a session of its own."""
    with engine._connect() as connection, connection.cursor() as cursor:
        for statement in STANDINS:
            cursor.execute(statement.encode())
        for statement in statements:
            cursor.execute(statement.replace("VARCHAR(MAX)", "VARCHAR").encode())
        names = [column.name for column in cursor.description]
        rows = cursor.fetchall()
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])


def test_generated_cases(engine: Engine, tmp_path: Path) -> None:
    assert isinstance(engine, Postgres)
    for seed in range(CASES):
        case = random_case(seed)
        folder = tmp_path / str(seed)
        write_project(case, folder)
        engine.fill(case.tables)
        project = Project(folder)
        plan = project.plan(case.experiment, case.as_of.replace(tzinfo=UTC), daily=seed % 2 == 1)
        query = render(plan, "redshift")
        try:
            cells = read_cells(plan, answer(engine, [*query.session, *query.statements]))
            assert_cells(case, cells, project.definitions.settings.defaults.timezone)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error


def test_a_job_that_runs_twice_leaves_its_rows_once(engine: Engine, tmp_path: Path) -> None:
    assert isinstance(engine, Postgres)
    case = random_case(3)
    write_project(case, tmp_path)
    path = tmp_path / "metrics" / "project.yml"
    path.write_text(path.read_text(encoding="utf-8") + "\noutput_schema: readouts\n", encoding="utf-8")
    engine.fill(case.tables)
    project = Project(tmp_path)
    (job,) = project.build([case.experiment], None, case.as_of.replace(tzinfo=UTC), dialect="redshift", daily=True)
    again = [s for s in job.output.statements if "CREATE TEMPORARY TABLE" not in s]
    first = ["DROP SCHEMA IF EXISTS readouts CASCADE", "CREATE SCHEMA readouts"]
    rows = answer(engine, [*first, *job.output.statements, *again, f"SELECT * FROM {job.output.table}"])
    cells = read_cells(job.query.plan, rows)
    assert_cells(case, cells, project.definitions.settings.defaults.timezone)
    parquet.write_table(rows, tmp_path / "moments.parquet")
    assert project.ingest(tmp_path / "moments.parquet").provenance["dialect"] == "redshift"


@pytest.mark.parametrize("seed", [13, 18])
def test_days_added_one_by_one_give_what_all_rows_give(engine: Engine, seed: int, tmp_path: Path) -> None:
    """Each file in a session of its own, whose temporary tables are made once; a day that comes again is refused by name."""
    assert isinstance(engine, Postgres)
    case = random_case(seed)
    write_project(case, tmp_path)
    path = tmp_path / "metrics" / "project.yml"
    path.write_text(path.read_text(encoding="utf-8") + "\noutput_schema: readouts\n", encoding="utf-8")
    engine.fill(case.tables)
    project = Project(tmp_path)
    timezone = project.definitions.settings.defaults.timezone
    last = case.as_of.replace(tzinfo=UTC).astimezone(ZoneInfo(timezone)).date()
    first = f"{last - timedelta(days=3)}"
    again, *jobs = project.build([case.experiment], None, first, to=f"{last}", dialect="redshift", incremental=True)
    engine.script(["DROP SCHEMA IF EXISTS readouts CASCADE", "CREATE SCHEMA readouts"])
    for job in (*jobs, jobs[-1]):
        own = f"SELECT * FROM {job.output.table} WHERE md_as_of = '{job.as_of}'"
        rows = answer(engine, [*job.output.statements, own])
        at_that_time = replace(case, as_of=job.query.plan.as_of.replace(tzinfo=None))
        assert_cells(at_that_time, read_cells(job.query.plan, rows), timezone)
    with pytest.raises(Exception, match=r"metricdef: the state of .* is at .* already"):
        answer(engine, again.output.statements)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_local_times_become_the_instants_they_are_elsewhere(engine: Engine, zone: str) -> None:
    assert isinstance(engine, Postgres)
    times = "SELECT TIMESTAMP '2026-01-01 00:00:00.000001' + i * INTERVAL '30 minutes' AS moment FROM {} AS r(i)"
    query = "SELECT moment, {} AS us FROM ({}) AS times ORDER BY 1"

    def written(dialect: str, numbers: str) -> str:
        sql = SqlText(DIALECTS[dialect])
        return query.format(sql.epoch_us(sql.utc("moment", zone)), times.format(numbers))

    found = answer(engine, ["SET timezone TO 'UTC'", written("redshift", "GENERATE_SERIES(0, 17519)")])
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        wanted = connection.execute(written("duckdb", "range(17520)")).fetchall()
    assert found["us"].to_pylist() == [us for _, us in wanted]
