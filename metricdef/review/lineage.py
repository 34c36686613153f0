"""What rests on a column: measures, conditions, keys, metrics, segments and experiments that change or break if it goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from sqlglot import exp

from metricdef.definitions.expressions import SqlProblem, columns_of, parse_expression, parse_query, tables_of
from metricdef.definitions.lookup import source_columns
from metricdef.definitions.models import Experiment, Role, Source
from metricdef.definitions.project import Project
from metricdef.definitions.used import covariates_of, dimension_candidates, experiment_metrics, unit_of
from metricdef.errors import UsageError, suggest
from metricdef.review.columns import column_reach, same_table

UseKind = Literal["query", "key", "time", "condition", "measure", "dimension", "check"]
_KEYS = ("experiment", "arm", "grain")
_ROWS, _NAMED = "decides which rows there are", "names it"  # a query
_TIMES = ("timestamp", "loaded_at", "partition", "valid_from", "valid_to")


@dataclass(frozen=True, slots=True)
class Use:
    """One place where a source reads the column: what it is there, by name, and the SQL."""

    source: str
    kind: UseKind
    name: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Reached:
    """A metric or segment that rests on the column, and through what."""

    name: str
    through: str


@dataclass(frozen=True, slots=True)
class ReachedExperiment:
    """An experiment that rests on the column.

    Attributes:
        name: Its name.
        status: As it stands in its file.
        metrics: Those that rest on the column, with their roles.
        through: Everything else: exposure, trigger, population, strata, covariates.
    """

    name: str
    status: str
    metrics: Mapping[str, Role]
    through: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lineage:
    """Everything that rests on a column."""

    column: str
    uses: tuple[Use, ...]
    metrics: tuple[Reached, ...]
    segments: tuple[Reached, ...]
    experiments: tuple[ReachedExperiment, ...]


@dataclass
class _Spread:
    """How far the column is in one source: names that are made of it, and why every row depends on it."""

    names: set[str] = field(default_factory=set)  # columns and dimensions, in lower case
    measures: set[str] = field(default_factory=set)
    whole: str = ""
    entities: set[str] = field(default_factory=set)
    named: bool = False  # by the query: it fails without the column, whatever is read of it


def lineage(project: Project, column: str) -> Lineage:
    """What rests on `table.column` or `source.column`, the schema in front of a table or not. Raises UsageError."""
    table, _, name = column.rpartition(".")
    if not table or not name:
        raise UsageError(f"`{column}` names no column of a table", ["write for example `analytics.orders.discount`"])
    uses: list[Use] = []
    spread: dict[str, _Spread] = {}
    known = False
    for source_name, source in project.sources.items():
        columns, query_use = _columns(source_name, source, table, name.casefold())
        known |= columns is not None
        if columns is None or not (columns or query_use):
            continue
        found = list(_source_uses(source_name, source, columns))
        uses += [*([query_use] if query_use else ()), *found]
        spread[source_name] = _spread(source, columns, query_use, found)
    if not known:
        raise UsageError(*_unknown(project, table))
    if not uses:
        _refuse_misspelt(project, table, name)
    metrics = _metrics(project, spread)
    segments = _segments(project, spread)
    experiments = _experiments(project, spread, set(metrics), {s.name for s in segments})
    reached = tuple(Reached(metric, through) for metric, through in sorted(metrics.items()))
    return Lineage(column, tuple(uses), reached, tuple(segments), tuple(experiments))


def _columns(name: str, source: Source, table: str, column: str) -> tuple[set[str] | None, Use | None]:
    """Columns of the source's rows that are made of it, None where the source has no such table; and a use in its query."""
    if table.casefold() == name or (source.table is not None and same_table(source.table, table)):
        return {column}, None
    if source.sql is None:
        return None, None
    try:
        query = parse_query(source.sql, source.dialect)
    except SqlProblem:
        return None, None
    if not any(same_table(read, table) for read in tables_of(query)):
        return None, None
    reach = column_reach(query, table, column)
    is_named = any(found.name.casefold() == column for found in query.find_all(exp.Column))
    what = _ROWS if reach.rows else _NAMED
    return set(reach.columns), Use(name, "query", "sql", what) if reach.rows or is_named else None


def _source_uses(name: str, source: Source, columns: set[str]) -> Iterator[Use]:
    for entity, column in source.entities.items():
        if column.casefold() in columns:
            yield Use(name, "key", entity, column)
    for kind, keys in (("key", _KEYS), ("time", _TIMES)):
        for key in keys:
            column = getattr(source, key)
            if column is not None and column.casefold() in columns:
                yield Use(name, kind, key, column)  # type: ignore[arg-type]  # one of the two
    for text in source.filter:
        if _names(text, source) & columns:
            yield Use(name, "condition", "filter", text)
    for measure, text in source.measures.items():
        if _names(text, source) & columns:
            yield Use(name, "measure", measure, text)
    for dimension, text in source.dimensions.items():
        if _names(text, source) & columns:
            yield Use(name, "dimension", dimension, text)
    if source.expect is not None:
        checked = {*source.expect.not_null, *source.expect.unique, *source.expect.accepted}
        yield from (Use(name, "check", "expect", c) for c in sorted(checked) if c.casefold() in columns)


def _spread(source: Source, columns: set[str], query_use: Use | None, uses: list[Use]) -> _Spread:
    found = _Spread(set(columns))
    if query_use is not None:
        found.named = True
        found.whole = "the rows of its query" if query_use.text == _ROWS else ""
    for use in uses:
        match use.kind:
            case "key" if use.name in source.entities:
                found.entities.add(use.name)
            case "key" | "time":
                found.whole = found.whole or f"its {use.name}"
            case "condition":
                found.whole = found.whole or "its filter"
            case "measure":
                found.measures.add(use.name)
            case "dimension":
                found.names.add(use.name.casefold())
    return found


def _names(text: str, source: Source) -> set[str]:
    try:
        return {column.casefold() for column, _, _ in columns_of(parse_expression(text, source.dialect))}
    except SqlProblem:
        return set()  # reported where it stands


def _metrics(project: Project, spread: Mapping[str, _Spread]) -> dict[str, str]:
    """Metrics that rest on the column, each with the first thing through which."""
    found = {name: why for name in project.metrics if (why := _metric(project, name, spread))}
    for _ in range(len(project.metrics)):
        more = {}
        for name, metric in project.metrics.items():
            parts = [r.name for r in metric.references() if r.kind == "metric"]
            parts += metric.covariates.extra if metric.covariates else ()
            via = next((part for part in parts if part in found), None)
            if name not in found and via is not None:
                more[name] = f"metric {via}"
        if not more:
            break
        found |= more
    return found


def _metric(project: Project, name: str, spread: Mapping[str, _Spread]) -> str | None:
    metric = project.metrics[name]
    for reference in metric.references():
        source = reference.name if reference.kind == "source" else reference.source
        own = spread.get(source or "")
        if own is None:
            continue
        if reference.kind == "source" and (own.whole or own.entities):
            return f"source {source}: {own.whole or _key(own)}"
        if reference.kind == "measure" and reference.name in own.measures:
            return f"measure {source}.{reference.name}"
        if reference.kind == "filter" and _names(reference.name, project.sources[str(source)]) & own.names:
            return f"condition {reference.name}"
    for reference in metric.references():
        if reference.kind == "source" and reference.name in spread and spread[reference.name].named:
            return f"source {reference.name}: its query names it"
    for extra in metric.covariates.extra if metric.covariates else ():
        if _is_dimension(extra, spread):
            return f"covariate {extra}"
    return None


def _key(spread: _Spread) -> str:
    return f"its key of {', '.join(sorted(spread.entities))}"


def _is_dimension(written: str, spread: Mapping[str, _Spread]) -> bool:
    """Whether `source.dimension` is made of the column."""
    source, dot, dimension = written.partition(".")
    own = spread.get(source)
    return bool(dot) and own is not None and (own.named or bool(own.whole) or dimension.casefold() in own.names)


def _segments(project: Project, spread: Mapping[str, _Spread]) -> list[Reached]:
    found = []
    for name, segment in project.segments.items():
        why = _rows(project, segment.source, segment.filter, spread)
        if why:
            found.append(Reached(name, why))
    return found


def _rows(
    project: Project, source: str, filters: tuple[str, ...], spread: Mapping[str, _Spread], unit: str | None = ""
) -> str:
    """Why rows of a source under conditions rest on the column; `unit`: whose key is read, empty for any."""
    own = spread.get(source)
    if own is None or source not in project.sources:
        return ""
    if own.whole or (own.entities if unit == "" else unit in own.entities):
        return f"source {source}: {own.whole or _key(own)}"
    text = next((text for text in filters if _names(text, project.sources[source]) & own.names), "")
    return f"condition {text}" if text else f"source {source}: its query names it" if own.named else ""


def _experiments(
    project: Project, spread: Mapping[str, _Spread], metrics: set[str], segments: set[str]
) -> Iterator[ReachedExperiment]:
    for name, experiment in project.experiments.items():
        named = experiment_metrics(project, experiment)
        own = _metrics_of(project, experiment, spread, metrics)
        touched = {m: role for m, (role, _) in named.items() if m in own}
        through = tuple(dict.fromkeys(_other_uses(project, experiment, spread, metrics, segments)))
        if touched or through:
            yield ReachedExperiment(name, experiment.status, touched, through)


def _metrics_of(project: Project, experiment: Experiment, spread: Mapping[str, _Spread], metrics: set[str]) -> set[str]:
    """The metrics reached in this experiment: not those reached by the key of another unit alone."""
    keys = {unit_of(project, experiment), experiment.cluster}
    if all(own.entities <= keys for own in spread.values()):
        return metrics
    mine = {source: replace(s, entities={e for e in s.entities if e in keys}) for source, s in spread.items()}
    return set(_metrics(project, mine))


def _other_uses(
    project: Project, experiment: Experiment, spread: Mapping[str, _Spread], metrics: set[str], segments: set[str]
) -> Iterator[str]:
    exposure, unit = experiment.exposure, unit_of(project, experiment)
    keys = (unit, experiment.cluster) if experiment.cluster else (unit,)
    for word, source, filters in (
        ("exposure", exposure.source, exposure.filter),
        *((("trigger", exposure.trigger.source, exposure.trigger.filter),) if exposure.trigger else ()),
    ):
        why = next((w for key in keys if (w := _rows(project, source, filters, spread, key))), "")
        if why:
            yield f"{word} ({why})"
    yield from (f"population {segment}" for segment in experiment.population if segment in segments)
    for word, written in (("stratum", experiment.analysis.strata), ("breakdown", experiment.analysis.breakdowns)):
        for dimension in written:
            found = dimension_candidates(project, experiment, dimension)[:1]
            if any(_is_dimension(f"{source}.{own}", spread) for source, own in found):
                yield f"{word} {dimension}"
    for name in experiment_metrics(project, experiment):
        metric = project.metrics.get(name)
        covariates = covariates_of(project, experiment, metric) if metric else None
        for extra in covariates.extra if covariates else ():
            if extra in metrics or _is_dimension(extra, spread):
                yield f"covariate {extra}"


def _unknown(project: Project, table: str) -> tuple[str, list[str]]:
    known = {source.table for source in project.sources.values() if source.table} | set(project.sources)
    for source in project.sources.values():
        if source.sql is not None:
            try:
                known |= set(tables_of(parse_query(source.sql, source.dialect)))
            except SqlProblem:
                continue
    similar = suggest(table, known)
    shown = f"did you mean `{similar[0]}`?" if similar else f"tables: {', '.join(sorted(known)[:12]) or 'none'}"
    return f"no source reads a table `{table}`", [shown]


def _refuse_misspelt(project: Project, table: str, name: str) -> None:
    """A column that the sources are known not to have. Raises UsageError."""
    for source_name, source in project.sources.items():
        if table.casefold() == source_name or (source.table is not None and same_table(source.table, table)):
            columns = source_columns(project, source_name)
            if columns is not None and name.casefold() not in {column.casefold() for column in columns}:
                similar = suggest(name, columns)
                hint = f"did you mean `{similar[0]}`?" if similar else f"columns: {', '.join(columns[:12])}"
                raise UsageError(f"there is no column `{name}` in `{table}`", [hint])
