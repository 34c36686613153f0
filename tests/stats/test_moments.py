from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricdef.errors import NotComputable
from metricdef.stats.effects import unadjusted_ratio
from metricdef.stats.moments import (
    Moments,
    empty,
    from_rows,
    from_shifted_sums,
    linearise_ratio,
    merge,
    merge_all,
    select,
    transform,
)

COLUMNS = ("y", "x", "z")
numbers = st.floats(-1e3, 1e3, allow_nan=False, width=32)
tables = st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=40)


def same(a: Moments, b: Moments, rtol: float = 1e-9) -> None:
    assert (a.columns, a.n) == (b.columns, b.n)
    scale = np.maximum(a.max_abs, 1e-50)
    np.testing.assert_allclose(a.mean / scale, b.mean / scale, atol=rtol)
    np.testing.assert_allclose(
        a.comoment / np.outer(scale, scale), b.comoment / np.outer(scale, scale), atol=rtol * a.n
    )
    np.testing.assert_allclose(a.third / scale**3, b.third / scale**3, atol=rtol * a.n)
    np.testing.assert_array_equal(a.max_abs, b.max_abs)
    np.testing.assert_array_equal(a.nonzero, b.nonzero)


def shifted(rows: np.ndarray, centre: np.ndarray) -> Moments:
    off = rows - centre
    zeros = np.zeros(rows.shape[1], dtype=int)
    return from_shifted_sums(
        COLUMNS[: rows.shape[1]],
        len(rows),
        centre,
        off.sum(0),
        off.T @ off,
        (off**3).sum(0),
        np.abs(rows).max(0),
        np.count_nonzero(rows, axis=0),
        zeros,
    )


@given(tables, st.lists(st.integers(0, 3), min_size=40, max_size=40))
def test_merging_any_partition_gives_the_whole(rows: list[tuple[float, ...]], label: list[int]) -> None:
    values = np.array(rows)
    of = np.array(label[: len(rows)])
    merged = empty(COLUMNS)
    for part in range(4):
        merged = merge(merged, from_rows(COLUMNS, values[of == part]))
    same(merged, from_rows(COLUMNS, values))


@given(tables)
def test_shifted_sums_give_the_moments_of_the_rows(rows: list[tuple[float, ...]]) -> None:
    values = np.array(rows)
    centre = values.mean(0) + 0.25 * values.std(0)
    same(shifted(values, centre), from_rows(COLUMNS, values), 1e-8)


def test_third_moment_by_hand() -> None:
    m = from_rows(["y"], [[0.0], [0.0], [3.0]])
    assert m.third[0] == pytest.approx(-1 - 1 + 8)
    assert (m.nonzero[0], m.max_abs[0], m.total[0]) == (1, 3.0, pytest.approx(3.0))


def test_a_far_offset_keeps_its_digits_with_a_pooled_centre() -> None:
    rng = np.random.default_rng(1)
    values = 1e9 + rng.integers(-640, 640, (5000, 1)) / 64
    expected = (values - 1e9).var(ddof=1)
    assert shifted(values, np.array([1e9 + 3.0])).var("y") == pytest.approx(expected, rel=1e-12)


def test_a_centre_too_far_away_is_refused() -> None:
    values = 1e5 + np.random.default_rng(2).normal(size=(1000, 1))
    with pytest.raises(NotComputable) as caught:
        shifted(values, np.array([0.0]))
    assert caught.value.reason == "ill_conditioned"


@pytest.mark.parametrize("value", [0.1, -0.1, 0.0, 1e9, 7.3e-5])
@pytest.mark.parametrize("centre", [0.0, 0.03, 1e3])
def test_a_constant_column_has_no_variance_wherever_its_centre_is(value: float, centre: float) -> None:
    m = shifted(np.full((1001, 1), value), np.array([centre]))
    assert m.var("y") == 0.0
    assert m.third[0] == 0.0
    assert m.mean[0] == pytest.approx(value, rel=1e-9, abs=0.0)
    assert merge(m, from_rows(["y"], np.full((3, 1), value))).var("y") == 0.0


def test_degenerate_sizes() -> None:
    none, one = empty(["y"]), from_rows(["y"], [[4.0]])
    assert merge(none, one).mean[0] == 4.0
    assert merge(none, none).n == 0
    for m in (none, one):
        assert m.comoment[0, 0] == 0.0
        with pytest.raises(NotComputable) as caught:
            _ = m.cov
        assert caught.value.reason == "too_few_units"


def test_not_finite_is_refused() -> None:
    with pytest.raises(NotComputable) as caught:
        from_shifted_sums(["y"], 2, [0.0], [float("nan")], [[1.0]], [0.0], [1.0], [2], [0])
    assert caught.value.reason == "not_finite"


def test_select_and_names() -> None:
    m = from_rows(COLUMNS, [[1.0, 2.0, 4.0], [3.0, 1.0, 0.0], [0.0, 5.0, 1.0]])
    part = select(m, ("z", "y"))
    assert part.cov[0, 1] == pytest.approx(m.cov[2, 0])
    with pytest.raises(KeyError):
        m.index("nope")
    with pytest.raises(ValueError, match="cannot merge"):
        merge(m, part)
    with pytest.raises(ValueError, match="read-only"):
        m.mean[0] = 1.0


@given(tables, st.lists(st.integers(0, 3), min_size=40, max_size=40), st.permutations(range(4)))
def test_merging_many_in_any_order(rows: list[tuple[float, ...]], label: list[int], order: list[int]) -> None:
    values, of = np.array(rows), np.array(label[: len(rows)])
    parts = [from_rows(COLUMNS, values[of == part]) for part in range(4)]
    same(merge_all(parts[i] for i in order), from_rows(COLUMNS, values))


def test_merging_nothing() -> None:
    assert (merge_all([], ["y", "x"]).n, merge_all([], ["y", "x"]).columns) == (0, ("y", "x"))
    with pytest.raises(ValueError, match="names"):
        merge_all([])
    with pytest.raises(ValueError, match="cannot merge"):
        merge_all([empty(["y"])], ["x"])


matrices = st.lists(st.lists(st.floats(-3, 3), min_size=3, max_size=3), min_size=1, max_size=4)


@given(tables, matrices, st.floats(-50, 50))
def test_a_linear_map_of_the_columns_is_that_of_the_rows(
    rows: list[tuple[float, ...]], matrix: list[list[float]], shift: float
) -> None:
    values, a = np.array(rows), np.array(matrix)
    names = [f"c{i}" for i in range(len(a))]
    got = transform(from_rows(COLUMNS, values), a, names, np.full(len(a), shift))
    want = from_rows(names, values @ a.T + shift)
    scale = float(np.abs(values).max() * np.abs(a).max()) + abs(shift) + 1e-50
    np.testing.assert_allclose(got.mean / scale, want.mean / scale, atol=1e-12)
    np.testing.assert_allclose(got.comoment / scale**2, want.comoment / scale**2, atol=1e-11 * len(values))
    assert got.n == len(values)


def test_degenerate_linear_maps() -> None:
    x = np.random.default_rng(3).normal(1e3, 1, size=50)
    m = from_rows(["y", "d", "one"], np.column_stack([3 * x, x, np.ones(50)]))
    flat = transform(m, [[1.0, -3.0, 0.0], [0.0, 1.0, 0.0]], ["gap", "d"])
    assert (flat.var("gap"), flat.cov[0, 1], flat.var("d")) == (0.0, 0.0, pytest.approx(m.var("d")))
    none = transform(empty(["y", "d"]), [[1.0, 2.0]], ["z"], [7.0])
    assert (none.n, none.mean[0], none.comoment[0, 0]) == (0, 0.0, 0.0)
    one = transform(from_rows(["y", "d"], [[2.0, 5.0]]), [[1.0, 2.0]], ["z"])
    assert (one.n, one.mean[0], one.comoment[0, 0]) == (1, 12.0, 0.0)
    for wrong in ([[1.0, 2.0]], [[1.0, 2.0, 3.0]] * 2):
        with pytest.raises(ValueError, match="shape"):
            transform(m, wrong, ["z"])


def test_a_linearised_ratio_has_the_ratio_as_its_mean_and_its_delta_method_variance() -> None:
    rng = np.random.default_rng(4)
    d, x = 1.0 + rng.poisson(3, 80), rng.normal(size=80)
    y = d * (2 + x) + rng.normal(size=80)
    m = from_rows(["y", "d", "x"], np.column_stack([y, d, x]))
    ratio = y.sum() / d.sum()
    got = linearise_ratio(m, "y", "d", "r", ["x"])
    same_rows = from_rows(["r", "x"], np.column_stack([ratio + (y - ratio * d) / d.mean(), x]))
    np.testing.assert_allclose(got.mean, same_rows.mean, rtol=1e-12)
    np.testing.assert_allclose(got.comoment, same_rows.comoment, rtol=1e-10)
    assert got.mean[0] == pytest.approx(ratio, rel=1e-15)
    assert got.var("r") / 80 == pytest.approx(unadjusted_ratio([m], "y", "d").arm_variance[0], rel=1e-12)
    for nothing in (empty(["y", "d"]), from_rows(["y", "d"], [[1.0, 0.0]] * 3)):
        with pytest.raises(NotComputable) as caught:
            linearise_ratio(nothing, "y", "d", "r")
        assert caught.value.reason == "zero_denominator"
