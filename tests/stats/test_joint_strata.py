"""The joint law of effects combined over strata, against rows and repetitions."""

from __future__ import annotations

import numpy as np
import pytest

from metricdef.errors import NotComputable
from metricdef.stats.adjustment import MeanOutcome, RatioOutcome
from metricdef.stats.dunnett import dunnett
from metricdef.stats.max_t import Contrast
from metricdef.stats.max_t_strata import stratified_correlation
from metricdef.stats.moments import from_rows
from metricdef.stats.stratification import stratified


def strata_rows(seed: int):
    """Three strata with allocations and effects of their own: per stratum and arm the rows (y, num, den, x, w)."""
    rng = np.random.default_rng(seed)
    out = []
    for k, sizes in enumerate(((900, 60, 120), (500, 450, 480), (200, 220, 190))):
        cells = []
        for a, n in enumerate(sizes):
            x = rng.normal(k, 1, size=(n, 2))
            y = x @ [1.0, 0.5] * (1 + a) + k * a + rng.normal(size=n)
            d = rng.gamma(3, size=n)
            cells.append(np.column_stack([y, 2 * d + 0.4 * y + k * a, d, x]))
        out.append(cells)
    return out


def test_correlation_over_strata_from_rows() -> None:
    """Each unit's influence: its part within the stratum, and the stratum's effect less the whole one over N."""
    rows = strata_rows(12)
    names = ["y", "num", "den", "x", "w"]
    strata = {f"epoch {k}": [from_rows(names, r) for r in cells] for k, cells in enumerate(rows)}
    total = sum(len(r) for cells in rows for r in cells)
    w = [sum(map(len, cells)) / total for cells in rows]

    def lines(outcome: str, a: int) -> list[np.ndarray]:
        """The outcome, or the linearised ratio about its standardised value, of one arm in every stratum."""
        if outcome == "y":
            return [cells[a][:, 0] for cells in rows]
        top, base = (sum(v * cells[a][:, c].mean() for v, cells in zip(w, rows, strict=True)) for c in (1, 2))
        return [top / base + (cells[a][:, 1] - top / base * cells[a][:, 2]) / base for cells in rows]

    def influence(outcome: str, arm: int, factor: float, adjusted: bool):
        both = {a: lines(outcome, a) for a in (arm, 0)}
        parts, effects = [], []
        for k, cells in enumerate(rows):
            x = [r[:, 3:] for r in cells]
            centre, n = np.vstack(x).mean(axis=0), sum(map(len, x))
            # As Lin's estimator is used: 20 units for every coefficient, in every arm.
            use = adjusted and min(map(len, x)) >= 60
            z, effect = [np.zeros(len(r)) for r in cells], 0.0
            slopes = {}
            for a, sign in ((arm, 1.0), (0, -factor)):
                fit = np.linalg.lstsq(np.column_stack([np.ones(len(x[a])), x[a] - centre]), both[a][k], rcond=None)[0]
                slopes[a] = fit[1:] if use else np.zeros(2)
                effect += sign * (fit[0] if use else both[a][k].mean())
                own = both[a][k] - x[a] @ slopes[a]
                z[a] = z[a] + sign * (own - own.mean()) / len(own)
            for a, values in enumerate(x):
                common = values @ (slopes[arm] - factor * slopes[0]) / n
                z[a] = w[k] * (z[a] + common - common.mean())
            parts.append(z)
            effects.append(effect)
        return parts, np.array(effects)

    asked = [
        ("y", 1, 1.0, False),
        ("y", 2, 1.0, True),
        ("ratio", 1, 1.0, False),
        ("ratio", 2, 0.9, True),
        ("y", 1, 0.8, True),
    ]
    found = [influence(*what) for what in asked]
    cov = np.zeros((len(asked), len(asked)))
    for k, cells in enumerate(rows):
        for a in range(3):
            cov += len(cells[a]) * np.cov(np.array([parts[k][a] for parts, _ in found]))
    effects = np.array([effect for _, effect in found])
    off = effects - (effects @ w)[:, None]
    cov += off * w @ off.T / total
    outcomes = {"y": MeanOutcome("y"), "ratio": RatioOutcome("num", "den")}
    contrasts = [
        Contrast(outcomes[o], a, "lin" if adj else "unadjusted", ("x", "w") if adj else (), f) for o, a, f, adj in asked
    ]
    got = stratified_correlation(strata, contrasts)
    assert got == pytest.approx(cov / np.sqrt(np.outer(cov.diagonal(), cov.diagonal())), abs=1e-9)
    # As the estimator's own covariance of two arms: exactly without covariates, nearly with them.
    plain = [Contrast(MeanOutcome("y"), a) for a in (1, 2)]
    lin = [Contrast(MeanOutcome("y"), a, "lin", ("x", "w")) for a in (1, 2)]
    for own, covariates, within in ((plain, (), 1e-12), (lin, ("x", "w"), 0.01)):
        est = stratified(strata, MeanOutcome("y"), covariates).estimates
        law = dunnett(est, 0.05, known_variances=True)
        assert stratified_correlation(strata, own) == pytest.approx(np.array(law.correlation), abs=within)


def test_correlation_over_strata_against_repetitions() -> None:
    """Two metrics whose effects in the strata go against each other while their values go together."""
    rng, n, runs = np.random.default_rng(13), 400, 3_000
    shares, tau = np.array([0.5, 0.5]), np.array([[3.0, -3.0], [-3.0, 3.0]])
    found, given = [], []
    for run in range(runs):
        sizes = rng.multinomial(n, shares)
        effects, strata = [], {}
        for k, size in enumerate(sizes):
            arm = rng.random(size) < (0.2, 0.6)[k]
            y = rng.normal(size=(size, 1)) + 0.7 * rng.normal(size=(size, 2)) + arm[:, None] * tau[k]
            effects.append(y[arm].mean(axis=0) - y[~arm].mean(axis=0))
            strata[f"epoch {k}"] = [from_rows(["y", "z"], y[side]) for side in (~arm, arm)] if run < 40 else []
        found.append(sizes / n @ np.array(effects))
        if run < 40:
            given.append(stratified_correlation(strata, [Contrast(MeanOutcome(c), 1) for c in "yz"])[0, 1])
    want = np.corrcoef(np.array(found).T)[0, 1]
    assert want < 0.2
    assert np.mean(given) == pytest.approx(want, abs=0.06)


def test_refused_strata() -> None:
    arms = [from_rows(["y", "x"], np.random.default_rng(1).normal(size=(50, 2))) for _ in range(3)]
    contrast = [Contrast(MeanOutcome("y"), 1)]
    with pytest.raises(NotComputable, match="stratum"):
        stratified_correlation({"a": [from_rows(["y"], [[1.0]]), from_rows(["y"], [[1.0], [2.0]])]}, contrast)
    with pytest.raises(ValueError, match="columns"):
        stratified_correlation({"a": [arms[0], from_rows(["y"], [[1.0], [2.0]])]}, contrast)
    with pytest.raises(ValueError, match="none of"):
        stratified_correlation({"a": arms}, [Contrast(MeanOutcome("y"), 3)])
