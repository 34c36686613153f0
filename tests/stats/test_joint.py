"""Dunnett, max-T and what they share."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from thorough import cases, examples

from metricdef.errors import NotComputable
from metricdef.stats import adjustment, effects
from metricdef.stats.adjustment import MeanOutcome, RatioOutcome
from metricdef.stats.dunnett import dunnett
from metricdef.stats.joint import normal_p, test_joint
from metricdef.stats.max_t import Contrast, contrast_correlation, max_t
from metricdef.stats.moments import from_rows
from metricdef.stats.multiplicity import adjust
from metricdef.stats.normal_law import NormalLaw, law_of
from metricdef.stats.product_law import ProductLaw

from .reference import moments

some_p = st.one_of(st.floats(1e-12, 1), st.sampled_from([0.0, 1e-178, 0.01, 0.04, 1.0]))
alternatives = st.sampled_from(["two-sided", "greater", "less"])


def equal(m: int, rho: float) -> np.ndarray:
    return np.full((m, m), rho) + (1 - rho) * np.eye(m)


def arms_of(n, mean, sd):
    return [moments(k, ["y"], [m], [[s * s]]) for k, m, s in zip(n, mean, sd, strict=True)]


@pytest.mark.thorough
@pytest.mark.parametrize("df", [None, 1, 4.5, 30, 1e6])
@pytest.mark.parametrize("two_sided", [True, False])
def test_product_law_against_scipy(df, two_sided) -> None:
    """By plain quadrature of the cdf, to its absolute accuracy."""
    lam = np.array([0.7, 0.5, -0.2])
    law = ProductLaw(lam, two_sided, df)
    z, w = np.polynomial.hermite_e.hermegauss(150)
    w = w / w.sum()
    for p in cases((0.05,), (0.9, 0.3, 0.05)):
        tail = p / 2 if two_sided else p
        c = float(stats.norm.isf(tail) if df is None else stats.t.isf(tail, df))

        def inside(value: float) -> float:
            up = stats.norm.cdf((value - z[:, None] * lam) / np.sqrt(1 - lam**2))
            down = stats.norm.cdf((-value - z[:, None] * lam) / np.sqrt(1 - lam**2)) if two_sided else 0.0
            return float(w @ np.prod(up - down, axis=1))

        if df is None:
            want = 1 - inside(c)
        else:
            u = (np.arange(4000) + 0.5) / 4000  # midpoints of the distribution of s
            s = np.sqrt(stats.chi2.ppf(u, df) / df)
            want = 1 - float(np.mean([inside(c * x) for x in s[::8] if np.isfinite(x)]))
        assert law.smallest(p, range(3)) == pytest.approx(want, abs=1e-9 if df is None else 2e-3)


@pytest.mark.parametrize("df", [None, 3, 40])
def test_product_law_at_its_ends(df) -> None:
    same = ProductLaw(np.ones(3), two_sided=True, df=df)
    for p in (0.9, 0.05, 1e-6, 1e-100):
        assert same.smallest(p, range(3)) == pytest.approx(p, rel=1e-9)
        assert ProductLaw(np.zeros(1), True, df).smallest(p, [0]) == p
    assert same.smallest(0.0, range(3)) == 0.0
    assert same.smallest(1.0, range(3)) == 1.0
    apart = ProductLaw(np.zeros(3), two_sided=False, df=None)
    for p in (0.9, 0.05, 1e-6, 1e-178):
        assert apart.smallest(p, range(3)) == pytest.approx(-math.expm1(3 * math.log1p(-p)), rel=1e-10)
    far = ProductLaw(np.full(3, 0.7), two_sided=True, df=df).smallest(1e-178, range(3))
    assert 1e-178 <= far <= 3e-178
    near_one = ProductLaw(np.full(2, 1 - 1e-9), two_sided=True, df=df)
    assert near_one.smallest(0.05, range(2)) == pytest.approx(0.05, rel=1e-3)


@pytest.mark.thorough
@pytest.mark.parametrize("m", [3, 8])
@pytest.mark.parametrize("rho", cases([0.4], [0.0, 0.4, 0.8]))
@pytest.mark.parametrize("two_sided", [True, False])
def test_lattice_against_quadrature(m, rho, two_sided) -> None:
    law, exact = NormalLaw(equal(m, rho), two_sided), ProductLaw(np.full(m, math.sqrt(rho)), two_sided)
    for p in (0.5, 0.05, 0.01, 1e-3, 1e-5, 1e-20, 1e-178):
        found = law.estimate(p, range(m))
        value, error = found.value, found.std_error
        want = exact.smallest(p, range(m))
        assert value == pytest.approx(want, abs=1e-4, rel=0)
        assert value == pytest.approx(want, rel=3e-3, abs=0)
        assert error <= 2e-3 * want
        assert p <= value <= min(1, m * p)
        assert law.smallest(p, range(m)) == value


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=6), st.booleans())
def test_products_are_found(loadings, two_sided) -> None:
    r = np.outer(loadings, loadings)
    np.fill_diagonal(r, 1.0)
    law = law_of(r, two_sided=two_sided)
    if isinstance(law, ProductLaw):
        back = np.outer(law.loadings, law.loadings)
        np.fill_diagonal(back, 1.0)
        assert back == pytest.approx(r, abs=1e-11)
    else:
        assert np.abs(loadings).min() < 1e-3  # digits are lost where a factor is next to nothing
    odd = np.array([[1, 0.5, 0.2, 0.1], [0.5, 1, 0.3, 0.4], [0.2, 0.3, 1, 0.6], [0.1, 0.4, 0.6, 1]])
    assert isinstance(law_of(odd, two_sided=two_sided), NormalLaw)


def test_identity_is_sidak_and_perfect_correlation_is_the_raw_p() -> None:
    p = [0.001, 0.02, 0.3, 0.04]
    for alternative in ("two-sided", "greater"):
        got = max_t(p, range(4), np.eye(4), 0.05, alternative)  # type: ignore[arg-type]
        assert got.p_adjusted == pytest.approx([1 - (1 - q) ** 4 for q in p], rel=1e-9)
        assert got.local_alpha == pytest.approx(1 - 0.95**0.25, rel=1e-9)
        assert NormalLaw(np.eye(4), alternative == "two-sided").smallest(0.02, range(4)) == pytest.approx(
            1 - 0.98**4, abs=5e-5
        )
        same = max_t(p, range(4), np.ones((4, 4)), 0.05, alternative, step_down=True)  # type: ignore[arg-type]
        assert same.p_adjusted == pytest.approx(p, rel=1e-9)
        assert same.local_alpha == pytest.approx(0.05, rel=1e-6)
    two = max_t([0.001, 0.02], range(2), np.eye(2), 0.05)
    assert two.p_adjusted == pytest.approx([1 - 0.999**2, 1 - 0.98**2], rel=1e-9)
    mirrored = max_t([0.01, 0.02], range(2), np.array([[1.0, -1], [-1, 1]]), 0.05)
    assert mirrored.p_adjusted == pytest.approx((0.01, 0.02), rel=1e-9)


@settings(max_examples=examples(40))
@given(st.lists(st.one_of(st.none(), some_p), min_size=1, max_size=5), st.floats(0, 0.95), st.booleans(), st.data())
def test_joint_properties(p, rho, step_down, data) -> None:
    m = len(p)
    inside = data.draw(st.integers(0, m))
    law = ProductLaw(np.full(inside, math.sqrt(rho)), two_sided=True)
    alpha = data.draw(st.sampled_from([0.01, 0.05, 0.3]))
    got = test_joint(law, range(inside), p, alpha, step_down=step_down)
    single = test_joint(law, range(inside), p, alpha)
    holm = adjust(p, "holm" if step_down else "bonferroni", alpha)
    ordered = sorted((raw, value) for raw, value in zip(p, got.p_adjusted, strict=True) if raw is not None)
    assert [v for _, v in ordered] == sorted(v for _, v in ordered)
    for raw, value, one, rejected, bound in zip(
        p, got.p_adjusted, single.p_adjusted, got.rejected, holm.p_adjusted, strict=True
    ):
        if raw is None:
            assert value is None
            assert not rejected
            continue
        assert raw <= value <= min(1, one)
        assert value <= bound * (1 + 1e-9)
        assert rejected == (value <= alpha)
        # The interval at the local level excludes the null exactly when the single step rejects.
        assert (raw <= single.local_alpha) == (one <= alpha)
    assert alpha / m * (1 - 1e-9) <= single.local_alpha <= alpha


@settings(max_examples=examples(6))
@given(st.lists(some_p, min_size=2, max_size=5), st.floats(0.05, 0.9), st.integers(0, 2))
def test_step_down_is_the_closed_test(p, rho, without) -> None:
    m, inside = len(p), max(len(p) - without, 1)
    law = ProductLaw(np.sqrt(np.linspace(rho, rho / 2, inside)), two_sided=True, df=12)

    def p_of_set(members) -> float:
        least = min(p[i] for i in members)
        known = [i for i in members if i < inside]
        return (law.smallest(least, known) if known else 0.0) + (len(members) - len(known)) * least

    sets = [s for k in range(1, m + 1) for s in combinations(range(m), k)]
    want = [max(min(1.0, p_of_set(s)) for s in sets if i in s) for i in range(m)]
    got = test_joint(law, range(inside), p, 0.05, step_down=True)
    assert got.p_adjusted == pytest.approx(want, rel=1e-8, abs=0)


@settings(max_examples=examples(4))
@given(st.randoms())
def test_order_does_not_matter(random) -> None:
    p = [0.001, 0.02, None, 0.3, 0.04]
    correlation = np.array([[1, 0.5, 0.2, 0.1], [0.5, 1, 0.3, 0.4], [0.2, 0.3, 1, 0.6], [0.1, 0.4, 0.6, 1]])
    members = [0, 1, 3, 4]
    plain = max_t(p, members, correlation, 0.05, step_down=True)
    order = [0, 1, 2, 3]
    random.shuffle(order)
    mixed = max_t(p, [members[i] for i in order], correlation[np.ix_(order, order)], 0.05, step_down=True)
    for a, b in zip(plain.p_adjusted, mixed.p_adjusted, strict=True):
        assert (a is None) == (b is None)
        assert a is None or a == pytest.approx(b, abs=1e-4)


def test_one_arm_is_the_t_test() -> None:
    arms = arms_of([15, 18], [3.0, 3.9], [1.1, 1.3])
    welch = effects.unadjusted_mean(arms, "y")
    want = effects.difference(welch, 1, 0.05)
    for step_down in (False, True):
        row = dunnett(welch, 0.05, step_down=step_down).arms[0]
        assert row.p_adjusted == pytest.approx(want.p_value, rel=1e-12)
        assert (row.lower, row.upper) == pytest.approx((want.lower, want.upper), rel=1e-12)
    assert dunnett(adjustment.ancova(arms, "y", ()), 0.05).arms[0].df == 31


@settings(max_examples=examples(12))
@given(
    st.lists(st.tuples(st.integers(3, 60), st.floats(-3, 3), st.floats(0.5, 3)), min_size=2, max_size=4),
    alternatives,
    st.booleans(),
)
def test_intervals_agree_with_decisions(rows, alternative, pooled) -> None:
    arms = arms_of(*zip(*rows, strict=True))
    est = adjustment.ancova(arms, "y", ()) if pooled else effects.unadjusted_mean(arms, "y")
    got = dunnett(est, 0.05, alternative)
    for arm in got.arms:
        excluded = (arm.lower is not None and arm.lower > 0) or (arm.upper is not None and arm.upper < 0)
        if abs(arm.p_adjusted - 0.05) > 1e-9:
            assert excluded == arm.rejected == (arm.p_adjusted <= 0.05)
        assert arm.p_adjusted >= arm.p_value
        # Wider than the marginal interval.
        half = effects.t_quantile(0.05 if alternative == "two-sided" else 0.1, arm.df) * arm.std_error
        assert arm.lower is None or arm.lower <= arm.difference - half * (1 - 1e-9)
        assert arm.upper is None or arm.upper >= arm.difference + half * (1 - 1e-9)


def test_an_arm_that_cannot_be_computed_keeps_its_place() -> None:
    arms = arms_of([50, 50, 1], [1.0, 1.5, 2.0], [1.0, 1.0, 0.0])
    est = effects.unadjusted_mean(arms, "y")
    got = dunnett(est, 0.05)
    assert (got.arms[1].p_adjusted, got.arms[1].rejected, got.arms[1].reason) == (None, False, "too_few_units")
    assert got.arms[0].p_adjusted == pytest.approx(2 * got.arms[0].p_value)
    still = effects.unadjusted_mean(arms_of([50, 50, 50], [1.0, 1.5, 1.0], [1.0, 1.0, 1.0]), "y")
    assert dunnett(still, 0.05).arms[0].p_adjusted < got.arms[0].p_adjusted
    known = dunnett(est, 0.05, known_variances=True)
    assert (known.arms[1].reason, known.arms[0].df) == ("too_few_units", None)
    constant = dunnett(effects.unadjusted_mean(arms_of([5, 5], [1.0, 1.5], [0.0, 0.0]), "y"), 0.05)
    assert constant.arms[0].reason == "zero_variance"
    with pytest.raises(ValueError, match="alternative"):
        dunnett(est, 0.05, "both")  # type: ignore[arg-type]


def random_arms(seed: int, k: int = 3, n: int = 400):
    rng = np.random.default_rng(seed)
    rows = []
    for a in range(k):
        x = rng.normal(size=(n + 50 * a, 2))
        y = x @ [1.0, 0.5] * (1 + a) + rng.normal(size=len(x))
        d = rng.gamma(3, size=len(x))
        rows.append(np.column_stack([y, d + 0.3 * y, d, x]))
    return rows, [from_rows(["y", "num", "den", "x", "w"], r) for r in rows]


def influence_correlation(parts) -> np.ndarray:
    """From each unit's influence: `parts[j]` is, per arm, the (n,) influences of estimate j."""
    cov = sum(np.cov(np.array([p[g] for p in parts])) * len(parts[0][g]) for g in range(len(parts[0])))
    return cov / np.sqrt(np.outer(cov.diagonal(), cov.diagonal()))


def test_correlation_from_rows() -> None:
    rows, arms = random_arms(1)
    total = sum(map(len, rows))

    def plain(column, arm):
        return [(1 if g == arm else -1 if g == 0 else 0) * r[:, column] / len(r) for g, r in enumerate(rows)]

    def ratio(arm):
        out = [np.zeros(len(r)) for r in rows]
        for g, sign in ((arm, 1), (0, -1)):
            r = rows[g]
            out[g] = sign * (r[:, 1] - r[:, 1].mean() / r[:, 2].mean() * r[:, 2]) / r[:, 2].mean() / len(r)
        return out

    def lin(arm):
        slope = {
            g: np.linalg.lstsq(np.column_stack([np.ones(len(rows[g])), rows[g][:, 3:]]), rows[g][:, 0], rcond=None)[0][
                1:
            ]
            for g in (0, arm)
        }
        out = [r[:, 3:] @ (slope[arm] - slope[0]) / total for r in rows]
        for g, sign in ((arm, 1), (0, -1)):
            out[g] = out[g] + sign * (rows[g][:, 0] - rows[g][:, 3:] @ slope[g]) / len(rows[g])
        return out

    contrasts = [
        Contrast(MeanOutcome("y"), 1),
        Contrast(MeanOutcome("y"), 2),
        Contrast(RatioOutcome("num", "den"), 1),
        Contrast(MeanOutcome("y"), 1, "lin", ("x", "w")),
        Contrast(MeanOutcome("y"), 2, "lin", ("x", "w")),
    ]
    want = influence_correlation([plain(0, 1), plain(0, 2), ratio(1), lin(1), lin(2)])
    assert contrast_correlation(arms, contrasts) == pytest.approx(want, abs=1e-9)
    NormalLaw(want, two_sided=True)
    # As the estimator's own covariance, whose divisors differ a little.
    cov = adjustment.lin(arms, "y", ["x", "w"]).cov
    c = np.array([[-1, 1, 0], [-1, 0, 1]])
    own = c @ cov @ c.T
    assert want[3, 4] == pytest.approx(own[0, 1] / math.sqrt(own[0, 0] * own[1, 1]), abs=0.01)
    pooled = adjustment.ancova(arms, "y", ["x", "w"])
    assert pooled.covariates == ("x", "w")
    ancova = [Contrast(MeanOutcome("y"), a, "ancova", ("x", "w")) for a in (1, 2)]
    got = contrast_correlation(arms, ancova)[0, 1]
    w = sum(a.comoment for a in arms)
    b = np.linalg.solve(w[3:, 3:], w[3:, 0])
    v = [np.var(r[:, 0] - r[:, 3:] @ b, ddof=1) / len(r) for r in rows]
    assert got == pytest.approx(v[0] / math.sqrt((v[0] + v[1]) * (v[0] + v[2])), rel=1e-9)


def test_correlation_of_relative_margins() -> None:
    """arm - f baseline: f enters what the arms share, exactly without adjustment and as in Lin's own covariance with it."""
    rows, arms = random_arms(7)
    factors = (0.8, 1.3)
    plain = [Contrast(MeanOutcome("y"), a, factor=f) for a, f in zip((1, 2), factors, strict=True)]
    v = [a.var("y") / a.n for a in arms]
    errors = [math.sqrt(v[a] + f * f * v[0]) for a, f in zip((1, 2), factors, strict=True)]
    want = factors[0] * factors[1] * v[0] / (errors[0] * errors[1])
    assert contrast_correlation(arms, plain)[0, 1] == pytest.approx(want, rel=1e-12)
    weights = np.array([[-factors[0], 1, 0], [-factors[1], 0, 1]])
    cov = effects.contrast_covariance(adjustment.lin(arms, "y", ["x", "w"]), weights)
    lin = [Contrast(MeanOutcome("y"), a, "lin", ("x", "w"), f) for a, f in zip((1, 2), factors, strict=True)]
    got = contrast_correlation(arms, lin)[0, 1]
    assert got == pytest.approx(cov[0, 1] / math.sqrt(cov[0, 0] * cov[1, 1]), abs=0.02)
    # ANCOVA: the slopes cancel in a difference, and act through the common covariate mean in arm - f baseline.
    w = sum(a.comoment for a in arms)
    fitted = [r[:, 3:] @ np.linalg.solve(w[3:, 3:], w[3:, 0]) for r in rows]
    total = sum(len(r) for r in rows)

    def ancova(arm: int, f: float) -> list[np.ndarray]:
        out = [(1 - f) * x / total for x in fitted]
        for g, sign in ((arm, 1.0), (0, -f)):
            out[g] = out[g] + sign * (rows[g][:, 0] - fitted[g]) / len(rows[g])
        return out

    own = [Contrast(MeanOutcome("y"), a, "ancova", ("x", "w"), f) for a, f in zip((1, 2), factors, strict=True)]
    want = influence_correlation([ancova(a, f) for a, f in zip((1, 2), factors, strict=True)])
    assert contrast_correlation(arms, own) == pytest.approx(want, abs=1e-9)


def test_correlation_by_the_pooled_slope_with_unequal_variances() -> None:
    """As `ancova_welch` has it for one metric; and for two, by the identity of a sum's variance."""
    rng = np.random.default_rng(11)
    rows = []
    for n, spread in ((900, 1.0), (300, 3.0), (600, 2.0)):
        x = rng.normal(size=n)
        y = x + spread * rng.normal(size=n)
        z = 0.5 * y + rng.normal(size=n)
        rows.append(np.column_stack([y, z, y + z, x]))
    arms = [from_rows(["y", "z", "sum", "x"], r) for r in rows]
    for estimator in ("ancova_welch", "cuped"):
        contrasts = [Contrast(MeanOutcome(c), a, estimator, ("x",)) for c in "yz" for a in (1, 2)]
        got = contrast_correlation(arms, contrasts)
        cov = {c: adjustment.ancova_welch(arms, MeanOutcome(c), ["x"]).cov for c in ("y", "z", "sum")}
        c = np.array([[-1, 1, 0], [-1, 0, 1]])
        own = {name: c @ v @ c.T for name, v in cov.items()}
        both = (own["sum"] - own["y"] - own["z"]) / 2
        want = np.block([[own["y"], both], [both, own["z"]]])
        assert got == pytest.approx(want / np.sqrt(np.outer(want.diagonal(), want.diagonal())), abs=0.005)


def test_correlation_of_one_metric_is_dunnetts() -> None:
    _, arms = random_arms(2)
    got = contrast_correlation(arms, [Contrast(MeanOutcome("y"), 1), Contrast(MeanOutcome("y"), 2)])
    want = dunnett(effects.unadjusted_mean(arms, "y"), 0.05, known_variances=True)
    assert got == pytest.approx(np.array(want.correlation), rel=1e-12)
    p = [normal_p(a.statistic, "two-sided") for a in want.arms]
    joint = max_t(p, range(2), got, 0.05)
    assert joint.p_adjusted == pytest.approx([a.p_adjusted for a in want.arms], rel=1e-9)
    lin = dunnett(adjustment.lin(arms, "y", ["x"]), 0.05, step_down=True)
    assert lin.law == "normal"  # two arms have one correlation, which is a product


def test_adjusted_arms_with_different_slopes() -> None:
    _, arms = random_arms(3, k=5)
    est = adjustment.lin(arms, "y", ["x", "w"])
    got = dunnett(est, 0.05)
    assert got.law == "normal, general correlation"
    want = NormalLaw(np.array(got.correlation), two_sided=True)
    row = got.arms[0]
    assert row.p_adjusted == pytest.approx(want.smallest(row.p_value, range(4)))
    again = dunnett(est, 0.05)
    assert again == got  # the points are fixed


ODD = np.array([[1, 0.5, 0.2, 0.1], [0.5, 1, 0.3, 0.4], [0.2, 0.3, 1, 0.6], [0.1, 0.4, 0.6, 1]])


def test_almost_a_combination_of_two_others() -> None:
    """x3 is (x1 + x2) / sqrt 2 but for 1e-3 of noise, x4 apart: far outside, x3 leaves no room for a next draw."""
    share = math.sqrt((1 - 1e-6) / 2)
    r = np.eye(4)
    r[2, :2] = r[:2, 2] = share
    c = stats.norm.isf(0.025)
    x, w = np.polynomial.legendre.leggauss(400)
    inner = stats.norm.cdf(np.minimum(c, math.sqrt(2) * c - c * x))
    outer = stats.norm.cdf(np.maximum(-c, -math.sqrt(2) * c - c * x))
    inside = c * float(w @ (stats.norm.pdf(c * x) * (inner - outer)))
    got = NormalLaw(r, two_sided=True).estimate(0.05, range(4))
    assert got.value == pytest.approx(1 - 0.95 * inside, abs=4e-4)
    assert 0 < got.std_error < 4e-4


@pytest.mark.parametrize("two_sided", [True, False])
def test_a_statistic_that_is_another_one_changes_nothing(two_sided) -> None:
    twice = [0, 1, 2, 3, 1, 2]
    law, singular = NormalLaw(ODD, two_sided), NormalLaw(ODD[np.ix_(twice, twice)], two_sided)
    for p in (0.3, 0.05, 0.01, 1e-4, 1e-50):
        assert singular.smallest(p, range(6)) == pytest.approx(law.smallest(p, range(4)), abs=2e-4, rel=5e-3)
    if two_sided:  # nor does one that is another's mirror image
        turned = ODD[np.ix_(twice, twice)] * np.outer([1, 1, 1, 1, -1, 1], [1, 1, 1, 1, -1, 1])
        assert NormalLaw(turned, two_sided).smallest(0.05, range(6)) == pytest.approx(
            law.smallest(0.05, range(4)), abs=2e-4
        )


@pytest.mark.parametrize("two_sided", [True, False])
def test_lattice_against_draws(two_sided) -> None:
    """A correlation that is no product, by 400,000 draws."""
    z = np.random.default_rng(11).multivariate_normal(np.zeros(4), ODD, size=400_000)
    largest = (np.abs(z) if two_sided else z).max(axis=1)
    for p in (0.2, 0.05, 0.01, 0.003):
        share = float((largest >= stats.norm.isf(p / 2 if two_sided else p)).mean())
        error = math.sqrt(share * (1 - share) / len(z))
        assert abs(NormalLaw(ODD, two_sided).smallest(p, range(4)) - share) < 4 * error + 1e-4


def test_family_wise_error_of_correlated_metrics() -> None:
    """4,000 draws under the null: the single step holds 5 % and uses nearly all of it, Bonferroni doesn't."""
    rng = np.random.default_rng(5)
    correlation = equal(6, 0.7)
    z = np.abs(rng.multivariate_normal(np.zeros(6), correlation, size=4000)).max(axis=1)
    level = max_t([0.5] * 6, range(6), correlation, 0.05).local_alpha
    share = float((z >= stats.norm.isf(level / 2)).mean())
    assert abs(share - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 4000)
    assert level > 0.05 / 6 * 1.3


@pytest.mark.parametrize(
    "matrix", [[[1, 0.5], [0.4, 1]], [[1, 2], [2, 1]], [[2, 0], [0, 1]], [[1, float("nan")], [0, 1]], [[1, 0]]]
)
def test_refused_matrices(matrix) -> None:
    with pytest.raises(ValueError, match="correlation"):
        NormalLaw(np.array(matrix), two_sided=True)


def test_refused_calls() -> None:
    _, arms = random_arms(4)
    law = ProductLaw(np.zeros(2), two_sided=True)
    for call in (
        lambda: test_joint(law, [0], [0.1, 0.2], 0.05),
        lambda: test_joint(law, [0, 0], [0.1, 0.2], 0.05),
        lambda: test_joint(law, [0, 1], [0.1, 0.2], 1.0),
        lambda: ProductLaw(np.array([1.2]), two_sided=True),
        lambda: ProductLaw(np.array([0.2]), two_sided=True, df=0),
        lambda: NormalLaw(np.eye(300), two_sided=True),
        lambda: contrast_correlation(arms, [Contrast(MeanOutcome("y"), 0)]),
        lambda: contrast_correlation(arms, [Contrast(MeanOutcome("y"), 1, "anova")]),  # type: ignore[arg-type]
        lambda: max_t([0.1], [0], np.eye(1), 0.05, "either"),  # type: ignore[arg-type]
        lambda: dunnett(effects.unadjusted_mean(arms[:1], "y"), 0.05),
        lambda: contrast_correlation([arms[0], from_rows(["y"], [[1.0], [2.0]])], []),
    ):
        with pytest.raises(ValueError, match=r".+"):
            call()
    few = [from_rows(["y", "x"], [[1.0, 2.0], [2.0, 1.0]])] * 2
    with pytest.raises(NotComputable) as caught:
        contrast_correlation(few, [Contrast(MeanOutcome("y"), 1, "lin", ("x",))])
    assert caught.value.reason == "too_few_units"
    with pytest.raises(NotComputable) as caught:
        contrast_correlation([from_rows(["y"], [[1.0], [1.0]])] * 2, [Contrast(MeanOutcome("y"), 1)])
    assert caught.value.reason == "zero_variance"
