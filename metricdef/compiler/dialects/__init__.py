"""How engines spell the few things that portable SQL cannot say. Each dialect is a table of formats, no logic."""

from metricdef.compiler.dialects.bigquery import BIGQUERY
from metricdef.compiler.dialects.clickhouse import CLICKHOUSE
from metricdef.compiler.dialects.duckdb import DUCKDB
from metricdef.compiler.dialects.postgres import POSTGRES
from metricdef.compiler.dialects.redshift import REDSHIFT
from metricdef.compiler.dialects.snowflake import SNOWFLAKE
from metricdef.compiler.dialects.spark import SPARK
from metricdef.compiler.dialects.table import DialectTable
from metricdef.compiler.dialects.trino import TRINO
from metricdef.errors import UsageError, suggest

_EXECUTED = (DUCKDB, SNOWFLAKE, POSTGRES, SPARK, CLICKHOUSE)
_TEXT_ONLY = (BIGQUERY, REDSHIFT, TRINO)  # no engine of these runs in the tests
DIALECTS: dict[str, DialectTable] = {table.name: table for table in (*_EXECUTED, *_TEXT_ONLY)}


def dialect_table(name: str) -> DialectTable:
    """The table of a dialect. Raises UsageError for one that has none."""
    if name in DIALECTS:
        return DIALECTS[name]
    similar = suggest(name, DIALECTS)
    raise UsageError(
        f"SQL for `{name}` cannot be written yet",
        [f"did you mean `{similar[0]}`?" if similar else f"dialects: {', '.join(DIALECTS)}"],
    )


__all__ = ["DIALECTS", "DialectTable", "dialect_table"]
