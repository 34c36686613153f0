"""Checks of ratio_cluster.json.

Sources with a normal quantile are checked in normal theory. The cluster-robust variances CR0, CR1 and CR1S of the row
regression are exact multiples of ours; CR2 and its df weigh every cluster by its own leverage, which moments don't
hold: these are checked from the clusters' totals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from metricdef.stats.clusters import PerCluster, PerUnit, cluster_estimates
from metricdef.stats.effects import difference, normal_theory, unadjusted_ratio
from metricdef.stats.lift import delta_lift
from metricdef.stats.moments import SecondMoments, from_rows
from metricdef.stats.robust import ratio_cr2
from stats.matching import arms_of, matches, options
from stats.reference import Case

GIVEN = ("rows", "unit_totals", "sufficient_statistics", "control", "confidence")


def robust(arms: list[SecondMoments], variance: Mapping[str, float]) -> dict[str, Any]:
    """Variances of the other conventions, by their exact relation to the delta-method variance of divisor n - 1."""
    labels = list(variance)
    cr0 = {label: variance[label] * (arm.n - 1) / arm.n for label, arm in zip(labels, arms, strict=True)}
    clusters = sum(arm.n for arm in arms)
    rows = sum(float(arm.total[arm.index("d")]) for arm in arms)
    total = sum(cr0.values())
    cr1 = total * clusters / (clusters - 1)
    return {
        "per_arm_variance_CR0": cr0,
        "per_arm_variance_HC0_weighted_ols": cr0,
        "per_arm_variance_CR1": dict(variance),
        "se_CR0": math.sqrt(total),
        "se_CR0_sandwich": math.sqrt(total),
        "se_CR1": math.sqrt(cr1),
        "se_CR1S_stata": math.sqrt(cr1 * (rows - 1) / (rows - 2)),
    }


def ratio(case: Case) -> None:
    options(case, *GIVEN, "treatment", "treatments")
    inputs = case["inputs"]
    alpha = 1 - inputs["confidence"]
    treatments = inputs["treatments"] if "treatments" in inputs else [inputs["treatment"]]
    labels = [inputs["control"], *treatments]
    arms = arms_of(case, ("y", "d"), labels, "unit_totals")
    est = unadjusted_ratio(arms, "y", "d")
    np.testing.assert_allclose(cluster_estimates(arms, PerUnit("y", "d")).cov, est.cov, rtol=1e-12)
    ratios = {str(label): float(est.means[a]) for a, label in enumerate(labels)}
    variance = {str(label): float(est.arm_variance[a]) for a, label in enumerate(labels)}
    comparisons = {}
    for a, label in enumerate(treatments, start=1):
        d, lift = difference(normal_theory(est), a, alpha), delta_lift(normal_theory(est), a, alpha)
        comparisons[f"{label}_vs_{inputs['control']}"] = {
            "ratio": ratios,
            "variance": variance,
            "difference": d.estimate,
            "ols_difference": d.estimate,
            "se_delta": d.std_error,
            "z": d.statistic,
            "p_value_z": d.p_value,
            "ci_lower": d.lower,
            "ci_upper": d.upper,
            "lift": lift.estimate,
            "lift_se_delta": lift.std_error,
            "lift_ci_lower": lift.lower,
            "lift_ci_upper": lift.upper,
        }
    first = next(iter(comparisons.values())) if len(comparisons) == 1 else {}
    got = {**first, "comparisons": comparisons, **robust(arms, variance)}
    if len(treatments) == 1 and "unit_totals" in inputs:
        got.update(leverage_corrected(inputs["unit_totals"], labels, alpha))
    matches(case, got)


def leverage_corrected(columns: Mapping[str, Any], labels: list[int], alpha: float) -> dict[str, Any]:
    totals = {key: np.array(columns[key], dtype=float) for key in ("arm", "y", "d")}
    y, d = ([totals[key][totals["arm"] == label] for label in labels] for key in ("y", "d"))
    cr2 = difference(ratio_cr2(y, d, 1), 1, alpha)
    return {
        "se_CR2": cr2.std_error,
        "satterthwaite_df_CR2": cr2.df,
        "p_CR2_satterthwaite": cr2.p_value,
        "lmrobust_df_CR2": cr2.df,
        "lmrobust_p_CR2": cr2.p_value,
    }


def cluster_means(case: Case) -> None:
    options(case, *GIVEN, "treatment")
    inputs = case["inputs"]
    unit, arm, y = (np.array(inputs["rows"][key]) for key in ("unit", "arm", "y"))
    arms = []
    for label in (inputs["control"], inputs["treatment"]):
        mine = [y[(arm == label) & (unit == u)] for u in np.unique(unit[arm == label])]
        arms.append(from_rows(["total", "size", "mean"], [[rows.sum(), len(rows), rows.mean()] for rows in mine]))
    d = difference(cluster_estimates(arms, PerCluster("mean")), 1, 1 - inputs["confidence"])
    got = {"difference": d.estimate, "se": d.std_error, "df": d.df, "t": d.statistic, "p_value": d.p_value}
    matches(case, {**got, "ci_lower": d.lower, "ci_upper": d.upper})


CHECKS: Mapping[str, Callable[[Any], None]] = {
    "ratio_delta": ratio,
    "ratio_delta_vs_cluster_ols": ratio,
    "cluster_means_unweighted": cluster_means,
}
