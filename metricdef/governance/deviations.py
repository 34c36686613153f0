"""Which results an amendment touches, and what a readout says about the protocol behind it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from metricdef.analysis.look_record import LookRecord, before
from metricdef.analysis.readout import Readout
from metricdef.analysis.schedule import iso
from metricdef.definitions.models import ROLES, Experiment
from metricdef.definitions.project import Project
from metricdef.definitions.used import (
    covariates_of,
    dimension_candidates,
    dimensions_of,
    experiment_metrics,
    metric_closure,
    sources_of,
)
from metricdef.governance.changes import amendments_of
from metricdef.governance.lock import LockBroken, read_entries, read_lock
from metricdef.governance.protocol import Tree, digest, read_protocol
from metricdef.governance.record import read, record_path

Scope = Literal["experiment", "role", "metric"]
_PATH = re.compile(r"(?:experiment|metrics|sources|segments|project)(?:\.[a-z0-9_]+)+")


def with_protocol(readout: Readout, project: Project, history: Sequence[LookRecord] = ()) -> Readout:
    """The readout, its provenance saying whether the protocol is locked, how it deviates, and what the record's head is.

    `history`: the looks that it goes on from.
    """
    name = readout.experiment
    record = read(record_path(project.root, name))
    said = {
        "protocol": digest(read_protocol(project, name).frozen)[:16],
        "locked": name in read_entries(project.root),
        "deviations": [*deviations(project, name), *_unplanned(readout, project, history)],
        "record": {"entries": len(record.entries), "head": record.head} if record.entries else None,
    }
    return replace(readout, provenance={**readout.provenance, **said})


def deviations(project: Project, name: str) -> list[dict[str, Any]]:
    """The amendments of an experiment, each with the results that it touches.

    `scope` is experiment (all results), role (with `role`) or metric; `metrics` are those touched.
    """
    experiment = project.experiments[name]
    trees = _locked_trees(project, name)
    return [
        {
            **{key: amendment[key] for key in ("on", "by")},
            "what": "; ".join(amendment["what"]),
            "why": amendment["why"],
            **_touched(project, experiment, amendment["what"], trees),
        }
        for amendment in amendments_of(experiment)
    ]


def _locked_trees(project: Project, name: str) -> tuple[Tree, ...]:
    """The protocol as every locked state had it; none where there is no entry, or none that can be read."""
    try:
        entries = read_entries(project.root)
        return read_lock(name, entries[name]).trees if name in entries else ()
    except LockBroken:
        return ()  # a finding of `check`


def _unplanned(readout: Readout, project: Project, history: Sequence[LookRecord]) -> Iterator[dict[str, Any]]:
    """Looks that spent alpha although the plan does not name them, as `unplanned: spend` allows."""
    looks = list(before(history, datetime.fromisoformat(readout.as_of)))
    if readout.look is not None:
        looks.append(LookRecord.from_dict(readout.look["record"]))
    for look in looks:
        if look.number is None and look.fraction is not None:
            yield {
                "on": iso(look.as_of),
                "by": None,
                "what": f"a look that the plan does not name, at {look.fraction:.1%} of it",
                "why": "the design spends alpha at unplanned runs (`unplanned: spend`)",
                "scope": "experiment",
                "role": None,
                "metrics": list(experiment_metrics(project, project.experiments[readout.experiment])),
            }


def _touched(project: Project, experiment: Experiment, what: Iterable[str], trees: Sequence[Tree]) -> dict[str, Any]:
    found = [scope_of(project, experiment, text.partition(" ")[0], trees) for text in what]
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


def scope_of(
    project: Project, experiment: Experiment, path: str, trees: Sequence[Tree] = ()
) -> tuple[Scope, tuple[str, ...]]:
    """What one path touches: metrics or a role by name, or everything. Words that are no path touch everything.

    `trees`: the protocol as it was before, which may know what a definition was for that nothing uses now.
    """
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
            found = experiment_metrics(project, experiment)
            now = [m for m in found if metric in _uses(project, experiment, m)]
            return _or_all(now or _once(trees, lambda m, tree: metric in (m, *_named(tree))))
        case ["sources", source, "measures", measure, *_]:
            found = experiment_metrics(project, experiment)
            now = [m for m in found if (source, measure) in _measures(project, experiment, m)]
            return _or_all(now or _once(trees, lambda _, tree: (source, measure) in _read(tree)))
        case ["sources", source, *_] if source not in _shared_sources(project, experiment):
            found = experiment_metrics(project, experiment)
            return _or_all(m for m in found if source in _sources(project, experiment, m))
    return "experiment", ()


def _or_all(metrics: Iterable[str]) -> tuple[Scope, tuple[str, ...]]:
    """Of a definition that nothing uses and no lock knows nobody can say what it was there for."""
    found = tuple(metrics)
    return ("metric", found) if found else ("experiment", ())


def _once(trees: Sequence[Tree], uses: Callable[[str, Tree], bool]) -> list[str]:
    """Metrics of the locked states that used a definition which nothing uses any more, those that are made of them too."""
    found: set[str] = set()
    for tree in trees:
        metrics: Mapping[str, Tree] = tree.get("metrics", {})
        used = {m for m, own in metrics.items() if uses(m, own)}
        used |= {m for m, own in metrics.items() if used & set(_named(own))}
        roles = {m for role in ROLES for m in tree["experiment"].get("metrics", {}).get(role, {})}
        found |= used & roles
    return sorted(found)


def _named(tree: Tree) -> Iterator[str]:
    """Metrics that a frozen metric is made of, or adjusted by."""
    yield from (tree[key] for key in ("numerator", "denominator") if isinstance(tree.get(key), str))
    covariates = tree.get("covariates")
    yield from covariates.get("extra", ()) if isinstance(covariates, dict) else ()


def _read(tree: Tree) -> Iterator[tuple[Any, Any]]:
    """Sources and measures of a frozen metric."""
    for part in (tree, tree.get("numerator"), tree.get("denominator")):
        if isinstance(part, dict):
            yield part.get("source"), part.get("measure")


def _measures(project: Project, experiment: Experiment, name: str) -> set[tuple[str | None, str]]:
    """Measures that a metric reads, by source."""
    used = _uses(project, experiment, name) & set(project.metrics)
    return {
        (reference.source, reference.name)
        for metric in used
        for reference in project.metrics[metric].references()
        if reference.kind == "measure"
    }


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
    """Sources that say who takes part, and in which stratum or level: a change there touches every result."""
    exposure = experiment.exposure
    found = {exposure.source, *([exposure.trigger.source] if exposure.trigger else ())}
    found |= {project.segments[s].source for s in experiment.population if s in project.segments}
    for written in dimensions_of(experiment):
        found |= {source for source, _ in dimension_candidates(project, experiment, written)[:1]}
    return found
