"""What every engine tells before a run: nothing of a source is read, and the run after it is the same."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import pytest
import yaml
from oracle.cases import random_case
from oracle.files import write_project
from oracle.reading import Table

from metricdef.api import Project
from metricdef.errors import OverBudget
from metricdef.warehouses import connect

from .engine import Engine
from .test_jobs import _point_to

TOLD = {"postgres": "rows", "clickhouse": "rows", "snowflake": "partitions"}


@pytest.fixture
def project(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    case = random_case(2)
    write_project(case, tmp_path)
    _point_to(tmp_path / "metrics" / "project.yml", engine.profile(), monkeypatch)
    engine.fill(case.tables)
    if engine.name == "spark":
        (tmp_path / "tables").symlink_to(engine.profile().root / "tables")
    return tmp_path


def test_the_cost_and_the_run_after_it(engine: Engine, project: Path) -> None:
    case = random_case(2)
    query = Project(project).compile(case.experiment, as_of=case.as_of.replace(tzinfo=UTC))
    with connect(engine.profile()) as warehouse:
        want = warehouse.execute(query.statements)
    with connect(engine.profile()) as warehouse:
        cost = warehouse.cost(query.statements)
        assert cost.bytes is not None
        assert cost.bytes > 0
        if engine.name in TOLD:
            assert cost.told[TOLD[engine.name]] > 0
        assert warehouse.execute(query.statements).num_rows == want.num_rows
    if engine.name == "spark":
        # None of the files is planned away; Spark says sizes with one decimal.
        tables = [source.table for source in query.plan.sources.values()]
        assert cost.bytes >= 0.98 * sum((project / "tables" / f"{name}.parquet").stat().st_size for name in tables)
    if engine.name == "clickhouse":
        assert cost.told["rows"] >= sum(len(case.tables[str(s.table)].rows) for s in query.plan.sources.values())
    if engine.name == "snowflake":
        assert cost.bytes == 1000 * cost.told["partitions"]


def test_more_than_the_budget_is_refused_before_anything_is_read(engine: Engine, project: Path) -> None:
    case = random_case(2)
    path = project / "metrics" / "project.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    at = case.as_of.replace(tzinfo=UTC)
    want = Project(project).run(case.experiment, as_of=at).to_json()
    path.write_text(yaml.safe_dump({**content, "max_bytes": 1}), encoding="utf-8")
    received = getattr(engine, "received", None)
    if received:
        received()
    with pytest.raises(OverBudget, match="more than `max_bytes` allows"):
        Project(project).run(case.experiment, as_of=at)
    if received:
        sent = received()["statements"]
        assert not [statement for statement in sent if "AS\n" in statement and not statement.startswith("EXPLAIN")]
    path.write_text(yaml.safe_dump({**content, "max_bytes": 10**12}), encoding="utf-8")
    assert Project(project).run(case.experiment, as_of=at).to_json() == want


def test_twice_the_rows_cost_more(engine: Engine) -> None:
    found = []
    for count in (2_000, 200_000):
        rows = tuple({"x": i} for i in range(count))
        if engine.name == "snowflake":
            pytest.skip("the suite's server makes its estimates up")
        engine.fill({"t": Table({"x": "integer"}, rows)})
        with connect(engine.profile()) as warehouse:
            found.append(warehouse.cost(["SELECT SUM(x) AS total FROM t"]).bytes)
    small, large = found
    assert small is not None
    assert large is not None
    assert large > 5 * small > 0
