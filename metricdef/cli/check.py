"""`metricdef check`: validate all definitions."""

from __future__ import annotations

import argparse
import json
import sys

from metricdef.api import Project
from metricdef.cli.output import Progress, use_color, write_file
from metricdef.reports.diagnostics import diagnostics_json, render_diagnostics


def run(options: argparse.Namespace) -> int:
    """Print findings; 1 where one is as bad as `--fail-on`, else 0."""
    project = Project(options.project or ".", snapshot=not options.refresh_schema)
    progress = Progress(quiet=options.quiet)
    if options.refresh_schema:
        progress("asking the warehouse for columns")
        columns = project.columns(options.profile)
        document = {"version": 1, "sources": {name: columns[name] for name in sorted(columns)}}
        write_file(project.root / "metrics" / ".schema.json", json.dumps(document, indent=2) + "\n")
        project = Project(project.root)
    if options.live:
        progress("asking the warehouse for tables and columns")
    found = project.check(live=options.live, profile=options.profile)
    files = (
        len(project.loaded.project.documents)
        if project.loaded.project
        else len({d.place.file for d in found if d.place})
    )
    if options.format == "json":
        print(diagnostics_json(found, files), end="")
    else:
        print(render_diagnostics(found, files, color=use_color(sys.stdout, off=options.no_color)))
    if not options.live and not options.quiet:
        unknown = project.without_columns()
        if unknown:
            hint = "ask the warehouse with --live, or keep its columns with --refresh-schema"
            print(f"· columns of {', '.join(unknown)} were not checked: {hint}", file=sys.stderr)
    limits = {"error": ("error",), "warning": ("error", "warning"), "never": ()}
    return int(any(d.severity in limits[options.fail_on] for d in found))
