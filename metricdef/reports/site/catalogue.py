"""Everything that the site shows, gathered from definitions, record, history and readouts. No HTML."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metricdef.analysis.metric_tests import CaseResult
from metricdef.analysis.portfolio import Portfolio, summarise
from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.definitions.models import Experiment, MetricTest, Role, Source, Target
from metricdef.definitions.project import Project
from metricdef.definitions.used import experiment_metrics, metric_closure, unit_of, used_by
from metricdef.errors import Diagnostic, Place, RecordBroken
from metricdef.governance.deviations import deviations
from metricdef.governance.findings import check_protocol
from metricdef.governance.history import Key, Revision, read_history
from metricdef.governance.lock import read_entries
from metricdef.governance.log import Event, read_log
from metricdef.governance.protocol import digest, read_protocol
from metricdef.metrics import Metric
from metricdef.reports.site.formulas import comparison, formula
from metricdef.reports.site.lineage import Chain, lineage, tables_read
from metricdef.reports.site.shared_parts import SegmentPage, SetPage, place_of, segment_pages, set_pages
from metricdef.reports.site.stored_readouts import Stored
from metricdef.review.experiment_sentences import Topic, experiment_topics
from metricdef.review.metric_sentences import metric_sentence


@dataclass(frozen=True, slots=True)
class Use:
    """A metric in an experiment: its role (None of a part of a ratio, or of a covariate) and what it has of results."""

    experiment: str
    role: Role | None
    target: Target
    results: tuple[EstimateRow, ...]


@dataclass(frozen=True, slots=True)
class MetricPage:
    """One metric."""

    name: str
    metric: Metric
    sentence: str
    formula: tuple[str, ...]
    comparison: str
    lineage: tuple[Chain, ...]
    uses: tuple[Use, ...]
    parts: tuple[str, ...]  # metrics that it is made of
    part_of: tuple[str, ...]
    tests: Mapping[str, MetricTest]
    results: Mapping[str, CaseResult]  # of the tests that ran
    history: tuple[Revision, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class ExperimentPage:
    """One experiment.

    Attributes:
        latest: The readout with the latest as-of: exposures and health.
        results: The latest readout that shows results.
        other_protocol: Whether those results are of another protocol than the one that is there now.
        events: Of the record; empty where it is broken, which `findings` say.
    """

    name: str
    experiment: Experiment
    topics: tuple[Topic, ...]
    metrics: Mapping[str, tuple[Role, Target]]
    locked: bool
    protocol: str
    findings: tuple[Diagnostic, ...]
    deviations: tuple[dict[str, Any], ...]
    events: tuple[Event, ...]
    latest: Readout | None
    results: Readout | None
    other_protocol: bool
    readouts: int
    sources: tuple[str, ...]
    history: tuple[Revision, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class SourcePage:
    """One source."""

    name: str
    source: Source
    tables: tuple[str, ...]
    columns: Mapping[str, str] | None  # as the warehouse had them; None where no snapshot was taken
    metrics: tuple[str, ...]
    experiments: tuple[str, ...]
    segments: tuple[str, ...]
    history: tuple[Revision, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A project."""

    name: str
    metrics: Mapping[str, MetricPage]
    experiments: Mapping[str, ExperimentPage]
    sources: Mapping[str, SourcePage]
    segments: Mapping[str, SegmentPage]
    sets: Mapping[str, SetPage]
    owners: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]  # metrics and experiments of each
    tags: Mapping[str, tuple[str, ...]]  # metrics that have each
    portfolio: Portfolio
    without_results: tuple[str, ...]  # decided experiments that the summary lacks, as no readout shows results
    invalid: tuple[str, ...]  # or as their health failed
    problems: tuple[str, ...]  # files in the folder of readouts that hold none


def gather(project: Project, stored: Stored, tested: Sequence[CaseResult] = ()) -> Catalogue:
    """The catalogue of a valid project; `tested`: results of its unit tests, as far as they ran."""
    history = read_history(project.root)
    experiments = {name: _experiment(project, name, stored, history) for name in sorted(project.experiments)}
    uses = _uses(project, experiments)
    parts = {m: tuple(sorted(metric_closure(project, {m}) - {m})) for m in sorted(project.metrics)}
    tests: dict[str, dict[str, MetricTest]] = defaultdict(dict)
    for test_name, test in project.tests.items():
        tests[test.metric][test_name] = test
    results: dict[str, dict[str, CaseResult]] = defaultdict(dict)
    for result in tested:
        results[result.metric][result.test] = result
    metrics = {
        m: _metric(project, m, parts, uses.get(m, ()), (tests.get(m, {}), results.get(m, {})), history) for m in parts
    }
    decided = [e for e in experiments.values() if e.experiment.status == "decided"]
    invalid = [e.name for e in decided if e.results and e.results.decision.recommendation == "invalid"]
    summarised = [e.results for e in decided if e.results and e.name not in invalid]
    return Catalogue(
        project.settings.name,
        metrics,
        experiments,
        {name: _source(project, name, metrics, experiments, history) for name in sorted(project.sources)},
        segment_pages(project, history),
        set_pages(project, history),
        _owners(project),
        _tags(project),
        summarise(summarised, round(1 - project.settings.defaults.confidence, 12)),
        tuple(e.name for e in decided if e.results is None),
        tuple(invalid),
        stored.problems,
    )


def _metric(
    project: Project,
    name: str,
    parts: Mapping[str, tuple[str, ...]],
    uses: Sequence[Use],
    tests: tuple[Mapping[str, MetricTest], Mapping[str, CaseResult]],
    history: Mapping[Key, tuple[Revision, ...]],
) -> MetricPage:
    metric = project.metrics[name]
    return MetricPage(
        name,
        metric,
        metric_sentence(project, name),
        formula(project, name),
        comparison(metric),
        lineage(project, name, _units(project, uses)),
        tuple(uses),
        parts[name],
        tuple(other for other, inside in parts.items() if name in inside),
        *tests,
        history.get(("metrics", name), ()),
        place_of(project, "metrics", name),
    )


def _units(project: Project, uses: Sequence[Use]) -> set[str]:
    """What a metric is computed for: the units of its experiments, else the project's."""
    found = {unit_of(project, project.experiments[use.experiment]) for use in uses}
    return {unit for unit in found or {project.settings.defaults.unit} if unit is not None}


def _uses(project: Project, experiments: Mapping[str, ExperimentPage]) -> dict[str, list[Use]]:
    """Experiments of every metric, in the order of their names."""
    found: dict[str, list[Use]] = defaultdict(list)
    for name, page in experiments.items():
        rows = page.results.estimates if page.results else ()
        for metric in used_by(project, page.experiment).metrics:
            role, target = page.metrics.get(metric, (None, Target()))
            shown = tuple(row for row in rows if row.metric == metric and row.segment is None)
            found[metric].append(Use(name, role, target, shown))
    return found


def _experiment(
    project: Project, name: str, stored: Stored, history: Mapping[Key, tuple[Revision, ...]]
) -> ExperimentPage:
    experiment = project.experiments[name]
    protocol = digest(read_protocol(project, name).frozen)
    results = stored.results(name)
    try:
        events = read_log(project, name).events
    except RecordBroken:
        events = ()
    return ExperimentPage(
        name,
        experiment,
        experiment_topics(project, name),
        experiment_metrics(project, experiment),
        name in _locked(project),
        protocol,
        tuple(check_protocol(project, name)),
        _deviations(project, name, results),
        events,
        stored.latest(name),
        results,
        results is not None and results.provenance.get("protocol") not in (None, protocol[:16]),
        stored.count(name),
        used_by(project, experiment).sources,
        history.get(("experiments", name), ()),
        place_of(project, "experiments", name),
    )


def _deviations(project: Project, name: str, results: Readout | None) -> tuple[dict[str, Any], ...]:
    """The amendments, and what else the readout deviates by, such as looks that the plan does not name."""
    amendments = deviations(project, name)
    listed = results.provenance.get("deviations") or () if results is not None else ()
    others = [found for found in listed if isinstance(found, dict) and found.get("by") is None]
    return (*amendments, *others)


def _locked(project: Project) -> Mapping[str, Any]:
    """Entries of the lock file; none of one that can't be read, which the findings of every experiment say."""
    try:
        return read_entries(project.root)
    except ValueError:
        return {}


def _source(
    project: Project,
    name: str,
    metrics: Mapping[str, MetricPage],
    experiments: Mapping[str, ExperimentPage],
    history: Mapping[Key, tuple[Revision, ...]],
) -> SourcePage:
    return SourcePage(
        name,
        project.sources[name],
        tables_read(project.sources[name]),
        project.schema.get(name),
        tuple(m for m, page in metrics.items() if any(chain.source == name for chain in page.lineage)),
        tuple(e for e, page in experiments.items() if name in page.sources),
        tuple(sorted(s for s, segment in project.segments.items() if segment.source == name)),
        history.get(("sources", name), ()),
        place_of(project, "sources", name),
    )


def _owners(project: Project) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    metrics: dict[str, list[str]] = defaultdict(list)
    experiments: dict[str, list[str]] = defaultdict(list)
    for name, metric in sorted(project.metrics.items()):
        if metric.owner:
            metrics[metric.owner].append(name)
    for name, experiment in sorted(project.experiments.items()):
        for owner in dict.fromkeys(experiment.owners):
            experiments[owner].append(name)
    return {owner: (tuple(metrics[owner]), tuple(experiments[owner])) for owner in sorted({*metrics, *experiments})}


def _tags(project: Project) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name, metric in sorted(project.metrics.items()):
        for tag in dict.fromkeys(metric.tags):
            found[tag].append(name)
    return {tag: tuple(names) for tag, names in sorted(found.items())}
