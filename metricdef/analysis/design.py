"""What was declared, beside the numbers: a reader of the readout has no other file at hand."""

from __future__ import annotations

from typing import Any

from metricdef.compiler.plan import Plan
from metricdef.definitions.maturity import parts_of, window_of
from metricdef.definitions.models import Experiment, Target
from metricdef.definitions.project import Project
from metricdef.definitions.used import experiment_metrics, unit_of
from metricdef.metrics import Metric
from metricdef.metrics.fields import Size


def design_of(project: Project, plan: Plan) -> dict[str, Any]:
    """The readout's `design`: population, arms, rule and metrics of the plan's experiment in the definitions' words."""
    experiment = project.experiments[plan.experiment]
    trigger, sequential = experiment.exposure.trigger, experiment.analysis.sequential
    hold = experiment.validation.hold
    return {
        "description": experiment.description,
        "owners": list(experiment.owners),
        "unit": unit_of(project, experiment),
        "cluster": experiment.cluster,
        "baseline": experiment.baseline,
        "arms": {name: experiment.arms[name].description for name in experiment.ordered_arms},
        "exposure": {"source": experiment.exposure.source, "filter": list(experiment.exposure.filter)},
        "trigger": {"source": trigger.source, "filter": list(trigger.filter)} if trigger else None,
        "population": [_segment(project, name) for name in experiment.population],
        "hold": hold.text if hold else None,
        "method": sequential.method if sequential else "fixed",
        "strata": list(experiment.analysis.strata),
        "breakdowns": list(experiment.analysis.breakdowns),
        "rule": _rule(experiment),
        "metrics": {
            name: _metric(project, project.metrics[name], target, experiment.decision.practical.get(name))
            for name, (_, target) in experiment_metrics(project, experiment).items()
            if name in project.metrics
        },
    }


def _segment(project: Project, name: str) -> dict[str, Any]:
    segment = project.segments[name]
    return {"segment": name, "description": segment.description, "filter": list(segment.filter)}


def _rule(experiment: Experiment) -> dict[str, Any]:
    """The decision rule as written; null where the default holds."""
    decision = experiment.decision
    return {
        "ship": decision.ship.model_dump(exclude_none=True) if decision.ship else None,
        "stop": decision.stop.model_dump(exclude_none=True) if decision.stop else None,
        "authority": list(decision.authority),
    }


def _metric(project: Project, metric: Metric, target: Target, practical: Size | None) -> dict[str, Any]:
    sizes = {"mde": target.mde, "margin": target.margin, "equivalence": target.equivalence, "practical": practical}
    return {
        "type": metric.type,
        "description": metric.description,
        "owner": metric.owner,
        "windows": _windows(project, metric),
        "sizes": {name: _size(size) for name, size in sizes.items() if size is not None},
    }


def _windows(project: Project, metric: Metric) -> list[str]:
    """The time that counts for a unit, of each part that has one of its own; as written."""
    return list(dict.fromkeys(window_of(project, part).text for part in parts_of(project, metric)))


def _size(size: Size) -> dict[str, Any]:
    return {"text": size.text, "kind": size.kind, "value": size.value}
