from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricdef.stats.spending import Spending, log_difference

FUNCTIONS = [
    Spending("obrien_fleming"),
    Spending("pocock"),
    Spending("kim_demets", 0.5),
    Spending("kim_demets", 3),
    Spending("hwang_shih_decani", -4),
    Spending("hwang_shih_decani", 0),
    Spending("hwang_shih_decani", 1),
    Spending("hwang_shih_decani", -900),
    Spending("hwang_shih_decani", 900),
]
NAMES = [f"{s.name}-{s.gamma}" for s in FUNCTIONS]


@pytest.mark.parametrize("spending", FUNCTIONS, ids=NAMES)
@given(a=st.floats(0, 1), b=st.floats(0, 1), level=st.floats(1e-12, 0.5))
def test_it_goes_from_nothing_to_the_level_and_never_falls(
    spending: Spending, a: float, b: float, level: float
) -> None:
    assert spending.spent(0, level) == 0
    assert spending.spent(1, level) == spending.spent(1.3, level) == pytest.approx(level)
    low, high = sorted((a, b))
    assert spending.log_spent(low, level) <= spending.log_spent(high, level) + 1e-12
    steps = [spending.log_spent(j / 5, level) for j in range(6)]
    parts = [math.exp(log_difference(y, x)) for x, y in itertools.pairwise(steps)]
    assert sum(parts) == pytest.approx(level)


@pytest.mark.parametrize("spending", FUNCTIONS, ids=NAMES)
def test_just_before_the_end_almost_all_is_spent(spending: Spending) -> None:
    assert spending.spent(1 - 1e-9, 0.025) == pytest.approx(0.025, rel=1e-5)


def test_forms_at_half_way() -> None:
    assert Spending("pocock").spent(0.5, 0.05) == pytest.approx(0.05 * math.log(1 + (math.e - 1) / 2))
    assert Spending("kim_demets", 2).spent(0.5, 0.05) == pytest.approx(0.0125)
    assert Spending("hwang_shih_decani", -2).spent(0.5, 0.05) == pytest.approx(
        0.05 * (1 - math.exp(1)) / (1 - math.exp(2))
    )
    assert Spending("hwang_shih_decani", 0).spent(0.5, 0.05) == pytest.approx(0.025)


def test_a_spend_far_below_the_smallest_double_keeps_its_log() -> None:
    assert Spending("obrien_fleming").spent(0.001, 0.025) == 0
    assert Spending("obrien_fleming").log_spent(0.001, 0.025) == pytest.approx(-2516, abs=1)


@pytest.mark.parametrize(
    "arguments",
    [("linear",), ("pocock", 1.0), ("kim_demets",), ("kim_demets", 0.0), ("hwang_shih_decani", math.nan)],
)
def test_refusals(arguments: tuple) -> None:
    with pytest.raises(ValueError):
        Spending(*arguments)


@pytest.mark.parametrize(("fraction", "level"), [(-0.1, 0.05), (math.nan, 0.05), (0.5, 0.0), (0.5, 1.5)])
def test_refused_arguments(fraction: float, level: float) -> None:
    with pytest.raises(ValueError):
        Spending("pocock").log_spent(fraction, level)
