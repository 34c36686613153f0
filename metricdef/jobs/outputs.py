"""The table that a job writes moments to, and the statements that do it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from metricdef import __version__
from metricdef.compiler.dialects import dialect_table
from metricdef.compiler.open_as_of import open_text
from metricdef.compiler.plan import Plan
from metricdef.compiler.query import Query
from metricdef.compiler.result import Column, result_columns
from metricdef.compiler.sql_text import Kind, SqlText
from metricdef.compiler.state import state_table, twice
from metricdef.compiler.state_tests import is_past
from metricdef.jobs.staging import staged

# What every row says about itself.
STAMPS = ("md_experiment", "md_as_of", "md_definitions", "md_dialect", "md_sql", "md_version")
ROWS = "md_rows"  # how many rows the job wrote with this one
_PARTS = "md_as_of, md_sql"  # what the table's parts are made by, where rows are replaced by part
_LONGEST = 40  # characters of an experiment's name in that of its table: PostgreSQL cuts names at 63


@dataclass(frozen=True, slots=True)
class Output:
    """Where one query's rows go.

    Attributes:
        table: Name as SQL, with the schema.
        statements: In order; those that write the rows come last, and take effect together where the engine can.
    """

    table: str
    statements: tuple[str, ...]


def stamp_of(as_of: datetime) -> str:
    """An instant as the output tables have it: of one length, so that texts sort like times."""
    return f"{as_of:%Y-%m-%dT%H:%M:%S.%fZ}"


def write_output(query: Query, schema: str, schemas: Mapping[str, str], first: Sequence[str] = ()) -> Output:
    """Statements that put the query's rows into its table in `schema`, in place of those of an earlier run.

    The table is named after the experiment and the shape of its rows: changed definitions write to a new one. Before
    the as-of nothing is written: windows would count as complete that are not. `first`: statements that come before,
    such as those of a state, without whose run nothing is written either.
    """
    plan, columns = query.plan, written_columns(query.plan)
    sql = open_text(plan, dialect_table(query.dialect), schemas)
    own_parts = sql.dialect.overwrite
    place = sql.name(schemas.get(schema, schema))
    name = f"{place}.{_name(plan, sql.kept('{name}', _PARTS) if own_parts else '')}"
    stamps = {
        "md_experiment": sql.literal(plan.experiment),
        "md_as_of": sql.stamp(plan.as_of_us),
        "md_definitions": sql.literal(plan.fingerprint),
        "md_dialect": sql.literal(query.dialect),
        "md_sql": sql.literal(query.sql_hash),
        "md_version": sql.literal(__version__),
    }
    header, _, head = query.statements[0].partition("\n\n")
    *tables, final = head, *query.statements[1:]
    names = ", ".join([*STAMPS, ROWS, *(c.name for c in columns)])
    count = sql.integer("COUNT(*) OVER ()")
    own_values = (f"result_rows.{c.name}" for c in columns)
    values = ",\n  ".join([*(stamps[s] for s in STAMPS), count, *own_values])
    own = " AND ".join(f"{s} = {stamps[s]}" for s in ("md_experiment", "md_as_of", "md_sql"))
    where = "\n  AND ".join(_conditions(sql, plan))
    table: dict[str, Kind] = {**dict.fromkeys(STAMPS, "text"), ROWS: "integer", **{c.name: c.type for c in columns}}
    start = own_parts.insert.format(name=name) if own_parts else f"INSERT INTO {name}"
    insert = f"{start} ({names})\nSELECT\n  {values}\nFROM (\n{final}\n) AS result_rows\nWHERE {where}"
    writing = [f"DELETE FROM {name} WHERE {own}", insert + sql.dialect.statement_end]
    if own_parts:
        writing = writing[1:]
    elif sql.dialect.transactions:
        writing = [sql.dialect.begin, *writing, "COMMIT"]
    session = [*query.session, *([own_parts.session] if own_parts else [])]
    statements = [*first, f"{header}\n{sql.kept_table(name, table, _PARTS)}", *tables, *writing]
    return Output(name, (*session, *staged(statements, sql, place, plan.experiment)))


def _conditions(sql: SqlText, plan: Plan) -> Iterator[str]:
    """When rows may be written at all."""
    yield is_past(sql, plan.as_of_us)
    if plan.open_until is not None:  # from then on the time zone is not written out
        yield f"{sql.us(plan.as_of_us)} < {sql.us(plan.open_until)}"
    if plan.state is not None:
        runs = f"SELECT COUNT(*) FROM {state_table(sql, plan.state, 'runs')} WHERE written_us = {plan.as_of_us}"
        yield f"({runs}) = 1"
        found = twice(sql, plan.state, plan.as_of_us, own=True)
        if found:
            yield f"(SELECT COUNT(*) FROM (\n{found}\n) AS found_twice) = 0"


def written_columns(plan: Plan) -> list[Column]:
    """Columns of the table beside the stamps."""
    return [Column("kind", "text", None, "kind"), *result_columns(plan)]


def _name(plan: Plan, parts: str) -> str:
    """Of the experiment, and of everything that gives the rows their columns and meaning, and the table its parts.

    To overwrite parts of a table that has none would be to overwrite it all.
    """
    shape = "\n".join(
        [plan.fingerprint, *(f"{c.name} {c.type}" for c in written_columns(plan)), *([parts] if parts else [])]
    )
    return f"moments_{plan.experiment[:_LONGEST]}_{hashlib.sha256(shape.encode()).hexdigest()[:8]}"
