"""Which states of units are older than the project keeps them, what runs that broke off left, and the file that drops both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from metricdef.compiler.dialects import dialect_table
from metricdef.compiler.plan import microseconds
from metricdef.compiler.sql_text import SqlText
from metricdef.errors import WarehouseError, WarehouseTimeout
from metricdef.warehouses.base import Warehouse

# Of a run of one day: see the dialect's `staging`.
_WORK = re.compile(r"work_\w+_(\d{8})_[0-9a-f]{32}_\d+", re.IGNORECASE)
_TABLE = re.compile(r"(state_\w+_[0-9a-f]{8})_(units|days|late|runs|values_\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Expired:
    """What was found in the schema that jobs write to.

    Attributes:
        tables: To be dropped, as SQL, in this order.
        unlike: Others whose names are those of a state's tables, without its columns or its table of runs.
        unread: States of which a table can't be read, as their tables begin, and why: whether they have expired isn't known.
    """

    tables: tuple[str, ...]
    unlike: tuple[str, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()


class _NoState(Exception):
    """Tables that only have the names of a state's."""


def expired_tables(
    warehouse: Warehouse, schema: str, schemas: Mapping[str, str], retention: int, as_of: datetime
) -> Expired:
    """Tables of the states in `schema` to which no day was added for `retention` microseconds before `as_of`.

    Of every state the table of its units comes first, without which nothing else counts, and that of its runs last: as
    long as it is there the others are found again. Also tables that files make for themselves, where one is there two
    days later: its run broke off. Raises WarehouseError where the schema can't be seen: what lies in it is not known.
    """
    sql = SqlText(dialect_table(warehouse.dialect), schemas)
    own = schemas.get(schema, schema)
    found: dict[str, dict[str, str]] = {}
    drop: list[str] = []
    for name in _listed(warehouse, sql, own):
        state, work = _TABLE.fullmatch(name), _WORK.fullmatch(name)
        if state:
            found.setdefault(state[1], {})[state[2].lower()] = f"{sql.name(own)}.{name}"
        elif work and work[1] < f"{as_of - timedelta(days=1):%Y%m%d}":
            drop.append(f"{sql.name(own)}.{name}")
    before = microseconds(as_of) - retention
    unlike: list[str] = []
    unread: list[tuple[str, str]] = []
    for tables in found.values():
        try:
            if _is_expired(warehouse, sql, tables, before):
                drop += sorted(tables.values(), key=lambda t: (t == tables["runs"], t != tables.get("units"), t))
        except _NoState:
            unlike += sorted(tables.values())
        except WarehouseTimeout:
            raise
        except WarehouseError as error:
            unread.append((tables["runs"].rpartition("_")[0], error.message))
    return Expired(tuple(drop), tuple(unlike), tuple(unread))


def _listed(warehouse: Warehouse, sql: SqlText, schema: str) -> list[str]:
    """Names of the schema's tables, in alphabetical order."""
    spelled = {"name": sql.name(schema), "x": sql.literal(schema)}
    reason = ""
    try:
        seen = (
            sql.dialect.schema_seen is None or warehouse.execute([sql.dialect.schema_seen.format(**spelled)]).num_rows
        )
        listed = warehouse.execute([sql.dialect.tables_of_schema.format(**spelled)])
    except WarehouseTimeout:
        raise
    except WarehouseError as error:
        seen, reason = False, f" ({error.message})"
    if not seen:
        raise WarehouseError(
            f"schema `{schema}` can't be seen: there is none, or this role may not use it{reason}",
            [
                "check `output_schema` in project.yml and `schemas` of the profile",
                "name the profile of the role that runs the jobs, or one that may use the schema and read all its tables",
            ],
        )
    (column,) = (name for name in listed.column_names if name.lower().replace("_", "") == "tablename")
    return sorted(str(value) for value in listed.column(column).to_pylist())


def _is_expired(warehouse: Warehouse, sql: SqlText, tables: Mapping[str, str], before: int) -> bool:
    """Whether no row is younger, of any table: also what a run that broke off has left counts.

    Most states are told by two small tables. Raises _NoState.
    """
    if "runs" not in tables:
        raise _NoState
    last = _last_written(warehouse, sql, [tables[key] for key in ("runs", "units") if key in tables])
    if last is not None and last > before:
        return False
    last = _last_written(warehouse, sql, tables.values())
    return last is not None and last <= before


def _last_written(warehouse: Warehouse, sql: SqlText, tables: Iterable[str]) -> int | None:
    """The latest as-of of a run that wrote to them, in microseconds; None where nothing stands in them."""
    tables = list(tables)
    if not all("written_us" in map(str.lower, warehouse.describe(table)) for table in tables):
        raise _NoState
    rows = " UNION ALL ".join(f"SELECT written_us FROM {table}" for table in tables)
    query = f"SELECT MAX(written_us) AS last FROM ({rows}) AS written{sql.dialect.statement_end}"
    (last,) = warehouse.execute([query]).column(0).to_pylist()
    if last is not None and not isinstance(last, int | Decimal):
        raise _NoState
    return None if last is None else int(last)


def drop_statements(tables: Iterable[str]) -> str:
    """A file that drops them."""
    return "".join(f"DROP TABLE IF EXISTS {table};\n" for table in tables)
