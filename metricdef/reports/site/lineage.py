"""Where a metric's values come from: from columns of tables through sources to the parts of the metric."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from metricdef.definitions.expressions import SqlProblem, columns_of, parse_expression, parse_query, tables_of
from metricdef.definitions.models import Source
from metricdef.definitions.project import Project
from metricdef.metrics import Part


@dataclass(frozen=True, slots=True)
class Chain:
    """What one part of a metric reads.

    Attributes:
        source: Name of the source.
        tables: What it reads: a table, or the tables of its query.
        columns: Of the source's rows, sorted; those of its own filter among them.
        measure: Name of the measure and its expression; None where rows are counted.
        part: What of the metric it is, such as `numerator`; empty where there is one part.
    """

    source: str
    tables: tuple[str, ...]
    columns: tuple[str, ...]
    measure: tuple[str, str] | None
    part: str


def lineage(project: Project, name: str, units: Collection[str] = ()) -> tuple[Chain, ...]:
    """A chain for each thing that a valid metric reads, equal ones once. `units`: those that it is computed for."""
    parts = [
        p for p in project.metrics[name].parts(project.metrics) if p.presence != "itself" and p.agg != "observed_days"
    ]
    found = [chain for part in parts for chain in _chains(project, part, part.label if len(parts) > 1 else "", units)]
    return tuple(dict.fromkeys(found))


def _chains(project: Project, part: Part, label: str, units: Collection[str]) -> Iterator[Chain]:
    source = project.sources[part.source]
    texts = [*part.filter, *source.filter]
    measure = None
    if part.measure is not None:
        measure = (part.measure, " ".join(source.measures[part.measure].split()))
        texts.append(source.measures[part.measure])
    columns = columns_read(source, texts) | set(filter(None, (source.timestamp, source.loaded_at)))
    columns |= {column for entity, column in source.entities.items() if entity in units}
    yield Chain(part.source, tables_read(source), tuple(sorted(columns)), measure, label)


def tables_read(source: Source) -> tuple[str, ...]:
    """The table of a source, those of its query, or the dbt model that it names."""
    if source.sql is None:
        return tuple(filter(None, (source.table, source.dbt_model)))
    try:
        return tuple(tables_of(parse_query(source.sql, source.dialect)))
    except SqlProblem:
        return ()


def columns_read(source: Source, texts: Iterable[str]) -> set[str]:
    """Columns in expressions over a source's rows; a dimension stands for those that it is made of."""
    dimensions = {key.casefold(): text for key, text in source.dimensions.items()}
    found: set[str] = set()
    for text in texts:
        for column in _names(source, text):
            inside = dimensions.get(column.casefold())
            found |= _names(source, inside) if inside is not None else {column}
    return found


def _names(source: Source, text: str) -> set[str]:
    try:
        return {column for column, _, _ in columns_of(parse_expression(text, source.dialect))}
    except SqlProblem:
        return set()
