"""A readout for chat and pull requests: the decision, whether to trust it, one table of effects."""

from __future__ import annotations

import re
from collections.abc import Iterator

from metricdef.analysis.readout import EstimateRow, Readout
from metricdef.analysis.rounding import p_text
from metricdef.reports import deviations, looks, notes, remarks, words
from metricdef.reports.breakdowns import QUIET
from metricdef.reports.comparisons import ROLES, interval_words
from metricdef.reports.effect_rows import SHAPES, UNTESTED
from metricdef.reports.lead import headline, lead
from metricdef.reports.lines import visible
from metricdef.reports.numbers import count, figures

MOST_ROWS = 40  # of the table; a comment has a longest length
MOST_REASONS = 3
_SPECIAL = re.compile(r"[\\`*\[\]<>#|&@~$]|(?<!\w)_|_(?!\w)|:(?=\S)|^[-+](?=\s)|^\d+(?=[.)]\s)")


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no link, no mention, no cell's end. What acts on nothing stays readable."""
    return _SPECIAL.sub(lambda found: "".join(f"&#{ord(character)};" for character in found[0]), text)


def render_markdown(readout: Readout) -> str:
    """The readout as Markdown of a few lines; without a line break at the end."""
    word, plain = headline(readout), remarks.recommendation(readout)[1]
    title = visible(readout.label) or visible(readout.experiment)
    lines = [f"### {escaped(word)}: {escaped(title)}", "", f"{escaped(plain[0].upper() + plain[1:])}.", ""]
    lines += [f"- **{escaped(line)}**" for line in remarks.rollback(readout)]
    lines += [f"- {escaped(sentence)}" for sentence in lead(readout)]
    because = readout.decision.because
    lines += [f"- {escaped(remarks.reason(text))}" for text in because[:MOST_REASONS]]
    lines += [f"- {count(len(because) - MOST_REASONS)} more reasons"] if len(because) > MOST_REASONS else []
    lines += [f"- **{escaped(found)}**" for found in deviations.all_of(readout)]
    lines += ["", *_health(readout)]
    if table := list(_table(readout)):
        lines += ["", *table, "", *(escaped(sentence) for sentence in interval_words(readout))]
    lines += ["", f"<sub>{escaped(_source(readout))}</sub>"]
    return "\n".join(lines)


def _health(readout: Readout) -> Iterator[str]:
    yield f"Health: {escaped(remarks.health_counts(readout.health))}"
    for row in readout.health:
        if row.status in ("fail", "warn"):
            mark = "failed" if row.status == "fail" else "to look at"
            yield f"- {mark}: {escaped(words.spelled(row.check))}: {escaped(visible(row.message))}"


def _table(readout: Readout) -> Iterator[str]:
    """Primary metrics and guardrails; of the others those that say something."""
    rows = [row for row in readout.estimates if row.segment is None]
    rows.sort(key=lambda row: ROLES.index(row.role) if row.role in ROLES else len(ROLES))
    telling = [row for row in rows if row.role != "secondary" or row.verdict not in QUIET]
    shown = telling[:MOST_ROWS]
    if not rows:
        return
    tested = any(map(notes.shown_p, rows))
    if shown:
        head = ["metric", "arm", "baseline → arm", "difference", "relative", *(["p"] if tested else []), "verdict"]
        yield f"| {' | '.join(head)} |"
        yield f"|{'---|' * len(head)}"
    for row in shown:
        yield f"| {' | '.join(escaped(cell) for cell in _cells(row, tested=tested))} |"
    left_out = [(len(telling) - len(shown), "that did not fit"), (len(rows) - len(telling), "of secondary metrics without a clear difference")]  # fmt: skip
    if named := [f"{count(n)} comparison{'s' if n > 1 else ''} {which}" for n, which in left_out if n]:
        yield ""
        yield f"Not in this table: {'; '.join(named)}."


def _cells(row: EstimateRow, *, tested: bool) -> list[str]:
    found, p = figures(row), notes.shown_p(row)
    better = words.BETTER.get(row.direction or "", "")
    name = f"{visible(row.label)} ({row.role}{f', {better}' if better else ''})"
    shape = UNTESTED if row.verdict == "not_computed" else SHAPES.get(row.verdict, UNTESTED)
    values = "" if row.baseline_value is None and row.arm_value is None else f"{found.baseline} → {found.arm}"
    relative = f"{found.relative} {found.relative_interval}".strip()
    return [
        name,
        visible(row.arm),
        values,
        f"{found.difference} {found.interval}".strip(),
        "" if relative == "-" else relative,
        *([p_text(*p) if p else ""] if tested else []),
        f"{shape} {words.verdict(row)}",
    ]


def _source(readout: Readout) -> str:
    found = readout.provenance
    parts = [f"experiment {visible(readout.experiment)}", f"as of {words.instant(readout.as_of)}"]
    parts += list(looks.describe(readout))[:1]
    parts += [f"{key} {visible(found[key])[:12]}" for key in ("definitions", "sql") if found.get(key)]
    return " · ".join(parts)
