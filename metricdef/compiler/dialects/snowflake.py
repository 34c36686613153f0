"""Snowflake."""

from metricdef.compiler.dialects.table import DialectTable

SNOWFLAKE = DialectTable(
    name="snowflake",
    sqlglot="snowflake",
    to_utc="CAST(CONVERT_TIMEZONE('UTC', {x}) AS TIMESTAMP_NTZ)",
    from_zone="CONVERT_TIMEZONE({zone}, 'UTC', CAST({x} AS TIMESTAMP_NTZ))",
    epoch_us="DATE_PART(EPOCH_MICROSECOND, {x})",
    instant="CAST('{x}' AS TIMESTAMP_NTZ)",
    double="CAST({x} AS DOUBLE)",
    text="CAST({x} AS VARCHAR)",
    numbered="ROW_NUMBER() OVER (ORDER BY {x})",
    integer="CAST({x} AS BIGINT)",
    quantile="PERCENTILE_CONT({q}) WITHIN GROUP (ORDER BY {x})",
    smallest="MIN({x})",
    quoted_case="upper",
    materialises_ctes=False,
    temporary_table="CREATE OR REPLACE TEMPORARY TABLE {name}",
    session=("ALTER SESSION SET TIMEZONE = 'UTC'",),
    rounds_quotients=True,
)
