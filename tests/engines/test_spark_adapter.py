"""What goes wrong between metricdef and Spark: messages, and nothing left running or kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from projects import METRICS, PROJECT, SOURCES, experiment, write_definitions

from metricdef.errors import UsageError, WarehouseError, WarehouseTimeout, WarehouseUnavailable
from metricdef.warehouses import Profile, Session, connect

from .spark import Spark

ENGINE = "spark"
SLOW = "SELECT MAX(HASH(a.id, b.id)) AS found FROM RANGE(10000000) AS a CROSS JOIN RANGE(10000000) AS b"
PAID = {
    "user_id": pa.array(["u1"]),
    "amount": pa.array([Decimal("12.34")], pa.decimal128(12, 2)),
    "paid": pa.array([True]),
    "qty": pa.array([3], pa.int32()),
    "at": pa.array([datetime(2026, 1, 1)], pa.timestamp("us", "UTC")),
    "local": pa.array([datetime(2026, 1, 1)], pa.timestamp("us")),
    "day": pa.array([datetime(2026, 1, 1).date()]),
}


@pytest.fixture
def paid(engine: Spark) -> Spark:
    engine.fill({})
    pq.write_table(pa.table(PAID), engine.folder / "tables" / "paid.parquet")
    return engine


def is_idle(engine: Spark) -> bool:
    return not engine.session.sparkContext.statusTracker().getActiveJobsIds()


def wait_until(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_types_and_tables(paid):
    with connect(paid.profile()) as warehouse:
        assert warehouse.describe("paid") == {
            "user_id": "STRING",
            "amount": "DECIMAL(12,2)",
            "paid": "BOOLEAN",
            "qty": "INT",
            "at": "TIMESTAMP_LTZ",
            "local": "TIMESTAMP_NTZ",
            "day": "DATE",
        }
        assert warehouse.tables() == ["paid"]
        with pytest.raises(WarehouseError, match="TABLE_OR_VIEW_NOT_FOUND") as error:
            warehouse.describe("nowhere")
        assert "\n" not in error.value.message


def test_a_zone_on_a_column_that_has_one_is_found(paid, tmp_path):
    from metricdef.api import Project
    from metricdef.warehouses.inspect import inspect_sources

    source = {"table": "paid", "timestamp": "at", "entities": {"user": "user_id"}, "timezone": "Europe/Berlin"}
    project = Project(write_definitions(tmp_path, {"sources": {"paid": source}})).loaded.project
    with connect(paid.profile()) as warehouse:
        _, found = inspect_sources(project, warehouse, ["paid"], {})
    assert [d.rule for d in found] == ["timezone-on-aware-column"]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO paid VALUES ('u2')",
        "CREATE TABLE more (x INT)",
        "DROP VIEW paid",
        "WITH x AS (SELECT 1 AS a) INSERT INTO paid SELECT a FROM x",
        "SELECT 1; DROP VIEW paid",
        "CACHE TABLE x AS INSERT INTO paid VALUES ('u2')",
        "SET spark.sql.ansi.enabled = false",
        "TRUNCATE TABLE paid",
    ],
)
def test_only_queries_are_executed(paid, statement):
    with connect(paid.profile()) as warehouse, pytest.raises(WarehouseError, match="only SELECT and CACHE TABLE"):
        warehouse.execute([statement])


def test_what_is_kept_has_no_plan_and_is_given_back(paid):
    context = paid.session.sparkContext
    before = context._jsc.getPersistentRDDs().size()
    with connect(paid.profile(), Session("metricdef checkout")) as warehouse:
        kept: list[str] = []
        keep = warehouse._keep

        def watch(name: str, query: str) -> None:
            keep(name, query)
            kept.append(str(warehouse._spark.table(name)._jdf.queryExecution().optimizedPlan().toString()))

        warehouse._keep = watch
        statements = [
            "-- why\n\nCACHE TABLE md_a AS\nSELECT user_id FROM paid",
            "CACHE TABLE md_b AS SELECT * FROM md_a",
        ]
        for _ in range(2):
            assert warehouse.execute([*statements, "SELECT COUNT(*) AS n FROM md_b"]).to_pylist() == [{"n": 1}]
        assert not any("parquet" in plan.lower() for plan in kept)  # the source is read once
        assert len(kept) == 4
        with pytest.raises(WarehouseError, match="DIVIDE_BY_ZERO"):
            warehouse.execute([*statements, "SELECT 1 / (COUNT(*) - 1) AS x FROM md_b"])
        assert warehouse.tables() == ["paid"]
        assert context._jsc.getPersistentRDDs().size() == before
        assert context.getLocalProperty("spark.job.description") == "metricdef checkout"


def test_sessions_do_not_see_each_other(paid):
    with connect(paid.profile()) as one, connect(paid.profile()) as other:
        found: list[list[dict[str, object]]] = []

        def run(warehouse, value):
            found.append(
                warehouse.execute([f"CACHE TABLE md_a AS SELECT {value} AS x", "SELECT x FROM md_a"]).to_pylist()
            )

        threads = [threading.Thread(target=run, args=(w, v)) for w, v in ((one, 1), (other, 2))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found, key=str) == [[{"x": 1}], [{"x": 2}]]
    assert paid.session.sql("SELECT 1 AS a").collect()  # what ran before goes on


def test_a_slow_query_is_stopped(paid):
    with connect(paid.profile(), Session("slow", 1.5)) as warehouse:
        for statements in ([SLOW], [f"CACHE TABLE md_a AS {SLOW}", "SELECT * FROM md_a"]):
            began = time.monotonic()
            with pytest.raises(WarehouseTimeout, match=r"took longer than 1.5 s") as error:
                warehouse.execute(statements)
            assert time.monotonic() - began < 20
            assert "query_timeout" in error.value.help[0]
            wait_until(lambda: is_idle(paid))
        assert warehouse.execute(["SELECT 1 AS one"]).to_pylist() == [{"one": 1}]


def test_a_query_is_cancelled_from_another_thread(paid):
    with connect(paid.profile()) as warehouse:
        later = threading.Timer(1.5, warehouse.cancel)
        later.start()
        with pytest.raises(WarehouseTimeout, match="the query was cancelled"):
            warehouse.execute([f"CACHE TABLE md_a AS {SLOW}", "SELECT * FROM md_a"])
        later.join()
        assert warehouse.execute(["SELECT 1 AS one"]).to_pylist() == [{"one": 1}]


def test_an_interrupted_query_is_cancelled(paid):
    with connect(paid.profile()) as warehouse:
        later = threading.Timer(2, os.kill, (os.getpid(), signal.SIGINT))
        later.start()
        with pytest.raises(KeyboardInterrupt):
            warehouse.execute([SLOW])
        later.join()
        wait_until(lambda: is_idle(paid))


def test_options_are_checked(engine):
    for options, help_ in (
        ({"mastre": "local"}, "did you mean `master`?"),
        ({"remote": "sc://localhost", "master": "local"}, "remove one"),
        ({"token": "secret"}, "remove it"),
        ({"master": "spark://elsewhere:7077"}, "stop that first, or leave `master` out to use it"),
    ):
        with pytest.raises(UsageError) as error:
            connect(Profile("engine", "spark", engine.folder, options, {}, options))
        assert error.value.help == (help_,)


def test_no_way_in(engine, monkeypatch):
    monkeypatch.setattr("metricdef.warehouses.retry.FIRST_WAIT", 0.0)
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    options = {"remote": "sc://127.0.0.1:1", "token": "sesame"}
    with pytest.raises(WarehouseUnavailable, match="cannot connect to Spark with profile `engine`") as error:
        connect(Profile("engine", "spark", engine.folder, options, {}, {**options, "token": "${TOKEN}"}))
    assert "sesame" not in " ".join((error.value.message, *error.value.help))


def test_tables_must_be_there_and_have_names(engine, tmp_path):
    with pytest.raises(UsageError, match="no Parquet files in data"):
        connect(Profile("engine", "spark", tmp_path, {"tables": "data"}, {}, {"tables": "data"}))
    pq.write_table(pa.table(PAID), tmp_path / "not-a-name.parquet")
    with pytest.raises(UsageError, match=r"`not-a-name.parquet` is not named like a table"):
        connect(Profile("engine", "spark", tmp_path, {"tables": "."}, {}, {"tables": "."}))
    (tmp_path / "not-a-name.parquet").rename(tmp_path / "broken.parquet").write_text("no Parquet")
    with pytest.raises(WarehouseUnavailable) as error:
        connect(Profile("engine", "spark", tmp_path, {"tables": "."}, {}, {"tables": "."}))
    assert "\n" not in error.value.message


def test_an_unknown_schema_is_named(engine):
    with pytest.raises(WarehouseUnavailable, match="nowhere"):
        connect(Profile("engine", "spark", engine.folder, {"schema": "nowhere"}, {}, {}))


def test_a_missing_driver_is_named(engine, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(UsageError) as error:
        connect(engine.profile())
    assert error.value.help == ("pip install 'metricdef[spark]'",)


def metricdef(root: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "metricdef", "--project", str(root), "run", "test", "--as-of", "2026-03-01"]
    environment = {k: v for k, v in os.environ.items() if k != "JAVA_HOME"} | variables
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def write_project(root: Path) -> None:
    profile = {"type": "spark", "master": "local[1]", "tables": "data"}
    write_definitions(root, SOURCES, METRICS, experiment(), project={**PROJECT, "profiles": {"local": profile}})
    units = range(40)
    at = pa.timestamp("us")
    assignments = {
        "user_id": [f"u{i}" for i in units],
        "experiment": ["test"] * 40,
        "arm": [("control", "treatment")[i % 2] for i in units],
        "happened_at": pa.array([datetime(2026, 1, 2)] * 40, at),
        "platform": ["web"] * 40,
    }
    orders = {
        "user_id": [f"u{i}" for i in units],
        "happened_at": pa.array([datetime(2026, 1, 3)] * 40, at),
        "amount": [float(i) for i in units],
        "product": ["p"] * 40,
        "status": ["paid"] * 40,
    }
    (root / "data").mkdir()
    pq.write_table(pa.table(assignments), root / "data" / "assignments.parquet")
    pq.write_table(pa.table(orders), root / "data" / "orders.parquet")


def test_a_run_starts_spark_and_stops_it(engine, tmp_path):
    write_project(tmp_path)
    done = metricdef(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "revenue" in done.stdout


def test_a_missing_java_is_named(engine, tmp_path):
    write_project(tmp_path)
    done = metricdef(tmp_path, PATH=f"{Path(sys.executable).parent}:{tmp_path}")
    assert done.returncode == 3, done.stderr
    assert "Java 17" in done.stderr
