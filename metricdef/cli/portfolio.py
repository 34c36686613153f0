"""`metricdef run --all`: every experiment that runs, each by itself: one that fails does not stop the others."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from metricdef import __version__
from metricdef.api import Project
from metricdef.cli.output import exit_code, write_file
from metricdef.cli.threads import run_threads
from metricdef.errors import DefinitionErrors, MetricdefError, UsageError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one experiment. `line` is what is said of it, `code` its exit code."""

    experiment: str
    line: str
    code: int


def run_portfolio(project: Project, options: argparse.Namespace) -> int:
    """Run all, write a readout each, print a line each. The exit code is the worst one."""
    names = [name for name, e in project.definitions.experiments.items() if e.status == "running"]
    if not names:
        raise UsageError("no experiment is running", ["name an experiment"])
    if options.dry_run or options.output is None:
        raise UsageError("`run --all` writes readouts", ["name a folder with -o, and leave --dry-run out"])
    if options.resume and options.as_of is None:
        raise UsageError("`--resume` needs `--as-of`: at another instant every readout is another one")
    folder = Path(options.output)
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():  # said before anything has run
        raise UsageError(f"{there} is a file", ["name a folder with -o: `run --all` writes a readout each"])

    def one(name: str) -> Outcome:
        found = _run(project, name, folder, options)
        if not options.quiet:
            print(f"· {name}: {found.line}", file=sys.stderr, flush=True)
        return found

    outcomes = run_threads(project, [partial(one, name) for name in names], options.jobs)
    if options.format == "json":
        shown = [{"experiment": o.experiment, "result": o.line, "exit_code": o.code} for o in outcomes]
        print(json.dumps(shown, indent=2))
    else:
        widest = max(len(name) for name in names)
        for outcome in outcomes:
            print(f"{outcome.experiment:{widest}}  {outcome.line}")
    return max(outcome.code for outcome in outcomes)


def _run(project: Project, name: str, folder: Path, options: argparse.Namespace) -> Outcome:
    path = folder / f"{name}.json"
    try:
        found = _is_there(project, name, path, options) if options.resume else None
        if found is not None:
            return Outcome(name, "there already", exit_code(found, options.fail_on))
        readout = project.run(name, options.profile, options.as_of, daily=options.daily)
        write_file(path, readout.to_json())
    except DefinitionErrors as error:
        return Outcome(name, f"error: {error.diagnostics[0].message}", error.exit_code)
    except MetricdefError as error:
        return Outcome(name, f"error: {error.message}", error.exit_code)
    except Exception as error:
        if options.debug:
            raise
        return Outcome(name, f"error: {type(error).__name__}: {error}", 2)
    because = readout.decision.because[0] if readout.decision.because else ""
    line = f"{readout.decision.recommendation}{f': {because}' if because else ''}"
    return Outcome(name, line, exit_code(readout.to_dict(), options.fail_on))


def _is_there(project: Project, name: str, path: Path, options: argparse.Namespace) -> dict[str, Any] | None:
    """The file's readout, if it is of the same place and SQL, which holds the as-of, definitions, version, protocol and record."""
    if not path.is_file():
        return None
    query = project.compile(name, None, options.as_of, options.profile, daily=options.daily)
    same: dict[str, Any] = {"definitions": query.plan.fingerprint, "sql": query.sql_hash, "metricdef": __version__}
    same["place"] = project.place(options.profile)
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        same_sql = same.items() <= content["provenance"].items()
        return content if same_sql and project.is_current(name, content) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
