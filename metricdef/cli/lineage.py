"""`metricdef lineage --column T.C`: what breaks if a column goes."""

from __future__ import annotations

import argparse
import sys

from metricdef.api import Project
from metricdef.cli.output import use_color, width
from metricdef.reports.lineage import lineage_json, lineage_markdown, render_lineage


def run(options: argparse.Namespace) -> int:
    """Print what rests on the column."""
    found = Project(options.project or ".").lineage(options.column)
    if options.format == "json":
        print(lineage_json(found), end="")
    elif options.format == "markdown":
        print(lineage_markdown(found), end="")
    else:
        print(render_lineage(found, width(), use_color(sys.stdout, off=options.no_color)))
    return 0
