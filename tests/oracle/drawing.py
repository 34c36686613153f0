"""Choices read off strings of bytes, and what the generated rows are placed against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from .reading import MICROSECOND, midnight, to_local, to_utc

T = TypeVar("T")

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Fields:
    """Reads choices off a string of bytes, one byte each; past its end every choice is the first option."""

    def __init__(self, data: bytes) -> None:
        self.data: Iterator[int] = iter(data)

    def pick(self, options: Sequence[T]) -> T:
        return options[next(self.data, 0) % len(options)]

    def chance(self, percent: int) -> bool:
        return next(self.data, 0) >= 256 - 256 * percent // 100

    def upto(self, most: int) -> int:
        return next(self.data, 0) % (most + 1)

    def number(self) -> int:
        return next(self.data, 0)


@dataclass(frozen=True)
class Frame:
    """What the generated rows are placed against."""

    start: datetime
    end: datetime
    as_of: datetime
    reference: datetime  # an exposure time whose maturity as_of may hit exactly
    offsets: tuple[timedelta, ...]  # window bounds and lookbacks in use, relative to first exposure
    gaps: tuple[timedelta, ...]  # the funnels' `within`, and 0
    edges: tuple[datetime, ...]  # where enrolment, ramp steps and data begin or end
    timezone: str
    null_percent: int
    offset: float
    zero: bool  # every amount and duration is 0
    integers: bool
    units: tuple[Any, ...]
    strangers: tuple[Any, ...]  # ids never exposed
    clusters: tuple[Any, ...]  # empty without clusters
    is_valid_dated: bool  # attributes rows have valid_from and valid_to


def near(fields: Fields, instant: datetime) -> datetime:
    """The instant itself most of the time, else a microsecond to either side."""
    return instant + fields.pick([0, 0, -1, 1]) * MICROSECOND


@cache
def changes(timezone: str, first: date, last: date) -> tuple[date, ...]:
    """Days of the zone that don't have 24 hours."""
    days = [first + timedelta(days=i) for i in range((last - first).days + 1)]
    return tuple(day for day in days if midnight(day + DAY, timezone) - midnight(day, timezone) != DAY)


def is_ambiguous(local: datetime, timezone: str) -> bool:
    """Whether the clock shows this time twice."""
    return to_utc(local.replace(fold=0), timezone) != to_utc(local.replace(fold=1), timezone)


def localised(rows: list[dict[str, Any]], columns: Sequence[str], timezone: str) -> list[dict[str, Any]]:
    """The rows with these times as the zone's clocks show them; a time they show twice moves by two hours first."""

    def local(instant: datetime | None) -> datetime | None:
        if instant is None:
            return None
        shown = to_local(instant, timezone)
        return to_local(instant + 2 * HOUR, timezone) if is_ambiguous(shown, timezone) else shown

    return [{**row, **{column: local(row[column]) for column in columns}} for row in rows]
