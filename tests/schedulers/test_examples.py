"""The examples as a team copies them, with the real packages: what they write gives the readout of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import sqlglot
from sqlglot import exp

from schedulers.conftest import EXAMPLES, Run, assert_read, build

DAYS = ("2026-01-20", "2026-03-01")


def test_dbt_runs_the_files_as_models(run: Run, root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dbt"
    shutil.copytree(EXAMPLES / "dbt", folder)
    job = build(root, folder / "models" / "experiments", "{{ var('as_of') }}")
    for day in (*DAYS, DAYS[1]):
        said = run("dbt", "run", "--select", "experiments", "--vars", f"{{as_of: {day}}}", folder=folder)
        assert "PASS=1" in said
    for day in DAYS:
        assert_read(root, job, day)


MATERIALIZE = """
import dagster as dg
from experiments import ASSETS, Warehouse, defs
import os, sys
assert len(list(defs.resolve_asset_graph().get_all_asset_keys())) >= 1
for day in sys.argv[1:]:
    resources = {"warehouse": Warehouse(path=os.environ["SHOP_DATABASE"])}
    assert dg.materialize(ASSETS, partition_key=day, resources=resources).success
print([sorted(str(key) for key in asset.dependency_keys) for asset in ASSETS])
"""


def test_dagster_materializes_the_assets(run: Run, root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dagster"
    shutil.copytree(EXAMPLES / "dagster", folder)
    job = build(root, folder / "experiments", "{{as_of}}")
    run("dagster", "definitions", "validate", "-f", "experiments.py", folder=folder)
    # A partition is read when its day is over: as of the day after.
    said = run("python", "-c", MATERIALIZE, "2026-01-19", "2026-01-31", folder=folder)
    assert "assignments" in said
    assert "orders" in said
    for day in ("2026-01-20", "2026-02-01"):
        assert_read(root, job, day)


PARSE = """
import json, sys
import pendulum
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.common.sql.hooks.sql import DbApiHook
bag = DagBag(dag_folder=sys.argv[1])
assert not bag.import_errors, bag.import_errors
found = {}
for task in bag.dags["experiments"].tasks:
    task.resolve_template_files()
    # Two days' runs at 06:15 in Berlin, of which UTC's date is the same, and one just after midnight, of which it is not.
    for at in ("2026-01-20T06:15", "2026-03-01T00:15"):
        copy = task.prepare_for_execution()
        copy.render_template_fields({"data_interval_end": pendulum.parse(at, tz="Europe/Berlin").in_timezone("UTC")})
        found.setdefault(task.task_id, []).append(DbApiHook.split_sql_string(copy.sql))
print("rendered " + json.dumps(found))
"""


def test_airflow_parses_the_dag_and_renders_the_files(run: Run, root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dags"
    shutil.copytree(EXAMPLES / "airflow", folder)
    placeholder = (EXAMPLES / "airflow" / "experiments.py").read_text(encoding="utf-8").split('"')[4]
    assert placeholder.startswith("{{ data_interval_end")
    job = build(root, folder / "experiments", placeholder)
    said = run("python", "-c", PARSE, str(folder), folder=tmp_path)
    rendered = json.loads(next(line for line in said.splitlines() if line.startswith("rendered ")).split(" ", 1)[1])
    assert list(rendered) == ["moments_test"]
    for statements in rendered["moments_test"]:
        with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
            connection.execute("SET threads = 1")
            for statement in statements:
                connection.execute(statement)
    for day in DAYS:
        assert_read(root, job, day)


def test_the_snowflake_task_names_the_file_and_puts_a_date_in() -> None:
    """Its text alone: there is no Snowflake to run it."""
    text = (EXAMPLES / "snowflake" / "task.sql").read_text(encoding="utf-8")
    block = text[text.index("BEGIN") + len("BEGIN") : text.index("END;")]
    assign, execute, rest = block.split(";")
    assert not rest.strip()
    date = sqlglot.parse_one(assign.strip().removeprefix("LET as_of VARCHAR := "), read="snowflake")
    assert isinstance(date, exp.TimeToStr)
    assert date.args["format"].name == "%Y-%m-%d"
    command = execute.strip().removeprefix("EXECUTE IMMEDIATE ").replace("|| as_of ||", "|| '2026-03-01' ||")
    ((inner,),) = duckdb.execute(f"SELECT {command}").fetchall()
    assert inner.endswith("/checkout/snowflake/checkout.sql USING (as_of => '2026-03-01')")
