"""Definitions as they are at a commit, read from git's objects: the work tree and the index stay untouched."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from metricdef.definitions.files import FOLDER, PROJECT_FILE, SUFFIXES
from metricdef.definitions.load import load_project
from metricdef.definitions.project import Loaded
from metricdef.errors import UsageError
from metricdef.governance.git import git_environment

DEFAULTS = ("origin/main", "main", "origin/master", "master")
_FILE_MODES = ("100644", "100755")
_LINK, _SUBMODULE = "120000", "160000"
_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit to compare with.

    Attributes:
        name: As it was asked for.
        commit: Where the history of it and of what is checked out meet: changes made to it since then are others'.
        folder: Where the project lay then, from the top of the repository, with a slash at its end; empty at the top.
        moved: Whether it lies elsewhere now.
    """

    name: str
    commit: str
    folder: str
    moved: bool

    @property
    def shown(self) -> str:
        """`origin/main (1a2b3c4d)`."""
        return f"{self.name} ({self.commit[:8]})"


def find_revision(root: Path, name: str | None) -> Revision:
    """The commit to compare with, by default that of origin/main, else main. Raises UsageError."""
    try:
        git(root, "rev-parse", "--show-toplevel")
    except OSError:
        raise UsageError("git is not installed, and the definitions before the change are read from it") from None
    except GitFailed as failed:
        if "not a git repository" not in failed.message:
            raise UsageError(f"git refuses to read the repository: {failed.message}") from None
        hint = "the change of a pull request is what differs from a commit: run it inside the repository"
        raise UsageError(f"{root} is in no git repository", [hint]) from None
    wanted = [name] if name else list(DEFAULTS)
    found = next(((n, commit) for n in wanted if (commit := _commit(root, n))), None)
    if found is None:
        raise UsageError(*_unknown(root, name))
    commit = _meeting(root, *found)
    now = git(root, "rev-parse", "--show-prefix").decode().strip("\n")
    then = _folder(root, commit, now)
    return Revision(found[0], commit, then, then != now)


def _folder(root: Path, commit: str, now: str) -> str:
    """Where the project lay at a commit: where it lies now, or in the one folder whose project is gone since."""
    end = f"{FOLDER}/{PROJECT_FILE}"
    if git(root, "ls-tree", "--full-tree", commit, "--", now + FOLDER):
        return now
    top = Path(os.fsdecode(git(root, "rev-parse", "--show-toplevel")).strip("\n"))
    names = map(os.fsdecode, git(root, "ls-tree", "-r", "-z", "--name-only", "--full-tree", commit).split(b"\0"))
    gone = [n.removesuffix(end) for n in names if f"/{n}".endswith(f"/{end}") and not (top / n).is_file()]
    if len(gone) > 1:
        what = f"there was no project in {now or 'the top folder'} at {commit[:8]}, and those in {', '.join(g or '.' for g in gone)} are gone"
        raise UsageError(what, ["move one project at a time: which one this was decides what changes"])
    return gone[0] if gone else now


def _commit(root: Path, name: str) -> str | None:
    try:
        return git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").decode().strip()
    except GitFailed:
        return None


def _unknown(root: Path, name: str | None) -> tuple[str, list[str]]:
    shallow = _is_shallow(root)
    fetch = "this clone holds a part of the history: fetch the rest (`fetch-depth: 0` in CI, `git fetch --unshallow`)"
    if name is None:
        return "there is no branch main to compare with", [fetch if shallow else "name a commit with `--base REV`"]
    return f"there is no commit `{name}`", [fetch if shallow else f"`git fetch` it, or name another than `{name}`"]


def _meeting(root: Path, name: str, commit: str) -> str:
    """The last commit that both histories hold."""
    if _commit(root, "HEAD") is None:
        return commit
    try:
        return git(root, "merge-base", commit, "HEAD").decode().strip()
    except GitFailed:
        if _is_shallow(root):
            what = f"this clone does not hold the commit where its history and that of `{name}` meet"
            raise UsageError(what, ["fetch more of it: `fetch-depth: 0` in CI, or `git fetch --unshallow`"]) from None
        return commit  # histories without a common commit: against the commit itself


def _is_shallow(root: Path) -> bool:
    return git(root, "rev-parse", "--is-shallow-repository").strip() == b"true"


@contextmanager
def load_revision(root: Path, revision: Revision) -> Iterator[Loaded | None]:
    """The project at `root` as of a commit; None where there was none then. It exists while the block runs.

    Its files lie in a temporary folder, below the same path as in the repository.
    """
    with TemporaryDirectory(prefix="metricdef-") as folder:
        place = Path(folder).resolve()
        for path, content in read_files(root, revision):
            target = place / FOLDER / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        yield load_project(place) if (place / FOLDER / PROJECT_FILE).is_file() else None


def read_files(root: Path, revision: Revision) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Every file below the project's `metrics` at a commit, by its path from there."""
    commit, folder = revision.commit, PurePosixPath(revision.folder) / FOLDER
    listed = git(root, "ls-tree", "-r", "-z", "--full-tree", commit, "--", folder.as_posix())
    entries: list[tuple[bytes, PurePosixPath]] = []
    for line in filter(None, listed.split(b"\0")):
        head, _, name = line.partition(b"\t")
        path, mode = PurePosixPath(os.fsdecode(name)), head.split()[0].decode()
        _refuse_link(path, mode, commit, is_definition=path == folder or path.suffix in SUFFIXES)
        if mode in _FILE_MODES and ".." not in path.parts:
            entries.append((head.split()[2], path.relative_to(folder)))
    if not entries:
        return
    blobs = git(root, "cat-file", "--batch", stdin=b"".join(blob + b"\n" for blob, _ in entries))
    at = 0
    for blob, path in entries:
        header = blobs[at : blobs.index(b"\n", at)]
        found = header.split()
        if len(found) != 3 or found[0] != blob:
            raise UsageError(
                f"git has no content for {FOLDER}/{path.as_posix()} at {commit[:8]}",
                ["fetch the commit's files: a partial clone leaves them out"],
            )
        start, size = at + len(header) + 1, int(found[2])
        yield path, blobs[start : start + size]
        at = start + size + 1


def _refuse_link(path: PurePosixPath, mode: str, commit: str, *, is_definition: bool) -> None:
    """What a commit only points at is not in it: compared without, everything there would be new, and nothing deviate."""
    if mode == _SUBMODULE:
        what, fix = "a submodule", "run it in the repository that the definitions belong to"
    elif mode == _LINK and is_definition:
        what, fix = "a symbolic link", "commit the file itself there first; plan compares from then on"
    else:
        return
    where = f"{path.as_posix()} is {what} at {commit[:8]}"
    raise UsageError(f"{where}: the definitions before the change are not in that commit", [fix])


class GitFailed(Exception):
    """git ended with an error; `message` is what it said."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def git(root: Path, *arguments: str, stdin: bytes | None = None) -> bytes:
    """What a git command prints. Raises GitFailed, and OSError where there is no git."""
    environment = {**git_environment(), "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    command: Sequence[str] = ("git", "-C", str(root), *arguments)
    try:
        done = subprocess.run(  # noqa: S603 - no shell; a revision follows --end-of-options
            command, input=stdin, capture_output=True, env=environment, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise GitFailed(f"`git {arguments[0]}` took longer than {_SECONDS} seconds") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise GitFailed(said[0].removeprefix("fatal: ") if said else f"`git {arguments[0]}` failed")
    return done.stdout
