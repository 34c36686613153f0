"""Which states of units are older than the project keeps them, and the file that drops them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from metricdef.compiler.dialects import dialect_table
from metricdef.compiler.plan import microseconds
from metricdef.compiler.sql_text import SqlText
from metricdef.warehouses.base import Warehouse

_TABLE = re.compile(r"(state_\w+_[0-9a-f]{8})_(?:units|days|late|runs|values_\d+)", re.IGNORECASE)


def expired_tables(
    warehouse: Warehouse, schema: str, schemas: Mapping[str, str], retention: int, as_of: datetime
) -> list[str]:
    """Tables of the states in `schema` to which no day was added for `retention` microseconds before `as_of`, as SQL.

    Of every state the table of its runs comes last: as long as it is there the others are found again.
    """
    sql = SqlText(dialect_table(warehouse.dialect), schemas)
    own = schemas.get(schema, schema)
    listed = warehouse.execute(
        [f"SELECT table_name FROM information_schema.tables WHERE LOWER(table_schema) = LOWER({sql.literal(own)})"]
    )
    found: dict[str, list[str]] = {}
    for name in sorted(str(value) for value in listed.column(0).to_pylist()):
        match = _TABLE.fullmatch(name)
        if match:
            found.setdefault(match[1], []).append(f"{sql.name(own)}.{name}")
    return [
        table for tables in found.values() for table in _if_expired(warehouse, tables, microseconds(as_of) - retention)
    ]


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
