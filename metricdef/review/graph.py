"""Which changed or affected definition rests on which, as edges from what is used to what uses it."""

from __future__ import annotations

from collections.abc import Iterator

from metricdef.definitions.project import Project
from metricdef.definitions.used import experiment_metrics
from metricdef.review.records import Key, Review
from metricdef.review.states import PROJECT, States


def edges(both: States, review: Review) -> tuple[tuple[Key, Key], ...]:
    """Edges between the nodes of a review: changed definitions, metrics and experiments that they reach."""
    nodes = {item.key for item in review.items}
    nodes |= {("metrics", effect.metric) for effect in review.metrics}
    nodes |= {("experiments", effect.experiment) for effect in review.experiments}
    found = [edge for edge in _all_edges(both.head, both.base) if edge[0] in nodes and edge[1] in nodes]
    for metric in review.metrics:
        found += [(PROJECT, ("metrics", metric.metric))] if PROJECT in metric.causes else []
    for effect in review.experiments:
        reached = any(down == ("experiments", effect.experiment) for _, down in found)
        found += [(PROJECT, ("experiments", effect.experiment))] if PROJECT in effect.causes and not reached else []
    return tuple(dict.fromkeys(found))


def _all_edges(*projects: Project) -> Iterator[tuple[Key, Key]]:
    for project in projects:
        for name, metric in project.metrics.items():
            for reference in metric.references():
                if reference.kind in ("source", "metric"):
                    yield (f"{reference.kind}s", reference.name), ("metrics", name)
            for extra in metric.covariates.extra if metric.covariates else ():
                source, dot, _ = extra.partition(".")
                yield (("sources", source) if dot else ("metrics", extra)), ("metrics", name)
        for name, segment in project.segments.items():
            yield ("sources", segment.source), ("segments", name)
        for name, metric_set in project.metric_sets.items():
            for role in ("primary", "secondary", "guardrail"):
                yield from ((("metrics", metric), ("metric_sets", name)) for metric in getattr(metric_set, role))
        for name, experiment in project.experiments.items():
            key, trigger = ("experiments", name), experiment.exposure.trigger
            yield ("sources", experiment.exposure.source), key
            if trigger is not None:
                yield ("sources", trigger.source), key
            yield from ((("segments", segment), key) for segment in experiment.population)
            yield from ((("metric_sets", metric_set), key) for metric_set in experiment.metrics.sets)
            yield from ((("metrics", metric), key) for metric in experiment_metrics(project, experiment))
            for extra in experiment.analysis.covariates.extra if experiment.analysis.covariates else ():
                source, dot, _ = extra.partition(".")
                yield (("sources", source) if dot else ("metrics", extra)), key
