"""A new metric type touches five files at the most: its module, the registry, docs, a test and a golden file.

Proof: a type that is made up here, in this test, and entered into the registry alone is loaded, checked, planned,
compiled, run and read out. No other file of the package knows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from projects import METRICS, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef import metrics
from metricdef.api import Project
from metricdef.errors import DefinitionErrors
from metricdef.metrics import TYPES, Metric, Part, Problem, Reference
from metricdef.metrics.base import source_references
from metricdef.metrics.fields import Filter
from metricdef.reports.text import render_text


class SalesAndReturns(Metric):
    """Rows that pass one filter per row that passes another: a ratio that no analyst has to spell out."""

    type: Literal["per_other"]
    source: str
    filter: Filter
    per: Filter
    weight: int = 1

    kind = "ratio"

    def references(self) -> Iterator[Reference]:
        yield from source_references(self.source, None, self.filter)
        for position, text in enumerate(self.per):
            yield Reference(("per", position), "filter", text, self.source)

    def problems(self) -> Iterator[Problem]:
        if self.filter == self.per:
            yield Problem(("per",), "per-itself", "the filters are the same, so the ratio is 1", "change one")

    def parts(self, metrics: Mapping[str, Metric]) -> tuple[Part, ...]:
        part = Part(self.source, "count", None, self.filter, self.window, label="these")
        return part, replace(part, filter=self.per, label="others")

    def outcome(self, columns):
        from metricdef.stats.adjustment import RatioOutcome

        return RatioOutcome(columns[0], columns[1])


TOY = {"type": "per_other", "source": "orders", "filter": "status = 'refunded'", "per": "status = 'paid'", "direction": "decrease"}  # fmt: skip


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(metrics.TYPES, "per_other", SalesAndReturns)


def project(root, **changes):
    definitions = {"metrics": {**METRICS["metrics"], "toy": {**TOY, **changes}}}
    roles = {"primary": {"toy": {"mde": "2%"}}, "secondary": {"revenue": None}}
    write_definitions(root, SOURCES, definitions, experiment(metrics=roles))
    write_warehouse(
        root, *TABLES,
        "INSERT INTO assignments SELECT 'u' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END, TIMESTAMP '2026-01-10', 'web' FROM range(120) AS r(i)",
        # control: 60 paid and 20 refunded; treatment: 120 paid and 30 refunded
        "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-11', 1, 'p', 'paid' FROM range(120) AS r(i)",
        "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-12', 1, 'p', 'paid' FROM range(1, 120, 2) AS r(i)",
        "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-13', 1, 'p', 'refunded' FROM range(0, 120, 6) AS r(i)",
        "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-13', 1, 'p', 'refunded' FROM range(1, 120, 4) AS r(i)",
        "INSERT INTO orders SELECT 'u' || i, TIMESTAMP '2026-01-03', 1, 'p', 'paid' FROM range(0, 120, 3) AS r(i)",
    )  # fmt: skip
    return Project(root)


@pytest.mark.usefixtures("toy")
def test_a_registered_type_loads_and_is_checked(tmp_path):
    assert project(tmp_path / "right").check() == ()
    same = project(tmp_path / "same", per=TOY["filter"]).check()
    assert [(d.rule, d.severity) for d in same] == [("per-itself", "error")]
    assert "unknown-source" in {d.rule for d in project(tmp_path / "source", source="nowhere").check()}
    assert "unknown-key" in {d.rule for d in project(tmp_path / "key", filtr="x").check()}


@pytest.mark.usefixtures("toy")
def test_a_registered_type_is_planned_compiled_and_run(tmp_path):
    made = project(tmp_path)
    plan = next(m for m in made.plan("test", "2026-03-01").metrics if m.name == "toy")
    assert plan.columns == ("toy__these", "toy__others")
    sql = made.compile("test", as_of="2026-03-01").text
    assert "v_toy__these" in sql and "refunded" in sql
    readout = made.run("test", as_of="2026-03-01")
    row = next(r for r in readout.estimates if r.metric == "toy")
    assert (row.baseline_value, row.arm_value) == (pytest.approx(20 / 60), pytest.approx(30 / 120))
    assert row.units == (60, 60)
    assert row.p_value is not None and row.relative.estimate == pytest.approx(-0.25)
    assert "toy" in readout.to_json()
    assert "toy" in render_text(readout)


@pytest.mark.usefixtures("toy")
def test_a_registered_type_takes_what_all_types_take(tmp_path):
    """Windows and covariates are the planner's business, not the type's."""
    readout = project(tmp_path, window="2d", covariates={"lookback": "14d"}).run("test", as_of="2026-03-01")
    row = next(r for r in readout.estimates if r.metric == "toy")
    assert row.baseline_value == 0  # refunds come on the third day
    columns = {name for m in readout.moments for name in m["columns"]}
    assert {"toy__these__pre", "toy__others__pre"} <= columns


def test_an_unregistered_type_is_refused_by_name(tmp_path):
    assert "per_other" not in TYPES
    with pytest.raises(DefinitionErrors) as caught:
        project(tmp_path).compile("test")
    assert "`per_other` is not a metric type" in [d.message for d in caught.value.diagnostics]


def named_in(*words: str) -> set[str]:
    """Files of the package that hold one of the words."""
    folder = Path(metrics.__file__).parent.parent
    texts = {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.py")}
    return {path.relative_to(folder).as_posix() for path, text in texts.items() if any(word in text for word in words)}


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind != "quantile"])
def test_the_package_names_a_type_in_its_module_and_the_registry_only(kind):
    """A quantile is the exception: its effect comes from order statistics, which the other rooms must know of."""
    assert named_in(TYPES[kind].__name__) == {f"metrics/{kind}.py", "metrics/__init__.py"}
