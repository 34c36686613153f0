"""Expressions of the portable subset mean the same on every engine: DuckDB says what."""

from __future__ import annotations

import hashlib
import math
from datetime import date, datetime
from fractions import Fraction
from typing import Any

import pytest
from oracle.files import DUCKDB_TYPES
from oracle.reading import Table

from metricdef.compiler.dialects import dialect_table
from metricdef.compiler.sql_text import SqlText
from metricdef.definitions.models import Source
from metricdef.errors import WarehouseError
from metricdef.warehouses import connect
from metricdef.warehouses.duckdb import DuckDBWarehouse

from .engine import Engine

KINDS = {"id": "integer", "i": "integer", "j": "integer", "x": "double", "y": "double", "s": "text", "b": "boolean"}
ROWS: list[tuple[Any, ...]] = [
    (7, 2, 2.5, 0.1, "Abc", True),
    (-7, 2, -2.5, 0.2, " abc  ", False),
    (7, -2, 0.5, 3.0, "ÄÖü→😀", True),
    (0, 0, 0.0, 0.0, "", False),
    (None, 3, None, 1.0, None, None),
    (5, None, 1e200, 1e-100, "50%_a", True),
    (2**53 + 1, 1, 1.5, 0.5, "it's", True),
    (-1, 10, -0.0, 2.0, "ABC", False),
]
EXPRESSIONS = (
    "i + j", "i - j", "i * 2", "i / j", "i / 2", "x / y", "i % j", "i % 3", "-x", "ABS(i)", "ABS(x)",
    "FLOOR(x)", "CEIL(x)", "SQRT(ABS(x))", "EXP(y)", "LN(NULLIF(ABS(x), 0))",
    "CAST(i AS DOUBLE) / 4", "CAST(b AS DOUBLE)", "CAST(i AS VARCHAR)", "CAST(s AS VARCHAR)",
    "COALESCE(i, -1)", "COALESCE(s, 'none')", "NULLIF(i, 7)", "NULLIF(s, '')",
    "CASE WHEN i > 0 THEN 'up' WHEN i < 0 THEN 'down' END", "CASE j WHEN 2 THEN 1 ELSE 0 END", "CASE WHEN s = '' THEN 1 ELSE 0 END",
    "UPPER(s)", "LOWER(s)", "TRIM(s)", "LENGTH(s)", "SUBSTR(s, 2)", "SUBSTR(s, 1, 2)", "SUBSTR(s, 2, 3)", "s || '!'", "s || s",
    "s = 'Abc'", "s = 'abc'", "s <> ''", "s IN ('Abc', 'ABC')", "s IN ('Abc', NULL)", "i NOT IN (7, NULL)", "s LIKE 'A%'", "s LIKE '%b_'", "s LIKE 'a%'",
    "i BETWEEN 0 AND 7", "x > y", "x >= 2.5", "b", "NOT b", "b AND i > 0", "b OR i > 0", "i IS NULL", "s IS NOT NULL", "x = y", "i > 2.5",
)  # fmt: skip


# Refused by the engine, which is no wrong number.
LOUD = {("postgres", "CAST(b AS DOUBLE)"), ("spark", "FLOOR(x)"), ("spark", "CEIL(x)")}  # Spark's are whole numbers


@pytest.fixture(scope="module")
def filled(engine: Engine) -> Engine:
    rows = [dict(zip(KINDS, (n, *row), strict=True)) for n, row in enumerate(ROWS)]
    engine.fill({"samples": Table(KINDS, rows)})
    return engine


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_means_the_same(filled: Engine, expression: str) -> None:
    source = Source.model_validate({"table": "samples", "timestamp": "id", "entities": {"user": "id"}})
    with connect(filled.profile()) as warehouse:
        if (filled.name, expression) in LOUD:
            with pytest.raises(WarehouseError):
                values(warehouse, expression, source)
            return
        got = values(warehouse, expression, source)
    columns = [(name, DUCKDB_TYPES[kind]) for name, kind in KINDS.items()]
    rows = [[None if v is None else str(v) for v in (n, *row)] for n, row in enumerate(ROWS)]
    with DuckDBWarehouse.holding({"samples": (columns, rows)}) as reference:
        want = values(reference, expression, source)
    for n, (left, right) in enumerate(zip(got, want, strict=True)):
        assert same(left, right), f"row {n} {ROWS[n]}: {left!r} on {filled.name}, {right!r} on DuckDB"


def values(warehouse: Any, expression: str, source: Source) -> list[Any]:
    sql = SqlText(dialect_table(warehouse.dialect))
    written = sql.column(expression, "samples", source)
    rows = warehouse.execute([f"SELECT id, ({written}) AS x FROM samples"]).to_pylist()
    return [row["x"] for row in sorted(rows, key=lambda row: row["id"])]


def same(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    if isinstance(right, str | date | datetime):
        return bool(left == right)
    return math.isclose(float(left), float(right), rel_tol=1e-12)


def test_a_sample_has_the_same_units_everywhere(filled: Engine) -> None:
    """By the first four bytes of MD5, which Python's own library says too."""
    with connect(filled.profile()) as warehouse:
        sql = SqlText(dialect_table(warehouse.dialect))
        drawn = sql.sampled(sql.text(sql.name("s")), Fraction(1, 3))
        query = f"SELECT id, CASE WHEN {drawn} THEN 1 ELSE 0 END AS drawn FROM samples ORDER BY id"
        found = {int(row["id"]): int(row["drawn"]) for row in warehouse.execute([query]).to_pylist()}
    for n, row in enumerate(ROWS):
        text = row[4]
        digest = hashlib.md5(f"metricdef sample {text}".encode(), usedforsecurity=False).hexdigest()
        assert found[n] == (text is not None and int(digest[:8], 16) < 2**32 // 3)
