from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from metricdef.stats.indicators import with_indicators
from metricdef.stats.moments import empty, from_rows

SIZES = {"a": 7, "b": 1, "c": 12}


def test_it_is_the_moments_of_the_rows_with_dummies() -> None:
    rng = np.random.default_rng(1)
    names = [name for name, n in SIZES.items() for _ in range(n)]
    rows = rng.normal(3, 2, (20, 2)) + np.repeat([0.0, 5.0, -2.0], list(SIZES.values()))[:, None]
    cells = {
        name: (n, rows[[i for i, own in enumerate(names) if own == name]].mean(axis=0)) for name, n in SIZES.items()
    }
    chosen = ["c", "b", "nobody's"]  # a cell that only other arms have units in
    dummies = np.array([[own == name for name in chosen] for own in names], dtype=np.float64)
    want = from_rows(["y", "x", *chosen], np.column_stack([rows, dummies]))
    got = with_indicators(from_rows(["y", "x"], rows), cells, chosen)
    for field in fields(want):
        mine, theirs = getattr(got, field.name), getattr(want, field.name)
        if field.name in ("columns", "n"):
            assert mine == theirs
        else:
            np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-11)
    assert got.nonzero.dtype == want.nonzero.dtype


def test_no_cells_and_no_units() -> None:
    whole = from_rows(["y"], [[1.0], [4.0]])
    assert with_indicators(whole, {"a": (2, np.array([2.5]))}, []) is whole
    got = with_indicators(empty(["y"]), {}, ["a", "b"])
    assert (got.columns, got.n) == (("y", "a", "b"), 0)
    for value in (got.mean, got.comoment, got.third, got.max_abs, got.nonzero):
        assert value == pytest.approx(0.0)
