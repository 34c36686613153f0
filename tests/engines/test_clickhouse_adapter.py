"""The adapter of ClickHouse: what it may do, what it says, and what it calls types."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metricdef.errors import UsageError, WarehouseError, WarehouseTimeout, WarehouseUnavailable
from metricdef.warehouses import Session, connect
from metricdef.warehouses.clickhouse import _standard

from .clickhouse import ClickHouse

ENGINE = "clickhouse"


@pytest.fixture
def filled(engine: Any) -> ClickHouse:
    assert isinstance(engine, ClickHouse)
    engine.fill({})
    engine.execute("CREATE TABLE t (a Nullable(Int64), b String) ENGINE = MergeTree ORDER BY tuple()")
    engine.execute("INSERT INTO t VALUES (1, 'x'), (NULL, 'y')")
    return engine


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO t VALUES (2, 'z')",
        "DROP TABLE t",
        "CREATE TABLE u (a Int8) ENGINE = Memory",
        "ALTER TABLE t DELETE WHERE 1",
        "TRUNCATE TABLE t",
        "SET readonly = 0",
    ],
)
def test_it_only_reads(filled: ClickHouse, statement: str) -> None:
    with connect(filled.profile()) as warehouse, pytest.raises(WarehouseError, match=r"(?i)readonly"):
        warehouse.execute([statement, "SELECT 1"])
    assert filled.execute("SELECT COUNT(*) FROM t") == [(2,)]


def test_temporary_tables_are_its_own_and_replaced(filled: ClickHouse) -> None:
    with connect(filled.profile()) as warehouse:
        for number in (1, 2):
            made = f"CREATE OR REPLACE TEMPORARY TABLE md_x ENGINE = Memory AS SELECT {number} AS n"
            assert warehouse.execute([made, "SELECT n FROM md_x"]).to_pylist() == [{"n": number}]
        with connect(filled.profile()) as other, pytest.raises(WarehouseError):
            other.execute(["SELECT n FROM md_x"])
        assert warehouse.tables() == ["t"]


def test_a_statement_of_many_parts(filled: ClickHouse) -> None:
    """That of a hundred metrics with covariates has more than the 50,000 that are allowed by default."""
    many = ", ".join(["a"] * 60_000)
    with connect(filled.profile()) as warehouse:
        assert warehouse.execute([f"SELECT LENGTH([{many}]) AS n FROM t WHERE a = 1"]).to_pylist() == [{"n": 60_000}]


def test_the_session(filled: ClickHouse) -> None:
    with connect(filled.profile(), Session("it's \\ a tag", 30)) as warehouse:
        query = "SELECT timezone() AS zone, getSetting('log_comment') AS tag, getSetting('max_execution_time') AS s"
        (row,) = warehouse.execute([query]).to_pylist()
        assert (row["zone"], row["tag"][:-9], float(row["s"])) == ("UTC", "it's \\ a tag", 30.0)


def test_a_query_is_stopped(filled: ClickHouse) -> None:
    with connect(filled.profile(), Session(timeout=0.5)) as warehouse:
        with pytest.raises(WarehouseTimeout, match="stopped"):
            warehouse.execute(["SELECT SUM(number) FROM numbers(100000000000000)"])
        assert warehouse.execute(["SELECT 1 AS one"]).to_pylist() == [{"one": 1}]


def test_a_query_is_cancelled(filled: ClickHouse) -> None:
    with connect(filled.profile()) as warehouse, connect(filled.profile()) as other:
        warehouse.cancel()  # nothing runs
        stop = threading.Timer(0.5, warehouse.cancel)
        stop.start()
        with pytest.raises(WarehouseTimeout, match="cancelled"):
            warehouse.execute(["SELECT SUM(number) AS n FROM numbers(1000000000000)"])
        for connection in (warehouse, other):
            assert connection.execute(["SELECT 1 AS one"]).to_pylist() == [{"one": 1}]
    warehouse.cancel()  # closed


INTERRUPTED = """
import os, signal, sys, threading, time
from pathlib import Path
from metricdef.warehouses import Profile, connect

with connect(Profile("ch", "clickhouse", Path("/"), {"path": sys.argv[1]}, {}, {})) as warehouse:
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    try:
        warehouse.execute(["SELECT SUM(number) AS n FROM numbers(1000000000000)"])
    except KeyboardInterrupt:
        print("interrupted", time.monotonic() - start < 20)
"""


def test_ctrl_c_stops_the_query(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    assert run(INTERRUPTED, str(tmp_path)).split() == ["interrupted", "True"]


@pytest.mark.parametrize("made", ["", "CREATE OR REPLACE TEMPORARY TABLE md_x ENGINE = Memory AS "])
def test_nothing_is_left_of_what_failed_halfway(filled: ClickHouse, made: str) -> None:
    """Rows that had come before the error came again before those of the next statement."""
    fails = f"{made}SELECT throwIf(number = 50000000) AS one FROM numbers(100000000)"
    with connect(filled.profile()) as warehouse:
        for _ in range(2):
            with pytest.raises(WarehouseError, match="throwIf"):
                warehouse.execute([fails])
            assert warehouse.execute(["SELECT a AS one FROM t WHERE a = 1"]).to_pylist() == [{"one": 1}]


def test_refusals_are_short(filled: ClickHouse) -> None:
    with connect(filled.profile()) as warehouse:
        for statement, words in (("SELECT nope FROM t", "nope"), ("SELECT 1 +", "Syntax error")):
            with pytest.raises(WarehouseError, match=words) as caught:
                warehouse.execute([statement])
            assert "\n" not in caught.value.message
            assert "SELECT" not in caught.value.message
            assert "Expected one of" not in caught.value.message
        with pytest.raises(WarehouseError):
            warehouse.describe("nowhere")


def test_secrets_do_not_show(filled: ClickHouse) -> None:
    profile = replace(filled.profile(path="secret_word"), written={"path": "${FOLDER}"})
    with pytest.raises(UsageError) as caught:
        connect(profile)
    assert "secret_word" not in str(caught.value)
    assert "${FOLDER}" in str(caught.value)


def test_what_a_profile_may_say(filled: ClickHouse, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no option `host`"):
        connect(filled.profile(host="localhost"))
    with pytest.raises(UsageError, match="no path"):
        connect(replace(filled.profile(), options={}))
    with pytest.raises(UsageError, match="no ClickHouse folder"):
        connect(filled.profile(path=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_a_process_has_one_folder(filled: ClickHouse, tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    with pytest.raises(WarehouseUnavailable, match="can have one only"):
        connect(filled.profile(path=str(tmp_path)))


PROGRAM = """
import sys
from pathlib import Path
from metricdef.warehouses import Profile, connect

try:
    connect(Profile("ch", "clickhouse", Path("/"), {"path": sys.argv[1]}, {}, {"path": "shop"})).close()
except Exception as error:
    print(type(error).__name__, error)
"""


def run(program: str, *arguments: str, **environment: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path, **environment}
    )
    return done.stdout


def test_another_program_has_it(filled: ClickHouse) -> None:
    assert "WarehouseUnavailable cannot open shop: another program has it open" in run(PROGRAM, str(filled.folder))


def test_without_the_driver(filled: ClickHouse) -> None:
    program = "import sys; sys.modules['chdb'] = None\n" + PROGRAM.replace("print(", "print(error.help, ")
    seen = run(program, str(filled.folder))
    assert "UsageError" in seen
    assert "pip install 'metricdef[clickhouse]'" in seen


@pytest.mark.parametrize(
    ("kind", "standard"),
    [
        ("Nullable(DateTime64(6))", "TIMESTAMP"),
        ("DateTime", "TIMESTAMP"),
        ("DateTime64(3, 'Asia/Tokyo')", "TIMESTAMP WITH TIME ZONE"),
        ("LowCardinality(Nullable(String))", "STRING"),
        ("FixedString(16)", "STRING"),
        ("Enum8('a' = 1, 'b' = 2)", "STRING"),
        ("Nullable(Decimal(12, 2))", "DECIMAL(12, 2)"),
        ("Nullable(UInt64)", "UINT64"),
        ("Date32", "DATE32"),
        ("Nullable(Bool)", "BOOL"),
        ("Float64", "FLOAT64"),
        ("Array(Nullable(String))", "ARRAY(NULLABLE(STRING))"),
        ("UUID", "UUID"),
    ],
)
def test_types_have_their_standard_names(engine: Any, kind: str, standard: str) -> None:
    assert _standard(kind, "UTC") == standard


def test_a_timestamp_shown_in_the_server_s_zone_has_one(filled: ClickHouse) -> None:
    assert _standard("DateTime", "Europe/Berlin") == "TIMESTAMP WITH TIME ZONE"
    with connect(filled.profile()) as warehouse:  # the suite's engine was loaded in Los Angeles
        assert warehouse.describe("(SELECT now() AS ts, 1 > 0 AS flag, a FROM t) AS x") == {
            "ts": "TIMESTAMP WITH TIME ZONE",
            "flag": "UINT8",
            "a": "INT64",
        }


def test_it_is_loaded_in_utc(engine: Any, tmp_path: Path) -> None:
    """Text compared with a timestamp is read in the zone the engine was loaded in, which is the machine's elsewhere."""
    (tmp_path / "metadata").mkdir()
    program = """
import os, sys
from pathlib import Path
from metricdef.warehouses import Profile, connect

with connect(Profile("ch", "clickhouse", Path("/"), {"path": sys.argv[1]}, {}, {})) as warehouse:
    print(warehouse.execute(["SELECT serverTimezone() AS zone"]).to_pylist()[0]["zone"], os.environ["TZ"])
"""
    assert run(program, str(tmp_path), TZ="America/Los_Angeles").split() == ["UTC", "America/Los_Angeles"]
