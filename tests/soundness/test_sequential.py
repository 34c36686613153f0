"""A look of a sequential design must have its p, whatever the statistic."""

import numpy as np
import pytest
from scipy.stats import norm

from metricdef.stats.futility import futility_design
from metricdef.stats.group_sequential import AlphaSpending, boundaries
from metricdef.stats.repeated import repeated_p
from metricdef.stats.spending import Spending
from metricdef.stats.stagewise import stagewise

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
