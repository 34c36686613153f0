"""Amazon Redshift. Its text is checked; it was not executed there."""

from metricdef.compiler.dialects.table import DialectTable

# A day later the clock shows each time once.
_DAY_AFTER = (
    "((CAST({x} AS TIMESTAMP) + INTERVAL '1 day') AT TIME ZONE {zone} AT TIME ZONE 'UTC' - INTERVAL '24 hours')"
)
_INFINITY = "CAST('Infinity' AS DOUBLE PRECISION)"

REDSHIFT = DialectTable(
    name="redshift",
    sqlglot="redshift",
    to_utc="CAST({x} AS TIMESTAMP)",
    # Of two instants with one local time the later, as elsewhere.
    from_zone=(
        f"CASE WHEN {_DAY_AFTER} AT TIME ZONE 'UTC' AT TIME ZONE {{zone}} = CAST({{x}} AS TIMESTAMP) THEN {_DAY_AFTER}"
        " ELSE CAST({x} AS TIMESTAMP) AT TIME ZONE {zone} AT TIME ZONE 'UTC' END"
    ),
    # EXTRACT(EPOCH ...) is a whole number of seconds.
    epoch_us="DATEDIFF('microsecond', TIMESTAMP '1970-01-01 00:00:00', {x})",
    instant="TIMESTAMP '{x}'",
    double="CAST({x} AS DOUBLE PRECISION)",
    number="CAST('{x}' AS DOUBLE PRECISION)",
    text="CAST({x} AS VARCHAR(MAX))",  # without a length, text is cut at 256 bytes
    numbered="{x}",
    integer="CAST({x} AS BIGINT)",
    quantile=None,  # several PERCENTILE_CONT in one SELECT must have the same order
    smallest="MIN({x})",
    # Whether NaN is above every number or compares with none: the comparison fails. So it does for infinity, which
    # stands for what is not a number where a maximum is taken, as MAX may pass over that.
    largest=f"MAX(CASE WHEN {{x}} < {_INFINITY} THEN {{x}} WHEN {{x}} IS NOT NULL THEN {_INFINITY} END)",
    is_not_a_number=f"NOT {{x}} < {_INFINITY}",
    quoted_case="lower",
    materialises_ctes=False,
    # Replaces nothing: DROP TABLE would take a lasting table of the name where there is no temporary one.
    temporary_table="CREATE TEMPORARY TABLE {name}",
    session=("SET timezone TO 'UTC'",),
    column_types={"double": "DOUBLE PRECISION", "integer": "BIGINT", "text": "VARCHAR(MAX)"},
    kept_from_query=False,  # CREATE TABLE AS has no IF NOT EXISTS
    replaces_temporary=False,
    now="GETDATE()",  # CURRENT_TIMESTAMP is not read together with tables
    rounds_quotients=True,
)
