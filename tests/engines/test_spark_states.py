"""Days added to a state in Parquet files on Spark, file by file, in a session that has nothing set but what the file sets."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest
import yaml
from projects import write_warehouse
from states import ORDER, assert_close, write_data, write_project

from metricdef.api import Project
from metricdef.jobs.build import Job

from .engine import Engine
from .spark import Spark

ENGINE = "spark"


class Days:
    """A project in a folder, whose DuckDB is copied to Parquet before every file."""

    def __init__(self, engine: Spark, root: Path) -> None:
        self.engine, self.root = engine, root
        write_data(root)
        write_project(root, settles_after="24h")  # the last two days are read
        for path in (root / "metrics").glob("*.yml"):
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            if "profiles" in content:
                content["profiles"]["spark"] = {"type": "spark", "tables": "parquet"}
                content["retention"] = "90d"
            if "experiments" in content:  # planning is what takes Spark its time
                content["experiments"]["test"]["metrics"]["secondary"] = {"largest": None}
            path.write_text(yaml.safe_dump(content), encoding="utf-8")
        engine.session.sql("CREATE DATABASE IF NOT EXISTS readouts")

    def build(self, day: str, **options: str) -> Job:
        (job,) = Project(self.root).build(["test"], dialect="spark", as_of=day, incremental=True, **options)
        return job

    def run(self, job: Job, until: int | None = None) -> None:
        folder = self.root / "parquet"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        with duckdb.connect(str(self.root / "warehouse.duckdb")) as connection:
            for name in ("assignments", "orders"):
                connection.execute(f"COPY {name} TO '{folder / name}.parquet' (FORMAT parquet)")
        self.engine.script(job.output.statements[:until], folder)

    def assert_same(self, job: Job, day: str) -> None:
        """The moments are those that DuckDB makes of all rows."""
        got, want = (
            Project(self.root).ingest(job.output.table, "spark", as_of=day),
            Project(self.root).run("test", as_of=day),
        )
        assert got.provenance["sql"] == job.query.sql_hash
        assert got.arms == want.arms
        assert got.moments
        assert_close(got.moments, want.moments)

    def tables(self, like: str) -> list[str]:
        rows = self.engine.session.sql(f"SHOW TABLES IN readouts LIKE '{like}'").collect()
        return [row.tableName for row in rows if not row.isTemporary]


def writes(job: Job, beginning: str) -> list[int]:
    """How many statements are executed once one is, by its beginning."""
    return [i for i, s in enumerate(job.output.statements, 1) if s.startswith(beginning)]


def test_days_with_late_and_restated_rows_and_files_that_are_cut_off(engine: Engine, tmp_path: Path) -> None:
    assert isinstance(engine, Spark)
    days = Days(engine, tmp_path)
    broken = days.build("2026-01-09")
    days.run(broken, writes(broken, "INSERT INTO")[-2])  # a first run that wrote all but that it ran
    write_warehouse(tmp_path, ORDER.format(user="u0", at="2026-01-08 12:00", amount=1e3))

    first = days.build("2026-01-11")
    days.run(first)
    days.assert_same(first, "2026-01-11")  # what it left, with u0 as it was, counts for nothing
    with pytest.raises(Exception, match="metricdef build test --incremental --as-of 2026-01-12 --to 2026-01-13"):
        days.run(days.build("2026-01-13"))
    with pytest.raises(Exception, match="is at 2026-01-11 already"):
        days.run(broken)

    write_warehouse(tmp_path, ORDER.format(user="u2", at="2026-01-10 12:00", amount=1e3))  # late
    day = days.build("2026-01-12")
    parts = writes(day, "INSERT INTO")
    for until in (parts[0], parts[-2]):
        days.run(day, until)
    days.run(day)
    days.assert_same(day, "2026-01-12")

    write_warehouse(tmp_path, "UPDATE orders SET amount = amount * 2 WHERE CAST(happened_at AS DATE) = '2026-01-05'")
    again = days.build("2026-01-12", restate="2026-01-05")
    days.run(again, writes(again, "INSERT OVERWRITE")[0])  # the run itself is taken back
    with pytest.raises(Exception, match="--as-of 2026-01-12"):
        days.run(days.build("2026-01-13"))
    days.run(again)
    days.assert_same(again, "2026-01-12")

    left = days.tables("work_*")
    assert left
    found = Project(tmp_path).expired("spark", "2026-01-12").tables
    assert found == ()  # made today, which is later
    found = Project(tmp_path).expired("spark", "2100-01-01").tables
    assert sorted(found)[-len(left) :] == [f"readouts.{name}" for name in sorted(left)]
    assert {name.rsplit("_", 1)[-1] for name in found if "state_" in name} == {"units", "1", "days", "late", "runs"}
    engine.script([f"DROP TABLE {name}" for name in found])
    assert days.tables("*") == [day.output.table.split(".")[1]]
