"""Checks of the experiment itself. Only a sample ratio mismatch or a fault declared fatal makes it invalid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

from metricdef.analysis.cells import Cells
from metricdef.analysis.readout import ArmRow, HealthRow, Status
from metricdef.analysis.settings import Settings
from metricdef.compiler.plan import ArmPlan
from metricdef.errors import NotComputable
from metricdef.stats import srm

MIXED_LIMIT = 0.01  # share of mixed units above which the check fails
MIXED_ALPHA = 0.001  # difference of the mixed rate between arms
CONCENTRATION = 10_000  # k of the sequential test's Dirichlet prior
SRM_CHECKS = ("srm_assignment", "srm_analysed", "srm_triggered")


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


def check_health(cells: Cells, arms: Sequence[ArmRow], settings: Settings, *, final: bool) -> tuple[HealthRow, ...]:
    """Every check. `final`: a fixed design at its planned end, where the fixed-sample test decides."""
    return (
        *_srm(cells, arms, settings, final=final),
        *_mixed(cells, arms, settings),
        *_rows(cells),
        *_attributes(cells),
        *_clusters(cells),
        *(_empty(arms) if cells.audit("rows") else ()),
    )


def is_invalid(health: Sequence[HealthRow], settings: Settings) -> list[str]:
    """Names of the checks that make the experiment invalid."""
    fatal = {*SRM_CHECKS, *(("mixed_units",) if settings.mixed == "fail" else ())}
    return [row.check for row in health if row.check in fatal and row.status == "fail"]


def _srm(cells: Cells, arms: Sequence[ArmRow], settings: Settings, *, final: bool) -> Iterator[HealthRow]:
    """Counts of what was randomised against the shares, in every epoch of a ramp: assigned, analysed, triggered."""
    checks = srm_checks(cells)
    threshold = settings.srm_alpha / len(checks)  # Bonferroni over the places where arms are counted
    for check, (what, counts) in checks.items():
        mixed = None if check == "srm_assignment" or settings.mixed == "first_arm" else False
        tables = _tables(cells, counts, mixed)
        total = [sum(column) for column in zip(*(observed for observed, _ in tables), strict=True)]
        figures = f"{what}: {', '.join(f'{a.arm} {n:,}' for a, n in zip(arms, total, strict=True))}"
        try:
            statistic, p_value, how = _srm_test(tables, final=final)
        except NotComputable as error:
            status: Status = "fail" if error.reason == "unexpected_arm" else "skipped"
            yield HealthRow(check, status, f"{figures}; {error.message}", threshold=threshold)
            continue
        status = "fail" if p_value <= threshold else "pass"
        advice = "; find out why units are lost or added before reading any result" if status == "fail" else ""
        yield HealthRow(check, status, f"{figures} ({how}){advice}", statistic, p_value, threshold)


def srm_checks(cells: Cells) -> dict[str, tuple[str, str]]:
    """Where arms are counted: the check, what is counted in words, and its column."""
    kind = "clusters" if cells.plan.cluster else "units"
    checks = {"srm_assignment": (f"{kind} assigned", f"{kind}_assigned")}
    if cells.plan.trigger is None:
        return checks | {"srm_analysed": (f"{kind} analysed", f"{kind}_analysed")}
    checks["srm_analysed"] = (f"{kind} exposed", f"{kind}_in_population")
    return checks | {"srm_triggered": (f"{kind} triggered", f"{kind}_analysed")}


def _tables(cells: Cells, name: str, mixed: bool | None) -> list[tuple[list[int], list[Fraction]]]:
    """Counts and shares of every epoch; one without a ramp."""
    plan = cells.plan
    found = []
    for epoch in range(max(1, len(plan.epochs))):
        counts = [cells.count(name, arm.name, mixed=mixed, epoch=epoch) for arm in plan.arms]
        shares = [plan.epochs[epoch].shares[arm.name] if plan.epochs else arm.share for arm in plan.arms]
        found.append((counts, shares))
    return found


def _srm_test(tables: Sequence[tuple[list[int], list[Fraction]]], *, final: bool) -> tuple[float, float, str]:
    """Epochs are independent: chi-squares and their df add up, and so do logarithms of Bayes factors."""
    used = [(counts, shares) for counts, shares in tables if sum(counts) or len(tables) == 1]
    if final:
        parts = [srm.chi_square(counts, shares) for counts, shares in used]
        if len(parts) == 1:
            how = "chi-square" if parts[0].method == "chi_square" else f"exact, {parts[0].method}"
            return parts[0].statistic, parts[0].p_value, how
        whole = srm.combine(parts)
        return whole.statistic, whole.p_value, f"chi-square over {len(parts)} epochs"
    looks = [srm.sequential(counts, shares, CONCENTRATION) for counts, shares in used]
    log_factor = sum(look.log_bayes_factor for look in looks)
    p_value = looks[0].p_value if len(looks) == 1 else min(1.0, math.exp(-max(log_factor, 0.0)))
    return log_factor, p_value, f"sequential, k = {CONCENTRATION}"


def _mixed(cells: Cells, arms: Sequence[ArmRow], settings: Settings) -> Iterator[HealthRow]:
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


_ROW_CHECKS = (
    (
        "unknown_arm",
        "exposure rows name an arm that the experiment does not have",
        "add the arm, or give its key with `key:`",
    ),
    ("null_unit", "exposure rows have no unit", "mend the logging of the unit's id"),
    ("null_time", "exposure rows have no timestamp", "mend the logging of the timestamp"),
    ("not_loaded", "exposure rows had not been loaded by as-of", ""),
    ("before_start", "exposure rows lie before the start", "check `start` against the roll-out"),
    ("on_or_after_end", "exposure rows lie on or after the end", ""),
    ("after_as_of", "exposure rows lie at or after as-of", ""),
)


def _rows(cells: Cells) -> Iterator[HealthRow]:
    """Exposure rows that were left out, by reason; those that point to a mistake warn."""
    total = cells.audit("rows")
    if total == 0:
        plan = cells.plan
        source = plan.sources[plan.exposure_source]
        message = f"no row of `{plan.exposure_source}` has `{source.experiment}` = `{plan.experiment_key}`: check `exposure.key`"
        yield HealthRow("exposure_rows", "warn", message, 0.0, None, 0.0)
    for name, what, advice in _ROW_CHECKS:
        count = cells.audit(name)
        if count or advice:
            status: Status = "warn" if count and advice else "pass"
            hint = f": {advice}" if status == "warn" else ""
            yield HealthRow(f"exposure_{name}", status, f"{count:,} of {total:,} {what}{hint}", float(count), None, 0.0)


def _attributes(cells: Cells) -> Iterator[HealthRow]:
    for key in next(iter(cells.rows.values())):
        if key.startswith("duplicates_"):
            source = key.removeprefix("duplicates_")
            count = sum(int(row[key] or 0) for row in cells.rows.values())
            message = f"{count:,} units have more than one row in {source}"
            if count:
                message += "; the smallest value of each column is used: make the source one row per unit"
            yield HealthRow(f"attributes_{source}", "warn" if count else "pass", message, float(count), None, 0.0)


def _clusters(cells: Cells) -> Iterator[HealthRow]:
    if cells.plan.cluster:
        count = cells.audit("null_cluster")
        message = f"{count:,} units belong to no {cells.plan.cluster} and are left out"
        yield HealthRow("null_cluster", "warn" if count else "pass", message, float(count), None, 0.0)


def _empty(arms: Sequence[ArmRow]) -> Iterator[HealthRow]:
    for arm in arms:
        if arm.units == 0 and arm.share_expected > 0:
            yield HealthRow(
                "empty_arm", "warn", f"arm `{arm.arm}` has no unit to analyse; check its key and the exposure source"
            )
