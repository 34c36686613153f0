"""Power, effect and size of sequential designs invert each other, and are what simulated experiments do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from thorough import examples

from metricdef.stats.anytime import confidence_sequence, one_sided_margin, tuned_rho2
from metricdef.stats.futility import futility_design
from metricdef.stats.group_sequential import AlphaSpending, boundaries
from metricdef.stats.hybrid import hybrid_look, hybrid_plan
from metricdef.stats.power import Level, mde, power, sample_size, standard_error
from metricdef.stats.power_anytime import (
    mde_anytime,
    mde_hybrid,
    power_anytime,
    power_hybrid,
    sample_size_anytime,
    sample_size_hybrid,
)
from metricdef.stats.power_sequential import (
    mde_group_sequential,
    power_group_sequential,
    sample_size_group_sequential,
)
from metricdef.stats.spending import Spending
from metricdef.stats.true_bounds import PowerShape

OF = AlphaSpending(Spending("obrien_fleming"))
POCOCK = AlphaSpending(Spending("pocock"))
REPLICATIONS = 200_000
THREE = 3 * math.sqrt(0.25 / REPLICATIONS)  # three standard errors of a simulated share, at most


def paths(drift: float, shares, seed: int = 1):
    """z of simulated experiments at each look: normal increments of the score, nothing of the recursion."""
    steps = np.diff([0.0, *shares])
    rng = np.random.default_rng(seed)
    score = (drift * steps + np.sqrt(steps) * rng.normal(size=(REPLICATIONS, len(steps)))).cumsum(axis=1)
    return score / np.sqrt(shares)


def first(crossed):
    """The look of the first crossing, the number of looks where there is none."""
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1), crossed.shape[1])


def test_group_sequential_sizes():
    fixed = sample_size(0.1, 1.0, Level(0.05), 0.8)
    one = sample_size_group_sequential(fixed, boundaries(OF, [1.0], 0.05, 2), 0.8)
    assert one.maximum == one.expected == pytest.approx(fixed.total)
    assert one.early_stop == 0
    four = sample_size_group_sequential(fixed, boundaries(OF, [1, 2, 3, 4], 0.05, 2), 0.8)
    assert four.expected < fixed.total < four.expected_null < four.maximum
    assert four.early_rejection <= four.early_stop < 0.8
    design = futility_design(OF, OF, [1, 2, 3], 0.025, 0.2, binding=False)
    lazy = sample_size_group_sequential(sample_size(0.1, 1.0, Level(0.025, 1), 0.8), design.bounds, 0.8, design.theta)
    assert lazy.expected_null < 0.8 * lazy.maximum
    assert lazy.early_stop > lazy.early_rejection


@pytest.mark.parametrize("sided", [1, 2])
def test_anytime_size_has_its_power_at_the_last_look(sided):
    level = Level(0.05, sided)
    found = sample_size_anytime(0.1, 1.0, level, 0.8, sd_control=1.3, allocation=0.5)
    assert found.treatment == pytest.approx(0.5 * found.control)
    assert found.total > sample_size(0.1, 1.0, level, 0.8, sd_control=1.3, allocation=0.5).total
    if sided == 2:
        se = standard_error(1.0, found.treatment, found.control, 1.3)
        rho2 = tuned_rho2(found.total, 0.05)
        half = confidence_sequence(0.0, se, found.total, rho2, 0.05).upper
        assert norm.sf((half - 0.1) / se) == pytest.approx(0.8)
    longer = sample_size_anytime(0.1, 1.0, level, 0.8, sd_control=1.3, allocation=0.5, tuned_for=100 * found.total)
    assert longer.total > found.total


DESIGNS = {
    "two-sided": boundaries(OF, [0.2, 0.5, 0.9, 1.0], 0.05, 2),
    "pocock": boundaries(POCOCK, [1, 2, 3, 4], 0.1, 2),
    "one-sided": boundaries(PowerShape(0.25), [1, 2, 3], 0.025, 1),
    "binding": futility_design(OF, POCOCK, [0.3, 0.7, 1.0], 0.025, 0.2, binding=True).bounds,
    "non-binding": futility_design(OF, POCOCK, [0.3, 0.7, 1.0], 0.025, 0.2, binding=False).bounds,
}


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("drift", [0.7, 2.6])
def test_group_sequential_power_against_simulation(name, drift):
    bounds = DESIGNS[name]
    shares = [i / bounds.looks.information[-1] for i in bounds.looks.information]
    sd, n1, n0 = 3.0, 400.0, 900.0
    effect = drift * standard_error(sd, n1, n0, 2.0)
    found = power_group_sequential(effect - 0.1, sd, n1, n0, bounds, sd_control=2.0, null=-0.1)
    z = paths(drift, shares)
    up, down = first(z >= bounds.upper), first(z <= bounds.lower)
    right = up < down
    for j, by_look in enumerate(found.by_look):
        assert np.mean(right & (up <= j)) == pytest.approx(by_look, abs=THREE)
    assert found.correct == found.by_look[-1]
    wrong = np.mean(down < up) if bounds.sided == 2 else 0.0
    assert found.wrong == pytest.approx(wrong, abs=THREE)
    assert found.total == found.correct + found.wrong
    stop = np.array([*shares, 1.0])[np.minimum(up, down)] * (n1 + n0)
    assert found.expected == pytest.approx(stop.mean(), rel=0.003)


def test_futility_that_nobody_heeds_costs_no_power():
    bounds = DESIGNS["non-binding"]
    z = paths(2.0, [0.3, 0.7, 1.0])
    effect = 2.0 * standard_error(1.0, 500, 500)
    heeded, ignored = (power_group_sequential(effect, 1.0, 500, 500, bounds, heeded=h) for h in (True, False))
    assert ignored.correct == pytest.approx(np.mean((z >= bounds.upper).any(axis=1)), abs=THREE)
    assert heeded.correct < ignored.correct - 0.02
    assert heeded.expected < ignored.expected
    smaller = mde_group_sequential(1.0, 500, 500, bounds, 0.8, heeded=False)
    assert smaller < mde_group_sequential(1.0, 500, 500, bounds, 0.8)
    with pytest.raises(ValueError, match="binding"):
        power_group_sequential(effect, 1.0, 500, 500, DESIGNS["binding"], heeded=False)


@settings(max_examples=examples(20), deadline=None)
@given(st.sampled_from(sorted(DESIGNS)), st.floats(0.3, 0.99), st.floats(0.2, 4), st.floats(0.2, 5))
def test_the_detectable_effect_has_its_power(name, wanted, sd, allocation):
    bounds, n = DESIGNS[name], (900 * allocation, 900)
    smallest = mde_group_sequential(sd, *n, bounds, wanted, sd_control=1.1)
    assert power_group_sequential(smallest, sd, *n, bounds, sd_control=1.1).correct == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("name", DESIGNS)
def test_size_power_and_effect_of_a_group_sequential_design(name):
    bounds = DESIGNS[name]
    fixed = sample_size(0.1, 1.0, Level(bounds.alpha, bounds.sided), 0.85, allocation=0.5)
    found = sample_size_group_sequential(fixed, bounds, 0.85)
    n = (found.maximum / 3, found.maximum * 2 / 3)
    got = power_group_sequential(0.1, 1.0, *n, bounds)
    assert got.correct == pytest.approx(0.85)
    assert got.expected == pytest.approx(found.expected)
    assert mde_group_sequential(1.0, *n, bounds, 0.85) == pytest.approx(0.1)


def test_one_look_is_the_fixed_test():
    bounds = boundaries(OF, [1.0], 0.05, 2)
    got, want = (power_group_sequential(0.2, 1.0, 300, 500, bounds), power(0.2, 1.0, 300, 500, Level(0.05)))
    assert (got.correct, got.wrong) == pytest.approx((want.correct, want.wrong))
    assert got.expected == 800
    assert mde_group_sequential(1.0, 300, 500, bounds, 0.8) == pytest.approx(mde(1.0, 300, 500, Level(0.05), 0.8))


@pytest.mark.parametrize("sided", [1, 2])
def test_a_confidence_sequence_at_its_last_look(sided):
    level, n = Level(0.05, sided), (600, 1200)
    se = standard_error(1.0, *n, 1.3)
    rho2 = tuned_rho2(1800, 0.05 * (2 if sided == 1 else 1))
    m = one_sided_margin(1.0, 1800, rho2, 0.05) if sided == 1 else confidence_sequence(0, 1, 1800, rho2, 0.05).upper
    found = power_anytime(0.25, 1.0, *n, level, sd_control=1.3)
    assert found.correct == pytest.approx(norm.sf(m - 0.25 / se))
    assert found.wrong == pytest.approx(norm.sf(m + 0.25 / se) if sided == 2 else 0.0)
    assert mde_anytime(1.0, *n, level, 0.8, sd_control=1.3) == pytest.approx((m + norm.ppf(0.8)) * se)


def test_a_one_sided_confidence_sequence_at_many_looks_against_simulation():
    shares, level = tuple(np.arange(1, 11) / 10), Level(0.05, 1)
    found = power_anytime(2.6 * standard_error(1.0, 1000, 1000), 1.0, 1000, 1000, level, looks=shares)
    rho2 = tuned_rho2(2000, 0.1)
    z = paths(2.6, shares)
    up = first(z > [one_sided_margin(1.0, 2000 * share, rho2, 0.05) for share in shares])
    for j, by_look in enumerate(found.by_look):
        assert np.mean(up <= j) == pytest.approx(by_look, abs=THREE)
    assert found.wrong == 0.0


@pytest.mark.parametrize("tuned_for", [None, 700.0])
def test_a_confidence_sequence_at_many_looks_against_simulation(tuned_for):
    shares, level = tuple(np.arange(1, 21) / 20), Level(0.05)
    effect = 3.2 * standard_error(1.0, 1000, 1000)
    found = power_anytime(effect, 1.0, 1000, 1000, level, looks=shares, tuned_for=tuned_for)
    rho2 = tuned_rho2(tuned_for or 2000, 0.05)
    c = np.array([confidence_sequence(0, 1, 2000 * share, rho2, 0.05).upper for share in shares])
    z = paths(3.2, shares)
    up, down = first(z > c), first(z < -c)
    assert np.mean(up < down) == pytest.approx(found.correct, abs=THREE)
    assert found.correct > power_anytime(effect, 1.0, 1000, 1000, level, tuned_for=tuned_for).correct + 0.02
    smallest = mde_anytime(1.0, 1000, 1000, level, 0.8, looks=shares, tuned_for=tuned_for)
    assert power_anytime(smallest, 1.0, 1000, 1000, level, looks=shares, tuned_for=tuned_for).correct == pytest.approx(
        0.8
    )


@pytest.mark.parametrize("looks", [(1.0,), (0.25, 0.5, 0.75, 1.0)])
@pytest.mark.parametrize("tuned_for", [None, 9_000.0])
def test_size_power_and_effect_of_a_confidence_sequence(looks, tuned_for):
    level, more = Level(0.025, 1), {"looks": looks, "tuned_for": tuned_for}
    found = sample_size_anytime(0.0, 1.0, level, 0.8, null=-0.1, allocation=2.0, sd_control=1.4, **more)
    n = (found.treatment, found.control)
    assert found.treatment == pytest.approx(2 * found.control)
    got = power_anytime(0.0, 1.0, *n, level, null=-0.1, sd_control=1.4, **more)
    assert got.correct == pytest.approx(0.8)
    assert mde_anytime(1.0, *n, level, 0.8, sd_control=1.4, **more) == pytest.approx(0.1)


def test_several_arms_share_a_control():
    one, three = (sample_size_anytime(0.1, 1.0, Level(0.05 / 3), 0.8, allocation=0.6, arms=arms) for arms in (1, 3))
    assert (three.treatment, three.control) == (one.treatment, one.control)
    assert three.total == pytest.approx(one.total + 2 * one.treatment)
    planned = sample_size_hybrid(0.1, 1.0, 0.01 / 3, 0.04 / 3, 0.8, arms=3)
    assert planned.total == pytest.approx(4 * planned.control)


def hybrid_bounds(direction: str):
    return boundaries(OF, [0.5, 1.0], 0.04, 2 if direction == "two-sided" else 1)


def test_the_fixed_hybrid_is_at_least_its_final_test():
    plan = hybrid_plan(0.01, 0.04, 2000)
    found = power_hybrid(0.15, 1.0, 1000, 1000, plan)
    assert found.correct == pytest.approx(power(0.15, 1.0, 1000, 1000, Level(0.04)).correct)
    assert mde_hybrid(1.0, 1000, 1000, plan, 0.9) == pytest.approx(mde(1.0, 1000, 1000, Level(0.04), 0.9))
    size = sample_size_hybrid(0.15, 1.0, 0.01, 0.04, 0.9, allocation=0.25)
    assert size.total == pytest.approx(sample_size(0.15, 1.0, Level(0.04), 0.9, allocation=0.25).total)
    assert power_hybrid(0.15, 1.0, 1000, 1000, plan, looks=(0.3, 0.6, 1.0)).correct > found.correct


@pytest.mark.parametrize("direction", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("planned", ["fixed", "group-sequential"])
@pytest.mark.parametrize("drift", [2.4, 4.5])
def test_hybrid_power_against_its_own_decisions(direction, planned, drift):
    plan = hybrid_plan(0.01, 0.04, 3000, direction)
    bounds = hybrid_bounds(direction) if planned == "group-sequential" else None
    shares = (0.2, 0.35, 0.5, 0.7, 0.85, 1.0)
    sign = -1 if direction == "less" else 1
    effect = sign * drift * standard_error(1.0, 1000, 2000)
    found = power_hybrid(effect, 1.0, 1000, 2000, plan, bounds=bounds, looks=shares)

    def rejects(share: float, z: float) -> bool:
        at = {"final": share == 1.0} if bounds is None else {}
        if bounds is not None and share in (0.5, 1.0):
            at = {"bounds": bounds, "look": int(share == 1.0)}
        return hybrid_look(plan, sign * z, 1.0, 3000 * share, **at).rejected

    grid = np.linspace(0, 6, 1201)
    c = np.array([next(z for z in grid if rejects(share, float(z))) for share in shares])
    z = paths(drift, shares)
    up = first(z > c)
    down = first(z < -c) if direction == "two-sided" else len(shares) + 1
    for j, by_look in enumerate(found.by_look):
        assert np.mean((up < down) & (up <= j)) == pytest.approx(by_look, abs=THREE + 0.002)  # the grid
    smallest = mde_hybrid(1.0, 1000, 2000, plan, 0.8, bounds=bounds, looks=shares)
    got = power_hybrid(sign * smallest, 1.0, 1000, 2000, plan, bounds=bounds, looks=shares)
    assert got.correct == pytest.approx(0.8)


@pytest.mark.parametrize("direction", ["two-sided", "greater", "less"])
def test_size_of_the_hybrid(direction):
    effect, bounds, looks = (-0.1 if direction == "less" else 0.1), hybrid_bounds(direction), (0.25, 0.75)
    more = {"bounds": bounds, "looks": looks, "sd_control": 1.5}
    found = sample_size_hybrid(effect, 1.0, 0.01, 0.04, 0.8, direction=direction, allocation=3.0, **more)
    plan = hybrid_plan(0.01, 0.04, found.total, direction)
    assert power_hybrid(effect, 1.0, found.treatment, found.control, plan, **more).correct == pytest.approx(0.8)


def test_a_hybrid_with_futility_loses_what_stops():
    design = futility_design(OF, OF, [0.5, 1.0], 0.02, 0.2, binding=False)
    plan = hybrid_plan(0.005, 0.02, 2000, "greater")
    heeded, ignored = (
        power_hybrid(0.1, 1.0, 1000, 1000, plan, bounds=design.bounds, heeded=heeded) for heeded in (True, False)
    )
    assert heeded.correct < ignored.correct
    assert heeded.expected < ignored.expected


def test_a_look_next_to_a_planned_one_adds_nothing():
    plan = hybrid_plan(0.01, 0.04, 2000)
    stalled = boundaries(POCOCK, [0.5, 0.5, 1.0], 0.04, 2, [0.3, 0.6, 1.0])
    found = power_hybrid(0.1, 1.0, 1000, 1000, plan, bounds=stalled, looks=(0.5000001, 1.0))
    assert found == power_hybrid(0.1, 1.0, 1000, 1000, plan, bounds=stalled)
    same = power_hybrid(0.1, 1.0, 1000, 1000, plan, bounds=boundaries(POCOCK, [0.5, 1.0], 0.04, 2, [0.3, 1.0]))
    assert found.by_look == pytest.approx(same.by_look)


@pytest.mark.parametrize(
    "call",
    [
        lambda: power_group_sequential(-0.1, 1.0, 100, 100, DESIGNS["one-sided"]),
        lambda: power_group_sequential(math.nan, 1.0, 100, 100, DESIGNS["two-sided"]),
        lambda: power_group_sequential(0.1, 1.0, 0, 100, DESIGNS["two-sided"]),
        lambda: mde_group_sequential(1.0, 100, 100, DESIGNS["two-sided"], 0.01),
        lambda: mde_group_sequential(1.0, 100, 100, DESIGNS["two-sided"], 1.0),
        lambda: sample_size_anytime(0.0, 1.0, Level(0.05), 0.8),
        lambda: sample_size_anytime(-0.1, 1.0, Level(0.05, 1), 0.8),
        lambda: sample_size_anytime(0.1, 1.0, Level(0.05, 2, critical=2.0), 0.8),
        lambda: sample_size_anytime(0.1, 1.0, Level(0.05), 0.8, allocation=0.0),
        lambda: sample_size_anytime(0.1, 1.0, Level(0.05), 0.01, tuned_for=1000.0),
        lambda: power_anytime(0.1, 1.0, 100, 100, Level(0.05), looks=(0.5,)),
        lambda: power_anytime(0.1, 1.0, 100, 100, Level(0.05), looks=(0.5, 0.2, 1.0)),
        lambda: power_anytime(0.1, 1.0, 100, 100, Level(0.05), looks=()),
        lambda: power_anytime(0.1, 1.0, 100, 100, Level(0.05), tuned_for=0.0),
        lambda: power_hybrid(0.1, 1.0, 100, 100, hybrid_plan(0.01, 0.04, 200, "less")),
        lambda: power_hybrid(0.1, 1.0, 100, 100, hybrid_plan(0.01, 0.04, 200), bounds=DESIGNS["two-sided"]),
        lambda: sample_size_hybrid(0.1, 1.0, 0.0, 0.05, 0.8),
    ],
)
def test_refusals(call):
    with pytest.raises(ValueError):
        call()
