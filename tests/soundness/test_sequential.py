"""A look of a sequential design must have its p, whatever the statistic."""

import numpy as np
import pytest
from scipy.stats import norm

from metricdef.stats.group_sequential import AlphaSpending, boundaries
from metricdef.stats.repeated import repeated_p
from metricdef.stats.spending import Spending

pytestmark = pytest.mark.soundness


@pytest.mark.parametrize("sided", [1, 2])
@pytest.mark.parametrize("name", ["obrien_fleming", "pocock"])
def test_a_single_look_that_spends_all_has_the_fixed_p(name, sided):
    """The search for the level started on its root and raised "f(a) and f(b) must have different signs"."""
    bounds = boundaries(AlphaSpending(Spending(name)), [1.0], 0.05, sided)
    for z in np.concatenate([np.random.default_rng(1).normal(size=200) * 3, [-20.0, 20.0]]):
        want = norm.sf(z) if sided == 1 else 2 * norm.sf(abs(z))
        assert repeated_p(bounds, 0, float(z)) == pytest.approx(want, rel=1e-6, abs=1e-3 if want > 0.99 else 0)
