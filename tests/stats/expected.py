"""Inputs and expected values of a reference case, of which nothing may be left unread."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .reference import Case

# Values by which the makers of the cases checked each other.
INFORMATION = ("confseq_margin", "mvtnorm_check", "wrong_", "unadjusted_")


class Expected:
    """The expected values of a case. `take` compares one of them; at the end none may be left."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.left = {k: v for k, v in case["expected"].items() if not k.startswith(INFORMATION)}
        assert self.left, "a case without expected values checks nothing"

    def __contains__(self, key: str) -> bool:
        return key in self.left

    def pop(self, key: str) -> Any:
        return self.left.pop(key)

    def take(self, key: str, got: Any) -> None:
        """|got - want| <= atol + rtol |want| for every number; null stands for infinite or not defined."""
        tolerance = self.case["tolerance"]
        rtol = tolerance.get("per_key", {}).get(key, tolerance["rtol"])
        self._compare(key, got, self.left.pop(key), tolerance["atol"], rtol)

    def _compare(self, key: str, got: Any, want: Any, atol: float, rtol: float) -> None:
        where = (self.case["id"], key, got, want)
        if isinstance(want, list):
            assert len(got) == len(want), where
            for mine, theirs in zip(got, want, strict=True):
                self._compare(key, mine, theirs, atol, rtol)
        elif want is None:
            assert got is None or not math.isfinite(got), where
        elif isinstance(want, bool | str):
            assert got == want, where
        else:
            assert abs(got - want) <= atol + rtol * abs(want), where


@contextmanager
def reading(case: Case) -> Iterator[tuple[dict[str, Any], Expected]]:
    """Inputs and expected values of a case; fails when one of them was not read."""
    inputs, expected = dict(case["inputs"]), Expected(case)
    yield inputs, expected
    assert not inputs, (case["id"], "inputs not read", list(inputs))
    assert not expected.left, (case["id"], "expected values not compared", list(expected.left))
