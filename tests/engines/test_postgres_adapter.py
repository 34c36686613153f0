"""What goes wrong between metricdef and a real PostgreSQL server: messages, exit codes, and nothing left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from projects import METRICS, PROJECT, SOURCES, experiment, write_definitions

from metricdef.errors import UsageError, WarehouseError, WarehouseTimeout, WarehouseUnavailable
from metricdef.jobs.retention import expired_tables
from metricdef.warehouses import Session, connect
from metricdef.warehouses.retry import retry

from . import postgres
from .conftest import REQUIRED
from .postgres import PASSWORD, Postgres

SLOW = "SELECT 1 AS one FROM (SELECT pg_sleep(30)) AS slow"
PAID = "CREATE TABLE public.paid (user_id TEXT, amount NUMERIC(12, 2), paid BOOLEAN, at TIMESTAMPTZ)"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    reason = postgres.missing()
    if reason is not None and "postgres" not in REQUIRED:
        pytest.skip(reason)
    started = Postgres()
    started.execute(PAID)
    started.execute("INSERT INTO public.paid VALUES ('u1', 12.34, TRUE, '2026-01-01 00:00+00')")
    yield started
    started.stop()


def running(server: Postgres) -> list[str]:
    """Tags of queries that run on the server, but our own."""
    found = server.execute(
        "SELECT application_name FROM pg_stat_activity WHERE state = 'active' AND pid <> PG_BACKEND_PID()"
        " AND backend_type = 'client backend'"
    )
    return [row[0] for row in found]


def wait_until(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_a_session_is_read_only_in_utc_and_tagged(server):
    with connect(server.profile(), Session("metricdef checkout", 60)) as warehouse:
        names = ("TimeZone", "default_transaction_read_only", "application_name", "statement_timeout")
        shown = [warehouse.execute([f"SHOW {name}"]).column(0).to_pylist()[0] for name in names]
        assert shown == ["UTC", "on", "metricdef checkout", "1min"]
        for statement in ("INSERT INTO paid VALUES ('u2')", "CREATE TABLE more (x INT)", "DROP TABLE paid"):
            with pytest.raises(WarehouseError, match="read-only transaction"):
                warehouse.execute([statement])
    assert server.execute("SELECT COUNT(*) FROM paid") == [(1,)]


def test_literals_and_digits_are_what_was_written(server, monkeypatch):
    """Whatever a database, a role or a variable says of encodings, backslashes and digits."""
    server.execute("CREATE DATABASE old ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    server.execute("CREATE ROLE odd LOGIN SUPERUSER PASSWORD '" + PASSWORD.replace("'", "''") + "'")
    server.execute("ALTER ROLE odd SET standard_conforming_strings = off")
    server.execute("ALTER ROLE odd SET extra_float_digits = 0")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with connect(server.profile(database="old", user="odd")) as warehouse:
        query = r"SELECT CHAR_LENGTH('é') AS n, 'é\n' AS t, CAST(0.1 AS FLOAT8) + CAST(0.2 AS FLOAT8) AS x"
        assert warehouse.execute([query]).to_pylist() == [{"n": 1, "t": r"é\n", "x": 0.1 + 0.2}]


def test_types_and_tables(server):
    with connect(server.profile()) as warehouse:
        kinds = {"user_id": "text", "amount": "numeric(12,2)", "paid": "bool", "at": "timestamptz"}
        assert warehouse.describe("paid") == kinds
        assert "paid" in warehouse.tables()
        assert warehouse.execute(["SELECT SUM(amount) AS s FROM paid"]).to_pylist() == [{"s": 12.34}]
        with pytest.raises(WarehouseError, match='relation "nowhere" does not exist'):
            warehouse.describe("nowhere")


def test_a_role_that_may_not_look_is_not_told_that_nothing_has_expired(server):
    day = "CAST(1000000 AS BIGINT) AS written_us"
    server.execute("CREATE SCHEMA readouts")
    server.execute(f"CREATE TABLE readouts.state_test_00000001_runs AS SELECT {day}")
    server.execute("CREATE ROLE keeper LOGIN PASSWORD '" + PASSWORD.replace("'", "''") + "'")
    as_of = datetime(2026, 1, 1, tzinfo=UTC)
    with connect(server.profile(user="keeper")) as warehouse:
        with pytest.raises(WarehouseError, match="schema `readouts` can't be seen"):
            expired_tables(warehouse, "readouts", {}, 0, as_of)
        server.execute("GRANT USAGE ON SCHEMA readouts TO keeper")
        ((state, reason),) = expired_tables(warehouse, "readouts", {}, 0, as_of).unread
        assert state == "readouts.state_test_00000001"
        assert "permission denied" in reason
        server.execute("GRANT SELECT ON ALL TABLES IN SCHEMA readouts TO keeper")
        assert expired_tables(warehouse, "readouts", {}, 0, as_of).tables == ("readouts.state_test_00000001_runs",)


def test_no_way_in(server, monkeypatch):
    monkeypatch.setattr("metricdef.warehouses.retry.FIRST_WAIT", 0.0)
    for options in ({"password": "wrong"}, {"port": 1}, {"database": "nowhere"}, {"user": "nobody"}):
        with pytest.raises(WarehouseUnavailable) as error:
            connect(server.profile(**options))
        text = " ".join((error.value.message, *error.value.help))
        assert PASSWORD not in text
        assert "wrong" not in text
        assert error.value.exit_code == 3


def test_an_unknown_option_is_named(server):
    with pytest.raises(UsageError) as error:
        connect(server.profile(hots="127.0.0.1"))
    assert error.value.help == ("did you mean `host`?",)


def test_a_missing_driver_is_named(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UsageError) as error:
        connect(server.profile())
    assert error.value.help == ("pip install 'metricdef[postgres]'",)


def test_a_revoked_right(server):
    quoted = PASSWORD.replace("'", "''")
    server.execute(f"CREATE ROLE guest LOGIN PASSWORD '{quoted}'")
    with (
        connect(server.profile(user="guest")) as warehouse,
        pytest.raises(WarehouseError, match="permission denied for table paid") as error,
    ):
        warehouse.execute(["SELECT * FROM paid"])
    assert error.value.exit_code == 1


def test_a_slow_query_is_stopped(server):
    with (
        connect(server.profile(), Session("slow", 0.2)) as warehouse,
        pytest.raises(WarehouseTimeout, match="statement timeout") as error,
    ):
        warehouse.execute([SLOW])
    assert "query_timeout" in error.value.help[0]
    assert "slow" not in running(server)


def test_a_connection_that_breaks(server):
    stop = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'broken'"
    with connect(server.profile(), Session("broken")) as warehouse:
        later = threading.Timer(0.5, lambda: server.execute(stop))
        later.start()
        with pytest.raises(WarehouseUnavailable, match="the connection to PostgreSQL was lost"):
            warehouse.execute([SLOW])
        later.join()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("words", [("test",), ("--all", "-o", "out")])
def test_a_run_that_is_stopped_leaves_no_query(server, tmp_path, words, number, code):
    profile = {"type": "postgres", "host": "127.0.0.1", "port": server.port, "user": "owner", "database": "postgres"}
    project = {**PROJECT, "profiles": {"local": {**profile, "password": "${SUITE_PASSWORD}"}}}
    write_definitions(tmp_path, SOURCES, METRICS, experiment(status="running"), project=project)
    server.execute(
        "CREATE OR REPLACE VIEW assignments AS SELECT 'u1' AS user_id, 'test' AS experiment, 'control' AS arm,"
        " TIMESTAMP '2026-01-02' AS happened_at, 'web' AS platform"
    )
    server.execute(
        "CREATE OR REPLACE VIEW orders AS SELECT 'u1' AS user_id, TIMESTAMP '2026-01-05' AS happened_at,"
        " 1.0 AS amount, '' AS product, CASE WHEN pg_sleep(60) IS NULL THEN '' ELSE 'paid' END AS status"
    )
    command = [sys.executable, "-m", "metricdef", "--project", str(tmp_path), "run", *words, "--as-of", "2026-03-01"]
    variables = {**os.environ, "SUITE_PASSWORD": PASSWORD}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = subprocess.Popen(command, env=variables, cwd=tmp_path, text=True, **pipes)
    try:
        wait_until(lambda: "metricdef test" in running(server) or started.poll() is not None)
        started.send_signal(number)
        out, err = started.communicate(timeout=30)
    finally:
        started.kill()
    assert started.returncode == code, err
    assert out == ""
    assert "interrupted" in err
    assert PASSWORD not in err
    wait_until(lambda: "metricdef test" not in running(server))


def test_only_what_passes_by_itself_is_tried_again():
    calls: list[int] = []
    waits: list[float] = []

    def attempt(failures: int, error: Exception) -> str:
        calls.clear()
        waits.clear()

        def action() -> str:
            calls.append(1)
            if len(calls) <= failures:
                raise error
            return "done"

        return retry(action, lambda e: isinstance(e, ConnectionError), sleep=waits.append)

    assert attempt(3, ConnectionError()) == "done"
    assert len(calls) == 4
    assert len(waits) == 3
    assert 0 < waits[0] < waits[2]
    with pytest.raises(ConnectionError):
        attempt(4, ConnectionError())
    assert len(calls) == 4
    with pytest.raises(ValueError, match="no"):
        attempt(1, ValueError("no"))
    assert len(calls) == 1
