"""From estimated arm means with their joint covariance to differences, relative effects and tests.

Every estimator (unadjusted, Lin, ANCOVA, ...) returns `ArmEstimates`; everything below reads only that. The absolute
test, its interval and Fieller's interval share one t quantile and one df, so they can't contradict each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from metricdef.errors import NotComputable
from metricdef.stats.moments import Floats, Ints, SecondMoments, quadratic, ratio_gradient
from metricdef.stats.tails import check_alpha, finite, t_quantile, t_tail

_SAME_ENDS = 1e-13  # of the squared size of the ends of a gap, below which they are one

Shape = Literal["bounded", "complement", "unbounded"]
Sidedness = Literal["two-sided", "one-sided"]


@dataclass(frozen=True, slots=True, eq=False)
class ArmEstimates:
    """Estimated arm means, baseline first, with the covariance of the estimates.

    Attributes:
        estimator: "unadjusted", "lin", "ancova_welch", "cuped", "stratified", "quantile", ...
        means: (K,) estimates; the entry of an arm with `arm_df` <= 0 is no estimate (comparisons with it raise).
        cov: (K, K) covariance, with the term that all arms share through the estimated covariate mean.
        arm_variance: (K,) arm-specific variances V_a, which enter Welch's df.
        arm_df: (K,) degrees of freedom of V_a.
        pooled_df: df of a pooled residual variance; replaces Welch's df when not None.
        covariates: Names used.
        dropped: Names not used because they are constant or collinear.
        variance_reduction: (K,) 1 - adjusted / unadjusted variance of the difference to the baseline; entry 0 is
            that of the baseline's own mean. None for an unadjusted estimator.
        slopes: (K, k) slopes on `covariates` by arm; None for an unadjusted estimator.
        refused: Arms that have no estimate, with the reason; a comparison with one raises it.
    """

    estimator: str
    means: Floats
    cov: Floats
    arm_variance: Floats
    arm_df: Floats
    pooled_df: float | None = None
    covariates: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    variance_reduction: Floats | None = None
    slopes: Floats | None = None
    refused: Mapping[int, NotComputable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Freeze the arrays; an estimate that overflowed is none."""
        for name in ("means", "cov", "arm_variance", "arm_df", "variance_reduction", "slopes"):
            value = getattr(self, name)
            if value is not None:
                array = np.array(value, dtype=np.float64)
                if name in ("means", "cov", "arm_variance") and not np.all(np.isfinite(array)):
                    raise NotComputable("not_finite", f"the {name} of the arms are not all finite numbers")
                array.setflags(write=False)
                object.__setattr__(self, name, array)


@dataclass(frozen=True, slots=True)
class Difference:
    """An absolute effect (arm - baseline) with its two-sided interval of level 1 - alpha and test against 0."""

    estimate: float
    std_error: float
    df: float
    lower: float
    upper: float
    statistic: float
    p_value: float
    alpha: float


@dataclass(frozen=True, slots=True)
class Relative:
    """A relative effect mu_arm / mu_baseline - 1 with a confidence set of level 1 - alpha.

    `bounded`: [lower, upper]. `complement`: everything outside the open interval `excluded`, lower and upper None.
    `unbounded`: the set reaches infinity; a limit that exists is given (score ratio with 0 baseline successes,
    Fieller's half-line), else both are None and the data exclude nothing.
    """

    estimate: float | None
    lower: float | None
    upper: float | None
    shape: Shape
    excluded: tuple[float, float] | None = None
    method: str = "fieller"


@dataclass(frozen=True, slots=True)
class Test:
    """One hypothesis test. `hypothesis` is what a rejection shows: "superiority", "greater" or "less" than `null`."""

    __test__ = False  # not a test class for pytest

    hypothesis: str
    null: float
    sidedness: Sidedness
    alpha: float
    statistic: float
    df: float | None
    p_value: float


def unadjusted_mean(arms: Sequence[SecondMoments], column: str) -> ArmEstimates:
    """Arm means of a column: mu_a = m_a, V_a = S_a / n_a (divisor n - 1), df_a = n_a - 1, arms independent.

    An arm with fewer than 2 units is kept so that the others can be compared; comparisons with it raise.
    Welch (1947).

    Args:
        arms: Moments per arm, baseline first.
        column: The outcome.
    """
    means = np.array([arm.mean[arm.index(column)] for arm in arms])
    variance = np.array([arm.var(column) / arm.n if arm.n > 1 else 0.0 for arm in arms])
    df = np.array([arm.n - 1.0 for arm in arms])
    return ArmEstimates("unadjusted", means, np.diag(variance), variance, df)


def unadjusted_ratio(arms: Sequence[SecondMoments], numerator: str, denominator: str) -> ArmEstimates:
    """Arm ratios R_a = sum y / sum d by the delta method.

    V_a = (S_yy - 2 R S_yd + R^2 S_dd) / (m_d^2 n_a), df_a = n_a - 1. Units with d = 0 stay in n.
    Deng, Knoblich & Lu (2018).

    Raises:
        NotComputable: `zero_denominator` when the denominator of an arm with at least 2 units has mean 0.
    """
    means, variance = np.zeros(len(arms)), np.zeros(len(arms))
    for a, arm in enumerate(arms):
        if arm.n > 1:
            found = ratio_gradient(arm, numerator, denominator)
            means[a] = found.ratio
            variance[a] = quadratic(found.weights, arm.cov) / arm.n
    df = np.array([arm.n - 1.0 for arm in arms])
    return ArmEstimates("unadjusted", means, np.diag(variance), variance, df)


def normal_theory(est: ArmEstimates) -> ArmEstimates:
    """The same estimates with their variances taken as known, df = inf: every test and interval is a normal one."""
    return replace(est, pooled_df=math.inf)


def baseline_contrasts(count: int, baseline: int = 0) -> Floats:
    """(count - 1, count) weights of the differences of every other arm to the baseline, in the order of the arms."""
    weights = np.delete(np.eye(count), baseline, axis=0)
    weights[:, baseline] = -1.0
    return weights


def contrast_covariance(est: ArmEstimates, contrasts: ArrayLike) -> Floats:
    """Joint covariance C V C' of several contrasts of the arm estimates, for simultaneous inference.

    For differences to one baseline of independent arms the off-diagonal is the baseline's variance; for adjusted or
    stratified estimates it has the shared terms of `est.cov` too. Hothorn, Bretz & Westfall (2008).

    Args:
        est: The arm estimates.
        contrasts: (m, K) weights, one row a contrast; see `baseline_contrasts`.

    Raises:
        NotComputable: An arm with weight has no estimate.
    """
    c = np.atleast_2d(np.asarray(contrasts, dtype=np.float64))
    if c.shape[1] != len(est.means):
        raise ValueError(f"a contrast of {c.shape[1]} weights for {len(est.means)} arms")
    _usable(est, np.flatnonzero(np.any(c != 0.0, axis=0)))
    cov = c @ est.cov @ c.T
    cov = (cov + cov.T) / 2
    np.fill_diagonal(cov, [quadratic(row, est.cov) for row in c])
    return cov


def _usable(est: ArmEstimates, arms: Sequence[int] | Ints) -> None:
    for a in arms:
        refusal = est.refused.get(int(a))
        if refusal is not None:
            raise NotComputable(refusal.reason, refusal.message)
        if not est.arm_df[a] > 0:
            raise NotComputable("too_few_units", "an arm has too few units for a variance (at least 2 are needed)")


def _no_variance() -> NotComputable:
    return NotComputable(
        "zero_variance",
        "the estimates have no variance: the outcome does not vary, or the covariates explain all of it",
    )


def _contrast(est: ArmEstimates, arm: int, baseline: int, factor: float) -> tuple[float, float]:
    """Value and variance of mu_arm - factor * mu_baseline."""
    weights = np.zeros(len(est.means))
    weights[arm] += 1.0
    weights[baseline] -= factor
    variance = quadratic(weights, est.cov)
    if variance <= 0.0:
        raise _no_variance()
    return float(weights @ est.means), variance


def satterthwaite(variances: ArrayLike, df: ArrayLike) -> float:
    """Degrees of freedom of a sum of independent variance estimates: (sum V)^2 / sum(V^2 / df). Satterthwaite (1946).

    Terms with variance 0 don't count.

    Raises:
        NotComputable: `zero_variance` when all are 0; `too_few_units` when a term that counts has no df.
    """
    v, f = np.asarray(variances, dtype=np.float64), np.asarray(df, dtype=np.float64)
    total = float(v.sum())
    if not np.isfinite(v).all():
        raise ValueError(f"variances must be finite: {v.tolist()}")
    if total <= 0.0:
        raise _no_variance()
    share = v / total  # as shares: squares of tiny variances would underflow
    counts = share > 0.0
    if np.any(f[counts] <= 0.0):
        raise NotComputable("too_few_units", "a variance has no degrees of freedom")
    return float(1.0 / (share[counts] ** 2 / f[counts]).sum())


def degrees_of_freedom(est: ArmEstimates, arm: int, baseline: int = 0, factor: float = 1.0) -> float:
    """Degrees of freedom of mu_arm - factor * mu_baseline: pooled_df, or Welch-Satterthwaite.

    With V1 and V0 the variances of the two terms, (V1 + V0)^2 / (V1^2 / df1 + V0^2 / df0). Welch (1947),
    Satterthwaite (1946). With zero variance in one arm it is the other arm's df.
    """
    _usable(est, (arm, baseline))
    if est.pooled_df is not None:
        return est.pooled_df
    at = [arm, baseline]
    return satterthwaite(est.arm_variance[at] * [1.0, factor * factor], est.arm_df[at])


def difference(est: ArmEstimates, arm: int, alpha: float, baseline: int = 0, null: float = 0.0) -> Difference:
    """Difference of two arms: d = mu_1 - mu_0, se^2 = C_11 + C_00 - 2 C_10, d -+ t_{1-alpha/2,df} se.

    The statistic (d - null) / se and its two-sided p test `null`; df by `degrees_of_freedom`. Assumes arm means that
    are about normal; the arms' variances may differ. Welch (1947).

    Raises:
        NotComputable: `too_few_units`, or the reason why an arm has no estimate; `zero_variance` when se = 0.
    """
    finite(null=null)
    df = degrees_of_freedom(est, arm, baseline)
    estimate, variance = _contrast(est, arm, baseline, 1.0)
    se = math.sqrt(variance)
    half = t_quantile(alpha, df) * se
    statistic = (estimate - null) / se
    p_value = min(1.0, 2 * t_tail(abs(statistic), df))
    return Difference(estimate, se, df, estimate - half, estimate + half, statistic, p_value, alpha)


def one_sided_limit(est: ArmEstimates, arm: int, greater: bool, alpha: float, baseline: int = 0) -> float:
    """The limit of the one-sided interval of level 1 - alpha: d - t_{1-alpha,df} se (`greater`) or d + t_{1-alpha,df} se.

    It lies beyond a null exactly when `test_one_sided` against that null has p < alpha. Welch (1947).

    Args:
        est: The arm estimates.
        arm: The arm compared with `baseline`.
        greater: A lower limit, for "the difference is greater than ..."; else an upper limit.
        alpha: One-sided level, below 1/2.
        baseline: The arm compared with.

    Raises:
        NotComputable: As `difference`.
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"a one-sided level lies strictly between 0 and 1/2: {alpha}")
    both = difference(est, arm, 2 * alpha, baseline)
    return both.lower if greater else both.upper


def relative(est: ArmEstimates, arm: int, alpha: float, baseline: int = 0) -> Relative:
    """Relative effect L = mu_1 / mu_0 - 1 with Fieller's confidence set, at the t quantile q of `difference`.

    The set is {L : (d - L mu_0)^2 <= q^2 (V_d - 2 L C_d0 + L^2 C_00)}, d = mu_1 - mu_0, C_d0 = C_10 - C_00.
    L = 0 is in it exactly when |d| <= q se(d): it excludes 0 if and only if the absolute interval does, in every
    shape. With a negative baseline mean L is still mu_1 / mu_0 - 1: a treatment mean further below 0 is a positive
    lift, and the sign of L is opposite to that of the difference. Fieller (1954).

    Raises:
        NotComputable: `baseline_zero` when the baseline mean is exactly 0; as `difference`.
    """
    df = degrees_of_freedom(est, arm, baseline)
    d, variance = _contrast(est, arm, baseline, 1.0)
    mu0 = float(est.means[baseline])
    if mu0 == 0.0:
        raise NotComputable("baseline_zero", "the baseline mean is 0, so there is no relative effect")
    q = t_quantile(alpha, df)
    q2 = q * q
    c00 = float(est.cov[baseline, baseline])
    cd0 = float(est.cov[arm, baseline]) - c00
    # In units of mu0, so that no square under- or overflows: a L^2 - 2 b L + c <= 0.
    lift, root = d / mu0, math.sqrt(variance) / abs(mu0)
    a = 1.0 - q2 * (c00 / mu0 / mu0)
    b = lift - q2 * (cd0 / mu0 / mu0)
    c = (abs(lift) - q * root) * (abs(lift) + q * root)  # its sign is that of the absolute test
    if not all(map(math.isfinite, (a, b, c, b * b, a * c))):
        raise NotComputable("baseline_zero", "the baseline mean is too close to 0 for a relative effect")
    shape, ends = _solve(a, b, c)
    lower, upper = ends
    if shape == "complement" and lower is not None and upper is not None:
        return Relative(lift, None, None, shape, (lower, upper))
    # The estimate is in the set, whatever the last digits of a set that is hardly wider than it.
    return Relative(
        lift, lower if lower is None else min(lower, lift), upper if upper is None else max(upper, lift), shape
    )


def _solve(a: float, b: float, c: float) -> tuple[Shape, tuple[float | None, float | None]]:
    """Solutions of a L^2 - 2 b L + c <= 0; the ends are those of the set, or of the gap of a complement."""
    if a == 0.0:  # a half-line: the baseline is exactly q standard errors from 0
        limit = c / (2 * b) if b != 0.0 else None
        return "unbounded", (limit, None) if b > 0 else (None, limit)
    disc = b * b - a * c
    if a < 0 and disc <= _SAME_ENDS * (b * b + abs(a * c)):  # no gap, or one that is rounding: an arm that is always 0
        return "unbounded", (None, None)
    # disc >= 0 for a > 0 in exact arithmetic: the estimate itself is in the set.
    far = b + math.copysign(math.sqrt(max(disc, 0.0)), b)
    ends = sorted((far / a, c / far)) if far != 0.0 else [0.0, 0.0]
    return ("bounded" if a > 0 else "complement"), (ends[0], ends[1])


def test_superiority(est: ArmEstimates, arm: int, alpha: float, baseline: int = 0) -> Test:
    """Two-sided test of mu_1 = mu_0: |d| / se against t_{1-alpha/2,df}, as in `difference`. Welch (1947).

    The sign of the statistic gives the direction.
    """
    d = difference(est, arm, alpha, baseline)
    return Test("superiority", 0.0, "two-sided", alpha, d.statistic, d.df, d.p_value)


def test_one_sided(
    est: ArmEstimates,
    arm: int,
    null: float,
    greater: bool,
    alpha: float,
    relative: float | None = None,
    baseline: int = 0,
) -> Test:
    """One-sided test: H1 is mu_1 - mu_0 > null (`greater`) or < null; p = P(T_df > +-(d - null) / se). Welch (1947).

    With `relative` = r, signed (-0.01: one per cent down), `null` is not used and H1 is
    mu_1 - mu_0 > r |mu_0| (or <): the linear contrast mu_1 - (1 + s r) mu_0, s the sign of the baseline mean,
    with its variance from `est.cov` and the df of the difference; no division. A margin is thus relative to the
    baseline's size: -1 % always means "lower by one per cent of it". Rejects at alpha/2 exactly when Fieller's set
    of level 1 - alpha lies above (for `greater`) s r if s = 1, below s r if s = -1, baseline clearly nonzero.
    Laster & Johnson (2003).

    Raises:
        NotComputable: `baseline_zero` for a relative margin on a baseline of 0; as `difference`.
    """
    check_alpha(alpha)
    finite(null=null if relative is None else relative)
    df = degrees_of_freedom(est, arm, baseline)
    factor, shift = 1.0, null
    if relative is not None:
        mu0 = float(est.means[baseline])
        if mu0 == 0.0:
            raise NotComputable("baseline_zero", "the baseline mean is 0, so a relative margin has no size")
        factor, shift = 1.0 + (relative if mu0 > 0 else -relative), 0.0
    value, variance = _contrast(est, arm, baseline, factor)
    statistic = (value - shift) / math.sqrt(variance)
    p_value = t_tail(statistic if greater else -statistic, df)
    hypothesis = "greater" if greater else "less"
    return Test(hypothesis, null if relative is None else relative, "one-sided", alpha, statistic, df, p_value)


# pytest must not collect these when a test module imports them.
test_superiority.__test__ = False  # type: ignore[attr-defined]
test_one_sided.__test__ = False  # type: ignore[attr-defined]
