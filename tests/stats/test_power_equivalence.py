"""Planned power of equivalence is the share of simulated experiments that show it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import t as student
from thorough import examples

from metricdef.stats.effects import unadjusted_mean
from metricdef.stats.equivalence import equivalence
from metricdef.stats.moments import from_rows
from metricdef.stats.power import Level, sample_size
from metricdef.stats.power_equivalence import (
    power_equivalence,
    sample_size_equivalence,
    smallest_equivalence_margin,
)

LEVEL = Level(0.05, 1)


@pytest.mark.parametrize(("difference", "low", "high"), [(0.0, -0.2, 0.2), (0.05, -0.15, 0.3), (-0.1, -0.3, 0.1)])
def test_power_of_the_two_tests_against_simulation(difference, low, high):
    rng, reps, n = np.random.default_rng(3), 1500, (700, 500)
    shown = 0
    for _ in range(reps):
        arms = [rng.normal(0.0, 1.4, (n[1], 1)), rng.normal(difference, 1.0, (n[0], 1))]
        est = unadjusted_mean([from_rows(["y"], y) for y in arms], "y")
        shown += equivalence(est, 1, low, high, 0.05).equivalent
    want = power_equivalence(difference, 1.0, *n, low, high, LEVEL, sd_control=1.4).correct
    assert shown / reps == pytest.approx(want, abs=3 * math.sqrt(0.25 / reps))
    assert 0.2 < want < 0.95


@settings(deadline=None)
@given(st.floats(-0.9, 0.9), st.floats(0.5, 3), st.floats(0.05, 0.99), st.floats(0.1, 4), st.floats(0.001, 0.2))
def test_size_power_and_margin_invert_each_other(share, sd, wanted, allocation, alpha):
    level, margin = Level(alpha, 1), 0.25
    assume(wanted > 1.5 * alpha)
    found = sample_size_equivalence(
        share * margin, sd, -margin, margin, level, wanted, sd_control=1.1, allocation=allocation
    )
    n = (found.treatment, found.control)
    assert found.treatment == pytest.approx(allocation * found.control)
    got = power_equivalence(share * margin, sd, *n, -margin, margin, level, sd_control=1.1)
    assert got.correct == pytest.approx(wanted, abs=1e-8)
    shown = smallest_equivalence_margin(share * margin, sd, *n, level, wanted, sd_control=1.1)
    assert shown == pytest.approx(margin, rel=1e-6)


@pytest.mark.parametrize(("n", "sds", "difference"), [((6, 9), (1.0, 2.0), 0.3), ((12, 4), (1.0, 1.0), 0.0)])
def test_power_of_few_units_against_simulation(n, sds, difference):
    rng, reps, low, high = np.random.default_rng(4), 60_000, -2.0, 2.5
    arms = [rng.normal(mu, sd, (reps, k)) for mu, sd, k in zip((difference, 0.0), sds, n, strict=True)]
    v = np.array([x.var(axis=1, ddof=1) / k for x, k in zip(arms, n, strict=True)])
    df = v.sum(axis=0) ** 2 / (v**2 / (np.array(n) - 1)[:, None]).sum(axis=0)
    d, half = arms[0].mean(axis=1) - arms[1].mean(axis=1), student.isf(0.05, df) * np.sqrt(v.sum(axis=0))
    shown = np.mean((d - half > low) & (d + half < high))
    want = power_equivalence(difference, sds[0], *n, low, high, LEVEL, sd_control=sds[1], test="welch").correct
    assert want == pytest.approx(shown, abs=0.009)
    assert power_equivalence(difference, sds[0], *n, low, high, LEVEL, sd_control=sds[1]).correct > want + 0.02
    pooled = np.sqrt((v * np.array(n)[:, None] * (np.array(n) - 1)[:, None]).sum(axis=0) / (sum(n) - 2))
    if sds[0] == sds[1]:
        half = student.isf(0.05, sum(n) - 2) * pooled * math.sqrt(1 / n[0] + 1 / n[1])
        shown = np.mean((d - half > low) & (d + half < high))
        want = power_equivalence(difference, 1.0, *n, low, high, LEVEL, test="pooled").correct
        assert want == pytest.approx(shown, abs=0.009)


@settings(max_examples=examples(4), deadline=None)
@given(st.floats(-0.9, 0.9), st.floats(0.3, 0.95), st.floats(0.2, 3), st.sampled_from(["welch", "pooled"]))
def test_the_same_by_t(share, wanted, allocation, test):
    by = {"sd_control": 0.4, "test": test}
    found = sample_size_equivalence(share, 0.3, -1.0, 1.0, LEVEL, wanted, allocation=allocation, **by)
    n = (found.treatment, found.control)
    if min(n) > 2:
        assert power_equivalence(share, 0.3, *n, -1.0, 1.0, LEVEL, **by).correct == pytest.approx(wanted, abs=1e-6)
        assert smallest_equivalence_margin(share, 0.3, *n, LEVEL, wanted, **by) == pytest.approx(1.0, rel=1e-5)


def test_a_far_margin_is_no_hindrance():
    one = sample_size(0.0, 1.0, LEVEL, 0.8, null=-0.1)
    assert sample_size_equivalence(0.0, 1.0, -0.1, 50.0, LEVEL, 0.8).total == pytest.approx(one.total)
    both = sample_size_equivalence(0.0, 1.0, -0.1, 0.1, LEVEL, 0.8, arms=3)
    assert both.control > 1.3 * one.control
    # At the middle each test may miss half of what the pair may: Schuirmann (1987).
    assert both.control == pytest.approx(sample_size(0.0, 1.0, LEVEL, 0.9, null=-0.1).control, rel=1e-9)
    assert both.total == pytest.approx(4 * both.control)


def test_too_few_units_to_show_it_at_all():
    assert power_equivalence(0.0, 1.0, 10, 10, -0.1, 0.1, LEVEL).correct == 0.0
    tiny = power_equivalence(0.0, 1.0, 20_000, 20_000, -0.1, 0.1, Level(1e-30, 1)).correct
    assert 0.0 <= tiny < 1e-3


@pytest.mark.parametrize(
    "call",
    [
        lambda: power_equivalence(0.2, 1.0, 100, 100, -0.1, 0.1, LEVEL),
        lambda: power_equivalence(math.nan, 1.0, 100, 100, -0.1, 0.1, LEVEL),
        lambda: power_equivalence(0.0, 1.0, 100, 100, -0.1, 0.1, Level(0.05)),
        lambda: power_equivalence(0.0, 1.0, 0, 100, -0.1, 0.1, LEVEL),
        lambda: sample_size_equivalence(0.1, 1.0, -0.1, 0.1, LEVEL, 0.8),
        lambda: sample_size_equivalence(0.0, 1.0, -0.1, 0.1, LEVEL, 1.0),
        lambda: sample_size_equivalence(0.0, 1.0, -0.1, 0.1, LEVEL, 0.8, allocation=0.0),
        lambda: smallest_equivalence_margin(math.inf, 1.0, 100, 100, LEVEL, 0.8),
        lambda: smallest_equivalence_margin(0.0, 1.0, 100, 100, Level(0.05), 0.8),
        lambda: smallest_equivalence_margin(0.0, 1.0, 100, 100, LEVEL, 0.01),
    ],
)
def test_refusals(call):
    with pytest.raises(ValueError):
        call()
