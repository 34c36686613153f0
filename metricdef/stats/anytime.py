"""Anytime-valid intervals: asymptotic confidence sequences (Robbins' normal mixture)."""

from __future__ import annotations

import math


def tuned_rho2(units: float, alpha: float) -> float:
    """rho^2 that makes the sequence tightest at `units` total units: (-2 ln a + ln(1 - 2 ln a)) / units.

    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), the closed-form approximation. `units` is fixed in advance.
    """
    return (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / units


def half_width(std_error: float, units: int, rho2: float, alpha: float) -> float:
    """Half width of the two-sided (1 - alpha) confidence sequence: se sqrt(2 (k / (N rho^2)) ln(sqrt(k) / alpha)).

    k = N rho^2 + 1, N = `units` in all compared arms, se the current standard error. Asymptotic: meant for 100 or
    more units per arm. Waudby-Smith et al. (2024).
    """
    k = units * rho2 + 1
    return std_error * math.sqrt(2 * (k / (units * rho2)) * math.log(math.sqrt(k) / alpha))
