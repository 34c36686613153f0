"""Ways in which the compiled SQL could count the wrong rows without any error."""

import duckdb
import pytest
from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.api import Project
from metricdef.compiler.dialects import DIALECTS
from metricdef.compiler.sql_text import SqlText
from metricdef.definitions.models import Source
from metricdef.errors import DefinitionErrors, MetricdefError, UsageError

pytestmark = pytest.mark.soundness
BUYERS = {"primary": {"buyers": {"mde": "2%"}}}


def values(root, metric="buyers", as_of="2026-03-01"):
    readout = Project(root).run("test", as_of=as_of)
    row = next(r for r in readout.estimates if r.metric == metric)
    return row.units, row.baseline_value, row.arm_value


def fill(root, *statements, definitions=None, **changes):
    write_definitions(root, *(definitions or (SOURCES, METRICS)), experiment(metrics=BUYERS, **changes))
    write_warehouse(root, *TABLES, *statements)


def test_a_unit_without_an_attributes_row_is_in_no_segment(tmp_path):
    """`tier IS NULL` must not hold for a unit of which nothing is known."""
    sources = {
        "sources": {
            **SOURCES["sources"],
            "users": {"kind": "attributes", "table": "users", "entities": {"user": "user_id"}, "dimensions": ["tier"]},
        }
    }
    segments = {"segments": {"untiered": {"source": "users", "filter": "tier IS NULL"}}}
    fill(
        tmp_path,
        "CREATE TABLE users (user_id VARCHAR, tier VARCHAR)",
        "INSERT INTO users SELECT 'u' || i, NULL FROM range(20) AS r(i)",
        "INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END, TIMESTAMP '2026-01-02', 'web' FROM range(40) AS r(i)",
        "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-03', 1, 'p', 'paid' FROM range(0, 40, 4) AS r(i)",
        definitions=(sources, segments, METRICS), population=["untiered"],
    )  # fmt: skip
    assert values(tmp_path)[0] == (10, 10)


def test_exposures_before_the_start_are_not_counted_as_after_as_of(tmp_path):
    fill(tmp_path, "INSERT INTO assignments VALUES ('a', 'test', 'control', TIMESTAMP '2025-12-20', 'web')")
    readout = Project(tmp_path).run("test", as_of="2025-12-10")
    assert (readout.excluded_units["rows_before_start"], readout.excluded_units["rows_after_as_of"]) == (1, 0)


@pytest.mark.parametrize(
    "column", ["unit", "ts_us", "arm", "t0_us", "since_us", "m_amount", "f_1", "f_kind", "fact_rows"]
)
def test_a_column_named_like_ours_means_the_analysts_column(tmp_path, column):
    """An alias of the compiled SQL must not capture a column of the table in an expression."""
    orders = {**SOURCES["sources"]["orders"], "filter": f"{column} = 'yes'"}
    sources = {"sources": {**SOURCES["sources"], "orders": orders}}
    fill(
        tmp_path,
        f"ALTER TABLE orders ADD COLUMN {column} VARCHAR",
        "INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END, TIMESTAMP '2026-01-02', 'web' FROM range(40) AS r(i)",
        "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-03', 1, 'p', 'paid', CASE WHEN i % 4 = 0 THEN 'yes' ELSE 'no' END FROM range(40) AS r(i)",
        definitions=(sources, METRICS),
    )  # fmt: skip
    readout = Project(tmp_path).run("test", as_of="2026-03-01")
    (row,) = readout.estimates
    assert (row.baseline_value, row.arm_value) == (0.5, 0.0)


@pytest.mark.parametrize("table", ["units", "entries", "eligible", "arms", "moments"])
def test_a_table_named_like_a_stage_is_still_the_table(tmp_path, table):
    sources = {"sources": {**SOURCES["sources"], "orders": {**SOURCES["sources"]["orders"], "table": table}}}
    fill(
        tmp_path,
        f"CREATE TABLE {table} AS SELECT 'u' || i AS user_id, TIMESTAMP '2026-01-03' AS happened_at, 1.0 AS amount, 'p' AS product, 'paid' AS status FROM range(0, 40, 4) AS r(i)",
        "INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END, TIMESTAMP '2026-01-02', 'web' FROM range(40) AS r(i)",
        definitions=(sources, METRICS),
    )  # fmt: skip
    assert values(tmp_path) == ((20, 20), 0.5, 0.0)


def test_a_table_named_like_a_cte_is_refused(tmp_path):
    sources = {"sources": {**SOURCES["sources"], "orders": {**SOURCES["sources"]["orders"], "table": "md_units"}}}
    write_definitions(tmp_path, sources, METRICS, experiment(metrics=BUYERS))
    with pytest.raises(UsageError, match="md_"):
        Project(tmp_path).compile("test")


def test_time_zones(tmp_path):
    """The same instants written with a zone, without one, and as local time give the same numbers."""
    for name, kind, text, extra in (
        ("aware", "TIMESTAMPTZ", "'2026-01-02 07:30:00+01:00'", {}),
        ("naive", "TIMESTAMP", "'2026-01-02 06:30:00'", {}),
        ("local", "TIMESTAMP", "'2026-01-02 07:30:00'", {"timezone": "Europe/Berlin"}),
        ("day", "TIMESTAMP", "'2026-01-02 06:30:00'", {}),
    ):
        root = tmp_path / name
        sources = {"sources": {**SOURCES["sources"], "orders": {**SOURCES["sources"]["orders"], **extra}}}
        fill(
            root,
            f"ALTER TABLE orders ALTER happened_at SET DATA TYPE {kind}",
            "INSERT INTO assignments VALUES ('a', 'test', 'control', TIMESTAMP '2026-01-02 06:30:00', 'web'), ('b', 'test', 'treatment', TIMESTAMP '2026-01-02 06:30:00.000001', 'web')",
            f"INSERT INTO orders SELECT u, {kind} {text}, 1, 'p', 'paid' FROM (VALUES ('a'), ('b')) AS v(u)",
            definitions=(sources, METRICS),
        )  # fmt: skip
        assert values(root) == ((1, 1), 1.0, 0.0), name


def test_a_time_zone_on_a_column_that_has_one_is_refused(tmp_path):
    sources = {
        "sources": {**SOURCES["sources"], "orders": {**SOURCES["sources"]["orders"], "timezone": "Europe/Berlin"}}
    }
    fill(tmp_path, "ALTER TABLE orders ALTER happened_at SET DATA TYPE TIMESTAMPTZ", definitions=(sources, METRICS))
    with pytest.raises(DefinitionErrors) as caught:
        Project(tmp_path).run("test", as_of="2026-03-01")
    assert caught.value.diagnostics[0].rule == "timezone-on-aware-column"


@pytest.mark.parametrize(
    ("field", "value"),
    [("dbt_manifest", "target/manifest.json"), ("dialect", "snowflake")],
)
def test_project_settings_are_not_accepted_and_ignored(tmp_path, field, value):
    write_definitions(tmp_path, SOURCES, METRICS, experiment(metrics=BUYERS), project={**PROJECT, field: value})
    with pytest.raises(MetricdefError) as caught:
        Project(tmp_path).compile("test")
    assert caught.value.diagnostics[0].rule == "not-yet"


def test_no_p_value_before_the_planned_end(tmp_path):
    """A look before the end must not leak a test by any door."""
    sources = {
        "sources": {
            **SOURCES["sources"],
            "users": {"kind": "attributes", "table": "users", "entities": {"user": "user_id"}, "dimensions": ["age"]},
        }
    }
    metrics = {
        "metrics": {
            **METRICS["metrics"],
            "revenue": {
                **METRICS["metrics"]["revenue"],
                "cap": {"upper": 3},
                "covariates": {"lookback": "0d", "extra": ["users.age"]},
            },
        }
    }
    write_definitions(tmp_path, sources, metrics, experiment(metrics={"primary": {"revenue": {"mde": "2%"}}}))
    write_warehouse(
        tmp_path, *TABLES,
        "CREATE TABLE users AS SELECT 'u' || i AS user_id, i % 17 AS age FROM range(400) AS r(i)",
        "INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END, TIMESTAMP '2026-01-02', 'web' FROM range(400) AS r(i)",
        "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-03', i % 7 + i % 17, 'p', 'paid' FROM range(400) AS r(i)",
    )  # fmt: skip
    early = Project(tmp_path).run("test", as_of="2026-01-20").estimates[0]
    final = Project(tmp_path).run("test", as_of="2026-02-01").estimates[0]
    assert final.unadjusted["p_value"] is not None
    assert final.cap.uncapped["p_value"] is not None
    assert (early.p_value, early.tests, early.unadjusted["p_value"], early.cap.uncapped["p_value"]) == (
        None,
        (),
        None,
        None,
    )
    for inner, outer in ((final.absolute, early.absolute), (final.relative, early.relative)):
        assert outer.lower < inner.lower < inner.upper < outer.upper
    assert early.unadjusted["upper"] - early.unadjusted["lower"] > final.unadjusted["upper"] - final.unadjusted["lower"]


def test_a_quantile_of_events_alone_knows_its_units(tmp_path):
    """Without another metric no column of units was asked for, and the events were those of no unit at all."""
    wait = {"type": "quantile", "source": "orders", "measure": "amount", "quantile": "p50", "of": "events", "direction": "decrease"}  # fmt: skip
    write_definitions(
        tmp_path, SOURCES, {"metrics": {"wait": wait}}, experiment(metrics={"primary": {"wait": {"mde": "2%"}}})
    )
    write_warehouse(
        tmp_path, *TABLES,
        "INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END, TIMESTAMP '2026-01-05', 'web' FROM range(400) AS r(i)",
        "INSERT INTO orders SELECT 'u' || (i % 400), TIMESTAMP '2026-01-06', (i * 7919) % 1000, 'p', 'paid' FROM range(2000) AS r(i)",
    )  # fmt: skip
    row = Project(tmp_path).run("test", as_of="2026-03-01").estimates[0]
    assert (row.units, row.reason) == ((200, 200), None)
    assert row.absolute.std_error > 0


@pytest.mark.parametrize(
    ("kind", "value", "texts"),
    [
        ("VARCHAR", "'paid'", ("paid", "sent")),
        ("VARCHAR COLLATE NOCASE", "'Paid'", ("paid", "Paid")),
        ("VARCHAR COLLATE NOCASE", "'Paid'", ("paid", "PAID", "sent")),
        ("BOOLEAN", "TRUE", ("true", "t")),
        ("DOUBLE", "1", ("1", "1.0")),
        ("DOUBLE", "'inf'", ("inf", "infinity")),
        ("DATE", "'2026-01-05'", ("2026-01-05", "2026-1-5")),
        (
            "UUID",
            "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
            ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"),
        ),
        # A Thai collation does not look at spaces and punctuation.
        ("VARCHAR COLLATE th", "'page_view'", ("page_view", "pageview")),
        ("VARCHAR COLLATE th", "'Page View'", ("PageView", "Page View", "sent")),
    ],
)
def test_a_value_that_equals_two_texts_counts_for_both(tmp_path, kind, value, texts):
    """A row is of one kind only where the filters' texts can't be the same value."""
    metrics = {f"m{i}": {**METRICS["metrics"]["buyers"], "filter": f"extra = '{text}'"} for i, text in enumerate(texts)}
    fill(
        tmp_path,
        f"ALTER TABLE orders ADD COLUMN extra {kind}",
        "INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END, TIMESTAMP '2026-01-02', 'web' FROM range(40) AS r(i)",
        f"INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-03', 1, 'p', 'paid', {value} FROM range(0, 40, 4) AS r(i)",
        definitions=({"sources": SOURCES["sources"]}, {"metrics": {**METRICS["metrics"], **metrics}}),
    )  # fmt: skip
    only = {"primary": {"buyers": {"mde": "2%"}}, "secondary": dict.fromkeys(metrics)}
    write_definitions(tmp_path, SOURCES, {"metrics": {**METRICS["metrics"], **metrics}}, experiment(metrics=only))
    readout = Project(tmp_path).run("test", as_of="2026-03-01")
    found = {row.metric: row.baseline_value for row in readout.estimates}
    assert [found[name] for name in metrics] == [0.0 if text == "sent" else 0.5 for text in texts]


@pytest.mark.parametrize("dialect", ["snowflake", "trino", "postgres"])
@pytest.mark.parametrize("test", ["is true", "is not true", "is false", "is not false"])
@pytest.mark.parametrize(
    "around", ["{}", "NOT {}", "({}) AND NOT ({})", "(NOT {}) IS NOT TRUE", "({} IS FALSE) IS TRUE"]
)
def test_what_is_not_known_stays_neither_true_nor_false(dialect, test, around):
    """`x IS NOT TRUE` became `NOT x` in a source written for Snowflake: rows without a value were lost."""
    text = around.replace("{}", f"(x > 5) {test}")
    source = Source.model_validate(
        {"table": "t", "timestamp": "at", "entities": {"user": "id"}, "dialect": dialect, "dimensions": {"d": text}}
    )
    sql = SqlText(DIALECTS[dialect])
    query = source.model_copy(update={"table": None, "sql": f"SELECT {text} AS d FROM t"})
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT * FROM (VALUES (3), (7), (NULL)) AS v(x)")

        def values(written):
            return connection.execute(f"SELECT {written} FROM t").fetchall()

        expected = values(text)
        assert values(sql.condition(text, "s", source)) == expected
        assert values(sql.column(text, "s", source)) == expected
        assert values(sql.condition("d", "s", source)) == expected
        assert connection.execute(f"SELECT d FROM {sql.relation('s', query)}").fetchall() == expected


def test_rows_that_are_not_known_to_be_true_are_read_too(tmp_path):
    """What a metric wants of a source is written once more, where its rows are read."""
    sources = {"sources": {**SOURCES["sources"]}}
    sources["sources"]["orders"] = {**sources["sources"]["orders"], "dialect": "snowflake"}
    metrics = {"buyers": {**METRICS["metrics"]["buyers"], "filter": "(amount > 5) IS NOT TRUE"}}
    write_definitions(tmp_path, sources, {"metrics": metrics}, experiment(metrics=BUYERS))
    text = Project(tmp_path).compile("test", dialect="snowflake", as_of="2026-03-01").text
    assert text.count("NOT COALESCE(amount > 5, FALSE)") == text.count("amount > 5") == 2


@pytest.mark.parametrize(
    ("dialect", "text", "wanted"),
    [
        ("clickhouse", "rand() % 4", "rand() % 4"),  # was randCanonical(), a double below 1: all rows gave 0
        ("clickhouse", "toStartOfHour(x)", "toStartOfHour(x)"),
        ("spark", "log(x) + log10(x)", "LOG(x) + LOG10(x)"),
        ("snowflake", "nvl(a / b, dateadd(day, 1, x))", "NVL(a / NULLIF(b, 0), DATEADD(DAY, 1, x))"),
    ],
)
def test_functions_of_a_source_s_own_dialect_are_those_that_it_calls(dialect, text, wanted):
    table = DIALECTS[dialect]
    written = {"table": "t", "timestamp": "at", "entities": {"user": "id"}, "dialect": table.sqlglot}
    source = Source.model_validate({**written, "dimensions": {"d": text}})
    query = Source.model_validate({**written, "table": None, "sql": f"SELECT ANY_VALUE(y) AS y, {text} AS d FROM t"})
    sql = SqlText(table)
    assert sql.column(text, "s", source) == wanted
    assert wanted in sql.relation("s", query).replace("NULLIF(b, 0)", "b").replace("a / b", "a / NULLIF(b, 0)")
