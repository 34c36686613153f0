from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from metricdef.stats.adjustment import MeanOutcome, RatioOutcome
from metricdef.stats.effects import difference, unadjusted_mean
from metricdef.stats.guards import SKEWNESS_LIMIT, guards, quantile_guards, skewed, skewness_limit
from metricdef.stats.moments import Moments, from_rows, merge_all

MEAN, RATIO = MeanOutcome("y"), RatioOutcome("y", "d")


def arms(rows: np.ndarray, other: np.ndarray) -> tuple[Moments, Moments, float]:
    a, b = from_rows(["y", "d"][: rows.shape[1]], rows), from_rows(["y", "d"][: rows.shape[1]], other)
    return a, b, difference(unadjusted_mean([b, a], "y"), 1, 0.05).std_error


def unadjusted_within(parts: list[tuple[Moments, Moments]]) -> float:
    share = [(a.n + b.n) / sum(x.n + y.n for x, y in parts) for a, b in parts]
    return sum(w * w * (a.var("y") / a.n + b.var("y") / b.n) for w, (a, b) in zip(share, parts, strict=True)) ** 0.5


def test_normal_values_pass() -> None:
    rng = np.random.default_rng(1)
    assert guards(*arms(rng.normal(size=(500, 1)), rng.normal(size=(500, 1)))[:2], MEAN, 0.063) == ()


def test_skewness_of_the_difference() -> None:
    rng = np.random.default_rng(2)
    big, small = rng.lognormal(0, 2, (2000, 1)), rng.lognormal(0, 2, (200, 1))
    a, b, se = arms(big, small)
    k3 = [((v - v.mean()) ** 3).mean() / len(v) ** 2 for v in (big, small)]
    assert abs(k3[0] - k3[1]) / se**3 > 0.2
    assert guards(a, b, MEAN, se) == ("small-sample",)
    # Equal arms cancel: the difference is symmetric.
    assert guards(a, a, MEAN, se) == ()


def test_the_limit_and_twice_the_chance() -> None:
    rng = np.random.default_rng(3)
    v, w = rng.exponential(size=(300, 1)), rng.normal(size=(300, 1))
    a, b, se = arms(v, w)
    k3 = abs(float(a.third[0]) / 300**3 - float(b.third[0]) / 300**3)
    chance = np.sqrt(6 * (a.var("y") ** 3 + b.var("y") ** 3) / 300**5)
    edge = ((k3 - 2 * chance) / SKEWNESS_LIMIT) ** (1 / 3)
    assert edge < se
    assert guards(a, b, MEAN, edge * 1.001) == ()
    assert guards(a, b, MEAN, edge * 0.999) == ("small-sample",)


def test_a_small_arm_is_judged_by_the_shape_of_both() -> None:
    # Its own 200 values are symmetric: the rare large ones happened to stay away, as in the samples that mislead.
    rng = np.random.default_rng(8)
    small, large = rng.normal(size=(200, 1)), rng.lognormal(0, 1.5, (1800, 1))
    a, b, se = arms(small, large)
    n1, n0 = 200, 1800
    own = abs(float(a.third[0]) / n1**3 - float(b.third[0]) / n0**3) / se**3
    square, third = float(a.comoment[0, 0] + b.comoment[0, 0]), float(a.third[0] + b.third[0])
    lever = 1 / n1**2 - 1 / n0**2
    together = third / 2000 * lever / (square / 1998 * (1 / n1 + 1 / n0)) ** 1.5
    chance = np.sqrt(6 / 2000) * lever / (1 / n1 + 1 / n0) ** 1.5
    assert own < SKEWNESS_LIMIT < together - 2 * chance
    assert guards(a, b, MEAN, se) == ("small-sample",)
    # Arms of one size: what both have cancels.
    assert guards(b, b, MEAN, se) == ()


def test_twenty_normal_values_are_no_reason_to_warn() -> None:
    rng = np.random.default_rng(9)
    fired = 0
    for _ in range(2000):
        a, b, se = arms(rng.normal(size=(20, 1)), rng.normal(size=(180, 1)))
        fired += bool(guards(a, b, MEAN, se))
        fired += bool(guards(a, b, MEAN, se * 0.7))  # adjusted by covariates that explain half
    assert fired <= 40


@pytest.mark.parametrize("scale", [1e-60, 1e60])
def test_units_do_not_matter(scale: float) -> None:
    rng = np.random.default_rng(2)
    big, small = rng.lognormal(0, 2, (2000, 1)), rng.lognormal(0, 2, (200, 1))
    a, b, se = arms(big * scale, small * scale)
    assert guards(a, b, MEAN, se) == ("small-sample",)
    a, b, se = arms(rng.normal(size=(2000, 1)) * scale, rng.normal(size=(200, 1)) * scale)
    assert guards(a, b, MEAN, se) == ()


def test_what_differs_between_epochs_is_no_skewness() -> None:
    # Nine tenths of the units come early and low, the rest late and high: skewed together, symmetric in each epoch.
    rng = np.random.default_rng(10)

    def epochs(early: int, late: int) -> list[Moments]:
        return [from_rows(["y"], rng.normal(at, 1, (n, 1))) for at, n in ((0, early), (30, late))]

    arm, baseline = epochs(90, 10), epochs(900, 100)
    whole = merge_all(arm), merge_all(baseline)
    se = 0.1
    assert guards(*whole, MEAN, se) == ("small-sample",)
    assert guards(*whole, MEAN, se, list(zip(arm, baseline, strict=True))) == ()


def test_the_smallest_part_decides() -> None:
    # 4 of an arm's 204 units carry half of the weight: their skewness counts, though the arms are of one size.
    rng = np.random.default_rng(11)
    skewed_values = rng.exponential(size=(4, 1)) ** 3, rng.exponential(size=(200, 1)) ** 3
    plain = rng.normal(size=(200, 1)), rng.normal(size=(4, 1))
    parts = [
        (from_rows(["y"], skewed_values[0]), from_rows(["y"], skewed_values[1])),
        (from_rows(["y"], plain[0]), from_rows(["y"], plain[1])),
    ]
    whole = merge_all([a for a, _ in parts]), merge_all([b for _, b in parts])
    se = unadjusted_within(parts)
    assert guards(*whole, MEAN, se, parts) == ("small-sample",)
    assert guards(*whole, MEAN, se, parts[1:]) == ()


def test_few_events() -> None:
    rows = np.zeros((100, 1))
    rows[:9] = 1
    more = np.zeros((100, 1))
    more[:10] = 1
    a, b, se = arms(more, rows)
    assert guards(a, b, MEAN, se) == ("small-sample",)
    assert guards(a, a, MEAN, se) == ()


def test_dominant_unit_of_a_ratio() -> None:
    rng = np.random.default_rng(4)
    d = 1.0 + rng.poisson(3, 200)
    rows = np.column_stack([d * 2 + rng.normal(size=200), d])
    a, b, se = arms(rows, rows)
    assert guards(a, b, RATIO, se) == ()
    rows = rows.copy()
    rows[0] = (200.0, 100.0)
    a, _, se = arms(rows, rows)
    assert "dominant-unit" in guards(a, b, RATIO, se)
    assert "small-sample" in guards(b, a, RATIO, se)


@pytest.mark.parametrize(("largest", "expected"), [(2.7, ()), (2.73, ("small-sample", "dominant-unit"))])
def test_a_fair_share_of_few_units_dominates_nothing(largest: float, expected: tuple[str, ...]) -> None:
    # 19 units of 1 and one of x: x / (19 + x) is 2.5 / 20 at x = 19 / 7 = 2.71.
    d = np.ones(20)
    d[0] = largest
    rows = np.column_stack([d * 2 + np.tile([0.1, -0.1], 10), d])
    a, b, se = arms(rows, rows)
    assert guards(a, b, RATIO, se) == expected


def test_exactly_a_tenth_does_not_dominate() -> None:
    rows = np.column_stack([np.tile([1.0, 2.0, 3.0], 31)[:91], np.ones(91)])
    rows[0, 1] = 10.0  # of 100
    a, b, se = arms(rows, rows)
    assert guards(a, b, RATIO, se) == ()
    rows[0, 1] = 10.1
    a, b, se = arms(rows, rows)
    assert guards(a, b, RATIO, se) == ("small-sample", "dominant-unit")


def test_an_arm_of_one() -> None:
    one = from_rows(["y"], [[1.0]])
    assert guards(one, one, MEAN, 0.0) == ("small-sample",)


@pytest.mark.parametrize(
    ("counts", "q", "expected"),
    [
        ((100, 5000), 0.5, ()),
        ((99, 5000), 0.5, ("small-sample",)),
        ((5000, 499), 0.9, ("small-sample",)),
        ((5000, 501), 0.9, ()),
        ((501, 501), 0.1, ()),
        ((499, 501), 0.1, ("small-sample",)),
    ],
)
def test_few_values_beyond_a_quantile(counts: tuple[int, int], q: float, expected: tuple[str, ...]) -> None:
    assert quantile_guards(counts, q) == expected


def figures(parts: list[tuple[Moments, Moments]]) -> tuple[float, float, float]:
    """Plain standard error, and by how much each figure exceeds twice its chance, from arrays (part, arm)."""
    n = np.array([[m.n for m in pair] for pair in parts], dtype=float)
    square = np.array([[m.comoment[0, 0] for m in pair] for pair in parts])
    third = np.array([[m.third[0] for m in pair] for pair in parts])
    w = n.sum(axis=1) / n.sum()
    sign = np.array([1.0, -1.0])
    k2 = square / (n - 1)
    plain = float(np.sqrt((w**2 * (k2 / n).sum(axis=1)).sum()))
    own = abs(float((w**3 * (sign * third / n**3).sum(axis=1)).sum()))
    own_chance = float(np.sqrt((w**6 * (6 * k2**3 / n**5).sum(axis=1)).sum()))
    both2, both3 = square.sum(axis=1) / (n.sum(axis=1) - 2), third.sum(axis=1) / n.sum(axis=1)
    lever = w**3 * (sign / n**2).sum(axis=1)
    spread = float(np.sqrt((w**2 * both2 * (1 / n).sum(axis=1)).sum()))
    together = abs(float((lever * both3).sum()))
    together_chance = float(np.sqrt((lever**2 * 6 * both2**3 / n.sum(axis=1)).sum()))
    return plain, (own - 2 * own_chance) / plain**3, (together - 2 * together_chance) / spread**3


@pytest.mark.parametrize("seed", range(40))
def test_the_edge_of_both_figures(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(1 + seed % 3):
        sizes = rng.integers(2, 12, 2) if seed % 2 else rng.integers(20, 200, 2)
        a, b = (from_rows(["y"], rng.exponential(1 + rng.random(), (n, 1)) ** (1 + seed % 2)) for n in sizes)
        parts.append((a, b))
    plain, own, together = figures(parts)
    edge = max(
        max(own, 0.0) / SKEWNESS_LIMIT, max(together, 0.0) / SKEWNESS_LIMIT if together < SKEWNESS_LIMIT else math.inf
    ) ** (1 / 3)
    assert skewed(parts, "y", None) == (max(own, together) > SKEWNESS_LIMIT)
    if math.isinf(edge):
        assert skewed(parts, "y", plain * 1e6)  # whatever the reported error
    elif edge > 0:
        assert not skewed(parts, "y", plain * edge * (1 + 1e-6))
        assert skewed(parts, "y", plain * edge * (1 - 1e-6))
    lonely = from_rows(["y"], [[1e3]])
    assert skewed([*parts, (lonely, parts[0][1])], "y", None) == skewed(parts, "y", None)


def test_nothing_to_judge() -> None:
    still, lonely = from_rows(["y"], np.full((30, 1), 2.0)), from_rows(["y"], [[1.0]])
    assert not skewed([(still, still)], "y", 1.0)
    assert not skewed([(lonely, still)], "y", 1.0)
    rng = np.random.default_rng(2)
    a, b, _ = arms(rng.lognormal(0, 2, (2000, 1)), rng.lognormal(0, 2, (200, 1)))
    assert skewed([(a, b)], "y", None)
    assert not skewed([(a, b)], "y", 0.0)  # the score family has no standard error


def test_shapes_that_differ_in_arms_of_one_size() -> None:
    rng = np.random.default_rng(6)
    parts = [(from_rows(["y"], rng.exponential(size=(40, 1)) ** 2), from_rows(["y"], rng.normal(size=(40, 1))))]
    _, own, together = figures(parts)
    assert together == 0.0
    assert SKEWNESS_LIMIT < own < 1.0
    assert skewed(parts, "y", None)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_at_the_limit_of_any_level_a_tail_errs_less_than_twice_as_often(alpha: float) -> None:
    limit = skewness_limit(alpha)
    n = round((2 / limit) ** 2)  # a mean of so many exponential values has just that skewness
    values = np.random.default_rng(12).standard_exponential((40_000, n))
    t = (values.mean(axis=1) - 1) / values.std(axis=1, ddof=1) * n**0.5
    rate = float((t < -stats.t.isf(alpha / 2, n - 1)).mean())
    error = (alpha / 40_000) ** 0.5
    assert 1.35 * alpha / 2 - 3 * error < rate < 1.8 * alpha / 2 + 3 * error


def test_the_limit_of_the_usual_level() -> None:
    assert skewness_limit(0.05) == 0.16
    limits = [skewness_limit(alpha) for alpha in (0.2, 0.1, 0.05, 0.01, 1e-4, 1e-12)]
    assert limits == sorted(limits, reverse=True)
    assert limits[-1] > 0


def test_a_strict_test_bears_less_skewness() -> None:
    rng = np.random.default_rng(13)
    a, b, se = arms(rng.exponential(size=(300, 1)), rng.exponential(size=(3000, 1)))
    assert guards(a, b, MEAN, se) == ()
    assert guards(a, b, MEAN, se, alpha=0.05 / 12) == ("small-sample",)


def test_two_units_in_a_part() -> None:
    rng = np.random.default_rng(14)
    sizes = [(100, 100), (2, 50)]
    parts = [(from_rows(["y"], rng.normal(3, 1, (i, 1))), from_rows(["y"], rng.normal(3, 1, (j, 1)))) for i, j in sizes]
    whole = merge_all([a for a, _ in parts]), merge_all([b for _, b in parts])
    assert guards(*whole, MEAN, unadjusted_within(parts), parts) == ("small-sample",)
    assert guards(*whole, MEAN, unadjusted_within(parts), parts[:1]) == ()
