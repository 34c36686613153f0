"""Checks of multiplicity.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from metricdef.stats.graph import as_graph, test_graph
from metricdef.stats.multiplicity import Method, adjust
from stats.expected import reading
from stats.reference import Case


def check_adjusted_p_values(case: Case) -> None:
    with reading(case) as (inputs, expected):
        p_values = inputs.pop("p_values")
        for method in list(expected.left):
            assert method in get_args(Method)
            expected.take(method, adjust(p_values, method, 0.05).p_adjusted)  # type: ignore[arg-type]  # just checked


def check_graph(case: Case) -> None:
    with reading(case) as (inputs, expected):
        graph = as_graph(inputs.pop("weights"), inputs.pop("transitions"))
        assert len(inputs.pop("hypotheses", graph.weights)) == graph.size
        got = test_graph(graph, inputs.pop("p_values"), inputs.pop("alpha"))
        expected.take("adjusted_p", got.p_adjusted)
        expected.take("rejected", got.rejected)
        expected.take("final_weights", got.final.weights)
        expected.take("final_transitions", got.final.transitions)


CHECKS: Mapping[str, Callable[[Any], None]] = {
    "adjusted_p_values": check_adjusted_p_values,
    "graphical_bonferroni": check_graph,
}
