"""ClickHouse embedded in the process of the tests (chdb), over a temporary folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
from oracle.reading import Table

from metricdef.warehouses import Profile

TYPES = {
    "text": ("Nullable(String)", pa.string()),
    "integer": ("Nullable(Int64)", pa.int64()),
    "double": ("Nullable(Float64)", pa.float64()),
    "timestamp": ("Nullable(DateTime64(6))", pa.timestamp("us", tz="UTC")),
    "boolean": ("Nullable(Bool)", pa.bool_()),
    "decimal": ("Nullable(Decimal(12, 2))", pa.decimal128(12, 2)),
    "instant": ("Nullable(DateTime64(6))", pa.timestamp("us", tz="UTC")),
}


def missing() -> str | None:
    """Why it cannot run here."""
    return None if find_spec("chdb") else "chdb is not installed (make test-engines installs it)"


class ClickHouse:
    """One writing connection of the suite's own; the adapter reads beside it, in the same process."""

    name = "clickhouse"
    cases = 200

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="metricdef-clickhouse-"))
        # A zone that is not UTC, so that a session that forgets its own is seen. The engine reads it as it is loaded.
        before = os.environ.get("TZ")
        os.environ["TZ"] = "America/Los_Angeles"
        try:
            import chdb

            self._admin = chdb.connect(str(self.folder))
        finally:
            del os.environ["TZ"]
            if before is not None:
                os.environ["TZ"] = before
        (zone,) = self.execute("SELECT serverTimezone()")[0]
        assert zone == "America/Los_Angeles"

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """As the owner: what the read-only adapter must not do."""
        answer = self._admin.query(statement, "ArrowStream").bytes()
        if not answer:
            return []
        return [tuple(row.values()) for row in pa.ipc.open_stream(answer).read_all().to_pylist()]

    def script(self, statements: Sequence[str]) -> None:
        """As a scheduler would: in order, on one connection that may write."""
        self.execute("CREATE DATABASE IF NOT EXISTS public")
        try:
            for statement in statements:
                self.execute(statement)
        finally:
            self.execute("SET session_timezone = DEFAULT")  # a file's settings end with its session

    def fill(self, tables: Mapping[str, Table]) -> None:
        self.execute("DROP DATABASE IF EXISTS public")
        for (name,) in self.execute("SELECT name FROM system.tables WHERE database = currentDatabase()"):
            self.execute(f'DROP TABLE "{name}"')
        for name, table in tables.items():
            columns = ", ".join(f'"{column}" {TYPES[kind][0]}' for column, kind in table.columns.items())
            self.execute(f'CREATE TABLE "{name}" ({columns}) ENGINE = MergeTree ORDER BY tuple()')
            self._insert(name, table)

    def _insert(self, name: str, table: Table) -> None:
        rows = pa.table(
            {
                column: pa.array([_value(row.get(column)) for row in table.rows], TYPES[kind][1])
                for column, kind in table.columns.items()
            }
        )
        file = self.folder / "rows.arrow"
        with pa.ipc.new_stream(file, rows.schema) as stream:
            stream.write_table(rows)
        self.execute(f"INSERT INTO \"{name}\" SELECT * FROM file('{file}', 'ArrowStream')")
        file.unlink()

    def profile(self, **options: Any) -> Profile:
        reach = {"path": str(self.folder)} | options
        return Profile("engine", "clickhouse", self.folder, reach, {}, reach)

    def stop(self) -> None:
        self._admin.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _value(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
