from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metricdef.errors import NotComputable
from metricdef.stats.balance import check_balance, standardised_differences
from metricdef.stats.moments import from_rows

NAMES = ["a", "b", "c"]


def draw(seed: int, sizes, scale=1.0, offset=0.0):
    rng = np.random.default_rng(seed)
    mix = np.array([[1, 0.5, 0], [0, 1, 0.3], [0, 0, 2]])
    return [offset + scale * (rng.normal(size=(n, 3)) @ mix) for n in sizes]


@given(st.integers(0, 10_000), st.integers(4, 40), st.integers(4, 40))
def test_hotelling_from_rows(seed, n0, n1) -> None:
    x0, x1 = draw(seed, (n0, n1))
    got = check_balance([from_rows(NAMES, x0), from_rows(NAMES, x1)], NAMES)
    d = x1.mean(axis=0) - x0.mean(axis=0)
    pooled = ((n0 - 1) * np.cov(x0.T) + (n1 - 1) * np.cov(x1.T)) / (n0 + n1 - 2)
    t2 = n0 * n1 / (n0 + n1) * d @ np.linalg.inv(pooled) @ d
    f = t2 * (n0 + n1 - 4) / (3 * (n0 + n1 - 2))
    assert got.test == "hotelling"
    assert got.distance == pytest.approx(t2, rel=1e-8)
    assert (got.statistic, got.df) == (pytest.approx(f, rel=1e-8), (3, n0 + n1 - 4))
    assert got.p_value == pytest.approx(float(stats.f.sf(f, 3, n0 + n1 - 4)), rel=1e-7)
    for difference, gap, s0, s1 in zip(got.differences, d, x0.var(axis=0, ddof=1), x1.var(axis=0, ddof=1), strict=True):
        assert difference.value == pytest.approx(gap / math.sqrt((s0 + s1) / 2), rel=1e-9)


def test_one_covariate_is_the_pooled_t_test() -> None:
    x0, x1 = draw(3, (20, 30))
    got = check_balance([from_rows(NAMES, x0), from_rows(NAMES, x1)], ["b"])
    assert got.p_value == pytest.approx(float(stats.ttest_ind(x0[:, 1], x1[:, 1]).pvalue), rel=1e-9)
    many = check_balance([from_rows(NAMES, x) for x in draw(4, (9, 12, 15, 8))], ["a"])
    anova = stats.f_oneway(*(x[:, 0] for x in draw(4, (9, 12, 15, 8))))
    assert many.distance == pytest.approx(3 * anova.statistic, rel=1e-9)
    assert many.p_value == pytest.approx(anova.pvalue, rel=0.1)


def test_several_arms_from_rows() -> None:
    parts = draw(5, (30, 40, 50))
    got = check_balance([from_rows(NAMES, x) for x in parts], NAMES)
    grand = np.concatenate(parts).mean(axis=0)
    within = sum((x - x.mean(axis=0)).T @ (x - x.mean(axis=0)) for x in parts)
    between = sum(len(x) * np.outer(x.mean(axis=0) - grand, x.mean(axis=0) - grand) for x in parts)
    assert got.distance == pytest.approx(117 * np.trace(between @ np.linalg.inv(within)), rel=1e-9)
    assert got.test == "hotelling-lawley"
    assert [(d.covariate, d.arm) for d in got.differences] == [(c, a) for c in NAMES for a in (1, 2)]
    # Large samples: the Wald chi-square.
    large = check_balance([from_rows(NAMES, x) for x in draw(6, (20_000, 20_000, 30_000))], NAMES)
    assert large.p_value == pytest.approx(float(stats.chi2.sf(large.distance, 6)), rel=0.01)


def test_several_arms_against_statsmodels() -> None:
    """statsmodels 0.15.0, mv_test of a one-way layout of these 8 + 10 + 12 rows."""
    got = check_balance([from_rows(NAMES, x) for x in draw(5, (8, 10, 12))], NAMES)
    assert got.distance / 27 == pytest.approx(0.113203, abs=1e-6)
    assert (got.statistic, got.df) == (pytest.approx(0.463249, abs=1e-6), (6, pytest.approx(31.616438, abs=1e-6)))
    assert got.p_value == pytest.approx(0.8301, abs=1e-4)


def test_mckeons_f_holds_its_level_in_small_samples() -> None:
    rng = np.random.default_rng(7)
    p = []
    for _ in range(1500):
        arms = [from_rows(NAMES, rng.normal(size=(8, 3))) for _ in range(3)]
        p.append(check_balance(arms, NAMES).p_value)
    for level in (0.05, 0.2):
        share = np.mean(np.array(p) <= level)
        assert abs(share - level) < 4 * math.sqrt(level * (1 - level) / len(p))


def test_units_and_places_of_the_covariates_do_not_matter() -> None:
    plain = check_balance([from_rows(NAMES, x) for x in draw(8, (30, 40))], NAMES)
    moved = check_balance([from_rows(NAMES, x * [1e-6, 1, 1e6] + 1e3) for x in draw(8, (30, 40))], ["c", "b", "a"])
    assert moved.p_value == pytest.approx(plain.p_value, rel=1e-4)


def test_dropped_by_name() -> None:
    x0, x1 = draw(9, (30, 40))
    names = [*NAMES, "twice", "same"]
    rows = [np.column_stack([x, 2 * x[:, 0], np.ones(len(x))]) for x in (x0, x1)]
    got = check_balance([from_rows(names, r) for r in rows], names)
    assert (got.covariates, got.dropped) == (tuple(NAMES), ("twice", "same"))
    assert got.p_value == pytest.approx(check_balance([from_rows(NAMES, x) for x in (x0, x1)], NAMES).p_value)
    assert got.differences[-1].value == 0.0
    apart = standardised_differences([from_rows(["c"], [[1.0], [1.0]]), from_rows(["c"], [[2.0], [2.0]])], ["c"])
    assert apart[0].value is None


def test_not_computable() -> None:
    x0, x1 = draw(10, (2, 2))
    for arms, reason in (
        ([from_rows(NAMES, x0), from_rows(NAMES, x1), from_rows(NAMES, x0)], "too_few_units"),
        ([from_rows(NAMES, x0[:1]), from_rows(NAMES, x1)], "too_few_units"),
        ([from_rows(NAMES, np.ones((5, 3)))] * 2, "no_variation"),
    ):
        with pytest.raises(NotComputable) as caught:
            check_balance(arms, NAMES)
        assert caught.value.reason == reason
    # As many covariates as the units have directions: those that fit are tested, the rest is named.
    tiny = check_balance([from_rows(NAMES, x0), from_rows(NAMES, x1)], NAMES)
    assert (tiny.covariates, tiny.dropped, tiny.df) == (("a", "b"), ("c",), (2, 1))
    with pytest.raises(ValueError, match="2 arms"):
        check_balance([from_rows(NAMES, x0)], NAMES)
