"""The errors that the decision rule allows, and the chance that it blocks a good change (semantics.md, section 6)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from metricdef.analysis.evidence import Evidence, contrast_error
from metricdef.analysis.hypotheses import signed_margin
from metricdef.analysis.look_readout import spending_table
from metricdef.analysis.look_rows import Reading
from metricdef.analysis.readout import EstimateRow, TestRow
from metricdef.analysis.sequential_tests import planned_bounds
from metricdef.analysis.settings import Settings
from metricdef.compiler.plan import MetricPlan, Plan
from metricdef.metrics.fields import Size
from metricdef.stats.ledger import Requirement, error_ledger
from metricdef.stats.power import Level, power_of_noncentrality
from metricdef.stats.tails import z_tail

CHANCES = ("none", "bh", "by")  # procedures that bound no family-wise error once there are several chances
BASIS = (
    "upper bound for one arm, the worst of them: 1 - power of each primary metric at its mde and of each guardrail at no "
    "effect, with the standard errors seen at the planned end, plus the levels of the deterioration tests and sample ratio checks"
)


def error_budget(
    plan: Plan, rows: Sequence[EstimateRow], settings: Settings, evidence: Evidence | None, early: str | None
) -> dict[str, Any]:
    """The ledger of the readout: levels as declared, each one-sided, and what the rule makes of them.

    Args:
        plan: What was computed.
        rows: The judged overall rows.
        settings: The protocol.
        evidence: The effects behind the rows.
        early: Why nothing is tested yet; None at the planned end.
    """
    block, basis = (
        _block_good_change(plan, rows, settings, evidence) if early is None else (None, "nothing is tested yet")
    )
    return {
        "confidence": settings.confidence,
        "alpha": {
            "success": settings.success_alpha,
            "non_inferiority": settings.non_inferiority_alpha,
            "deterioration": settings.deterioration_alpha,
            "quality": settings.srm_alpha,
        },
        "multiplicity": dict(settings.methods),
        "false_ship": settings.success_alpha if _ship_is_bounded(plan, settings) else None,
        "false_stop": settings.deterioration_alpha if settings.decision.stop is None else None,
        "block_good_change": block,
        "block_good_change_basis": basis,
        "looks": spending_table(settings),
    }


def _ship_is_bounded(plan: Plan, settings: Settings) -> bool:
    """Whether shipping takes a primary metric whose error is controlled over all chances to find one."""
    rule = settings.decision.ship.primary if settings.decision.ship else "any_superior"
    quantifier, _, verdict = (rule or "").partition("_")
    if verdict not in ("superior", "equivalent"):
        return False
    treatments = len(plan.arms) - 1
    if quantifier == "all" and treatments == 1:
        return True  # every one must be shown: intersection-union
    superior = verdict == "superior"
    correction = settings.correction("primary") if superior else settings.equivalence_correction("primary")
    roles = [*(m.role for m in plan.metrics), *(m.role for m in plan.dropped.values())]
    chances = treatments * roles.count("primary")
    return correction.method not in CHANCES or chances <= 1


class _Unknown(Exception):
    """Why a power is not known."""


def _block_good_change(
    plan: Plan, rows: Sequence[EstimateRow], settings: Settings, evidence: Evidence | None
) -> tuple[float | None, str]:
    """P(not ship) at the planned effects with nothing harmed, and what it rests on; None with the reason."""
    try:
        requirement, guarded = _required(settings, rows)
        if evidence is None:
            raise _Unknown("the standard errors are not known")
        targets = {metric.name: metric for metric in plan.metrics}
        worst = 0.0
        for arm in dict.fromkeys(row.arm for row in rows):
            own = [row for row in rows if row.arm == arm]
            success = [_success_beta(r, targets.get(r.metric), evidence) for r in own if r.role == "primary"]
            guards = [
                _guardrail_beta(r, targets.get(r.metric), evidence) for r in own if r.role == "guardrail" and guarded
            ]
            if not success:
                raise _Unknown("there is no primary metric")
            found = error_ledger(
                settings.success_alpha,
                settings.non_inferiority_alpha,
                settings.deterioration_alpha,
                settings.srm_alpha,
                success,
                guards,
                requirement,
            )
            worst = max(worst, found.block_good_change or 0.0)
    except _Unknown as why:
        return None, f"not computed: {why}"
    return worst, BASIS


def _required(settings: Settings, rows: Sequence[EstimateRow]) -> tuple[Requirement, bool]:
    """Whether any or all primary metrics must be superior, and whether guardrails must pass, for rules that can be planned."""
    ship, stop = settings.decision.ship, settings.decision.stop
    guarded = any(row.role == "guardrail" for row in rows)
    if settings.decision.practical:
        raise _Unknown("the rule also asks for effects of a practical size, whose chance depends on the true effect")
    if stop is not None and (stop.primary or stop.secondary):
        raise _Unknown("the stop rule names other metrics than guardrails, which adds chances to block")
    if settings.mixed == "fail":
        raise _Unknown("`mixed: fail` may void the experiment at a rate that is not an error level")
    if any(row.response is not None and row.role != "secondary" for row in rows):
        raise _Unknown("a metric with `missing: exclude` may be void where responses differ")
    if ship is None:
        return "any", guarded
    if ship.quality or ship.secondary or (ship.guardrail not in (None, "all_non_inferior")):
        raise _Unknown("the ship rule asks for more than superior primary metrics and non-inferior guardrails")
    if ship.primary not in ("any_superior", "all_superior"):
        raise _Unknown("the ship rule asks for no superior primary metric")
    return ("any" if ship.primary == "any_superior" else "all"), guarded and ship.guardrail is not None


def _success_beta(row: EstimateRow, plan: MetricPlan | None, evidence: Evidence) -> float:
    """1 - power of the superiority test at the metric's mde, at the level that it has whatever the others say."""
    if plan is None or plan.target.mde is None:
        raise _Unknown(f"{row.metric} has no mde" if plan else f"{row.metric} could not be computed")
    test = row.test("superiority")
    return _beta(row, test, plan.target.mde, evidence)


def _guardrail_beta(row: EstimateRow, plan: MetricPlan | None, evidence: Evidence) -> float:
    """1 - power to show that an unharmed guardrail lies inside its margin."""
    if plan is None or plan.target.margin is None:
        raise _Unknown(f"{row.metric} could not be computed")
    return _beta(row, row.test("non_inferiority"), plan.target.margin, evidence)


def _beta(row: EstimateRow, test: TestRow | None, size: Size, evidence: Evidence) -> float:
    if test is None or test.local_alpha is None or row.baseline_value is None:
        raise _Unknown(f"{row.metric} could not be computed")
    if not test.local_alpha > 0:
        raise _Unknown(f"{row.metric} has no level of its own: it is tested only once others are rejected")
    error = contrast_error(evidence.effects.get((row.metric, row.arm)), test)
    if error is None:
        raise _Unknown(f"{row.metric} has no standard error ({row.estimator.name if row.estimator else 'no estimate'})")
    distance, relative = signed_margin(size, 1)
    if relative is not None:
        distance = relative * abs(row.baseline_value)
    if not distance > 0:
        raise _Unknown(f"the baseline of {row.metric} is 0, so a relative size is none")
    reading = evidence.readings.get((row.metric, row.arm))
    if reading is not None:
        return _sequential_beta(reading, test, distance)
    level = Level(test.local_alpha, 2 if test.sidedness == "two-sided" else 1)
    return max(0.0, 1 - power_of_noncentrality(distance / error, level, test.df).correct)


def _sequential_beta(reading: Reading, test: TestRow, distance: float) -> float:
    """1 - P(crossing the bounds at any look taken), Z_j ~ N(distance sqrt(I_j), 1)."""
    if reading.main.share:
        raise _Unknown("the power of tests valid at any time depends on when one looks")
    level = (test.local_alpha or 0.0) / (2 if test.sidedness == "two-sided" else 1)
    bounds = planned_bounds(reading.main, reading.track, level)
    if bounds is None:
        raise _Unknown("the last look spends nothing")
    if reading.result.time is not None:
        # The bounds' joint law is no closer than a bound: the power is at least that of the best look alone.
        seen = [result for fraction, result in reading.past if fraction is not None] + [reading.result]
        return min(
            z_tail(distance * math.sqrt(result.information) - bound)
            for result, bound in zip(seen, bounds.upper, strict=True)
        )
    return max(0.0, 1 - sum(bounds.crossing(distance).upper))
