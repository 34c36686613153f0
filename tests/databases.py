"""DuckDB files, filled through one connection: an instance of DuckDB takes longer to start than most tables to write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import duckdb


@cache
def _instance() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


@contextmanager
def filling(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that reads and writes the file at `path`, which is made where it is missing, and closed afterwards."""
    connection = _instance().cursor()
    quoted = str(path).replace("'", "''")
    connection.execute(f"ATTACH '{quoted}' AS filled")
    try:
        connection.execute("USE filled")
        yield connection
    finally:
        connection.close()
        _instance().execute("DETACH filled")
