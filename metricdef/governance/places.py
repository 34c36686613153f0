"""Where a part of the protocol stands in the files."""

from __future__ import annotations

from collections.abc import Iterator

from metricdef.definitions.project import Project
from metricdef.definitions.yaml_source import Document, Path
from metricdef.errors import Place
from metricdef.governance.changes import Change

# Parts that the experiment, the project or both may state: where else they stand.
_DEFAULTS = {
    ("unit",): ("defaults", "unit"),
    ("validation", "srm_alpha"): ("defaults", "srm_alpha"),
    ("analysis", "confidence"): ("defaults", "confidence"),
    ("analysis", "covariates"): ("defaults", "covariates"),
    ("analysis", "multiplicity"): ("defaults", "multiplicity"),
}


def change_place(project: Project, name: str, change: Change) -> Place:
    """Where the changed part stands, or stood: then the nearest thing around it that is still there."""
    own: tuple[Document, Path] = (project.origins["experiments", name], ("experiments", name))
    candidates = [*_candidates(project, name, change.path)] or [own]
    for document, path in candidates:
        if path in document.values or path in document.keys:
            return document.place(path, key=path not in document.scalars)
    document, path = candidates[0]
    return document.place(path, key=True)


def _candidates(project: Project, name: str, path: tuple[str, ...]) -> Iterator[tuple[Document, Path]]:
    """Where to look, in order; nowhere for a definition that is gone."""
    kind, *rest = path
    steps = tuple(int(step) if step.isdigit() else step for step in rest)
    own = project.origins["experiments", name]
    root = next(d for d in project.documents.values() if ("version",) in d.keys)
    if kind == "experiment":
        yield own, ("experiments", name, *steps)
        yield from _elsewhere(project, name, rest, root)
    elif kind == "project":
        yield root, steps
    elif rest and (kind, rest[0]) in project.origins:
        yield project.origins[kind, rest[0]], (kind, *steps)


def _elsewhere(project: Project, name: str, rest: list[str], root: Document) -> Iterator[tuple[Document, Path]]:
    for start, default in _DEFAULTS.items():
        if tuple(rest[: len(start)]) == start:
            yield root, (*default, *rest[len(start) :])
            yield root, default
    match rest:
        case ["metrics", role, metric, *more]:
            for set_name in project.experiments[name].metrics.sets:
                if ("metric_sets", set_name) in project.origins:
                    document = project.origins["metric_sets", set_name]
                    yield document, ("metric_sets", set_name, role, metric, *more)
                    yield document, ("metric_sets", set_name, role, metric)
