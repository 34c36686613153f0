"""The file for any date: it writes what the file of each date writes, and the readout is the same."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle.cases import random_case
from oracle.files import write_project, write_warehouse
from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, write_definitions
from thorough import cases

from metricdef.api import Project
from metricdef.cli.main import main
from metricdef.compiler.dialects import DIALECTS
from metricdef.compiler.open_instant import OpenInstant, earlier, later, may_be_earlier
from metricdef.compiler.render import render
from metricdef.errors import MetricdefError, UsageError

DAY = "2026-03-01"
SEEDS = int(os.environ.get("METRICDEF_OPEN_CASES", "2"))  # make test-oracle: 12


def execute(path: Path, text: str) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET threads = 1")
        for statement in connection.extract_statements(text):
            connection.execute(statement)


def rows(path: Path, table: str, sql: str) -> list[dict[str, object]]:
    """Of one query, without the hash that tells them apart."""
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute(f"SELECT * EXCLUDE (md_sql) FROM {table} WHERE md_sql = ? ORDER BY ALL", [sql])
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def same(first: object, second: object) -> bool:
    """Equal, not a number to not a number, too."""
    return first == second or (first != first and second != second)


@pytest.mark.parametrize("start", range(0, SEEDS, 2))
def test_the_open_file_writes_what_the_dated_ones_write(start: int, tmp_path: Path) -> None:
    """At dates before, within and after the experiment, as of which other windows are complete and other rows there."""
    compared = 0
    for seed in range(start, start + 2):
        compared += compare(seed, tmp_path / str(seed))
    assert compared > 3


def compare(seed: int, folder: Path) -> int:
    case = random_case(seed)
    write_project(case, folder)
    path = folder / "metrics" / "project.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**content, "output_schema": "readouts"}), encoding="utf-8")
    project, warehouse = Project(folder), folder / "warehouse.duckdb"
    write_warehouse(case, warehouse)
    execute(warehouse, "CREATE SCHEMA readouts")
    zone = ZoneInfo(project.definitions.settings.defaults.timezone)
    plan = project.plan(case.experiment)
    first, last = (datetime.fromtimestamp(us / 1e6, zone).date() for us in (plan.start, plan.end))
    daily = seed % 2 == 1
    (opened,) = project.build([case.experiment], as_of="{{as_of}}", daily=daily)
    sure = 0
    for day in {first - timedelta(2), first + timedelta(3), last, case.as_of.date(), last + timedelta(40)}:
        (dated,) = project.build([case.experiment], as_of=day.isoformat(), daily=daily)
        assert dated.output.table == opened.output.table
        try:
            execute(warehouse, dated.text)
        except duckdb.Error:
            continue  # DuckDB refuses it, as it does the other
        execute(warehouse, opened.text.replace("{{as_of}}", day.isoformat()))
        want = rows(warehouse, dated.output.table, dated.query.sql_hash)
        at = [r for r in rows(warehouse, dated.output.table, opened.query.sql_hash) if r["md_as_of"] == dated.as_of]
        assert len(at) == len(want), (seed, day)
        for ours, theirs in zip(at, want, strict=True):
            different = [name for name in theirs if not same(ours[name], theirs[name])]
            assert not different, (seed, day, [(n, ours[n], theirs[n]) for n in different[:3]])
        sure += bool(want)
    return sure


@pytest.mark.parametrize("dialect", [name for name, table in DIALECTS.items() if table.as_of])
def test_the_text_holds_nothing_of_the_as_of_it_was_written_at(dialect: str, tmp_path: Path) -> None:
    written = 0
    for seed in range(2 * SEEDS):
        case = random_case(seed)
        write_project(case, tmp_path / str(seed))
        project = Project(tmp_path / str(seed))
        found = set()
        for at in ("2026-01-01", "2026-03-11T05:00:00.000001Z", "2030-12-31"):
            try:
                plan = project.plan(case.experiment, at, daily=seed % 2 == 0, is_open=True)
                query = render(plan, dialect)
            except MetricdefError:
                break
            found.add((query.session, query.statements))
            # Definitions hold no Jinja: a template that fills in the date has nothing else to fill in.
            (_, *others) = sorted(query.session, key=lambda text: "{{as_of}}" not in text)
            assert not re.search(r"\{\{|\{%|\{#", "".join((*others, *query.statements)))
            written += 1
        assert len(found) <= 1, seed
    assert written > 3 * SEEDS


# --- formulas -------------------------------------------------------------------------------------------------------


def value(instant: int, as_of: int) -> float:
    """What an instant is, by its definition."""
    if not isinstance(instant, OpenInstant):
        return instant
    shift = float("inf") if instant.shift is None else as_of + instant.shift
    return min(shift, float("inf") if instant.latest is None else instant.latest)


_fixed = st.integers(-100, 100)
_open = st.builds(lambda s, x: OpenInstant(0, s, x), _fixed, st.none() | _fixed)


@settings(suppress_health_check=list(HealthCheck))
@given(_open | _fixed, _open | _fixed, _fixed, _fixed)
def test_formulas_hold_at_every_as_of(first: int, second: int, by: int, as_of: int) -> None:
    assert value(earlier(first, second), as_of) == min(value(first, as_of), value(second, as_of))
    assert value(later(first, second), as_of) >= max(value(first, as_of), value(second, as_of))
    assert value(first + by, as_of) == value(first, as_of) + by
    assert value(first - by, as_of) == value(first, as_of) - by
    if value(first, as_of) < value(second, as_of):
        assert may_be_earlier(first, second)


@pytest.mark.parametrize("use", [str, "{}".format, lambda x: x < 5, lambda x: x // 2, lambda x: 5 - x])
def test_an_open_instant_is_no_number(use: object) -> None:
    with pytest.raises(TypeError, match="no number"):
        use(OpenInstant(3, 0, None))  # type: ignore[operator]


def test_the_duration_between_open_instants() -> None:
    end = OpenInstant(3, 0, 50)
    assert end - (end - 7) == 7
    with pytest.raises(TypeError):
        OpenInstant(3, 0, None) - end


# --- what the file says ------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path)


def write(root: Path, metrics: dict[str, object] = METRICS, **settings: object) -> Path:
    project = {**PROJECT, "output_schema": "readouts", **settings}
    write_definitions(root, SOURCES, metrics, experiment(status="running"), project=project)
    if not (root / "warehouse.duckdb").exists():
        for statement in (*TABLES, "CREATE SCHEMA readouts"):
            execute(root / "warehouse.duckdb", statement)
        execute(
            root / "warehouse.duckdb",
            """INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END,
            TIMESTAMP '2026-01-02' + INTERVAL (i % 20) DAY, 'web' FROM range(400) AS t(i);
            INSERT INTO orders SELECT 'u' || (i % 300), TIMESTAMP '2026-01-03' + INTERVAL (i % 30) DAY, i % 7 + 0.1,
            'p' || (i % 3), 'paid' FROM range(900) AS t(i)""",
        )
    return root


def test_the_readout_of_an_open_file_is_that_of_a_run(root: Path) -> None:
    project = Project(root)
    (job,) = project.build(as_of="{{as_of}}", daily=True)
    assert job.path == "test/duckdb/test.sql"
    assert job.text.count("{{as_of}}") == 1
    for day in ("2026-01-20", DAY):
        execute(root / "warehouse.duckdb", job.text.replace("{{as_of}}", day))
        found = json.loads(project.ingest(job.output.table).to_json())
        want = json.loads(project.run("test", as_of=day, daily=True).to_json())
        assert found["provenance"].pop("sql") == job.query.sql_hash
        assert want["provenance"].pop("sql") != job.query.sql_hash
        assert found == want
        assert project.ingest(job.output.table, as_of=day).as_of == want["as_of"]


def test_rows_of_an_open_file_of_other_definitions_are_refused(root: Path) -> None:
    (job,) = Project(root).build(as_of="{{as_of}}")
    execute(root / "warehouse.duckdb", job.text.replace("{{as_of}}", DAY))
    revenue = {**METRICS["metrics"]["revenue"], "window": "3d"}
    write(root, {"metrics": {**METRICS["metrics"], "revenue": revenue}})
    with pytest.raises(MetricdefError, match="came from other definitions"):
        Project(root).ingest(job.output.table)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/Havana", "Asia/Kathmandu", "Africa/Cairo", "America/Asuncion"]
)
def test_a_date_begins_when_it_does_in_the_projects_zone(zone: str, tmp_path: Path) -> None:
    """Also where the clocks skip midnight or show it twice."""
    root = write(tmp_path, defaults={"timezone": zone})
    (job,) = Project(root).build(as_of="{{as_of}}")
    days = [date(2026, 1, 2) + timedelta(i) for i in range(700)]
    days = cases([day for i, day in enumerate(days) if i % 50 == 0 or clocks_change(day, ZoneInfo(zone))], days)
    declare = job.query.session[-1]
    with duckdb.connect(":memory:") as connection:
        for day in days:
            connection.execute(declare.replace("{{as_of}}", day.isoformat()))
            (us,) = connection.execute("SELECT getvariable('md_as_of_us')").fetchone()  # type: ignore[misc]
            midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
            assert datetime.fromtimestamp(us / 1e6, UTC) == midnight, day


def clocks_change(day: date, zone: ZoneInfo) -> bool:
    """On that day, the one before or the one after it."""
    noons = [datetime(day.year, day.month, day.day, 12, tzinfo=zone) + timedelta(i) for i in (-2, -1, 0, 1)]
    return len({noon.utcoffset() for noon in noons}) > 1


def test_a_date_for_which_the_file_is_not_made_writes_nothing(root: Path) -> None:
    """Before its as-of windows would count as complete that are not; years after the end the zone is not written out."""
    (job,) = Project(root).build(as_of="{{as_of}}")
    for day in (date.today() + timedelta(3), date(2029, 1, 1)):
        execute(root / "warehouse.duckdb", job.text.replace("{{as_of}}", day.isoformat()))
    assert not rows(root / "warehouse.duckdb", job.output.table, job.query.sql_hash)


@pytest.mark.parametrize("text", ["{{as_of}}", "", "today", "2026-03-01T00:00:00Z", "2026-03-01 06:00:00+02:00"])
def test_what_is_no_date_is_an_error_not_another_date(root: Path, text: str) -> None:
    (job,) = Project(root).build(as_of="{{as_of}}")
    with pytest.raises(duckdb.Error, match=r"[Cc]onversion|timestamp"):
        execute(root / "warehouse.duckdb", job.text.replace("{{as_of}}", text))


def test_any_template_and_its_manifest(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    word = "{{ var('as_of') }}"
    assert main(["--project", str(root), "build", "--as-of", word, "-o", str(root / "out"), "--format", "json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["jobs"]
    assert entry["as_of"] == word
    assert entry["schedule"] == {"every": "1d", "from": "2026-01-01", "until": "2026-02-01", "timezone": "UTC"}
    text = (root / "out" / entry["file"]).read_text(encoding="utf-8")
    assert re.findall(r"\{\{.*?\}\}", text) == [word]
    other = root / "again"
    assert main(["--project", str(root), "build", "--as-of", "{{ ds }}", "-o", str(other)]) == 0
    assert (other / entry["file"]).read_text(encoding="utf-8").replace("{{ ds }}", word) == text


@pytest.mark.parametrize("words", [{"to": DAY}, {"incremental": True}])
def test_a_placeholder_stands_for_one_date(root: Path, words: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="stands for one date"):
        Project(root).build(as_of="{{as_of}}", **words)  # type: ignore[arg-type]
