"""Checks of anytime.json."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from metricdef.stats.anytime import (
    confidence_sequence,
    exact_rho2,
    half_width,
    mixture_test,
    one_sided_margin,
    one_sided_sequence,
    regression_test,
    running_minimum,
    tuned_rho2,
)
from metricdef.stats.effects import degrees_of_freedom, difference, unadjusted_mean
from metricdef.stats.moments import from_rows
from metricdef.stats.srm import sequential
from metricdef.stats.tails import t_quantile, t_tail
from stats.reference import Case, summary_arms
from stats.references.group_sequential import compare

INFORMATION_ONLY = ("confseq_margin",)


def check(case: Case, got: Mapping[str, Any]) -> None:
    compare(case, got, {k: v for k, v in case["expected"].items() if k not in INFORMATION_ONLY})


def two_sided(case: Case) -> None:
    inputs = case["inputs"]
    n, alpha = inputs["n"], inputs["alpha"]
    estimate = inputs["estimate"] if "estimate" in inputs else inputs.get("mean", 0.0)
    std_error = inputs["se"] if "se" in inputs else inputs["sd"] / math.sqrt(n)
    approximate, exact = (f(inputs["t_opt"], alpha) for f in (tuned_rho2, exact_rho2))
    by_approximate, by_exact = (confidence_sequence(estimate, std_error, n, r, alpha) for r in (approximate, exact))
    check(
        case,
        {
            "rho_approx": math.sqrt(approximate),
            "rho_exact": math.sqrt(exact),
            "half_width_rho_approx": half_width(std_error, n, approximate, alpha),
            "half_width_rho_exact": half_width(std_error, n, exact, alpha),
            "ci_lower_rho_approx": by_approximate.lower,
            "ci_upper_rho_approx": by_approximate.upper,
            "ci_lower_rho_exact": by_exact.lower,
            "ci_upper_rho_exact": by_exact.upper,
            "p_value_rho_approx": by_approximate.p_value,
            "p_value_rho_exact": by_exact.p_value,
        },
    )


def one_sided(case: Case) -> None:
    inputs = case["inputs"]
    n, alpha = inputs["n"], inputs["alpha"]
    std_error = inputs["se"] if "se" in inputs else inputs["sd"] / math.sqrt(n)
    rho2 = tuned_rho2(inputs["t_opt"], 2 * alpha)
    estimate = inputs.get("estimate", inputs.get("mean", 0.0))
    found = one_sided_sequence(estimate, std_error, n, rho2, alpha, greater=True)
    assert found.upper is None
    check(
        case,
        {
            "closed_form_margin": one_sided_margin(std_error, n, rho2, alpha),
            "closed_form_rho": math.sqrt(rho2),
            "closed_form_lower": found.lower,
        },
    )


def msprt(case: Case) -> None:
    inputs = case["inputs"]
    looks, p_values = [], []
    for look in inputs["looks"]:
        delta = look["mean1"] - look["mean0"]
        variance = look["sd1"] ** 2 / look["n1"] + look["sd0"] ** 2 / look["n0"]
        found = mixture_test(delta, variance, inputs["tau2"], inputs["alpha"], inputs["theta0"])
        p_values.append(found.p_value)
        looks.append(
            {
                "difference": delta,
                "variance": variance,
                "log_mixture_likelihood_ratio": found.log_ratio,
                "mixture_likelihood_ratio": math.exp(found.log_ratio) if found.log_ratio < 700 else math.inf,
                "always_valid_p": running_minimum(p_values)[-1],
                "ci_half_width": found.half_width,
            }
        )
    _each_look(case, looks)


def sequential_srm(case: Case) -> None:
    inputs = case["inputs"]
    counts = np.cumsum(inputs["batches"], axis=0).tolist()
    found = [sequential(c, inputs["probabilities"], inputs["dirichlet_concentration"]) for c in counts]
    lowest = running_minimum([f.p_value for f in found])
    _each_look(
        case,
        [
            {"counts": c, "log_bayes_factor": f.log_bayes_factor, "p_value": p}
            for c, f, p in zip(counts, found, lowest, strict=True)
        ],
    )


def _each_look(case: Case, looks: list[dict[str, Any]]) -> None:
    assert set(case["expected"]) == {"looks"}
    assert len(looks) == len(case["expected"]["looks"])
    for got, want in zip(looks, case["expected"]["looks"], strict=True):
        compare(case, got, want)


def sequential_difference(case: Case) -> None:
    inputs = case["inputs"]
    control, treatment = arms = summary_arms(case)
    found = difference(unadjusted_mean(arms, "y"), 1, inputs["alpha"])
    estimate, std_error = found.estimate, found.std_error
    if inputs["relative"]:  # delta method, as the source has it
        base, value = (float(a.mean[0]) for a in arms)
        estimate /= abs(base)
        std_error = math.sqrt(
            treatment.var("y") / treatment.n / base**2 + control.var("y") / control.n * value**2 / base**4
        )
    rho2 = tuned_rho2(inputs["t_opt"], inputs["alpha"])
    sequence = confidence_sequence(estimate, std_error, control.n + treatment.n, rho2, inputs["alpha"])
    check(
        case,
        {
            "estimate": sequence.estimate,
            "se": sequence.std_error,
            "ci_lower": sequence.lower,
            "ci_upper": sequence.upper,
            "p_value": sequence.p_value,
            "rho_approx": math.sqrt(rho2),
        },
    )


def sequential_cuped(case: Case) -> None:
    inputs = case["inputs"]
    arm, y, x = (np.array(inputs["rows"][c], dtype=float) for c in ("arm", "y", "x"))
    stacked = from_rows(["y", "x"], np.column_stack([y, x]))
    theta = float(stacked.comoment[0, 1] / stacked.comoment[1, 1])
    arms = [from_rows(["y", "adjusted"], np.column_stack([y, y - theta * x])[arm == a]) for a in (0, 1)]
    estimates = unadjusted_mean(arms, "adjusted")
    found = difference(estimates, 1, inputs["alpha"])
    estimate, std_error, df = found.estimate, found.std_error, degrees_of_freedom(estimates, 1)
    if inputs["relative"]:
        # The source divides by the unadjusted control mean M and takes the control's influence as (R y - theta x) / M
        # with the ratio R of the unadjusted means.
        base, value = (float(a.mean[a.index("y")]) for a in arms)
        influence = from_rows(["i"], (value / base * y - theta * x)[arm == 0, None])
        variance = arms[1].var("adjusted") / arms[1].n + influence.var("i") / influence.n
        estimate, std_error = estimate / abs(base), math.sqrt(variance) / abs(base)
    rho2 = tuned_rho2(inputs["t_opt"], inputs["alpha"])
    sequence = confidence_sequence(estimate, std_error, len(y), rho2, inputs["alpha"])
    half = t_quantile(inputs["alpha"], df) * std_error
    check(
        case,
        {
            "estimate": sequence.estimate,
            "sequential_ci_lower": sequence.lower,
            "sequential_ci_upper": sequence.upper,
            "sequential_p": sequence.p_value,
            "fixed_ci_lower": estimate - half,
            "fixed_ci_upper": estimate + half,
            "fixed_p": 2 * t_tail(abs(estimate) / std_error, df),
            "theta": theta,
        },
    )


def regression(case: Case) -> None:
    inputs = case["inputs"]
    arm, y, x = (np.array(inputs["rows"][c], dtype=float) for c in ("arm", "y", "x"))
    models = {
        "y ~ arm * (x - mean(x))": lambda: [arm, x - x.mean(), arm * (x - x.mean())],
        "y ~ arm + x": lambda: [arm, x],
        "y ~ arm": lambda: [arm],
    }
    design = np.column_stack([np.ones_like(y), *models[inputs["model"]]()])
    bread = np.linalg.inv(design.T @ design)
    beta = bread @ design.T @ y
    residual = y - design @ beta
    n, df = len(y), len(y) - design.shape[1]
    leverage = np.einsum("ij,jk,ik->i", design, bread, design)
    weights = {
        "classical": lambda: np.full(n, residual @ residual / df),
        "HC0": lambda: residual**2,
        "HC1": lambda: residual**2 * n / df,
        "HC2": lambda: residual**2 / (1 - leverage),
        "HC3": lambda: residual**2 / (1 - leverage) ** 2,
    }[inputs["covariance"]]()
    cov = bread @ (design.T * weights) @ design @ bread
    estimate, std_error = float(beta[1]), math.sqrt(cov[1, 1])
    found = regression_test(estimate / std_error, std_error, df, n, inputs["g"], inputs["alpha"])
    half = math.inf if found.half_width is None else found.half_width
    check(
        case,
        {
            "estimate": estimate,
            "se": std_error,
            "t": estimate / std_error,
            "p_value": found.p_value,
            "ci_lower": estimate - half,
            "ci_upper": estimate + half,
            "residual_df": df,
            "log_bayes_factor": found.log_ratio,
        },
    )


CHECKS: Mapping[str, Callable[[Any], None]] = {
    "asymptotic_cs_two_sided": two_sided,
    "asymptotic_cs_one_sided": one_sided,
    "msprt_normal": msprt,
    "sequential_srm": sequential_srm,
    "sequential_difference": sequential_difference,
    "sequential_cuped": sequential_cuped,
    "anytime_valid_regression": regression,
}
