from __future__ import annotations

import numpy as np

from metricdef.stats.adjustment import MeanOutcome, RatioOutcome
from metricdef.stats.effects import difference, unadjusted_mean
from metricdef.stats.guards import guards
from metricdef.stats.moments import Moments, from_rows

MEAN, RATIO = MeanOutcome("y"), RatioOutcome("y", "d")


def arms(rows: np.ndarray, other: np.ndarray) -> tuple[Moments, Moments, float]:
    a, b = from_rows(["y", "d"][: rows.shape[1]], rows), from_rows(["y", "d"][: rows.shape[1]], other)
    return a, b, difference(unadjusted_mean([b, a], "y"), 1, 0.05).std_error


def test_normal_values_pass() -> None:
    rng = np.random.default_rng(1)
    assert guards(*arms(rng.normal(size=(500, 1)), rng.normal(size=(500, 1)))[:2], MEAN, 0.063) == ()


def test_skewness_of_the_difference() -> None:
    rng = np.random.default_rng(2)
    big, small = rng.lognormal(0, 2, (2000, 1)), rng.lognormal(0, 2, (200, 1))
    a, b, se = arms(big, small)
    k3 = [((v - v.mean()) ** 3).mean() / len(v) ** 2 for v in (big, small)]
    assert abs(k3[0] - k3[1]) / se**3 > 0.2
    assert guards(a, b, MEAN, se) == ("small-sample",)
    # Equal arms cancel: the difference is symmetric.
    assert guards(a, a, MEAN, se) == ()


def test_the_limit_is_two_tenths() -> None:
    rng = np.random.default_rng(3)
    v, w = rng.exponential(size=(300, 1)), rng.normal(size=(300, 1))
    a, b, _ = arms(v, w)
    k3 = abs(float(a.third[0]) / 300**3 - float(b.third[0]) / 300**3)
    edge = (k3 / 0.2) ** (1 / 3)
    assert guards(a, b, MEAN, edge * 1.001) == ()
    assert guards(a, b, MEAN, edge * 0.999) == ("small-sample",)


def test_few_events() -> None:
    rows = np.zeros((100, 1))
    rows[:9] = 1
    more = np.zeros((100, 1))
    more[:10] = 1
    a, b, se = arms(more, rows)
    assert guards(a, b, MEAN, se) == ("small-sample",)
    assert guards(a, a, MEAN, se) == ()


def test_dominant_unit_of_a_ratio() -> None:
    rng = np.random.default_rng(4)
    d = 1.0 + rng.poisson(3, 200)
    rows = np.column_stack([d * 2 + rng.normal(size=200), d])
    a, b, se = arms(rows, rows)
    assert guards(a, b, RATIO, se) == ()
    rows = rows.copy()
    rows[0] = (200.0, 100.0)
    a, _, se = arms(rows, rows)
    assert "dominant-unit" in guards(a, b, RATIO, se)
    assert "small-sample" in guards(b, a, RATIO, se)


def test_an_arm_of_one() -> None:
    one = from_rows(["y"], [[1.0]])
    assert guards(one, one, MEAN, 0.0) == ("small-sample",)
