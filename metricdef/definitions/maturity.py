"""When a unit's value is complete: windows and settling times, known from the definitions alone."""

from __future__ import annotations

from metricdef.definitions.models import Experiment
from metricdef.definitions.project import Project
from metricdef.definitions.used import experiment_metrics
from metricdef.metrics import Metric, Part
from metricdef.metrics.fields import Window
from metricdef.metrics.ratio import PART_TYPES


def window_of(project: Project, part: Part) -> Window:
    """The part's window: its own, else the project's, else until the experiment ends."""
    return part.window or project.settings.defaults.window or Window.parse("experiment")


def horizon_of(project: Project, metric: Metric, parts: tuple[Part, ...]) -> int | None:
    """How many microseconds before as-of a unit's anchor must lie for it to count; None where every unit does."""
    if metric.immature_policy(project.settings.defaults.immature) == "include":
        return None
    windows = [window_of(project, part) for part in parts]
    ends = [window.end for window in windows if window.kind == "span" and window.end is not None]
    if not ends:
        return None
    sources = {part.source for part in parts}
    sources |= {step.source for part in parts if part.funnel for step in part.funnel.steps}
    settles = [project.sources[source].settles_after for source in sources]
    return max(ends) + max((s.microseconds for s in settles if s), default=0)


def parts_of(project: Project, metric: Metric) -> tuple[Part, ...]:
    """The metric's parts; none while it contradicts itself or names something that is missing, which is reported on its own."""
    references = tuple(metric.references())
    metrics = {r.name for r in references if r.kind == "metric"}
    if not metrics <= project.metrics.keys() or any(True for _ in metric.problems()):
        return ()
    named = [project.metrics[name] for name in metrics]
    if any(part.type not in PART_TYPES or any(True for _ in part.problems()) for part in named):
        return ()
    inner = {r.name for name in metrics for r in project.metrics[name].references() if r.kind == "source"}
    if not inner | {r.name for r in references if r.kind == "source"} <= project.sources.keys():
        return ()
    return metric.parts(project.metrics)


def waits_of(project: Project, experiment: Experiment) -> dict[str, int]:
    """Per metric of the experiment with windows of fixed length: how long after its anchor a unit's value is settled."""
    found: dict[str, int] = {}
    for name in experiment_metrics(project, experiment):
        metric = project.metrics.get(name)
        parts = parts_of(project, metric) if metric else ()
        if metric is not None and parts:
            horizon = horizon_of(project, metric, parts)
            if horizon is not None:
                found[name] = horizon
    return found
