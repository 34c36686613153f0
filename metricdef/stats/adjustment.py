"""Regression adjustment from sufficient statistics: Lin's per-arm slopes and ANCOVA, for means and ratios.

A ratio is adjusted through its influence L_i = (y_i - R_a d_i) / m_d,a: its moments with the covariates are linear
in the arm's, so one code path serves both. Covariates must be pre-treatment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats.effects import ArmEstimates, unadjusted_mean, unadjusted_ratio
from metricdef.stats.linear import solve_scaled
from metricdef.stats.moments import EPS, Floats, SecondMoments, quadratic, ratio_gradient

RANK_TOLERANCE = 1e-8
UNITS_PER_COEFFICIENT = 20  # in every arm, for slopes per arm


@dataclass(frozen=True, slots=True)
class MeanOutcome:
    """The mean of a column."""

    column: str


@dataclass(frozen=True, slots=True)
class RatioOutcome:
    """The ratio of two sums."""

    numerator: str
    denominator: str


Outcome = MeanOutcome | RatioOutcome
LinVariance = Literal["superpopulation", "conditional", "large_sample"]


@dataclass(frozen=True, slots=True)
class Covariates:
    """Covariates by name: those an estimator uses and those it can't, each in the order given."""

    kept: tuple[str, ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Linearised:
    """An arm after linearisation: estimate, covariate means and the co-moments (not divided) of [outcome, x...]."""

    n: int
    estimate: float
    x: Floats
    yy: float
    yx: Floats
    xx: Floats


def unadjusted(arms: Sequence[SecondMoments], outcome: Outcome) -> ArmEstimates:
    """The unadjusted estimator of either kind of outcome: `unadjusted_mean`, `unadjusted_ratio`; references there."""
    if isinstance(outcome, RatioOutcome):
        return unadjusted_ratio(arms, outcome.numerator, outcome.denominator)
    return unadjusted_mean(arms, outcome.column)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Arms ready for a regression on K arms and k covariates.

    Attributes:
        parts: Linearised arms.
        distance: (K, k) D, of the arms' covariate means from the grand mean.
        spread: (k, k) Sx = T_xx / N, T_xx the total co-moments of the covariates.
    """

    parts: list[Linearised]
    distance: Floats
    spread: Floats


def usable(arms: Sequence[SecondMoments], covariates: Sequence[str], per_arm: bool) -> Covariates:
    """Split covariates: a constant or collinear one is dropped, the earlier of a pair is kept.

    In the order given, a column is kept when the share of its variance that the kept ones leave unexplained exceeds
    1e-8, judged on the pooled within-arm correlation matrix and, with `per_arm` (Lin), also within every arm.
    """
    blocks = []
    for arm in arms:
        at = [arm.index(c) for c in covariates]
        blocks.append(arm.comoment[np.ix_(at, at)])
    within = np.sum(blocks, axis=0)
    kept = _independent(np.array([within, *blocks] if per_arm else [within]))
    return Covariates(tuple(covariates[j] for j in kept), tuple(c for j, c in enumerate(covariates) if j not in kept))


def _independent(matrices: Floats) -> list[int]:
    """Columns that have in every one of the (m, k, k) matrices a share 1 - R^2 on the earlier such columns.

    Elimination on the correlation scale, all matrices at once: the pivot of a column is its 1 - R^2 (0 for a constant).
    """
    size = matrices.diagonal(axis1=1, axis2=2)
    scale = 1.0 / np.sqrt(np.where(size > 0.0, size, 1.0))
    left = matrices * (scale[:, :, None] * scale[:, None, :])
    kept: list[int] = []
    for j in range(matrices.shape[1]):
        pivot = left[:, j, j]
        if pivot.min() > RANK_TOLERANCE:
            kept.append(j)
            row = left[:, j, :].copy()
            left -= row[:, :, None] * (row / pivot[:, None])[:, None, :]
    return kept


def linearise(arm: SecondMoments, outcome: Outcome, kept: Sequence[str]) -> Linearised:
    """An arm's estimate and its co-moments with the covariates `kept`.

    A mean as it is; a ratio through its linearised outcome L = R + (y - R d) / m_d. Deng, Knoblich & Lu (2018).
    """
    if isinstance(outcome, RatioOutcome):
        found = ratio_gradient(arm, outcome.numerator, outcome.denominator)
        estimate, weights = found.ratio, found.weights
    else:
        i = arm.index(outcome.column)
        estimate, weights = float(arm.mean[i]), np.zeros(len(arm.columns))
        weights[i] = 1.0
    at = [arm.index(c) for c in kept]
    xx = arm.comoment[np.ix_(at, at)]
    return Linearised(arm.n, estimate, arm.mean[at], quadratic(weights, arm.comoment), arm.comoment[at] @ weights, xx)


def prepare(arms: Sequence[SecondMoments], outcome: Outcome, kept: Sequence[str]) -> Prepared:
    """What the regressions of an outcome on the covariates `kept` share.

    Raises:
        NotComputable: `too_few_units` when an arm has fewer than k + 2 units; `zero_denominator`.
    """
    for arm in arms:
        if arm.n < len(kept) + 2:
            raise NotComputable(
                "too_few_units", f"{len(kept)} covariates need at least {len(kept) + 2} units an arm, one has {arm.n}"
            )
    parts = [linearise(arm, outcome, kept) for arm in arms]
    n = np.array([part.n for part in parts], dtype=np.float64)
    x = np.array([part.x for part in parts]).reshape(len(parts), len(kept))
    # Distances from the first arm: averaging means of the size 1e9 directly would cost digits of the difference.
    off = x - x[0]
    distance = off - (n @ off) / n.sum()
    total = sum((part.xx for part in parts), np.zeros((len(kept), len(kept)))) + distance.T @ (n[:, None] * distance)
    return Prepared(parts, distance, total / n.sum())


def _residual(yy: float, yx: Floats, slopes: Floats) -> float:
    """Residual sum of squares; cancellation noise of a perfect fit counts as 0."""
    rss = yy - float(yx @ slopes)
    return rss if rss > 64 * EPS * (len(slopes) + 1) * yy else 0.0


def variance_reduction(cov: Floats, before: Floats) -> Floats:
    """1 - adjusted / unadjusted variance of each difference to the baseline (entry 0: of the baseline's mean).

    With one covariate and equal slopes about its R^2 with the outcome. Deng, Xu, Kohavi & Walker (2013).

    Args:
        cov: (K, K) covariance of the adjusted arm means.
        before: That of the unadjusted ones.
    """
    out = np.zeros(len(cov))
    for a in range(len(cov)):
        weights = np.zeros(len(cov))
        weights[a] += 1.0
        if a > 0:
            weights[0] -= 1.0
        old = quadratic(weights, before)
        out[a] = 1.0 - quadratic(weights, cov) / old if old > 0.0 else 0.0
    return out


def lin(
    arms: Sequence[SecondMoments],
    column: str,
    covariates: Sequence[str],
    variance: LinVariance = "superpopulation",
) -> ArmEstimates:
    """Lin's estimator of arm means: per-arm slopes, superpopulation variance.

    b_a = S_a,xx^-1 S_a,xy; mu_a = m_y,a - b_a'd_a, d_a = m_x,a - m_x., m_x. the mean over all arms given;
    s2_a = RSS_a / (n_a - k - 1); V_a = s2_a (1/n_a + d_a' [(n_a - 1) S_a,xx]^-1 d_a);
    Cov(mu_a, mu_c) = V_a 1{a = c} + b_a' Sx b_c / N, Sx = T_xx / N; df_a = n_a - k - 1. So the difference has
    se^2 = V_1 + V_0 + (b_1 - b_0)' Sx (b_1 - b_0) / N. Assumes units sampled from a population and completely
    randomised. Lin (2013); Negi & Wooldridge (2021); Ye, Shao, Yi & Zhao (2023).

    Other conventions: "conditional" leaves out b_a' Sx b_c / N (the covariates taken as fixed: the sum of the two
    per-arm classical regressions, and what HC0 to HC3 of the interacted regression estimate); "large_sample" has
    V_a = RSS_a / n_a^2 (M-estimation without small-sample corrections).

    Args:
        arms: Moments per arm with the outcome and the covariates, baseline first.
        column: The outcome.
        covariates: Pre-treatment columns; constant and collinear ones (also within one arm) are dropped by name.
        variance: Which variance.

    Raises:
        NotComputable: `too_few_units` when an arm has fewer than k + 2 units.
    """
    return _lin(arms, MeanOutcome(column), covariates, variance)


def lin_ratio(
    arms: Sequence[SecondMoments], numerator: str, denominator: str, covariates: Sequence[str]
) -> ArmEstimates:
    """`lin` for a ratio of sums: the linearised outcome L = (y - R_a d) / m_d,a, estimate R_a - b_a'd_a.

    Deng, Xu, Kohavi & Walker (2013), appendix B; Lin (2013).

    Raises:
        NotComputable: `too_few_units`; `zero_denominator`.
    """
    return _lin(arms, RatioOutcome(numerator, denominator), covariates)


def _lin(
    arms: Sequence[SecondMoments],
    outcome: Outcome,
    covariates: Sequence[str],
    variance: LinVariance = "superpopulation",
) -> ArmEstimates:
    names = usable(arms, covariates, per_arm=True)
    k = len(names.kept)
    ready = prepare(arms, outcome, names.kept)
    parts, distance = ready.parts, ready.distance
    slopes = np.zeros((len(parts), k))
    means, own, df = np.zeros(len(parts)), np.zeros(len(parts)), np.zeros(len(parts))
    for a, part in enumerate(parts):
        slopes[a] = solve_scaled(part.xx, part.yx)
        df[a] = part.n - k - 1
        means[a] = part.estimate - float(slopes[a] @ distance[a])
        rss = _residual(part.yy, part.yx, slopes[a])
        if variance == "large_sample":
            own[a] = rss / part.n / part.n
        else:
            own[a] = rss / df[a] * (1 / part.n + float(distance[a] @ solve_scaled(part.xx, distance[a])))
    shared = slopes @ ready.spread @ slopes.T / sum(part.n for part in parts)
    if variance == "conditional":
        shared = np.zeros_like(shared)
    cov = np.diag(own) + shared
    reduction = variance_reduction(cov, unadjusted(arms, outcome).cov)
    return ArmEstimates("lin", means, cov, own, df, None, names.kept, names.dropped, reduction, slopes)


def ancova(arms: Sequence[SecondMoments], column: str, covariates: Sequence[str]) -> ArmEstimates:
    """ANCOVA of arm means: one within-arm slope, one residual variance.

    b = W_xx^-1 W_xy; mu_a = m_y,a - b'd_a; s2 = (W_yy - b'W_xy) / (N - k - K);
    Cov = s2 (diag(1 / n_a) + D W_xx^-1 D') + (b' Sx b / N) 11', D the rows d_a', Sx = T_xx / N; df = N - k - K for
    every comparison. The last term cancels in differences and enters relative effects. Assumes equal residual
    variance and slopes in the arms. Fisher (1932); Freedman (2008).

    Args:
        arms: Moments per arm with the outcome and the covariates, baseline first.
        column: The outcome.
        covariates: Pre-treatment columns; constant and collinear ones are dropped by name.

    Raises:
        NotComputable: `too_few_units` when an arm has fewer than k + 2 units.
    """
    return _ancova(arms, MeanOutcome(column), covariates)


def ancova_ratio(
    arms: Sequence[SecondMoments], numerator: str, denominator: str, covariates: Sequence[str]
) -> ArmEstimates:
    """`ancova` for a ratio of sums: of the linearised outcome L = (y - R_a d) / m_d,a, estimate R_a - b'd_a.

    Assumes equal slopes and residual variance of L in the arms. Freedman (2008); Deng, Knoblich & Lu (2018).

    Raises:
        NotComputable: `too_few_units`; `zero_denominator`.
    """
    return _ancova(arms, RatioOutcome(numerator, denominator), covariates)


def _ancova(arms: Sequence[SecondMoments], outcome: Outcome, covariates: Sequence[str]) -> ArmEstimates:
    names = usable(arms, covariates, per_arm=False)
    k = len(names.kept)
    ready = prepare(arms, outcome, names.kept)
    parts, distance = ready.parts, ready.distance
    n = np.array([part.n for part in parts], dtype=np.float64)
    xx = sum((part.xx for part in parts), np.zeros((k, k)))
    yx = sum((part.yx for part in parts), np.zeros(k))
    slopes = solve_scaled(xx, yx)
    df = float(n.sum()) - k - len(parts)
    s2 = _residual(sum(part.yy for part in parts), yx, slopes) / df
    arm_part = s2 * (np.diag(1 / n) + distance @ solve_scaled(xx, distance.T))
    cov = arm_part + float(slopes @ ready.spread @ slopes) / n.sum()
    means = np.array([part.estimate for part in parts]) - distance @ slopes
    every = np.full(len(parts), df)
    reduction = variance_reduction(cov, unadjusted(arms, outcome).cov)
    common = np.tile(slopes, (len(parts), 1))
    own = arm_part.diagonal()
    return ArmEstimates("ancova", means, cov, own, every, df, names.kept, names.dropped, reduction, common)


def ancova_welch(arms: Sequence[SecondMoments], outcome: Outcome, covariates: Sequence[str]) -> ArmEstimates:
    """ANCOVA's arm means, with a residual variance of its own for each arm.

    b = W_xx^-1 W_xy from all arms; mu_a = m_y,a - b'd_a; s2_a = q'S_a q / df_a with q = (1, -b), S_a the arm's own
    co-moments and df_a = n_a - 1 - tr(W_xx^-1 W_xx,a), which add up to N - k - K. Cov = diag(s2_a / n_a) +
    D W_xx^-1 (sum_a s2_a W_xx,a) W_xx^-1 D' + (b' Sx b / N) 11', which is `ancova`'s where all s2_a are equal; Welch's df.
    Freedman (2008); the sandwich of White (1980) with one variance an arm.

    Args:
        arms: Moments per arm with the outcome and the covariates, baseline first.
        outcome: A mean or a ratio of sums.
        covariates: Pre-treatment columns; constant and collinear ones are dropped by name.

    Raises:
        NotComputable: `too_few_units` when an arm has fewer than k + 2 units; `zero_denominator`.
    """
    names = usable(arms, covariates, per_arm=False)
    ready = prepare(arms, outcome, names.kept)
    parts, distance = ready.parts, ready.distance
    n = np.array([part.n for part in parts], dtype=np.float64)
    xx = np.sum([part.xx for part in parts], axis=0)
    slopes = solve_scaled(xx, np.sum([part.yx for part in parts], axis=0))
    weights = np.concatenate(([1.0], -slopes))
    df = n - 1 - np.array([float(np.trace(solve_scaled(xx, part.xx))) for part in parts])
    squares = [np.block([[np.array([[p.yy]]), p.yx[None]], [p.yx[:, None], p.xx]]) for p in parts]
    s2 = np.array([quadratic(weights, square) for square in squares]) / df
    lever = solve_scaled(xx, distance.T)
    middle = np.sum([v * part.xx for v, part in zip(s2, parts, strict=True)], axis=0)
    cov = np.diag(s2 / n) + lever.T @ middle @ lever + float(slopes @ ready.spread @ slopes) / n.sum()
    means = np.array([part.estimate for part in parts]) - distance @ slopes
    reduction = variance_reduction(cov, unadjusted(arms, outcome).cov)
    common = np.tile(slopes, (len(parts), 1))
    return ArmEstimates("ancova_welch", means, cov, s2 / n, df, None, names.kept, names.dropped, reduction, common)


def choose(
    arms: Sequence[SecondMoments], outcome: Outcome, covariates: Sequence[str], kept: str | None = None
) -> ArmEstimates:
    """The default estimator, by size and rank only, never by significance.

    n >= 20 (k + 1) in every arm: Lin; else n >= k + 10 in every arm: `ancova_welch`; else unadjusted. k counts the
    covariates that each estimator would keep. Without a usable covariate: unadjusted. Lin's estimator needs no common
    slope but many units a coefficient; the limits are this project's. Freedman (2008); Lin (2013). Not the classical
    `ancova`: its one residual variance is that of the larger arm, and the level is lost where the smaller varies more.

    Args:
        arms: Moments per arm, baseline first.
        outcome: A mean or a ratio.
        covariates: Candidate pre-treatment columns, in order of priority.
        kept: The estimator chosen at an earlier look (lin, ancova_welch or unadjusted), which size no longer changes.
    """
    smallest = min(arm.n for arm in arms)
    for_lin = usable(arms, covariates, per_arm=True).kept
    large = smallest >= UNITS_PER_COEFFICIENT * (len(for_lin) + 1)
    if for_lin and (large if kept is None else kept == "lin"):
        return _lin(arms, outcome, covariates)
    names = usable(arms, covariates, per_arm=False)
    enough = smallest >= len(names.kept) + 10
    if names.kept and (enough if kept is None else kept in ("ancova_welch", "lin")):
        return ancova_welch(arms, outcome, covariates)
    return replace(unadjusted(arms, outcome), dropped=names.dropped)
