"""Inference valid at any time: asymptotic confidence sequences, the mixture SPRT, and its regression-adjusted form.

All are normal mixtures: the likelihood ratio against 0, averaged over a normal prior of the effect, is an e-process
under the null, so its inverse is a p-value at whatever look one stops. Everything is kept on the log scale. Needs
about 100 units per arm before the first look, and units whose outcome is complete when they enter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from metricdef.stats.tails import check_alpha, finite


@dataclass(frozen=True, slots=True)
class ConfidenceSequence:
    """One look of a confidence sequence with its test; the interval excludes `null` exactly when p_value <= alpha.

    Attributes:
        estimate: The estimate itself.
        std_error: Its standard error at this look.
        lower: Limit below; None in a test of "less".
        upper: Limit above; None in a test of "greater".
        log_e_value: Log of the e-value (the mixture likelihood ratio) against `null`; two-sided only, else None.
        p_value: Of this look alone; the smallest over the looks so far is valid as well.
        null: The value tested.
        alpha: Total level.
    """

    estimate: float
    std_error: float
    lower: float | None
    upper: float | None
    log_e_value: float | None
    p_value: float
    null: float
    alpha: float


@dataclass(frozen=True, slots=True)
class MixtureTest:
    """One look of a mixture sequential test. `half_width` is None where the interval is the whole line."""

    log_ratio: float
    p_value: float
    half_width: float | None
    alpha: float


def _check(std_error: float, units: float, rho2: float, alpha: float) -> None:
    check_alpha(alpha)
    if not 0 < std_error < math.inf:
        raise ValueError(f"the standard error must be positive and finite: {std_error}")
    _check_mixture(units, rho2)


def _check_mixture(units: float, rho2: float) -> None:
    if not (0 < units < math.inf and 0 < rho2 < math.inf):
        raise ValueError(f"units and rho^2 must be positive and finite: {units}, {rho2}")


def tuned_rho2(units: float, alpha: float) -> float:
    """rho^2 that makes the sequence tightest at `units` total units: (-2 ln a + ln(1 - 2 ln a)) / units.

    The closed-form approximation, for a one-sided sequence at 2 alpha. Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas
    (2024). `units` is fixed in advance.
    """
    check_alpha(alpha)
    if not 0 < units < math.inf:
        raise ValueError(f"the units to tune for must be positive: {units}")
    return (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / units


def exact_rho2(units: float, alpha: float) -> float:
    """rho^2 that makes the two-sided sequence tightest at `units` total units: (-W_{-1}(-alpha^2 / e) - 1) / units.

    W_{-1} is the lower branch of Lambert's function. The width differs from that of `tuned_rho2` by some 0.1 %.
    Waudby-Smith et al. (2024).
    """
    from scipy.special import lambertw

    check_alpha(alpha)
    if alpha < 1e-150:
        raise ValueError(f"alpha is too small for the exact form; use tuned_rho2: {alpha}")
    if not 0 < units < math.inf:
        raise ValueError(f"the units to tune for must be positive: {units}")
    return (-float(lambertw(-(alpha**2) / math.e, -1).real) - 1) / units


def half_width(std_error: float, units: float, rho2: float, alpha: float) -> float:
    """Half width of the two-sided (1 - alpha) confidence sequence: se sqrt(2 (k / (N rho^2)) ln(sqrt(k) / alpha)).

    k = N rho^2 + 1, N = `units` in all compared arms, se the current standard error (of an adjusted estimate, too).
    Asymptotic: meant for 100 or more units per arm. Waudby-Smith et al. (2024).
    """
    _check(std_error, units, rho2, alpha)
    k = units * rho2 + 1
    return std_error * math.sqrt(2 * (k / (units * rho2)) * (0.5 * math.log(k) - math.log(alpha)))


def one_sided_margin(std_error: float, units: float, rho2: float, alpha: float) -> float:
    """Distance of the limit of a one-sided (1 - alpha) sequence: se sqrt(2 (k / (N rho^2)) ln(1 + sqrt(k) / (2 a))).

    Closed form, some 0.5 % wider than the exact one-sided mixture. rho^2 is best tuned at 2 alpha.
    Waudby-Smith et al. (2024).
    """
    _check(std_error, units, rho2, alpha)
    k = units * rho2 + 1
    return std_error * math.sqrt(2 * (k / (units * rho2)) * math.log1p(math.sqrt(k) / (2 * alpha)))


def log_e_value(z: float, units: float, rho2: float) -> float:
    """Log of the two-sided mixture likelihood ratio: N rho^2 z^2 / (2k) - ln(k) / 2, k = N rho^2 + 1.

    z = (estimate - null) / se. The p-value of one look is min(1, exp(-this)). Robbins (1970).
    """
    _check_mixture(units, rho2)
    finite(z=z)
    growth = units * rho2
    return growth / (growth + 1) * z * z / 2 - 0.5 * math.log1p(growth)


def _one_sided_p(z: float, units: float, rho2: float) -> float:
    """The level at which `one_sided_margin` ends at z standard errors: sqrt(k) / (2 (exp(N rho^2 z^2 / (2k)) - 1))."""
    growth = units * rho2
    exponent = growth / (growth + 1) * z * z / 2
    if z <= 0 or exponent == 0:
        return 1.0
    # ln(e^x - 1) = x + ln(1 - e^-x), without overflow
    log_p = 0.5 * math.log1p(growth) - math.log(2) - exponent - math.log(-math.expm1(-exponent))
    return math.exp(min(log_p, 0.0))


def _agreeing(p_value: float, excludes: bool, alpha: float) -> float:
    """The p-value, its last digit on the side of alpha where the interval says it is."""
    return min(p_value, alpha) if excludes else max(p_value, math.nextafter(alpha, 1.0))


def confidence_sequence(
    estimate: float, std_error: float, units: float, rho2: float, alpha: float, null: float = 0.0
) -> ConfidenceSequence:
    """Two-sided interval estimate -+ m and p = min(1, 1 / E) at one look: m by `half_width`, ln E by `log_e_value`.

    Over all looks together the intervals cover with probability 1 - alpha, asymptotically, whatever the rule to stop.
    Robbins (1970); Waudby-Smith et al. (2024).

    Args:
        estimate: A difference (adjusted or not), an effect of any asymptotically normal kind.
        std_error: Its standard error now.
        units: Total units now, in both arms.
        rho2: Fixed before the first look, by `tuned_rho2` or `exact_rho2`.
        alpha: Level.
        null: Value tested.
    """
    finite(estimate=estimate, null=null)
    half = half_width(std_error, units, rho2, alpha)
    distance = estimate - null
    log_e = log_e_value(distance / std_error, units, rho2)
    p_value = _agreeing(math.exp(min(0.0, -log_e)), abs(distance) > half, alpha)
    return ConfidenceSequence(estimate, std_error, estimate - half, estimate + half, log_e, p_value, null, alpha)


def one_sided_sequence(
    estimate: float, std_error: float, units: float, rho2: float, alpha: float, *, greater: bool, null: float = 0.0
) -> ConfidenceSequence:
    """One limit, estimate -+ m with m by `one_sided_margin`, and the level at which it ends at the null as p.

    Valid over all looks, as `confidence_sequence`. Waudby-Smith et al. (2024).

    Args:
        estimate: As in `confidence_sequence`, as are the others.
        std_error: Its standard error now.
        units: Total units now, in both arms.
        rho2: Fixed before the first look, by `tuned_rho2` at 2 alpha.
        alpha: One-sided level.
        greater: H1 is effect > null, else effect < null.
        null: Value tested.
    """
    finite(estimate=estimate, null=null)
    margin = one_sided_margin(std_error, units, rho2, alpha)
    distance = estimate - null if greater else null - estimate
    p_value = _agreeing(_one_sided_p(distance / std_error, units, rho2), distance > margin, alpha)
    lower, upper = (estimate - margin, None) if greater else (None, estimate + margin)
    return ConfidenceSequence(estimate, std_error, lower, upper, None, p_value, null, alpha)


def running_minimum(p_values: Sequence[float]) -> tuple[float, ...]:
    """The p-value after each look: the smallest so far, which never rises and is valid at any time.

    Only for p-values that are valid at any time each, of one and the same null. Johari et al. (2022).
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values must lie between 0 and 1: {list(p_values)}")
    return tuple(accumulate(p_values, min))


def mixture_test(difference: float, variance: float, tau2: float, alpha: float, null: float = 0.0) -> MixtureTest:
    """The mixture SPRT at one look: ln L = ln(V / (V + tau^2)) / 2 + tau^2 (d - null)^2 / (2 V (V + tau^2)).

    p = min(1, 1 / L). The interval inverts L < 1 / alpha at this look:
    d -+ sqrt(V (V + tau^2) / tau^2 (ln((V + tau^2) / V) - 2 ln alpha)). The same test as the confidence sequence with
    rho^2 = tau^2 / (N V): here the prior of the effect is fixed, there its ratio to the variance of a unit.
    Johari, Koomen, Pekelis & Walsh (2022).

    Args:
        difference: Estimate d.
        variance: Its squared standard error V at this look.
        tau2: Variance of the normal prior of the effect around `null`, fixed in advance.
        alpha: Level.
        null: Value tested.
    """
    check_alpha(alpha)
    finite(difference=difference, null=null)
    if not (0 < variance < math.inf and 0 < tau2 < math.inf):
        raise ValueError(f"the variances must be positive and finite: {variance}, {tau2}")
    growth = tau2 / variance
    if not (0 < growth < math.inf and 1 / growth < math.inf):
        raise ValueError(f"the variances are too far apart to be of one scale: {variance}, {tau2}")
    distance = difference - null
    z = distance / math.sqrt(variance)
    log_ratio = growth / (1 + growth) * z * z / 2 - 0.5 * math.log1p(growth)
    half = math.sqrt(variance * (1 + 1 / growth) * (math.log1p(growth) - 2 * math.log(alpha)))
    p_value = _agreeing(math.exp(min(0.0, -log_ratio)), abs(distance) > half, alpha)
    return MixtureTest(log_ratio, p_value, half, alpha)


def regression_test(t: float, std_error: float, df: float, units: float, g: float, alpha: float) -> MixtureTest:
    """Anytime-valid test of a regression coefficient from its t statistic, exact in small samples of normal errors.

    r = g / (g + n): ln G = ln(r) / 2 + (nu + 1) / 2 [ln(1 + t^2 / nu) - ln(1 + r t^2 / nu)], p = min(1, 1 / G);
    half width se sqrt(nu (1 - q) / (q - r)), q = (r alpha^2)^(1 / (nu + 1)); the whole line where q <= r (too few
    units to reject at all). With a robust standard error asymptotic. Lindon, Ham, Tingley & Bojinov (2024).

    Args:
        t: Coefficient over its standard error.
        std_error: Of the coefficient.
        df: Residual degrees of freedom nu.
        units: Rows n of the regression.
        g: Prior precision in units: small is for small effects, tightest where n is several times g.
        alpha: Level.
    """
    _check(std_error, units, g, alpha)
    if not 0 < df < math.inf or not math.isfinite(t):
        raise ValueError(f"df must be positive and t finite: {df}, {t}")
    log_r = math.log(g) - math.log(g + units)
    r, size = math.exp(log_r), abs(t) / math.sqrt(df)
    if size > 1:  # the same divided by t^2 / nu, which can overflow
        u = (1 / size) ** 2
        growth = math.log1p(u) - math.log(u + r)
    else:
        growth = math.log1p(size * size) - math.log1p(r * size * size)
    log_ratio = 0.5 * log_r + 0.5 * (df + 1) * growth
    q = math.exp((log_r + 2 * math.log(alpha)) / (df + 1))
    half = std_error * math.sqrt(df * (1 - q) / (q - r)) if q > r else None
    excludes = half is not None and abs(t) * std_error > half
    return MixtureTest(log_ratio, _agreeing(math.exp(min(0.0, -log_ratio)), excludes, alpha), half, alpha)
