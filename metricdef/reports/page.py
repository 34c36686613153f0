"""A readout as one HTML page that works from disk: the decision in plain words, the effects, and what stands behind them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metricdef.analysis.readout import HealthRow, Readout
from metricdef.analysis.rounding import equation
from metricdef.reports import deviations, looks, remarks, words
from metricdef.reports.comparisons import ROLES, interval_words, testing_words
from metricdef.reports.effect_rows import EffectGroup, effect_groups
from metricdef.reports.engineer import engineer
from metricdef.reports.lead import headline, lead
from metricdef.reports.limits import limits
from metricdef.reports.lines import visible
from metricdef.reports.novelty import render_novelty
from metricdef.reports.numbers import count
from metricdef.reports.page_days import day_figures, days_left_out, days_words
from metricdef.reports.page_levels import breakdowns
from metricdef.reports.pages import page_template

_STATES = {"fail": ("✕", "failed", "bad"), "warn": ("!", "look at", "unclear"), "skipped": ("○", "skipped", "unclear"), "pass": ("✓", "passed", "good")}  # fmt: skip
_DECISIONS = {"ship": ("▲", "good"), "stop": ("▼", "bad"), "invalid": ("✕", "bad"), "hold": ("●", "unclear")}
_TITLES = {"primary": "Primary metrics", "secondary": "Secondary metrics", "guardrail": "Guardrails"}
_ASKED = {
    "primary": "what the change is meant to move, and what the decision rests on",
    "secondary": "read for understanding; they never decide",
    "guardrail": "what the change must not harm by more than its margin",
}


def render_page(readout: Readout) -> str:
    """The page, as text of an HTML file. It loads nothing from anywhere."""
    return page_template("report.html.j2").render(page=page_of(readout)) + "\n"


def render_notebook(readout: Readout) -> str:
    """The page inside a frame, for the cell of a notebook: its styles and those of the notebook don't meet."""
    return page_template("notebook.html.j2").render(page=render_page(readout), title=visible(readout.label))


def page_of(readout: Readout) -> dict[str, Any]:
    """Everything that the template shows, already in words; numbers come from the readout as they are."""
    shape, tone = _DECISIONS.get(readout.decision.recommendation, ("●", "unclear"))
    _, plain = remarks.recommendation(readout)
    return {
        "title": visible(readout.label) or visible(readout.experiment),
        "experiment": visible(readout.experiment),
        "hypothesis": visible(readout.hypothesis),
        "status": _status(readout),
        "facts": list(_facts(readout)),
        "decision": {
            "word": headline(readout),
            "code": readout.decision.recommendation,
            "shape": shape,
            "tone": tone,
            "plain": plain,
            "lead": list(lead(readout)),
            "because": [remarks.reason(text) for text in readout.decision.because],
            "by_arm": [(visible(a), visible(w)) for a, w in readout.decision.by_arm.items()]
            if len(set(readout.decision.by_arm.values())) > 1
            else [],
            "rollback": remarks.rollback(readout),
        },
        "deviations": list(deviations.of_everything(readout)),
        "health": _health(readout.health),
        "intervals": list(interval_words(readout)),
        "roles": list(_roles(readout)),
        "no_estimates": not any(row.segment is None for row in readout.estimates),
        "days": list(day_figures(readout)),
        "days_said": days_words(readout),
        "days_left_out": list(days_left_out(readout)),
        "breakdowns": breakdowns(readout),
        "arms": _arms(readout),
        "arms_said": "Shares are of units. Clusters were randomised, and the sample ratio is that of clusters: large ones move the shares."
        if any(arm.clusters is not None for arm in readout.arms)
        else "",
        "look": " · ".join(looks.describe(readout)),
        "look_changes": list(looks.changes(readout)),
        "all_deviations": list(deviations.all_of(readout)),
        "sensitivity": list(remarks.sensitivity(readout)),
        "novelty": list(render_novelty(readout)),
        "left_out": remarks.left_out(readout),
        "budget": remarks.error_budget(readout),
        "limits": list(limits(readout)),
        "engineer": engineer(readout),
    }


def _status(readout: Readout) -> str:
    return f"{visible(readout.status)}, as of {words.instant(readout.as_of)}"


def _facts(readout: Readout) -> Iterator[tuple[str, str]]:
    window, design = readout.window, readout.design or {}
    if design.get("owners"):
        yield "Owners", ", ".join(map(visible, design["owners"]))
    yield "Status", _status(readout)
    if "start" in window and "end" in window:
        yield "Enrolment", f"{words.instant(window['start']).removesuffix(' UTC')} to {words.instant(window['end'])}"
    if "planned_end" in window:
        reached = "not reached" if words.is_early(readout) else "reached"
        yield "Planned end", f"{words.instant(window['planned_end'])} ({reached})"
    yield "Compared", ", ".join(f"{visible(a.arm)} ({count(a.units)})" for a in readout.arms)


def _health(rows: tuple[HealthRow, ...]) -> dict[str, Any]:
    passed = bool(rows) and all(row.status == "pass" for row in rows)
    said = (
        f"All {count(len(rows))} checks passed{remarks.smallest_srm(rows)}" if passed else remarks.health_counts(rows)
    )
    checks = [_check(i, row) for i, row in enumerate(rows)]
    states = {row.status for row in rows}
    worst = next((state for state in ("fail", "warn", "skipped", "pass") if state in states), "skipped")
    return {
        "said": f"{said[0].upper()}{said[1:]}",
        "shape": _STATES[worst][0],
        "tone": _STATES[worst][2],
        "open": [check for check in checks if check["status"] != "pass"],
        "passed": [check for check in checks if check["status"] == "pass"],
    }  # fmt: skip


def _check(place: int, row: HealthRow) -> dict[str, Any]:
    shape, word, tone = _STATES.get(row.status, ("○", visible(row.status), "unclear"))
    where = f" ({words.levels(row.segment)})" if row.segment else ""
    return {
        "place": place,
        "status": row.status,
        "shape": shape,
        "word": word,
        "tone": tone,
        "name": f"{words.check(row.check)}{where}",
        "code": visible(row.check),
        "message": visible(row.message),
        "p": equation("", row.p_value, row.threshold).removeprefix(" = ").strip() if row.p_value is not None else "",
    }


def _roles(readout: Readout) -> Iterator[dict[str, Any]]:
    others = dict.fromkeys(r.role for r in readout.estimates if r.segment is None and r.role not in ROLES)
    for role in ("primary", "guardrail", "secondary", *others):
        groups = effect_groups(readout, role)
        if groups:
            yield {
                "role": role,
                "title": _TITLES.get(role) or words.spelled(role).capitalize(),
                "asked": _ASKED.get(role, ""),
                "test": testing_words(readout, role),
                "deviations": list(deviations.of_role(readout, role)),
                "groups": groups,
                "counted": _counted(groups),
            }


def _counted(groups: list[EffectGroup]) -> str:
    """`3 comparisons: 2 better, 1 no clear difference`."""
    verdicts = [row.verdict for group in groups for row in group.rows]
    if len(verdicts) == 1:
        return f"1 comparison: {verdicts[0]}"
    found = {verdict: verdicts.count(verdict) for verdict in verdicts}
    said = ", ".join(f"{count(n)} {verdict}" for verdict, n in sorted(found.items(), key=lambda item: -item[1]))
    return f"{count(len(verdicts))} comparisons: {said}"


def _arms(readout: Readout) -> list[dict[str, Any]]:
    described = (readout.design or {}).get("arms") or {}
    return [
        {
            "place": i,
            "arm": visible(arm.arm),
            "description": visible(described.get(arm.arm) or ""),
            "baseline": i == 0,
            "units": count(arm.units),
            "clusters": count(arm.clusters) if arm.clusters is not None else "",
            "share": f"{arm.share_observed * 100:.2f}%" if arm.share_observed is not None else "-",
            "expected": f"{arm.share_expected * 100:.2f}%",
            "assigned": count(arm.units_assigned),
            "exposed": count(arm.units_in_population),
            "mixed": count(arm.units_mixed),
        }
        for i, arm in enumerate(readout.arms)
    ]
