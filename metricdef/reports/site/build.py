"""The pages of a site, one after the other: their paths, and their text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metricdef import __version__
from metricdef.analysis.metric_tests import CaseResult
from metricdef.definitions.project import Project
from metricdef.reports import words
from metricdef.reports.lines import visible
from metricdef.reports.page import render_page
from metricdef.reports.site import readout_words
from metricdef.reports.site.catalogue import Catalogue, gather
from metricdef.reports.site.experiment_page import experiment_context
from metricdef.reports.site.listings import NUMBERS, PEOPLE, WIDE, listings
from metricdef.reports.site.metric_page import metric_context, target_words
from metricdef.reports.site.metric_sql import MetricSql, metric_sql, texts
from metricdef.reports.site.portfolio_page import portfolio_context
from metricdef.reports.site.rendering import asset, site_environment
from metricdef.reports.site.slugs import page_path, whole_path
from metricdef.reports.site.source_page import source_facts
from metricdef.reports.site.stored_readouts import Stored

Page = tuple[str, str]


def build_site(
    project: Project,
    stored: Stored,
    revision: str | None = None,
    *,
    live: bool = False,
    known: dict[str, MetricSql | str] | None = None,
    tested: Sequence[CaseResult] | None = None,
) -> Iterator[Page]:
    """Every file of the site of a valid project: its path from the site's root, and its text.

    Equal definitions, history and readouts give equal bytes: there is no clock in it.

    Args:
        project: Its definitions.
        stored: Its readouts.
        revision: What the pages say they were built from.
        live: For the server: pages ask whether there is a newer state.
        known: The SQL of metrics, where it was written for the same definitions before; what is written now is added.
        tested: What its unit tests gave; None where they did not run, which pages say.
    """
    catalogue = gather(project, stored, tested or ())
    shared = {"project": catalogue.name, "version": __version__, "revision": revision, "live": live, "ran": tested is not None}  # fmt: skip
    yield from _assets(catalogue, live=live)
    for path, template, context in _pages(project, catalogue, {} if known is None else known):
        section = path if path == "index.html" else f"{path.split('/')[0]}/index.html"
        root = "../" * path.count("/")
        text = (
            site_environment()
            .get_template(f"site/{template}.html.j2")
            .render(**shared, **_WORDS, **context, root=root, here=path, section=section)
        )
        yield path, text
    for name in catalogue.experiments:
        whole = stored.whole(name)
        if whole is not None:
            yield whole_path(name), render_page(whole)


_WORDS: Mapping[str, Any] = {
    "instant": words.instant,
    "day": lambda text: words.instant(text)[:10],
    "recommendation": readout_words.recommendation,
    "style_of": readout_words.recommendation_style,
    "because": readout_words.because,
    "share": lambda value: "–" if value is None else f"{value * 100:.2f}%",
}


def _assets(catalogue: Catalogue, *, live: bool) -> Iterator[Page]:
    yield "assets/site.css", asset("style.css") + "\n" + asset("site/site.css")
    yield "assets/search.js", asset("site/search.js")
    if live:
        yield "assets/live.js", asset("site/live.js")
    # A script, not data: pages opened from disk may not fetch. Escapes keep it plain ASCII.
    entries = ",\n".join(json.dumps([visible(part) for part in entry]) for entry in _index(catalogue))
    yield "assets/index.js", f"window.METRICDEF_INDEX = [\n{entries}\n];\n"


def _index(catalogue: Catalogue) -> Iterator[tuple[str, str, str, str, str]]:
    """What can be searched for: kind, name, title, text, page."""
    for name, e in catalogue.experiments.items():
        text = " ".join([e.experiment.status, " ".join(e.experiment.hypothesis.split()), *e.experiment.owners])
        yield "experiment", name, e.experiment.label or "", text, page_path("experiments", name)
    for name, m in catalogue.metrics.items():
        text = " ".join([m.sentence, m.metric.description or "", m.metric.owner or "", *m.metric.tags])
        yield "metric", name, m.metric.label or "", text, page_path("metrics", name)
    for name, s in catalogue.sources.items():
        text = " ".join([s.source.description or "", *s.tables, *s.source.measures, *s.source.dimensions])
        yield "source", name, "", text, page_path("sources", name)
    for name, segment in catalogue.segments.items():
        text = " ".join([segment.sentence, segment.segment.description or ""])
        yield "segment", name, "", text, page_path("segments", name)
    for name, found in catalogue.sets.items():
        text = " ".join([found.metric_set.description or "", *(metric for metric, _, _ in found.metrics)])
        yield "metric set", name, "", text, page_path("sets", name)
    for owner, (metrics, experiments) in catalogue.owners.items():
        yield "owner", owner, "", f"{len(metrics)} metrics, {len(experiments)} experiments", page_path("owners", owner)
    for tag, names in catalogue.tags.items():
        yield "tag", tag, "", f"{len(names)} metrics", page_path("tags", tag)


def _pages(
    project: Project, catalogue: Catalogue, known: dict[str, MetricSql | str]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, template and what it is filled with."""
    yield "index.html", "portfolio", {"title": "Portfolio", **portfolio_context(catalogue)}
    for found in listings(catalogue):
        yield (
            f"{found.kind}/index.html",
            "list",
            {"title": found.title, "list": found, "wide": WIDE, "people": PEOPLE, "numbers": NUMBERS},
        )
    for name, e in catalogue.experiments.items():
        title = e.experiment.label or name
        yield page_path("experiments", name), "experiment", {"title": title, **experiment_context(catalogue, e)}
    written = texts()
    for name, m in catalogue.metrics.items():
        if name not in known:
            known[name] = metric_sql(project, name, [use.experiment for use in m.uses], written)
        title = m.metric.label or name
        yield page_path("metrics", name), "metric", {"title": title, "sql": known[name], **metric_context(catalogue, m)}
    for name, s in catalogue.sources.items():
        segments = [catalogue.segments[segment] for segment in s.segments]
        yield (
            page_path("sources", name),
            "source",
            {"title": name, "s": s, "facts": source_facts(s.source), "segments": segments},
        )
    for name, segment in catalogue.segments.items():
        yield page_path("segments", name), "segment", {"title": name, "s": segment}
    for name, found_set in catalogue.sets.items():
        declared = [(metric, role, target_words(target)) for metric, role, target in found_set.metrics]
        yield page_path("sets", name), "set", {"title": name, "s": found_set, "metrics": declared}
    for owner, (metrics, experiments) in catalogue.owners.items():
        yield page_path("owners", owner), "group", _group(catalogue, "owners", owner, metrics, experiments)
    for tag, metrics in catalogue.tags.items():
        yield page_path("tags", tag), "group", _group(catalogue, "tags", tag, metrics, ())


def _group(
    catalogue: Catalogue, kind: str, name: str, metrics: Sequence[str], experiments: Sequence[str]
) -> dict[str, Any]:
    found_experiments = [
        {"name": n, "title": e.label, "status": e.status, "text": " ".join(e.hypothesis.split())}
        for n in experiments
        for e in (catalogue.experiments[n].experiment,)
    ]
    found_metrics = [
        {"name": n, "title": m.metric.label, "status": None, "text": m.sentence}
        for n in metrics
        for m in (catalogue.metrics[n],)
    ]
    groups = [("experiments", "experiments", found_experiments), ("metrics", "metrics", found_metrics)]
    return {"title": name, "name": name, "kind": kind, "groups": groups}
