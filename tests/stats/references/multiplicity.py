"""Checks of multiplicity.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from metricdef.stats.adjustment import ancova
from metricdef.stats.dunnett import DunnettResult, dunnett
from metricdef.stats.effects import unadjusted_mean
from metricdef.stats.family import compatible_bounds
from metricdef.stats.graph import as_graph, test_graph
from metricdef.stats.multiplicity import Method, adjust
from stats.expected import reading
from stats.reference import Case, moments


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


def check_dunnett(case: Case) -> None:
    """Pooled variance and Student's law; "unequal (normal)": the arms' own variances, taken as known."""
    with reading(case) as (inputs, expected):
        n, mean, sd = inputs.pop("n"), inputs.pop("mean"), inputs.pop("sd")
        control = inputs.pop("control_index")
        arms = [moments(k, ["y"], [m], [[s * s]]) for k, m, s in zip(n, mean, sd, strict=True)]
        variance = {"pooled": True, "unequal (normal)": False}[inputs.pop("variance")]
        est = ancova(arms, "y", ()) if variance else unadjusted_mean(arms, "y")
        alpha, alternative = 1 - inputs.pop("confidence"), inputs.pop("alternative")

        def answer(*, step_down: bool) -> DunnettResult:
            return dunnett(est, alpha, alternative, step_down=step_down, known_variances=not variance, baseline=control)

        got = answer(step_down=False)
        for key, field in (
            ("difference", "difference"),
            ("se", "std_error"),
            ("t", "statistic"),
            ("z", "statistic"),
            ("p_adjusted_single_step", "p_adjusted"),
            ("ci_lower", "lower"),
            ("ci_upper", "upper"),
        ):
            if key in expected:
                expected.take(key, [getattr(arm, field) for arm in got.arms])
        if "df" in expected:
            df = expected.pop("df")
            assert all(arm.df == df for arm in got.arms)
        expected.take("correlation", got.correlation)
        expected.take("critical_value", got.critical_value)
        if "p_adjusted_step_down" in expected:
            expected.take("p_adjusted_step_down", [arm.p_adjusted for arm in answer(step_down=True).arms])


def check_compatible_bounds(case: Case) -> None:
    with reading(case) as (inputs, expected):
        graph = as_graph(inputs.pop("weights"), inputs.pop("transitions"))
        alternative = inputs.pop("alternative")
        got = compatible_bounds(
            inputs.pop("estimates"), inputs.pop("se"), graph, inputs.pop("alpha"), alternative, inputs.pop("null")
        )
        expected.take("p_values", got.p_values)
        expected.take("rejected", got.rejected)
        if "adjusted_p" in expected:
            expected.take("adjusted_p", got.p_adjusted)
        here, other = ("ci_lower", "ci_upper") if alternative == "greater" else ("ci_upper", "ci_lower")
        expected.take(here, got.bounds)
        if other in expected:
            expected.take(other, [None] * graph.size)


CHECKS: Mapping[str, Callable[[Any], None]] = {
    "adjusted_p_values": check_adjusted_p_values,
    "compatible_simultaneous_ci": check_compatible_bounds,
    "dunnett": check_dunnett,
    "dunnett_z": check_dunnett,
    "graphical_bonferroni": check_graph,
}
