"""Spark 4 and Databricks."""

from metricdef.compiler.dialects.table import DialectTable, OpenAsOf, Overwrite

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
    transactions=False,
    # A state's rows are deleted, also by what another table holds: of the tables that Spark knows, Delta Lake's can
    # (on Databricks). Elsewhere the first statement fails, before anything is written.
    kept_table="CREATE TABLE IF NOT EXISTS {name} USING DELTA",
    state_format="delta",
    overwrite=Overwrite(
        kept_table="CREATE TABLE IF NOT EXISTS {name} PARTITIONED BY (md_as_of, md_sql)",
        session="SET spark.sql.sources.partitionOverwriteMode = dynamic",
        insert="INSERT OVERWRITE TABLE {name}",
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
        given="UNIX_MICROS(CAST(TIMESTAMP_NTZ '{date} 00:00:00' AS TIMESTAMP))",
        declare="DECLARE OR REPLACE VARIABLE md_as_of_us BIGINT DEFAULT {x}",
        value="session.md_as_of_us",
        timestamp="CAST(TIMESTAMP_MICROS({x}) AS TIMESTAMP_NTZ)",
        text=(
            "DATE_FORMAT(TIMESTAMP_MICROS({x}), 'yyyy-MM-dd') || 'T'"
            " || DATE_FORMAT(TIMESTAMP_MICROS({x}), 'HH:mm:ss.SSSSSS') || 'Z'"
        ),
    ),
)
