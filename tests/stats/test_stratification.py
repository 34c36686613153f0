from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from thorough import examples

from metricdef.errors import NotComputable
from metricdef.stats.adjustment import MeanOutcome, RatioOutcome, lin
from metricdef.stats.effects import (
    degrees_of_freedom,
    difference,
    relative,
    satterthwaite,
    unadjusted_mean,
    unadjusted_ratio,
)
from metricdef.stats.moments import Floats, Moments, empty, from_rows, merge_all
from metricdef.stats.stratification import LeftOut, fixed_effects, stratified

COLUMNS = ["y", "d", "x"]
Tables = dict[str, list[Floats]]


def experiment(seed: int, sizes: dict[str, tuple[int, ...]] | None = None) -> tuple[dict[str, list[Moments]], Tables]:
    """Rows and moments by stratum and arm; effect, level and slope differ by stratum, allocation too."""
    rng = np.random.default_rng(seed)
    tables: Tables = {}
    for k, (name, counts) in enumerate((sizes or {"a": (30, 12), "b": (9, 40), "c": (25, 25)}).items()):
        tables[name] = []
        for arm, n in enumerate(counts):
            x = rng.normal(size=n)
            d = 1.0 + rng.poisson(2 + k, n)
            y = d * (5 + 2 * k + arm * (0.5 + k) + (1 + arm) * x + rng.normal(size=n))
            tables[name].append(np.column_stack([y, d, x]))
    return {name: [from_rows(COLUMNS, table) for table in arms] for name, arms in tables.items()}, tables


def rescaled(strata: dict[str, list[Moments]], tables: Tables, scale: float, shift: float) -> dict[str, list[Moments]]:
    change = np.array([scale, 1.0, 1.0]), np.array([shift, 0.0, 0.0])
    return {name: [from_rows(COLUMNS, t * change[0] + change[1]) for t in arms] for name, arms in tables.items()}


@pytest.mark.parametrize("seed", range(4))
def test_against_the_rows(seed: int) -> None:
    strata, tables = experiment(seed)
    got = stratified(strata, MeanOutcome("y"))
    n = np.array([sum(map(len, arms)) for arms in tables.values()])
    w = n / n.sum()
    cells = [[table[:, 0] for table in arms] for arms in tables.values()]
    tau_k = np.array([one.mean() - zero.mean() for zero, one in cells])
    tau = w @ tau_k
    v = [[values.var(ddof=1) / len(values) for values in arms] for arms in cells]
    within = w**2 @ np.sum(v, axis=1)
    d = difference(got.estimates, 1, 0.05)
    assert d.estimate == pytest.approx(tau)
    assert d.std_error**2 == pytest.approx(within + w @ (tau_k - tau) ** 2 / n.sum())
    terms = [w[k] ** 2 * v[k][a] for k in range(3) for a in (0, 1)]
    assert d.df == pytest.approx(satterthwaite(terms, [len(cells[k][a]) - 1 for k in range(3) for a in (0, 1)]))
    assert dict(got.weights) == pytest.approx(dict(zip("abc", w, strict=True)))
    fixed = stratified(strata, MeanOutcome("y"), superpopulation=False, df="cells").estimates
    assert difference(fixed, 1, 0.05).std_error ** 2 == pytest.approx(within)
    assert degrees_of_freedom(fixed, 1) == n.sum() - 6


@pytest.mark.parametrize("seed", range(3))
def test_lin_inside_the_strata(seed: int) -> None:
    strata, _ = experiment(seed, {"a": (90, 60), "b": (40, 45), "c": (70, 39)})
    got = stratified(strata, MeanOutcome("y"), ["x"])
    n = np.array([sum(m.n for m in arms) for arms in strata.values()])
    w = n / n.sum()
    parts = [lin(strata[k], "y", ["x"]) if k != "c" else unadjusted_mean(strata[k], "y") for k in "abc"]  # 39 < 40
    tau_k = np.array([difference(part, 1, 0.05).estimate for part in parts])
    v_k = np.array([difference(part, 1, 0.05).std_error ** 2 for part in parts])
    d = difference(got.estimates, 1, 0.05)
    assert d.estimate == pytest.approx(w @ tau_k)
    assert d.std_error**2 == pytest.approx(w**2 @ v_k + w @ (tau_k - w @ tau_k) ** 2 / n.sum())
    terms = [w[k] ** 2 * parts[k].arm_variance[a] for k in range(3) for a in (0, 1)]
    assert d.df == pytest.approx(satterthwaite(terms, [parts[k].arm_df[a] for k in range(3) for a in (0, 1)]))
    assert got.estimates.covariates == ("x",)
    before = difference(stratified(strata, MeanOutcome("y")).estimates, 1, 0.05).std_error
    assert got.estimates.variance_reduction is not None
    assert got.estimates.variance_reduction[1] == pytest.approx(1 - (d.std_error / before) ** 2)


def test_one_stratum_is_no_stratification() -> None:
    strata, _ = experiment(5, {"only": (50, 60, 45)})
    for outcome, plain in (
        (MeanOutcome("y"), unadjusted_mean(strata["only"], "y")),
        (RatioOutcome("y", "d"), unadjusted_ratio(strata["only"], "y", "d")),
    ):
        got = stratified(strata, outcome).estimates
        np.testing.assert_allclose(got.means, plain.means, rtol=1e-12)
        np.testing.assert_allclose(got.cov, plain.cov, rtol=1e-9)
        assert degrees_of_freedom(got, 2) == pytest.approx(degrees_of_freedom(plain, 2))
    adjusted, plain = stratified(strata, MeanOutcome("y"), ["x"]).estimates, lin(strata["only"], "y", ["x"])
    np.testing.assert_allclose(adjusted.cov, plain.cov, rtol=1e-9)


def test_a_ratio_is_standardised_before_it_is_divided() -> None:
    """Influence of R_a = sum_k w_k m_y / sum_k w_k m_d at fixed weights, and its between-strata part, from the rows."""
    strata, tables = experiment(6)
    got = stratified(strata, RatioOutcome("y", "d")).estimates
    n = np.array([sum(map(len, arms)) for arms in tables.values()])
    w = n / n.sum()
    means = np.array([[table[:, :2].mean(0) for table in arms] for arms in tables.values()])
    standard = np.einsum("k,kac->ac", w, means)
    ratio = standard[:, 0] / standard[:, 1]
    np.testing.assert_allclose(got.means, ratio, rtol=1e-12)
    within, between = np.zeros(2), np.zeros((3, 2))
    for k, arms in enumerate(tables.values()):
        for a, table in enumerate(arms):
            influence = (table[:, 0] - ratio[a] * table[:, 1]) / standard[a, 1]
            within[a] += w[k] ** 2 * influence.var(ddof=1) / len(table)
            between[k, a] = influence.mean()
    np.testing.assert_allclose(got.arm_variance, within, rtol=1e-9)
    np.testing.assert_allclose(got.cov, np.diag(within) + between.T @ (w[:, None] * between) / n.sum(), rtol=1e-9)


def test_a_ramp_is_not_confounded_where_the_pooled_difference_is() -> None:
    rng = np.random.default_rng(7)
    epochs = {
        name: [from_rows(["y"], level + 0.3 * arm + rng.normal(size=(n, 1))) for arm, n in enumerate(counts)]
        for name, level, counts in (("5%", 0.0, (1900, 100)), ("50%", 5.0, (1000, 1000)))
    }
    d = difference(stratified(epochs, MeanOutcome("y")).estimates, 1, 0.05)
    pooled = difference(unadjusted_mean([merge_all(arm) for arm in zip(*epochs.values(), strict=True)], "y"), 1, 0.05)
    assert abs(d.estimate - 0.3) < 3 * d.std_error
    assert pooled.estimate > 1


def test_small_strata_are_named_or_merged() -> None:
    strata, tables = experiment(8, {"a": (30, 1), "b": (9, 8), "c": (0, 1), "d": (5, 4), "e": (25, 25)})
    everyone = sum(len(t) for arms in tables.values() for t in arms)
    out = stratified(strata, MeanOutcome("y"))
    assert out.left_out == (LeftOut("a", 31 / everyone), LeftOut("c", 1 / everyone))
    alone = stratified({k: strata[k] for k in "bde"}, MeanOutcome("y"))
    np.testing.assert_array_equal(out.estimates.cov, alone.estimates.cov)
    assert out.weights == alone.weights
    merged = stratified(strata, MeanOutcome("y"), small="merge")
    assert (merged.left_out, [name for name, _ in merged.weights]) == ((), ["b", "d", "e", "a + c"])
    by_hand = {
        **{k: strata[k] for k in "bde"},
        "a + c": [merge_all([strata["a"][arm], strata["c"][arm]]) for arm in (0, 1)],
    }
    np.testing.assert_array_equal(merged.estimates.cov, stratified(by_hand, MeanOutcome("y")).estimates.cov)
    lonely = stratified({k: strata[k] for k in "cde"}, MeanOutcome("y"), small="merge")  # c takes d, the smallest
    assert [name for name, _ in lonely.weights] == ["e", "c + d"]


@pytest.mark.parametrize("small", ["leave_out", "merge"])
def test_no_stratum_left(small: str) -> None:
    none = {"a": [empty(["y"])] * 2, "b": [from_rows(["y"], [[1.0], [2.0]]), from_rows(["y"], [[1.0]])]}
    for strata in (none, {"a": none["a"]}):
        with pytest.raises(NotComputable) as caught:
            stratified(strata, MeanOutcome("y"), small=small)  # type: ignore[arg-type]
        assert caught.value.reason == "too_few_units"
    for wrong in ({}, {**none, "c": none["a"] * 2}):
        with pytest.raises(ValueError, match="same arms"):
            stratified(wrong, MeanOutcome("y"))


def test_degenerate_outcomes() -> None:
    still = {k: [from_rows(["y", "d"], [[level, 0.0]] * 5)] * 2 for k, level in (("a", 0.1), ("b", 7.0))}
    with pytest.raises(NotComputable) as caught:
        difference(stratified(still, MeanOutcome("y")).estimates, 1, 0.05)
    assert caught.value.reason == "zero_variance"
    with pytest.raises(NotComputable) as caught:
        stratified(still, RatioOutcome("y", "d"))
    assert caught.value.reason == "zero_denominator"


sizes = st.lists(st.tuples(st.integers(2, 12), st.integers(2, 12)), min_size=1, max_size=4)


@settings(max_examples=examples(100))
@given(st.integers(0, 10**6), sizes, st.sampled_from([0.01, 0.1, 0.4]), st.booleans(), st.floats(1e-3, 1e3))
def test_p_intervals_labels_scale_and_shift(
    seed: int, counts: list[tuple[int, int]], alpha: float, ratio: bool, scale: float
) -> None:
    strata, tables = experiment(seed, {str(k): pair for k, pair in enumerate(counts)})
    outcome = RatioOutcome("y", "d") if ratio else MeanOutcome("y")
    est = stratified(strata, outcome).estimates
    d, r = difference(est, 1, alpha), relative(est, 1, alpha)
    assume(abs(d.p_value - alpha) > 1e-9)
    outside = r.lower is not None and r.upper is not None and not r.lower <= 0 <= r.upper
    gap = r.excluded is not None and r.excluded[0] < 0 < r.excluded[1]
    assert (d.p_value < alpha) == (not d.lower <= 0 <= d.upper) == (outside or gap)
    swapped = difference(stratified({k: pair[::-1] for k, pair in strata.items()}, outcome).estimates, 1, alpha)
    assert swapped.estimate == pytest.approx(-d.estimate, rel=1e-9, abs=1e-12)
    assert swapped.p_value == pytest.approx(d.p_value, rel=1e-9)
    reordered = difference(stratified(dict(reversed(strata.items())), outcome).estimates, 1, alpha)
    assert reordered.p_value == pytest.approx(d.p_value, rel=1e-9)
    scaled = difference(stratified(rescaled(strata, tables, scale, 0.0), outcome).estimates, 1, alpha)
    assert scaled.p_value == pytest.approx(d.p_value, rel=1e-7)
    assert scaled.std_error == pytest.approx(d.std_error * scale, rel=1e-7)
    if not ratio:
        shifted = difference(stratified(rescaled(strata, tables, 1.0, 100.0), outcome).estimates, 1, alpha)
        assert shifted.p_value == pytest.approx(d.p_value, rel=1e-7)
        assert shifted.lower == pytest.approx(d.lower, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_fixed_effects_are_least_squares_with_hc2(seed: int) -> None:
    strata, tables = experiment(seed)
    label = np.concatenate([np.full(len(t), k) for k, arms in enumerate(tables.values()) for t in arms])
    arm = np.concatenate([np.full(len(t), a) for arms in tables.values() for a, t in enumerate(arms)])
    y = np.concatenate([t[:, 0] for arms in tables.values() for t in arms])
    design = np.column_stack([arm, np.eye(3)[label]])
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ design.T @ y
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    meat = design.T @ (design * ((y - design @ beta) ** 2 / (1 - leverage))[:, None])
    got = fixed_effects(strata, "y")
    assert got.estimate == pytest.approx(beta[0])
    assert got.std_error == pytest.approx(np.sqrt((inverse @ meat @ inverse)[0, 0]))


def test_fixed_effects_of_units_that_decide_their_own_fit() -> None:
    one = from_rows(["y"], [[1.0]])
    for strata in ({"a": [one, one]}, {"a": [one, empty(["y"])]}):
        with pytest.raises(NotComputable) as caught:
            fixed_effects(strata, "y")
        assert caught.value.reason == "too_few_units"


@settings(max_examples=examples(40))
@given(st.integers(0, 10**6), st.sampled_from([0.01, 0.1, 0.4]), st.booleans())
def test_with_lin_inside_p_and_intervals_agree(seed: int, alpha: float, ratio: bool) -> None:
    counts = {"a": (41, 55, 60), "b": (70, 44, 50), "c": (12, 9, 7)}
    strata, _ = experiment(seed, counts)
    outcome = RatioOutcome("y", "d") if ratio else MeanOutcome("y")
    est = stratified(strata, outcome, ["x"]).estimates
    assert est.covariates == ("x",)
    for arm in (1, 2):
        d, r = difference(est, arm, alpha), relative(est, arm, alpha)
        assume(abs(d.p_value - alpha) > 1e-9)
        outside = r.lower is not None and r.upper is not None and not r.lower <= 0 <= r.upper
        assert (d.p_value < alpha) == (not d.lower <= 0 <= d.upper) == outside
        back = difference(est, 0, alpha, baseline=arm)
        assert (back.estimate, back.p_value) == (pytest.approx(-d.estimate), pytest.approx(d.p_value))
    swapped = stratified({k: (m[1], m[0], m[2]) for k, m in strata.items()}, outcome, ["x"]).estimates
    assert difference(swapped, 1, alpha).p_value == pytest.approx(difference(est, 1, alpha).p_value, rel=1e-8)
