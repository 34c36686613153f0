"""Columns that changed since the lock: a run says so, whether or not the SQL still runs."""

from __future__ import annotations

import duckdb
import pytest
from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.analysis.health.schema import check_schema
from metricdef.api import Project
from metricdef.cli.main import main

ROWS = (
    "INSERT INTO assignments SELECT i, 'test', CASE i % 2 WHEN 0 THEN 'control' ELSE 'treatment' END, TIMESTAMP '2026-01-02', 'web' FROM range(40) r(i)",
    "INSERT INTO orders SELECT i, TIMESTAMP '2026-01-03', i, 'p', 'paid' FROM range(0, 40, 3) r(i)",
)


@pytest.fixture
def root(tmp_path):
    write_warehouse(tmp_path, *TABLES, *ROWS)
    write_definitions(tmp_path, SOURCES, METRICS, experiment())
    return tmp_path


def refresh(root):
    assert main(["--project", str(root), "check", "--refresh-schema", "-q"]) == 0


def change(root, statement):
    with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
        connection.execute(statement)


def drift(root):
    found = [row for row in Project(root).run("test", as_of="2026-03-01").health if row.check == "schema_drift"]
    return found[0] if found else None


def test_a_column_that_becomes_text_is_named_though_the_sql_still_runs(root):
    assert drift(root) is None  # nobody knows the columns
    refresh(root)
    Project(root).lock("test")
    assert (drift(root).status, drift(root).statistic) == ("pass", 0)
    change(root, "ALTER TABLE orders ALTER amount TYPE VARCHAR")
    found = drift(root)
    assert (found.status, found.statistic, found.threshold) == ("warn", 1, 0)
    assert found.message.startswith("`orders.amount` is a text (VARCHAR), and was a number (DOUBLE)")
    refresh(root)  # a new snapshot changes nothing of what was locked
    assert drift(root).status == "warn"
    assert [d.rule for d in Project(root).check() if d.severity == "error"] == []


def test_without_a_lock_the_snapshot_is_compared_with_and_unused_columns_may_go(root):
    refresh(root)
    change(root, "ALTER TABLE orders ADD COLUMN note VARCHAR")
    refresh(root)
    change(root, "ALTER TABLE orders DROP COLUMN note")
    assert drift(root).status == "pass"
    change(root, "ALTER TABLE assignments ALTER user_id TYPE BIGINT USING CAST(user_id AS BIGINT)")
    change(root, "ALTER TABLE orders ALTER user_id TYPE BIGINT USING CAST(user_id AS BIGINT)")
    assert drift(root).statistic == 2


def test_a_table_of_a_job_is_compared_like_a_run_and_its_export_is_not(root, tmp_path):
    """Of an incremental one: its own SQL reads its state, and names no column of the orders."""
    write_definitions(root, project={**PROJECT, "output_schema": "readouts"})
    refresh(root)
    (job,) = Project(root).build(["test"], as_of="2026-03-01", incremental=True)
    export, own = tmp_path / "moments.parquet", job.output.table
    copy = f"COPY {own} TO '{export}'"
    write_warehouse(root, "CREATE SCHEMA readouts", *job.output.statements, copy)

    def compared(source):
        readout = Project(root).ingest(source, as_of="2026-03-01")
        return [row for row in readout.health if row.check == "schema_drift"]

    (before,) = compared(own)
    assert (before, before.status) == (drift(root), "pass")
    change(root, "ALTER TABLE orders ALTER amount TYPE VARCHAR")
    (after,) = compared(own)
    assert (after, after.status) == (drift(root), "warn")
    assert compared(export) == []


def test_sources_that_the_warehouse_does_not_describe_are_skipped():
    (found,) = check_schema({"orders": {"amount": "DOUBLE"}}, {}, "SELECT 1")
    assert found.status == "skipped"


@pytest.mark.parametrize(
    ("before", "now", "changed"),
    [
        ("DOUBLE", "DECIMAL(12,2)", False),
        ("BIGINT", "UINT8", False),
        ("VARCHAR", "String", False),
        ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", True),
        ("TIMESTAMP", "DATE", True),
        ("BOOLEAN", "INTEGER", True),
        ("DOUBLE", None, True),
    ],
)
def test_kinds_are_told_apart_and_spellings_are_not(before, now, changed):
    columns = {"orders": {"amount": now} if now else {"other": "DOUBLE"}}
    (found,) = check_schema({"orders": {"Amount": before}}, columns, "SELECT SUM(amount) FROM orders")
    assert (found.statistic == 1) == changed
