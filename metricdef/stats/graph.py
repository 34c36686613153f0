"""Graphical procedures: a hypothesis that is rejected passes its share of alpha on along the edges.

Holm, weighted Holm, the fixed sequence, fallback and parallel gatekeeping are graphs; serial gatekeeping is a chain
of graphs. All of them hold for any dependence between the p-values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from metricdef.stats.moments import EPS, Floats
from metricdef.stats.multiplicity import check_p_values

TOLERANCE = 1e-9  # by which weights and rows written as decimals may exceed 1


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Local weights and transitions, checked when made.

    Attributes:
        weights: (m,) shares of alpha at the start; none negative, sum at most 1.
        transitions: (m, m) share of the weight of i that j gets when i is rejected; none negative, diagonal 0, rows
            sum to at most 1.
    """

    weights: Floats
    transitions: Floats

    def __post_init__(self) -> None:
        """Freeze and check the arrays."""
        w, g = (np.array(a, dtype=np.float64) for a in (self.weights, self.transitions))
        m = w.size
        if w.ndim != 1 or g.shape != (m, m):
            raise ValueError(f"{m} weights need a square matrix of {m} rows of transitions, not {g.shape}")
        if not (np.all(np.isfinite(w)) and np.all(np.isfinite(g))):
            raise ValueError("weights and transitions must be finite numbers")
        if np.any(w < 0) or w.sum() > 1 + TOLERANCE:
            raise ValueError(f"weights must not be negative nor sum to more than 1: {w.tolist()}")
        if np.any(g < 0) or np.any(g.diagonal() != 0) or np.any(g.sum(axis=1) > 1 + TOLERANCE):
            raise ValueError(
                "transitions must not be negative, must be 0 on the diagonal, and no row may sum to more than 1: "
                f"{g.tolist()}"
            )
        for name, array in (("weights", _at_most_one(w)), ("transitions", _at_most_one(g))):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def size(self) -> int:
        """Number of hypotheses."""
        return int(self.weights.size)


@dataclass(frozen=True, slots=True, eq=False)
class GraphResult:
    """Outcome of a graph; `final` is the graph without the rejected hypotheses (their weight and edges are 0)."""

    alpha: float
    p_adjusted: tuple[float | None, ...]
    rejected: tuple[bool, ...]
    final: Graph


def test_graph(graph: Graph, p_values: Sequence[float | None], alpha: float) -> GraphResult:
    """Sequentially rejective Bonferroni test on a graph.

    Repeat: j = argmin p_j / w_j among the hypotheses left; p_adjusted_j = max(previous, min(1, p_j / w_j)); take j
    out: w_i += w_j g_ji and g_ik = (g_ik + g_ij g_jk) / (1 - g_ij g_ji), 0 where that is 0 / 0. A hypothesis of
    weight 0 can't be rejected, even with p = 0. None is never rejected, so its weight stays where it is.
    Any dependence. Bretz, Maurer, Brannath & Posch (2009).

    Args:
        graph: Weights and transitions.
        p_values: One per hypothesis, None where it could not be computed.
        alpha: Level of the family, between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1: {alpha}")
    p = check_p_values(p_values)
    if p.size != graph.size:
        raise ValueError(f"{p.size} p-values for a graph of {graph.size} hypotheses")
    w, g = graph.weights.copy(), graph.transitions.copy()
    left = [i for i, value in enumerate(p_values) if value is not None]
    adjusted: list[float | None] = [None if value is None else 1.0 for value in p_values]
    highest, final = 0.0, graph
    while left:
        ratio = [float(p[i] / w[i]) if p[i] < w[i] else 1.0 for i in left]
        j = left.pop(int(np.argmin(ratio)))
        highest = max(highest, min(ratio))
        if highest >= 1.0:
            break
        adjusted[j] = highest
        w, g = _without(j, w, g)
        if highest <= alpha:
            final = Graph(w, g)
    return GraphResult(alpha, tuple(adjusted), tuple(v is not None and v <= alpha for v in adjusted), final)


def _without(j: int, w: Floats, g: Floats) -> tuple[Floats, Floats]:
    weights = w + w[j] * g[j]
    onward = g + np.outer(g[:, j], g[j])
    stays = 1.0 - g[:, j] * g[j]
    # 1 - 1 with rounding: i and j pass everything to each other, and nothing is left to pass on.
    open_ = stays > 4 * EPS
    transitions = np.where(open_[:, None], onward / np.where(open_, stays, 1.0)[:, None], 0.0)
    np.fill_diagonal(transitions, 0.0)
    weights[j], transitions[j], transitions[:, j] = 0.0, 0.0, 0.0
    return _at_most_one(weights), _at_most_one(transitions)


def _at_most_one(rows: Floats) -> Floats:
    """Scale down what rounding has let creep over a sum of 1, so that no p_adjusted falls below its p."""
    scaled: Floats = rows / np.maximum(1.0, rows.sum(axis=-1, keepdims=True))
    return scaled


# pytest must not collect it when a test module imports it.
test_graph.__test__ = False  # type: ignore[attr-defined]


def holm(weights: Sequence[float]) -> Graph:
    """Weighted Holm: g_ij = w_j / (sum w - w_i). Equal weights: Holm (1979).

    Args:
        weights: Relative importance, above 0; they are scaled to sum to 1.
    """
    w = np.array(weights, dtype=np.float64)
    if w.ndim != 1 or w.size == 0 or not (np.all(w > 0) and np.all(np.isfinite(w))):
        raise ValueError(f"weights must be above 0: {list(weights)}")
    w = w / w.sum()
    others = np.array([math.fsum(np.delete(w, i)) for i in range(w.size)])
    g = w / np.where(others > 0, others, 1.0)[:, None]
    np.fill_diagonal(g, 0.0)
    return Graph(w, g)


def bonferroni(weights: Sequence[float]) -> Graph:
    """Weighted Bonferroni, reject p_i <= w_i alpha: nothing is passed on. `weights` as in `Graph`. Dunn (1961)."""
    return Graph(np.array(weights, dtype=np.float64), np.zeros((len(weights), len(weights))))


def fallback(weights: Sequence[float]) -> Graph:
    """Each hypothesis passes its level to the next: Wiens (2003). Weights (1, 0, ..., 0): the fixed sequence."""
    m = len(weights)
    return Graph(np.array(weights, dtype=np.float64), np.eye(m, k=1))


def fixed_sequence(order: Sequence[int]) -> Graph:
    """All of alpha goes along `order`, positions of the hypotheses: Maurer, Hothorn & Lehmacher (1995)."""
    m = len(order)
    if m == 0 or sorted(order) != list(range(m)):
        raise ValueError(f"the order must name each hypothesis once: {list(order)}")
    w, g = np.zeros(m), np.zeros((m, m))
    w[order[0]] = 1.0
    for here, following in pairwise(order):
        g[here, following] = 1.0
    return Graph(w, g)


def parallel_gatekeeping(primary: int, secondary: int, truncation: float) -> Graph:
    """Truncated Holm over the primary hypotheses, then Holm over the secondary ones.

    A rejected primary passes `truncation` of its level to the other primaries, in equal parts, and the rest to the
    secondaries, in equal parts: 0 is Bonferroni among the primaries, towards 1 Holm (at 1 the secondaries would get
    nothing while a primary stands: that is `test_serial`). A sole primary passes everything.
    Dmitrienko, Tamhane & Wiens (2008); Bretz et al. (2009).

    Args:
        primary: Number of primary hypotheses; they come first.
        secondary: Number of secondary hypotheses.
        truncation: Between 0 and less than 1.
    """
    if primary < 1 or secondary < 1 or not 0 <= truncation < 1:
        raise ValueError("gatekeeping takes at least one hypothesis in each family and 0 <= truncation < 1")
    m = primary + secondary
    kept = truncation if primary > 1 else 0.0
    g = np.zeros((m, m))
    g[:primary, :primary] = kept / max(1, primary - 1)
    g[:primary, primary:] = (1 - kept) / secondary
    g[primary:, primary:] = 1 / max(1, secondary - 1)
    np.fill_diagonal(g, 0.0)
    return Graph(np.where(np.arange(m) < primary, 1 / primary, 0.0), g)


@dataclass(frozen=True, slots=True)
class SerialResult:
    """Outcome of serial gatekeeping, in the order of the p-values."""

    alpha: float
    p_adjusted: tuple[float | None, ...]
    rejected: tuple[bool, ...]


def test_serial(
    gates: Sequence[tuple[Sequence[int], Graph]], p_values: Sequence[float | None], alpha: float
) -> SerialResult:
    """Serial gatekeeping: a family is tested, by its own graph at full alpha, once all earlier ones are rejected whole.

    p_adjusted = max(the largest p_adjusted of all earlier families, that of the own graph). The limit of a graph with
    an edge of weight epsilon to the next family, without the epsilon (with one, a tiny p slips through a closed
    gate). Any dependence. Maurer, Hothorn & Lehmacher (1995); Westfall & Krishen (2001).

    Args:
        gates: Positions of each family's hypotheses with its graph, in the order of testing.
        p_values: One per hypothesis; a None closes the gate behind its family.
        alpha: Level of all families together.
    """
    if sorted(i for members, _ in gates for i in members) != list(range(len(p_values))):
        raise ValueError("the gates must name each hypothesis once")
    adjusted: list[float | None] = [None] * len(p_values)
    gate = 0.0
    for members, graph in gates:
        own = test_graph(graph, [p_values[i] for i in members], alpha).p_adjusted
        for i, p in zip(members, own, strict=True):
            adjusted[i] = None if p is None else max(gate, p)
        gate = max([gate, *(1.0 if p is None else p for p in own)])
    return SerialResult(alpha, tuple(adjusted), tuple(p is not None and p <= alpha for p in adjusted))


test_serial.__test__ = False  # type: ignore[attr-defined]


def as_graph(weights: ArrayLike, transitions: ArrayLike) -> Graph:
    """A graph from lists of numbers."""
    return Graph(np.asarray(weights, dtype=np.float64), np.asarray(transitions, dtype=np.float64))
