"""Linear algebra that keeps its digits whatever the columns' units."""

from __future__ import annotations

import numpy as np

from metricdef.stats.moments import Floats


def solve_scaled(xx: Floats, rhs: Floats) -> Floats:
    """xx^-1 rhs on the correlation scale, so that columns of very different size don't spoil the digits.

    Args:
        xx: (k, k) positive definite matrix of sums of products.
        rhs: (k,) or (k, j).
    """
    scale = np.sqrt(xx.diagonal())
    scaled = rhs / (scale if rhs.ndim == 1 else scale[:, None])
    solution: Floats = np.linalg.solve(xx / np.outer(scale, scale), scaled)
    return solution / (scale if rhs.ndim == 1 else scale[:, None])
