from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricdef.stats.ledger import error_ledger, plan_tests
from metricdef.stats.power import Level, power, sample_size

BETAS = st.lists(st.floats(0, 1), max_size=4)


@given(st.integers(1, 6), st.integers(0, 6), st.floats(0.001, 0.2), st.floats(0.01, 0.5))
def test_tests_so_planned_keep_the_errors_of_the_rule(success, guardrails, alpha, beta):
    plan = plan_tests(success, guardrails, alpha, beta)
    assert plan.success_alpha * success == pytest.approx(alpha)
    found = error_ledger(alpha, plan.guardrail_alpha, 0.0, 0.0, [plan.beta] * success, [plan.beta] * guardrails)
    assert found.block_good_change == pytest.approx(beta)
    assert found.false_ship == alpha
    both = plan_tests(success, guardrails, alpha, beta, "all")
    found = error_ledger(alpha, alpha, 0.0, 0.0, [both.beta] * success, [both.beta] * guardrails, "all")
    assert found.block_good_change == pytest.approx(beta)
    assert both.success_alpha == alpha


@given(BETAS.filter(len), BETAS, st.floats(0, 0.1), st.floats(0, 0.1))
def test_the_bound_is_the_union(success, guardrails, deterioration, quality):
    any_of = error_ledger(0.025, 0.025, deterioration, quality, success, guardrails)
    all_of = error_ledger(0.025, 0.025, deterioration, quality, success, guardrails, "all")
    rest = sum(guardrails) + deterioration + quality
    assert any_of.block_good_change == pytest.approx(min(1.0, max(success) + rest))
    assert all_of.block_good_change == pytest.approx(min(1.0, sum(success) + rest))
    assert any_of.false_stop == deterioration
    assert (any_of.harmful_ship is None) == (not guardrails)


def test_an_unknown_beta_leaves_the_sum_unknown():
    assert error_ledger(0.025, 0.025, 0.01, 0.001, [0.2], [None]).block_good_change is None
    assert error_ledger(0.025, 0.025, 0.01, 0.001, [None], []).block_good_change is None


def test_the_bounds_hold_in_simulated_experiments():
    """One success metric with its effect, two unharmed guardrails, planned for beta 0.2 over the rule."""
    plan = plan_tests(1, 2, 0.025, 0.2)
    n = sample_size(0.1, 1.0, Level(plan.success_alpha, 1), 1 - plan.beta).control
    shown = power(0.1, 1.0, n, n, Level(plan.success_alpha, 1)).correct
    assert shown == pytest.approx(1 - plan.beta)
    rng = np.random.default_rng(8)
    shift, c = 0.1 / np.sqrt(2 / n), Level(0.025, 1).quantile()
    z = rng.normal(size=(50_000, 3)) + shift
    assert np.mean((z < c).any(axis=1)) <= 0.2
    harmed = rng.normal(size=(50_000, 3)) + np.array([10.0, 0.0, 10.0])  # a guardrail at exactly minus its margin
    assert np.mean((harmed > c).all(axis=1)) == pytest.approx(0.025, abs=0.003)


@pytest.mark.parametrize(
    "call",
    [
        lambda: plan_tests(0, 1, 0.05, 0.2),
        lambda: plan_tests(1, -1, 0.05, 0.2),
        lambda: plan_tests(1, 1, 0.5, 0.2),
        lambda: plan_tests(1, 1, 0.05, 1.0),
        lambda: plan_tests(1, 1, 0.05, 0.2, "most"),
        lambda: error_ledger(0.05, 0.05, 0.01, 0.01, [], []),
        lambda: error_ledger(0.05, 0.05, 0.01, 0.01, [1.2], []),
        lambda: error_ledger(0.05, 0.05, 0.01, 0.01, [0.2], [], "most"),
    ],
)
def test_refusals(call):
    with pytest.raises(ValueError):
        call()
