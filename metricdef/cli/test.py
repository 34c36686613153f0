"""`metricdef test`: unit tests of metrics."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from metricdef.api import Project
from metricdef.cli.output import use_color, write_file
from metricdef.reports.metric_tests import render_tests, tests_json


def run(options: argparse.Namespace) -> int:
    """Print one line per test and what differs; 1 where a test failed, or `--fail-on missing` is met."""
    project = Project(options.project or ".")
    if options.missing:
        return _missing(project, options)
    if options.record:
        return _record(project, options)
    results = project.test(options.select)
    if options.format == "json":
        print(tests_json(results), end="")
    else:
        print(render_tests(results, color=use_color(sys.stdout, off=options.no_color), quiet=options.quiet))
    failed = any(result.status != "passed" for result in results)
    return int(failed or ("missing" in options.fail_on and bool(project.untested(()))))


def _missing(project: Project, options: argparse.Namespace) -> int:
    """Metrics that no test names."""
    names = project.untested(options.select)
    if options.format == "json":
        print(json.dumps({"version": 1, "untested": names}, indent=2))
    elif names:
        print("\n".join(names))
    elif not options.quiet:
        print("every metric has a test", file=sys.stderr)
    return int("missing" in options.fail_on and bool(names))


def _record(project: Project, options: argparse.Namespace) -> int:
    """Write what comes out into the files, for review."""
    texts = project.record(options.select)
    for path, text in texts.items():
        write_file(path, text)
    shown = [_shown(path) for path in texts]
    if options.format == "json":
        print(json.dumps({"version": 1, "recorded": shown}, indent=2))
    elif not options.quiet:
        lines = [f"wrote {path}: review the figures before you commit them" for path in shown]
        print("\n".join(lines or ["nothing to record: every expected figure is what comes out"]), file=sys.stderr)
    return 0


def _shown(path: Path) -> str:
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()
