"""The SQL that readers of a metric see is, word for word, part of the SQL that runs."""

import duckdb
import pytest
from projects import METRICS, SOURCES, TABLES, experiment, write_definitions

from metricdef.api import Project
from metricdef.compiler.dialects import DIALECTS
from metricdef.compiler.render import render
from metricdef.reports.site.metric_sql import _plan_alone, metric_sql, texts

MORE = {
    "capped": {"type": "mean", "source": "orders", "agg": "sum", "measure": "amount", "cap": {"upper": "p99"}, "window": "7d", "direction": "increase"},
    "first": {"type": "mean", "source": "orders", "agg": "first", "measure": "amount", "missing": "exclude", "direction": "increase"},
    "steps": {"type": "funnel", "direction": "increase",
              "steps": [{"name": "placed", "source": "orders"}, {"name": "paid", "source": "orders", "filter": "status = 'paid'", "within": "2d"}]},
    "median": {"type": "quantile", "source": "orders", "agg": "sum", "measure": "amount", "quantile": "p50", "missing": "zero", "direction": "increase"},
    "latency": {"type": "quantile", "of": "events", "source": "orders", "measure": "amount", "quantile": "p90", "direction": "decrease"},
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("excerpt")
    adjusted = experiment(analysis={"covariates": {"lookback": "7d"}})
    return Project(write_definitions(root, SOURCES, METRICS, {"metrics": MORE}, adjusted)).definitions


def stages(text):
    """Pieces that stand between blank lines, which stages themselves have none of."""
    return [piece.rstrip() for piece in text.split("\n\n") if piece.strip()]


@pytest.mark.parametrize("metric", [*METRICS["metrics"], *MORE])
def test_every_stage_stands_in_the_compiled_sql(project, metric):
    shown = metric_sql(project, metric, [], texts())
    plan = _plan_alone(project, metric, "test")
    assert (shown.experiment, shown.uses) == ("test", False)
    for dialect in DIALECTS:
        text = shown.dialects[dialect].sql
        whole = "\n".join(line.strip() for line in render(plan, dialect).text.splitlines())
        found = stages(text)
        assert found
        for stage in found:
            # Where an engine takes a temporary table instead of a CTE, the first line is another.
            body = [line.strip() for line in stage.splitlines() if not line.startswith("--")][1:-1]
            assert "\n".join(body) in whole, f"{dialect}: {stage}"


@pytest.mark.parametrize("metric", [*METRICS["metrics"], *MORE])
def test_the_whole_runs(project, metric):
    with duckdb.connect() as connection:
        for statement in (*TABLES, *render(_plan_alone(project, metric, "test"), "duckdb").statements):
            connection.execute(statement)


def test_remembered_text_is_that_of_others(project):
    """What one metric leaves behind changes nothing of the next."""
    written = texts()
    for metric in [*METRICS["metrics"], *MORE]:
        assert metric_sql(project, metric, ["test"], written) == metric_sql(project, metric, ["test"], texts())


def test_the_experiment_that_started_last_is_taken(project):
    assert metric_sql(project, "buyers", ["test"], texts()).uses


def test_sql_of_another_dialect_says_why_there_is_none(tmp_path):
    orders = {**SOURCES["sources"]["orders"], "dialect": "snowflake"}
    sources = {"sources": {**SOURCES["sources"], "orders": orders}}
    found = metric_sql(
        Project(write_definitions(tmp_path, sources, METRICS, experiment())).definitions, "revenue", ["test"], texts()
    )
    assert found.dialects["snowflake"].sql
    assert "is written for snowflake" in found.dialects["duckdb"].reason


def test_without_an_experiment_there_is_none(tmp_path):
    project = Project(write_definitions(tmp_path, SOURCES, METRICS)).definitions
    assert (
        metric_sql(project, "revenue", [], texts()) == "no experiment has exposures of a unit that all its sources know"
    )
