"""Definitions as plain data for comparing: one by itself, and together with everything that its numbers rest on."""

from __future__ import annotations

from collections.abc import Iterator

from metricdef.definitions.models import Experiment
from metricdef.definitions.project import Kind, Project
from metricdef.definitions.used import (
    covariates_of,
    dimension_candidates,
    dimensions_of,
    experiment_metrics,
    metric_closure,
    unit_of,
    used_by,
)
from metricdef.governance.meaning import respelled
from metricdef.governance.plain import plain
from metricdef.governance.protocol import (
    DESCRIPTIVE,
    FREE,
    Reads,
    Tree,
    defaults_read,
    digest,
    metric_reads,
    metric_tree,
    protocol_tree,
    source_tree,
)
from metricdef.metrics.ratio import PART_TYPES

_WORDS: dict[str, tuple[str, ...]] = {
    "sources": ("description",),
    "segments": ("description",),
    "metrics": DESCRIPTIVE,
    "metric_sets": ("description",),
    "experiments": FREE,
}
_PROJECT_MEANING = ("entities", "defaults", "dialect", "min_units")


def own_tree(project: Project, kind: Kind, name: str) -> tuple[Tree, Tree]:
    """A definition by itself: what can change a number, and what can't (labels, owners, tests)."""
    dialects = _dialects(project)
    tree: Tree = dict(plain(getattr(project, kind)[name], dialects))
    if kind == "tests":
        return {}, tree
    if kind == "metrics":
        tree |= metric_tree(project, name)
    words = {key: tree.pop(key) for key in _WORDS[kind] if key in tree}
    if kind == "sources" and "expect" in tree:
        words["expect"] = tree.pop("expect")  # of health checks; a protocol that ships by them has it
    if kind == "experiments":
        experiment = project.experiments[name]
        if "covariates" in experiment.analysis.model_fields_set and experiment.analysis.covariates is None:
            tree.setdefault("analysis", {})["covariates"] = "off"
        for arm, value in tree["arms"].items():
            if "description" in value:
                words.setdefault("arms", {})[arm] = value.pop("description")
    return respelled(tree, dialects), words


def project_tree(project: Project) -> tuple[Tree, Tree]:
    """project.yml: what can change a number, and what can't. Of profiles only which ones there are, never what is in them."""
    settings = project.settings
    tree: Tree = plain(settings, {})
    for profile, options in tree.get("profiles", {}).items():
        tree["profiles"][profile] = f"definition {digest(options)[:8]}"  # options may be addresses and user names
    meaning = {key: tree.pop(key) for key in _PROJECT_MEANING if key in tree}
    meaning.setdefault("defaults", {})["timezone"] = settings.defaults.timezone
    return meaning, tree


def experiment_tree(project: Project, name: str) -> Tree:
    """Everything that any result of an experiment rests on: its protocol and the definitions of all its metrics."""
    experiment = project.experiments[name]
    tree = protocol_tree(project, name, set(used_by(project, experiment).metrics))
    for written in experiment.analysis.breakdowns:
        for source, dimension in dimension_candidates(project, experiment, written)[:1]:
            text = plain(project.sources[source], _dialects(project))["dimensions"][dimension]
            read = source_tree(project, source, Reads(), {unit_of(project, experiment)}, checked=False)
            known = tree["sources"].setdefault(source, read)
            known.setdefault("dimensions", {})[dimension] = text
    if project.settings.min_units and dimensions_of(experiment):
        tree["project"]["min_units"] = project.settings.min_units  # of levels: which are shown, and checked
    return tree


def metric_with_ground(project: Project, name: str) -> Tree:
    """A metric and everything that its numbers rest on in any experiment: its parts, sources and defaults."""
    metrics = metric_closure(project, {name, *own_extras(project, name)})
    reads = metric_reads(project, metrics)
    entities = {entity for source in reads if source in project.sources for entity in project.sources[source].entities}
    return {
        "metrics": {m: metric_tree(project, m) for m in sorted(metrics)},
        "sources": {
            s: source_tree(project, s, reads[s], entities, checked=False) for s in sorted(reads) if s in project.sources
        },
        "project": {"defaults": defaults_read(project, metrics)},
    }


def missing_of_metric(project: Project, name: str) -> list[tuple[str, str]]:
    """Kind and name of everything that a metric needs and that no valid definition provides."""
    return list(dict.fromkeys(_missing_of_metric(project, name)))


def missing_of_experiment(project: Project, name: str) -> list[tuple[str, str]]:
    """Kind and name of everything that an experiment needs and that no valid definition provides."""
    return list(dict.fromkeys(_missing_of_experiment(project, project.experiments[name])))


def _missing_of_metric(project: Project, name: str) -> Iterator[tuple[str, str]]:
    metric = project.metrics.get(name)
    parts = [r.name for r in metric.references() if r.kind == "metric"] if metric else []
    unfit = any(p in project.metrics and project.metrics[p].type not in PART_TYPES for p in parts)
    if metric is None or unfit or any(True for _ in metric.problems()):
        yield "metric", name
        return
    for reference in metric.references():
        if reference.kind == "source" and reference.name not in project.sources:
            yield "source", reference.name
        elif reference.kind == "measure" and (source := project.sources.get(str(reference.source))) is not None:
            if reference.name not in source.measures:
                yield "measure", f"{reference.source}.{reference.name}"
        elif reference.kind == "metric":
            yield from _missing_of_metric(project, reference.name)
    for extra in own_extras(project, name):
        yield from _missing_extra(project, extra)


def _missing_extra(project: Project, extra: str) -> Iterator[tuple[str, str]]:
    source, dot, dimension = extra.partition(".")
    if not dot:
        yield from _missing_of_metric(project, extra)
    elif source not in project.sources:
        yield "source", source
    elif dimension.casefold() not in {d.casefold() for d in project.sources[source].dimensions}:
        yield "dimension", extra


def _missing_of_experiment(project: Project, experiment: Experiment) -> Iterator[tuple[str, str]]:
    trigger = experiment.exposure.trigger
    segments = [project.segments[s] for s in experiment.population if s in project.segments]
    sources = [experiment.exposure.source, *([trigger.source] if trigger else ()), *(s.source for s in segments)]
    yield from (("source", source) for source in sources if source not in project.sources)
    yield from (("segment", s) for s in experiment.population if s not in project.segments)
    yield from (("set", s) for s in experiment.metrics.sets if s not in project.metric_sets)
    for name in experiment_metrics(project, experiment):
        yield from _missing_of_metric(project, name)
        metric = project.metrics.get(name)
        covariates = covariates_of(project, experiment, metric) if metric else None
        for extra in covariates.extra if covariates else ():
            yield from _missing_extra(project, extra)
    for written in (*experiment.analysis.strata, *experiment.analysis.breakdowns):
        if not dimension_candidates(project, experiment, written):
            yield "dimension", written


def own_extras(project: Project, name: str) -> tuple[str, ...]:
    """What a metric says itself that it is adjusted for."""
    metric = project.metrics[name]
    return metric.covariates.extra if metric.covariates else ()


def _dialects(project: Project) -> dict[str, str | None]:
    return {name: source.dialect for name, source in project.sources.items()}
