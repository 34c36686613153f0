"""Contrasts of arms: the interaction of two experiments, and novelty."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricdef.errors import NotComputable
from metricdef.stats import effects
from metricdef.stats.adjustment import MeanOutcome, RatioOutcome, choose
from metricdef.stats.contrast import test_contrast
from metricdef.stats.interaction import test_interaction
from metricdef.stats.moments import from_rows
from metricdef.stats.novelty import Novelty, day_weights, sum_of_squares, test_novelty

from .reference import moments


def cells_of(rows, names=("y",)):
    made = [from_rows(list(names), r) for r in rows]
    return (made[0], made[1]), (made[2], made[3])


@given(st.integers(0, 10_000), st.lists(st.integers(2, 60), min_size=4, max_size=4))
def test_interaction_is_ols_with_hc2(seed, sizes) -> None:
    """The saturated regression on a, b and a b; HC2 in cells is the Welch variance."""
    rng = np.random.default_rng(seed)
    rows = [rng.normal(loc=i, scale=1 + i, size=(n, 1)) for i, n in enumerate(sizes)]
    got = test_interaction(cells_of(rows), "y", 0.05).interaction
    a, b = np.repeat([0, 0, 1, 1], sizes), np.repeat([0, 1, 0, 1], sizes)
    x = np.column_stack([np.ones(len(a)), a, b, a * b])
    y = np.concatenate(rows)[:, 0]
    coefficients = np.linalg.lstsq(x, y, rcond=None)[0]
    bread = np.linalg.inv(x.T @ x)
    leverage = np.einsum("ij,jk,ik->i", x, bread, x)
    meat = x.T * ((y - x @ coefficients) ** 2 / (1 - leverage)) @ x
    assert got.estimate == pytest.approx(coefficients[3], rel=1e-8, abs=1e-10)
    assert got.std_error == pytest.approx(math.sqrt((bread @ meat @ bread)[3, 3]), rel=1e-8)
    v = [r.var(ddof=1) / len(r) for r in rows]
    assert got.df == pytest.approx(sum(v) ** 2 / sum(q**2 / (n - 1) for q, n in zip(v, sizes, strict=True)), rel=1e-9)
    assert got.p_value == pytest.approx(2 * effects.t_tail(abs(got.statistic), got.df))


def test_interaction_is_symmetric_and_its_parts_are_welch_tests() -> None:
    rng = np.random.default_rng(1)
    rows = [rng.normal(loc=i, size=(30 + i, 1)) for i in range(4)]
    cells = cells_of(rows)
    got = test_interaction(cells, "y", 0.05)
    turned = test_interaction(((cells[0][0], cells[1][0]), (cells[0][1], cells[1][1])), "y", 0.05)
    assert turned.interaction == got.interaction
    plain = effects.unadjusted_mean([cells[0][0], cells[1][0]], "y")
    want = effects.difference(plain, 1, 0.05)
    assert (got.without.estimate, got.without.std_error) == (want.estimate, want.std_error)
    assert got.without.df == pytest.approx(want.df, rel=1e-12)
    assert got.without.p_value == pytest.approx(want.p_value, rel=1e-10)
    assert got.within.estimate - got.without.estimate == pytest.approx(got.interaction.estimate)


def test_adjusted_interaction() -> None:
    """A strong covariate: the same estimand, far smaller error, near the regression with its own slope per cell."""
    rng = np.random.default_rng(2)
    rows = []
    for i in range(4):
        x = rng.normal(size=500 + 10 * i)
        rows.append(np.column_stack([i % 2 + 3 * x + rng.normal(size=x.size), x, np.ones(x.size)]))
    plain = test_interaction(cells_of(rows, "yxc"), "y", 0.05)
    got = test_interaction(cells_of(rows, "yxc"), MeanOutcome("y"), 0.05, ["x", "c"])
    assert (got.estimator, got.covariates, got.dropped) == ("lin", ("x",), ("c",))
    assert got.interaction.std_error < 0.5 * plain.interaction.std_error
    grand = np.concatenate(rows)[:, 1].mean()
    at = [np.polynomial.Polynomial.fit(r[:, 1] - grand, r[:, 0], 1).convert().coef[0] for r in rows]
    assert got.interaction.estimate == pytest.approx(at[3] - at[2] - at[1] + at[0], rel=1e-6)
    ratio = test_interaction(cells_of([np.abs(r) + 1 for r in rows], "yxc"), RatioOutcome("y", "x"), 0.05)
    assert ratio.estimator == "unadjusted"
    pooled = test_interaction(cells_of([r[:25] for r in rows], "yxc"), "y", 0.05, ["x"])
    assert pooled.estimator == "ancova_welch"
    assert 23 < pooled.interaction.df <= 100 - 1 - 4


def test_contrast_refuses() -> None:
    est = effects.unadjusted_mean([moments(9, ["y"], [1.0], [[0.0]]), moments(1, ["y"], [1.0], [[0.0]])], "y")
    for weights, reason in (((1, -1), "too_few_units"), ((1, 0), "zero_variance")):
        with pytest.raises(NotComputable) as caught:
            test_contrast(est, weights, 0.05)
        assert caught.value.reason == reason
    for weights in ((0, 0), (1, 0, 0)):
        with pytest.raises(ValueError, match="one weight per arm"):
            test_contrast(est, weights, 0.05)


def daily(rng, n: int, days: int, effects_by_day) -> np.ndarray:
    """Units with a level of their own and noise of their own from day to day."""
    return rng.gamma(2, size=(n, 1)) + rng.normal(size=(n, days)).cumsum(axis=1) * 0.3 + np.asarray(effects_by_day)


def test_novelty_is_the_slope_of_the_daily_effects() -> None:
    rng = np.random.default_rng(3)
    days = 7
    w = np.array(day_weights(days))
    control, fading = daily(rng, 900, days, np.zeros(days)), daily(rng, 1000, days, 0.5 - 0.1 * np.arange(days))
    steady = daily(rng, 800, days, np.full(days, 0.5))
    arms = [from_rows(["s"], y @ w[:, None]) for y in (control, fading, steady)]
    got, flat = test_novelty(arms, "s", days, 0.05)
    assert isinstance(got, Novelty)
    assert isinstance(flat, Novelty)
    line = np.polynomial.Polynomial.fit(np.arange(days), fading.mean(axis=0) - control.mean(axis=0), 1).convert()
    assert got.slope.estimate == pytest.approx(line.coef[1], rel=1e-9)
    slopes = [np.polyfit(np.arange(days), y.T, 1)[0] for y in (fading, control)]
    assert got.slope.std_error == pytest.approx(math.sqrt(sum(s.var(ddof=1) / len(s) for s in slopes)), rel=1e-9)
    assert got.last_less_first == pytest.approx(6 * got.slope.estimate)
    assert got.slope.p_value < 1e-6 < flat.slope.p_value
    assert (got.arm, flat.arm, got.estimator) == (1, 2, "unadjusted")


def test_adjusted_novelty() -> None:
    rng = np.random.default_rng(4)
    days = 5
    w = np.array(day_weights(days))
    arms = []
    for shift in (0.0, 0.1):
        own = rng.normal(size=(500, 1))
        y = own * np.arange(days) + rng.normal(size=(500, days)) * 0.2 + shift * np.arange(days)
        arms.append(from_rows(["s", "x"], np.column_stack([y @ w, own + rng.normal(size=(500, 1)) * 0.1])))
    (plain,), (got,) = test_novelty(arms, "s", days, 0.05), test_novelty(arms, "s", days, 0.05, ["x"])
    assert isinstance(plain, Novelty)
    assert isinstance(got, Novelty)
    assert (got.estimator, got.covariates) == ("lin", ("x",))
    assert got.slope.std_error < 0.3 * plain.slope.std_error
    want = effects.difference(choose(arms, MeanOutcome("s"), ["x"]), 1, 0.05)
    assert got.slope.estimate == pytest.approx(want.estimate / 10)
    assert got.slope.p_value == pytest.approx(want.p_value)


@given(st.integers(2, 400))
def test_day_weights(days) -> None:
    w = day_weights(days)
    assert sum(w) == 0
    assert len(w) == days
    assert sum(v * v for v in w) == pytest.approx(sum_of_squares(days), rel=1e-12)


def test_novelty_not_computable() -> None:
    still = moments(50, ["s"], [0.0], [[0.0]])
    varies, alone = moments(50, ["s"], [0.0], [[1.0]]), moments(1, ["s"], [0.0], [[0.0]])
    found = test_novelty([still, still], "s", 7, 0.05)
    assert isinstance(found[0], NotComputable)
    assert found[0].reason == "zero_variance"
    lonely, fine = test_novelty([varies, alone, varies], "s", 7, 0.05)
    assert isinstance(lonely, NotComputable)
    assert lonely.reason == "too_few_units"
    assert isinstance(fine, Novelty)
    for call in (
        lambda: day_weights(1),
        lambda: sum_of_squares(1),
        lambda: test_novelty([varies, varies], "s", 1, 0.05),
    ):
        with pytest.raises(ValueError, match="2 days"):
            call()
