"""What `check` found, kept until anything changes that it depends on.

Offline, findings follow from the files below metrics/, from metricdef and the libraries that read them, and from the folder
that paths are shown from. All of that is in the key: an entry with another key is never used, and one that can't be read
neither. The folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from metricdef import __version__
from metricdef.cli.output import write_file
from metricdef.definitions.files import FOLDER
from metricdef.errors import Diagnostic, Place, UsageError

VARIABLE = "METRICDEF_CACHE"  # a folder; empty: nothing is kept
_LIBRARIES = ("pydantic", "PyYAML", "sqlglot")
_NOT_READ = (".schemas",)  # for editors


@dataclass(frozen=True, slots=True)
class Checked:
    """What one `check` found: the findings, how many files it read, and the sources whose columns it did not know."""

    diagnostics: tuple[Diagnostic, ...]
    files: int
    without_columns: tuple[str, ...]


def key_of(root: Path) -> str | None:
    """Hash of everything that the findings of `check` depend on; None where it can't be read, or changes meanwhile."""
    try:
        return _key_of(root)
    except OSError:
        return None


def _key_of(root: Path) -> str:
    digest = hashlib.sha256()

    def add(*parts: str | bytes) -> None:
        for part in parts:
            data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
            digest.update(len(data).to_bytes(8, "big") + data)

    add(__version__, sys.version, os.path.relpath(root), *(f"{name} {version(name)}" for name in _LIBRARIES))
    package = Path(__file__).parents[1]
    for path in _files(package, (".py", ".yml")):
        status = path.stat()
        add(path.relative_to(package).as_posix(), f"{status.st_size} {status.st_mtime_ns}")
    folder = root / FOLDER
    for path in _files(folder):
        add(path.relative_to(folder).as_posix(), path.read_bytes())
    return digest.hexdigest()


def _files(folder: Path, suffixes: tuple[str, ...] = ()) -> Iterable[Path]:
    found = []
    for name, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if f not in _NOT_READ and f != "__pycache__"]
        found += [Path(name, file) for file in files if not suffixes or file.endswith(suffixes)]
    return sorted(path for path in found if path.is_file())  # editors lock files by links to nowhere


def read_checked(root: Path, key: str | None) -> Checked | None:
    """What `check` found for this key, None where that is not known."""
    path = _path(root)
    if path is None or key is None:
        return None
    with suppress(OSError, ValueError, KeyError, TypeError):
        entry = json.loads(path.read_text(encoding="utf-8"))
        if entry["key"] == key and entry["digest"] == _digest(entry["checked"]):
            return _from_data(entry["checked"])
    return None


def keep_checked(root: Path, key: str | None, checked: Checked) -> None:
    """Keep it for the next time, unless a file changed meanwhile. That it can't be kept is no error."""
    path = _path(root)
    with suppress(OSError, UsageError):
        if path is not None and key is not None and key == key_of(root):
            data = json.loads(json.dumps(asdict(checked)))
            entry = {"project": str(root), "key": key, "digest": _digest(data), "checked": data}
            write_file(path, json.dumps(entry))


def _path(root: Path) -> Path | None:
    folder = os.environ.get(VARIABLE)
    if folder == "":
        return None
    if folder is None:
        home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        folder = str(Path(home, "metricdef"))
    name = hashlib.sha256(str(root).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return Path(folder, f"check-{name}.json")


def _digest(data: object) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _from_data(data: dict[str, Any]) -> Checked:
    found = tuple(
        Diagnostic(
            d["rule"], d["message"], Place(**d["place"]) if d["place"] else None, tuple(d["help"]), d["severity"]
        )
        for d in data["diagnostics"]
    )
    return Checked(found, int(data["files"]), tuple(data["without_columns"]))
