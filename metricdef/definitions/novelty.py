"""Metrics whose effect can be followed over the days since exposure: those that are sums of daily values."""

from __future__ import annotations

from collections.abc import Iterator

from metricdef.definitions.lookup import unknown
from metricdef.definitions.maturity import horizon_of, parts_of, window_of
from metricdef.definitions.models import Experiment
from metricdef.definitions.project import Project
from metricdef.definitions.used import experiment_metrics
from metricdef.errors import Diagnostic
from metricdef.metrics import Metric
from metricdef.metrics.base import Limit

DAY = 86_400_000_000  # microseconds


def check_novelty(project: Project, name: str, experiment: Experiment) -> Iterator[Diagnostic]:
    """Whether every metric that `analysis.novelty` names has values by day."""
    metrics = experiment_metrics(project, experiment)
    for position, metric_name in enumerate(experiment.analysis.novelty):
        place = project.place("experiments", name, "analysis", "novelty", position)
        if metric_name not in metrics:
            yield unknown("metric", metric_name, metrics, place, f"`novelty` of experiment `{name}`")
        elif metric_name in project.metrics and (why := _problem(project, experiment, project.metrics[metric_name])):
            yield Diagnostic(
                "novelty-metric",
                f"`novelty` of experiment `{name}` names `{metric_name}`, and {why[0]}",
                place,
                (why[1],),
            )


def _problem(project: Project, experiment: Experiment, metric: Metric) -> tuple[str, str] | None:
    """Why a metric has no slope over days, and what to do."""
    if experiment.cluster is not None:
        return "a cluster-randomised experiment has none", "leave `novelty` out"
    parts = parts_of(project, metric)
    if not parts:
        return None  # reported where the metric stands
    part = parts[0]
    counts = part.agg == "count" and part.limit in (None, Limit(">=", 1.0))
    sums = part.agg == "sum" and part.limit is None
    if len(parts) > 1 or part.presence != "ignored" or not (counts or sums):
        return "it is no sum of daily values", "name sums, counts and proportions"
    window = window_of(project, part)
    whole = window.kind == "span" and window.end is not None and (window.end - window.start) % DAY == 0
    if not whole or days_of(window.start, window.end or 0) < 2 or horizon_of(project, metric, parts) is None:
        return (
            "units are not all observed for the same whole days",
            "give it a window such as `14d`, of 2 days or more, and `immature: exclude`",
        )
    if part.cap is not None and part.cap.lower is not None:
        return "a lower cap is no sum of daily values", "cap it above only"
    return None


def days_of(start: int, end: int) -> int:
    """Days of a window between two offsets in microseconds."""
    return (end - start) // DAY
