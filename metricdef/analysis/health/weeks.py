"""Does enrolment cover whole weeks? Else some weekdays count more than others."""

from __future__ import annotations

from collections.abc import Iterator

from metricdef.analysis.cells import Cells
from metricdef.analysis.readout import HealthRow
from metricdef.compiler.days import DAY
from metricdef.compiler.zones import local_day_us

WEEK = 7


def check_weeks(cells: Cells) -> Iterator[HealthRow]:
    """The local days of enrolment: at least a week of them, and at its end whole weeks."""
    plan = cells.plan
    if plan.enrolment_end <= plan.start:
        return
    first, last = (local_day_us(plan.offsets, instant) for instant in (plan.start, plan.enrolment_end - 1))
    days, planned = (last - first) // DAY + 1, -(-(plan.end - plan.start) // DAY)
    weeks, rest = divmod(days, WEEK)
    if plan.as_of_us < plan.end:
        message = f"{days:,} of {planned:,} days of enrolment so far"
        yield HealthRow("whole_weeks", "pass", message, days / WEEK)
        return
    message = f"enrolment covers {days:,} day{'s' if days > 1 else ''}"
    if weeks < 1:
        message += ": less than a week, so some weekdays are not in it; the result may not hold for them"
    elif rest:
        message += f": {weeks:,} week{'s' if weeks > 1 else ''} and {rest}, so some weekdays count more than others"
    yield HealthRow("whole_weeks", "warn" if weeks < 1 or rest else "pass", message, days / WEEK, None, 1.0)
