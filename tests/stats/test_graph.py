from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricdef.stats import graph as graphs
from metricdef.stats.graph import as_graph, test_graph, test_serial
from metricdef.stats.multiplicity import adjust

some_p = st.one_of(st.none(), st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.02, 1.0]))


@st.composite
def graphs_with_p(draw):
    m = draw(st.integers(1, 5))
    share = st.floats(0, 1)
    w = np.array(draw(st.lists(share, min_size=m, max_size=m)))
    g = np.array(draw(st.lists(st.lists(share, min_size=m, max_size=m), min_size=m, max_size=m)))
    np.fill_diagonal(g, 0)
    graph = as_graph(w / max(1, w.sum()), g / np.maximum(1, g.sum(axis=1))[:, None])
    return graph, draw(st.lists(some_p, min_size=m, max_size=m))


def weights_of_set(graph, members):
    """Weights of an intersection: take out the others one by one (the order does not matter)."""
    w, g = graph.weights.copy(), graph.transitions.copy()
    for j in set(range(graph.size)) - set(members):
        new = g.copy()
        for i in range(graph.size):
            w[i] += w[j] * g[j, i]
            for k in range(graph.size):
                bottom = 1 - g[i, j] * g[j, i]
                new[i, k] = (g[i, k] + g[i, j] * g[j, k]) / bottom if i != k and bottom > 1e-12 else 0.0
        g = new
        w[j], g[j, :], g[:, j] = 0, 0, 0
    return w


@given(graphs_with_p())
def test_is_the_closed_test_of_its_weighted_bonferroni_tests(drawn) -> None:
    graph, p_values = drawn
    p = [1.0 if v is None else v for v in p_values]

    def ratio(i, w):
        return p[i] / w[i] if p[i] < w[i] else 1.0

    m = graph.size
    worst = np.zeros(m)
    for k in range(1, m + 1):
        for members in combinations(range(m), k):
            w = weights_of_set(graph, members)
            q = min(ratio(i, w) for i in members)
            for i in members:
                worst[i] = max(worst[i], q)
    got = test_graph(graph, p_values, 0.05)
    for i, value in enumerate(got.p_adjusted):
        if p_values[i] is not None:
            assert value == pytest.approx(worst[i], rel=1e-9, abs=0)
            assert value >= p_values[i]
            assert got.rejected[i] == (value <= 0.05)
        else:
            assert value is None
            assert not got.rejected[i]


@given(st.lists(some_p, min_size=1, max_size=8), st.data())
def test_holm_and_fixed_sequence_are_graphs(p_values, data) -> None:
    m = len(p_values)
    w = data.draw(st.lists(st.floats(0.05, 1), min_size=m, max_size=m))
    order = data.draw(st.permutations(range(m)))
    for graph, other in (
        (graphs.holm([1.0] * m), adjust(p_values, "holm", 0.05)),
        (graphs.holm(w), adjust(p_values, "holm", 0.05, weights=w)),
        (graphs.bonferroni([1 / m] * m), adjust(p_values, "bonferroni", 0.05)),
        (graphs.fixed_sequence(order), adjust(p_values, "fixed_sequence", 0.05, order=order)),
    ):
        got = test_graph(graph, p_values, 0.05).p_adjusted
        for mine, theirs in zip(got, other.p_adjusted, strict=True):
            assert mine == (theirs if theirs is None else pytest.approx(theirs, rel=1e-12, abs=0))


@given(graphs_with_p(), st.randoms())
def test_order_does_not_matter(drawn, random) -> None:
    graph, p_values = drawn
    order = list(range(graph.size))
    random.shuffle(order)
    mixed = as_graph(graph.weights[order], graph.transitions[np.ix_(order, order)])
    got = test_graph(mixed, [p_values[i] for i in order], 0.05).p_adjusted
    plain = test_graph(graph, p_values, 0.05).p_adjusted
    for i, value in zip(order, got, strict=True):
        assert value == (None if value is None else pytest.approx(plain[i], rel=1e-9, abs=0))


def test_fallback_by_hand() -> None:
    """Wiens (2003): the level of a rejected hypothesis goes to the next, never back."""
    got = test_graph(graphs.fallback([0.5, 0.5]), [0.03, 0.025], 0.05)
    assert got.p_adjusted == (0.06, 0.05)
    assert got.rejected == (False, True)
    assert test_graph(graphs.fallback([0.5, 0.5]), [0.01, 0.05], 0.05).rejected == (True, True)


def test_gates() -> None:
    parallel = graphs.parallel_gatekeeping(2, 2, 0.5)
    assert parallel.weights.tolist() == [0.5, 0.5, 0, 0]
    assert parallel.transitions.tolist() == [[0, 0.5, 0.25, 0.25], [0.5, 0, 0.25, 0.25], [0, 0, 0, 1], [0, 0, 1, 0]]
    assert graphs.parallel_gatekeeping(1, 1, 0.5).transitions.tolist() == [[0, 1], [0, 0]]
    both = [((0, 1), graphs.holm([1, 1])), ((2, 3), graphs.holm([1, 1]))]
    open_gate = test_serial(both, [0.01, 0.02, 0.015, 0.2], 0.05)
    assert open_gate.p_adjusted == pytest.approx((0.02, 0.02, 0.03, 0.2))
    # The smallest p does not get through a closed gate.
    assert test_serial(both, [0.01, 0.2, 1e-178, 1e-178], 0.05).rejected == (True, False, False, False)
    assert test_serial(both, [0.01, None, 1e-178, 1e-178], 0.05).p_adjusted == (0.02, None, 1.0, 1.0)


@given(st.lists(st.floats(0, 0.1), min_size=4, max_size=4))
def test_serial_is_the_limit_of_an_epsilon_edge(p) -> None:
    e = 1e-7
    graph = as_graph([0.5, 0.5, 0, 0], [[0, 1 - e, e / 2, e / 2], [1 - e, 0, e / 2, e / 2], [0, 0, 0, 1], [0, 0, 1, 0]])
    serial = test_serial([((0, 1), graphs.holm([1, 1])), ((2, 3), graphs.holm([1, 1]))], p, 0.05)
    limit = test_graph(graph, [max(q, 1e-3) for q in p], 0.05)  # smaller ones would slip through
    for q, mine, theirs in zip(p, serial.p_adjusted, limit.p_adjusted, strict=True):
        if min(p) >= 1e-3:
            assert mine == pytest.approx(theirs, rel=1e-5)
        assert mine >= q


@pytest.mark.parametrize(
    ("weights", "transitions", "message"),
    [
        ([0.7, 0.7], [[0, 1], [1, 0]], "weights"),
        ([-0.1, 0.5], [[0, 1], [1, 0]], "weights"),
        ([0.5, 0.5], [[0, 1.1], [1, 0]], "row"),
        ([0.5, 0.5], [[0.1, 0.5], [1, 0]], "diagonal"),
        ([0.5, 0.5], [[0, -0.5], [1, 0]], "negative"),
        ([0.5, 0.5], [[0, 1]], "square"),
        ([0.5, float("nan")], [[0, 1], [1, 0]], "finite"),
    ],
)
def test_refused_graphs(weights, transitions, message) -> None:
    with pytest.raises(ValueError, match=message):
        as_graph(weights, transitions)


def test_refused_calls() -> None:
    graph = graphs.holm([1, 1])
    for call in (
        lambda: test_graph(graph, [0.1], 0.05),
        lambda: test_graph(graph, [0.1, 0.1], 0.0),
        lambda: graphs.holm([1, 0]),
        lambda: graphs.fixed_sequence([0, 0]),
        lambda: graphs.parallel_gatekeeping(2, 2, 1.0),
        lambda: test_serial([((0,), graphs.holm([1]))], [0.1, 0.2], 0.05),
    ):
        with pytest.raises(ValueError, match=r".+"):
            call()


def test_weights_in_decimals_may_exceed_one_by_rounding_but_never_help() -> None:
    got = test_graph(as_graph([1 + 1e-10, 0], [[0, 1], [0, 0]]), [0.04, 0.04], 0.05)
    assert got.p_adjusted == (0.04, 0.04)
