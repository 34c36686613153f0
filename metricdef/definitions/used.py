"""Which definitions an experiment uses, through sets, ratio parts and covariates.

Everything that must not miss one (refusals, fingerprints, unit checks) asks here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from metricdef.definitions.models import ROLES, Correction, Experiment, Role, Target
from metricdef.definitions.project import Project
from metricdef.metrics import Metric
from metricdef.metrics.fields import Covariates


@dataclass(frozen=True, slots=True)
class Used:
    """Names of what an experiment uses, each sorted."""

    metrics: tuple[str, ...]
    sources: tuple[str, ...]
    segments: tuple[str, ...]
    metric_sets: tuple[str, ...]


def renamed_metrics(project: Project) -> dict[str, str]:
    """Names of metrics by the one that each had before, where nothing else has that by now."""
    found = {metric.renamed_from: name for name, metric in project.metrics.items() if metric.renamed_from}
    return {old: name for old, name in found.items() if old not in project.metrics}


def experiment_metrics(project: Project, experiment: Experiment) -> dict[str, tuple[Role, Target]]:
    """Every metric of an experiment with its role, those of its sets included, in written order."""
    found: dict[str, tuple[Role, Target]] = {}
    for role in ROLES:
        for name, target in getattr(experiment.metrics, role).items():
            found.setdefault(name, (role, target))
        for set_name in experiment.metrics.sets:
            if set_name in project.metric_sets:
                for name, target in getattr(project.metric_sets[set_name], role).items():
                    found.setdefault(name, (role, target))
    return found


def covariates_of(project: Project, experiment: Experiment, metric: Metric) -> Covariates | None:
    """The covariates that hold for a metric: its own, else the experiment's, else the project's."""
    if "covariates" in metric.model_fields_set:
        return metric.covariates
    if "covariates" in experiment.analysis.model_fields_set:
        return experiment.analysis.covariates
    return project.settings.defaults.covariates


def correction_of(project: Project, experiment: Experiment, role: Role) -> Correction | None:
    """The correction stated for a role: the experiment's, else the project's; None where the default holds."""
    for multiplicity in (experiment.analysis.multiplicity, project.settings.defaults.multiplicity):
        correction: Correction | None = getattr(multiplicity, role) if multiplicity else None
        if correction is not None:
            return correction
    return None


def extras_of(project: Project, experiment: Experiment) -> dict[str, str]:
    """Extra covariates in use, each with a metric that uses it."""
    found: dict[str, str] = {}
    for name in experiment_metrics(project, experiment):
        metric = project.metrics.get(name)
        covariates = covariates_of(project, experiment, metric) if metric else None
        for extra in covariates.extra if covariates else ():
            found.setdefault(extra, name)
    return found


def dimension_candidates(project: Project, experiment: Experiment, written: str) -> list[tuple[str, str]]:
    """Sources that hold a dimension of the experiment's units, with its name there: `name` or `source.name`."""
    source_name, dot, dimension = written.partition(".")
    unit = unit_of(project, experiment)
    found = []
    for name, source in project.sources.items():
        if name != experiment.exposure.source and (source.kind != "attributes" or unit not in source.entities):
            continue
        wanted = (dimension if name == source_name else "") if dot else written
        found += [(name, key) for key in source.dimensions if wanted and key.casefold() == wanted.casefold()]
    return found


def dimensions_of(experiment: Experiment) -> tuple[str, ...]:
    """Every dimension that the experiment's estimates are stratified or broken down by, as written."""
    return tuple(dict.fromkeys((*experiment.analysis.strata, *experiment.analysis.breakdowns)))


def metric_closure(project: Project, names: set[str]) -> set[str]:
    """The metrics named and, where they are ratios, their parts. Unknown names are left out."""
    found = {name for name in names if name in project.metrics}
    for name in tuple(found):
        parts = {r.name for r in project.metrics[name].references() if r.kind == "metric"}
        found |= parts & project.metrics.keys()
    return found


def sources_of(project: Project, metric: Metric) -> set[str]:
    """Every source a metric reads, through its parts."""
    return set(_sources(project, metric))


def _sources(project: Project, metric: Metric) -> Iterator[str]:
    for reference in metric.references():
        if reference.kind == "source":
            yield reference.name
        elif reference.kind == "metric" and reference.name in project.metrics:
            yield from (r.name for r in project.metrics[reference.name].references() if r.kind == "source")


def used_by(project: Project, experiment: Experiment) -> Used:
    """Everything that experiment uses and that is valid."""
    extras = extras_of(project, experiment)
    metrics = metric_closure(project, {*experiment_metrics(project, experiment), *extras})
    sources = {experiment.exposure.source, *(extra.split(".")[0] for extra in extras if "." in extra)}
    sources |= {project.segments[name].source for name in experiment.population if name in project.segments}
    for written in dimensions_of(experiment):
        sources |= {source for source, _ in dimension_candidates(project, experiment, written)}
    if experiment.exposure.trigger is not None:
        sources.add(experiment.exposure.trigger.source)
    for name in metrics:
        sources |= sources_of(project, project.metrics[name])
    return Used(
        metrics=tuple(sorted(metrics)),
        sources=tuple(sorted(sources & set(project.sources))),
        segments=tuple(sorted(set(experiment.population) & set(project.segments))),
        metric_sets=tuple(sorted(set(experiment.metrics.sets) & set(project.metric_sets))),
    )


def unit_of(project: Project, experiment: Experiment) -> str | None:
    """The analysed entity: the experiment's, else the project's default, else its only entity."""
    settings = project.settings
    only = settings.entities[0] if len(settings.entities) == 1 else None
    return experiment.unit or settings.defaults.unit or only
