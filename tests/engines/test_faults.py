"""What happens to a run and to a job when the network or a right goes: exit code, message, nothing half-written, nothing left running."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, write_definitions

from metricdef.api import Project
from metricdef.jobs.build import Job

from .postgres import PASSWORD, Postgres
from .proxy import Proxy

ENGINE = "postgres"
DAY = "2026-03-01"
ASSIGNED = (
    "INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END,"
    " TIMESTAMP '2026-01-02', 'web' FROM GENERATE_SERIES({}, {}) AS s(i)"
)


@pytest.fixture
def proxy(engine: Postgres) -> Iterator[Proxy]:
    made = Proxy(engine.port)
    yield made
    made.stop()


@pytest.fixture
def root(engine: Postgres, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUITE_PASSWORD", PASSWORD)
    reach = {"host": "127.0.0.1", "user": "owner", "password": "${SUITE_PASSWORD}", "database": "postgres"}
    profile = {"type": "postgres", **reach, "connect_timeout": 1}
    profiles = {"local": {**profile, "port": proxy.port}, "straight": {**profile, "port": engine.port}}
    profiles["guest"] = {**profiles["straight"], "user": "reader"}
    project = {**PROJECT, "profiles": profiles, "output_schema": "readouts"}
    write_definitions(tmp_path, SOURCES, METRICS, experiment(status="running"), project=project)
    quoted = PASSWORD.replace("'", "''")
    engine.script(
        [
            *("DROP SCHEMA IF EXISTS readouts CASCADE", "DROP SCHEMA public CASCADE", "CREATE SCHEMA public"),
            *(statement.replace("DOUBLE", "DOUBLE PRECISION") for statement in TABLES),
            "CREATE SCHEMA readouts",
            "DROP ROLE IF EXISTS reader",
            f"CREATE ROLE reader LOGIN PASSWORD '{quoted}'",
            "GRANT USAGE ON SCHEMA public, readouts TO reader",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
            ASSIGNED.format(1, 100),
            "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-03', i, 'p', 'paid' FROM GENERATE_SERIES(1, 50) AS s(i)",
        ]
    )
    yield tmp_path
    engine.script(["DROP OWNED BY reader", "DROP ROLE reader"])


def slow(root: Path) -> None:
    """From now on, orders take a minute to be read."""
    path = root / "metrics" / "part_0.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    orders = content["sources"]["orders"]
    del orders["table"]
    orders["sql"] = "SELECT user_id, happened_at, amount, product, status FROM slow_orders"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


SLOW_VIEW = (
    "CREATE VIEW slow_orders AS SELECT user_id, happened_at, amount, product,"
    " CASE WHEN PG_SLEEP(60) IS NULL THEN '' ELSE status END AS status FROM orders"
)


def started(root: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "metricdef", "--project", str(root), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root)


def active(server: Postgres, words: str) -> list[int]:
    """Statements that run on the server and have these words in them."""
    found = server.execute(
        "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND pid <> PG_BACKEND_PID()"
        f" AND POSITION('{words}' IN query) > 0"
    )
    return [pid for (pid,) in found]


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def finished(running: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and all that it printed, in which no secret is."""
    try:
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert PASSWORD not in out + err
    assert "Traceback" not in err
    return running.returncode, out + err


def test_a_network_that_goes_while_a_query_runs(engine: Postgres, root: Path, proxy: Proxy) -> None:
    engine.execute(SLOW_VIEW)
    slow(root)
    running = started(root, "run", "test", "--as-of", DAY, "-o", "readout.json")
    wait_until(lambda: active(engine, "md_exposure_rows") or running.poll() is not None)
    proxy.cut()
    code, said = finished(running)
    assert code == 3, said
    assert "the connection to PostgreSQL was lost" in said
    assert "nothing was written; run again" in said
    assert not (root / "readout.json").exists()
    wait_until(lambda: not active(engine, "md_exposure_rows"), 20)  # long before the minute is over


def test_a_server_that_says_nothing(root: Path, proxy: Proxy) -> None:
    proxy.mute = True
    code, said = finished(started(root, "run", "test", "--as-of", DAY))
    assert code == 3, said
    assert "cannot connect to PostgreSQL" in said
    assert "that the server runs" in said


def test_a_revoked_right_is_named(engine: Postgres, root: Path) -> None:
    engine.execute("REVOKE SELECT ON orders FROM reader")
    code, said = finished(started(root, "--profile", "guest", "run", "test", "--as-of", DAY))
    assert code == 1, said
    assert "source `orders` may not be read: " in said
    assert "permission denied for table orders" in said
    assert "grant the profile's user SELECT on it" in said


def test_a_metric_whose_table_may_not_be_read_is_left_out(engine: Postgres, root: Path) -> None:
    engine.execute("CREATE TABLE logins (user_id VARCHAR, happened_at TIMESTAMP)")
    table = {"table": "logins", "timestamp": "happened_at", "entities": {"user": "user_id"}}
    logins = {"type": "proportion", "source": "logins", "direction": "increase"}
    listed = {"primary": {"buyers": {"mde": "2%"}}, "secondary": {"logins": None}}
    sources = {"sources": {**SOURCES["sources"], "logins": table}}
    project = yaml.safe_load((root / "metrics" / "project.yml").read_text(encoding="utf-8"))
    metrics = {"metrics": {**METRICS["metrics"], "logins": logins}}
    write_definitions(root, sources, metrics, experiment(metrics=listed), project=project)
    rows = {row.metric: row for row in Project(root).run("test", "guest", DAY).estimates}
    assert rows["logins"].reason == "sql_refused"
    assert "permission denied for table logins" in str(rows["logins"].message)
    assert rows["buyers"].reason != "sql_refused"


# --- jobs ---------------------------------------------------------------------------------------------------------------


def psql(folder: Path, text: str, port: int, user: str = "owner") -> subprocess.Popen[str]:
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed")
    path = folder / "job.sql"
    path.write_text(text, encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD}
    command = ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", user, "-d", "postgres", "-q", "-v", "ON_ERROR_STOP=1"]
    return subprocess.Popen(
        [*command, "-f", str(path)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def built(root: Path) -> Job:
    (job,) = Project(root).build(["test"], "straight", as_of="{{as_of}}")
    return job


def test_a_job_whose_network_goes_leaves_the_rows_of_before(engine: Postgres, root: Path, proxy: Proxy) -> None:
    job = built(root)
    text = job.text.replace("{{as_of}}", DAY)
    assert finished(psql(root, text, proxy.port))[0] == 0
    before = engine.execute(f"SELECT * FROM {job.output.table} ORDER BY kind, arm, mixed")
    assert before
    held = text.replace("COMMIT;", "SELECT 1 AS held FROM (SELECT PG_SLEEP(60)) AS wait;\nCOMMIT;")
    engine.execute("UPDATE orders SET amount = 7")
    running = psql(root, held, proxy.port)
    wait_until(lambda: active(engine, "held") or running.poll() is not None)
    proxy.cut()
    code, said = finished(running)
    assert code != 0, said
    assert engine.execute(f"SELECT * FROM {job.output.table} ORDER BY kind, arm, mixed") == before
    for pid in active(engine, "held"):  # psql asks for no watch over its connection
        engine.execute(f"SELECT PG_TERMINATE_BACKEND({pid})")
    wait_until(lambda: not active(engine, "held"))
    assert engine.execute(f"SELECT * FROM {job.output.table} ORDER BY kind, arm, mixed") == before
    assert finished(psql(root, text, proxy.port))[0] == 0
    assert engine.execute(f"SELECT * FROM {job.output.table} ORDER BY kind, arm, mixed") != before


def test_a_job_without_the_right_to_write(engine: Postgres, root: Path, proxy: Proxy) -> None:
    job = built(root)
    text = job.text.replace("{{as_of}}", DAY)
    code, said = finished(psql(root, text, proxy.port, "reader"))
    assert code != 0
    assert "permission denied for schema readouts" in said
    assert engine.execute("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'readouts'") == [(0,)]
    assert finished(psql(root, text, proxy.port))[0] == 0
    engine.execute("GRANT CREATE ON SCHEMA readouts TO reader")
    engine.execute(f"GRANT SELECT, DELETE ON {job.output.table} TO reader")
    before = engine.execute(f"SELECT * FROM {job.output.table} ORDER BY kind, arm, mixed")
    code, said = finished(psql(root, text, proxy.port, "reader"))  # it may delete, and not insert
    assert code != 0
    assert "permission denied for table" in said
    assert engine.execute(f"SELECT * FROM {job.output.table} ORDER BY kind, arm, mixed") == before


def test_no_row_that_a_job_writes_is_a_unit_s(engine: Postgres, root: Path, proxy: Proxy) -> None:
    """Neither a key nor one row a unit: groups, whatever the number of units."""
    job = built(root)
    counts = []
    for _ in range(2):
        assert finished(psql(root, job.text.replace("{{as_of}}", DAY), proxy.port))[0] == 0
        rows = engine.execute(f"SELECT * FROM {job.output.table}")
        counts.append(len(rows))
        keys = {f"u{i}" for i in range(1, 1101)}
        assert not keys & {value for row in rows for value in row if isinstance(value, str)}
        engine.execute(ASSIGNED.format(101, 1100))
    assert counts[0] == counts[1]
