"""Effects within strata, combined: post-stratification, blocked designs, and ramps (whose strata are epochs).

Where the allocation differs between strata the pooled difference of means compares different populations; the
estimators here compare arms only within a stratum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats.adjustment import (
    UNITS_PER_COEFFICIENT,
    MeanOutcome,
    Outcome,
    RatioOutcome,
    lin,
    unadjusted,
    usable,
    variance_reduction,
)
from metricdef.stats.effects import ArmEstimates, satterthwaite
from metricdef.stats.moments import Floats, Moments, SecondMoments, merge_all, transform

Small = Literal["leave_out", "merge"]
DfConvention = Literal["satterthwaite", "cells"]

FEWEST_UNITS = 2


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A stratum without part in the estimate, with its share of all units."""

    name: str
    share: float


@dataclass(frozen=True, slots=True)
class Stratified:
    """Arm estimates standardised to the strata.

    Attributes:
        estimates: Arm means; differences, relative effects and tests as of any `ArmEstimates`.
        weights: Name and weight of every stratum used; they sum to 1. A merged stratum is named "a + b".
        left_out: Strata not used.
        within: Covariance of the arm means within each stratum used.
        scales: Of a ratio 1 / mean of the denominator in each arm, which all of `within` has as a factor; else 1.
    """

    estimates: ArmEstimates
    weights: tuple[tuple[str, float], ...]
    left_out: tuple[LeftOut, ...]
    within: tuple[Floats, ...]
    scales: Floats


@dataclass(frozen=True, slots=True)
class FixedEffects:
    """Effect of a regression on the arm and stratum indicators, with its HC2 standard error."""

    estimate: float
    std_error: float


def stratified(
    strata: Mapping[str, Sequence[Moments]],
    outcome: Outcome,
    covariates: Sequence[str] = (),
    small: Small = "leave_out",
    superpopulation: bool = True,
    df: DfConvention = "satterthwaite",
) -> Stratified:
    """Arm means within strata, combined with the strata's shares w_k = n_k / N of all arms together.

    mu_a = sum_k w_k mu_ak; Cov(mu_a, mu_c) = sum_k w_k^2 Cov_k(mu_ak, mu_ck)
    + sum_k w_k (mu_ak - mu_a)(mu_ck - mu_c) / N. So a difference has
    se^2 = sum_k w_k^2 V_k + sum_k w_k (tau_k - tau)^2 / N, whose last term is there because the shares of the strata
    are those of a sample (left out without `superpopulation`). Within a stratum the estimator is Lin's when every arm
    has at least 20 (k + 1) units there, else the unadjusted mean.

    A ratio of sums keeps its meaning: R_a = sum_k w_k m_y,ak / sum_k w_k m_d,ak, and mu_ak is the mean in stratum k of
    the linearised R_a + (y - R_a d) / sum_k w_k m_d,ak. It is not the mean of the strata's ratios.

    Degrees of freedom: Satterthwaite over the cells, sum of v_ka^2 / df_ka with v_ka = w_k^2 V_ka; or "cells", the
    total of the cells' residual df (N - 2 K for two arms in K strata).

    A stratum is small when an arm has fewer than 2 units in it. "leave_out": it is not used and named with its share;
    the effect is then that on the other strata; the right choice where the allocation differs between strata (ramps).
    "merge", fixed in advance and looking at counts only: all small strata are taken together as one, with the
    next smallest stratum (the earlier of equals) as long as that one is still small; it assumes that they share one
    allocation. Miratrix, Sekhon & Yu (2013); Imbens & Rubin (2015), chapter 9.

    Args:
        strata: Moments per arm, baseline first, of every stratum. All arms given share the strata: an arm that
            entered late is best compared in a call of its own.
        outcome: A mean or a ratio of sums.
        covariates: Pre-treatment columns for Lin's estimator within strata.
        small: What to do with small strata.
        superpopulation: Whether the strata's shares are estimated.
        df: Which degrees of freedom.

    Raises:
        NotComputable: `too_few_units` when no stratum is left; `zero_denominator`.
    """
    if len({len(cells) for cells in strata.values()}) != 1:
        raise ValueError("strata must all have the same arms, and there must be one")
    everyone = sum(m.n for cells in strata.values() for m in cells)
    cells, left_out = _large_enough(strata, small)
    gone = tuple(LeftOut(name, sum(m.n for m in strata[name]) / everyone if everyone else 0.0) for name in left_out)
    if not cells:
        raise NotComputable("too_few_units", "no stratum has at least 2 units in every arm")
    sizes = np.array([sum(m.n for m in members) for members in cells.values()], dtype=np.float64)
    members = list(cells.values())
    estimates, within = _estimates(members, sizes, outcome, covariates, superpopulation, df)
    weights = sizes / sizes.sum()
    return Stratified(
        estimates,
        tuple(zip(cells, map(float, weights), strict=True)),
        gone,
        within,
        _scales(members, weights, outcome),
    )


def _scales(cells: Sequence[Sequence[Moments]], weights: Floats, outcome: Outcome) -> Floats:
    if isinstance(outcome, MeanOutcome):
        return np.ones(len(cells[0]))
    column = outcome.numerator
    rows = [(arm, standardised_gradient(arm, weights, outcome)[1]) for arm in zip(*cells, strict=True)]
    return np.array([row[arm[0].index(column)] for arm, row in rows])


def _estimates(
    cells: Sequence[Sequence[Moments]],
    sizes: Floats,
    outcome: Outcome,
    covariates: Sequence[str],
    superpopulation: bool,
    df: DfConvention,
) -> tuple[ArmEstimates, tuple[Floats, ...]]:
    total = float(sizes.sum())
    weights = sizes / total
    column, ready = _as_mean(cells, weights, outcome, covariates)
    parts = [_within(members, column, covariates) for members in ready]
    cov, means = _combine(parts, weights, total, superpopulation)
    own = np.array([w * w * part.arm_variance for w, part in zip(weights, parts, strict=True)])
    cell_df = np.array([part.arm_df for part in parts])
    used = {name for part in parts for name in part.covariates}
    reduction = None
    if used:
        plain = [unadjusted(members, MeanOutcome(column)) for members in ready]
        reduction = variance_reduction(cov, _combine(plain, weights, total, superpopulation)[0])
    estimates = ArmEstimates(
        "stratified",
        means,
        cov,
        own.sum(axis=0),
        np.array([_arm_df(v, f) for v, f in zip(own.T, cell_df.T, strict=True)]),
        float(cell_df.sum()) if df == "cells" else None,
        tuple(name for name in covariates if name in used),
        tuple(c for c in covariates if c not in used and any(c in part.dropped for part in parts)),
        reduction,
    )
    return estimates, tuple(part.cov for part in parts)


def _large_enough(
    strata: Mapping[str, Sequence[Moments]], small: Small
) -> tuple[dict[str, Sequence[Moments]], list[str]]:
    """The strata to use, and the names of those left out."""
    few = [name for name, cells in strata.items() if is_small(cells)]
    large: dict[str, Sequence[Moments]] = {name: cells for name, cells in strata.items() if name not in few}
    if small == "leave_out" or not few:
        return large, few
    together = list(few)
    by_size = sorted(large, key=lambda name: sum(m.n for m in large[name]))  # stable: the earlier of equals first
    merged = _together(strata, together)
    while is_small(merged) and by_size:
        together.append(by_size.pop(0))
        merged = _together(strata, together)
    if is_small(merged):
        return {}, list(strata)
    rest = {name: cells for name, cells in large.items() if name not in together}
    return {**rest, " + ".join(name for name in strata if name in together): merged}, []


def is_small(cells: Sequence[Moments]) -> bool:
    """Whether an arm has fewer than 2 units in a stratum."""
    return min(m.n for m in cells) < FEWEST_UNITS


def _together(strata: Mapping[str, Sequence[Moments]], names: Sequence[str]) -> list[Moments]:
    return [merge_all(arm) for arm in zip(*(strata[name] for name in names), strict=True)]


def _as_mean(
    cells: Sequence[Sequence[Moments]], weights: Floats, outcome: Outcome, covariates: Sequence[str]
) -> tuple[str, list[Sequence[SecondMoments]]]:
    """The column whose mean is estimated, with the cells that have it; a ratio is linearised about its standardised value."""
    if isinstance(outcome, MeanOutcome):
        return outcome.column, list(cells)
    name = f"{outcome.numerator}/{outcome.denominator}"
    out: list[list[SecondMoments]] = [[] for _ in cells]
    for arm in zip(*cells, strict=True):
        ratio, row = standardised_gradient(arm, weights, outcome)
        for k, m in enumerate(arm):
            rows = [row, *(np.eye(len(m.columns))[m.index(c)] for c in covariates)]
            shift = np.zeros(len(rows))
            shift[0] = ratio
            out[k].append(transform(m, rows, (name, *covariates), shift))
    return name, [*out]


def standardised_gradient(arm: Sequence[Moments], weights: Floats, outcome: RatioOutcome) -> tuple[float, Floats]:
    """The ratio R of the standardised means of one arm, and the weights (1, -R) / m_d over the columns."""
    y, d = arm[0].index(outcome.numerator), arm[0].index(outcome.denominator)
    top = float(sum(w * m.mean[y] for w, m in zip(weights, arm, strict=True)))
    base = float(sum(w * m.mean[d] for w, m in zip(weights, arm, strict=True)))
    if base == 0.0:
        raise NotComputable("zero_denominator", f"the denominator {outcome.denominator} sums to 0 in an arm")
    row = np.zeros(len(arm[0].columns))
    row[y] += 1 / base
    row[d] -= top / base / base
    return top / base, row


def _within(members: Sequence[SecondMoments], column: str, covariates: Sequence[str]) -> ArmEstimates:
    """Lin's estimator in a stratum that is large enough for it, else the unadjusted means."""
    if stratum_covariates(members, covariates):
        return lin(members, column, covariates)
    return unadjusted(members, MeanOutcome(column))


def stratum_covariates(members: Sequence[SecondMoments], covariates: Sequence[str]) -> tuple[str, ...]:
    """The covariates that Lin's estimator uses in a stratum; none where an arm is too small for it."""
    kept = usable(members, covariates, per_arm=True).kept
    return kept if min(m.n for m in members) >= UNITS_PER_COEFFICIENT * (len(kept) + 1) else ()


def _combine(
    parts: Sequence[ArmEstimates], weights: Floats, total: float, superpopulation: bool
) -> tuple[Floats, Floats]:
    """Covariance and means of the weighted arm estimates."""
    values = np.array([part.means for part in parts])
    means = values[0] + weights @ (values - values[0])  # about the first: no digits lost to a far offset
    cov = np.einsum("k,kab->ab", weights**2, np.array([part.cov for part in parts]))
    if superpopulation:
        off = values - means
        cov = cov + off.T @ (weights[:, None] * off) / total
    return cov, means


def _arm_df(variances: Floats, df: Floats) -> float:
    """Satterthwaite's df of an arm; an arm without variance has df that nothing reads, as large as its cells allow."""
    return satterthwaite(variances, df) if variances.sum() > 0.0 else float(df.sum())


def fixed_effects(strata: Mapping[str, Sequence[SecondMoments]], column: str) -> FixedEffects:
    """Two arms by least squares on the arm and stratum indicators: strata weigh by h_k = n_1k n_0k / n_k.

    tau = sum_k h_k tau_k / D, D = sum_k h_k: another estimand than `stratified` when effects differ between strata
    whose allocations differ. HC2: with z the arm indicator minus its mean in the stratum and e = y - m_k - tau z,
    Var = sum z^2 e^2 / (1 - 1 / n_k - z^2 / D) / D^2; z is constant in a cell, so the cell's moments give it exactly.
    MacKinnon & White (1985).

    Args:
        strata: Moments of (baseline, arm) of every stratum, each with at least 1 unit.
        column: The outcome.

    Raises:
        NotComputable: `too_few_units` when a cell is empty or a unit decides its own fit (leverage 1).
    """
    pairs = []
    for baseline, arm in strata.values():
        if min(arm.n, baseline.n) < 1:
            raise NotComputable("too_few_units", "a stratum has no unit in an arm")
        pairs.append((arm, baseline))
    i = pairs[0][0].index(column)
    n1, n0 = (np.array([pair[side].n for pair in pairs], dtype=np.float64) for side in (0, 1))
    m1, m0 = (np.array([pair[side].mean[i] for pair in pairs]) for side in (0, 1))
    h, gap = n1 * n0 / (n1 + n0), m1 - m0
    tau = float(h @ gap / h.sum())
    variance = 0.0
    for side, n, z in ((0, n1, n0 / (n1 + n0)), (1, n0, -n1 / (n1 + n0))):
        squares = np.array([pair[side].comoment[i, i] for pair in pairs]) + n * (z * (gap - tau)) ** 2
        free = 1 - 1 / (n1 + n0) - z**2 / h.sum()
        if np.any(free <= 1e-12):
            raise NotComputable("too_few_units", "a stratum has a unit that alone decides its own fit")
        variance += float((z**2 * squares / free).sum())
    return FixedEffects(tau, math.sqrt(variance) / float(h.sum()))
