"""From a request to a plan: the instant that is asked for, and the limits that earlier looks have fixed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from metricdef.analysis.look_record import LookRecord, before, carried_over, frozen_caps
from metricdef.compiler.build_plan import build_plan
from metricdef.compiler.plan import Plan
from metricdef.definitions.project import Project
from metricdef.definitions.used import renamed_metrics
from metricdef.errors import UsageError
from metricdef.metrics.fields import Instant


def read_as_of(value: str | datetime | None, timezone: str) -> datetime:
    """An instant with a zone. Text is a date (midnight in the project's zone) or an ISO timestamp. Raises UsageError."""
    if value is None:
        return datetime.now(UTC)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    try:
        return Instant.parse(value).at(timezone)
    except ValueError as error:
        raise UsageError(f"--as-of: {error}") from None


def refuse_future(as_of: datetime) -> None:
    """Raise UsageError for an instant that has not come."""
    if as_of > datetime.now(UTC):
        raise UsageError(
            f"as-of {as_of:%Y-%m-%d %H:%M} UTC lies in the future: windows would count as complete that are not",
            ["leave `--as-of` out to read the data as they are now"],
        )


def plan_experiment(
    project: Project,
    experiment: str,
    as_of: str | datetime | None = None,
    *,
    daily: bool = False,
    is_open: bool = False,
    history: Sequence[LookRecord] = (),
) -> Plan:
    """What the experiment needs, as seen at `as_of`: an instant or a date, by default now.

    `is_open`: as-of is put into the SQL when it runs, whatever `as_of` is. Caps that looks of `history` have fixed are
    numbers in it.
    """
    instant = read_as_of(as_of, project.settings.defaults.timezone)
    frozen = fixed_limits(project, instant, history)
    return build_plan(project, experiment, instant, daily=daily, is_open=is_open, frozen=frozen)


def fixed_limits(project: Project, as_of: datetime, history: Sequence[LookRecord]) -> dict[str, float]:
    """Limits of percentile caps that looks before `as_of` have fixed, by the names that metrics have now."""
    return frozen_caps(before(carried_over(history, renamed_metrics(project)), as_of))
