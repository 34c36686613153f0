"""Units per arm: how many, with the share they make and the share they should make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from metricdef.analysis.cells import Cells
from metricdef.analysis.readout import ArmRow, HealthRow
from metricdef.compiler.plan import ArmPlan


def arm_rows(cells: Cells, *, with_mixed: bool) -> tuple[ArmRow, ...]:
    """Units per arm with expected and observed share of those analysed."""
    plan = cells.plan
    units = {
        arm.name: cells.count("units_analysed", arm.name, mixed=None if with_mixed else False) for arm in plan.arms
    }
    total = sum(units.values())
    return tuple(
        ArmRow(
            arm.name,
            units[arm.name],
            _expected_share(cells, arm, with_mixed=with_mixed),
            units[arm.name] / total if total else None,
            cells.count("units_assigned", arm.name),
            cells.count("units_assigned", arm.name, mixed=True),
            cells.count("units_in_population", arm.name, mixed=None if with_mixed else False),
            cells.count("clusters_analysed", arm.name, mixed=None if with_mixed else False) if plan.cluster else None,
        )
        for arm in plan.arms
    )


def _expected_share(cells: Cells, arm: ArmPlan, *, with_mixed: bool) -> float:
    """The arm's share; with a ramp that of its epochs, by the units of all arms that came in each."""
    plan = cells.plan
    mixed = None if with_mixed else False
    sizes = [
        sum(cells.count("units_analysed", a.name, mixed=mixed, epoch=epoch) for a in plan.arms)
        for epoch in range(len(plan.epochs))
    ]
    if not sum(sizes):
        return float(arm.share)
    shares = [epoch.shares[arm.name] for epoch in plan.epochs]
    return float(sum(n * share for n, share in zip(sizes, shares, strict=True)) / sum(sizes))


def check_arms(arms: Sequence[ArmRow]) -> Iterator[HealthRow]:
    """Arms with a share that nobody entered."""
    for arm in arms:
        if arm.units == 0 and arm.share_expected > 0:
            yield HealthRow(
                "empty_arm", "warn", f"arm `{arm.arm}` has no unit to analyse; check its key and the exposure source"
            )
