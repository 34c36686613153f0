"""What is frozen of an experiment: its own file, and every definition that its confirmatory results rest on.

Values are effective ones: a default that the project states is frozen where the experiment falls back on it, and writing
it out in the experiment changes nothing. Definitions of secondary metrics are not frozen, their place in the experiment is.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from metricdef.definitions.expressions import SqlProblem, columns_of, parse_expression
from metricdef.definitions.models import ROLES, Experiment
from metricdef.definitions.project import Project
from metricdef.definitions.used import (
    correction_of,
    covariates_of,
    dimension_candidates,
    experiment_metrics,
    metric_closure,
    unit_of,
)
from metricdef.governance.chain import canonical
from metricdef.governance.plain import plain
from metricdef.metrics.fields import Covariates

FREE = ("label", "owners", "description", "status", "outcome", "amendments", "flag")
CONFIRMATORY = ("primary", "guardrail")
DESCRIPTIVE = ("label", "description", "owner", "tags", "renamed_from", "deprecated")  # of a metric
_SETS = ("strata", "breakdowns", "sensitivity", "novelty")  # lists whose order means nothing

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Protocol:
    """An experiment's protocol as plain data.

    Attributes:
        frozen: What may only change with an amendment, below `experiment`, `metrics`, `sources`, `segments`, `project`.
        descriptive: What says the same in other words: labels, descriptions, owners.
    """

    frozen: Tree
    descriptive: Tree

    @property
    def fingerprints(self) -> dict[str, str]:
        """A hash of either part."""
        return {"protocol": digest(self.frozen), "descriptive": digest(self.descriptive)}


def digest(tree: object) -> str:
    """Hash of plain data, whatever the order of its keys."""
    return hashlib.sha256(canonical(tree).encode()).hexdigest()


def read_protocol(project: Project, name: str) -> Protocol:
    """The protocol of a valid experiment as its definitions have it now."""
    experiment = project.experiments[name]
    metrics = confirmatory_metrics(project, experiment)
    return Protocol(protocol_tree(project, name, metrics), _descriptive(project, experiment, metrics))


def protocol_tree(project: Project, name: str, metrics: set[str]) -> Tree:
    """The experiment and the definitions that it rests on, those of `metrics` among them."""
    experiment = project.experiments[name]
    reads = _reads(project, experiment, metrics)
    entities = {unit_of(project, experiment), experiment.cluster}
    ship = experiment.decision.ship
    checked = bool(ship and ship.quality)  # else the checks have no say in the decision
    tree = {
        "experiment": _experiment(project, name),
        "metrics": {m: metric_tree(project, m) for m in sorted(metrics)},
        "sources": {
            s: source_tree(project, s, reads[s], entities, checked=checked)
            for s in sorted(reads)
            if s in project.sources
        },
        "segments": {s: _segment(project, s) for s in sorted(set(experiment.population) & set(project.segments))},
        "project": {"defaults": defaults_read(project, metrics)},
    }
    return {kind: found for kind, found in tree.items() if found}


def confirmatory_metrics(project: Project, experiment: Experiment) -> set[str]:
    """Primary metrics and guardrails, the parts of ratios among them, and the metrics that adjust them."""
    named = {m for m, (role, _) in experiment_metrics(project, experiment).items() if role in CONFIRMATORY}
    extras = {extra for m in named for extra in _extras(project, experiment, m)}
    return metric_closure(project, named | extras)


def _extras(project: Project, experiment: Experiment, metric: str) -> tuple[str, ...]:
    found = project.metrics.get(metric)
    covariates = covariates_of(project, experiment, found) if found else None
    return covariates.extra if covariates else ()


# --- the experiment's own file ------------------------------------------------------------------------------------------


def _experiment(project: Project, name: str) -> Tree:
    """The experiment with names, shares and levels filled in from wherever they are stated."""
    experiment = project.experiments[name]
    tree = {key: value for key, value in plain(experiment, _dialects(project)).items() if key not in FREE}
    tree["hypothesis"] = " ".join(experiment.hypothesis.split())
    tree["unit"] = unit_of(project, experiment)
    shares = experiment.shares
    tree["arms"] = {
        arm: {"share": plain(shares[arm], {}), "key": value.key or arm} for arm, value in experiment.arms.items()
    }
    tree["exposure"]["key"] = experiment.exposure.key or name
    if "population" in tree:
        tree["population"] = sorted(tree["population"])
    tree["metrics"] = _roles(project, experiment)
    tree["analysis"] = _analysis(project, experiment)
    alphas = experiment.analysis.alpha
    if not (alphas and alphas.quality is not None):
        level = experiment.validation.srm_alpha or project.settings.defaults.srm_alpha
        tree["validation"] = {**tree.get("validation", {}), "srm_alpha": level}
    return tree


def _roles(project: Project, experiment: Experiment) -> Tree:
    """Metrics by role, whether the experiment or one of its sets names them."""
    found: Tree = {role: {} for role in ROLES}
    for metric, (role, target) in experiment_metrics(project, experiment).items():
        found[role][metric] = plain(target, {})
    return {role: metrics for role, metrics in found.items() if metrics}


def _analysis(project: Project, experiment: Experiment) -> Tree:
    analysis, defaults = experiment.analysis, project.settings.defaults
    tree: Tree = plain(analysis, {})
    tree["confidence"] = analysis.confidence or defaults.confidence
    stated = "covariates" in analysis.model_fields_set
    tree["covariates"] = _covariates(analysis.covariates if stated else defaults.covariates)
    corrections = {
        role: plain(found, {}) for role in ROLES if (found := correction_of(project, experiment, role)) is not None
    }
    tree.pop("multiplicity", None)
    if corrections:
        tree["multiplicity"] = corrections
    return {key: sorted(value) if key in _SETS else value for key, value in tree.items()}


def _covariates(covariates: Covariates | None) -> Any:
    return "off" if covariates is None else {**plain(covariates, {}), "extra": sorted(covariates.extra)}


# --- the definitions it rests on ----------------------------------------------------------------------------------------


def metric_tree(project: Project, name: str) -> Tree:
    """A metric's own definition, without what only describes it."""
    metric = project.metrics[name]
    tree = {key: value for key, value in plain(metric, _dialects(project)).items() if key not in DESCRIPTIVE}
    if "covariates" in metric.model_fields_set:
        tree["covariates"] = _covariates(metric.covariates)
    return tree


def _segment(project: Project, name: str) -> Tree:
    tree: Tree = plain(project.segments[name], _dialects(project))
    tree.pop("description", None)
    return tree


def source_tree(project: Project, name: str, reads: Reads, entities: AbstractSet[str | None], *, checked: bool) -> Tree:
    """A source as far as it is read: other measures, dimensions and entities may come and go.

    `checked`: with what it expects of its rows.
    """
    source = project.sources[name]
    tree: Tree = plain(source, _dialects(project))
    tree.pop("description", None)
    kept = {
        "entities": {e: column for e, column in source.entities.items() if e in entities},
        "measures": {m: text for m, text in tree.pop("measures", {}).items() if m in reads.measures},
        "dimensions": {d: text for d, text in tree.pop("dimensions", {}).items() if d.casefold() in reads.columns},
    }
    if not checked:
        tree.pop("expect", None)
    return {**tree, **{key: value for key, value in kept.items() if value}}


@dataclass(slots=True)
class Reads:
    """What is read of a source: its measures, and names in filters, which may be dimensions (in lower case)."""

    measures: set[str] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)


def _reads(project: Project, experiment: Experiment, metrics: set[str]) -> dict[str, Reads]:
    """What the protocol reads, by source."""
    found: dict[str, Reads] = defaultdict(Reads)
    exposure = experiment.exposure
    conditions = [(exposure.source, text) for text in exposure.filter]
    found[exposure.source]  # read even without a filter
    if exposure.trigger is not None:
        found[exposure.trigger.source]
        conditions += [(exposure.trigger.source, text) for text in exposure.trigger.filter]
    for segment in (project.segments[s] for s in experiment.population if s in project.segments):
        found[segment.source]
        conditions += [(segment.source, text) for text in segment.filter]
    conditions += _metric_reads(project, metrics, found)
    for written in experiment.analysis.strata:
        for source, dimension in dimension_candidates(project, experiment, written)[:1]:
            found[source].columns.add(dimension.casefold())
    for metric in experiment_metrics(project, experiment):
        for extra in _extras(project, experiment, metric) if metric in metrics else ():
            source, dot, dimension = extra.partition(".")
            if dot:
                found[source].columns.add(dimension.casefold())
    _read_conditions(project, found, conditions)
    return dict(found)


def names_read(project: Project, name: str, metrics: set[str]) -> dict[str, set[str]]:
    """Names in conditions and levels of an experiment, in lower case, by source: of columns, or of dimensions in their place."""
    return {source: found.columns for source, found in _reads(project, project.experiments[name], metrics).items()}


def metric_reads(project: Project, metrics: set[str]) -> dict[str, Reads]:
    """What metrics read, by source."""
    found: dict[str, Reads] = defaultdict(Reads)
    _read_conditions(project, found, _metric_reads(project, metrics, found))
    return dict(found)


def _metric_reads(project: Project, metrics: set[str], found: dict[str, Reads]) -> list[tuple[str, str]]:
    """Add the sources and measures that metrics read; their conditions, each with its source."""
    conditions = []
    for name in metrics:
        for reference in project.metrics[name].references():
            match reference.kind:
                case "source":
                    found[reference.name]
                case "measure":
                    found[str(reference.source)].measures.add(reference.name)
                case "filter":
                    conditions.append((str(reference.source), reference.name))
    return conditions


def _read_conditions(project: Project, found: dict[str, Reads], conditions: list[tuple[str, str]]) -> None:
    """Add the names in conditions, those of the sources themselves among them."""
    own = [(s, text) for s in found if s in project.sources for text in project.sources[s].filter]
    for source, text in [*conditions, *own]:
        found[source].columns |= _names(project, source, text)


def _names(project: Project, source: str, text: str) -> set[str]:
    definition = project.sources.get(source)
    try:
        tree = parse_expression(text, definition.dialect if definition else None)
    except SqlProblem:
        return set()  # reported where it stands
    return {column.casefold() for column, _, _ in columns_of(tree)}


def defaults_read(project: Project, metrics: set[str]) -> Tree:
    """Defaults of the project that the metrics fall back on."""
    defaults = project.settings.defaults
    found: Tree = {"timezone": defaults.timezone}
    parts = [part for m in metrics for part in project.metrics[m].parts(project.metrics)]
    if any(part.window is None for part in parts):
        found["window"] = plain(defaults.window, {}) if defaults.window else "experiment"
    if any(project.metrics[m].immature is None for m in metrics):
        found["immature"] = defaults.immature
    return found


def _descriptive(project: Project, experiment: Experiment, metrics: set[str]) -> Tree:
    dialects = _dialects(project)
    whole: Tree = plain(experiment, dialects)
    arms = {arm: value.description for arm, value in experiment.arms.items() if value.description}
    described = {m: plain(project.metrics[m], dialects) for m in sorted(metrics)}
    return {
        "experiment": {key: whole[key] for key in ("label", "owners", "description", "flag") if key in whole},
        "arms": arms,
        "metrics": {m: {key: tree[key] for key in DESCRIPTIVE if key in tree} for m, tree in described.items()},
    }


def _dialects(project: Project) -> dict[str, str | None]:
    return {name: source.dialect for name, source in project.sources.items()}
