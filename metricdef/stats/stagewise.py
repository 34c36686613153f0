"""Inference after a group-sequential test has stopped, by the stage-wise ordering of its outcomes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from metricdef.errors import NotComputable
from metricdef.stats.group_sequential import Boundaries
from metricdef.stats.recursion import begin


@dataclass(frozen=True, slots=True)
class Stagewise:
    """P-value, median-unbiased estimate and interval of a stopped test.

    Two-sided: p doubled, interval of level 1 - alpha. One-sided: p upward, each limit at alpha. With futility bounds
    that do not bind p and limits hold whether or not they are heeded, the estimate is median-unbiased if they are.
    """

    look: int
    p_value: float
    estimate: float
    lower: float
    upper: float
    alpha: float


def stagewise(
    bounds: Boundaries, look: int, z: float, std_error: float, precisions: Sequence[float] | None = None
) -> Stagewise:
    """Inference at the look where the test stopped.

    An outcome is more extreme upward if it stopped high earlier, or got as far and has a larger z:
    P_theta = sum_{i<k} P(stop high at i) + P(reach k, Z_k >= z). p is that at theta = 0, the estimate solves
    P_theta = 1/2, the limits P_theta = a and 1 - a. In contrast to the naive ones they allow for the stopping rule;
    the p is at most alpha exactly when the test has rejected. Looks after the stop don't matter. Lower bounds stop.
    Of futility bounds that do not bind nobody knows whether they would have been heeded, and P_theta is larger if not.
    So p and lower limit take it without them, the upper limit with them: for those who heed them p and lower limit are
    conservative, for those who go on the upper limit is. The estimate takes them as heeded: its median is theta then,
    and above theta for those who go on. After a stop for futility p is above alpha and the lower limit not above 0,
    also where later bounds would have been below this z. Tsiatis, Rosner & Mehta (1984).

    Args:
        bounds: The design.
        look: Where it stopped, from 0.
        z: Statistic there.
        std_error: Of the estimate there; the estimate is z std_error.
        precisions: 1 / se of each look, any multiple, where the information of the bounds is another time: of an estimator
            that is not efficient, whose Z_j has the mean theta / se_j.

    Raises:
        NotComputable: `not_stopped` at an interim look whose z lies between its bounds.
    """
    from scipy.optimize import brentq

    if not 0 < std_error < math.inf or not math.isfinite(z):
        raise ValueError(f"z and the standard error must be finite, the latter positive: {z}, {std_error}")
    final = look == len(bounds.upper) - 1 and bounds.looks.fractions[-1] == 1
    if not final and bounds.lower[look] < z < bounds.upper[look]:
        raise NotComputable("not_stopped", f"look {look + 1} crossed no bound: use the repeated interval while it runs")

    def solve(target: float, *, heeded: bool) -> float:
        def excess(drift: float) -> float:
            return _more_extreme(bounds, look, z, drift, 1, precisions, heeded=heeded) - target

        low, high = min(z, 0.0) - 8.0, max(z, 0.0) + 8.0
        while excess(low) > 0:
            low -= 8.0
        while excess(high) < 0:
            high += 8.0
        return float(brentq(excess, low, high, xtol=1e-11)) * std_error

    up = _more_extreme(bounds, look, z, 0.0, 1, heeded=bounds.binding)
    p_value = min(1.0, 2 * min(up, _more_extreme(bounds, look, z, 0.0, -1))) if bounds.sided == 2 else min(1.0, up)
    lower, upper = solve(bounds.level, heeded=bounds.binding), solve(1 - bounds.level, heeded=True)
    # Futility bounds apart, only the last digits can differ from the comparison with the bound.
    if bounds.rejects(look, z):
        p_value = min(p_value, bounds.alpha)
    else:
        p_value, lower = max(p_value, math.nextafter(bounds.alpha, 1.0)), min(lower, 0.0)
        upper = max(upper, 0.0) if bounds.sided == 2 else upper
    return Stagewise(look, p_value, solve(0.5, heeded=True), lower, upper, bounds.alpha)


def _more_extreme(
    bounds: Boundaries,
    look: int,
    z: float,
    drift: float,
    side: int,
    precisions: Sequence[float] | None = None,
    *,
    heeded: bool = True,
) -> float:
    """P of an outcome at least as extreme; `drift` is the mean of Z at this look, `heeded` whether lower bounds stop."""
    information = bounds.looks.information
    lower, upper = bounds.lower if heeded else (-math.inf,) * len(bounds.lower), bounds.upper
    if precisions is not None:
        # Z_j less its mean has no drift; the bounds are as much nearer.
        means = [drift * value / precisions[look] for value in precisions]
        lower, upper = (tuple(b - m for b, m in zip(side_, means, strict=False)) for side_ in (lower, upper))
        z, drift = z - drift, 0.0
    state, total = begin(drift / math.sqrt(information[look])), 0.0
    looks = [j for j in range(look) if math.isfinite(upper[j]) or math.isfinite(lower[j])]
    for j, following in zip(looks, [*looks[1:], look], strict=False):
        total += state.tail(information[j], upper[j] if side > 0 else lower[j], side)
        state = state.advance(information[j], lower[j], upper[j], information[following])
    return total + state.tail(information[look], z, side)
