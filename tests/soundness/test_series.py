"""The last day of a daily series is the overall figure: running values must not drift from it."""

from datetime import timedelta

import pytest
from semantics.world import DAY, HOUR, T0, build, exposure, order

pytestmark = pytest.mark.soundness
LAST = {
    "type": "threshold",
    "source": "orders",
    "agg": "last",
    "measure": "amount",
    "missing": "zero",
    "direction": "increase",
}


@pytest.mark.parametrize(
    ("limit", "amounts"),
    [
        ({"at_least": 0.9}, (0.1, 0.2, 0.9)),  # 0.1 + (0.2 - 0.1) + (0.9 - 0.2) < 0.9
        ({"at_most": 0.9}, (0.1, 0.3, 0.9)),  # and here it is > 0.9
    ],
)
def test_a_last_value_is_the_row_itself_on_every_day(tmp_path, limit, amounts):
    units = [(f"u{i}", ("control", "treatment")[i % 2]) for i in range(20)]
    orders = [order(u, T0 + HOUR + k * DAY, amount) for u, _ in units[:10] for k, amount in enumerate(amounts)]
    project = build(tmp_path, {"m": {**LAST, **limit}}, [exposure(u, arm) for u, arm in units], orders=orders)
    readout = project.run("test", as_of=str(T0 + timedelta(days=9)), daily=True)
    (row,) = readout.estimates
    day = readout.series[-1]
    assert (day["baseline_value"], day["arm_value"]) == (row.baseline_value, row.arm_value)
    assert row.baseline_value == (0.5 if "at_least" in limit else 1.0)
