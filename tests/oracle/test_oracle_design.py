"""Checks triggers, epochs, strata, clusters, time zones and the daily series against numbers worked out by hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from .oracle import OutOfScopeError, Result, analyse, day_ends, moments_of, series
from .reading import local_days, midnight
from .small import COUNT, DAY, LATE, REVENUE, T0, US, order, seen, session, small, value

HOUR = timedelta(hours=1)
TRIGGER: dict[str, Any] = {"source": "assignments", "trigger": {"source": "sessions", "filter": "pages > 1"}}


def row(result: Result, metric: str, unit: str) -> list[float]:
    return [float(found) for found in result.values[metric][unit].values()]


# --- triggers ---------------------------------------------------------------------------------------------------------
def test_a_trigger_moves_the_windows_but_not_the_covariates() -> None:
    sessions = [session("a", T0 - HOUR, 5), session("a", T0 + DAY, 1), session("a", T0 + 2 * DAY, 5)]
    sessions += [session("b", T0, 5), session("c", T0 - US, 5), session("d", datetime(2026, 3, 29), 5)]
    orders = [order("a", T0 + 2 * DAY - US, 1), order("a", T0 + 2 * DAY, 2), order("a", T0 + 3 * DAY, 4)]
    orders += [order("a", T0 - DAY, 8), order("a", T0 - US, 16), order("b", T0, 32)]
    metrics = {"day": {**REVENUE, "window": "1d"}, "all": REVENUE}
    setting = {"covariates": {"lookback": "12h"}}
    case = small(
        metrics, [seen(unit) for unit in "abcd"], orders, sessions=sessions, exposure=TRIGGER, analysis=setting
    )
    result = analyse(case)
    assert [record.anchor for record in result.units.values()] == [T0 + 2 * DAY, T0, None, None]
    assert [record.first_exposure for record in result.units.values()] == [T0] * 4
    assert row(result, "day", "a") == [2, 16]
    assert row(result, "all", "a") == [6, 16]
    assert row(result, "all", "b") == [32, 0]
    assert set(result.values["all"]) == {"a", "b"}
    assert (result.in_population["control"], result.analysed["control"], result.excluded["untriggered"]) == (4, 2, 2)


def test_triggers_and_segments_wait_for_loading() -> None:
    orders = [
        order("a", T0, 11, ingested_at=LATE),
        order("a", T0 + DAY, 11, ingested_at=T0 + DAY),
        order("a", T0 - DAY, 11, ingested_at=LATE),
    ]
    exposure = {"source": "assignments", "trigger": {"source": "orders"}}
    segments = {"active": {"source": "orders", "filter": "amount > 10", "lookback": "7d"}}
    fields = {"orders": {"loaded_at": "ingested_at"}}
    for sources, anchor, inside in ((fields, T0 + DAY, False), ({}, T0, True)):
        case = small(
            {"m": COUNT},
            [seen("a")],
            orders,
            sources=sources,
            exposure=exposure,
            segments=segments,
            population=["active"],
        )
        record = analyse(case).units["a"]
        assert (record.anchor, record.in_population) == (anchor, inside)


@pytest.mark.parametrize(("settling", "expected"), [(timedelta(0), 1), (-US, 0)])
def test_maturity_counts_from_the_trigger(settling: timedelta, expected: int) -> None:
    sessions = [session("a", T0 + DAY, 5)]
    as_of = T0 + 8 * DAY + settling
    case = small({"m": {**COUNT, "window": "7d"}}, [seen("a")], sessions=sessions, exposure=TRIGGER, as_of=as_of)
    assert analyse(case).metrics["m"]["control", False].n == expected


def test_untriggered_units_are_not_in_a_percentile() -> None:
    metrics = {"m": {**REVENUE, "cap": {"upper": "p50"}}}
    orders = [order(unit, T0, 10.0 * i) for i, unit in enumerate("abc", 1)]
    sessions = [session(unit, T0, 5) for unit in "bc"]
    case = small(metrics, [seen(unit) for unit in "abc"], orders, sessions=sessions, exposure=TRIGGER)
    assert analyse(case).caps["m"]["y"].upper == 25


# --- ramps ------------------------------------------------------------------------------------------------------------
def ramp(*begins: str) -> dict[str, Any]:
    shares = {"control": "50%", "treatment": "50%"}
    exposure = {"source": "assignments", "mixed": "first_arm"}
    return {"ramp": [{"from": begin, "shares": shares} for begin in begins], "exposure": exposure}


def test_the_epoch_is_the_last_step_begun_at_first_exposure() -> None:
    edge = datetime(2026, 3, 5)
    exposures = [seen("a"), seen("b", at=edge - US), seen("c", at=edge), seen("d", at=edge + 9 * DAY), seen("c", at=T0)]
    case = small({"m": COUNT}, exposures, **ramp("2026-03-01", "2026-03-05", "2026-03-14T12:00:00Z"))
    assert [record.epoch for record in analyse(case).units.values()] == [0, 0, 0, 1]
    exposures.append(seen("e", at=datetime(2026, 3, 14, 12)))
    result = analyse(small({"m": COUNT}, exposures, **ramp("2026-02-20", "2026-03-05", "2026-03-14T12:00:00Z")))
    assert result.units["e"].epoch == 2
    with pytest.raises(OutOfScopeError):
        analyse(small({"m": COUNT}, exposures, **ramp("2026-03-02", "2026-03-05")))


# --- strata, breakdowns, attributes -----------------------------------------------------------------------------------
def test_levels_are_text_of_the_value_at_first_exposure() -> None:
    exposures = [
        seen("a", platform="web", is_bot=True, score=3),
        seen("a", platform="app", is_bot=False, score=None),
        seen("a", at=T0 + US, platform="aaa", score=0),
        seen("b", platform=None, is_bot=None),
    ]
    users = [{"id": "a", "tier": "gold", "age": 30}]
    analysis = {"strata": ["platform", "tier"], "breakdowns": ["assignments.platform", "is_bot", "score", "users.age"]}
    result = analyse(small({"m": COUNT}, exposures, users=users, analysis=analysis))
    assert [record.strata for record in result.units.values()] == [("app", "gold"), (None, None)]
    assert [record.breakdowns for record in result.units.values()] == [
        {"assignments.platform": "app", "is_bot": "false", "score": "3", "users.age": "30"},
        {"assignments.platform": None, "is_bot": None, "score": None, "users.age": None},
    ]


def test_moments_of_a_level() -> None:
    exposures = [seen(unit, platform="web" if unit in "ab" else None) for unit in "abcd"]
    orders = [order(unit, T0, 2.0**i) for i, unit in enumerate("abcd")]
    result = analyse(small({"m": REVENUE}, exposures, orders, analysis={"breakdowns": ["platform"]}))
    found = {}
    for level in ("web", None):
        units = [unit for unit, record in result.units.items() if record.breakdowns["platform"] == level]
        found[level] = moments_of(result, "m", units)
    assert [(block.n, block.mean.tolist(), block.comoment.tolist()) for block in found.values()] == [
        (2, [1.5], [[0.5]]),
        (2, [6], [[8]]),
    ]


def test_the_attributes_row_valid_at_exposure() -> None:
    users: list[dict[str, Any]] = [
        {"id": "always", "tier": "basic", "valid_from": None},
        {"id": "always", "tier": "gold", "valid_from": T0 + US},
        {"id": "edges", "tier": "old", "valid_from": T0 - DAY, "valid_to": T0},
        {"id": "edges", "tier": "new", "valid_from": T0, "valid_to": T0 + US},
        {"id": "latest", "tier": "a", "valid_from": None},
        {"id": "latest", "tier": "z", "valid_from": T0 - DAY},
        {"id": "tie", "tier": "z", "age": 1, "valid_from": T0 - DAY},
        {"id": "tie", "tier": "b", "age": None, "valid_from": T0 - DAY},
        {"id": "over", "tier": "b", "valid_from": T0 - DAY, "valid_to": T0},
    ]
    units = ["always", "edges", "latest", "tie", "over", "none"]
    fields = {"users": {"valid_from": "valid_from", "valid_to": "valid_to"}}
    case = small(
        {"m": {**COUNT, "covariates": {"lookback": "0d", "extra": ["users.age"]}}},
        [seen(unit) for unit in units],
        users=users,
        sources=fields,
        analysis={"strata": ["tier"]},
    )
    result = analyse(case)
    assert [record.strata[0] for record in result.units.values()] == ["basic", "new", "z", "b", None, None]
    assert [row(result, "m", unit) for unit in ("tie", "over", "none")] == [[0, 1, 0], [0, 0, 1], [0, 0, 1]]
    with pytest.raises(OutOfScopeError):
        analyse(small({"m": COUNT}, [seen("tie")], users=users, analysis={"strata": ["tier"]}))


def test_a_segment_of_events_looks_back_from_first_exposure() -> None:
    orders = [
        order("a", T0 - 7 * DAY, 11),
        order("b", T0 - 7 * DAY - US, 11),
        order("c", T0 - US, 11),
        order("d", T0, 11),
        order("e", T0 - DAY, 1),
    ]
    segments = {"active": {"source": "orders", "filter": "amount > 10", "lookback": "7d"}}
    exposures = [seen(unit) for unit in "abcde"]
    result = analyse(small({"m": COUNT}, exposures, orders, segments=segments, population=["active"]))
    assert [unit for unit, record in result.units.items() if record.in_population] == ["a", "c"]
    assert result.excluded["outside_population"] == 3


# --- clusters ---------------------------------------------------------------------------------------------------------
ENTITIES = {"assignments": {"entities": {"user": "user_id", "school": "school_id"}}}


def clustered(metrics: dict[str, Any], exposures: list[dict[str, Any]], *rest: Any, **more: Any) -> Result:
    return analyse(small(metrics, exposures, *rest, sources=ENTITIES, cluster="school", **more))


def test_clusters_hold_totals_size_and_mean_covariates() -> None:
    exposures = [seen(unit, school_id=school) for unit, school in zip("abcde", "xxxyy", strict=True)]
    orders = [order(unit, T0, amount) for unit, amount in zip("abd", (1, 2, 8), strict=True)]
    orders += [order("a", T0 - DAY, 3), order("e", T0 - DAY, 10)]
    setting = {"covariates": {"lookback": "7d"}}
    metrics: dict[str, Any] = {
        "m": {**REVENUE, "cap": {"upper": 5}},
        "r": {"type": "ratio", "numerator": "n", "denominator": "m"},
        "n": COUNT,
        "e": {**REVENUE, "missing": "exclude"},
    }
    result = clustered(metrics, exposures, orders, analysis=setting)
    block = result.metrics["m"]["control", False]
    assert (block.n, block.columns) == (2, ["y", "size", "y@pre"])
    assert block.mean.tolist() == [(3 + 5) / 2, (3 + 2) / 2, (1 + 2.5) / 2]  # e's 10 is capped at 5
    assert block.comoment[0].tolist() == [2, -1, 1.5]
    assert block.capped.tolist() == [1, 0, 1]
    assert result.metrics["r"]["control", False].columns == ["y", "d", "y@pre", "d@pre"]
    assert result.metrics["e"]["control", False].mean.tolist() == [(3 + 8) / 2, (2 + 1) / 2, (1 + 5) / 2]
    one = moments_of(result, "m", ["a", "b", "d"])
    assert (one.n, one.mean.tolist()) == (2, [4, 1.5, 0.75])  # x: 3 of 2 units; y: 5 of 1


def test_per_cluster_averages_the_units() -> None:
    exposures = [seen(unit, school_id=school) for unit, school in zip("abc", "xxy", strict=True)]
    orders = [order("a", T0, 3), order("c", T0, 5)]
    result = clustered({"m": REVENUE}, exposures, orders, cluster_effect="per_cluster")
    assert result.metrics["m"]["control", False].columns == ["y"]
    assert result.metrics["m"]["control", False].mean.tolist() == [(1.5 + 5) / 2]
    ratio = {"type": "ratio", "numerator": {"source": "orders", "agg": "count"}, "denominator": "m"}
    with pytest.raises(OutOfScopeError):
        clustered({"m": REVENUE, "r": ratio}, exposures, orders, cluster_effect="per_cluster")


def test_a_cluster_that_saw_two_arms_is_mixed_with_all_its_units() -> None:
    exposures = [
        seen("a", "treatment", T0 + DAY, school_id="x", platform="app"),
        seen("b", "control", T0, school_id="x", platform="web"),
        seen("c", "treatment", T0, school_id="y", platform="ios"),
        seen("d", "treatment", T0, school_id="y", platform="app"),
        seen("d", "treatment", T0 + DAY, school_id="x", platform="aaa"),
        seen("e", "control", T0, school_id=None),
        seen("e", "control", T0 + DAY, school_id="y"),
        seen("f", "ghost", T0, school_id="y"),
    ]
    result = clustered({"m": COUNT}, exposures, analysis={"strata": ["platform"]})
    assert (result.assigned, result.mixed) == ({"control": 2, "treatment": 2}, {"control": 2, "treatment": 0})
    assert result.excluded["null_cluster"] == 1
    assert {name: (c.arm, c.mixed, c.strata, c.units) for name, c in result.clusters.items()} == {
        "x": ("control", True, ("web",), ("a", "b")),
        "y": ("treatment", False, ("app",), ("c", "d")),
    }
    assert result.units["a"].arm == "control" and result.units["a"].mixed
    assert result.metrics["m"]["control", True].n == 1
    assert result.metrics["m"]["treatment", False].n == 1


# --- time zones -------------------------------------------------------------------------------------------------------
def test_a_sources_own_clock() -> None:
    fields = {
        "orders": {"timezone": "America/New_York", "loaded_at": "ingested_at"},
        "assignments": {"timezone": "Europe/Berlin"},
    }
    exposures = [seen("a", at=datetime(2026, 3, 2, 13))]  # noon in UTC
    orders = [
        order("a", datetime(2026, 3, 2, 7), 1, ingested_at=datetime(2026, 3, 9, 19, 59)),  # noon; 23:59 in summer time
        order("a", datetime(2026, 3, 2, 6, 59), 2, ingested_at=datetime(2026, 3, 3)),
        order("a", datetime(2026, 3, 2, 7), 4, ingested_at=datetime(2026, 3, 9, 20)),
    ]
    result = analyse(small({"m": REVENUE}, exposures, orders, sources=fields, as_of=datetime(2026, 3, 10)))
    assert result.units["a"].first_exposure == T0
    assert value(result, "m", "a") == 1


def test_days_where_midnight_is_skipped() -> None:
    # Havana goes from 0:00 straight to 1:00 on 8 March 2026, at 5:00 UTC
    assert midnight(date(2026, 3, 8), "America/Havana") == datetime(2026, 3, 8, 5)
    assert midnight(date(2026, 3, 9), "America/Havana") == datetime(2026, 3, 9, 4)
    begin = datetime(2026, 3, 8, 5)
    assert local_days(begin - US, begin + US, "America/Havana") == [date(2026, 3, 7), date(2026, 3, 8)]
    assert local_days(begin, begin, "America/Havana") == []


# --- the daily series -------------------------------------------------------------------------------------------------
def test_days_end_at_local_midnights_and_at_as_of() -> None:
    case = small({"m": COUNT}, [seen("a")], as_of=datetime(2026, 3, 9, 12), defaults={"timezone": "America/New_York"})
    ends = day_ends(case)
    assert (ends[0], ends[-3:]) == (
        datetime(2026, 3, 2, 5),
        [datetime(2026, 3, 8, 5), datetime(2026, 3, 9, 4), datetime(2026, 3, 9, 12)],
    )
    at_midnight = small({"m": COUNT}, [seen("a")], as_of=datetime(2026, 3, 3))
    assert day_ends(at_midnight) == [datetime(2026, 3, 2), datetime(2026, 3, 3)]
    assert day_ends(small({"m": COUNT}, [], as_of=datetime(2026, 3, 1))) == []


def test_a_day_knows_todays_units_and_caps_but_only_its_own_rows() -> None:
    metrics = {
        "all": {**REVENUE, "cap": {"upper": "p50"}, "covariates": {"lookback": "7d"}},
        "two_days": {**REVENUE, "window": "2d"},
        "days": {"type": "mean", "source": "sessions", "agg": "active_days", "per": "day"},
    }
    exposures = [seen("a"), seen("b", at=T0 + DAY), seen("x"), seen("x", "treatment", T0 + 5 * DAY)]
    orders = [
        order("a", T0, 10, ingested_at=T0),
        order("a", T0 + 2 * DAY - US, 30, ingested_at=T0 + 3 * DAY),
        order("b", T0 + DAY, 20, ingested_at=T0),
        order("a", T0 - DAY, 5, ingested_at=T0 + DAY),
        order("x", T0, 99, ingested_at=T0),
    ]
    sessions = [session("a", T0), session("a", T0 + DAY)]
    fields = {"orders": {"loaded_at": "ingested_at"}}
    case = small(metrics, exposures, orders, sessions=sessions, sources=fields, as_of=T0 + 6 * DAY)
    result = analyse(case)
    assert result.caps["all"]["y"].upper == 30  # of 40 and 20
    ends = [T0, T0 + HOUR, T0 + DAY, T0 + DAY + US, T0 + 2 * DAY, T0 + 3 * DAY, T0 + 3 * DAY + US]
    found = series(case, ends)
    pure = [found[end]["all"]["control", False] for end in ends]
    assert [block.n for block in pure] == [0, 1, 1, 2, 2, 2, 2]
    assert [block.mean.tolist() for block in pure] == [
        [0, 0],
        [10, 0],
        [10, 0],
        [(10 + 20) / 2, 2.5 / 2],  # a's 5 before exposure is loaded now, and capped at 2.5, the middle of 5 and 0
        [15, 2.5 / 2],
        [15, 2.5 / 2],  # the row of 30 is loaded at this very instant
        [(30 + 20) / 2, 2.5 / 2],
    ]
    assert [found[end]["all"]["control", True].n for end in ends] == [0, 1, 1, 1, 1, 1, 1]  # mixed today
    assert [found[end]["two_days"]["control", False].n for end in ends] == [0, 0, 0, 0, 1, 2, 2]
    days = [found[end]["days"]["control", False].mean.tolist() for end in ends[1:4]]
    assert days == [[1, 1], [1, 2], [1, 1.5]]  # of a: 1 of 1, 1 of 2; then 2 of 2 and b's 0 of 1


def test_windows_that_move_with_the_day() -> None:
    metrics = {
        "last": {**REVENUE, "window": "last 1d"},
        "early": {**REVENUE, "window": "7d", "immature": "include"},
    }
    orders = [order("a", T0, 1), order("a", T0 + DAY, 2), order("a", T0 + 3 * DAY, 4)]
    case = small(metrics, [seen("a")], orders)
    ends = [T0 + US, T0 + DAY, T0 + DAY + US, T0 + 2 * DAY, T0 + 2 * DAY + US, LATE]
    found = series(case, ends)
    assert [found[end]["last"]["control", False].mean.tolist() for end in ends] == [[1], [1], [2], [2], [0], [0]]
    assert [found[end]["early"]["control", False].mean.tolist() for end in ends] == [[1], [1], [3], [3], [3], [7]]
