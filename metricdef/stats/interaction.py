"""Do two experiments that share their units change each other's effect?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metricdef.stats.adjustment import MeanOutcome, Outcome, choose, unadjusted
from metricdef.stats.contrast import test_contrast
from metricdef.stats.effects import ArmEstimates, Difference
from metricdef.stats.moments import Moments


@dataclass(frozen=True, slots=True)
class Interaction:
    """The interaction of two experiments with two arms each.

    Attributes:
        interaction: Effect of A where B is treated less its effect where B is not; symmetric in A and B.
        without: Effect of A among the units of B's baseline.
        within: Effect of A among the units that B treats.
        estimator: "unadjusted", "lin" or "ancova_welch".
        covariates: Names used.
        dropped: Names not used because they are constant or collinear.
    """

    interaction: Difference
    without: Difference
    within: Difference
    estimator: str
    covariates: tuple[str, ...]
    dropped: tuple[str, ...]


def test_interaction(
    cells: tuple[tuple[Moments, Moments], tuple[Moments, Moments]],
    outcome: Outcome | str,
    alpha: float,
    covariates: Sequence[str] = (),
) -> Interaction:
    """Difference of differences of the four cells: (mu_11 - mu_01) - (mu_10 - mu_00), cell mu_ab.

    Unadjusted: se^2 = sum V_ab, df by Satterthwaite from the four cells (Welch's test of a contrast). With covariates
    the default estimator over the four cells (`adjustment.choose`), its joint covariance and df.
    Assumes that the two experiments were randomised independently of each other and that the units are those in
    both. A difference of absolute effects: where effects multiply there is an interaction on this scale.
    Cox (1958); Satterthwaite (1946).

    Args:
        cells: cells[a][b], a and b 0 for the baseline of A and of B, 1 for the treatment.
        outcome: A mean or ratio outcome, or the name of a column for its mean.
        alpha: 1 - confidence.
        covariates: Pre-treatment columns; empty: unadjusted.

    Raises:
        NotComputable: `too_few_units`; `zero_variance`; `zero_denominator`.
    """
    (a0b0, a0b1), (a1b0, a1b1) = cells
    arms = [a0b0, a0b1, a1b0, a1b1]
    what = MeanOutcome(outcome) if isinstance(outcome, str) else outcome
    est: ArmEstimates = choose(arms, what, covariates) if covariates else unadjusted(arms, what)
    return Interaction(
        test_contrast(est, (1, -1, -1, 1), alpha),
        test_contrast(est, (-1, 0, 1, 0), alpha),
        test_contrast(est, (0, -1, 0, 1), alpha),
        est.estimator,
        est.covariates,
        est.dropped,
    )


test_interaction.__test__ = False  # type: ignore[attr-defined]  # pytest must not collect it
