"""Hypothesis strategies for small but nasty cases: NULLs everywhere, rows exactly on every edge, ties, mixed units.

Every choice is read off strings of bytes by `Fields`: one string for the definitions' frame, one per metric and one
per row or unit. That keeps generation at a few milliseconds, lets hypothesis push each choice to its first, simplest
option, and gives `random_case(seed)` the same cases without hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from random import Random
from typing import Any, TypeVar

from hypothesis import strategies as st

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
from .oracle import Case, Oracle, Table, parse_duration, parse_window

T = TypeVar("T")

MICROSECOND = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

WINDOWS = ("7d", "14d", "experiment", "12h", "3d", "experiment", "1d..3d", "7d..14d", "36h", "1w", "14d", "90m")
LOOKBACKS = ("14d", "7d", "12h", "1w")
ARM_NAMES = ("control", "treatment", "variant_b")
ARM_KEYS = (None, ("legacy", "Legacy2", "new"), ("b", "B", "a"), ("2", "10", "1"))
STATUSES = ("paid", "open", "refunded", "Paid", "")
OFFSET = 1e9

# Labels that the options of a case are made of; the self-test checks that each one occurs.
OPTIONS = (
    "nulls",
    "ties",
    "tied_attributes",
    "edge",
    "mixed",
    "mixed_first_tie",
    "empty_arm",
    "no_exposures",
    "no_units",
    "negative",
    "offset_1e9",
    "cap",
    "cap_lower",
    "covariate",
    "covariate_off",
    "covariate_override",
    "extra_metric",
    "extra_attribute",
    "lookback_0d",
    "immature",
    "immature_include",
    "immature_override",
    "ratio",
    "ratio_window",
    "ratio_inline",
    "ratio_named",
    "ratio_proportion",
    "ratio_capped",
    "population_exposure",
    "population_attribute",
    "exposure_filter",
    "source_filter",
    "metric_filter",
    "filter_list",
    "loaded_at",
    "not_loaded",
    "settles_after",
    "unknown_arm",
    "null_unit",
    "null_time",
    "outside_dates",
    "after_as_of",
    "unknown_unit",
    "unit_without_events",
    "integer_units",
    "text_units",
    "nasty_units",
    "other_experiment",
    "as_of_before_end",
    "as_of_at_end",
    "as_of_after_end",
    "min_max",
    "count_distinct",
    "three_arms",
    "arm_key",
    "repeated",
    "two_sources",
    "sets",
    "dimension_expression",
    "iso_dates",
    "missing_attribute",
    "mixed_windows",
    "outside_population",
    "ambiguous:segment_without_row",
    "ambiguous:extra_is_part",
    "ambiguous:ratio_part_immature",
    "ambiguous:ratio_part_covariates",
    "ambiguous:ratio_maturity",
    "ambiguous:not_loaded_exposure",
)


class Fields:
    """Reads choices off a string of bytes, one byte each; past its end every choice is the first option."""

    def __init__(self, data: bytes) -> None:
        self.data = iter(data)

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
    null_percent: int
    offset: float
    units: tuple[Any, ...]
    strangers: tuple[Any, ...]  # ids never exposed


# --- definitions ------------------------------------------------------------------------------------------------------
def draw_filter(fields: Fields, menu: dict[str, Any], percent: int) -> Any:
    """None, one condition, or a list of two."""
    if not fields.chance(percent):
        return None
    first = fields.pick(sorted(menu))
    if fields.chance(25):
        return [first, fields.pick(sorted(menu))]
    return first


def draw_count(fields: Fields, most: int) -> int:
    """Up to `most`, more often many than few."""
    return max(fields.upto(most), fields.upto(most), fields.upto(most))


def with_filter(definition: dict[str, Any], condition: Any) -> dict[str, Any]:
    return definition if condition is None else {**definition, "filter": condition}


def draw_sources(fields: Fields, flags: dict[str, bool]) -> dict[str, Any]:
    assignments: dict[str, Any] = {
        "kind": "exposures",
        "table": "exposure_log",
        "timestamp": "exposed_at",
        "entities": {"user": "user_id"},
        "experiment": "experiment_key",
        "arm": "variant",
        "dimensions": ["platform", "is_bot", "score"],
    }
    if flags["exposures_loaded"]:
        assignments["loaded_at"] = "ingested_at"
    orders: dict[str, Any] = {
        "table": "fct_orders",
        "timestamp": "ordered_at",
        "entities": {"user": "buyer_id"},
        "measures": {f"m{i}": sql for i, sql in enumerate([*ORDER_MEASURES, *ORDER_LABELS])},
        "dimensions": ["status", "product"],
    }
    if flags["dimension_expression"]:
        orders["dimensions"] = {"status": "status", "settled": "status in ('paid', 'open')"}
    if flags["orders_loaded"]:
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
        settles = fields.pick([None, "2d", "12h", "0d"])
        if settles is not None:
            source["settles_after"] = settles
    sources = {
        "assignments": with_filter(assignments, draw_filter(fields, EXPOSURE_FILTERS, 8)),
        "orders": with_filter(orders, draw_filter(fields, ORDER_FILTERS, 20)),
    }
    if flags["sessions"]:
        sources["sessions"] = with_filter(sessions, draw_filter(fields, SESSION_FILTERS, 20))
    if flags["users"]:
        sources["users"] = {
            "kind": "attributes",
            "table": "dim_users",
            "entities": {"user": "id"},
            "dimensions": ["age", "score", "tier", "is_employee"],
        }
    return sources


def draw_basis(
    fields: Fields, sources: dict[str, Any], flags: dict[str, bool], aggs: Sequence[str], sessions_percent: int = 40
) -> dict[str, Any]:
    """source, agg, measure and filter of a mean metric or of the inline side of a ratio."""
    source = "sessions" if flags["sessions"] and fields.chance(sessions_percent) else "orders"
    numbers, labels, filters = {
        "orders": (ORDER_MEASURES, ORDER_LABELS, ORDER_FILTERS),
        "sessions": (SESSION_MEASURES, SESSION_LABELS, SESSION_FILTERS),
    }[source]
    agg = fields.pick(aggs)
    basis: dict[str, Any] = {"source": source, "agg": agg}
    if agg != "count":
        menu = labels if agg == "count_distinct" else numbers
        sql = fields.pick(list(menu))
        measures: dict[str, str] = sources[source]["measures"]
        basis["measure"] = next(name for name, text in measures.items() if text == sql)
    condition = draw_filter(fields, filters, 40)
    if source == "orders" and flags["dimension_expression"] and fields.chance(30):
        condition = "settled"
    return with_filter(basis, condition)


def draw_cap(fields: Fields, offset: float) -> dict[str, float]:
    base = offset if offset and fields.chance(80) else 0
    lower = base + fields.pick([-3, 0, 0.5, 2, -10.25])
    upper = lower + fields.pick([1, 10, 5.015625, 0.25, 30])
    return fields.pick([{"upper": upper}, {"lower": lower}, {"lower": lower, "upper": upper}])


def draw_covariates(fields: Fields, flags: dict[str, bool], plain: list[str]) -> Any:
    """`off` or a setting; metrics as extras only with a lookback to compute them over."""
    if fields.chance(15):
        return "off"
    lookback = fields.pick(LOOKBACKS)
    pool = list(plain)
    if fields.chance(15):
        lookback, pool = "0d", []
    if flags["users"]:
        pool += ["users.age", "users.score"]
    setting: dict[str, Any] = {"lookback": lookback}
    if pool and fields.chance(60):
        setting["extra"] = list(dict.fromkeys([fields.pick(pool), fields.pick(pool)]))
    return setting


def draw_metrics(
    block: Callable[[int], Fields], count: int, sources: dict[str, Any], flags: dict[str, bool], offset: float
) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    for i in range(count):
        fields = block(48)
        name = f"metric_{i}"
        kinds = ["mean", "mean", "proportion", "ratio"] if i else ["mean", "proportion"]
        kind = fields.pick(kinds)
        metric: dict[str, Any] = {"type": kind}
        if kind == "ratio":
            parts = [
                other
                for other, m in metrics.items()
                if m["type"] == "proportion" or m.get("agg") in ("sum", "count", "count_distinct")
            ]
            aggs = ["sum", "count", "count_distinct"]
            metric["numerator"] = fields.pick(parts) if parts and fields.chance(65) else None
            above = metrics.get(metric["numerator"]) or draw_basis(fields, sources, flags, aggs)
            metric["numerator"] = metric["numerator"] or above
            if parts and fields.chance(45):
                metric["denominator"] = fields.pick(parts)
            else:  # mostly of the other source
                sessions_percent = 85 if above["source"] == "orders" else 15
                metric["denominator"] = draw_basis(fields, sources, flags, aggs, sessions_percent)
            if fields.chance(30):
                metric["window"] = fields.pick(WINDOWS)
        else:
            aggs = ["sum", "sum", "count", "count_distinct", "min", "max"]
            basis = draw_basis(fields, sources, flags, aggs)
            if kind == "proportion":
                basis.pop("agg")
                basis.pop("measure", None)
            metric |= basis
            if metric.get("agg") in ("min", "max"):
                metric["missing"] = "zero"
            if fields.chance(70):
                metric["window"] = fields.pick(WINDOWS)
            if kind == "mean" and fields.chance(35):
                metric["cap"] = draw_cap(fields, offset if metric["agg"] in ("sum", "min", "max") else 0)
        if fields.chance(20):
            metric["immature"] = fields.pick(["include", "exclude"])
        if fields.chance(25):
            plain = [other for other, m in metrics.items() if m["type"] != "ratio"]
            metric["covariates"] = draw_covariates(fields, flags, plain)
        metric["direction"] = fields.pick(["increase", "decrease"])
        metrics[name] = metric
    return metrics


def draw_roles(fields: Fields, metrics: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The experiment's `metrics` and the metric sets it names."""
    roles: dict[str, dict[str, Any]] = {"primary": {"metric_0": {"mde": "2%"}}, "secondary": {}, "guardrail": {}}
    for name in list(metrics)[1:]:
        role = fields.pick(["secondary", "guardrail", "primary", "secondary", ""])
        if role == "primary":
            roles[role][name] = {"mde": "5%"}
        elif role == "guardrail":
            roles[role][name] = {"margin": "2%"}
        elif role:
            roles[role][name] = None
    listed: dict[str, Any] = {role: members for role, members in roles.items() if members}
    sets: dict[str, Any] = {}
    if "guardrail" in listed and fields.chance(25):
        sets = {"house_rules": {"guardrail": listed.pop("guardrail")}}
        listed["sets"] = ["house_rules"]
    return listed, sets


def draw_arms(fields: Fields, names: Sequence[str], keys: Sequence[str] | None) -> dict[str, Any]:
    shares: Sequence[str] | None = fields.pick(
        [("50%", "50%"), ("90%", "10%"), None] if len(names) == 2 else [("1/3",) * 3, None]
    )
    arms: dict[str, Any] = {}
    for i, name in enumerate(names):
        arm: dict[str, Any] = {}
        if shares is not None:
            arm["share"] = shares[i]
        if keys is not None:
            arm["key"] = keys[i]
        arms[name] = arm
    return arms


def written_instant(fields: Fields, instant: datetime) -> Any:
    """The instant as an author could write it: a date where it's a midnight, else an ISO timestamp."""
    if instant.time() == datetime.min.time():
        spelling: Any = fields.pick([instant.date(), instant.date().isoformat(), instant.isoformat() + "Z"])
        return spelling
    zoned = (instant + 2 * HOUR).isoformat() + "+02:00"
    return fields.pick([instant.isoformat() + "Z", zoned])


# --- rows -------------------------------------------------------------------------------------------------------------
def near(fields: Fields, instant: datetime) -> datetime:
    """The instant itself most of the time, else a microsecond to either side."""
    return instant + fields.pick([0, 0, -1, 1]) * MICROSECOND


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
    fields: Fields, frame: Frame, unit: Any, keys: Sequence[str], empty: str | None, mixing: bool
) -> list[dict[str, Any]]:
    used = [key for key in keys if key != empty]
    own = fields.pick(used)
    rows: list[dict[str, Any]] = []
    previous: datetime | None = None
    for _ in range(fields.pick([1, 1, 2, 1, 3, 2, 1, 0])):
        kind = fields.pick(["inside", "inside", "reference", "inside", "edge", "reference", "repeat", "repeat"])
        if previous is not None and kind in ("repeat", "reference"):
            time = near(fields, previous)
        elif kind == "reference":
            time = near(fields, frame.reference)
        elif kind == "edge":
            time = near(fields, fields.pick([frame.start, frame.end, frame.as_of]))
        else:
            time = inside(fields, frame)
        previous = time
        key: str | None = own
        if mixing and fields.chance(45):
            key = fields.pick(used)
        if fields.chance(6):
            key = fields.pick(["Control", "ghost", "", own + " "])
        written = nullable(fields, frame, time)
        rows.append(
            {
                "user_id": nullable(fields, frame, unit),
                "exposed_at": written,
                "experiment_key": fields.pick(["exp_key"] * 14 + ["other_experiment", None]),
                "variant": nullable(fields, frame, key),
                "platform": nullable(fields, frame, fields.pick(["web", "ios", "android"]), 3),
                "is_bot": nullable(fields, frame, fields.pick([False, False, True]), 3),
                "score": nullable(fields, frame, fields.pick([2, 0, 1, 3]), 3),
                "ingested_at": loaded(fields, frame, written),
            }
        )
    return rows


def event_time(fields: Fields, frame: Frame, anchors: Sequence[datetime]) -> datetime:
    kind = fields.pick(["offset", "offset", "random", "offset", "edge", "edge", "after", "after"])
    anchor = fields.pick(anchors)
    if kind == "edge":
        return near(fields, fields.pick([frame.as_of, frame.as_of, frame.end, frame.start]))
    if kind == "offset":
        return near(fields, anchor + fields.pick(frame.offsets))
    if kind == "after":
        return anchor + fields.number() * timedelta(minutes=47)
    return anchor + (fields.number() - 128) * 4 * HOUR


def sixty_fourths(fields: Fields, frame: Frame) -> float:
    """A multiple of 1/64, about the case's offset; often whole, sometimes negative, zero or exactly 10."""
    whole = fields.pick([1, 10, 0, 11, -4, 3, 25, 7, -1, 2])
    return frame.offset + whole + (fields.number() / 64 if fields.chance(50) else 0)


def event_unit(fields: Fields, frame: Frame) -> Any:
    unit = fields.pick(frame.units) if frame.units else fields.pick(frame.strangers)
    if fields.chance(8):
        unit = fields.pick(frame.strangers)
    return nullable(fields, frame, unit)


def order_row(fields: Fields, frame: Frame, anchors: dict[Any, list[datetime]], integers: bool) -> dict[str, Any]:
    unit = event_unit(fields, frame)
    time = nullable(fields, frame, event_time(fields, frame, anchors.get(unit, [frame.start])))
    product = fields.pick([1, 2, 3, 1]) if integers else fields.pick(["mug", "Mug", "mug ", "hat"])
    return {
        "buyer_id": unit,
        "ordered_at": time,
        "amount": nullable(fields, frame, sixty_fourths(fields, frame), 2),
        "discount": nullable(fields, frame, fields.pick([0.0, 0.5, 1.0, 2.015625, -1.0]), 3),
        "qty": nullable(fields, frame, fields.pick([1, 0, 2, -1, 100]), 2),
        "status": nullable(fields, frame, fields.pick(STATUSES), 2),
        "product": nullable(fields, frame, product, 2),
        "is_test": nullable(fields, frame, fields.pick([False, False, False, True]), 2),
        "ingested_at": loaded(fields, frame, time),
    }


def session_row(fields: Fields, frame: Frame, anchors: dict[Any, list[datetime]]) -> dict[str, Any]:
    unit = event_unit(fields, frame)
    time = nullable(fields, frame, event_time(fields, frame, anchors.get(unit, [frame.start])))
    return {
        "user_id": unit,
        "started_at": time,
        "pages": nullable(fields, frame, fields.pick([1, 2, 0, 5, -3]), 2),
        "duration": nullable(fields, frame, fields.pick([1.0, 0.015625, 60.5, 0.0, -2.25]), 2),
        "device": nullable(fields, frame, fields.pick(["ios", "web", "iOS"]), 2),
    }


def user_row(fields: Fields, frame: Frame, unit: Any) -> dict[str, Any] | None:
    if fields.chance(20):
        return None
    return {
        "id": nullable(fields, frame, unit),
        "age": nullable(fields, frame, fields.pick([30, 29, 31, 0, 64]), 3),
        "score": nullable(fields, frame, fields.pick([1.0, 0.0, -0.5, 99.984375]), 3),
        "tier": nullable(fields, frame, fields.pick(["gold", "basic"]), 3),
        "is_employee": nullable(fields, frame, fields.pick([False, False, True]), 3),
    }


# --- a case -----------------------------------------------------------------------------------------------------------
def draw_units(fields: Fields, integers: bool, nasty: bool, count: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    if integers:
        start: list[Any] = [0, -1, 2**53, 2**53 + 1, -(2**40)] if nasty else []
        names = start + list(range(1, 40))
        return tuple(names[:count]), (1000, 1001)
    start = ["u1", "U1", "u1 ", "", "null", "é", "it's"] if nasty else []
    names = start + [f"u{i}" for i in range(10, 40)]
    return tuple(names[:count]), ("stranger", "u")


def build_case(block: Callable[[int], Fields]) -> Case:
    """One whole project with its data; `block(n)` gives n bytes to choose by. Always in the first release's scope."""
    fields = block(256)
    flags = {
        "sessions": fields.chance(65),
        "users": fields.chance(60),
        "orders_loaded": fields.chance(40),
        "exposures_loaded": fields.chance(25),
        "dimension_expression": fields.chance(20),
    }
    null_percent = fields.pick([4, 2, 0, 10])
    offset = OFFSET if fields.chance(20) else 0.0
    integers = fields.pick([False, True])
    nasty = fields.chance(30)
    three_arms = fields.chance(35)
    mixing = fields.chance(60)

    sources = draw_sources(fields, flags)
    metrics = draw_metrics(block, fields.pick([3, 4, 5, 6]), sources, flags, offset)
    listed, sets = draw_roles(fields, metrics)
    plain = [name for name, metric in metrics.items() if metric["type"] != "ratio"]

    defaults: dict[str, Any] = {"unit": "user"}
    if fields.chance(50):
        defaults["timezone"] = "UTC"
    if fields.chance(50):
        defaults["window"] = fields.pick(WINDOWS)
    if fields.chance(40):
        defaults["immature"] = fields.pick(["include", "exclude"])
    if fields.chance(40):
        defaults["covariates"] = draw_covariates(fields, {"users": False}, [])

    segments: dict[str, Any] = {}
    if fields.chance(35):
        segments["seen"] = {"source": "assignments", "filter": draw_filter(fields, EXPOSURE_FILTERS, 100)}
    if flags["users"] and fields.chance(40):
        condition = "age is null" if fields.chance(20) else draw_filter(fields, USER_FILTERS, 100)
        segments["known"] = {"source": "users", "filter": condition}

    names = ARM_NAMES if three_arms else ARM_NAMES[:2]
    keys = fields.pick(ARM_KEYS)
    arms = draw_arms(fields, names, keys)
    arm_keys = list(names) if keys is None else list(keys[: len(names)])
    start = datetime(2026, 3, 1)
    if fields.chance(30):
        start += fields.pick([9 * HOUR, 90061 * timedelta(seconds=1), MICROSECOND])
    end = start + fields.pick([14, 28, 21]) * DAY
    exposure: dict[str, Any] = {"source": "assignments", "key": "exp_key"}
    name = "checkout"
    if fields.chance(20):
        name = "exp_key"
        del exposure["key"]
    exposure = with_filter(exposure, draw_filter(fields, EXPOSURE_FILTERS, 20))
    experiment: dict[str, Any] = {
        "owners": ["growth"],
        "status": "running",
        "hypothesis": "It changes something.",
        "exposure": exposure,
        "arms": arms,
        "baseline": fields.pick(names),
        "start": written_instant(fields, start),
        "end": written_instant(fields, end),
        "metrics": listed,
    }
    if fields.chance(30):
        experiment["unit"] = "user"
    if segments:
        experiment["population"] = list(segments)
    if fields.chance(50):
        experiment["analysis"] = {"covariates": draw_covariates(fields, flags, plain)}

    definitions: dict[str, dict[str, Any]] = {
        "project.yml": {
            "version": 1,
            "name": "shop",
            "entities": ["user"],
            "defaults": defaults,
            "profiles": {"local": {"type": "duckdb", "path": "warehouse.duckdb"}},
        },
        "sources.yml": {"sources": sources, **({"segments": segments} if segments else {})},
        "metrics.yml": {"metrics": metrics, **({"metric_sets": sets} if sets else {})},
        "experiment.yml": {"experiments": {name: experiment}},
    }

    # where rows may be nasty: every window bound and lookback in use
    durations = [timedelta(0)]
    maturities = [timedelta(0)]
    for metric in metrics.values():
        window = parse_window(metric.get("window") or defaults.get("window") or "experiment")
        durations.append(window.begin)
        if window.end is not None:
            durations.append(window.end)
            settles = [parse_duration(source.get("settles_after", "0d")) for source in sources.values()]
            maturities += [window.end + settle for settle in settles]
    for holder in (*metrics.values(), experiment.get("analysis", {}), defaults):
        setting = holder.get("covariates")
        if isinstance(setting, dict):
            durations.append(-parse_duration(setting["lookback"]))

    reference = start + fields.upto(10 * 24) * HOUR
    late = [end + 20 * DAY, end + 30 * DAY]
    around_end = [end, end + 3 * DAY, end - DAY]
    early = [start + 12 * DAY, start + 9 * DAY, start + 6 * DAY, start + 14 * DAY, start + 3 * DAY, start, start - DAY]
    maturity = [reference + duration for duration in maturities[1:]] or late
    as_of = fields.pick(fields.pick([late, late, late, around_end, maturity, maturity, early, early]))
    as_of += fields.pick([0, 0, 0, 0, 1, -1]) * MICROSECOND

    count = 0 if fields.chance(5) else draw_count(fields, 25)
    units, strangers = draw_units(fields, integers, nasty, count)
    offsets = tuple(dict.fromkeys(durations))
    frame = Frame(start, end, as_of, reference, offsets, null_percent, offset, units, strangers)
    empty = fields.pick([None, None, None, None, None, None, arm_keys[0], arm_keys[-1]])

    exposures: list[dict[str, Any]] = []
    if not fields.chance(4):
        for unit in units:
            exposures += exposure_rows(block(64), frame, unit, arm_keys, empty, mixing)
    anchors: dict[Any, list[datetime]] = {}
    for row in exposures:
        if row["user_id"] is not None and row["exposed_at"] is not None:
            anchors.setdefault(row["user_id"], []).append(row["exposed_at"])
    anchors = {unit: [min(times), min(times), *times] for unit, times in anchors.items()}

    n_orders = draw_count(fields, 60)
    n_sessions = draw_count(fields, 30) if flags["sessions"] else 0
    orders = [order_row(block(32), frame, anchors, integers) for _ in range(n_orders)]
    sessions = [session_row(block(32), frame, anchors) for _ in range(n_sessions)]
    users = []
    if flags["users"]:
        people = [user_row(block(16), frame, unit) for unit in units]
        users = [person for person in people if person is not None]

    id_type = "integer" if integers else "text"
    tables = {
        "exposure_log": Table(
            {
                "user_id": id_type,
                "exposed_at": "timestamp",
                "experiment_key": "text",
                "variant": "text",
                "platform": "text",
                "is_bot": "boolean",
                "score": "integer",
                "ingested_at": "timestamp",
            },
            exposures,
        ),
        "fct_orders": Table(
            {
                "buyer_id": id_type,
                "ordered_at": "timestamp",
                "amount": "double",
                "discount": "double",
                "qty": "integer",
                "status": "text",
                "product": id_type,
                "is_test": "boolean",
                "ingested_at": "timestamp",
            },
            orders,
        ),
    }
    if flags["sessions"]:
        columns = {
            "user_id": id_type,
            "started_at": "timestamp",
            "pages": "integer",
            "duration": "double",
            "device": "text",
        }
        tables["fct_sessions"] = Table(columns, sessions)
    if flags["users"]:
        columns = {"id": id_type, "age": "integer", "score": "double", "tier": "text", "is_employee": "boolean"}
        tables["dim_users"] = Table(columns, users)

    case = Case(definitions, name, tables, as_of)
    return replace(case, options=frozenset(describe(case, frame, nasty, integers)))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Whole cases for hypothesis, which shrinks them byte by byte."""
    return build_case(lambda size: Fields(draw(st.binary(min_size=size, max_size=size))))


def random_case(seed: int) -> Case:
    """The same distribution without hypothesis: independent cases, the same for a seed on every machine."""
    generator = Random(seed)
    return build_case(lambda size: Fields(generator.randbytes(size)))


# --- labels -----------------------------------------------------------------------------------------------------------
def describe(case: Case, frame: Frame, nasty: bool, integers: bool) -> set[str]:
    """What the case really exercises, from its definitions and data rather than from what was aimed at."""
    oracle = Oracle(case)
    units, excluded = oracle.exposed_units()
    analysed = oracle.analysed_metrics()
    defaults, experiment = oracle.defaults, oracle.experiment
    log = case.tables["exposure_log"].rows
    found: dict[str, bool] = {}

    # data
    everything = [row for table in case.tables.values() for row in table.rows]
    found["nulls"] = any(value is None for row in everything for value in row.values())
    found["negative"] = any(
        isinstance(value, int | float) and value < 0
        for name in ("fct_orders", "fct_sessions")
        for row in (case.tables[name].rows if name in case.tables else [])
        for column, value in row.items()
        if column not in ("buyer_id", "user_id", "product")
    )
    found["offset_1e9"] = any((row["amount"] or 0) > 1e8 for row in case.tables["fct_orders"].rows)
    found["integer_units" if integers else "text_units"] = bool(units)
    found["nasty_units"] = nasty and bool(units)
    first_rows: dict[Any, list[dict[str, Any]]] = {}
    repeated: dict[Any, int] = {}
    for row in log:
        record = units.get(row["user_id"])
        if record is not None and row["experiment_key"] == "exp_key" and row["variant"] in oracle.arm_of_key:
            repeated[record.unit] = repeated.get(record.unit, 0) + 1
            if row["exposed_at"] == record.first_exposure:
                first_rows.setdefault(record.unit, []).append(row)
    found["repeated"] = any(times > 1 for times in repeated.values())
    found["ties"] = any(len(rows) > 1 for rows in first_rows.values())
    found["mixed_first_tie"] = any(len({row["variant"] for row in rows}) > 1 for rows in first_rows.values())
    found["tied_attributes"] = any(
        len({row[column] for row in rows}) > 1
        for rows in first_rows.values()
        for column in ("platform", "is_bot", "score")
    ) and any(segment["source"] == "assignments" for segment in oracle.segments.values())
    found["mixed"] = any(record.mixed for record in units.values())
    found["no_units"] = not frame.units
    found["no_exposures"] = not units
    found["empty_arm"] = bool(units) and len({record.arm for record in units.values()}) < len(oracle.arms)
    found["other_experiment"] = any(row["experiment_key"] == "other_experiment" for row in log)
    found["not_loaded"] = found["ambiguous:not_loaded_exposure"] = excluded["not_loaded"] > 0
    for reason in ("unknown_arm", "null_unit", "null_time", "after_as_of", "outside_population"):
        found[reason] = excluded[reason] > 0
    found["outside_dates"] = excluded["before_start"] + excluded["on_or_after_end"] > 0
    event_sources = {
        name: source for name, source in oracle.sources.items() if source.get("kind", "events") == "events"
    }
    counted = {name: oracle.events(name) for name in event_sources}
    found["unknown_unit"] = bool(units) and any(unit not in units for rows in counted.values() for unit in rows)
    found["unit_without_events"] = any(all(unit not in rows for rows in counted.values()) for unit in units)
    bounds = set(frame.offsets)
    found["edge"] = any(
        time - units[unit].first_exposure in bounds
        for rows in counted.values()
        for unit, events in rows.items()
        if unit in units
        for time, _ in events
    ) or any(row["exposed_at"] in (oracle.start, oracle.end, oracle.as_of) for row in log)
    found["not_loaded"] |= any(
        row["ingested_at"] is None or row["ingested_at"] >= case.as_of > row["ordered_at"]
        for row in case.tables["fct_orders"].rows
        if "loaded_at" in oracle.sources["orders"] and row["ordered_at"] is not None
    )

    # dates
    relation = "before" if case.as_of < frame.end else "at" if case.as_of == frame.end else "after"
    found[f"as_of_{relation}_end"] = True
    found["iso_dates"] = any(
        not isinstance(experiment[bound], date) and "T" in experiment[bound] for bound in ("start", "end")
    )

    # definitions
    found["three_arms"] = len(oracle.arms) == 3
    found["arm_key"] = any("key" in (arm or {}) for arm in experiment["arms"].values())
    found["exposure_filter"] = "filter" in experiment["exposure"]
    found["population_exposure"] = "seen" in oracle.segments
    found["population_attribute"] = "known" in oracle.segments
    found["loaded_at"] = any("loaded_at" in source for source in oracle.sources.values())
    found["source_filter"] = any("filter" in source for source in oracle.sources.values())
    found["sets"] = "sets" in experiment["metrics"]
    if "known" in oracle.segments and any("age is null" in str(s["filter"]) for s in oracle.segments.values()):
        found["ambiguous:segment_without_row"] = any(unit not in oracle.attributes("users") for unit in units)

    used_sources: set[str] = set()
    windows: set[Any] = set()
    for name in analysed:
        metric = oracle.metrics[name]
        parts = oracle.parts(metric)
        sides = [metric[side] for side in ("numerator", "denominator") if side in metric]
        named = [oracle.metrics[side] for side in sides if isinstance(side, str)]
        found_here = {
            "ratio": bool(sides),
            "ratio_window": bool(sides) and "window" in metric,
            "ratio_named": bool(named),
            "ratio_inline": len(named) < len(sides),
            "ratio_proportion": any(side["type"] == "proportion" for side in named),
            "ratio_capped": any("cap" in side for side in named),
            "cap": "cap" in metric,
            "cap_lower": "lower" in (metric.get("cap") or {}),
            "metric_filter": "filter" in metric,
            "filter_list": any(len(part.filters) > 1 for part in parts.values()),
            "min_max": metric.get("agg") in ("min", "max"),
            "count_distinct": metric.get("agg") == "count_distinct",
            "settles_after": any(
                part.window.end is not None
                and parse_duration(oracle.sources[part.source].get("settles_after", "0d")) > timedelta(0)
                for part in parts.values()
            ),
            "immature": any(not oracle.is_eligible(metric, parts, record.first_exposure) for record in units.values()),
            "immature_include": (metric.get("immature") or defaults.get("immature")) == "include"
            and any(part.window.end is not None for part in parts.values()),
            "immature_override": {metric.get("immature"), defaults.get("immature")} == {"include", "exclude"},
            "dimension_expression": any("settled" in part.filters for part in parts.values()),
        }
        effective = metric.get("immature") or defaults.get("immature") or "exclude"
        found_here["ambiguous:ratio_part_immature"] = any(
            (side.get("immature") or defaults.get("immature") or "exclude") != effective for side in named
        )
        found_here["ambiguous:ratio_part_covariates"] = any(
            "covariates" in side and side["covariates"] != metric.get("covariates") for side in named
        )
        if len({part.window.end for part in parts.values()}) > 1:
            waits = {
                (part.window.end, oracle.sources[part.source].get("settles_after", "0d")) for part in parts.values()
            }
            found_here["ambiguous:ratio_maturity"] = len({settle for _, settle in waits}) > 1
        covariates = oracle.covariates(metric)
        holders = [holder.get("covariates") for holder in (metric, experiment.get("analysis") or {}, defaults)]
        stated = [setting for setting in holders if setting is not None]
        found_here["covariate_override"] = len({str(setting) for setting in stated}) > 1
        found_here["covariate_off"] = "off" in stated
        if covariates is not None:
            extras = [extra for extra in covariates.extra if extra != name]
            attributes = [extra for extra in extras if "." in extra]
            found_here |= {
                "covariate": True,
                "lookback_0d": covariates.lookback == timedelta(0),
                "extra_metric": any("." not in extra for extra in extras),
                "extra_attribute": bool(attributes),
                "missing_attribute": any(
                    oracle.dimension(extra, record) is None for extra in attributes for record in units.values()
                ),
                "ambiguous:extra_is_part": name in covariates.extra or any(str(side) in extras for side in sides),
            }
        for label, holds in found_here.items():
            found[label] = found.get(label, False) or holds
        used_sources |= {part.source for part in parts.values()}
        windows |= {part.window for part in parts.values()}
    found["two_sources"] = len(used_sources) > 1
    found["mixed_windows"] = len(windows) > 1
    return {label for label, holds in found.items() if holds}
