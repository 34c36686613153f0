"""A locked protocol in another spelling is the same protocol: the parser decides, not the text."""

from __future__ import annotations

import copy

import pytest

from metricdef.api import Project
from metricdef.governance.meaning import canonical_condition, canonical_query, respelled
from tests.governance.shop import SHOP, changed, write_shop

E = ("experiments", "checkout")


def findings(tmp_path, before, after):
    write_shop(tmp_path, before).lock("checkout")
    write_shop(tmp_path, after)
    return [d for d in Project(tmp_path).check() if d.severity == "error"]


REFUNDED = ("metrics", "refund_rate", "numerator", "filter")
VISITS = ("sources", "visits", "sql")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (REFUNDED, "status = 'refunded' AND (amount > 0)"),
        (REFUNDED, ["(status = 'refunded')", "amount > 0", "amount > 0"]),
        (("sources", "orders", "dimensions", "paid"), "CASE WHEN status='paid' THEN 1 ELSE 0 END"),
        (VISITS, "SELECT user_id, started_at, page, seconds, device FROM sessions WHERE NOT is_bot"),
        (VISITS, "SELECT user_id, started_at AS started_at, page, seconds * 2 AS twice, seconds FROM sessions WHERE not is_bot;"),
    ],
)  # fmt: skip
def test_another_spelling_is_no_change(tmp_path, path, value):
    assert findings(tmp_path, SHOP, changed(SHOP, path, value)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (REFUNDED, "status = 'refunded' OR amount > 0"),
        (REFUNDED, ["status = 'refunded'", "amount >= 0"]),
        (REFUNDED, ["status = 'Refunded'", "amount > 0"]),
        (("sources", "orders", "dimensions", "paid"), "case when status = 'open' then 1 else 0 end"),
        (VISITS, "select user_id, started_at, page, seconds from sessions"),
        (VISITS, "select user_id, started_at, lower(page) as page, seconds from sessions where not is_bot"),
        # `started_at` is what the source's timestamp is read from.
        (VISITS, "select user_id, ended_at as started_at, page, seconds from sessions where not is_bot"),
        # A column under a name that is read elsewhere in the query is not left out.
        (VISITS, "select user_id, started_at, page, seconds, bot as is_bot from sessions where not is_bot"),
        (VISITS, "select distinct user_id, started_at, page, seconds, device from sessions where not is_bot"),
    ],
)
def test_another_meaning_is_a_change(tmp_path, path, value):
    assert {d.rule for d in findings(tmp_path, SHOP, changed(SHOP, path, value))} == {"protocol-changed-after-start"}


def test_values_of_a_column_called_filter_are_no_conditions(tmp_path):
    shop = changed(SHOP, (*E, "decision", "ship"), {"primary": "any_superior", "quality": "all_pass"})
    accepted = ("sources", "orders", "expect", "accepted")
    before, after = (changed(shop, accepted, {"filter": [text]}) for text in ("a <> b", "a != b"))
    assert {d.rule for d in findings(tmp_path, before, after)} == {"protocol-changed-after-start"}


def test_arms_and_metrics_may_be_called_as_fields_that_hold_sql():
    tree = {
        "arms": {"measures": {"key": "(a)"}, "sql": {"key": "a  b"}, "filter": {}, "source": {"key": "A"}},
        "ramp": [{"shares": {"sql": "1/2", "table": "1/2"}}],
        "metrics": {"primary": {"dimensions": {"mde": "(2)"}}},
    }
    assert respelled(tree, {}) == tree


def renamed(old: str, new: str) -> dict:
    """The shop with a metric under another name, wherever it is named."""
    shop = copy.deepcopy(SHOP)
    shop["metrics"] = {
        (new if name == old else name): {
            **metric,
            **{k: new for k in ("numerator", "denominator") if metric.get(k) == old},
            **({"renamed_from": old} if name == old else {}),
        }
        for name, metric in shop["metrics"].items()
    }
    experiment = shop["experiments"]["checkout"]
    for role in ("primary", "secondary"):
        experiment["metrics"][role] = {(new if m == old else m): t for m, t in experiment["metrics"][role].items()}
    practical = experiment["decision"]["practical"]
    experiment["decision"]["practical"] = {(new if m == old else m): size for m, size in practical.items()}
    experiment["analysis"]["covariates"]["extra"] = [new if e == old else e for e in experiment["analysis"]["covariates"]["extra"]]  # fmt: skip
    return shop


@pytest.mark.parametrize("old", ["buyers", "order_count", "minutes", "order_value"])
def test_a_metric_may_take_another_name(tmp_path, old):
    assert findings(tmp_path, SHOP, renamed(old, "z_new")) == []
    assert Project(tmp_path).lock("checkout").states == 2
    assert [d for d in Project(tmp_path).check() if d.severity == "error"] == []


def test_a_metric_whose_slope_is_asked_for_may_take_another_name(tmp_path):
    shop = changed(SHOP, (*E, "analysis", "novelty"), ["page_views", "buyers"])
    after = changed(renamed("buyers", "z_new"), (*E, "analysis", "novelty"), ["z_new", "page_views"])
    assert findings(tmp_path, shop, after) == []


def test_another_name_is_no_cover_for_another_meaning(tmp_path):
    shop = changed(renamed("buyers", "payers"), ("metrics", "payers", "filter"), "paid = 0")
    assert [d.message.split("`")[3] for d in findings(tmp_path, SHOP, shop)] == ["metrics.payers.filter"]


def test_spellings_of_conditions():
    assert canonical_condition("a = 1 and (b != 2 and c)") == canonical_condition("c AND b <> 2 AND a=1")
    assert canonical_condition("a = 1 or b") != canonical_condition("a = 1 and b")
    assert canonical_condition("no sql (") == ("no sql (",)


def test_columns_that_are_not_read_are_left_out_only_where_rows_cannot_depend_on_them():
    read = frozenset({"a"})
    assert canonical_query("select a, b from t", None, read) == canonical_query("select a, c from t", None, read)
    for query in ("select distinct a, {} from t", "select a, {} from t union select a, a from t", "select a, {}, count(*) as n from t group by 1, 2"):  # fmt: skip
        assert canonical_query(query.format("b"), None, read) != canonical_query(query.format("c"), None, read)
