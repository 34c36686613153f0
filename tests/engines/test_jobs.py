"""A job's file, executed by the engine, gives the readout of a run on it."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import pytest
import yaml
from oracle.cases import random_case
from oracle.files import write_project

from metricdef.api import Project
from metricdef.errors import MetricdefError
from metricdef.warehouses import Profile

from .engine import Engine


@pytest.mark.parametrize("seed", [2, 3])
def test_what_a_job_wrote_is_what_a_run_returns(
    engine: Engine, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = getattr(engine, "script", None)
    if script is None:
        pytest.skip(f"{engine.name}: the suite has no connection that writes")
    case = random_case(seed)
    write_project(case, tmp_path)
    _point_to(tmp_path / "metrics" / "project.yml", engine.profile(), monkeypatch)
    engine.fill(case.tables)
    project = Project(tmp_path)
    as_of = case.as_of.replace(tzinfo=UTC)
    (job,) = project.build([case.experiment], as_of=as_of, daily=seed % 2 == 1)
    for _ in range(2):
        script([*job.output.statements])
    try:
        want = project.run(case.experiment, as_of=as_of, daily=seed % 2 == 1)
    except MetricdefError as error:
        pytest.skip(f"the case has no readout: {error}")
    if any(row.reason == "sql_refused" for row in want.estimates):
        pytest.skip(f"{engine.name} refuses a metric, which a job does not know")
    assert project.ingest(job.output.table, as_of=as_of).to_json() == want.to_json()


def _point_to(path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the engine the project's warehouse; secrets come from variables."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, written in profile.written.items():
        if str(written).startswith("${"):
            monkeypatch.setenv(str(written)[2:-1], str(profile.options[key]))
    content["profiles"] = {"local": {"type": profile.type, **profile.written}}
    content["output_schema"] = "public"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
