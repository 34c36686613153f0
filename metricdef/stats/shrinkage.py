"""Empirical-Bayes shrinkage of several estimates towards their common mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shrunk:
    """Between-estimate variance, common mean, and every estimate pulled towards it."""

    tau2: float
    mean: float
    estimates: tuple[float, ...]


def dersimonian_laird(estimates: Sequence[float], std_errors: Sequence[float]) -> Shrunk:
    """Normal-normal shrinkage with the moment estimate of the variance between effects.

    With w_i = 1 / se_i^2, Q = sum w_i (y_i - y.)^2 about the w-weighted mean y.:
    tau^2 = max(0, (Q - (k - 1)) / (sum w - sum w^2 / sum w)); mu weighs by 1 / (tau^2 + se_i^2);
    shrunk_i = mu + tau^2 / (tau^2 + se_i^2) (y_i - mu). DerSimonian & Laird (1986); Efron & Morris (1973).
    Takes the estimates as independent; with few of them tau^2 is uncertain.

    Args:
        estimates: At least 2 effects on one scale.
        std_errors: Their standard errors, above 0.
    """
    k = len(estimates)
    if k < 2 or any(not se > 0 for se in std_errors):
        raise ValueError("shrinkage takes at least 2 estimates with standard errors above 0")
    weights = [1 / se**2 for se in std_errors]
    total = sum(weights)
    fixed = sum(w * y for w, y in zip(weights, estimates, strict=True)) / total
    q = sum(w * (y - fixed) ** 2 for w, y in zip(weights, estimates, strict=True))
    tau2 = max(0.0, (q - (k - 1)) / (total - sum(w**2 for w in weights) / total))
    wider = [1 / (tau2 + se**2) for se in std_errors]
    mean = sum(w * y for w, y in zip(wider, estimates, strict=True)) / sum(wider)
    pulled = tuple(mean + tau2 * w * (y - mean) for w, y in zip(wider, estimates, strict=True))
    return Shrunk(tau2, mean, pulled)
