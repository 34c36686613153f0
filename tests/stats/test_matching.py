"""The comparison with reference cases can fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metricdef.errors import NotComputable

from .matching import attempt, matches, options
from .references import srm, winsorised


def case(expected: dict[str, Any]) -> dict[str, Any]:
    tolerance = {"rtol": 1e-9, "atol": 1e-12, "per_key": {"loose": 0.3}}
    return {"id": "made-up", "inputs": {"n": 1}, "expected": expected, "tolerance": tolerance}


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ({"a": 1.0}, {"a": 1.0 + 1e-8}),
        ({"a": 1.0}, {"b": 1.0}),
        ({"a": 1.0}, {"a": None}),
        ({"a": None}, {"a": 1.0}),
        ({"a": True}, {"a": False}),
        ({"a": "bounded"}, {"a": "complement"}),
        ({"a": [1.0, 2.0]}, {"a": [1.0]}),
        ({"a": [1.0, 2.0]}, {"a": [1.0, 3.0]}),
        ({"a": {"b": 1.0}}, {"a": {"c": 1.0}}),
        ({"a": {"b": 1.0}}, {"a": {"b": 2.0}}),
        ({"loose": 1.0}, {"loose": 1.4}),
        ({"a": 1.0}, {"a": float("nan")}),
    ],
)
def test_a_disagreement_is_seen(expected: dict[str, Any], got: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        matches(case(expected), got)


def test_agreement() -> None:
    expected = {"a": [1.0, {"b": None}], "loose": 1.0, "unread": 5.0, "c": None}
    got = {"a": [1.0 + 1e-10, {"b": None}], "loose": 1.2, "c": float("inf")}
    matches(case(expected), got, {"unread"})


def test_unknown_options_and_undefined_values() -> None:
    options(case({}), "n")
    with pytest.raises(AssertionError, match="reads"):
        options(case({}), "m")

    def undefined() -> float:
        raise NotComputable("ties", "no")

    assert (attempt(undefined), attempt(lambda: 3.0)) == (None, 3.0)


def test_what_only_informs_may_stay_unread() -> None:
    matches(case({"a": 1.0, "wrong_a": 3.0}), {"a": 1.0})
    with pytest.raises(AssertionError):
        matches(case({"a": 1.0, "wrong_a": 3.0}), {"a": 1.0, "wrong_a": 2.0})


def winsorised_case(**inputs: Any) -> dict[str, Any]:
    """Two arms of 0 to 99 and 0 to 98 with one huge value; caps by numpy on both together, test by scipy."""
    from scipy.stats import ttest_ind

    treatment, control = [*map(float, range(100)), 1e6], [*map(float, range(99))]
    low, high = np.quantile(treatment + control, [0.02, 0.98])
    cut = [np.clip(arm, low, high) for arm in (treatment, control)]
    test = ttest_ind(*cut, equal_var=False)
    interval = test.confidence_interval(0.95)
    expected = {
        "lower_cap": low,
        "upper_cap": high,
        "difference": cut[0].mean() - cut[1].mean(),
        "t": test.statistic,
        "df": test.df,
        "p_value": test.pvalue,
        "ci_lower": interval.low,
        "ci_upper": interval.high,
        "capped_treatment": 5,  # 0, 1, 98, 99 and 1e6
        "wrong_difference": 0.0,
    }
    inputs = {"treatment": treatment, "control": control, "confidence": 0.95, **inputs}
    return {**case(expected), "inputs": inputs}


@pytest.mark.parametrize(
    "inputs",
    [
        {"probabilities": [0.02, 0.98], "quantile_type": 7},
        {"lower_probability": 0.02, "upper_probability": 0.98},
    ],
)
def test_winsorised_arms_have_caps_in_common(inputs: dict[str, Any]) -> None:
    winsorised.check(winsorised_case(**inputs))


@pytest.mark.parametrize(
    "inputs",
    [
        {"probabilities": [0.02, 0.97]},
        {"probabilities": [0.02, 0.98], "quantile_type": 1},
        {"probabilities": [0.02, 0.98], "something": 7},
        {"quantile": 0.02},
        {},
    ],
)
def test_other_caps_are_seen(inputs: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        winsorised.check(winsorised_case(**inputs))


def test_a_small_sample_ratio_case_is_read() -> None:
    """Two arms of 5 to 50 expected units: the default p is exact there, the source's is Pearson's."""
    from scipy.stats import binomtest, chi2

    expected = {
        "chi2": 32 / 7,
        "df": 1,
        "p_value": chi2.sf(32 / 7, 1),
        "expected_counts": [7.0, 7.0],
        "binomial_exact_p": binomtest(3, 14, 0.5).pvalue,
    }
    srm.check_srm({**case(expected), "inputs": {"counts": [3, 11], "expected_ratio": [0.5, 0.5]}})
