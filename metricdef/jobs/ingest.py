"""Rows that a job wrote, back as the result of the query that they came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from metricdef.compiler.dialects import dialect_table
from metricdef.compiler.query import Query
from metricdef.errors import UsageError, WarehouseError, WarehouseTimeout
from metricdef.jobs.outputs import ROWS, STAMPS, stamp_of, written_columns
from metricdef.warehouses.base import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa


_EXPORT_AGAIN = ["export the job's table again, with all its columns and its values as they are"]


@dataclass(frozen=True, slots=True)
class Written:
    """Rows of one experiment as of one instant, of one job or more.

    Attributes:
        experiment: Its name.
        as_of: What the rows saw: others before it.
        dialect: Of the SQL that they came from.
        daily: Whether the days of a series are among them.
        rows: With the stamps, names in lower case.
    """

    experiment: str
    as_of: datetime
    dialect: str
    daily: bool
    rows: pa.Table


def read_file(path: Path) -> pa.Table:
    """Rows of a Parquet or CSV file. Raises UsageError for what is neither, or not there."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    if path.suffix.lower() in (".parquet", ".csv") and not path.is_file():
        raise UsageError(f"there is no file {path}", ["a name that ends in .parquet or .csv is that of a file"])
    try:
        if path.suffix.lower() == ".parquet":
            return parquet.read_table(path)
        if path.suffix.lower() == ".csv":
            # An instant stays as written.
            texts = {name: pa.string() for stamp in STAMPS for name in (stamp, stamp.upper())}
            # An absent number is one of these; `NaN`, which Arrow would take for one too, is a number that is refused.
            nulls = ["", "NULL", "null", "\\N"]
            return csv.read_csv(
                path,
                parse_options=csv.ParseOptions(newlines_in_values=True),
                convert_options=csv.ConvertOptions(column_types=texts, strings_can_be_null=True, null_values=nulls),
            )
    except pa.ArrowInvalid as error:
        raise UsageError(f"cannot read {path}: {str(error).splitlines()[0]}") from None
    raise UsageError(f"{path} is no Parquet or CSV file", ["export the job's table as .parquet or .csv"])


def read_table(warehouse: Warehouse, name: str, as_of: datetime | None) -> pa.Table:
    """Rows of a job's table, of one instant or of the latest.

    Raises UsageError for what is no name of a table, and WarehouseError where there is none that a job wrote.
    """
    table = _table(name, dialect_table(warehouse.dialect).sqlglot)
    chosen = f"'{stamp_of(as_of)}'" if as_of else f"(SELECT MAX(md_as_of) FROM {table})"
    try:
        return warehouse.execute([f"SELECT * FROM {table} WHERE md_as_of = {chosen}"])
    except WarehouseTimeout:
        raise
    except WarehouseError as error:
        raise WarehouseError(
            f"table {table} can't be read, or is not the output of a job: {error.message}",
            [
                "take the name from `output` in the manifest of the build",
                "the job must have run there once, and the profile's role may read the table",
            ],
        ) from None


def _table(name: str, dialect: str) -> str:
    """The name as SQL: parsed, so that it can't be anything else."""
    try:
        tree = exp.to_table(name, dialect=dialect)
    except SqlglotError:
        tree = exp.Table()
    parts = [tree.args.get(key) for key in ("this", "db", "catalog")]
    named = {key for key, value in tree.args.items() if value} <= {"this", "db", "catalog"}
    if not named or not isinstance(parts[0], exp.Identifier):
        raise UsageError(f"`{name}` is no name of a table", ["take it from `output` in the manifest of the build"])
    return tree.sql(dialect=dialect)


def choose(rows: pa.Table, as_of: datetime | None) -> Written:
    """The rows of one instant, by default the latest. Raises UsageError where rows have no stamps or there are none."""
    rows = rows.rename_columns([name.lower() for name in rows.column_names])
    missing = [stamp for stamp in (*STAMPS, ROWS) if stamp not in rows.column_names]
    if missing:
        raise UsageError(
            f"these are not the rows of a job: {missing[0]} is missing", ["name a table that `metricdef build` wrote"]
        )
    stamps = rows.select(list(STAMPS)).to_pylist()
    instants = sorted({str(row["md_as_of"]) for row in stamps})
    wanted = stamp_of(as_of) if as_of else instants[-1] if instants else None
    chosen = [i for i, row in enumerate(stamps) if str(row["md_as_of"]) == wanted]
    names = sorted({str(stamps[i]["md_experiment"]) for i in chosen})
    if len(names) != 1:
        held = f"instants: {', '.join(instants[-5:])}" if instants else "the job has not run"
        raise UsageError(f"there are no rows of one experiment as of {wanted or 'any instant'}", [held])
    dialect = str(stamps[chosen[0]]["md_dialect"])
    return Written(names[0], _instant(str(wanted)), dialect, "day_us" in rows.column_names, rows.take(chosen))


def match(written: Written, possible: Iterable[tuple[str, Query]], kind: str | None = None) -> tuple[Query, pa.Table]:
    """The query that gave the rows, of those that today's definitions give, and the rows that are its result.

    Args:
        written: Rows.
        possible: Queries by the kind of job that executes them.
        kind: Of the job whose rows are wanted, where several wrote some.

    Raises:
        WarehouseError: They came from other definitions, whose columns would be read with a meaning that they do
            not have, are not those of one job, or hold what the job did not write.
        UsageError: They are of several kinds and none is chosen, or the chosen one is not among them.
    """
    stamps = written.rows.select(list(STAMPS)).to_pylist()
    hashes = {str(row["md_sql"]) for row in stamps}
    queries = dict(possible)
    found = {name: query for name, query in queries.items() if query.sql_hash in hashes}
    of = f"`{written.experiment}` as of {stamp_of(written.as_of)}"
    if not found:
        first, expected = stamps[0], next(iter(queries.values()))
        raise WarehouseError(
            f"the rows of {of} came from other definitions or another version: "
            f"definitions {first['md_definitions']}, SQL {first['md_sql']}, metricdef {first['md_version']}",
            [
                f"these give definitions {expected.plan.fingerprint}, SQL {expected.sql_hash}",
                "check out the revision that was built, name the profile it was built for, or build anew",
                "a look that fixes a cap changes the SQL of later ones: build these after it is recorded",
            ],
        )
    query = _choose(found, kind, of)
    own = [i for i, row in enumerate(stamps) if row["md_sql"] == query.sql_hash]
    result = written.rows.take(own)
    counted = set(result[ROWS].to_pylist())
    if counted != {len(own)}:
        raise WarehouseError(
            f"there are {len(own)} rows of {of}, and the job wrote {_counts(counted)}",
            ["a job ran twice at the same time, or not all rows were exported: run it again, and export all"],
        )
    _refuse_texts(query, result, of)
    return query, result


def _refuse_texts(query: Query, result: pa.Table, of: str) -> None:
    """Raises WarehouseError where a column is not there, or a value in one of numbers is none."""
    for column in written_columns(query.plan):
        if column.name not in result.column_names:
            raise WarehouseError(f"the rows of {of} have no column `{column.name}`", _EXPORT_AGAIN)
        if column.type == "text":
            continue
        read = int if column.type == "integer" else float
        for value in result[column.name].to_pylist():
            try:
                read(value or 0)
            except (TypeError, ValueError, OverflowError):
                raise WarehouseError(
                    f"column `{column.name}` of {of} has {value!r} where the job wrote a number", _EXPORT_AGAIN
                ) from None


def _choose(found: Mapping[str, Query], kind: str | None, of: str) -> Query:
    """The query of the wanted kind of job. Each ran when it did, so their rows may hold different data."""
    if kind is None and len(found) == 1:
        return next(iter(found.values()))
    if kind is not None and kind in found:
        return found[kind]
    written = ", ".join(f"{name} (SQL {query.sql_hash})" for name, query in found.items())
    said = "jobs of several kinds wrote rows" if kind is None else f"no {kind} job wrote rows"
    raise UsageError(f"{said} of {of}: {written}", [" or ".join(f"--job {name}" for name in found)])


def _instant(stamp: str) -> datetime:
    try:
        return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        raise UsageError(
            f"md_as_of is no instant: {stamp}", ["export the job's table again, its texts as they are"]
        ) from None


def _counts(written: set[Any]) -> str:
    return " or ".join(sorted(map(str, written)))
