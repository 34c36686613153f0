"""Confidence sequences against confseq and gbstats."""

import math

import pytest

from metricdef.stats.anytime import half_width, tuned_rho2
from stats.reference import agrees, cases, name


@pytest.mark.parametrize("case", cases("anytime", "asymptotic_cs_two_sided"), ids=name)
def test_half_width(case):
    given, want = case["inputs"], case["expected"]
    rho2 = tuned_rho2(given["t_opt"], given["alpha"])
    agrees(case, math.sqrt(rho2), want["rho_approx"])
    std_error = given["se"] if "se" in given else given["sd"] / math.sqrt(given["n"])
    agrees(case, half_width(std_error, given["n"], rho2, given["alpha"]), want["half_width_rho_approx"])


def test_it_is_tightest_near_the_planned_size():
    rho2 = tuned_rho2(10_000, 0.05)
    factors = {n: half_width(1.0, n, rho2, 0.05) for n in (100, 1_000, 10_000, 100_000, 1_000_000)}
    assert min(factors, key=factors.__getitem__) == 10_000
    assert all(factor > 1.96 for factor in factors.values())
