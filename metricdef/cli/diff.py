"""`metricdef diff EXPERIMENT`: its numbers under the definitions before and now."""

from __future__ import annotations

import argparse
import sys

from metricdef.api import Project
from metricdef.cli.output import Progress, use_color, width
from metricdef.reports.numbers_words import numbers_json, numbers_markdown, render_numbers


def run(options: argparse.Namespace) -> int:
    """Print units, estimates and verdicts of both; 1 where `--fail-on` is met."""
    project = Project(options.project or ".")
    progress = Progress(quiet=options.quiet)
    (found,) = project.diff(
        [options.experiment], options.base, options.profile, options.as_of, progress, sample=options.sample
    )
    progress.done()
    if options.format == "json":
        print(numbers_json([found]), end="")
    elif options.format == "markdown":
        print("\n".join(numbers_markdown(found)).lstrip("\n"))
    else:
        print(render_numbers(found, width(), use_color(sys.stdout, off=options.no_color)))
    return int("changed" in options.fail_on and found.is_changed)
