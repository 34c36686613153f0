"""Definitions against what the warehouse really holds: missing tables, missing columns, measures that are not numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from metricdef.compiler.dialects import dialect_table
from metricdef.compiler.sql_text import SqlText
from metricdef.definitions.expressions import columns_of, parse_expression
from metricdef.definitions.link import link
from metricdef.definitions.project import Columns, Project
from metricdef.definitions.used import extras_of
from metricdef.errors import Diagnostic, Place, WarehouseError, suggest
from metricdef.metrics import Metric
from metricdef.warehouses.base import Warehouse

_CONDITIONS = ("BOOLEAN", "BOOL", "UINT8")  # the last on ClickHouse, whose comparisons are small integers
_NUMERIC = ("INT", "DECIMAL", "NUMERIC", "NUMBER", "DOUBLE", "FLOAT", "REAL", "BOOL")
_AWARE = ("WITH TIME ZONE", "TIMESTAMPTZ", "TIMESTAMP_TZ", "TIMESTAMP_LTZ")
_WHOLE = re.compile(r"(NUMBER|DECIMAL|NUMERIC)\(\d+,\s*0\)")


# That a table may be there, and is not to be read.
_RIGHTS = re.compile(r"permission denied|not granted|insufficient privileges|not enough privileges", re.IGNORECASE)
_GRANT = "grant the profile's user SELECT on it, or name another profile"


def inspect_sources(
    project: Project, warehouse: Warehouse, sources: Iterable[str], schemas: dict[str, str]
) -> tuple[dict[str, Columns], list[Diagnostic]]:
    """Columns of each source as the warehouse has them, and what the definitions get wrong about them."""
    sql = SqlText(dialect_table(warehouse.dialect), schemas)
    found: dict[str, Columns] = {}
    diagnostics: list[Diagnostic] = []
    for name in sorted(sources):
        source = project.sources[name]
        if source.dbt_model is not None or source.dialect not in (None, sql.dialect.sqlglot):
            continue
        try:
            found[name] = warehouse.describe(sql.relation(name, source))
        except WarehouseError as error:
            key = "table" if source.table is not None else "sql"
            if _RIGHTS.search(error.message):
                what = f"source `{name}` may not be read: {error.message}"
                place = project.place("sources", name, key)
                diagnostics.append(Diagnostic("unreadable-table", what, place, (_GRANT,)))
                continue
            similar = suggest(source.table.split(".")[-1], warehouse.tables()) if source.table else []
            tables = warehouse.tables()
            hint = (
                f"did you mean `{similar[0]}`?"
                if similar
                else f"tables: {', '.join(tables[:12])}"
                if tables
                else "the warehouse has no tables"
            )
            what = (
                f"table `{source.table}` is not in the warehouse"
                if source.table
                else f"the warehouse refuses the query: {error.message}"
            )
            rule = "unknown-table" if source.table else "source-query"
            diagnostics.append(
                Diagnostic(rule, f"source `{name}`: {what}", project.place("sources", name, key), (hint,))
            )
    live = replace(project, schema={**project.schema, **found})
    before = set(link(project))
    diagnostics += [d for d in link(live) if d not in before]
    diagnostics += _check_unit_types(live, found)
    for name, columns in found.items():
        diagnostics += _check_times(live, name, columns)
        diagnostics += _check_measures(live, name, columns, warehouse, sql)
        diagnostics += _check_covariates(live, name, warehouse, sql)
        diagnostics += _check_filters(live, name, columns, warehouse, sql)
    return found, sorted(diagnostics, key=lambda d: d.order)


def describe_sources(
    project: Project, warehouse: Warehouse, sources: Iterable[str], schemas: dict[str, str]
) -> dict[str, Columns]:
    """Columns of each source as the warehouse has them; without those that it does not describe."""
    sql = SqlText(dialect_table(warehouse.dialect), schemas)
    found: dict[str, Columns] = {}
    for name in sources:
        source = project.sources.get(name)
        if source is not None and source.dialect in (None, sql.dialect.sqlglot):
            with suppress(WarehouseError):
                found[name] = warehouse.describe(sql.relation(name, source))
    return found


def _check_unit_types(project: Project, found: Mapping[str, Columns]) -> list[Diagnostic]:
    """Units are joined between sources: a conversion on the way could match '1' with '001', or round a large number."""
    diagnostics = []
    for entity in project.settings.entities:
        first: tuple[str, str] | None = None
        exposures_first = sorted(found, key=lambda name: (project.sources[name].kind != "exposures", name))
        for name in exposures_first:
            column = project.sources[name].entities.get(entity)
            types = {key.casefold(): kind for key, kind in found[name].items()}
            kind = types.get(str(column).casefold())
            if column is None or kind is None:
                continue
            family = _unit_family(kind)
            place = project.place("sources", name, "entities", entity)
            if family == "floating":
                message = f"source `{name}`: `{column}` is {kind}, which cannot identify a {entity} exactly"
                diagnostics.append(Diagnostic("unit-type", message, place, ("use a text or whole-number column",)))
            elif first is None:
                first = (name, family)
            elif family != first[1]:
                message = f"source `{name}`: `{column}` is {kind}, but {entity} is {first[1]} in `{first[0]}`"
                help_ = "give both sources the same type, for example in the source's `sql`"
                diagnostics.append(Diagnostic("unit-type", message, place, (help_,)))
    return diagnostics


def _unit_family(kind: str) -> str:
    """text, whole number, floating, or the type itself."""
    upper = kind.upper()
    if any(word in upper for word in ("CHAR", "TEXT", "STRING")):
        return "text"
    if ("INT" in upper and "INTERVAL" not in upper) or _WHOLE.fullmatch(upper):
        return "a whole number"
    if any(word in upper for word in ("DOUBLE", "FLOAT", "REAL")):
        return "floating"
    return upper


def _check_times(project: Project, name: str, columns: Columns) -> list[Diagnostic]:
    """A time zone on a column that already has one would shift it twice."""
    source = project.sources[name]
    types = {column.casefold(): kind for column, kind in columns.items()}
    diagnostics = []
    for key in ("timestamp", "partition", "loaded_at", "valid_from", "valid_to"):
        column = getattr(source, key)
        kind = types.get(str(column).casefold(), "")
        if column and kind and not any(word in kind.upper() for word in ("TIMESTAMP", "DATE")):
            diagnostics.append(
                Diagnostic(
                    "not-a-timestamp",
                    f"source `{name}`: `{column}` is {kind}, not a timestamp",
                    project.place("sources", name, key),
                    ("convert it in the source's `sql`",),
                )
            )
        if key != "partition" and source.timezone and column and any(word in kind.upper() for word in _AWARE):
            diagnostics.append(
                Diagnostic(
                    "timezone-on-aware-column",
                    f"source `{name}`: `{column}` already has a time zone",
                    project.place("sources", name, "timezone"),
                    ("remove `timezone`",),
                )
            )
    return diagnostics


def _check_measures(
    project: Project, name: str, columns: Columns, warehouse: Warehouse, sql: SqlText
) -> list[Diagnostic]:
    """Measures that are summed or compared must be numbers, and must be expressions the warehouse accepts."""
    source = project.sources[name]
    diagnostics = []
    for measure, text in source.measures.items():
        place = project.place("sources", name, "measures", measure)
        known = {column.casefold() for column in columns}
        if any(column.casefold() not in known for column, _, _ in columns_of(parse_expression(text, source.dialect))):
            continue  # reported where columns are checked
        try:
            written = sql.column(text, name, source)
            kind = warehouse.describe(f"(SELECT {written} AS measure FROM {sql.relation(name, source)}) AS measures")[
                "measure"
            ]
        except WarehouseError as error:
            message = f"measure `{measure}` of source `{name}`: {error.message}"
            diagnostics.append(
                Diagnostic("measure-refused", message, place, ("try the expression in a query of your own",))
            )
            continue
        users = [
            metric_name
            for metric_name, metric in project.metrics.items()
            for r in metric.references()
            if r.kind == "measure" and r.source == name and r.name == measure and _needs_number(metric, r.path)
        ]
        if users and not kind.upper().startswith(_NUMERIC) and "INT" not in kind.upper():
            message = f"measure `{measure}` of source `{name}` is {kind}; metric `{users[0]}` needs a number"
            diagnostics.append(
                Diagnostic("measure-not-numeric", message, place, ("cast it to DOUBLE, or use `agg: count_distinct`",))
            )
    return diagnostics


def _check_covariates(project: Project, name: str, warehouse: Warehouse, sql: SqlText) -> list[Diagnostic]:
    """Dimensions that adjust an estimate must be numbers."""
    source = project.sources[name]
    diagnostics = []
    for experiment_name, experiment in project.experiments.items():
        for extra, user in extras_of(project, experiment).items():
            source_name, _, dimension = extra.partition(".")
            if source_name != name or dimension not in source.dimensions:
                continue
            written = sql.column(source.dimensions[dimension], name, source)
            try:
                kind = warehouse.describe(f"(SELECT {written} AS x FROM {sql.relation(name, source)}) AS covariates")[
                    "x"
                ]
            except WarehouseError:
                continue  # reported where columns are checked
            if not kind.upper().startswith(_NUMERIC) and "INT" not in kind.upper():
                message = f"covariate `{extra}` of metric `{user}` is {kind}, not a number"
                place = project.place("experiments", experiment_name)
                help_ = "make it a number in the source's `dimensions`, or use it as a segment"
                diagnostics.append(Diagnostic("covariate-not-numeric", message, place, (help_,)))
    return diagnostics


def _check_filters(
    project: Project, name: str, columns: Columns, warehouse: Warehouse, sql: SqlText
) -> list[Diagnostic]:
    """Filters must be conditions that the warehouse accepts."""
    source = project.sources[name]
    known = {column.casefold() for column in (*columns, *source.dimensions)}
    diagnostics = []
    seen: set[str] = set()
    for text, place in _filters(project, name):
        if text in seen:
            continue
        seen.add(text)
        if any(column.casefold() not in known for column, _, _ in columns_of(parse_expression(text, source.dialect))):
            continue  # reported where columns are checked
        relation = f"(SELECT {sql.condition(text, name, source)} AS flag FROM {sql.relation(name, source)}) AS flags"
        try:
            kind = warehouse.describe(relation)["flag"]
        except WarehouseError as error:
            message, help_ = f"the warehouse refuses the filter: {error.message}", "try it in a query of your own"
        else:
            if kind.upper() in _CONDITIONS:
                continue
            message, help_ = (
                f"the filter is {kind}, not a condition",
                "compare it with a value, such as `status = 'paid'`",
            )
        diagnostics.append(Diagnostic("filter-not-boolean", message, place, (help_,)))
    return diagnostics


def _filters(project: Project, name: str) -> Iterator[tuple[str, Place]]:
    """Every filter over a source, with its place."""
    for position, text in enumerate(project.sources[name].filter):
        yield text, project.place("sources", name, "filter", position)
    for segment_name, segment in project.segments.items():
        for position, text in enumerate(segment.filter if segment.source == name else ()):
            yield text, project.place("segments", segment_name, "filter", position)
    for metric_name, metric in project.metrics.items():
        for reference in metric.references():
            if reference.kind == "filter" and reference.source == name:
                yield reference.name, project.place("metrics", metric_name, *reference.path)
    for experiment_name, experiment in project.experiments.items():
        for position, text in enumerate(experiment.exposure.filter if experiment.exposure.source == name else ()):
            yield text, project.place("experiments", experiment_name, "exposure", "filter", position)


def _needs_number(metric: Metric, path: tuple[str | int, ...]) -> bool:
    part = getattr(metric, str(path[0])) if len(path) > 1 else metric
    return getattr(part, "agg", None) in ("sum", "min", "max")
