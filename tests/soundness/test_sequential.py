"""A look of a sequential design must have its p, whatever the statistic."""

import numpy as np
import pytest
from scipy.special import ndtri_exp
from scipy.stats import multivariate_normal, norm

from metricdef.stats.futility import futility_design
from metricdef.stats.group_sequential import AlphaSpending, boundaries
from metricdef.stats.looks import realised_fractions
from metricdef.stats.repeated import repeated_interval, repeated_p, sequential_p
from metricdef.stats.spending import Spending
from metricdef.stats.stagewise import stagewise
from metricdef.stats.true_bounds import HaybittlePeto

pytestmark = pytest.mark.soundness


@pytest.mark.parametrize("sided", [1, 2])
@pytest.mark.parametrize("name", ["obrien_fleming", "pocock"])
def test_a_single_look_that_spends_all_has_the_fixed_p(name, sided):
    """The search for the level started on its root and raised "f(a) and f(b) must have different signs"."""
    bounds = boundaries(AlphaSpending(Spending(name)), [1.0], 0.05, sided)
    for z in np.concatenate([np.random.default_rng(1).normal(size=200) * 3, [-20.0, 20.0]]):
        want = norm.sf(z) if sided == 1 else 2 * norm.sf(abs(z))
        assert repeated_p(bounds, 0, float(z)) == pytest.approx(want, rel=1e-6, abs=1e-3 if want > 0.99 else 0)


@pytest.mark.parametrize("binding", [False, True])
def test_the_p_after_a_stop_agrees_with_the_test_whatever_futility_bounds_do(binding):
    """Futility bounds that do not bind were taken as stops: p = 0.041 at alpha = 0.05 where nothing was rejected."""
    of, pocock = (AlphaSpending(Spending(name)) for name in ("obrien_fleming", "pocock"))
    bounds = futility_design(of, pocock, [0.2, 0.4, 0.6, 0.8, 1.0], 0.05, 0.2, binding=binding).bounds
    for look, upper in enumerate(bounds.upper):
        for z in (upper - 0.1, upper - 1e-4, upper + 1e-4):
            if look < 4 and bounds.lower[look] < z < upper:
                continue  # goes on
            found = stagewise(bounds, look, z, 0.1)
            assert (found.p_value <= 0.05) == bounds.rejects(look, z)
            assert (found.lower > 0) == bounds.rejects(look, z)


@pytest.mark.parametrize("sided", [1, 2])
def test_the_p_after_a_stop_agrees_with_the_bound_to_the_last_digit(sided):
    """On the bound itself the p was alpha and some 1e-14."""
    for name in ("obrien_fleming", "pocock"):
        bounds = boundaries(AlphaSpending(Spending(name)), [0.2, 0.45, 0.7, 1.0], 0.05, sided)
        last = bounds.upper[-1]
        for z in (last, np.nextafter(last, 0), np.nextafter(last, 9)):
            found = stagewise(bounds, 3, float(z), 0.1)
            assert (found.p_value <= 0.05) == bounds.rejects(3, float(z))
            assert found.lower <= 0 or bounds.rejects(3, float(z))


def test_the_p_after_futility_bounds_that_were_overruled_holds_its_level():
    """Paths of the null that ignore the lower bounds: P(p <= 0.05) is 0.05, not more."""
    information = np.array([0.2, 0.4, 0.6, 0.8, 1.0])
    of, pocock = (AlphaSpending(Spending(name)) for name in ("obrien_fleming", "pocock"))
    bounds = futility_design(of, pocock, information.tolist(), 0.05, 0.2, binding=False).bounds
    z = np.cumsum(np.random.default_rng(3).normal(size=(4_000, 5)), axis=1) / np.sqrt(5 * information)
    crossed = z >= np.array(bounds.upper)
    stop = np.where(crossed.any(axis=1), crossed.argmax(axis=1), 4)
    p = [stagewise(bounds, int(k), float(row[k]), 0.1).p_value for k, row in zip(stop[:120], z[:120], strict=True)]
    assert np.mean(crossed.any(axis=1)) == pytest.approx(0.05, abs=0.011)
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(np.mean(crossed[:120].any(axis=1)))


def test_the_upper_limit_after_a_stop_for_futility_counts_those_who_stopped_before():
    """It took paths as going on below a bound that does not bind: 4.8 % of the upper limits missed instead of 2.5 %."""
    of = AlphaSpending(Spending("obrien_fleming"))
    bounds = futility_design(of, of, [0.4, 0.7, 1.0], 0.025, 0.1, binding=False).bounds
    z, se = bounds.lower[1] - 0.2, 0.1
    found = stagewise(bounds, 1, z, se)
    root = (0.4 / 0.7) ** 0.5

    def between(effect, low, high):
        """P(neither bound at the first look, low < Z_2 < high)."""
        mean, cov = np.array([effect / se * root, effect / se]), [[1, root], [root, 1]]
        box = ([bounds.upper[0], high], mean, cov)
        return multivariate_normal.cdf(*box, lower_limit=[bounds.lower[0], low], abseps=1e-11, releps=1e-11)

    def stopped_low(effect):
        return norm.cdf(bounds.lower[0] - effect / se * root) + between(effect, -40, z)

    assert stopped_low(found.upper) == pytest.approx(0.025, abs=1e-7)
    assert stopped_low(found.estimate) == pytest.approx(0.5, abs=1e-7)
    # The lower limit and p hold for those who go on: as if there were no futility bounds.
    without = stagewise(boundaries(of, [0.4, 0.7, 1.0], 0.025, 1), 1, 3.0, se)
    beyond = stagewise(bounds, 1, 3.0, se)
    assert (beyond.p_value, beyond.lower) == pytest.approx((without.p_value, without.lower), rel=1e-9)
    assert beyond.estimate >= without.estimate


def test_a_stop_for_futility_is_no_rejection():
    """The last bound lay below the z of the stop: p = 0.18 at alpha = 0.2, and a lower limit above 0."""
    of, late = AlphaSpending(Spending("obrien_fleming")), [0.03, 0.9954, 1.0]
    bounds = futility_design(HaybittlePeto(3.0), of, late, 0.2, 0.1, binding=False).bounds
    assert bounds.lower[1] > bounds.upper[2]
    found = stagewise(bounds, 1, bounds.lower[1] - 0.001, 0.1)
    assert found.p_value > 0.2
    assert found.lower <= 0 < found.estimate < found.upper


def test_no_futility_design_where_the_last_look_has_nothing_to_spend():
    """The search ended at a jump and gave bounds with a beta of 0.0003 in place of 0.1."""
    of, pocock = (AlphaSpending(Spending(name)) for name in ("obrien_fleming", "pocock"))
    with pytest.raises(ValueError, match="last look"):
        futility_design(of, pocock, [1.0, 0.9], 0.2, 0.1, binding=False)


def test_information_that_shrinks_spends_nothing():
    """Rows taken back made the fractions fall, which the bounds refuse."""
    information = [0.25, 0.5, 0.45, 0.8]
    fractions = realised_fractions(information, 1.0, final=False)
    assert fractions == (0.25, 0.5, 0.5, 0.8)
    of = AlphaSpending(Spending("obrien_fleming"))
    bounds = boundaries(of, information, 0.05, 2, fractions)
    without = boundaries(of, [0.25, 0.5, 0.8], 0.05, 2, [0.25, 0.5, 0.8])
    assert bounds.upper[2] == np.inf
    assert [bounds.upper[j] for j in (0, 1, 3)] == pytest.approx(without.upper, rel=1e-9)
    assert realised_fractions([0.25, 0.5, 0.45], 1.0, final=True) == (0.25, 0.5, 1.0)


def test_repeated_inference_holds_for_those_who_go_on_below_binding_futility():
    """It used the bounds that hold only if everyone stops: 3.1 % instead of 2.5 %; and p was of other bounds."""
    of, pocock = (AlphaSpending(Spending(name)) for name in ("obrien_fleming", "pocock"))
    information = [0.2, 0.4, 0.6, 0.8, 1.0]
    bounds = futility_design(of, pocock, information, 0.025, 0.2, binding=True).bounds
    free = boundaries(of, information, 0.025, 1)
    for look, (own, c) in enumerate(zip(bounds.upper, free.upper, strict=True)):
        interval = repeated_interval(bounds, look, 0.3, 0.1)
        assert interval.critical_value == pytest.approx(c, abs=1e-9)
        for z in (c - 1e-4, c + 1e-4):
            assert (repeated_p(bounds, look, z) <= 0.025) == (z > c)
        assert own <= c
    p = repeated_p(bounds, 4, bounds.upper[4])
    assert p > 0.025
    assert p == pytest.approx(repeated_p(free, 4, bounds.upper[4]))


@pytest.mark.parametrize("sided", [1, 2])
@pytest.mark.parametrize("z", [36.0, 37.4, 45.0])
def test_an_overwhelming_first_look_is_not_just_significant(sided, z):
    """Beyond z = 37.2, where p is below the smallest double, the repeated p of an interim look was alpha itself."""
    of = AlphaSpending(Spending("obrien_fleming"))
    for share in (0.2, 0.5):
        bounds = boundaries(of, [share, 1.0], 0.05, sided)
        # 2 (1 - Phi(z_{a/2} / sqrt t)) = 1 - Phi(z), on the log scale.
        quantile = -ndtri_exp(np.log(0.5) + norm.logsf(z))
        want = np.log(2 * sided) + norm.logsf(quantile * share**0.5)
        assert np.log(repeated_p(bounds, 0, z)) == pytest.approx(want, rel=1e-8)
        assert sequential_p(bounds, [z, 0.0])[1] == repeated_p(bounds, 0, z)
