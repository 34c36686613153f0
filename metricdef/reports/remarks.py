"""What is said of a whole readout, for every kind of report: the decision, what was left out, other analyses, the budget."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from metricdef.analysis.health import SRM_CHECKS
from metricdef.analysis.readout import HealthRow, Readout
from metricdef.analysis.rounding import equation
from metricdef.reports import words
from metricdef.reports.lines import visible
from metricdef.reports.numbers import percent
from metricdef.review.phrases import listed

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?Z")


def recommendation(readout: Readout) -> tuple[str, str]:
    """The decision's word, and a sentence for somebody who has never seen it."""
    decision = readout.decision
    arm = visible(decision.arm) if decision.arm else ""
    if decision.recommendation == "ship":
        return f"SHIP {arm}".rstrip(), "the rule for shipping is met"
    if decision.recommendation == "stop":
        return (
            f"STOP {arm}".rstrip(),
            "the rule for stopping is met" if arm else "the rule for stopping is met by every arm",
        )
    if decision.recommendation == "invalid":
        return "INVALID", "the experiment can't be trusted, and so no estimate of it"
    if not readout.estimates:
        return "HOLD", "results are held back, only health is shown"
    return "HOLD", f"{_why_hold(readout)}{_stopped_arms(readout)}"


def _why_hold(readout: Readout) -> str:
    if readout.look is not None and not readout.look["final"]:
        return "no rule is met at this look"
    if words.is_early(readout):
        return "too early to decide"
    asked = [row for row in readout.estimates if row.segment is None and row.role in ("primary", "guardrail")]
    if any(row.verdict == "not_computed" for row in asked):
        return "something that the rule asks about could not be computed"
    return "the rule for shipping is not met"


def _stopped_arms(readout: Readout) -> str:
    """What a hold of the whole does not say: an arm that does harm."""
    arms = [visible(arm) for arm, what in readout.decision.by_arm.items() if what == "stop"]
    verb = "are" if len(arms) > 1 else "is"
    return f"; {listed(arms)} {verb} to be stopped, the others go on" if arms else ""


def reason(text: str) -> str:
    """A reason without the code in front that programs read, with instants for people."""
    return _INSTANT.sub(
        lambda found: words.instant(found[0]),
        visible(text).removeprefix(f"{words.NOT_YET}: ").removeprefix("unplanned: "),
    )


def rollback(readout: Readout) -> list[str]:
    """`To roll back: flag checkout (openfeature) to off`, where the protocol names its flag and everything is to be stopped."""
    alert = readout.alert or {}
    flag = alert.get("flag")
    if not flag:
        return []
    named = f"flag {visible(flag['key'])} ({visible(flag['provider'])})"
    if not alert["whole_experiment"]:
        return [f"To stop: take {listed([visible(arm) for arm in alert['arms']])} out of {named}"]
    state = f" to {visible(flag['rollback'])}" if flag.get("rollback") else ""
    return [f"To roll back: {named}{state}"]


def health_counts(rows: Sequence[HealthRow]) -> str:
    """`1 failed, 2 to look at, 20 passed (SRM p = 0.61)`."""
    counts = [f"{n} {what}" for status, what in (("fail", "failed"), ("warn", "to look at"), ("skipped", "skipped"), ("pass", "passed"))
              if (n := sum(row.status == status for row in rows))]  # fmt: skip
    return f"{', '.join(counts) or 'nothing was checked'}{smallest_srm(rows)}"


def smallest_srm(rows: Sequence[HealthRow]) -> str:
    """The smallest p of the sample ratio checks, in brackets."""
    found = [row.p_value for row in rows if row.check in SRM_CHECKS and row.p_value is not None]
    return f" (SRM {equation('p', min(found))})" if found else ""


def left_out(readout: Readout) -> list[str]:
    """Units and exposure rows that are not in the estimates, by reason."""
    clusters = any(arm.clusters is not None for arm in readout.arms)
    return [words.excluded(reason, n, clusters) for reason, n in readout.excluded_units.items() if n]


def error_budget(readout: Readout) -> list[str]:
    """`a false ship at most 2.5%`."""
    return [f"{what} at most {percent(rate)}" for key, what in (("false_ship", "a false ship"), ("false_stop", "a false stop"), ("block_good_change", "with the standard errors seen here a good change held back"))
            if isinstance(rate := readout.ledger.get(key), float) and rate < 1]  # fmt: skip


def sensitivity(readout: Readout) -> Iterator[str]:
    """Whether the other analyses come to the same verdicts, and where not."""
    main = {(row.metric, row.arm): row for row in readout.estimates if row.segment is None}
    for analysis in dict.fromkeys(str(entry["analysis"]) for entry in readout.sensitivity):
        entries = [e for e in readout.sensitivity if e["analysis"] == analysis and (e["metric"], e["arm"]) in main]
        other = [e for e in entries if e["verdict"] != main[e["metric"], e["arm"]].verdict]
        name = f"Sensitivity, {words.ANALYSES.get(analysis) or words.spelled(analysis)}"
        if not other:
            where = "the one comparison" if len(entries) == 1 else f"all {len(entries)} comparisons"
            yield f"{name}: the same verdict in {where}."
        else:
            changes = [_change(entry, readout) for entry in other]
            yield f"{name}: another verdict in {len(other)} of {len(entries)} comparisons: {'; '.join(changes)}."


def _change(entry: dict[str, Any], readout: Readout) -> str:
    row = next(r for r in readout.estimates if (r.metric, r.arm) == (entry["metric"], entry["arm"]))
    there = replace(row, verdict=entry["verdict"], reason=entry.get("reason"))
    return f"{visible(row.label)}, {visible(row.arm)}: {words.verdict(there)} instead of {words.verdict(row)}"
