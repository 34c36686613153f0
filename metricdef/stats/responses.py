"""Whether units answer equally often in two arms: the check behind `missing: exclude`.

Excluding units without a value makes the metric a ratio, sum(y r) / sum(r) with r = 1 for a unit that has one
(`unadjusted_ratio`). If the treatment changes who answers, that ratio compares different people.
"""

from __future__ import annotations

from dataclasses import dataclass

from metricdef.errors import NotComputable
from metricdef.stats.moments import Moments
from metricdef.stats.proportions import score_difference


@dataclass(frozen=True, slots=True)
class ResponseTest:
    """Response rates of two arms with the two-sided p of no difference."""

    arm: float
    baseline: float
    difference: float
    statistic: float
    p_value: float


def response_test(arm: Moments, baseline: Moments, column: str) -> ResponseTest:
    """Score test of equal response rates. Miettinen & Nurminen (1985).

    When every unit of both arms answers, or none does, the arms don't differ in response: statistic 0, p = 1.

    Args:
        arm: Moments of the arm.
        baseline: Moments of the baseline.
        column: The response, 1 for a unit with a value and 0 for one without.

    Raises:
        ValueError: The column has other values than 0 and 1.
        NotComputable: `too_few_units` when an arm is empty.
    """
    counts = []
    for m in (arm, baseline):
        i = m.index(column)
        x = int(m.nonzero[i])
        if m.n < 1:
            raise NotComputable("too_few_units", "an arm has no units, so it has no response rate")
        spread = x * (m.n - x) / m.n  # sum of squares about the mean of x ones and n - x zeros
        if abs(m.total[i] - x) > 1e-6 * m.n or abs(m.comoment[i, i] - spread) > 1e-6 * m.n:
            raise ValueError(f"{column} is no 0/1 column: {x} values are not 0, their sum is {m.total[i]:g}")
        counts += [x, m.n]
    d = score_difference(counts[0], counts[1], counts[2], counts[3], 0.05)
    rates = counts[0] / counts[1], counts[2] / counts[3]
    if d.statistic is None or d.p_value is None:
        return ResponseTest(*rates, 0.0, 0.0, 1.0)
    return ResponseTest(*rates, d.estimate, d.statistic, d.p_value)
