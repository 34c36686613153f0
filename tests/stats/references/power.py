"""Checks of power.json."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from metricdef.stats.group_sequential import boundaries
from metricdef.stats.ledger import plan_tests
from metricdef.stats.power import Level, mde, power, sample_size
from metricdef.stats.power_proportions import sample_size_proportions
from metricdef.stats.power_sequential import mde_group_sequential, power_group_sequential, sample_size_group_sequential
from metricdef.stats.unit_sd import adjusted_sd
from stats.reference import Case
from stats.references.group_sequential import compare, futility, rule

# pwr solves for the effect with R's uniroot, which stops at a width of eps^(1/4): in power-given-n-03-tiny its root has
# power 0.800011 for 0.8. Ours must have the power asked for, and agree as far as that root goes.
SOURCE_ROOT = 2.0**-13


def level(inputs: Mapping[str, Any]) -> Level:
    return Level(inputs["alpha"], inputs["sided"])


def means(case: Case) -> None:
    inputs = case["inputs"]
    sd = inputs["sd"] if "sd" in inputs else inputs["sd_treatment"]
    difference, allocation = inputs["difference"], inputs.get("allocation_treatment_to_control", 1.0)
    if "rho" in inputs:
        assert adjusted_sd(inputs["unadjusted_sd"], inputs["rho"] ** 2) == pytest.approx(sd)
    # A negative effect is the mirror image of a positive one for a test of that side.
    effect = abs(difference) if inputs["sided"] == 1 else difference
    arms = inputs.get("comparisons", 1)
    sd_control = inputs.get("sd_control")
    found, small = (
        sample_size(
            effect,
            sd,
            level(inputs),
            inputs["power"],
            sd_control=sd_control,
            allocation=allocation,
            arms=arms,
            test=test,  # type: ignore[arg-type]
            far_tail=test != "z",
        )
        for test in ("z", "pooled")
    )
    compare(
        case,
        {
            "n_treatment_normal": found.treatment,
            "n_control_normal": found.control,
            "n_total_normal": found.treatment + found.control,
            "grand_total": found.total,
            "n_treatment_t": small.treatment,
            "n_control_t": small.control,
            "pwr_t_n_per_arm": small.control,
        },
    )


def power_and_mde(case: Case) -> None:
    inputs = case["inputs"]
    sides = {"two-sided": 2, "two.sided": 2, "greater": 1, "less": 1}[inputs["alternative"]]
    effect = inputs["standardised_difference"] * (-1 if inputs["alternative"] == "less" else 1)
    tested = Level(inputs["alpha"], sides)
    n = (inputs["n_treatment"], inputs["n_control"])
    wanted = inputs["power_for_mde"]
    smallest = mde(1.0, *n, tested, wanted, test="pooled", far_tail=True)
    assert power(smallest, 1.0, *n, tested, test="pooled").total == pytest.approx(wanted, rel=1e-9)
    assert smallest == pytest.approx(case["expected"]["mde_t"], abs=SOURCE_ROOT)
    compare(
        case,
        {
            "power_t": power(effect, 1.0, *n, tested, test="pooled").total,
            "power_normal": power(effect, 1.0, *n, tested).total,
            "mde_normal_one_tail_approx": mde(1.0, *n, tested, wanted),
        },
        {key: want for key, want in case["expected"].items() if key != "mde_t"},
    )


def proportions(case: Case) -> None:
    inputs = case["inputs"]
    rates = (inputs["p_treatment"], inputs["p_control"])
    if inputs["sided"] == 1 and rates[0] < rates[1]:
        rates = (1 - rates[0], 1 - rates[1])
    pooled, unpooled, arcsine = (
        sample_size_proportions(
            *rates,
            level(inputs),
            inputs["power"],
            allocation=inputs.get("allocation_treatment_to_control", 1.0),
            formula=formula,  # type: ignore[arg-type]
            far_tail=formula == "arcsine",  # as pwr has it
        )
        for formula in ("pooled", "unpooled", "arcsine")
    )
    compare(
        case,
        {
            "rpact_n_treatment": pooled.treatment,
            "rpact_n_control": pooled.control,
            "unpooled_n_treatment": unpooled.treatment,
            "unpooled_n_control": unpooled.control,
            "arcsine_n_per_arm": arcsine.control,
            "arcsine_n_treatment": arcsine.treatment,
            "arcsine_n_control": arcsine.control,
        },
    )


def non_inferiority(case: Case) -> None:
    inputs = case["inputs"]
    found = sample_size(
        inputs["true_difference"],
        inputs["sd"],
        level(inputs),
        inputs["power"],
        sd_control=inputs.get("sd_control"),
        allocation=inputs.get("allocation_treatment_to_control", 1.0),
        null=-inputs["margin"],
    )
    compare(
        case,
        {
            "n_treatment_normal": found.treatment,
            "n_control_normal": found.control,
            "n_total_normal": found.total,
        },
    )


def group_sequential(case: Case) -> None:
    inputs = case["inputs"]
    fixed = sample_size(
        inputs["difference"],
        inputs["sd"],
        level(inputs),
        inputs["power"],
        allocation=inputs.get("allocation_treatment_to_control", 1.0),
    )
    rates, alpha, wanted = inputs["information_rates"], inputs["alpha"], inputs["power"]
    if "beta_spending" in inputs:
        design = futility(inputs, 1 - wanted)
        found = sample_size_group_sequential(fixed, bounds := design.bounds, wanted, design.theta)
        stopped = found.early_stop
    else:
        bounds = boundaries(rule(inputs), rates, alpha, inputs["sided"])
        found = sample_size_group_sequential(fixed, bounds, wanted)
        stopped = found.early_rejection  # the source counts those in the right direction
    # The other two directions at the source's size, split as planned.
    allocation, size = inputs.get("allocation_treatment_to_control", 1.0), case["expected"]["max_n_total"]
    n = (size * allocation / (1 + allocation), size / (1 + allocation))
    reached = power_group_sequential(inputs["difference"], inputs["sd"], *n, bounds)
    assert reached.correct == pytest.approx(wanted, rel=case["tolerance"]["rtol"])
    assert mde_group_sequential(inputs["sd"], *n, bounds, wanted) == pytest.approx(
        inputs["difference"], rel=case["tolerance"]["rtol"]
    )
    compare(
        case,
        {
            "fixed_n_total": found.fixed,
            "max_n_total": found.maximum,
            "inflation_factor": found.inflation,
            "expected_n_H1": found.expected,
            "expected_n_H0": found.expected_null,
            "early_stop_probability": [stopped],
            "critical_values": bounds.upper,
        },
    )


def decision_rule(case: Case) -> None:
    inputs = case["inputs"]
    plan = plan_tests(inputs["success_metrics"], inputs["guardrails"], inputs["alpha"], inputs["beta"])
    success, guardrail = inputs["success"], inputs.get("guardrail")
    sizes = [
        sample_size(success["difference"], success["sd"], Level(plan.success_alpha, 1), 1 - plan.beta),
    ]
    if guardrail:
        sizes.append(
            sample_size(
                guardrail.get("true_difference", 0.0),
                guardrail["sd"],
                Level(plan.guardrail_alpha, 1),
                1 - plan.beta,
                null=-guardrail["margin"],
            )
        )
    compare(
        case,
        {
            "alpha_success": plan.success_alpha,
            "alpha_guardrail": plan.guardrail_alpha,
            "beta_per_test": plan.beta,
            "n_per_arm_success": sizes[0].control,
            "n_per_arm_guardrail": sizes[-1].control if guardrail else math.nan,
            "n_per_arm": max(size.control for size in sizes),
        },
    )


CHECKS: Mapping[str, Callable[[Any], None]] = {
    "sample_size_means": means,
    "power_and_mde_means": power_and_mde,
    "sample_size_proportions": proportions,
    "sample_size_non_inferiority_means": non_inferiority,
    "sample_size_group_sequential": group_sequential,
    "sample_size_decision_rule": decision_rule,
}
