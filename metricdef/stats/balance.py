"""Are the arms alike before treatment? Standardised differences by covariate and one omnibus test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metricdef.errors import NotComputable
from metricdef.stats.adjustment import usable
from metricdef.stats.linear import solve_scaled
from metricdef.stats.moments import Floats, Moments


@dataclass(frozen=True, slots=True)
class StandardisedDifference:
    """Difference of a covariate's means, arm - baseline, in standard deviations of the two arms' pooled spread.

    0 where the covariate takes one and the same value in both arms; None where it has no spread and yet differs.
    """

    covariate: str
    arm: int
    value: float | None


@dataclass(frozen=True, slots=True)
class Balance:
    """Result of the balance check.

    Attributes:
        differences: Standardised differences of every covariate and arm, also of those not in the test.
        test: "hotelling" with two arms (exact F for normal covariates), "hotelling-lawley" with more (McKeon's F).
        statistic: F.
        df: Degrees of freedom of F.
        distance: T^2 with two arms; with more (N - K) times the Hotelling-Lawley trace, a Wald chi-square with
            p (K - 1) df in large samples.
        p_value: Of the omnibus test.
        covariates: Names in the test.
        dropped: Names left out as constant or collinear.
    """

    differences: tuple[StandardisedDifference, ...]
    test: str
    statistic: float
    df: tuple[float, float]
    distance: float
    p_value: float
    covariates: tuple[str, ...]
    dropped: tuple[str, ...]


def standardised_differences(arms: Sequence[Moments], covariates: Sequence[str]) -> tuple[StandardisedDifference, ...]:
    """(m_a - m_0) / sqrt((S_a + S_0) / 2) for every covariate and arm beside the baseline: Austin (2009).

    Its size says how far the arms are apart whatever n is; above about 0.1 is worth a look in a small experiment.

    Args:
        arms: Moments per arm with the covariates, baseline first.
        covariates: Pre-treatment columns.

    Raises:
        NotComputable: `too_few_units` when an arm has fewer than 2 units.
    """
    return tuple(
        StandardisedDifference(name, a, _standardised(arms[0], arm, name))
        for name in covariates
        for a, arm in enumerate(arms[1:], start=1)
    )


def _standardised(baseline: Moments, arm: Moments, name: str) -> float | None:
    gap = float(arm.mean[arm.index(name)] - baseline.mean[baseline.index(name)])
    spread = math.sqrt((arm.var(name) + baseline.var(name)) / 2)
    if spread > 0:
        return gap / spread
    return 0.0 if gap == 0 else None


def check_balance(arms: Sequence[Moments], covariates: Sequence[str]) -> Balance:
    """Omnibus test that all covariates have the same means in all arms.

    W = pooled within-arm covariance (divisor N - K), U = sum_a n_a (m_a - m.)' W^-1 (m_a - m.). Two arms: U is
    Hotelling's T^2 and F = U (N - p - 1) / (p (N - 2)) with p, N - p - 1 df. More: U / (N - K) is the
    Hotelling-Lawley trace, with McKeon's F, which for two arms is the same. Constant and collinear covariates are
    dropped by name, in the order given. Assumes complete randomisation of the units and, in small samples, normal
    covariates with one covariance; it is meant for a threshold like 0.001, as a warning.
    Hotelling (1931); McKeon (1974).

    Args:
        arms: Moments per arm with the covariates, baseline first; at least 2 arms.
        covariates: Pre-treatment columns.

    Raises:
        NotComputable: `too_few_units` when an arm has fewer than 2, or three or more arms have too few for the covariates;
            `no_variation` when no covariate is left.
        ValueError: fewer than 2 arms.
    """
    if len(arms) < 2:
        raise ValueError("balance compares at least 2 arms")
    differences = standardised_differences(arms, covariates)
    names = usable(arms, covariates, per_arm=False)
    kept = names.kept
    if not kept:
        raise NotComputable("no_variation", "no covariate varies within the arms")
    p, groups, total = len(kept), len(arms) - 1, sum(arm.n for arm in arms)
    error = total - len(arms)
    if groups > 1 and error <= p + 3:  # two arms always have enough: more covariates would be collinear
        raise NotComputable("too_few_units", f"{total} units in {len(arms)} arms are too few for {p} covariates")
    distance = _distance(arms, kept, error)
    first, second, scale = _mckeon(p, groups, error)
    statistic = distance / error / scale
    from scipy.special import fdtrc

    return Balance(
        differences,
        "hotelling" if groups == 1 else "hotelling-lawley",
        statistic,
        (first, second),
        distance,
        float(fdtrc(first, second, statistic)),
        kept,
        names.dropped,
    )


def _distance(arms: Sequence[Moments], kept: Sequence[str], error: int) -> float:
    at = [[arm.index(c) for c in kept] for arm in arms]
    within: Floats = sum(
        (arm.comoment[np.ix_(i, i)] for arm, i in zip(arms, at, strict=True)), np.zeros((len(kept), len(kept)))
    )
    n = np.array([arm.n for arm in arms], dtype=np.float64)
    mean = np.array([arm.mean[i] for arm, i in zip(arms, at, strict=True)])
    # Distances from the first arm: averaging means of the size 1e9 directly would cost digits of the difference.
    off = mean - mean[0]
    off = off - (n @ off) / n.sum()
    return float((n[:, None] * off * solve_scaled(within / error, off.T).T).sum())


def _mckeon(p: int, groups: int, error: int) -> tuple[float, float, float]:
    """df of F and the factor of the trace; for one group Hotelling's exact law."""
    if groups == 1:
        second = float(error - p + 1)
        return float(p), second, p / second
    first = float(p * groups)
    b = (error + groups - p - 1) * (error - 1) / ((error - p - 3) * (error - p))
    second = 4 + (first + 2) / (b - 1)
    return first, second, first * (second - 2) / (second * (error - p - 1))
