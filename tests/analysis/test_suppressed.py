"""Levels with too few units are named, and nothing about them leaves the program."""

from __future__ import annotations

import json

import pytest
from projects import METRICS, PROJECT, SOURCES, TABLES, experiment, write_definitions, write_warehouse

from metricdef.api import Project
from metricdef.reports.text import render_text

SIZES = {"web": 200, "ios": 61, "android": 41, "watch": 9}


def readout(root, min_units, sizes=SIZES):
    project = {**PROJECT, "min_units": min_units}
    write_definitions(root, SOURCES, METRICS, experiment(analysis={"breakdowns": ["platform"]}), project=project)
    rows = [
        f"""INSERT INTO assignments SELECT '{level}' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END,
        TIMESTAMP '2026-01-02', '{level}' FROM range({count}) AS t(i)"""
        for level, count in sizes.items()
    ]
    orders = (
        "INSERT INTO orders SELECT user_id, TIMESTAMP '2026-01-03', LENGTH(user_id) % 3, 'p', 'paid' FROM assignments"
    )
    write_warehouse(root, *TABLES, *rows, orders)
    return Project(root).run("test", as_of="2026-03-01")


def hidden(found):
    return {row.segment["platform"] for row in found.estimates if row.segment and row.reason == "suppressed"}


@pytest.mark.parametrize(
    ("min_units", "expected"),
    [
        (0, set()),
        (4, set()),  # the smaller arm of `watch` has 4
        (5, {"watch", "android"}),  # one level alone could be told from the total
        (21, {"watch", "android"}),
        (31, {"watch", "android", "ios"}),
        (1000, set(SIZES)),
    ],
)
def test_small_levels_are_named_without_figures(tmp_path, min_units, expected):
    found = readout(tmp_path, min_units)
    assert hidden(found) == expected
    everything = json.loads(found.to_json())
    assert {row["segment"]["platform"] for row in everything["moments"] if row["segment"]} == set(SIZES) - expected
    for row in everything["estimates"]:
        if row["reason"] == "suppressed":
            assert [key for key, value in row.items() if type(value) in (int, float)] == []
            assert row["units"] is None
            assert row["tests"] == []
    text = render_text(found, 100, False, verbose=True)
    for level in SIZES:
        assert level in text


def test_what_is_shown_is_what_it_is_without_the_limit(tmp_path):
    few, all_ = readout(tmp_path / "few", 31), readout(tmp_path / "all", 0)
    want = {(r.metric, str(r.segment)): r.absolute for r in all_.estimates}
    for row in few.estimates:
        if row.reason != "suppressed":
            assert row.absolute == want[row.metric, str(row.segment)]
    assert few.decision == all_.decision


def test_one_level_alone(tmp_path):
    assert hidden(readout(tmp_path, 50, {"web": 60})) == {"web"}


IN_TIME = {
    "type": "mean",
    "source": "orders",
    "agg": "count",
    "window": "7d",
    "direction": "increase",
    "immature": "exclude",
}
OF_THOSE = {
    "type": "mean",
    "source": "orders",
    "agg": "max",
    "measure": "amount",
    "direction": "increase",
    "missing": "exclude",
}


def test_units_that_a_figure_rests_on_count(tmp_path):
    """Of 30 units in an arm one has a complete window, of another 29 one has a value: neither is shown alone."""
    metrics = {"metrics": {**METRICS["metrics"], "in_time": IN_TIME, "of_those": OF_THOSE}}
    content = experiment(
        metrics={"primary": {"buyers": {"mde": "2%"}}, "secondary": {"in_time": None, "of_those": None}},
        analysis={"breakdowns": ["platform"]},
    )
    write_definitions(tmp_path, SOURCES, metrics, content, project={**PROJECT, "min_units": 8})
    exposed = """INSERT INTO assignments SELECT '{level}' || i, 'test', CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END,
        {at}, '{level}' FROM range(60) AS t(i)"""
    early, late = "TIMESTAMP '2026-01-02'", "TIMESTAMP '2026-01-20'"
    write_warehouse(
        tmp_path,
        *TABLES,
        *(exposed.format(level=level, at=early) for level in ("web", "ios", "watch")),
        exposed.format(level="new", at=f"CASE WHEN i < 16 AND i % 2 = 0 OR i = 1 THEN {early} ELSE {late} END"),
        "INSERT INTO orders SELECT user_id, happened_at + INTERVAL 1 HOUR, 64 + ROW_NUMBER() OVER (), 'p', 'paid'"
        " FROM assignments WHERE platform <> 'watch' OR user_id IN ('watch1', 'watch2') OR RIGHT(user_id, 1) = '4'",
    )
    found = Project(tmp_path).run("test", as_of="2026-01-22")
    rows = {(row.metric, row.segment["platform"]): row for row in found.estimates if row.segment}
    hidden_at = {key for key, row in rows.items() if row.reason == "suppressed"}
    # The next smallest goes with each: of equal ones the first.
    assert hidden_at == {("in_time", "new"), ("in_time", "ios"), ("of_those", "watch"), ("of_those", "ios")}
    assert rows["buyers", "new"].units == (30, 30)
    for row in found.moments:
        level = row["segment"] and row["segment"]["platform"]
        assert any(c.startswith("of_those") for c in row["columns"]) == (
            "buyers" in row["columns"] and level not in ("watch", "ios")
        )
        assert not ("in_time" in row["columns"] and level in ("new", "ios"))
        assert level is None or row["n"] >= 8
    assert {row["segment"]["platform"] for row in found.moments if row["segment"] and "in_time" in row["columns"]} == {
        "web",
        "watch",
    }
