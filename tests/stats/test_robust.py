from __future__ import annotations

import numpy as np
import pytest

from metricdef.errors import NotComputable
from metricdef.stats.adjustment import lin
from metricdef.stats.effects import difference
from metricdef.stats.moments import Floats, from_rows
from metricdef.stats.robust import lin_from_units, ratio_cr2


def experiment(seed: int) -> tuple[list[Floats], list[Floats]]:
    rng = np.random.default_rng(seed)
    x = [rng.normal(3, 2, (n, 2)) for n in (40, 55, 30)]
    y = [v @ [1.0, 0.5 * a] + 0.3 * a + rng.normal(size=len(v)) * (1 + np.abs(v[:, 0])) for a, v in enumerate(x)]
    return y, x


@pytest.mark.parametrize(("kind", "power"), [("HC0", 0), ("HC1", 0), ("HC2", 1), ("HC3", 2)])
def test_the_sandwich_of_the_interacted_regression(kind: str, power: int) -> None:
    y, x = experiment(1)
    label = np.repeat([0, 1, 2], [len(v) for v in y])
    off = np.vstack(x) - np.vstack(x).mean(axis=0)
    dummies = np.eye(3)[label]
    design = np.column_stack([dummies, *(dummies * off[:, [j]] for j in (0, 1))])
    inverse = np.linalg.inv(design.T @ design)
    stacked = np.concatenate(y)
    beta = inverse @ design.T @ stacked
    h = np.einsum("ij,jk,ik->i", design, inverse, design)
    meat = design.T @ (design * ((stacked - design @ beta) ** 2 * (1 - h) ** -power)[:, None])
    cov = (inverse @ meat @ inverse)[:3, :3] * (len(label) / (len(label) - 9) if kind == "HC1" else 1.0)
    est = lin_from_units(y, x, kind)  # type: ignore[arg-type]
    np.testing.assert_allclose(est.means, beta[:3], rtol=1e-10)
    np.testing.assert_allclose(est.cov, cov, rtol=1e-8, atol=1e-12)
    assert difference(est, 2, 0.05).df == len(label) - 9


def test_m_estimation_against_the_jackknife() -> None:
    """The infinitesimal jackknife of the whole procedure, grand mean included, is close to the delete-one jackknife."""
    y, x = experiment(2)
    est = lin_from_units(y, x, "M")
    moments = [from_rows(["y", "0", "1"], np.column_stack([a, b])) for a, b in zip(y, x, strict=True)]
    np.testing.assert_allclose(est.means, lin(moments, "y", ["0", "1"]).means, rtol=1e-10)
    without = []
    for arm in range(3):
        for i in range(len(y[arm])):
            rest_y, rest_x = list(y), list(x)
            rest_y[arm], rest_x[arm] = np.delete(y[arm], i), np.delete(x[arm], i, axis=0)
            without.append(lin_from_units(rest_y, rest_x, "M").means)
    off = np.array(without) - np.mean(without, axis=0)
    np.testing.assert_allclose(np.sqrt((off.T @ off).diagonal()), np.sqrt(est.cov.diagonal()), rtol=0.12)


def test_cr2_against_the_rows() -> None:
    """(I - H)_gg^(-1/2) by eigenvalues, and Satterthwaite's df from the matrix of quadratic-form vectors."""
    rng = np.random.default_rng(3)
    counts = [rng.integers(1, 6, 9), rng.integers(1, 9, 7)]
    rows = [[rng.normal(size=c) + rng.normal() + a for c in counts[a]] for a in (0, 1)]
    clusters = [(a, r) for a in (0, 1) for r in rows[a]]
    arm = np.concatenate([np.full(len(r), a) for a, r in clusters])
    cluster = np.concatenate([np.full(len(r), g) for g, (_, r) in enumerate(clusters)])
    y = np.concatenate([r for _, r in clusters])
    design = np.column_stack([np.ones(len(y)), arm])
    bread = np.linalg.inv(design.T @ design)
    residual_maker = np.eye(len(y)) - design @ bread @ design.T
    variance, vectors = 0.0, []
    for g in range(len(clusters)):
        at = np.flatnonzero(cluster == g)
        values, basis = np.linalg.eigh(residual_maker[np.ix_(at, at)])
        root = basis @ np.diag(values**-0.5) @ basis.T
        p = residual_maker[:, at] @ root @ design[at] @ bread[:, 1]
        vectors.append(p)
        variance += float(p @ y) ** 2
    inner = np.array(vectors) @ np.array(vectors).T
    est = ratio_cr2([np.array([r.sum() for r in rows[a]]) for a in (0, 1)], [c.astype(float) for c in counts], 1)
    d = difference(est, 1, 0.05)
    assert d.std_error**2 == pytest.approx(variance)
    assert d.df == pytest.approx(np.trace(inner) ** 2 / (inner**2).sum())


def reason(call: object) -> str:
    with pytest.raises(NotComputable) as caught:
        call()  # type: ignore[operator]
    return caught.value.reason


def test_reasons() -> None:
    one, none, fine = np.array([4.0, 0.0]), np.zeros(3), np.array([2.0, 3.0, 1.0])
    assert reason(lambda: ratio_cr2([fine, one], [fine, one], 1)) == "too_few_units"
    assert reason(lambda: ratio_cr2([fine, none], [fine, none], 1)) == "zero_denominator"
    y, x = experiment(4)
    assert reason(lambda: lin_from_units([y[0], y[1][:3]], [x[0], x[1][:3]], "HC2")) == "too_few_units"
    lonely = np.zeros((30, 1))
    lonely[0] = 1.0
    given = [y[2], y[2]], [lonely, x[2][:, :1]]
    assert reason(lambda: lin_from_units(*given, "HC3")) == "too_few_units"
    assert difference(lin_from_units(*given, "HC0"), 1, 0.05).std_error > 0
    flat = [np.column_stack([v, np.full(len(v), 3.0), 2 * v[:, 0]]) for v in x]
    est = lin_from_units(y, flat, "HC2")
    assert (est.covariates, est.dropped) == (("0", "1"), ("2", "3"))
    np.testing.assert_allclose(est.cov, lin_from_units(y, x, "HC2").cov, rtol=1e-12)
