"""`metricdef log`: looks, amendments and decisions, and whether the record of them is whole."""

from __future__ import annotations

import argparse
import sys

from metricdef.api import Project
from metricdef.cli.output import use_color, width
from metricdef.errors import UsageError
from metricdef.reports.log import log_json, render_log, render_verified, verified_json


def run(options: argparse.Namespace) -> int:
    """Print the log, or with `--verify` what is wrong with the record: 1 where there is anything."""
    project = Project(options.project or ".")
    color, as_json = use_color(sys.stdout, off=options.no_color), options.format == "json"
    if options.head and not (options.verify and options.experiment):
        raise UsageError("`--head` goes with `--verify` and one experiment")
    if options.verify:
        found = project.verify_log(options.experiment, options.head)
        print(verified_json(found) if as_json else render_verified(found, color), end="" if as_json else "\n")
        return int(any(verified.faults for verified in found))
    logs = project.log(options.experiment)
    print(log_json(logs) if as_json else render_log(logs, width(), color), end="" if as_json else "\n")
    return 0
