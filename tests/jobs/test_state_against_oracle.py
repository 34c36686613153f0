"""Days added to a state one by one, on DuckDB, against the brute-force oracle: every count, moment and quantile of every day."""

import os
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest
import yaml
from comparison import assert_cells
from oracle.cases import random_case
from oracle.files import write_project, write_warehouse

from metricdef.analysis.cells import read_cells
from metricdef.api import Project
from metricdef.compiler.state import kept_columns
from metricdef.errors import UsageError

CASES = int(os.environ.get("METRICDEF_STATE_CASES", "5"))  # make test-oracle: 40
CHUNK = 5


def keep_days(seed: int, folder: Path, days: int) -> bool:
    """Whether the case has anything that can be kept."""
    case = random_case(seed)
    path = write_project(case, folder) / "project.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**content, "output_schema": "main"}), encoding="utf-8")
    write_warehouse(case, folder / "warehouse.duckdb")
    project = Project(folder)
    timezone = project.definitions.settings.defaults.timezone
    last = case.as_of.replace(tzinfo=UTC).astimezone(ZoneInfo(timezone)).date()
    first = last - timedelta(days=days)
    if not kept_columns(project.plan(case.experiment, f"{last}")):
        with pytest.raises(UsageError, match="can be kept"):
            project.build([case.experiment], as_of=f"{last}", incremental=True)
        return False
    jobs = project.build([case.experiment], as_of=f"{first}", to=f"{last}", incremental=True)
    for job in jobs:
        plan = job.query.plan
        with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
            for statement in job.output.statements:
                connection.execute(statement)
            stamp = f"{plan.as_of:%Y-%m-%dT%H:%M:%S.%fZ}"
            rows = connection.sql(f"SELECT * FROM {job.output.table} WHERE md_as_of = '{stamp}'").to_arrow_table()
        at_that_time = replace(case, as_of=plan.as_of.replace(tzinfo=None))
        assert_cells(at_that_time, read_cells(plan, rows), timezone)
    return True


@pytest.mark.parametrize("start", range(0, CASES, CHUNK))
def test_generated_cases(start: int, tmp_path: Path) -> None:
    kept = 0
    for seed in range(start, start + CHUNK):
        try:
            kept += keep_days(seed, tmp_path / str(seed), days=2 + seed % 5)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
    assert kept >= CHUNK // 2
