from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricdef.stats.multiplicity import adjust

METHODS = ["none", "bonferroni", "holm", "hochberg", "hommel", "bh", "by", "fixed_sequence"]
AS_ONE = [m for m in METHODS if m != "fixed_sequence"]

# A coarse grid makes ties likely.
some_p = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1e-300, 0.01, 0.02, 0.025, 0.5, 1.0]))
p_lists = st.lists(st.one_of(st.none(), some_p), min_size=1, max_size=12)
few_p = st.lists(some_p, min_size=1, max_size=5)


@given(p_lists, st.sampled_from(METHODS), st.floats(0.001, 0.5))
def test_properties(p_values: list[float | None], method: str, alpha: float) -> None:
    got = adjust(p_values, method, alpha)  # type: ignore[arg-type]
    assert got.size == len(p_values)
    for raw, value, rejected in zip(p_values, got.p_adjusted, got.rejected, strict=True):
        assert (raw is None) == (value is None)
        assert rejected == (value is not None and value <= alpha)
        if raw is not None and value is not None:
            assert raw <= value <= 1
    # What is not computed counts as a hypothesis that can't be rejected, no more and no less.
    ones = adjust([1.0 if p is None else p for p in p_values], method, alpha)  # type: ignore[arg-type]
    assert [b for a, b in zip(p_values, ones.p_adjusted, strict=True) if a is not None] == [
        p for p in got.p_adjusted if p is not None
    ]


@given(st.lists(some_p, min_size=1, max_size=8), st.sampled_from(AS_ONE), st.randoms())
def test_order_does_not_matter(p_values: list[float], method: str, random) -> None:
    order = list(range(len(p_values)))
    random.shuffle(order)
    plain = adjust(p_values, method, 0.05).p_adjusted  # type: ignore[arg-type]
    mixed = adjust([p_values[i] for i in order], method, 0.05).p_adjusted  # type: ignore[arg-type]
    assert [plain[i] for i in order] == list(mixed)


@given(p_lists)
def test_from_the_strictest_to_the_most_powerful(p_values: list[float | None]) -> None:
    chain = [adjust(p_values, m, 0.05).p_adjusted for m in ("bonferroni", "holm", "hochberg", "hommel", "bh", "none")]  # type: ignore[arg-type]
    for stricter, other in pairwise(chain):
        for a, b in zip(stricter, other, strict=True):
            assert a is None or b is None or b <= a * (1 + 1e-12)


def closed_test(p_values, p_of_set) -> list[float]:
    """Closed testing from its definition: the largest p of all sets that have the hypothesis."""
    m = len(p_values)
    sets = [s for k in range(1, m + 1) for s in combinations(range(m), k)]
    return [max(min(1.0, p_of_set(s)) for s in sets if i in s) for i in range(m)]


@given(few_p)
def test_holm_closes_bonferroni(p: list[float]) -> None:
    want = closed_test(p, lambda s: len(s) * min(p[i] for i in s))
    assert adjust(p, "holm", 0.05).p_adjusted == pytest.approx(want, rel=1e-12, abs=0)


@given(few_p)
def test_hommel_closes_simes(p: list[float]) -> None:
    want = closed_test(p, lambda s: min(len(s) * q / (r + 1) for r, q in enumerate(sorted(p[i] for i in s))))
    assert adjust(p, "hommel", 0.05).p_adjusted == pytest.approx(want, rel=1e-12, abs=0)


@given(few_p, st.data())
def test_weighted_holm_closes_weighted_bonferroni(p: list[float], data: st.DataObject) -> None:
    w = data.draw(st.lists(st.floats(0.05, 1), min_size=len(p), max_size=len(p)))
    want = closed_test(p, lambda s: min(p[i] / w[i] for i in s) * sum(w[i] for i in s))
    assert adjust(p, "holm", 0.05, weights=w).p_adjusted == pytest.approx(want, rel=1e-12, abs=0)
    flat = adjust(p, "bonferroni", 0.05, weights=w).p_adjusted
    assert flat == pytest.approx([min(1, q / v * sum(w)) for q, v in zip(p, w, strict=True)], rel=1e-12, abs=0)
    assert adjust(p, "holm", 0.05, weights=[0.3] * len(p)).p_adjusted == pytest.approx(
        adjust(p, "holm", 0.05).p_adjusted, rel=1e-12, abs=0
    )


@given(st.lists(some_p, min_size=1, max_size=10), st.floats(0.001, 0.5), st.booleans())
def test_false_discovery_rate_by_definition(p: list[float], q: float, dependent: bool) -> None:
    """Reject the k smallest, k the largest with p_(k) <= k q / m (over sum 1 / j)."""
    m, ordered = len(p), sorted(p)
    level = q / sum(1 / j for j in range(1, m + 1)) if dependent else q
    passing = [k for k in range(1, m + 1) if m / k * ordered[k - 1] <= level]
    if any(abs(m / k * ordered[k - 1] - level) < 1e-9 * level for k in range(1, m + 1)):
        return  # a tie in exact arithmetic, either way in floating point
    bar = ordered[passing[-1] - 1] if passing else -1.0
    assert adjust(p, "by" if dependent else "bh", q).rejected == tuple(value <= bar for value in p)


def test_fixed_sequence_stops_at_the_first_that_is_not_rejected() -> None:
    got = adjust([0.2, 0.01, 0.03, 0.001], "fixed_sequence", 0.05, order=[3, 1, 0, 2])
    assert got.p_adjusted == (0.2, 0.01, 0.2, 0.001)
    assert got.rejected == (False, True, False, True)
    stopped = adjust([0.01, None, 1e-178], "fixed_sequence", 0.05)
    assert stopped.p_adjusted == (0.01, None, 1.0)
    assert stopped.rejected == (True, False, False)


def test_not_computed_keeps_its_place() -> None:
    assert adjust([0.02, None, 0.03], "holm", 0.05).p_adjusted == (pytest.approx(0.06), None, pytest.approx(0.06))
    assert adjust([0.02, None, 0.03], "hochberg", 0.05).p_adjusted == (pytest.approx(0.06), None, pytest.approx(0.06))
    for method in METHODS:
        assert adjust([], method, 0.05).p_adjusted == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("p_values", "method", "options", "message"),
    [
        ([float("nan")], "holm", {}, "between 0 and 1"),
        ([1.1], "bh", {}, "between 0 and 1"),
        ([0.1], "sidak", {}, "unknown method"),
        ([0.1, 0.2], "bh", {"weights": [1, 1]}, "takes no weights"),
        ([0.1, 0.2], "holm", {"weights": [1, 0]}, "above 0"),
        ([0.1, 0.2], "holm", {"weights": [1]}, "1 weights for 2"),
        ([0.1, 0.2], "holm", {"order": [1, 0]}, "takes no order"),
        ([0.1, 0.2], "fixed_sequence", {"order": [1, 1]}, "each of the 2"),
    ],
)
def test_refused(p_values, method, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        adjust(p_values, method, 0.05, **options)
    with pytest.raises(ValueError, match="alpha"):
        adjust([0.1], "holm", 1.0)


def test_a_tiny_p_survives() -> None:
    for method in METHODS:
        assert adjust([1e-178, 0.5], method, 0.05).p_adjusted[0] == pytest.approx(1e-178, rel=2.1, abs=0)  # type: ignore[arg-type]
    assert np.isfinite(adjust([5e-324] * 3, "by", 0.05).p_adjusted).all()  # type: ignore[arg-type]


@pytest.mark.parametrize("weights", [[1.0, math.inf], [1.0, 0.0], [1.0, -1.0], [1.0, math.nan]])
def test_weights_are_positive_and_finite(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights must be above 0"):
        adjust([0.01, 0.02], "holm", 0.05, weights=weights)
