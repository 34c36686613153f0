"""`metricdef init`: start a project, or bring the demo."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from metricdef.cli.output import Progress, write_file
from metricdef.errors import UsageError

_PROJECT = """\
# yaml-language-server: $schema=.schemas/project.json
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
        _write_editor_settings(root)
        for name in experiments:
            print(f"metricdef --project {root} run {name}")
        return 0
    write_file(root / "metrics" / "project.yml", _PROJECT)
    for folder in ("sources", "metrics", "experiments", "tests"):
        (root / "metrics" / folder).mkdir(exist_ok=True)
    _write_schemas(root)
    _write_editor_settings(root)
    print(
        f"wrote {root / 'metrics' / 'project.yml'}: next, describe your tables in {root / 'metrics' / 'sources'}",
        file=sys.stderr,
    )
    return 0


# In an editor, files of definitions are checked and completed by these; `metricdef schema --project -o` adds new names.
_EDITOR = {
    "yaml.schemas": {
        "./metrics/.schemas/project.json": ["metrics/project.yml"],
        "./metrics/.schemas/definitions.json": [
            f"metrics/{folder}/**/*.yml" for folder in ("sources", "metrics", "experiments", "tests")
        ],
    },
    "yaml.format.enable": False,
}


def _write_schemas(root: Path) -> None:
    from metricdef.cli.schema import schema_text
    from metricdef.definitions.schema import SCHEMAS

    for which in SCHEMAS:
        write_file(root / "metrics" / ".schemas" / f"{which}.json", schema_text(which))


def _write_editor_settings(root: Path) -> None:
    """Settings of Visual Studio Code and what reads the same file; never over settings that are there."""
    path = root / ".vscode" / "settings.json"
    if path.exists():
        print(f"{path} is left as it is; for completion add yaml.schemas: docs/checking.md", file=sys.stderr)
    else:
        write_file(path, json.dumps(_EDITOR, indent=2) + "\n")
