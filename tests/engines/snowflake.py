"""A server that answers Snowflake's connector, on a free port of the loopback interface.

It computes with DuckDB and takes more than Snowflake does. What it cannot show: how Snowflake rounds quotients of NUMBERs,
what its roles may do, and how long an account keeps a session. NUMBER(38, 0) holds 64 bits there.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from oracle.reading import Table

from metricdef.warehouses import Profile, connect

from .ports import free_port

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-fakesnow/bin/python"
SERVER = Path(__file__).parent / "fakesnow/server.py"
TYPES = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "double": "DOUBLE",
    "timestamp": "TIMESTAMP_NTZ",
    "boolean": "BOOLEAN",
    "decimal": "NUMBER(12, 2)",
    "instant": "TIMESTAMP_TZ",
}


def missing() -> str | None:
    """Why it cannot run here."""
    return None if PYTHON.is_file() else "fakesnow is not installed (make test-engines installs it)"


class Snowflake:
    """fakesnow in a process of its own; the connector is the real one."""

    name = "snowflake"
    cases = 60

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="metricdef-snowflake-"))
        self.port = free_port()
        self.password = secrets.token_hex(8)
        self._server = subprocess.Popen(
            [str(PYTHON), str(SERVER), str(self.port), self.password],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
        )
        self._await()

    def _await(self) -> None:
        for _ in range(300):
            assert self._server.poll() is None, "the server stopped"
            try:
                self.received()
            except urllib.error.URLError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError("the server does not answer")

    def _http(self, path: str, content: object = None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", data, timeout=60) as answer:
            return json.load(answer)

    def received(self, *, busy: int = 0) -> dict[str, list[Any]]:
        """What clients sent since the last time. As many of the next logins as `busy` will be turned away for a moment."""
        return self._http(f"received?busy={busy}")

    def fill(self, tables: Mapping[str, Table]) -> None:
        sent = {}
        for name, table in tables.items():
            columns = {column: TYPES[kind] for column, kind in table.columns.items()}
            rows = [[_plain(row.get(column)) for column in columns] for row in table.rows]
            sent[name] = {"columns": columns, "rows": rows}
        self._http("fill", sent)

    def profile(self, **options: Any) -> Profile:
        reach = {"account": "lab", "user": "tester", "password": self.password, "warehouse": "compute"}
        reach |= {"host": "127.0.0.1", "port": self.port, "protocol": "http", "database": "lab", "schema": "public"}
        reach = {key: value for key, value in (reach | options).items() if value is not None}
        written = {key: "${SNOWFLAKE_PASSWORD}" if key == "password" else value for key, value in reach.items()}
        return Profile("engine", "snowflake", self.folder, reach, {}, written)

    def script(self, statements: Sequence[str]) -> None:
        """A file's statements, one by one: the adapter would run them too, since no session of Snowflake only reads."""
        with connect(self.profile()) as warehouse:
            for statement in statements:
                warehouse.execute([statement])

    def stop(self) -> None:
        self._server.terminate()
        self._server.wait(timeout=30)
        shutil.rmtree(self.folder, ignore_errors=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value
