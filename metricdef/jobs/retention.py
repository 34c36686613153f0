"""Which states of units are older than the project keeps them, what runs that broke off left, and the file that drops both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from metricdef.compiler.dialects import dialect_table
from metricdef.compiler.plan import microseconds
from metricdef.compiler.sql_text import SqlText
from metricdef.warehouses.base import Warehouse

# Of a run of one day: see the dialect's `staging`.
_WORK = re.compile(r"work_\w+_(\d{8})_[0-9a-f]{32}_\d+", re.IGNORECASE)
_TABLE = re.compile(r"(state_\w+_[0-9a-f]{8})_(?:units|days|late|runs|values_\d+)", re.IGNORECASE)


def expired_tables(
    warehouse: Warehouse, schema: str, schemas: Mapping[str, str], retention: int, as_of: datetime
) -> list[str]:
    """Tables of the states in `schema` to which no day was added for `retention` microseconds before `as_of`, as SQL.

    Of every state the table of its runs comes last: as long as it is there the others are found again. Also tables that
    files make for themselves, where one is there two days later: its run broke off.
    """
    sql = SqlText(dialect_table(warehouse.dialect), schemas)
    own = schemas.get(schema, schema)
    listed = warehouse.execute([sql.dialect.tables_of_schema.format(name=sql.name(own), x=sql.literal(own))])
    (column,) = (name for name in listed.column_names if name.lower().replace("_", "") == "tablename")
    found: dict[str, list[str]] = {}
    left = []
    for name in sorted(str(value) for value in listed.column(column).to_pylist()):
        state, work = _TABLE.fullmatch(name), _WORK.fullmatch(name)
        if state:
            found.setdefault(state[1], []).append(f"{sql.name(own)}.{name}")
        elif work and work[1] < f"{as_of - timedelta(days=1):%Y%m%d}":
            left.append(f"{sql.name(own)}.{name}")
    before = microseconds(as_of) - retention
    return [*left, *(table for tables in found.values() for table in _if_expired(warehouse, tables, before))]


def _if_expired(warehouse: Warehouse, tables: list[str], before: int) -> Iterator[str]:
    runs = [table for table in tables if table.lower().endswith("_runs")]
    for table in runs:
        units = table[: -len("runs")] + ("UNITS" if table.endswith("RUNS") else "units")
        # Also what a run that broke off has left.
        both = f"SELECT written_us FROM {table} UNION ALL SELECT written_us FROM {units}"
        (last,) = warehouse.execute([f"SELECT MAX(written_us) FROM ({both}) AS written"]).column(0).to_pylist()
        if last is not None and int(last) <= before:
            # Without its units nothing else of a state counts.
            yield from sorted((t for t in tables if t not in runs), key=lambda t: t.lower() != units.lower())
            yield table


def drop_statements(tables: list[str]) -> str:
    """A file that drops them."""
    return "".join(f"DROP TABLE IF EXISTS {table};\n" for table in tables)
