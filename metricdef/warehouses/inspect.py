"""Definitions against what the warehouse really holds: missing tables, missing columns, measures that are not numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from metricdef.compiler.dialects import dialect_table
from metricdef.compiler.sql_text import SqlText
from metricdef.definitions.link import link
from metricdef.definitions.project import Columns, Project
from metricdef.errors import Diagnostic, WarehouseError, suggest
from metricdef.warehouses.base import Warehouse

_NUMERIC = ("INT", "DECIMAL", "NUMERIC", "NUMBER", "DOUBLE", "FLOAT", "REAL", "BOOL")


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
    for name, columns in found.items():
        diagnostics += _check_types(live, name, columns)
    return found, sorted(diagnostics, key=lambda d: d.order)


def _check_types(project: Project, name: str, columns: Columns) -> list[Diagnostic]:
    """A time zone on a column that already has one would shift it twice."""
    source = project.sources[name]
    types = {column.casefold(): kind for column, kind in columns.items()}
    diagnostics = []
    for key in ("timestamp", "loaded_at", "valid_from", "valid_to"):
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
        if source.timezone and column and ("WITH TIME ZONE" in kind.upper() or "TIMESTAMPTZ" in kind.upper()):
            diagnostics.append(
                Diagnostic(
                    "timezone-on-aware-column",
                    f"source `{name}`: `{column}` already has a time zone",
                    project.place("sources", name, "timezone"),
                    ("remove `timezone`",),
                )
            )
    for measure, text in source.measures.items():
        measured = types.get(text.casefold())
        summed = [
            m
            for m, metric in project.metrics.items()
            for r in metric.references()
            if r.kind == "measure"
            and r.source == name
            and r.name == measure
            and getattr(metric, "agg", None) in ("sum", "min", "max")
        ]
        if measured and summed and not measured.upper().startswith(_NUMERIC) and "INT" not in measured.upper():
            diagnostics.append(
                Diagnostic(
                    "measure-not-numeric",
                    f"measure `{measure}` of source `{name}` is {measured}; metric `{summed[0]}` needs a number",
                    project.place("sources", name, "measures", measure),
                )
            )
    return diagnostics
