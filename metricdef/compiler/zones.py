"""A time zone as a list of offsets, so that local days are integer arithmetic, the same on every engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from metricdef.compiler.plan import Offset

SECOND = 1_000_000
DAY = 86_400 * SECOND


def zone_offsets(timezone: str, low: int, high: int) -> tuple[Offset, ...]:
    """The zone's offsets from UTC over [low, high], in microseconds, the first from `low` on.

    Changes are found to the second; between two samples a day apart there is at most one.
    """
    zone = ZoneInfo(timezone)
    found = [Offset(low, _offset(zone, low))]
    at = low
    while at < high:
        then = min(at + DAY, high)
        if _offset(zone, then) != found[-1].distance:
            found.append(Offset(_change(zone, at, then), _offset(zone, then)))
        at = then
    return tuple(found)


def local_midnights(timezone: str, low: int, high: int) -> list[int]:
    """Instants in (low, high) at which a calendar day of the zone begins."""
    zone = ZoneInfo(timezone)
    day = _moment(low).astimezone(zone).date()
    found: list[int] = []
    while True:
        day += timedelta(days=1)
        midnight = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
        instant = _us(midnight)
        if instant >= high:
            return found
        if instant > low:
            found.append(instant)


def local_day_us(offsets: tuple[Offset, ...], instant: int) -> int:
    """Start of the local calendar day of an instant, in local microseconds, as the SQL computes it."""
    distance = next((o.distance for o in reversed(offsets) if instant >= o.start), offsets[0].distance)
    return (instant + distance) // DAY * DAY


def _change(zone: ZoneInfo, low: int, high: int) -> int:
    """First second at which the offset is that of `high`."""
    wanted = _offset(zone, high)
    while high - low > SECOND:
        middle = (low + high) // 2 // SECOND * SECOND
        middle = middle if middle > low else low + SECOND
        if _offset(zone, middle) == wanted:
            high = middle
        else:
            low = middle
    return -(-high // SECOND) * SECOND


def _offset(zone: ZoneInfo, us: int) -> int:
    distance = _moment(us).astimezone(zone).utcoffset()
    return int((distance or timedelta(0)).total_seconds()) * SECOND


def _moment(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def _us(moment: datetime) -> int:
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
