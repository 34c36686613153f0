"""Checks of group_sequential.json."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from metricdef.errors import NotComputable
from metricdef.stats.futility import FutilityDesign, futility_design
from metricdef.stats.group_sequential import (
    AlphaSpending,
    Boundaries,
    Rule,
    boundaries,
    characteristics,
    expected_fraction,
)
from metricdef.stats.looks import realised_fractions
from metricdef.stats.recursion import Crossing
from metricdef.stats.repeated import conditional_power, repeated_interval, repeated_p, sequential_p
from metricdef.stats.spending import Spending, TableSpending
from metricdef.stats.stagewise import stagewise
from metricdef.stats.tails import z_quantile
from metricdef.stats.true_bounds import HaybittlePeto, PowerShape
from stats.expected import INFORMATION
from stats.reference import Case

NAMES = {
    "lan_demets_obrien_fleming": "obrien_fleming",
    "lan_demets_pocock": "pocock",
    "kim_demets_power": "kim_demets",
    "kim_demets": "kim_demets",
    "hwang_shih_decani": "hwang_shih_decani",
}
INFORMATION_ONLY = {"mvtnorm_check", "mvtnorm_check_lower_bound_also_stops"}


def spending(name: str, gamma: float | None) -> AlphaSpending:
    if NAMES[name] not in ("kim_demets", "hwang_shih_decani"):
        gamma = None  # that of the other error's function
    return AlphaSpending(Spending(NAMES[name], gamma))  # type: ignore[arg-type]


def rule(inputs: Mapping[str, Any], gamma: str = "gamma") -> Rule:
    design = inputs.get("design") or inputs["spending"]
    if "user_alpha_spending" in inputs:  # cumulative
        shares = tuple(spent / inputs["alpha"] for spent in inputs["user_alpha_spending"])
        return AlphaSpending(TableSpending(tuple(inputs["information_rates"]), shares))
    if design == "obrien_fleming":
        return PowerShape(0.0)
    if design == "pocock":
        return PowerShape(0.5)
    if design == "wang_tsiatis":
        return PowerShape(named(inputs, "delta"))
    if design == "haybittle_peto":
        return HaybittlePeto(named(inputs, "constant", "interim_", "haybittle", "_hp", default=3.0))
    return spending(design, inputs.get(gamma, inputs.get("gamma")))


def named(inputs: Mapping[str, Any], *words: str, default: float | None = None) -> float:
    """The one number whose key has one of the words in it."""
    found = [v for k, v in inputs.items() if any(w in k.lower() for w in words) and isinstance(v, int | float)]
    if not found and default is not None:
        return default
    (value,) = found
    return float(value)


def each(case: Case, got: Sequence[float], want: Sequence[float | None], key: str) -> None:
    assert len(got) == len(want), (case["id"], key, got, want)
    for value, expected in zip(got, want, strict=True):
        one(case, value, expected, key)


def one(case: Case, got: float, want: float | None, key: str) -> None:
    if want is None:
        assert got is None or not math.isfinite(got), (case["id"], key, got)
        return
    tolerance = case["tolerance"]
    rtol = tolerance.get("per_key", {}).get(key, tolerance["rtol"])
    assert abs(got - want) <= tolerance["atol"] + rtol * abs(want), (case["id"], key, got, want)


def compare(case: Case, got: Mapping[str, Any], expected: Mapping[str, Any] | None = None) -> None:
    """Every expected key that isn't information must have been computed and agree."""
    for key, want in (case["expected"] if expected is None else expected).items():
        if key in INFORMATION_ONLY or (key not in got and key.startswith(INFORMATION)):
            continue
        value = got[key]
        if isinstance(want, Mapping):
            compare(case, value, want)
        elif isinstance(want, list) and want and isinstance(want[0], str):
            assert list(value) == want, (case["id"], key, value, want)
        elif isinstance(want, list):
            each(case, value, want, key)
        else:
            one(case, value, want, key)


def crossings(bounds: Boundaries, drift: float) -> Crossing:
    return bounds.crossing(drift / math.sqrt(bounds.looks.information[-1]))


def alpha_spending_design(case: Case) -> None:
    inputs = case["inputs"]
    bounds = boundaries(
        rule(inputs), inputs["information_rates"], inputs["alpha"], inputs["sided"], inputs.get("spending_times")
    )
    assert len(bounds.upper) == inputs["looks"]
    found = characteristics(bounds, inputs["power"])
    root = math.sqrt(bounds.looks.information[-1])
    wanted = case["expected"].get("drift_at_power", found.drift)
    drifts = {"drift0": 0.0, "drift_full": wanted, "drift_half": wanted / 2}
    means = {"H0": 0.0, "midway": found.drift / 2, "H1": found.drift}
    compare(
        case,
        {
            "critical_values": bounds.upper,
            "nominal_one_sided_levels": bounds.nominal,
            "cumulative_alpha_spent": bounds.spent,
            "inflation_factor": found.inflation,
            "drift_at_power": found.drift,
            "expected_information_fraction_H1": found.expected_fraction,
            "average_sample_number_ratio": {
                name: found.inflation * expected_fraction(bounds, drift / root) for name, drift in means.items()
            },
            "crossing_upper_by_stage": {name: crossings(bounds, drift).upper for name, drift in drifts.items()},
        },
    )


def futility(inputs: Mapping[str, Any], beta: float) -> FutilityDesign:
    assert inputs["sided"] == 1
    return futility_design(
        rule(inputs, "gamma_alpha"),
        spending(inputs["beta_spending"], inputs.get("gamma_beta", inputs.get("gamma"))),
        inputs["information_rates"],
        inputs["alpha"],
        beta,
        binding=inputs["binding"],
    )


def alpha_beta_spending_design(case: Case) -> None:
    inputs = case["inputs"]
    design = futility(inputs, inputs["beta"])
    bounds = design.bounds
    assert len(bounds.upper) == inputs["looks"]
    assert bounds.lower[-1] == bounds.upper[-1]
    found = characteristics(bounds, 1 - inputs["beta"], design.theta)
    drifts = {"drift0": 0.0, "drift_at_power": found.drift}
    compare(
        case,
        {
            "critical_values": bounds.upper,
            "futility_bounds": bounds.lower[: len(case["expected"]["futility_bounds"])],
            "inflation_factor": found.inflation,
            "drift_at_power": found.drift,
            "cumulative_beta_spent": design.beta_spent,
            "cumulative_alpha_spent": bounds.spent,
            "crossing_upper_by_stage": {name: crossings(bounds, drift).upper for name, drift in drifts.items()},
            "crossing_lower_by_stage": {name: crossings(bounds, drift).lower for name, drift in drifts.items()},
        },
    )


def realised_information(case: Case) -> None:
    inputs = case["inputs"]
    actual = inputs["actual_information_fractions"]
    by_information = realised_fractions(actual, inputs["planned_max_information"], final=inputs["final_look"])
    given = inputs.get("spending_times", by_information)
    bounds = boundaries(rule(inputs), actual, inputs["alpha"], inputs["sided"], given)
    compare(
        case,
        {
            "cumulative_alpha_spent": bounds.spent,
            "critical_values": bounds.upper,
            "nominal_one_sided_levels": bounds.nominal,
        },
    )


def group_sequential_analysis(case: Case) -> None:
    inputs, expected = case["inputs"], case["expected"]
    rates, sided = inputs["information_rates"], inputs["sided"]
    bounds = boundaries(rule(inputs), rates, inputs["alpha"], sided)
    assert len(rates) == inputs["looks_planned"]
    z = [estimate / se for estimate, se in zip(inputs["estimate"], inputs["se"], strict=True)]
    actions, last = [], len(rates) - 1
    for look, value in enumerate(z):
        go_on = "accept" if look == last else "continue"
        actions.append(go_on if not bounds.rejects(look, value) else "reject" if look == last else "reject and stop")
    if actions[-1] == "reject":  # the source's word at the last look is checked as a decision, not as a word
        assert expected["actions"][-1].startswith("reject")
        actions[-1] = expected["actions"][-1]
    if expected["stopped_at"] is None:
        assert set(actions) == {"continue"}
        with pytest.raises(NotComputable):
            stagewise(bounds, len(z) - 1, z[-1], inputs["se"][-1])
        after_stop = dict.fromkeys(AFTER_STOP)
    else:
        stop = expected["stopped_at"] - 1
        assert all(word == "continue" for word in actions[:stop])
        assert actions[stop] != "continue"
        after_stop = stopped(bounds, stop, inputs)
    repeated = [
        repeated_interval(bounds, j, e, s)
        for j, (e, s) in enumerate(zip(inputs["estimate"], inputs["se"], strict=True))
    ]
    compare(
        case,
        {
            "estimate": inputs["estimate"],
            "se": inputs["se"],
            "z": z,
            "critical_values": bounds.upper,
            "repeated_ci_lower": [r.lower for r in repeated],
            "repeated_ci_upper": [r.upper for r in repeated],
            "repeated_p_values": [
                min(0.5, repeated_p(bounds, j, value)) for j, value in enumerate(z)
            ],  # the source's cap
            "actions": actions,
        },
        {key: want for key, want in expected.items() if key not in AFTER_STOP},
    )
    compare(case, after_stop, {key: want for key, want in expected.items() if key in AFTER_STOP and want is not None})


AFTER_STOP = (
    "stopped_at",
    "stagewise_p_value",
    "stagewise_ci_lower",
    "stagewise_ci_upper",
    "median_unbiased_estimate",
    "conservative_naive_ci",
)


def stopped(bounds: Boundaries, stop: int, inputs: Mapping[str, Any]) -> dict[str, Any]:
    estimate, std_error = inputs["estimate"][stop], inputs["se"][stop]
    result = stagewise(bounds, stop, estimate / std_error, std_error)
    naive = z_quantile(2 * inputs["alpha"] / inputs["sided"]) * std_error
    found = (
        stop + 1,
        result.p_value,
        result.lower,
        result.upper,
        result.estimate,
        {"lower": estimate - naive, "upper": estimate + naive},
    )
    return dict(zip(AFTER_STOP, found, strict=True))


def sequential_p_value(case: Case) -> None:
    inputs = case["inputs"]
    sided = inputs["sided"]
    bounds = boundaries(rule(inputs), inputs["information_rates"], inputs.get("alpha", 0.025 * sided), sided)
    compare(case, {"sequential_p_value_by_stage": sequential_p(bounds, inputs["z"])})


def conditional_power_at_interim(case: Case) -> None:
    inputs = case["inputs"]
    rates, look, z = inputs["information_rates"], inputs["interim"] - 1, inputs["z_interim"]
    design = boundaries(spending("lan_demets_obrien_fleming", None), rates, 0.025, 1)
    bounds = Boundaries(
        design.looks, design.lower, tuple(inputs["critical_values"]), 0.025, 1, design.spent, design.rule
    )
    estimate = z / math.sqrt(rates[look])
    compare(
        case,
        {
            "theta_hat_drift": estimate,
            "conditional_power_at_estimate": conditional_power(bounds, look, z, estimate),
            "conditional_power_at_null": conditional_power(bounds, look, z, 0.0),
            "conditional_power_at_plan": conditional_power(bounds, look, z, inputs["drift_at_plan"]),
        },
    )


CHECKS: Mapping[str, Callable[[Any], None]] = {
    "alpha_spending_design": alpha_spending_design,
    "alpha_beta_spending_design": alpha_beta_spending_design,
    "realised_information": realised_information,
    "group_sequential_analysis": group_sequential_analysis,
    "sequential_p_value": sequential_p_value,
    "conditional_power": conditional_power_at_interim,
}
