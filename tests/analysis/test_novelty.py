"""Slopes of effects over the days since exposure: compiled SQL on DuckDB against the same from raw rows."""

from __future__ import annotations

from datetime import datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from projects import PROJECT, SOURCES, TABLES, experiment, write_definitions
from scipy import stats

from metricdef.api import Project
from metricdef.definitions.load import load_project
from metricdef.reports.text import render_text
from metricdef.stats import novelty as reference
from metricdef.stats.adjustment import MeanOutcome, choose
from metricdef.stats.moments import Moments, from_rows
from metricdef.stats.novelty import day_weights, sum_of_squares

START = np.datetime64(datetime(2026, 1, 1), "us")
DAY = np.timedelta64(86_400_000_000, "us")
REVENUE = {"type": "mean", "source": "orders", "agg": "sum", "measure": "amount", "direction": "increase"}
METRICS = {
    "revenue": REVENUE,
    "capped": {**REVENUE, "cap": {"upper": "p90"}},
    "limited": {**REVENUE, "cap": {"upper": 12.5}},
    "adjusted": {**REVENUE, "covariates": {"lookback": "7d"}},
    "later": {**REVENUE, "window": "1d..4d", "filter": "status = 'paid'"},
    "orders": {"type": "mean", "source": "orders", "agg": "count", "direction": "increase"},
    "buyers": {"type": "proportion", "source": "orders", "direction": "increase"},
}
WINDOWS = {"later": (1, 4)}


class World:
    """Users with orders before and after exposure; the treatment's effect halves from day to day."""

    def __init__(self, n=900, seed=3):
        rng = np.random.default_rng(seed)
        self.n = n
        self.at = START + (rng.random(n) * 20 * 86_400e6).astype("timedelta64[us]")
        self.arm = rng.integers(0, 2, n)
        rate = rng.gamma(2.0, 0.3, n)
        days = rng.poisson(
            rate[:, None]
            * (1 + self.arm[:, None] * 0.8 * 0.5 ** np.clip(np.arange(-9, 9), 0, 9) * (np.arange(-9, 9) >= 0))
        )
        user, day = np.repeat(np.arange(n), days.sum(1)), np.concatenate([np.repeat(np.arange(-9, 9), k) for k in days])
        self.user = user
        self.time = self.at[user] + day * DAY + (rng.random(len(user)) * 86_400e6).astype("timedelta64[us]")
        self.amount = np.round(rng.lognormal(1.0, 0.8, len(user)), 2)
        self.paid = rng.random(len(user)) < 0.8

    def write(self, root, novelty=tuple(METRICS), **changes):
        roles = {"primary": {name: {"mde": "5%"} for name in METRICS}}
        protocol = {"metrics": roles, "analysis": {"novelty": list(novelty), **changes.pop("analysis", {})}, **changes}
        write_definitions(root, SOURCES, {"metrics": METRICS}, experiment(**protocol), project=SETTINGS)
        with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
            for statement in TABLES:
                connection.execute(statement)
            arms = np.array(["control", "treatment"])[self.arm].tolist()
            platforms = np.where(np.arange(self.n) % 3 == 0, "web", "app").tolist()
            rows = pa.table(
                {"u": [f"u{i}" for i in range(self.n)], "arm": arms, "shown": self.at, "platform": platforms}
            )
            connection.register("arrivals", rows)
            connection.execute("INSERT INTO assignments SELECT u, 'test', arm, shown, platform FROM arrivals")
            status = np.where(self.paid, "paid", "open").tolist()
            orders = {"u": [f"u{i}" for i in self.user], "sold": self.time, "amount": self.amount, "status": status}
            connection.register("sales", pa.table(orders))
            connection.execute("INSERT INTO orders SELECT u, sold, amount, 'p', status FROM sales")
        return Project(root)

    def by_day(self, name, anchor=None, days=6):
        """Daily values of every unit (n x D), from the raw rows."""
        first, last = WINDOWS.get(name, (0, days))
        anchor = self.at if anchor is None else anchor
        day = (self.time - anchor[self.user]) // DAY
        seen = (day >= first) & (day < last) & (self.time >= anchor[self.user])
        seen &= self.paid if name == "later" else True
        values = np.zeros((self.n, last - first))
        weights = np.ones(len(self.user)) if name in ("orders", "buyers") else self.amount
        np.add.at(values, (self.user[seen], (day[seen] - first).astype(int)), weights[seen])
        if name == "buyers":
            values = (values > 0).astype(float)
        limit = {"capped": np.percentile(values.sum(1), 90), "limited": 12.5}.get(name)
        if limit is not None:
            whole = values.sum(1)
            values *= np.where(whole > limit, limit / np.where(whole > 0, whole, 1), 1)[:, None]
        return values

    def slopes(self, name, **changes):
        """The least-squares slope of every unit's daily values."""
        values = self.by_day(name, **changes)
        return np.polyfit(np.arange(values.shape[1]), values.T, 1)[0]


SETTINGS = {**PROJECT, "defaults": {"window": "6d"}}


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.fixture(scope="module")
def readout(world, tmp_path_factory):
    return world.write(tmp_path_factory.mktemp("novelty")).run("test", as_of="2026-03-01")


@pytest.mark.parametrize("name", [name for name in METRICS if name != "adjusted"])
def test_slopes_are_those_of_the_daily_values_of_every_unit(world, readout, name):
    found = next(entry for entry in readout.novelty if entry["metric"] == name)
    b = world.slopes(name)
    treated, control = b[world.arm == 1], b[world.arm == 0]
    test = stats.ttest_ind(treated, control, equal_var=False)
    interval = test.confidence_interval(0.95)
    assert found["slope"]["estimate"] == pytest.approx(treated.mean() - control.mean(), rel=1e-9)
    assert found["slope"]["lower"] == pytest.approx(interval.low, rel=1e-8)
    assert found["slope"]["upper"] == pytest.approx(interval.high, rel=1e-8)
    assert found["p_value"] == pytest.approx(test.pvalue, rel=1e-8)
    assert found["days"] == world.by_day(name).shape[1]
    assert found["last_less_first"] == pytest.approx(found["slope"]["estimate"] * (found["days"] - 1), rel=1e-12)
    effects = world.by_day(name)[world.arm == 1].mean(0) - world.by_day(name)[world.arm == 0].mean(0)
    assert found["slope"]["estimate"] == pytest.approx(np.polyfit(np.arange(found["days"]), effects, 1)[0], rel=1e-8)


def test_the_capped_value_is_the_sum_of_its_days(world, readout):
    row = next(r for r in readout.estimates if r.metric == "capped")
    assert row.baseline_value == pytest.approx(world.by_day("capped")[world.arm == 0].sum(1).mean(), rel=1e-9)


def test_an_adjusted_metric_has_an_adjusted_slope(world, readout):
    found = next(entry for entry in readout.novelty if entry["metric"] == "adjusted")
    before = (world.time < world.at[world.user]) & (world.time >= world.at[world.user] - 7 * DAY)
    x = np.bincount(world.user[before], world.amount[before], world.n)
    values = world.by_day("adjusted") @ np.array(day_weights(6))
    arms = [from_rows(("s", "x"), np.column_stack([values, x])[world.arm == k]) for k in (0, 1)]
    (expected,) = reference.test_novelty(arms, "s", 6, 0.05, ("x",))
    assert (found["estimator"], expected.estimator) == ("lin", "lin")
    assert found["covariates"] == ("adjusted before exposure",)
    for name in ("estimate", "std_error", "lower", "upper"):
        assert found["slope"][name] == pytest.approx(getattr(expected.slope, name), rel=1e-8)


def test_an_effect_that_wears_off_fades_in_words(readout):
    found = next(entry for entry in readout.novelty if entry["metric"] == "orders")
    assert found["course"] == "fades"
    assert (
        "Over the 6 days since exposure, orders, treatment: it fades; the daily effect changes by −0."
        in render_text(readout, 400)
    )


def test_days_count_from_the_trigger(world, tmp_path):
    trigger = {"source": "assignments", "trigger": {"source": "orders"}}
    project = world.write(tmp_path, ("revenue", "buyers"), exposure=trigger)
    readout = project.run("test", as_of="2026-03-01")
    after = world.time >= world.at[world.user]
    after &= world.time < START + 31 * DAY  # before the end
    anchor = np.full(world.n, np.datetime64("NaT", "us"))
    for user in range(world.n):
        own = world.time[after & (world.user == user)]
        if len(own):
            anchor[user] = own.min()
    seen = ~np.isnat(anchor)
    filled = np.where(seen, anchor, START + 1000 * DAY)
    for name in ("revenue", "buyers"):
        b = world.slopes(name, anchor=filled)
        expected = b[seen & (world.arm == 1)].mean() - b[seen & (world.arm == 0)].mean()
        found = next(entry for entry in readout.novelty if entry["metric"] == name)
        assert found["slope"]["estimate"] == pytest.approx(expected, rel=1e-9)


def test_it_changes_no_other_figure_and_nothing_is_shown_early(world, tmp_path):
    with_it = world.write(tmp_path / "with").run("test", as_of="2026-03-01", daily=True)
    without = world.write(tmp_path / "without", ()).run("test", as_of="2026-03-01", daily=True)
    assert (with_it.estimates, with_it.decision, with_it.series) == (
        without.estimates,
        without.decision,
        without.series,
    )
    assert without.novelty == ()
    assert Project(tmp_path / "with").run("test", as_of="2026-01-20").novelty == ()


def test_within_strata_and_epochs(world, tmp_path):
    """As the estimates: by the stratified estimator, within the epochs of a ramp."""
    project = world.write(tmp_path / "strata", ("revenue",), analysis={"strata": ["platform"]})
    (found,) = project.run("test", as_of="2026-03-01").novelty
    web = (np.arange(world.n) % 3 == 0).astype(float)
    s = world.by_day("revenue") @ np.array(day_weights(6))
    arms: list[Moments] = [from_rows(("s", "web"), np.column_stack([s, web])[world.arm == k]) for k in (0, 1)]
    estimates = choose(arms, MeanOutcome("s"), ("web",))
    expected = (estimates.means[1] - estimates.means[0]) / sum_of_squares(6)
    assert found["slope"]["estimate"] == pytest.approx(expected, rel=1e-9)
    half = {"control": "50%", "treatment": "50%"}
    ramp = [{"from": "2026-01-01", "shares": half}, {"from": "2026-01-10", "shares": half}]
    changes = {"ramp": ramp, "exposure": {"source": "assignments", "assignment": "sticky"}}
    (found,) = world.write(tmp_path / "ramp", ("revenue",), **changes).run("test", as_of="2026-03-01").novelty
    late, b = world.at >= START + 9 * DAY, world.slopes("revenue")
    expected = sum(
        part.mean() * (b[part & (world.arm == 1)].mean() - b[part & (world.arm == 0)].mean()) for part in (~late, late)
    )
    assert found["slope"]["estimate"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("metric", "change", "says"),
    [
        ("gone", {}, "unknown-metric"),
        ("revenue", {"window": "36h"}, "whole days"),
        ("revenue", {"window": "1d"}, "whole days"),
        ("revenue", {"window": "experiment"}, "whole days"),
        ("revenue", {"immature": "include"}, "whole days"),
        ("revenue", {"agg": "max", "missing": "zero"}, "no sum of daily values"),
        ("revenue", {"agg": "count_distinct"}, "no sum of daily values"),
        ("revenue", {"missing": "exclude"}, "no sum of daily values"),
        ("revenue", {"cap": {"lower": 1}}, "lower cap"),
    ],
)
def test_what_has_no_values_by_day_is_refused_at_its_place(tmp_path, metric, change, says):
    roles = {"secondary": {"revenue": None}}
    content = experiment(metrics=roles, analysis={"novelty": [metric]})
    write_definitions(tmp_path, SOURCES, {"metrics": {"revenue": {**REVENUE, **change}}}, content, project=SETTINGS)
    (found,) = load_project(tmp_path).errors
    assert says in (found.rule, *found.message.split(", ")) or says in found.message
    assert found.place.text.strip() == f"- {metric}"


def test_as_of_in_the_middle_counts_complete_windows_only(world, tmp_path):
    project = world.write(tmp_path, ("revenue",), end="2026-01-10")
    as_of = datetime(2026, 1, 10) + timedelta(days=6)
    (found,) = project.run("test", as_of=f"{as_of:%Y-%m-%d}").novelty
    seen = world.at < START + 9 * DAY
    b = world.slopes("revenue")
    expected = b[seen & (world.arm == 1)].mean() - b[seen & (world.arm == 0)].mean()
    assert found["slope"]["estimate"] == pytest.approx(expected, rel=1e-9)


def test_a_cap_that_makes_no_metric_makes_no_slope(world, tmp_path, monkeypatch):
    """The row of the metric said why there is no figure, and the slope beside it was of what that cap had left."""
    monkeypatch.setitem(METRICS, "capped", {**REVENUE, "cap": {"upper": "p40"}})
    readout = world.write(tmp_path, ("capped", "revenue")).run("test", as_of="2026-03-01")
    row = next(r for r in readout.estimates if r.metric == "capped")
    whole, capped = sorted(readout.novelty, key=lambda entry: entry["metric"] == "capped")
    assert (row.reason, capped["reason"]) == ("cap_degenerate", "cap_degenerate")
    assert (capped["slope"], capped["p_value"], capped["last_less_first"]) == (None, None, None)
    assert whole["slope"] is not None
