from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from metricdef.errors import NotComputable
from metricdef.stats.bayes import NormalPrior, effect_variance, update
from metricdef.stats.effects import relative, unadjusted_mean

from .reference import moments

values = st.floats(-5, 5)
variances = st.floats(0.01, 4)


@given(values, variances, st.one_of(st.none(), st.tuples(values, variances)), st.booleans())
def test_against_quadrature(estimate, variance, prior, lower_is_better) -> None:
    got = update(
        estimate,
        variance,
        None if prior is None else NormalPrior(*prior),
        lower_is_better=lower_is_better,
        credible=0.9,
    )
    grid = np.linspace(got.mean - 12 * got.std_dev, got.mean + 12 * got.std_dev, 20_001)
    log = stats.norm.logpdf(estimate, grid, math.sqrt(variance))
    if prior is not None:
        log += stats.norm.logpdf(grid, prior[0], math.sqrt(prior[1]))
    density = np.exp(log - log.max())
    density /= integrate.trapezoid(density, grid)
    assert got.mean == pytest.approx(integrate.trapezoid(grid * density, grid), abs=1e-8)
    good = -grid if lower_is_better else grid
    assert got.loss_of_treatment == pytest.approx(integrate.trapezoid(np.maximum(-good, 0) * density, grid), abs=1e-6)
    assert got.loss_of_control == pytest.approx(integrate.trapezoid(np.maximum(good, 0) * density, grid), abs=1e-6)
    inside = (grid >= got.lower) & (grid <= got.upper)
    assert integrate.trapezoid(density * inside, grid) == pytest.approx(0.9, abs=5e-3)
    assert got.chance_to_beat + math.exp(got.log_chance_to_lose) == pytest.approx(1)
    # One loss less the other is the mean.
    assert got.loss_of_control - got.loss_of_treatment == pytest.approx(
        -got.mean if lower_is_better else got.mean, abs=1e-9
    )


def test_a_flat_prior_is_the_one_sided_p() -> None:
    got = update(-0.5, 0.04, lower_is_better=True)
    assert got.log_chance_to_lose == pytest.approx(float(stats.norm.logsf(2.5)))
    assert (got.mean, got.std_dev) == (-0.5, 0.2)


@pytest.mark.parametrize("r", [1e-3, 1.0, 5.0, 29.99, 30.01, 100.0, 1e4])
def test_far_tails_keep_their_logarithm(r) -> None:
    got = update(r, 1.0)
    # ln of r^-2 (1 - 3 / r^2 + ...) phi(r) by quadrature of e^(-r x - x^2 / 2) x.
    inner = integrate.quad(lambda x: x * math.exp(-r * x - x * x / 2), 0, 60 / max(r, 1), epsabs=0, epsrel=1e-12)[0]
    want = math.log(inner) - r * r / 2 - 0.5 * math.log(2 * math.pi)
    assert got.log_loss_of_treatment == pytest.approx(want, rel=1e-9 if r > 5 else 1e-8)
    assert got.log_chance_to_lose == pytest.approx(float(stats.norm.logsf(r)), rel=1e-12)
    assert got.loss_of_control == pytest.approx(r + got.loss_of_treatment, rel=1e-12)
    mirrored = update(-r, 1.0, lower_is_better=True)
    assert mirrored.log_loss_of_treatment == got.log_loss_of_treatment


def test_the_relative_scale() -> None:
    arms = [moments(100, ["y"], [10.0], [[4.0]]), moments(120, ["y"], [11.0], [[9.0]])]
    est = unadjusted_mean(arms, "y")
    lift = effect_variance(est, 1, "relative")
    assert lift.estimate == pytest.approx(0.1)
    assert lift.variance == pytest.approx(9 / 120 / 100 + 1.21 * 4 / 100 / 100)
    assert relative(est, 1, 0.05).estimate == pytest.approx(lift.estimate)
    absolute = effect_variance(est, 1)
    assert (absolute.estimate, absolute.variance) == (pytest.approx(1.0), pytest.approx(9 / 120 + 4 / 100))


def test_refused() -> None:
    zero = unadjusted_mean([moments(9, ["y"], [0.0], [[1.0]]), moments(9, ["y"], [1.0], [[1.0]])], "y")
    still = unadjusted_mean([moments(9, ["y"], [1.0], [[0.0]])] * 2, "y")
    alone = unadjusted_mean([moments(9, ["y"], [1.0], [[1.0]]), moments(1, ["y"], [1.0], [[0.0]])], "y")
    for est, scale, reason in (
        (zero, "relative", "baseline_zero"),
        (still, "absolute", "zero_variance"),
        (alone, "absolute", "too_few_units"),
    ):
        with pytest.raises(NotComputable) as caught:
            effect_variance(est, 1, scale)
        assert caught.value.reason == reason
    for call in (
        lambda: effect_variance(still, 1, "log"),
        lambda: NormalPrior(0.0, 0.0),
        lambda: update(1.0, 0.0),
        lambda: update(math.nan, 1.0),
        lambda: update(1.0, 1.0, credible=1.0),
    ):
        with pytest.raises(ValueError, match=r".+"):
            call()
