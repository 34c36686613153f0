"""Equivalence: an effect shown to lie between two margins by two one-sided tests."""

from __future__ import annotations

from dataclasses import dataclass

from metricdef.stats import effects
from metricdef.stats.effects import ArmEstimates, Test


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Two one-sided tests at `alpha` each; `p_value` is the larger of their p, so equivalent means p_value < alpha.

    Attributes:
        above: Test that the effect is greater than `low`.
        below: Test that the effect is less than `high`.
        p_value: Level at which both just reject.
        alpha: Level of each test.
        equivalent: Whether p_value < alpha: the interval of level 1 - 2 alpha lies inside the margins.
    """

    above: Test
    below: Test
    p_value: float
    alpha: float
    equivalent: bool


def equivalence(
    est: ArmEstimates, arm: int, low: float, high: float, alpha: float, relative: bool = False, baseline: int = 0
) -> Equivalence:
    """Test of low < effect < high by two one-sided tests. Schuirmann (1987).

    With `relative`, the margins are shares of the baseline's size |mu_0|, tested as the linear contrasts
    mu_1 - (1 + margin) mu_0 (no division); the intersection-union test keeps the level without a correction.

    Args:
        est: The arm estimates.
        arm: The arm compared with `baseline`.
        low: Lower margin, in units of the outcome or signed relative (-0.02).
        high: Upper margin.
        alpha: Level of each one-sided test.
        relative: Whether the margins are relative.
        baseline: The arm compared with.

    Raises:
        ValueError: low is not below high.
        NotComputable: As `effects.test_one_sided`.
    """
    if not low < high:
        raise ValueError(f"the lower margin {low:g} is not below the upper margin {high:g}")

    def side(margin: float, greater: bool) -> Test:
        share = margin if relative else None
        return effects.test_one_sided(est, arm, margin, greater, alpha, relative=share, baseline=baseline)

    above, below = side(low, True), side(high, False)
    p_value = max(above.p_value, below.p_value)
    return Equivalence(above, below, p_value, alpha, p_value < alpha)
