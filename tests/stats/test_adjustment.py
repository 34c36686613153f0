from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from thorough import examples

from metricdef.errors import NotComputable
from metricdef.stats.adjustment import (
    Covariates,
    MeanOutcome,
    RatioOutcome,
    ancova,
    ancova_ratio,
    choose,
    lin,
    lin_ratio,
    usable,
)
from metricdef.stats.effects import (
    ArmEstimates,
    baseline_contrasts,
    contrast_covariance,
    difference,
    relative,
    unadjusted_mean,
)
from metricdef.stats.moments import Floats, Moments, from_rows


def ols(y: Floats, x: Floats) -> tuple[Floats, Floats, float]:
    """Coefficients (constant first), their classical covariance and the RSS."""
    design = np.column_stack([np.ones(len(y)), x])
    beta, *_ = np.linalg.lstsq(design, y, rcond=None)
    rss = float(((y - design @ beta) ** 2).sum())
    return beta, rss / (len(y) - design.shape[1]) * np.linalg.inv(design.T @ design), rss


def experiment(
    seed: int, sizes: tuple[int, ...] = (60, 45, 80), k: int = 2
) -> tuple[list[Moments], list[Floats], list[Floats]]:
    """Arms with differing slopes and variances; columns y, d, x1.. (moments, and y and x per arm)."""
    rng = np.random.default_rng(seed)
    arms, ys, xs = [], [], []
    for a, n in enumerate(sizes):
        x = rng.normal(3, 2, (n, k))
        d = 1 + rng.poisson(3, n)
        y = 5 + 0.3 * a + x @ (np.arange(1, k + 1) * (1 + a)) + (1 + a) * rng.normal(size=n) + d
        arms.append(from_rows(["y", "d", *(f"x{j}" for j in range(k))], np.column_stack([y, d, x])))
        ys.append(y)
        xs.append(x)
    return arms, ys, xs


@pytest.mark.parametrize("seed", range(5))
def test_lin_equals_least_squares_per_arm(seed: int) -> None:
    arms, ys, xs = experiment(seed)
    est = lin(arms, "y", ["x0", "x1"])
    grand = np.vstack(xs).mean(0)
    total = len(np.vstack(xs))
    sx = (np.vstack(xs) - grand).T @ (np.vstack(xs) - grand) / total
    fits = [ols(y, x - grand) for y, x in zip(ys, xs, strict=True)]
    for a, (beta, cov, _) in enumerate(fits):
        assert est.means[a] == pytest.approx(beta[0], rel=1e-11)
        assert est.arm_variance[a] == pytest.approx(cov[0, 0], rel=1e-10)
        assert est.arm_df[a] == arms[a].n - 3
        for c, (other, _, _) in enumerate(fits):
            want = beta[1:] @ sx @ other[1:] / total + (cov[0, 0] if a == c else 0.0)
            assert est.cov[a, c] == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_ancova_equals_least_squares_with_arm_dummies(seed: int) -> None:
    arms, ys, xs = experiment(seed)
    est = ancova(arms, "y", ["x0", "x1"])
    label = np.repeat([0, 1, 2], [len(y) for y in ys])
    design = np.column_stack([label == 1, label == 2, np.vstack(xs)]).astype(float)
    beta, cov, _ = ols(np.concatenate(ys), design)
    for a in (1, 2):
        d = difference(est, a, 0.05)
        assert d.estimate == pytest.approx(beta[a], rel=1e-10)
        assert d.std_error == pytest.approx(math.sqrt(cov[a, a]), rel=1e-10)
        assert d.df == len(label) - 5


@pytest.mark.parametrize("seed", range(3))
def test_ratio_adjustment_is_the_mean_adjustment_of_the_linearised_outcome(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arms, plain = [], []
    for n in (70, 50):
        x = rng.normal(size=n)
        d = 1.0 + rng.poisson(2, n)
        y = d * (2 + 0.5 * x + rng.normal(size=n))
        r = y.sum() / d.sum()
        arms.append(from_rows(["y", "d", "x"], np.column_stack([y, d, x])))
        plain.append(from_rows(["l", "x"], np.column_stack([r + (y - r * d) / d.mean(), x])))
    for ratio, mean in ((lin_ratio, lin), (ancova_ratio, ancova)):
        a, b = ratio(arms, "y", "d", ["x"]), mean(plain, "l", ["x"])
        np.testing.assert_allclose(a.means, b.means, rtol=1e-10)
        np.testing.assert_allclose(a.cov, b.cov, rtol=1e-9)


def test_constant_denominator_gives_the_mean() -> None:
    arms, ys, xs = experiment(1)
    ones = [
        from_rows(["y", "d", "x0", "x1"], np.column_stack([y, np.ones(len(y)), x])) for y, x in zip(ys, xs, strict=True)
    ]
    a, b = lin_ratio(ones, "y", "d", ["x0", "x1"]), lin(arms, "y", ["x0", "x1"])
    np.testing.assert_allclose(a.cov, b.cov, rtol=1e-9)


def with_columns(seed: int, change: dict[str, float | None]) -> list[Moments]:
    """Three useful covariates a, b, c; `change` makes one constant (a number) or a copy of a (None), in arm 1 only."""
    rng = np.random.default_rng(seed)
    arms = []
    for arm in (0, 1):
        x = rng.normal(size=(100, 3))
        y = x.sum(1) + rng.normal(size=100)
        for j, column in enumerate("abc"):
            if column in change and arm == 1:
                x[:, j] = 2 * x[:, 0] + 1 if change[column] is None else change[column]
        arms.append(from_rows(["y", "a", "b", "c"], np.column_stack([y, x])))
    return arms


@pytest.mark.parametrize("change", [{"b": 0.1}, {"b": None}])
def test_a_covariate_degenerate_in_one_arm_is_dropped_by_lin_only(change: dict[str, float | None]) -> None:
    arms = with_columns(4, change)
    assert lin(arms, "y", ["a", "b", "c"]).covariates == ("a", "c")
    assert lin(arms, "y", ["a", "b", "c"]).dropped == ("b",)
    assert ancova(arms, "y", ["a", "b", "c"]).dropped == ()


@pytest.mark.parametrize("estimator", [lin, ancova])
@pytest.mark.parametrize("kind", ["constant", "collinear"])
def test_a_useless_covariate_changes_nothing(estimator: object, kind: str) -> None:
    rng = np.random.default_rng(5)
    arms = []
    for _ in range(3):
        x = rng.normal(1e3, 1, size=50)
        z = np.full(50, 0.1) if kind == "constant" else 3 * x - 7e3
        arms.append(from_rows(["y", "x", "z"], np.column_stack([x + rng.normal(size=50), x, z])))
    with_z, without = estimator(arms, "y", ["x", "z"]), estimator(arms, "y", ["x"])  # type: ignore[operator]
    assert with_z.dropped == ("z",)
    np.testing.assert_array_equal(with_z.cov, without.cov)
    np.testing.assert_array_equal(with_z.means, without.means)


def test_without_covariates_lin_is_unadjusted() -> None:
    arms, _, _ = experiment(2)
    a, b = lin(arms, "y", []), unadjusted_mean(arms, "y")
    np.testing.assert_allclose(a.cov, b.cov, rtol=1e-13)
    np.testing.assert_array_equal(a.means, b.means)
    assert ancova(arms, "y", []).pooled_df == 60 + 45 + 80 - 3


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((60, 60), "lin"),
        ((60, 59), "ancova_welch"),
        ((12, 12), "ancova_welch"),
        ((200, 11), "unadjusted"),
        ((5, 0), "unadjusted"),
    ],
)
def test_the_choice_depends_on_size_and_rank(sizes: tuple[int, int], expected: str) -> None:
    rng = np.random.default_rng(6)
    arms = []
    for n in sizes:
        x = rng.normal(size=(n, 2))
        d = 1.0 + rng.poisson(3, n)
        table = np.column_stack([x.sum(1) + rng.normal(size=n), d, x, np.full(n, 2.0)])
        arms.append(from_rows(["y", "d", "x0", "x1", "one"], table))
    est = choose(arms, MeanOutcome("y"), ["x0", "one", "x1"])  # k = 2: Lin from 60, ANCOVA from 12 units
    assert est.estimator == expected
    assert est.dropped == ("one",)
    if sizes[1]:
        assert choose(arms, RatioOutcome("y", "d"), ["x0", "x1"]).estimator == expected
    assert choose(arms, MeanOutcome("y"), ["one"]).estimator == "unadjusted"


@pytest.mark.parametrize("kept", ["lin", "ancova_welch", "unadjusted"])
@pytest.mark.parametrize("n", [15, 500])
def test_what_an_earlier_look_chose_is_kept_whatever_the_size(kept: str, n: int) -> None:
    rng = np.random.default_rng(7)
    arms = []
    for _ in range(2):
        x = rng.normal(size=(n, 1))
        arms.append(from_rows(["y", "x", "one"], np.column_stack([x.sum(1) + rng.normal(size=n), x, np.ones(n)])))
    assert choose(arms, MeanOutcome("y"), ["x", "one"], kept).estimator == kept
    assert choose(arms, MeanOutcome("y"), ["one"], kept).estimator == "unadjusted"  # nothing to adjust for


def test_the_choice_counts_the_covariates_that_lin_would_keep() -> None:
    # x1 is constant in one arm: Lin keeps one covariate, for which 40 units are enough; ANCOVA would keep two.
    rng = np.random.default_rng(7)
    arms = []
    for a in range(2):
        x = rng.normal(size=(40, 2))
        x[:, 1] *= a
        arms.append(from_rows(["y", "x0", "x1"], np.column_stack([x.sum(1) + rng.normal(size=40), x])))
    est = choose(arms, MeanOutcome("y"), ["x0", "x1"])
    assert (est.estimator, est.covariates, est.dropped) == ("lin", ("x0",), ("x1",))


def test_collinear_covariates_are_found_as_by_least_squares() -> None:
    # Both sides of the tolerance: a share of 1e-8 that the earlier columns leave unexplained.
    rng = np.random.default_rng(8)
    base = rng.normal(size=(500, 3))
    base -= base.mean(axis=0)
    base, _ = np.linalg.qr(base)
    y = rng.normal(size=500)
    for share, kept in ((2e-8, ("x0", "x1", "x2")), (0.5e-8, ("x0", "x1"))):
        last = base[:, 0] - 2 * base[:, 1]
        last = last / np.linalg.norm(last) * np.sqrt(1 - share) + base[:, 2] * np.sqrt(share)
        arm = from_rows(["y", "x0", "x1", "x2"], np.column_stack([y, base[:, 0] * 1e6, base[:, 1] * 1e-6, last]))
        assert usable([arm, arm], ["x0", "x1", "x2"], per_arm=True).kept == kept


def test_variance_reduction() -> None:
    arms, _, _ = experiment(3, (500, 500))
    est = lin(arms, "y", ["x0", "x1"])
    assert est.variance_reduction is not None
    before = difference(unadjusted_mean(arms, "y"), 1, 0.05).std_error
    after = difference(est, 1, 0.05).std_error
    assert est.variance_reduction[1] == pytest.approx(1 - (after / before) ** 2)


def test_too_few_units_for_the_covariates() -> None:
    rng = np.random.default_rng(7)
    arms = [from_rows(["y", "x"], rng.normal(size=(n, 2))) for n in (30, 2)]
    for estimator in (lin, ancova):
        with pytest.raises(NotComputable) as caught:
            estimator(arms, "y", ["x"])
        assert caught.value.reason == "too_few_units"


def test_a_perfect_fit_has_no_standard_error() -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(2, 90))
    arms = [from_rows(["y", "x"], np.column_stack([3 * v + 0.7, v])) for v in x]
    for estimator in (lin, ancova):
        with pytest.raises(NotComputable) as caught:
            difference(estimator(arms, "y", ["x"]), 1, 0.05)
        assert caught.value.reason == "zero_variance"


def test_a_far_covariate_mean_costs_no_digits() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(2, 80))
    y = x + rng.normal(size=(2, 80))
    near, far = (
        [from_rows(["y", "x"], np.column_stack([y[a], np.round(x[a], 3) + shift])) for a in (0, 1)]
        for shift in (0, 1e6)
    )
    np.testing.assert_allclose(lin(far, "y", ["x"]).cov, lin(near, "y", ["x"]).cov, rtol=1e-8)


@settings(max_examples=examples(60), deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([lin, ancova]),
    st.floats(-2, 2),
    st.floats(0.001, 1000),
    st.sampled_from([0.01, 0.1, 0.4]),
)
def test_p_intervals_labels_and_scale(seed: int, estimator: object, shift: float, scale: float, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    rows = []
    for a, n in enumerate(rng.integers(8, 40, 3)):
        x = rng.normal(size=n)
        rows.append(np.column_stack([shift + 0.5 * a + (a - 1) * x + rng.normal(size=n), x]))

    def estimate(tables: list[Floats]) -> ArmEstimates:
        arms = [from_rows(["y", "x"], table) for table in tables]
        return estimator(arms, "y", ["x"])  # type: ignore[no-any-return,operator]

    est = estimate(rows)
    d, r = difference(est, 1, alpha), relative(est, 1, alpha)
    assume(abs(d.p_value - alpha) > 1e-9)
    outside = r.lower is not None and r.upper is not None and not r.lower <= 0 <= r.upper
    gap = r.excluded is not None and r.excluded[0] < 0 < r.excluded[1]
    assert (d.p_value < alpha) == (not d.lower <= 0 <= d.upper) == (outside or gap)
    swapped = difference(estimate([rows[1], rows[0], rows[2]]), 1, alpha)
    assert swapped.estimate == pytest.approx(-d.estimate, rel=1e-9, abs=1e-12)
    assert swapped.p_value == pytest.approx(d.p_value, rel=1e-9)
    scaled = difference(estimate([table * [scale, 1 / scale] for table in rows]), 1, alpha)
    assert scaled.p_value == pytest.approx(d.p_value, rel=1e-7)
    assert scaled.std_error == pytest.approx(d.std_error * scale, rel=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_variances_of_the_other_conventions(seed: int) -> None:
    arms, ys, xs = experiment(seed)
    whole, fixed, large = (lin(arms, "y", ["x0", "x1"], v) for v in ("superpopulation", "conditional", "large_sample"))
    np.testing.assert_array_equal(fixed.cov, np.diag(whole.arm_variance))
    rss = [ols(y, x)[2] for y, x in zip(ys, xs, strict=True)]
    np.testing.assert_allclose(large.arm_variance, [r / m.n**2 for r, m in zip(rss, arms, strict=True)], rtol=1e-9)
    np.testing.assert_allclose(large.cov - np.diag(large.arm_variance), whole.cov - np.diag(whole.arm_variance))
    np.testing.assert_array_equal(whole.means, large.means)
    assert whole.slopes is not None
    np.testing.assert_allclose(whole.slopes, [ols(y, x)[0][1:] for y, x in zip(ys, xs, strict=True)], rtol=1e-9)


def test_covariance_of_contrasts_of_lins_estimates() -> None:
    """Cov(d_i, d_j) = V_0 + (b_i - b_0)' Sx (b_j - b_0) / N."""
    arms, _, xs = experiment(4)
    est = lin(arms, "y", ["x0", "x1"])
    x = np.vstack(xs)
    sx = (x - x.mean(0)).T @ (x - x.mean(0)) / len(x)
    assert est.slopes is not None
    want = est.arm_variance[0] + (est.slopes[1] - est.slopes[0]) @ sx @ (est.slopes[2] - est.slopes[0]) / len(x)
    assert contrast_covariance(est, baseline_contrasts(3))[0, 1] == pytest.approx(want, rel=1e-10)


@settings(max_examples=examples(30))
@given(st.integers(0, 10**6), st.sampled_from([lin, ancova]), st.floats(-100, 100))
def test_the_fill_of_a_missing_covariate_does_not_matter_beside_its_indicator(
    seed: int, estimator: object, fill: float
) -> None:
    rng = np.random.default_rng(seed)
    tables = []
    for a in (0, 1):
        x, gone = rng.normal(size=60), rng.random(60) < 0.3
        gone[:3], gone[3:6] = True, False
        tables.append((a + x + 2 * gone + rng.normal(size=60), x, gone))
    filled = [
        [from_rows(["y", "x", "gone"], np.column_stack([y, np.where(gone, value, x), gone])) for y, x, gone in tables]
        for value in (0.0, fill)
    ]
    zero, other = (estimator(arms, "y", ["x", "gone"]) for arms in filled)  # type: ignore[operator]
    np.testing.assert_allclose(other.means, zero.means, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(other.arm_variance, zero.arm_variance, rtol=1e-6)
    assert zero.dropped == other.dropped == ()


def test_ancova_by_simulated_least_squares_and_what_it_reports() -> None:
    arms, ys, xs = experiment(11)
    est = ancova(arms, "y", ["x0", "x1"])
    n = np.array([len(y) for y in ys])
    centred = np.concatenate([x - x.mean(axis=0) for x in xs])
    slopes, *_ = np.linalg.lstsq(centred, np.concatenate([y - y.mean() for y in ys]), rcond=None)
    everyone = np.concatenate(xs)
    off = np.array([x.mean(axis=0) for x in xs]) - everyone.mean(axis=0)
    rss = sum(float(((y - y.mean() - (x - x.mean(axis=0)) @ slopes) ** 2).sum()) for y, x in zip(ys, xs, strict=True))
    s2 = rss / (n.sum() - 2 - 3)
    within = s2 * (np.diag(1 / n) + off @ np.linalg.inv(centred.T @ centred) @ off.T)
    # What all arms share through the mean of the covariates: the variance of b'x over N.
    shared = float(np.var(everyone @ slopes)) / n.sum()
    np.testing.assert_allclose(est.cov, within + shared, rtol=1e-9)
    np.testing.assert_allclose(est.means, [y.mean() for y in ys] - off @ slopes, rtol=1e-12)
    assert est.slopes is not None and est.variance_reduction is not None
    np.testing.assert_allclose(est.slopes, np.tile(slopes, (3, 1)), rtol=1e-9)
    assert (est.covariates, est.dropped) == (("x0", "x1"), ())
    plain = unadjusted_mean(arms, "y").cov
    before = [plain[0, 0], plain[1, 1] + plain[0, 0], plain[2, 2] + plain[0, 0]]
    c = est.cov
    after = [c[0, 0], c[1, 1] + c[0, 0] - 2 * c[0, 1], c[2, 2] + c[0, 0] - 2 * c[0, 2]]
    np.testing.assert_allclose(est.variance_reduction, 1 - np.array(after) / before, rtol=1e-9)


@pytest.mark.parametrize("estimator", [lin, ancova])
def test_k_plus_two_units_are_just_enough(estimator: object) -> None:
    rng = np.random.default_rng(12)
    enough, short = (from_rows(["y", "x0", "x1"], rng.normal(size=(n, 3))) for n in (4, 3))
    large = from_rows(["y", "x0", "x1"], rng.normal(size=(30, 3)))
    assert difference(estimator([large, enough], "y", ["x0", "x1"]), 1, 0.05).std_error > 0
    with pytest.raises(NotComputable, match="2 covariates need at least 4 units an arm, one has 3"):
        estimator([large, short], "y", ["x0", "x1"])


def test_a_column_that_follows_from_two_correlated_ones_is_dropped() -> None:
    rng = np.random.default_rng(13)
    x0 = rng.normal(size=400)
    x1 = 0.9 * x0 + 0.3 * rng.normal(size=400)
    table = np.column_stack([rng.normal(size=400), x0, x1, x1 - x0, x1 + x0 + rng.normal(size=400)])
    arm = from_rows(["y", "x0", "x1", "gap", "x3"], table)
    for per_arm in (True, False):
        assert usable([arm, arm], ["x0", "x1", "gap", "x3"], per_arm) == Covariates(("x0", "x1", "x3"), ("gap",))
    # A pair of columns may be collinear in one arm alone: only slopes per arm mind.
    other = from_rows(["y", "x0", "x1", "gap", "x3"], rng.normal(size=(400, 5)))
    assert usable([arm, other], ["x0", "x1", "gap", "x3"], per_arm=True).dropped == ("gap",)
    assert usable([arm, other], ["x0", "x1", "gap", "x3"], per_arm=False).dropped == ()


def test_no_variance_is_no_reduction() -> None:
    still = from_rows(["y", "x0"], np.column_stack([np.full(50, 3.0), np.arange(50.0)]))
    est = lin([still, still], "y", ["x0"])
    assert est.variance_reduction is not None
    assert est.variance_reduction.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("estimator", [lin, ancova])
def test_rounding_of_a_perfect_fit_is_no_variance(estimator: object) -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x = [rng.normal(size=(60, 2)) for _ in range(2)]
        arms = [from_rows(["y", "x0", "x1"], np.column_stack([5 + r @ [0.3, -0.7], r])) for r in x]
        assert not np.any(estimator(arms, "y", ["x0", "x1"]).arm_variance)
