"""Power to see that two experiments on the same units change each other's effect (`interaction.py`)."""

from __future__ import annotations

import math

from metricdef.stats.power import Level, Power, distance, needed_noncentrality, power_of_noncentrality

Cells = tuple[tuple[float, float], tuple[float, float]]


def interaction_error(sd: float | Cells, units: Cells) -> float:
    """Standard error of (mu_11 - mu_01) - (mu_10 - mu_00): sqrt(sum s_ab^2 / n_ab). Cox (1958).

    Args:
        sd: Of a unit, in all cells or per cell.
        units: units[a][b], a and b 0 for the baseline of A and of B.
    """
    total = 0.0
    for a in (0, 1):
        for b in (0, 1):
            own, n = (sd if isinstance(sd, int | float) else sd[a][b]), units[a][b]
            if not (0 < own < math.inf and 0 < n < math.inf):
                raise ValueError(f"standard deviations and units must be positive and finite: {own}, {n}")
            total += own * own / n
    return math.sqrt(total)


def power_interaction(interaction: float, sd: float | Cells, units: Cells, level: Level) -> Power:
    """Power of the test of no interaction, Phi(|interaction| / se - c) and the far tail; large samples.

    With equal cells se is twice that of a main effect from the same units, so an interaction of the size of an effect
    needs four times its units. Cox (1958).

    Args:
        interaction: Effect of A where B is treated less its effect where B is not.
        sd: Of a unit, in all cells or per cell.
        units: Per cell.
        level: Of the test.
    """
    gap = distance(interaction, 0.0, level.sided)
    return power_of_noncentrality(gap / interaction_error(sd, units), level)


def mde_interaction(sd: float | Cells, units: Cells, level: Level, wanted: float) -> float:
    """Smallest interaction seen with a power: (c + z_power) se. Cox (1958); Bloom (1995).

    Args:
        sd: As in `power_interaction`, as are the others.
        units: Per cell.
        level: Of the test.
        wanted: Power.
    """
    return needed_noncentrality(level, wanted) * interaction_error(sd, units)


def sample_size_interaction(
    interaction: float, sd: float | Cells, level: Level, wanted: float, share_a: float = 0.5, share_b: float = 0.5
) -> float:
    """Units in all four cells for a power, with independent randomisation: n_ab = n times the product of the shares.

    n = sum s_ab^2 / share_ab (c + z_power)^2 / interaction^2. Cox (1958); Lachin (1981).

    Args:
        interaction: As in `power_interaction`, as are the others.
        sd: Of a unit.
        level: Of the test.
        wanted: Power.
        share_a: Of the units in both, those that A treats.
        share_b: The same of B.
    """
    if not (0 < share_a < 1 and 0 < share_b < 1):
        raise ValueError(f"shares lie strictly between 0 and 1: {share_a}, {share_b}")
    cells = tuple(tuple(a * b for b in (1 - share_b, share_b)) for a in (1 - share_a, share_a))
    one = interaction_error(sd, ((cells[0][0], cells[0][1]), (cells[1][0], cells[1][1])))
    return (needed_noncentrality(level, wanted) * one / distance(interaction, 0.0, level.sided)) ** 2
