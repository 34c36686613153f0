"""The example's line, run by a shell as cron would: psql puts rows in that give the readout of a run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from oracle.cases import random_case
from oracle.files import write_project

from metricdef.api import Project

from .postgres import PASSWORD, Postgres
from .test_jobs import _point_to

ENGINE = "postgres"
CRONTAB = Path(__file__).parents[2] / "examples" / "cron" / "crontab"


def test_the_line_of_the_crontab(engine: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed")
    case = random_case(6)  # in a zone whose clocks change, where the date is put in several times
    write_project(case, tmp_path)
    _point_to(tmp_path / "metrics" / "project.yml", engine.profile(), monkeypatch)
    engine.fill(case.tables)
    project = Project(tmp_path)
    (job,) = project.build([case.experiment], as_of="{{as_of}}")
    file = tmp_path / "target" / "checkout" / "postgres" / "checkout.sql"
    file.parent.mkdir(parents=True)
    file.write_text(job.text, encoding="utf-8")
    zone, line = CRONTAB.read_text(encoding="utf-8").splitlines()[-2:]
    assert zone == "TZ=Europe/Berlin"
    day = case.as_of.date()
    (command,) = re.findall(r"^\S+ \S+ \S+ \S+ \S+  (.*)$", line)
    # What cron makes of it, on another day.
    command = command.replace("\\%", "%").replace("/srv/shop", str(tmp_path)).replace("date +", f"date -d {day} +")
    services = tmp_path / "services.conf"
    services.write_text(
        f"[shop]\nhost=127.0.0.1\nport={engine.port}\nuser=owner\ndbname=postgres\npassword={PASSWORD}\n",
        encoding="utf-8",
    )
    environment = {"PATH": os.environ["PATH"], "PGSERVICEFILE": str(services), "TZ": "Europe/Berlin"}
    for _ in range(2):
        done = subprocess.run(
            ["/bin/sh", "-c", command], env=environment, capture_output=True, text=True, check=False, cwd="/"
        )
        assert done.returncode == 0, done.stderr
    found = json.loads(project.ingest(job.output.table).to_json())
    want = json.loads(project.run(case.experiment, as_of=day.isoformat()).to_json())
    assert found["provenance"].pop("sql") == job.query.sql_hash
    want["provenance"].pop("sql")
    assert found == want
