"""Daily values weighed by the days since exposure: every engine sums the same, in generated experiments."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from oracle.cases import random_case
from oracle.files import write_project, write_warehouse
from oracle.oracle import Case

from metricdef.analysis.cells import read_cells
from metricdef.api import Project
from metricdef.compiler.render import render
from metricdef.warehouses import connect, resolve_profile

from .engine import Engine

CASES = 4
ORDERS = {"source": "orders", "window": "5d", "direction": "increase", "immature": "exclude"}
METRICS: dict[str, dict[str, Any]] = {
    "summed": {**ORDERS, "type": "mean", "agg": "sum", "measure": "m0", "cap": {"upper": "p80"}},
    "counted": {**ORDERS, "type": "mean", "agg": "count", "window": "1d..4d", "cap": {"upper": 2}},
    "bought": {**ORDERS, "type": "proportion"},
}


def followed(case: Case) -> Case | None:
    """The case with metrics whose effect is followed; None of clusters, which have none."""
    (experiment,) = case.definitions["experiment.yml"]["experiments"].values()
    if "cluster" in experiment:
        return None
    analysis = {**experiment.get("analysis", {}), "novelty": list(METRICS)}
    roles = {
        **experiment["metrics"],
        "secondary": {**(experiment["metrics"].get("secondary") or {}), **dict.fromkeys(METRICS)},
    }
    changed = {"experiments": {case.experiment: {**experiment, "metrics": roles, "analysis": analysis}}}
    return replace(case, definitions={**case.definitions, "experiment.yml": changed, "more.yml": {"metrics": METRICS}})


def test_slopes_are_the_same_everywhere(engine: Engine, tmp_path: Path) -> None:
    cases = [case for seed in range(3 * CASES) if (case := followed(random_case(seed))) is not None][:CASES]
    assert len(cases) == CASES
    seen = set()
    for number, case in enumerate(cases):
        folder = tmp_path / str(number)
        write_project(case, folder)
        write_warehouse(case, folder / "warehouse.duckdb")
        engine.fill(case.tables)
        project = Project(folder)
        plan = project.plan(case.experiment, case.as_of.replace(tzinfo=UTC), daily=number % 2 == 1)
        with connect(resolve_profile(None, project.definitions.settings.profiles, None, folder)) as warehouse:
            want = read_cells(plan, warehouse.execute(render(plan, "duckdb").statements))
        with connect(engine.profile()) as warehouse:
            got = read_cells(plan, warehouse.execute(render(plan, warehouse.dialect).statements))
        for metric in (m for m in plan.metrics if m.novelty is not None):
            assert metric.novelty is not None
            for arm in plan.arms:
                left, right = (
                    c.moments(metric.block, metric.novelty[:1], arm.name, with_mixed=True) for c in (got, want)
                )
                assert left.n == right.n
                assert left.mean == pytest.approx(right.mean, rel=1e-9, abs=1e-12)
                assert left.comoment == pytest.approx(right.comoment, rel=1e-9, abs=1e-9)
                seen |= {metric.name} if left.nonzero[0] else set()
    assert seen == set(METRICS)
