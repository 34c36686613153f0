"""What a case is made of, and how its definitions are spelled: durations, windows, instants, limits, time zones."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any, Literal
from zoneinfo import ZoneInfo

Unit = Hashable
Definition = dict[str, Any]

ZERO = timedelta(0)
MICROSECOND = timedelta(microseconds=1)


class OutOfScopeError(Exception):
    """The definitions use something this oracle doesn't implement."""


# --- input ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Table:
    columns: dict[str, str]  # name -> text | integer | double | timestamp | boolean
    rows: list[dict[str, Any]]  # a column left out of a row is NULL


@dataclass(frozen=True)
class Case:
    definitions: dict[str, dict[str, Any]]  # file name -> plain data
    experiment: str
    tables: dict[str, Table]
    as_of: datetime  # naive UTC
    options: frozenset[str] = frozenset()  # labels of what the case exercises


# --- values of the grammar --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Window:
    """span: [t0 + begin, t0 + end). experiment: [t0, T). last: [max(t0, T - end), T). T = min(experiment's end, as-of)."""

    kind: Literal["span", "experiment", "last"]
    begin: timedelta = ZERO
    end: timedelta | None = None

    @property
    def wait(self) -> timedelta | None:
        """How long after t0 a unit's value can still grow; None where it is never immature."""
        return self.end if self.kind == "span" else None


@dataclass(frozen=True)
class Percentile:
    """The double nearest to the written percentage over 100."""

    p: float


Limit = Fraction | Percentile | None


@dataclass(frozen=True)
class Covariates:
    lookback: timedelta
    extra: list[str]


def parse_duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d+)([mhdw])", text)
    if match is None:
        raise OutOfScopeError(f"duration {text!r}")
    unit = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(hours=24), "w": timedelta(days=7)}
    return int(match[1]) * unit[match[2]]


def parse_window(text: str) -> Window:
    if text == "experiment":
        return Window("experiment")
    if text.startswith("last "):
        return Window("last", end=parse_duration(text.removeprefix("last ")))
    begin, dots, end = text.partition("..")
    if dots:
        return Window("span", parse_duration(begin), parse_duration(end))
    return Window("span", ZERO, parse_duration(text))


def parse_percentile(text: str) -> Percentile:
    if not text.startswith("p"):
        raise OutOfScopeError(f"percentile {text!r}")
    return Percentile(float(Fraction(text[1:]) / 100))


def parse_limit(value: Any) -> Limit:
    if value is None:
        return None
    return parse_percentile(value) if isinstance(value, str) else Fraction(value)


def parse_instant(value: date | datetime | str, timezone: str) -> datetime:
    """Naive UTC. A date is its midnight in the project's zone; a timestamp without zone is UTC."""
    if isinstance(value, str):
        value = date.fromisoformat(value) if len(value) == len("YYYY-MM-DD") else datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return midnight(value, timezone)
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


# --- time zones -------------------------------------------------------------------------------------------------------
def midnight(day: date, timezone: str) -> datetime:
    """The day's first instant in the zone, as naive UTC."""
    return to_utc(datetime(day.year, day.month, day.day), timezone)


def to_utc(local: datetime, timezone: str) -> datetime:
    return local.replace(tzinfo=ZoneInfo(timezone)).astimezone(UTC).replace(tzinfo=None)


def to_local(instant: datetime, timezone: str) -> datetime:
    return instant.replace(tzinfo=UTC).astimezone(ZoneInfo(timezone)).replace(tzinfo=None)


def local_day(instant: datetime, timezone: str) -> date:
    return to_local(instant, timezone).date()


def local_days(begin: datetime, end: datetime, timezone: str) -> list[date]:
    """The calendar days that share an instant with [begin, end)."""
    if begin >= end:
        return []
    first, last = local_day(begin, timezone), local_day(end - MICROSECOND, timezone)
    return [first + timedelta(days=i) for i in range((last - first).days + 1)]


# --- small helpers ----------------------------------------------------------------------------------------------------
def as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def only_keys(what: str, definition: Definition, known: str) -> None:
    strange = set(definition) - set(known.split())
    if strange:
        raise OutOfScopeError(f"{what}: {sorted(strange)}")


def smallest(values: Iterable[Any]) -> Any:
    """The smallest stated value; None where none is."""
    return min((value for value in values if value is not None), default=None)


def as_text(value: Any) -> str | None:
    """A dimension's value as its level: SQL's cast to text."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | str):
        return str(value)
    raise OutOfScopeError(f"{value!r} as a level")
