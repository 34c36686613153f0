"""Lists of everything of one kind: heads, and a row for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from metricdef.reports.site import readout_words
from metricdef.reports.site.catalogue import Catalogue

WIDE = ("What it measures", "Description")  # columns of sentences
PEOPLE = ("Owner", "Owners", "Tags")  # columns of names that people chose
NUMBERS = ("Experiments", "Metrics", "Tests")  # columns of counts

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """One list. A cell is text, a badge, or links to pages of another kind."""

    kind: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]


def listings(catalogue: Catalogue) -> Iterator[Listing]:
    """All lists, in the order of the navigation."""
    heads: tuple[str, ...] = ("Experiment", "Status", "Owners", "Start", "End", "Rule says", "Decision")
    yield Listing("experiments", "Experiments", heads, tuple(_experiments(catalogue)))
    heads = ("Metric", "Type", "What it measures", "Owner", "Tags", "Experiments", "Tests")
    yield Listing("metrics", "Metrics", heads, tuple(_metrics(catalogue)))
    yield Listing(
        "sources", "Sources", ("Source", "Kind", "Reads", "Description", "Metrics"), tuple(_sources(catalogue))
    )
    segments = [
        _row("segments", name, None, _links("sources", (s.segment.source,)), s.sentence, str(len(s.experiments)))
        for name, s in catalogue.segments.items()
    ]
    yield Listing("segments", "Segments", ("Segment", "Source", "Description", "Experiments"), tuple(segments))
    sets = [
        _row("sets", name, None, s.metric_set.description or "", str(len(s.metrics)), str(len(s.experiments)))
        for name, s in catalogue.sets.items()
    ]
    yield Listing("sets", "Metric sets", ("Metric set", "Description", "Metrics", "Experiments"), tuple(sets))
    owners = [_row("owners", name, None, str(len(m)), str(len(e))) for name, (m, e) in catalogue.owners.items()]
    yield Listing("owners", "Owners", ("Owner", "Metrics", "Experiments"), tuple(owners))
    tags = [_row("tags", name, None, str(len(metrics))) for name, metrics in catalogue.tags.items()]
    yield Listing("tags", "Tags", ("Tag", "Metrics"), tuple(tags))


def _experiments(catalogue: Catalogue) -> Iterator[Row]:
    for name, page in catalogue.experiments.items():
        experiment, latest = page.experiment, page.latest
        said = (
            (readout_words.recommendation(latest), readout_words.recommendation_style(latest)) if latest else ("", "")
        )
        yield _row(
            "experiments",
            name,
            experiment.label,
            _badge(experiment.status),
            _links("owners", experiment.owners),
            experiment.start.text[:10],
            experiment.end.text[:10],
            _badge(*said),
            experiment.outcome.arm if experiment.outcome else "",
        )


def _metrics(catalogue: Catalogue) -> Iterator[Row]:
    for name, page in catalogue.metrics.items():
        metric = page.metric
        owners = (metric.owner,) if metric.owner else ()
        links = _links("owners", owners), _links("tags", metric.tags)
        yield _row(
            "metrics", name, metric.label, metric.type, page.sentence, *links, str(len(page.uses)), str(len(page.tests))
        )


def _sources(catalogue: Catalogue) -> Iterator[Row]:
    for name, page in catalogue.sources.items():
        source = page.source
        tables = ", ".join(page.tables)
        yield _row("sources", name, None, source.kind, tables, source.description or "", str(len(page.metrics)))


def _row(kind: str, name: str, title: str | None, *cells: object) -> Row:
    return {"kind": kind, "name": name, "title": title, "cells": cells}


def _badge(word: str, style: str = "") -> dict[str, str]:
    return {"badge": word, "style": style}


def _links(kind: str, names: tuple[str, ...]) -> dict[str, object]:
    return {"links": names, "kind": kind}
