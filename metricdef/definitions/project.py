"""A project: every definition, linked, each with its place in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Literal

from metricdef.definitions.models import Experiment, MetricSet, MetricTest, ProjectSettings, Segment, Source
from metricdef.definitions.yaml_source import Document, Path
from metricdef.errors import Diagnostic, Place, UsageError, suggest
from metricdef.metrics import Metric

Kind = Literal["sources", "segments", "metrics", "metric_sets", "experiments", "tests"]
Columns = Mapping[str, str]  # column name -> type, as the warehouse spells it


@dataclass(frozen=True, slots=True)
class Project:
    """All definitions of one project. Maps hold what is valid; `origins` also names what is declared but broken."""

    root: FilePath
    settings: ProjectSettings
    sources: Mapping[str, Source]
    segments: Mapping[str, Segment]
    metrics: Mapping[str, Metric]
    metric_sets: Mapping[str, MetricSet]
    experiments: Mapping[str, Experiment]
    tests: Mapping[str, MetricTest]
    documents: Mapping[str, Document]
    origins: Mapping[tuple[str, str], Document]
    schema: Mapping[str, Columns] = field(default_factory=dict)  # source -> its columns, where known
    names: Mapping[str, tuple[str, ...]] = field(init=False, compare=False)  # kind -> what `declared` gives

    def __post_init__(self) -> None:
        """Sort the names once: every reference is looked up among them."""
        names: dict[str, list[str]] = {}
        for kind, name in self.origins:
            names.setdefault(kind, []).append(name)
        object.__setattr__(self, "names", {kind: tuple(sorted(found)) for kind, found in names.items()})

    def place(self, kind: Kind, name: str, *path: str | int, key: bool = False) -> Place:
        """Where a definition, or something inside it, stands."""
        full: Path = (kind, name, *path)
        return self.origins[kind, name].place(full, key=key or not path)

    def declared(self, kind: Kind) -> tuple[str, ...]:
        """Names of a kind that are written somewhere, valid or not, sorted."""
        return self.names.get(kind, ())

    def is_declared(self, kind: Kind, name: str) -> bool:
        """Whether something of that kind and name is written somewhere, valid or not."""
        return (kind, name) in self.origins

    def experiment(self, name: str) -> Experiment:
        """The experiment of that name. Raises UsageError."""
        if name in self.experiments:
            return self.experiments[name]
        similar = suggest(name, self.experiments)
        known = ", ".join(sorted(self.experiments)) or "none"
        raise UsageError(
            f"there is no experiment `{name}`",
            [f"did you mean `{similar[0]}`?" if similar else f"experiments: {known}"],
        )


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading found: the project (None where project.yml is unusable) and everything wrong."""

    project: Project | None
    diagnostics: tuple[Diagnostic, ...]
    waivers_used: frozenset[tuple[str, int, str]] = frozenset()  # file, line, rule

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The findings that stop other verbs."""
        return tuple(d for d in self.diagnostics if d.severity == "error")
