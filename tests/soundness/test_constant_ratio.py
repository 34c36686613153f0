"""A ratio that every unit shares does not vary: the rounding of y - rho x must not become a standard error."""

import pytest
from semantics.world import HOUR, SUM, T0, exposure, order, see

pytestmark = pytest.mark.soundness
COUNT = {"type": "mean", "source": "orders", "agg": "count", "direction": "increase"}
METRICS = {
    "revenue": SUM,
    "orders": COUNT,
    "price": {"type": "ratio", "numerator": "revenue", "denominator": "orders", "direction": "increase"},
}


def seen(tmp_path, prices, **world):
    exposures = [exposure(f"u{i}", ("control", "treatment")[i % 2], shop=f"s{i % 20}") for i in range(200)]
    orders = [order(f"u{i}", T0 + (1 + k) * HOUR, prices[i % 2]) for i in range(200) for k in range(i * 7 % 5)]
    return see(tmp_path, METRICS, exposures, orders=orders, **world).row("price")


@pytest.mark.parametrize("price", [3.0, 0.1, 19.99, 1e6 + 0.1])
@pytest.mark.parametrize("world", [{}, {"cluster": "shop", "unit": "user"}])
def test_a_constant_ratio_has_no_standard_error(tmp_path, price, world):
    """It had one of 1e-16, an interval of width 0 and p = 1."""
    row = seen(tmp_path, (price, price), **world)
    assert (row.verdict, row.reason, row.p_value) == ("not_computed", "zero_variance", None)


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9, 1e-12])
def test_two_constant_ratios_have_no_standard_error(tmp_path, gap):
    row = seen(tmp_path, (19.99, 19.99 * (1 + gap)))
    assert (row.verdict, row.reason, row.p_value) == ("not_computed", "zero_variance", None)
