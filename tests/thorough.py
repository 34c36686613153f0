"""How many cases a test has: some of them with `make test`, all of them with `make test-thorough`."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")
THOROUGH = bool(os.environ.get("METRICDEF_THOROUGH"))


def cases(some: T, whole: T) -> T:
    """What a test marked `thorough` runs on: a number of cases, or their list."""
    return whole if THOROUGH else some


def examples(whole: int) -> int:
    """How many examples hypothesis draws: a quarter of them, the first ones, when there is little time."""
    return cases(max(3, whole // 4), whole)
