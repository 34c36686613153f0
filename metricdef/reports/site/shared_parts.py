"""What experiments share by name: segments as populations, and metric sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from metricdef.definitions.models import ROLES, MetricSet, Role, Segment, Target
from metricdef.definitions.project import Kind, Project
from metricdef.errors import Place
from metricdef.governance.history import Key, Revision
from metricdef.review.experiment_sentences import segment_words

Histories = Mapping[Key, tuple[Revision, ...]]


@dataclass(frozen=True, slots=True)
class SegmentPage:
    """One segment, and the experiments whose population it is part of."""

    name: str
    segment: Segment
    sentence: str
    experiments: tuple[str, ...]
    history: tuple[Revision, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class SetPage:
    """One metric set: its metrics with their roles and declared sizes, and the experiments that take it over."""

    name: str
    metric_set: MetricSet
    metrics: tuple[tuple[str, Role, Target], ...]
    experiments: tuple[str, ...]
    history: tuple[Revision, ...]
    place: Place


def segment_pages(project: Project, history: Histories) -> dict[str, SegmentPage]:
    """A page for each segment, by name."""
    return {
        name: SegmentPage(
            name,
            segment,
            f"Units with {segment_words(project, segment)}.",
            tuple(e for e, found in sorted(project.experiments.items()) if name in found.population),
            history.get(("segments", name), ()),
            place_of(project, "segments", name),
        )
        for name, segment in sorted(project.segments.items())
    }


def set_pages(project: Project, history: Histories) -> dict[str, SetPage]:
    """A page for each metric set, by name."""
    return {
        name: SetPage(
            name,
            found,
            tuple((metric, role, target) for role in ROLES for metric, target in getattr(found, role).items()),
            tuple(e for e, experiment in sorted(project.experiments.items()) if name in experiment.metrics.sets),
            history.get(("metric_sets", name), ()),
            place_of(project, "metric_sets", name),
        )
        for name, found in sorted(project.metric_sets.items())
    }


def place_of(project: Project, kind: Kind, name: str) -> Place:
    """Where it stands, in the project's folder: from wherever the site is built."""
    place = project.place(kind, name, key=True)
    inside = (Path.cwd() / place.file).resolve()
    if inside.is_relative_to(project.root):
        return replace(place, file=inside.relative_to(project.root).as_posix())
    return place
