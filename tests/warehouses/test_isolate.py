"""A metric that the engine refuses is named with the engine's reason; the others are what they are without it."""

from __future__ import annotations

import pytest
import yaml
from projects import METRICS, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.api import Project
from metricdef.errors import DefinitionErrors, WarehouseError, WarehouseTimeout
from metricdef.warehouses.duckdb import DuckDBWarehouse

ROWS = (
    """INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END,
    TIMESTAMP '2026-01-02', 'web' FROM range(60) AS t(i)""",
    "INSERT INTO orders SELECT 'u' || (i % 45), TIMESTAMP '2026-01-03', i % 7, 'p' || (i % 3), 'paid' FROM range(90) AS t(i)",
)
BAD = {
    "missing_column": ({"measures": {"amount": "amount", "product": "product", "bad": "nowhere + 1"}}, "nowhere"),
    "not_a_number": ({"measures": {"amount": "amount", "product": "product", "bad": "product"}}, "VARCHAR"),
    "fails_on_a_row": ({"measures": {"amount": "amount", "product": "product", "bad": "CAST(product AS DOUBLE)"}}, "p"),
}


def project(tmp_path, *, source=None, bad=None, extra=(), secondary=("revenue", "bad"), filled=(*TABLES, *ROWS)):
    sources = {"sources": {**SOURCES["sources"], "orders": {**SOURCES["sources"]["orders"], **(source or {})}}}
    definition = bad or {"type": "mean", "source": "orders", "agg": "sum", "measure": "bad", "direction": "increase"}
    metrics = {"metrics": {**METRICS["metrics"], "bad": definition}}
    listed = {"primary": {"buyers": {"mde": "2%"}}, "secondary": dict.fromkeys(secondary)}
    write_definitions(tmp_path, sources, metrics, *extra, experiment(metrics=listed))
    write_warehouse(tmp_path, *filled)
    return Project(tmp_path)


def rows(readout):
    return {row.metric: row for row in readout.estimates}


@pytest.mark.parametrize("name", BAD)
def test_a_refused_metric_is_named_and_the_rest_runs(tmp_path, name):
    source, word = BAD[name]
    found = rows(project(tmp_path / "with", source=source).run("test", as_of="2026-03-01"))
    bad = found["bad"]
    assert (bad.verdict, bad.reason) == ("not_computed", "sql_refused")
    assert word in bad.message
    alone = rows(
        project(tmp_path / "without", bad=METRICS["metrics"]["buyers"], secondary=("revenue",)).run(
            "test", as_of="2026-03-01"
        )
    )
    for metric in ("buyers", "revenue"):
        assert found[metric].absolute == alone[metric].absolute
        assert found[metric].relative == alone[metric].relative


def test_what_the_experiment_does_not_use_is_neither_asked_about_nor_in_its_way(tmp_path, monkeypatch):
    shop = project(tmp_path, source=BAD["missing_column"][0], secondary=("revenue",))
    asked = []
    describe = DuckDBWarehouse.describe
    monkeypatch.setattr(DuckDBWarehouse, "describe", lambda self, text: (asked.append(text), describe(self, text))[1])
    assert {row.reason for row in shop.run("test", as_of="2026-03-01").estimates} == {None}
    assert any("amount" in text for text in asked)
    assert not [text for text in asked if "nowhere" in text]


def test_a_refused_metric_keeps_its_place_in_the_family(tmp_path):
    source, _ = BAD["fails_on_a_row"]
    revenue = rows(project(tmp_path, source=source).run("test", as_of="2026-03-01"))["revenue"]
    assert revenue.p_adjusted == pytest.approx(min(1.0, 2 * revenue.p_value))


def test_overflow_is_isolated(tmp_path):
    source = {"measures": {"amount": "amount", "product": "product", "bad": "EXP(amount * 1000) - EXP(amount * 999)"}}
    found = rows(project(tmp_path, source=source).run("test", as_of="2026-03-01"))
    assert found["bad"].verdict == "not_computed"
    assert found["revenue"].absolute is not None


def test_a_missing_table_takes_its_metrics_only(tmp_path):
    clicks = {"clicks": {"table": "clicks", "timestamp": "at", "entities": {"user": "user_id"}}}
    bad = {"type": "mean", "source": "clicks", "agg": "count", "direction": "increase"}
    found = rows(project(tmp_path, bad=bad, extra=({"sources": clicks},)).run("test", as_of="2026-03-01"))
    assert "`clicks` is not in the warehouse" in found["bad"].message
    assert found["buyers"].absolute is not None


@pytest.mark.parametrize("key", ["timestamp", "partition"])
def test_a_time_that_is_none_takes_its_metrics_only(tmp_path, key):
    shipped = {"table": "orders", "timestamp": "happened_at", "entities": {"user": "user_id"}, key: "amount"}
    bad = {"type": "mean", "source": "shipped", "agg": "count", "direction": "increase"}
    found = rows(project(tmp_path, bad=bad, extra=({"sources": {"shipped": shipped}},)).run("test", as_of="2026-03-01"))
    assert "`amount` is DOUBLE, not a timestamp" in found["bad"].message
    assert found["buyers"].absolute is not None


def test_units_of_two_types_take_their_metrics_only(tmp_path):
    clicks = {
        "sql": "SELECT 7 AS user_id, happened_at FROM orders",
        "timestamp": "happened_at",
        "entities": {"user": "user_id"},
    }
    bad = {"type": "mean", "source": "clicks", "agg": "count", "direction": "increase"}
    found = rows(project(tmp_path, bad=bad, extra=({"sources": {"clicks": clicks}},)).run("test", as_of="2026-03-01"))
    assert "user is text" in found["bad"].message
    assert found["buyers"].absolute is not None


def test_several_refused_metrics_are_all_found(tmp_path):
    source, _ = BAD["fails_on_a_row"]
    other = {
        "metrics": {
            "worse": {
                "type": "mean",
                "source": "orders",
                "agg": "max",
                "measure": "bad",
                "missing": "zero",
                "direction": "increase",
            }
        }
    }
    found = rows(
        project(tmp_path, source=source, extra=(other,), secondary=("bad", "revenue", "worse")).run(
            "test", as_of="2026-03-01"
        )
    )
    assert {name for name, row in found.items() if row.reason == "sql_refused"} == {"bad", "worse"}
    assert found["revenue"].verdict != "not_computed"


# Of the rows that are not paid, product is no number and amount + 9223372036854775000 too large for one.
UNPAID = "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-03', 1000, 'red', 'open' FROM range(30) AS t(i)"
PAID = "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-03', 5, '7', 'paid' FROM range(20) AS t(i)"


def of_paid(tmp_path, expression, secondary, conditions="status = 'paid'"):
    source = {"measures": {"amount": "amount", "product": "product", "bad": expression}, "dimensions": ["status"]}
    bad = {"type": "mean", "source": "orders", "agg": "sum", "measure": "bad", "filter": conditions}
    filled = (*(text.replace("amount DOUBLE", "amount BIGINT") for text in TABLES), ROWS[0], UNPAID, PAID)
    bad["direction"] = "increase"
    shop = project(tmp_path, source=source, bad=bad, secondary=secondary, filled=filled)
    return rows(shop.run("test", as_of="2026-03-01"))


@pytest.mark.parametrize("secondary", [("bad", "revenue"), ("revenue", "bad")])
def test_a_measure_is_taken_of_no_rows_but_those_that_a_metric_asks_for(tmp_path, secondary):
    """Properties in one column of text are numbers for some kinds of rows: another metric that reads all took the run."""
    found = of_paid(tmp_path, "CAST(product AS DOUBLE)", secondary)
    assert found["bad"].baseline_value == found["bad"].arm_value == pytest.approx(70 / 30)
    assert found["revenue"].baseline_value == pytest.approx((15 * 1000 + 10 * 5) / 30)


@pytest.mark.parametrize("expression", ["CAST(product AS DOUBLE)", "SQRT(amount * amount) + 2"])
def test_a_condition_that_may_fail_is_tested_at_no_further_place(tmp_path, expression):
    """The second holds of nothing but the rows that the first leaves."""
    conditions = ["status = 'paid'", "CAST(product AS DOUBLE) < 9"]
    found = of_paid(tmp_path, expression, ("bad", "revenue"), conditions)
    assert found["bad"].baseline_value == found["bad"].arm_value == pytest.approx(70 / 30)


def test_a_guardrail_is_not_left_out_for_a_secondary_metric(tmp_path):
    source = {"measures": {"amount": "amount", "product": "product", "bad": "amount + 9223372036854775000"}}
    source["dimensions"] = ["status"]
    bad = {"type": "mean", "source": "orders", "agg": "sum", "measure": "bad", "filter": "status = 'paid'"}
    filled = (*(text.replace("amount DOUBLE", "amount BIGINT") for text in TABLES), ROWS[0], UNPAID, PAID)
    bad["direction"] = "increase"
    shop = project(tmp_path, source=source, bad=bad, secondary=("bad",), filled=filled)
    roles = {"secondary": {"revenue": None}, "guardrail": {"bad": {"margin": "5%"}}}
    content = experiment(metrics=roles)
    found = rows(shop.run("test", as_of="2026-03-01"))
    assert found["bad"].reason == "sql_refused"  # behind a primary metric
    path = next(p for p in (tmp_path / "metrics").glob("*.yml") if "experiments:" in p.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    found = rows(Project(tmp_path).run("test", as_of="2026-03-01"))
    assert (found["bad"].reason, found["revenue"].reason) == (None, "sql_refused")


@pytest.mark.parametrize("secondary", [("bad", "revenue"), ("revenue", "bad")])
def test_of_metrics_that_run_apart_and_not_together_the_later_is_left_out(tmp_path, secondary):
    """Both halves ran, so nobody was found, and the whole was refused."""
    found = of_paid(tmp_path, "amount + 9223372036854775000", secondary)
    assert (found["buyers"].reason, found["revenue"].reason, found["bad"].reason) == (None, None, "sql_refused")
    assert found["bad"].message.startswith("together with other metrics: ")
    assert "verflow" in found["bad"].message


def test_what_all_metrics_need_stops_the_run(tmp_path):
    definitions = project(tmp_path)
    write_warehouse(tmp_path, "DROP TABLE assignments")
    with pytest.raises(DefinitionErrors):
        definitions.run("test", as_of="2026-03-01")


def test_nothing_left_to_run_is_an_error(tmp_path):
    source, _ = BAD["fails_on_a_row"]
    sources = {"sources": {**SOURCES["sources"], "orders": {**SOURCES["sources"]["orders"], **source}}}
    metrics = {
        "metrics": {
            "bad": {"type": "mean", "source": "orders", "agg": "sum", "measure": "bad", "direction": "increase"}
        }
    }
    write_definitions(tmp_path, sources, metrics, experiment(metrics={"primary": {"bad": {"mde": "2%"}}}))
    write_warehouse(tmp_path, *TABLES, *ROWS)
    with pytest.raises(WarehouseError):
        Project(tmp_path).run("test", as_of="2026-03-01")


def test_a_timeout_on_the_way_is_no_metrics_fault(tmp_path, monkeypatch):
    """Of the queries that look for the refused metric, one may be the slow one."""
    found = [WarehouseError("no"), WarehouseTimeout("slow")]

    def execute(self, statements):
        raise found.pop(0)

    monkeypatch.setattr(DuckDBWarehouse, "execute", execute)
    with pytest.raises(WarehouseTimeout, match="slow"):
        project(tmp_path, bad=METRICS["metrics"]["buyers"]).run("test", as_of="2026-03-01")
    assert not found
