"""A unit test of a metric as an experiment of its own: one metric, the arms and units exposed, the given rows as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

from metricdef.definitions.given import Given, GivenTable, read_given
from metricdef.definitions.link_tests import unit_of_test, window_of
from metricdef.definitions.models import Experiment, MetricTest, Source
from metricdef.definitions.project import Project
from metricdef.definitions.used import sources_of
from metricdef.definitions.yaml_source import Document
from metricdef.errors import UsageError
from metricdef.metrics import Metric

DIALECT = "duckdb"
DAY = timedelta(days=1)
_EXPOSURES, _UNIT, _TIME, _ARM, _KEY = "exposures_of_test", "unit", "exposed_at", "arm", "experiment"
_REPLACED = {"sql": None, "dbt_model": None, "partition": None, "expect": None, "grain": None}


@dataclass(frozen=True, slots=True)
class Case:
    """What a test runs: definitions that hold one experiment, named like the test, and the tables it reads."""

    project: Project
    as_of: datetime
    tables: Mapping[str, GivenTable]


def build_case(project: Project, name: str) -> Case:
    """The experiment of test `name`, which has no errors. Raises UsageError where its SQL runs elsewhere only."""
    test = project.tests[name]
    metric = project.metrics[test.metric]
    unit = unit_of_test(test)
    given, _ = read_given(project, name, metric, unit)
    sources = {n: _replaced(n, project.sources[n], given.tables[n]) for n in sorted(sources_of(project, metric))}
    exposures = _free(_EXPOSURES, project.sources)
    entry = Source(
        kind="exposures", table=f"given_{exposures}", entities={unit: _UNIT}, timestamp=_TIME, experiment=_KEY, arm=_ARM
    )
    as_of = _as_of(project, test, metric, given)
    protocol = _protocol(project, test, unit, exposures, as_of)
    document = Document("", [], {"experiments": {name: protocol}, "sources": {exposures: {}}})
    settings = project.settings.model_copy(
        update={
            "defaults": project.settings.defaults.model_copy(update={"covariates": None, "multiplicity": None}),
            **dict.fromkeys(("dialect", "dbt_manifest", "min_units", "max_bytes", "query_timeout", "retention")),
        }
    )
    case = replace(
        project,
        settings=settings,
        sources={**project.sources, **sources, exposures: entry},
        # The covariates of a metric need sources of their own and change none of the figures.
        metrics={**project.metrics, test.metric: metric.model_copy(update={"covariates": None})},
        experiments={name: Experiment.model_validate(protocol)},
        tests={},
        origins={**project.origins, ("experiments", name): document, ("sources", exposures): document},
    )
    tables = {f"given_{source}": given.tables[source] for source in sources}
    return Case(case, as_of, {**tables, f"given_{exposures}": _exposed(project, name, test, unit, given.unit_type)})


def _replaced(name: str, source: Source, table: GivenTable) -> Source:
    """The source with the given rows in the place of its table, or of what its query returns."""
    if source.dialect not in (None, DIALECT):
        raise UsageError(
            f"source `{name}` is written for {source.dialect}, and tests run on {DIALECT}",
            ["write its expressions in the portable subset, without `dialect`, to test what reads it"],
        )
    filled = {column.casefold() for column, kind in table.columns if kind is not None}
    # Rows that do not say when they arrived were there in time.
    loaded_at = source.loaded_at if str(source.loaded_at).casefold() in filled else None
    return source.model_copy(update={**_REPLACED, "table": f"given_{name}", "loaded_at": loaded_at})


def _free(name: str, taken: Mapping[str, object]) -> str:
    while name in taken:
        name += "_"
    return name


def _protocol(project: Project, test: MetricTest, unit: str, exposures: str, as_of: datetime) -> dict[str, object]:
    """Enrolment from the day of the first exposure until as-of, which is when open windows end too."""
    zone = project.settings.defaults.timezone
    first = min(exposure.at.at(zone) for exposure in test.exposures)
    start = datetime.combine(first.date(), time(), UTC)
    arms = dict.fromkeys(exposure.arm for exposure in test.exposures)
    return {
        "owners": ["test"],
        "status": "stopped",
        "hypothesis": "A unit test of a metric.",
        "unit": unit,
        "exposure": {"source": exposures, "key": _KEY},
        # The name of an arm must be a word, what the data say need not: so the key carries it.
        "arms": {f"arm_{i}": {"key": arm} for i, arm in enumerate(arms)},
        "baseline": "arm_0",
        "start": start.isoformat(),
        "end": max(as_of, start + DAY).isoformat(),
        "metrics": {"primary": {test.metric: {}}},
        "analysis": {"multiplicity": {"primary": "none"}},
    }


def _as_of(project: Project, test: MetricTest, metric: Metric, given: Given) -> datetime:
    """As stated; else a midnight by which every window is complete and settled and every row has come."""
    zone = project.settings.defaults.timezone
    if test.as_of is not None:
        return test.as_of.at(zone)
    parts = metric.parts(project.metrics)
    sources = (project.sources[source] for source in sources_of(project, metric))
    settles = max((s.settles_after.microseconds for s in sources if s.settles_after), default=0)
    longest = max(window_of(project, part).end or 0 for part in parts)
    last = max(exposure.at.at(zone) for exposure in test.exposures) + timedelta(microseconds=longest + settles)
    if given.latest is not None:
        last = max(last, given.latest.replace(tzinfo=UTC))
    return datetime.combine(last.date(), time(), UTC) + DAY


def _exposed(project: Project, name: str, test: MetricTest, unit: str, unit_type: str) -> GivenTable:
    zone, document = project.settings.defaults.timezone, project.origins["tests", name]
    rows = []
    for position, exposure in enumerate(test.exposures):
        at = f"{exposure.at.at(zone):%Y-%m-%d %H:%M:%S.%f}"
        key = document.scalars["tests", name, "exposures", position, unit].value
        rows.append((key, exposure.arm, at, _KEY))
    columns = ((_UNIT, unit_type), (_ARM, "VARCHAR"), (_TIME, "TIMESTAMP"), (_KEY, "VARCHAR"))
    return GivenTable(columns, tuple(rows))
