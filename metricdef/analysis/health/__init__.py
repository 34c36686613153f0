"""Checks of the experiment itself. Only a sample ratio mismatch or a fault declared fatal makes it invalid."""

from __future__ import annotations

from collections.abc import Sequence

from metricdef.analysis.cells import Cells
from metricdef.analysis.health.arms import arm_rows, check_arms
from metricdef.analysis.health.exposures import check_exposures
from metricdef.analysis.health.ratios import SRM_CHECKS, check_ratios
from metricdef.analysis.health.units import check_attributes, check_clusters, check_mixed
from metricdef.analysis.readout import ArmRow, HealthRow
from metricdef.analysis.settings import Settings

__all__ = ["arm_rows", "check_health", "is_invalid"]


def check_health(cells: Cells, arms: Sequence[ArmRow], settings: Settings, *, final: bool) -> tuple[HealthRow, ...]:
    """Every check. `final`: a fixed design at its planned end, where the fixed-sample test decides."""
    return (
        *check_ratios(cells, arms, settings, final=final),
        *check_mixed(cells, arms, settings),
        *check_exposures(cells),
        *check_attributes(cells),
        *check_clusters(cells),
        *(check_arms(arms) if cells.audit("rows") else ()),
    )


def is_invalid(health: Sequence[HealthRow], settings: Settings) -> list[str]:
    """Names of the checks that make the experiment invalid."""
    fatal = {*SRM_CHECKS, *(("mixed_units",) if settings.mixed == "fail" else ())}
    return [row.check for row in health if row.check in fatal and row.status == "fail"]
