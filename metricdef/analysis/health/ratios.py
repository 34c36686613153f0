"""Do the arms have the sizes that they were declared to have?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

from metricdef.analysis.cells import Cells
from metricdef.analysis.readout import ArmRow, HealthRow, Status
from metricdef.analysis.settings import Settings
from metricdef.compiler.plan import Plan
from metricdef.errors import NotComputable
from metricdef.stats import srm

CONCENTRATION = 10_000  # k of the sequential test's Dirichlet prior
Table = tuple[list[int], list[Fraction]]  # units of every arm and their shares
_METHODS = {
    "chi_square": "chi-square",
    "binomial": "exact, binomial",
    "multinomial": "exact, multinomial",
    "binomials": "exact, binomial for each arm with Bonferroni's correction",
    "bonferroni": "chi-square and exact tests with Bonferroni's correction",
}
SRM_CHECKS = ("srm_assignment", "srm_analysed", "srm_triggered")


def check_ratios(cells: Cells, arms: Sequence[ArmRow], settings: Settings, *, final: bool) -> Iterator[HealthRow]:
    """Counts of what was randomised against the shares, in every epoch of a ramp: assigned, analysed, triggered."""
    checks = srm_checks(cells)
    threshold = settings.srm_alpha / len(checks)  # Bonferroni over the places where arms are counted
    for check, (what, counts) in checks.items():
        mixed = None if check == "srm_assignment" or settings.mixed == "first_arm" else False
        tables = _tables(cells, counts, mixed)
        total = [sum(column) for column in zip(*(observed for observed, _ in tables), strict=True)]
        figures = f"{what}: {', '.join(f'{a.arm} {n:,}' for a, n in zip(arms, total, strict=True))}"
        try:
            statistic, p_value, how = test_ratio(tables, final=final)
        except NotComputable as error:
            status: Status = "fail" if error.reason == "unexpected_arm" else "skipped"
            hint = "; give it a share, or find out why it is assigned" if status == "fail" else ""
            yield HealthRow(check, status, f"{figures}; {error.message}{hint}", threshold=threshold)
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


def _tables(cells: Cells, name: str, mixed: bool | None) -> list[Table]:
    """Counts and shares of every epoch; one without a ramp."""
    plan = cells.plan
    found = []
    for epoch in range(max(1, len(plan.epochs))):
        counts = [cells.count(name, arm.name, mixed=mixed, epoch=epoch) for arm in plan.arms]
        found.append((counts, shares_of(plan, epoch)))
    return found


def shares_of(plan: Plan, epoch: int) -> list[Fraction]:
    """The share of every arm in an epoch of a ramp, or in the whole experiment."""
    return [plan.epochs[epoch].shares[arm.name] if plan.epochs else arm.share for arm in plan.arms]


def test_ratio(tables: Sequence[Table], *, final: bool) -> tuple[float, float, str]:
    """Statistic, p-value and how it was made. Raises NotComputable.

    Epochs are independent: chi-squares and their df add up, and so do logarithms of Bayes factors; an epoch in which
    an arm expects few units has an exact p of its own.
    """
    used = [(counts, shares) for counts, shares in tables if sum(counts)] or tables[:1]
    if final:
        parts = [srm.chi_square(counts, shares) for counts, shares in used]
        if len(parts) == 1:
            return parts[0].statistic, parts[0].p_value, _METHODS[parts[0].method]
        whole = srm.combine(parts)
        return whole.statistic, whole.p_value, f"{_METHODS[whole.method]} over {len(parts)} epochs"
    looks = [srm.sequential(counts, shares, CONCENTRATION) for counts, shares in used]
    log_factor = sum(look.log_bayes_factor for look in looks)
    p_value = looks[0].p_value if len(looks) == 1 else min(1.0, math.exp(-max(log_factor, 0.0)))
    return log_factor, p_value, f"sequential, k = {CONCENTRATION}"
