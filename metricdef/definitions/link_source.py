"""Rules of sources and segments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlglot.dialects.dialect import Dialect

from metricdef.definitions.expressions import SqlProblem, parse_query
from metricdef.definitions.lookup import check_column, check_expression, check_filter, unknown
from metricdef.definitions.models import Expectations, Source
from metricdef.definitions.project import Project
from metricdef.errors import Diagnostic, suggest

_TABLE = re.compile(r"""(?:[\w$-]+|"[^"]+")(?:\.(?:[\w$-]+|"[^"]+")){0,2}""")


def check_source(project: Project, name: str) -> Iterator[Diagnostic]:
    """Keys that go together, columns and expressions of one source."""
    source = project.sources[name]
    yield from _check_keys(project, name, source)
    if source.dialect is not None and source.dialect not in Dialect.classes:
        yield Diagnostic(
            "invalid-value",
            f"`{source.dialect}` is not a SQL dialect",
            project.place("sources", name, "dialect"),
            tuple(_did_you_mean(source.dialect)),
        )
        return
    if source.table and not _TABLE.fullmatch(source.table):
        message = f"source `{name}`: `{source.table}` is not the name of a table"
        place = project.place("sources", name, "table")
        yield Diagnostic("invalid-value", message, place, ("write schema.table, or put a query into `sql`",))
    if source.sql is not None:
        try:
            parse_query(source.sql, source.dialect)
        except SqlProblem as problem:
            place = project.origins["sources", name].offset(("sources", name, "sql"), problem.start, problem.length)
            yield Diagnostic(problem.rule, f"source `{name}`: {problem.message}", place, problem.help)
    for entity, column in source.entities.items():
        if entity not in project.settings.entities:
            yield unknown(
                "entity",
                entity,
                project.settings.entities,
                project.place("sources", name, "entities", entity, key=True),
                f"source `{name}`",
            )
        yield from check_column(project, name, column, "entities", entity)
    for key in ("timestamp", "loaded_at", "partition", "experiment", "arm", "valid_from", "valid_to", "grain"):
        yield from check_column(project, name, getattr(source, key), key)
    if source.expect is not None:
        yield from _check_expectations(project, name, source, source.expect)
    for measure, text in source.measures.items():
        yield from check_expression(project, name, text, ("sources", name, "measures", measure))
    for dimension, text in source.dimensions.items():
        yield from _check_dimension(project, name, dimension, text)
    for position, text in enumerate(source.filter):
        yield from check_filter(project, name, text, ("sources", name, "filter", position))


def _check_expectations(project: Project, name: str, source: Source, expect: Expectations) -> Iterator[Diagnostic]:
    """What `expect` names are columns or dimensions, and its values are of one kind."""
    dimensions = {dimension.casefold() for dimension in source.dimensions}
    for key, columns in (("not_null", expect.not_null), ("unique", expect.unique)):
        for position, column in enumerate(columns):
            if column.casefold() not in dimensions:
                yield from check_column(project, name, column, "expect", key, position)
    for column, values in expect.accepted.items():
        if column.casefold() not in dimensions:
            yield from check_column(project, name, column, "expect", "accepted", column)
        kinds = {"number" if type(value) in (int, float) else type(value).__name__ for value in values}
        if len(kinds) != 1:
            yield Diagnostic(
                "invalid-value",
                f"source `{name}`: the accepted values of `{column}` "
                + ("are of several kinds" if kinds else "are missing"),
                project.place("sources", name, "expect", "accepted", column),
                ("write texts, numbers or true and false",),
            )
    for key in ("fresh_within", "max_late") if source.kind == "attributes" else ():
        if getattr(expect, key) is not None:
            yield Diagnostic(
                "source-kind",
                f"source `{name}` holds attributes, which have no time: `{key}` says nothing of them",
                project.place("sources", name, "expect", key, key=True),
                ("remove it",),
            )
    if expect.max_late is not None and source.loaded_at is None and source.kind != "attributes":
        yield Diagnostic(
            "missing-key",
            f"source `{name}` has `max_late` without `loaded_at`",
            project.place("sources", name, "expect", "max_late", key=True),
            ("name the column with the time of arrival",),
        )


def _check_dimension(project: Project, name: str, dimension: str, text: str) -> Iterator[Diagnostic]:
    path = ("sources", name, "dimensions", dimension)
    if path in project.origins["sources", name].values:
        yield from check_expression(project, name, text, path)
        return
    order = list(project.sources[name].dimensions).index(dimension)
    yield from check_column(project, name, text, "dimensions", order)


def _check_keys(project: Project, name: str, source: Source) -> Iterator[Diagnostic]:
    place = project.place("sources", name)
    given = [key for key in ("table", "sql", "dbt_model") if getattr(source, key)]
    if len(given) != 1:
        what = f"has both {' and '.join(f'`{g}`' for g in given)}" if given else "says nothing of where its rows are"
        yield Diagnostic(
            "source-location", f"source `{name}` {what}", place, ("write exactly one of table, sql, dbt_model",)
        )
    if not source.entities:
        yield Diagnostic(
            "missing-key", f"source `{name}` has no entities", place, ("write for example `entities: {user: user_id}`",)
        )
    if source.kind != "attributes" and source.timestamp is None:
        yield Diagnostic(
            "missing-key",
            f"`timestamp` is missing of source `{name}`",
            place,
            ("name the column that says when a row happened",),
        )
    yield from _check_kind_keys(project, name, source)
    if source.valid_to is not None and source.valid_from is None:
        yield Diagnostic(
            "missing-key",
            f"source `{name}` has `valid_to` without `valid_from`",
            project.place("sources", name, "valid_to", key=True),
        )
    if source.timezone is not None:
        try:
            ZoneInfo(source.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            yield Diagnostic(
                "invalid-value",
                f"`{source.timezone}` is not a time zone",
                project.place("sources", name, "timezone"),
                ("write for example Europe/Berlin",),
            )


def _check_kind_keys(project: Project, name: str, source: Source) -> Iterator[Diagnostic]:
    """Keys that only one kind of source has."""
    place = project.place("sources", name)
    if source.kind == "exposures":
        for key in ("experiment", "arm"):
            if getattr(source, key) is None:
                yield Diagnostic(
                    "missing-key",
                    f"`{key}` is missing of source `{name}`",
                    place,
                    (f"name the column that holds the {key}",),
                )
    else:
        for key in ("experiment", "arm"):
            if getattr(source, key) is not None:
                yield Diagnostic(
                    "unknown-key",
                    f"`{key}` belongs to sources of kind exposures",
                    project.place("sources", name, key, key=True),
                    ("add `kind: exposures`, or remove it",),
                )
    if source.kind == "attributes" and source.timestamp is not None:
        yield Diagnostic(
            "unknown-key",
            f"source `{name}` holds attributes, which have no `timestamp`",
            project.place("sources", name, "timestamp", key=True),
            ("write `valid_from` for the time from which a row holds",),
        )
    if source.kind != "events" and source.settles_after is not None:
        yield Diagnostic(
            "unknown-key",
            f"`settles_after` belongs to sources of events, and `{name}` holds {source.kind}",
            project.place("sources", name, "settles_after", key=True),
        )
    if source.kind != "events" and source.partition is not None:
        why = (
            "have no time"
            if source.kind == "attributes"
            else "are read in full, so that early and late ones are counted"
        )
        yield Diagnostic(
            "source-kind",
            f"`partition` belongs to sources of events: the {source.kind} of `{name}` {why}",
            project.place("sources", name, "partition", key=True),
            ("remove `partition`",),
        )
    if source.kind != "attributes":
        for key in ("valid_from", "valid_to"):
            if getattr(source, key) is not None:
                yield Diagnostic(
                    "unknown-key",
                    f"`{key}` belongs to sources of kind attributes",
                    project.place("sources", name, key, key=True),
                )


def check_segment(project: Project, name: str) -> Iterator[Diagnostic]:
    """A segment's source, and that it can only look at the time before exposure."""
    segment = project.segments[name]
    source = project.sources.get(segment.source)
    if not project.is_declared("sources", segment.source):
        yield unknown(
            "source",
            segment.source,
            project.declared("sources"),
            project.place("segments", name, "source"),
            f"segment `{name}`",
        )
    if source is None:
        return
    for position, text in enumerate(segment.filter):
        yield from check_filter(project, segment.source, text, ("segments", name, "filter", position))
    if source.kind == "events" and segment.lookback is None:
        yield Diagnostic(
            "segment-after-exposure",
            f"segment `{name}` looks at events without saying how far back",
            project.place("segments", name),
            ("add `lookback: 30d`: only rows before first exposure count",),
        )
    if source.kind != "events" and segment.lookback is not None:
        yield Diagnostic(
            "unknown-key",
            "`lookback` belongs to segments on events",
            project.place("segments", name, "lookback", key=True),
        )
    if source.kind == "attributes" and source.valid_from is None:
        yield Diagnostic(
            "current-value-attribute",
            f"segment `{name}` uses the current value of `{segment.source}`, which the treatment may have changed",
            project.place("segments", name, "source"),
            ("add `valid_from` to the source, or use attributes that cannot change",),
            "warning",
        )


def _did_you_mean(dialect: str) -> list[str]:
    similar = suggest(dialect, Dialect.classes)
    return [f"did you mean `{similar[0]}`?"] if similar else []
