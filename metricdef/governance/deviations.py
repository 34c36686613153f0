"""Which results an amendment touches, and what a readout says about the protocol behind it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

from metricdef.analysis.readout import Readout
from metricdef.definitions.models import ROLES, Experiment
from metricdef.definitions.project import Project
from metricdef.definitions.used import covariates_of, experiment_metrics, metric_closure, sources_of
from metricdef.governance.changes import amendments_of
from metricdef.governance.lock import read_entries
from metricdef.governance.protocol import digest, read_protocol
from metricdef.governance.record import read, record_path

Scope = Literal["experiment", "role", "metric"]
_PATH = re.compile(r"(?:experiment|metrics|sources|segments|project)(?:\.[a-z0-9_]+)+")


def with_protocol(readout: Readout, project: Project) -> Readout:
    """The readout, its provenance saying whether the protocol is locked, how it deviates, and what the record's head is."""
    name = readout.experiment
    record = read(record_path(project.root, name))
    said = {
        "protocol": digest(read_protocol(project, name).frozen)[:16],
        "locked": name in read_entries(project.root),
        "deviations": deviations(project, name),
        "record": {"entries": len(record.entries), "head": record.head} if record.entries else None,
    }
    return replace(readout, provenance={**readout.provenance, **said})


def deviations(project: Project, name: str) -> list[dict[str, Any]]:
    """The amendments of an experiment, each with the results that it touches.

    `scope` is experiment (all results), role (with `role`) or metric; `metrics` are those touched.
    """
    experiment = project.experiments[name]
    return [
        {
            **{key: amendment[key] for key in ("on", "by")},
            "what": "; ".join(amendment["what"]),
            "why": amendment["why"],
            **_touched(project, experiment, amendment["what"]),
        }
        for amendment in amendments_of(experiment)
    ]


def _touched(project: Project, experiment: Experiment, what: Iterable[str]) -> dict[str, Any]:
    found = [_scope(project, experiment, text.partition(" ")[0]) for text in what]
    everything = {m: role for m, (role, _) in experiment_metrics(project, experiment).items()}
    scopes = {scope for scope, _ in found}
    if scopes == {"role"} and len({role for _, (role, *_) in found}) == 1:
        role = found[0][1][0]
        return {"scope": "role", "role": role, "metrics": [m for m, own in everything.items() if own == role]}
    if not found or "experiment" in scopes:
        return {"scope": "experiment", "role": None, "metrics": list(everything)}
    names = {n for scope, touched in found if scope == "metric" for n in touched}
    names |= {m for m, own in everything.items() for scope, touched in found if scope == "role" and own in touched}
    return {"scope": "metric", "role": None, "metrics": sorted(names)}


def _scope(project: Project, experiment: Experiment, path: str) -> tuple[Scope, tuple[str, ...]]:
    """What one path touches: metrics or a role by name, or everything. Words that are no path touch everything."""
    steps = path.split(".") if _PATH.fullmatch(path) else []
    match steps:
        case ["experiment", "metrics", role, metric, *_] if role in ROLES:
            return "metric", (metric,)
        case ["experiment", "decision", "practical", metric, *_]:
            return "metric", (metric,)
        case ["experiment", "metrics", "primary" | "secondary" | "guardrail" as role]:
            return "role", (role,)
        case ["experiment", "analysis", "multiplicity", role, *_] if role in ROLES:
            return "role", (role,)
        case ["metrics", metric, *_]:
            return _or_all(
                m for m in experiment_metrics(project, experiment) if metric in _uses(project, experiment, m)
            )
        case ["sources", source, *_] if source not in _shared_sources(project, experiment):
            found = experiment_metrics(project, experiment)
            return _or_all(m for m in found if source in _sources(project, experiment, m))
    return "experiment", ()


def _or_all(metrics: Iterable[str]) -> tuple[Scope, tuple[str, ...]]:
    """A definition that nothing uses any more was there before: nobody knows for what."""
    found = tuple(metrics)
    return ("metric", found) if found else ("experiment", ())


def _uses(project: Project, experiment: Experiment, name: str) -> set[str]:
    """A metric, its parts, and the metrics that adjust it."""
    metric = project.metrics.get(name)
    covariates = covariates_of(project, experiment, metric) if metric else None
    return {name} | metric_closure(project, {name, *(covariates.extra if covariates else ())})


def _sources(project: Project, experiment: Experiment, name: str) -> set[str]:
    metric = project.metrics.get(name)
    covariates = covariates_of(project, experiment, metric) if metric else None
    found = {extra.partition(".")[0] for extra in (covariates.extra if covariates else ()) if "." in extra}
    for used in _uses(project, experiment, name) & set(project.metrics):
        found |= sources_of(project, project.metrics[used])
    return found


def _shared_sources(project: Project, experiment: Experiment) -> set[str]:
    """Sources that say who takes part: a change there touches every result."""
    exposure = experiment.exposure
    found = {exposure.source, *([exposure.trigger.source] if exposure.trigger else ())}
    found |= {project.segments[s].source for s in experiment.population if s in project.segments}
    return found
