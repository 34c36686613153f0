"""A readout for a terminal: the decision first, then whether to trust it, then the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from metricdef.analysis.readout import ArmRow, HealthRow, Readout
from metricdef.analysis.rounding import equation
from metricdef.reports import deviations, looks, remarks, words
from metricdef.reports.breakdowns import render_breakdowns
from metricdef.reports.comparisons import render_estimates
from metricdef.reports.lines import GAP, Pen, flow, table, visible, wrap
from metricdef.reports.novelty import render_novelty
from metricdef.reports.numbers import count
from metricdef.reports.series import render_series

NARROWEST = 24
_STYLES = {"ship": "green", "stop": "red", "invalid": "red", "hold": "yellow"}
_ORDER = {"fail": 0, "warn": 1, "skipped": 2, "pass": 3}
_MARKS = {"fail": ("FAIL", "red"), "warn": ("warn", "yellow"), "skipped": ("skip", ""), "pass": ("pass", "green")}


def render_text(
    readout: Readout, width: int = 100, color: bool = False, verbose: bool = False, quiet: bool = False
) -> str:
    """The whole readout in lines of at most `width` columns; without a line break at the end.

    Args:
        readout: What a run says.
        width: Columns of the terminal.
        color: Whether to write ANSI colours. They add nothing that the words don't say.
        verbose: Also every passed check, every test and the unadjusted estimates.
        quiet: Health and the decision alone, unless `verbose`.
    """
    width, pen = max(NARROWEST, width), Pen(color)
    first = [
        list(_title(readout, width, pen)),
        list(_health(readout.health, width, pen, verbose)),
        list(_decision(readout, width, pen)),
    ]
    more = [
        list(_arms(readout.arms, width, pen)),
        render_estimates(readout, width, pen, verbose),
        render_breakdowns(readout, width, pen, verbose),
        render_series(readout, width, pen, verbose),
        list(_remarks(readout, width)),
        [pen(line, "dim") for line in _provenance(readout.provenance, width)],
    ]
    sections = first if quiet and not verbose else [*first, *more]
    return "\n\n".join("\n".join(section) for section in sections if section)


def _title(readout: Readout, width: int, pen: Pen) -> Iterator[str]:
    name, label = visible(readout.experiment), visible(readout.label)
    for line in wrap(label or name, width):
        yield pen(line, "bold")
    window, early = readout.window, words.is_early(readout)
    named = [f"experiment {name}"] if label and label != name else []
    yield from flow([*named, visible(readout.status), f"as of {words.instant(readout.as_of)}"], width)
    parts = []
    if "start" in window and "end" in window:
        start, end = words.instant(window["start"]), words.instant(window["end"])
        parts.append(f"enrolment {start.removesuffix(' UTC')} to {end}")
    if "planned_end" in window:
        parts.append(f"planned end {words.instant(window['planned_end'])} ({'not reached' if early else 'reached'})")
    if parts:
        yield from flow(parts, width)
    if readout.look is not None:
        yield from flow(list(looks.describe(readout)), width)
    if readout.hypothesis:
        yield from wrap(visible(readout.hypothesis), width, "hypothesis: ", GAP)


def _decision(readout: Readout, width: int, pen: Pen) -> Iterator[str]:
    decision = readout.decision
    word, plain = remarks.recommendation(readout)
    style = _STYLES.get(decision.recommendation, "")
    lines = wrap(f"{word}: {plain}", width, "DECISION  ")
    for i, line in enumerate(lines):
        yield line.replace(word, pen(word, "bold", style), 1) if i == 0 and word in line else line
    for i, reason in enumerate(decision.because):
        yield from wrap(remarks.reason(reason), width, "because   " if i == 0 else " " * 10)
    if len(set(decision.by_arm.values())) > 1:
        yield from flow(
            [f"{visible(arm)} {visible(what)}" for arm, what in decision.by_arm.items()], width, "by arm    "
        )
    for line in remarks.rollback(readout):
        yield from wrap(line, width, rest=GAP)
    for deviation in deviations.of_everything(readout):
        yield from wrap(deviation, width, rest=GAP)


def _health(rows: Sequence[HealthRow], width: int, pen: Pen, verbose: bool) -> Iterator[str]:
    passed = sum(row.status == "pass" for row in rows)
    if rows and passed == len(rows) and not verbose:
        checks = "the only check" if passed == 1 else f"all {passed} checks"
        yield from wrap(f"Health: {checks} passed{remarks.smallest_srm(rows)}", width)
        return
    head = f"Health: {remarks.health_counts(rows)}"
    yield from (pen(line, "bold") for line in wrap(head, width))
    for row in sorted(rows, key=lambda r: _ORDER.get(r.status, 0)):
        if row.status != "pass" or verbose:
            yield from _check(row, width, pen)


def _check(row: HealthRow, width: int, pen: Pen) -> Iterator[str]:
    mark, style = _MARKS.get(row.status, (visible(row.status), ""))
    where = f" [{words.levels(row.segment)}]" if row.segment else ""
    p = ""
    if row.p_value is not None:
        bound = f", limit {row.threshold:g}" if row.threshold is not None and row.check.startswith("srm") else ""
        p = f" ({equation('p', row.p_value, row.threshold if bound else None)}{bound})"
    first, *more = wrap(f"{visible(row.check)}{where}{p}: {visible(row.message)}", width, f"{GAP}{mark}  ")
    yield first.replace(mark, pen(mark, "bold", style), 1)
    yield from more


def _arms(arms: Sequence[ArmRow], width: int, pen: Pen) -> Iterator[str]:
    if not arms:
        return
    yield pen("ARMS", "bold")
    columns = _arm_columns(arms)
    head = ["arm", "units", "share", "expected", *(name for name, _ in columns), ""]
    rows = [head]
    for i, arm in enumerate(arms):
        more = ["-" if (n := found[i]) is None else count(n) for _, found in columns]
        shares = [_share(arm.share_observed), _share(arm.share_expected)]
        rows.append([visible(arm.arm), count(arm.units), *shares, *more, "" if i else "baseline"])
    lines = table(rows, "<" + ">" * (len(head) - 2) + "<", width)
    if lines:
        yield from (pen(line, "dim") if i == 0 else line for i, line in enumerate(lines))
        return
    for i, row in enumerate(rows[1:]):
        named = [
            f"{cell} {title}" if title == "units" else f"{title} {cell}"
            for title, cell in zip(head[1:-1], row[1:-1], strict=True)
        ]
        yield from flow([f"{row[0]}{'' if i else ' (baseline)'}: {named[0]}", *named[1:]], width, GAP)


def _arm_columns(arms: Sequence[ArmRow]) -> list[tuple[str, Sequence[int | None]]]:
    """Further counts, each where it says more than the one before it."""
    clusters, mixed = [a.clusters for a in arms], [a.units_mixed for a in arms]
    units, exposed = [a.units for a in arms], [a.units_in_population for a in arms]
    assigned = [a.units_assigned for a in arms]
    return [
        *([("clusters", clusters)] if any(n is not None for n in clusters) else []),
        *([("exposed", exposed)] if exposed != units else []),
        *([("assigned", assigned)] if assigned != exposed else []),
        *([("mixed", mixed)] if any(mixed) else []),
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.2f}%"


def _remarks(readout: Readout, width: int) -> Iterator[str]:
    """What else belongs to the result: sensitivity, exclusions, error budget."""
    for line in remarks.sensitivity(readout):
        yield from wrap(line, width, rest=GAP)
    for line in render_novelty(readout):
        yield from wrap(line, width, rest=GAP)
    if left_out := remarks.left_out(readout):
        yield from wrap(f"Left out: {'; '.join(left_out)}.", width, rest=GAP)
    for change in looks.changes(readout):
        yield from wrap(f"Not as recorded at this look: {change}.", width, rest=GAP)
    if budget := remarks.error_budget(readout):
        yield from wrap(f"Error budget of the decision rule: {', '.join(budget)}.", width, rest=GAP)


def _provenance(provenance: dict[str, Any], width: int) -> list[str]:
    parts = [f"{name} {visible(provenance[key])[:cut]}" for name, key, cut in (("definitions", "definitions", 16), ("SQL", "sql", 16), ("metricdef", "metricdef", 20),
             ("dialect", "dialect", 20), ("revision", "revision", 12)) if provenance.get(key)]  # fmt: skip
    if "locked" in provenance:
        parts.append("protocol locked" if provenance["locked"] else "protocol not locked")
    if record := provenance.get("record"):
        rows = f"{count(record['entries'])} row{'' if record['entries'] == 1 else 's'}"
        parts.append(f"record of {rows}, head {visible(record['head'])[:16]}")
    return flow(parts, width) if parts else []
