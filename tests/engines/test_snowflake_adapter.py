"""What goes wrong between metricdef and Snowflake, by its own connector: messages, exit codes, nothing left running."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from oracle.reading import Table
from projects import METRICS, PROJECT, SOURCES, experiment, write_definitions

from metricdef.api import Project
from metricdef.cli.main import main
from metricdef.compiler.dialects import dialect_table
from metricdef.definitions.expressions import SqlProblem, parse_expression
from metricdef.errors import UsageError, WarehouseError, WarehouseTimeout, WarehouseUnavailable
from metricdef.warehouses import Session, connect
from metricdef.warehouses import snowflake as adapter
from metricdef.warehouses.snowflake import SETTINGS

from . import snowflake
from .conftest import REQUIRED
from .proxy import FailingService
from .snowflake import Snowflake

SLOW = "SELECT COUNT(*) AS n FROM many AS a CROSS JOIN many AS b CROSS JOIN many AS c CROSS JOIN many AS d"


@pytest.fixture(scope="module")
def server() -> Iterator[Snowflake]:
    reason = snowflake.missing()
    if reason is not None and "snowflake" not in REQUIRED:
        pytest.skip(reason)
    started = Snowflake()
    paid = {"user_id": "text", "amount": "double", "items": "integer", "paid": "boolean", "moment": "timestamp"}
    row = {"user_id": "u1", "amount": 12.5, "items": 3, "paid": True, "moment": "2026-01-01T00:00:00.000001"}
    started.fill(
        {
            "paid": Table(columns=paid, rows=[row]),
            "many": Table(columns={"x": "integer"}, rows=[{"x": i} for i in range(1000)]),
        }
    )
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def nothing_received(server):
    server.received()


def said(error: pytest.ExceptionInfo) -> str:
    return " ".join((error.value.message, *error.value.help))


def wait_until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


REACH = ("account", "user", "password", "warehouse", "host", "port", "protocol", "database", "schema")


def write_connection(server, folder, more=""):
    options = server.profile().options
    lines = [f"{key} = {value!r}" for key, value in options.items()]
    file = folder / "connections.toml"
    file.write_text("\n".join(["[suite]", *lines, more]), encoding="utf-8")
    file.chmod(0o600)


# --- sessions -----------------------------------------------------------------------------------------------------------


def test_a_session_is_set_up_before_anything_else(server):
    with connect(server.profile(role="analyst"), Session("metricdef it's \\ a tag", 61.5)):
        pass
    found = server.received()
    (login,) = found["logins"]
    assert (login["databaseName"], login["schemaName"], login["warehouse"]) == ("lab", "public", "compute")
    assert login["roleName"] == "analyst"
    (setup,) = found["statements"]
    assert setup.startswith("ALTER SESSION SET TIMEZONE = 'UTC', ")
    assert "QUERY_TAG = 'metricdef it''s \\\\ a tag'" in setup
    assert "STATEMENT_TIMEOUT_IN_SECONDS = 62" in setup
    for name in SETTINGS:
        assert f"{name} = " in setup


def microseconds(warehouse):
    table = dialect_table("snowflake")
    moment = table.epoch_us.format(x=table.to_utc.format(x="moment"))
    return warehouse.execute([f"SELECT {moment} AS us FROM paid"]).to_pylist()[0]["us"]


def test_what_zone_an_account_or_a_file_asks_for_does_not_matter(server, tmp_path, monkeypatch):
    """Zones decide which moment a timestamp without one is; the account's is that of Los Angeles."""
    write_connection(server, tmp_path, 'timezone = "Asia/Tokyo"\nsession_parameters = {TIMEZONE = "Asia/Tokyo"}')
    monkeypatch.setenv("SNOWFLAKE_HOME", str(tmp_path))
    for options in ({}, {**dict.fromkeys(REACH), "connection_name": "suite"}):
        with connect(server.profile(**options)) as warehouse:
            assert microseconds(warehouse) == 1767225600000001
            warehouse.execute(["ALTER SESSION SET TIMEZONE = 'Asia/Tokyo'"])
            assert microseconds(warehouse) != 1767225600000001  # the server would show a session that forgot


@pytest.mark.parametrize("how", ["name", "variable", "file"])
def test_a_connection_of_connections_toml(server, tmp_path, monkeypatch, how):
    write_connection(server, tmp_path)
    options = dict.fromkeys(REACH)
    if how == "file":
        options |= {"connections_file_path": str(tmp_path / "connections.toml"), "connection_name": "suite"}
    else:
        monkeypatch.setenv("SNOWFLAKE_HOME", str(tmp_path))
    if how == "name":
        options["connection_name"] = "suite"
    if how == "variable":
        monkeypatch.setenv("SNOWFLAKE_DEFAULT_CONNECTION_NAME", "suite")
    with connect(server.profile(**options)) as warehouse:
        assert warehouse.execute(["SELECT items FROM paid"]).to_pylist() == [{"items": 3}]


# --- results ------------------------------------------------------------------------------------------------------------


def test_numbers_are_int64_or_float64(server):
    rows = "SELECT SUM(items) AS a, CAST(1.25 AS NUMBER(12, 2)) AS b, SUM(amount) AS c, CAST(NULL AS NUMBER(9, 0)) AS d FROM paid"
    with connect(server.profile()) as warehouse:
        found = warehouse.execute([rows])
    assert {str(kind) for kind in found.schema.types} <= {"int64", "double"}
    assert found.to_pylist() == [{"a": 3, "b": 1.25, "c": 12.5, "d": None}]


def test_types_and_tables(server):
    with connect(server.profile()) as warehouse:
        found = warehouse.describe("paid")
        assert {**found, "items": ""} == {
            "user_id": "TEXT", "amount": "FLOAT", "items": "", "paid": "BOOLEAN", "moment": "TIMESTAMP_NTZ",
        }  # fmt: skip
        assert re.fullmatch(r"NUMBER\(\d+,0\)", found["items"])
        relation = "(SELECT CAST(moment AS TIMESTAMP_TZ) AS aware, CAST(1.5 AS NUMBER(9, 2)) AS n FROM paid) AS x"
        assert warehouse.describe(relation) == {"aware": "TIMESTAMP_TZ", "n": "NUMBER(9,2)"}
        assert {"paid", "many"} <= set(warehouse.tables())
        with pytest.raises(WarehouseError, match=r"(?i)nowhere") as error:
            warehouse.describe("nowhere")
    assert error.value.exit_code == 1


@pytest.mark.parametrize("name", ["suspended", "suspended_at_once"])
def test_a_suspended_warehouse_does_not_stop_a_look_at_the_columns(server, name):
    with connect(server.profile(warehouse=name)) as warehouse:
        assert warehouse.describe("paid")
        with pytest.raises(WarehouseUnavailable, match="no warehouse to run on") as error:
            warehouse.execute(["SELECT 1 AS one"])
    assert error.value.exit_code == 3
    assert "`warehouse` of the profile" in said(error)


# --- no way in ----------------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_sent_once(server):
    with pytest.raises(WarehouseUnavailable, match="Incorrect username or password") as error:
        connect(server.profile(password="hunter2"))
    assert error.value.exit_code == 3
    assert "hunter2" not in said(error)
    assert len(server.received()["logins"]) == 1  # more would lock the account


def test_a_busy_service_is_asked_again(server):
    server.received(busy=2)
    with connect(server.profile()) as warehouse:
        assert warehouse.describe("paid")
    assert len(server.received()["logins"]) == 3


def test_nobody_there(server):
    with pytest.raises(WarehouseUnavailable, match="cannot connect to Snowflake with profile `engine`"):
        connect(server.profile(port=1, login_timeout=1))


def test_a_service_that_says_nothing(server):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(WarehouseUnavailable, match="timed out"):
            connect(server.profile(port=silent.getsockname()[1], login_timeout=1))
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"warehose": "x"}, "did you mean `warehouse`?"),
        ({"bogus": "x"}, "options: account, user"),
        ({"port": "http"}, "`port` must be a whole number"),
        ({"private_key_file": "nowhere.p8"}, "`private_key_file` names no file"),
        ({"authenticator": "bogus"}, "Invalid authenticator"),
        ({"connection_name": "nowhere"}, "not found"),
        ({"user": None}, "user"),
    ],
)
def test_a_profile_that_cannot_be_used(server, options, words):
    with pytest.raises(UsageError, match="profile `engine`") as error:
        connect(server.profile(**options))
    assert words in said(error)
    assert error.value.exit_code == 2
    assert server.password not in said(error)
    assert not server.received()["logins"]


def test_a_key_pair(server, tmp_path):
    """The connector makes the token; a key that it cannot read is a fault of the profile and shows nothing of it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    lock = serialization.BestAvailableEncryption(b"pass phrase")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    (tmp_path / "key.p8").write_bytes(text)
    (tmp_path / "key.p8").chmod(0o600)
    options = {"password": None, "authenticator": "SNOWFLAKE_JWT", "private_key_file": str(tmp_path / "key.p8")}
    with connect(server.profile(**options, private_key_file_pwd="pass phrase")):
        (login,) = server.received()["logins"]
        assert login["authenticator"] == "SNOWFLAKE_JWT"
    with pytest.raises((UsageError, WarehouseUnavailable)) as error:
        connect(server.profile(**options, private_key_file_pwd="wrong words"))
    assert "wrong words" not in said(error)


# --- refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statements", [["SELECT * FROM nowhere"], ["CREATE TEMPORARY TABLE t AS SELECT * FROM nowhere", "SELECT 1 AS x"]]
)
def test_a_table_that_is_not_there(server, statements):
    with (
        connect(server.profile()) as warehouse,
        pytest.raises(WarehouseError, match="Snowflake refused the SQL: ") as error,
    ):
        warehouse.execute(statements)
    assert "NOWHERE" in error.value.message
    assert "002003" not in error.value.message
    assert "query history" in said(error)
    assert error.value.exit_code == 1


def test_no_schema_to_make_tables_in(server):
    with connect(server.profile(schema=None)) as warehouse, pytest.raises(UsageError, match="current schema") as error:
        warehouse.execute(["CREATE TEMPORARY TABLE t AS SELECT 1 AS x", "SELECT x FROM t"])
    assert "set `database` and `schema`" in said(error)


@pytest.mark.parametrize("shown", ["***", "${SNOWFLAKE_PASSWORD}"])
def test_a_secret_in_what_the_server_says_is_not_shown(server, shown):
    profile = server.profile()
    if shown == "***":
        profile = replace(profile, written={})
    with connect(profile) as warehouse, pytest.raises(WarehouseError) as error:
        warehouse.execute([f'SELECT "{server.password}" FROM paid'])
    assert shown in error.value.message
    assert server.password not in said(error)


# --- what runs too long -------------------------------------------------------------------------------------------------


def test_a_slow_statement_is_stopped_and_aborted(server):
    with connect(server.profile(), Session("slow", 0.4)) as warehouse:
        with pytest.raises(WarehouseTimeout, match=r"it took longer than 0\.4 s") as error:
            warehouse.execute(["CREATE TEMPORARY TABLE t AS SELECT 1 AS x", SLOW])
        assert "query_timeout" in said(error)
        assert len(server.received()["aborted"]) == 1
        assert warehouse.execute(["SELECT x FROM t"]).to_pylist() == [{"x": 1}]  # the session goes on


def test_a_statement_is_cancelled_from_another_thread(server):
    with connect(server.profile()) as warehouse:
        later = threading.Timer(0.5, warehouse.cancel)
        later.start()
        with pytest.raises(WarehouseTimeout, match="the query was cancelled"):
            warehouse.execute([SLOW])
        later.join()
        assert len(server.received()["aborted"]) == 1
        assert warehouse.execute(["SELECT items FROM paid"]).to_pylist() == [{"items": 3}]


def test_a_statement_that_the_service_stops_is_no_metric_s_fault(server):
    with connect(server.profile()) as warehouse:
        warehouse.execute(["ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = 1"])
        with pytest.raises(WarehouseTimeout, match="timeout of 1 second"):
            warehouse.execute([SLOW])


# --- a service that fails -----------------------------------------------------------------------------------------------


@pytest.fixture
def proxy(server, monkeypatch) -> Iterator[FailingService]:
    """The connector would try again for half a minute."""
    complete = adapter._arguments
    monkeypatch.setattr(adapter, "_arguments", lambda *given: {**complete(*given), "retry_max_attempts": 2})
    made = FailingService(server.port)
    yield made
    made.stop()


def test_a_service_that_fails_while_a_query_runs(server, proxy, tmp_path, monkeypatch, capsys):
    """It answers 500 to whoever asks how the query goes: exit code 3, no file, no secret, and the query is aborted."""
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", server.password)
    project = {**PROJECT, "profiles": {"p": {**written(server), "port": proxy.port}}}
    write_definitions(tmp_path, slow_sources(), METRICS, experiment(), project=project)
    proxy.failing = (b"/monitoring/",)
    readout = tmp_path / "readout.json"
    words = ["--project", str(tmp_path), "run", "test", "--as-of", "2026-03-01", "-o", str(readout)]
    assert main(words) == 3
    out, err = capsys.readouterr()
    assert proxy.failed
    assert "the connection to Snowflake was lost" in err
    assert "nothing was kept; run again" in err
    assert server.password not in out + err
    assert not readout.exists()
    assert len(server.received()["aborted"]) == 1


def test_a_service_that_fails_before_a_job_is_committed(server, proxy):
    """Others see the rows of before: neither none nor half of the new ones."""
    with connect(server.profile()) as reader:
        for statement in ("CREATE OR REPLACE TABLE kept (x INT)", "INSERT INTO kept VALUES (1), (2)"):
            reader.execute([statement])
        with connect(server.profile(port=proxy.port)) as writer:
            for statement in ("BEGIN", "DELETE FROM kept", "INSERT INTO kept VALUES (3), (4), (5)"):
                writer.execute([statement])
            proxy.failing = (b"/queries/v1/query-request",)
            with pytest.raises(WarehouseUnavailable) as error:
                writer.execute(["COMMIT"])
        assert "run again" in said(error)
        assert server.password not in said(error)
        assert reader.execute(["SELECT x FROM kept ORDER BY x"]).to_pylist() == [{"x": 1}, {"x": 2}]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_leaves_no_query(server, tmp_path, number):
    project = {**PROJECT, "profiles": {"p": written(server)}}
    write_definitions(tmp_path, slow_sources(), METRICS, experiment(), project=project)
    command = [sys.executable, "-m", "metricdef", "--project", str(tmp_path), "run", "test", "--as-of", "2026-03-01"]
    variables = {**os.environ, "SNOWFLAKE_PASSWORD": server.password}
    seen: list[str] = []

    def running() -> bool:
        seen.extend(server.received()["statements"])
        return any("slow_rows" in s and "CREATE" in s for s in seen) or started.poll() is not None

    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            wait_until(running)
            started.send_signal(number)
            out, err = started.communicate(timeout=60)
        finally:
            started.kill()
    assert started.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], out + err
    assert "interrupted" in err
    assert server.password not in out + err
    assert len(server.received()["aborted"]) == 1


def written(server):
    """The profile as project.yml has it."""
    return {"type": "snowflake", **server.profile().written}


def slow_sources():
    rows = (
        "SELECT 'u1' AS user_id, moment AS happened_at, n AS amount, '' AS product, 'paid' AS status"
        f" FROM paid CROSS JOIN ({SLOW}) AS slow_rows"
    )
    assigned = (
        "SELECT user_id, 'test' AS experiment, 'control' AS arm, moment AS happened_at, 'web' AS platform FROM paid"
    )
    sources = {name: dict(source) for name, source in SOURCES["sources"].items()}
    for name, sql in (("orders", rows), ("assignments", assigned)):
        del sources[name]["table"]
        sources[name] |= {"sql": sql, "dialect": "snowflake"}
    return {"sources": sources}


# --- against the definitions --------------------------------------------------------------------------------------------


def test_definitions_are_checked_against_the_warehouse(server, tmp_path, monkeypatch):
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", server.password)
    shared = {"entities": {"user": "user_id"}, "timestamp": "moment", "dialect": "snowflake"}
    numbered = "SELECT CAST(7 AS NUMBER({}, 0)) AS user_id, moment FROM paid"
    sources = {
        "whole": {**shared, "sql": numbered.format(12)},
        "wider": {**shared, "sql": numbered.format(18)},
        "aware": {
            **shared,
            "sql": numbered.format(12).replace("moment", "CAST(moment AS TIMESTAMP_TZ) AS moment"),
            "timezone": "UTC",
        },
        "absent": {**shared, "table": "paidd"},
        "named": {**shared, "table": "paid", "measures": {"amount": "amount", "items": "items"}},
    }
    project = {**PROJECT, "profiles": {"p": written(server)}}
    write_definitions(tmp_path, {"sources": sources}, project=project)
    found = {(d.rule, d.message.split("`")[1]): d for d in Project(tmp_path).check(live=True) if d.severity == "error"}
    assert set(found) == {("timezone-on-aware-column", "aware"), ("unknown-table", "absent"), ("unit-type", "named")}
    assert found["unknown-table", "absent"].help == ("did you mean `paid`?",)


@pytest.mark.parametrize(
    "expression",
    [
        "epoch(moment)",
        "strftime(moment, '%Y')",
        "cast('0x1f' as bigint)",
        "list_value(amount)[1]",
        "isodow(moment)",
    ],
)
def test_the_imitation_takes_what_the_warehouse_refuses(server, expression):
    """None of these is Snowflake's, as its manual says: that a run here passes proves little, so they are refused before."""
    with connect(server.profile()) as warehouse:
        assert warehouse.execute([f"SELECT {expression} AS x FROM paid"]).num_rows == 1
    with pytest.raises(SqlProblem) as caught:
        parse_expression(expression)
    assert caught.value.rule == "sql-function"
