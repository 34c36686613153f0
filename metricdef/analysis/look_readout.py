"""A look as the readout shows it, with what must be recorded of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from metricdef.analysis.cells import Cells
from metricdef.analysis.health import SRM_CHECKS
from metricdef.analysis.look_meaning import meanings, shares_until
from metricdef.analysis.look_record import LookRecord, ResultLook, frozen_caps
from metricdef.analysis.look_rows import Looking
from metricdef.analysis.readout import HealthRow
from metricdef.analysis.schedule import LookPoint, Stage, iso
from metricdef.analysis.settings import Settings
from metricdef.compiler.plan import Plan
from metricdef.errors import UsageError

CAP_UNITS = 1000  # mature units from which on a percentile is fixed (semantics.md, section 3)


def looking_of(plan: Plan, settings: Settings, stage: Stage) -> Looking | None:
    """How this run reads its effects; None for a fixed design, and while results are held back."""
    design = settings.sequential
    if design is None or plan.as_of < settings.shown_from:
        return None
    shares = {arm.name: float(arm.share) for arm in plan.arms}
    known = meanings(plan, settings, frozen_caps(stage.earlier).values())
    if stage.look is not None:
        return Looking(design, stage.look, shares, meanings=known, plan=plan)
    point = LookPoint(None, None, False, None, stage.earlier)
    return Looking(design, point, shares, harm_only=True, meanings=known, plan=plan)


def check_frozen(plan: Plan, stage: Stage) -> None:
    """Refuse SQL that takes a cap from the data although a look before has fixed it. Raises UsageError."""
    fixed = frozen_caps(stage.earlier)
    loose = [key.rpartition(":")[0] for p in plan.percentiles for key in p.keys if key in fixed]
    if loose:
        raise UsageError(
            f"the SQL computes a cap that an earlier look has fixed: {', '.join(loose)}",
            ["compile it with the caps of the record"],
        )


def earlier_srm(health: Sequence[HealthRow], earlier: Sequence[LookRecord], plan: Plan) -> tuple[HealthRow, ...]:
    """Sample ratio checks with the smallest p of all looks so far: their test is sequential. Lindon & Malek (2022).

    A look whose units were held against other shares than the definitions now give for that time tested something else.
    """
    found = []
    alike = [r for r in earlier if r.shares in (None, shares_until(plan, r.as_of))]
    others = len(earlier) - len(alike)
    for check in health:
        row = check
        if others and row.check in SRM_CHECKS:
            looks = f"{others} earlier look{'s' if others > 1 else ''}"
            row = replace(row, message=f"{row.message}; {looks}, held against other shares, left out")
        past = [r.srm[row.check] for r in alike if row.check in r.srm]
        if row.check not in SRM_CHECKS or row.p_value is None or not past or min(past) >= row.p_value:
            found.append(row)
            continue
        failed = row.threshold is not None and min(past) <= row.threshold
        message = f"{row.message}; an earlier look had a smaller p, which counts" if failed else row.message
        found.append(replace(row, p_value=min(past), status="fail" if failed else row.status, message=message))
    return tuple(found)


def look_row(
    cells: Cells,
    looking: Looking,
    results: Sequence[ResultLook],
    health: Sequence[HealthRow],
) -> dict[str, Any]:
    """The readout's `look`; its `record` is what later looks need of this one (`LookRecord.to_dict`)."""
    plan, point, design = cells.plan, looking.point, looking.design
    record = LookRecord(
        plan.as_of,
        point.number,
        point.fraction,
        tuple(results),
        {**_caps(cells), **frozen_caps(point.earlier)},
        {row.check: row.p_value for row in health if row.check in SRM_CHECKS and row.p_value is not None},
        shares=shares_until(plan, plan.as_of),
    )
    return {
        "method": design.method,
        "number": point.number,
        "of": point.of if point.number is not None else len(design.looks) or None,
        "fraction": point.fraction,
        "planned": point.number is not None or design.method == "always_valid",
        "final": point.final,
        "next": iso(point.following) if point.following else None,
        "replay": point.recorded is not None,
        "differences": _differences(point.recorded, results) if point.recorded else [],
        "record": record.to_dict(),
        "earlier": [found.to_dict() for found in point.earlier],
    }


def _caps(cells: Cells) -> dict[str, float]:
    """Percentiles that are fixed from this look on: those over enough units."""
    found: dict[str, float] = {}
    for percentile in cells.plan.percentiles:
        units = sum(cells.eligible(percentile.block, arm.name, with_mixed=False) for arm in cells.plan.arms)
        value, _ = cells.percentile(percentile.name)
        if value is not None and units >= CAP_UNITS:
            found |= dict.fromkeys(percentile.keys, value)
    return found


def _differences(recorded: LookRecord, results: Sequence[ResultLook]) -> list[dict[str, Any]]:
    """Comparisons that the same data would have given as recorded, and that came out otherwise: late or restated rows."""
    now = {(r.metric, r.arm): r for r in results if not r.analysis}
    found = []
    for then in (r for r in recorded.results if not r.analysis):
        again = now.get((then.metric, then.arm))
        if (
            again is None
            or again.units != then.units
            or not math.isclose(again.estimate, then.estimate, rel_tol=1e-9, abs_tol=1e-12)
            or not math.isclose(again.information, then.information, rel_tol=1e-9)
            or any(
                not math.isclose(again.sides[k].z, s.z, rel_tol=1e-9, abs_tol=1e-9)
                for k, s in then.sides.items()
                if k in again.sides
            )
        ):
            found.append(
                {
                    "metric": then.metric,
                    "arm": then.arm,
                    "recorded": {"units": then.units, "estimate": then.estimate},
                    "now": {"units": again.units, "estimate": again.estimate} if again else None,
                }
            )
    return found


def spending_table(settings: Settings) -> list[dict[str, Any]]:
    """Planned looks with the two-sided alpha of a family of tests of no effect that is spent by each."""
    design = settings.sequential
    if design is None or design.rule is None:
        return []
    level = settings.success_alpha * (1 - design.anytime_share)
    return [
        {
            "look": j + 1,
            "at": iso(at),
            "fraction": fraction,
            "alpha_spent": 2 * math.exp(design.rule.spending.log_spent(fraction, level)),
        }
        for j, (at, fraction) in enumerate(zip(design.looks, design.fractions, strict=True))
    ]
