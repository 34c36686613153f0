"""`metricdef schema`: JSON Schemas for editors."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from metricdef.cli.output import write_file
from metricdef.definitions.files import find_project
from metricdef.definitions.load import load_project
from metricdef.definitions.schema import SCHEMAS, Names, make_schema, names_of
from metricdef.errors import DefinitionErrors


def run(options: argparse.Namespace) -> int:
    """Print a schema, or write both into a folder; with --project the names that the project has are in it."""
    names = _names(options.project)
    if options.output is None:
        print(schema_text(options.which, names), end="")
        return 0
    for which in SCHEMAS:
        path = Path(options.output, f"{which}.json")
        write_file(path, schema_text(which, names))
        print(f"wrote {path}", file=sys.stderr)
    return 0


def schema_text(which: str, names: Names | None = None) -> str:
    """A schema as it stands in its file."""
    return json.dumps(make_schema(which, names), indent=1, ensure_ascii=False) + "\n"


def _names(folder: str | None) -> Names | None:
    """Names of a project, also of one with errors in it."""
    if folder is None:
        return None
    loaded = load_project(find_project(Path(folder)))
    if loaded.project is None:
        raise DefinitionErrors(loaded.errors)
    return names_of(loaded.project)
