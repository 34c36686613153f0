"""Adjusted p-values of a declared family. A hypothesis without a p keeps its place in the family size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Method = Literal["none", "bonferroni", "holm"]


@dataclass(frozen=True, slots=True)
class Adjusted:
    """Adjusted p-values in the order given; `rejected` is p_adjusted <= alpha, False where there is no p."""

    method: Method
    alpha: float
    size: int
    p_adjusted: tuple[float | None, ...]
    rejected: tuple[bool, ...]


def adjust(p_values: Sequence[float | None], method: Method, alpha: float) -> Adjusted:
    """Adjust the p-values of one family for any dependence between them.

    bonferroni: min(1, m p). holm: over p_(1) <= ... <= p_(m), max over j <= i of min(1, (m - j + 1) p_(j)).
    m is the declared size: None (not computed) counts in it, is ordered last, stays None, is never rejected and
    makes no other hypothesis easier to reject. Dunn (1961); Holm (1979).

    Args:
        p_values: One per hypothesis, None where it could not be computed.
        method: "none", "bonferroni" or "holm".
        alpha: Level of the family.
    """
    if method not in get_args(Method):
        raise ValueError(f"unknown method {method!r}")
    m = len(p_values)
    known = [(p, i) for i, p in enumerate(p_values) if p is not None]
    if not all(0 <= p <= 1 for p, _ in known):
        raise ValueError(f"p-values must lie between 0 and 1: {list(p_values)}")
    adjusted: list[float | None] = [None] * m
    highest = 0.0
    for rank, (p, i) in enumerate(sorted(known)):
        if method == "none":
            adjusted[i] = p
        elif method == "bonferroni":
            adjusted[i] = min(1.0, m * p)
        else:
            highest = max(highest, min(1.0, (m - rank) * p))
            adjusted[i] = highest
    rejected = tuple(p is not None and p <= alpha for p in adjusted)
    return Adjusted(method, alpha, m, tuple(adjusted), rejected)
