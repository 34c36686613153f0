"""The part of the compiled SQL that makes values per unit, for readers of a metric. Nothing here is executed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from textwrap import indent

from metricdef.compiler.fact_stages import fact_stages
from metricdef.compiler.moment_stages import moment_stages
from metricdef.compiler.plan import Plan
from metricdef.compiler.sql_text import LINE_BREAK, SqlText
from metricdef.compiler.stages import Stage
from metricdef.compiler.unit_stages import unit_stages
from metricdef.definitions.models import Source


@dataclass(frozen=True, slots=True)
class RememberedText(SqlText):
    """Writes every name and expression once, for many plans over the same sources."""

    known: dict[tuple[str, ...], str] = field(default_factory=dict)

    def name(self, name: str) -> str:
        """See SqlText."""
        return self._once(("name", name), lambda: SqlText.name(self, name))

    def column(self, text: str, source_name: str, source: Source) -> str:
        """See SqlText."""
        return self._once(("column", text, source_name), lambda: SqlText.column(self, text, source_name, source))

    def condition(self, text: str, source_name: str, source: Source) -> str:
        """See SqlText."""
        return self._once(("condition", text, source_name), lambda: SqlText.condition(self, text, source_name, source))

    def relation(self, source_name: str, source: Source) -> str:
        """See SqlText."""
        return self._once(("relation", source_name), lambda: SqlText.relation(self, source_name, source))

    def _once(self, key: tuple[str, ...], write: Callable[[], str]) -> str:
        if key not in self.known:
            self.known[key] = write()
        return self.known[key]


def render_excerpt(plan: Plan, sql: SqlText) -> str:
    """The stages from the rows of facts to one value per unit, word for word as `render` has them.

    Left out are exposures and attributes before them, and sums and checks after them. Raises UsageError for a source that
    cannot be written in this dialect.
    """
    return "\n".join(_written(stage) for stage in _stages(plan, sql))


def _stages(plan: Plan, sql: SqlText) -> Iterator[Stage]:
    yield from fact_stages(plan, sql)
    yield from (stage for stage in unit_stages(plan, sql) if stage.name == "md_percentiles")
    yield next(moment_stages(plan, sql))  # values of the units that count


def _written(stage: Stage) -> str:
    """A stage as a CTE, laid out as in the statement."""
    comments = [f"-- {line}" for line in stage.comment]
    return "\n".join([*comments, f"{stage.name} AS (", indent(stage.body, "  "), ")", ""]).replace(LINE_BREAK, "\n")
