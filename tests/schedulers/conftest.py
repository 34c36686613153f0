"""The schedulers' packages stand in a virtual environment of their own: METRICDEF_SCHEDULERS=1 makes its absence a failure."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.api import Project
from metricdef.cli.main import main

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / ".venv-schedulers" / "bin"
EXAMPLES = ROOT / "examples"
ZONE = "Europe/Berlin"
ROWS = (
    """INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END,
    TIMESTAMP '2026-01-02' + INTERVAL (i % 20) DAY, 'web' FROM range(400) AS t(i)""",
    """INSERT INTO orders SELECT 'u' || (i % 300), TIMESTAMP '2026-01-03' + INTERVAL (i % 30) DAY, i % 7 + 0.1, 'p' || (i % 3),
    'paid' FROM range(900) AS t(i)""",
)

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, root: Path) -> Run:
    """A program of the schedulers' environment, with what it prints; its own files stay below the test's folder."""
    if not PROGRAMS.is_dir():
        if os.environ.get("METRICDEF_SCHEDULERS"):
            pytest.fail("the schedulers are not installed")
        pytest.skip("the schedulers are not installed (make test-schedulers installs them)")
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "TZ", "LANG") if name in os.environ}
    environment = {"HOME": str(home), "AIRFLOW_HOME": str(home), "DAGSTER_HOME": str(home), "DO_NOT_TRACK": "1"}
    environment |= {**kept, "DBT_SEND_ANONYMOUS_USAGE_STATS": "0", "SHOP_DATABASE": str(root / "warehouse.duckdb")}
    environment |= {"AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}

    def started(program: str, *words: str, folder: Path) -> str:
        command = [str(PROGRAMS / program), *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    return started


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose dates begin elsewhere than UTC's, with its warehouse."""
    project = {**PROJECT, "output_schema": "readouts", "defaults": {"timezone": ZONE}}
    root = write_definitions(
        tmp_path / "shop", SOURCES, METRICS, experiment(status="running", owners=["team"]), project=project
    )
    write_warehouse(root, *TABLES, *ROWS, "CREATE SCHEMA readouts")
    return root


def build(root: Path, folder: Path, placeholder: str) -> dict[str, object]:
    """What a team does whenever definitions change; returns the manifest's one job."""
    assert main(["--project", str(root), "build", "--as-of", placeholder, "-o", str(folder)]) == 0
    (job,) = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["jobs"]
    return job


def assert_read(root: Path, job: dict[str, object], day: str) -> None:
    """What was written as of a date gives the readout of a run."""
    found = json.loads(Project(root).ingest(str(job["output"]), as_of=day).to_json())
    want = json.loads(Project(root).run("test", as_of=day).to_json())
    assert found["provenance"].pop("sql") == job["sql"]
    want["provenance"].pop("sql")
    assert_close(found, want)


def assert_close(found: object, want: object) -> None:
    """Equal but for the last digits: schedulers' connections add in several threads."""
    if isinstance(want, dict) and isinstance(found, dict):
        assert found.keys() == want.keys()
        for key, value in want.items():
            assert_close(found[key], value)
    elif isinstance(want, list) and isinstance(found, list):
        assert len(found) == len(want)
        for one, other in zip(found, want, strict=True):
            assert_close(one, other)
    elif isinstance(want, float) and isinstance(found, float):
        assert found == pytest.approx(want, rel=1e-9, abs=1e-12)
    else:
        assert found == want
