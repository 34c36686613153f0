"""Families of tests, their corrections, and the verdict of each row (semantics.md, sections 5 and 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from metricdef.analysis.readout import EstimateRow, Interval, TestRow, Verdict
from metricdef.analysis.settings import Settings
from metricdef.definitions.models import ROLES
from metricdef.stats.multiplicity import Method, adjust

SELECTION_ALPHA = 0.01  # a difference in who has a value at all, below which a comparison of those who do is void

Hypothesis = Literal["superiority", "non_inferiority", "deterioration"]


def judge(rows: Sequence[EstimateRow], settings: Settings) -> list[EstimateRow]:
    """Correct every family over its declared size, then give each row its verdict."""
    rows = list(rows)
    for role in ROLES:
        members = [i for i, row in enumerate(rows) if row.role == role]
        if role == "guardrail":
            _correct(rows, members, "non_inferiority", settings.methods[role], settings.non_inferiority_alpha, role)
            _correct(rows, members, "superiority", "none", settings.level(role), None)
        else:
            _correct(rows, members, "superiority", settings.methods[role], settings.level(role), role)
            _correct(rows, members, "non_inferiority", "none", settings.non_inferiority_alpha, None)
    watched = [i for i, row in enumerate(rows) if row.role != "secondary"]
    _correct(rows, watched, "deterioration", "holm", settings.deterioration_alpha, "deterioration")
    return [_judged(row, settings, sum(r.role == row.role for r in rows)) for row in rows]


def _correct(
    rows: list[EstimateRow],
    members: Sequence[int],
    hypothesis: Hypothesis,
    method: Method,
    alpha: float,
    family: str | None,
) -> None:
    """Adjust one family in place. A row without this test keeps its place in the family's size."""
    tests = [rows[i].test(hypothesis) for i in members]
    if not any(tests):
        return
    adjusted = adjust([test.p_value if test else None for test in tests], method, alpha)
    for i, test, p, rejected in zip(members, tests, adjusted.p_adjusted, adjusted.rejected, strict=True):
        if test is not None:
            new = replace(test, p_adjusted=p, family=family, procedure=method, rejected=rejected)
            rows[i] = replace(rows[i], tests=tuple(new if t is test else t for t in rows[i].tests))


def _judged(row: EstimateRow, settings: Settings, size: int) -> EstimateRow:
    if not row.tests:
        return row
    main = row.test("non_inferiority" if row.role == "guardrail" else "superiority")
    verdict = _verdict(row)
    reason, message = row.reason, row.message
    selected = selection(row)
    if selected is not None:
        verdict, reason, message = "inconclusive", "selection", selected
    superiority = row.test("superiority")
    if (
        row.role != "guardrail"
        and verdict == "inconclusive"
        and superiority
        and superiority.p_value <= superiority.alpha
        and reason is None
    ):
        reason = "not_rejected_after_correction"
        message = f"its own interval excludes 0, but not after the {superiority.procedure.capitalize()} correction over {size} tests"
    return replace(
        row,
        verdict=verdict,
        reason=reason,
        message=message,
        also=tuple(_also(row, verdict)),
        family=main.family if main else None,
        p_value=main.p_value if main else None,
        p_adjusted=main.p_adjusted if main else None,
        simultaneous=_simultaneous(row, settings, size),
    )


def selection(row: EstimateRow) -> str | None:
    """Why arms cannot be compared: different shares of their units have a value at all. None where they can."""
    if row.response is None or row.response.p_value >= SELECTION_ALPHA:
        return None
    return (
        f"the share of units with a value differs between arms ({row.response.baseline:.1%} and "
        f"{row.response.arm:.1%}, p = {row.response.p_value:.2g}): those left in are not comparable"
    )


def _verdict(row: EstimateRow) -> Verdict:
    deterioration, non_inferiority, superiority = (
        row.test(h) for h in ("deterioration", "non_inferiority", "superiority")
    )
    if row.role == "guardrail":
        if deterioration and deterioration.rejected:
            return "inferior"
        return "non_inferior" if non_inferiority and non_inferiority.rejected else "inconclusive"
    if superiority and superiority.rejected:
        return "superior" if _is_good(row, superiority) else "inferior"
    return "inconclusive"


def _is_good(row: EstimateRow, test: TestRow) -> bool:
    return (test.statistic > 0) == (row.direction != "decrease")


def _also(row: EstimateRow, verdict: Verdict) -> list[str]:
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
    return found


def _simultaneous(row: EstimateRow, settings: Settings, size: int) -> Interval | None:
    """The interval of a family of one. Step-wise procedures have none that agrees with them."""
    if row.role == "guardrail" or row.absolute is None:
        return None
    return row.absolute if size == 1 and settings.methods[row.role] != "none" else None  # type: ignore[index]  # a role
