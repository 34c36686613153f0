"""Names and columns: what an expression may use, and what to say about a name that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from metricdef.definitions.expressions import (
    SqlProblem,
    columns_of,
    output_columns,
    parse_expression,
    parse_query,
    plain_columns,
)
from metricdef.definitions.models import ROLES, Source
from metricdef.definitions.project import Project
from metricdef.errors import Diagnostic, Place, suggest
from metricdef.metrics import QuantileMetric
from metricdef.metrics.fields import NAME

_DEFINED = ("metric", "source", "segment", "set")  # whose own names may be wrong, which is reported there
# What stands where a name is due, and is more than a misspelt one.
_WRITTEN_OUT = {
    "measure": "give the expression a name in the source, `measures: {NAME: EXPRESSION}`, and write that name here",
    "metric": "write the name of a metric, or of a ratio's part {source: SOURCE, agg: sum, measure: MEASURE}",
}
SHOWN = 12  # names listed in a help line


def unknown(kind: str, name: str, candidates: Iterable[str], place: Place, where: str) -> Diagnostic:
    """A name that nothing defines, with the nearest names that exist."""
    known = sorted(candidate for candidate in candidates if kind not in _DEFINED or NAME.fullmatch(candidate))
    similar = suggest(name, known)
    plural = {"entity": "entities"}.get(kind, f"{kind}s")
    if similar:
        help_ = f"did you mean {' or '.join(f'`{s}`' for s in similar[:2])}?"
    else:
        help_ = (
            f"{plural}: {', '.join(known[:SHOWN])}{', ...' if len(known) > SHOWN else ''}"
            if known
            else f"there are no {plural} yet"
        )
    article = "an" if kind[0] in "aeiou" else "a"
    more = (_WRITTEN_OUT[kind],) if kind in _WRITTEN_OUT and not re.fullmatch(r"\w+", name) else ()
    return Diagnostic(f"unknown-{kind}", f"{where}: `{name}` is not {article} {kind}", place, (help_, *more))


def source_columns(project: Project, name: str) -> list[str] | None:
    """Names of a source's physical columns, where they can be known without asking the warehouse."""
    if name in project.schema:
        return list(project.schema[name])
    source = project.sources.get(name)
    if source is None or source.sql is None or source.table is not None:
        return None
    columns = _query_columns(source.sql, source.dialect)
    return None if columns is None else list(columns)


@lru_cache(maxsize=1024)
def _query_columns(text: str, dialect: str | None) -> tuple[str, ...] | None:
    """Names of the columns of a query; None where it hides them or can't be read."""
    try:
        columns = output_columns(parse_query(text, dialect))
    except SqlProblem:
        return None
    return None if columns is None else tuple(columns)


def check_filter(project: Project, source_name: str, text: str, path: Sequence[str | int]) -> Iterator[Diagnostic]:
    """A filter may use the source's columns and dimensions."""
    source = project.sources[source_name]
    if not _is_listed(project, path):
        path = path[:-1]  # a single text stands at the key itself, not at a position of a list
    yield from check_expression(project, source_name, text, path, extra=source.dimensions, measures=source.measures)


def check_expression(
    project: Project,
    source_name: str,
    text: str,
    path: Sequence[str | int],
    *,
    extra: Iterable[str] = (),
    measures: Iterable[str] = (),
) -> Iterator[Diagnostic]:
    """Problems of one scalar expression over a source."""
    kind, name, *_ = path
    document = project.origins[str(kind), str(name)]
    full = tuple(path)
    source = project.sources[source_name]
    columns = plain_columns(text) if source.dialect is None else None
    try:
        columns = columns or columns_of(parse_expression(text, source.dialect))
    except SqlProblem as problem:
        yield Diagnostic(
            problem.rule, problem.message, document.offset(full, problem.start, problem.length), problem.help
        )
        return
    known = source_columns(project, source_name)
    if known is None:
        return
    allowed = {column.casefold() for column in (*known, *extra)}
    for column, start, length in columns:
        if column.casefold() in allowed:
            continue
        help_ = [column_help(column, list(dict.fromkeys([*known, *extra])))]
        if text[start : start + 1] == '"':
            help_ = [f"double quotes name columns: write '{column}' for the text"]
        elif _is_compared_with(text[:start]):
            help_.append(f"if it is a text, write '{column}'")
        if column in measures:
            help_.append(f"`{column}` is a measure; filters use columns and dimensions")
        yield Diagnostic(
            "sql-column",
            f"column `{column}` is not in source `{source_name}`",
            document.offset(full, start, length),
            tuple(help_),
        )


def _is_compared_with(before: str) -> bool:
    """Whether what follows stands behind `=` or the like, where texts often lack their quotes."""
    return before.rstrip().endswith(("=", "<>"))


def check_column(project: Project, source_name: str, column: str | None, *path: str | int) -> Iterator[Diagnostic]:
    """A key that must hold the name of a physical column."""
    known = source_columns(project, source_name)
    if column is None or known is None or column.casefold() in {name.casefold() for name in known}:
        return
    yield Diagnostic(
        "sql-column",
        f"column `{column}` is not in source `{source_name}`",
        project.place("sources", source_name, *path),
        (column_help(column, known),),
    )


def check_unit(project: Project, unit: str, source_name: str, place: Place, where: str) -> Iterator[Diagnostic]:
    """A source used by an experiment must hold the experiment's unit."""
    source: Source | None = project.sources.get(source_name)
    if unit not in project.settings.entities:
        return  # reported where it is named
    misspelt = source is not None and not set(source.entities) <= set(project.settings.entities)  # reported there
    if source is not None and unit not in source.entities and not misspelt:
        yield Diagnostic(
            "unit-not-in-source",
            f"{where}: source `{source_name}` has no column for unit `{unit}`",
            place,
            (f"add `{unit}: <column>` to `entities` of `{source_name}`",),
        )


def check_extra(project: Project, extra: str, place: Place, *, no_lookback: bool) -> Iterator[Diagnostic]:
    """An extra covariate names a metric, or `source.dimension` of attributes or exposures."""
    source_name, dot, dimension = extra.partition(".")
    if not dot:
        if no_lookback and project.is_declared("metrics", extra):
            yield Diagnostic(
                "covariate-without-lookback",
                f"covariate `{extra}` is a metric, and `lookback: 0d` leaves it no time",
                place,
                ("state a lookback, or name a dimension of attributes",),
            )
        if not project.is_declared("metrics", extra):
            finding = unknown("metric", extra, project.declared("metrics"), place, "covariate")
            meant = [f"{name}.{extra}" for name, s in project.sources.items() if extra in s.dimensions]
            yield replace(finding, help=(f"did you mean `{meant[0]}`?",)) if meant else finding
        elif isinstance(project.metrics.get(extra), QuantileMetric):
            yield Diagnostic(
                "covariate-metric",
                f"covariate `{extra}` is a quantile, which is no value of a unit",
                place,
                ("name the mean of the same aggregate",),
            )
        return
    source = project.sources.get(source_name)
    if not project.is_declared("sources", source_name):
        yield unknown("source", source_name, project.declared("sources"), place, "covariate")
    elif source is not None and source.kind == "events":
        yield Diagnostic(
            "covariate-source",
            f"covariate `{extra}`: `{source_name}` holds events",
            place,
            ("name a metric for a pre-exposure aggregate, or a dimension of attributes or exposures",),
        )
    elif source is not None and dimension not in source.dimensions:
        yield unknown("dimension", dimension, source.dimensions, place, f"covariate `{extra}`: source `{source_name}`")
    elif source is not None and source.kind == "attributes" and source.valid_from is None:
        yield Diagnostic(
            "current-value-attribute",
            f"covariate `{extra}` is the current value of `{source_name}`, which the treatment may have changed",
            place,
            ("add `valid_from` to the source, or use attributes that cannot change",),
            "warning",
        )


def column_help(column: str, known: Sequence[str]) -> str:
    """The nearest columns that exist, else all of them."""
    similar = suggest(column, known)
    if similar:
        return f"did you mean {' or '.join(f'`{s}`' for s in similar[:2])}?"
    return f"columns: {', '.join(known[:SHOWN])}{', ...' if len(known) > SHOWN else ''}"


def _is_listed(project: Project, path: Sequence[str | int]) -> bool:
    kind, name, *_ = path
    return tuple(path) in project.origins[str(kind), str(name)].values


def metric_place(project: Project, name: str, metric_name: str) -> Place:
    """Where an experiment names a metric, by itself or in a set."""
    experiment = project.experiments[name]
    for role in ROLES:
        if metric_name in getattr(experiment.metrics, role):
            return project.place("experiments", name, "metrics", role, metric_name, key=True)
    return project.place("experiments", name, "metrics", key=True)
