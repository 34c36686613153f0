"""Does the effect fade or grow with the days since exposure?

One more column of the unit carries all that is needed: the sum of its daily values, weighed by the centred day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metricdef.errors import NotComputable
from metricdef.stats.adjustment import MeanOutcome, choose
from metricdef.stats.contrast import test_contrast
from metricdef.stats.effects import Difference
from metricdef.stats.moments import Moments


@dataclass(frozen=True, slots=True)
class Novelty:
    """Slope of one arm's effect, in units of the daily value per day.

    Attributes:
        arm: Position of the arm.
        slope: Change of the effect from one day since exposure to the next, with test and interval.
        last_less_first: The same over the whole window: the effect on its last day less that on its first, on the
            fitted line.
        estimator: "unadjusted", "lin" or "ancova_welch".
        covariates: Names used.
    """

    arm: int
    slope: Difference
    last_less_first: float
    estimator: str
    covariates: tuple[str, ...]


def day_weights(days: int) -> tuple[float, ...]:
    """Centred days since exposure, w_d = d - (D - 1) / 2 for d = 0, ..., D - 1; they sum to 0.

    The unit's column is s_i = sum_d w_d y_id over its complete window of D days.

    Args:
        days: D, at least 2.
    """
    if days < 2:
        raise ValueError(f"a slope over days needs a window of at least 2 days, not {days}")
    return tuple(d - (days - 1) / 2 for d in range(days))


def sum_of_squares(days: int) -> float:
    """sum_d w_d^2 = D (D^2 - 1) / 12, w of `day_weights`."""
    if days < 2:
        raise ValueError(f"a slope over days needs a window of at least 2 days, not {days}")
    return days * (days**2 - 1) / 12


def test_novelty(
    arms: Sequence[Moments], column: str, days: int, alpha: float, covariates: Sequence[str] = ()
) -> tuple[Novelty | NotComputable, ...]:
    """Slope of the effect by days since exposure, per arm beside the baseline.

    b_i = s_i / sum w_d^2 is the least-squares slope of unit i's daily values; the difference of its means is the
    least-squares slope of the daily effects. Estimated by the default estimator (`adjustment.choose`) on b_i, so days
    of one unit may depend on each other in any way. A slope against the sign of the effect is novelty wearing off,
    one along it is learning. Assumes complete windows: every unit is observed for all D days; calendar effects are
    common to the arms. Never in a verdict. Deng, Xu, Kohavi & Walker (2013) for the adjustment; Hohnhold, O'Brien &
    Tang (2015) for learning.

    Args:
        arms: Moments per arm with the column s_i and the covariates, baseline first.
        column: Name of s_i.
        days: D, the window's length in days.
        alpha: 1 - confidence.
        covariates: Pre-treatment columns.

    Returns:
        One per arm; a NotComputable where its slope could not be estimated.
    """
    unit = sum_of_squares(days)
    try:
        est = choose(arms, MeanOutcome(column), covariates)
    except NotComputable as error:
        return tuple(error for _ in arms[1:])
    found: list[Novelty | NotComputable] = []
    for a in range(1, len(arms)):
        weights = [0.0] * len(arms)
        weights[a], weights[0] = 1 / unit, -1 / unit
        try:
            slope = test_contrast(est, weights, alpha)
        except NotComputable as error:
            found.append(error)
            continue
        found.append(Novelty(a, slope, slope.estimate * (days - 1), est.estimator, est.covariates))
    return tuple(found)


test_novelty.__test__ = False  # type: ignore[attr-defined]  # pytest must not collect it
