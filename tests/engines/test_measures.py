"""A measure is evaluated on no rows but those that a metric takes it of: a cast fails on the others, on every engine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from oracle.reading import Table
from projects import experiment, write_definitions

from metricdef.analysis.cells import read_cells
from metricdef.api import Project
from metricdef.compiler.render import render
from metricdef.warehouses import connect

from .engine import Engine

AT = {"timestamp": "at", "entities": {"user": "user_id"}}
SOURCES = {
    "sources": {
        "assignments": {"kind": "exposures", "table": "assignments", "experiment": "experiment", "arm": "arm", **AT},
        "properties": {
            "table": "properties",
            "measures": {"number": "CAST(value AS DOUBLE)"},
            "dimensions": ["kind"],
            **AT,
        },
    }
}
READ = {"source": "properties", "direction": "increase"}
PRICED = {**READ, "type": "mean", "agg": "sum", "measure": "number", "filter": "kind = 'price'"}
METRICS = {"metrics": {"priced": PRICED, "every": {**READ, "type": "mean", "agg": "count"}}}


def test_a_cast_is_made_of_no_other_rows(engine: Engine, tmp_path: Path) -> None:
    start = datetime(2026, 1, 5)
    units = [(f"u{i}", ("control", "treatment")[i % 2]) for i in range(20)]
    assigned = [{"user_id": unit, "experiment": "test", "arm": arm, "at": start} for unit, arm in units]
    values = [("price", "12.5"), ("color", "red"), ("price", "3"), ("size", "")]
    rows = [{"user_id": u, "at": start, "kind": k, "value": v} for u, _ in units for k, v in values]
    text = dict.fromkeys(("user_id", "experiment", "arm", "kind", "value"), "text") | {"at": "timestamp"}
    engine.fill(
        {
            name: Table({column: text[column] for column in found[0]}, found)
            for name, found in {"assignments": assigned, "properties": rows}.items()
        }
    )
    write_definitions(tmp_path, SOURCES, METRICS, experiment(metrics={"secondary": dict.fromkeys(METRICS["metrics"])}))
    plan = Project(tmp_path).plan("test", datetime(2026, 3, 1, tzinfo=UTC))
    with connect(engine.profile()) as warehouse:
        cells = read_cells(plan, warehouse.execute(render(plan, warehouse.dialect).statements))
    for metric, mean in zip(plan.metrics, (15.5, 4), strict=True):
        for arm in plan.arms:
            found = cells.moments(metric.block, metric.columns, arm.name, with_mixed=True)
            assert (found.n, list(found.mean)) == (10, [mean])
