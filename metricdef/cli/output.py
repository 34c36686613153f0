"""Where output goes: results to stdout, everything else to stderr, files whole or not at all."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from metricdef.errors import UsageError


def use_color(stream: TextIO | None, *, off: bool = False) -> bool:
    """Colour only for a person at a terminal who has not said no."""
    return (
        not off
        and stream is not None
        and not os.environ.get("NO_COLOR")
        and stream.isatty()
        and os.environ.get("TERM") != "dumb"
    )


def width() -> int:
    """Columns of the terminal, or 100 where there is none."""
    return max(40, min(shutil.get_terminal_size((100, 24)).columns, 200))


class Progress:
    """Steps on stderr, with the time each took once it passes a second."""

    def __init__(self, *, quiet: bool) -> None:
        """`quiet` prints nothing."""
        self._quiet = quiet
        self._since = time.monotonic()
        self._last: str | None = None

    def __call__(self, message: str) -> None:
        """Say what starts now."""
        self.done()
        self._last = message
        if not self._quiet:
            print(f"· {message}", file=sys.stderr, flush=True)

    def done(self) -> None:
        """Say how long the last step took, if a person could notice."""
        took = time.monotonic() - self._since
        if self._last and not self._quiet and took > 1:
            print(f"  took {took:.1f} s", file=sys.stderr, flush=True)
        self._since, self._last = time.monotonic(), None


def exit_code(readout: Mapping[str, Any], conditions: Sequence[str]) -> int:
    """1 where the readout, as its document, is what `--fail-on` asks for."""

    def met(condition: str) -> bool:
        if condition == "not_computed":
            rows = readout["estimates"]
            return any(r["verdict"] == "not_computed" and r["reason"] != "before_planned_end" for r in rows)
        return bool(readout["decision"]["recommendation"] == condition)

    return int(any(met(condition) for condition in conditions))


def write_file(path: Path, text: str) -> None:
    """Write a file of text whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: to a temporary file beside it, then rename."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", ["name a file"])
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
