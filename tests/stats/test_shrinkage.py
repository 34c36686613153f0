from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metricdef.errors import NotComputable
from metricdef.stats.selection import condition_on_significance
from metricdef.stats.shrinkage import dersimonian_laird, shrink, shrink_dependent

METHODS = ["PM", "DL", "REML"]
sets = st.lists(st.tuples(st.floats(-3, 3), st.floats(0.05, 2)), min_size=2, max_size=8)


def gls(y, s, tau2):
    """Direct matrices: mean, its variance, BLUP, its covariance and Q."""
    k = len(y)
    v = np.linalg.inv(s + tau2 * np.eye(k))
    one = np.ones(k)
    var = 1 / (one @ v @ one)
    mu = var * (one @ v @ y)
    h = one - tau2 * v @ one
    cov = tau2 * np.eye(k) - tau2**2 * v + np.outer(h, h) * var
    return mu, var, mu + tau2 * v @ (y - mu), cov, (y - mu) @ v @ (y - mu)


def shared_baseline(k, v0, own):
    return np.full((k, k), v0) + np.diag(own)


@given(sets, st.floats(0.01, 1), st.sampled_from(METHODS))
def test_dependent_by_direct_matrices(rows, v0, method) -> None:
    y = np.array([a for a, _ in rows])
    s = shared_baseline(len(y), v0, [b**2 for _, b in rows])
    got = shrink_dependent(y.tolist(), s, method)
    mu, var, pulled, cov, _ = gls(y, s, got.tau2)
    assert got.mean == pytest.approx(mu, rel=1e-7, abs=1e-9)
    assert got.mean_std_error == pytest.approx(math.sqrt(var), rel=1e-7)
    assert got.estimates == pytest.approx(pulled, rel=1e-6, abs=1e-8)
    assert got.std_errors == pytest.approx(np.sqrt(cov.diagonal()), rel=1e-5)
    assert got.q == pytest.approx(gls(y, s, 0.0)[4], rel=1e-6, abs=1e-9)
    assert got.tau2 >= 0
    if method == "PM" and got.tau2 > 0:
        assert gls(y, s, got.tau2)[4] == pytest.approx(len(y) - 1, rel=1e-7)
    elif method == "PM":
        assert got.q <= len(y) - 1


@given(sets)
def test_reml_is_the_best_of_a_grid(rows) -> None:
    y, se = np.array([a for a, _ in rows]), np.array([b for _, b in rows])

    def likelihood(tau2):
        w = 1 / (se**2 + tau2)
        mu = (w @ y) / w.sum()
        return 0.5 * np.log(w).sum() - 0.5 * math.log(w.sum()) - 0.5 * (w @ (y - mu) ** 2)

    got = shrink(y.tolist(), se.tolist(), "REML").tau2
    best = max(likelihood(t) for t in np.concatenate([[0], np.geomspace(1e-6, 100, 400)]))
    assert likelihood(got) >= best - 1e-9


@given(sets, st.floats(0.01, 4))
def test_reml_of_dependent_estimates_is_the_best_of_a_grid(rows, v0) -> None:
    y = np.array([a for a, _ in rows])
    s = shared_baseline(len(y), v0, [b**2 for _, b in rows])

    def likelihood(tau2):
        var, q = (gls(y, s, tau2)[i] for i in (1, 4))
        return -0.5 * np.linalg.slogdet(s + tau2 * np.eye(len(y)))[1] + 0.5 * math.log(var) - 0.5 * q

    got = shrink_dependent(y.tolist(), s, "REML").tau2
    assert likelihood(got) >= max(map(likelihood, np.concatenate([[0], np.geomspace(1e-6, 100, 100)]))) - 1e-9


@given(sets, st.sampled_from(METHODS), st.floats(1e-4, 1e4), st.floats(-5, 5))
def test_scale_and_shift(rows, method, scale, shift) -> None:
    y, se = [a for a, _ in rows], [b for _, b in rows]
    plain = shrink(y, se, method)
    moved = shrink([scale * (a + shift) for a in y], [scale * b for b in se], method)
    assert moved.tau2 == pytest.approx(scale**2 * plain.tau2, rel=1e-5, abs=1e-9 * scale**2)
    assert moved.estimates == pytest.approx([scale * (a + shift) for a in plain.estimates], rel=1e-4, abs=1e-4 * scale)
    between = sorted((min(y), max(y)))
    assert all(between[0] - 1e-9 <= a <= between[1] + 1e-9 for a in plain.estimates)


def test_equal_errors_by_hand() -> None:
    """With equal errors all three are the variance of the estimates less that of an error."""
    y = [0.0, 1.0, 2.0, 5.0]
    want = np.var(y, ddof=1) - 0.25
    for method in METHODS:
        assert shrink(y, [0.5] * 4, method).tau2 == pytest.approx(want, rel=1e-9)
    assert dersimonian_laird(y, [0.5] * 4).method == "DL"


def test_bcg_vaccine_trials() -> None:
    """Log relative risks of Colditz et al. (1994); tau^2, mean and its error as Viechtbauer (2010) prints them."""
    y = [
        -0.8893,
        -1.5854,
        -1.3481,
        -1.4416,
        -0.2175,
        -0.7861,
        -1.6209,
        0.0120,
        -0.4694,
        -1.3713,
        -0.3394,
        0.4459,
        -0.0173,
    ]
    v = [0.3256, 0.1946, 0.4154, 0.0200, 0.0512, 0.0069, 0.2230, 0.0040, 0.0564, 0.0730, 0.0124, 0.5325, 0.0714]
    got = shrink(y, np.sqrt(v).tolist(), "REML")
    assert got.tau2 == pytest.approx(0.3132, abs=1e-4)
    assert (got.mean, got.mean_std_error) == (pytest.approx(-0.7145, abs=1e-4), pytest.approx(0.1798, abs=1e-4))
    assert not got.few


def test_arms_that_share_a_baseline() -> None:
    """The baseline's error moves all arms alike: it is no heterogeneity and leaves the ranking's spread unshrunk less."""
    rng = np.random.default_rng(1)
    v0, own = 4.0, [0.01] * 4
    s = shared_baseline(4, v0, own)
    y = (3.0 + rng.normal(scale=0.1, size=4)).tolist()
    naive = shrink(y, np.sqrt(s.diagonal()).tolist())
    joint = shrink_dependent(y, s)
    assert naive.tau2 == 0  # sees only that the arms differ far less than their errors
    assert joint.mean_std_error == pytest.approx(2.0, rel=0.01)
    assert naive.mean_std_error == pytest.approx(1.0, rel=0.01)  # too sure
    spread = np.array([0.0, 1.0, 2.0, 3.0])
    assert shrink_dependent(spread.tolist(), s).tau2 == pytest.approx(np.var(spread, ddof=1) - 0.01, rel=1e-6)


@pytest.mark.parametrize(
    ("estimates", "errors", "method"),
    [
        ([1.0], [0.1], "PM"),
        ([1.0, 2.0], [0.1, 0.0], "PM"),
        ([1.0, math.nan], [0.1, 0.1], "PM"),
        ([1.0, 2.0], [1, 1], "ML"),
    ],
)
def test_refused(estimates, errors, method) -> None:
    with pytest.raises(ValueError, match=r"at least 2|unknown method"):
        shrink(estimates, errors, method)
    with pytest.raises(ValueError, match=r"at least 2|unknown|variances"):
        shrink_dependent(estimates, np.diag(np.square(errors)), method)


def test_refused_matrices() -> None:
    with pytest.raises(NotComputable) as caught:
        shrink_dependent([1.0, 2.0], np.ones((2, 2)))
    assert caught.value.reason == "singular"
    with pytest.raises(ValueError, match="symmetric"):
        shrink_dependent([1.0, 2.0], [[1, 0.5], [0.1, 1]])


@pytest.mark.parametrize("z", [1.97, 2.2, 3.0, 6.0, 40.0, -2.5])
@pytest.mark.parametrize("selection", [0.05, 0.001])
def test_conditional_likelihood(z, selection) -> None:
    c = stats.norm.isf(selection / 2)
    if abs(z) <= c:
        with pytest.raises(ValueError, match="not significant"):
            condition_on_significance(z, 1.0, selection, 0.05)
        return
    got = condition_on_significance(0.3 * z, 0.3, selection, 0.05)

    def minus_likelihood(mu):
        return -stats.norm.logpdf(z - mu) + np.logaddexp(stats.norm.logcdf(mu - c), stats.norm.logcdf(-mu - c))

    grid = np.linspace(-abs(z) - 1, abs(z) + 1, 400_001)
    assert got.estimate / 0.3 == pytest.approx(grid[np.argmin(minus_likelihood(grid))], abs=2e-3)
    assert abs(got.estimate) <= abs(got.naive)
    assert got.estimate * z >= 0
    lower, upper = sorted((got.lower, got.upper), key=lambda v: v * np.sign(z))

    def p_beyond(mu):  # P(further out than z | selected), on the side of z
        side = np.sign(z)
        below = stats.norm.sf(abs(z) - side * mu)
        return below / (stats.norm.cdf(side * mu - c) + stats.norm.cdf(-side * mu - c))

    assert p_beyond(lower / 0.3) == pytest.approx(0.025, rel=1e-5)
    assert 1 - p_beyond(upper / 0.3) == pytest.approx(0.025, rel=1e-5)
    if abs(z) > 30:
        assert got.estimate == pytest.approx(got.naive, rel=1e-9)


@pytest.mark.parametrize(("estimate", "error"), [(math.nan, 1.0), (3.0, 0.0), (3.0, math.inf)])
def test_conditioning_refused(estimate, error) -> None:
    with pytest.raises(ValueError, match="standard error"):
        condition_on_significance(estimate, error, 0.05, 0.05)


def test_just_significant() -> None:
    """At the edge only the side is news: P(upper side | selected) = 2.5 % at one end, 97.5 % at the other."""
    got = condition_on_significance(1.9599640, 1.0, 0.05, 0.05)
    up, down = stats.norm.cdf(got.upper - 1.959964), stats.norm.cdf(-got.upper - 1.959964)
    assert up / (up + down) == pytest.approx(0.975, abs=1e-6)
    assert got.lower == pytest.approx(-got.upper, abs=1e-6)
    assert got.lower < 0 < got.estimate < got.upper < 1.96


def test_selected_intervals_cover() -> None:
    """Of the significant ones at a true effect of 1 se, 95 % of conditional intervals cover it, naive ones far fewer."""
    z = stats.norm.rvs(loc=1.0, size=3000, random_state=np.random.default_rng(4))
    chosen = [v for v in z if abs(v) > 1.959964]
    found = [condition_on_significance(v, 1.0, 0.05, 0.05) for v in chosen]
    covered = np.mean([r.lower <= 1.0 <= r.upper for r in found])
    naive = np.mean([abs(v - 1.0) <= 1.959964 for v in chosen])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.05 * 0.95 / len(chosen))
    assert naive < 0.9
    assert abs(np.mean([r.estimate for r in found]) - 1) < abs(np.mean(chosen) - 1)
