"""Checks of cuped_ancova.json.

Everything comes from sufficient statistics but HC0 to HC3 and the M-estimation sandwich: they need fourth-order sums
over rows, which moments don't hold, and are checked from the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from metricdef.stats.adjustment import MeanOutcome, RatioOutcome, lin, unadjusted
from metricdef.stats.cuped import Slope, cuped, cuped_ratio
from metricdef.stats.effects import ArmEstimates, degrees_of_freedom, difference, relative, unadjusted_mean
from metricdef.stats.lift import delta_lift
from metricdef.stats.moments import Floats, Moments, SecondMoments, from_rows, merge_all
from metricdef.stats.robust import Sandwich, lin_from_units
from metricdef.stats.stratification import fixed_effects, stratified
from stats.matching import arms_of, matches, options
from stats.reference import Case, moments

SANDWICHES: tuple[Sandwich, ...] = ("HC0", "HC1", "HC2", "HC3")
ADJUSTED = ("rows", "covariates", "treatment", "control", "confidence", "sufficient_statistics")


def given(case: Case) -> tuple[list[SecondMoments], list[str], float]:
    options(case, *ADJUSTED)
    inputs = case["inputs"]
    covariates = list(inputs["covariates"])
    arms = arms_of(case, ("y", *covariates), [inputs["control"], inputs["treatment"]])
    return arms, covariates, 1 - inputs["confidence"]


def described(est: ArmEstimates, alpha: float) -> dict[str, Any]:
    d = difference(est, 1, alpha)
    lift = relative(est, 1, alpha).estimate
    return {
        "difference": d.estimate,
        "se": d.std_error,
        "df": d.df,
        "t": d.statistic,
        "p_value": d.p_value,
        "ci_lower": d.lower,
        "ci_upper": d.upper,
        "adjusted_mean_control": float(est.means[0]),
        "adjusted_mean_treatment": float(est.means[1]),
        "lift": lift,
        "variance_reduction": None if est.variance_reduction is None else float(est.variance_reduction[1]),
    }


def cuped_with(slope: Slope) -> Callable[[Case], None]:
    def check(case: Case) -> None:
        arms, covariates, alpha = given(case)
        est = cuped(arms, MeanOutcome("y"), covariates, slope)
        assert est.slopes is not None
        got = described(est, alpha)
        got["theta"] = named(est, est.slopes[0], covariates, case["expected"].get("theta", ()))
        got["unadjusted_se"] = difference(unadjusted_mean(arms, "y"), 1, alpha).std_error
        matches(case, got)

    return check


def named(est: ArmEstimates, slopes: Floats, covariates: list[str], like: Sequence[Any]) -> list[float | None]:
    """The slopes of the covariates in use, or of all of them if the source lists all: a dropped one has none."""
    found = dict(zip(est.covariates, slopes.tolist(), strict=True))
    return [found.get(c) for c in (covariates if len(like) == len(covariates) else est.covariates)]


def leverage(arms: list[SecondMoments], covariates: tuple[str, ...]) -> Floats:
    """1 / n_a + d_a' [(n_a - 1) S_a,xx]^-1 d_a: what multiplies a residual variance."""
    at = [arms[0].index(c) for c in covariates]
    x = np.array([arm.mean[at] for arm in arms])
    n = np.array([arm.n for arm in arms])
    off = x - n @ x / n.sum()
    inner = [d @ np.linalg.solve(arm.comoment[np.ix_(at, at)], d) for d, arm in zip(off, arms, strict=True)]
    return np.asarray(1 / n + np.array(inner))


def slopes_of(case: Case, label: str) -> Sequence[Any]:
    """The slopes that the source gives of an arm."""
    found: Sequence[Any] = case["expected"].get("per_arm_ols", {}).get(label, {}).get("slopes", ())
    return found


def interacted(case: Case) -> None:
    arms, covariates, alpha = given(case)
    est = lin(arms, "y", covariates, variance="conditional")
    k = len(est.covariates)
    assert est.slopes is not None
    got = described(est, alpha)
    factor = leverage(arms, est.covariates)
    s2 = est.arm_variance / factor
    df = float(est.arm_df.sum())
    got["per_arm_ols"] = {
        str(label): {
            "n": arms[a].n,
            "adjusted_mean": float(est.means[a]),
            "slopes": named(est, est.slopes[a], covariates, slopes_of(case, str(label))),
            "residual_variance": float(s2[a]),
            "adjusted_mean_variance": float(est.arm_variance[a]),
        }
        for a, label in enumerate((case["inputs"]["control"], case["inputs"]["treatment"]))
    }
    got.update(
        df=df,
        rank=k,
        se_per_arm_classical=difference(est, 1, alpha).std_error,
        se_classical_pooled_sigma=math.sqrt(float(s2 @ est.arm_df) / df * float(factor.sum())),
        unadjusted_se=difference(unadjusted_mean(arms, "y"), 1, alpha).std_error,
    )
    assert df == sum(arm.n for arm in arms) - 2 * (k + 1)
    assert set(est.covariates) | set(est.dropped) == set(covariates)
    # The default variance is this one plus the term of the estimated covariate means, (b1 - b0)' Sx (b1 - b0) / N.
    whole = merge_all(arms_as_moments(arms))
    at = [whole.index(c) for c in est.covariates]
    gap = est.slopes[1] - est.slopes[0]
    term = gap @ whole.comoment[np.ix_(at, at)] @ gap / whole.n**2
    default = difference(lin(arms, "y", covariates), 1, alpha).std_error
    assert math.isclose(default**2, float(est.arm_variance.sum() + term), rel_tol=1e-9)
    rows = {kind: lin_from_units(*units(case), kind) for kind in SANDWICHES}
    got.update({f"se_{kind}": difference(each, 1, alpha).std_error for kind, each in rows.items()})
    hc2 = difference(rows["HC2"], 1, alpha)
    got.update(ci_HC2_lower=hc2.lower, ci_HC2_upper=hc2.upper, p_value_HC2=hc2.p_value)
    got["lift_se_HC2"] = delta_lift(rows["HC2"], 1, alpha).std_error
    matches(case, got)


def units(case: Case) -> tuple[list[Floats], list[Floats]]:
    """Outcomes and covariates of the arms, row by row."""
    inputs = case["inputs"]
    arm, y = (np.array(inputs["rows"][key]) for key in ("arm", "y"))
    x = np.column_stack([np.array(inputs["rows"][c], dtype=float) for c in inputs["covariates"]])
    labels = (inputs["control"], inputs["treatment"])
    return [y[arm == label] for label in labels], [x[arm == label] for label in labels]


def arms_as_moments(arms: list[SecondMoments]) -> list[Moments]:
    return [moments(arm.n, arm.columns, list(arm.mean), arm.cov) for arm in arms]


def superpopulation(case: Case) -> None:
    arms, covariates, alpha = given(case)
    est = lin(arms, "y", covariates, variance="large_sample")
    assert est.slopes is not None
    got = described(est, alpha)
    got["se_from_sufficient_statistics"] = got["se"]
    gap = est.slopes[1] - est.slopes[0]
    got["slope_difference"] = named(est, gap, covariates, case["expected"].get("slope_difference", ()))
    got["lift_se_from_sufficient_statistics"] = delta_lift(est, 1, alpha).std_error
    sandwich = lin_from_units(*units(case), "M")
    got["se_m_estimation"] = difference(sandwich, 1, alpha).std_error
    got["lift_se_m_estimation"] = delta_lift(sandwich, 1, alpha).std_error
    matches(case, got)


def cells(case: Case) -> dict[str, list[Moments]]:
    """Moments of (control, treatment) by stratum, from the cells of the case or its rows."""
    inputs = case["inputs"]
    labels = (inputs["control"], inputs["treatment"])
    if "cells" in inputs:
        table = {key: np.array(column) for key, column in inputs["cells"].items()}
        assert set(table) == {"arm", "stratum", "n", "mean", "var"}
    else:
        table = {key: np.array(column) for key, column in inputs["rows"].items()}
        assert set(table) == {"arm", "stratum", "y"}
    found: dict[str, list[Moments]] = {}
    for stratum in np.unique(table["stratum"]):
        pair = []
        for label in labels:
            at = (table["stratum"] == stratum) & (table["arm"] == label)
            if "cells" in inputs:
                n, mean, var = (table[key][at] for key in ("n", "mean", "var"))
                parts = [
                    moments(int(a), ["y"], [b], [[0.0 if a < 2 else c]]) for a, b, c in zip(n, mean, var, strict=True)
                ]
                pair.append(merge_all(parts, ["y"]))
            else:
                pair.append(from_rows(["y"], table["y"][at][:, None]))
        found[str(stratum)] = pair
    return found


def strata(case: Case) -> None:
    """The sources take the strata's shares as fixed and the df of the cells."""
    options(case, "rows", "cells", "treatment", "control", "confidence")
    alpha, by_stratum = 1 - case["inputs"]["confidence"], cells(case)
    est = stratified(by_stratum, MeanOutcome("y"), superpopulation=False, df="cells").estimates
    pooled = [merge_all(arm) for arm in zip(*by_stratum.values(), strict=True)]
    naive = difference(unadjusted(pooled, MeanOutcome("y")), 1, alpha)
    fixed = fixed_effects(by_stratum, "y")
    got = described(est, alpha)
    got.update(
        df_estimatr=degrees_of_freedom(est, 1),
        se_lin_HC2=got["se"],
        unadjusted_difference=naive.estimate,
        unadjusted_se=naive.std_error,
        naive_pooled_difference=naive.estimate,
        fixed_effects_difference=fixed.estimate,
        fixed_effects_se_HC2=fixed.std_error,
    )
    matches(case, got)


def ratio_cuped(case: Case) -> None:
    options(case, "unit_rows", "treatment", "control", "confidence", "sufficient_statistics")
    inputs = case["inputs"]
    alpha, labels = 1 - inputs["confidence"], [inputs["control"], inputs["treatment"]]
    arms = arms_of(case, ("y", "d", "yp", "dp"), labels, "unit_rows")
    outcome = RatioOutcome("y", "d")
    plain, est = unadjusted(arms, outcome), cuped_ratio(arms, outcome, RatioOutcome("yp", "dp"))
    two = cuped(arms, outcome, ["yp", "dp"])
    assert est.slopes is not None
    assert two.slopes is not None
    theta = float(est.slopes[0, 0])
    before = unadjusted(arms, RatioOutcome("yp", "dp")).arm_variance
    got = described(est, alpha)
    d, other = difference(plain, 1, alpha), difference(two, 1, alpha)
    got.update(
        ratio_control=float(plain.means[0]),
        ratio_treatment=float(plain.means[1]),
        theta=theta,
        adjusted_control=float(est.means[0]),
        adjusted_treatment=float(est.means[1]),
        unadjusted_difference=d.estimate,
        unadjusted_se=d.std_error,
        two_covariates={"slopes": list(two.slopes[0]), "difference": other.estimate, "se": other.std_error},
    )
    # V_a = C_yy - 2 theta C_yx + theta^2 C_xx gives back the covariance of the two ratios.
    crossed = (plain.arm_variance + theta**2 * before - est.arm_variance) / (2 * theta)
    got["per_arm_covariance"] = {
        str(label): [[float(plain.arm_variance[a]), float(crossed[a])], [float(crossed[a]), float(before[a])]]
        for a, label in enumerate(labels)
    }
    matches(case, got)


CHECKS: Mapping[str, Callable[[Any], None]] = {
    "cuped_theta_total": cuped_with("total"),
    "cuped_theta_within": cuped_with("within"),
    "lin_interacted": interacted,
    "lin_superpopulation": superpopulation,
    "post_stratification": strata,
    "stratified_randomisation": strata,
    "ratio_cuped": ratio_cuped,
}
