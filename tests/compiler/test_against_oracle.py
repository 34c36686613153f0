"""The compiled SQL, executed on DuckDB, against the brute-force oracle: every count, every moment, every quantile, every day."""

import os
from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from comparison import assert_cells
from hypothesis import HealthCheck, given, settings
from oracle.cases import cases, random_case
from oracle.files import write_project, write_warehouse
from oracle.kinds import with_kinds
from oracle.oracle import Case

from metricdef.analysis.cells import Cells, read_cells
from metricdef.api import Project
from metricdef.compiler.render import render
from metricdef.warehouses import connect, resolve_profile

CASES = int(os.environ.get("METRICDEF_ORACLE_CASES", "15"))  # make test-oracle: 2,000
CHUNK = 5
EXAMPLES = min(100, CASES // 2)


def compile_and_run(case: Case, folder: Path, *, daily: bool) -> tuple[Cells, str]:
    write_project(case, folder)
    write_warehouse(case, folder / "warehouse.duckdb")
    project = Project(folder)
    plan = project.plan(case.experiment, case.as_of.replace(tzinfo=UTC), daily=daily)
    settings = project.definitions.settings
    with connect(resolve_profile(None, settings.profiles, None, folder)) as warehouse:
        cells = read_cells(plan, warehouse.execute(render(plan, "duckdb").statements))
    return cells, settings.defaults.timezone


def compare(case: Case, folder: Path, *, daily: bool) -> None:
    cells, timezone = compile_and_run(case, folder, daily=daily)
    assert_cells(case, cells, timezone)


def run(seed: int, folder: Path) -> Case:
    case = random_case(seed)
    if seed % 3 == 2:
        case = with_kinds(case)
    try:
        compare(case, folder, daily=seed % 2 == 1)
    except Exception as error:
        raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
    return case


@pytest.mark.parametrize("start", range(0, CASES, CHUNK))
def test_generated_cases(start: int, tmp_path: Path) -> None:
    for seed in range(start, start + CHUNK):
        run(seed, tmp_path / str(seed))


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(cases())
def test_hypothesis_finds_no_smaller_case(case: Case) -> None:
    """The same comparison on cases that hypothesis draws, so that a failure comes back as small as it gets."""
    with TemporaryDirectory() as folder:
        compare(case, Path(folder), daily=True)
