"""What the page of an experiment needs beside the experiment: results, health, looks and the record in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metricdef.governance.log import Event
from metricdef.reports import words
from metricdef.reports.comparisons import interval_words
from metricdef.reports.log import event_kind, event_words
from metricdef.reports.numbers import percent
from metricdef.reports.site import readout_words
from metricdef.reports.site.catalogue import Catalogue, ExperimentPage
from metricdef.reports.site.metric_page import target_words
from metricdef.reports.site.slugs import whole_path


def experiment_context(catalogue: Catalogue, page: ExperimentPage) -> dict[str, Any]:
    """Names for the template."""
    found = page.results
    return {
        "e": page,
        "hypothesis": " ".join(page.experiment.hypothesis.split()),
        "results": [
            readout_words.result_line(page.name, _title(catalogue, row.metric, row.label), row)
            for row in (found.estimates if found else ())
            if row.segment is None
        ],
        "interval_words": " ".join(interval_words(found)) if found else "",
        "whole": whole_path(page.name) if found else None,
        "health": {
            "words": readout_words.health_words(page.latest),
            "rows": readout_words.health_lines(page.latest),
        }
        if page.latest
        else None,
        "looks": list(_looks(page)),
        "locked_words": _locked(page),
        "metrics": [
            {
                "name": name,
                "title": catalogue.metrics[name].metric.label,
                "role": role,
                "target": target_words(target),
                "sentence": catalogue.metrics[name].sentence,
            }
            for name, (role, target) in page.metrics.items()
            if name in catalogue.metrics
        ],
        "events": [_event(event) for event in page.events],
    }


def _title(catalogue: Catalogue, metric: str, label: str) -> str:
    page = catalogue.metrics.get(metric)
    return (page.metric.label if page else None) or label or metric


def _locked(page: ExperimentPage) -> str:
    locks = [event for event in page.events if event.kind == "lock"]
    first = f"Frozen on {words.instant(locks[0].at)}" if locks else "Frozen"
    if len(locks) > 1:
        return f"{first}; amended and locked again on {words.instant(locks[-1].at)}."
    return f"{first}."


def _event(event: Event) -> dict[str, str]:
    at = event.at if len(event.at) == len("2026-09-01") else words.instant(event.at)
    return {"at": at, "kind": event_kind(event), "what": event_words(event)}


def _looks(page: ExperimentPage) -> Iterator[dict[str, str]]:
    """Planned looks with what is recorded of each, then the others. Nothing of what they saw."""
    sequential = page.experiment.analysis.sequential
    if sequential is None or sequential.method == "fixed":
        return
    recorded = [event.payload for event in page.events if event.kind in ("look", "unplanned_look")]
    by_number = {payload.get("number"): payload for payload in recorded if payload.get("number") is not None}
    table = (page.results.ledger.get("looks") or ()) if page.results is not None else ()
    spent = {row["look"]: row for row in table}
    for number, after in enumerate(sequential.looks, 1):
        seen, row = by_number.get(number), spent.get(number)
        yield {
            "name": f"{number} of {len(sequential.looks)}",
            "planned": words.instant(row["at"]) if row else f"{after.text} after the start",
            "recorded": words.instant(str(seen["as_of"])) if seen else "",
            "spent": percent(row["alpha_spent"]) if row else "",
        }
    for payload in recorded:
        if payload.get("number") is None:
            yield {
                "name": "not in the plan",
                "planned": "",
                "recorded": words.instant(str(payload["as_of"])),
                "spent": "",
            }
