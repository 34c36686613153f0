"""The errors of a whole decision rule: what it allows, and what its tests must be planned for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Requirement = Literal["any", "all"]


@dataclass(frozen=True, slots=True)
class TestPlan:
    """One-sided levels and error of the second kind at which each test of the rule is planned."""

    __test__ = False  # not a test class for pytest

    success_alpha: float
    guardrail_alpha: float
    beta: float


@dataclass(frozen=True, slots=True)
class Ledger:
    """Bounds on the errors of the rule, for one arm; None where a beta is not known.

    Attributes:
        false_ship: P(ship) when no success metric has an effect (requirement "all": when one has none).
        harmful_ship: P(ship) when a guardrail is worse by its margin or more; None without guardrails.
        false_stop: P(stop) when no monitored metric is worse.
        block_good_change: P(not ship) when the change has its planned effects and harms nothing.
    """

    false_ship: float
    harmful_ship: float | None
    false_stop: float
    block_good_change: float | None


def plan_tests(success: int, guardrails: int, alpha: float, beta: float, requirement: Requirement = "any") -> TestPlan:
    """Levels that keep the rule's false ship at alpha and its missed ship at beta.

    Ship iff any success metric is superior and every guardrail non-inferior: alpha / S for each success metric, alpha
    for each guardrail (all must pass, so no correction), beta / (G + 1) for each test. With "all", alpha for each
    success metric and beta / (G + S). Schultzberg, Ankargren & Frånberg (2024).

    Args:
        success: Number S of success metrics (times arms, if an arm is chosen by them).
        guardrails: Number G.
        alpha: One-sided level of the rule.
        beta: Probability of missing a good change.
        requirement: Of the success metrics.
    """
    if success < 1 or guardrails < 0:
        raise ValueError(f"a rule has a success metric and no negative number of guardrails: {success}, {guardrails}")
    if not (0 < alpha < 0.5 and 0 < beta < 1):
        raise ValueError(f"alpha must lie between 0 and 0.5, beta between 0 and 1: {alpha}, {beta}")
    _check(requirement)
    if requirement == "all":
        return TestPlan(alpha, alpha, beta / (guardrails + success))
    return TestPlan(alpha / success, alpha, beta / (guardrails + 1))


def error_ledger(
    success_alpha: float,
    guardrail_alpha: float,
    deterioration_alpha: float,
    quality_alpha: float,
    success_betas: Sequence[float | None],
    guardrail_betas: Sequence[float | None],
    requirement: Requirement = "any",
) -> Ledger:
    """Union bounds: P(block a good change) <= beta_success + sum beta_guardrail + deterioration + quality level.

    beta_success with "any" is the largest of the metrics' (whichever one has its effect), with "all" their sum.
    Valid for any dependence between the tests; capped at 1. Schultzberg et al. (2024).

    Args:
        success_alpha: One-sided family level of the success metrics.
        guardrail_alpha: One-sided level of each guardrail.
        deterioration_alpha: One-sided family level of the deterioration tests.
        quality_alpha: Level of the health checks that void or block, together.
        success_betas: Per success metric, 1 - power at its planned effect; None where unknown.
        guardrail_betas: Per guardrail, 1 - power to show non-inferiority if it is unharmed.
        requirement: Of the success metrics.
    """
    _check(requirement)
    if not success_betas:
        raise ValueError("a rule has a success metric")
    levels = (success_alpha, guardrail_alpha, deterioration_alpha, quality_alpha)
    known = [b for b in (*success_betas, *guardrail_betas) if b is not None]
    if not all(0 <= value <= 1 for value in (*levels, *known)):
        raise ValueError("levels and betas are probabilities")
    block = None
    if len(known) == len(success_betas) + len(guardrail_betas):
        first = known[: len(success_betas)]
        missed = max(first) if requirement == "any" else math.fsum(first)
        block = min(1.0, math.fsum([missed, *known[len(first) :], deterioration_alpha, quality_alpha]))
    return Ledger(success_alpha, guardrail_alpha if guardrail_betas else None, deterioration_alpha, block)


def _check(requirement: Requirement) -> None:
    if requirement not in ("any", "all"):
        raise ValueError(f"unknown requirement {requirement!r}")
