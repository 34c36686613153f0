"""CUPED: arm estimates minus a multiple of what the covariates already explained before the experiment.

The slope is common to the arms and is taken as known in the variance. `lin` is the default of a readout; these
functions state the convention of other programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats.adjustment import Outcome, RatioOutcome, prepare, unadjusted, usable, variance_reduction
from metricdef.stats.effects import ArmEstimates
from metricdef.stats.linear import solve_scaled
from metricdef.stats.moments import Floats, SecondMoments, quadratic, ratio_gradient

Slope = Literal["within", "total"]


def cuped(
    arms: Sequence[SecondMoments], outcome: Outcome, covariates: Sequence[str], slope: Slope = "within"
) -> ArmEstimates:
    """CUPED-adjusted arm means of a mean or a linearised ratio.

    mu_a = m_y,a - theta'(m_x,a - m_x.), V_a = q'S_a q / n_a with q = (1, -theta), df_a = n_a - 1. The difference has
    se^2 = V_1 + V_0: Welch's test on y - theta'x. The covariance of the arm means has what they share through m_x.,
    which cancels in differences and enters relative effects.

    theta "within" = W_xx^-1 W_xy from the pooled within-arm co-moments (ANCOVA's slope, so also its estimate);
    "total" = T_xx^-1 T_xy from the stacked arms, which mixes in the effect itself through chance imbalance.
    Deng, Xu, Kohavi & Walker (2013).

    Args:
        arms: Moments per arm with the outcome and the covariates, baseline first.
        outcome: A mean or a ratio of sums.
        covariates: Pre-treatment columns; constant and collinear ones are dropped by name.
        slope: Which theta.

    Raises:
        NotComputable: `too_few_units` when an arm has fewer than k + 2 units; `zero_denominator`.
    """
    names = usable(arms, covariates, per_arm=False)
    ready = prepare(arms, outcome, names.kept)
    parts, distance = ready.parts, ready.distance
    n = np.array([part.n for part in parts], dtype=np.float64)
    estimate = np.array([part.estimate for part in parts])
    xx = np.sum([part.xx for part in parts], axis=0)
    yx = np.sum([part.yx for part in parts], axis=0)
    if slope == "total":
        xx, yx = xx + distance.T @ (n[:, None] * distance), yx + distance.T @ (n * (estimate - estimate[0]))
    theta = solve_scaled(xx, yx)
    weights = np.concatenate(([1.0], -theta))
    blocks = np.array([np.block([[np.array([[p.yy]]), p.yx[None]], [p.yx[:, None], p.xx]]) for p in parts])
    blocks /= (n * (n - 1))[:, None, None]
    cov, own = _joint(blocks, weights, n / n.sum())
    means = estimate - distance @ theta
    reduction = variance_reduction(cov, unadjusted(arms, outcome).cov)
    slopes = np.tile(theta, (len(parts), 1))
    return ArmEstimates("cuped", means, cov, own, n - 1, None, names.kept, names.dropped, reduction, slopes)


def cuped_ratio(arms: Sequence[SecondMoments], outcome: RatioOutcome, covariate: RatioOutcome) -> ArmEstimates:
    """CUPED of a ratio by the same ratio before the experiment: R_y,a - theta (R_x,a - R_x.).

    C_a = G S_a G' / n_a is the 2 x 2 delta-method covariance of (R_y, R_x) of an arm; theta = sum_a C_a,yx /
    sum_a C_a,xx minimises the variance of a difference of two arms, se^2 = q'(C_1 + C_0) q with q = (1, -theta).
    R_x. is the ratio over all arms together. df_a = n_a - 1. Deng, Xu, Kohavi & Walker (2013), appendix B.

    A covariate ratio that does not vary is dropped by name.

    Args:
        arms: Moments per arm, baseline first.
        outcome: The ratio.
        covariate: Its value before the experiment.

    Raises:
        NotComputable: `too_few_units` when an arm has fewer than 3 units; `zero_denominator` of either ratio.
    """
    for arm in arms:
        if arm.n < 3:
            raise NotComputable("too_few_units", f"a covariate needs at least 3 units an arm, one has {arm.n}")
    name = f"{covariate.numerator}/{covariate.denominator}"
    pairs, blocks = np.zeros((len(arms), 2)), np.zeros((len(arms), 2, 2))
    for a, arm in enumerate(arms):
        gradient = np.zeros((2, len(arm.columns)))
        for i, part in enumerate((outcome, covariate)):
            found = ratio_gradient(arm, part.numerator, part.denominator)
            pairs[a, i], gradient[i] = found.ratio, found.weights
        blocks[a] = gradient @ arm.cov @ gradient.T / arm.n
        for i in (0, 1):
            blocks[a, i, i] = quadratic(gradient[i], arm.cov) / arm.n
    total = blocks.sum(axis=0)
    if not total[1, 1] > 0.0:
        return replace(unadjusted(arms, outcome), dropped=(name,))
    theta = total[0, 1] / total[1, 1]
    sizes = np.array([arm.total[arm.index(covariate.denominator)] for arm in arms])
    if sizes.sum() == 0.0:
        raise NotComputable("zero_denominator", f"the denominator {covariate.denominator} sums to 0 over the arms")
    share = sizes / sizes.sum()
    cov, own = _joint(blocks, np.array([1.0, -theta]), share)
    means = pairs[:, 0] - theta * (pairs[:, 1] - float(share @ pairs[:, 1]))
    df = np.array([arm.n - 1.0 for arm in arms])
    reduction = variance_reduction(cov, unadjusted(arms, outcome).cov)
    slopes = np.full((len(arms), 1), theta)
    return ArmEstimates("cuped", means, cov, own, df, None, (name,), (), reduction, slopes)


def _joint(blocks: Floats, weights: Floats, share: Floats) -> tuple[Floats, Floats]:
    """Covariance of mu_a = g_a + h with g_a = w'z_a and h = theta' sum_c share_c x_c; and the variances of g_a.

    z_a = (y_a, x_a) are the arm's estimates with covariance `blocks[a]`, independent over arms; w = (1, -theta).
    """
    own = np.array([quadratic(weights, block) for block in blocks])
    theta = -weights[1:]
    with_common = share * np.array([float(weights @ block[:, 1:] @ theta) for block in blocks])
    common = float(share**2 @ np.array([quadratic(theta, block[1:, 1:]) for block in blocks]))
    return np.diag(own) + with_common[:, None] + with_common[None, :] + common, own
