"""Sequential designs end to end: rows in DuckDB, runs one after the other, against brute force from the same rows."""

import json
import math

import duckdb
import numpy as np
import pytest
from looks import DAYS, DEFINED, GROUP, LOOKS, SETTINGS, Looks, World, row
from projects import SOURCES, experiment, write_definitions
from scipy import stats

from metricdef.analysis.analyse import analyse
from metricdef.analysis.health import SRM_CHECKS
from metricdef.api import Project
from metricdef.errors import DefinitionErrors, UsageError
from metricdef.reports.text import render_text

FLAG = {"provider": "openfeature", "key": "checkout", "rollback": "off"}


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.fixture(scope="module")
def root(world, tmp_path_factory):
    """Definitions are written again by every test; the rows stay."""
    folder = tmp_path_factory.mktemp("looks")
    world.fill(folder)
    return folder


def crossing_rate(bounds, information, draws=2_000_000):
    """P(|Z_j| >= c_j at any look) by simulation."""
    rng = np.random.default_rng(7)
    steps = rng.normal(size=(draws, len(bounds))) * np.sqrt(np.diff(information, prepend=0.0))
    z = steps.cumsum(axis=1) / np.sqrt(information)
    return float((np.abs(z) >= np.array(bounds)).any(axis=1).mean())


def test_every_figure_at_looks_is_that_of_the_rows(world, root):
    looks = world.write(root)
    readouts = looks.all(DAYS)
    limits, scores, errors = [], [], []
    for day, readout in zip(DAYS, readouts, strict=True):
        found = row(readout, "buyers")
        test = found.test("superiority")
        estimate, error, df, z = world.welch(world.bought.astype(float), day)
        assert found.units == tuple(int((world.mature(day) & (world.arm == k)).sum()) for k in (0, 1))
        assert found.absolute.estimate == pytest.approx(estimate, rel=1e-9)
        assert found.absolute.std_error == pytest.approx(error, rel=1e-9)
        assert test.look.z["greater"] == pytest.approx(z, rel=1e-9)
        assert test.look.information == pytest.approx(error**-2, rel=1e-9)
        half = stats.t.isf(stats.norm.sf(test.look.bound), df) * error
        limits.append((estimate - half, estimate + half))
        assert found.absolute.lower == pytest.approx(max(low for low, _ in limits), rel=1e-6)
        assert found.absolute.upper == pytest.approx(min(high for _, high in limits), rel=1e-6)
        scores.append(test.look.bound)
        errors.append(error)
    # Lan & DeMets' O'Brien-Fleming at a quarter, two-sided 5 %: gsDesign 4.332634, whatever the information.
    assert scores[0] == pytest.approx(4.332634, abs=5e-7)
    # The family has two-sided level 5 % with the information as it came out.
    assert crossing_rate(scores, np.array(errors) ** -2.0) == pytest.approx(0.05, abs=0.0005)
    spent = [row(r, "buyers").test("superiority").look.spent for r in readouts]
    assert spent[-1] == pytest.approx(0.05, rel=1e-9)
    assert spent == pytest.approx([entry["alpha_spent"] for entry in readouts[-1].ledger["looks"]], rel=1e-6)
    assert [r.look["number"] for r in readouts] == [1, 2, 3, 4]
    assert [r.look["final"] for r in readouts] == [False, False, False, True]


def test_the_p_over_all_looks_never_rises_and_agrees_with_bound_and_interval(world, root):
    looks = world.write(root, guardrail=("orders_per_user",), secondary=("revenue", "adjusted"))
    last = {}
    for readout in looks.all(DAYS):
        for found in readout.estimates:
            assert found.interval_kind == "repeated"
            for test in found.tests:
                assert test.p_adjusted >= test.p_value
                level = test.alpha if test.procedure == "none" else None
                assert test.rejected == (test.p_adjusted <= test.alpha)
                if level is not None:
                    assert test.rejected == (test.p_value <= level)
                key = (found.metric, test.hypothesis)
                assert test.p_value <= last.get(key, 1.0)
                last[key] = test.p_value
            main = found.test("non_inferiority" if found.role == "guardrail" else "superiority")
            if found.role == "guardrail":
                assert main.rejected == (found.verdict == "non_inferior")
                assert main.rejected == (found.relative.lower > -0.1)
            else:
                assert (main.p_value <= main.alpha) == (not found.absolute.lower <= 0 <= found.absolute.upper)
                assert (main.p_value <= main.alpha) == (not found.relative.lower <= 0 <= found.relative.upper)
                assert main.rejected == (found.verdict in ("superior", "inferior"))
            if found.simultaneous is not None:
                assert main.rejected == (not found.simultaneous.lower <= 0 <= found.simultaneous.upper)


def test_a_family_splits_alpha_before_it_is_spent(world, root):
    looks = world.write(root, secondary=("revenue", "adjusted"), analysis={"multiplicity": {"secondary": "bonferroni"}})
    readout = looks.run(DAYS[0])
    bound = row(readout, "revenue").test("superiority").look.bound
    # First look at a quarter, at 1.25 % one-sided: 2 (1 - Phi(z_{a/2} / sqrt t)) in closed form.
    spent = 2 * stats.norm.sf(stats.norm.isf(0.0125 / 2) / math.sqrt(0.25))
    assert bound == pytest.approx(stats.norm.isf(spent), rel=1e-9)
    assert row(readout, "buyers").test("superiority").look.bound == pytest.approx(4.332634, abs=5e-7)
    wider, own = row(readout, "revenue").simultaneous, row(readout, "revenue").absolute
    assert wider.lower < own.lower < own.upper < wider.upper


def test_a_run_that_is_no_look_shows_health_and_no_figure_of_an_effect(world, root):
    looks = world.write(root)
    looks.run(DAYS[0])
    for day in ("2026-01-08", "2026-01-12", "2026-01-18"):
        readout = looks.run(day, daily=True)
        document = json.loads(readout.to_json())
        assert readout.look is None
        assert [document[key] for key in ("estimates", "moments", "series", "sensitivity")] == [[], [], [], []]
        assert readout.decision.recommendation == "hold"
        assert readout.health
        assert document["ledger"]["block_good_change"] is None
        # What is left names no number between the arms: counts, shares, levels and times only.
        estimate = world.welch(world.bought.astype(float), day)[0]
        assert f"{estimate:.6g}"[:6] not in readout.to_json()
        render_text(readout)
    assert len(looks.history) == 1


def test_a_replay_gives_the_same_numbers_and_shows_what_late_rows_changed(world, tmp_path):
    looks = world.write(tmp_path)
    first, second = looks.all(DAYS[:2])
    again = looks.run(DAYS[0])
    assert again.look["replay"]
    assert again.look["differences"] == []
    assert {**again.to_dict(), "look": None} == {**first.to_dict(), "look": None}
    assert again.look["record"] == first.look["record"]
    assert looks.run(DAYS[1]).estimates == second.estimates
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        late = [f"u{i}" for i in np.flatnonzero(~world.bought & (world.arm == 1))[:5]]
        connection.executemany(
            "INSERT INTO orders SELECT user_id, happened_at + INTERVAL 1 HOUR, 8, 'p', 'paid' FROM assignments WHERE user_id = ?",
            [[u] for u in late],
        )
    changed = looks.run(DAYS[0])
    named = {(d["metric"], d["arm"]): d for d in changed.look["differences"]}
    assert set(named) == {("buyers", "treatment"), ("revenue", "treatment")}
    assert named["buyers", "treatment"]["recorded"]["estimate"] == first.estimates[0].absolute.estimate
    assert named["buyers", "treatment"]["now"]["estimate"] == changed.estimates[0].absolute.estimate


def test_a_cap_stays_where_the_first_look_with_a_thousand_units_had_it(world, root):
    looks = world.write(root, secondary=("revenue",))
    readouts = looks.all(DAYS)
    fixed = np.percentile(world.amount[world.mature(DAYS[0])], 95)
    assert len(world.amount[world.mature(DAYS[0])]) >= 1000
    moved = np.percentile(world.amount[world.mature(DAYS[3])], 95)
    assert abs(moved / fixed - 1) > 1e-3
    for day, readout in zip(DAYS, readouts, strict=True):
        found = row(readout, "revenue")
        assert found.cap.parts[0].upper == pytest.approx(fixed, rel=1e-12)
        estimate, error, _, _ = world.welch(np.minimum(world.amount, fixed), day)
        assert found.absolute.estimate == pytest.approx(estimate, rel=1e-9)
        assert found.absolute.std_error == pytest.approx(error, rel=1e-9)
    ((key, limit),) = looks.history[-1].caps.items()
    assert (key.partition(":")[0], limit) == ("revenue.upper", pytest.approx(fixed))


def test_a_cap_is_not_fixed_by_fewer_than_a_thousand_units(tmp_path):
    world = World(n=2000, seed=3)
    looks = world.write(tmp_path)
    looks.all(DAYS)
    sizes = [int(world.mature(day).sum()) for day in DAYS]
    assert sizes[1] < 1000 <= sizes[2]
    assert [bool(record.caps) for record in looks.history] == [False, False, True, True]


def test_sql_that_ignores_a_fixed_cap_is_refused(world, root):
    looks = world.write(root)
    looks.run(DAYS[0])
    query = looks.project.compile("test", as_of=DAYS[1])
    with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
        table = connection.sql(query.statements[-1]).to_arrow_table()
    with pytest.raises(UsageError, match=r"revenue\.upper"):
        analyse(looks.project.definitions, query, table, history=looks.history)


def test_the_estimator_of_the_first_look_is_kept(tmp_path):
    """At the first look fewer than 10 units of an arm bought: the score family answers, and goes on to."""
    world = World(n=4000, lift=0.002, seed=5, base=0.012)
    readouts = world.write(tmp_path, secondary=()).all(DAYS)
    successes = [
        min(int((world.bought & world.mature(day) & (world.arm == k)).sum()) for k in (0, 1))
        for day in (DAYS[0], DAYS[3])
    ]
    assert successes[0] < 10 <= successes[1]
    assert [row(r, "buyers").estimator.name for r in readouts] == ["score"] * 4
    # A day of the series is estimated as the whole is: its last one says the same.
    (looks := world.write(tmp_path, secondary=())).all(DAYS[:3])
    last = looks.run(DAYS[3], daily=True)
    assert {day["estimator"] for day in last.series if day["absolute"]} == {"score"}
    assert last.series[-1]["absolute"]["estimate"] == pytest.approx(row(last, "buyers").absolute.estimate, rel=1e-12)
    alone = world.write(tmp_path, secondary=()).run(DAYS[3])
    assert row(alone, "buyers").estimator.name == "unadjusted"


def test_an_early_stop_says_who_may_act_and_what_to_quote(tmp_path):
    world = World(lift=0.12, seed=2)
    looks = world.write(tmp_path, decision={"authority": ["council"]})
    first = looks.run(DAYS[0])
    assert (first.decision.recommendation, first.decision.authority) == ("ship", ("council",))
    assert any("council may act on it" in line for line in first.decision.because)
    second = looks.run(DAYS[1])
    found, stopped = row(second, "buyers"), row(first, "buyers")
    assert found.verdict == "superior"
    # At a first look the median-unbiased estimate is the estimate; gone on, it stays that of the look that stopped.
    assert found.headline.estimate == pytest.approx(stopped.absolute.estimate, rel=1e-6)
    assert found.headline.kind == "median_unbiased"


def test_a_later_stop_is_corrected_downwards(world, root):
    readouts = world.write(root, secondary=()).all(DAYS)
    stopped = next(r for r in readouts if row(r, "buyers").verdict == "superior")
    assert stopped is not readouts[0]
    found = row(stopped, "buyers")
    assert 0 < found.headline.estimate < found.absolute.estimate
    assert all(row(r, "buyers").headline is None for r in readouts[: readouts.index(stopped)])
    waiting = row(readouts[0], "buyers")
    assert (waiting.verdict, waiting.reason) == ("inconclusive", "bound_not_crossed")


def test_harm_stops_at_any_run_and_alerts_the_flag(tmp_path):
    world = World(lift=-0.2, seed=4)
    looks = world.write(tmp_path, flag=FLAG, decision={"authority": ["council"]})
    readout = looks.run("2026-01-10")
    assert readout.look is None
    assert readout.estimates == ()
    assert readout.decision.recommendation == "stop"
    assert readout.alert["flag"] == FLAG
    assert readout.alert["arms"] == ["treatment"]
    assert readout.alert["authority"] == ["council"]
    # Valid at any time: one look of the one-sided mixture at 1 %, from the rows.
    looked = looks.run(DAYS[0])
    test = row(looked, "buyers").test("deterioration")
    _, _, _, z = world.welch(-world.bought.astype(float), DAYS[0])
    n = int(world.mature(DAYS[0]).sum())
    rho2 = (-2 * math.log(0.02) + math.log(-2 * math.log(0.02) + 1)) / 10_000
    k = n * rho2 + 1
    expected = math.sqrt(k) / (2 * math.expm1(n * rho2 * z * z / (2 * k)))
    assert test.p_value == pytest.approx(expected, rel=1e-6, abs=0)
    assert (test.kind, test.rejected) == ("anytime", True)
    assert World(lift=0.0).write(tmp_path / "none").run(DAYS[0]).alert is None


def test_always_valid(tmp_path):
    world = World(lift=0.08, seed=6)
    looks = world.write(tmp_path, {"method": "always_valid", "planned_units": 6000}, secondary=())
    early = looks.run("2026-01-04T06:00:00Z")
    assert row(early, "buyers").reason == "too_few_units"
    limits = []
    for day in ("2026-01-09", "2026-01-13", *DAYS[1:]):
        readout = looks.run(day)
        found = row(readout, "buyers")
        estimate, error, df, z = world.welch(world.bought.astype(float), day)
        n = int(world.mature(day).sum())
        rho2 = (-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / 6000
        k = n * rho2 + 1
        margin = math.sqrt(2 * (k / (n * rho2)) * math.log1p(math.sqrt(k) / 0.05))
        assert found.test("superiority").look.bound == pytest.approx(margin, rel=1e-9)
        half = stats.t.isf(stats.norm.sf(margin), df) * error
        limits.append((estimate - half, estimate + half))
        assert found.interval_kind == "anytime"
        assert found.absolute.lower == pytest.approx(max(low for low, _ in limits), rel=1e-6)
        assert (found.verdict == "superior") == (found.absolute.lower > 0)
        assert (z >= margin) <= (found.verdict == "superior")
        assert found.headline is None
    assert found.verdict == "superior"
    assert readout.look["final"]
    assert len(looks.history) == 6


def test_a_hybrid_splits_alpha(tmp_path):
    world = World(lift=0.05, seed=8)
    split = {"method": "hybrid", "anytime_alpha": "1%", "final_alpha": "4%", "planned_units": 6000}
    looks = world.write(tmp_path, split, secondary=())
    for day in ("2026-01-09", *DAYS[:3]):
        found = row(looks.run(day), "buyers")
        n = int(world.mature(day).sum())
        rho2 = (-2 * math.log(0.01) + math.log(-2 * math.log(0.01) + 1)) / 6000
        k = n * rho2 + 1
        margin = math.sqrt(2 * (k / (n * rho2)) * math.log1p(math.sqrt(k) / 0.01))
        assert found.test("superiority").look.bound == pytest.approx(margin, rel=1e-9)
    end = looks.run(DAYS[3])
    found = row(end, "buyers")
    _, _, _, z = world.welch(world.bought.astype(float), DAYS[3])
    assert found.test("superiority").look.bound == pytest.approx(stats.norm.isf(0.02), rel=1e-9)
    smallest = min(record.results[0].sides["superiority:greater"].p_value for record in looks.history[:-1])
    assert found.p_value == pytest.approx(2 * min(stats.norm.sf(z) / 0.8, smallest), rel=1e-6)
    assert end.look["final"]


def test_futility_is_seen_and_costs_no_alpha(tmp_path):
    world = World(lift=-0.02, seed=9)
    futility = {**GROUP, "planned_units": 6000, "futility": {"spending": "obrien_fleming"}}
    looks = world.write(tmp_path, futility, secondary=())
    readouts = looks.all(DAYS[:3])
    tests = [row(r, "buyers").test("superiority").look for r in readouts]
    assert [t.futile for t in tests] == [t.z["greater"] <= t.futility for t in tests]
    assert tests[-1].futile
    assert readouts[-1].decision.recommendation == "hold"
    assert any("futility bound" in line for line in readouts[-1].decision.because)
    plain = World(lift=-0.02, seed=9).write(tmp_path / "plain", secondary=()).all(DAYS[:3])
    assert [row(r, "buyers").test("superiority").look.bound for r in plain] == [t.bound for t in tests]
    # By gsDesign's convention: with information as planned the bounds meet at the last look at the planned power.
    rising = [t.futility for t in tests]
    assert rising == sorted(rising)


def test_no_futility_bound_where_the_last_look_has_nothing_left(tmp_path):
    """Three interim looks at 3 take 0.33 % one-sided, more than a corrected level of 0.25 %."""
    futility = {"planned_units": 6000, "futility": {"spending": "obrien_fleming"}}
    design = {**{k: v for k, v in GROUP.items() if k != "spending"}, "bounds": "haybittle_peto", **futility}
    looks = World(lift=-0.02, seed=9).write(tmp_path, design, secondary=(), analysis={"confidence": "99.5%"})
    found = [row(r, "buyers").test("superiority").look for r in looks.all(DAYS[:2])]
    assert [(t.futility, t.futile) for t in found] == [(None, False)] * 2
    assert all(math.isfinite(t.bound) for t in found)


@pytest.mark.parametrize("method", ["group_sequential", "always_valid", "hybrid"])
def test_every_hypothesis_and_kind_of_metric_goes_through_looks(tmp_path, method):
    """Three arms, a graph, equivalence, margins on both sides, ratios, quantiles, rare and adjusted outcomes."""
    design = {
        "group_sequential": {**GROUP, "bounds": "haybittle_peto"}, "always_valid": {"method": method, "planned_units": 9000},
        "hybrid": {"method": method, "looks": LOOKS, "anytime_alpha": "2%", "final_alpha": "3%", "planned_units": 9000},
    }[method]  # fmt: skip
    metrics = {
        "primary": {"buyers": {"mde": "5%", "equivalence": "20%"}, "adjusted": {"mde": "5%"}},
        "secondary": {"revenue": {"margin": 1, "equivalence": 2}, "order_value": None, "p90": None},
        "guardrail": {"orders_per_user": {"margin": "10%"}, "refunds": {"margin": "1pp"}},
    }
    p90 = {
        "type": "quantile",
        "source": "orders",
        "measure": "amount",
        "quantile": "p90",
        "of": "events",
        "direction": "increase",
    }
    graph = {
        "method": "graph",
        "alpha": {"buyers": "80%", "adjusted": "20%"},
        "edges": {"buyers": {"adjusted": "100%"}},
    }
    protocol = {
        "metrics": metrics, "arms": {"control": None, "treatment": None, "other": None},
        "analysis": {"sequential": design, "multiplicity": {"primary": graph, "secondary": "by"}},
    }  # fmt: skip
    write_definitions(tmp_path, SOURCES, {"metrics": {**DEFINED, "p90": p90}}, experiment(**protocol), project=SETTINGS)
    World(n=9000, lift=0.06, seed=11, arms=3).fill(tmp_path)
    looks = Looks(Project(tmp_path))
    for day in DAYS:
        readout = looks.run(day)
        json.loads(readout.to_json())
        render_text(readout, verbose=True)
        assert len(readout.estimates) == 14
        for found in readout.estimates:
            if found.metric == "refunds":  # nobody has one
                assert found.verdict == "not_computed"
                continue
            assert {t.hypothesis for t in found.tests} >= {"superiority"}
            for test in found.tests:
                assert test.p_adjusted >= test.p_value
                assert test.rejected == (test.p_adjusted <= test.alpha)
                assert set(test.look.z) == set(test.look.p_values)
                one_sided = test.alpha if test.sidedness != "two-sided" else test.alpha / 2
                for side, p in test.look.p_values.items():
                    sides = looks.history[-1].result(found.metric, found.arm).sides
                    name = test.hypothesis if side == "one" else f"{test.hypothesis}:{side}"
                    assert sides[name].p_value == p
                    if (
                        test.look.bound is not None
                        and test.local_alpha == test.alpha
                        and test.look.z[side] >= test.look.bound
                    ):
                        assert p <= one_sided
            low, high = found.absolute.lower, found.absolute.upper
            superiority = found.test("superiority")
            assert (superiority.p_value <= superiority.alpha) == (not low <= 0 <= high)
            equivalence = found.test("equivalence")
            if equivalence is not None and equivalence.null_kind == "absolute":
                assert (equivalence.p_value <= equivalence.alpha) == (low > -2 and high < 2)
            margin = found.test("non_inferiority")
            if margin is not None and margin.null_kind == "absolute":
                assert (margin.p_value <= margin.alpha) == (low > -1)
    assert any(r.verdict == "superior" for r in readout.estimates)


def test_an_unplanned_look_spends_where_the_design_says_so(world, root):
    looks = world.write(root, {**GROUP, "unplanned": "spend"}, secondary=())
    looks.run(DAYS[0])
    between = looks.run("2026-01-15")
    assert (between.look["number"], between.look["planned"]) == (None, False)
    assert between.look["fraction"] == pytest.approx(0.375)
    bounds = [row(between, "buyers").test("superiority").look.bound]
    bounds += [row(looks.run(day), "buyers").test("superiority").look.bound for day in DAYS[1:]]
    information = [r.results[0].information for r in looks.history]
    assert crossing_rate([4.332634, *bounds], information) == pytest.approx(0.05, abs=0.0005)


def test_a_look_that_nobody_took_leaves_its_alpha_to_the_next(world, root):
    looks = world.write(root, secondary=())
    alone = looks.run(DAYS[3])
    test = row(alone, "buyers").test("superiority")
    _, _, _, z = world.welch(world.bought.astype(float), DAYS[3])
    assert test.look.bound == pytest.approx(stats.norm.isf(0.025), rel=1e-9)
    assert test.p_value == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)


def test_a_secondary_metric_that_goes_on_accruing_is_tested_at_the_end_alone(world, root):
    readouts = world.write(root, secondary=("orders_ever",)).all(DAYS)
    for readout in readouts[:-1]:
        found = row(readout, "orders_ever")
        assert (found.tests, found.interval_kind, found.verdict) == ((), "anytime", "not_computed")
    found = row(readouts[-1], "orders_ever")
    assert found.test("superiority").look.bound == pytest.approx(stats.norm.isf(0.025), rel=1e-9)


def test_breakdowns_and_days_have_no_test_at_looks(world, root):
    looks = world.write(root, secondary=(), analysis={"breakdowns": ["platform"]})
    readout = looks.run(DAYS[1], daily=True)
    levels = [r for r in readout.estimates if r.segment]
    assert levels
    assert all(r.p_value is None and r.interval_kind == "anytime" for r in levels)
    assert {day["interval_kind"] for day in readout.series if day["absolute"]} == {"anytime"}


def test_sample_ratio_is_sequential_at_every_look(world, root):
    looks = world.write(root, secondary=())
    for readout in looks.all(DAYS):
        checks = [h for h in readout.health if h.check in SRM_CHECKS]
        assert all("sequential" in h.message for h in checks)
    p = {r.as_of: r.srm["srm_assignment"] for r in looks.history}
    assert list(p.values()) == sorted(p.values(), reverse=True)


def test_a_design_that_cannot_be_is_refused_before_anything_runs(world, root):
    looks = world.write(root, {**GROUP, "looks": ["10d", "50d"]})
    with pytest.raises(DefinitionErrors):
        looks.run(DAYS[0])


def test_the_text_says_which_look_it_is_and_when_the_next_comes(world, root):
    looks = world.write(root, secondary=())
    text = render_text(looks.run(DAYS[1]), width=100)
    assert "look 2 of 4" in text
    assert "27 Jan" in text or "2026-01-27" in text
    assert "bound" in text
