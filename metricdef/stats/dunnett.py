"""Several arms against one baseline: Dunnett's test for any allocation, with pooled or unequal variances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats.effects import ArmEstimates, degrees_of_freedom
from metricdef.stats.joint import Alternative, Law, check_alternative, normal_p, test_joint
from metricdef.stats.moments import Floats, quadratic
from metricdef.stats.normal_law import NormalLaw, law_of
from metricdef.stats.product_law import quantile
from metricdef.stats.tails import t_tail


@dataclass(frozen=True, slots=True)
class ManyToOne:
    """One arm against the baseline. Everything is None where it could not be computed; `reason` says why.

    `lower` and `upper` are simultaneous (single step); a one-sided alternative leaves one of them None: infinite.
    """

    difference: float | None
    std_error: float | None
    df: float | None
    statistic: float | None
    p_value: float | None
    p_adjusted: float | None
    rejected: bool
    lower: float | None
    upper: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DunnettResult:
    """All arms against the baseline, in their order.

    Attributes:
        law: "student" (pooled variance), "normal" (Welch p as normal scores) or "normal, general correlation".
        critical_value: What the size of a statistic (or the statistic) is compared with in the single step; on the
            normal scale unless the law is Student's.
        local_alpha: Marginal level of each interval.
    """

    arms: tuple[ManyToOne, ...]
    alternative: Alternative
    alpha: float
    step_down: bool
    law: str
    correlation: tuple[tuple[float, ...], ...]
    critical_value: float
    local_alpha: float


def dunnett(
    est: ArmEstimates,
    alpha: float,
    alternative: Alternative = "two-sided",
    *,
    step_down: bool = False,
    known_variances: bool = False,
    baseline: int = 0,
) -> DunnettResult:
    """Dunnett's comparison of every arm with the baseline, adjusted p and simultaneous intervals.

    d_i = mu_i - mu_0, C = their covariance. Where the correlation is a product l_i l_j (independent arms:
    l_i = sqrt(V_0 / (V_i + V_0)); any three arms or fewer, nearly always) `ProductLaw` gives the probabilities, else
    (adjusted arms whose slopes differ) the lattice of `NormalLaw`. With a pooled residual variance the statistics
    are Student's with its df; otherwise the Welch p of each arm is taken as a normal score. Step-down: closed test.
    Intervals: d_i -+ q se_i, q the t quantile (the arm's df) of the marginal level whose union is alpha.
    Dunnett (1955, 1964: unequal allocation); Dunnett & Tamhane (1991: step-down).

    Args:
        est: Arm estimates; `adjustment.ancova(arms, column, ())` is the classical pooled case.
        alpha: Level of the family of all arms.
        alternative: Of every arm - baseline.
        step_down: Whether p_adjusted and rejected are of the step-down test; intervals stay single-step.
        known_variances: Take the estimated variances as known: normal p and quantiles.
        baseline: Position of the baseline.

    Raises:
        ValueError: unknown alternative, or no arm beside the baseline.
    """
    check_alternative(alternative)
    arms = [a for a in range(len(est.means)) if a != baseline]
    if not arms:
        raise ValueError("there is no arm to compare with the baseline")
    rows = [_compare(est, a, baseline, alternative, known_variances=known_variances) for a in arms]
    usable = [k for k, row in enumerate(rows) if row.p_value is not None]
    pooled = None if known_variances else est.pooled_df
    law, kind, correlation = _law(est, [arms[k] for k in usable], baseline, pooled, alternative)
    test = test_joint(law, usable, [row.p_value for row in rows], alpha, step_down=step_down)
    critical = quantile(test.local_alpha, pooled if kind == "student" else None, two_sided=alternative == "two-sided")
    done = tuple(
        _with_interval(row, p, test.local_alpha, alternative, rejected=rejected)
        for row, p, rejected in zip(rows, test.p_adjusted, test.rejected, strict=True)
    )
    return DunnettResult(
        done, alternative, alpha, step_down, kind, tuple(map(tuple, correlation.tolist())), critical, test.local_alpha
    )


def _compare(
    est: ArmEstimates, arm: int, baseline: int, alternative: Alternative, *, known_variances: bool
) -> ManyToOne:
    try:
        df = None if known_variances else degrees_of_freedom(est, arm, baseline)
        if not (est.arm_df[arm] > 0 and est.arm_df[baseline] > 0):
            raise NotComputable("too_few_units", "an arm has too few units for a variance")
        contrast = np.zeros(len(est.means))
        contrast[arm], contrast[baseline] = 1.0, -1.0
        variance = quadratic(contrast, est.cov)
        if not variance > 0:
            raise NotComputable("zero_variance", "the estimates have no variance")
    except NotComputable as error:
        return ManyToOne(None, None, None, None, None, None, False, None, None, error.reason)
    value, se = float(contrast @ est.means), math.sqrt(variance)
    t = value / se
    if df is None:
        p = normal_p(t, alternative)
    elif alternative == "two-sided":
        p = min(1.0, 2 * t_tail(abs(t), df))
    else:
        p = t_tail(t if alternative == "greater" else -t, df)
    return ManyToOne(value, se, df, t, p, None, False, None, None)


def _law(
    est: ArmEstimates, arms: Sequence[int], baseline: int, pooled: float | None, alternative: Alternative
) -> tuple[Law, str, Floats]:
    contrasts = np.zeros((len(arms), len(est.means)))
    contrasts[np.arange(len(arms)), list(arms)] = 1.0
    contrasts[:, baseline] -= 1.0
    cov = contrasts @ est.cov @ contrasts.T
    se = np.sqrt(cov.diagonal())
    correlation = cov / np.outer(se, se)
    np.fill_diagonal(correlation, 1.0)
    law = law_of(correlation, two_sided=alternative == "two-sided", df=pooled)
    if isinstance(law, NormalLaw):
        return law, "normal, general correlation", correlation
    return law, "normal" if pooled is None else "student", correlation


def _with_interval(
    row: ManyToOne, p_adjusted: float | None, level: float, alternative: Alternative, *, rejected: bool
) -> ManyToOne:
    if row.difference is None or row.std_error is None:
        return row
    half = quantile(level, row.df, two_sided=alternative == "two-sided") * row.std_error
    lower = None if alternative == "less" else row.difference - half
    upper = None if alternative == "greater" else row.difference + half
    return ManyToOne(
        row.difference, row.std_error, row.df, row.statistic, row.p_value, p_adjusted, rejected, lower, upper
    )
