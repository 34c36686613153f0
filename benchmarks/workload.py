"""The workload as metricdef compiles it: the project of benchmarks/project/, cut down to what this version computes."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from benchmarks.warehouse import END, START
from metricdef.api import Project
from metricdef.compiler.query import Query
from metricdef.errors import DefinitionErrors

DEFINITIONS = Path(__file__).resolve().parent / "project"
EXPERIMENTS = ("w", "w_without_quantile", "w_two", "w_extra", "w_dimensions", "w_daily")

_METRIC = re.compile(r"metric `(\w+)`")


@dataclass(frozen=True, slots=True)
class Supported:
    """A project without what this version refuses: metrics left out, and experiments with the reason."""

    project: Project
    dropped: dict[str, str]
    skipped: dict[str, str]

    def metrics(self, experiment: str) -> frozenset[str]:
        """Names of the metrics that the experiment still has."""
        return frozenset(metric.name for metric in self.project.plan(experiment, END).metrics)


def supported(folder: Path) -> Supported:
    """The benchmark's project, copied into `folder` and cut down by metricdef's own refusals (rule `not-yet`)."""
    shutil.copytree(DEFINITIONS, folder, dirs_exist_ok=True)
    dropped: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for experiment in EXPERIMENTS:
        for message in _refusals(Project(folder), experiment):
            named = _METRIC.search(message)
            if named:
                dropped.setdefault(named[1], message)
            else:
                skipped.setdefault(experiment, message)
    for path in (folder / "metrics" / "experiments").glob("*.yml"):
        _leave_out(path, set(dropped))
    return Supported(Project(folder), dropped, skipped)


def compiled(project: Project, experiment: str) -> Query:
    """The SQL of an experiment as of the end of the data."""
    return project.compile(experiment, dialect="duckdb", as_of=END)


def compiled_daily(project: Project, experiment: str, days: int) -> Query:
    """The SQL of the series of the first `days` days."""
    return project.compile(experiment, dialect="duckdb", as_of=START + timedelta(days=days), daily=True)


def _refusals(project: Project, experiment: str) -> list[str]:
    try:
        project.plan(experiment, END)
    except DefinitionErrors as errors:
        others = [d for d in errors.diagnostics if d.rule != "not-yet"]
        if others:
            raise
        return [d.message for d in errors.diagnostics]
    return []


def _leave_out(path: Path, dropped: set[str]) -> None:
    """Rewrite an experiment's file without the metrics that cannot be computed."""
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    for experiment in content["experiments"].values():
        for names in experiment["metrics"].values():
            for name in dropped & set(names):
                del names[name]
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
