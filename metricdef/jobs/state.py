"""Jobs that add a day to what is kept of every unit, and read their moments from there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from metricdef.compiler.plan import Plan, microseconds
from metricdef.compiler.state_tests import Days
from metricdef.errors import UsageError


def days_to_add(plan: Plan, timezone: str, restated: Sequence[date] = ()) -> Days:
    """What the run that ends at the plan's as-of reads. Raises UsageError where that is no midnight of the time zone.

    The last day, the days before it that rows may still have come for by a source's `settles_after`, and the days in
    `restated`. Of a source with `loaded_at` also the days of what arrived, which the SQL finds.
    """
    local = plan.as_of.astimezone(ZoneInfo(timezone))
    if plan.as_of_us != _midnight(local.date(), timezone):  # where clocks go forward at midnight a day begins at one
        raise UsageError(
            f"a state grows by whole days, and {local:%Y-%m-%d %H:%M} begins no day in {timezone}",
            [f"--as-of {local:%Y-%m-%d}"],
        )
    today = local.date()
    late = [day for day in restated if day >= today]
    if late:
        raise UsageError(f"{late[0]} is no day before {today}: there is nothing to read again")
    again, since = {}, {}
    for name in plan.state.sources if plan.state else ():
        source = plan.sources[name]
        settles = source.settles_after.microseconds if source.settles_after else 0
        first = _date(_midnight(today - timedelta(days=1), timezone) - settles, timezone)
        days = sorted({*(first + timedelta(days=i) for i in range((today - first).days)), *restated})
        again[name] = [_key(day) for day in days]
        since[name] = _midnight(days[0], timezone)
    before = _midnight(today - timedelta(days=1), timezone)
    return Days(before, f"{today}", f"{today + timedelta(days=1)}", again, since)


def restated_days(text: str | None) -> list[date]:
    """`2026-09-03` or `2026-09-03..2026-09-05`, both ends included. Raises UsageError for what is neither."""
    if text is None:
        return []
    first, _, last = text.partition("..")
    try:
        start, end = date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError:
        raise UsageError(f"`{text}` is no day", ["--restate 2026-09-03 or --restate 2026-09-03..2026-09-05"]) from None
    if end < start:
        raise UsageError(f"the days end on {end}, before they start on {start}")
    return [start + timedelta(days=i) for i in range((end - start).days + 1)]


def _midnight(day: date, timezone: str) -> int:
    return microseconds(datetime.combine(day, time(), ZoneInfo(timezone)).astimezone(UTC))


def _date(us: int, timezone: str) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).astimezone(ZoneInfo(timezone)).date()


def _key(day: date) -> int:
    """A day as the SQL has it: its midnight as if it were UTC."""
    return microseconds(datetime.combine(day, time(), UTC))
