"""Ways in which definitions could change numbers while lock and plan say that nothing changed."""

import copy

import pytest
from projects import METRICS, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.api import Project
from metricdef.definitions.load import load_project
from metricdef.governance.meaning import canonical_query
from metricdef.review.compare import compare
from tests.governance.shop import PROJECT as SHOP_PROJECT
from tests.governance.shop import SHOP, changed

pytestmark = pytest.mark.soundness

UNITS = (
    "INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END,"
    " TIMESTAMP '2026-01-02', 'web' FROM range(400) AS r(i)"
)
ORDERS = "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-03', 10 + i % 7, 'p,q', 'paid' FROM range(400) AS r(i)"


def with_query(root, sql):
    definitions = copy.deepcopy(SOURCES)
    orders = definitions["sources"]["orders"]
    del orders["table"], orders["dimensions"]
    orders |= {"sql": sql, "dialect": "duckdb", "measures": {"amount": "amount"}}
    metrics = {"metrics": {"revenue": METRICS["metrics"]["revenue"]}}
    write_definitions(root, definitions, metrics, experiment(metrics={"primary": {"revenue": {"mde": "2%"}}}))
    return Project(root)


def test_a_column_that_makes_several_rows_of_one_is_no_column_that_nothing_reads(tmp_path):
    """UNNEST in a column that no metric reads doubled every sum, and the lock took both queries for the same."""
    query = "select user_id, happened_at, amount, {} as part from orders"
    queries = (query.format("product"), query.format("unnest(string_split(product, ','))"))
    found = []
    for name, sql in zip("ab", queries, strict=True):
        loaded = with_query(tmp_path / name, sql)
        write_warehouse(tmp_path / name, *TABLES, UNITS, ORDERS)
        found.append(loaded.run("test", as_of="2026-03-01").estimates[0].baseline_value)
    assert found[1] == pytest.approx(2 * found[0])
    with_query(tmp_path, queries[0]).lock("test")
    assert "protocol-changed-after-start" in {d.rule for d in with_query(tmp_path, queries[1]).check()}


@pytest.mark.parametrize(
    ("dialect", "column"),
    [
        ("duckdb", "unnest(tags)"),
        ("postgres", "generate_series(1, 3)"),
        ("postgres", "regexp_split_to_table(tags, ',')"),
        ("spark", "explode(tags)"),
        ("clickhouse", "arrayJoin(tags)"),
        ("duckdb", "count(*)"),
    ],
)
def test_columns_that_could_change_which_rows_there_are_stay(dialect, column):
    read = frozenset({"user_id"})
    one, other = (f"select user_id, {text} as other from t" for text in (column, "tag"))
    assert canonical_query(one, dialect, read) != canonical_query(other, dialect, read)


def review(root, before, after, project=SHOP_PROJECT):
    states = []
    for name, shop, settings in (("before", before, SHOP_PROJECT), ("after", after, project)):
        write_definitions(root / name, *({kind: shop[kind]} for kind in shop), project=settings)
        states.append(load_project(root / name))
        assert not states[-1].errors, states[-1].errors
    return {e.experiment: e for e in compare(*states, "main").experiments}


def draft():
    return changed(SHOP, ("experiments", "checkout", "status"), "draft")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("sources", "visits", "dimensions"), {"page": "lower(page)"}),
        (("sources", "orders", "dimensions", "amount"), "amount * 2"),
        (("sources", "orders", "dimensions", "is_test"), "false"),
    ],
)
def test_a_dimension_in_the_place_of_a_column_is_no_addition(tmp_path, path, value):
    """The conditions of a draft read the dimension from then on; plan called it additive."""
    assert review(tmp_path, draft(), changed(draft(), path, value))["checkout"].change == "result-changing"


def test_which_levels_are_shown_is_a_change_of_results(tmp_path):
    """`min_units` hides levels, and takes them out of the check of the sample ratio; plan called it metadata."""
    effect = review(tmp_path, SHOP, SHOP, {**SHOP_PROJECT, "min_units": 1000})["checkout"]
    assert (effect.change, effect.whole) == ("result-changing", True)


def test_a_source_of_strata_touches_every_metric(tmp_path):
    """Plan named only the metrics that the source adjusts besides."""
    shop = changed(SHOP, ("experiments", "checkout", "analysis", "strata"), ["country"])
    shop = changed(shop, ("experiments", "checkout", "population"), None)
    shop = changed(shop, ("experiments", "checkout", "analysis", "covariates"), {"lookback": "14d"})
    shop = changed(shop, ("metrics", "buyers", "covariates"), {"lookback": "14d", "extra": ["users.age"]})
    assert review(tmp_path, shop, changed(shop, ("sources", "users", "table"), "people"))["checkout"].whole
