"""`diff` on a warehouse: both states on one connection, of all units and of a sample, against sums over the rows."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from oracle.reading import Table

from metricdef.definitions.load import load_project
from metricdef.review.numbers import compare_numbers
from metricdef.warehouses import connect

from .engine import Engine

START, LATER = datetime(2026, 1, 1), datetime(2026, 4, 1, tzinfo=UTC)
USERS = range(200)
PROJECT = """\
version: 1
name: shop
entities: [user]
profiles: {local: {type: duckdb, path: none.duckdb}}
"""
DEFINITIONS = """\
sources:
  assignments: {kind: exposures, table: assignments, timestamp: at, entities: {user: user_id}, experiment: experiment, arm: arm}
  orders: {table: orders, timestamp: at, entities: {user: user_id}, measures: {amount: amount}}
metrics:
  revenue: {type: mean, source: orders, agg: sum, measure: amount, filter: amount > 0, window: 7d, direction: increase}
experiments:
  checkout:
    owners: [me]
    status: draft
    hypothesis: It sells more.
    exposure: {source: assignments}
    arms: {control: {share: 50%}, new: {share: 50%}}
    start: 2026-01-01
    end: 2026-02-01
    metrics: {primary: {revenue: {mde: 5%}}}
"""


def amount(user: int, day: int) -> float:
    return float((user * 7 + day * 3) % 11)


def is_new(user: int) -> bool:
    return user * 5 % 7 < 3


def is_drawn(user: int) -> bool:
    digest = hashlib.md5(f"metricdef sample {user}".encode(), usedforsecurity=False).hexdigest()
    return int(digest[:8], 16) < 2**31


def difference(users: list[int], least: float) -> float:
    totals = {u: sum(a for day in range(7) if (a := amount(u, day)) > least) for u in users}
    means = [
        sum(t for u, t in totals.items() if is_new(u) == arm) / sum(is_new(u) == arm for u in users)
        for arm in (True, False)
    ]
    return means[0] - means[1]


@pytest.mark.parametrize("sample", [None, Fraction(1, 2)])
def test_a_diff_is_that_of_the_rows(engine: Engine, tmp_path: Path, sample: Fraction | None) -> None:
    if engine.name == "spark" and sample is None:
        pytest.skip("spark: the sample is read by the same statements and one condition more")
    entered = [
        {"user_id": u, "experiment": "checkout", "arm": "new" if is_new(u) else "control", "at": START} for u in USERS
    ]
    orders = [
        {"user_id": u, "at": START + timedelta(days=day), "amount": amount(u, day)} for u in USERS for day in range(9)
    ]
    kinds = {"user_id": "integer", "experiment": "text", "arm": "text", "at": "timestamp"}
    order_kinds = {"user_id": "integer", "at": "timestamp", "amount": "double"}
    engine.fill({"assignments": Table(kinds, entered), "orders": Table(order_kinds, orders)})
    states = []
    for name, text in (("before", DEFINITIONS), ("now", DEFINITIONS.replace("amount > 0", "amount > 6"))):
        folder = tmp_path / name / "metrics"
        folder.mkdir(parents=True)
        (folder / "project.yml").write_text(PROJECT)
        (folder / "shop.yml").write_text(text)
        project = load_project(tmp_path / name).project
        assert project is not None
        states.append(project)
    profile = engine.profile()
    with connect(profile) as warehouse:
        found = compare_numbers(*states, "checkout", LATER, warehouse, profile, (), str, "main", sample)
    users = [u for u in USERS if sample is None or is_drawn(u)]
    assert {arm: now for arm, _, now in found.units} == {
        "control": sum(not is_new(u) for u in users),
        "new": sum(is_new(u) for u in users),
    }
    (pair,) = found.pairs
    for row, least in ((pair.before, 0), (pair.after, 6)):
        assert row is not None
        assert row.absolute is not None
        assert row.absolute.estimate == pytest.approx(difference(users, least), rel=1e-9)
        assert (row.verdict == "not_computed") == (sample is not None)
    assert found.is_changed
