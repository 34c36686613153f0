"""Trino. Its text is checked; it was not executed there."""

from metricdef.compiler.dialects.table import DialectTable

# A day later the clock shows each time once.
_DAY_AFTER = "(WITH_TIMEZONE({x} + INTERVAL '24' HOUR, {zone}) - INTERVAL '24' HOUR)"
# Whole seconds, and what is left of the last one: a double holds microseconds of that exactly, not of all since 1970.
_SECONDS = "DATE_DIFF('second', TIMESTAMP '1970-01-01 00:00:00 UTC', {x})"

TRINO = DialectTable(
    name="trino",
    sqlglot="trino",
    to_utc="CAST({x} AS TIMESTAMP(6) WITH TIME ZONE)",
    # Without a cast: of a column that has a zone it fails. Of two instants with one local time the later, as elsewhere.
    from_zone=(
        f"CASE WHEN CAST({_DAY_AFTER} AT TIME ZONE {{zone}} AS TIMESTAMP(6)) = {{x}} THEN {_DAY_AFTER}"
        " ELSE WITH_TIMEZONE({x}, {zone}) END"
    ),
    epoch_us=(
        f"({_SECONDS} * 1000000 + CAST(ROUND(TO_UNIXTIME(DATE_ADD('second', -{_SECONDS}, {{x}})) * 1000000) AS BIGINT))"
    ),
    instant="TIMESTAMP '{x} UTC'",
    double="CAST({x} AS DOUBLE)",
    number="DOUBLE '{x}'",  # a number with a point is a DECIMAL
    text="CAST({x} AS VARCHAR)",
    numbered="{x}",  # a CTE is computed anew for every reader: it must give the same each time
    integer="CAST({x} AS BIGINT)",
    md5="LOWER(TO_HEX(MD5(TO_UTF8({x}))))",
    quantile=None,  # APPROX_PERCENTILE is all there is
    smallest="MIN({x})",
    largest="MAX_BY({x}, CASE WHEN IS_NAN({x}) THEN INFINITY() ELSE {x} END)",
    is_not_a_number="IS_NAN({x})",
    quoted_case="lower",
    materialises_ctes=True,  # it does not, but has no temporary tables: see numbered
    temporary_table="",
    session=("SET TIME ZONE 'UTC'",),
    column_types={"double": "DOUBLE", "integer": "BIGINT", "text": "VARCHAR"},
    transactions=False,  # of several statements that write, most connectors have none
    rounds_quotients=True,
    trims_whitespace=True,
    spellings={
        # A value carries its own zone, whose day a plain cast takes.
        "cast_date": "CAST(CAST({x} AS TIMESTAMP(6) WITH TIME ZONE) AT TIME ZONE 'UTC' AS DATE)",
    },
)
