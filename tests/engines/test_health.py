"""Rows that break what their source declares: every engine counts the same ones, and the values stay what they are."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest
from comparison import assert_cells
from oracle.cases import random_case
from oracle.files import write_project, write_warehouse
from oracle.oracle import Case

from metricdef.analysis.cells import read_cells
from metricdef.api import Project
from metricdef.compiler.render import render
from metricdef.warehouses import connect, resolve_profile

from .engine import Engine

ORDERS = {
    "not_null": ["amount", "ordered_at", "status"],
    "accepted": {"status": ["paid", "open"], "qty": [0, 1, 2], "is_test": [False]},
    "unique": ["product"],
    "fresh_within": "1d",
}
ASSIGNMENTS = {"not_null": ["platform", "score"], "accepted": {"is_bot": [False]}, "unique": ["platform"]}
USERS = {"not_null": ["age"], "accepted": {"is_employee": [False]}, "unique": ["tier"]}
SESSIONS = {"not_null": ["device"], "accepted": {"device": ["web"]}}


def declared(case: Case) -> Case:
    """The case with declarations on its sources."""
    definitions = dict(case.definitions)
    sources = {name: dict(source) for name, source in definitions["sources.yml"]["sources"].items()}
    sources["orders"] |= {"grain": "amount", "expect": ORDERS}
    if "loaded_at" in sources["orders"]:
        sources["orders"]["expect"] = {**ORDERS, "max_late": "1h"}
    sources["sessions"] |= {"expect": SESSIONS}
    sources["assignments"] |= {"grain": "score", "expect": ASSIGNMENTS}
    if "users" in sources:
        sources["users"] |= {"grain": "score", "expect": USERS}
    definitions["sources.yml"] = {**definitions["sources.yml"], "sources": sources}
    return replace(case, definitions=definitions)


@pytest.mark.parametrize("seed", range(4))
def test_declarations_are_counted_alike(engine: Engine, seed: int, tmp_path: Path) -> None:
    case = declared(random_case(seed))
    write_project(case, tmp_path)
    write_warehouse(case, tmp_path / "warehouse.duckdb")
    engine.fill(case.tables)
    project = Project(tmp_path)
    settings = project.definitions.settings
    plan = project.plan(case.experiment, case.as_of.replace(tzinfo=UTC), daily=seed % 2 == 1)
    with connect(resolve_profile(None, settings.profiles, None, tmp_path)) as warehouse:
        want = read_cells(plan, warehouse.execute(render(plan, "duckdb").statements))
    with connect(engine.profile()) as warehouse:
        got = read_cells(plan, warehouse.execute(render(plan, warehouse.dialect).statements))
    assert got.sources == want.sources
    assert {"assignments"} <= set(got.sources) <= {"assignments", "orders", "sessions", "users"}
    assert_cells(case, got, settings.defaults.timezone)
