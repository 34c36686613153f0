"""Daily values weighed by the days since exposure: every engine sums the same, in generated experiments."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest
from oracle.cases import random_case
from oracle.files import write_project, write_warehouse
from oracle.oracle import Case

from metricdef.analysis.cells import read_cells
from metricdef.api import Project
from metricdef.compiler.render import render
from metricdef.definitions.load import load_project
from metricdef.warehouses import connect, resolve_profile

from .engine import Engine

SEEDS = range(40)
WANTED = 6


def followed(case: Case, folder: Path) -> tuple[Case, list[str]]:
    """The case with the slope of every metric that has one."""
    names = [name for roles in _experiment(case)["metrics"].values() for name in roles]
    write_project(_asking(case, names), folder)
    refused = {
        d.message.split("names `")[1].split("`")[0] for d in load_project(folder).errors if d.rule == "novelty-metric"
    }
    kept = [name for name in names if name not in refused]
    return _asking(case, kept), kept


def _experiment(case: Case) -> dict:
    return next(
        document["experiments"][case.experiment]
        for document in case.definitions.values()
        if case.experiment in document.get("experiments", {})
    )


def _asking(case: Case, names: list[str]) -> Case:
    experiment = _experiment(case)
    changed = {**experiment, "analysis": {**experiment.get("analysis", {}), "novelty": names}}
    definitions = {
        file: {**document, "experiments": {**document["experiments"], case.experiment: changed}}
        if case.experiment in document.get("experiments", {})
        else document
        for file, document in case.definitions.items()
    }
    return replace(case, definitions=definitions)


def test_slopes_are_the_same_everywhere(engine: Engine, tmp_path: Path) -> None:
    seen = 0
    for seed in SEEDS:
        folder = tmp_path / str(seed)
        case, names = followed(random_case(seed), folder)
        if not names:
            continue
        write_project(case, folder)
        write_warehouse(case, folder / "warehouse.duckdb")
        engine.fill(case.tables)
        project = Project(folder)
        plan = project.plan(case.experiment, case.as_of.replace(tzinfo=UTC), daily=seed % 2 == 1)
        with connect(resolve_profile(None, project.definitions.settings.profiles, None, folder)) as warehouse:
            want = read_cells(plan, warehouse.execute(render(plan, "duckdb").statements))
        with connect(engine.profile()) as warehouse:
            got = read_cells(plan, warehouse.execute(render(plan, warehouse.dialect).statements))
        for metric in plan.metrics:
            if metric.novelty is None:
                continue
            for arm in plan.arms:
                left, right = (
                    c.moments(metric.block, metric.novelty[:1], arm.name, with_mixed=True) for c in (got, want)
                )
                assert left.n == right.n
                if left.n:
                    assert left.mean == pytest.approx(right.mean, rel=1e-9, abs=1e-12)
                    assert left.comoment == pytest.approx(right.comoment, rel=1e-9, abs=1e-9)
                    seen += bool(left.nonzero[0])
        if seen > WANTED:
            return
    assert seen > WANTED
