"""Reference cases and the moments they are stated in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metricdef.stats.moments import Moments

FOLDER = Path(__file__).parents[1] / "reference"
Case = Mapping[str, Any]


def cases(topic: str, *methods: str) -> list[Case]:
    """The cases of a topic that use one of the methods; an empty selection is an error, not a silent pass."""
    found = [c for c in json.loads((FOLDER / f"{topic}.json").read_text()) if c["method"] in methods]
    assert found, f"no case of {methods} in {topic}"
    return found


def name(case: Case) -> str:
    return str(case["id"])


def agrees(case: Case, got: float, want: float) -> None:
    """Assert |got - want| <= atol + rtol |want| at the tolerance the case states."""
    tolerance = case["tolerance"]
    assert abs(got - want) <= tolerance["atol"] + tolerance["rtol"] * abs(want), (case["id"], got, want)


def moments(n: int, columns: Sequence[str], mean: Sequence[float], cov: Any) -> Moments:
    p = len(columns)
    return Moments(
        tuple(columns),
        n,
        np.array(mean, dtype=float),
        np.array(cov, dtype=float).reshape(p, p) * (n - 1),
        np.zeros(p),
        np.abs(np.array(mean, dtype=float)),
        np.full(p, n),
        np.zeros(p, dtype=np.int64),
    )


def summary_arms(case: Case) -> list[Moments]:
    """Arms of a two-sample case given by mean and sd, baseline first."""
    arms = [case["inputs"][arm] for arm in ("control", "treatment")]
    return [moments(a["n"], ["y"], [a["mean"]], [[a["sd"] ** 2]]) for a in arms]


def sufficient_arms(case: Case) -> list[Moments]:
    """Arms of a case given by sufficient statistics, arm 0 first."""
    arms = case["inputs"]["sufficient_statistics"]
    return [moments(arms[a]["n"], arms[a]["columns"], arms[a]["mean"], arms[a]["cov"]) for a in sorted(arms)]
