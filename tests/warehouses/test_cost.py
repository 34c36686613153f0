"""What a run would cost, and the refusal before anything is read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.api import Project
from metricdef.cli.main import main
from metricdef.errors import OverBudget
from metricdef.warehouses.cost import Cost, named_query, refuse_over, size_words, snowflake_cost, spark_bytes
from metricdef.warehouses.duckdb import DuckDBWarehouse

DAY = "2026-03-01"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path)


def write(root: Path, **settings: object) -> Path:
    write_definitions(root, SOURCES, METRICS, experiment(), project={**PROJECT, **settings})
    if not (root / "warehouse.duckdb").exists():
        rows = "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-03', 1, 'p', 'paid' FROM range(5000) AS t(i)"
        write_warehouse(root, *TABLES, rows)
    return root


def test_duckdb_tells_rows_and_the_files_size(root: Path) -> None:
    cost = Project(root).cost("test", as_of=DAY)
    assert cost.bytes == (root / "warehouse.duckdb").stat().st_size
    assert 0 < cost.told["rows"] <= 5001


def test_a_dry_run_prints_the_sql_and_the_cost(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--project", str(root), "run", "test", "--as-of", DAY, "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert out == Project(root).compile("test", as_of=DAY).text
    assert re.fullmatch(r"cost: reads at most [\d.]+ [kM]B; rows: [\d,]+\n", err)


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_a_run_over_the_budget_is_refused_before_it_reads(
    root: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, max_bytes=1000)
    executed: list[str] = []
    execute = DuckDBWarehouse.execute

    def noted(warehouse: DuckDBWarehouse, statements: list[str]) -> object:
        executed.extend(statements)
        return execute(warehouse, statements)

    monkeypatch.setattr(DuckDBWarehouse, "execute", noted)
    assert main(["--project", str(root), "run", "test", "--as-of", DAY, *words]) == 1
    err = capsys.readouterr().err
    assert "more than `max_bytes` allows (1 kB)" in err
    assert "nothing was run" in err
    assert not executed


def test_a_run_within_the_budget_runs(root: Path) -> None:
    write(root, max_bytes=10**9)
    want = json.loads(Project(write(root)).run("test", as_of=DAY).to_json())
    write(root, max_bytes=10**9)
    assert json.loads(Project(root).run("test", as_of=DAY).to_json()) == want


def test_a_refused_metric_is_left_out_within_the_budget_too(root: Path) -> None:
    bad = {"type": "proportion", "source": "orders", "filter": "product > 5", "direction": "increase"}
    metrics = {"metrics": {**METRICS["metrics"], "bad": bad}}
    listed = {"primary": {"buyers": {"mde": "2%"}}, "secondary": {"bad": None}}
    write_definitions(root, SOURCES, metrics, experiment(metrics=listed), project={**PROJECT, "max_bytes": 10**9})
    found = {row.metric: row.reason for row in Project(root).run("test", as_of=DAY).estimates}
    assert found["bad"] == "sql_refused"
    assert found["buyers"] != "sql_refused"
    write_definitions(root, SOURCES, metrics, experiment(metrics=listed), project={**PROJECT, "max_bytes": 1000})
    with pytest.raises(OverBudget):
        Project(root).run("test", as_of=DAY)


def test_an_engine_that_does_not_tell_is_not_believed_to_be_cheap() -> None:
    with pytest.raises(OverBudget, match="does not tell"):
        refuse_over(10**12, Cost(None, {"rows": 1.0}), "postgres")
    assert Cost(None, {"rows": 1234.0}).words() == "bytes: not told by this engine; rows: 1,234"
    memory = DuckDBWarehouse.holding({"t": ([("x", "BIGINT")], [["1"]])})
    assert memory.cost(["SELECT * FROM t"]).bytes is None


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (12345678, "12.3 MB"), (10**18, "1e+03 PB")]
)
def test_sizes(size: int, words: str) -> None:
    assert size_words(size) == words


def test_names_of_temporary_tables() -> None:
    made = "-- a\n-- b\n\nCREATE OR REPLACE TEMPORARY TABLE md_x AS\nSELECT 1 AS y"
    assert named_query(made) == ("md_x", "\nSELECT 1 AS y")
    assert named_query("-- a\nSELECT 1") == (None, "-- a\nSELECT 1")


def test_sizes_in_a_plan_of_spark() -> None:
    leaf = "   :- Relation spark_catalog.default.orders[id#5L] parquet, Statistics(sizeInBytes={})\n"
    plan = "== Optimized Logical Plan ==\nJoin Inner, Statistics(sizeInBytes=9.0 GiB)\n" + leaf.format("1.5 KiB")
    plan += "   +- LocalRelation [x#1], Statistics(sizeInBytes=5.0 MiB)\n" + leaf.format("10.0 B")
    assert spark_bytes(plan + "== Physical Plan ==\n" + leaf.format("7.0 GiB")) == 1546
    assert spark_bytes(plan + leaf.format("8.0 EiB")) is None


def test_what_snowflake_leaves_out_of_its_estimate_is_not_free() -> None:
    query = "SELECT o.x FROM shop.orders AS o INNER JOIN md_entries AS e ON e.unit = o.unit"
    stats = {"partitionsTotal": 9, "partitionsAssigned": 2, "bytesAssigned": 5000}

    def explained(*names: str) -> str:
        scans = [{"operation": "TableScan", "objects": [name]} for name in names]
        return json.dumps({"GlobalStats": stats, "Operations": [[{"operation": "Result"}, *scans]]})

    assert snowflake_cost(explained("LAB.SHOP.ORDERS", "LAB.TMP.MD_ENTRIES"), query) == (5000, 2)
    assert snowflake_cost(explained("LAB.TMP.MD_ENTRIES"), query) == (None, 2)
