"""DuckDB."""

from metricdef.compiler.dialects.table import DialectTable, OpenAsOf

DUCKDB = DialectTable(
    name="duckdb",
    sqlglot="duckdb",
    to_utc="CAST({x} AS TIMESTAMP)",
    from_zone="CAST(CAST({x} AS TIMESTAMP) AT TIME ZONE {zone} AS TIMESTAMP)",
    epoch_us="EPOCH_US({x})",
    instant="TIMESTAMP '{x}'",
    double="CAST({x} AS DOUBLE)",
    text="CAST({x} AS VARCHAR)",
    numbered="CAST(ROW_NUMBER() OVER () AS INTEGER)",
    integer="CAST({x} AS BIGINT)",
    small="CAST({x} AS TINYINT)",
    quantile="QUANTILE_CONT({x}, {q})",
    smallest="MIN({x})",
    quoted_case="as_is",
    materialises_ctes=True,
    temporary_table="CREATE TEMPORARY TABLE {name}",
    session=("SET TimeZone = 'UTC'",),
    as_of=OpenAsOf(
        given=(
            "EPOCH_US(CAST(REGEXP_REPLACE('{date} is no date', '^([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}) is no date$',"
            " '\\1 00:00:00') AS TIMESTAMP))"
        ),
        declare="SET VARIABLE md_as_of_us = {x}",
        value="GETVARIABLE('md_as_of_us')",
        timestamp="MAKE_TIMESTAMP({x})",
        text="STRFTIME(MAKE_TIMESTAMP({x}), '%Y-%m-%dT%H:%M:%S.%fZ')",
    ),
)
