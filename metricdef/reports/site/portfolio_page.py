"""What the first page needs: experiments by where they stand, and what the decided ones say together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metricdef.reports.site import readout_words
from metricdef.reports.site.catalogue import Catalogue, ExperimentPage
from metricdef.reports.site.portfolio_words import SCALE, finding_line, summary_lines

# Status, id, heading and word in the line of counts, in the order in which they are shown.
_GROUPS = (
    ("running", "running", "Running", "running"),
    ("stopped", "hold", "Ended, not decided", "ended and not decided"),
    ("decided", "decided", "Decided", "decided"),
    ("draft", "draft", "Drafts", "drafted"),
)


def portfolio_context(catalogue: Catalogue) -> dict[str, Any]:
    """Names for the template."""
    groups = []
    counts = []
    for status, key, heading, word in _GROUPS:
        pages = [page for page in catalogue.experiments.values() if page.experiment.status == status]
        counts += [f"{len(pages)} {word}"] if pages else []
        # The latest first, those of one day by name.
        pages.sort(key=lambda page: page.name)
        pages.sort(key=_date, reverse=True)
        groups.append({"id": key, "heading": heading, "rows": [_row(page) for page in pages]})
    decided = sum(page.experiment.status == "decided" for page in catalogue.experiments.values())
    total = len(catalogue.experiments)
    return {
        "groups": groups,
        "counts": f"{total:,} experiment{'' if total == 1 else 's'}{': ' if counts else ''}{', '.join(counts)}."
        f" {len(catalogue.metrics):,} metrics from {len(catalogue.sources):,} sources.",
        "summary": list(
            summary_lines(
                catalogue.portfolio, decided, catalogue.without_results, catalogue.invalid, list(_shared(catalogue))
            )
        ),
        "findings": [finding_line(finding) for finding in catalogue.portfolio.findings],
        "scale": SCALE,
        "problems": catalogue.problems,
    }


def _shared(catalogue: Catalogue) -> Iterator[list[str]]:
    """Summarised experiments whose units come from the same rows of the same source."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in dict.fromkeys(finding.experiment for finding in catalogue.portfolio.findings):
        exposure = catalogue.experiments[name].experiment.exposure
        found.setdefault((exposure.source, exposure.key or name), []).append(name)
    yield from (names for names in found.values() if len(names) > 1)


def _date(page: ExperimentPage) -> str:
    outcome = page.experiment.outcome
    return (outcome.decided if outcome else page.experiment.end).text[:10]


def _row(page: ExperimentPage) -> dict[str, Any]:
    health, style = readout_words.health_badge(page.latest) if page.latest else ("", "")
    return {
        "name": page.name,
        "title": page.experiment.label,
        "owners": page.experiment.owners,
        "date": _date(page),
        "readout": page.latest,
        "looks": _looks(page),
        "units": f"{readout_words.units(page.latest):,}" if page.latest else "",
        "health": health,
        "health_style": style,
        "arm": page.experiment.outcome.arm if page.experiment.outcome else "",
    }


def _looks(page: ExperimentPage) -> str:
    """`2 of 4`: looks that are recorded, of those planned; empty for a fixed design."""
    sequential = page.experiment.analysis.sequential
    if sequential is None or sequential.method == "fixed":
        return ""
    recorded = sum(event.kind in ("look", "unplanned_look") for event in page.events)
    return f"{recorded} of {len(sequential.looks)}" if sequential.looks else f"{recorded}"
