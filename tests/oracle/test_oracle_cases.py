"""Checks the generated cases for what they cover, and the oracle's answers to them for coherence."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest
import thorough
from hypothesis import HealthCheck, given, settings
from thorough import examples

from .cases import OPTIONS, cases, random_case
from .files import write_project, write_warehouse
from .oracle import Case, Result, analyse, day_ends, moments_of, series

CASES = thorough.cases(500, 2000)
LEAST = thorough.cases(5, 50)


@pytest.fixture(scope="module")
def generated() -> list[Case]:
    """Also the labels of every case, which cost about as much as an analysis."""
    return [random_case(seed) for seed in range(CASES)]


@pytest.mark.thorough
def test_every_option_occurs(generated: list[Case]) -> None:
    occurred = Counter(option for case in generated for option in case.options)
    assert set(occurred) <= set(OPTIONS)
    assert {option: occurred[option] for option in OPTIONS if occurred[option] < LEAST} == {}


def assert_coherent(result: Result) -> None:
    assert sum(result.assigned.values()) == len(result.units)
    unmixed = sum(result.assigned.values()) - sum(result.mixed.values())
    assert sum(result.in_population.values()) + result.excluded["outside_population"] == unmixed
    assert sum(result.analysed.values()) + result.excluded["untriggered"] == sum(result.in_population.values())
    assert sum(len(cluster.units) for cluster in result.clusters.values()) in (0, len(result.units))
    for metric, values in result.values.items():
        for unit in values:
            assert result.units[unit].in_population and result.units[unit].triggered
        layout = result.tables[metric].layout
        for row in values.values():
            assert list(row) == layout.columns
        for (arm, mixed), block in result.metrics[metric].items():
            units = [u for u in values if result.units[u].arm == arm and result.units[u].mixed == mixed]
            if result.clusters:
                assert block.n == len({result.units[unit].cluster for unit in units})
            else:
                assert block.n == len(units)
            assert (block.comoment == block.comoment.T).all()
            assert (block.nonzero <= block.n).all()
            assert (block.capped <= len(units)).all()


@pytest.mark.thorough
def test_results_are_coherent(generated: list[Case]) -> None:
    blocks: Counter[str] = Counter()
    for case in generated[::3]:
        result = analyse(case)
        assert_coherent(result)
        for name, metric in result.metrics.items():
            everyone = moments_of(result, name, result.units)
            if not result.clusters:
                assert everyone.n == sum(block.n for block in metric.values())
            blocks["all"] += 1
            blocks["varied"] += bool(everyone.n > 3 and everyone.comoment[0, 0] > 0)
    assert blocks["varied"] > 0.3 * blocks["all"], blocks


@pytest.mark.thorough
def test_the_last_day_of_the_series_is_the_result(generated: list[Case]) -> None:
    for case in generated[: thorough.cases(40, 120)]:
        result = analyse(case)
        ends = day_ends(case)
        if not ends:
            continue
        assert ends == sorted(set(ends)) and ends[-1] == case.as_of
        found = series(case, [ends[0], ends[-1]])
        for name, blocks in found[ends[-1]].items():
            for key, block in blocks.items():
                want = result.metrics[name][key]
                assert (block.n, block.columns) == (want.n, want.columns)
                assert block.mean.tolist() == want.mean.tolist()
                assert block.comoment.tolist() == want.comoment.tolist()
        for name, blocks in found[ends[0]].items():
            entered = [r for r in result.units.values() if r.anchor is not None and r.anchor < ends[0]]
            for (arm, mixed), block in blocks.items():
                assert block.n <= sum(r.arm == arm and r.mixed == mixed for r in entered), name


@settings(
    max_examples=examples(15), derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(cases())
def test_a_case_survives_its_files(tmp_path_factory: pytest.TempPathFactory, case: Case) -> None:
    yaml = pytest.importorskip("yaml")
    duckdb = pytest.importorskip("duckdb")
    directory = tmp_path_factory.mktemp("case")
    folder = write_project(case, directory)
    read = {name: yaml.safe_load((folder / name).read_text(encoding="utf-8")) for name in case.definitions}
    assert read == case.definitions
    connection = duckdb.connect(str(write_warehouse(case, directory / "warehouse.duckdb")), read_only=True)
    for name, table in case.tables.items():
        columns = ", ".join(table.columns)
        rows = connection.execute(f"SELECT {columns} FROM {name} ORDER BY rowid").fetchall()
        assert rows == [tuple(row.get(column) for column in table.columns) for row in table.rows]
    connection.close()


def test_nothing_here_imports_the_package() -> None:
    for path in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "metricdef" for name in names), path
