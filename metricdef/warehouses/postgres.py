"""PostgreSQL 14 and later, through psycopg."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from metricdef.errors import UsageError, WarehouseError, WarehouseTimeout, WarehouseUnavailable, suggest
from metricdef.warehouses.base import Session
from metricdef.warehouses.cost import Cost, nodes
from metricdef.warehouses.profile import Profile
from metricdef.warehouses.retry import retry

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

# What a profile may say, and libpq's name for it. What it leaves out comes from PG* variables, a service or ~/.pgpass.
OPTIONS = {
    "host": "host",
    "port": "port",
    "user": "user",
    "password": "password",
    "database": "dbname",
    "service": "service",
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
    "sslcert": "sslcert",
    "sslkey": "sslkey",
    "connect_timeout": "connect_timeout",
}
CONNECT_TIMEOUT = 10  # seconds
CHECK_CLIENT = 2000  # milliseconds
_TAG_BYTES = 63  # application_name is cut there
# A server that starts or stops, or has no slot left; a connection that broke on the way.
_TRANSIENT = ("57P01", "57P02", "57P03", "53300", "08000", "08001", "08003", "08004", "08006")


class PostgresWarehouse:
    """A read-only session in UTC."""

    dialect = "postgres"

    def __init__(self, connection: psycopg.Connection[Any], profile: Profile) -> None:
        self._connection = connection
        self._profile = profile

    @classmethod
    def open(cls, profile: Profile, session: Session) -> Self:
        """Connect with the profile's options. Raises UsageError or WarehouseUnavailable."""
        try:
            import psycopg
            from psycopg.types.numeric import FloatLoader
        except ImportError:
            raise UsageError(
                f"profile `{profile.name}` needs the PostgreSQL driver", ["pip install 'metricdef[postgres]'"]
            ) from None
        options = _options(profile)
        # A role's own settings could change what a literal says, and the last digits of a sum.
        settings = [
            "-c default_transaction_read_only=on",
            "-c timezone=UTC",
            "-c standard_conforming_strings=on",
            "-c extra_float_digits=1",
            # A query whose client is gone would run to its end.
            f"-c client_connection_check_interval={CHECK_CLIENT}",
        ]
        if session.timeout is not None:
            settings.append(f"-c statement_timeout={max(1, round(session.timeout * 1000))}")
        tag = session.tag.encode()[:_TAG_BYTES].decode(errors="ignore")
        try:
            connection = retry(
                lambda: psycopg.connect(
                    **{"connect_timeout": CONNECT_TIMEOUT, **options},
                    application_name=tag,
                    options=" ".join(settings),
                    client_encoding="utf8",
                    autocommit=True,
                ),
                _is_transient,
            )
        except psycopg.Error as error:
            raise WarehouseUnavailable(
                f"cannot connect to PostgreSQL with profile `{profile.name}`: {profile.redact(_first_line(error))}",
                ["check the profile in project.yml, the PG* variables and that the server runs"],
            ) from None
        connection.adapters.register_loader("numeric", FloatLoader)
        return cls(connection, profile)

    def execute(self, statements: Sequence[str]) -> pa.Table:
        """Run statements in order; rows of the last."""
        import psycopg
        import pyarrow as pa

        try:
            with self._connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement.encode())
                names = [column.name for column in cursor.description or ()]
                rows = cursor.fetchall()
        except psycopg.Error as error:
            raise self._refusal(error) from None
        except KeyboardInterrupt:
            self.cancel()
            raise
        return pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})

    def cost(self, statements: Sequence[str]) -> Cost:
        """The planner's rows and cost, and the size on disk of every table that it scans, as often as it does."""
        (found,) = self.execute([f"EXPLAIN (FORMAT JSON, VERBOSE) {statements[-1]}"]).to_pylist()
        plan = found["QUERY PLAN"][0]["Plan"]
        scans = [node for node in nodes(plan, "Plans") if node.get("Relation Name")]
        told = {"rows": float(sum(node["Plan Rows"] for node in scans)), "planner's cost": float(plan["Total Cost"])}
        if any(node["Node Type"] == "Foreign Scan" for node in nodes(plan, "Plans")):
            return Cost(None, told)
        names = ", ".join(f"({_literal(n['Schema'])}, {_literal(n['Relation Name'])})" for n in scans)
        size = "SUM(PG_TABLE_SIZE(FORMAT('%I.%I', s, t)::REGCLASS))::BIGINT"
        (sizes,) = self.execute([f"SELECT {size} AS read FROM (VALUES {names}) AS scans (s, t)"]).to_pylist()
        return Cost(int(sizes["read"]), told)

    def cancel(self) -> None:
        """Stop the statement that runs, also from another thread."""
        self._connection.cancel_safe(timeout=5)

    def describe(self, relation: str) -> dict[str, str]:
        """Columns and PostgreSQL's names of their types."""
        import psycopg

        try:
            with self._connection.cursor() as cursor:
                cursor.execute(f"SELECT * FROM {relation} LIMIT 0".encode())
                return {column.name: column.type_display for column in cursor.description or ()}
        except psycopg.Error as error:
            raise self._refusal(error) from None

    def tables(self) -> list[str]:
        """Tables and views outside the system's schemas."""
        rows = self._connection.execute(
            "SELECT CASE WHEN table_schema = CURRENT_SCHEMA() THEN table_name ELSE table_schema || '.' || table_name END"
            " AS name FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY name"
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

    def _refusal(self, error: psycopg.Error) -> WarehouseError | WarehouseUnavailable:
        message = self._profile.redact(_first_line(error))
        if error.sqlstate == "57014":
            return WarehouseTimeout(
                f"PostgreSQL stopped the query: {message}",
                ["raise `query_timeout` in project.yml, or narrow the dates"],
            )
        if self._connection.broken or _is_transient(error):
            return WarehouseUnavailable(
                f"the connection to PostgreSQL was lost: {message}", ["nothing was written; run again"]
            )
        return WarehouseError(f"PostgreSQL refused the SQL: {message}", ["see it with `metricdef compile`"])


def _options(profile: Profile) -> dict[str, Any]:
    """The profile's options by libpq's names. Raises UsageError for one that there is not."""
    for key in profile.options:
        if key not in OPTIONS:
            similar = suggest(key, OPTIONS)
            raise UsageError(
                f"profile `{profile.name}`: PostgreSQL has no option `{key}`",
                [f"did you mean `{similar[0]}`?" if similar else f"options: {', '.join(OPTIONS)}"],
            )
    return {OPTIONS[key]: value for key, value in profile.options.items()}


def _is_transient(error: Exception) -> bool:
    """Whether it may pass by itself: not a wrong password or name."""
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return state in _TRANSIENT
    text = str(error).lower()  # no state: the server did not answer
    return any(words in text for words in ("connection refused", "timeout", "closed the connection", "starting up"))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
