"""Plan to SQL: each stage is one template; analysts' expressions go in as rendered trees, never as text."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial

import sqlglot
from sqlglot import exp

from metricdef import __version__
from metricdef.compiler.dialects import DialectTable, dialect_table
from metricdef.compiler.exposure_stages import attribute_stages, exposure_stages
from metricdef.compiler.fact_stages import fact_stages
from metricdef.compiler.health_stages import health_stages
from metricdef.compiler.moment_stages import moment_stages
from metricdef.compiler.open_as_of import open_text, session_of
from metricdef.compiler.plan import Plan
from metricdef.compiler.quantile_stages import quantile_stages
from metricdef.compiler.query import Query
from metricdef.compiler.result import result_stage
from metricdef.compiler.series_stages import series_stages
from metricdef.compiler.sql_text import LINE_BREAK, SqlText
from metricdef.compiler.stages import Stage, template
from metricdef.compiler.state import state_stages
from metricdef.compiler.unit_stages import unit_stages
from metricdef.definitions.expressions import parse_query, tables_of
from metricdef.errors import UsageError

_PREFIX = "md_"


def render(plan: Plan, dialect: str, schemas: Mapping[str, str] | None = None) -> Query:
    """The SQL of `plan`. `schemas` maps logical schema names to a profile's.

    Raises UsageError for a dialect or source that cannot be written. Equal plans give equal bytes.
    """
    table = dialect_table(dialect)
    sql, session = open_text(plan, table, schemas or {}), session_of(plan, table)
    _refuse_clashes(plan)
    units = (exposure_stages, attribute_stages, state_stages, fact_stages, unit_stages)
    rooms = (*units, moment_stages, quantile_stages, series_stages, health_stages)
    earlier = [stage for stages in rooms for stage in stages(plan, sql)]
    statements = write_statements(earlier, result_stage(plan, sql), table)
    digest = hashlib.sha256("\n;\n".join((*session, *statements)).encode()).hexdigest()[:16]
    as_of = "of the date put in at the head" if plan.open_until else f"{plan.as_of:%Y-%m-%d %H:%M:%S.%f} UTC"
    header = template("header").render(version=__version__, plan=plan, dialect=dialect, sql_hash=digest, as_of=as_of)
    return Query(plan, dialect, session, (f"{header.strip()}\n\n{statements[0]}", *statements[1:]), digest)


def render_units(plan: Plan, dialect: str, names: Sequence[str]) -> list[str]:
    """Statements whose last returns one row per eligible unit: its key as text, and some values of the plan's blocks.

    The stages are those of `render`, up to the one that the moments are taken of. For unit tests of metrics alone: of
    a real experiment no row of a unit leaves the warehouse. Raises UsageError as `render` does.
    """
    table = dialect_table(dialect)
    sql = SqlText(table)
    _refuse_clashes(plan)
    rooms = (exposure_stages, attribute_stages, fact_stages, unit_stages, partial(moment_stages, with_unit=True))
    earlier = [stage for stages in rooms for stage in stages(plan, sql)]
    body = template("eligible_units").render(unit=sql.text("md_entries.unit_id"), names=names)
    return write_statements(earlier, Stage("", ("Units with their values.",), body), table)


def write_statements(earlier: list[Stage], final: Stage, table: DialectTable) -> list[str]:
    """Temporary tables where the engine needs them, then the statement of the final stage."""
    for stage in (*earlier, final):
        _check(_stage_text(stage), table.sqlglot)
    tables = [stage for stage in earlier if stage.shared] if not table.materialises_ctes else []
    common = [stage for stage in earlier if stage not in tables]
    return [_statement(stage, common, table) for stage in (*tables, final)]


def _statement(stage: Stage, common: list[Stage], dialect: DialectTable) -> str:
    """A temporary table, or the final SELECT, with the CTEs it needs."""
    needed: list[Stage] = []
    text = stage.body
    for candidate in reversed(common):
        if re.search(rf"\b{candidate.name}\b", text):
            needed.insert(0, candidate)
            text += f"\n{candidate.body}"
    target = dialect.temporary_table.format(name=stage.name) if stage.name else None
    rendered = (
        template("statement").render(target=target, stages=needed, final=stage, end=dialect.statement_end).strip()
    )
    return rendered.replace(LINE_BREAK, "\n")


def _stage_text(stage: Stage) -> str:
    """What a stage puts into a statement."""
    return "\n".join((*(f"-- {line}" for line in stage.comment), stage.body)).replace(LINE_BREAK, "\n")


@lru_cache(maxsize=1024)
def _check(text: str, dialect: str) -> None:
    """What a stage puts into a statement must be exactly one query that the dialect's own grammar accepts.

    Statements are stages between words of `statement.sql.j2`, so that they are sound when every stage is; most stages are
    the same on many days and in several statements, and parsing is most of the work of rendering.
    No stage may return two columns of one name: some engines rename the second one, and whoever reads it gets the first.
    """
    trees = sqlglot.parse(f"(\n{text}\n)", read=dialect)
    if len(trees) != 1 or not isinstance(trees[0], exp.Subquery):
        raise AssertionError(f"rendered SQL is not one query: {text[:200]}")
    names = Counter(name.casefold() for name in trees[0].this.named_selects)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise AssertionError(f"a stage has two columns named {twice[0]}: {text[:200]}")


def _refuse_clashes(plan: Plan) -> None:
    """A table named like one of our stages would be read in its place."""
    for name, source in plan.sources.items():
        tables = (
            [source.table] if source.table else tables_of(parse_query(source.sql, source.dialect)) if source.sql else []
        )
        for table in tables:
            if table.split(".")[-1].strip('"').lower().startswith(_PREFIX):
                raise UsageError(
                    f"source `{name}`: table names that start with `{_PREFIX}` are kept for the compiled SQL",
                    ["read it through a view with another name"],
                )
