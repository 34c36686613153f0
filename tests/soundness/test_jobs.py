"""Rows that a job wrote must not change their meaning on the way to a readout."""

from __future__ import annotations

import re

import duckdb
import pytest
from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, of_a_file, write_definitions, write_warehouse
from states import assert_close

from metricdef.api import Project
from metricdef.errors import UsageError, WarehouseError

ROWS = (
    """INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END,
    TIMESTAMP '2026-01-02' + INTERVAL (i % 20) DAY, 'web' FROM range(400) AS t(i)""",
    """INSERT INTO orders SELECT 'u' || (i % 300), TIMESTAMP '2026-01-03' + INTERVAL (i % 30) DAY, i % 7 + 0.1, 'p' || (i % 3),
    'paid' FROM range(900) AS t(i)""",
)
DAY = "2026-03-01"


@pytest.fixture
def root(tmp_path):
    project = {**PROJECT, "output_schema": "readouts"}
    write_definitions(tmp_path, SOURCES, METRICS, experiment(status="running"), project=project)
    write_warehouse(tmp_path, *TABLES, *ROWS, "CREATE SCHEMA readouts")
    return tmp_path


def execute(root, *texts):
    with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
        connection.execute("SET threads = 1")
        for text in texts:
            connection.execute(text)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_not_a_number_does_not_become_zero_in_an_exported_table(root, kind):
    """A sum that is not a number was empty once it had been read from CSV, and an empty sum is 0."""
    execute(root, "INSERT INTO orders VALUES ('u1', TIMESTAMP '2026-01-20', 'NaN', 'p', 'paid')")
    project = Project(root)
    (job,) = project.build(as_of=DAY)
    path = root / f"moments.{kind}"
    execute(root, job.text, f"COPY {job.output.table} TO '{path}'" + (" (HEADER)" if kind == "csv" else ""))
    assert project.ingest(path).to_json() == of_a_file(project.run("test", as_of=DAY))


@pytest.mark.parametrize(
    "lost", ["SELECT * FROM {0} UNION ALL SELECT * FROM {0}", "SELECT * FROM {0} WHERE kind <> {1}"]
)
def test_rows_twice_or_not_all_of_them_are_refused(root, lost):
    """Two jobs at the same time each delete what they see and both insert; an export may end early."""
    project = Project(root)
    (job,) = project.build(as_of=DAY, daily=True)
    path = root / "moments.parquet"
    execute(root, job.text)
    one = f"(SELECT MAX(kind) FROM {job.output.table} WHERE kind LIKE 'day:%')"
    execute(root, f"COPY ({lost.format(job.output.table, one)}) TO '{path}'")
    with pytest.raises(WarehouseError, match=r"there are \d+ rows of `test` as of .*, and the job wrote \d+"):
        project.ingest(path)


def test_a_job_that_runs_before_its_as_of_writes_nothing(root):
    """Windows would count as complete that are not: at the as-of, the rows would stand for data that came later."""
    project = Project(root)
    (early,) = project.build(as_of="2100-01-01")
    execute(root, early.text)
    with pytest.raises(UsageError, match="no rows of one experiment as of any instant"):
        project.ingest(early.output.table)


def test_rows_of_several_jobs_are_not_read_without_a_choice(root):
    """Those of the dated file were taken, whatever had changed since it ran."""
    project = Project(root)
    found = {}
    for kind, options in {"dated": {"as_of": DAY}, "open": {"as_of": "{{x}}"}, "incremental": {"as_of": DAY}}.items():
        (job,) = project.build(**options, incremental=kind == "incremental")
        execute(root, job.text.replace("{{x}}", DAY))
        found[kind] = job, project.run("test", as_of=DAY).moments
        if kind == "dated":
            with pytest.raises(UsageError, match=rf"no open job wrote rows of .*: dated \(SQL {job.query.sql_hash}\)"):
                project.ingest(job.output.table, job="open")
        execute(root, "UPDATE orders SET amount = amount * 2")
    with pytest.raises(
        UsageError, match=r"several kinds wrote rows of `test` as of .*: dated .*, open .*, incremental"
    ):
        project.ingest(job.output.table)
    for kind, (job, moments) in found.items():
        readout = project.ingest(job.output.table, job=kind)
        assert readout.provenance["sql"] == job.query.sql_hash
        assert_close(readout.moments, moments)
    assert found["dated"][1] != found["open"][1] != found["incremental"][1]


@pytest.mark.parametrize("text", ["2026-03-01 15:00", "26-03-01", "2026-3-01", "2026-03-01 (BC)"])
def test_what_is_nearly_a_date_is_not_another_as_of(root, text):
    """DuckDB read a time of day as a zone, and years of two digits as those of the Romans; the rows stood for an odd as-of."""
    (job,) = Project(root).build(as_of="{{x}}")
    with pytest.raises(duckdb.ConversionException, match=re.escape(f"{text} is no date")):
        execute(root, job.text.replace("{{x}}", text))
