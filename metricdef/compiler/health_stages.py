"""Stages that only health checks read."""

from __future__ import annotations

from collections.abc import Iterator

from metricdef.compiler.days import local_day
from metricdef.compiler.plan import Plan
from metricdef.compiler.source_checks import (
    checked_sources,
    days_table,
    key_columns,
    read_rows_table,
    row_checks,
    totals_table,
)
from metricdef.compiler.sql_text import SqlText
from metricdef.compiler.stages import Stage, template

ENTRY_DAYS = "md_entry_days"


def health_stages(plan: Plan, sql: SqlText) -> Iterator[Stage]:
    """How many units came on every day, and how many rows of a source break what it declares."""
    body = template("entry_days").render(clustered=plan.cluster is not None, day=local_day(plan, sql, "exposed_us"))
    yield Stage(ENTRY_DAYS, ("Units by the local day of their first exposure; again: exposed more than once.",), body)
    for name in checked_sources(plan):
        rows, keys = read_rows_table(plan, name), key_columns(plan.sources[name])
        tests = _enrolment(plan, sql) if rows == "md_exposure_rows" else []
        timed = plan.sources[name].kind != "attributes"
        yield Stage(
            days_table(name),
            (f"Rows of {name} by local day, the newest of them, and how many break each rule.",),
            template("checked_days").render(
                rows=rows,
                checks=len(row_checks(plan, name)),
                day=local_day(plan, sql, "ts_us") if timed else "ts_us",
                tests=tests,
            ),
        )
        yield Stage(
            totals_table(name),
            (f"Rows of {name} that had not arrived by as-of, and those whose key another row has.",),
            template("checked_totals").render(rows=rows, keys=len(keys), tests=tests),
        )


def _enrolment(plan: Plan, sql: SqlText) -> list[str]:
    """Exposures that may count, and those without a time."""
    start, end = sql.instant_us(plan.start), sql.instant_us(plan.enrolment_end)
    return [f"((ts_us >= {start} AND ts_us < {end}) OR ts_us IS NULL)"]


def entry_counts(plan: Plan) -> list[str]:
    """What is counted by the day of first exposure."""
    return ["entered_units", "entered_again", *(["entered_clusters"] if plan.cluster else [])]
