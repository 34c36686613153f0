"""Files for a scheduler: what they write, twice or half, and that its readout is that of a run."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import date, timedelta

import duckdb
import pytest
from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, of_a_file, write_definitions, write_warehouse
from pyarrow import parquet

from metricdef.api import Project
from metricdef.cli.main import main
from metricdef.errors import UsageError, WarehouseError
from metricdef.jobs.build import build_manifest

ROWS = (
    """INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END,
    TIMESTAMP '2026-01-02' + INTERVAL (i % 20) DAY, 'web' FROM range(400) AS t(i)""",
    """INSERT INTO orders SELECT 'u' || (i % 300), TIMESTAMP '2026-01-03' + INTERVAL (i % 30) DAY, i % 7 + 0.1, 'p' || (i % 3),
    'paid' FROM range(900) AS t(i)""",
)
DAY = "2026-03-01"


@pytest.fixture
def root(tmp_path):
    project = {**PROJECT, "output_schema": "readouts"}
    write_definitions(tmp_path, SOURCES, METRICS, experiment(status="running"), project=project)
    write_warehouse(tmp_path, *TABLES, *ROWS, "CREATE SCHEMA readouts")
    return tmp_path


def execute(root, text, *, until=None):
    """The statements of a file, one by one, as a scheduler's client does; `until` some have run, then the connection goes."""
    with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
        connection.execute("SET threads = 1")  # as a run on a small file: sums in one order have the same digits
        for statement in connection.extract_statements(text)[:until]:
            connection.execute(statement)


def rows(root, table):
    with duckdb.connect(str(root / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()


@pytest.mark.parametrize("daily", [False, True])
def test_the_readout_of_what_a_job_wrote_is_that_of_a_run(root, daily):
    project = Project(root)
    (job,) = project.build(as_of=DAY, daily=daily)
    execute(root, job.text)
    assert project.ingest(job.output.table).to_json() == project.run("test", as_of=DAY, daily=daily).to_json()


def test_a_job_that_runs_again_replaces_its_own_rows(root):
    project = Project(root)
    first, second = project.build(as_of="2026-02-28", to=DAY)
    assert first.output.table == second.output.table
    execute(root, first.text)
    execute(root, second.text)
    once = rows(root, first.output.table)
    write_warehouse(root, "INSERT INTO orders VALUES ('u1', TIMESTAMP '2026-01-20', 1e6, 'p', 'paid')")
    execute(root, second.text)
    again = rows(root, first.output.table)
    assert len(again) == len(once)
    unchanged = {row for row in set(again) & set(once) if row[7] == "group"}
    assert {row[1] for row in unchanged} == {"2026-02-28T00:00:00.000000Z"}
    assert project.ingest(first.output.table, as_of=DAY).to_json() == project.run("test", as_of=DAY).to_json()


def test_a_job_that_is_cut_off_leaves_the_rows_of_before(root):
    project = Project(root)
    (job,) = project.build(as_of=DAY)
    execute(root, job.text)
    before = rows(root, job.output.table)
    for until in range(1, len(job.output.statements)):
        execute(root, job.text, until=until)
        assert rows(root, job.output.table) == before, until


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_an_exported_table_gives_the_same_readout(root, kind):
    project = Project(root)
    (job,) = project.build(as_of=DAY)
    execute(root, job.text)
    path = root / f"moments.{kind}"
    execute(root, f"COPY {job.output.table} TO '{path}'" + (" (HEADER)" if kind == "csv" else ""))
    assert project.ingest(path).to_json() == of_a_file(project.run("test", as_of=DAY))


@pytest.mark.parametrize("schema", ["order", "Odd; schema", 'with "quotes"', "été"])
def test_a_schema_of_any_name(root, schema):
    local = {**PROJECT["profiles"]["local"], "schemas": {"readouts": schema}}
    settings = {**PROJECT, "profiles": {"local": local}, "output_schema": "readouts"}
    write_definitions(root, SOURCES, METRICS, experiment(status="running"), project=settings)
    write_warehouse(root, 'CREATE SCHEMA "{}"'.format(schema.replace('"', '""')))
    (job,) = Project(root).build(as_of=DAY)
    execute(root, job.text)
    assert Project(root).ingest(job.output.table).to_json() == Project(root).run("test", as_of=DAY).to_json()


def test_files_are_named_by_the_date_in_the_time_zone_of_the_project(root):
    settings = {**PROJECT, "output_schema": "readouts", "defaults": {"timezone": "Europe/Berlin"}}
    write_definitions(root, SOURCES, METRICS, experiment(status="running"), project=settings)
    for at, name in ((DAY, DAY), ("2026-02-28T23:00:00Z", DAY), ("2026-03-01T00:00:00Z", "2026-03-01T000000Z")):
        assert Project(root).build(as_of=at)[0].path == f"test/duckdb/{name}.sql"


def test_a_job_for_another_dialect_has_the_sql_that_ingest_looks_for(root):
    """The profile's schemas are those of its own warehouse."""
    local = {**PROJECT["profiles"]["local"], "schemas": {"readouts": "elsewhere", "main": "elsewhere"}}
    settings = {**PROJECT, "profiles": {"local": local}, "output_schema": "readouts"}
    write_definitions(
        root,
        {"sources": {**SOURCES["sources"], "orders": {**SOURCES["sources"]["orders"], "table": "main.orders"}}},
        METRICS,
        experiment(status="running"),
        project=settings,
    )
    (job,) = Project(root).build(as_of=DAY, dialect="postgres")
    assert job.output.table.startswith("readouts.")
    assert job.query.sql_hash == Project(root).compile("test", "postgres", DAY).sql_hash


def test_a_warehouse_that_writes_names_in_capitals_and_integers_as_decimals(root):
    project = Project(root)
    (job,) = project.build(as_of=DAY, daily=True)
    execute(root, job.text)
    path = root / "moments.parquet"
    integers = ("arm", "mixed", "epoch", "day_us", "group_rows", "md_rows")
    replaced = ", ".join(f"CAST({name} AS DECIMAL(38, 0)) AS {name}" for name in integers)
    with duckdb.connect(str(root / "warehouse.duckdb"), read_only=True) as connection:
        table = connection.sql(f"SELECT * REPLACE ({replaced}) FROM {job.output.table}").to_arrow_table()
    parquet.write_table(table.rename_columns([name.upper() for name in table.column_names]), path)
    assert project.ingest(path).to_json() == of_a_file(project.run("test", as_of=DAY, daily=True))


def test_the_schedule_reaches_the_day_that_is_read(root):
    """A window of revenue ends a week after the last unit has come; a schedule that ended with them had no verdict."""
    week = {"metrics": {**METRICS["metrics"], "revenue": {**METRICS["metrics"]["revenue"], "window": "7d"}}}
    project = {**PROJECT, "output_schema": "readouts"}
    write_definitions(root, SOURCES, week, experiment(status="running"), project=project)
    project = Project(root)
    (entry,) = build_manifest(project.definitions, project.build(as_of=DAY))["jobs"]
    until = entry["schedule"]["until"]
    for at, final in ((until, True), (f"{date.fromisoformat(until) - timedelta(days=1)}", False)):
        readout = project.run("test", as_of=at)
        assert (readout.window["planned_end"] <= readout.as_of) is final


def test_rows_of_other_definitions_are_refused(root):
    (job,) = Project(root).build(as_of=DAY)
    execute(root, job.text)
    changed = {"metrics": {**METRICS["metrics"], "revenue": {**METRICS["metrics"]["revenue"], "window": "3d"}}}
    write_definitions(
        root, SOURCES, changed, experiment(status="running"), project={**PROJECT, "output_schema": "readouts"}
    )
    with pytest.raises(WarehouseError, match="came from other definitions"):
        Project(root).ingest(job.output.table)
    (other,) = Project(root).build(as_of=DAY)
    assert other.output.table != job.output.table


def test_tables_that_are_no_jobs_are_refused(root):
    project = Project(root)
    with pytest.raises(UsageError, match="md_experiment is missing"):
        project.ingest(_saved(root, "SELECT 1 AS md_as_of"))
    with pytest.raises(UsageError, match="no rows of one experiment as of any instant"):
        project.ingest(_saved(root, f"SELECT * FROM ({_stamped('x')}) AS s WHERE 1 = 0"))
    with pytest.raises(WarehouseError, match=r"can't be read, or is not the output of a job: .*nowhere") as refused:
        project.ingest("nowhere")
    assert "`output` in the manifest" in refused.value.help[0]
    with pytest.raises(WarehouseError, match=r"orders can't be read, or is not the output of a job: .*md_as_of"):
        project.ingest("orders")
    with pytest.raises(UsageError, match=r"there is no file nowhere\.parquet"):
        project.ingest("nowhere.parquet")
    with pytest.raises(UsageError, match="md_as_of is no instant: yesterday"):
        project.ingest(_saved(root, f"SELECT * REPLACE ('yesterday' AS md_as_of) FROM ({_stamped('x')}) AS s"))
    (root / "bad.parquet").write_text("no")
    with pytest.raises(UsageError, match="cannot read"):
        project.ingest(root / "bad.parquet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("* REPLACE ('many' AS units_analysed)", "`units_analysed` of `test` as of .* has 'many' where"),
        ("* REPLACE ('NaN' AS units_analysed)", "`units_analysed` of `test` as of .* has nan where"),
        ("* EXCLUDE (units_analysed)", "have no column `units_analysed`"),
    ],
)
def test_a_file_whose_numbers_are_none_is_refused(root, change, message):
    project = Project(root)
    (job,) = project.build(as_of=DAY)
    execute(root, job.text)
    execute(root, f"COPY (SELECT {change} FROM {job.output.table}) TO '{root / 'moments.csv'}' (HEADER)")
    with pytest.raises(WarehouseError, match=message):
        project.ingest(root / "moments.csv")


def _stamped(name):
    stamps = ("md_definitions", "md_dialect", "md_sql", "md_version")
    return f"SELECT '{name}' AS md_experiment, '2026-03-01T00:00:00.000000Z' AS md_as_of, " + ", ".join(
        f"'x' AS {stamp}" for stamp in (*stamps, "md_rows")
    )


def _saved(root, query):
    path = root / "saved.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{path}'")
    return path


def test_the_command_writes_files_and_what_they_do(root, capsys):
    target = root / "target"
    words = ["--project", str(root), "build", "test", "--as-of", "2026-02-27", "--to", DAY, "-o", str(target)]
    assert main(words) == 0
    manifest = json.loads((target / "manifest.json").read_text())
    assert [job["file"] for job in manifest["jobs"]] == [
        f"test/duckdb/{day}.sql" for day in ("2026-02-27", "2026-02-28", DAY)
    ]
    for job in manifest["jobs"]:
        text = (target / job["file"]).read_text()
        assert hashlib.sha256(text.encode()).hexdigest() == job["sha256"]
        assert job["inputs"] == ["assignments", "orders"]
        assert job["output"].startswith("readouts.moments_test_")
        assert job["owners"]
    execute(root, (target / manifest["jobs"][-1]["file"]).read_text())
    capsys.readouterr()
    assert main(["--project", str(root), "--format", "json", "ingest", manifest["jobs"][-1]["output"]]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(Project(root).run("test", as_of=DAY).to_json())
    assert not [path for path in target.rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        ({"output_schema": None}, {}, "nowhere to write"),
        ({}, {"to": "2026-01-01"}, "before it starts"),
        ({}, {"to": "tomorrow"}, "two dates"),
    ],
)
def test_what_cannot_be_built(root, change, words, message):
    settings = {key: value for key, value in {**PROJECT, "output_schema": "readouts", **change}.items() if value}
    write_definitions(root, SOURCES, METRICS, experiment(status="running"), project=settings)
    with pytest.raises(UsageError, match=message):
        Project(root).build(as_of=DAY, **words)


def test_nothing_runs(root):
    write_definitions(root, SOURCES, METRICS, experiment(), project={**PROJECT, "output_schema": "readouts"})
    with pytest.raises(UsageError, match="no experiment is running"):
        Project(root).build(as_of=DAY)


@pytest.mark.parametrize("name", ["a; DROP TABLE orders", "orders AS o", "range(3)", "(SELECT 1)", "", "a.b.c.d"])
def test_a_table_is_a_name_and_nothing_else(root, name):
    with pytest.raises((UsageError, WarehouseError), match=r"is no name of a table|does not exist"):
        Project(root).ingest(name)


def test_spark_overwrites_its_own_part_and_deletes_nothing(root, capsys):
    """Plain tables have no DELETE; without the setting all parts would be replaced."""
    (job,) = Project(root).build(as_of=DAY, dialect="spark")
    *before, insert = (s for s in job.output.statements if not s.startswith("DROP"))
    assert "SET spark.sql.sources.partitionOverwriteMode = dynamic" in before
    assert any(f"{job.output.table} PARTITIONED BY (md_as_of, md_sql) AS\n" in statement for statement in before)
    assert insert.startswith(f"INSERT OVERWRITE TABLE {job.output.table} (md_experiment, md_as_of, ")
    assert "DELETE" not in job.text


@pytest.mark.parametrize("incremental", [False, True])
def test_spark_keeps_rows_in_tables_of_the_run_and_drops_them(root, incremental):
    """A cached table keeps the plan of all that it was made of. Nobody else's table is read, replaced or dropped."""
    (job,) = Project(root).build(as_of=DAY, dialect="spark", incremental=incremental)
    statements = job.output.statements
    assert "CACHE TABLE" not in job.text
    made, shown = [], {}
    for statement in statements:
        made += re.findall(r"^CREATE TABLE IDENTIFIER\(session.md_work \|\| '(_\d+)'\) AS\n", statement)
        shown.update(re.findall(r"VIEW (md_\w+) AS SELECT \* FROM ' \|\| session.md_work \|\| '(_\d+)'", statement))
        here = re.findall(r"^(md_\w+) AS \(", statement, re.MULTILINE)
        assert set(re.findall(r"(?:FROM|JOIN) (md_\w+)", statement)) <= {*shown, *here}
    assert len(made) == len(set(made)) > 5
    assert set(shown.values()) <= set(made)
    dropped = [s for s in statements if s.startswith("DROP")]
    assert dropped == [f"DROP TABLE IF EXISTS IDENTIFIER(session.md_work || '{name}')" for name in made]
    assert statements[-len(dropped) :] == tuple(dropped)
    (names,) = (s for s in statements if "VARIABLE md_work" in s)
    assert "'readouts.work_test_' || " in names
