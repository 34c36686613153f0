"""Comparison of everything that a reference case expects, at the tolerance it states."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats.moments import SecondMoments, from_rows

from .expected import INFORMATION
from .reference import Case, moments


def options(case: Case, *known: str) -> None:
    """Assert that the inputs of the case hold nothing that its check doesn't read."""
    unknown = set(case["inputs"]) - set(known)
    assert not unknown, f"{case['id']}: no check reads {sorted(unknown)}"


def attempt(call: Callable[[], Any]) -> Any:
    """The value of the call, None where the statistic is not defined."""
    try:
        return call()
    except NotComputable:
        return None


def matches(case: Case, got: Mapping[str, Any], without: Collection[str] = ()) -> None:
    """Assert that every key of `expected` agrees with `got`, but for those named in `without` and information.

    A reference of null (infinite or not defined) wants None or infinity.
    """
    for key, want in case["expected"].items():
        if key not in without and (key in got or not key.startswith(INFORMATION)):
            assert key in got, f"{case['id']}: nothing checks {key}"
            _agree(case, key, got[key], want)


def _agree(case: Case, key: str, got: Any, want: Any) -> None:
    where = f"{case['id']}: {key}: got {got}, expected {want}"
    if isinstance(want, Mapping):
        for inner, value in want.items():
            assert inner in got, f"{where}: nothing checks {inner}"
            _agree(case, inner, got[inner], value)
    elif isinstance(want, Sequence) and not isinstance(want, str):
        assert len(got) == len(want), where
        for one, other in zip(got, want, strict=True):
            _agree(case, key, one, other)
    elif want is None:
        assert got is None or not np.isfinite(got), where
    elif isinstance(want, str | bool):
        assert got == want, where
    else:
        tolerance = case["tolerance"]
        rtol = tolerance.get("per_key", {}).get(key, tolerance["rtol"])
        assert got is not None, where
        assert abs(got - want) <= tolerance["atol"] + rtol * abs(want), where


def arms_of(case: Case, columns: Sequence[str], labels: Sequence[int], rows: str = "rows") -> list[SecondMoments]:
    """Moments of the arms in the order of `labels`: the sufficient statistics of the case, or those of its rows."""
    inputs = case["inputs"]
    if "sufficient_statistics" in inputs:
        given = [inputs["sufficient_statistics"][str(label)] for label in labels]
        return [moments(arm["n"], arm["columns"], arm["mean"], arm["cov"]) for arm in given]
    table = np.column_stack([inputs[rows][column] for column in columns])
    arm = np.array(inputs[rows]["arm"])
    return [from_rows(columns, table[arm == label]) for label in labels]
