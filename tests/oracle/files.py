"""Writes a case to disk: the project as YAML files, the tables as a DuckDB file."""

from __future__ import annotations

from pathlib import Path

from databases import filling

from .oracle import Case

DUCKDB_TYPES = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "double": "DOUBLE",
    "timestamp": "TIMESTAMP",
    "boolean": "BOOLEAN",
}


def write_project(case: Case, directory: Path | str) -> Path:
    """One YAML file per entry of the definitions, under directory/metrics; returns that folder."""
    import yaml

    folder = Path(directory) / "metrics"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in case.definitions.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return folder


def write_warehouse(case: Case, path: Path | str) -> Path:
    """A DuckDB file with the case's tables; it must not exist yet."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with filling(path) as connection:
        connection.execute("BEGIN")
        for name, table in case.tables.items():
            columns = ", ".join(f'"{column}" {DUCKDB_TYPES[kind]}' for column, kind in table.columns.items())
            connection.execute(f'CREATE TABLE "{name}" ({columns})')
            if table.rows:
                row = "(" + ", ".join("?" for _ in table.columns) + ")"
                values = [given.get(column) for given in table.rows for column in table.columns]
                connection.execute(f'INSERT INTO "{name}" VALUES ' + ", ".join([row] * len(table.rows)), values)
        connection.execute("COMMIT")
    return path
