from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from thorough import examples

from metricdef.errors import NotComputable
from metricdef.stats import effects
from metricdef.stats.effects import ArmEstimates, difference, relative
from metricdef.stats.moments import Floats, Moments, empty, from_rows
from metricdef.stats.quantiles import (
    RANK_Z,
    OrderStatistics,
    binomial_ranks,
    event_quantiles,
    rank_band,
    sample_quantile,
    unit_quantiles,
)

NUMPY = {
    1: "inverted_cdf",
    2: "averaged_inverted_cdf",
    3: "closest_observation",
    4: "interpolated_inverted_cdf",
    5: "hazen",
    6: "weibull",
    7: "linear",
    8: "median_unbiased",
    9: "normal_unbiased",
}


def band(values: Floats, q: float) -> OrderStatistics:
    """As PERCENTILE_CONT at the three fractions."""
    lower, middle, upper = np.quantile(values, rank_band(len(values), q).fractions)
    return OrderStatistics(len(values), float(middle), float(lower), float(upper))


@settings(max_examples=examples(300))
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30), st.integers(0, 1000), st.sampled_from(list(NUMPY)))
def test_the_nine_definitions(values: list[int], per_mille: int, kind: int) -> None:
    p = per_mille / 1000
    # numpy counts a position 1e-16 off a rank as off it, so positions on a rank are compared with exact ones only.
    position = len(values) * p - (0.5 if kind == 3 else 0.0)
    assume(kind > 3 or abs(position - round(position)) > 1e-9 or len(values) in (1, 2, 4, 8))
    assume(kind != 3 or position > 0)  # below the first rank numpy differs from R
    want = np.quantile(np.array(values, dtype=float), p, method=NUMPY[kind])
    assert sample_quantile(sorted(values), p, kind) == pytest.approx(want, rel=1e-9, abs=1e-9)


def test_a_position_on_a_rank_is_that_rank() -> None:
    """100 * 0.07 is 7.000000000000001 in float64."""
    values = np.arange(1.0, 101.0)
    assert sample_quantile(values, 0.07, 1) == 7.0
    assert sample_quantile(values, 0.07, 2) == 7.5
    assert rank_band(100, 0.07).ranks[1] == 7
    for n in range(60, 400):
        for q in (0.1, 0.3, 0.7, 0.9):
            if n > RANK_Z**2 * 9:
                assert rank_band(n, q).ranks[1] == -(-n * round(q * 10) // 10)


@pytest.mark.parametrize(("n", "q"), [(400, 0.75), (90, 0.5), (35, 0.9), (100_000, 0.999)])
def test_the_band_is_what_the_standard_error_needs(n: int, q: float) -> None:
    got = rank_band(n, q)
    half = RANK_Z * math.sqrt(q * (1 - q) / n)
    assert got.fractions == pytest.approx((q - half, q, q + half))
    assert got.ranks == tuple(math.ceil(n * f - 1e-9) for f in got.fractions)
    assert 1 <= got.ranks[0] < got.ranks[1] < got.ranks[2] <= n


def test_too_few_for_a_band() -> None:
    for n, q in ((34, 0.9), (34, 0.1), (3, 0.5), (0, 0.5)):
        with pytest.raises(NotComputable) as caught:
            rank_band(n, q)
        assert caught.value.reason == "too_few_units"
    assert rank_band(35, 0.9).fractions[2] < 1
    assert rank_band(4, 0.5).fractions[0] > 0
    for q in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="between"):
            rank_band(100, q)


@pytest.mark.parametrize("seed", range(3))
def test_units_against_the_formula_on_sorted_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arms = [rng.lognormal(size=n) for n in (150, 230)]
    q = 0.8
    est = unit_quantiles([band(values, q) for values in arms], q)
    se = []
    for values in arms:
        n, half = len(values), 1.959963984540054 * math.sqrt(q * (1 - q) / len(values))
        ordered = np.sort(values)

        def at(f: float, ordered: Floats = ordered, n: int = n) -> float:
            position = (n - 1) * f
            low = int(position)
            return float(ordered[low] + (position - low) * (ordered[low + 1] - ordered[low]))

        se.append((at(q + half) - at(q - half)) / (2 * 1.959963984540054))
    np.testing.assert_allclose(est.arm_variance, np.square(se), rtol=1e-10)
    d = difference(est, 1, 0.05)
    assert d.estimate == pytest.approx(np.quantile(arms[1], q) - np.quantile(arms[0], q))
    assert d.df == pytest.approx(sum(np.square(se)) ** 2 / (se[0] ** 4 / 149 + se[1] ** 4 / 229))
    factor = unit_quantiles([band(values, q) for values in arms], q, gbstats=True).arm_variance / est.arm_variance
    np.testing.assert_allclose(factor, [149 / 150, 229 / 230])


def test_the_standard_error_is_that_of_the_density() -> None:
    """sqrt(q (1 - q) / n) / f at the median of a normal."""
    values = np.random.default_rng(1).normal(size=40_000)
    est = unit_quantiles([band(values, 0.5)] * 2, 0.5)
    assert math.sqrt(est.arm_variance[0]) == pytest.approx(0.5 / math.sqrt(40_000) * math.sqrt(2 * math.pi), rel=0.05)


def events(seed: int, units: int, q: float) -> tuple[OrderStatistics, Moments, Floats, Floats]:
    rng = np.random.default_rng(seed)
    counts = 1 + rng.poisson(4, units)
    unit = np.repeat(np.arange(units), counts)
    y = rng.normal(size=units)[unit] + rng.normal(size=len(unit))
    b = band(y, q)
    assert b.estimate is not None
    below = np.bincount(unit, weights=(y <= b.estimate).astype(float))
    return b, from_rows(["below", "rows"], np.column_stack([below, counts])), y, unit


@pytest.mark.parametrize("seed", range(3))
def test_events_against_the_rows(seed: int) -> None:
    q = 0.75
    parts = [events(2 * seed + a, units, q) for a, units in enumerate((70, 50))]
    est = event_quantiles([p[0] for p in parts], [p[1] for p in parts], "below", "rows", q)
    iid = unit_quantiles([p[0] for p in parts], q)
    for a, (b, _, y, unit) in enumerate(parts):
        indicator = (y <= b.estimate).astype(float)
        share, g = indicator.mean(), unit.max() + 1
        scores = np.bincount(unit, weights=indicator - share)
        v = (scores**2).sum() / len(y) ** 2 * g / (g - 1)
        assert est.arm_variance[a] == pytest.approx(iid.arm_variance[a] * v / (q * (1 - q) / len(y)), rel=1e-9)
        assert est.arm_df[a] == g - 1
        assert est.arm_variance[a] > 1.5 * iid.arm_variance[a]


@settings(max_examples=examples(30))
@given(st.integers(0, 10**6), st.sampled_from([0.25, 0.5, 0.8]), st.sampled_from([0.01, 0.1, 0.4]))
def test_p_and_intervals_of_events_agree(seed: int, q: float, alpha: float) -> None:
    parts = [events(seed + a, units, q) for a, units in enumerate((30, 45))]
    est = event_quantiles([p[0] for p in parts], [p[1] for p in parts], "below", "rows", q)
    d, r = difference(est, 1, alpha), relative(est, 1, alpha)
    assume(abs(d.p_value - alpha) > 1e-9)
    outside = r.lower is not None and r.upper is not None and not r.lower <= 0 <= r.upper
    gap = r.excluded is not None and r.excluded[0] < 0 < r.excluded[1]
    assert (d.p_value < alpha) == (not d.lower <= 0 <= d.upper) == (outside or gap)
    swapped = event_quantiles([p[0] for p in parts[::-1]], [p[1] for p in parts[::-1]], "below", "rows", q)
    assert difference(swapped, 1, alpha).p_value == pytest.approx(d.p_value)


def test_one_event_a_unit_is_a_quantile_of_units() -> None:
    q = 0.6
    values = np.random.default_rng(4).normal(size=(2, 300))
    bands = [band(v, q) for v in values]
    units = [
        from_rows(["below", "rows"], np.column_stack([v <= b.estimate, np.ones(300)]).astype(float))
        for v, b in zip(values, bands, strict=True)
    ]
    a, b = event_quantiles(bands, units, "below", "rows", q), unit_quantiles(bands, q)
    np.testing.assert_allclose(a.arm_variance, b.arm_variance * 300 / 299, rtol=1e-9)  # 180 of 300 lie below
    np.testing.assert_array_equal(a.arm_df, b.arm_df)


def reason(est: ArmEstimates, arm: int) -> str:
    with pytest.raises(NotComputable) as caught:
        difference(est, arm, 0.05)
    return caught.value.reason


def test_an_arm_that_has_no_estimate_does_not_stop_the_others() -> None:
    good = OrderStatistics(100, 5.0, 4.0, 6.5)
    arms = [
        good,
        OrderStatistics(100, 5.0, 5.0, 5.0),
        OrderStatistics(3, 5.0, 4.0, 6.0),
        OrderStatistics(100, None, 4.0, 6.0),
        OrderStatistics(0, None, None, None),
        OrderStatistics(80, 5.5, 4.4, 6.6),
        OrderStatistics(80, 5.5, 4.4, math.inf),
    ]
    est = unit_quantiles(arms, 0.5, gbstats=True)
    assert [reason(est, a) for a in (1, 2, 3, 4, 6)] == ["ties", *["too_few_units"] * 3, "not_finite"]
    assert difference(est, 5, 0.05).estimate == pytest.approx(0.5)
    tied = unit_quantiles([arms[1], good], 0.5)
    assert reason(tied, 1) == "ties"
    with pytest.raises(NotComputable):
        relative(tied, 1, 0.05)
    with pytest.raises(ValueError, match="order"):
        unit_quantiles([OrderStatistics(100, 5.0, 5.5, 6.0)], 0.5)


def test_events_of_too_few_units_or_of_units_alike() -> None:
    b = OrderStatistics(40, 5.0, 4.0, 6.0)
    alike = from_rows(["below", "rows"], [[2.0, 4.0]] * 10)
    single = from_rows(["below", "rows"], [[20.0, 40.0]])
    vary = from_rows(["below", "rows"], [[3.0, 4.0], [1.0, 4.0]] * 5)
    none = OrderStatistics(0, None, None, None)
    columns = "below", "rows"
    assert reason(event_quantiles([b, b], [vary, single], *columns, 0.5), 1) == "too_few_units"
    assert reason(event_quantiles([b, b], [vary, single], *columns, 0.5, gbstats=True), 1) == "too_few_units"
    assert reason(event_quantiles([b, b], [vary, alike], *columns, 0.5), 1) == "zero_variance"
    assert reason(event_quantiles([b, none], [vary, empty(columns)], *columns, 0.5), 1) == "too_few_units"
    with pytest.raises(ValueError, match="ranked"):
        event_quantiles([b], [from_rows(columns, [[1.0, 4.0], [2.0, 4.0]])], *columns, 0.5)


@settings(max_examples=examples(60))
@given(
    st.integers(0, 10**6), st.sampled_from([0.25, 0.5, 0.9]), st.sampled_from([0.01, 0.1, 0.4]), st.floats(1e-3, 1e3)
)
def test_p_intervals_labels_scale_and_shift(seed: int, q: float, alpha: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    arms = [rng.lognormal(shift, 1, n) for shift, n in zip(rng.normal(0, 0.3, 2), rng.integers(40, 90, 2), strict=True)]

    def estimate(values: list[Floats]) -> ArmEstimates:
        return unit_quantiles([band(v, q) for v in values], q)

    est = estimate(arms)
    d, r = difference(est, 1, alpha), relative(est, 1, alpha)
    assume(abs(d.p_value - alpha) > 1e-9)
    outside = r.lower is not None and r.upper is not None and not r.lower <= 0 <= r.upper
    gap = r.excluded is not None and r.excluded[0] < 0 < r.excluded[1]
    assert (d.p_value < alpha) == (not d.lower <= 0 <= d.upper) == (outside or gap)
    swapped = difference(estimate(arms[::-1]), 1, alpha)
    assert (swapped.estimate, swapped.p_value) == (pytest.approx(-d.estimate), pytest.approx(d.p_value))
    for changed in (estimate([v * scale for v in arms]), estimate([v + scale for v in arms])):
        assert difference(changed, 1, alpha).p_value == pytest.approx(d.p_value, rel=1e-6)
    # A relative margin is the contrast q1 - (1 + r) q0.
    t = effects.test_one_sided(est, 1, 0.0, True, alpha, relative=-0.05)
    se = math.sqrt(est.arm_variance[1] + 0.95**2 * est.arm_variance[0])
    assert t.statistic == pytest.approx((est.means[1] - 0.95 * est.means[0]) / se)


@settings(max_examples=examples(60))
@given(st.integers(1, 400), st.floats(0.02, 0.98), st.sampled_from([0.01, 0.05, 0.3]))
def test_binomial_ranks_are_the_narrowest_of_each_tail(n: int, q: float, alpha: float) -> None:
    from scipy.stats import binom

    got = binomial_ranks(n, q, alpha)
    low, high = int(binom.ppf(alpha / 2, n, q)), int(binom.ppf(1 - alpha / 2, n, q)) + 1
    assert (got.lower, got.upper) == (low or None, high if high <= n else None)
    assert got.coverage == pytest.approx(sum(binom.pmf(k, n, q) for k in range(low, high)), rel=1e-9)
    assert got.coverage >= 1 - alpha - 1e-12


def test_bad_requests() -> None:
    with pytest.raises(ValueError, match="numbered"):
        sample_quantile([1.0], 0.5, 10)
    with pytest.raises(ValueError, match="fraction"):
        sample_quantile([1.0], 1.5)
    for call in (lambda: sample_quantile([], 0.5), lambda: binomial_ranks(0, 0.5, 0.05)):
        with pytest.raises(NotComputable) as caught:
            call()
        assert caught.value.reason == "too_few_units"
