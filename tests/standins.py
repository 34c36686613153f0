"""DuckDB in the place of an engine that cannot be had: what it lacks are macros that follow the engine's manual.

Text is executed as it was compiled but for the spelling of literals, quoted names and the types named below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot.tokens import TokenType

# Of a local time that happens twice both take the earlier instant, DuckDB the later one. Of one that never happens all
# take the offset from before.
_EARLIER = (
    "CASE WHEN timezone(zone, timezone(zone, x - INTERVAL 1 DAY) + INTERVAL 24 HOUR) = x"
    " THEN timezone(zone, x - INTERVAL 1 DAY) + INTERVAL 24 HOUR ELSE timezone(zone, x) END"
)


@dataclass(frozen=True)
class StandIn:
    """Macros, and words that DuckDB's grammar has no room for."""

    dialect: str
    made: tuple[str, ...]
    words: dict[str, str]


BIGQUERY = StandIn(
    "bigquery",
    (
        "CREATE TYPE float64 AS DOUBLE",
        f"CREATE MACRO timestamp_of(x, zone) AS timezone('UTC', {_EARLIER})",
        "CREATE MACRO datetime_of(x, zone) AS timezone(zone, timezone('UTC', x))",
        "CREATE MACRO datetime_add(x, y) AS x + y",
        "CREATE MACRO timestamp_sub(x, y) AS x - y",
        "CREATE MACRO unix_micros(x) AS epoch_us(x)",
        "CREATE MACRO is_nan(x) AS isnan(x)",
    ),
    {"TIMESTAMP(": "timestamp_of(", "DATETIME(": "datetime_of("},
)
TRINO = StandIn(
    "trino",
    (
        f"CREATE MACRO with_timezone(x, zone) AS {_EARLIER}",
        "CREATE MACRO to_unixtime(x) AS epoch(x)",
        "CREATE MACRO date_add(unit, n, x) AS x + to_seconds(n)",
        "CREATE MACRO is_nan(x) AS isnan(x)",
        "CREATE MACRO infinity() AS CAST('inf' AS DOUBLE)",
    ),
    {"TIMESTAMP(6)": "TIMESTAMP"},
)
STANDINS = {standin.dialect: standin for standin in (BIGQUERY, TRINO)}


@contextmanager
def session(standin: StandIn, database: Path | str) -> Iterator[Callable[[Sequence[str]], pa.Table]]:
    """What runs statements in order over the tables of a file, which is not changed; rows of the last."""
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        if database != ":memory:":
            connection.execute(f"ATTACH '{database}' AS held (READ_ONLY)")
        for statement in standin.made:
            connection.execute(statement)
        if database != ":memory:":
            tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'held'")
            for (name,) in tables.fetchall():
                connection.execute(f'CREATE VIEW "{name}" AS SELECT * FROM held."{name}"')

        def run(statements: Sequence[str]) -> pa.Table:
            for statement in statements[:-1]:
                connection.execute(spelled(standin, statement))
            return connection.sql(spelled(standin, statements[-1])).to_arrow_table()

        yield run


def execute(standin: StandIn, database: Path | str, statements: Sequence[str]) -> pa.Table:
    """Run statements in a session of their own."""
    with session(standin, database) as run:
        return run(statements)


def spelled(standin: StandIn, statement: str) -> str:
    """The statement with literals and quoted names as DuckDB writes them."""
    parts, done = [], 0
    for token in sqlglot.tokenize(statement, read=standin.dialect):
        quoted = token.token_type is TokenType.IDENTIFIER
        if token.token_type is TokenType.STRING or quoted:
            mark = '"' if quoted else "'"
            parts += [
                _worded(standin, statement[done : token.start]),
                mark + token.text.replace(mark, mark * 2) + mark,
            ]
            done = token.end + 1
    return "".join([*parts, _worded(standin, statement[done:])])


def _worded(standin: StandIn, text: str) -> str:
    for word, own in standin.words.items():
        text = text.replace(word, own)
    return text
