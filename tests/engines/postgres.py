"""A PostgreSQL server of the suite's own, on a free port of the loopback interface."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oracle.reading import Table

from metricdef.warehouses import Profile

from .ports import free_port

PASSWORD = "correct horse; battery 'staple'"
TYPES = {
    "text": "TEXT",
    "integer": "BIGINT",
    "double": "DOUBLE PRECISION",
    "timestamp": "TIMESTAMP",
    "boolean": "BOOLEAN",
    "decimal": "NUMERIC(12, 2)",
    "instant": "TIMESTAMPTZ",
}


def missing() -> str | None:
    """Why it cannot run here."""
    try:
        import psycopg  # noqa: F401 - whether it is there
    except ImportError:
        return "psycopg is not installed (make test-engines installs it)"
    return None if _programs() else "no PostgreSQL server is installed (make test-engines installs it)"


def _programs() -> Path | None:
    """The folder with initdb, of the newest version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class Postgres:
    """`initdb` and `postgres` in a temporary folder; as the user postgres where the tests run as root."""

    name = "postgres"
    cases = 200

    def __init__(self) -> None:
        programs = _programs()
        assert programs is not None
        self.folder = Path(tempfile.mkdtemp(prefix="metricdef-postgres-"))
        self.port = free_port()
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self.folder, self._user)
        data = self.folder / "data"
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)  # initdb reads it as another user
        words = [
            "-A",
            "scram-sha-256",
            f"--pwfile={secret}",
            "-U",
            "owner",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ]
        self._run([str(programs / "initdb"), "-D", str(data), *words])
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.folder}
        # Nothing needs to outlive the tests; a zone that is not UTC, so that a session that forgets its own is seen.
        settings |= {"fsync": "off", "full_page_writes": "off", "timezone": "America/Los_Angeles", "jit": "off"}
        self._server = subprocess.Popen(
            [str(programs / "postgres"), "-D", str(data)]
            + [word for key, value in settings.items() for word in ("-c", f"{key}={value}")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._user,
            cwd="/",
        )
        self._admin = self._connect()

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", user=self._user)
        assert done.returncode == 0, done.stdout + done.stderr

    def _connect(self) -> Any:
        import psycopg

        for _ in range(100):
            try:
                return psycopg.connect(**_reach(self.port), dbname="postgres", autocommit=True)
            except psycopg.OperationalError:
                assert self._server.poll() is None, "the server stopped"
                time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """As the owner: what the read-only adapter must not do."""
        with self._admin.cursor() as cursor:
            cursor.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def script(self, statements: Sequence[str]) -> None:
        """A file's statements, one by one, with the right to write."""
        try:
            for statement in statements:
                self.execute(statement)
        finally:
            if self._admin.info.transaction_status == 0:  # idle: a file's settings end with its session
                self.execute("RESET ALL")

    def fill(self, tables: Mapping[str, Table]) -> None:
        self.execute("DROP SCHEMA public CASCADE")
        self.execute("CREATE SCHEMA public")
        for name, table in tables.items():
            columns = ", ".join(f'"{column}" {TYPES[kind]}' for column, kind in table.columns.items())
            self.execute(f'CREATE TABLE "{name}" ({columns})')
            with self._admin.cursor() as cursor, cursor.copy(f'COPY "{name}" FROM STDIN'.encode()) as copy:
                for row in table.rows:
                    copy.write_row([row.get(column) for column in table.columns])

    def profile(self, **options: Any) -> Profile:
        reach = {**_reach(self.port), "database": "postgres", **options}
        written = {key: "${PGPASSWORD}" if key == "password" else value for key, value in reach.items()}
        return Profile("engine", "postgres", self.folder, reach, {}, written)

    def stop(self) -> None:
        self._admin.close()
        self._server.send_signal(signal.SIGINT)  # at once, connections or not
        self._server.wait(timeout=30)
        shutil.rmtree(self.folder, ignore_errors=True)


def _reach(port: int) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, "user": "owner", "password": PASSWORD}
