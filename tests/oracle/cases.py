"""Hypothesis strategies for small but nasty cases: NULLs everywhere, rows exactly on every edge, ties, mixed units.

Every choice is read off strings of bytes by `Fields`: one string for the definitions' frame, one per metric and one
per row or unit. That keeps generation at a few milliseconds, lets hypothesis push each choice to its first, simplest
option, and gives `random_case(seed)` the same cases without hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from hypothesis import strategies as st

from .drawing import DAY, HOUR, Fields, Frame, localised
from .labels import OPTIONS, describe
from .metrics import draw_covariates, draw_metrics, draw_roles, is_plain
from .projects import (
    ARM_KEYS,
    ARM_NAMES,
    Design,
    draw_arms,
    draw_design,
    draw_dimensions,
    draw_exposure,
    draw_ramp,
    draw_segments,
    draw_shares,
    draw_sources,
    written_instant,
)
from .reading import MICROSECOND, Case, Table, midnight, parse_duration, parse_window
from .rows import Times, exposure_rows, order_row, session_row, user_rows

__all__ = ["OPTIONS", "cases", "random_case"]

OFFSET = 1e9
START = datetime(2026, 3, 1).date()

Block = Callable[[int], Fields]


def draw_count(fields: Fields, most: int) -> int:
    """Up to `most`, more often many than few."""
    return max(fields.upto(most), fields.upto(most), fields.upto(most))


def draw_units(fields: Fields, integers: bool, nasty: bool, count: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    if integers:
        start: list[Any] = [0, -1, 2**53, 2**53 + 1, -(2**40)] if nasty else []
        names = start + list(range(1, 40))
        return tuple(names[:count]), (1000, 1001)
    start = ["u1", "U1", "u1 ", "", "null", "é", "it's"] if nasty else []
    names = start + [f"u{i}" for i in range(10, 50)]
    return tuple(names[:count]), ("stranger", "u")


def lengths(metrics: dict[str, Any], holders: list[dict[str, Any]], default: str) -> tuple[timedelta, ...]:
    """Every window bound and lookback in use, relative to first exposure."""
    found = [timedelta(0)]
    for metric in metrics.values():
        window = parse_window(metric.get("window") or default)
        found += [window.begin, window.end or timedelta(0)]
    for holder in (*metrics.values(), *holders):
        if isinstance(holder.get("covariates"), dict):
            found.append(-parse_duration(holder["covariates"]["lookback"]))
        if "lookback" in holder:
            found.append(-parse_duration(holder["lookback"]))
    return tuple(dict.fromkeys(found))


def waits(metrics: dict[str, Any], sources: dict[str, Any], default: str) -> list[timedelta]:
    """How long after its anchor a unit may become mature."""
    settles = [parse_duration(source.get("settles_after", "0d")) for source in sources.values()]
    ends = [parse_window(metric.get("window") or default).wait for metric in metrics.values()]
    return [end + settle for end in ends if end is not None for settle in settles]


def gaps(metrics: dict[str, Any]) -> tuple[timedelta, ...]:
    steps = [step for metric in metrics.values() for step in metric.get("steps", [])]
    withins = [parse_duration(step["within"]) for step in steps if "within" in step]
    return (timedelta(0), timedelta(0), *withins, *withins, *(within / 2 for within in withins * 3))


def draw_as_of(
    fields: Fields, start: datetime, end: datetime, reference: datetime, maturities: list[timedelta], timezone: str
) -> datetime:
    late = [end + 20 * DAY, end + 30 * DAY, midnight(START + 60 * DAY, timezone)]
    around_end = [end, end, end + 3 * DAY, end - DAY]
    middle = [start + 16 * DAY, start + 11 * DAY, start + 13 * DAY]
    early = [start + 12 * DAY, start + 9 * DAY, start + 6 * DAY, start + 14 * DAY, start + 3 * DAY, start, start - DAY]
    maturity = [reference + wait for wait in maturities] or late
    as_of = fields.pick(fields.pick([late, late, late, around_end, maturity, maturity, early, late, middle, late]))
    return as_of + fields.pick([0, 0, 0, 0, 1, -1]) * MICROSECOND


def draw_tables(
    fields: Fields, block: Block, frame: Frame, design: Design, arm_keys: list[str], mixing_percent: int, share: float
) -> dict[str, Table]:
    empty = fields.pick([None, None, None, None, None, None, arm_keys[0], arm_keys[-1]])
    exposures: list[dict[str, Any]] = []
    if not fields.chance(4):
        for unit in frame.units:
            exposures += exposure_rows(block(64), frame, unit, arm_keys, empty, mixing_percent)
    anchors: Times = {}
    for row in exposures:
        if row["user_id"] is not None and row["exposed_at"] is not None:
            anchors.setdefault(row["user_id"], []).append(row["exposed_at"])
    anchors = {unit: [min(times), min(times), *times] for unit, times in anchors.items()}

    before: Times = {}
    n_orders = draw_count(fields, round(110 * share))
    n_sessions = draw_count(fields, round(80 * share)) if design.sessions else 0
    orders = [order_row(block(32), frame, anchors, before) for _ in range(n_orders)]
    sessions = [session_row(block(32), frame, anchors, before) for _ in range(n_sessions)]
    users = []
    if design.users:
        users = [row for unit in frame.units for row in user_rows(block(40), frame, unit, anchors)]

    id_type = "integer" if frame.integers else "text"
    times = {"exposed_at": "timestamp", "ingested_at": "timestamp"}
    kinds = {"user_id": id_type, **times, "experiment_key": "text", "variant": "text", "platform": "text"}
    kinds |= {"is_bot": "boolean", "score": "integer"}
    if frame.clusters:
        kinds["school_id"] = id_type
    tables = {"assignments": ("exposure_log", kinds, exposures)}
    kinds = {"buyer_id": id_type, "ordered_at": "timestamp", "ingested_at": "timestamp", "amount": "double"}
    kinds |= {"discount": "double", "qty": "integer", "status": "text", "product": id_type, "is_test": "boolean"}
    tables["orders"] = ("fct_orders", kinds, orders)
    if design.sessions:
        kinds = {"user_id": id_type, "started_at": "timestamp", "pages": "integer", "duration": "double"}
        tables["sessions"] = ("fct_sessions", {**kinds, "device": "text"}, sessions)
    if design.users:
        kinds = {"id": id_type, "age": "integer", "score": "double", "tier": "text", "is_employee": "boolean"}
        if design.valid_dated:
            kinds |= {"valid_from": "timestamp", "valid_to": "timestamp"}
        tables["users"] = ("dim_users", kinds, users)

    def table(source: str, kinds: dict[str, str], rows: list[dict[str, Any]]) -> Table:
        stamps = [column for column, kind in kinds.items() if kind == "timestamp"]
        return Table(kinds, localised(rows, stamps, design.zones[source]) if source in design.zones else rows)

    return {name: table(source, kinds, rows) for source, (name, kinds, rows) in tables.items()}


def draw_defaults(fields: Fields, design: Design) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": "user"}
    if design.timezone != "UTC" or fields.chance(50):
        defaults["timezone"] = design.timezone
    if fields.chance(50):
        defaults["window"] = fields.pick(("7d", "14d", "experiment", "12h", "3d", "1d..3d", "36h", "1w", "last 7d"))
    if fields.chance(40):
        defaults["immature"] = fields.pick(["include", "exclude"])
    if fields.chance(40):
        defaults["covariates"] = draw_covariates(fields, design, [], numbers=False)
    return defaults


@dataclass(frozen=True)
class Protocol:
    """The experiment, and what its rows are placed against."""

    name: str
    experiment: dict[str, Any]
    arm_keys: list[str]
    start: datetime
    end: datetime
    edges: list[datetime]


def draw_protocol(
    fields: Fields, design: Design, metrics: dict[str, Any], listed: dict[str, Any], segments: dict[str, Any]
) -> Protocol:
    names = ARM_NAMES if fields.chance(35) else ARM_NAMES[:2]
    keys = fields.pick(ARM_KEYS)
    shares = draw_shares(fields, names)
    arm_keys = list(names) if keys is None else list(keys[: len(names)])
    start = midnight(START, design.timezone)
    if fields.chance(30):
        start += fields.pick([9 * HOUR, 90061 * timedelta(seconds=1), MICROSECOND])
    end = start + fields.pick([14, 28, 21]) * DAY
    if fields.chance(50):  # a midnight there too, on the other side of a change of the clocks
        end = midnight(START + fields.pick([14, 30, 37]) * DAY, design.timezone)
    name = "exp_key" if fields.chance(20) else "checkout"
    experiment: dict[str, Any] = {
        "owners": ["growth"],
        "status": "running",
        "hypothesis": "It changes something.",
        "exposure": draw_exposure(fields, design, name),
        "arms": draw_arms(names, keys, shares),
        "baseline": fields.pick(names),
        "start": written_instant(fields, start, design.timezone),
        "end": written_instant(fields, end, design.timezone),
        "metrics": listed,
    }
    if fields.chance(30):
        experiment["unit"] = "user"
    edges = [end, start]
    if design.ramp:
        experiment["ramp"], begins = draw_ramp(fields, names, shares, start, design.timezone)
        edges += begins[1:] * 2
    if design.cluster_effect:
        experiment["cluster"] = "school"
        if design.cluster_effect != "per_unit" or fields.chance(30):
            experiment["cluster_effect"] = design.cluster_effect
    if segments:
        experiment["population"] = list(segments)
    analysis = draw_analysis(fields, design, metrics)
    if analysis:
        experiment["analysis"] = analysis
    return Protocol(name, experiment, arm_keys, start, end, edges)


def draw_analysis(fields: Fields, design: Design, metrics: dict[str, Any]) -> dict[str, Any]:
    analysis: dict[str, Any] = {}
    if fields.chance(50):
        plain = [name for name, metric in metrics.items() if is_plain(metric)]
        analysis["covariates"] = draw_covariates(fields, design, plain)
    for key, percent in (("strata", 25), ("breakdowns", 35)):
        dimensions = draw_dimensions(fields, design, percent)
        if dimensions:
            analysis[key] = dimensions
    return analysis


def build_case(block: Block, share: float = 1.0) -> Case:
    """One whole project with its data; `block(n)` gives n bytes to choose by, `share` scales units and rows."""
    fields = block(320)
    null_percent = fields.pick([4, 2, 0, 10])
    offset = OFFSET if fields.chance(20) else 0.0
    zero = not offset and fields.chance(9)
    integers = fields.pick([False, True])
    nasty = fields.chance(30)
    is_mixing = fields.chance(60)
    design = draw_design(fields, offset)

    sources = draw_sources(fields, design)
    metrics = draw_metrics(block, fields.pick([4, 5, 6, 7]), sources, design)
    listed, sets = draw_roles(fields, metrics)
    defaults = draw_defaults(fields, design)
    segments = draw_segments(fields, design)
    protocol = draw_protocol(fields, design, metrics, listed, segments)
    definitions: dict[str, dict[str, Any]] = {
        "project.yml": {
            "version": 1,
            "name": "shop",
            "entities": ["user", "school"] if design.cluster_effect else ["user"],
            "defaults": defaults,
            "profiles": {"local": {"type": "duckdb", "path": "warehouse.duckdb"}},
        },
        "sources.yml": {"sources": sources, **({"segments": segments} if segments else {})},
        "metrics.yml": {"metrics": metrics, **({"metric_sets": sets} if sets else {})},
        "experiment.yml": {"experiments": {protocol.name: protocol.experiment}},
    }

    default = defaults.get("window", "experiment")
    start, end = protocol.start, protocol.end
    reference = start + fields.upto(10 * 24) * HOUR
    as_of = draw_as_of(fields, start, end, reference, waits(metrics, sources, default), design.timezone)
    most = round((40 if design.cluster_effect else 34) * share)
    units, strangers = draw_units(fields, integers, nasty, 0 if fields.chance(5) else draw_count(fields, most))
    schools = (*range(1, 10),) if integers else tuple("abcdefghi")
    holders = [protocol.experiment.get("analysis", {}), defaults, *segments.values()]
    frame = Frame(
        start=start,
        end=end,
        as_of=as_of,
        reference=reference,
        offsets=(*lengths(metrics, holders, default), *gaps(metrics)[1:]),
        gaps=gaps(metrics),
        edges=(as_of, *protocol.edges),
        timezone=design.timezone,
        null_percent=null_percent,
        offset=offset,
        zero=zero,
        integers=integers,
        units=units,
        strangers=strangers,
        clusters=schools[: 3 + fields.upto(6)] if design.cluster_effect else (),
        is_valid_dated=design.valid_dated,
    )
    mixing = (6 if frame.clusters else 45) if is_mixing else 0  # a cluster has many rows that could mix it
    tables = draw_tables(fields, block, frame, design, protocol.arm_keys, mixing, share)
    case = Case(definitions, protocol.name, tables, as_of)
    return replace(case, options=frozenset(describe(case, frame, nasty)))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Cases for hypothesis, which shrinks them byte by byte; smaller ones, as it gives an example 8 kB at most."""
    return build_case(lambda size: Fields(draw(st.binary(min_size=size, max_size=size))), share=0.5)


def random_case(seed: int) -> Case:
    """The same distribution without hypothesis: independent cases, the same for a seed on every machine."""
    generator = Random(seed)
    return build_case(lambda size: Fields(generator.randbytes(size)))
