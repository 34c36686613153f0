from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricdef.stats.multiplicity import adjust

from .reference import Case, agrees, cases, name

p_lists = st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=12)


@pytest.mark.parametrize("case", cases("multiplicity", "adjusted_p_values"), ids=name)
@pytest.mark.parametrize("method", ["bonferroni", "holm"])
def test_as_r_p_adjust(case: Case, method: str) -> None:
    got = adjust(case["inputs"]["p_values"], method, 0.05)  # type: ignore[arg-type]
    for value, want in zip(got.p_adjusted, case["expected"][method], strict=True):
        assert value is not None
        agrees(case, value, want)


@given(p_lists, st.sampled_from(["none", "bonferroni", "holm"]), st.floats(0.001, 0.5))
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


def test_not_computed_keeps_its_place() -> None:
    assert adjust([0.02, None, 0.03], "holm", 0.05).p_adjusted == (pytest.approx(0.06), None, pytest.approx(0.06))
    assert adjust([], "holm", 0.05).p_adjusted == ()
    with pytest.raises(ValueError, match="between 0 and 1"):
        adjust([float("nan")], "holm", 0.05)
