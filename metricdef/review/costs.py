"""What computing experiments again would read of the warehouse, as defined before and now: asked of the engine, nothing is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from metricdef.compiler.build_plan import build_plan
from metricdef.compiler.render import render
from metricdef.definitions.project import Project
from metricdef.errors import WarehouseError
from metricdef.warehouses import Profile, Warehouse
from metricdef.warehouses.cost import Cost


@dataclass(frozen=True, slots=True)
class RunCost:
    """Of one experiment: the engine's estimates; None before where it is new, and `refused` where the engine refuses it now."""

    experiment: str
    before: Cost | None
    after: Cost | None
    refused: str | None = None


def run_costs(
    base: Project | None,
    head: Project,
    experiments: Iterable[str],
    as_of: datetime,
    warehouse: Warehouse,
    profile: Profile,
) -> tuple[RunCost, ...]:
    """Costs of the experiments, each as of the same instant."""
    found = []
    for name in experiments:
        before = None
        if base is not None and name in base.experiments:
            try:
                before = _cost(base, name, as_of, warehouse, profile)
            except WarehouseError:
                before = None  # what is refused before the change is no news
        try:
            found.append(RunCost(name, before, _cost(head, name, as_of, warehouse, profile)))
        except WarehouseError as error:
            found.append(RunCost(name, before, None, error.message))
    return tuple(found)


def _cost(project: Project, name: str, as_of: datetime, warehouse: Warehouse, profile: Profile) -> Cost:
    return warehouse.cost(render(build_plan(project, name, as_of), warehouse.dialect, profile.schemas).statements)
