"""The comparison with reference cases can fail."""

from __future__ import annotations

from typing import Any

import pytest

from metricdef.errors import NotComputable

from .matching import attempt, matches, options


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
