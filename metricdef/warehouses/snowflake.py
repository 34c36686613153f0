"""Snowflake, through its Python connector: what 4.x and 5.x have in common."""

from __future__ import annotations

import contextlib
import math
import os
import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from metricdef.errors import MetricdefError, UsageError, WarehouseError, WarehouseTimeout, WarehouseUnavailable, suggest
from metricdef.warehouses.base import Session
from metricdef.warehouses.cost import Cost, named_query, snowflake_cost
from metricdef.warehouses.profile import Profile

if TYPE_CHECKING:
    import pyarrow as pa
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.errors import Error

# What a profile may say: the connector takes any word without complaint, a misspelt one too.
OPTIONS = (
    *("account", "user", "password", "authenticator", "role", "warehouse", "database", "schema"),
    *("host", "port", "protocol", "login_timeout", "connection_name", "connections_file_path"),
    *("private_key_file", "private_key_file_pwd", "token", "token_file_path", "passcode", "passcode_in_password"),
    *("oauth_client_id", "oauth_client_secret", "oauth_authorization_url", "oauth_token_request_url"),
    *("oauth_redirect_uri", "oauth_scope", "workload_identity_provider", "workload_identity_entra_resource"),
    *("client_store_temporary_credential", "proxy_host", "proxy_port", "proxy_user", "proxy_password", "no_proxy"),
)
FILES = ("private_key_file", "token_file_path", "connections_file_path")
NUMBERS = ("port", "login_timeout")
SECRETS = ("password", "private_key_file_pwd", "token", "passcode", "oauth_client_secret", "proxy_password")

# Whatever the account, the user or connections.toml say: zones, formats and a row limit could change a number.
SETTINGS: dict[str, str | int] = {
    "TIMEZONE": "UTC",
    "DATE_INPUT_FORMAT": "AUTO",
    "DATE_OUTPUT_FORMAT": "YYYY-MM-DD",
    "TIMESTAMP_INPUT_FORMAT": "AUTO",
    "TIMESTAMP_NTZ_OUTPUT_FORMAT": "YYYY-MM-DD HH24:MI:SS.FF9",
    "ROWS_PER_RESULTSET": 0,
}
# Types by the number that the connector gives them.
TYPES = (
    *("NUMBER", "FLOAT", "TEXT", "DATE", "TIMESTAMP", "VARIANT", "TIMESTAMP_LTZ", "TIMESTAMP_TZ", "TIMESTAMP_NTZ"),
    *("OBJECT", "ARRAY", "BINARY", "TIME", "BOOLEAN", "GEOGRAPHY", "GEOMETRY", "VECTOR", "MAP", "FILE"),
)
TAG_LENGTH = 2000  # Snowflake refuses a longer one
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0  # seconds between questions whether a statement is done
UNKNOWN = 30  # questions in a row that Snowflake has no answer to before we give up

_PREFIX = re.compile(r"^(?:\d{6} \(\w{5}\): |\d{6}: |[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}: )+")
_STOPPED = "57014"
_NO_WAREHOUSE = (606, 90073)  # none chosen or it does not run; its quota is used up
_NO_SCHEMA = (90105, 90106)
_NO_PRIVILEGE = 3001


class SnowflakeWarehouse:
    """A session in UTC that makes nothing but temporary tables."""

    dialect = "snowflake"

    def __init__(self, connection: SnowflakeConnection, profile: Profile, timeout: float | None = None) -> None:
        self._connection = connection
        self._profile = profile
        self._timeout = timeout
        self._stop = threading.Event()

    @classmethod
    def open(cls, profile: Profile, session: Session) -> Self:
        """Connect with the profile's options. Raises UsageError or WarehouseUnavailable.

        The connector tries again by itself what fails for a moment, until `login_timeout`.
        """
        import snowflake.connector
        from snowflake.connector.errors import Error

        arguments = _arguments(profile, int(snowflake.connector.__version__.partition(".")[0]))
        try:
            connection = snowflake.connector.connect(**arguments)
        except (Error, OSError, TypeError, ValueError) as error:
            raise _no_connection(profile, error) from None
        opened = cls(connection, profile, session.timeout)
        try:
            opened._set_up(session)
        except BaseException:
            opened.close()
            raise
        return opened

    def _set_up(self, session: Session) -> None:
        settings = {**SETTINGS, "QUERY_TAG": session.tag[:TAG_LENGTH]}
        if session.timeout is not None:
            settings["STATEMENT_TIMEOUT_IN_SECONDS"] = max(1, math.ceil(session.timeout))
        words = ", ".join(f"{key} = {_literal(value)}" for key, value in settings.items())
        self._ask(f"ALTER SESSION SET {words}")

    def execute(self, statements: Sequence[str]) -> pa.Table:
        """Run statements in order; Arrow rows of the last, numbers as float64 or int64, names in lower case.

        In a thread, which gets no signals: the connector may swallow a Ctrl-C that arrives while it works.
        """
        from snowflake.connector.errors import Error

        self._stop = threading.Event()
        with ThreadPoolExecutor(max_workers=1) as pool:
            rows = pool.submit(self._run, statements, self._stop)
            try:
                return _plain(rows.result())
            except KeyboardInterrupt:
                self.cancel()
                raise  # when the statement is aborted, which leaving the pool waits for
            except Error as error:
                raise self._refusal(error) from None

    def cost(self, statements: Sequence[str]) -> Cost:
        """Bytes and partitions by EXPLAIN, statement by statement; the temporary tables between them are made empty."""
        costs = []
        for name, query in map(named_query, statements):
            (row,) = self._ask(f"EXPLAIN USING JSON {query}")
            costs.append(snowflake_cost(next(iter(row.values())), query))
            if name is not None:
                columns = ", ".join(f"{column} {kind}" for column, kind in self.describe(f"(\n{query}\n)").items())
                self._ask(f"CREATE OR REPLACE TEMPORARY TABLE {name} ({columns})")
        sizes = [size for size, _ in costs]
        read = None if None in sizes else sum(size or 0 for size in sizes)
        return Cost(read, {"partitions": sum(partitions for _, partitions in costs)})

    def cancel(self) -> None:
        """Stop the statement that runs, also from another thread."""
        self._stop.set()

    def _run(self, statements: Sequence[str], stop: threading.Event) -> pa.Table:
        from snowflake.connector.errors import Error

        with self._connection.cursor() as cursor:
            for statement in statements:
                # A call that blocks until the statement is done could not be stopped.
                query = str(cursor.execute_async(statement)["queryId"])
                try:
                    failed = self._wait(query, stop)
                except (WarehouseTimeout, WarehouseUnavailable, Error):
                    self._abort(query)  # also where nobody says how it goes: it may go on
                    raise
                if failed:
                    cursor.query_result(query)  # raises with the reason
                    self._connection.get_query_status_throw_if_error(query)
            cursor.query_result(query)
            return cursor.fetch_arrow_all(force_return_table=True)

    def _wait(self, query: str, stop: threading.Event) -> bool:
        """Whether the statement failed, when it is done. Raises WarehouseTimeout, also where it is to stop."""
        started, pause, unknown = time.monotonic(), FIRST_PAUSE, 0
        while True:
            status = self._connection.get_query_status(query)
            if not self._connection.is_still_running(status):
                return bool(self._connection.is_an_error(status))
            unknown = unknown + 1 if status.name == "NO_DATA" else 0
            if unknown > UNKNOWN:
                raise WarehouseUnavailable(f"Snowflake says nothing about the query {query}", ["run again"])
            if self._timeout is not None:
                left = started + self._timeout - time.monotonic()
                if left <= 0:
                    raise _timeout(f"it took longer than {self._timeout:g} s")
                pause = min(pause, left)
            if stop.wait(pause):
                raise WarehouseTimeout("the query was cancelled")
            pause = min(1.5 * pause, LONGEST_PAUSE)

    def _abort(self, query: str) -> None:
        from snowflake.connector.errors import Error

        with contextlib.suppress(Error), self._connection.cursor() as cursor:
            cursor.abort_query(query)

    def _ask(self, statement: str) -> list[dict[str, Any]]:
        """Rows of a statement that takes no time and no warehouse."""
        from snowflake.connector.errors import Error

        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement)
                names = [_name(column.name) for column in cursor.description or ()]
                return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except Error as error:
            raise self._refusal(error) from None

    def describe(self, relation: str) -> dict[str, str]:
        """Columns and Snowflake's names of their types; needs no warehouse."""
        from snowflake.connector.errors import Error

        try:
            with self._connection.cursor() as cursor:
                found = cursor.describe(f"SELECT * FROM {relation}") or ()
        except Error as error:
            raise self._refusal(error) from None
        return {_name(column.name): _type(column) for column in found}

    def tables(self) -> list[str]:
        """Tables and views of the database."""
        rows = self._ask("SHOW TERSE OBJECTS")
        here = str(self._connection.schema or "").upper()
        found = [
            (str(row["schema_name"]), str(row["name"])) for row in rows if row["schema_name"] != "INFORMATION_SCHEMA"
        ]
        return sorted(_name(name) if schema == here else f"{_name(schema)}.{_name(name)}" for schema, name in found)

    def close(self) -> None:
        """Log out; temporary tables go with the session."""
        from snowflake.connector.errors import Error

        with contextlib.suppress(Error):
            self._connection.close()

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def _refusal(self, error: Error) -> MetricdefError:
        message = _message(self._profile, error)
        if error.sqlstate == _STOPPED:
            return _timeout(message)
        if error.errno in _NO_WAREHOUSE:
            return WarehouseUnavailable(
                f"Snowflake has no warehouse to run on: {message}",
                ["`warehouse` of the profile must name one that the role may use and that runs or may be resumed"],
            )
        if error.errno in _NO_SCHEMA:
            return UsageError(
                f"profile `{self._profile.name}`: {message}",
                ["set `database` and `schema`, where the role may create temporary tables"],
            )
        if _is_lost(error):
            return WarehouseUnavailable(
                f"the connection to Snowflake was lost: {message}", ["nothing was kept; run again"]
            )
        help_ = ["see it with `metricdef compile`"]
        if error.sfqid:
            help_.append(f"Snowflake's query history has it as {error.sfqid}")
        if error.errno == _NO_PRIVILEGE:
            help_.insert(0, "the role reads the sources and has CREATE TABLE on the schema, for temporary tables")
        return WarehouseError(f"Snowflake refused the SQL: {message}", help_)


def _arguments(profile: Profile, version: int) -> dict[str, Any]:
    """What the connector is called with. Raises UsageError for an option that there is not."""
    options = {key: _option(profile, key) for key in profile.options}
    if not {"account", "host", "connection_name"} & set(options):
        options["connection_name"] = os.environ.get("SNOWFLAKE_DEFAULT_CONNECTION_NAME") or "default"
    if version >= 5 and "private_key_file_pwd" in options:
        options["private_key_password"] = options.pop("private_key_file_pwd")
    # Logging out ends what may still run.
    session = {"server_session_keep_alive": False, "enable_server_session_keep_alive_auto_detection": False}
    return {"application": "metricdef", **session, **options}


def _option(profile: Profile, key: str) -> Any:
    value = profile.options[key]
    if key not in OPTIONS:
        similar = suggest(key, OPTIONS)
        raise UsageError(
            f"profile `{profile.name}`: Snowflake has no option `{key}`",
            [f"did you mean `{similar[0]}`?" if similar else f"options: {', '.join(OPTIONS)}"],
        )
    if key in FILES:
        path = profile.root / Path(str(value)).expanduser()
        if not path.is_file():
            raise UsageError(
                f"profile `{profile.name}`: `{key}` names no file: {profile.written.get(key, value)}",
                ["a relative path is taken from the project directory"],
            )
        return str(path)
    if key in NUMBERS:
        if not str(value).isdigit():
            raise UsageError(f"profile `{profile.name}`: `{key}` must be a whole number")
        return int(value)
    return value


def _no_connection(profile: Profile, error: Exception) -> UsageError | WarehouseUnavailable:
    from snowflake.connector.errors import ProgrammingError

    if isinstance(error, ProgrammingError | TypeError | ValueError):
        return UsageError(
            f"profile `{profile.name}`: the Snowflake connector refused it: {_message(profile, error)}",
            ["check the profile in project.yml, and connections.toml if it names a connection"],
        )
    return WarehouseUnavailable(
        f"cannot connect to Snowflake with profile `{profile.name}`: {_message(profile, error)}",
        ["check account, user, password or key in the profile, and that the network may reach Snowflake"],
    )


def _is_lost(error: Error) -> bool:
    """Whether the connection, the session or the login is at fault, not the statement."""
    from snowflake.connector.errors import InterfaceError, InternalError, OperationalError

    if isinstance(error, InterfaceError | InternalError | OperationalError):
        return True
    return str(error.sqlstate or "").startswith("08") or 390000 <= int(error.errno or 0) < 391000


def _timeout(reason: str) -> WarehouseTimeout:
    return WarehouseTimeout(
        f"Snowflake stopped the query: {reason}", ["raise `query_timeout` in project.yml, or narrow the dates"]
    )


def _message(profile: Profile, error: Exception) -> str:
    """What the connector says in one line, without codes and secrets."""
    text = " ".join(str(getattr(error, "msg", error)).split()) or type(error).__name__
    text = profile.redact(_PREFIX.sub("", text))
    for key in SECRETS:
        secret = str(profile.options.get(key) or "")
        if secret:
            text = text.replace(secret, "***")
    return text


def _literal(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _name(name: str) -> str:
    """As it is written unquoted."""
    return name.lower() if name == name.upper() else name


def _type(column: Any) -> str:
    kind = TYPES[column.type_code] if column.type_code < len(TYPES) else "UNKNOWN"
    return f"NUMBER({column.precision},{column.scale})" if kind == "NUMBER" else kind


def _plain(table: pa.Table) -> pa.Table:
    import pyarrow as pa

    return pa.table([_column(column) for column in table.columns], names=[_name(name) for name in table.column_names])


def _column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers as int64 where they fit, else as float64: Snowflake's come as decimals of any width."""
    import pyarrow as pa

    if pa.types.is_integer(column.type) or (pa.types.is_decimal(column.type) and column.type.scale == 0):
        with contextlib.suppress(pa.ArrowInvalid):
            return column.cast(pa.int64())
    if pa.types.is_decimal(column.type):
        return column.cast(pa.float64())
    return column
