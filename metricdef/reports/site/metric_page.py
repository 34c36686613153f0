"""What the page of a metric needs beside the metric: its results in experiments, and its tests as tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metricdef.analysis.metric_tests import CaseResult
from metricdef.definitions.models import Target
from metricdef.reports.metric_tests import figure
from metricdef.reports.site.catalogue import Catalogue, MetricPage, Use
from metricdef.reports.site.readout_words import result_line

Table = list[list[str]]


def metric_context(catalogue: Catalogue, page: MetricPage) -> dict[str, Any]:
    """Names for the template."""
    return {
        "m": page,
        "uses": [line for use in page.uses for line in _lines(catalogue, use)],
        "exposed": lambda test: table_of([_exposure(e) for e in test.exposures]),
        "given_rows": given_table,
        "table_of": table_of,
        "differing": differing,
    }


def _lines(catalogue: Catalogue, use: Use) -> Iterator[dict[str, Any]]:
    """A line for each arm with a result, else one."""
    experiment = catalogue.experiments[use.experiment].experiment
    line = {
        "experiment": use.experiment,
        "title": experiment.label,
        "role": use.role or "as a part or covariate",
        "target": target_words(use.target),
        "status": experiment.status,
    }
    for row in use.results:
        found = result_line(use.experiment, "", row)
        yield {
            **line,
            "arm": row.arm,
            "relative": found.relative,
            "relative_interval": found.relative_interval,
            "verdict": found.verdict,
            "style": found.style,
        }
    if not use.results:
        yield {**line, "arm": "", "relative": "", "relative_interval": "", "verdict": "", "style": ""}


def target_words(target: Target) -> str:
    """`mde 2%, margin 0.5pp`, as written."""
    sizes = [(key, getattr(target, key)) for key in ("mde", "margin", "equivalence")]
    return ", ".join(f"{key} {size.text}" for key, size in sizes if size is not None)


def _exposure(exposure: Any) -> dict[str, Any]:
    units = exposure.model_extra or {}
    return {**units, "arm": exposure.arm, "at": exposure.at.text}


def given_table(rows: str | Sequence[Mapping[str, Any]]) -> Table:
    """Given rows, whether they are written as maps or as CSV."""
    if not isinstance(rows, str):
        return table_of(rows)
    read = csv.reader(io.StringIO(rows.strip()), skipinitialspace=True)
    return [[cell.strip() for cell in row] for row in read if row] or [[""]]


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A head and a line for each map; what a map lacks stays empty."""
    heads = list(dict.fromkeys(key for row in rows for key in row))
    return [heads, *([_cell(row[key]) if key in row else "" for key in heads] for row in rows)]


def differing(result: CaseResult) -> Table:
    """Every figure of a test that is not as expected."""
    rows = [[f"{d.kind} {d.name}", d.figure, figure(d.expected), figure(d.actual)] for d in result.differences]
    return [["of", "figure", "expected", "actual"], *rows]


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)
