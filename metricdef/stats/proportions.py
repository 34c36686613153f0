"""Two proportions by the score method of Miettinen & Nurminen (1985): tests and intervals that agree at the null.

For few successes or failures, where a Wald interval fails. One family for the difference and the ratio: at the
null of no effect both use the pooled proportion, so p < alpha, the absolute interval without 0 and the relative
interval without 0 are one statement.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from metricdef.errors import NotComputable
from metricdef.stats.effects import Shape
from metricdef.stats.tails import z_quantile, z_tail

VANISHING = 1e-14  # a difference that leaves no digits in 1 - p - difference; its variance is that at 0

_METHOD = "miettinen_nurminen"


@dataclass(frozen=True, slots=True)
class ScoreDifference:
    """p1 - p0 with its score interval. No successes at all or no failures at all: statistic and p_value are None.

    There the score statistic at 0 is 0/0 and says nothing, but the interval is defined (the rule of three).
    """

    estimate: float
    lower: float
    upper: float
    statistic: float | None
    p_value: float | None
    alpha: float
    method: str = _METHOD


@dataclass(frozen=True, slots=True)
class ScoreRatio:
    """p1 / p0 - 1 with its score interval. `upper` and `estimate` are None when the baseline has no success."""

    estimate: float | None
    lower: float
    upper: float | None
    shape: Shape
    statistic: float | None
    p_value: float | None
    alpha: float
    method: str = _METHOD


@dataclass(frozen=True, slots=True)
class ScoreTest:
    """A one-sided score test of a null difference or a null relative effect."""

    null: float
    greater: bool
    statistic: float
    p_value: float
    method: str = _METHOD


@dataclass(frozen=True, slots=True)
class _Table:
    x1: int
    n1: int
    x0: int
    n0: int

    def __post_init__(self) -> None:
        for x, n in ((self.x1, self.n1), (self.x0, self.n0)):
            if n < 1:
                raise NotComputable("too_few_units", "a proportion needs at least 1 unit in each arm")
            if not 0 <= x <= n or x != int(x) or n != int(n):
                raise ValueError(f"not a count of successes among units: {x} of {n}")

    @property
    def inflation(self) -> float:
        """N / (N - 1), the factor that sets Miettinen-Nurminen apart from Mee and Farrington-Manning."""
        return (self.n1 + self.n0) / (self.n1 + self.n0 - 1)

    @property
    def no_variation(self) -> bool:
        return self.x1 + self.x0 in (0, self.n1 + self.n0)

    @property
    def gap(self) -> float:
        return (self.x1 * self.n0 - self.x0 * self.n1) / (self.n1 * self.n0)  # integers: exactly 0 when equal


def _smaller_rate(xa: float, na: float, xb: float, nb: float, delta: float) -> float:
    """Maximum-likelihood p of arm a under p_b = p + delta, delta > 0.

    The score times p (1-p) (p+delta) (1-p-delta) is u (p+delta) r + v p (1-p), u = xa - na p, v = xb - nb (p+delta),
    r = 1 - p - delta. It falls from >= 0 at p = 0 to <= 0 at r = 0. A zero that it has at an end whatever the
    likelihood does (xa = 0, xb = nb) is divided out, so that the remaining sign is that of the score.
    """
    from scipy.optimize import brentq

    low, high = xa == 0, xb == nb
    top = 1.0 - delta

    def score(p: float) -> float:
        r = top - p  # exactly 0 at the end: 1 - p - delta has a sign of its own there
        u = -na if low else xa - na * p
        v = nb if high else xb - nb * (p + delta)
        return u * (p + delta) * (1.0 if high else r) + v * (1.0 if low else p) * (1.0 - p)

    if top <= 0.0 or score(0.0) <= 0.0:
        return 0.0
    if score(top) >= 0.0:
        return top
    return float(brentq(score, 0.0, top, xtol=1e-300, rtol=9e-16, maxiter=500))


def restricted_variance(x1: float, n1: float, x0: float, n0: float, delta: float) -> float:
    """p~1 q~1 / n1 + p~0 q~0 / n0 at the maximum-likelihood rates under p~1 - p~0 = delta.

    Counts may be expected ones. Miettinen & Nurminen (1985); Farrington & Manning (1990).
    """
    if abs(delta) < VANISHING:
        successes, n = x1 + x0, n1 + n0
        return successes * (n - successes) / n / n * (1 / n1 + 1 / n0)
    # Solve for the smaller rate, and in terms of failures when successes are the majority: small rates
    # keep their relative precision (12 of 2 million), and the larger is a sum without cancellation.
    flip = 2 * (x1 + x0) > n1 + n0
    one, zero = (n1 - x1 if flip else x1, n1), (n0 - x0 if flip else x0, n0)
    rise = (delta > 0) != flip
    small, large = (zero, one) if rise else (one, zero)
    p = _smaller_rate(*small, *large, abs(delta))
    q = p + abs(delta)
    return p * (1 - p) / small[1] + q * max(1 - q, 0.0) / large[1]


def _z_difference(t: _Table, delta: float) -> float:
    """Score statistic of p1 - p0 = delta; +-inf where the null has variance 0 and the data contradict it."""
    return _ratio(t.gap - delta, restricted_variance(t.x1, t.n1, t.x0, t.n0, delta) * t.inflation)


def restricted_variance_ratio(x1: float, n1: float, x0: float, n0: float, phi: float) -> float:
    """p~1 q~1 / n1 + phi^2 p~0 q~0 / n0 at the maximum-likelihood rates under p~1 = phi p~0, phi > 0.

    The restricted p~0 is the smaller root of a quadratic. Counts may be expected ones. Miettinen & Nurminen (1985);
    Farrington & Manning (1990).
    """
    if phi == 1.0:
        return restricted_variance(x1, n1, x0, n0, 0.0)
    a, c = (n1 + n0) * phi, x1 + x0
    b = n1 * phi + x1 + n0 + x0 * phi
    p0 = min(2 * c / (b + math.sqrt(max(b * b - 4 * a * c, 0.0))), 1.0, 1.0 / phi)
    q0, q1 = 1.0 - p0, max(1.0 - phi * p0, 0.0)
    if p0 > 0.5:
        # The same root in terms of q0 = 1 - p0, which keeps the digits of a small failure rate:
        # a q0^2 - h q0 + e f0 = 0 with e = phi - 1 and f the failures.
        e, f1, f0 = phi - 1.0, n1 - x1, n0 - x0
        h = f1 + phi * f0 + e * (n1 + n0)
        root = math.sqrt(max(h * h - 4 * a * e * f0, 0.0))
        q0 = (h + root) / (2 * a) if h >= 0 else 2 * e * f0 / (h - root)
        q0 = min(max(q0, e / phi, 0.0), 1.0)
        p0, q1 = 1.0 - q0, max(phi * q0 - e, 0.0)
    return phi * p0 * q1 / n1 + phi * phi * p0 * q0 / n0


def _z_ratio(t: _Table, phi: float) -> float:
    """Score statistic of p1 = phi p0, phi > 0."""
    if phi == 1.0:
        return _z_difference(t, 0.0)
    variance = restricted_variance_ratio(t.x1, t.n1, t.x0, t.n0, phi)
    return _ratio(t.x1 / t.n1 - phi * (t.x0 / t.n0), variance * t.inflation)


def _ratio(gap: float, variance: float) -> float:
    if variance <= 0.0:
        return math.copysign(math.inf, gap) if gap != 0.0 else 0.0
    return gap / math.sqrt(variance)


def _bisect(inside: Callable[[float], bool], outer: float, inner: float) -> float:
    """The edge between `outer` (not inside) and `inner` (inside), to the last bit; safe with infinite statistics."""
    for _ in range(200):
        middle = outer + (inner - outer) / 2
        if middle in (outer, inner):
            break
        if inside(middle):
            inner = middle
        else:
            outer = middle
    return inner


def _at_null(t: _Table) -> tuple[float | None, float | None]:
    if t.no_variation:
        return None, None
    z = _z_difference(t, 0.0)
    return z, min(1.0, 2 * z_tail(abs(z)))


def score_difference(x1: int, n1: int, x0: int, n0: int, alpha: float) -> ScoreDifference:
    """Difference of two proportions with the Miettinen-Nurminen interval and two-sided test of no difference.

    z(delta) = (p1 - p0 - delta) / sqrt([p~1 q~1 / n1 + p~0 q~0 / n0] N / (N - 1)), p~ the maximum-likelihood rates
    under p1 - p0 = delta. The interval is {delta : |z(delta)| <= z_{1-alpha/2}}; p_value tests delta = 0.
    Assumes independent binomial arms. Miettinen & Nurminen (1985), eq. 8-9; Newcombe (1998), method 6.

    Args:
        x1: Successes of the treatment arm.
        n1: Its units.
        x0: Successes of the baseline.
        n0: Its units.
        alpha: 1 - confidence.

    Raises:
        NotComputable: `too_few_units` when an arm is empty.
    """
    t = _Table(x1, n1, x0, n0)
    q, gap = z_quantile(alpha), t.gap
    lower = _bisect(lambda delta: _z_difference(t, delta) <= q, -1.0, gap)
    upper = _bisect(lambda delta: _z_difference(t, delta) >= -q, 1.0, gap)
    z, p_value = _at_null(t)
    return ScoreDifference(gap, lower, upper, z, p_value, alpha)


def score_ratio(x1: int, n1: int, x0: int, n0: int, alpha: float) -> ScoreRatio:
    """Relative effect p1 / p0 - 1 with the Miettinen-Nurminen interval and two-sided test of no effect.

    z(phi) = (p1 - phi p0) / sqrt([p~1 q~1 / n1 + phi^2 p~0 q~0 / n0] N / (N - 1)), p~ the maximum-likelihood rates
    under p1 = phi p0. The interval is {phi : |z(phi)| <= z_{1-alpha/2}} - 1. The lower limit is always finite, -1
    when x1 = 0. With x0 = 0 there is no upper limit and no estimate. Miettinen & Nurminen (1985), eq. 10-12.

    Raises:
        NotComputable: `too_few_units` when an arm is empty.
    """
    t = _Table(x1, n1, x0, n0)
    q = z_quantile(alpha)
    start = math.log(x1 / n1) - math.log(x0 / n0) if x1 and x0 else 0.0

    def limit(inside: Callable[[float], bool], step: float) -> float:
        inner = start
        while not inside(math.exp(inner)):  # only with x0 = 0, where the estimate is infinitely far up
            inner -= step
        outer = inner
        while inside(math.exp(outer)):
            outer += step
            step *= 2
        return math.expm1(_bisect(lambda value: inside(math.exp(value)), outer, inner))

    lower = limit(lambda phi: _z_ratio(t, phi) <= q, -1.0) if x1 else -1.0
    upper = limit(lambda phi: _z_ratio(t, phi) >= -q, 1.0) if x0 else None
    z, p_value = _at_null(t)
    estimate = t.gap / (x0 / n0) if x0 else None
    return ScoreRatio(estimate, lower, upper, "bounded" if x0 else "unbounded", z, p_value, alpha)


def score_test(x1: int, n1: int, x0: int, n0: int, null: float, greater: bool) -> ScoreTest:
    """One-sided score test of H1: p1 - p0 > null (`greater`) or < null: z(null) of `score_difference`.

    Miettinen & Nurminen (1985).

    Raises:
        NotComputable: `no_variation` for null = 0 without any success or any failure; `null_out_of_range` when
            |null| >= 1; `too_few_units`.
    """
    t = _Table(x1, n1, x0, n0)
    if not -1 < null < 1:
        raise NotComputable("null_out_of_range", f"a difference of proportions lies between -1 and 1, not at {null}")
    if null == 0 and t.no_variation:
        raise NotComputable("no_variation", "no unit differs from another, so the score statistic is 0/0")
    z = _z_difference(t, null)
    return ScoreTest(null, greater, z, z_tail(z if greater else -z))


def score_test_relative(x1: int, n1: int, x0: int, n0: int, relative: float, greater: bool) -> ScoreTest:
    """One-sided score test of H1: p1 > (1 + relative) p0 (`greater`) or <; `relative` is signed, above -1.

    z(phi) of `score_ratio` at phi = 1 + relative. Miettinen & Nurminen (1985); Farrington & Manning (1990).

    Raises:
        NotComputable: `no_variation` without any success (or without failure at relative = 0);
            `null_out_of_range` when relative <= -1; `too_few_units`.
    """
    t = _Table(x1, n1, x0, n0)
    if not -1 < relative < math.inf:
        raise NotComputable("null_out_of_range", f"a relative effect on a proportion lies above -1, not at {relative}")
    if x1 + x0 == 0 or (relative == 0 and t.no_variation):
        raise NotComputable("no_variation", "no unit differs from another, so the score statistic is 0/0")
    z = _z_ratio(t, 1.0 + relative)
    return ScoreTest(relative, greater, z, z_tail(z if greater else -z))
