"""DuckDB: a file on a laptop, opened read-only."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from metricdef.errors import UsageError, WarehouseError, WarehouseTimeout, WarehouseUnavailable
from metricdef.warehouses.base import Session
from metricdef.warehouses.cost import Cost, nodes
from metricdef.warehouses.profile import Profile

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


Column = tuple[str, str | None]  # name and type; None for a column without any value
SMALL = 256 * 2**20  # bytes of a database file below which one thread is fast enough
ANSWER = "md_answer"  # no table of a project is called so: see `metricdef.compiler.render`


class DuckDBWarehouse:
    """A read-only connection to a DuckDB file."""

    dialect = "duckdb"

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, timeout: float | None = None, size: int | None = None
    ) -> None:
        self._connection = connection
        self._timeout = timeout
        self._size = size

    @classmethod
    def open(cls, profile: Profile, session: Session) -> Self:
        """Open the file named by `path`, relative to the project directory."""
        import duckdb

        if "path" not in profile.options:
            raise UsageError(
                f"profile `{profile.name}` has no path", ["add `path: data/warehouse.duckdb`, relative to the project"]
            )
        path = profile.root / str(profile.options["path"])
        if not path.is_file():
            raise UsageError(
                f"profile `{profile.name}`: there is no file {profile.written['path']}",
                ["check `path` in project.yml; it is taken from the project directory"],
            )
        try:
            # External access is off: a source's SQL reads this file's tables and nothing else on the machine.
            connection = duckdb.connect(str(path), read_only=True, config={"enable_external_access": "false"})
            connection.execute("SET TimeZone = 'UTC'")
            if path.stat().st_size < SMALL:
                # One thread adds in one order: the same run gives the same digits.
                connection.execute("SET threads = 1")
        except duckdb.Error as error:
            if "not a valid DuckDB" in str(error):
                raise UsageError(
                    f"profile `{profile.name}`: {profile.written['path']} is not a DuckDB database",
                    ["check `path` in project.yml"],
                ) from None
            raise WarehouseUnavailable(
                f"cannot open {profile.written['path']}: {profile.redact(_first_line(error))}",
                ["another program may hold it open for writing: try again when it is done"],
            ) from None
        return cls(connection, session.timeout, path.stat().st_size)

    @classmethod
    def holding(cls, tables: Mapping[str, tuple[Sequence[Column], Sequence[Sequence[str | None]]]]) -> Self:
        """A database in memory with these tables: columns, and rows of texts that are cast to the columns' types.

        Raises WarehouseError where a text cannot be cast.
        """
        import duckdb

        connection = duckdb.connect(":memory:", config={"enable_external_access": "false"})
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET threads = 1")
            for name, (columns, rows) in tables.items():
                _fill(connection, name, columns, rows)
        except duckdb.Error as error:
            connection.close()
            raise WarehouseError(f"DuckDB refused the rows: {_first_line(error)}") from None
        return cls(connection)

    def execute(self, statements: Sequence[str]) -> pa.Table:
        """Run statements in order; Arrow rows of the last, a query."""
        with self._running():
            for statement in statements[:-1]:
                self._connection.execute(statement)
            # A relation would be planned once to describe it and once more to run it; for the rows of a few arms,
            # planning is most of the time.
            self._connection.execute(f"CREATE OR REPLACE TEMPORARY TABLE {ANSWER} AS {statements[-1]}")
            return self._connection.table(ANSWER).to_arrow_table()

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Stops at the time limit, and says what DuckDB's errors mean."""
        import duckdb

        stop = None if self._timeout is None else threading.Timer(self._timeout, self._connection.interrupt)
        if stop:
            stop.start()
        try:
            yield
        except duckdb.InterruptException:
            if self._timeout is None:
                raise WarehouseTimeout("the query was cancelled") from None
            raise WarehouseTimeout(
                f"DuckDB took longer than {self._timeout:g} s",
                ["raise `query_timeout` in project.yml, or narrow the dates"],
            ) from None
        except duckdb.Error as error:
            raise WarehouseError(
                f"DuckDB refused the SQL: {_first_line(error)}", ["see it with `metricdef compile`"]
            ) from None
        except RuntimeError as error:
            if str(error) == "Query interrupted":  # what DuckDB makes of a signal
                raise KeyboardInterrupt from None
            raise
        finally:
            if stop:
                stop.cancel()

    def cost(self, statements: Sequence[str]) -> Cost:
        """Rows that it expects to read, and the size of the file: every table is read once."""
        with self._running():
            ((_, plan),) = self._connection.execute(f"EXPLAIN (FORMAT JSON) {statements[-1]}").fetchall()
        scans = [n for n in nodes(json.loads(plan), "children") if "Table" in n["extra_info"]]
        return Cost(self._size, {"rows": sum(float(n["extra_info"]["Estimated Cardinality"]) for n in scans)})

    def cancel(self) -> None:
        """Stop the statement that runs, from another thread."""
        import duckdb

        with suppress(duckdb.Error):  # closed by now
            self._connection.interrupt()

    def describe(self, relation: str) -> dict[str, str]:
        """Columns and their types."""
        import duckdb

        try:
            rows = self._connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
        except duckdb.Error as error:
            raise WarehouseError(_first_line(error)) from None
        return {str(row[0]): str(row[1]) for row in rows}

    def tables(self) -> list[str]:
        """Tables and views of the file."""
        rows = self._connection.execute(
            "SELECT CASE WHEN table_schema = 'main' THEN table_name ELSE table_schema || '.' || table_name END AS name"
            " FROM information_schema.tables ORDER BY name"
        ).fetchall()
        return [str(row[0]) for row in rows]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()


def _fill(
    connection: duckdb.DuckDBPyConnection, name: str, columns: Sequence[Column], rows: Sequence[Sequence[str | None]]
) -> None:
    """A view over typed rows. A column without a type is a NULL of no type, which every expression accepts."""
    held = _quoted(f"rows_of_{name}")
    typed = [(_quoted(column), kind) for column, kind in columns if kind is not None]
    connection.execute(
        f"CREATE TABLE {held} ({', '.join(['row_number BIGINT', *(f'c_{i} {k}' for i, (_, k) in enumerate(typed))])})"
    )
    values = ", ".join(["?", *(f"CAST(? AS {kind})" for _, kind in typed)])
    kept = [i for i, (_, kind) in enumerate(columns) if kind is not None]
    for number, row in enumerate(rows):
        connection.execute(f"INSERT INTO {held} VALUES ({values})", [number, *(row[i] for i in kept)])
    position = {column: f"c_{i}" for i, (column, _) in enumerate(typed)}
    shown = ", ".join(f"{position.get(_quoted(column), 'NULL')} AS {_quoted(column)}" for column, _ in columns)
    connection.execute(f"CREATE VIEW {_quoted(name)} AS SELECT {shown} FROM {held}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
