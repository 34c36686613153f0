from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from thorough import examples

from metricdef.errors import NotComputable
from metricdef.stats.adjustment import MeanOutcome, RatioOutcome, ancova, ancova_ratio, unadjusted
from metricdef.stats.cuped import cuped, cuped_ratio
from metricdef.stats.effects import ArmEstimates, difference, relative, unadjusted_mean
from metricdef.stats.moments import Floats, Moments, from_rows

COLUMNS = ["y", "d", "x0", "x1", "yp", "dp"]
SIZES = (70, 45, 90)


def experiment(seed: int) -> tuple[list[Moments], list[Floats]]:
    rng = np.random.default_rng(seed)
    tables = []
    for a, n in enumerate(SIZES):
        x = rng.normal(3, 2, (n, 2))
        d, dp = 1 + rng.poisson(3, n), 1 + rng.poisson(2, n)
        y = 5 + 0.3 * a + x @ [1.0, 0.5 * (1 + a)] + rng.normal(size=n)
        yp = dp * (2 + 0.5 * y / d) + rng.normal(size=n)
        tables.append(np.column_stack([y, d, x, yp, dp]))
    return [from_rows(COLUMNS, table) for table in tables], tables


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("slope", ["within", "total"])
def test_it_is_welch_on_the_adjusted_rows(seed: int, slope: str) -> None:
    arms, tables = experiment(seed)
    est = cuped(arms, MeanOutcome("y"), ["x0", "x1"], slope)  # type: ignore[arg-type]
    x, y = np.vstack(tables)[:, 2:4], np.vstack(tables)[:, 0]
    label = np.repeat(np.arange(3), SIZES)
    dummies = np.ones((len(y), 1)) if slope == "total" else np.eye(3)[label]
    theta = np.linalg.lstsq(np.column_stack([dummies, x]), y, rcond=None)[0][dummies.shape[1] :]
    rows = y - (x - x.mean(0)) @ theta
    plain = unadjusted_mean([from_rows(["r"], rows[label == a][:, None]) for a in range(3)], "r")
    assert est.estimator == "cuped"
    np.testing.assert_allclose(est.means, plain.means, rtol=1e-10)
    np.testing.assert_allclose(est.arm_variance, plain.arm_variance, rtol=1e-9)
    for a in (1, 2):
        got, want = difference(est, a, 0.05), difference(plain, a, 0.05)
        assert (got.std_error, got.df) == (pytest.approx(want.std_error, rel=1e-9), pytest.approx(want.df))


def test_the_covariance_of_the_arm_means_by_simulation_of_its_linear_form() -> None:
    """mu = e - D theta is linear in the arms' means at fixed theta: Cov(mu) = sum_a L_a (S_a / n_a) L_a'."""
    arms, _ = experiment(3)
    est = cuped(arms, MeanOutcome("y"), ["x0", "x1"])
    assert est.slopes is not None
    share = np.array(SIZES) / sum(SIZES)
    want = np.zeros((3, 3))
    for a, arm in enumerate(arms):
        on_y, on_x = np.eye(3)[:, a], -(np.eye(3)[:, a] - share[a])
        loading = np.column_stack([on_y, *(on_x * b for b in est.slopes[0])])
        at = [0, 2, 3]
        want += loading @ (arm.cov[np.ix_(at, at)] / arm.n) @ loading.T
    np.testing.assert_allclose(est.cov, want, rtol=1e-10)


def test_the_within_slope_has_ancovas_estimate() -> None:
    arms, _ = experiment(4)
    np.testing.assert_allclose(
        cuped(arms, MeanOutcome("y"), ["x0", "x1"]).means, ancova(arms, "y", ["x0", "x1"]).means, rtol=1e-12
    )
    np.testing.assert_allclose(
        cuped(arms, RatioOutcome("y", "d"), ["x0"]).means, ancova_ratio(arms, "y", "d", ["x0"]).means, rtol=1e-12
    )


def test_ratio_slope_minimises_the_variance() -> None:
    arms, tables = experiment(5)
    outcome, before = RatioOutcome("y", "d"), RatioOutcome("yp", "dp")
    est = cuped_ratio(arms, outcome, before)
    r, q = unadjusted(arms, outcome), unadjusted(arms, before)
    influence = []
    for table, ry, rx in zip(tables, r.means, q.means, strict=True):
        ly = (table[:, 0] - ry * table[:, 1]) / table[:, 1].mean()
        lx = (table[:, 4] - rx * table[:, 5]) / table[:, 5].mean()
        influence.append(np.cov(ly, lx) / len(table))
    assert est.slopes is not None
    theta = sum(c[0, 1] for c in influence) / sum(c[1, 1] for c in influence)
    assert est.slopes[0, 0] == pytest.approx(theta, rel=1e-9)
    pooled = np.vstack(tables)[:, 4].sum() / np.vstack(tables)[:, 5].sum()
    np.testing.assert_allclose(est.means, r.means - theta * (q.means - pooled), rtol=1e-10)
    weights = np.array([1, -theta])
    np.testing.assert_allclose(est.arm_variance, [weights @ c @ weights for c in influence], rtol=1e-9)
    share = np.array([table[:, 5].sum() for table in tables]) / np.vstack(tables)[:, 5].sum()
    want = np.zeros((3, 3))
    for a, c in enumerate(influence):
        loading = np.column_stack([np.eye(3)[:, a], -theta * (np.eye(3)[:, a] - share[a])])
        want += loading @ c @ loading.T
    np.testing.assert_allclose(est.cov, want, rtol=1e-9)
    assert est.covariates == ("yp/dp",)


def test_what_does_not_vary_is_dropped_and_small_arms_are_refused() -> None:
    arms, tables = experiment(6)
    none = cuped(arms, MeanOutcome("y"), [])
    np.testing.assert_allclose(none.cov, unadjusted_mean(arms, "y").cov, rtol=1e-12)
    still = [from_rows(COLUMNS, np.column_stack([t[:, :4], 3 * t[:, 5], t[:, 5]])) for t in tables]
    est = cuped_ratio(still, RatioOutcome("y", "d"), RatioOutcome("yp", "dp"))
    assert (est.dropped, est.covariates) == (("yp/dp",), ())
    few = [arms[0], from_rows(COLUMNS, tables[1][:2])]
    for call in (
        lambda: cuped(few, MeanOutcome("y"), ["x0"]),
        lambda: cuped_ratio(few, RatioOutcome("y", "d"), RatioOutcome("yp", "dp")),
    ):
        with pytest.raises(NotComputable) as caught:
            call()
        assert caught.value.reason == "too_few_units"


def test_a_covariate_whose_denominators_cancel_between_arms() -> None:
    _, tables = experiment(7)
    arms = [from_rows(COLUMNS, tables[0] * [1, 1, 1, 1, 1, sign]) for sign in (1, -1)]  # refunds as large as sales
    with pytest.raises(NotComputable) as caught:
        cuped_ratio(arms, RatioOutcome("y", "d"), RatioOutcome("yp", "dp"))
    assert caught.value.reason == "zero_denominator"


@settings(max_examples=examples(60))
@given(st.integers(0, 10**6), st.sampled_from([0.01, 0.1, 0.4]), st.sampled_from(["within", "total", "ratio"]))
def test_p_intervals_labels_scale_and_shift(seed: int, alpha: float, kind: str) -> None:
    _, tables = experiment(seed)

    def estimate(given: list[Floats]) -> ArmEstimates:
        arms = [from_rows(COLUMNS, table) for table in given]
        if kind == "ratio":
            return cuped_ratio(arms, RatioOutcome("y", "d"), RatioOutcome("yp", "dp"))
        return cuped(arms, MeanOutcome("y"), ["x0", "x1"], kind)  # type: ignore[arg-type]

    est = estimate(tables)
    d, r = difference(est, 1, alpha), relative(est, 1, alpha)
    assume(abs(d.p_value - alpha) > 1e-9)
    assert r.lower is not None
    assert r.upper is not None
    assert (d.p_value < alpha) == (not d.lower <= 0 <= d.upper) == (not r.lower <= 0 <= r.upper)
    swapped = difference(estimate([tables[1], tables[0], tables[2]]), 1, alpha)
    assert (swapped.estimate, swapped.p_value) == (pytest.approx(-d.estimate), pytest.approx(d.p_value))
    scaled = difference(estimate([t * [7.0, 1, 3, 1, 5, 1] for t in tables]), 1, alpha)
    assert (scaled.std_error, scaled.p_value) == (pytest.approx(7 * d.std_error), pytest.approx(d.p_value))
    if kind != "ratio":
        shifted = difference(estimate([t + np.array([100.0, 0, 3, 0, 0, 0]) for t in tables]), 1, alpha)
        assert (shifted.lower, shifted.p_value) == (pytest.approx(d.lower), pytest.approx(d.p_value, rel=1e-7))
