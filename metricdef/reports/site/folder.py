"""Puts a site into a folder: as a whole or not at all, and only over a site that was put there before."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from metricdef.errors import UsageError

MARKER = ".metricdef-site"
_MARK = "This folder was written by `metricdef docs`, which replaces it as a whole.\n"


def write_site(folder: Path, pages: Iterable[tuple[str, str]]) -> int:
    """Write the pages below `folder` and return how many there were.

    They go to a new folder beside it first, which then takes its place; where something fails, the old one stays.
    Raises UsageError where there is something that no site is.
    """
    folder = folder.resolve()
    refuse_foreign(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        count = _fill(made, pages)
        made.chmod(0o755)
        _swap(folder, made)
    finally:
        shutil.rmtree(made, ignore_errors=True)  # what is left: the half of a new site, or the old one
    return count


def refuse_foreign(folder: Path) -> None:
    """Raise UsageError where `folder` holds something, and no site."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file", ["name a folder with -o"])
    if any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise UsageError(
            f"{folder} holds something that `metricdef docs` did not write",
            ["name another folder with -o, or empty this one"],
        )


def _fill(made: Path, pages: Iterable[tuple[str, str]]) -> int:
    (made / MARKER).write_text(_MARK, encoding="utf-8")
    count = 0
    for name, text in pages:
        path = made / name
        path.parent.mkdir(exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:  # two pages of one name would be a fault
            file.write(text)
        count += 1
    return count


def _swap(folder: Path, made: Path) -> None:
    """Put `made` in the place of `folder`, and the old one in the place of `made`."""
    if not folder.exists():
        made.rename(folder)
        return
    old = made.with_name(f"{made.name}.old")
    folder.rename(old)
    try:
        made.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    old.rename(made)
