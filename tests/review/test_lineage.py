"""What breaks if a column goes: values, conditions, keys, joins and populations, through queries and references."""

from __future__ import annotations

import json

import pytest

from metricdef.api import Project
from metricdef.cli.main import main
from metricdef.definitions.expressions import parse_query
from metricdef.errors import UsageError
from metricdef.review.columns import column_reach, same_table
from tests.review.shop_repository import FILES, Change


@pytest.mark.parametrize(
    ("query", "column", "columns", "rows"),
    [
        ("select a, b as c from t", "t.b", {"c"}, False),
        ("select a from t where b > 1", "t.b", set(), True),
        ("select a from s.t", "s.t.a", {"a"}, False),
        ("select a from s.t", "t.a", {"a"}, False),
        ("select a from other.t", "s.t.a", set(), False),
        ("select * from t", "t.b", {"b"}, False),
        ("select x.* from t x join u on x.k = u.k", "u.k", {"k"}, True),
        ("with x as (select a + b as s, k from t) select k, s * 2 as d from x", "t.b", {"d"}, False),
        ("with x as (select a, k from t where b) select k from x", "t.b", set(), True),
        ("select x.a from (select a, b from t) x", "t.b", set(), False),
        ("select t.a, u.a as ua from t join u on t.k = u.k", "u.a", {"ua"}, False),
        ("select t.a from t join u on t.k = u.k", "u.k", set(), True),
        ("select a from t join u using (k)", "u.k", set(), True),
        ("select a from t union all select b from u", "u.b", {"a"}, False),
        ("select a from t union select b from u", "u.b", {"a"}, True),
        ("select distinct a from t", "t.a", {"a"}, True),
        ("select a, count(*) as n from t group by a", "t.a", {"a"}, True),
        ("select k, sum(a) as s from t group by k", "t.a", {"s"}, False),
        ("select k, sum(a) as s from t group by k having max(b) > 0", "t.b", set(), True),
        ("select a from t order by b limit 3", "t.b", set(), True),
        ("select sum(a) over (partition by b) as w from t", "t.b", {"w"}, False),
        ("select a from t where k in (select k from u where z > 0)", "u.z", set(), True),
        ("select a from t where exists (select 1 from u where u.k = t.k)", "t.k", set(), True),
        ("select a, (select max(z) from u) as m from t", "u.z", {"m"}, False),
        ("select A from T", "t.a", {"a"}, False),
    ],
)  # fmt: skip
def test_what_a_column_reaches_in_a_query(query, column, columns, rows):
    table, _, name = column.rpartition(".")
    reach = column_reach(parse_query(query, "duckdb"), table, name)
    assert (set(reach.columns), reach.rows) == (columns, rows)


def test_names_of_tables():
    assert same_table("analytics.orders", "ORDERS")
    assert same_table('db."analytics".orders', "analytics.orders")
    assert not same_table("analytics.orders", "other.orders")
    assert not same_table("old_orders", "orders")


@pytest.fixture
def shop(tmp_path):
    for name, text in FILES.items():
        Change(tmp_path).write(name, text)
    return tmp_path


def reached(root, column):
    found = Project(root).lineage(column)
    return (
        {metric.name for metric in found.metrics},
        {segment.name for segment in found.segments},
        {e.name: (set(e.metrics), {text.partition(" ")[0] for text in e.through}) for e in found.experiments},
    )


ORDERS = {"conversion", "revenue", "order_count", "order_value", "refund_rate", "products"}
VISITS = {"page_views", "long_visits", "searches", "visit_days"}
READERS = {"checkout": ({"page_views"}, {"trigger"}), "search": ({"searches"}, set()), "banner": ({"page_views", "visit_days"}, set()), "ranking": ({"long_visits"}, set())}  # fmt: skip


@pytest.mark.parametrize(
    ("column", "metrics", "segments", "experiments"),
    [
        # A measure, and a ratio of the metric that takes it.
        ("orders.discount", {"revenue", "order_value"}, set(), {"checkout": ({"revenue", "order_value"}, set())}),
        ("orders.product_id", {"products"}, set(), {}),
        # A dimension in a condition, and the column itself in another.
        ("orders.status", {"conversion", "refund_rate"}, set(), {"checkout": ({"conversion", "refund_rate"}, set())}),
        # The filter, the time and the key of a source.
        *((f"orders.{column}", ORDERS, set(), {"checkout": ({"conversion", "revenue", "order_value", "refund_rate"}, set())}) for column in ("is_test", "ordered_at", "user_id")),
        # A query: its rows, a condition of a metric, a trigger; and that it fails without a column that nothing reads.
        *((f"sessions.{column}", VISITS, set(), READERS) for column in ("is_bot", "page", "seconds", "started_at", "device")),
        # Exposures.
        ("assignments.arm", set(), set(), {name: (set(), {"exposure"}) for name in READERS}),
        ("assignments.user_id", set(), set(), {name: (set(), {"exposure"}) for name in READERS}),
        ("assignments.store_id", set(), set(), {}),
        # A population.
        ("users.age", set(), {"adults"}, {"checkout": (set(), {"population"})}),
        ("users.recorded_at", set(), {"adults"}, {"checkout": (set(), {"population"})}),
        ("orders.ship_to", set(), set(), {}),
    ],
)  # fmt: skip
def test_what_rests_on_a_column(shop, column, metrics, segments, experiments):
    assert reached(shop, column) == (metrics, segments, experiments)


def test_strata_breakdowns_and_covariates(shop):
    change = Change(shop).edit(
        "experiments/search.yml",
        "    metrics:\n",
        "    analysis:\n      strata: [platform]\n      breakdowns: [city]\n      covariates: {lookback: 7d, extra: [products, users.age]}\n    metrics:\n",
    )
    assert reached(change.root, "assignments.platform")[2] == {"search": (set(), {"stratum"})}
    assert reached(change.root, "assignments.city")[2] == {"search": (set(), {"breakdown"})}
    assert reached(change.root, "orders.product_id")[2] == {"search": (set(), {"covariate"})}
    assert reached(change.root, "users.age")[2]["search"] == (set(), {"covariate"})


def test_values_are_told_before_the_query_that_names_the_column(shop):
    found = {m.name: m.through for m in Project(shop).lineage("sessions.seconds").metrics}
    assert found == {
        "long_visits": "measure visits.seconds",
        "searches": "condition seconds > 5",
        "page_views": "source visits: its query names it",
        "visit_days": "source visits: its query names it",
    }


@pytest.mark.parametrize(
    ("column", "message", "help"),
    [
        ("discount", "names no column of a table", "write for example"),
        ("order.discount", "no source reads a table `order`", "did you mean `orders`?"),
        ("visits.sconds", "there is no column `sconds`", "did you mean `seconds`?"),
    ],
)
def test_what_cannot_be_asked(shop, column, message, help):
    with pytest.raises(UsageError, match=message) as raised:
        Project(shop).lineage(column)
    assert help in raised.value.help[0]


def test_the_command(shop, capsys):
    arguments = ["lineage", "--project", str(shop), "--column", "orders.discount"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines() == [
        "orders.discount: 2 metrics, 0 segments and 1 experiment (1 running) rest on it",
        "  measure     orders.net  amount - discount",
        "  metric      order_value  through metric revenue",
        "  metric      revenue  through measure orders.net",
        "  experiment  checkout (running)  primary revenue; secondary order_value",
    ]
    assert main([*arguments, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["experiments"] == [
        {
            "experiment": "checkout",
            "status": "running",
            "metrics": [{"metric": "revenue", "role": "primary"}, {"metric": "order_value", "role": "secondary"}],
            "through": [],
        }
    ]
    assert main([*arguments, "--format", "markdown"]) == 0
    assert '  n0["column orders.discount"] --> n1["measure orders.net"]' in capsys.readouterr().out
