"""Bounds against the multivariate normal, and what must hold for every design."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm
from thorough import examples

from metricdef.stats.futility import futility_bounds, futility_design
from metricdef.stats.group_sequential import (
    AlphaSpending,
    Rule,
    boundaries,
    characteristics,
    expected_fraction,
    theta_for_power,
)
from metricdef.stats.looks import realised_fractions, tidy
from metricdef.stats.recursion import begin, crossing
from metricdef.stats.repeated import repeated_p
from metricdef.stats.spending import Spending, TableSpending
from metricdef.stats.true_bounds import HaybittlePeto, PlannedSpending, PowerShape

OF, POCOCK = AlphaSpending(Spending("obrien_fleming")), AlphaSpending(Spending("pocock"))
RULES: list[Rule] = [
    OF,
    POCOCK,
    AlphaSpending(Spending("kim_demets", 2)),
    AlphaSpending(Spending("hwang_shih_decani", -3)),
    PowerShape(0.0),
    PowerShape(0.25),
    PowerShape(0.5),
    HaybittlePeto(3.0),
]
IDS = [str(r) for r in RULES]


def law(information: list[float], theta: float) -> tuple[np.ndarray, np.ndarray]:
    i = np.array(information)
    return theta * np.sqrt(i), np.sqrt(np.minimum.outer(i, i) / np.maximum.outer(i, i))


def inside(information: list[float], lower: list[float], upper: list[float], theta: float) -> float:
    """P(no bound crossed) by numerical integration that shares nothing with the recursion."""
    mean, cov = law(information, theta)
    return float(
        multivariate_normal.cdf(upper, mean, cov, lower_limit=lower, abseps=1e-8, releps=1e-8, maxpts=2_000_000)
    )


@pytest.mark.parametrize("theta", [0.0, 1.5, -2.0])
def test_crossing_probabilities_against_the_multivariate_normal(theta: float) -> None:
    information, lower, upper = [0.3, 0.8, 1.0], [-1.0, -0.2, 0.4], [2.5, 2.2, 2.0]
    found = crossing(information, lower, upper, theta)
    for count in (1, 2, 3):
        stopped = sum(found.stop[:count])
        want = 1 - inside(information[:count], lower[:count], upper[:count], theta)
        assert stopped == pytest.approx(want, abs=3e-6)


def test_crossing_probabilities_against_simulation() -> None:
    information = np.array([0.1, 0.35, 0.4, 0.9, 1.3])
    lower, upper = np.array([-2.0, -1, -0.5, 0, 1]), np.array([3.0, 2.5, 2.4, 2.0, 1.8])
    rng = np.random.default_rng(7)
    steps = rng.normal(size=(400_000, 5)) * np.sqrt(np.diff(information, prepend=0)) + 0.8 * np.diff(
        information, prepend=0
    )
    z = steps.cumsum(axis=1) / np.sqrt(information)
    out = (z >= upper) | (z <= lower)
    first = out.argmax(axis=1)
    found = crossing(list(information), list(lower), list(upper), 0.8)
    for j in range(5):
        here = out[:, j] & (first == j)
        assert np.mean(here & (z[:, j] >= upper[j])) == pytest.approx(found.upper[j], abs=0.003)
        assert np.mean(here & (z[:, j] <= lower[j])) == pytest.approx(found.lower[j], abs=0.003)


@pytest.mark.parametrize("sided", [1, 2])
@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_the_whole_level_is_spent(rule: Rule, sided: int) -> None:
    alpha, information = 0.025 * sided, [0.3, 0.6, 1.0]
    bounds = boundaries(rule, information, alpha, sided)
    assert bounds.spent[-1] == pytest.approx(alpha, rel=1e-8)
    assert list(bounds.spent) == sorted(bounds.spent)
    missed = inside(information, list(bounds.lower), list(bounds.upper), 0.0)
    assert 1 - missed == pytest.approx(alpha, abs=3e-6)
    if sided == 2:
        assert bounds.lower == tuple(-u for u in bounds.upper)
        a, b = bounds.crossing(1.7), bounds.crossing(-1.7)
        assert a.upper == pytest.approx(b.lower, rel=1e-9)
    theta = 2.1
    means, cov = law(information, theta)
    if sided == 1:
        beyond = 1 - multivariate_normal.cdf(bounds.upper, means, cov, abseps=1e-8, maxpts=1_000_000)
        assert sum(bounds.crossing(theta).upper) == pytest.approx(beyond, abs=3e-6)


def test_forms_of_the_true_bounds() -> None:
    information = [0.25, 0.5, 1.0]
    of = boundaries(PowerShape(0.0), information, 0.05, 2).upper
    assert of[0] / of[2] == pytest.approx(2.0)
    pocock = boundaries(PowerShape(0.5), information, 0.05, 2).upper
    assert pocock[0] == pocock[1] == pocock[2]
    haybittle = boundaries(HaybittlePeto(3.0), information, 0.05, 2).upper
    assert haybittle[:2] == (3.0, 3.0)
    assert 1.96 < haybittle[2] < 2.0


def test_published_constants() -> None:
    """Jennison & Turnbull (2000), tables 2.1, 2.3 and 2.10: K = 5 equal looks, two-sided 0.05."""
    information = [0.2, 0.4, 0.6, 0.8, 1.0]
    assert boundaries(PowerShape(0.5), information, 0.05, 2).upper[-1] == pytest.approx(2.413, abs=6e-4)
    assert boundaries(PowerShape(0.0), information, 0.05, 2).upper[-1] == pytest.approx(2.040, abs=6e-4)
    assert boundaries(PowerShape(0.25), information, 0.05, 2).upper[-1] == pytest.approx(2.136, abs=6e-4)


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_one_look_is_the_fixed_test(rule: Rule) -> None:
    bounds = boundaries(rule, [123.0], 0.05, 2)
    assert bounds.upper == pytest.approx((1.959963984540054,))
    assert characteristics(bounds, 0.8).inflation == pytest.approx(1.0)


@settings(max_examples=examples(25), deadline=None)
@given(
    st.lists(st.floats(0.05, 1.0), min_size=2, max_size=5),
    st.sampled_from([1, 2]),
    st.sampled_from([OF, POCOCK]),
    st.floats(0.001, 0.2),
    st.floats(1e-3, 1e6),
)
def test_bounds_do_not_depend_on_the_unit_of_information(steps, sided, rule, alpha, unit) -> None:
    information = list(np.cumsum(steps))
    plain = boundaries(rule, information, alpha, sided)
    scaled = boundaries(rule, [unit * value for value in information], alpha, sided)
    assert plain.upper == pytest.approx(scaled.upper, rel=1e-6)
    assert plain.spent[-1] == pytest.approx(alpha, rel=1e-8)


def test_later_looks_do_not_change_earlier_bounds() -> None:
    fractions = [0.25, 0.5, 0.75, 1.0]
    whole = boundaries(OF, [110, 180, 340, 420], 0.05, 2, fractions).upper
    for count in (1, 2, 3):
        assert boundaries(OF, [110, 180, 340, 420][:count], 0.05, 2, fractions[:count]).upper == pytest.approx(
            whole[:count], rel=1e-9
        )


def test_spending_by_calendar_with_correlations_by_information() -> None:
    calendar = boundaries(POCOCK, [0.1, 0.8, 1.0], 0.05, 1, [1 / 3, 2 / 3, 1])
    assert calendar.spent[:2] == pytest.approx([Spending("pocock").spent(j / 3, 0.05) for j in (1, 2)])
    mean, cov = law([0.1, 0.8], 0.0)
    both = multivariate_normal.cdf(calendar.upper[:2], mean, cov)
    assert 1 - both == pytest.approx(Spending("pocock").spent(2 / 3, 0.05), abs=1e-6)


def test_a_look_without_new_information_spends_nothing() -> None:
    stalled = boundaries(OF, [0.3, 0.3, 0.29, 1.0], 0.05, 2, [0.25, 0.5, 0.75, 1.0])
    assert stalled.upper[1:3] == (math.inf, math.inf)
    assert stalled.lower[1:3] == (-math.inf, -math.inf)
    assert stalled.spent[0] == stalled.spent[1] == stalled.spent[2]
    assert stalled.spent[-1] == pytest.approx(0.05)
    without = boundaries(OF, [0.3, 1.0], 0.05, 2, [0.25, 1.0])
    assert [stalled.upper[0], stalled.upper[3]] == pytest.approx(without.upper)
    assert not stalled.rejects(1, 50.0)


def test_how_much_a_look_must_bring() -> None:
    """0.1 % more than the largest so far; the final look brings 0.01 % at least, and a part of the whole its correlation."""
    assert tidy([100, 100.09, 100.2], [0.3, 0.4, 0.5]).grown == (True, False, True)
    assert tidy([100, 90, 100.05], [0.3, 0.4, 1.0]).information == (100, 100, 100.05)
    assert tidy([100, 90, 95], [0.3, 0.4, 1.0]).information == pytest.approx((100, 100, 100**2 / 95), rel=1e-12)
    assert tidy([100, 90, 99.995], [0.3, 0.4, 1.0]).information == pytest.approx((100, 100, 100.01), rel=1e-12)


@pytest.mark.parametrize("theta", [0.0, 30.0, -30.0])
@pytest.mark.parametrize("side", [1, -1])
def test_a_bound_under_a_strong_drift(theta: float, side: int) -> None:
    """Closed where nothing has stopped: Z ~ N(theta sqrt(I), 1)."""
    state = begin(theta).advance(0.4, -math.inf, math.inf, 1.0)
    assert state.bound(1.0, math.log(0.01), side) == pytest.approx(theta + side * norm.isf(0.01), abs=1e-8)


@pytest.mark.parametrize("last", [0.7, 0.65, 0.7 * (1 + 1e-5)])
def test_a_final_look_without_new_information_still_spends_the_rest(last: float) -> None:
    """The limit: both looks see one statistic, so the test rejects when it exceeds the lower of the two bounds."""
    bounds = boundaries(OF, [0.4, 0.7, last], 0.025, 1, [0.4, 0.7, 1.0])
    assert bounds.spent[-1] == pytest.approx(0.025)
    merged = boundaries(OF, [0.4, 0.7], 0.025, 1, [0.4, 1.0]).upper[-1]
    assert merged <= bounds.upper[2] <= merged + 0.01


def test_interim_before_any_information() -> None:
    bounds = boundaries(POCOCK, [0.0, 0.5, 1.0], 0.05, 2, [0.3, 0.6, 1.0])
    assert bounds.upper[0] == math.inf
    assert bounds.spent[0] == 0


def test_realised_fractions() -> None:
    assert realised_fractions([25, 60, 110], 100, final=False) == (0.25, 0.6, 1.0)
    assert realised_fractions([25, 60, 80], 100, final=True) == (0.25, 0.6, 1.0)
    assert realised_fractions([25, 60, 80], 100, final=False) == (0.25, 0.6, 0.8)
    with pytest.raises(ValueError, match="planned"):
        realised_fractions([1], 0, final=True)
    with pytest.raises(ValueError, match="finite"):
        realised_fractions([1, math.nan], 2, final=True)


def test_an_unfinished_experiment_has_spent_only_its_share() -> None:
    bounds = boundaries(OF, [20, 45], 0.05, 2, [0.25, 0.5])
    assert bounds.spent[-1] == pytest.approx(2 * Spending("obrien_fleming").spent(0.5, 0.025))


def test_first_bound_of_a_spend_that_is_no_double() -> None:
    bounds = boundaries(OF, [0.001, 0.002, 0.5, 1.0], 0.025, 1)
    assert bounds.upper[0] == pytest.approx(-norm.ppf(0.0125) / math.sqrt(0.001), rel=1e-3)
    assert all(map(math.isfinite, bounds.upper))
    assert list(bounds.upper) == sorted(bounds.upper, reverse=True)
    assert bounds.upper[-1] == pytest.approx(boundaries(OF, [0.5, 1.0], 0.025, 1).upper[-1], rel=1e-9)


def test_nearly_coincident_looks() -> None:
    """A correlation of 0.9995: the second look can only add what its spend says."""
    bounds = boundaries(POCOCK, [0.5, 0.5011, 1.0], 0.05, 1, [0.4, 0.5, 1.0])
    mean, cov = law([0.5, 0.5011], 0.0)
    assert 1 - multivariate_normal.cdf(bounds.upper[:2], mean, cov, abseps=1e-9) == pytest.approx(
        Spending("pocock").spent(0.5, 0.05), abs=1e-6
    )


def test_power_and_inflation() -> None:
    for sided in (1, 2):
        bounds = boundaries(OF, [1, 2, 3], 0.05, sided)
        theta = theta_for_power(bounds, 0.85)
        assert sum(bounds.crossing(theta).upper) == pytest.approx(0.85)
        found = characteristics(bounds, 0.85)
        assert found.inflation > 1
        assert 0.5 < found.expected_fraction < 1
    assert expected_fraction(bounds, 0.0) > expected_fraction(bounds, theta)
    with pytest.raises(ValueError, match="power"):
        theta_for_power(bounds, 0.01)


@pytest.mark.parametrize("sided", [1, 2])
@pytest.mark.parametrize("rule", RULES[4:], ids=IDS[4:])
def test_true_bounds_at_realised_information(rule, sided: int) -> None:
    planned = (0.4, 0.7, 1.0)
    spending = AlphaSpending(PlannedSpending(rule, planned, sided))
    true = boundaries(rule, planned, 0.025 * sided, sided)
    assert boundaries(spending, planned, 0.025 * sided, sided).upper == pytest.approx(true.upper, abs=1e-7)
    late = boundaries(spending, [0.3, 0.9, 1.2], 0.025 * sided, sided, planned)
    assert late.spent == pytest.approx(true.spent, rel=1e-7)
    assert late.upper[0] == pytest.approx(true.upper[0], abs=1e-7)
    assert late.upper[1] != pytest.approx(true.upper[1], abs=1e-3)
    for look, c in enumerate(late.upper):
        assert repeated_p(late, look, c * 1.0001) <= late.alpha < repeated_p(late, look, c * 0.9999)


def test_spending_given_as_a_table() -> None:
    table = TableSpending((0.5, 0.8, 1.0), (0.1, 0.4, 1.0))
    bounds = boundaries(AlphaSpending(table), [0.5, 0.8, 1.0], 0.05, 2)
    assert bounds.spent == pytest.approx((0.005, 0.02, 0.05))
    assert math.exp(table.log_spent(0.65, 0.1)) == pytest.approx(0.025)
    for fractions, shares in (((0.5, 1), (0.6, 0.5)), ((1, 0.5), (0.5, 1)), ((0.5,), (1,)), ((1,), (0.9,)), ((), ())):
        with pytest.raises(ValueError):
            TableSpending(fractions, shares)


SPENDINGS = [OF, POCOCK, AlphaSpending(Spending("hwang_shih_decani", -2)), AlphaSpending(Spending("kim_demets", 1.5))]


@pytest.mark.parametrize("beta_spending", SPENDINGS, ids=lambda r: r.spending.name)
@pytest.mark.parametrize("binding", [True, False])
def test_futility(beta_spending: AlphaSpending, binding: bool) -> None:
    information = [0.4, 0.7, 1.0]
    design = futility_design(OF, beta_spending, information, 0.025, 0.15, binding=binding)
    bounds = design.bounds
    assert bounds.lower[-1] == bounds.upper[-1]
    assert all(a < b for a, b in zip(bounds.lower[:-1], bounds.upper[:-1], strict=True))
    assert sum(bounds.crossing(design.theta).upper) == pytest.approx(0.85, rel=1e-6)
    want = [beta_spending.spending.spent(t, 0.15) for t in information]
    assert design.beta_spent == pytest.approx(want, rel=1e-6)
    plain = boundaries(OF, information, 0.025, 1)
    rejected = sum(bounds.crossing(0.0).upper)
    if binding:
        assert rejected == pytest.approx(0.025, rel=1e-8)
        assert bounds.upper[-1] < plain.upper[-1]
    else:
        assert bounds.upper == plain.upper
        assert rejected < 0.025
    assert characteristics(bounds, 0.85, design.theta).inflation > characteristics(plain, 0.85).inflation


def test_non_binding_futility_with_true_bounds_and_realised_information() -> None:
    design = futility_design(PowerShape(0.0), POCOCK, [1, 2, 3], 0.025, 0.2, binding=False)
    found = futility_bounds(
        OF, POCOCK, tidy([1.2, 1.9, 3.3], [1 / 3, 2 / 3, 1]), 0.025, 0.2, design.theta, binding=False
    )
    assert found.lower[0] == pytest.approx(
        design.theta * math.sqrt(1.2) + norm.ppf(Spending("pocock").spent(1 / 3, 0.2))
    )
    assert found.upper[1] > found.upper[2]
    with pytest.raises(ValueError, match="binding"):
        futility_design(PowerShape(0.0), POCOCK, [1, 2, 3], 0.025, 0.2, binding=True)


@pytest.mark.parametrize(
    ("rule", "information", "alpha", "sided", "fractions"),
    [
        (OF, [], 0.05, 2, None),
        (OF, [0.5, math.nan], 0.05, 2, None),
        (OF, [-1, 1], 0.05, 2, None),
        (OF, [0.5, 1], 0.6, 1, None),
        (OF, [0.5, 1], 0.05, 3, None),
        (OF, [0.5, 1], 0.05, 2, [0.5]),
        (OF, [0.5, 1], 0.05, 2, [0.7, 0.5]),
        (OF, [0.5, 1], 0.05, 2, [1.0, 1.0]),
        (OF, [0.0, 0.0], 0.05, 2, [0.5, 1.0]),
        (PowerShape(0.0), [0.5, 0.8], 0.05, 2, [0.5, 0.8]),
        (HaybittlePeto(1.9), [0.5, 1], 0.05, 2, None),
        (HaybittlePeto(-1.0), [0.5, 1], 0.05, 2, None),
    ],
)
def test_refusals(rule, information, alpha, sided, fractions) -> None:
    with pytest.raises(ValueError):
        boundaries(rule, information, alpha, sided, fractions)


def test_information_must_grow_in_the_recursion() -> None:
    with pytest.raises(ValueError, match="grow"):
        crossing([1.0, 1.0], [-2, -2], [2, 2], 0.0)
