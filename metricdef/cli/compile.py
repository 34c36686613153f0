"""`metricdef compile`: the exact SQL, printed or written with its manifest."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from metricdef import __version__
from metricdef.api import Project
from metricdef.cli.output import write_file
from metricdef.compiler.query import Query


def run(options: argparse.Namespace) -> int:
    """Print the SQL, or write it below `-o DIR`."""
    project = Project(options.project or ".")
    query = project.compile(options.experiment, options.dialect, options.as_of, options.profile, daily=options.daily)
    if not options.output:
        print(shown(query, options.format), end="")
        return 0
    folder = Path(options.output) / query.plan.experiment / query.dialect
    write_file(folder / "run.sql", query.text)
    write_file(folder / "manifest.json", json.dumps(manifest(query), indent=2) + "\n")
    if not options.quiet:
        print(f"wrote {folder / 'run.sql'}", file=sys.stderr)
    return 0


def shown(query: Query, form: str) -> str:
    """The SQL as text, or as JSON with the manifest."""
    if form == "text":
        return query.text
    return (
        json.dumps({**manifest(query), "session": query.session, "sql_statements": query.statements}, indent=2) + "\n"
    )


def manifest(query: Query) -> dict[str, object]:
    """What a job needs to know about the file beside it."""
    plan = query.plan
    return {
        "schema": "metricdef/manifest/1",
        "metricdef": __version__,
        "experiment": plan.experiment,
        "dialect": query.dialect,
        "as_of": plan.as_of.isoformat().replace("+00:00", "Z"),
        "definitions": plan.fingerprint,
        "sql": query.sql_hash,
        "file": "run.sql",
        "statements": len(query.session) + len(query.statements),
        "sources": sorted(plan.sources),
        "metrics": [metric.name for metric in plan.metrics],
        "arms": [{"name": arm.name, "key": arm.key, "code": arm.code} for arm in plan.arms],
        "blocks": [
            {"name": block.name, "prefix": f"b{i}", "columns": [value.name for value in block.values]}
            for i, block in enumerate(plan.blocks)
        ],
    }
