"""Snowflake."""

from metricdef.compiler.dialects.table import DialectTable, OpenAsOf

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
    as_of=OpenAsOf(
        given=(
            "DATE_PART(EPOCH_MICROSECOND, CAST(CASE WHEN REGEXP_LIKE('{date}', '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}$')"
            " THEN '{date} 00:00:00' ELSE '{date} is no date' END AS TIMESTAMP_NTZ))"
        ),
        declare="SET MD_AS_OF_US = {x}",
        value="$MD_AS_OF_US",
        timestamp="TO_TIMESTAMP_NTZ({x}, 6)",
        text=(
            "TO_CHAR(TO_TIMESTAMP_NTZ({x}, 6), 'YYYY-MM-DD') || 'T'"
            " || TO_CHAR(TO_TIMESTAMP_NTZ({x}, 6), 'HH24:MI:SS.FF6') || 'Z'"
        ),
    ),
)
