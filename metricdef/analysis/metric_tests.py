"""Runs unit tests of metrics on DuckDB in memory, through the SQL that an experiment runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from metricdef.analysis.cells import Cells, OrderStatistics, read_cells
from metricdef.analysis.metric_cases import DIALECT, build_case
from metricdef.compiler.build_plan import build_plan
from metricdef.compiler.plan import MetricPlan, Plan
from metricdef.compiler.render import render, render_units
from metricdef.definitions.files import definition_files
from metricdef.definitions.link_tests import unit_of_test
from metricdef.definitions.project import Project
from metricdef.definitions.record import Recorded, record
from metricdef.definitions.yaml_source import parse_yaml
from metricdef.errors import DefinitionErrors, MetricdefError, Place, UsageError, WarehouseError
from metricdef.metrics.figures import Figure, UnitFigure, figures_of_arm, figures_of_unit
from metricdef.stats.moments import Moments

Value = float | None
Figures = Mapping[str, Value]
Row = Mapping[str, Any]

# Sums are exact to a few units in the last place; a figure written with ten digits or more is meant exactly.
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Difference:
    """One expected figure that is not what came out. `kind` and `name` say of what: an arm, or a unit.

    `key` and `position` say in which row of the test.
    """

    kind: str
    name: str
    figure: str
    expected: Value
    actual: Value
    place: Place
    key: str
    position: int


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One test that ran. `message` says why it could not, with the status error.

    `arms` and `units` hold every figure that a test of this metric may expect, `units` only where the test expects some.
    """

    test: str
    metric: str
    status: Literal["passed", "failed", "error"]
    place: Place
    differences: tuple[Difference, ...] = ()
    message: str | None = None
    help: tuple[str, ...] = ()
    arms: Mapping[str, Figures] | None = None
    units: Mapping[str, Figures] | None = None


def run_test(project: Project, name: str) -> CaseResult:
    """Run test `name`. What the SQL or the engine refuses is a result, not an exception."""
    test, place = project.tests[name], project.place("tests", name)
    try:
        arms, units = _actual(project, name)
    except DefinitionErrors as error:
        message = "; ".join(d.message for d in error.diagnostics)
        return CaseResult(name, test.metric, "error", place, message=message)
    except MetricdefError as error:
        return CaseResult(name, test.metric, "error", place, message=error.message, help=error.help)
    found = tuple(_differences(project, name, arms, units))
    status: Literal["passed", "failed"] = "failed" if found else "passed"
    return CaseResult(name, test.metric, status, place, found, arms=arms, units=units)


def _actual(project: Project, name: str) -> tuple[dict[str, Figures], dict[str, Figures] | None]:
    """Every figure of every arm and, where the test expects some, of every unit."""
    from metricdef.warehouses.duckdb import DuckDBWarehouse

    case, test = build_case(project, name), project.tests[name]
    plan = build_plan(case.project, name, case.as_of)
    query = render(plan, DIALECT)
    metric = plan.metrics[0]
    parts = metric.metric.parts(case.project.metrics)
    with DuckDBWarehouse.holding({n: (table.columns, table.rows) for n, table in case.tables.items()}) as warehouse:
        cells = read_cells(plan, warehouse.execute(query.statements))
        arms: dict[str, Figures] = {
            arm.key: {f.name: _Arm(cells, metric, arm.name).figure(f) for f in figures_of_arm(metric.metric, parts)}
            for arm in plan.arms
        }
        if not test.expect_units:
            return arms, None
        columns = list(dict.fromkeys(_columns(metric)))
        rows = warehouse.execute(render_units(plan, DIALECT, columns)).to_pylist()
    figures = figures_of_unit(parts)
    return arms, _of_units(plan, rows, figures)


def _of_units(plan: Plan, rows: Sequence[Row], figures: tuple[UnitFigure, ...]) -> dict[str, Figures]:
    """Values of the units that count; one that does not has none."""
    columns = _columns(plan.metrics[0])
    found: dict[str, Figures] = {}
    for row in rows:
        values = [row[f"v_{column}"] for column in columns]
        found[str(row["unit"])] = {
            f.name: None if f.present is not None and not values[f.present] else values[f.part] for f in figures
        }
    return found


def _columns(metric: MetricPlan) -> tuple[str, ...]:
    """Columns of the moments, one for each part of the metric."""
    return tuple(column for _, column in metric.steps) or metric.columns


# --- figures of arms --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Arm:
    """The moments of one arm, read figure by figure."""

    cells: Cells
    metric: MetricPlan
    name: str

    def figure(self, figure: Figure) -> Value:
        """One figure; None where it has no value."""
        match figure.kind:
            case "units":
                return self._units()
            case "sum":
                return self._sum(figure.part)
            case "sum_squares":
                moments = self._moments(figure.part)
                return float(moments.comoment[0, 0] + moments.n * moments.mean[0] ** 2)
            case "capped":
                return int(self._moments(figure.part).capped[0])
            case "mean":
                return _quotient(self._sum(0), self._units())
            case "ratio":
                return _quotient(self._sum(0), self._sum(1))
            case "values":
                return found.total if (found := self._statistics()) else 0
            case "quantile":
                return found.estimate if (found := self._statistics()) else None

    def _units(self) -> int:
        return self.cells.eligible(self.metric.block, self.name, with_mixed=False)

    def _moments(self, part: int) -> Moments:
        return self.cells.moments(self.metric.block, (_columns(self.metric)[part],), self.name, with_mixed=False)

    def _sum(self, part: int) -> float:
        return float(self._moments(part).total[0])

    def _statistics(self) -> OrderStatistics | None:
        quantile = self.metric.quantile
        return self.cells.quantiles.get((quantile.name, self.name, None)) if quantile else None


def _quotient(above: float, below: float) -> Value:
    return above / below if below else None


# --- differences ------------------------------------------------------------------------------------------------------


def _differences(
    project: Project, name: str, arms: Mapping[str, Figures], units: Mapping[str, Figures] | None
) -> Iterator[Difference]:
    test = project.tests[name]
    unit = unit_of_test(test)
    for key, kind, rows, actual in (
        ("expect", "arm", test.expect, arms),
        ("expect_units", unit, test.expect_units, units or {}),
    ):
        for position, row in enumerate(rows):
            # A unit that is not among the eligible ones, exposed after as-of for example, has no value.
            found = actual.get(str(row[kind]), {})
            for figure, expected in row.items():
                if figure != kind and not is_same(expected, found.get(figure)):
                    place = project.place("tests", name, key, position, figure)
                    yield Difference(kind, str(row[kind]), figure, expected, found.get(figure), place, key, position)


def is_same(expected: Value, actual: Value) -> bool:
    """Whether two figures agree to about nine digits; no value agrees with no value only."""
    if expected is None or actual is None:
        return expected is actual
    return math.isclose(expected, actual, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


# --- recording --------------------------------------------------------------------------------------------------------


def record_tests(project: Project, names: Sequence[str]) -> dict[Path, str]:
    """The files of these tests with the figures that come out; only files that change.

    Raises WarehouseError where a test cannot run, and UsageError where a file was changed meanwhile.
    """
    files = definition_files(project.root)
    wanted: dict[str, list[Recorded]] = {}
    for name in names:
        result = run_test(project, name)
        if result.status == "error" or result.arms is None:
            raise WarehouseError(f"test `{name}` cannot run: {result.message}", result.help)
        figures = {(d.key, d.position, d.figure): d.actual for d in result.differences}
        test = project.tests[name]
        if figures or not (test.expect or test.expect_units):
            file = project.origins["tests", name].file
            wanted.setdefault(file, []).append(Recorded(name, figures, result.arms))
    found = {}
    for file, tests in wanted.items():
        text = files[file].read_bytes().decode("utf-8")
        now = parse_yaml(file, text.removeprefix("\ufeff")).data.get("tests")
        if now != project.origins["tests", tests[0].test].data["tests"]:
            raise UsageError(f"{file} was changed meanwhile", ["run again"])
        found[files[file]] = record(file, text, tests)
    return found
