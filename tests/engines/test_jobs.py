"""A job's file, executed by the engine, gives the readout of a run on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from comparison import assert_cells
from oracle.cases import random_case
from oracle.files import write_project

from metricdef.analysis.cells import read_cells
from metricdef.api import Project
from metricdef.compiler.dialects import DIALECTS
from metricdef.compiler.state_update import tables_of_state
from metricdef.errors import MetricdefError, WarehouseError
from metricdef.jobs.build import Job
from metricdef.jobs.retention import expired_tables
from metricdef.warehouses import Profile, connect

from .engine import Engine

SPARK_SEEDS = (3, 16)  # of a dated file and an open one; for states see test_spark_states


@pytest.mark.parametrize("seed", [2, 3])
def test_what_a_job_wrote_is_what_a_run_returns(
    engine: Engine, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = _script(engine, seed)
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


@pytest.mark.parametrize("seed", [0, 7])
def test_days_added_to_a_state_give_what_all_rows_give(
    engine: Engine, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = _script(engine, seed)
    case = random_case(seed)
    write_project(case, tmp_path)
    _point_to(tmp_path / "metrics" / "project.yml", engine.profile(), monkeypatch)
    engine.fill(case.tables)
    project = Project(tmp_path)
    timezone = project.definitions.settings.defaults.timezone
    last = case.as_of.replace(tzinfo=UTC).astimezone(ZoneInfo(timezone)).date()
    gap, *jobs = project.build([case.experiment], as_of=f"{last - timedelta(days=3)}", to=f"{last}", incremental=True)
    script(
        [f"DROP TABLE IF EXISTS {table}" for job in jobs for table in tables_of(job)]
    )  # of an earlier run of the test
    for job in jobs:
        for _ in range(2 if job is jobs[-1] else 1):
            script([*job.output.statements])
        plan = job.query.plan
        stamp = f"{plan.as_of:%Y-%m-%dT%H:%M:%S.%fZ}"
        with connect(engine.profile()) as warehouse:
            rows = warehouse.execute([f"SELECT * FROM {job.output.table} WHERE md_as_of = '{stamp}'"])
        at_that_time = replace(case, as_of=plan.as_of.replace(tzinfo=None))
        assert_cells(at_that_time, read_cells(plan, rows), timezone)
    state = plan.state
    assert state is not None
    own = next(name for name in state.sources if not plan.sources[name].loaded_at)
    script([f"INSERT INTO {tables_of(job)[-3]} (source, day_us, written_us) VALUES ('{own}', 0, {plan.as_of_us})"])
    for refused, words in ((gap, "already"), (job, "read earlier days again, from 1970-01-01")):
        with pytest.raises(Exception, match=words):
            script([*refused.output.statements])
        if any(statement.startswith("BEGIN") for statement in gap.output.statements):
            script(["ROLLBACK"])


def tables_of(job: Job) -> list[str]:
    """Tables of the job's state."""
    state, schema = job.query.plan.state, job.output.table.rpartition(".")[0]
    assert state is not None
    return [f"{schema}.{state.name}_{ending}" for ending in tables_of_state(job.query.plan)]


@pytest.mark.parametrize("seed", [2, 5, 16])
def test_the_open_file_writes_what_the_dated_ones_write(
    engine: Engine, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = _script(engine, seed)
    case = random_case(seed)
    write_project(case, tmp_path)
    _point_to(tmp_path / "metrics" / "project.yml", engine.profile(), monkeypatch)
    engine.fill(case.tables)
    project = Project(tmp_path)
    zone = ZoneInfo(project.definitions.settings.defaults.timezone)
    plan = project.plan(case.experiment)
    (opened,) = project.build([case.experiment], as_of="{{as_of}}", daily=seed % 2 == 1)
    first, last = (datetime.fromtimestamp(us / 1e6, zone).date() for us in (plan.start, plan.end))
    for day in (last + timedelta(40), first + timedelta(3))[: 1 if engine.name == "spark" else 2]:
        found = []
        (dated,) = project.build([case.experiment], as_of=day.isoformat(), daily=seed % 2 == 1)
        for job in (opened, dated):
            script([statement.replace("{{as_of}}", day.isoformat()) for statement in job.output.statements])
            own = [f"DROP TABLE {job.output.table}"]
            found.append(json.loads(project.ingest(job.output.table, as_of=day.isoformat()).to_json()))
            assert found[-1]["provenance"].pop("sql") == job.query.sql_hash
            script(own)
        assert found[0] == found[1]


def test_expired_states_are_told_from_one_that_is_being_made(engine: Engine) -> None:
    """The latest instant of no rows is none: ClickHouse would say 1970."""
    script = _script(engine, 0)
    place, kind = (
        ("DATABASE", "ENGINE = MergeTree ORDER BY tuple() ") if engine.name == "clickhouse" else ("SCHEMA", "")
    )
    rows = {"1_days": 1, "1_runs": 1, "2_units": 1, "2_runs": 0, "3_units": 0, "3_runs": 0}
    row = "SELECT * FROM (SELECT CAST(1 AS BIGINT) AS written_us) AS one WHERE written_us"
    names = {end: f"expiring.state_x_0000000{end}" for end in rows}
    script([f"CREATE {place} expiring", *(f"CREATE TABLE {names[e]} {kind}AS {row} = {n}" for e, n in rows.items())])
    with connect(engine.profile()) as warehouse:
        found = expired_tables(warehouse, "expiring", {}, 0, datetime(2026, 1, 1, tzinfo=UTC))
        with pytest.raises(WarehouseError, match="schema `elsewhere` can't be seen"):
            expired_tables(warehouse, "elsewhere", {}, 0, datetime(2026, 1, 1, tzinfo=UTC))
    script([*(f"DROP TABLE {table}" for table in names.values()), f"DROP {place} expiring"])
    assert [table.lower() for table in found.tables] == [names[e] for e in ("1_days", "1_runs", "2_units", "2_runs")]
    assert (found.unlike, found.unread) == ((), ())


def test_what_is_not_exactly_a_date_is_an_error_of_the_engine(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = _script(engine, SPARK_SEEDS[0])
    case = random_case(SPARK_SEEDS[0])
    write_project(case, tmp_path)
    _point_to(tmp_path / "metrics" / "project.yml", engine.profile(), monkeypatch)
    engine.fill(case.tables)
    (job,) = Project(tmp_path).build([case.experiment], as_of="{{as_of}}")
    spelling = DIALECTS[job.query.dialect].as_of
    assert spelling is not None
    statements = [*job.query.session, f"SELECT {spelling.value.format(x=1)}"]  # some look at it where it is needed

    def start(text: str) -> None:
        script([statement.replace("{{as_of}}", text) for statement in statements])

    start("2026-03-01")
    for text in ("2026-03-01 15:00", "26-03-01", "2026-3-01", "2026-02-30", "2026-13-01", "today", ""):
        with pytest.raises(Exception, match=r"(?i)date|timestamp"):
            start(text)


def _script(engine: Engine, seed: int) -> Callable[[list[str]], None]:
    """What runs files; on Spark, where one takes ten seconds, of few cases."""
    found: Callable[[list[str]], None] | None = getattr(engine, "script", None)
    if found is None:
        pytest.skip(f"{engine.name}: the suite has no connection that writes")
    if engine.name == "spark" and seed not in SPARK_SEEDS:
        pytest.skip("Spark has few cases")
    return found


def _point_to(path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the engine the project's warehouse; secrets come from variables."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, written in profile.written.items():
        if str(written).startswith("${"):
            monkeypatch.setenv(str(written)[2:-1], str(profile.options[key]))
    content["profiles"] = {"local": {"type": profile.type, **profile.written}}
    content["output_schema"] = "public"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
