"""`metricdef run`: from definitions to a readout."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path

from metricdef.analysis.readout import Readout
from metricdef.api import Project
from metricdef.cli.compile import shown
from metricdef.cli.output import Progress, exit_code, use_color, width, write_file
from metricdef.cli.portfolio import run_portfolio
from metricdef.cli.threads import run_threads
from metricdef.errors import UsageError
from metricdef.reports.text import render_text

PAGES = ("html", "markdown")


def run(options: argparse.Namespace) -> int:
    """Compile, execute, analyse and print."""
    project = Project(options.project or ".")
    if options.format in PAGES and (options.all or options.dry_run):
        raise UsageError(f"`--format {options.format}` shows the readout of one experiment")
    if options.all:
        return run_portfolio(project, options)
    if options.resume or options.jobs > 1:
        raise UsageError("`--jobs` and `--resume` go with `--all`")
    if options.dry_run:
        query = project.compile(options.experiment, None, options.as_of, options.profile, daily=options.daily)
        print(shown(query, options.format), end="", flush=True)
        cost = project.cost(options.experiment, options.profile, query.plan.as_of, daily=options.daily)
        print(f"cost: {cost.words()}", file=sys.stderr)
        return 0
    progress = Progress(quiet=options.quiet)
    run_one = partial(project.run, options.experiment, options.profile, options.as_of, progress, daily=options.daily)
    (readout,) = run_threads(project, [run_one], 1)
    progress.done()
    return show(readout, options)


def show(readout: Readout, options: argparse.Namespace) -> int:
    """Print the readout and write the file that was asked for; 1 where `--fail-on` is met."""
    if options.output:
        write_file(Path(options.output), readout.to_json())
    print(rendered(readout, options), end="")
    code = exit_code(readout.to_dict(), options.fail_on)
    if code and "stop" in options.fail_on and readout.alert is not None:
        # One line for the program that rolls the flag back; stdout carries the readout.
        print(json.dumps({"alert": readout.alert}), file=sys.stderr)
    return code


def rendered(readout: Readout, options: argparse.Namespace) -> str:
    """The readout in the format that was asked for, with a line break at the end."""
    if options.format == "json":
        return readout.to_json()
    if options.format == "html":
        from metricdef.reports.page import render_page

        return render_page(readout)
    if options.format == "markdown":
        from metricdef.reports.readout_markdown import render_markdown

        return render_markdown(readout) + "\n"
    color = use_color(sys.stdout, off=options.no_color)
    return render_text(readout, width(), color, verbose=options.verbose, quiet=options.quiet) + "\n"
