"""What rests on a column, as text, as Markdown with a diagram, and as a document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from metricdef.reports.lines import GAP, Pen, pad, visible, wrap
from metricdef.reports.markdown import block, code, label, table
from metricdef.reports.review_words import counted
from metricdef.review.lineage import Lineage, ReachedExperiment

SCHEMA = "metricdef/lineage/1"
_MOST_EDGES = 60  # of a diagram that a person can still read


def render_lineage(found: Lineage, width: int, color: bool = False) -> str:
    """A line for each thing that rests on the column; without a line break at the end."""
    pen = Pen(color)
    lines = [pen(f"{visible(found.column)}: {summary(found)}", "bold")]
    for kind, name, why in _rows(found):
        lines += wrap(visible(why), width, f"{GAP}{pad(kind, 10)}  {visible(name)}  ", GAP * 8)
    return "\n".join(lines)


def summary(found: Lineage) -> str:
    """`2 metrics, 1 segment and 3 experiments (1 running) rest on it`, or that nothing does."""
    if not found.uses:
        return "nothing reads it"
    parts = [counted(len(found.metrics), "metric"), counted(len(found.segments), "segment")]
    one = len(found.metrics) + len(found.segments) + len(found.experiments) == 1
    statuses = [experiment.status for experiment in found.experiments]
    told = f" ({', '.join(f'{statuses.count(s)} {s}' for s in dict.fromkeys(statuses))})" if statuses else ""
    return f"{', '.join(parts)} and {counted(len(found.experiments), 'experiment')}{told} {'rests' if one else 'rest'} on it"


def _rows(found: Lineage) -> Iterator[tuple[str, str, str]]:
    for use in found.uses:
        yield use.kind, f"{use.source}.{use.name}", use.text
    for metric in found.metrics:
        yield "metric", metric.name, f"through {metric.through}"
    for segment in found.segments:
        yield "segment", segment.name, f"through {segment.through}"
    for experiment in found.experiments:
        yield "experiment", f"{experiment.name} ({experiment.status})", _experiment(experiment)


def _experiment(experiment: ReachedExperiment) -> str:
    return "; ".join([*(f"{role} {metric}" for metric, role in experiment.metrics.items()), *experiment.through])


def lineage_markdown(found: Lineage) -> str:
    """A table and a diagram, ended by a line break."""
    rows = [(kind, code(name), code(why)) for kind, name, why in _rows(found)]
    lines = [
        f"### {code(found.column)}",
        "",
        f"{summary(found)}.",
        *(["", *table(("", "name", "how"), rows)] if rows else []),
    ]
    return "\n".join([*lines, *(["", *block(_diagram(found), "mermaid")] if rows else [])]) + "\n"


def _diagram(found: Lineage) -> list[str]:
    nodes: dict[str, str] = {}

    def node(kind: str, name: str) -> str:
        text = label(f"{kind} {name}")
        if text in nodes:
            return nodes[text]
        nodes[text] = f"n{len(nodes)}"
        return f'{nodes[text]}["{text}"]'

    edges: list[tuple[tuple[str, str], tuple[str, str]]] = [
        (("column", found.column), (use.kind, f"{use.source}.{use.name}")) for use in found.uses
    ]
    metrics = {metric.name for metric in found.metrics}
    for metric in found.metrics:
        edges += [(up, ("metric", metric.name)) for up in _upstream(found, metric.through)]
    for segment in found.segments:
        edges += [(up, ("segment", segment.name)) for up in _upstream(found, segment.through)]
    for experiment in found.experiments:
        edges += [
            (("metric", metric), ("experiment", experiment.name)) for metric in experiment.metrics if metric in metrics
        ]
        if experiment.through and not experiment.metrics:
            edges.append((("column", found.column), ("experiment", experiment.name)))
    shown = [f"  {node(*up)} --> {node(*down)}" for up, down in edges[:_MOST_EDGES]]
    return ["flowchart LR", *shown]


def _upstream(found: Lineage, through: str) -> list[tuple[str, str]]:
    """What a metric or segment rests on, as far as the words say it: a measure, a metric, or the column itself."""
    kind, _, name = through.partition(" ")
    if kind == "measure" and any(use.kind == "measure" and f"{use.source}.{use.name}" == name for use in found.uses):
        return [("measure", name)]
    if kind == "metric":
        return [("metric", name)]
    source = name.partition(":")[0]
    uses: list[tuple[str, str]] = [
        (use.kind, f"{use.source}.{use.name}") for use in found.uses if kind == "source" and use.source == source
    ]
    return uses[:1] or [("column", found.column)]


def lineage_json(found: Lineage) -> str:
    """The document, ended by a line break."""
    experiments = [
        {
            "experiment": e.name,
            "status": e.status,
            "metrics": [{"metric": metric, "role": role} for metric, role in e.metrics.items()],
            "through": list(e.through),
        }
        for e in found.experiments
    ]
    document = {
        "schema": SCHEMA,
        "column": found.column,
        "uses": [asdict(use) for use in found.uses],
        "metrics": [asdict(metric) for metric in found.metrics],
        "segments": [asdict(segment) for segment in found.segments],
        "experiments": experiments,
    }
    return json.dumps(document, indent=2) + "\n"
