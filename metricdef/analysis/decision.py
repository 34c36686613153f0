"""Verdicts and health to a recommendation, by the pre-registered rule: invalid > stop > ship > hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from metricdef.analysis.evidence import Evidence
from metricdef.analysis.health import is_invalid, unchecked_grain
from metricdef.analysis.hypotheses import signed_margin
from metricdef.analysis.look_rows import Looking
from metricdef.analysis.look_verdicts import is_futile
from metricdef.analysis.readout import DecisionRow, EstimateRow, HealthRow
from metricdef.analysis.rounding import equation
from metricdef.analysis.schedule import iso
from metricdef.analysis.sequential_design import FUTILITY_BETA
from metricdef.analysis.settings import Settings
from metricdef.definitions.models import ROLES, Conditions
from metricdef.errors import NotComputable
from metricdef.stats.shrinkage import shrink_dependent


@dataclass(frozen=True, slots=True)
class _ArmDecision:
    recommendation: str
    because: tuple[str, ...]


def decide(
    rows: Sequence[EstimateRow],
    health: Sequence[HealthRow],
    settings: Settings,
    arms: Sequence[str],
    early: str | None,
    evidence: Evidence | None = None,
    looking: Looking | None = None,
) -> DecisionRow:
    """The recommendation for the experiment and for every arm.

    Args:
        rows: Judged, of every metric and arm.
        health: Every check.
        settings: The protocol.
        arms: Other than the baseline.
        early: Why nothing can be decided yet but, in a sequential design, that an arm does harm.
        evidence: The effects behind the rows, for the shrunk estimate of an arm that was chosen among several.
        looking: The run of a sequential design.
    """
    invalid = is_invalid(health, settings)
    if invalid:
        failed = [f"{row.check}: {row.message}" for row in health if row.check in invalid]
        return DecisionRow(
            "invalid", None, ("the health of the experiment failed; its estimates cannot be trusted", *failed)
        )
    if early:
        return _decide_early(rows, settings, arms, early, watched=looking is not None)
    found = {arm: _decide_arm([row for row in rows if row.arm == arm], health, settings) for arm in arms}
    decision = _combine(found, rows, settings, arms, evidence)
    return decision if looking is None else _at_look(decision, rows, settings, arms, looking)


def _decide_early(
    rows: Sequence[EstimateRow], settings: Settings, arms: Sequence[str], early: str, *, watched: bool
) -> DecisionRow:
    """Hold, unless harm shows in a test that is valid at any time."""
    harmed = {arm: _stop_reasons([r for r in rows if r.arm == arm], settings) if watched else [] for arm in arms}
    found = {arm: _ArmDecision("stop" if why else "hold", tuple(why)) for arm, why in harmed.items()}
    decision = _combine(found, rows, settings, arms, None)
    authority = settings.decision.authority if any(harmed.values()) else ()
    return replace(decision, because=(*decision.because, early), authority=authority)


def _at_look(
    decision: DecisionRow, rows: Sequence[EstimateRow], settings: Settings, arms: Sequence[str], looking: Looking
) -> DecisionRow:
    """The decision with what a look adds: who may act on it early, futility, and when the next look is."""
    point, of = looking.point, looking.point.of
    if point.final:
        return decision
    where = f"look {point.number} of {of}" if point.number and of else "this look"
    following = f"; the next planned look lies at {iso(point.following)}" if point.following else ""
    if decision.recommendation in ("ship", "stop"):
        who = ", ".join(settings.decision.authority)
        act = f"{who} may act on it" if who else "the protocol names nobody with the authority to act on it"
        line = f"{where} comes before the planned end: {act}"
        return replace(decision, because=(*decision.because, line), authority=settings.decision.authority)
    futile = [arm for arm in arms if _is_futile([row for row in rows if row.arm == arm])]
    lines = [
        f"{arm}: every primary metric has met its futility bound; ending the experiment now costs at most the planned "
        f"{FUTILITY_BETA:.0%} of its power, going on costs no alpha"
        for arm in futile
    ]
    return replace(decision, because=(*decision.because, *lines, f"{where}: the rule is not met yet{following}"))


def _is_futile(rows: Sequence[EstimateRow]) -> bool:
    primary = [row for row in rows if row.role == "primary"]
    return bool(primary) and all(is_futile(row) for row in primary)


def _combine(
    found: dict[str, _ArmDecision],
    rows: Sequence[EstimateRow],
    settings: Settings,
    arms: Sequence[str],
    evidence: Evidence | None,
) -> DecisionRow:
    """What the decisions on the arms mean for the experiment."""
    by_arm = {arm: decision.recommendation for arm, decision in found.items()}
    because = tuple(
        f"{arm}: {line}" if len(arms) > 1 else line for arm, decision in found.items() for line in decision.because
    )
    shipping = [arm for arm in arms if by_arm[arm] == "ship"]
    if shipping:
        chosen, why = _choose(shipping, rows, settings, evidence)
        return DecisionRow("ship", chosen, (*why, *because), by_arm)
    if all(by_arm[arm] == "stop" for arm in arms):
        return DecisionRow("stop", arms[0] if len(arms) == 1 else None, because, by_arm)
    stopping = [arm for arm in arms if by_arm[arm] == "stop"]
    named = (f"stop arm {', '.join(stopping)}; the others go on",) if stopping else ()
    return DecisionRow("hold", None, (*named, *because), by_arm)


def _decide_arm(rows: Sequence[EstimateRow], health: Sequence[HealthRow], settings: Settings) -> _ArmDecision:
    stop = _stop_reasons(rows, settings)
    if stop:
        return _ArmDecision("stop", tuple(stop))
    missing = [r for r in rows if r.verdict == "not_computed" and r.role in ("primary", "guardrail")]
    if missing:
        return _ArmDecision(
            "hold", tuple(f"{r.role} {r.metric} could not be computed: {r.message or r.reason}" for r in missing)
        )
    holds, blockers = _ship_reasons(rows, health, settings)
    return _ArmDecision("hold", tuple(blockers)) if blockers else _ArmDecision("ship", tuple(holds))


def _stop_reasons(rows: Sequence[EstimateRow], settings: Settings) -> list[str]:
    if settings.decision.stop is not None:
        reasons, blockers = _conditions(settings.decision.stop, rows, (), lambda _: True)
        return [] if blockers else reasons
    return [
        f"{row.role} {row.metric} deteriorated ({equation('p', test.p_adjusted, test.alpha)}, one-sided, Holm, at {test.alpha:g})"
        for row in rows
        if (test := row.test("deterioration")) and test.rejected and test.p_adjusted is not None
    ]


def _ship_reasons(
    rows: Sequence[EstimateRow], health: Sequence[HealthRow], settings: Settings
) -> tuple[list[str], list[str]]:
    """Why to ship, and what stands against it."""
    practical = _practical(settings)
    if settings.decision.ship is not None:
        reasons, blockers = _conditions(settings.decision.ship, rows, health, practical)
    else:
        rule = Conditions(
            primary="any_superior", guardrail="all_non_inferior" if any(r.role == "guardrail" for r in rows) else None
        )
        if not any(r.role == "primary" for r in rows):
            return [], ["the experiment has no primary metric"]
        reasons, blockers = _conditions(rule, rows, health, practical)
    worse = [
        f"{row.role} {row.metric} deteriorated" for row in rows if (test := row.test("deterioration")) and test.rejected
    ]
    return reasons, [*blockers, *worse, *(f"{row.check}: {row.message}" for row in unchecked_grain(health))]


def _conditions(
    conditions: Conditions,
    rows: Sequence[EstimateRow],
    health: Sequence[HealthRow],
    counts: Callable[[EstimateRow], bool],
) -> tuple[list[str], list[str]]:
    """Lines that hold and lines that do not; all must hold."""
    reasons, blockers = [], []
    for role in ROLES:
        condition = getattr(conditions, role)
        if condition is None:
            continue
        quantifier, _, verdict = condition.partition("_")
        members = [row for row in rows if row.role == role]
        shown = [row for row in members if _shows(row, verdict)]
        good = [row for row in shown if counts(row)]
        small = [row for row in shown if not counts(row)]
        words = verdict.replace("_", "-")
        if (good and quantifier == "any") or (len(good) == len(members) and quantifier == "all"):
            reasons.append(f"{role} {', '.join(row.metric for row in good)} {words}")
            continue
        if small:
            blockers.append(
                f"{role} {', '.join(row.metric for row in small)} {words}, but smaller than is worth it in practice"
            )
        else:
            wanting = [row.metric for row in members if row not in good]
            blockers.append(
                f"{role} {', '.join(wanting)} not shown to be {words}"
                if quantifier == "all"
                else f"no {role} metric {words}: {', '.join(wanting)}"
            )
    if getattr(conditions, "quality", None) == "all_pass":
        bad = [row.check for row in health if row.status in ("warn", "fail")]
        (blockers if bad else reasons).append(
            f"health checks not all passed: {', '.join(bad)}" if bad else "all health checks passed"
        )
    return reasons, blockers


def _shows(row: EstimateRow, verdict: str) -> bool:
    """Whether a row meets a condition. An effect may be equivalent to none and yet differ from 0: that counts too."""
    return row.verdict == verdict or (verdict == "equivalent" and "equivalent" in row.also)


def _practical(settings: Settings) -> Callable[[EstimateRow], bool]:
    def counts(row: EstimateRow) -> bool:
        size = settings.decision.practical.get(row.metric) if row.verdict == "superior" else None
        if size is None or row.absolute is None:
            return True
        sign = -1 if row.direction == "decrease" else 1
        estimate = row.headline.estimate if row.headline else row.absolute.estimate
        null, relative = signed_margin(size, sign)
        if relative is not None:
            if row.relative is None or row.relative.estimate is None or row.baseline_value is None:
                return False
            shift = estimate / abs(row.baseline_value) if row.baseline_value else 0.0
            return sign * shift >= size.value
        return sign * estimate >= abs(null)

    return counts


def _choose(
    shipping: list[str], rows: Sequence[EstimateRow], settings: Settings, evidence: Evidence | None
) -> tuple[str, tuple[str, ...]]:
    """Of several arms that qualify: the first preferred one, else the one with the largest primary effect."""
    if len(shipping) == 1:
        return shipping[0], ()
    preferred = next((arm for arm in settings.prefer if arm in shipping), None)
    if preferred is not None:
        return preferred, (f"{', '.join(shipping)} all qualify; `prefer` names {preferred}",)
    first = next((row.metric for row in rows if row.role == "primary"), rows[0].metric)
    sizes = {
        row.arm: (-1 if row.direction == "decrease" else 1) * row.absolute.estimate
        for row in rows
        if row.metric == first and row.arm in shipping and row.absolute
    }
    chosen = max(sizes, key=lambda arm: (sizes[arm], -shipping.index(arm))) if sizes else shipping[0]
    why = (
        f"{', '.join(shipping)} all qualify; {chosen} has the largest effect on {first}, which such a choice overstates"
    )
    shrunk = _shrunk(chosen, [row for row in rows if row.metric == first], evidence)
    return chosen, (f"{why}: {shrunk}" if shrunk else why,)


def _shrunk(chosen: str, rows: Sequence[EstimateRow], evidence: Evidence | None) -> str | None:
    """The chosen arm's effect pulled towards that of all arms, in words; None where it cannot be computed.

    Arms share a baseline, so their effects err together: taken as independent, its error would pass for alikeness.
    """
    found = {row.arm: row.absolute for row in rows if row.absolute}
    if evidence is None or chosen not in found or len(found) < 2:
        return None
    covariance = evidence.arm_covariance([(rows[0].metric, arm) for arm in found])
    if covariance is None:
        return None
    try:
        result = shrink_dependent([v.estimate for v in found.values()], covariance)
    except NotComputable:
        return None
    pulled = result.estimates[list(found).index(chosen)]
    share = next(row.is_share for row in rows if row.arm == chosen)
    factor, unit = (100, "pp") if share else (1, "")
    return f"{found[chosen].estimate * factor:+.3g}{unit} as estimated, {pulled * factor:+.3g}{unit} shrunk towards all arms"
