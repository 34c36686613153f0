"""Rows of sources against what the sources declare of them; a repeated `grain` is the one fault that is fatal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median

from metricdef.analysis.cells import Cells, CheckedSource
from metricdef.analysis.readout import HealthRow
from metricdef.compiler.days import DAY
from metricdef.compiler.facts import facts_of
from metricdef.compiler.plan import Plan
from metricdef.compiler.source_checks import key_columns, row_checks, unchecked_sources
from metricdef.compiler.zones import local_day_us

WITHOUT_UNIT = 0.01  # share of rows without a unit, from which on it warns
WEEK = 7
HALF = 0.5  # of the smallest of the seven days before, below which the latest day is incomplete
MANY = 100  # rows of that day, from which on half of it is no chance
DAILY = 20  # rows of a usual day, from which on a day without any is no chance
NAMED = 3

_BROKEN = {
    "unit": ("have no `{}`, so they belong to nobody", "mend the logging of the key"),
    "not_null": ("have no `{}`", "mend the loading, or take it from `not_null`"),
    "accepted": ("have a `{}` that is not accepted", "find out what the new values mean, and which metrics count them"),
    "late": ("arrived later than `max_late` after their own time", "find out what held them up; `settles_after` must cover it"),
}  # fmt: skip


def check_sources(cells: Cells) -> Iterator[HealthRow]:
    """Every source that declares `grain` or `expect`, over the time that the experiment's values need."""
    for name, found in cells.sources.items():
        yield from _broken(cells.plan, name, found)
        yield from _repeated(cells.plan, name, found)
        yield from _arrived(cells.plan, name, found)
        if cells.plan.sources[name].kind != "attributes":  # they have no time
            yield from _fresh(cells.plan, name, found)
            yield from _days(cells.plan, name, found)
    yield from _unchecked(cells.plan)


def _unchecked(plan: Plan) -> Iterator[HealthRow]:
    """What sources declare of rows that a state stands for. Of a `grain` it is under the name of its check."""
    for name in unchecked_sources(plan):
        source = plan.sources[name]
        why = f"a state of earlier days was read; `metricdef run {plan.experiment}` of the same as-of checks all rows"
        if source.grain is not None:
            yield HealthRow(
                "source_grain", "warn", f"`{name}`: not checked whether rows repeat `{source.grain}`: {why}"
            )
        if source.expect is not None:
            yield HealthRow("source_rows", "warn", f"`{name}`: not checked against `expect`: {why}")


def _broken(plan: Plan, name: str, found: CheckedSource) -> Iterator[HealthRow]:
    total = sum(day.rows for day in found.days)
    for i, check in enumerate(row_checks(plan, name)):
        count = sum(day.broken[i] for day in found.days)
        what, advice = _BROKEN[check.kind]
        limit = WITHOUT_UNIT if check.kind == "unit" else 0.0
        share = count / total if total else 0.0
        broken = share > limit
        message = f"`{name}`: {count:,} of {total:,} rows {what.format(check.column)}" + (
            f"; {advice}" if broken else ""
        )
        figure = share if check.kind == "unit" else float(count)
        yield HealthRow(f"source_{check.kind}", "warn" if broken else "pass", message, figure, None, limit)


def _repeated(plan: Plan, name: str, found: CheckedSource) -> Iterator[HealthRow]:
    source = plan.sources[name]
    total = sum(day.rows for day in found.days)
    for column, count in zip(key_columns(source), found.repeated, strict=True):
        grain = column == source.grain
        message = f"`{name}`: {count:,} of {total:,} rows repeat the `{column}` of another"
        if count:
            advice = (
                "every value that they are in counts double: remove them before reading any result"
                if grain
                else "are rows loaded twice?"
            )
            message += f"; {advice}"
        status = "pass" if not count else "fail" if grain else "warn"
        check = "source_grain" if grain else "source_unique"
        yield HealthRow(check, status, message, float(count), None, 0.0)  # type: ignore[arg-type]  # a status


def _arrived(plan: Plan, name: str, found: CheckedSource) -> Iterator[HealthRow]:
    if plan.sources[name].loaded_at is not None:
        message = f"`{name}`: {found.not_loaded:,} rows had not arrived by as-of and are not counted"
        yield HealthRow("source_not_loaded", "pass", message, float(found.not_loaded))


def _fresh(plan: Plan, name: str, found: CheckedSource) -> Iterator[HealthRow]:
    """Whether the newest row is as new as declared, at as-of or at the end of the time that is read."""
    source = plan.sources[name]
    fresh = source.expect.fresh_within if source.expect is not None else None
    if fresh is None:
        return
    end, limit = _end(plan, name), fresh.microseconds / DAY
    newest = max((day.newest for day in found.days if day.newest is not None), default=None)
    if newest is None:
        yield HealthRow("source_fresh", "warn", f"`{name}` has no rows in the time that is read", None, None, limit)
        return
    lag = (end - newest) / DAY
    stale = lag > limit
    message = f"`{name}`: the newest row is of {_instant(newest)}, {lag:.2f} days before {_instant(end)}"
    message += "; the values lack what has not come yet" if stale else ""
    yield HealthRow("source_fresh", "warn" if stale else "pass", message, lag, None, limit)


def _days(plan: Plan, name: str, found: CheckedSource) -> Iterator[HealthRow]:
    """Local days without rows, and whether the latest complete day has as many as those before."""
    rows = {day.day: day.rows for day in found.days if day.day is not None}
    last = local_day_us(plan.offsets, _end(plan, name)) - DAY
    days = range(min(rows), last + DAY, DAY) if rows else range(0)
    if len(days) < 2 or median(rows.values()) < DAILY:
        return
    missing = [day for day in days if day not in rows]
    message = f"`{name}` has rows on each of {len(days):,} days"
    if missing:
        named = ", ".join(f"{_instant(day):.10}" for day in missing[:NAMED])
        more = f" and {len(missing) - NAMED:,} more" if len(missing) > NAMED else ""
        message = f"`{name}` has no rows on {len(missing):,} of {len(days):,} days ({named}{more}); load them before reading any result"
    yield HealthRow("source_days", "warn" if missing else "pass", message, float(len(missing)), None, 0.0)
    before = [rows.get(day, 0) for day in days[1:-1]][-WEEK:]  # without the first, which may be a part of a day
    smallest = min(before) if len(before) == WEEK else 0
    if smallest < MANY:
        return
    share = rows.get(last, 0) / smallest
    message = f"`{name}`: {rows.get(last, 0):,} rows on {_instant(last):.10}, the latest day; the smallest of the seven before has {smallest:,}"
    message += "; it is not complete yet" if share < HALF else ""
    yield HealthRow("source_latest_day", "warn" if share < HALF else "pass", message, share, None, HALF)


def _end(plan: Plan, name: str) -> int:
    """The end of the time that is read: as-of, where the last window is complete, or of exposures that of enrolment."""
    return next((facts.span[1] for facts in facts_of(plan) if facts.name == name), plan.enrolment_end)


def _instant(us: int) -> str:
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us):%Y-%m-%d %H:%M}"
