"""The part of the compiled SQL that makes values per unit, for readers of a metric. Nothing here is executed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import indent

from metricdef.compiler.dialects import dialect_table
from metricdef.compiler.fact_stages import fact_stages
from metricdef.compiler.moment_stages import moment_stages
from metricdef.compiler.open_as_of import open_text
from metricdef.compiler.plan import Plan
from metricdef.compiler.sql_text import LINE_BREAK, SqlText
from metricdef.compiler.stages import Stage
from metricdef.compiler.unit_stages import unit_stages


def render_excerpt(plan: Plan, dialect: str, schemas: Mapping[str, str] | None = None) -> str:
    """The stages from the rows of facts to one value per unit, word for word as `render` has them.

    Left out are exposures and attributes before them, and sums and checks after them. Raises UsageError for a dialect or
    a source that cannot be written.
    """
    sql = open_text(plan, dialect_table(dialect), schemas or {})
    return "\n".join(_written(stage) for stage in _stages(plan, sql))


def _stages(plan: Plan, sql: SqlText) -> Iterator[Stage]:
    yield from fact_stages(plan, sql)
    yield from (stage for stage in unit_stages(plan, sql) if stage.name == "md_percentiles")
    yield next(moment_stages(plan, sql))  # values of the units that count


def _written(stage: Stage) -> str:
    """A stage as a CTE, laid out as in the statement."""
    comments = [f"-- {line}" for line in stage.comment]
    return "\n".join([*comments, f"{stage.name} AS (", indent(stage.body, "  "), ")", ""]).replace(LINE_BREAK, "\n")
