"""Checks of two_sample.json.

Where the source uses a normal quantile, or divisor n, so does the function that is checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from metricdef.stats import effects
from metricdef.stats.effects import (
    ArmEstimates,
    contrast_covariance,
    degrees_of_freedom,
    difference,
    normal_theory,
    one_sided_limit,
    relative,
    unadjusted_mean,
)
from metricdef.stats.equivalence import equivalence
from metricdef.stats.lift import delta_lift, log_lift
from metricdef.stats.proportions import score_difference
from metricdef.stats.tails import z_quantile, z_tail
from metricdef.stats.wald import newcombe, pooled_test, wald_proportions
from stats.matching import attempt, matches, options
from stats.reference import Case, summary_arms

ALTERNATIVES = {"two-sided": None, "greater": True, "less": False}
ARMS = ("treatment", "control")


def estimates(case: Case) -> ArmEstimates:
    return unadjusted_mean(summary_arms(case), "y")


def tested(case: Case, est: ArmEstimates) -> dict[str, Any]:
    """Difference, test against the null and interval, by the alternative of the case."""
    inputs = case["inputs"]
    greater, null, alpha = ALTERNATIVES[inputs["alternative"]], inputs["null_difference"], 1 - inputs["confidence"]
    d = attempt(lambda: difference(est, 1, 0.05))
    got: dict[str, Any] = dict.fromkeys(("se", "df", "t", "p_value", "ci_lower", "ci_upper"))
    got["difference"] = float(est.means[1] - est.means[0])
    if d is None:  # no arm varies: a source's interval has no width, ours is refused
        got["se"] = math.sqrt(float(contrast_covariance(est, [-1.0, 1.0])[0, 0]))
        assert got["se"] == 0.0
        limits = {None: ("ci_lower", "ci_upper"), True: ("ci_lower",), False: ("ci_upper",)}[greater]
        return {**got, **dict.fromkeys(limits, got["difference"])}
    got.update(se=d.std_error, df=d.df)
    if greater is None:
        d = difference(est, 1, alpha, null=null)
        got.update(t=d.statistic, p_value=d.p_value, ci_lower=d.lower, ci_upper=d.upper)
    else:
        t = effects.test_one_sided(est, 1, null, greater, alpha)
        limit = one_sided_limit(est, 1, greater, alpha)
        got.update(t=t.statistic, p_value=t.p_value)
        got["ci_lower" if greater else "ci_upper"] = limit
    return got


def welch(case: Case) -> None:
    options(case, *ARMS, "alternative", "null_difference", "confidence")
    matches(case, tested(case, estimates(case)))


def non_inferiority_absolute(case: Case) -> None:
    options(case, *ARMS, "alternative", "null_difference", "confidence", "margin", "better")
    inputs = case["inputs"]
    higher = {"higher": True, "lower": False}[inputs["better"]]
    assert inputs["alternative"] == ("greater" if higher else "less")
    assert inputs["null_difference"] == (-1 if higher else 1) * inputs["margin"]
    matches(case, tested(case, estimates(case)))


def tost(case: Case) -> None:
    options(case, *ARMS, "low", "high", "alpha")
    inputs, est = case["inputs"], estimates(case)
    found = equivalence(est, 1, inputs["low"], inputs["high"], inputs["alpha"])
    got = {
        "p_lower": found.above.p_value,
        "p_upper": found.below.p_value,
        "p_value": found.p_value,
        "ci_lower": one_sided_limit(est, 1, True, inputs["alpha"]),
        "ci_upper": one_sided_limit(est, 1, False, inputs["alpha"]),
        "equivalent": found.equivalent,
    }
    assert found.equivalent == (inputs["low"] < got["ci_lower"] and got["ci_upper"] < inputs["high"])
    matches(case, got)


def lift(case: Case) -> None:
    options(case, *ARMS, "confidence")
    est, alpha = normal_theory(estimates(case)), 1 - case["inputs"]["confidence"]
    delta = delta_lift(est, 1, alpha)
    log = attempt(lambda: log_lift(est, 1, alpha))
    got = {
        "lift": delta.estimate,
        "se": delta.std_error,
        "ci_lower": delta.lower,
        "ci_upper": delta.upper,
        "z": delta.statistic,
        "p_value": delta.p_value,
        "log_ratio": log and math.log1p(log.estimate),
        "log_ratio_se": log and log.std_error,
        "lift_log_ci_lower": log and log.lower,
        "lift_log_ci_upper": log and log.upper,
    }
    matches(case, got)


def fieller(case: Case) -> None:
    """With the normal quantile; mratios' limits have the df of the contrast at the estimated ratio."""
    options(case, *ARMS, "confidence")
    est, alpha = estimates(case), 1 - case["inputs"]["confidence"]
    r = relative(normal_theory(est), 1, alpha)
    excluded = r.excluded or (None, None)
    ratio = float(est.means[1] / est.means[0])
    at_ratio = relative(replace(est, pooled_df=degrees_of_freedom(est, 1, factor=ratio)), 1, alpha)
    d = difference(est, 1, alpha)
    variant = {
        "ratio_ci_lower": None if at_ratio.lower is None else 1 + at_ratio.lower,
        "ratio_ci_upper": None if at_ratio.upper is None else 1 + at_ratio.upper,
        "p_value": d.p_value,
        "t": d.statistic,
        "df": d.df,
    }
    got = {
        "lift": r.estimate,
        "g": z_quantile(alpha) ** 2 * float(est.arm_variance[0]) / float(est.means[0]) ** 2,
        "kind": {"unbounded": "whole_line"}.get(r.shape, r.shape),
        "ci_lower": r.lower,
        "ci_upper": r.upper,
        "excluded_lower": excluded[0],
        "excluded_upper": excluded[1],
        "welch_t_variant": variant,
    }
    assert r.shape == ("bounded" if got["g"] < 1 else r.shape)
    matches(case, got)


def non_inferiority_relative(case: Case) -> None:
    """The source takes Satterthwaite's df of the contrast, readouts that of the difference (which Fieller shares)."""
    options(case, *ARMS, "relative_margin", "better")
    inputs, est = case["inputs"], estimates(case)
    higher = {"higher": True, "lower": False}[inputs["better"]]
    margin = (-1 if higher else 1) * inputs["relative_margin"]
    df = degrees_of_freedom(est, 1, factor=1 + margin)

    def contrast(given: ArmEstimates) -> effects.Test:
        return effects.test_one_sided(given, 1, 0.0, higher, 0.05, relative=margin)

    t = contrast(replace(est, pooled_df=df))
    weights = [-(1 + margin), 1.0]
    assert contrast(est).df == difference(est, 1, 0.05).df
    got = {
        "t": t.statistic,
        "df": t.df,
        "p_value": t.p_value,
        "p_value_normal": contrast(normal_theory(est)).p_value,
        "contrast": float(weights @ est.means),
        "contrast_se": math.sqrt(float(contrast_covariance(est, weights)[0, 0])),
    }
    matches(case, got)


def proportions(case: Case) -> None:
    options(case, *ARMS, "alternative", "null_difference", "confidence")
    inputs = case["inputs"]
    successes, units = ([inputs[arm][key] for arm in ("control", "treatment")] for key in ("successes", "n"))
    table = successes[1], units[1], successes[0], units[0]
    alpha, greater = 1 - inputs["confidence"], ALTERNATIVES[inputs["alternative"]]
    est = wald_proportions(successes, units)
    got = tested(case, est)
    pooled = attempt(lambda: pooled_test(*table))
    hybrid = newcombe(*table, alpha)
    ratio = attempt(lambda: log_lift(est, 1, alpha))
    got.update(se_unpooled=got["se"], z=got["t"], newcombe_lower=hybrid.lower, newcombe_upper=hybrid.upper)
    got.update(z_pooled=pooled and pooled.statistic, p_value_pooled=pooled and pooled.p_value)
    if pooled is not None and greater is not None:
        got["p_value_pooled"] = z_tail(pooled.statistic if greater else -pooled.statistic)
    if pooled is not None:
        # The score family at no effect is the pooled z, but for its factor.
        z, total = score_difference(*table, alpha).statistic, sum(units)
        assert z is not None
        assert math.isclose(z * math.sqrt(total / (total - 1)), pooled.statistic, rel_tol=1e-9, abs_tol=1e-12)
    got["ratio"] = float(est.means[1] / est.means[0]) if successes[0] else None
    got.update(ratio_log_ci_lower=ratio and 1 + ratio.lower, ratio_log_ci_upper=ratio and 1 + ratio.upper)
    without = set()
    if not (successes[0] and successes[1]):
        # log 0: not defined here; a source that exponentiates its infinities says 0 for a limit.
        assert case["expected"].get("ratio_log_ci_lower") in (None, 0.0)
        assert case["expected"].get("ratio_log_ci_upper") in (None, 0.0)
        without = {"ratio_log_ci_lower", "ratio_log_ci_upper"}
    matches(case, got, without)


CHECKS: Mapping[str, Callable[[Any], None]] = {
    "welch_t": welch,
    "welch_t_one_sided": welch,
    "non_inferiority_absolute": non_inferiority_absolute,
    "tost_equivalence": tost,
    "relative_lift_delta": lift,
    "relative_lift_fieller": fieller,
    "non_inferiority_relative": non_inferiority_relative,
    "proportions_z_unpooled": proportions,
}
