"""Rows that hit the nasty spots: NULLs, every edge to the microsecond, ties, local midnights, mixed units."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from .drawing import DAY, HOUR, Fields, Frame, T, changes, near
from .reading import MICROSECOND, local_day, midnight

STATUSES = ("paid", "open", "refunded", "paid", "Paid", "")

Times = dict[Any, list[datetime]]


def inside(fields: Fields, frame: Frame) -> datetime:
    """Some hour of the enrolment before as-of, where there is one."""
    stop = max(min(frame.end, frame.as_of), frame.start + DAY)
    hours = int((stop - frame.start) / HOUR)
    return frame.start + (fields.number() * 7 + fields.number()) % hours * HOUR


def nullable(fields: Fields, frame: Frame, value: T, factor: int = 1) -> T | None:
    return None if fields.chance(frame.null_percent * factor) else value


def loaded(fields: Fields, frame: Frame, time: datetime | None) -> datetime | None:
    usual = (time or frame.start) + HOUR
    edges = [frame.as_of - MICROSECOND, frame.as_of, frame.as_of + MICROSECOND, frame.as_of + DAY, None]
    return fields.pick(edges) if fields.chance(20) else usual


def exposure_rows(
    fields: Fields, frame: Frame, unit: Any, keys: Sequence[str], empty: str | None, mixing: int
) -> list[dict[str, Any]]:
    """`mixing` percent of the rows name any arm; with clusters a unit's own arm is its cluster's."""
    used = [key for key in keys if key != empty]
    own = fields.pick(used)
    cluster = None
    if frame.clusters:
        cluster = fields.pick(frame.clusters)
        own = used[frame.clusters.index(cluster) % len(used)]
    rows: list[dict[str, Any]] = []
    previous: datetime | None = None
    for _ in range(fields.pick([1, 1, 2, 1, 3, 2, 1, 0])):
        kind = fields.pick(["inside", "inside", "reference", "inside", "edge", "reference", "repeat", "repeat"])
        if previous is not None and kind in ("repeat", "reference"):
            time = near(fields, previous)
        elif kind == "reference":
            time = near(fields, frame.reference)
        elif kind == "edge":
            time = near(fields, fields.pick(frame.edges))
        else:
            time = inside(fields, frame)
        previous = time
        key: str | None = own
        if mixing and fields.chance(mixing):
            key = fields.pick(used)
        if fields.chance(6):
            key = fields.pick(["Control", "ghost", "", own + " "])
        written = nullable(fields, frame, time)
        row = {
            "user_id": nullable(fields, frame, unit),
            "exposed_at": written,
            "experiment_key": fields.pick(["exp_key"] * 14 + ["other_experiment", None]),
            "variant": nullable(fields, frame, key),
            "platform": nullable(fields, frame, fields.pick(["web", "ios", "android"]), 3),
            "is_bot": nullable(fields, frame, fields.pick([False, False, True]), 3),
            "score": nullable(fields, frame, fields.pick([2, 0, 1, 3]), 3),
            "ingested_at": loaded(fields, frame, written),
        }
        if frame.clusters:
            row["school_id"] = nullable(fields, frame, fields.pick(frame.clusters) if fields.chance(8) else cluster)
        rows.append(row)
    return rows


def event_time(fields: Fields, frame: Frame, anchors: Sequence[datetime], before: Sequence[datetime]) -> datetime:
    """Near an edge of the unit's windows, of the data or of a local day, or of the unit's rows so far."""
    kind = fields.pick(
        [
            "offset",
            "offset",
            "random",
            "offset",
            "edge",
            "after",
            "after",
            "chain",
            "chain",
            "chain",
            "midnight",
            "midnight",
        ]
    )
    anchor = fields.pick(anchors)
    if kind == "edge":
        return near(fields, fields.pick(frame.edges))
    if kind == "midnight":
        day = local_day(fields.pick(before) if before else anchor, frame.timezone)
        odd = changes(frame.timezone, (frame.start - 21 * DAY).date(), (frame.end + 14 * DAY).date())
        if odd and fields.chance(35):
            day = fields.pick(odd)
        moment = midnight(day + fields.pick([1, 0, 1, 0, 7, -1]) * DAY, frame.timezone)
        return moment + fields.pick([0, -1, 0, -1, 1]) * MICROSECOND
    if kind == "chain" and before:
        time = fields.pick(before) + fields.pick(frame.gaps)
        return time if fields.chance(50) else near(fields, time)
    if kind in ("offset", "chain"):
        return near(fields, anchor + fields.pick(frame.offsets))
    if kind == "after":
        return anchor + fields.number() * timedelta(minutes=47)
    return anchor + (fields.number() - 128) * 4 * HOUR


def sixty_fourths(fields: Fields, frame: Frame) -> float:
    """A multiple of 1/64, about the case's offset; often whole, sometimes negative, zero or exactly 10."""
    whole = fields.pick([1, 10, 0, 11, -4, 3, 25, 7, -1, 2])
    fraction = fields.number() / 64 if fields.chance(50) else 0
    return 0.0 if frame.zero else frame.offset + whole + fraction


def event_unit(fields: Fields, frame: Frame) -> Any:
    unit = fields.pick(frame.units) if frame.units else fields.pick(frame.strangers)
    if frame.units and fields.chance(40):  # a few units have many rows, which funnels and ties need
        unit = fields.pick(frame.units[:3])
    if fields.chance(8):
        unit = fields.pick(frame.strangers)
    return nullable(fields, frame, unit)


def place(fields: Fields, frame: Frame, anchors: Times, before: Times) -> tuple[Any, datetime | None]:
    """Whose row it is and when; remembered in `before`."""
    unit = event_unit(fields, frame)
    time = event_time(fields, frame, anchors.get(unit, [frame.start]), before.get(unit, []))
    before.setdefault(unit, []).append(time)
    return unit, nullable(fields, frame, time)


def order_row(fields: Fields, frame: Frame, anchors: Times, before: Times) -> dict[str, Any]:
    unit, time = place(fields, frame, anchors, before)
    product = fields.pick([1, 2, 3, 1]) if frame.integers else fields.pick(["mug", "Mug", "mug ", "hat"])
    return {
        "buyer_id": unit,
        "ordered_at": time,
        "amount": nullable(fields, frame, sixty_fourths(fields, frame), 2),
        "discount": nullable(fields, frame, fields.pick([0.0] if frame.zero else [0.0, 0.5, 1.0, 2.015625, -1.0]), 3),
        "qty": nullable(fields, frame, fields.pick([0] if frame.zero else [1, 0, 2, -1, 100]), 2),
        "status": nullable(fields, frame, fields.pick(STATUSES), 2),
        "product": nullable(fields, frame, product, 2),
        "is_test": nullable(fields, frame, fields.pick([False, False, False, True]), 2),
        "ingested_at": loaded(fields, frame, time),
    }


def session_row(fields: Fields, frame: Frame, anchors: Times, before: Times) -> dict[str, Any]:
    unit, time = place(fields, frame, anchors, before)
    return {
        "user_id": unit,
        "started_at": time,
        "pages": nullable(fields, frame, fields.pick([1, 2, 0, 5, -3]), 2),
        "duration": nullable(fields, frame, fields.pick([0.0] if frame.zero else [1.0, 0.015625, 60.5, 0.0, -2.25]), 2),
        "device": nullable(fields, frame, fields.pick(["ios", "web", "iOS"]), 2),
    }


def user_rows(fields: Fields, frame: Frame, unit: Any, anchors: Times) -> list[dict[str, Any]]:
    """At most one current row; or several that follow each other, overlap, or begin together."""
    count = fields.pick([1, 2, 3, 2, 1, 0]) if frame.is_valid_dated else 0 if fields.chance(20) else 1
    first = anchors.get(unit, [frame.start])[0]
    begin = None
    rows = []
    for _ in range(count):
        row = {
            "id": nullable(fields, frame, unit),
            "age": nullable(fields, frame, fields.pick([30, 29, 31, 0, 64]), 3),
            "score": nullable(fields, frame, fields.pick([1.0, 0.0, -0.5, 99.984375]), 3),
            "tier": nullable(fields, frame, fields.pick(["gold", "basic"]), 3),
            "is_employee": nullable(fields, frame, fields.pick([False, False, True]), 3),
        }
        if frame.is_valid_dated:
            starts = [first - 10 * DAY, None, first, begin, first - 5 * DAY, first - MICROSECOND, first + MICROSECOND]
            ends = [None, first + 10 * DAY, None, first + MICROSECOND, first, None, first - 2 * DAY]
            begin = fields.pick(starts)
            row |= {"valid_from": begin, "valid_to": fields.pick(ends)}
        rows.append(row)
    return rows
