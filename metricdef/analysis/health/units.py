"""Units that are not what a unit should be: in several arms, in no cluster, with several rows of attributes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from metricdef.analysis.cells import Cells
from metricdef.analysis.readout import ArmRow, HealthRow
from metricdef.analysis.settings import Settings
from metricdef.errors import NotComputable
from metricdef.stats import srm

MIXED_LIMIT = 0.01  # share of mixed units above which the check fails
MIXED_ALPHA = 0.001  # difference of the mixed rate between arms


def check_mixed(cells: Cells, arms: Sequence[ArmRow], settings: Settings) -> Iterator[HealthRow]:
    """How many units saw two arms, and whether that is the same in all first arms and in all epochs of a ramp."""
    mixed, total = sum(a.units_mixed for a in arms), sum(a.units_assigned for a in arms)
    if total == 0:
        yield HealthRow("mixed_units", "skipped", "no units")
        return
    p_values = {"arms": _homogeneity([(a.units_mixed, a.units_assigned) for a in arms])}
    if len(cells.plan.epochs) > 1:
        p_values["epochs"] = _homogeneity(_mixed_by_epoch(cells))
    known = {what: p for what, p in p_values.items() if p is not None}
    uneven = [what for what, p in known.items() if p <= MIXED_ALPHA]
    policy = {"exclude": "left out", "first_arm": "kept in their first arm", "fail": "not allowed"}[settings.mixed]
    share = mixed / total
    failed = share > MIXED_LIMIT or bool(uneven) or (settings.mixed == "fail" and mixed > 0)
    message = f"{mixed:,} of {total:,} units ({share:.2%}) saw more than one arm; {policy}"
    if uneven:
        message += f"; the rate differs between {' and '.join(uneven)}"
    if failed:
        message += "; check how units are identified and assigned"
    p_value = min(known.values(), default=None)
    yield HealthRow("mixed_units", "fail" if failed else "pass", message, share, p_value, MIXED_LIMIT)


def _mixed_by_epoch(cells: Cells) -> list[tuple[int, int]]:
    """Mixed and all units of every epoch in which somebody entered."""
    found = []
    for epoch in range(len(cells.plan.epochs)):
        mixed, whole = (
            sum(cells.count("units_assigned", arm.name, mixed=kind, epoch=epoch) for arm in cells.plan.arms)
            for kind in (True, None)
        )
        found.append((mixed, whole))
    return [(mixed, whole) for mixed, whole in found if whole]


def _homogeneity(counts: Sequence[tuple[int, int]]) -> float | None:
    """P of equal rates; None where there is nothing to compare."""
    try:
        return srm.homogeneity([mixed for mixed, _ in counts], [whole for _, whole in counts]).p_value
    except NotComputable:
        return None


def check_attributes(cells: Cells) -> Iterator[HealthRow]:
    """Units with several rows of attributes that are valid from the same instant."""
    for key in next(iter(cells.rows.values())):
        if key.startswith("duplicates_"):
            source = key.removeprefix("duplicates_")
            count = sum(int(row[key] or 0) for row in cells.rows.values())
            message = f"{count:,} units have more than one row in {source}"
            if count:
                message += "; the smallest value of each column is used: make the source one row per unit"
            yield HealthRow(f"attributes_{source}", "warn" if count else "pass", message, float(count), None, 0.0)


def check_clusters(cells: Cells) -> Iterator[HealthRow]:
    """Units without a cluster."""
    if cells.plan.cluster:
        count = cells.audit("null_cluster")
        message = f"{count:,} units belong to no {cells.plan.cluster} and are left out"
        yield HealthRow("null_cluster", "warn" if count else "pass", message, float(count), None, 0.0)
