"""A project with an incremental state: its days, its tables, and what a run gives at the same as-of."""

from __future__ import annotations

import math
from pathlib import Path

from databases import filling
from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.api import Project

METRIC = {"type": "mean", "source": "orders", "direction": "increase", "missing": "zero"}
MORE = {
    "metrics": {
        "largest": {**METRIC, "agg": "max", "measure": "amount", "window": "7d"},
        "smallest": {**METRIC, "agg": "min", "measure": "amount"},
        "days": {"type": "mean", "source": "orders", "agg": "active_days", "direction": "increase"},
        "products": {"type": "mean", "source": "orders", "agg": "count_distinct", "measure": "product", "direction": "increase"},
    }
}  # fmt: skip
NAMES = ("orders_per_user", "largest", "smallest", "days", "products")
FILL = (
    """INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END,
    TIMESTAMP '2026-01-02' + INTERVAL (i % 20 * 25) HOUR, 'web' FROM range(200) AS t(i)""",
    """INSERT INTO orders SELECT 'u' || (i * 7 % 240), TIMESTAMP '2025-12-28' + INTERVAL (i) HOUR, i % 7 + 0.1, 'p' || (i % 3), 'paid'
    FROM range(700) AS t(i)""",
)
ORDER = "INSERT INTO orders VALUES ('{user}', TIMESTAMP '{at}', {amount}, 'p', 'paid')"


def write_project(root: Path, **orders: object) -> Project:
    sources = {"sources": {**SOURCES["sources"], "orders": {**SOURCES["sources"]["orders"], **orders}}}
    content = experiment(
        status="running", metrics={"primary": {"buyers": {"mde": "2%"}}, "secondary": dict.fromkeys(NAMES)}
    )
    only = content["experiments"]["test"]
    only["analysis"] = {**only.get("analysis", {}), "covariates": {"lookback": "14d"}}
    write_definitions(root, sources, METRICS, MORE, content, project={**PROJECT, "output_schema": "readouts"})
    return Project(root)


def write_data(root):
    """The project and its warehouse."""
    write_project(root)
    write_warehouse(root, *TABLES, *FILL, "CREATE SCHEMA readouts")


def build(root, first, last=None, **options):
    return Project(root).build(as_of=first, to=last, incremental=True, **options)


def execute(root, statements):
    with filling(root / "warehouse.duckdb") as connection:
        for statement in statements:
            connection.execute(statement)


def add(root, first, last=None, **options):
    for job in build(root, first, last, **options):
        execute(root, job.output.statements)
    return job


def tables(root, what="*"):
    """Rows of the state's tables and of the moments, by the end of their names."""
    with filling(root / "warehouse.duckdb") as connection:
        found = connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'readouts'")
        names = sorted(name for (name,) in found.fetchall())
        return {
            n.rsplit("_", 1)[-1]: connection.execute(f"SELECT {what} FROM readouts.{n} ORDER BY ALL").fetchall()
            for n in names
        }


def assert_same(root, day):
    """What the state gives is what all rows give."""
    job = build(root, day)[0]
    got, want = Project(root).ingest(job.output.table, as_of=day), Project(root).run("test", as_of=day)
    assert got.provenance["sql"] == job.query.sql_hash != want.provenance["sql"]
    assert got.arms == want.arms
    assert got.moments
    assert_close(got.moments, want.moments)


def assert_close(got, want):
    """Equal in shape and words, numbers to 1e-9."""
    if isinstance(want, float):
        assert math.isclose(got, want, rel_tol=1e-9, abs_tol=1e-9), (got, want)
    elif isinstance(want, dict):
        assert list(got) == list(want)
        assert_close(list(got.values()), list(want.values()))
    elif isinstance(want, list | tuple):
        for ours, theirs in zip(got, want, strict=True):
            assert_close(ours, theirs)
    else:
        assert got == want
