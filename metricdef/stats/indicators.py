"""Strata as covariates: what cells say about an arm, with one indicator column a stratum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from metricdef.stats.moments import Floats, Moments


def with_indicators(whole: Moments, cells: Mapping[str, tuple[int, Floats]], indicators: Sequence[str]) -> Moments:
    """Moments of an arm with a 0/1 column for each of `indicators`, which are names of cells.

    A unit lies in exactly one cell. With n_k of the arm's n units in cell k and p_k = n_k / n: mean p_k,
    comoments n (p_k 1{k = l} - p_k p_l) and n_k (m_y,k - m_y) with a column y, third n p_k (1 - p_k)(1 - 2 p_k).
    Exact: nothing is estimated. With Lin's estimator on these indicators (all cells but one) the adjusted difference is
    that of post-stratification. Miratrix, Sekhon & Yu (2013); Lin (2013).

    Args:
        whole: Moments of the arm.
        cells: Units of each cell and (p,) their means; a cell that the arm has no unit in may be left out.
        indicators: Cells that get a column.
    """
    p, k, n = len(whole.columns), len(indicators), whole.n
    if k == 0:
        return whole
    sizes = np.array([cells[name][0] if name in cells else 0 for name in indicators], dtype=np.float64)
    share = sizes / n if n else sizes
    comoment = np.zeros((p + k, p + k))
    comoment[:p, :p] = whole.comoment
    comoment[p:, p:] = n * (np.diag(share) - np.outer(share, share))
    for i, name in enumerate(indicators):
        if name in cells:
            between = sizes[i] * (cells[name][1] - whole.mean)
            comoment[p + i, :p] = comoment[:p, p + i] = between
    return Moments(
        (*whole.columns, *indicators),
        n,
        np.concatenate([whole.mean, share]),
        comoment,
        np.concatenate([whole.third, n * share * (1 - share) * (1 - 2 * share)]),
        np.concatenate([whole.max_abs, (sizes > 0).astype(float)]),
        np.concatenate([whole.nonzero, sizes.astype(np.int64)]),
        np.concatenate([whole.capped, np.zeros(k, dtype=np.int64)]),
    )
