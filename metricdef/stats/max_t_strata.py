"""The joint law of effects combined over strata (the epochs of a ramp): metrics x arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats.adjustment import Outcome, RatioOutcome
from metricdef.stats.linear import solve_scaled
from metricdef.stats.max_t import Contrast, adjusted_influence, as_correlation, check_arm, covariance
from metricdef.stats.moments import Floats, Moments
from metricdef.stats.stratification import is_small, standardised_gradient, stratum_covariates


def stratified_correlation(strata: Mapping[str, Sequence[Moments]], contrasts: Sequence[Contrast]) -> Floats:
    """Correlation matrix of contrasts estimated by `stratification.stratified`, between metrics and arms.

    Cov_pq = sum_k w_k^2 Cov_k,pq + sum_k w_k (tau_pk - tau_p)(tau_qk - tau_q) / N: Cov_k as in `contrast_correlation`
    among the units of stratum k, with Lin's slopes where it is large enough for them, and the term for the strata's
    shares, which are those of a sample. A ratio is linearised about its standardised value. Small strata are left out.
    Assumes large samples: slopes and gradients count as known. Lin (2013); Imbens & Rubin (2015), chapter 9.

    Args:
        strata: Moments per arm over the same units for all columns, baseline first, of every stratum.
        contrasts: What to correlate; their covariates are those declared, their estimator is not read.

    Raises:
        NotComputable: `too_few_units` when no stratum is left; `zero_variance`; `zero_denominator`.
        ValueError: an arm that is no arm beside the baseline; columns that differ.
    """
    if len({arm.columns for cells in strata.values() for arm in cells}) != 1:
        raise ValueError("the moments have different columns, or there are none")
    cells = [members for members in strata.values() if not is_small(members)]
    if not cells:
        raise NotComputable("too_few_units", "no stratum has at least 2 units in every arm")
    sizes = np.array([sum(m.n for m in members) for members in cells], dtype=np.float64)
    total, weights = float(sizes.sum()), sizes / sizes.sum()
    rows = [_rows(cells, weights, contrast) for contrast in contrasts]
    cov = np.zeros((len(contrasts), len(contrasts)))
    effects = np.zeros((len(cells), len(contrasts)))
    for k, members in enumerate(cells):
        influence = []
        for j, contrast in enumerate(contrasts):
            found, effects[k, j] = _within(members, contrast, rows[j])
            influence.append(found)
        cov += weights[k] ** 2 * covariance(members, influence)
    off = effects - weights @ effects
    return as_correlation(cov + off.T @ (weights[:, None] * off) / total, contrasts)


def _rows(cells: Sequence[Sequence[Moments]], weights: Floats, contrast: Contrast) -> dict[int, tuple[float, Floats]]:
    """Of the arm and the baseline: a stratum's mean outcome is the constant plus the row times its means."""
    check_arm(contrast, len(cells[0]))
    return {a: _row([members[a] for members in cells], weights, contrast.outcome) for a in (contrast.arm, 0)}


def _row(arm: Sequence[Moments], weights: Floats, outcome: Outcome) -> tuple[float, Floats]:
    if isinstance(outcome, RatioOutcome):
        return standardised_gradient(arm, weights, outcome)
    row = np.zeros(len(arm[0].columns))
    row[arm[0].index(outcome.column)] = 1.0
    return 0.0, row


def _within(
    members: Sequence[Moments], contrast: Contrast, rows: Mapping[int, tuple[float, Floats]]
) -> tuple[list[Floats], float]:
    """Influence of the units of one stratum, and the effect there."""
    at = [members[0].index(c) for c in stratum_covariates(members, contrast.covariates)]
    n = np.array([m.n for m in members], dtype=np.float64)
    off = np.array([m.mean[at] - members[0].mean[at] for m in members])  # from the first: no digits lost to an offset
    distance = off - (n @ off) / n.sum()
    slopes, value = {}, {}
    for a, (constant, row) in rows.items():
        m = members[a]
        slopes[a] = solve_scaled(m.comoment[np.ix_(at, at)], m.comoment[at] @ row)
        value[a] = constant + float(row @ m.mean) - float(slopes[a] @ distance[a])
    gradients = {a: row for a, (_, row) in rows.items()}
    influence = adjusted_influence(members, contrast, gradients, slopes, at)
    return influence, value[contrast.arm] - contrast.factor * value[0]
