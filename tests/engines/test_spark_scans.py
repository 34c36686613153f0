"""The benchmark's events on Spark, in a folder for each day: they are read once, and only the days that count."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from benchmarks.spark import partitioned, scans, write_tables
from benchmarks.warehouse import DAYS, END, SEED, START, warehouse
from benchmarks.workload import supported
from metricdef.analysis.cells import read_cells
from metricdef.compiler.render import render
from metricdef.warehouses import Profile, connect

from .engine import Engine
from .spark import Spark

ENGINE = "spark"


def test_events_are_read_once_and_of_the_days_that_count(engine: Engine, tmp_path: Path) -> None:
    assert isinstance(engine, Spark)
    database = warehouse(0.0005, SEED, tmp_path / "data")
    write_tables(database, tmp_path / "tables")
    as_of = START + timedelta(days=7)
    plan = partitioned(tmp_path / "project").plan("w_two", as_of)
    plain = supported(tmp_path / "plain").project.plan("w_two", as_of)
    before = {scan["execution"] for scan in scans(engine.session)}  # Spark forgets the oldest of many
    with connect(Profile("engine", "spark", tmp_path, {"tables": "tables"}, {}, {"tables": "tables"})) as opened:
        cells = read_cells(plan, opened.execute(render(plan, "spark").statements))
    made = [scan for scan in scans(engine.session) if scan["execution"] not in before]
    events, *others = sorted(made, key=lambda scan: not scan["events"])
    assert [scan["events"] for scan in (events, *others)] == [True, *(False for _ in others)]
    assert events["partitions"] == DAYS - (END - as_of).days + 2  # as-of is midnight; and one more for other zones
    with duckdb.connect(str(database), read_only=True) as connection:
        query = "SELECT COUNT(*) FROM events WHERE event_at < ?"
        least, most = (
            connection.execute(query, [as_of.replace(tzinfo=None) + timedelta(days=days)]).fetchall()[0][0]
            for days in (0, 2)
        )
        assert 0 < least <= events["rows"] <= most  # Spark may skip groups of rows within the files
        connection.execute("SET TimeZone = 'UTC'")
        table: pa.Table = connection.sql(render(plain, "duckdb").statements[0]).to_arrow_table()
    reference = read_cells(plain, table)
    for metric in plan.metrics:
        found, wanted = (
            c.moments(metric.block, list(metric.columns), "control", with_mixed=False) for c in (cells, reference)
        )
        assert found.n == wanted.n
        assert found.mean.tolist() == pytest.approx(wanted.mean.tolist(), rel=1e-9)
