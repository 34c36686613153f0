"""The compiled SQL as text: readable, deterministic, accepted by each dialect's grammar, one scan a fact table."""

import os
import re
from pathlib import Path

import duckdb
import pytest
import sqlglot
import yaml
from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, write_definitions, write_warehouse
from sqlglot import exp

from metricdef.api import Project
from metricdef.compiler.dialects import DIALECTS

GOLDEN = Path(__file__).parent / "golden"
# The functions that every engine has, and few of the dialect's own.
COMMON = {"abs", "avg", "coalesce", "count", "floor", "lag", "max", "min", "nullif", "row_number", "sqrt", "sum"}
OWN = {
    "duckdb": {"epoch_us", "percentile_cont"},
    "postgres": {"array_agg", "extract", "percentile_cont"},
    "snowflake": {"convert_timezone", "extract", "percentile_cont"},
    "spark": {"convert_timezone", "quantile", "unix_micros"},
    "clickhouse": {"arg_max", "is_nan", "parameterized_agg", "todatetime64", "tounixtimestamp64micro"},
    "bigquery": {"is_nan", "unix_micros"},
    "redshift": {"ts_or_ds_diff"},
    "trino": {"arg_max", "date_add", "datediff", "infinity", "is_nan", "round", "time_to_unix"},
}
FULL = {
    "primary": {"buyers": {"mde": "2%"}},
    "secondary": {"revenue": None, "order_value": None, "orders_per_user": None, "products": None, "largest": None},
    "guardrail": {"refunds": {"margin": "1pp"}},
}
MORE = {
    "metrics": {
        "products": {
            "type": "mean", "source": "orders", "agg": "count_distinct", "measure": "product", "window": "7d", "direction": "increase",
        },
        "largest": {
            "type": "mean", "source": "orders", "agg": "max", "measure": "amount", "missing": "zero", "window": "last 7d", "direction": "increase",
            "cap": {"lower": 0, "upper": 500}, "covariates": {"lookback": "14d", "extra": ["orders_per_user", "users.age"]},
        },
    },
    "segments": {"web": {"source": "assignments", "filter": "platform = 'web'"}, "grown_up": {"source": "users", "filter": "age >= 18"},
                 "known": {"source": "orders", "filter": "status = 'paid'", "lookback": "30d"}},
    "sources": {"users": {"kind": "attributes", "table": "users", "entities": {"user": "user_id"}, "dimensions": ["age"]}},
}  # fmt: skip


# One metric of each type; covariates of one metric only.
TYPES = {
    "metrics": {
        "buyers": {"type": "proportion", "source": "orders", "window": "7d", "direction": "increase"},
        "revenue": {
            "type": "mean", "source": "orders", "agg": "sum", "measure": "amount", "window": "7d", "direction": "increase",
            "cap": {"upper": "p99", "zeros": "exclude"}, "covariates": {"lookback": "14d", "extra": ["users.age"]},
        },
        "first_order": {
            "type": "mean", "source": "orders", "agg": "first", "measure": "amount", "missing": "exclude", "window": "7d", "direction": "increase",
        },
        "active_days": {"type": "mean", "source": "orders", "agg": "active_days", "per": "day", "window": "7d", "direction": "increase"},
        "spenders": {
            "type": "threshold", "source": "orders", "agg": "sum", "measure": "amount", "more_than": 50, "window": "7d", "direction": "increase",
        },
        "returned": {"type": "retention", "source": "orders", "window": "3d..7d", "min_rows": 2, "direction": "increase"},
        "order_value": {
            "type": "ratio", "numerator": "revenue", "denominator": {"source": "orders", "agg": "count"}, "window": "7d", "direction": "increase",
        },
        "paid": {
            "type": "funnel", "window": "7d", "direction": "increase",
            "steps": [{"name": "placed", "source": "orders"}, {"name": "paid", "source": "orders", "filter": "status = 'paid'", "within": "2d"}],
        },
        "amount_p90": {
            "type": "quantile", "source": "orders", "measure": "amount", "quantile": "p90", "of": "events", "window": "7d", "direction": "increase",
        },
        "median": {
            "type": "quantile", "source": "orders", "agg": "sum", "measure": "amount", "quantile": "p50", "missing": "exclude", "window": "7d",
            "direction": "increase",
        },
    },
    "sources": MORE["sources"],
}  # fmt: skip
PLAIN = {"source": "assignments", "key": "test"}
EVERY_TYPE = experiment(
    metrics={
        "primary": {"buyers": {"mde": "2%"}},
        "secondary": dict.fromkeys(name for name in TYPES["metrics"] if name not in ("buyers", "revenue")),
    },
    exposure=PLAIN,
)
# A trigger, strata and breakdowns.
SPLIT = experiment(
    metrics={"primary": {"revenue": {"mde": "2%"}}},
    exposure={**PLAIN, "trigger": {"source": "orders", "filter": "status = 'cart'"}},
    analysis={"strata": ["platform"], "breakdowns": ["users.age"]},
)
# A ramp over clusters.
CLUSTERS = experiment(
    metrics={"primary": {"buyers": {"mde": "2%"}}, "secondary": {"order_value": None}},
    exposure={**PLAIN, "mixed": "first_arm"},
    cluster="shop",
    ramp=[
        {"from": "2026-01-01", "shares": {"control": "90%", "treatment": "10%"}},
        {"from": "2026-01-08", "shares": {"control": "50%", "treatment": "50%"}},
    ],
)
# Effects followed over the days since a trigger.
NOVELTY = experiment(
    metrics={"primary": {"revenue": {"mde": "2%"}}, "secondary": {"buyers": None}},
    exposure={**PLAIN, "trigger": {"source": "orders", "filter": "status = 'cart'"}},
    analysis={"novelty": ["revenue", "buyers"]},
)


DESIGNS = {"types": EVERY_TYPE, "splits": SPLIT, "clusters": CLUSTERS, "novelty": NOVELTY}


def write_covariates(root):
    settings = {**PROJECT, "defaults": {"timezone": "Europe/Berlin", "covariates": {"lookback": "14d"}}}
    return write_definitions(
        root,
        SOURCES,
        METRICS,
        MORE,
        experiment(metrics=FULL, population=["web", "grown_up", "known"]),
        project=settings,
    )


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Project(write_covariates(tmp_path))


def test_it_is_byte_identical_for_equal_input(project):
    first, second = (project.compile("test", as_of="2026-03-01").text for _ in range(2))
    assert first == second
    reloaded = Project(project.root).compile("test", as_of="2026-03-01").text
    assert reloaded == first
    assert project.compile("test", as_of="2026-03-02").text != first


def test_no_wall_clock(project):
    text = project.compile("test", as_of="2026-03-01").text.lower()
    assert not re.search(r"now\(|current_|getdate|sysdate|random|uuid", text)


def test_an_engine_that_computes_a_cte_twice_gets_temporary_tables(project):
    statements = project.compile("test", "snowflake", as_of="2026-03-01").statements
    for source in ("assignments", "orders", "users"):
        assert sum(len(re.findall(rf"\bFROM {source}\b", statement)) for statement in statements) == 1, source
    made = set()
    for statement in statements:
        used = set(re.findall(r"(?:FROM|JOIN) (md_\w+)", statement))
        here = set(re.findall(r"^(md_\w+) AS \(", statement, re.MULTILINE))
        assert used <= made | here, "every name is made before it is read"
        made |= set(re.findall(r"TABLE (md_\w+) AS", statement))


@pytest.mark.parametrize(
    "checks", [{}, {"grain": "product", "expect": {"not_null": ["amount"], "unique": ["user_id"]}}]
)
def test_each_table_is_scanned_once(project, checks):
    """EXPLAIN of the DuckDB plan, 9 metrics with covariates and segments: one scan per table, also with its rows checked."""
    orders = {**SOURCES["sources"]["orders"], **checks}
    sources = {"sources": {**SOURCES["sources"], "orders": orders}}
    (project.root / "metrics" / "part_0.yml").write_text(yaml.safe_dump(sources), encoding="utf-8")
    project = Project(project.root)
    write_warehouse(
        project.root,
        *TABLES,
        "CREATE TABLE users AS SELECT 'u' || i AS user_id, i % 50 AS age FROM range(100) AS r(i)",
        "INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END,"
        " TIMESTAMP '2026-01-02' + INTERVAL 1 HOUR * i, 'web' FROM range(100) AS r(i)",
        "INSERT INTO orders SELECT 'u' || i % 100, TIMESTAMP '2025-12-01' + INTERVAL 1 HOUR * i, i, 'p', 'paid' FROM range(2000) AS r(i)",
    )
    query = project.compile("test", as_of="2026-03-01")
    with duckdb.connect(str(project.root / "warehouse.duckdb"), read_only=True) as connection:
        plan = connection.execute("EXPLAIN (FORMAT JSON) " + query.statements[0].split("\n\n", 1)[1]).fetchall()[0][1]
    for table in ("assignments", "orders", "users"):
        assert len(re.findall(rf'"Table": "(?:\w+\.)*{table}"', plan)) == 1, table
        snowflake = project.compile("test", "snowflake", as_of="2026-03-01").text
        assert len(re.findall(rf"\bFROM {table}\b", snowflake)) == 1, table


def test_a_new_metric_adds_its_columns_and_changes_no_others(project):
    before = project.plan("test", "2026-03-01")
    names = {column.name for column in before.unit_columns}
    write_definitions(
        project.root, SOURCES, METRICS, MORE,
        {"metrics": {"spend": {"type": "mean", "source": "orders", "agg": "sum", "measure": "amount", "window": "3d", "direction": "increase"}}},
        experiment(metrics={**FULL, "secondary": {**FULL["secondary"], "spend": None}}, population=["web", "grown_up", "known"]),
        project={**PROJECT, "defaults": {"timezone": "Europe/Berlin", "covariates": {"lookback": "14d"}}},
    )  # fmt: skip
    after = Project(project.root).plan("test", "2026-03-01")
    # Revenue before exposure is shared: only the outcome is new.
    assert {column.name for column in after.unit_columns} - names == {"spend"}


@pytest.fixture(scope="module")
def designs(tmp_path_factory):
    """Projects by the name that their golden files have."""
    folder = tmp_path_factory.mktemp("designs")
    assignments = SOURCES["sources"]["assignments"]
    shops = {
        "sources": {
            **SOURCES["sources"],
            "assignments": {**assignments, "entities": {"user": "user_id", "shop": "shop_id"}},
        }
    }
    settings = {**PROJECT, "entities": ["user", "shop"], "defaults": {"unit": "user", "timezone": "Europe/Berlin"}}
    for name, protocol in DESIGNS.items():
        write_definitions(folder / name, shops, TYPES, protocol, project=settings)
    write_covariates(folder / "covariates")
    return {name: Project(folder / name) for name in ("covariates", *DESIGNS)}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", ["covariates", *DESIGNS])
def test_golden(designs, name, dialect):
    """Whole experiments as a reviewer would read them. Rewrite with UPDATE_GOLDEN=1 and read the difference."""
    query = designs[name].compile("test", dialect, as_of="2026-03-01")
    path, text = GOLDEN / f"{name}_{dialect}.sql", query.text
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
    assert_readable(text, dialect)
    trees = []
    for statement in query.statements:
        (tree,) = sqlglot.parse(statement, read=DIALECTS[dialect].sqlglot)
        assert tree is not None
        trees.append(tree)
    called = {name for tree in trees for name in functions(tree)}
    assert called > {"count", "sum", "min"}
    assert called <= COMMON | OWN[dialect]
    if dialect == "snowflake":
        # Quoted in lower case they would be other columns, and the server that imitates Snowflake takes them.
        quoted = {node.name for tree in trees for node in tree.find_all(exp.Identifier) if node.quoted}
        assert quoted == {name.upper() for name in quoted}


def assert_readable(text, dialect):
    assert text.startswith(f"-- metricdef 0.1.0: experiment test, dialect {dialect}\n")
    assert text.count("{{") == text.count("{%") == 0
    assert not re.search(r"now\(|current_|getdate|sysdate|random|uuid", text.lower())
    # Names longer than 63 characters are cut by PostgreSQL without a word.
    assert max(map(len, re.findall(r"[A-Za-z_][A-Za-z0-9_]*", re.sub(r"--.*", "", text)))) <= 63
    # A stage without a comment says nothing to its reviewer.
    assert re.findall(r"^(?!--)[^\n]*\n(md_\w+) AS \($", text, re.MULTILINE) == []
    assert not re.search(r"[ \t]$", text, re.MULTILINE)


def functions(tree):
    """Names of the functions called: sqlglot parses any, and one that the engine lacks would be seen in a run alone."""
    for node in tree.find_all(exp.Func):
        if isinstance(node, exp.Anonymous):
            yield node.name.lower()
        elif not isinstance(node, (exp.And, exp.Or, exp.Case, exp.If, exp.Cast)):
            yield node.sql_name().lower()


def test_schemas_of_a_profile(tmp_path):
    sources = {
        "sources": {**SOURCES["sources"], "orders": {**SOURCES["sources"]["orders"], "table": "analytics.orders"}}
    }
    profiles = {"prod": {"type": "snowflake", "account": "${ACCOUNT}", "schemas": {"analytics": "ANALYTICS_PROD"}}}
    write_definitions(tmp_path, sources, METRICS, experiment(), project={**PROJECT, "profiles": profiles})
    text = Project(tmp_path).compile("test", as_of="2026-03-01").text
    assert "FROM ANALYTICS_PROD.orders" in text
    assert "dialect snowflake" in text
