"""Max-T: joint tests of correlated contrasts, metrics x arms, and the correlation that they take from the moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats.adjustment import Outcome, RatioOutcome
from metricdef.stats.joint import Alternative, JointResult, check_alternative, test_joint
from metricdef.stats.linear import solve_scaled
from metricdef.stats.moments import Floats, Moments, quadratic, ratio_gradient
from metricdef.stats.normal_law import law_of


def max_t(
    p_values: Sequence[float | None],
    members: Sequence[int],
    correlation: Floats,
    alpha: float,
    alternative: Alternative = "two-sided",
    *,
    step_down: bool = False,
) -> JointResult:
    """Single-step or step-down max-T of a family: p_adjusted >= p, whatever the integration's error.

    Each p is taken as a standard normal score, so hypotheses with different df can stand together; the scores are
    jointly normal with the correlation of the contrasts (`contrast_correlation`). Valid for large samples.
    Hypotheses that are not `members` (quantiles, score proportions), and those without p, join by Bonferroni.
    Hothorn, Bretz & Westfall (2008); Westfall & Young (1993) for stepping down.

    Args:
        p_values: One per hypothesis, of the stated alternative; None where it could not be computed.
        members: Positions of those the matrix is about, in its order.
        correlation: Correlation of the estimates (arm - baseline), not of their sizes.
        alpha: Level of the family.
        alternative: Common to the family. "greater" and "less" share a matrix; a family that mixes them needs the
            signs of the rows and columns of the "less" ones turned, and is then "greater".
        step_down: Whether to step down; the level of the intervals stays that of the single step.
    """
    check_alternative(alternative)
    law = law_of(correlation, two_sided=alternative == "two-sided")
    return test_joint(law, members, p_values, alpha, step_down=step_down)


Estimator = Literal["unadjusted", "lin", "ancova", "ancova_welch", "cuped"]


@dataclass(frozen=True, slots=True)
class Contrast:
    """An estimate whose dependence on others is wanted: `arm` - `factor` x arm 0 of an outcome.

    Attributes:
        outcome: A mean or a ratio of the moments' columns.
        arm: Position of the arm, above 0.
        estimator: "unadjusted", "lin" or "ancova"; "ancova_welch" and "cuped" (with the slope "within") have the slopes
            of "ancova".
        covariates: Those in use: none constant or collinear (`ArmEstimates.covariates`).
        factor: 1 for the difference; 1 + r where a relative margin r is tested (`effects.test_one_sided`).
    """

    outcome: Outcome
    arm: int
    estimator: Estimator = "unadjusted"
    covariates: tuple[str, ...] = ()
    factor: float = 1.0


def contrast_correlation(arms: Sequence[Moments], contrasts: Sequence[Contrast]) -> Floats:
    """Correlation matrix of contrasts between metrics and between arms that share the baseline.

    Every estimate is linear in its units: a contrast of arm a moves by sum over arms g of v_g'(row - arm mean), with
    v_a = w_a / n_a + b / N, v_0 = -f w_0 / n_0 + b / N, and b / N in any other arm; w is the gradient of the outcome
    (mean: 1; ratio: 1 / m_d and -R / m_d) less the slopes on the covariates, f the factor of the baseline, b the arm's
    slopes less f times the baseline's, which act through the common covariate mean (0 for a difference by ANCOVA). So
    Cov_kl = sum_g n_g v_gk' S_g v_gl, S_g the arm's covariance of all columns (divisor n - 1).
    For independent unadjusted arms it is Dunnett's correlation. Assumes large samples: slopes and gradients count as
    known. Lin (2013); Deng, Knoblich & Lu (2018).

    Args:
        arms: Moments per arm over the same units for all columns, baseline first. A metric for which only some units
            are eligible enters as the ratio of y times eligibility to eligibility.
        contrasts: What to correlate.

    Raises:
        NotComputable: `too_few_units` when an arm has fewer than 2 units (k + 2 with k covariates);
            `zero_variance` for a contrast that does not vary; `zero_denominator`.
        ValueError: an arm that is no arm beside the baseline; columns that differ between the arms.
    """
    if any(arm.columns != arms[0].columns for arm in arms):
        raise ValueError("the arms' moments have different columns")
    return as_correlation(covariance(arms, [_influence(arms, contrast) for contrast in contrasts]), contrasts)


def covariance(arms: Sequence[Moments], influence: Sequence[Sequence[Floats]]) -> Floats:
    """Cov_kl = sum_g n_g v_gk' S_g v_gl of estimates whose units in arm g move them by v_g'(row - arm mean).

    Lin (2013); Deng, Knoblich & Lu (2018).

    Args:
        arms: Moments per arm.
        influence: v of every estimate, per arm.
    """
    size = len(influence)
    cov = np.zeros((size, size))
    variance = np.zeros(size)
    for g, arm in enumerate(arms):
        used = np.array([v[g] for v in influence]).reshape(size, len(arm.columns))
        if not np.any(used):
            continue
        cov += arm.n * (used @ arm.cov @ used.T)
        variance += [arm.n * quadratic(v, arm.cov) for v in used]
    np.fill_diagonal(cov, variance)
    return cov


def as_correlation(cov: Floats, contrasts: Sequence[Contrast]) -> Floats:
    """The correlation of contrasts with this covariance. Raises `zero_variance` for one that does not vary."""
    variance = cov.diagonal()
    for contrast, value in zip(contrasts, variance, strict=True):
        if not value > 0:
            raise NotComputable(
                "zero_variance", f"the effect of arm {contrast.arm} on {contrast.outcome} has no variance"
            )
    correlation: Floats = np.clip(cov / np.sqrt(np.outer(variance, variance)), -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _influence(arms: Sequence[Moments], contrast: Contrast) -> list[Floats]:
    """Per arm, the weights of its columns in the contrast."""
    check_arm(contrast, len(arms))
    if contrast.estimator not in get_args(Estimator):
        raise ValueError(f"unknown estimator {contrast.estimator!r}")
    pair = (contrast.arm, 0)
    k = len(contrast.covariates)
    for a in pair:
        if arms[a].n < k + 2:
            raise NotComputable("too_few_units", f"an arm has {arms[a].n} units; {k + 2} are needed")
    gradients = {a: _gradient(arms[a], contrast.outcome) for a in range(len(arms)) if a in pair or k}
    if contrast.estimator == "unadjusted" or not k:
        slopes = {a: np.zeros(k) for a in pair}
    else:
        slopes = _slopes(arms, gradients, contrast)
    at = [arms[0].index(c) for c in contrast.covariates]
    return adjusted_influence(arms, contrast, gradients, slopes, at)


def adjusted_influence(
    arms: Sequence[Moments],
    contrast: Contrast,
    gradients: Mapping[int, Floats],
    slopes: Mapping[int, Floats],
    at: list[int],
) -> list[Floats]:
    """Per arm, the weights of its columns in arm - factor x baseline; see `contrast_correlation`.

    Args:
        arms: Moments per arm.
        contrast: Which arm, and the factor.
        gradients: Of the outcome, of the arm and of the baseline.
        slopes: On the covariates, of both.
        at: Columns of the covariates.
    """
    total = sum(arm.n for arm in arms)
    out = [np.zeros(len(arm.columns)) for arm in arms]
    for a, sign in zip((contrast.arm, 0), (1.0, -contrast.factor), strict=True):
        own = gradients[a].copy()
        own[at] -= slopes[a]
        out[a] += sign * own / arms[a].n
    for v in out:
        v[at] += (slopes[contrast.arm] - contrast.factor * slopes[0]) / total
    return out


def check_arm(contrast: Contrast, count: int) -> None:
    """ValueError unless the contrast is of one of `count` arms beside the baseline."""
    if not 0 < contrast.arm < count:
        raise ValueError(f"arm {contrast.arm} is none of the {count - 1} arms beside the baseline")


def _gradient(arm: Moments, outcome: Outcome) -> Floats:
    if isinstance(outcome, RatioOutcome):
        return ratio_gradient(arm, outcome.numerator, outcome.denominator).weights
    weights = np.zeros(len(arm.columns))
    weights[arm.index(outcome.column)] = 1.0
    return weights


def _slopes(arms: Sequence[Moments], gradients: dict[int, Floats], contrast: Contrast) -> dict[int, Floats]:
    """Slopes of the two arms: each its own (Lin), or the pooled within-arm ones of all arms (the others)."""
    at = [arms[0].index(c) for c in contrast.covariates]
    xx = [arm.comoment[np.ix_(at, at)] for arm in arms]
    xy = [arm.comoment[at] @ gradients[a] for a, arm in enumerate(arms)]
    if contrast.estimator != "lin":
        pooled = solve_scaled(sum(xx, np.zeros((len(at), len(at)))), sum(xy, np.zeros(len(at))))
        return dict.fromkeys((contrast.arm, 0), pooled)
    return {a: solve_scaled(xx[a], xy[a]) for a in (contrast.arm, 0)}
