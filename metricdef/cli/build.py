"""`metricdef build`: dated SQL files and their manifest, for a scheduler."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from metricdef.api import Project
from metricdef.cli.output import write_file
from metricdef.errors import UsageError
from metricdef.jobs.build import build_manifest, unchecked_notes
from metricdef.jobs.retention import drop_statements


def run(options: argparse.Namespace) -> int:
    """Write the files, the manifest last: what it names is there."""
    project = Project(options.project or ".")
    if options.drop_expired:
        return _drop_expired(project, options)
    if options.as_of is None:
        raise UsageError("jobs need `--as-of`: rows at or after it do not count")
    jobs = project.build(
        options.experiments,
        options.profile,
        options.as_of,
        options.to,
        dialect=options.dialect,
        daily=options.daily,
        incremental=options.incremental,
        restate=options.restate,
    )
    folder = Path(options.output)
    for job in jobs:
        write_file(folder / job.path, job.text)
    manifest = build_manifest(project.definitions, jobs)
    text = json.dumps(manifest, indent=2) + "\n"
    write_file(folder / "manifest.json", text)
    if options.format == "json":
        print(text, end="")
    elif not options.quiet:
        for note in unchecked_notes(jobs):
            print(note, file=sys.stderr)
        print(f"wrote {len(jobs)} file(s) and {folder / 'manifest.json'}", file=sys.stderr)
    return 0


def _drop_expired(project: Project, options: argparse.Namespace) -> int:
    """Write the file that drops them; nothing is dropped before it is run. 1 where a state could not be read."""
    if options.experiments or options.incremental or options.to or options.daily or options.dialect:
        raise UsageError("`--drop-expired` goes by itself, with `--as-of` and `--profile`")
    found = project.expired(options.profile, options.as_of)
    path = Path(options.output) / "drop_expired.sql"
    write_file(path, drop_statements(found.tables))
    if options.format == "json":
        told = {"tables": found.tables, "unlike": found.unlike, "unread": dict(found.unread)}
        print(json.dumps({"file": str(path), **told}, indent=2))
    elif not options.quiet:
        print(f"{len(found.tables)} table(s) have expired; {path} drops them", file=sys.stderr)
    for table in found.unlike:
        print(f"warning: {table} is called like a table of a state and is not one: it stays", file=sys.stderr)
    for state, reason in found.unread:
        print(f"error: {state} stays, whether it has expired or not: {reason}", file=sys.stderr)
    return 1 if found.unread else 0
