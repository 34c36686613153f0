"""SQL from analysts: what gets through means the same everywhere, and nothing else gets through."""

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricdef.compiler.dialects import DIALECTS
from metricdef.compiler.sql_text import LINE_BREAK, SqlText
from metricdef.definitions.expressions import (
    SqlProblem,
    columns_of,
    output_columns,
    parse_expression,
    parse_query,
    plain_columns,
    tables_of,
)
from metricdef.definitions.models import Source

DUCKDB = SqlText(DIALECTS["duckdb"])


def source(**changes):
    return Source.model_validate({"table": "t", "timestamp": "ts", "entities": {"user": "u"}, **changes})


REFUSED = {
    "": "sql-parse",
    "   ": "sql-parse",
    "a +": "sql-parse",
    "(a": "sql-parse",
    "'a": "sql-parse",
    "a b c": "sql-parse",
    "a AS b": "sql-parse",
    "*": "sql-parse",
    "a -- comment": "sql-comment",
    "a /* comment */ > 1": "sql-comment",
    "a; DROP TABLE t": "sql-statement",
    "a;": "sql-statement",
    "DROP TABLE t": "sql-statement",
    "SELECT 1": "sql-subquery",
    "(SELECT max(a) FROM t)": "sql-subquery",
    "a IN (SELECT b FROM t)": "sql-subquery",
    "EXISTS (SELECT 1)": "sql-subquery",
    "a > ANY (SELECT b FROM t)": "sql-subquery",
    "sum(a)": "sql-aggregate-in-expression",
    "count(*)": "sql-aggregate-in-expression",
    "a + max(b)": "sql-aggregate-in-expression",
    "sum(a) OVER ()": "sql-window",
    "row_number() OVER (ORDER BY a)": "sql-window",
    "lag(a) OVER (ORDER BY b)": "sql-window",
    "t.a": "sql-column",
    "read_csv('x.csv')": "sql-function",
    "getenv('HOME')": "sql-function",
    "date_trunc('day', a)": "sql-function",
    "datediff('day', a, b)": "sql-function",
    "log(a)": "sql-function",
    "round(a)": "sql-function",
    "CAST(a AS INTEGER)": "sql-function",
    "a::INT": "sql-function",
    "TRY_CAST(a AS DOUBLE)": "sql-function",
    "greatest(a, b)": "sql-function",
    "random()": "sql-function",
    "now()": "sql-function",
    "current_date": "sql-function",
    "a ~ 'x'": "sql-function",
    "a ->> '$.b'": "sql-function",
    "[a, b]": "sql-function",
    "a[1]": "sql-function",
    "{'a': 1}": "sql-function",
    "INTERVAL 1 DAY": "sql-function",
    "nextval('s')": "sql-function",
    "$1 = a": "sql-parse",
    "? = a": "sql-parse",
    "x -> x + 1": "sql-function",
}


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text):
    with pytest.raises(SqlProblem) as caught:
        parse_expression(text)
    problem = caught.value
    assert problem.rule == REFUSED[text] or {problem.rule, REFUSED[text]} <= {"sql-parse", "sql-function"}, problem
    assert 0 <= problem.start <= len(text)
    assert problem.start + problem.length <= max(len(text), 1) + 1


@pytest.mark.parametrize(
    ("text", "dialect", "mended"),
    [
        ("load > 3", None, '("load" > 3)'),
        ("set = 'x'\n", None, "(\"set\" = 'x')"),
        ("use > 3 AND a > 1", None, '("use" > 3 AND a > 1)'),
        ("merge", "bigquery", "(`merge`)"),
        ("amount > 1 AND fetch > 3", None, 'amount > 1 AND "fetch" > 3'),
        ("status IN ('fetch', fetch)", None, "status IN ('fetch', \"fetch\")"),
        ("DROP TABLE t", None, None),
        ("COPY t TO 'x'", None, None),
        ("a b c", None, None),
        ("amount > 1 LIMIT 5", None, None),
    ],
)
def test_a_column_with_the_name_of_a_word_of_sql_is_quoted(text, dialect, mended):
    with pytest.raises(SqlProblem) as caught:
        parse_expression(text, dialect)
    told = " ".join(caught.value.help)
    assert told.endswith(f"quote it: {mended}") if mended else "quote" not in told
    if mended:
        assert columns_of(parse_expression(mended, dialect))[0][0] == text.split()[0]


@pytest.mark.parametrize(
    "text",
    ["sum(a)", "a IN (SELECT b FROM t)", "a; DROP TABLE t", "row_number() OVER ()", "a -- x", "t.a"],
)
def test_a_declared_dialect_frees_functions_not_statements(text):
    with pytest.raises(SqlProblem):
        parse_expression(text, "duckdb")
    parse_expression("date_trunc('day', a)", "duckdb")


@pytest.mark.parametrize(
    "text",
    [
        "a", "a - b", "a * 1.5 + 2", "a / b", "a % 2 = 0", "-a", "status = 'paid'", "status IN ('a', 'b')", "a BETWEEN 1 AND 2", "a IS NULL",
        "a IS NOT NULL", "NOT flag", "flag AND (a > 1 OR b < 2)", "CASE WHEN a > 1 THEN 'x' ELSE 'y' END", "COALESCE(a, 0)", "NULLIF(a, 0)",
        "LOWER(status) LIKE 'p%'", "CAST(a AS DOUBLE)", "a::DOUBLE", "CAST(ts AS DATE) = '2026-01-01'", "status || 'x'", "SUBSTR(status, 1, 2)",
        "LENGTH(TRIM(status)) > 0", "ABS(a)", "FLOOR(a)", "CEIL(a)", "LN(a)", "EXP(a)", "SQRT(a)", "a <> b", "a >= 1", "a != 1", "TRUE", "NULL",
        "status = 'it''s; -- fine'", '"odd name" > 1', "status = '{{ x }}'",
    ],
)  # fmt: skip
def test_the_portable_subset_is_written_for_every_dialect(text):
    tree = parse_expression(text)
    assert tree is not None
    for table in DIALECTS.values():
        written = SqlText(table).condition(text, "s", source())
        parse_expression(SqlText(DIALECTS["duckdb"]).condition(text, "s", source()))
        assert "--" not in written or "fine" in written


def evaluate(sql):
    return duckdb.execute(f"SELECT {sql} AS v FROM (SELECT 7 AS a, 0 AS b, 'paid' AS status) AS t").fetchall()[0][0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a / b", None),
        ("a / 2", 3.5),
        ("a / (b + 1)", 7.0),
        ("a / b / 2", None),
        ("COALESCE(a / b, -1)", -1.0),
        ("1 / (a / b)", None),
    ],
)
def test_division_by_zero_is_null(text, value):
    assert evaluate(DUCKDB.condition(text, "s", source())) == value


@pytest.mark.parametrize(
    ("dimensions", "text", "value"),
    [
        ({"total": "a + b"}, "total * 2", 14),  # not a + b * 2
        ({"total": "a + b"}, "total / total", 1.0),
        ({"total": "a / b"}, "total", None),
        ({"state": "UPPER(status)"}, "state = 'PAID'", True),
        ({"status": "UPPER(status)"}, "status = 'PAID'", True),  # a dimension in place of its own column
        ({"flag": "a > 1 OR a < 0"}, "flag AND b > 0", False),
    ],
)
def test_dimensions_are_put_in_as_one_value(dimensions, text, value):
    assert evaluate(DUCKDB.condition(text, "s", source(dimensions=dimensions))) == value


@given(st.text(max_size=30))
def test_any_text_is_a_value_never_syntax(text):
    """A literal reads back as exactly the text, whatever it holds."""
    if "\x00" in text or LINE_BREAK in text or any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        return
    written = DUCKDB.literal(text).replace(LINE_BREAK, "\n")
    assert duckdb.execute(f"SELECT {written}").fetchall()[0][0] == text


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused_never_a_crash(text):
    try:
        parse_expression(text)
    except SqlProblem as problem:
        assert problem.rule.startswith("sql-")  # noqa: PT017 - most texts raise nothing


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("DELETE FROM t", "sql-statement"), ("SELECT 1; SELECT 2", "sql-statement"), ("COPY t TO 'x'", "sql-statement"), ("ATTACH 'x'", "sql-statement"),
        ("INSERT INTO t SELECT 1", "sql-statement"), ("WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x", "sql-statement"),
        ("SELECT * FROM read_csv('x.csv')", "sql-function"), ("SELECT * INTO u FROM t", "sql-statement"), ("PRAGMA version", "sql-statement"),
        ("SELECT", "sql-parse"), ("", "sql-parse"),
    ],
)  # fmt: skip
def test_a_source_query_only_reads(text, rule):
    with pytest.raises(SqlProblem) as caught:
        parse_query(text)
    assert caught.value.rule == rule or {caught.value.rule, rule} <= {"sql-statement", "sql-function", "sql-parse"}, (
        caught.value
    )


def test_what_a_source_query_gives():
    query = parse_query(
        "WITH x AS (SELECT a, b AS c FROM raw.t WHERE a > 1) SELECT x.a, c, a + c AS d FROM x JOIN u ON u.a = x.a;"
    )
    assert output_columns(query) == ["a", "c", "d"]
    assert tables_of(query) == ["raw.t", "u"]
    assert output_columns(parse_query("SELECT * FROM t")) is None


def test_positions_of_columns():
    text = "amount > 1 AND status = 'x'"
    assert [(name, text[start : start + length]) for name, start, length in columns_of(parse_expression(text))] == [
        ("amount", "amount"),
        ("status", "status"),
    ]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["status", "Amount_2", "date", "order", "true", "not", "current_date", "if", "é", "e"]),
            st.sampled_from([" = ", "<>", " >=", " in ", " NOT IN ", " like ", "=="]),
            st.sampled_from(["'paid'", "-1", "2.50", "('a', 1)", "(1)", "()", "'it''s'", "'a AND b = 1'", "x", "null"]),
            st.sampled_from(["", " and ", "\nOR ", " xor "]),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_what_needs_no_parser_is_what_the_parser_says(parts):
    text = "".join(map("".join, parts))
    found = plain_columns(text)
    if found is not None:
        assert found == sorted(columns_of(parse_expression(text)), key=lambda column: column[1])


def test_usual_conditions_need_no_parser():
    assert plain_columns("a = 'x' AND b >= 1.5 and c not in ('y', 2)") == [("a", 0, 1), ("b", 12, 1), ("c", 25, 1)]
    assert plain_columns("a = lower('X')") is None
