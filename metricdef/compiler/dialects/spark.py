"""Spark 4 and Databricks."""

from metricdef.compiler.dialects.table import DialectTable, OpenAsOf, Overwrite, Staging

SPARK = DialectTable(
    name="spark",
    sqlglot="databricks",
    to_utc="CAST({x} AS TIMESTAMP_NTZ)",
    from_zone=(
        # Spark takes the earlier instant of a time that the clocks show twice, the engines beside it the later one.
        # That one has the offset of the day after, and is shown as the same time.
        "CASE WHEN CONVERT_TIMEZONE('UTC', {zone}, CONVERT_TIMEZONE({zone}, 'UTC', CAST({x} AS TIMESTAMP_NTZ)"
        " + INTERVAL '1' DAY) - INTERVAL '1' DAY) = CAST({x} AS TIMESTAMP_NTZ)"
        " THEN CONVERT_TIMEZONE({zone}, 'UTC', CAST({x} AS TIMESTAMP_NTZ) + INTERVAL '1' DAY) - INTERVAL '1' DAY"
        " ELSE CONVERT_TIMEZONE({zone}, 'UTC', CAST({x} AS TIMESTAMP_NTZ)) END"
    ),
    epoch_us="UNIX_MICROS(CAST({x} AS TIMESTAMP))",
    instant="TIMESTAMP_NTZ '{x}'",
    double="CAST({x} AS DOUBLE)",
    text="CAST({x} AS STRING)",
    numbered="{x}",
    integer="CAST({x} AS BIGINT)",
    quantile="PERCENTILE({x}, {q})",
    smallest="MIN({x})",
    quoted_case="as_is",
    materialises_ctes=False,
    temporary_table="CACHE TABLE {name}",
    session=(
        "SET TIME ZONE 'UTC'",
        "SET spark.sql.ansi.enabled = true",  # what cannot be cast or does not fit fails; it is not NULL
        "SET spark.sql.decimalOperations.allowPrecisionLoss = false",  # nor is it rounded
        "SET spark.sql.variable.substitute = false",  # '${x}' in a literal is text
    ),
    schema_seen=None,
    tables_of_schema="SHOW TABLES IN {name}",
    transactions=False,
    overwrite=Overwrite(
        kept_table="CREATE TABLE IF NOT EXISTS {name} PARTITIONED BY ({columns})",
        session="SET spark.sql.sources.partitionOverwriteMode = dynamic",
        insert="INSERT OVERWRITE TABLE {name}",
        part="INSERT OVERWRITE TABLE {name} PARTITION ({column} = {x})",
        # Dynamic, formats other than Spark's own files would replace no part where there are no rows.
        named="SET spark.sql.sources.partitionOverwriteMode = static",
    ),
    # A cached table keeps its plan, which is analysed anew for every reference: tables of tables take minutes. The day
    # in the names says what a killed run has left.
    staging=Staging(
        declare=(
            "DECLARE OR REPLACE VARIABLE md_work STRING DEFAULT"
            " {x} || DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyyMMdd') || '_' || REPLACE(UUID(), '-', '')"
        ),
        create="CREATE TABLE IDENTIFIER(session.md_work || '_{n}')",
        # Read through IDENTIFIER a view would find no table.
        show=(
            (
                "DECLARE OR REPLACE VARIABLE md_view STRING DEFAULT"
                " 'CREATE OR REPLACE TEMPORARY VIEW {name} AS SELECT * FROM ' || session.md_work || '_{n}'"
            ),
            "EXECUTE IMMEDIATE session.md_view",
        ),
        drop="DROP TABLE IF EXISTS IDENTIFIER(session.md_work || '_{n}')",
    ),
    spellings={
        # Of 0 and less it would be NULL, which is passed over.
        "ln": (
            "CASE WHEN ({x}) > 0 THEN LN({x}) WHEN ({x}) = 0 THEN CAST('-Infinity' AS DOUBLE)"
            " WHEN ({x}) < 0 THEN CAST('NaN' AS DOUBLE) END"
        ),
    },
    rounds_quotients=True,
    as_of=OpenAsOf(
        given=(
            "UNIX_MICROS(CAST(CAST(REGEXP_REPLACE('{date} is no date', '^([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}) is no date$',"
            " '$1 00:00:00') AS TIMESTAMP_NTZ) AS TIMESTAMP))"
        ),
        declare="DECLARE OR REPLACE VARIABLE md_as_of_us BIGINT DEFAULT {x}",
        value="session.md_as_of_us",
        timestamp="CAST(TIMESTAMP_MICROS({x}) AS TIMESTAMP_NTZ)",
        text=(
            "DATE_FORMAT(TIMESTAMP_MICROS({x}), 'yyyy-MM-dd') || 'T'"
            " || DATE_FORMAT(TIMESTAMP_MICROS({x}), 'HH:mm:ss.SSSSSS') || 'Z'"
        ),
    ),
)
