"""Bounds and p-values of one test at looks: against gsDesign and rpact, against simulation, and against each other."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from metricdef.analysis.sequential_tests import (
    Monitor,
    Track,
    critical_value,
    intersect,
    look_p,
    monitor,
    score_of,
    two_sided_tail,
)
from metricdef.stats.anytime import one_sided_margin
from metricdef.stats.group_sequential import AlphaSpending
from metricdef.stats.spending import Spending
from metricdef.stats.true_bounds import HaybittlePeto, PlannedSpending, PowerShape

REFERENCE = Path(__file__).resolve().parents[1] / "reference" / "group_sequential.json"
NAMES = {
    "lan_demets_obrien_fleming": Spending("obrien_fleming"), "lan_demets_pocock": Spending("pocock"),
}  # fmt: skip


def rule_of(inputs):
    name = inputs["design"]
    if name in NAMES:
        return AlphaSpending(NAMES[name])
    gamma = inputs.get("gamma", inputs.get("spending_parameter"))
    for key in ("kim_demets", "hwang_shih_decani"):
        if key in name and gamma is not None:
            return AlphaSpending(Spending(key, gamma))
    return None


def cases():
    every = json.loads(REFERENCE.read_text())
    designs = [c for c in every if c["method"] == "alpha_spending_design" and rule_of(c["inputs"]) is not None]
    return [pytest.param(case, id=case["id"]) for case in designs]


def at(information, fractions, look, units=10_000):
    return Track(tuple(information[: look + 1]), tuple(fractions[: look + 1]), True, units, True)


@pytest.mark.parametrize("case", cases())
def test_bounds_at_looks_are_those_of_gsdesign_and_rpact(case):
    """Two-sided designs here are one on each side, which ignores that the other side stops: 2e-4 of z."""
    inputs, expected = case["inputs"], case["expected"]
    found = Monitor(rule_of(inputs), 0.0, None)
    rates, level = inputs["information_rates"], inputs["alpha"] / inputs["sided"]
    tolerance = 1e-5 if inputs["sided"] == 1 else 2e-4
    checked = 0
    for look, bound in enumerate(expected["critical_values"]):
        if bound is None or not 0 < bound < 8:
            continue  # rpact writes infinity, gsDesign 20, for what is too rare for them
        own = critical_value(found, at(rates, rates, look), level)
        assert own == pytest.approx(bound, abs=tolerance)
        assert own >= bound - 1e-5  # never the smaller one
        checked += 1
    assert checked


@pytest.mark.parametrize(
    ("bounds", "published"),
    [
        # Jennison & Turnbull (2000), tables 2.1 and 2.3 (two-sided 5 %, five looks): constants C of each shape.
        (PowerShape(0.5), [2.413] * 5),
        (PowerShape(0.0), [2.040 * math.sqrt(5 / k) for k in range(1, 6)]),
        (HaybittlePeto(3.0), [3.0, 3.0, 3.0, 3.0, 1.99]),
    ],
    ids=["pocock", "obrien_fleming", "haybittle_peto"],
)
def test_true_bounds_are_the_published_ones_when_information_is_as_planned(bounds, published):
    fractions = [k / 5 for k in range(1, 6)]
    found = Monitor(AlphaSpending(PlannedSpending(bounds, tuple(fractions), 1)), 0.0, None)
    for look, bound in enumerate(published):
        assert critical_value(found, at(fractions, fractions, look), 0.025) == pytest.approx(bound, abs=2e-3)


FRACTIONS = (0.2, 0.4, 0.6, 0.8, 1.0)
DESIGNS = {
    "obrien_fleming": monitor(AlphaSpending(Spending("obrien_fleming")), 0.0, 0.025, 10_000),
    "pocock": monitor(AlphaSpending(Spending("pocock")), 0.0, 0.025, 10_000),
    "haybittle_peto": monitor(AlphaSpending(PlannedSpending(HaybittlePeto(), FRACTIONS, 1)), 0.0, 0.025, 10_000),
    "always_valid": monitor(None, 1.0, 0.025, 10_000),
    "hybrid": monitor(AlphaSpending(Spending("obrien_fleming")), 0.2, 0.025, 10_000),
}


@given(
    name=st.sampled_from(sorted(DESIGNS)), z=st.floats(-5, 7), look=st.integers(0, 4),
    level=st.sampled_from([0.025, 0.0125, 0.005]), grown=st.lists(st.floats(0.5, 2), min_size=5, max_size=5),
)  # fmt: skip
@settings(max_examples=examples(150), deadline=None)
def test_p_is_at_most_the_level_exactly_where_the_bound_is_crossed(name, z, look, level, grown):
    information = np.cumsum(grown)
    track = at([float(i) for i in information], FRACTIONS, look, units=2000 * (look + 1))
    p, bound = look_p(DESIGNS[name], track, z, level), critical_value(DESIGNS[name], track, level)
    assert 0 < p <= 1
    assert (p <= level) == (z >= bound)
    # p hardly depends on the level at which it is asked for: it is the level at which z is the bound.
    other = look_p(DESIGNS[name], track, z, 0.1)
    assert p == pytest.approx(other, rel=1e-6, abs=1e-12) or min(abs(p - level), abs(p - 0.1)) < 1e-9


def test_a_test_valid_at_any_time_waits_for_enough_units():
    early = Track((), (), False, 150, False)
    assert look_p(DESIGNS["always_valid"], early, 9.0, 0.025) == 1.0
    assert critical_value(DESIGNS["always_valid"], early, 0.025) == math.inf


def test_between_planned_looks_only_the_part_valid_at_any_time_speaks():
    between = Track((), (), False, 4000, True)
    hybrid = DESIGNS["hybrid"]
    assert critical_value(hybrid, between, 0.025) == pytest.approx(one_sided_margin(1.0, 4000, hybrid.rho2, 0.005))
    assert critical_value(DESIGNS["pocock"], between, 0.025) == math.inf
    assert look_p(DESIGNS["pocock"], between, 9.0, 0.025) == 1.0


def test_a_look_without_new_information_spends_nothing_and_the_next_has_its_share():
    found = DESIGNS["pocock"]
    idle = Track((1.0, 1.0), (0.2, 0.4), True, 4000, True)
    assert critical_value(found, idle, 0.025) == math.inf
    assert look_p(found, idle, 9.0, 0.025) == 1.0
    after = Track((1.0, 1.0, 3.0), (0.2, 0.4, 0.6), True, 6000, True)
    direct = Track((1.0, 3.0), (0.2, 0.6), True, 6000, True)
    assert critical_value(found, after, 0.025) == pytest.approx(critical_value(found, direct, 0.025), abs=1e-9)


@pytest.mark.parametrize("name", sorted(DESIGNS))
def test_error_rate_over_five_looks(name):
    """Class B of the calibration: at most the level + 3 Monte Carlo errors, and a group-sequential one near it."""
    replications, rng = 40_000, np.random.default_rng(20260101)
    information = np.array([0.9, 2.2, 2.9, 4.1, 5.0])
    steps = rng.normal(size=(replications, 5)) * np.sqrt(np.diff(information, prepend=0.0))
    z = steps.cumsum(axis=1) / np.sqrt(information)
    bounds = [
        critical_value(DESIGNS[name], at(information.tolist(), FRACTIONS, k, 2000 * (k + 1)), 0.025) for k in range(5)
    ]
    rate = float((z >= np.array(bounds)).any(axis=1).mean())
    error = math.sqrt(0.025 * 0.975 / replications)
    assert rate <= 0.025 + 3 * error
    if name in ("obrien_fleming", "pocock", "haybittle_peto"):
        assert rate >= 0.025 - 3 * error


@given(st.floats(1e-300, 1 - 1e-12))
def test_a_score_has_the_tail_it_came_from(p):
    from scipy.special import ndtr

    if abs(score_of(p)) < 37:
        assert float(ndtr(-score_of(p))) == pytest.approx(p, rel=1e-9)


def test_scores_are_bounded_and_refuse_what_is_no_p():
    assert score_of(0.0) == 37.0
    assert score_of(1.0) == -37.0
    assert two_sided_tail(1.959963984540054) == pytest.approx(0.05, rel=1e-12)
    with pytest.raises(ValueError, match="between 0 and 1"):
        score_of(math.nan)


def test_looks_leave_what_they_share_and_never_nothing():
    assert intersect([]) is None
    assert intersect([(None, None), (-1.0, 2.0)]) == (-1.0, 2.0)
    assert intersect([(-1.0, 2.0), (-2.0, 1.5), (0.5, 3.0)]) == (0.5, 1.5)
    assert intersect([(1.0, 2.0), (-3.0, 0.5)]) == (1.0, 0.5)  # nothing in common
