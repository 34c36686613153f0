"""Checks of winsorised comparisons, in whatever file they lie: one pair of caps from both arms together, then Welch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from metricdef.stats.effects import difference, unadjusted_mean
from metricdef.stats.moments import Floats, from_rows
from metricdef.stats.quantiles import sample_quantile
from stats.matching import matches
from stats.reference import Case

ARMS = ("control", "treatment")
TYPE = ("quantile_type", "type")


def values(inputs: Mapping[str, Any]) -> list[Floats]:
    """The two arms' rows, baseline first."""
    if "rows" not in inputs:
        return [np.array(inputs[arm], dtype=float) for arm in ARMS]
    arm, y = (np.array(inputs["rows"][key], dtype=float) for key in ("arm", "y"))
    return [y[arm == inputs.get(name, label)] for label, name in enumerate(ARMS)]


def fractions(inputs: Mapping[str, Any]) -> list[float]:
    """The two fractions of the caps, 0 where only the upper end is cut: all inputs that are neither data nor level."""
    found: list[float] = []
    for key, value in inputs.items():
        if key not in (*ARMS, *TYPE, "rows", "confidence"):
            found += value if isinstance(value, list) else [value]
    assert found, "no fraction of a cap"
    assert all(isinstance(f, int | float) and 0 <= f <= 1 for f in found), f"no fractions of caps: {found}"
    if len(found) == 1:
        assert found[0] > 0.5, "one fraction is that of an upper cap"
        return [0.0, *found]
    assert len(found) == 2, f"more fractions than caps: {found}"
    return sorted(found)


def check(case: Case) -> None:
    inputs, wanted = case["inputs"], case["expected"]
    arms = values(inputs)
    kind = next((inputs[key] for key in TYPE if key in inputs), 7)
    together = np.sort(np.concatenate(arms))
    caps = [sample_quantile(together, f, kind) for f in fractions(inputs)]
    cut = [np.clip(y, *caps) for y in arms]
    d = difference(
        unadjusted_mean([from_rows(["y"], y[:, None]) for y in cut], "y"), 1, 1 - inputs.get("confidence", 0.95)
    )
    got: dict[str, Any] = {
        "difference": d.estimate,
        "se": d.std_error,
        "df": d.df,
        "t": d.statistic,
        "p_value": d.p_value,
        "ci_lower": d.lower,
        "ci_upper": d.upper,
        "caps": caps,
        "cap": caps[1],
    }
    for end, cap in zip(("lower", "upper"), caps, strict=True):
        got.update({f"{end}_cap": cap, f"cap_{end}": cap, f"{end}_limit": cap})
    for arm, before, after in zip(ARMS, arms, cut, strict=True):
        capped = int((before != after).sum())
        got.update(dict.fromkeys((f"capped_{arm}", f"n_capped_{arm}", f"{arm}_capped"), capped))
        moments = from_rows(["y"], after[:, None])
        got.update({f"mean_{arm}": float(moments.mean[0]), f"sd_{arm}": moments.var("y") ** 0.5})
    matches(case, got, [key for key in wanted if key.startswith(("wrong_", "unadjusted_", "uncapped_"))])
