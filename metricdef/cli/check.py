"""`metricdef check`: validate all definitions."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from metricdef.api import Project
from metricdef.cli.output import Progress, use_color, write_file
from metricdef.definitions.rules import read_rules
from metricdef.errors import Diagnostic
from metricdef.reports.annotations import github_commands, sarif
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
    print(_rendered(options, found, files))
    if not options.live and not options.quiet:
        unknown = project.without_columns()
        if unknown:
            hint = "ask the warehouse with --live, or keep its columns with --refresh-schema"
            print(f"· columns of {', '.join(unknown)} were not checked: {hint}", file=sys.stderr)
    limits = {"error": ("error",), "warning": ("error", "warning"), "never": ()}
    return int(any(d.severity in limits[options.fail_on] for d in found))


def _rendered(options: argparse.Namespace, found: Sequence[Diagnostic], files: int) -> str:
    match options.format:
        case "json":
            return diagnostics_json(found, files).rstrip("\n")
        case "github":
            return github_commands(found, files, _folder())
        case "sarif":
            return sarif(found, read_rules(), _folder()).rstrip("\n")
    return render_diagnostics(found, files, color=use_color(sys.stdout, off=options.no_color))


def _folder() -> str:
    """From the top of the repository, as GitHub says where that is, to the current folder."""
    top = os.environ.get("GITHUB_WORKSPACE")
    here = Path.cwd()
    return here.relative_to(Path(top).resolve()).as_posix() if top and here.is_relative_to(Path(top).resolve()) else ""
