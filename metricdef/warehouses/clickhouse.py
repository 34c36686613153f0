"""ClickHouse embedded in the process (chdb), over a folder of its own format."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import sqlglot
from sqlglot import exp

from metricdef.compiler.dialects import dialect_table
from metricdef.errors import UsageError, WarehouseError, WarehouseTimeout, WarehouseUnavailable, suggest
from metricdef.warehouses.base import Session
from metricdef.warehouses.cost import Cost
from metricdef.warehouses.profile import Profile

if TYPE_CHECKING:
    import pyarrow as pa

OPTIONS = ("path",)
SMALL = 256 * 2**20  # bytes of tables below which one thread is fast enough
# What a limit of the folder's own settings would otherwise do: return the part that it came to.
_WHOLE = ("timeout", "read", "group_by", "sort", "join", "distinct", "set", "result", "transfer")
_TIMED_OUT, _CANCELLED = "Code: 159.", "Code: 394."
_UTC = ("UTC", "Etc/UTC", "Etc/UCT", "UCT", "Universal", "Etc/Universal", "Zulu", "Etc/Zulu", "GMT", "Etc/GMT")
_WRAPPER = re.compile(r"(?:Nullable|LowCardinality)\((.*)\)", re.DOTALL)
_MESSAGE = re.compile(r"(?:.*?Code: \d+\. )?(?:DB::Exception: )?(.*)", re.DOTALL)
_COPY = re.compile(r"[.:] In scope |\. Expected one of: ")
_FILLED = re.compile(r"(?:--[^\n]*\n|\s)*CREATE OR REPLACE TEMPORARY TABLE \w+ ENGINE = Memory AS\b")
_DRAINS = 3
_LONGEST = 300  # characters of the engine's reason


class ClickHouseWarehouse:
    """A read-only connection in UTC: it may fill temporary tables of its own, and change nothing else."""

    dialect = "clickhouse"

    def __init__(self, connection: Any, other: Any, profile: Profile) -> None:
        self._connection = connection
        self._other = other  # stops what the first one runs
        self._profile = profile
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._comment = "''"

    @classmethod
    def open(cls, profile: Profile, session: Session) -> Self:
        """Open the folder named by `path`. Raises UsageError or WarehouseUnavailable."""
        path = _folder(profile)
        engine = _engine(profile)
        try:
            connection, other = (engine.connect(f"file:{path}?mode=ro") for _ in range(2))
        except RuntimeError as error:
            raise _unavailable(profile, str(error)) from None
        warehouse = cls(connection, other, profile)
        try:
            warehouse._prepare(session)
        except WarehouseError:
            warehouse.close()
            raise
        return warehouse

    def _prepare(self, session: Session) -> None:
        for statement in dialect_table(self.dialect).session:
            self._run(statement)
        self._run("SET " + ", ".join(f"{name}_overflow_mode = 'throw'" for name in _WHOLE))
        # A mark of its own: several connections of one process may have one tag.
        comment = exp.Literal.string(f"{session.tag} {uuid4().hex[:8]}").sql(dialect="clickhouse")
        self._run(f"SET log_comment = {comment}")
        self._comment = comment
        size = self._rows("SELECT SUM(total_bytes) FROM system.tables WHERE database <> 'system'")[0][0]
        if (size or 0) < SMALL:
            # One thread adds in one order: the same run gives the same digits.
            self._run("SET max_threads = 1")
        if session.timeout is not None:
            self._run(f"SET max_execution_time = {session.timeout!r}")

    def execute(self, statements: Sequence[str]) -> pa.Table:
        """Run statements in order; Arrow rows of the last."""
        for statement in statements[:-1]:
            self._run(statement)
        return self._arrow(statements[-1])

    def cost(self, statements: Sequence[str]) -> Cost:
        """Rows that it expects to read, and their share of each table's size on disk.

        It says nothing of what is no MergeTree; such tables are read as a whole.
        """
        rows: Counter[tuple[str, str]] = Counter()
        for statement in statements:
            made = _FILLED.match(statement)
            query = statement[made.end() :] if made else statement
            for row in self._arrow(f"EXPLAIN ESTIMATE {query}").to_pylist():
                rows[row["database"], row["table"]] += row["rows"]
            for table in sqlglot.parse_one(query, read=self.dialect).find_all(exp.Table):
                rows[table.db, table.name] += 0
            if made:  # with its columns, and no rows
                self._run(f"{made[0].removesuffix('AS')}EMPTY AS{query}")
        found = self._rows(
            "SELECT database, name, database = currentDatabase(), engine, total_rows, total_bytes FROM system.tables"
            " WHERE NOT is_temporary AND engine <> 'View'"
        )
        read: list[float | None] = []
        for database, name, is_here, kind, total, size in found:
            keys = {(database, name), *([("", name)] if is_here else [])} & rows.keys()
            if keys and kind.endswith("MergeTree"):
                read.append(size * sum(rows[key] for key in keys) / total if total else 0)
            elif keys:
                read.append(size)
        told = {"rows": float(rows.total())}
        return Cost(None if None in read else math.ceil(sum(x or 0 for x in read)), told)

    def cancel(self) -> None:
        """Stop the statement that runs, from another thread."""
        with suppress(RuntimeError, AttributeError):  # closed by now
            self._other.query(f"KILL QUERY WHERE Settings['log_comment'] = {self._comment} ASYNC")

    def describe(self, relation: str) -> dict[str, str]:
        """Columns and the names of their types in standard SQL, where ClickHouse's own have others."""
        zone = self._rows("SELECT serverTimezone()")[0][0]
        end = dialect_table(self.dialect).statement_end
        rows = self._arrow(f"DESCRIBE TABLE (SELECT * FROM {relation}{end})").to_pylist()
        return {str(row["name"]): _standard(str(row["type"]), str(zone)) for row in rows}

    def tables(self) -> list[str]:
        """Tables and views outside the system's databases."""
        rows = self._rows(
            "SELECT if(database = currentDatabase(), name, concat(database, '.', name)) AS shown FROM system.tables"
            " WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema') AND NOT is_temporary"
            " ORDER BY shown"
        )
        return [str(row[0]) for row in rows]

    def close(self) -> None:
        """Close the connection; the process may open another folder then."""
        self._worker.shutdown()
        self._connection.close()
        self._other.close()

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def _run(self, statement: str) -> bytes:
        """The result of a statement as an Arrow stream; empty where it returns none."""
        # In a thread: the engine gives no signal a chance while it works.
        running = self._worker.submit(lambda: bytes(self._connection.query(statement, "ArrowStream").bytes()))
        try:
            return running.result()
        except RuntimeError as error:
            self._drain()
            raise self._refusal(str(error)) from None
        except BaseException:
            self.cancel()
            raise

    def _drain(self) -> None:
        """What a stopped statement had returned so far would stand before the next one's result."""
        for _ in range(_DRAINS):
            if bytes(self._connection.query("SELECT 1", "TabSeparated").bytes()) == b"1\n":
                return
        raise WarehouseUnavailable("ClickHouse mixes the results of two statements", ["run again"])

    def _arrow(self, statement: str) -> pa.Table:
        import pyarrow as pa

        with pa.ipc.open_stream(pa.py_buffer(self._run(statement))) as stream:
            return stream.read_all()

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self._arrow(statement).to_pylist()]

    def _refusal(self, error: str) -> WarehouseError:
        message = self._profile.redact(_reason(error))
        if _CANCELLED in error:
            return WarehouseTimeout("the query was cancelled")
        if _TIMED_OUT in error:
            return WarehouseTimeout(
                f"ClickHouse stopped the query: {message}",
                ["raise `query_timeout` in project.yml, or narrow the dates"],
            )
        return WarehouseError(f"ClickHouse refused the SQL: {message}", ["see it with `metricdef compile`"])


def _engine(profile: Profile) -> Any:
    """The embedded engine, loaded in UTC: what it reads without a zone, it reads in the zone it was loaded in."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    try:
        import chdb
    except ImportError:
        raise UsageError(
            f"profile `{profile.name}` needs embedded ClickHouse", ["pip install 'metricdef[clickhouse]'"]
        ) from None
    finally:
        del os.environ["TZ"]
        if before is not None:
            os.environ["TZ"] = before
    return chdb


def _folder(profile: Profile) -> Path:
    """The folder of the profile. Raises UsageError for other options, and where it holds no tables."""
    for key in profile.options:
        if key not in OPTIONS:
            similar = suggest(key, OPTIONS)
            raise UsageError(
                f"profile `{profile.name}`: embedded ClickHouse has no option `{key}`",
                [f"did you mean `{similar[0]}`?" if similar else f"options: {', '.join(OPTIONS)}"],
            )
    if "path" not in profile.options:
        raise UsageError(
            f"profile `{profile.name}` has no path", ["add `path: data/clickhouse`, relative to the project"]
        )
    path = profile.root / str(profile.options["path"])
    shown = profile.written.get("path", "path")
    if not (path / "metadata").is_dir():  # it would be made
        raise UsageError(
            f"profile `{profile.name}`: there is no ClickHouse folder {shown}",
            ["check `path` in project.yml; it is taken from the project directory, and is a folder that chdb wrote"],
        )
    if "?" in str(path):
        raise UsageError(f"profile `{profile.name}`: {shown} has a question mark in it", ["rename the folder"])
    return path


def _unavailable(profile: Profile, error: str) -> WarehouseUnavailable:
    shown = profile.written.get("path", "path")
    if "already initialized with path" in error:
        return WarehouseUnavailable(
            f"cannot open {shown}: this process has another ClickHouse folder open, and can have one only",
            ["close what reads it first, or run in a process of its own"],
        )
    if "Error initializing EmbeddedServer: . " in error:  # the reason goes to the standard error alone
        error = "another program has it open, or it is none of ClickHouse's"
    return WarehouseUnavailable(
        f"cannot open {shown}: {profile.redact(_reason(error))}", ["try again when the other program is done"]
    )


def _standard(kind: str, server_zone: str) -> str:
    """A type's name in standard SQL.

    A DateTime is an instant: without a zone of its own it is shown in the server's, and is a local time that could be
    read as another zone's only where that is UTC.
    """
    while match := _WRAPPER.fullmatch(kind):
        kind = match[1]
    if kind.startswith("DateTime"):
        zone = re.search(r"'([^']*)'", kind)
        return "TIMESTAMP" if zone is None and server_zone in _UTC else "TIMESTAMP WITH TIME ZONE"
    if kind.startswith(("FixedString", "Enum")):
        return "STRING"
    return kind.upper()


def _reason(error: str) -> str:
    """What the engine says, without its copy of the statement."""
    text = _MESSAGE.fullmatch(_COPY.split(error.strip())[0])
    reason = (text[1] if text else error).strip()
    return (reason.splitlines() or ["no reason given"])[0][:_LONGEST]
