"""Files that several processes write: one at a time, and whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from metricdef.errors import UsageError


@contextmanager
def exclusive(path: Path) -> Iterator[FileIO]:
    """The file, made if need be, open for reading and writing by nobody else until the block ends."""
    try:
        import fcntl
    except ImportError:
        raise UsageError("locks and records are written on Linux and macOS only") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        is_new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        with FileIO(descriptor, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, path):
                continue  # replaced by another file while we waited: its writer has that one
            if is_new:
                sync_folder(path.parent)
            yield file
            return


def read_whole(path: Path) -> bytes:
    """The file's content while nobody writes to it; empty where there is none."""
    try:
        with path.open("rb") as file:
            with suppress(ImportError):  # on Windows, where nobody writes
                import fcntl

                fcntl.flock(file, fcntl.LOCK_SH)
            return file.read()
    except FileNotFoundError:
        return b""


def append_bytes(file: FileIO, keep: int, data: bytes) -> None:
    """Cut the file to its first `keep` bytes and write `data` behind them, down to the disk. All of it or, on an error, none."""
    file.truncate(keep)
    file.seek(keep)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) or 0 :]
        os.fsync(file.fileno())
    except BaseException:
        file.truncate(keep)
        raise


def replace_file(path: Path, text: str) -> None:
    """Write a file to a temporary name beside it, down to the disk, and rename it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        Path(name).replace(path)
        sync_folder(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_at(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
