"""`metricdef build`: dated SQL files and their manifest, for a scheduler."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from metricdef.api import Project
from metricdef.cli.output import write_file
from metricdef.jobs.build import build_manifest


def run(options: argparse.Namespace) -> int:
    """Write the files, the manifest last: what it names is there."""
    project = Project(options.project or ".")
    jobs = project.build(
        options.experiments, options.profile, options.as_of, options.to, dialect=options.dialect, daily=options.daily
    )
    folder = Path(options.output)
    for job in jobs:
        write_file(folder / job.path, job.text)
    manifest = json.dumps(build_manifest(project.definitions, jobs), indent=2) + "\n"
    write_file(folder / "manifest.json", manifest)
    if options.format == "json":
        print(manifest, end="")
    elif not options.quiet:
        print(f"wrote {len(jobs)} file(s) and {folder / 'manifest.json'}", file=sys.stderr)
    return 0
