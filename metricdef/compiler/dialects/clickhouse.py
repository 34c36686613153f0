"""ClickHouse 24.8 and later, whose defaults change results without a word."""

from metricdef.compiler.dialects.table import DialectTable, OpenAsOf

# A cast, unlike toDateTime64, keeps the primary key in use. A timestamp without zone is an instant; in which zone it is
# shown depends on who made the table, so nothing reads it as text.
_UTC = "CAST({x} AS Nullable(DateTime64(6, 'UTC')))"
# Of a local time that happens twice, or never, the later reading, as elsewhere; ClickHouse itself takes the earlier one.
# u is the local time as if it were UTC, m and l the larger and the smaller offset of the days around it.
_OFFSET = "timezoneOffset(toTimezone(u {sign} toIntervalSecond({by}), {{zone}}))"
_BEFORE, _AFTER = (_OFFSET.format(sign=sign, by=86_400) for sign in "-+")
_FROM_ZONE = (
    "arrayMap(u -> arrayMap((m, l) -> u - toIntervalSecond("
    f"CASE WHEN {_OFFSET.format(sign='-', by='l')} <> l AND {_OFFSET.format(sign='-', by='m')} = m THEN m ELSE l END), "
    f"[greatest({_BEFORE}, {_AFTER})], [least({_BEFORE}, {_AFTER})])[1], "
    f"[{_UTC}])[1]"
)

CLICKHOUSE = DialectTable(
    name="clickhouse",
    sqlglot="clickhouse",
    to_utc=_UTC,
    from_zone=_FROM_ZONE,
    epoch_us="toUnixTimestamp64Micro({x})",
    instant="toDateTime64('{x}', 6, 'UTC')",
    double="CAST({x} AS Nullable(Float64))",
    text="CAST({x} AS Nullable(String))",
    numbered="CAST(ROW_NUMBER() OVER () AS Int64)",
    integer="CAST({x} AS Nullable(Int64))",
    md5="lower(hex(MD5({x})))",
    quantile="quantileExactInclusive({q})({x})",
    smallest="MIN({x})",
    # MAX passes over what is not a number.
    largest="argMax({x}, CASE WHEN isNaN({x}) THEN inf ELSE {x} END)",
    is_not_a_number="isNaN({x})",
    failure="CAST(assumeNotNull({x}) AS Int64)",  # of what may be NULL it would be NULL
    strict_unions=True,
    in_ignores_null=True,
    spellings={
        # By bytes, and of ASCII only, without the suffix.
        "upper": "upperUTF8({x})",
        "lower": "lowerUTF8({x})",
        "substring": "substringUTF8({x})",
        # Integers of 64 bits wrap around. Small literals are left alone.
        "mul": (
            "({x} * {y} + throwIf(ifNull(toTypeName({x} * {y}) LIKE '%Int64%' "
            "AND abs(toFloat64({x}) * toFloat64({y})) >= 9223372036854775807, 0), 'a product has more than 64 bits'))"
        ),
        # Comparisons are small integers: as a level they would be 1 and 0.
        "condition": "CAST({x} AS Nullable(Bool))",
        # Date begins in 1970 and wraps around; the day is that of the column's own zone without a second argument.
        "cast_date": "toDate32({x}, 'UTC')",
    },
    # Read-only as it is, it reads files and addresses for whoever may fill a temporary table.
    table_functions=frozenset(["generate_series", "generateseries", "merge", "numbers", "values", "view", "zeros"]),
    quoted_case="as_is",
    materialises_ctes=False,
    temporary_table="CREATE OR REPLACE TEMPORARY TABLE {name} ENGINE = Memory",
    statement_end=(
        "\nSETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, "
        "group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', "
        "transform_null_in = 0, cast_keep_nullable = 0"
    ),
    # A statement with many metrics is longer than the 256 KiB that are read by default, and has more parts than 50,000.
    session=(
        "SET session_timezone = 'UTC', max_query_size = 1073741824",
        "SET max_ast_elements = 10000000, max_expanded_ast_elements = 10000000",
    ),
    kept_table="CREATE TABLE IF NOT EXISTS {name} ENGINE = MergeTree ORDER BY tuple()",
    transactions=False,
    rounds_quotients=True,
    # A parameter holds what it is given; a table would not be seen by DELETE, which runs by itself.
    as_of=OpenAsOf(
        given="toUnixTimestamp64Micro(toDateTime64({{md_as_of:Date32}}, 6, 'UTC'))",
        declare="SET param_md_as_of = '{date}'",
        # February 30 would be March 2.
        check="SELECT throwIf(toString({md_as_of:Date32}) <> {md_as_of:String}, 'as-of is no date')",
        value="{x}",
        timestamp="fromUnixTimestamp64Micro({x}, 'UTC')",
        text="formatDateTime(fromUnixTimestamp64Micro({x}, 'UTC'), '%Y-%m-%dT%H:%i:%S.%fZ')",
    ),
)
