"""Rules of time (section 1 of the semantics), each with rows exactly on the edge that would move another way.

Intervals are [closed, open):
  test_window_*, test_offset_window_*, test_enrolment_*; test_window_keeps_* for every kind of window
Enrolment against observation:
  test_a_duration_window_runs_past_the_end      windows keep their length after the last exposure
  test_the_final_look_*                         end + longest window + settles_after
Maturity:
  test_a_unit_is_mature_*                       anchor + window end + settles_after at most as-of
  test_immature_*, test_retention_*             the metric's field, the project's, else exclude; retention excludes
  test_experiment_and_last_*                    these windows are never immature
Windows by name:
  test_experiment_window_*, test_last_*         ends at min(end, as-of); starts at the later of anchor and T - w
As-of:
  test_rows_at_as_of_*, test_rows_loaded_*, test_exposures_loaded_*, test_as_of_*
Zones:
  test_a_date_*, test_timestamps_without_zone_*, test_source_zone_*, test_one_day_*, test_active_days_*,
  test_observed_days_*
Defaults:
  test_default_*
"""

from datetime import datetime, timedelta

import pytest

from .world import (
    ANY,
    COUNT,
    DAY,
    END,
    HOUR,
    LATE,
    MICRO,
    START,
    SUM,
    T0,
    build,
    changed,
    defaults,
    exposure,
    order,
    rules,
    see,
)

BOTH = (exposure("a"), exposure("t", "treatment"))


def at(*moments, unit="a"):
    """Orders at these moments, with amounts 1, 2, 4, ..."""
    return [order(unit, moment, float(2**i)) for i, moment in enumerate(moments)]


def test_window_is_closed_at_its_start_and_open_at_its_end(tmp_path):
    rows = at(T0 - MICRO, T0, T0 + 7 * DAY - MICRO, T0 + 7 * DAY)
    assert see(tmp_path, {**SUM, "window": "7d"}, BOTH, orders=rows).value() == 2 + 4


def test_offset_window_is_closed_at_its_start_and_open_at_its_end(tmp_path):
    rows = at(T0 + 7 * DAY - MICRO, T0 + 7 * DAY, T0 + 14 * DAY - MICRO, T0 + 14 * DAY)
    assert see(tmp_path, {**SUM, "window": "7d..14d"}, BOTH, orders=rows).value() == 2 + 4


def test_enrolment_is_closed_at_start_and_open_at_end(tmp_path):
    moments = {"before": START - MICRO, "first": START, "last": END - MICRO, "after": END}
    rows = [exposure(unit, at=moment) for unit, moment in moments.items()]
    orders = [order(unit, moment, 2.0**i) for i, (unit, moment) in enumerate(moments.items())]
    seen = see(tmp_path, {**SUM, "window": "1d"}, [*rows, exposure("t", "treatment")], orders=orders)
    assert (seen.units(), seen.total()) == (2, 2 + 4)
    assert (seen.excluded["rows_before_start"], seen.excluded["rows_on_or_after_end"]) == (1, 1)


def test_a_duration_window_runs_past_the_end(tmp_path):
    rows = at(END, END + 7 * DAY - HOUR - MICRO, END + 7 * DAY - HOUR)
    exposures = [exposure("a", at=END - HOUR), exposure("t", "treatment")]
    assert see(tmp_path, {**SUM, "window": "7d"}, exposures, orders=rows).value() == 1 + 2


def test_the_final_look_waits_for_the_longest_window_and_for_settling(tmp_path):
    metrics = {"short": {**ANY, "window": "7d"}, "long": {**COUNT, "window": "2d..14d"}}
    sources = changed("orders", settles_after="2d")
    project = build(tmp_path, metrics, BOTH, sources=sources)
    planned = END + 16 * DAY
    early, final = (project.run("test", as_of=moment) for moment in (planned - MICRO, planned))
    assert final.window["planned_end"] == "2026-02-17T00:00:00Z"
    assert any("before_planned_end" in line for line in early.decision.because)
    assert not any("before_planned_end" in line for line in final.decision.because)


def test_the_final_look_waits_for_settling_where_the_window_is_the_experiment(tmp_path):
    project = build(tmp_path, {"m": SUM}, BOTH, sources=changed("orders", settles_after="2d"))
    assert project.run("test", as_of=LATE).window["planned_end"] == "2026-02-03T00:00:00Z"


def test_a_unit_is_mature_when_window_and_settling_end_at_as_of(tmp_path):
    as_of = T0 + 9 * DAY
    exposures = [exposure("a"), exposure("b", at=T0 + MICRO), exposure("t", "treatment")]
    orders = [*at(T0 + HOUR), order("b", amount=2.0)]
    world = {"orders": orders, "sources": changed("orders", settles_after="2d"), "as_of": as_of}
    seen = see(tmp_path, {**SUM, "window": "7d"}, exposures, **world)
    assert (seen.units(), seen.total()) == (1, 1)
    assert [n for name, n in seen.excluded.items() if name.startswith("immature")] == [1]
    assert see(tmp_path, {**SUM, "window": "7d"}, exposures, **{**world, "as_of": as_of + MICRO}).units() == 2


@pytest.mark.parametrize(
    ("project", "metric", "units"),
    [(None, None, 1), ("include", None, 2), ("include", "exclude", 1), (None, "include", 2), ("exclude", "include", 2)],
)
def test_immature_is_the_metrics_else_the_projects_else_exclude(tmp_path, project, metric, units):
    exposures = [exposure("a"), exposure("b", at=T0 + DAY), exposure("t", "treatment")]
    definition = {**SUM, "window": "7d", **({"immature": metric} if metric else {})}
    settings = defaults(**({"immature": project} if project else {}))
    assert see(tmp_path, definition, exposures, project=settings, as_of=T0 + 7 * DAY).units() == units


def test_retention_leaves_out_immature_units_whatever_the_project_says(tmp_path):
    exposures = [exposure("a"), exposure("b", at=T0 + DAY), exposure("t", "treatment")]
    definition = {"type": "retention", "source": "orders", "window": "7d..14d", "direction": "increase"}
    project = defaults(immature="include")
    assert see(tmp_path, definition, exposures, project=project, as_of=T0 + 14 * DAY).units() == 1
    assert "retention-immature" in rules(build(tmp_path, {"m": {**definition, "immature": "include"}}))


@pytest.mark.parametrize("window", ["experiment", "last 7d"])
def test_experiment_and_last_windows_are_never_immature(tmp_path, window):
    exposures = [exposure("a"), exposure("b", at=T0 + DAY - MICRO), exposure("t", "treatment")]
    sources = changed("orders", settles_after="3d")
    assert see(tmp_path, {**SUM, "window": window}, exposures, sources=sources, as_of=T0 + DAY).units() == 2


def test_experiment_window_ends_at_the_end(tmp_path):
    rows = at(T0 - MICRO, T0, END - MICRO, END)
    assert see(tmp_path, {**SUM, "window": "experiment"}, BOTH, orders=rows).value() == 2 + 4


def test_experiment_window_ends_at_as_of_where_that_comes_first(tmp_path):
    rows = at(T0 + 2 * DAY - MICRO, T0 + 2 * DAY)
    assert see(tmp_path, {**SUM, "window": "experiment"}, BOTH, orders=rows, as_of=T0 + 2 * DAY).value() == 1


@pytest.mark.parametrize("as_of", [datetime(2026, 1, 20), datetime(2026, 4, 1)])
def test_last_window_counts_back_from_the_end_or_as_of(tmp_path, as_of):
    last = min(as_of, END)
    rows = at(last - 7 * DAY - MICRO, last - 7 * DAY, last - MICRO, last)
    assert see(tmp_path, {**SUM, "window": "last 7d"}, BOTH, orders=rows, as_of=as_of).value() == 2 + 4


def test_last_window_starts_no_earlier_than_the_exposure(tmp_path):
    exposed = END - 3 * DAY
    rows = at(exposed - MICRO, exposed)
    exposures = [exposure("a", at=exposed), exposure("t", "treatment")]
    assert see(tmp_path, {**SUM, "window": "last 7d"}, exposures, orders=rows).value() == 2


@pytest.mark.parametrize(
    ("window", "first", "last"),
    [
        ("7d", T0, T0 + 7 * DAY),
        ("7d..14d", T0 + 7 * DAY, T0 + 14 * DAY),
        ("experiment", T0, END),
        ("last 7d", END - 7 * DAY, END),
    ],
)
def test_window_keeps_its_edges_beside_wider_ones(tmp_path, window, first, last):
    """A metric of 60 days and a covariate make the scan wider than the window, which must cut by itself."""
    rows = at(first - MICRO, first, last - MICRO, last)
    wide = {**SUM, "window": "60d", "covariates": {"lookback": "30d"}}
    seen = see(tmp_path, {"m": {**SUM, "window": window}, "wide": wide}, BOTH, orders=rows)
    assert seen.value() == 2 + 4


def test_rows_at_as_of_do_not_count(tmp_path):
    as_of = T0 + 2 * DAY
    rows = at(as_of - MICRO, as_of, as_of + HOUR)
    definition = {**SUM, "window": "7d", "immature": "include"}
    assert see(tmp_path, definition, BOTH, orders=rows, as_of=as_of).value() == 1


def test_exposures_at_as_of_do_not_count(tmp_path):
    as_of = T0 + 2 * DAY
    exposures = [*BOTH, exposure("b", at=as_of - MICRO), exposure("c", at=as_of)]
    seen = see(tmp_path, SUM, exposures, as_of=as_of)
    assert (seen.units(), seen.excluded["rows_after_as_of"]) == (2, 1)


def test_rows_loaded_at_as_of_do_not_count(tmp_path):
    as_of = T0 + 8 * DAY
    orders = [
        order("a", amount=1.0, loaded=as_of - MICRO),
        order("a", amount=2.0, loaded=as_of),
        order("a", amount=4.0, loaded=as_of + DAY),
    ]
    loaded = changed("orders", loaded_at="loaded_at")
    assert see(tmp_path, {**SUM, "window": "7d"}, BOTH, orders=orders, sources=loaded, as_of=as_of).value() == 1
    assert see(tmp_path, {**SUM, "window": "7d"}, BOTH, orders=orders, as_of=as_of).value() == 7


def test_exposures_loaded_at_as_of_do_not_count(tmp_path):
    as_of = T0 + 8 * DAY
    exposures = [
        exposure("a", "treatment", T0 - HOUR, loaded=as_of),  # would make `a` mixed, and its window start earlier
        exposure("a", "control", T0, loaded=as_of - MICRO),
        exposure("t", "treatment"),
    ]
    loaded = changed("assignments", loaded_at="loaded_at")
    rows = at(T0 - MICRO, T0)
    seen = see(tmp_path, SUM, exposures, orders=rows, sources=loaded, as_of=as_of)
    assert (seen.units(), seen.value(), seen.excluded["rows_not_loaded"]) == (1, 2, 1)


def test_as_of_is_one_instant_and_no_clock_is_read(tmp_path):
    project = build(tmp_path, {"m": {**SUM, "window": "7d"}}, BOTH, sources=changed("orders", loaded_at="loaded_at"))
    first, second = (project.compile("test", as_of="2026-01-20").text.upper() for _ in range(2))
    assert first == second
    assert not any(clock in first for clock in ("NOW(", "CURRENT_", "GETDATE", "TODAY("))
    assert "1768867200000000" in first  # 2026-01-20 00:00 UTC


def test_a_date_as_as_of_is_midnight_of_the_projects_zone(tmp_path):
    midnight = datetime(2026, 1, 10, 5)  # in New York
    rows = at(midnight - MICRO, midnight)
    seen = see(tmp_path, SUM, BOTH, orders=rows, as_of="2026-01-10", project=defaults(timezone="America/New_York"))
    assert (seen.value(), seen.readout.as_of) == (1, "2026-01-10T05:00:00Z")


def test_a_date_as_start_or_end_is_midnight_of_the_projects_zone(tmp_path):
    shift = timedelta(hours=5)
    moments = {
        "before": START + shift - MICRO,
        "first": START + shift,
        "last": END + shift - MICRO,
        "after": END + shift,
    }
    exposures = [*(exposure(unit, at=moment) for unit, moment in moments.items()), exposure("t", "treatment")]
    orders = [order(unit, moment, 2.0**i) for i, (unit, moment) in enumerate(moments.items())]
    project = defaults(timezone="America/New_York")
    assert see(tmp_path, SUM, exposures, orders=orders, project=project).total() == 2 + 4


def test_timestamps_without_zone_are_utc_whatever_the_projects_zone(tmp_path):
    rows = at(T0 + 7 * DAY - MICRO, T0 + 7 * DAY)
    aware = (
        "ALTER TABLE assignments ALTER happened_at SET DATA TYPE TIMESTAMPTZ USING happened_at AT TIME ZONE 'UTC'",
    )
    world = {"orders": rows, "project": defaults(timezone="America/New_York"), "statements": aware}
    assert see(tmp_path, {**SUM, "window": "7d"}, BOTH, **world).value() == 1


def test_source_zone_holds_for_timestamps_without_zone(tmp_path):
    """Clocks go forward on 2026-03-29: 03:30 in Berlin is 01:30 UTC, 01:30 is 00:30 UTC."""
    rows = at(datetime(2026, 3, 29, 1, 29), datetime(2026, 3, 29, 1, 30), datetime(2026, 3, 29, 3, 29), datetime(2026, 3, 29, 3, 30))  # fmt: skip
    exposures = [exposure("a", at=datetime(2026, 3, 29, 0, 30)), exposure("t", "treatment", datetime(2026, 3, 29))]
    sources = changed("orders", timezone="Europe/Berlin")
    seen = see(
        tmp_path, {**SUM, "window": "1h"}, exposures, orders=rows, sources=sources, start="2026-03-20", end="2026-04-20"
    )
    assert seen.value() == 2 + 4


def test_source_zone_holds_for_loaded_at_too(tmp_path):
    as_of = datetime(2026, 1, 20)
    orders = [
        order("a", amount=1.0, loaded=as_of + HOUR - MICRO),  # 22:59:59 UTC of the day before
        order("a", amount=2.0, loaded=as_of + HOUR),
    ]
    sources = changed("orders", timezone="Europe/Berlin", loaded_at="loaded_at")
    assert see(tmp_path, {**SUM, "window": "7d"}, BOTH, orders=orders, sources=sources, as_of=as_of).value() == 1


def test_one_day_is_24_hours_across_a_change_of_clocks(tmp_path):
    """From noon in Berlin on 2026-03-28 the next noon is 23 hours away."""
    noon = datetime(2026, 3, 28, 11)
    rows = at(noon + 23 * HOUR, noon + 24 * HOUR - MICRO, noon + 24 * HOUR)
    exposures = [exposure("a", at=noon), exposure("t", "treatment", noon)]
    world = {"orders": rows, "project": defaults(timezone="Europe/Berlin"), "start": "2026-03-01", "end": "2026-04-20"}
    assert see(tmp_path, {**SUM, "window": "1d"}, exposures, **world).value() == 1 + 2


DAYS = {"type": "mean", "source": "orders", "agg": "active_days", "direction": "increase"}


def test_active_days_are_calendar_days_of_the_projects_zone(tmp_path):
    """The first two rows lie on two days in New York and on one in UTC, the last two the other way round."""
    rows = at(datetime(2026, 1, 7, 4, 59), datetime(2026, 1, 7, 5), datetime(2026, 1, 9, 23), datetime(2026, 1, 10, 1))
    assert see(tmp_path, DAYS, BOTH, orders=rows[:2], project=defaults(timezone="America/New_York")).value() == 2
    assert see(tmp_path, DAYS, BOTH, orders=rows[2:], project=defaults(timezone="America/New_York")).value() == 1
    assert see(tmp_path, DAYS, BOTH, orders=rows[:2]).value() == 1


def test_active_days_follow_a_change_of_clocks(tmp_path):
    """22:30 UTC on the day the clocks go forward is already tomorrow in Berlin; a day earlier it is not."""
    noon = datetime(2026, 3, 27, 12)
    exposures = [exposure("a", at=noon), exposure("b", at=noon), exposure("t", "treatment", noon)]
    before, after = datetime(2026, 3, 28, 22, 30), datetime(2026, 3, 29, 22, 30)
    orders = [*at(before - 9 * HOUR, before), *at(after - 9 * HOUR, after, unit="b")]
    world = {"project": defaults(timezone="Europe/Berlin"), "start": "2026-03-01", "end": "2026-04-20"}
    assert see(tmp_path, DAYS, exposures, orders=orders, **world).total() == 1 + 2


@pytest.mark.parametrize(
    ("window", "exposed", "days"),
    [
        ("1d", datetime(2026, 1, 5), 1),  # [midnight, midnight): one day
        ("1d", datetime(2026, 1, 5, 0, 0, 0, 1), 2),
        ("1d..2d", datetime(2026, 1, 5), 1),
        ("experiment", datetime(2026, 1, 30), 2),  # 30 and 31 January
        ("last 7d", datetime(2026, 1, 5), 7),
        ("last 7d", datetime(2026, 1, 31, 23), 1),
    ],
)
def test_observed_days_are_the_local_days_that_the_window_touches(tmp_path, window, exposed, days):
    exposures = [exposure("a", at=exposed), exposure("t", "treatment")]
    seen = see(tmp_path, {**DAYS, "per": "day", "window": window}, exposures)
    assert seen.moments(column="m__observed_days")["mean"] == days


def test_observed_days_end_at_as_of(tmp_path):
    exposures = [exposure("a", at=datetime(2026, 1, 5)), exposure("t", "treatment", datetime(2026, 1, 5))]
    definition = {**DAYS, "per": "day", "window": "14d", "immature": "include"}
    for as_of, days in ((datetime(2026, 1, 8), 3), (datetime(2026, 1, 8, 0, 0, 0, 1), 4)):
        seen = see(tmp_path, definition, exposures, as_of=as_of)
        assert seen.moments(column="m__observed_days")["mean"] == days


def test_active_days_per_day_divide_sums_of_days(tmp_path):
    """A unit of 2 days observed and one of 14: (1 + 2) / (2 + 14), not the mean of 1/2 and 2/14."""
    exposures = [
        exposure("a", at=datetime(2026, 1, 30)),
        exposure("b", at=datetime(2026, 1, 18)),
        exposure("t", "treatment"),
    ]
    orders = [*at(datetime(2026, 1, 30, 1)), *at(datetime(2026, 1, 19), datetime(2026, 1, 20), unit="b")]
    seen = see(tmp_path, {**DAYS, "per": "day", "window": "experiment"}, exposures, orders=orders)
    assert seen.value() == pytest.approx(3 / 16)


def enough(n=60, **changes):
    """Units in both arms, with an order each that differs."""
    exposures = [exposure(f"u{i}", ("control", "treatment")[i % 2]) for i in range(n)]
    orders = [order(f"u{i}", amount=float(i % 7)) for i in range(n)]
    before = [order(f"u{i}", T0 - DAY, float(i % 5)) for i in range(n)]
    return {"exposures": exposures, "orders": [*orders, *before], **changes}


def test_default_confidence_is_95_percent(tmp_path):
    world = enough()
    row = see(tmp_path, SUM, world.pop("exposures"), **world).row()
    t = 2.0017174841452356  # 97.5 % quantile with 58 degrees of freedom
    assert row.estimator.confidence == 0.95
    assert row.tests[0].df == pytest.approx(58, abs=0.5)
    assert (row.absolute.upper - row.absolute.estimate) / row.absolute.std_error == pytest.approx(t, rel=1e-3)


def test_default_time_zone_is_utc(tmp_path):
    assert see(tmp_path, SUM, BOTH, as_of="2026-01-10").readout.as_of == "2026-01-10T00:00:00Z"


def test_default_window_is_the_experiment_and_a_projects_window_replaces_it(tmp_path):
    rows = at(T0, T0 + 7 * DAY, END - MICRO, END)
    assert see(tmp_path, SUM, BOTH, orders=rows).value() == 1 + 2 + 4
    assert see(tmp_path, SUM, BOTH, orders=rows, project=defaults(window="7d")).value() == 1
    assert see(tmp_path, {**SUM, "window": "8d"}, BOTH, orders=rows, project=defaults(window="7d")).value() == 3


def test_default_is_no_covariate(tmp_path):
    world = enough()
    seen = see(tmp_path, SUM, world.pop("exposures"), **world)
    assert (seen.row().estimator.name, seen.row().estimator.covariates) == ("unadjusted", ())
    assert {name for row in seen.readout.moments for name in row["columns"]} == {"m"}


def test_default_srm_alpha_is_one_in_a_thousand_split_over_two_checks(tmp_path):
    seen = see(tmp_path, SUM, BOTH)
    assert seen.readout.ledger["alpha"]["quality"] == 0.001
    assert seen.health("srm_assignment").threshold == 0.0005


def test_an_unknown_zone_is_an_error(tmp_path):
    assert "invalid-value" in rules(build(tmp_path, {"m": SUM}, project=defaults(timezone="Mars/Olympus")))
