from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from metricdef.stats import graph as graphs
from metricdef.stats.family import (
    FamilyResult,
    IntervalRule,
    Procedure,
    compatible_bounds,
    fcr_rules,
    limits,
    test_family,
)
from metricdef.stats.joint import Blocks, normal_p
from metricdef.stats.multiplicity import adjust
from metricdef.stats.normal_law import NormalLaw
from metricdef.stats.product_law import ProductLaw

LAW = ProductLaw(np.full(4, 0.7), two_sided=True)
PROCEDURES = [
    *(Procedure(m) for m in ("none", "bonferroni", "holm", "hochberg", "hommel", "bh", "by", "fixed_sequence")),  # type: ignore[arg-type]
    Procedure("graph", graph=graphs.fallback([0.4, 0.3, 0.2, 0.1])),
    Procedure("bonferroni", weights=(0.4, 0.3, 0.2, 0.1)),
    Procedure("holm", weights=(0.4, 0.3, 0.2, 0.1)),
    Procedure("fixed_sequence", order=(2, 0, 1, 3)),
    Procedure("dunnett", law=LAW, members=(0, 1, 2, 3)),
    Procedure("dunnett", law=LAW, members=(0, 1, 2, 3), step_down=True),
    Procedure("max_t", law=ProductLaw(np.full(3, 0.5), two_sided=True), members=(0, 1, 3)),
    Procedure(
        "max_t", law=Blocks((ProductLaw(np.full(2, 0.9), True), NormalLaw(np.eye(2), True))), members=(0, 1, 2, 3)
    ),
]
ids = [f"{p.method}{'-w' if p.weights else ''}{'-down' if p.step_down else ''}" for p in PROCEDURES]
zs = st.lists(st.one_of(st.none(), st.floats(-6, 6)), min_size=4, max_size=4)


def decide(z, procedure: Procedure, alternative="two-sided", alpha=0.05) -> FamilyResult:
    return test_family([None if v is None else normal_p(v, alternative) for v in z], procedure, alpha, alternative)


@settings(max_examples=examples(30))
@pytest.mark.parametrize("procedure", PROCEDURES, ids=ids)
@given(zs)
def test_every_procedure(procedure: Procedure, z) -> None:
    got = decide(z, procedure)
    for value, p, rejected, rule in zip(z, got.p_adjusted, got.rejected, got.intervals, strict=True):
        assert (p is None) == (value is None)
        assert rejected == (p is not None and p <= 0.05)
        if value is None:
            continue
        assert p >= normal_p(value, "two-sided")
        found = limits(rule, value, 1.0, None)
        lower, upper = found.lower, found.upper
        half = limits(IntervalRule("marginal", 0.05), 0.0, 1.0, None).upper
        if rule.kind == "simultaneous":
            assert (lower > 0 or upper < 0) == rejected
            assert lower <= value - half + 1e-9
            assert upper >= value + half - 1e-9
        elif rule.kind == "fcr":
            assert rejected
            assert lower > 0 or upper < 0
        else:
            assert rule == IntervalRule("marginal", 0.05)


@settings(max_examples=examples(50))
@pytest.mark.parametrize("procedure", [p for p in PROCEDURES if p.method in ("holm", "fixed_sequence", "graph")])
@pytest.mark.parametrize("alternative", ["greater", "less"])
@given(zs)
def test_compatible_bounds_say_what_is_rejected(procedure, alternative, z) -> None:
    got = decide(z, procedure, alternative)
    sign = 1 if alternative == "greater" else -1
    for value, rejected, rule in zip(z, got.rejected, got.intervals, strict=True):
        assert rule.kind == "compatible"
        if value is None:
            continue
        found = limits(rule, value, 1.0, None, alternative)
        lower, upper = found.lower, found.upper
        bound = lower if sign > 0 else upper
        assert (upper if sign > 0 else lower) is None
        if rejected:
            assert sign * bound >= 0
        else:
            assert bound is None or sign * bound < 0


@settings(max_examples=examples(25))
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_bounds_of_holm_from_the_partition(estimates, shifts) -> None:
    """Guilbaud (2008), by hand: the bound for a parameter that lies at `shifts` is missed only if Bonferroni errs.

    At a parameter with nulls I (theta <= 0), a miss means that for some i in I z_i is beyond the quantile at
    alpha / |I|, or, with I empty, z_i - theta_i beyond it at alpha / m.
    """
    alpha, m = 0.1, 3
    got = compatible_bounds(
        [t + e for t, e in zip(shifts, estimates, strict=True)], [1.0] * m, graphs.holm([1] * m), alpha
    )
    missed = [b is not None and b > t + 1e-9 for b, t in zip(got.bounds, shifts, strict=True)]
    nulls = [i for i, t in enumerate(shifts) if t <= 0]
    noise = [normal_p(e, "greater") for e in estimates]
    share = alpha / (len(nulls) or m)
    if any(missed):
        assert any(noise[i] <= share * (1 + 1e-9) for i in (nulls or range(m)))


def test_holm_shows_the_null_for_a_winner_among_losers() -> None:
    got = compatible_bounds([0.5, 0.1], [0.1, 0.1], graphs.holm([1, 1]), 0.025)
    assert got.rejected == (True, False)
    assert got.bounds == (0.0, pytest.approx(0.1 - 1.959963984540054 * 0.1))
    down = compatible_bounds([-0.5, -0.1], [0.1, 0.1], graphs.holm([1, 1]), 0.025, "less")
    assert down.bounds == (0.0, pytest.approx(-0.1 + 1.959963984540054 * 0.1))
    later = compatible_bounds([0.1, 0.4], [0.1, 0.1], graphs.fixed_sequence([0, 1]), 0.025)
    assert later.bounds[1] is None
    with_t = compatible_bounds([0.1], [0.1], graphs.holm([1]), 0.025, dfs=[10])
    assert with_t.bounds[0] == pytest.approx(0.1 - 0.1 * 2.228138851964939)


def test_false_coverage_rate() -> None:
    """2,000 families of 10, half of them null: of the intervals shown at most 10 % miss, marginal ones far more."""
    rng = np.random.default_rng(3)
    theta = np.repeat([0.0, 1.0], 5)
    shares, naive = [], []
    for _ in range(2000):
        z = theta + rng.normal(size=10)
        p = [normal_p(v, "two-sided") for v in z]
        rules = fcr_rules(adjust(p, "bh", 0.1).rejected, 0.1)
        chosen = [i for i, rule in enumerate(rules) if rule.kind == "fcr"]
        pairs = {i: limits(rules[i], z[i], 1.0, None) for i in chosen}
        missed = sum(not pairs[i].lower <= theta[i] <= pairs[i].upper for i in chosen)
        shares.append(missed / max(1, len(chosen)))
        naive.append(sum(abs(z[i] - theta[i]) > 1.6449 for i in chosen) / max(1, len(chosen)))
    assert np.mean(shares) < 0.1
    assert np.mean(naive) > 0.2
    level = fcr_rules([True, False, True], 0.05, any_dependence=True)[0].level
    assert level == pytest.approx(0.05 * 2 / 3 / (1 + 1 / 2 + 1 / 3))


def test_kinds() -> None:
    p = [0.001, 0.02, 0.03, 0.5]
    holm = test_family(p, Procedure("holm"), 0.05)
    assert (holm.p_kind, [r.kind for r in holm.intervals]) == ("step_down", ["simultaneous"] * 4)
    steps = test_family([0.001, 0.016, 0.02, 0.5], Procedure("holm"), 0.05)
    assert steps.rejected == (True, True, True, False)
    assert [r.kind for r in steps.intervals] == ["simultaneous", "marginal", "marginal", "simultaneous"]
    assert [r.level for r in steps.intervals] == [0.0125, 0.05, 0.05, 0.0125]
    alone = test_family([0.03], Procedure("none"), 0.05)
    assert alone.intervals == (IntervalRule("simultaneous", 0.05),)
    none = test_family([], Procedure("holm"), 0.05)
    assert (none.p_adjusted, none.rejected, none.intervals) == ((), (), ())
    down = test_family(p, Procedure("dunnett", law=LAW, members=(0, 1, 2, 3), step_down=True), 0.05)
    assert down.p_kind == "step_down"


def test_blocks_add_up() -> None:
    law = Blocks((ProductLaw(np.full(2, 0.9), True), ProductLaw(np.full(3, 0.5), True)))
    want = law.blocks[0].smallest(0.01, [1]) + law.blocks[1].smallest(0.01, [0, 2])
    assert law.size == 5
    assert law.smallest(0.01, [1, 2, 4]) == want
    assert law.smallest(0.9, range(5)) == 1.0


@pytest.mark.parametrize(
    "procedure",
    [
        Procedure("graph"),
        Procedure("dunnett"),
        Procedure("holm", law=LAW),
        Procedure("holm", step_down=True),
        Procedure("bh", weights=(1, 1, 1, 1)),
        Procedure("holm", order=(0, 1, 2, 3)),
        Procedure("holm", graph=graphs.holm([1] * 4)),
        Procedure("sidak"),  # type: ignore[arg-type]
    ],
)
def test_refused_procedures(procedure: Procedure) -> None:
    with pytest.raises(ValueError, match=r"takes no|needs|unknown|has no"):
        test_family([0.1] * 4, procedure, 0.05)


def test_the_law_must_have_the_sides_of_the_p_values() -> None:
    procedure = Procedure("dunnett", law=LAW, members=(0, 1, 2, 3))
    with pytest.raises(ValueError, match="two-sided p"):
        test_family([0.1] * 4, procedure, 0.05, "greater")
    one = Procedure("dunnett", law=ProductLaw(np.full(4, 0.7), two_sided=False), members=(0, 1, 2, 3))
    with pytest.raises(ValueError, match="one-sided p"):
        test_family([0.1] * 4, one, 0.05)
    assert test_family([0.1] * 4, one, 0.05, "less").intervals[0].kind == "simultaneous"
    with pytest.raises(ValueError, match="blocks"):
        Blocks((LAW, one.law))  # type: ignore[arg-type]


def test_refused_limits() -> None:
    with pytest.raises(ValueError, match="one-sided"):
        limits(IntervalRule("compatible", None, "null"), 1.0, 1.0, None)
    with pytest.raises(ValueError, match="standard error"):
        limits(IntervalRule("marginal", 0.05), 1.0, 0.0, None)
    with pytest.raises(ValueError, match="one-sided"):
        compatible_bounds([1.0], [1.0], graphs.holm([1]), 0.05, "two-sided")
    with pytest.raises(ValueError, match="standard errors"):
        compatible_bounds([1.0], [math.nan], graphs.holm([1]), 0.05)
