"""`metricdef ingest`: the readout of moments that a job wrote."""

from __future__ import annotations

import argparse

from metricdef.api import Project
from metricdef.cli.run import show


def run(options: argparse.Namespace) -> int:
    """Print the readout; 1 where `--fail-on` is met."""
    project = Project(options.project or ".")
    return show(project.ingest(options.source, options.profile, options.as_of, job=options.job), options)
