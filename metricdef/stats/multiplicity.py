"""Adjusted p-values of a declared family from the p-values alone.

A hypothesis without a p keeps its place in the family size. Procedures that use more than the p-values are in
`graph` (weights that pass on), `joint`, `dunnett` and `max_t` (the joint law of the statistics).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from metricdef.stats.moments import Floats

Method = Literal["none", "bonferroni", "holm", "hochberg", "hommel", "bh", "by", "fixed_sequence"]


@dataclass(frozen=True, slots=True)
class Adjusted:
    """Adjusted p-values in the order given; `rejected` is p_adjusted <= alpha, False where there is no p."""

    method: Method
    alpha: float
    size: int
    p_adjusted: tuple[float | None, ...]
    rejected: tuple[bool, ...]


def adjust(
    p_values: Sequence[float | None],
    method: Method,
    alpha: float,
    *,
    weights: Sequence[float] | None = None,
    order: Sequence[int] | None = None,
) -> Adjusted:
    """Adjust the p-values of one family.

    With p_(1) <= ... <= p_(m), and every value capped at 1:

    - bonferroni: m p; with weights w (sum 1): p / w. Any dependence. Dunn (1961).
    - holm: max over j <= i of (m - j + 1) p_(j); with weights: p_(j) / w_(j) times the weight not yet rejected, in
      the order of p / w. Any dependence. Holm (1979).
    - hochberg: min over j >= i of (m - j + 1) p_(j). Positive dependence (Simes). Hochberg (1988).
    - hommel: the closed test of Simes' p-values. Positive dependence (Simes). Hommel (1988).
    - bh: min over j >= i of m p_(j) / j: false discovery rate, positive dependence (PRDS).
      Benjamini & Hochberg (1995).
    - by: bh times sum 1 / j: false discovery rate, any dependence. Benjamini & Yekutieli (2001).
    - fixed_sequence: the largest p so far, along `order`. Any dependence. Maurer, Hothorn & Lehmacher (1995).

    m is the declared size: None (not computed) counts in it as a p of 1 does, stays None, is never rejected and makes
    no other hypothesis easier to reject; in a fixed sequence it ends the sequence.

    Args:
        p_values: One per hypothesis, None where it could not be computed.
        method: One of the above, or "none".
        alpha: Level of the family, between 0 and 1.
        weights: Relative importance, above 0, for bonferroni and holm; None: equal. For weights of 0 use a graph.
        order: For fixed_sequence: positions in `p_values`, the first to be tested first; None: as given.

    Raises:
        ValueError: an unknown method; a p outside [0, 1]; weights or an order that the method doesn't take.
    """
    if method not in get_args(Method):
        raise ValueError(f"unknown method {method!r}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1: {alpha}")
    known = check_p_values(p_values)
    m = len(p_values)
    if method == "fixed_sequence":
        values = _fixed_sequence(known, _permutation(order, m))
    elif order is not None:
        raise ValueError(f"{method} takes no order")
    elif weights is not None:
        values = _weighted(known, _relative(weights, m), method)
    else:
        values = _BY_RANK[method](known) if m else known
    capped = np.minimum(1.0, values)
    adjusted = tuple(None if p is None else float(v) for p, v in zip(p_values, capped, strict=True))
    return Adjusted(method, alpha, m, adjusted, tuple(p is not None and p <= alpha for p in adjusted))


def check_p_values(p_values: Sequence[float | None]) -> Floats:
    """The p-values as an array, 1 in place of None (ValueError outside [0, 1], which NaN is)."""
    if not all(p is None or 0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values must lie between 0 and 1: {list(p_values)}")
    return np.array([1.0 if p is None else p for p in p_values], dtype=np.float64)


def _permutation(order: Sequence[int] | None, m: int) -> list[int]:
    found = list(range(m)) if order is None else list(order)
    if sorted(found) != list(range(m)):
        raise ValueError(f"the order must name each of the {m} hypotheses once: {found}")
    return found


def _relative(weights: Sequence[float], m: int) -> Floats:
    if len(weights) != m:
        raise ValueError(f"{len(weights)} weights for {m} hypotheses")
    if not all(0 < w < math.inf for w in weights):
        raise ValueError(f"weights must be above 0: {list(weights)}")
    return np.array(weights, dtype=np.float64) / math.fsum(weights)


def _fixed_sequence(p: Floats, order: list[int]) -> Floats:
    out = np.empty_like(p)
    out[order] = np.maximum.accumulate(p[order])
    return out


def _weighted(p: Floats, w: Floats, method: Method) -> Floats:
    if method == "bonferroni":
        return p / w
    if method != "holm":
        raise ValueError(f"{method} takes no weights")
    order = np.argsort(p / w, kind="stable")
    left = np.cumsum(w[order][::-1])[::-1]  # from the small end, so that the last one keeps its digits
    out = np.empty_like(p)
    out[order] = np.maximum.accumulate(p[order] * (left / w[order]))
    return out


def _stepwise(p: Floats, factors: Floats, up: bool) -> Floats:
    """`factors` times the ordered p: step-up takes the smallest from here on, step-down the largest so far."""
    order = np.argsort(p, kind="stable")
    scaled = factors * p[order]
    out = np.empty_like(p)
    out[order] = np.minimum.accumulate(scaled[::-1])[::-1] if up else np.maximum.accumulate(scaled)
    return out


def _left(m: int) -> Floats:
    return np.arange(m, 0, -1, dtype=np.float64)


def _over_rank(m: int) -> Floats:
    return m / np.arange(1, m + 1, dtype=np.float64)


def _hommel(p: Floats) -> Floats:
    """Closed test by Simes: p_i adjusted is the largest Simes p over the sets that have i.

    Among the sets of size k with i, the largest is that of i and the k - 1 largest others, so m sets are enough.
    """
    m = len(p)
    ordered = np.sort(p)
    worst = p.copy()
    for k in range(2, m + 1):
        others = float((k * ordered[m - k + 1 :] / np.arange(2, k + 1)).min())
        worst = np.maximum(worst, np.minimum(k * np.minimum(p, ordered[m - k]), others))
    return worst


_BY_RANK: Mapping[Method, Callable[[Floats], Floats]] = {
    "none": lambda p: p,
    "bonferroni": lambda p: len(p) * p,
    "holm": lambda p: _stepwise(p, _left(len(p)), up=False),
    "hochberg": lambda p: _stepwise(p, _left(len(p)), up=True),
    "hommel": _hommel,
    "bh": lambda p: _stepwise(p, _over_rank(len(p)), up=True),
    "by": lambda p: _stepwise(p, _over_rank(len(p)) * float((1 / np.arange(1, len(p) + 1)).sum()), up=True),
}
