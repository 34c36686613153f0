"""Spark 4 and Databricks, through pyspark: a Spark Connect server, a cluster, or Spark in this process."""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import sqlglot
from sqlglot import exp

from metricdef.errors import UsageError, WarehouseError, WarehouseTimeout, WarehouseUnavailable, suggest
from metricdef.warehouses.base import Session
from metricdef.warehouses.cost import Cost, spark_bytes
from metricdef.warehouses.profile import Profile
from metricdef.warehouses.retry import retry

if TYPE_CHECKING:
    import pyarrow as pa

OPTIONS = ("remote", "token", "master", "tables", "catalog", "schema")
# What the compiled SQL relies on, whatever the cluster's defaults are (the dialect says why).
SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.ansi.enforceReservedKeywords": "false",
    "spark.sql.ansi.doubleQuotedIdentifiers": "false",
    "spark.sql.caseSensitive": "false",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.variable.substitute": "false",
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",
}
# Of a Spark that this process starts.
_QUIET = {"spark.log.level": "ERROR", "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
# Of one on this machine alone: 200 parts of every step, as Spark has them, are for a cluster.
_LOCAL = {
    "spark.sql.shuffle.partitions": "8",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}
_STARTING = threading.Lock()
_users: dict[Any, int] = {}  # contexts that were started here, with the number of sessions on them
_CANCEL_AGAIN = 0.2  # seconds; between two jobs of a statement there is nothing to cancel
_PORT = 15002  # of Spark Connect
_CONNECT_TIMEOUT = 10  # seconds
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHOW = re.compile(r"SHOW TABLES IN [\w.`-]+")
_CACHE = re.compile(r"(?:--[^\n]*\n|\s)*CACHE TABLE (\w+) AS\b")
_TOKEN = re.compile(r"(token=)[^;]*")


class SparkWarehouse:
    """A session of its own in UTC, that reads and caches and writes nothing."""

    dialect = "spark"

    def __init__(self, spark: Any, profile: Profile, session: Session, context: Any = None) -> None:
        self._spark = spark
        self._profile = profile
        self._session = session
        self._context = context  # None: Spark Connect
        self._cancelled = threading.Event()
        self._kept: dict[str, Any] = {}
        self._group = f"metricdef-{uuid.uuid4()}"

    @classmethod
    def open(cls, profile: Profile, session: Session) -> Self:
        """Connect to `remote`, or run on `master`. Raises UsageError or WarehouseUnavailable."""
        _import_driver(profile)
        options = _options(profile)
        try:
            spark, context = _connect(profile, options)
        except _failures() as error:
            raise _unreachable(profile, error) from None
        opened = cls(spark, profile, session, context)
        try:
            opened._prepare(options)
        except _failures() as error:
            opened.close()
            raise WarehouseUnavailable(
                f"Spark with profile `{profile.name}`: {opened._said(error)}", ["check the profile in project.yml"]
            ) from None
        except BaseException:
            opened.close()
            raise
        return opened

    def _prepare(self, options: Mapping[str, str]) -> None:
        for key, value in SETTINGS.items():
            self._spark.conf.set(key, value)
        if "catalog" in options:
            self._spark.catalog.setCurrentCatalog(options["catalog"])
        if "schema" in options:
            self._spark.catalog.setCurrentDatabase(options["schema"])
        if "tables" in options:
            for name, path in _files(self._profile, options["tables"]).items():
                self._spark.read.parquet(str(path)).createOrReplaceTempView(name)

    def execute(self, statements: Sequence[str]) -> pa.Table:
        """Run statements in order; Arrow rows of the last. What they cached is given back."""
        parts = [_read_only(statement) for statement in statements]
        self._cancelled.clear()
        with self._limit() as expired:
            try:
                self._label()
                for name, query in parts[:-1]:
                    self._keep(str(name), query)
                    self._stop_if(expired)
                found: pa.Table = self._spark.sql(parts[-1][1]).toArrow()
            except _failures() as error:
                self._stop_if(expired)
                raise _interrupt_before(error) or self._refusal(error) from None
            except KeyboardInterrupt:
                self.cancel()
                raise
            finally:
                self._forget()
        return found

    def cost(self, statements: Sequence[str]) -> Cost:
        """Sizes of the tables and files that are read, as the optimizer knows them without the partitions that it prunes."""
        sizes, names = [], []
        try:
            for name, query in map(_read_only, statements):
                (explained,) = self._spark.sql(f"EXPLAIN COST {query}").collect()
                sizes.append(spark_bytes(explained[0]))
                if name is not None:
                    # A row that nobody knows: an empty one would be planned away, and with it what is joined to it.
                    fields = self._spark.sql(query).schema.fields
                    unknown = "FROM_JSON(CAST(RAND() AS STRING), 'x {}').x AS {}"
                    columns = ", ".join(unknown.format(f.dataType.simpleString(), f.name) for f in fields)
                    self._spark.sql(f"SELECT {columns} FROM RANGE(1)").createOrReplaceTempView(name)
                    names.append(name)
            for name in names:
                self._spark.catalog.dropTempView(name)
        except _failures() as error:
            raise self._refusal(error) from None
        return Cost(None if None in sizes else sum(size or 0 for size in sizes), {})

    def _keep(self, name: str, query: str) -> None:
        """CACHE TABLE, without the plan of the query behind it.

        Spark keeps a cached table's plan, and analyses it again for every reference to it. Tables of tables of tables
        take minutes that way, and all of the driver's memory. A local checkpoint is the rows alone.
        """
        rows = self._spark.sql(query).localCheckpoint()
        rows.createOrReplaceTempView(name)
        self._kept[name] = rows

    def describe(self, relation: str) -> dict[str, str]:
        """Columns and Spark's names of their types; TIMESTAMP, an instant, by its longer name TIMESTAMP_LTZ."""
        statement = f"SELECT * FROM {relation}"
        _read_only(statement)
        try:
            fields = self._spark.sql(statement).schema.fields
        except _failures() as error:
            raise self._refusal(error) from None
        names = {field.name: field.dataType.simpleString().upper() for field in fields}
        return {name: "TIMESTAMP_LTZ" if kind == "TIMESTAMP" else kind for name, kind in names.items()}

    def tables(self) -> list[str]:
        """Tables and views of the current schema."""
        try:
            return sorted({str(row["tableName"]) for row in self._spark.sql("SHOW TABLES").collect()})
        except _failures() as error:
            raise self._refusal(error) from None

    def close(self) -> None:
        """Give the session back."""
        with suppress(*_failures()):
            _disconnect(self._spark, self._context)

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def _label(self) -> None:
        """What the cluster shows beside the jobs, and by what they are cancelled."""
        if self._context is None:
            self._spark.addTag(self._group)
            self._spark.addTag(self._session.tag.replace(",", " "))
        else:
            self._context.setJobGroup(self._group, self._session.tag, interruptOnCancel=True)

    def cancel(self) -> None:
        """Stop the statement that runs, also from another thread."""
        self._cancelled.set()
        self._cancel_jobs()

    def _cancel_jobs(self) -> None:
        with suppress(*_failures()):
            if self._context is None:
                self._spark.interruptTag(self._group)
            else:
                self._context.cancelJobGroup(self._group)

    @contextmanager
    def _limit(self) -> Iterator[threading.Event]:
        """An event that is set after the session's timeout; from then on every job is cancelled."""
        expired, done = threading.Event(), threading.Event()

        def watch() -> None:
            if done.wait(self._session.timeout):
                return
            expired.set()
            while not done.wait(_CANCEL_AGAIN):
                self._cancel_jobs()

        watcher = threading.Thread(target=watch, daemon=True)
        if self._session.timeout is not None:
            watcher.start()
        try:
            yield expired
        finally:
            done.set()
            if watcher.is_alive():
                watcher.join()

    def _stop_if(self, expired: threading.Event) -> None:
        if expired.is_set():
            raise WarehouseTimeout(
                f"Spark took longer than {self._session.timeout:g} s",
                ["raise `query_timeout` in project.yml, or narrow the dates"],
            ) from None
        if self._cancelled.is_set():
            raise WarehouseTimeout("the query was cancelled") from None

    def _forget(self) -> None:
        """Give back what is kept."""
        with suppress(*_failures()):
            while self._kept:
                name, rows = self._kept.popitem()
                self._spark.catalog.dropTempView(name)
                if self._context is not None:  # Spark Connect does it when nothing refers to the rows
                    rows._jdf.logicalPlan().rdd().unpersist(False)  # noqa: SLF001 - no public way

    def _refusal(self, error: Exception) -> WarehouseError | WarehouseUnavailable:
        if _is_lost(error):
            return WarehouseUnavailable(
                f"the connection to Spark was lost: {self._said(error)}", ["nothing was written; run again"]
            )
        return WarehouseError(f"Spark refused the SQL: {self._said(error)}", ["see it with `metricdef compile`"])

    def _said(self, error: Exception) -> str:
        return _TOKEN.sub(r"\1***", self._profile.redact(_first_line(error)))


def _import_driver(profile: Profile) -> None:
    try:
        with _without_advice():
            import pyspark.sql
            import pyspark.sql.session  # noqa: F401 - is it there, and its advice is given on import
    except ImportError:
        raise UsageError(f"profile `{profile.name}` needs pyspark", ["pip install 'metricdef[spark]'"]) from None


def _connect(profile: Profile, options: Mapping[str, str]) -> tuple[Any, Any]:
    """A session, and the context of jobs where they run for this process."""
    if "remote" in options:
        return _remote(profile, options), None
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    with _STARTING:
        running = SparkContext._active_spark_context  # noqa: SLF001 - there is no public way to ask without starting one
        if running is not None:
            if options.get("master", running.master) != running.master:
                raise UsageError(
                    f"profile `{profile.name}`: this process already runs Spark on {running.master}",
                    ["stop that first, or leave `master` out to use it"],
                )
            if running in _users:
                _users[running] += 1
            return SparkSession(running).newSession(), running
        builder = SparkSession.builder.appName("metricdef")
        master = options.get("master", "local[*]")
        for key, value in {**_QUIET, **(_LOCAL if master.startswith("local") else {}), "spark.master": master}.items():
            builder = builder.config(key, value)
        with _without_advice():
            spark = builder.getOrCreate()
        _users[spark.sparkContext] = 1
        return spark.newSession(), spark.sparkContext


def _disconnect(spark: Any, context: Any) -> None:
    """Stop what was started for this session; a Spark that ran before goes on, and one that others use."""
    if context is None:
        spark.stop()
        return
    with _STARTING:
        if context in _users:
            _users[context] -= 1
            if _users[context] == 0:
                del _users[context]
                spark.stop()


def _remote(profile: Profile, options: Mapping[str, str]) -> Any:
    address = options["remote"]
    if "token" in options:
        address += f"{'' if '/;' in address else '/'};token={options['token']}"
    from pyspark.sql import SparkSession

    _knock(options["remote"])
    # It would print every refusal with the query and both stacks; the message of the error is enough.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    try:
        with _without_advice():
            return SparkSession.builder.remote(address).create()
    except ImportError:
        raise UsageError(
            f"profile `{profile.name}` needs the packages of Spark Connect", ["pip install 'pyspark[connect]'"]
        ) from None


def _knock(address: str) -> None:
    """Raise OSError where nothing listens: pyspark would go on trying for ten minutes. Behind a proxy one cannot tell."""
    if any(os.environ.get(name) for name in ("grpc_proxy", "https_proxy", "http_proxy")):
        return
    where = urlsplit(address)
    place = (where.hostname or "", where.port or _PORT)
    retry(lambda: socket.create_connection(place, timeout=_CONNECT_TIMEOUT), lambda e: isinstance(e, OSError)).close()


def _options(profile: Profile) -> dict[str, str]:
    """The profile's options. Raises UsageError for one that there is not, and for two that exclude each other."""
    for key in profile.options:
        if key not in OPTIONS:
            similar = suggest(key, OPTIONS)
            raise UsageError(
                f"profile `{profile.name}`: Spark has no option `{key}`",
                [f"did you mean `{similar[0]}`?" if similar else f"options: {', '.join(OPTIONS)}"],
            )
    for one, other in (("remote", "master"), ("remote", "tables")):
        if one in profile.options and other in profile.options:
            raise UsageError(f"profile `{profile.name}`: `{one}` and `{other}` exclude each other", ["remove one"])
    if "token" in profile.options and "remote" not in profile.options:
        raise UsageError(f"profile `{profile.name}`: `token` is of use with `remote` only", ["remove it"])
    return {key: str(value) for key, value in profile.options.items()}


def _files(profile: Profile, folder: str) -> dict[str, Path]:
    """Parquet files and folders, by the name of the table that each is."""
    place = profile.root / folder
    found = {path.stem: path for path in sorted(place.glob("*.parquet"))}
    if not found:
        raise UsageError(
            f"profile `{profile.name}`: no Parquet files in {profile.written.get('tables', folder)}",
            ["`tables` is a folder, taken from the project directory; a table `orders` is its `orders.parquet`"],
        )
    for name, path in found.items():
        if not _NAME.fullmatch(name):
            raise UsageError(f"profile `{profile.name}`: `{path.name}` is not named like a table", ["rename it"])
    return found


def _read_only(statement: str) -> tuple[str | None, str]:
    """The query of a statement, and the name under which its rows are kept. What is no query is not executed."""
    if _SHOW.fullmatch(statement):
        return None, statement
    cache = _CACHE.match(statement)
    query = statement[cache.end() :] if cache else statement
    trees = sqlglot.parse(query, read="databricks")
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise WarehouseError("only SELECT and CACHE TABLE ... AS SELECT run on Spark")
    return cache[1] if cache else None, query


def _unreachable(profile: Profile, error: Exception) -> WarehouseUnavailable:
    said = _TOKEN.sub(r"\1***", profile.redact(_first_line(error)))
    if "JAVA_GATEWAY_EXITED" in said or isinstance(error, FileNotFoundError):
        return WarehouseUnavailable(
            f"profile `{profile.name}`: Spark did not start, as no suitable Java was found",
            ["install Java 17 or later (Debian: apt-get install openjdk-17-jre-headless), or set JAVA_HOME"],
        )
    return WarehouseUnavailable(
        f"cannot connect to Spark with profile `{profile.name}`: {said}",
        ["check `remote` or `master` in project.yml, and that the server runs"],
    )


def _failures() -> tuple[type[Exception], ...]:
    """Everything that pyspark raises for what happened on the other side."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    return PySparkException, Py4JError, OSError


def _interrupt_before(error: BaseException) -> BaseException | None:
    """The Ctrl-C that an error hides: pyspark cancels its jobs then, and reports that they were cancelled."""
    while error.__context__ is not None:
        error = error.__context__
        if isinstance(error, KeyboardInterrupt):
            return error
    return None


def _is_lost(error: Exception) -> bool:
    from py4j.protocol import Py4JNetworkError

    words = ("UNAVAILABLE", "stopped SparkContext", "SparkContext was shut down", "NO_ACTIVE_SESSION")
    return isinstance(error, Py4JNetworkError | ConnectionError) or any(word in str(error) for word in words)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Pyspark advises against new versions of pandas, which nothing here uses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _first_line(error: Exception) -> str:
    """What went wrong in the first place: an error in a task is wrapped in that of its job, and that in one of py4j."""
    from py4j.protocol import Py4JJavaError

    text = str(error)
    if isinstance(error, Py4JJavaError):
        cause = error.java_exception
        while cause.getCause() is not None:
            cause = cause.getCause()
        text = str(cause.getMessage() or cause.toString())
    return (text.strip() or type(error).__name__).splitlines()[0]
