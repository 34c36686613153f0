from __future__ import annotations

import numpy as np
import pytest

from metricdef.errors import NotComputable
from metricdef.stats.effects import unadjusted_ratio
from metricdef.stats.moments import Moments, empty, from_rows
from metricdef.stats.responses import response_test
from metricdef.stats.wald import pooled_test


def answers(yes: int, no: int) -> Moments:
    return from_rows(["r"], np.repeat([1.0, 0.0], [yes, no])[:, None])


def test_it_is_the_pooled_test_but_for_the_factor() -> None:
    got = response_test(answers(180, 20), answers(150, 60), "r")
    assert (got.arm, got.baseline) == (0.9, pytest.approx(150 / 210))
    assert got.difference == pytest.approx(0.9 - 150 / 210)
    assert got.statistic == pytest.approx(pooled_test(180, 200, 150, 210).statistic * np.sqrt(409 / 410))
    assert got.p_value < 1e-5
    back = response_test(answers(150, 60), answers(180, 20), "r")
    assert (back.statistic, back.p_value) == (pytest.approx(-got.statistic), pytest.approx(got.p_value))


@pytest.mark.parametrize(("yes", "no"), [(5, 0), (0, 5)])
def test_arms_that_answer_alike_without_exception_do_not_differ(yes: int, no: int) -> None:
    got = response_test(answers(yes, no), answers(3 * yes, 3 * no), "r")
    assert (got.difference, got.statistic, got.p_value) == (0.0, 0.0, 1.0)


def test_all_against_none() -> None:
    assert response_test(answers(40, 0), answers(0, 40), "r").p_value < 1e-15


def test_an_arm_of_one_unit_has_a_rate() -> None:
    got = response_test(answers(1, 0), answers(1, 3), "r")
    assert got.difference == 0.75
    assert got.statistic == pytest.approx(0.75 / np.sqrt(0.4 * 0.6 * (1 + 1 / 4) * 5 / 4))


def test_reasons() -> None:
    with pytest.raises(NotComputable) as caught:
        response_test(answers(1, 1), empty(["r"]), "r")
    assert caught.value.reason == "too_few_units"
    for values in ([[2.0], [0.0], [0.0]], [[0.5], [1.5], [0.0]]):
        with pytest.raises(ValueError, match="0/1"):
            response_test(from_rows(["r"], values), answers(1, 1), "r")


def test_excluding_units_is_the_ratio_over_those_that_answer() -> None:
    rng = np.random.default_rng(1)
    arms, plain = [], []
    for n in (60, 50):
        y, r = rng.normal(3, 1, n), (rng.random(n) < 0.7).astype(float)
        arms.append(from_rows(["yr", "r"], np.column_stack([y * r, r])))
        plain.append(y[r == 1])
    est = unadjusted_ratio(arms, "yr", "r")
    for a, values in enumerate(plain):
        assert est.means[a] == pytest.approx(values.mean())
        # V = sum r (y - mean)^2 / (n - 1) n / (sum r)^2: that of the mean of the answers, but for the two divisors.
        n, k = arms[a].n, len(values)
        assert est.arm_variance[a] == pytest.approx(values.var(ddof=1) / k * (k - 1) / k * n / (n - 1))
