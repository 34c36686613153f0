"""What loads and links but is not computed by this version: refused by name, never accepted and ignored."""

from __future__ import annotations

from collections.abc import Iterator

from metricdef.definitions.models import Experiment, Source
from metricdef.definitions.project import Kind, Project
from metricdef.definitions.used import used_by
from metricdef.errors import Diagnostic


def refuse(project: Project, name: str) -> list[Diagnostic]:
    """Every feature that experiment `name` uses and this version cannot compute, with its place."""
    experiment = project.experiments[name]
    found = [_not_yet(project, "experiments", name, path, what) for path, what in _experiment_features(experiment)]
    used = used_by(project, experiment)
    for source_name in used.sources:
        found += [
            _not_yet(project, "sources", source_name, (key,), f"source `{source_name}`: `{key}` is not used yet")
            for key in _unused(project.sources[source_name])
        ]
    root = next(d for d in project.documents.values() if ("version",) in d.keys)
    for key in ("dialect", "dbt_manifest"):
        if getattr(project.settings, key) is not None:
            found.append(
                Diagnostic(
                    "not-yet", f"`{key}` of the project is not used yet", root.place((key,), key=True), (_REMOVE,)
                )
            )
    return found


def _unused(source: Source) -> Iterator[str]:
    """Keys of a source that nothing reads."""
    keys = ("dbt_model",)
    return (key for key in keys if getattr(source, key) is not None)


_REMOVE = "remove it to run without it"


def _not_yet(project: Project, kind: Kind, name: str, path: tuple[str | int, ...], what: str) -> Diagnostic:
    return Diagnostic("not-yet", what, project.place(kind, name, *path, key=True), (_REMOVE,))


def _experiment_features(experiment: Experiment) -> Iterator[tuple[tuple[str | int, ...], str]]:
    analysis = experiment.analysis
    features: list[tuple[object, tuple[str | int, ...], str]] = [
        (analysis.bayes, ("analysis", "bayes"), "Bayesian read-outs"),
    ]
    for used, path, what in features:
        if used:
            yield path, f"{what} are not computed yet" if what.endswith("s") else f"{what} is not computed yet"
