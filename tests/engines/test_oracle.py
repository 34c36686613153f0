"""The generated cases of the comparison with brute force, executed by every engine."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

from comparison import assert_cells
from oracle.cases import random_case
from oracle.files import write_project
from oracle.kinds import with_kinds

from metricdef.analysis.cells import read_cells
from metricdef.api import Project
from metricdef.compiler.render import render
from metricdef.warehouses import connect

from .engine import Engine


def test_generated_cases(engine: Engine, seeds: range, tmp_path: Path) -> None:
    for seed in seeds:
        try:
            run(engine, seed, tmp_path / str(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed} on {engine.name}: {type(error).__name__}: {error}") from error


def run(engine: Engine, seed: int, folder: Path) -> None:
    case = random_case(seed)
    if seed % 3 == 2:
        case = with_kinds(case)
    write_project(case, folder)
    engine.fill(case.tables)
    project = Project(folder)
    plan = project.plan(case.experiment, case.as_of.replace(tzinfo=UTC), daily=seed % 2 == 1)
    with connect(engine.profile()) as warehouse:
        cells = read_cells(plan, warehouse.execute(render(plan, warehouse.dialect).statements))
    assert_cells(case, cells, project.definitions.settings.defaults.timezone)
