"""`metricdef init`: start a project, or bring the demo."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from metricdef.cli.output import Progress, write_file
from metricdef.errors import UsageError

_PROJECT = """\
version: 1
name: my_project
entities: [user]
defaults:
  unit: user
  window: 14d
profiles:
  local: {type: duckdb, path: data/warehouse.duckdb}
"""


def run(options: argparse.Namespace) -> int:
    """Write a project below DIR; never over an existing one."""
    root = Path(options.directory)
    if (root / "metrics").exists():
        raise UsageError(f"{root / 'metrics'} already exists", ["name another folder: `metricdef init DIR`"])
    if options.demo:
        from metricdef.demo import install_demo

        progress = Progress(quiet=options.quiet)
        experiments = install_demo(root, progress)
        progress.done()
        for name in experiments:
            print(f"metricdef --project {root} run {name}")
        return 0
    write_file(root / "metrics" / "project.yml", _PROJECT)
    for folder in ("sources", "metrics", "experiments", "tests"):
        (root / "metrics" / folder).mkdir(exist_ok=True)
    print(
        f"wrote {root / 'metrics' / 'project.yml'}: next, describe your tables in {root / 'metrics' / 'sources'}",
        file=sys.stderr,
    )
    return 0
