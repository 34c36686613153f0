"""Changing the unit of the outcome must change nothing but the unit."""

import numpy as np
import pytest

from metricdef.stats.anytime import mixture_test
from metricdef.stats.shrinkage import shrink, shrink_dependent

pytestmark = pytest.mark.soundness


@pytest.mark.parametrize("unit", [1e-100, 1e-80, 1e90])
@pytest.mark.parametrize("method", ["PM", "DL", "REML"])
def test_shrinkage_is_the_same_in_any_unit(method, unit):
    """Weights 1 / se^2 were squared: infinite below a unit of 1e-80, and the shrunk estimates NaN."""
    y, se = np.array([0.1, 0.5, -0.3, 0.9]), np.array([0.1, 0.2, 0.3, 0.2])
    for plain, scaled in (
        (shrink(y, se, method), shrink(y * unit, se * unit, method)),
        (
            shrink_dependent(y, np.diag(se**2) + 0.01, method),
            shrink_dependent(y * unit, (np.diag(se**2) + 0.01) * unit**2, method),
        ),
    ):
        assert scaled.weights == pytest.approx(plain.weights, rel=1e-9)
        assert scaled.q == pytest.approx(plain.q, rel=1e-12)
        assert np.array(scaled.estimates) / unit == pytest.approx(np.array(plain.estimates), rel=1e-9)
        assert np.array(scaled.std_errors) / unit == pytest.approx(np.array(plain.std_errors), rel=1e-9)
        assert scaled.tau2 / unit / unit == pytest.approx(plain.tau2, rel=1e-9)


@pytest.mark.parametrize(("variance", "tau2"), [(1e-200, 1e200), (1e200, 1e-200)])
def test_variances_of_different_scales_are_refused(variance, tau2):
    """Their ratio overflowed and p became 1."""
    with pytest.raises(ValueError):
        mixture_test(1.0, variance, tau2, 0.05)
