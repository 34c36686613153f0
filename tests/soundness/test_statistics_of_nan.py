"""NaN and infinity went in, and a p of 1 ("no effect") or a power of 0 came out: they must raise."""

import math

import numpy as np
import pytest

from metricdef.errors import NotComputable
from metricdef.stats import effects
from metricdef.stats.anytime import confidence_sequence, log_e_value, mixture_test, one_sided_sequence
from metricdef.stats.contingency import homogeneity, independence
from metricdef.stats.contrast import test_contrast as run_contrast
from metricdef.stats.effects import ArmEstimates, difference, unadjusted_mean
from metricdef.stats.family import IntervalRule, compatible_bounds, limits
from metricdef.stats.graph import holm
from metricdef.stats.group_sequential import AlphaSpending, boundaries
from metricdef.stats.heterogeneity import cochran_q
from metricdef.stats.hybrid import hybrid_look, hybrid_plan
from metricdef.stats.joint import normal_p
from metricdef.stats.lift import log_lift
from metricdef.stats.looks import realised_fractions
from metricdef.stats.moments import from_rows
from metricdef.stats.power import Level, mde, power, power_of_noncentrality, sample_size
from metricdef.stats.power_anytime import mde_anytime, power_anytime, power_hybrid
from metricdef.stats.power_equivalence import power_equivalence
from metricdef.stats.power_score import power_non_inferiority
from metricdef.stats.power_sequential import mde_group_sequential, power_group_sequential
from metricdef.stats.quantiles import binomial_ranks, sample_quantile
from metricdef.stats.repeated import conditional_power, repeated_interval
from metricdef.stats.spending import Spending
from metricdef.stats.srm import chi_square, sequential
from metricdef.stats.tails import t_quantile, t_tail, z_quantile, z_tail
from metricdef.stats.true_bounds import PowerShape
from metricdef.stats.unit_sd import adjusted_sd, cluster_sd, quantile_sd, stratified_sd

pytestmark = pytest.mark.soundness

EST = unadjusted_mean([from_rows(["y"], np.arange(n, dtype=float)[:, None]) for n in (20, 30)], "y")
BOUNDS = boundaries(AlphaSpending(Spending("obrien_fleming")), [0.5, 1.0], 0.05, 2)
PLAN = hybrid_plan(0.01, 0.04, 1000.0)
RULE = IntervalRule("simultaneous", 0.05)

CALLS = {
    "a null": lambda v: difference(EST, 1, 0.05, null=v),
    "a margin": lambda v: effects.test_one_sided(EST, 1, v, greater=True, alpha=0.05),
    "a relative margin": lambda v: effects.test_one_sided(EST, 1, 0.0, greater=True, alpha=0.05, relative=v),
    "a one-sided level": lambda v: effects.test_one_sided(EST, 1, 0.0, greater=True, alpha=v),
    "the estimate of a sequence": lambda v: confidence_sequence(v, 0.1, 1000, 0.01, 0.05),
    "the null of a sequence": lambda v: confidence_sequence(0.1, 0.1, 1000, 0.01, 0.05, null=v),
    "the estimate of a one-sided sequence": lambda v: one_sided_sequence(v, 0.1, 1000, 0.01, 0.05, greater=True),
    "an e-value": lambda v: log_e_value(v, 1000, 0.01),
    "a mixture test": lambda v: mixture_test(v, 0.01, 0.01, 0.05),
    "a hybrid look": lambda v: hybrid_look(PLAN, v, 0.1, 1000, final=True),
    "a repeated interval": lambda v: repeated_interval(BOUNDS, 0, v, 0.1),
    "the z of conditional power": lambda v: conditional_power(BOUNDS, 0, v, 1.0),
    "the drift of conditional power": lambda v: conditional_power(BOUNDS, 0, 1.0, v),
    "the limits of a rule": lambda v: limits(RULE, v, 0.1, 50.0),
    "the level of a rule": lambda v: limits(IntervalRule("simultaneous", v), 1.0, 0.1, 50.0),
    "compatible bounds": lambda v: compatible_bounds([v, 0.1], [0.1, 0.1], holm([1, 1]), 0.025),
    "a standard error": lambda v: compatible_bounds([0.1, 0.1], [v, 0.1], holm([1, 1]), 0.025),
    "a noncentrality": lambda v: power_of_noncentrality(v, Level(0.05)),
    "the shape of bounds": PowerShape,
    "the effect of a group-sequential design": lambda v: power_group_sequential(v, 1.0, 100, 100, BOUNDS),
    "the units of a group-sequential design": lambda v: mde_group_sequential(1.0, v, 100, BOUNDS, 0.8),
    "the effect of a sequence": lambda v: power_anytime(v, 1.0, 100, 100, Level(0.05)),
    "the power of a sequence": lambda v: mde_anytime(1.0, 100, 100, Level(0.05), v),
    "the effect of the hybrid": lambda v: power_hybrid(v, 1.0, 100, 100, PLAN),
    "a margin of rates": lambda v: power_non_inferiority(0.5, 0.5, v, 100, 100, Level(0.05, 1)),
    "a margin of equivalence": lambda v: power_equivalence(0.0, 1.0, 100, 100, -0.1, v, Level(0.05, 1)),
    "a density": lambda v: quantile_sd(0.5, v),
    "the sd of a stratum": lambda v: stratified_sd([0.5, 0.5], [1.0, v]),
    "hits": lambda v: homogeneity([v, 5], [10, 10]),
    "units": lambda v: homogeneity([5, 5], [v, 10]),
    "a count": lambda v: independence([[50, 60], [50, v]]),
    "a count of a ratio": lambda v: chi_square([50, v], [0.5, 0.5]),
    "one of several effects": lambda v: cochran_q([1.0, v], [0.1, 0.1]),
    "the error of one of several effects": lambda v: cochran_q([1.0, 2.0], [0.1, v]),
    "a variance": lambda v: effects.satterthwaite([1.0, v], [3.0, 4.0]),
    "a weight": lambda v: run_contrast(EST, [1.0, v], 0.05),
    "a planned information": lambda v: realised_fractions([0.5, 0.8], v, final=False),
    "the least value": lambda v: sample_quantile([v, 2.0, 3.0], 0.5),
    "the level of ranks": lambda v: binomial_ranks(100, 0.5, v),
    "an sd before adjustment": lambda v: adjusted_sd(v, 0.5),
    "an sd within clusters": lambda v: cluster_sd(v, 10.0, 0.1),
}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("what", CALLS)
def test_what_is_no_number_raises(what, value):
    """difference(null=nan) had p = 1, a confidence sequence of nan too, conditional power at nan was 0."""
    with pytest.raises(ValueError):
        CALLS[what](value)


@pytest.mark.parametrize(
    "call",
    [
        lambda: t_tail(math.nan, 5.0),
        lambda: t_tail(1.0, math.nan),
        lambda: t_tail(1.0, 0.0),
        lambda: t_quantile(0.05, math.nan),
        lambda: z_tail(math.nan),
        lambda: normal_p(math.nan, "two-sided"),
    ],
)
def test_tails_of_nothing_raise(call):
    with pytest.raises(ValueError):
        call()


@pytest.mark.parametrize("means", [(0.0, math.nan), (math.inf, 0.0)])
def test_an_estimate_that_overflowed_is_none(means):
    with pytest.raises(NotComputable) as caught:
        ArmEstimates("unadjusted", np.array(means), np.eye(2), np.ones(2), np.full(2, 9.0))
    assert caught.value.reason == "not_finite"


@pytest.mark.parametrize("df", [2.0, 10.0, 25.0, 998.0, 1e5])
@pytest.mark.parametrize("noncentrality", [0.0, 1.0, 10.0, 37.0, 39.0, 200.0])
def test_the_power_of_t_has_a_far_tail(df, noncentrality):
    """scipy's noncentral t is NaN there, so a power was: at 37 standard errors, or at 10 with 1e5 units."""
    found = power_of_noncentrality(noncentrality, Level(0.05), df)
    assert 0 <= found.wrong <= z_tail(noncentrality) * (1 + 1e-9)
    assert found.total <= 1 + 1e-12
    if noncentrality == 0:
        assert found.total == pytest.approx(0.05, rel=1e-9)


def test_a_power_that_needs_the_far_tail_is_found():
    """The search met a NaN: "solver cannot continue"."""
    level, wanted = Level(0.05), 1 - 1e-9
    n = sample_size(0.1, 1.0, level, wanted, test="pooled", far_tail=True)
    assert power(0.1, 1.0, n.treatment, n.control, level, test="pooled").total == pytest.approx(wanted, abs=1e-12)
    assert mde(1.0, n.treatment, n.control, level, wanted, test="pooled", far_tail=True) == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize(
    ("units", "test"), [((1, 1), "pooled"), ((1.2, 0.5), "pooled"), ((1, 9), "welch"), ((9, 1), "welch")]
)
def test_a_t_test_without_degrees_of_freedom_has_no_power(units, test):
    """The power was NaN."""
    with pytest.raises(NotComputable) as caught:
        power(1.0, 1.0, *units, Level(0.05), test=test)
    assert caught.value.reason == "too_few_units"


def test_a_sequential_ratio_test_with_a_tiny_prior():
    """ln(1 - 1) for the arm without units."""
    found = sequential([10_000_000, 0], [0.5, 0.5], 1e-10)
    assert found.log_bayes_factor > 1e6


def test_a_log_lift_too_wide_for_a_number_is_not_computable():
    """Two units an arm and a mean near 0: exp of the limit raised OverflowError."""
    est = unadjusted_mean([from_rows(["y"], [[-3.999], [4.0]]), from_rows(["y"], [[1.0], [9.0]])], "y")
    with pytest.raises(NotComputable) as caught:
        log_lift(est, 1, 0.05)
    assert caught.value.reason == "not_finite"


def test_the_far_tail_of_t_becomes_the_normal_one():
    """There is no step on the way, and 1e15 units cost no memory."""
    level = Level(0.05, 2)
    below, above, far = (power_of_noncentrality(0.5, level, df).wrong for df in (0.999e6, 1.001e6, 1e15))
    assert below == pytest.approx(above, rel=1e-5)
    assert far == pytest.approx(z_tail(z_quantile(0.05) + 0.5), rel=1e-12)


@pytest.mark.parametrize("noncentrality", [0.0, 1.0, 2.8, 5.0])
def test_the_power_of_t_with_many_units_is_that_of_z(noncentrality):
    """scipy's noncentral t had its far tail a third too small at 1e8 units."""
    t, z = (power_of_noncentrality(noncentrality, Level(0.001), df) for df in (1e9, None))
    assert (t.correct, t.wrong) == pytest.approx((z.correct, z.wrong), rel=1e-6)


def test_the_power_of_t_with_one_degree_of_freedom():
    """P(T > c) for df = 1 by the normal and the half-normal of its denominator."""
    nodes = (np.arange(400_000) + 0.5) / 20_000
    c, density = t_quantile(0.001, 1.0), np.exp(-0.5 * nodes**2)
    inside = np.array([z_tail(c * s - 40.0) for s in nodes[:4_000]])
    want = float(density[:4_000] @ inside / density.sum())
    assert power_of_noncentrality(40.0, Level(0.001), 1.0).correct == pytest.approx(want, rel=1e-5)
