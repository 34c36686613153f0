"""When a row of the facts counts for a value."""

from __future__ import annotations

from metricdef.compiler.alternatives import Filter
from metricdef.compiler.days import duration
from metricdef.compiler.facts import Facts
from metricdef.compiler.open_instant import may_be_earlier
from metricdef.compiler.plan import Bounds, Plan
from metricdef.compiler.sql_text import SqlText


def row_tests(plan: Plan, sql: SqlText, facts: Facts, filter_: Filter, bounds: Bounds) -> list[str]:
    """When a row of the facts counts: what fewer rows pass, as a rule, comes first."""
    tests = facts.flags.tests(sql, filter_) + bound_tests(plan, sql, facts, bounds)
    return tests or ["since_us IS NOT NULL"]


def since(plan: Plan, bounds: Bounds) -> str:
    """Time since the anchor; since first exposure unless a trigger moves it."""
    return "since_us - delay_us" if plan.trigger and bounds.anchor == "outcome" else "since_us"


def bound_tests(plan: Plan, sql: SqlText, facts: Facts, bounds: Bounds) -> list[str]:
    """When a row lies in a window, without what holds for every row of the facts."""
    tests = _since(since(plan, bounds), bounds.start, bounds.end)
    if since(plan, bounds) == "since_us" and bounds.start <= facts.earliest:
        tests = tests[1:]
    if bounds.floor is not None:
        tests.append(f"ts_us >= {sql.instant_us(bounds.floor)}")
    if bounds.ceiling is not None and may_be_earlier(bounds.ceiling, facts.span[1]):
        tests.append(f"ts_us < {sql.instant_us(bounds.ceiling)}")
    return tests


def _since(since: str, low: int, high: int | None) -> list[str]:
    tests = [f"{since} >= {duration(low)}"]
    return tests if high is None else [*tests, f"{since} < {duration(high)}"]
