"""An as-of that SQL learns when it runs: where it is put in, and how everything else reads it."""

from __future__ import annotations

from collections.abc import Mapping

from metricdef.compiler.dialects import DialectTable
from metricdef.compiler.dialects.table import OpenAsOf
from metricdef.compiler.plan import Plan
from metricdef.compiler.sql_text import SqlText

PLACEHOLDER = "{{as_of}}"  # where the date is put in


def open_text(plan: Plan, dialect: DialectTable, schemas: Mapping[str, str]) -> SqlText:
    """What writes the SQL of `plan`, whether its as-of is open or not."""
    if plan.open_until is None or dialect.as_of is None:
        return SqlText(dialect, schemas)
    return SqlText(dialect, schemas, dialect.as_of.value.format(x=_utc(plan, dialect.as_of)))


def session_of(plan: Plan, dialect: DialectTable) -> tuple[str, ...]:
    """Statements that run first; where as-of is open one of them holds the date."""
    if plan.open_until is None or dialect.as_of is None:
        return dialect.session
    declare = dialect.as_of.declare.format(x=_utc(plan, dialect.as_of), date=PLACEHOLDER)
    return (*dialect.session, declare, *([dialect.as_of.check] if dialect.as_of.check else []))


def _utc(plan: Plan, spelling: OpenAsOf) -> str:
    """Midnight in the project's time zone as microseconds in UTC.

    Of a midnight that the clocks show twice the first, of one that they skip the instant of the change or the first
    after it: like Python's `datetime`.
    """
    local = spelling.given.format(date=PLACEHOLDER)
    first, *others = plan.offsets
    if not others:
        return f"{local} - {first.distance}" if first.distance else local
    changes = [
        (after.start + max(before.distance, after.distance), after.distance)
        for before, after in zip(plan.offsets, others, strict=False)
    ]
    cases = " ".join(f"WHEN {local} >= {start} THEN {distance}" for start, distance in reversed(changes))
    return f"({local} - CASE {cases} ELSE {first.distance} END)"
