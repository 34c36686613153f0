"""The summary of decided experiments against scipy, brute force and simulation."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats

from metricdef.analysis.portfolio import _block, reasons, summarise
from metricdef.analysis.readout import DecisionRow, EstimateRow, Headline, Interval, Readout, TestRow

ALPHA = 0.05


def row(
    effect,
    error,
    *,
    baseline=10.0,
    metric="revenue",
    arm="treatment",
    direction="increase",
    units=(1000, 1000),
    level=ALPHA,
    **more,
):
    """A primary row of a two-sided z test; effect and error as shares of the baseline, positive for more."""
    estimate, std_error = effect * abs(baseline), error * abs(baseline)
    p = float(2 * stats.norm.sf(abs(effect) / error))
    test = TestRow("superiority", 0.0, "absolute", "two-sided", ALPHA, effect / error, None, p, min(1.0, p * ALPHA / level), "primary",
                   "holm", p <= level, level)  # fmt: skip
    good = effect > 0 if direction == "increase" else effect < 0
    half = 1.96 * std_error
    made = EstimateRow(metric, metric, "number", direction, "primary", arm, "control", units, baseline_value=baseline,
                       absolute=Interval(estimate, std_error, estimate - half, estimate + half), p_value=p, tests=(test,),
                       verdict=("superior" if good else "inferior") if test.rejected else "inconclusive")  # fmt: skip
    return replace(made, **more)


def readout(name, *rows):
    return Readout(name, name, "", "decided", "2026-01-01T00:00:00Z", {}, None, {}, (), (), rows, DecisionRow("hold", None, ()), {}, {},
                   (), (), ())  # fmt: skip


def test_false_discoveries_are_those_of_scipy():
    rng = np.random.default_rng(1)
    effects = np.concatenate([rng.normal(0, 0.01, 30), rng.normal(0.03, 0.01, 10)])
    found = summarise([readout(f"e{i}", row(float(effect), 0.01)) for i, effect in enumerate(effects)], ALPHA)
    p = [f.p_value for f in found.findings]
    assert [f.p_adjusted for f in found.findings] == pytest.approx(stats.false_discovery_control(p).tolist(), rel=1e-12)
    assert [f.discovery for f in found.findings] == (stats.false_discovery_control(p) <= ALPHA).tolist()
    assert 0 < sum(f.discovery for f in found.findings) < sum(f.found for f in found.findings)


def test_what_was_not_computed_keeps_its_place():
    """As a p of 1: with 1 of 2, half of the level is left for the other."""
    missing = EstimateRow("a", "a", "number", "increase", "primary", "treatment", "control", None)
    found = summarise([readout("e1", row(0.021, 0.01)), readout("e2", missing)], ALPHA)
    assert found.findings[0].p_adjusted == pytest.approx(2 * found.findings[0].p_value)
    assert found.findings[1].p_adjusted is None
    assert found.shrinkage is None
    assert reasons(found) == {"nothing was computed": 1}


def test_shrinkage_is_the_matrix_formula_at_the_root_of_q():
    """Independent experiments and one with two arms, by plain matrices and a root found by bisection."""
    effects, errors = [0.03, -0.01, 0.05, 0.00, 0.02], [0.01, 0.012, 0.015, 0.008, 0.011]
    rows = [row(e, s, arm=f"a{i}", units=(1000, 500)) for i, (e, s) in enumerate(zip(effects, errors, strict=True))]
    found = summarise([readout("one", rows[0], rows[1]), *(readout(f"e{i}", r) for i, r in enumerate(rows[2:]))], ALPHA)
    s = np.diag(np.square(errors))
    s[0, 1] = s[1, 0] = errors[0] * errors[1] * 500 / 1500
    y, one = np.array(effects), np.ones(5)

    def q(tau2):
        v = np.linalg.inv(s + tau2 * np.eye(5))
        mean = one @ v @ y / (one @ v @ one)
        return (y - mean) @ v @ (y - mean)

    tau2 = optimize.bisect(lambda t: q(t) - 4, 0, 1, xtol=1e-18, rtol=1e-14)
    v = np.linalg.inv(s + tau2 * np.eye(5))
    mean = one @ v @ y / (one @ v @ one)
    assert found.shrinkage.tau2 == pytest.approx(tau2, rel=1e-8)
    assert [f.shrunk[0] for f in found.findings] == pytest.approx((mean + tau2 * v @ (y - mean)).tolist(), rel=1e-7)


def test_arms_that_share_a_baseline_are_correlated_as_their_means_are():
    rng = np.random.default_rng(2)
    n0, n1, n2, draws = 400, 200, 800, 20_000
    means = [rng.normal(0, 1 / math.sqrt(n), draws) for n in (n0, n1, n2)]
    observed = np.corrcoef(means[1] - means[0], means[2] - means[0])[0, 1]
    block = _block([row(0.1, 0.01, units=(n0, n1)), row(0.1, 0.02, units=(n0, n2))])
    assert block[0, 1] / 0.01 / 0.02 == pytest.approx(observed, abs=4 / math.sqrt(draws))
    assert np.sqrt(block.diagonal()) == pytest.approx([0.01, 0.02])


def test_the_corrected_estimate_maximises_the_likelihood_given_that_it_was_found():
    found = summarise([readout("e", row(0.024, 0.01, level=0.025))], ALPHA).findings[0]
    c = stats.norm.isf(0.025 / 2)

    def minus_log(mu):
        return -(stats.norm.logpdf(2.4 - mu) - np.log(stats.norm.sf(c - mu) + stats.norm.cdf(-c - mu)))

    best = optimize.minimize_scalar(minus_log, bounds=(0, 3), method="bounded", options={"xatol": 1e-10}).x
    assert found.corrected.kind == "conditional"
    assert found.corrected.estimate == pytest.approx(best * 0.01, rel=1e-5)
    assert found.corrected.lower < found.corrected.estimate < found.corrected.upper


def test_the_level_is_the_one_at_which_it_was_rejected():
    """Rejected at 0.05 after a smaller p was, though not at its own level of 0.025."""
    made = row(0.021, 0.01, level=0.025)
    test = replace(made.tests[0], rejected=True, p_adjusted=made.p_value)
    found = summarise([readout("e", replace(made, tests=(test,)))], ALPHA).findings[0]
    plain = summarise([readout("e", row(0.021, 0.01))], ALPHA).findings[0]
    assert found.corrected == plain.corrected


def test_a_sequential_finding_keeps_its_median_unbiased_estimate():
    made = row(0.03, 0.01, baseline=20.0, direction="decrease")
    made = replace(
        made, headline=Headline("median_unbiased", 0.5, 0.025), tests=(replace(made.tests[0], kind="sequential"),)
    )
    found = summarise([readout("e", made)], ALPHA).findings[0]
    assert (found.corrected.kind, found.corrected.lower) == ("median_unbiased", None)
    assert found.corrected.estimate == pytest.approx(-0.5 / 20)  # it fell, which is worse: more is worse here


@pytest.mark.parametrize("direction", ["increase", "decrease"])
def test_the_better_is_positive(direction):
    found = summarise([readout("e", row(0.03, 0.01, baseline=-5.0, direction=direction))], ALPHA).findings[0]
    assert found.effect == pytest.approx(0.03 if direction == "increase" else -0.03)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"direction": None}, "no direction is the better one"),
        ({"baseline_value": 0.0}, "the baseline is 0"),
        ({"absolute": Interval(0.1, None, 0.0, 0.2)}, "its interval has no standard error"),
        ({"tests": ()}, "nothing was tested"),
    ],
)
def test_what_has_no_place_on_the_scale_is_counted(changes, reason):
    found = summarise(
        [readout("e1", row(0.03, 0.01, **changes)), readout("e2", row(0.01, 0.01)), readout("e3", row(0.02, 0.01))],
        ALPHA,
    )
    assert reasons(found) == {reason: 1}
    assert len(found.shrinkage.estimates) == 2
    assert found.findings[0].shrunk is None


def test_one_experiment_is_not_shrunk_towards_itself():
    found = summarise([readout("e", row(0.03, 0.01, arm="a"), row(0.01, 0.01, arm="b"))], ALPHA)
    assert found.shrinkage is None
    assert "at least 2 experiments" in found.without_shrinkage


def test_no_readouts():
    found = summarise([], ALPHA)
    assert (found.findings, found.shrinkage, found.experiments) == ((), None, 0)


def test_winners_are_overstated_and_shrunk_ones_are_not():
    """40 portfolios with known effects: the mean of what was found, as estimated, corrected and true."""
    rng = np.random.default_rng(3)
    naive, pulled = [], []
    for _ in range(40):
        truth = rng.normal(0.005, 0.01, 60)
        seen = truth + rng.normal(0, 0.008, 60)
        found = summarise([readout(f"e{i}", row(float(e), 0.008)) for i, e in enumerate(seen)], ALPHA)
        winners = [
            (f, t) for f, t in zip(found.findings, truth, strict=True) if f.found and f.row.verdict == "superior"
        ]
        naive += [f.effect - t for f, t in winners]
        pulled += [f.shrunk[0] - t for f, t in winners]
    error = np.std(naive) / math.sqrt(len(naive))
    assert np.mean(naive) > 8 * error
    assert abs(np.mean(pulled)) < 4 * error
