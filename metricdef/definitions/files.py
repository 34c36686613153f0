"""Which files make a project. Nothing heavy is imported here: what only needs the files is quick."""

from __future__ import annotations

import os
from pathlib import Path

from metricdef.errors import UsageError

FOLDER = "metrics"
PROJECT_FILE = "project.yml"
SCHEMA_FILE = ".schema.json"
SUFFIXES = (".yml", ".yaml")


def find_project(start: Path) -> Path:
    """The nearest folder, from `start` upward, that holds `metrics/project.yml`. Raises UsageError."""
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / FOLDER / PROJECT_FILE).is_file():
            return folder
    raise UsageError(
        f"no project here: {FOLDER}/{PROJECT_FILE} is missing",
        ["run `metricdef init`, or name the folder with `--project DIR`"],
    )


def definition_files(root: Path) -> dict[str, Path]:
    """Every file of definitions, by the name that messages give it."""
    folder = root / FOLDER
    paths = sorted(
        p
        for p in folder.rglob("*")
        if p.suffix in SUFFIXES and not any(part.startswith(".") for part in p.relative_to(folder).parts)
    )
    return {shown(root, path): path for path in paths}


def shown(root: Path, path: Path) -> str:
    """Paths as a person at the prompt would type them, the same on every system."""
    relative = os.path.relpath(path)
    outside = relative.startswith("..")
    return (path.relative_to(root) if outside else Path(relative)).as_posix()
