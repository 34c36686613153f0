"""Power of the fixed sample ratio test: which losses of units would be seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from metricdef.stats.power import rising_root
from metricdef.stats.srm import Share
from metricdef.stats.tails import check_alpha


def power_srm(units: float, true_shares: Sequence[Share], shares: Sequence[Share], alpha: float) -> float:
    """Probability that Pearson's test rejects the declared shares: P(chi-square_{K-1}(n sum (q - p)^2 / p) > x_alpha).

    Noncentral chi-square, q the true and p the declared shares; good from some 50 expected units an arm. Cohen (1988).

    Args:
        units: Counted in all arms, n.
        true_shares: Of the counted units, per arm; need not sum to 1.
        shares: Declared; arms with share 0 are left out.
        alpha: Level.
    """
    from scipy.special import chdtri, chndtr

    check_alpha(alpha)
    if not 0 < units < math.inf:
        raise ValueError(f"units must be positive and finite: {units}")
    effect, df = _effect(true_shares, shares)
    return 1.0 - float(chndtr(chdtri(df, alpha), df, units * effect))


def sample_size_srm(true_shares: Sequence[Share], shares: Sequence[Share], alpha: float, wanted: float) -> float:
    """Units in all arms with which shares that are not the declared ones are seen: a root of `power_srm`. Cohen (1988).

    Args:
        true_shares: As in `power_srm`, as are the others.
        shares: Declared.
        alpha: Level.
        wanted: Power.

    Raises:
        NotComputable: `too_small_effect`.
    """
    if not alpha < wanted < 1:
        raise ValueError(f"the power must lie between the level and 1: {wanted}")
    if _effect(true_shares, shares)[0] == 0:
        raise ValueError("the true shares are the declared ones: there is nothing to detect")
    return rising_root(lambda n: power_srm(n, true_shares, shares, alpha) - wanted, 1.0)


def smallest_loss(units: float, shares: Sequence[Share], arm: int, alpha: float, wanted: float) -> float:
    """The share of an arm's units that must be lost to be seen with a power: a root of `power_srm`. Cohen (1988).

    Args:
        units: In all arms before any loss.
        shares: Declared.
        arm: Position of the arm that loses units.
        alpha: Level.
        wanted: Power.

    Returns:
        Between 0 and 1; 1 when not even the loss of the whole arm would be seen.
    """
    from scipy.optimize import brentq

    if not alpha < wanted < 1:
        raise ValueError(f"the power must lie between the level and 1: {wanted}")
    given = [float(share) for share in shares]
    own = given[arm] / math.fsum(given)

    def excess(lost: float) -> float:
        left = [share * (1 - lost) if a == arm else share for a, share in enumerate(given)]
        return power_srm(units * (1 - own * lost), left, given, alpha) - wanted

    return 1.0 if excess(1.0) < 0 else float(brentq(excess, 0.0, 1.0, xtol=1e-12))


def _effect(true_shares: Sequence[Share], shares: Sequence[Share]) -> tuple[float, int]:
    """sum (q - p)^2 / p and the degrees of freedom."""
    if len(true_shares) != len(shares):
        raise ValueError(f"{len(shares)} declared and {len(true_shares)} true shares")
    q, p = [float(share) for share in true_shares], [float(share) for share in shares]
    if not all(0 <= share < math.inf for share in (*q, *p)) or not (sum(q) > 0 and sum(p) > 0):
        raise ValueError(f"shares must be finite, not negative and not all 0: {p}, {q}")
    if any(a > 0 and b == 0 for a, b in zip(q, p, strict=True)):
        raise ValueError("an arm with share 0 gets no units; any unit in it is seen at once")
    pairs = [(a / math.fsum(q), b / math.fsum(p)) for a, b in zip(q, p, strict=True) if b > 0]
    if len(pairs) < 2:
        raise ValueError("a ratio test needs at least 2 arms with a positive share")
    return math.fsum((a - b) ** 2 / b for a, b in pairs), len(pairs) - 1
