"""BigQuery, GoogleSQL. Its text is checked; it was not executed there."""

from metricdef.compiler.dialects.table import DialectTable

# A day later the clock shows each time once.
_DAY_AFTER = "TIMESTAMP_SUB(TIMESTAMP(DATETIME_ADD({x}, INTERVAL 1 DAY), {zone}), INTERVAL 24 HOUR)"

BIGQUERY = DialectTable(
    name="bigquery",
    sqlglot="bigquery",
    # A DATETIME is read in the session's zone, a TIMESTAMP stays what it is. The result is a TIMESTAMP, in UTC.
    to_utc="CAST({x} AS TIMESTAMP)",
    # Without a cast: of a TIMESTAMP, which needs no zone, it fails. Of two instants with one local time the later.
    from_zone=(
        f"CASE WHEN DATETIME({_DAY_AFTER}, {{zone}}) = {{x}} THEN {_DAY_AFTER} ELSE TIMESTAMP({{x}}, {{zone}}) END"
    ),
    epoch_us="UNIX_MICROS({x})",
    instant="TIMESTAMP '{x}+00:00'",
    date="'{x}'",  # becomes the type of the column beside it: a DATE is not compared with a TIMESTAMP
    double="CAST({x} AS FLOAT64)",
    text="CAST({x} AS STRING)",
    numbered="{x}",  # GROUP BY would take a number of that name for the unit
    integer="CAST({x} AS INT64)",
    md5="TO_HEX(MD5({x}))",
    remainder="MOD({x}, {y})",
    quantile=None,  # PERCENTILE_CONT is no aggregate
    smallest="MIN({x})",
    is_not_a_number="IS_NAN({x})",
    quoted_case="as_is",
    materialises_ctes=False,
    temporary_table="CREATE OR REPLACE TEMPORARY TABLE {name}",
    session=("SET @@time_zone = 'UTC'",),
    column_types={"double": "FLOAT64", "integer": "INT64", "text": "STRING"},
    failure="ERROR({x})",
    begin="BEGIN TRANSACTION",  # BEGIN alone may start a block
    rounds_quotients=True,  # of NUMERICs to 9 digits
    trims_whitespace=True,
)
