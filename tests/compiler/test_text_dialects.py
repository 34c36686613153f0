"""Dialects of engines that do not run here: their text, and what it computes where another engine stands in for them."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest
import sqlglot
from comparison import assert_cells
from oracle.cases import random_case
from oracle.files import write_project, write_warehouse
from oracle.oracle import Case
from projects import METRICS, PROJECT, SOURCES, experiment, write_definitions
from pyarrow import parquet
from sqlglot import ErrorLevel, exp
from sqlglot.dialects.dialect import Dialect
from standins import STANDINS, execute, session
from thorough import cases

from metricdef.analysis.cells import read_cells
from metricdef.api import Project
from metricdef.compiler.dialects import DIALECTS
from metricdef.compiler.render import render
from metricdef.compiler.sql_text import SqlText
from metricdef.definitions.models import Source
from metricdef.errors import DefinitionErrors, UsageError
from metricdef.jobs.build import Job

TEXT_ONLY = ("bigquery", "redshift", "trino")
GOLDEN = Path(__file__).parent / "golden"
SOURCE = Source.model_validate({"table": "samples", "timestamp": "at", "entities": {"user": "id"}})
# What the portable subset becomes, in the order of TEXT_ONLY. Integers are divided as doubles, TRIM takes spaces only, text
# keeps its length, days are those of UTC.
SPELLINGS = [
    ("i / j", "CAST(i AS FLOAT64) / NULLIF(j, 0)", "CAST(i AS DOUBLE PRECISION) / NULLIF(j, 0)", "CAST(i AS DOUBLE) / NULLIF(j, 0)"),
    ("i % j", "MOD(i, NULLIF(j, 0))", "i % NULLIF(j, 0)", "i % NULLIF(j, 0)"),
    ("trim(s)", "TRIM(s, ' ')", "TRIM(s)", "TRIM(' ' FROM s)"),
    ("trim(s, 'x')", "TRIM(s, 'x')", "TRIM('x' FROM s)", "TRIM('x' FROM s)"),
    ("cast(s as varchar)", "CAST(s AS STRING)", "CAST(s AS VARCHAR(MAX))", "CAST(s AS VARCHAR)"),
    ("cast(s as double)", "CAST(s AS FLOAT64)", "CAST(s AS DOUBLE PRECISION)", "CAST(s AS DOUBLE)"),
    ("cast(t as date)", "CAST(t AS DATE)", "CAST(t AS DATE)", "CAST(CAST(t AS TIMESTAMP(6) WITH TIME ZONE) AT TIME ZONE 'UTC' AS DATE)"),
    ("substr(s, 2, 3)", "SUBSTRING(s, 2, 3)", "SUBSTRING(s FROM 2 FOR 3)", "SUBSTR(s, 2, 3)"),
    ("s || '!'", "s || '!'", "s || '!'", "CONCAT(CAST(s AS VARCHAR), CAST('!' AS VARCHAR))"),
    ("s = 'it''s \\'", r"s = 'it\'s \\'", r"s = 'it\'s \\'", r"s = 'it''s \'"),
    ("s in ('a', null)", "s IN ('a', NULL)", "s IN ('a', NULL)", "s IN ('a', NULL)"),
    ("ln(x) + exp(x) + sqrt(x)", "LN(x) + EXP(x) + SQRT(x)", "LN(x) + EXP(x) + SQRT(x)", "LN(x) + EXP(x) + SQRT(x)"),
    ("abs(x) + floor(x) + ceil(x)", "ABS(x) + FLOOR(x) + CEIL(x)", "ABS(x) + FLOOR(x) + CEIL(x)", "ABS(x) + FLOOR(x) + CEIL(x)"),
    ("coalesce(upper(s), lower(s))", "COALESCE(UPPER(s), LOWER(s))", "COALESCE(UPPER(s), LOWER(s))", "COALESCE(UPPER(s), LOWER(s))"),
    ("length(s)", "LENGTH(s)", "LENGTH(s)", "LENGTH(s)"),
    ('"Group" + "hash" + "tag"', "`Group` + `hash` + `tag`", '"Group" + "hash" + "tag"', '"Group" + "hash" + "tag"'),
]  # fmt: skip


@pytest.mark.parametrize(("expression", *TEXT_ONLY), SPELLINGS)
def test_the_portable_subset_in_their_words(
    expression: str, bigquery: str, redshift: str, trino: str, caplog: pytest.LogCaptureFixture
) -> None:
    written = [SqlText(DIALECTS[name]).column(expression, "samples", SOURCE) for name in TEXT_ONLY]
    assert written == [bigquery, redshift, trino]
    assert caplog.records == []


@pytest.mark.thorough
@pytest.mark.parametrize("dialect", TEXT_ONLY)
def test_statements_are_parsed_and_written_again_without_a_warning(
    dialect: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for seed in range(cases(2, 6)):
        case = random_case(seed)
        write_project(case, tmp_path / str(seed))
        plan = Project(tmp_path / str(seed)).plan(case.experiment, case.as_of.replace(tzinfo=UTC), daily=seed % 2 == 1)
        for statement in render(plan, dialect).statements:
            (tree,) = sqlglot.parse(statement, read=dialect)
            assert tree is not None
            assert tree.sql(dialect=dialect, unsupported_level=ErrorLevel.RAISE)
    assert caplog.records == []


@pytest.mark.parametrize("dialect", TEXT_ONLY)
def test_names_are_not_words_of_the_engine(dialect: str) -> None:
    """A word that the grammar of the engine keeps, after AS or before a dot."""
    reserved = Dialect.get_or_raise(dialect).generator_class.RESERVED_KEYWORDS
    for path in GOLDEN.glob(f"*_{dialect}.sql"):
        text = re.sub(r"--.*|/\*.*?\*/", "", path.read_text())
        names = {*re.findall(r"\bAS ([a-z_0-9]+)", text), *re.findall(r"\b([a-z_0-9]+)\.", text)}
        assert len(names) > 50
        assert names.isdisjoint(reserved)


def test_what_an_engine_lacks_is_not_in_its_text() -> None:
    """BigQuery has no %, Redshift no RANGE frames, no replaced tables and one order for all PERCENTILE_CONT."""
    text = {d: "".join(p.read_text() for p in GOLDEN.glob(f"*_{d}.sql")) for d in TEXT_ONLY}
    assert "%" not in text["bigquery"]
    for dialect in TEXT_ONLY:
        assert not re.search(r"PERCENTILE|QUANTILE_CONT|APPROX|\bRANGE\b", text[dialect])
    assert "OR REPLACE" not in text["redshift"]
    assert "EXTRACT" not in text["redshift"]
    assert "CREATE" not in text["trino"]


@pytest.mark.parametrize("dialect", TEXT_ONLY)
@pytest.mark.parametrize("expression", ["round(amount)", "log(amount)", "least(amount, 1)", "cast(amount as integer)"])
def test_functions_of_several_meanings_are_refused(dialect: str, expression: str, tmp_path: Path) -> None:
    sources = {"sources": {**SOURCES["sources"]}}
    sources["sources"]["orders"] = {**SOURCES["sources"]["orders"], "measures": {"amount": expression}}
    project = Project(write_definitions(tmp_path, sources, METRICS, experiment(), project=PROJECT))
    with pytest.raises(DefinitionErrors) as caught:
        project.compile("test", dialect, as_of="2026-03-01")
    assert {d.rule for d in caught.value.diagnostics} == {"sql-function"}
    assert any("declare `dialect:`" in line for d in caught.value.diagnostics for line in d.help)


def case_of(folder: Path, seed: int) -> tuple[Case, Project]:
    """A generated case and its project, which has a schema for jobs."""
    case = random_case(seed)
    write_project(case, folder)
    path = folder / "metrics" / "project.yml"
    path.write_text(path.read_text(encoding="utf-8") + "\noutput_schema: readouts\n", encoding="utf-8")
    return case, Project(folder)


def job_of(folder: Path, dialect: str, seed: int) -> tuple[Case, Project, Job]:
    """The job of a generated case, built for a dialect."""
    case, project = case_of(folder, seed)
    as_of = case.as_of.replace(tzinfo=UTC)
    (job,) = project.build([case.experiment], None, as_of, dialect=dialect, daily=seed % 2 == 1)
    return case, project, job


@pytest.mark.parametrize("dialect", TEXT_ONLY)
def test_statements_of_jobs(dialect: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    _, project, job = job_of(tmp_path, dialect, 3)
    session = len(job.query.session)
    trees = [sqlglot.parse_one(statement, read=dialect) for statement in job.output.statements[session:]]
    assert not any(isinstance(tree, exp.Command) for tree in trees)
    table = next(tree for tree in trees if isinstance(tree, exp.Create) and isinstance(tree.this, exp.Schema))
    assert table.args["exists"]
    (insert,) = (tree for tree in trees if isinstance(tree, exp.Insert))
    named = [column.this.name for column in table.this.expressions]
    assert named == [column.name for column in insert.this.expressions]
    assert len(named) == len(insert.expression.selects)
    kinds = [type(tree).__name__ for tree in trees[-4:]]
    assert (
        kinds[-2:] == ["Delete", "Insert"]
        if dialect == "trino"
        else kinds == ["Transaction", "Delete", "Insert", "Commit"]
    )
    assert caplog.records == []
    with pytest.raises(UsageError, match=f"SQL for {dialect} cannot leave as-of open"):
        project.build([job.query.plan.experiment], None, "{{as_of}}", dialect=dialect)


def days_of(folder: Path, dialect: str, seed: int) -> tuple[Case, Project, list[Job]]:
    """Three days before a generated case's as-of, added one by one to a state; the first one's gap is refused later."""
    case, project = case_of(folder, seed)
    zone = ZoneInfo(project.definitions.settings.defaults.timezone)
    last = case.as_of.replace(tzinfo=UTC).astimezone(zone).date()
    jobs = project.build(
        [case.experiment], None, f"{last - timedelta(days=2)}", to=f"{last}", dialect=dialect, incremental=True
    )
    return case, project, [*jobs]


@pytest.mark.parametrize("dialect", TEXT_ONLY)
def test_statements_that_add_a_day(dialect: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    _, _, (job, *_) = days_of(tmp_path, dialect, 13)
    trees = [sqlglot.parse_one(s, read=dialect) for s in job.output.statements[len(job.query.session) :]]
    assert caplog.records == []
    assert not any(isinstance(tree, exp.Command) for tree in trees)
    kinds = [type(tree).__name__ for tree in trees]
    begins = [i for i, kind in enumerate(kinds) if kind == "Transaction"]
    ends = [i for i, kind in enumerate(kinds) if kind == "Commit"]
    assert len(begins) == len(ends) == (0 if dialect == "trino" else 2)
    for first, last in zip(begins, ends, strict=True):
        assert set(kinds[first + 1 : last]) <= {"Select", "Delete", "Insert"}  # BigQuery: no table is made in one
    made = [str(tree.find(exp.Table)) for tree in trees if isinstance(tree, exp.Create)]
    assert len(made) == len(set(made)) or dialect != "redshift"  # which replaces no table
    assert all(tree.args.get("where") for tree in trees if isinstance(tree, exp.Delete))
    names = {n.name.lower() for tree in trees for n in tree.find_all(exp.Identifier) if not n.quoted}
    assert names.isdisjoint(Dialect.get_or_raise(dialect).generator_class.RESERVED_KEYWORDS)
    assert not any(join.args.get("using") or not isinstance(join.args["on"], exp.EQ) for tree in trees
                   for join in tree.find_all(exp.Join) if join.side == "FULL")  # fmt: skip


# --- executed, by an engine that stands in ---------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("dialect", STANDINS)
def test_generated_cases(dialect: str, tmp_path: Path) -> None:
    for seed in range(cases(4, 15)):
        case = random_case(seed)
        folder = tmp_path / str(seed)
        write_project(case, folder)
        write_warehouse(case, folder / "warehouse.duckdb")
        project = Project(folder)
        plan = project.plan(case.experiment, case.as_of.replace(tzinfo=UTC), daily=seed % 2 == 1)
        try:
            rows = execute(STANDINS[dialect], folder / "warehouse.duckdb", render(plan, dialect).statements)
            assert_cells(case, read_cells(plan, rows), project.definitions.settings.defaults.timezone)
        except Exception as error:
            raise AssertionError(f"seed {seed} as {dialect}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("dialect", STANDINS)
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_local_times_become_the_instants_they_are_elsewhere(dialect: str, zone: str, tmp_path: Path) -> None:
    """Every half hour of a year: of two instants with one local time the later, also on engines that take the earlier."""
    sql, reference = SqlText(DIALECTS[dialect]), SqlText(DIALECTS["duckdb"])
    path = tmp_path / "times.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        start = "TIMESTAMP '2026-01-01 00:00:00.000001'"
        connection.execute(
            f"CREATE TABLE times AS SELECT {start} + to_minutes(i * 30) AS moment FROM range(17520) AS r(i)"
        )
        query = f"SELECT moment, {reference.epoch_us(reference.utc('moment', zone))} AS us FROM times ORDER BY 1"
        wanted = [us for _, us in connection.execute(query).fetchall()]
    query = f"SELECT moment, {sql.epoch_us(sql.utc('moment', zone))} AS us FROM times ORDER BY 1"
    assert execute(STANDINS[dialect], path, [query])["us"].to_pylist() == wanted


@pytest.mark.parametrize("dialect", STANDINS)
@pytest.mark.parametrize("year", [1900, 1969, 2026, 2199, 9999])
def test_microseconds_are_exact(dialect: str, year: int) -> None:
    sql = SqlText(DIALECTS[dialect])
    for us in (0, 1, 499_999, 999_999):
        moment = datetime(year, 12, 31, 23, 59, 58) + timedelta(microseconds=us)
        text = sql.epoch_us(DIALECTS[dialect].to_utc.format(x=f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S.%f}'"))
        (row,) = execute(STANDINS[dialect], ":memory:", [f"SELECT {text} AS us"]).to_pylist()
        assert row["us"] == (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)


@pytest.mark.parametrize("dialect", STANDINS)
def test_a_job_that_runs_twice_gives_the_readout_of_its_rows(dialect: str, tmp_path: Path) -> None:
    case, project, job = job_of(tmp_path, dialect, 3)
    write_warehouse(case, tmp_path / "warehouse.duckdb")
    own = [s for s in job.output.statements[len(job.query.session) :] if "TEMPORARY" not in s]
    statements = ["CREATE SCHEMA readouts", *job.output.statements[len(job.query.session) :], *own]
    rows = execute(STANDINS[dialect], tmp_path / "warehouse.duckdb", [*statements, f"FROM {job.output.table}"])
    assert_cells(case, read_cells(job.query.plan, rows), project.definitions.settings.defaults.timezone)
    parquet.write_table(rows, tmp_path / "moments.parquet")
    assert project.ingest(tmp_path / "moments.parquet").provenance["dialect"] == dialect


@pytest.mark.parametrize("dialect", STANDINS)
def test_days_added_one_by_one_give_what_all_rows_give(dialect: str, tmp_path: Path) -> None:
    """With units that come, late rows and clusters; a day that comes again is refused by name."""
    for seed in (13, 18):
        case, project, (again, *jobs) = days_of(tmp_path / str(seed), dialect, seed)
        write_warehouse(case, tmp_path / str(seed) / "warehouse.duckdb")
        with session(STANDINS[dialect], tmp_path / str(seed) / "warehouse.duckdb") as run:
            run(["CREATE SCHEMA readouts", "SELECT 1"])
            for job in jobs:
                for _ in range(2 if job is jobs[-1] else 1):
                    run([*job.output.statements[len(job.query.session) :], "SELECT 1"])
                rows = run([f"SELECT * FROM {job.output.table} WHERE md_as_of = '{job.as_of}'"])
                at_that_time = replace(case, as_of=job.query.plan.as_of.replace(tzinfo=None))
                cells = read_cells(job.query.plan, rows)
                assert_cells(at_that_time, cells, project.definitions.settings.defaults.timezone)
            with pytest.raises(duckdb.Error, match=r"metricdef: the state of .* is at .* already"):
                run([*again.output.statements[len(again.query.session) :], "SELECT 1"])
            parquet.write_table(rows, tmp_path / str(seed) / "moments.parquet")
        assert project.ingest(tmp_path / str(seed) / "moments.parquet").provenance["dialect"] == dialect


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_redshift_finds_what_is_not_a_number_whatever_it_compares_to(value: float) -> None:
    """DuckDB has it above every number, IEEE 754 beside none: `NOT x < infinity` holds for both."""
    table = DIALECTS["redshift"]
    largest = table.largest.format(x="x")
    query = f"SELECT {table.is_not_a_number.format(x='MAX(x)')}, {largest} FROM (SELECT CAST('{value}' AS DOUBLE) AS x UNION ALL SELECT 1)"
    assert duckdb.sql(query).fetchall() == [(True, math.inf)]
    assert not value < math.inf


def test_a_percentile_by_rank_is_that_of_the_aggregate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of caps, over the same rows, to the digit; what is not a number is not passed over."""
    write_definitions(
        tmp_path, SOURCES, METRICS,
        {"metrics": {"capped": {"type": "mean", "source": "orders", "agg": "sum", "measure": "amount", "window": "7d", "cap": {"upper": "p90", "zeros": "exclude"}, "direction": "increase"}}},
        experiment(metrics={"primary": {"capped": None}}),
    )  # fmt: skip
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE assignments (user_id VARCHAR, experiment VARCHAR, arm VARCHAR, happened_at TIMESTAMP, platform VARCHAR)"
        )
        connection.execute(
            "CREATE TABLE orders (user_id VARCHAR, happened_at TIMESTAMP, amount DOUBLE, product VARCHAR, status VARCHAR)"
        )
        connection.execute(
            "INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END, TIMESTAMP '2026-01-02', 'web' FROM range(101) AS r(i)"
        )
        connection.execute(
            "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-03', i * 0.37, 'p', 'paid' FROM range(77) AS r(i)"
        )

    def percentiles() -> list[float]:
        with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
            table = connection.sql(project.compile("test", as_of="2026-03-01").statements[0]).to_arrow_table()
        return [table[name][0].as_py() for name in table.column_names if name.startswith(("p__", "h__"))]

    project = Project(tmp_path)
    exact = percentiles()
    assert len(exact) == 2
    monkeypatch.setitem(DIALECTS, "duckdb", replace(DIALECTS["duckdb"], quantile=None))
    assert percentiles() == pytest.approx(exact, rel=1e-15)
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute("UPDATE orders SET amount = 'nan' WHERE user_id = 'u3'")
    assert all(math.isnan(value) for value in percentiles())
