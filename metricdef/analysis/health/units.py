"""Units that are not what a unit should be: in several arms, in no cluster, with several rows of attributes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from metricdef.analysis.cells import Cells
from metricdef.analysis.readout import ArmRow, HealthRow
from metricdef.analysis.settings import Settings
from metricdef.errors import NotComputable
from metricdef.stats import contingency

MIXED_LIMIT = 0.01  # share of mixed units above which the check fails
MIXED_ALPHA = 0.001  # difference of the mixed rate between arms
RATE_ALPHA = 0.001  # difference of other rates between arms


def check_mixed(cells: Cells, arms: Sequence[ArmRow], settings: Settings) -> Iterator[HealthRow]:
    """How many units saw two arms, and whether that is the same in all first arms and in all epochs of a ramp."""
    mixed, total = sum(a.units_mixed for a in arms), sum(a.units_assigned for a in arms)
    if total == 0:
        yield HealthRow("mixed_units", "skipped", "no units")
        return
    tests = {"arms": _same_rate([(a.units_mixed, a.units_assigned) for a in arms])}
    if len(cells.plan.epochs) > 1:
        tests["epochs"] = _same_rate(_mixed_by_epoch(cells))
    known = {what: test.p_value for what, test in tests.items() if test is not None}
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


def check_rates(cells: Cells, settings: Settings) -> Iterator[HealthRow]:
    """Rates that are logged before treatment can act, and so are alike in all arms: exposures again, triggers."""
    position = {arm.name: i for i, arm in enumerate(cells.plan.arms)}
    epochs = range(max(1, len(cells.plan.epochs)))
    again = [[(0, 0)] * len(position) for _ in epochs]
    for entry in cells.entered:
        hits, total = again[entry.epoch][position[entry.arm]]
        again[entry.epoch][position[entry.arm]] = hits + entry.again, total + entry.units
    advice = "units are exposed again more often in one arm: log exposures alike in all arms, at the same place"
    yield from _rate(cells, "re_exposures", "units were exposed more than once", advice, again)
    if cells.plan.trigger is None:
        return
    mixed = None if settings.mixed == "first_arm" else False
    triggered = [
        [
            (
                cells.count("units_analysed", arm.name, mixed=mixed, epoch=epoch),
                cells.count("units_in_population", arm.name, mixed=mixed, epoch=epoch),
            )
            for arm in cells.plan.arms
        ]
        for epoch in epochs
    ]
    advice = "the trigger must be logged alike in all arms, also where the treatment does nothing"
    yield from _rate(cells, "trigger_rate", "exposed units triggered", advice, triggered)


def _rate(
    cells: Cells, check: str, what: str, advice: str, epochs: Sequence[Sequence[tuple[int, int]]]
) -> Iterator[HealthRow]:
    """Whether a rate is the same in all arms, within the epochs of a ramp. Not tested where clusters were randomised."""
    arms = [[sum(column) for column in zip(*arm, strict=True)] for arm in zip(*epochs, strict=True)]
    hits, units = (sum(column) for column in zip(*arms, strict=True))
    if not units:
        return
    rates = ", ".join(
        f"{arm.name} {hit / total:.2%}" for arm, (hit, total) in zip(cells.plan.arms, arms, strict=True) if total
    )
    tests = [] if cells.plan.cluster else [found for epoch in epochs if (found := _same_rate(epoch)) is not None]
    whole = contingency.add_up(tests) if tests else None
    differs = whole is not None and whole.p_value <= RATE_ALPHA
    message = f"{hits:,} of {units:,} {what} ({rates})" + (f"; {advice}" if differs else "")
    p_value = whole.p_value if whole else None
    yield HealthRow(check, "warn" if differs else "pass", message, hits / units, p_value, RATE_ALPHA if whole else None)


def _same_rate(counts: Sequence[tuple[int, int]]) -> contingency.Homogeneity | None:
    """The test of equal rates; None where there is nothing to compare."""
    try:
        return contingency.homogeneity([hits for hits, _ in counts], [whole for _, whole in counts])
    except NotComputable:
        return None
