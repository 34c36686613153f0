"""Tests that stand in a job's file before it adds a day to a state: they fail where it may not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from metricdef.compiler.plan import Plan, State
from metricdef.compiler.sql_text import SqlText
from metricdef.compiler.stages import template
from metricdef.compiler.state import state_table, twice


@dataclass(frozen=True, slots=True)
class Days:
    """Which days a run adds.

    Attributes:
        before: As-of of the run that must have come before, in microseconds.
        date: The date whose midnight is this run's as-of.
        following: The date after it.
        again: Of every source the days to read as a whole, as local microseconds.
        since: Of every source an instant at or before the start of those days.
    """

    before: int
    date: str
    following: str
    again: Mapping[str, Sequence[int]]
    since: Mapping[str, int]

    @property
    def follows(self) -> datetime:
        """`before` as an instant."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.before)


def state_tests(plan: Plan, state: State, sql: SqlText, days: Days) -> Iterator[str]:
    """Statements without rows, that fail with what to do as the engine's message."""
    target = sql.dialect.temporary_table.format(name="md_refused")
    tests = (
        _follows(plan, state, sql, days),
        _reads_again(plan, state, sql, days),
        _stands_once(plan, state, sql, days),
    )
    for text in filter(None, tests):
        # A client may ask for rows only when it reads them: a table is made at once.
        yield f"{target} AS\n{text}" if sql.dialect.staging else text


def is_past(sql: SqlText, us: int) -> str:
    """Whether an instant has come: before it, windows would count as complete that are not."""
    return f"{sql.dialect.to_utc.format(x=sql.dialect.now)} >= {sql.instant(us)}"


def _follows(plan: Plan, state: State, sql: SqlText, days: Days) -> str:
    """The day must follow on the last one."""
    literal, name, date = sql.literal, plan.experiment, days.date
    build = f"metricdef build {name} --incremental --as-of "
    return template("state_test").render(
        runs=state_table(sql, state, "runs"),
        as_of=sql.instant_us(plan.as_of_us),
        before=sql.instant_us(days.before),
        later=[
            literal(f"metricdef: the state of {name} is at "),
            literal(f" already, and {date} cannot be added any more: metricdef run {name} --as-of {date}"),
        ],
        gap=[
            literal(f"metricdef: days are missing in the state of {name}, from "),
            literal(f" on; build them and run their files in order: {build}"),
            literal(f" --to {date}"),
        ],
        early=literal(f"metricdef: {date} has not come yet, and the day before it is not over "),
        is_past=is_past(sql, plan.as_of_us),
        failure=sql.dialect.failure,
    )


def _reads_again(plan: Plan, state: State, sql: SqlText, days: Days) -> str:
    """Days that an earlier run of this date has read count as read: the file must look for their rows.

    Of a source with `loaded_at` it looks at all days.
    """
    name, date, as_of = plan.experiment, days.date, sql.dialect.as_of
    earliest = [(sql.literal(s), days.again[s][0]) for s in state.sources if not plan.sources[s].loaded_at]
    first = f"SUBSTR({as_of.text.format(x='MIN(day_us)')}, 1, 10)" if as_of else sql.text("MIN(day_us)")
    start = sql.literal(f"metricdef: the run of {date} has read earlier days again, from ")
    end = sql.literal(
        f" on, and so must this file: metricdef build {name} --incremental --as-of {date} --restate FIRST..LAST"
    )
    return template("state_again").render(
        days=state_table(sql, state, "days"),
        as_of=sql.instant_us(plan.as_of_us),
        earliest=earliest,
        text=f"{start} || COALESCE({first}, '') || {end}",
        failure=sql.dialect.failure,
    )


def _stands_once(plan: Plan, state: State, sql: SqlText, days: Days) -> str | None:
    """No rows of earlier days may stand twice, by an attempt at one that went on after another one had been recorded."""
    found = twice(sql, state, plan.as_of_us, own=False)
    if found is None:
        return None
    name, before = plan.experiment, datetime.fromisoformat(days.date).date() - timedelta(days=1)
    end = (
        f" rows stand twice in the state of {name}, where two runs of one day were at work; run the file of the last day"
        f" again, alone: metricdef build {name} --incremental --as-of {before}; if it is refused too, drop the state's tables"
    )
    # With the number of rows it is no constant, which an engine would compute, and so refuse, without any.
    text = f"{sql.literal('metricdef: ')} || {sql.text('COUNT(*)')} || {sql.literal(end)}"
    return template("state_twice").render(found=found, failure=sql.dialect.failure.format(x=text))
