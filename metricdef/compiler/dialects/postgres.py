"""PostgreSQL 14 and later."""

from metricdef.compiler.dialects.table import DialectTable, OpenAsOf

POSTGRES = DialectTable(
    name="postgres",
    sqlglot="postgres",
    to_utc="CAST({x} AS TIMESTAMP)",
    from_zone="(CAST({x} AS TIMESTAMP) AT TIME ZONE {zone} AT TIME ZONE 'UTC')",
    epoch_us="CAST(EXTRACT(EPOCH FROM {x}) * 1000000 AS BIGINT)",
    instant="TIMESTAMP '{x}'",
    double="CAST({x} AS DOUBLE PRECISION)",
    text="CAST({x} AS VARCHAR)",
    numbered="CAST(ROW_NUMBER() OVER () AS INTEGER)",
    integer="CAST({x} AS BIGINT)",
    quantile="PERCENTILE_CONT({q}) WITHIN GROUP (ORDER BY {x})",
    smallest="(ARRAY_AGG({x} ORDER BY {x} NULLS LAST))[1]",
    is_not_a_number="{x} = CAST('NaN' AS DOUBLE PRECISION)",
    quoted_case="lower",
    materialises_ctes=True,
    begin="BEGIN ISOLATION LEVEL REPEATABLE READ",
    temporary_table="CREATE TEMPORARY TABLE {name}",
    session=("SET TIME ZONE 'UTC'", "SET client_encoding = 'UTF8'", "SET standard_conforming_strings = on"),
    schema_seen=(
        "SELECT nspname FROM pg_catalog.pg_namespace WHERE LOWER(nspname) = LOWER({x}) AND HAS_SCHEMA_PRIVILEGE(oid, 'USAGE')"
    ),
    # The information schema leaves out those that the role may not read: they are named instead.
    tables_of_schema=(
        "SELECT relname AS table_name FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace AS n ON n.oid = relnamespace"
        " WHERE LOWER(nspname) = LOWER({x}) AND relkind IN ('r', 'p')"
    ),
    as_of=OpenAsOf(
        given=(
            "CAST(EXTRACT(EPOCH FROM CAST(REGEXP_REPLACE('{date} is no date', '^([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}) is no date$',"
            " '\\1 00:00:00') AS TIMESTAMP)) * 1000000 AS BIGINT)"
        ),
        declare="SELECT SET_CONFIG('metricdef.as_of_us', CAST({x} AS TEXT), FALSE)",
        value="CAST(CURRENT_SETTING('metricdef.as_of_us') AS BIGINT)",
        timestamp="TIMESTAMP 'epoch' + {x} * INTERVAL '1 microsecond'",
        text="TO_CHAR(TIMESTAMP 'epoch' + {x} * INTERVAL '1 microsecond', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
        once="(SELECT {x})",
    ),
)
