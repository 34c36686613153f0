"""What sources declare of their rows (`grain`, `expect`), against counts over the raw rows."""

import re
from datetime import timedelta

import pytest
from semantics.world import DAY, HOUR, START, build, changed, exposure, order, rules, see, user, visit

SPEND = {"type": "mean", "source": "orders", "agg": "sum", "measure": "amount", "window": "7d", "direction": "increase"}
PAID = {**SPEND, "filter": "status = 'paid'"}
UNITS = [exposure(f"u{i}", ("control", "treatment")[i % 2], START + DAY) for i in range(20)]
AS_OF = START + 12 * DAY


def rows(n, at=START + 2 * DAY, **fields):
    return [order(f"u{i % 20}", at, product=f"p{at:%d%H}{i}", **fields) for i in range(n)]


def seen(root, orders, metric=SPEND, as_of=AS_OF, **source):
    return see(root, metric, UNITS, orders=orders, sources=changed("orders", **source), as_of=as_of)


def test_a_repeated_grain_makes_the_experiment_invalid(tmp_path):
    orders = rows(50)
    whole = seen(tmp_path, orders, grain="product")
    assert (whole.health("source_grain").status, whole.health("source_grain").statistic) == ("pass", 0)
    twice = seen(tmp_path, [*orders, *orders[:3], orders[0]], grain="product")
    found = twice.health("source_grain")
    assert (found.status, found.statistic) == ("fail", 4)
    assert found.message.startswith("`orders`: 4 of 54 rows repeat the `product` of another")
    assert twice.readout.decision.recommendation == "invalid"


def test_the_values_are_those_without_checks(tmp_path):
    orders = [
        *rows(50), *rows(7, status="open"), *rows(5, status="refunded", amount=None), order(None), order("nobody"),
        order("u3", START + 2 * DAY, loaded=AS_OF + DAY), order("u4", START + 2 * DAY, 64.0, loaded=None),
    ]  # fmt: skip
    checks = {"grain": "product", "expect": {"not_null": ["amount", "happened_at"], "accepted": {"status": ["paid"]}}}
    for metric in (SPEND, PAID, {**PAID, "covariates": {"lookback": "7d"}}):
        for more in ({}, {"loaded_at": "loaded_at"}):
            plain, checked = (seen(tmp_path, orders, metric, **more, **own) for own in ({}, checks))
            assert checked.readout.moments == plain.readout.moments


def test_rows_are_counted_whether_or_not_a_metric_wants_them(tmp_path):
    orders = [
        *rows(30), *rows(4, status="open"), *rows(2, status=None), *rows(3, amount=None), order(None, START + 2 * DAY),
        *rows(5, at=START - 20 * DAY, status="odd"),  # before any window
    ]  # fmt: skip
    expect = {"not_null": ["amount", "status"], "accepted": {"status": ["paid", "refunded"]}, "unique": ["product"]}
    found = seen(tmp_path, orders, PAID, expect=expect)
    checks = {
        (row.check, re.findall(r"`(\w+)`", row.message)[1]): row
        for row in found.readout.health
        if row.check in ("source_not_null", "source_accepted", "source_unit", "source_unique")
    }
    figures = {key: (row.statistic, row.status) for key, row in checks.items()}
    assert figures[("source_not_null", "amount")] == (3, "warn")
    assert figures[("source_not_null", "status")] == (2, "warn")
    assert figures[("source_accepted", "status")] == (4, "warn")
    assert figures[("source_unit", "user_id")] == (1 / 40, "warn")
    assert figures[("source_unique", "product")] == (9, "warn")  # the same products in each group of rows
    assert found.readout.decision.recommendation != "invalid"


@pytest.mark.parametrize(("values", "broken"), [([1, 2.5], 3), ([1], 5)])
def test_accepted_values_may_be_numbers(tmp_path, values, broken):
    orders = [*rows(4, amount=1.0), *rows(2, amount=2.5), *rows(3, amount=7.0), *rows(1, amount=None)]
    found = seen(tmp_path, orders, expect={"accepted": {"amount": values}})
    assert found.health("source_accepted").statistic == broken


def test_a_dimension_is_its_expression(tmp_path):
    dimensions = {"state": "upper(status)"}
    expect = {"accepted": {"state": ["PAID"]}, "not_null": ["state"]}
    found = seen(tmp_path, [*rows(4), *rows(2, status="Open")], dimensions=dimensions, expect=expect)
    assert (found.health("source_accepted").statistic, found.health("source_not_null").statistic) == (2, 0)


def test_rows_without_a_time_are_counted_where_they_must_not_be(tmp_path):
    orders = [*rows(4), *(order("u1", None) for _ in range(3))]
    found = seen(tmp_path, orders, expect={"not_null": ["happened_at"]})
    assert (found.health("source_not_null").statistic, found.health("source_not_null").status) == (3, "warn")
    assert found.row().units == (10, 10)


def test_rows_that_come_late_are_counted(tmp_path):
    at = START + 2 * DAY
    lags = [timedelta(0), HOUR, 2 * DAY, 2 * DAY + timedelta(microseconds=1), 5 * DAY]
    orders = [order(f"u{i}", at, loaded=at + lag) for i, lag in enumerate(lags)]
    orders += [
        order("u9", at, loaded=AS_OF),
        order("u9", at, loaded=AS_OF - timedelta(microseconds=1)),
        order("u8", at, loaded=None),
    ]
    found = seen(tmp_path, orders, loaded_at="loaded_at", expect={"max_late": "2d"})
    assert (found.health("source_late").statistic, found.health("source_late").status) == (3, "warn")
    assert found.health("source_not_loaded").statistic == 2  # one at as-of, one without a time of arrival


@pytest.mark.parametrize(
    ("newest", "status"), [(timedelta(hours=6), "pass"), (timedelta(hours=6, microseconds=1), "warn")]
)
def test_the_newest_row_is_held_against_as_of(tmp_path, newest, status):
    as_of = START + 5 * DAY
    orders = [*rows(3), order("u1", as_of - newest)]
    found = seen(tmp_path, orders, as_of=as_of, expect={"fresh_within": "6h"}).health("source_fresh")
    assert (found.status, found.statistic) == (status, pytest.approx(newest / DAY))


def test_after_the_last_window_the_newest_row_is_held_against_its_end(tmp_path):
    end = START + 31 * DAY + 7 * DAY  # the end of enrolment and a window of a week
    found = seen(tmp_path, [order("u1", end - HOUR)], as_of="2026-06-01", expect={"fresh_within": "2h"})
    assert (found.health("source_fresh").status, found.health("source_fresh").statistic) == ("pass", 1 / 24)
    assert seen(tmp_path, [], expect={"fresh_within": "2h"}).health("source_fresh").status == "warn"


def test_days_without_rows_and_an_incomplete_last_day(tmp_path):
    def days(sizes):
        return [row for day, n in enumerate(sizes) for row in rows(n, at=START + (1 + day) * DAY + HOUR)]

    sizes = [150, 150, 200, 120, 150, 150, 150, 150, 150, 130, 55]
    found = seen(tmp_path, days(sizes), expect={})
    assert (found.health("source_days").status, found.health("source_days").statistic) == ("pass", 0)
    latest = found.health("source_latest_day")
    assert (latest.status, latest.statistic) == ("warn", 55 / 120)
    found = seen(tmp_path, days([*sizes[:5], 0, 0, *sizes[7:10], 66]), expect={})
    missing = found.health("source_days")
    assert (missing.status, missing.statistic) == ("warn", 2)
    assert "(2026-01-07, 2026-01-08)" in missing.message


def test_sources_that_declare_nothing_are_not_checked(tmp_path):
    assert not [row for row in seen(tmp_path, rows(5)).readout.health if row.check.startswith("source")]


def test_each_source_has_checks_of_its_own(tmp_path):
    sources = changed("orders", grain="product", expect={"not_null": ["amount"]})
    sources["visits"] = {**sources["visits"], "expect": {"accepted": {"page": ["home"]}}}
    visits = [visit("u1", START + 2 * DAY, page) for page in ("home", "shop", "home")]
    count = {"type": "mean", "source": "visits", "agg": "count", "window": "7d", "direction": "increase"}
    found = see(tmp_path, {"m": SPEND, "n": count}, UNITS, orders=rows(5), visits=visits, sources=sources, as_of=AS_OF)
    assert found.health("source_accepted").statistic == 1
    assert found.health("source_not_null").statistic == 0
    assert [row.statistic for row in found.readout.health if row.check == "source_unit"] == [0, 0]


@pytest.mark.parametrize(("expect", "rule"), [
    ({"max_late": "2d"}, "missing-key"), ({"accepted": {"status": ["paid", 1]}}, "invalid-value"), ({"accepted": {"status": []}}, "invalid-value"),
])  # fmt: skip
def test_declarations_that_mean_nothing_are_refused(tmp_path, expect, rule):
    project = build(tmp_path, {"m": SPEND}, UNITS, sources=changed("orders", expect=expect))
    assert rules(project) == {rule}


def test_exposures_are_checked_over_enrolment_and_make_the_same_units(tmp_path):
    shown = [
        exposure(
            f"u{i}", ("control", "treatment")[i % 2], START + (1 + i // 40) * DAY, platform=("web", "app", "tv")[i % 3]
        )
        for i in range(400)
    ]
    odd = [
        *shown[:3], exposure("u900", "other", START + DAY), exposure("u901", platform=None), exposure("u902", at=None, platform="tv"),
        exposure("u903", at=START - DAY, platform="odd"), exposure("u904", at=START + 40 * DAY, platform="odd"),
        exposure("u905", key="another", platform="odd"), exposure(None, platform="web"),
    ]  # fmt: skip
    expect = {"not_null": ["platform", "happened_at"], "accepted": {"platform": ["web", "app"]}, "fresh_within": "1d"}
    sources = changed("assignments", grain="user_id", expect=expect)
    metrics = {"m": {**SPEND, "covariates": {"lookback": "7d"}}}
    analysis = {"strata": ["platform"]}
    world = {"orders": rows(50), "as_of": AS_OF, "analysis": analysis}
    plain = see(tmp_path, metrics, [*shown, *odd], **world)
    found = see(tmp_path, metrics, [*shown, *odd], sources=sources, **world)
    assert found.readout.moments == plain.readout.moments
    assert found.readout.arms == plain.readout.arms
    figures = {
        (r.check, *re.findall(r"`(\w+)`", r.message)[1:2]): (r.statistic, r.status) for r in found.readout.health
    }
    # In enrolment, or without a time: 400, the three again, u900 to u902 and the one without a user.
    assert "of 407 rows" in found.health("source_grain").message
    assert figures["source_grain", "user_id"] == (3, "fail")
    assert figures["source_not_null", "platform"] == (2, "warn")
    assert figures["source_not_null", "happened_at"] == (1, "warn")
    tv = sum(row[4] == "tv" for row in [*shown, *shown[:3]]) + 1
    assert figures["source_accepted", "platform"] == (tv, "warn")
    assert "source_unit" not in {r.check for r in found.readout.health}  # exposure_null_unit counts them
    newest = max(row[3] for row in shown)
    assert found.health("source_fresh").statistic == pytest.approx((AS_OF - newest) / DAY)
    assert figures["source_days",] == (1, "warn")  # from 2 January on the 12th has none


def test_a_day_of_enrolment_without_exposures_is_named(tmp_path):
    shown = [
        exposure(f"u{i}", ("control", "treatment")[i % 2], START + (i // 50) * DAY) for i in range(550) if i // 50 != 4
    ]
    sources = changed("assignments", expect={})
    found = see(tmp_path, {"m": SPEND}, shown, sources=sources, as_of=START + 11 * DAY).health("source_days")
    assert (found.status, found.statistic) == ("warn", 1)
    assert "2026-01-05" in found.message


def test_attributes_are_checked_as_a_whole_and_give_the_same_values(tmp_path):
    people = [
        *(user(f"u{i}", tier=("gold", "new")[i % 2], age=20.0 + i, since=START - DAY) for i in range(20)),
        *(user(f"u{i}", tier="gold", age=5.0, since=START - 9 * DAY, until=START - DAY) for i in range(6)),
        user("u3", tier="odd", age=9.0, since=START + 20 * DAY),
        user("nobody", age=1.0), user(None, tier="gold", age=None),
    ]  # fmt: skip
    expect = {"not_null": ["age"], "accepted": {"tier": ["gold", "new"]}, "unique": ["age"]}
    metric = {**SPEND, "covariates": {"lookback": "0d", "extra": ["users.age"]}}
    world = {"orders": rows(50), "users": people, "as_of": AS_OF, "analysis": {"breakdowns": ["users.tier"]}}
    plain = see(tmp_path, {"m": metric}, UNITS, **world)
    for grain, repeated, decision in ((None, None, "hold"), ("user_id", 7, "invalid")):
        sources = changed("users", grain=grain, expect=expect)
        found = see(tmp_path, {"m": metric}, UNITS, sources=sources, **world)
        assert found.readout.moments == plain.readout.moments
        figures = {r.check: (r.statistic, r.status) for r in found.readout.health if r.check.startswith("source")}
        assert figures["source_not_null"] == (1, "warn")
        assert figures["source_accepted"] == (1, "warn")
        assert figures["source_unit"] == (1 / 29, "warn")
        ages = [row[2] for row in people if row[2] is not None]
        assert figures["source_unique"] == (len(ages) - len(set(ages)), "warn")
        assert figures.get("source_grain") == (None if grain is None else (repeated, "fail"))
        assert not {"source_fresh", "source_days", "source_latest_day"} & set(figures)
        assert found.readout.decision.recommendation == decision


def test_attributes_have_no_time_to_be_held_against(tmp_path):
    for expect in ({"fresh_within": "1d"}, {"max_late": "1d"}):
        project = build(tmp_path, {"m": SPEND}, UNITS, sources=changed("users", expect=expect))
        assert rules(project) == {"source-kind"}
