from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metricdef.stats.heterogeneity import CochranQ, cochran_q

sets = st.lists(st.tuples(st.floats(-5, 5), st.floats(0.05, 3)), min_size=2, max_size=7)


def found(estimates, errors) -> CochranQ:
    got = cochran_q(estimates, errors)
    assert got is not None
    return got


@given(sets)
def test_by_its_formula(rows) -> None:
    d, se = np.array(rows).T
    w = 1 / se**2
    want = float(w @ (d - w @ d / w.sum()) ** 2)
    got = found(d.tolist(), se.tolist())
    assert got.statistic == pytest.approx(want, rel=1e-9, abs=1e-12)
    assert got.df == len(rows) - 1
    assert got.p_value == pytest.approx(stats.chi2.sf(got.statistic, len(rows) - 1), rel=1e-9)


def test_two_estimates_are_the_z_test_of_their_difference() -> None:
    got = found([1.0, 2.5], [0.3, 0.4])
    assert got.statistic == pytest.approx((1.5 / 0.5) ** 2)
    assert got.p_value == pytest.approx(math.erfc(3 / math.sqrt(2)))


def test_a_far_offset_costs_no_digits() -> None:
    assert found([2.0**30, 2.0**30 + 1.75], [0.3, 0.4]).statistic == pytest.approx(12.25, rel=1e-13)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_any_unit(scale: float) -> None:
    plain = found([1.0, 2.5, 0.0], [0.3, 0.4, 2.0])
    got = found([scale * d for d in (1.0, 2.5, 0.0)], [scale * se for se in (0.3, 0.4, 2.0)])
    assert (got.statistic, got.p_value) == (pytest.approx(plain.statistic), pytest.approx(plain.p_value))


def test_nothing_to_compare_and_refusals() -> None:
    assert cochran_q([], []) is None
    assert cochran_q([1.0], [0.1]) is None
    for errors in ([0.1, 0.0], [0.1, -1.0], [0.1, math.nan]):
        with pytest.raises(ValueError, match="above 0"):
            cochran_q([1.0, 2.0], errors)
