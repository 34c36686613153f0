"""`metricdef check`: validate all definitions."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from metricdef.cli.checked import Checked, keep_checked, key_of, read_checked
from metricdef.cli.output import Progress, use_color, write_file
from metricdef.definitions.files import FOLDER, SCHEMA_FILE, find_project
from metricdef.errors import Diagnostic, UsageError
from metricdef.reports.diagnostics import diagnostics_json, render_diagnostics

if TYPE_CHECKING:
    from metricdef.api import Project


def run(options: argparse.Namespace) -> int:
    """Print findings; 1 where one is as bad as `--fail-on`, else 0."""
    progress = Progress(quiet=options.quiet)
    if options.refresh_schema:
        _refresh_schema(options, progress)
    if options.base is not None and not options.new_only:
        raise UsageError("`--base` goes with `--new-only`")
    checked = _check_live(options, progress) if options.live else _check(options)
    if options.new_only:
        checked = _new_only(options, checked)
    print(_rendered(options, checked.diagnostics, checked.files))
    if checked.without_columns and not options.live and not options.quiet:
        hint = "ask the warehouse with --live, or keep its columns with --refresh-schema"
        print(f"· columns of {', '.join(checked.without_columns)} were not checked: {hint}", file=sys.stderr)
    limits = {"error": ("error",), "warning": ("error", "warning"), "never": ()}
    return int(any(d.severity in limits[options.fail_on] for d in checked.diagnostics))


def _check(options: argparse.Namespace) -> Checked:
    """What the files say: as found the last time where nothing has changed since."""
    root = find_project(Path(options.project or "."))
    key = key_of(root)
    known = read_checked(root, key)
    if known is not None:
        return known
    gc.disable()  # everything read stays until the end: looking for garbage among it takes a third of the time
    try:
        checked = _checked(_project(options))
    finally:
        if "duckdb" not in sys.modules:  # which counts at the end what was not given back
            gc.freeze()  # the end is near: what was read need not be looked through once more
        gc.enable()
    keep_checked(root, key, checked)
    return checked


def _new_only(options: argparse.Namespace, checked: Checked) -> Checked:
    """Without what was there before the change; how much that is, is said."""
    from metricdef.governance.findings import identity

    shown, known = _project(options).known_findings(options.base)
    new = []
    for found in checked.diagnostics:
        key = identity(found)
        if known[key] > 0:
            known[key] -= 1
        else:
            new.append(found)
    old = len(checked.diagnostics) - len(new)
    if old and not options.quiet:
        what = f"{old} finding{'s' if old > 1 else ''} that {'were' if old > 1 else 'was'} there at {shown}"
        print(f"· {what} {'are' if old > 1 else 'is'} not shown", file=sys.stderr)
    return replace(checked, diagnostics=tuple(new))


def _check_live(options: argparse.Namespace, progress: Progress) -> Checked:
    project = _project(options)
    progress("asking the warehouse for tables and columns")
    return _checked(project, live=True, profile=options.profile)


def _project(options: argparse.Namespace, *, snapshot: bool = True) -> Project:
    from metricdef.api import Project

    return Project(options.project or ".", snapshot=snapshot)


def _checked(project: Project, *, live: bool = False, profile: str | None = None) -> Checked:
    found, loaded = project.check(live=live, profile=profile), project.loaded.project
    files = len(loaded.documents) if loaded else len({d.place.file for d in found if d.place})
    return Checked(found, files, tuple(project.without_columns()))


def _refresh_schema(options: argparse.Namespace, progress: Progress) -> None:
    project = _project(options, snapshot=False)
    progress("asking the warehouse for columns")
    columns = project.columns(options.profile)
    document = {"version": 1, "sources": {name: columns[name] for name in sorted(columns)}}
    write_file(project.root / FOLDER / SCHEMA_FILE, json.dumps(document, indent=2) + "\n")


def _rendered(options: argparse.Namespace, found: Sequence[Diagnostic], files: int) -> str:
    match options.format:
        case "json":
            return diagnostics_json(found, files).rstrip("\n")
        case "github":
            from metricdef.reports.annotations import github_commands

            return github_commands(found, files, _folder())
        case "sarif":
            from metricdef.definitions.rules import read_rules
            from metricdef.reports.annotations import sarif

            return sarif(found, read_rules(), _folder()).rstrip("\n")
    return render_diagnostics(found, files, color=use_color(sys.stdout, off=options.no_color))


def _folder() -> str:
    """From the top of the repository, as GitHub says where that is, to the current folder."""
    top = os.environ.get("GITHUB_WORKSPACE")
    here = Path.cwd()
    return here.relative_to(Path(top).resolve()).as_posix() if top and here.is_relative_to(Path(top).resolve()) else ""
