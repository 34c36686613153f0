"""Families of tests, their corrections, and the verdict of each row (semantics.md, sections 5 and 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from metricdef.analysis.evidence import Evidence
from metricdef.analysis.hypotheses import Hypothesis
from metricdef.analysis.look_agreement import LOOKS_DISAGREE
from metricdef.analysis.procedures import NAMES, run_family
from metricdef.analysis.readout import EstimateRow, Interval, TestRow, Verdict
from metricdef.analysis.rounding import equation
from metricdef.analysis.settings import Settings
from metricdef.definitions.models import ROLES, Correction
from metricdef.stats.family import IntervalRule

SELECTION_ALPHA = 0.01  # a difference in who has a value at all, below which a comparison of those who do is void
NONE = Correction(method="none")


def judge(rows: Sequence[EstimateRow], settings: Settings, evidence: Evidence | None = None) -> list[EstimateRow]:
    """Correct every family over its declared size, then give each row its verdict.

    Args:
        rows: Every declared metric x arm, also those that could not be computed.
        settings: The protocol.
        evidence: The effects behind the rows, for joint laws and for intervals of other levels.
    """
    rows = list(rows)
    rules: dict[int, IntervalRule] = {}
    for role in ROLES:
        members = [i for i, row in enumerate(rows) if row.role == role]
        correction, level = settings.correction(role), settings.level(role)
        if role == "guardrail":
            alpha = settings.non_inferiority_alpha
            rules |= _correct(rows, members, "non_inferiority", correction, alpha, role, evidence)
            _correct(rows, members, "superiority", NONE, level, None, evidence)
        else:
            rules |= _correct(rows, members, "superiority", correction, level, role, evidence)
            _correct(rows, members, "non_inferiority", NONE, settings.non_inferiority_alpha, None, evidence)
        declared = [i for i in members if rows[i].equivalence is not None]
        own, alpha = settings.equivalence_correction(role), settings.equivalence_alpha(role)
        _correct(rows, declared, "equivalence", own, alpha, f"{role} equivalence", evidence)
    watched = [i for i, row in enumerate(rows) if row.role != "secondary"]
    alpha = settings.deterioration_alpha
    _correct(rows, watched, "deterioration", Correction(method="holm"), alpha, "deterioration", evidence)
    sizes = _sizes(rows)
    return [_judged(row, rules.get(i), sizes, evidence) for i, row in enumerate(rows)]


def _sizes(rows: Sequence[EstimateRow]) -> dict[tuple[str, Hypothesis], int]:
    """Declared size of each role's families."""
    found: dict[tuple[str, Hypothesis], int] = {}
    for row in rows:
        for hypothesis in (_main(row), *(("equivalence",) if row.equivalence is not None else ())):
            found[row.role, hypothesis] = found.get((row.role, hypothesis), 0) + 1
    return found


def _correct(
    rows: list[EstimateRow],
    members: Sequence[int],
    hypothesis: Hypothesis,
    correction: Correction,
    alpha: float,
    family: str | None,
    evidence: Evidence | None,
) -> dict[int, IntervalRule]:
    """Adjust one family in place, and say which interval goes with each decision.

    A row without this test keeps its place in the family's size.
    """
    tests = [rows[i].test(hypothesis) for i in members]
    if not any(tests):
        return {}
    found = run_family([rows[i] for i in members], tests, correction, alpha, evidence)
    for i, test, tested in zip(members, tests, found, strict=True):
        if test is not None:
            new = replace(
                test,
                p_adjusted=tested.p_adjusted,
                family=family,
                procedure=correction.method,
                rejected=tested.rejected,
                local_alpha=tested.local_alpha,
                joint=tested.joint,
            )
            rows[i] = replace(rows[i], tests=tuple(new if t is test else t for t in rows[i].tests))
    return {i: tested.interval for i, tested in zip(members, found, strict=True)}


def _main(row: EstimateRow) -> Hypothesis:
    return "non_inferiority" if row.role == "guardrail" else "superiority"


def _judged(
    row: EstimateRow,
    rule: IntervalRule | None,
    sizes: Mapping[tuple[str, Hypothesis], int],
    evidence: Evidence | None,
) -> EstimateRow:
    if not row.tests or row.reason == LOOKS_DISAGREE:
        return row
    main = row.test(_main(row))
    verdict = _verdict(row)
    reason, message = row.reason, row.message
    selected = selection(row)
    if selected is not None:
        verdict, reason, message = "inconclusive", "selection", selected
    elif verdict == "inconclusive" and reason is None and (lost := _lost_by_correction(row, sizes)):
        reason, message = "not_rejected_after_correction", lost
    simultaneous, kind = _simultaneous(row, main, rule, evidence)
    return replace(
        row,
        verdict=verdict,
        reason=reason,
        message=message,
        also=tuple(_also(row, verdict, void=selected is not None)),
        family=main.family if main else None,
        p_value=main.p_value if main else None,
        p_adjusted=main.p_adjusted if main else None,
        simultaneous=simultaneous,
        interval_kind=kind,
    )


def selection(row: EstimateRow) -> str | None:
    """Why arms cannot be compared: different shares of their units have a value at all. None where they can."""
    if row.response is None or row.response.p_value >= SELECTION_ALPHA:
        return None
    return (
        f"the share of units with a value differs between arms ({row.response.baseline:.1%} and "
        f"{row.response.arm:.1%}, {equation('p', row.response.p_value, SELECTION_ALPHA)}): those left in are not comparable"
    )


def _lost_by_correction(row: EstimateRow, sizes: Mapping[tuple[str, Hypothesis], int]) -> str | None:
    """What the row's own interval shows and its family does not."""
    shown = {
        "superiority": "its own interval excludes 0",
        "non_inferiority": "its own interval lies inside the margin",
        "equivalence": "its own interval lies inside the margins of equivalence",
    }
    for hypothesis in (_main(row), "equivalence"):
        test = row.test(hypothesis)
        if test is not None and not test.rejected and test.p_value <= test.alpha:
            size = sizes[row.role, test.hypothesis]
            return f"{shown[hypothesis]}, but not after the {NAMES[test.procedure]} correction over {size} tests"
    return None


def _verdict(row: EstimateRow) -> Verdict:
    deterioration, non_inferiority, superiority, equivalence = (
        row.test(h) for h in ("deterioration", "non_inferiority", "superiority", "equivalence")
    )
    if row.role == "guardrail":
        if deterioration and deterioration.rejected:
            return "inferior"
        return "non_inferior" if non_inferiority and non_inferiority.rejected else "inconclusive"
    if superiority and superiority.rejected:
        return "superior" if _is_good(row, superiority) else "inferior"
    return "equivalent" if equivalence and equivalence.rejected else "inconclusive"


def _is_good(row: EstimateRow, test: TestRow) -> bool:
    up = test.statistic > 0 if test.direction is None else test.direction == "greater"
    return up == (row.direction != "decrease")


def _also(row: EstimateRow, verdict: Verdict, *, void: bool) -> list[str]:
    """Other rejected hypotheses, in words."""
    found = []
    superiority = row.test("superiority")
    if row.role == "guardrail" and superiority and superiority.rejected:
        if _is_good(row, superiority):
            found.append("better than 0")
        elif verdict != "inferior":
            found.append("worse than 0")
    if row.role != "guardrail":
        if (test := row.test("non_inferiority")) and test.rejected and verdict != "superior":
            found.append("non_inferior")
        if (test := row.test("deterioration")) and test.rejected and verdict != "inferior":
            found.append("deteriorated")
    if (test := row.test("equivalence")) and test.rejected and verdict != "equivalent" and not void:
        found.append("equivalent")
    return found


def _simultaneous(
    row: EstimateRow, main: TestRow | None, rule: IntervalRule | None, evidence: Evidence | None
) -> tuple[Interval | None, str]:
    """The interval that agrees with the main test's procedure, and what it promises; (None, marginal) without one.

    Bounds compatible with one-sided step-wise tests are left out: for most that are rejected they are the null itself.
    So are intervals of relative margins, with which an absolute interval need not agree.
    """
    if rule is None or main is None or row.absolute is None or not rule.level:
        return None, "marginal"
    if rule.kind not in ("simultaneous", "fcr") or main.null_kind == "relative":
        return None, "marginal"
    one_sided = main.sidedness != "two-sided"
    level = rule.level * (2 if one_sided else 1)
    if level == main.alpha * (2 if one_sided else 1):
        return row.absolute, rule.kind
    interval = evidence.interval((row.metric, row.arm), level) if evidence else None
    return interval, rule.kind if interval else "marginal"
