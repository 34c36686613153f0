"""Ways in which a statistic could contradict itself."""

import pytest

from metricdef.stats.proportions import score_difference, score_ratio, score_test

pytestmark = pytest.mark.soundness


@pytest.mark.parametrize("table", [(0, 11, 3, 13), (3, 13, 0, 11), (11, 11, 10, 13), (10, 13, 11, 11)])
def test_the_score_interval_does_not_end_at_a_vanishing_difference(table):
    """Bisection met a difference of 5e-17, where the restricted rates had no digits left: the limit became 0."""
    d, r = score_difference(*table, 0.05), score_ratio(*table, 0.05)
    assert d.p_value > 0.05
    assert d.lower < -1e-3
    assert d.upper > 1e-3
    assert r.lower < 0 < (r.upper or 1)


@pytest.mark.parametrize("null", [1e-15, 1e-13, 1e-12, -1e-12, 1e-10])
@pytest.mark.parametrize("table", [(1, 1, 1_159_430, 2_000_000), (2, 5, 3, 2_000_000), (0, 11, 3, 13)])
def test_the_score_statistic_is_continuous_at_no_difference(table, null):
    """Rounding in 1 - p - difference gave the restricted rate the wrong end, and a statistic of 1e9."""
    at_zero = score_difference(*table, 0.05).statistic
    assert score_test(*table, null, greater=True).statistic == pytest.approx(at_zero, rel=1e-3)
