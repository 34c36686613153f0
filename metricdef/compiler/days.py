"""Days and durations in SQL, in microseconds."""

from __future__ import annotations

from metricdef.compiler.plan import Plan
from metricdef.compiler.sql_text import SqlText

DAY = 86_400_000_000


def local_day(plan: Plan, sql: SqlText, instant: str) -> str:
    """The start of an instant's calendar day in the project's time zone, as local microseconds: a key of the day."""
    local = instant
    if len(plan.offsets) > 1:
        cases = " ".join(f"WHEN {instant} >= {o.start} THEN {o.distance}" for o in reversed(plan.offsets[1:]))
        local = f"({instant} + CASE {cases} ELSE {plan.offsets[0].distance} END)"
    elif plan.offsets[0].distance:
        local = f"({instant} + {plan.offsets[0].distance})"
    return f"({local} - {sql.remainder(local, DAY)})"


def duration(us: int) -> str:
    """Microseconds, with the length in words beside it."""
    if us == 0:
        return "0"
    for unit, size in (("d", DAY), ("h", 3_600_000_000), ("m", 60_000_000)):
        if us % size == 0:
            return f"{us} /* {us // size}{unit} */"
    return str(us)
