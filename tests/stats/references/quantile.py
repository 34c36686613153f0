"""Checks of quantile.json.

An arm enters as the three values at its rank band, and for events as moments over units. gbstats has (n - 1) / n in
the variance over units, and df from rows for events: conventions of the functions that are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from metricdef.stats.effects import ArmEstimates, difference, unadjusted_ratio
from metricdef.stats.moments import Floats, from_rows
from metricdef.stats.quantiles import (
    OrderStatistics,
    binomial_ranks,
    event_quantiles,
    rank_band,
    sample_quantile,
    unit_quantiles,
)
from stats.matching import matches, options
from stats.reference import Case

ARMS = ("control", "treatment")
OTHER_DENSITIES = {"se_iid", "se_nid", "se_kernel"}  # information only


def band(values: Floats, q: float) -> OrderStatistics:
    ordered = np.sort(values)
    lower, middle, upper = (sample_quantile(ordered, f) for f in rank_band(len(values), q).fractions)
    return OrderStatistics(len(values), middle, lower, upper)


def compared(est: ArmEstimates, alpha: float) -> dict[str, Any]:
    d = difference(est, 1, alpha)
    return {
        "difference": d.estimate,
        "se": d.std_error,
        "df": d.df,
        "p_value": d.p_value,
        "ci_lower": d.lower,
        "ci_upper": d.upper,
        "se_control": float(est.arm_variance[0]) ** 0.5,
        "se_treatment": float(est.arm_variance[1]) ** 0.5,
    }


def units(case: Case) -> None:
    options(case, *ARMS, "quantile", "confidence")
    q = case["inputs"]["quantile"]
    bands = [band(np.array(case["inputs"][arm]), q) for arm in ARMS]
    got = compared(unit_quantiles(bands, q, gbstats=True), 1 - case["inputs"]["confidence"])
    got["order_statistics"] = {}
    for arm, b in zip(ARMS, bands, strict=True):
        lower, _, upper = rank_band(b.n, q).fractions
        values = {"lower": b.lower, "upper": b.upper, "estimate": b.estimate}
        got["order_statistics"][arm] = {"probability_lower": lower, "probability_upper": upper, **values}
    matches(case, got)


def events(case: Case) -> None:
    options(case, "rows", "quantile", "confidence")
    inputs = case["inputs"]
    q = inputs["quantile"]
    unit, arm, y = (np.array(inputs["rows"][key]) for key in ("unit", "arm", "y"))
    bands, moments = [], []
    for label in (0, 1):
        mine = arm == label
        b = band(y[mine], q)
        of = [y[mine & (unit == u)] for u in np.unique(unit[mine])]
        bands.append(b)
        moments.append(from_rows(["below", "rows"], [[(rows <= b.estimate).sum(), len(rows)] for rows in of]))
    est = event_quantiles(bands, moments, "below", "rows", q, gbstats=True)
    got = compared(est, 1 - inputs["confidence"])
    got["arms"] = {
        name: {
            "estimate": b.estimate,
            "lower": b.lower,
            "upper": b.upper,
            "cluster_variance_of_proportion": float(unadjusted_ratio([m], "below", "rows").arm_variance[0]),
            "iid_variance_of_proportion": q * (1 - q) / b.n,
            "se": float(variance) ** 0.5,
        }
        for name, b, m, variance in zip(ARMS, bands, moments, est.arm_variance, strict=True)
    }
    matches(case, got)


def solved(ordered: Floats, q: float) -> list[float]:
    """The order statistics that minimise the check loss."""
    position = len(ordered) * q
    if abs(position - round(position)) > 1e-9:
        return [sample_quantile(ordered, q, 1)]
    return [float(ordered[round(position) + step - 1]) for step in (0, 1)]


def regression(case: Case) -> None:
    """Quantile regression on the arm is the difference of type 1 quantiles where n q is no whole number.

    Where it is one, both neighbouring order statistics minimise the check loss of an arm (so does all between), and a
    source may report either.
    """
    options(case, *ARMS, "quantile", "confidence")
    inputs = case["inputs"]
    q, alpha = inputs["quantile"], 1 - inputs.get("confidence", 0.95)
    ordered = {arm: np.sort(inputs[arm]) for arm in ARMS}
    got: dict[str, Any] = {}
    for kind in range(1, 10):
        control, treatment = (sample_quantile(ordered[arm], q, kind) for arm in ARMS)
        got[f"difference_type{kind}"] = treatment - control
    solutions = [solved(ordered[arm], q) for arm in ARMS]
    reported = case["expected"].get("rq_difference", got["difference_type1"])
    got["rq_difference"] = min((b - a for a in solutions[0] for b in solutions[1]), key=lambda d: abs(d - reported))
    for arm, values in ordered.items():
        ranks = binomial_ranks(len(values), q, alpha)
        got[f"binomial_order_ci_{arm}"] = {
            "rank_lower": ranks.lower,
            "rank_upper": ranks.upper,
            "lower": None if ranks.lower is None else float(values[ranks.lower - 1]),
            "upper": None if ranks.upper is None else float(values[ranks.upper - 1]),
            "coverage": ranks.coverage,
        }
    matches(case, got, OTHER_DENSITIES)


def types(case: Case) -> None:
    options(case, "values", "probabilities")
    ordered = np.sort(case["inputs"]["values"])
    got = {
        f"type{kind}": [sample_quantile(ordered, p, kind) for p in case["inputs"]["probabilities"]]
        for kind in range(1, 10)
    }
    matches(case, got)


CHECKS: Mapping[str, Callable[[Any], None]] = {
    "quantile_difference_order_statistics": units,
    "quantile_difference_clustered": events,
    "quantile_regression": regression,
    "sample_quantile_types": types,
}
