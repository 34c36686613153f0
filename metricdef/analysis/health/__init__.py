"""Checks of the experiment itself. Only a sample ratio mismatch or a fault declared fatal makes it invalid."""

from __future__ import annotations

from collections.abc import Sequence

from metricdef.analysis.cells import Cells
from metricdef.analysis.health.arms import arm_rows, check_arms
from metricdef.analysis.health.covariates import check_covariates
from metricdef.analysis.health.exposures import check_exposures
from metricdef.analysis.health.outcomes import check_outcomes
from metricdef.analysis.health.parts import check_parts
from metricdef.analysis.health.ratios import SRM_CHECKS, check_ratios
from metricdef.analysis.health.sources import check_sources
from metricdef.analysis.health.units import check_attributes, check_clusters, check_mixed, check_rates
from metricdef.analysis.health.weeks import check_weeks
from metricdef.analysis.readout import ArmRow, HealthRow
from metricdef.analysis.settings import Settings

__all__ = ["SRM_CHECKS", "arm_rows", "check_health", "is_invalid", "unchecked_grain"]


def check_health(
    cells: Cells, arms: Sequence[ArmRow], settings: Settings, *, final: bool, hidden: bool = False
) -> tuple[HealthRow, ...]:
    """Every check. `final`: a fixed design at its planned end, where the fixed-sample test decides.

    `hidden`: results are held back, and with them the checks that would show some.
    """
    return (
        *check_ratios(cells, arms, settings, final=final),
        *check_parts(cells, settings),
        *check_mixed(cells, arms, settings),
        *check_rates(cells, settings),
        *check_exposures(cells),
        *check_sources(cells),
        *check_attributes(cells),
        *check_clusters(cells),
        *check_weeks(cells),
        *check_covariates(cells, settings),
        *(() if hidden else check_outcomes(cells, settings)),
        *(check_arms(arms) if cells.audit("rows") else ()),
    )


def is_invalid(health: Sequence[HealthRow], settings: Settings) -> list[str]:
    """Names of the checks that make the experiment invalid."""
    fatal = {*SRM_CHECKS, "source_grain", *(("mixed_units",) if settings.mixed == "fail" else ())}
    return [row.check for row in health if row.check in fatal and row.status == "fail"]


def unchecked_grain(health: Sequence[HealthRow]) -> list[HealthRow]:
    """Checks that could have made the experiment invalid, and were not made: of a `grain`, over a state."""
    return [row for row in health if row.check == "source_grain" and row.status == "warn"]
