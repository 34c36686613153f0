"""Draws the definitions of a case apart from its metrics: sources, segments, arms, ramps, the experiment's settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .drawing import DAY, HOUR, Fields
from .expressions import (
    EXPOSURE_FILTERS,
    ORDER_FILTERS,
    ORDER_LABELS,
    ORDER_MEASURES,
    SESSION_FILTERS,
    SESSION_LABELS,
    SESSION_MEASURES,
    USER_FILTERS,
)
from .reading import MICROSECOND, midnight, to_local

WINDOWS = (
    "7d",
    "14d",
    "experiment",
    "12h",
    "last 7d",
    "3d",
    "experiment",
    "1d..3d",
    "7d..14d",
    "36h",
    "1w",
    "last 36h",
    "14d",
    "90m",
)
LOOKBACKS = ("14d", "7d", "12h", "1w")
TIMEZONES = (
    "UTC",
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "America/Havana",
    "Asia/Kathmandu",
    "Pacific/Auckland",
)
SOURCE_ZONES = ("America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe")
ARM_NAMES = ("control", "treatment", "variant_b")
ARM_KEYS = (None, ("legacy", "Legacy2", "new"), ("b", "B", "a"), ("2", "10", "1"))
NUMBERS = ("assignments.score", "users.age", "users.score")


@dataclass(frozen=True)
class Design:
    """What the case as a whole uses; clusters and a ramp exclude each other."""

    sessions: bool
    users: bool
    orders_loaded: bool
    exposures_loaded: bool
    dimension_expression: bool
    valid_dated: bool
    trigger: bool
    ramp: bool
    cluster_effect: str | None
    timezone: str
    zones: dict[str, str]  # source -> its own time zone
    offset: float

    @property
    def numbers(self) -> list[str]:
        """Dimensions that may be covariates."""
        return [name for name in NUMBERS if self.users or not name.startswith("users.")]

    @property
    def levels(self) -> list[str]:
        """Dimensions that may be strata or breakdowns."""
        own = ["platform", "is_bot", "assignments.score", "assignments.platform"]
        return own + (["tier", "is_employee", "users.age", "adult"] if self.users else [])

    @property
    def ratios(self) -> bool:
        """Whether metrics that are analysed as ratios are allowed."""
        return self.cluster_effect != "per_cluster"


def draw_design(fields: Fields, offset: float) -> Design:
    sessions, users = fields.chance(65), fields.chance(65)
    structure = fields.pick(["", "", "", "", "ramp", "ramp", "clusters", "clusters", "clusters"])
    effect = fields.pick([None, "per_unit", "per_cluster", "per_cluster"])
    zones = {}
    for source in ("assignments", "orders", "sessions", "users"):
        if fields.chance(12):
            zones[source] = fields.pick(SOURCE_ZONES)
    return Design(
        sessions=sessions,
        users=users,
        orders_loaded=fields.chance(40),
        exposures_loaded=fields.chance(25),
        dimension_expression=fields.chance(20),
        valid_dated=users and fields.chance(55),
        trigger=fields.chance(25),
        ramp=structure == "ramp",
        cluster_effect=(effect or "per_unit") if structure == "clusters" else None,
        timezone=fields.pick(TIMEZONES) if fields.chance(60) else "UTC",
        zones=zones,
        offset=offset,
    )


# --- pieces -----------------------------------------------------------------------------------------------------------
def draw_filter(fields: Fields, menu: dict[str, Any], percent: int) -> Any:
    """None, one condition, or a list of two."""
    if not fields.chance(percent):
        return None
    first = fields.pick(sorted(menu))
    if fields.chance(25):
        return [first, fields.pick(sorted(menu))]
    return first


def with_filter(definition: dict[str, Any], condition: Any) -> dict[str, Any]:
    return definition if condition is None else {**definition, "filter": condition}


def written_instant(fields: Fields, instant: datetime, timezone: str) -> Any:
    """The instant as an author could write it: a date where it's a midnight of the project, else an ISO timestamp."""
    day = to_local(instant, timezone).date()
    if midnight(day, timezone) == instant:
        spelling: Any = fields.pick([day, day.isoformat(), instant.isoformat() + "Z"])
        return spelling
    zoned = (instant + 2 * HOUR).isoformat() + "+02:00"
    return fields.pick([instant.isoformat() + "Z", zoned])


# --- sources and segments ---------------------------------------------------------------------------------------------
def draw_sources(fields: Fields, design: Design) -> dict[str, Any]:
    entities = {"user": "user_id"}
    assignments: dict[str, Any] = {
        "kind": "exposures",
        "table": "exposure_log",
        "timestamp": "exposed_at",
        "entities": {**entities, "school": "school_id"} if design.cluster_effect else entities,
        "experiment": "experiment_key",
        "arm": "variant",
        "dimensions": ["platform", "is_bot", "score"],
    }
    if design.exposures_loaded:
        assignments["loaded_at"] = "ingested_at"
    orders: dict[str, Any] = {
        "table": "fct_orders",
        "timestamp": "ordered_at",
        "entities": {"user": "buyer_id"},
        "measures": {f"m{i}": sql for i, sql in enumerate([*ORDER_MEASURES, *ORDER_LABELS])},
        "dimensions": ["status", "product"],
    }
    if design.dimension_expression:
        orders["dimensions"] = {"status": "status", "settled": "status in ('paid', 'open')"}
    if design.orders_loaded:
        orders["loaded_at"] = "ingested_at"
    sessions: dict[str, Any] = {
        "kind": "events",
        "table": "fct_sessions",
        "timestamp": "started_at",
        "entities": {"user": "user_id"},
        "measures": {f"s{i}": sql for i, sql in enumerate([*SESSION_MEASURES, *SESSION_LABELS])},
        "dimensions": ["device"],
    }
    for source in (orders, sessions):
        settles = fields.pick([None, "2d", "12h", "2d", "0d", "1d"])
        if settles is not None:
            source["settles_after"] = settles
    sources = {
        "assignments": with_filter(assignments, draw_filter(fields, EXPOSURE_FILTERS, 6)),
        "orders": with_filter(orders, draw_filter(fields, ORDER_FILTERS, 20)),
    }
    if design.sessions:
        sources["sessions"] = with_filter(sessions, draw_filter(fields, SESSION_FILTERS, 20))
    if design.users:
        dimensions = {name: name for name in ("age", "score", "tier", "is_employee")}
        sources["users"] = {
            "kind": "attributes",
            "table": "dim_users",
            "entities": {"user": "id"},
            "dimensions": {**dimensions, "adult": "age >= 30"},
        }
        if design.valid_dated:
            sources["users"] |= {"valid_from": "valid_from", "valid_to": "valid_to"}
            if fields.chance(25):
                del sources["users"]["valid_to"]
    for name, source in sources.items():
        if name in design.zones:
            source["timezone"] = design.zones[name]
    return sources


def draw_events(fields: Fields, design: Design, percent: int) -> dict[str, Any]:
    """An events source with, perhaps, a filter: what a trigger, a segment or a funnel's step needs."""
    name = "sessions" if design.sessions and fields.chance(50) else "orders"
    menu = {"orders": ORDER_FILTERS, "sessions": SESSION_FILTERS}[name]
    return with_filter({"source": name}, draw_filter(fields, menu, percent))


def draw_segments(fields: Fields, design: Design) -> dict[str, Any]:
    segments: dict[str, Any] = {}
    if fields.chance(15):
        segments["seen"] = {"source": "assignments", "filter": draw_filter(fields, EXPOSURE_FILTERS, 100)}
    if design.users and fields.chance(24):
        condition = "age is null" if fields.chance(25) else draw_filter(fields, USER_FILTERS, 100)
        segments["known"] = {"source": "users", "filter": condition}
    if fields.chance(12):
        segments["active"] = {**draw_events(fields, design, 100), "lookback": fields.pick(["14d", "7d", "4w", "14d"])}
    return segments


# --- the experiment ---------------------------------------------------------------------------------------------------
def draw_shares(fields: Fields, names: Sequence[str]) -> Sequence[str] | None:
    return fields.pick([("50%", "50%"), ("90%", "10%"), None] if len(names) == 2 else [("1/3",) * 3, None])


def draw_arms(names: Sequence[str], keys: Sequence[str] | None, shares: Sequence[str] | None) -> dict[str, Any]:
    arms: dict[str, Any] = {}
    for i, name in enumerate(names):
        arm: dict[str, Any] = {}
        if shares is not None:
            arm["share"] = shares[i]
        if keys is not None:
            arm["key"] = keys[i]
        arms[name] = arm
    return arms


def draw_ramp(
    fields: Fields, names: Sequence[str], shares: Sequence[str] | None, start: datetime, timezone: str
) -> tuple[list[dict[str, Any]], list[datetime]]:
    """Two or three steps, the first at the experiment's start or before, the last with the arms' own shares."""
    last = shares or {2: ("50%", "50%"), 3: ("1/3", "1/3", "1/3")}[len(names)]
    first = {2: ("95%", "5%"), 3: ("80%", "10%", "10%")}[len(names)]
    begins = [start - fields.pick([0, 1]) * DAY]
    for _ in range(fields.pick([1, 2, 2])):
        begins.append(max(begins[-1], start) + fields.pick([2 * DAY, 4 * DAY, 30 * HOUR, DAY + MICROSECOND]))
    steps = []
    for i, begin in enumerate(begins):
        given = last if i == len(begins) - 1 else first
        steps.append(
            {
                "from": written_instant(fields, begin, timezone),
                "shares": dict(zip(names, given, strict=True)),
            }
        )
    return steps, begins


def draw_exposure(fields: Fields, design: Design, name: str) -> dict[str, Any]:
    exposure: dict[str, Any] = {"source": "assignments", "key": "exp_key"}
    if name == "exp_key":
        del exposure["key"]
    exposure = with_filter(exposure, draw_filter(fields, EXPOSURE_FILTERS, 12))
    if design.trigger:
        exposure["trigger"] = draw_events(fields, design, 50)
    if design.ramp:
        exposure |= fields.pick([{"mixed": "first_arm"}, {"assignment": "sticky"}, {"mixed": "first_arm"}])
    elif fields.chance(30):
        exposure["mixed"] = fields.pick(["first_arm", "exclude"])
    return exposure


def draw_dimensions(fields: Fields, design: Design, percent: int) -> list[str]:
    if not fields.chance(percent):
        return []
    return list(dict.fromkeys(fields.pick(design.levels) for _ in range(fields.pick([1, 2, 2]))))
