"""DuckDB over a file, which the adapter opens read-only."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
from oracle.reading import Table

from metricdef.warehouses import Profile

TYPES = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "double": "DOUBLE",
    "timestamp": "TIMESTAMP",
    "boolean": "BOOLEAN",
    "decimal": "DECIMAL(12, 2)",
    "instant": "TIMESTAMPTZ",
}


def missing() -> str | None:
    """Why it cannot run here: it is always there."""
    return None


class DuckDB:
    """One file; generated cases run on it elsewhere (tests/compiler)."""

    name = "duckdb"
    cases = 0

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="metricdef-duckdb-"))
        self.path = self.folder / "warehouse.duckdb"

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """In a session of its own, in a zone that is not UTC."""
        with duckdb.connect(str(self.path)) as connection:
            connection.execute("SET TimeZone = 'America/Los_Angeles'")
            return connection.execute(statement).fetchall()

    def fill(self, tables: Mapping[str, Table]) -> None:
        self.path.unlink(missing_ok=True)
        with duckdb.connect(str(self.path)) as connection:
            for name, table in tables.items():
                columns = ", ".join(f'"{column}" {TYPES[kind]}' for column, kind in table.columns.items())
                connection.execute(f'CREATE TABLE "{name}" ({columns})')
                marks = ", ".join("?" for _ in table.columns)
                for row in table.rows:
                    values = [row.get(column) for column in table.columns]
                    connection.execute(f'INSERT INTO "{name}" VALUES ({marks})', values)

    def profile(self, **options: Any) -> Profile:
        reach = {"path": self.path.name} | options
        return Profile("engine", "duckdb", self.folder, reach, {}, reach)

    def stop(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
