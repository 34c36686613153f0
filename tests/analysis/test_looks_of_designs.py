"""Looks of experiments whose estimates are no plain average over units: ramps and clusters, against the rows themselves."""

import copy
import math

import duckdb
import numpy as np
import pytest
from looks import DAYS, DEFINED, GROUP, SETTINGS, Looks, World, row
from projects import SOURCES, experiment, write_definitions
from scipy import stats

from metricdef.api import Project
from metricdef.stats.anytime import one_sided_margin
from metricdef.stats.group_sequential import AlphaSpending, boundaries
from metricdef.stats.spending import Spending

DAY = 86_400
STEP = 12  # days after the start at which the shares change
RAMP = [
    {"from": "2026-01-01", "shares": {"control": "90%", "treatment": "10%"}},
    {"from": "2026-01-13", "shares": {"control": "50%", "treatment": "50%"}},
]
STICKY = {"source": "assignments", "key": "test", "assignment": "sticky"}
OBRIEN = AlphaSpending(Spending("obrien_fleming"))
QUARTERS = (0.25, 0.5, 0.75, 1.0)


class Ramp(World):
    """A tenth in treatment for twelve days, then a half."""

    def __init__(self):
        super().__init__(n=4000, lift=0.05, seed=3)
        rng = np.random.default_rng(4)
        self.epoch = (self.at >= STEP * DAY).astype(int)
        self.arm = (rng.random(len(self.at)) < np.where(self.epoch == 1, 0.5, 0.1)).astype(int)
        self.bought = rng.random(len(self.at)) < 0.3 + 0.05 * self.arm + 0.1 * self.epoch
        self.amount = np.where(self.bought, rng.lognormal(1.0, 1.0, len(self.at)), 0.0)

    def combined(self, values, as_of):
        """Estimate, standard error and the variance of N tau, from the rows within each epoch."""
        seen, parts = self.mature(as_of), []
        for epoch in (0, 1):
            a, b = (values[seen & (self.epoch == epoch) & (self.arm == k)] for k in (1, 0))
            if len(a):
                parts.append((len(a) + len(b), a.mean() - b.mean(), a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)))
        n, tau, v = map(np.array, zip(*parts, strict=True))
        w = n / n.sum()
        estimate = w @ tau
        return estimate, math.sqrt(w**2 @ v + w @ (tau - estimate) ** 2 / n.sum()), n, v, w


@pytest.fixture(scope="module")
def ramp():
    return Ramp()


@pytest.fixture(scope="module")
def ramp_root(ramp, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ramp")
    ramp.fill(folder)
    return folder


def test_looks_of_a_ramp_are_read_in_the_time_of_their_joint_law(ramp, ramp_root):
    looks = ramp.write(ramp_root, ramp=RAMP, exposure=STICKY, guardrail=("orders_per_user",))
    readouts = looks.all(DAYS)
    before, times = None, []
    for j, (day, readout) in enumerate(zip(DAYS, readouts, strict=True)):
        found = row(readout, "buyers")
        test = found.test("superiority")
        estimate, error, n, v, w = ramp.combined(ramp.bought.astype(float), day)
        assert found.estimator.name == "stratified"
        assert found.absolute.estimate == pytest.approx(estimate, rel=1e-9)
        assert found.absolute.std_error == pytest.approx(error, rel=1e-9)
        z = stats.norm.isf(stats.t.sf(estimate / error, row_df(looks, j)))
        assert test.look.z["greater"] == pytest.approx(z, rel=1e-9)
        if before is None:
            times.append(float(n.sum()))
        else:
            # Cov(tau_i, tau_j) = sum_k w_ki w_kj V_kj: the rows of the earlier look are among those of this one.
            rhos = []
            for earlier_w, earlier_v in before:
                m = len(earlier_w)
                rhos.append((earlier_w * w[:m]) @ v[:m] / math.sqrt((earlier_w**2 @ earlier_v) * (w**2 @ v)))
            times.append(max(t / rho**2 for t, rho in zip(times, rhos, strict=True)))
        before = [*(before or []), (w, v)]
        assert looks.history[j].result("buyers", "treatment").time == pytest.approx(times[-1], rel=1e-9)
        bound = boundaries(OBRIEN, times, 0.025, 1, QUARTERS[: j + 1]).upper[-1]
        assert test.look.bound == pytest.approx(bound, rel=1e-9)
        harm = row(readout, "orders_per_user").test("deterioration")
        assert harm.kind == "anytime"
    information = [r.result("buyers", "treatment").information for r in looks.history]
    assert boundaries(OBRIEN, information, 0.025, 1, QUARTERS).upper[-1] != pytest.approx(bound, abs=1e-3)


def row_df(looks, j):
    return looks.history[j].result("buyers", "treatment").df


def test_a_test_valid_at_any_time_counts_units_of_the_first_epoch(ramp, ramp_root):
    looks = ramp.write(
        ramp_root, {"method": "always_valid", "planned_units": 4000}, ramp=RAMP, exposure=STICKY, secondary=()
    )
    for day in DAYS[:3]:
        readout = looks.run(day)
    _, _, n, v, _ = ramp.combined(ramp.bought.astype(float), DAYS[2])
    units = float(n @ (n * v) / (n[0] * v[0]))  # each unit by its variance, that of a unit of the first epoch being 1
    found, result = row(readout, "buyers"), looks.history[-1].result("buyers", "treatment")
    assert result.time == pytest.approx(units, rel=0.02)  # looks estimated the variances anew
    assert result.time < 0.75 * n.sum()
    rho2 = (-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / 4000
    factor = one_sided_margin(1.0, result.time, rho2, 0.025)
    assert found.test("superiority").look.bound == pytest.approx(factor, rel=1e-9)


def test_the_interval_of_a_fixed_ramp_before_its_end_counts_them_too(ramp, ramp_root):
    early = ramp.write(ramp_root, {"method": "fixed"}, ramp=RAMP, exposure=STICKY, secondary=()).run(DAYS[2])
    _, error, n, v, _ = ramp.combined(ramp.bought.astype(float), DAYS[2])
    found = row(early, "buyers")
    rho2 = (-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / 10_000
    k = float(n @ (n * v) / (n[0] * v[0])) * rho2 + 1
    half = error * math.sqrt(2 * k / (k - 1) * math.log(math.sqrt(k) / 0.05))
    assert found.absolute.upper - found.absolute.estimate == pytest.approx(half, rel=1e-6)
    assert found.interval_kind == "anytime"


def test_a_step_after_the_looks_goes_on_and_one_before_a_look_makes_it_another(ramp, ramp_root):
    """What a look estimated rests on where the steps before it lie, and on no later one."""
    both = {"secondary": ("order_value",), "analysis": {"multiplicity": {"secondary": "none"}}}
    sole = ramp.write(ramp_root, arms={"control": {"share": "90%"}, "treatment": {"share": "10%"}}, **both)
    sole.run(DAYS[0])
    looks = ramp.write(ramp_root, ramp=RAMP, exposure=STICKY, **both)
    whole = looks.all(DAYS[:2])
    looks.history = [sole.history[0]]
    later = looks.run(DAYS[1], record=False)
    for metric in ("buyers", "order_value"):
        expected, found = row(whole[-1], metric).test("superiority"), row(later, metric).test("superiority")
        if metric == "buyers":
            assert found.p_value == pytest.approx(expected.p_value, rel=1e-9)
            assert found.look.bound == pytest.approx(expected.look.bound, rel=1e-9)
        else:  # a look without a ramp doesn't tell what a ratio was divided by: it counts as unrelated
            assert expected.look.bound < found.look.bound < expected.look.bound + 0.01
    moved = [RAMP[0], {**RAMP[1], "from": "2026-01-06"}]
    looks = ramp.write(ramp_root, ramp=moved, exposure=STICKY)
    looks.history = [sole.history[0]]
    again = row(looks.run(DAYS[1], record=False), "buyers")
    assert (again.verdict, again.reason) == ("not_computed", "other_definition")
    replay = row(looks.run(DAYS[0], record=False), "buyers")
    assert replay.reason == "other_definition"


def test_a_sample_ratio_that_was_held_against_other_shares_does_not_count(ramp, ramp_root):
    looks = ramp.write(ramp_root)  # as if the arms had had half of the units each
    wrong = looks.run(DAYS[0])
    assert wrong.decision.recommendation == "invalid"
    right = ramp.write(ramp_root, ramp=RAMP, exposure=STICKY)
    right.history = looks.history
    found = right.run(DAYS[1])
    assert found.decision.recommendation != "invalid"
    (check,) = [h for h in found.health if h.check == "srm_assignment"]
    assert check.message.endswith("1 earlier look, held against other shares, left out")


SHOPS = 24


@pytest.fixture(scope="module")
def shops(tmp_path_factory):
    """Shops are randomised; their customers come all January."""
    folder = tmp_path_factory.mktemp("shops")
    world = World(n=3000, lift=0.0, seed=5)
    rng = np.random.default_rng(6)
    world.shop = rng.integers(0, SHOPS, 3000)
    world.arm = world.shop % 2
    level = 0.3 + 0.1 * rng.standard_normal(SHOPS)
    world.bought = rng.random(3000) < level[world.shop]
    world.amount = np.where(world.bought, 10.0, 0.0)
    world.fill(folder)
    with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
        connection.execute("CREATE TABLE shop (u VARCHAR, s VARCHAR)")
        connection.executemany("INSERT INTO shop VALUES (?, ?)", [(f"u{i}", f"s{s}") for i, s in enumerate(world.shop)])
        connection.execute("UPDATE assignments SET platform = (SELECT s FROM shop WHERE u = user_id)")
    sources = copy.deepcopy(SOURCES)
    sources["sources"]["assignments"]["entities"]["shop"] = "platform"
    roles = {"primary": {"buyers": {"mde": "5%"}}, "guardrail": {"orders_per_user": {"margin": "20%"}}}
    write_definitions(
        folder, sources, {"metrics": DEFINED}, experiment(metrics=roles, unit="user", cluster="shop", analysis={"sequential": GROUP}),
        project={**SETTINGS, "entities": ["user", "shop"]},
    )  # fmt: skip
    return world, Looks(Project(folder))


def test_looks_of_clusters_each_have_the_alpha_that_they_spend(shops):
    world, looks = shops
    spent, readouts = 0.0, looks.all(DAYS)
    for j, (day, readout) in enumerate(zip(DAYS, readouts, strict=True)):
        seen = world.mature(day)
        totals, sizes = (np.bincount(world.shop[seen], x[seen], SHOPS) for x in (world.bought, np.ones(3000)))
        variance, ratios = [], []
        for k in (0, 1):
            y, n = totals[k::2], sizes[k::2]
            ratios.append(y.sum() / n.sum())
            variance.append(np.var(y - ratios[-1] * n, ddof=1) / n.mean() ** 2 / len(n))
        found = row(readout, "buyers")
        assert found.absolute.estimate == pytest.approx(ratios[1] - ratios[0], rel=1e-9)
        assert found.absolute.std_error == pytest.approx(math.sqrt(sum(variance)), rel=1e-9)
        test = found.test("superiority")
        now = 2 * stats.norm.sf(stats.norm.isf(0.0125) / math.sqrt((j + 1) / 4))  # Lan & DeMets, one side
        # As if the looks had nothing in common: the part of alpha that the look spends, of the paths that went on.
        assert stats.norm.sf(test.look.bound) == pytest.approx((now - spent) / (1 - spent), rel=2e-3)
        spent = now
        assert found.headline is None
        assert row(readout, "orders_per_user").test("deterioration").kind == "sequential"
    assert readouts[-1].decision.recommendation in ("ship", "hold")
