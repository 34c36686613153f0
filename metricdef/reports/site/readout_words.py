"""What a readout says, in the few words that tables have room for."""

from __future__ import annotations

from dataclasses import dataclass

from metricdef.analysis.readout import EstimateRow, HealthRow, Readout
from metricdef.analysis.rounding import p_text
from metricdef.reports import remarks, words
from metricdef.reports.notes import shown_p
from metricdef.reports.numbers import figures

_STYLES = {"ship": "good", "stop": "bad", "invalid": "bad"}
_VERDICTS = {"green": "good", "red": "bad"}
_HEALTH = {"fail": ("failed", "bad"), "warn": ("to look at", ""), "skipped": ("skipped", "")}


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One comparison as text; `title` is that of the metric, or of the experiment where a metric's results are listed."""

    experiment: str
    metric: str
    title: str
    role: str
    arm: str
    values: str
    difference: str
    interval: str
    relative: str
    relative_interval: str
    p: str
    verdict: str
    style: str


@dataclass(frozen=True, slots=True)
class HealthLine:
    """A check that did not pass."""

    word: str
    style: str
    check: str
    where: str
    message: str


def result_line(experiment: str, title: str, row: EstimateRow) -> ResultLine:
    """A row of the readout's estimates."""
    found, p = figures(row), shown_p(row)
    has_values = row.baseline_value is not None or row.arm_value is not None
    return ResultLine(
        experiment,
        row.metric,
        title,
        row.role,
        row.arm,
        f"{found.baseline} → {found.arm}" if has_values else "",
        found.difference,
        found.interval,
        found.relative,
        found.relative_interval,
        p_text(*p) if p else "",
        words.verdict(row),
        _VERDICTS.get(words.verdict_style(row), ""),
    )


def recommendation(readout: Readout) -> str:
    """`ship treatment`, `hold`, `hold, stop one_page`."""
    decision = readout.decision
    stopping = _stopping(readout)
    if decision.recommendation == "hold" and stopping:
        return f"hold, stop {', '.join(stopping)}"
    return f"{decision.recommendation} {decision.arm}" if decision.arm else decision.recommendation


def _stopping(readout: Readout) -> list[str]:
    return [arm for arm, what in readout.decision.by_arm.items() if what == "stop"]


def recommendation_style(readout: Readout) -> str:
    """The class of its badge."""
    if readout.decision.recommendation == "hold" and _stopping(readout):
        return _STYLES["stop"]
    return _STYLES.get(readout.decision.recommendation, "")


def because(readout: Readout) -> list[str]:
    """The reasons of a decision, as people read them."""
    return [remarks.reason(text) for text in readout.decision.because]


def health_words(readout: Readout) -> str:
    """`21 checks passed, 1 to look at`."""
    passed = sum(row.status == "pass" for row in readout.health)
    parts = [f"{passed} check{'s' if passed != 1 else ''} passed"]
    for status, (word, _) in _HEALTH.items():
        count = sum(row.status == status for row in readout.health)
        parts += [f"{count} {word}"] if count else []
    return ", ".join(parts) + "."


def health_lines(readout: Readout) -> list[HealthLine]:
    """Checks that did not pass, the worst first."""
    order = list(_HEALTH)
    rows = sorted((row for row in readout.health if row.status in order), key=lambda row: order.index(row.status))
    return [_health(row) for row in rows]


def _health(row: HealthRow) -> HealthLine:
    word, style = _HEALTH[row.status]
    return HealthLine(word, style, row.check, words.levels(row.segment) if row.segment else "", row.message)


def health_badge(readout: Readout) -> tuple[str, str]:
    """The worst status in a word, and the class of its badge."""
    statuses = {row.status for row in readout.health}
    if "fail" in statuses:
        return "failed", "bad"
    return ("to look at", "") if "warn" in statuses else ("passed", "good") if statuses else ("not checked", "")


def units(readout: Readout) -> int:
    """Units of all arms."""
    return sum(arm.units for arm in readout.arms)
