"""`metricdef lock`: freeze an experiment's protocol."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from metricdef.api import Project
from metricdef.governance.lock import FILE


def run(options: argparse.Namespace) -> int:
    """Lock, and say what was written."""
    locked = Project(options.project or ".").lock(options.experiment)
    if options.format == "json":
        print(json.dumps(asdict(locked), indent=2))
        return 0
    name = locked.experiment
    if not locked.is_new:
        print(f"{name} is locked already, and nothing changed: protocol {locked.protocol}")
        return 0
    what = f"locked {name}" if locked.states == 1 else f"locked {name} as amended, state {locked.states}"
    print(f"{what}: protocol {locked.protocol}")
    print(f"wrote metrics/{FILE} and metrics/.record/{name}.jsonl: commit both")
    return 0
