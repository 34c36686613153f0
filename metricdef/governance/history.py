"""How definitions came to be what they are: the commits that changed each of them, on the line of first parents."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import yaml

from metricdef.definitions.files import SUFFIXES
from metricdef.governance.git import git_environment

KINDS = ("metrics", "experiments", "sources", "segments", "metric_sets")
COMMITS = 1000  # the last ones that touched a file of definitions
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # all scalars are text, as written

Key = tuple[str, str]  # kind and name
Definitions = Mapping[Key, Any]


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit that changed a definition.

    Attributes:
        commit: Its full hash.
        on: The date of the commit.
        by: Its author.
        subject: The first line of its message.
        what: added, removed or changed.
        fields: The top-level keys that differ, where it was changed.
    """

    commit: str
    on: str
    by: str
    subject: str
    what: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Commit:
    head: tuple[str, str, str, str]  # hash, date, author, subject
    files: tuple[tuple[str, str, str], ...]  # path, blob before, blob after


def read_history(root: Path) -> dict[Key, tuple[Revision, ...]]:
    """Revisions of every definition of KINDS of the project at `root`, the latest first.

    A change is one of what a definition says: comments and layout are none, nor is a move to another file. Empty where the
    project is in no git repository. A file that could not be read at some commit counts as unchanged there.
    """
    found: dict[Key, list[Revision]] = defaultdict(list)
    commits = _commits(root)
    if not commits:
        return {}
    with _Blobs(root) as blobs:
        state: dict[str, Definitions] = {}
        for commit in commits:
            for path, before, _ in commit.files:
                if path not in state:
                    state[path] = blobs.read(before) or {}
            now = {
                path: definitions for path, _, after in commit.files if (definitions := blobs.read(after)) is not None
            }
            for key, revision in _changed(commit, state, now):
                found[key].append(revision)
            state |= now
    return {key: tuple(reversed(revisions)) for key, revisions in found.items()}


def _changed(
    commit: _Commit, state: Mapping[str, Definitions], now: Mapping[str, Definitions]
) -> Iterator[tuple[Key, Revision]]:
    before = {key: value for path in now for key, value in state[path].items()}
    after = {key: value for definitions in now.values() for key, value in definitions.items()}
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        what = "added" if key not in before else "removed" if key not in after else "changed"
        yield key, Revision(*commit.head, what, _fields(old, new) if what == "changed" else ())


def _fields(old: object, new: object) -> tuple[str, ...]:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return ()
    return tuple(sorted(str(key) for key in {*old, *new} if old.get(key) != new.get(key)))


def _commits(root: Path) -> list[_Commit]:
    """Commits that touched definitions, the oldest first."""
    command = [
        "git",
        "-C",
        str(root),
        "-c",
        "core.quotePath=false",
        "log",
        "--first-parent",
        "-m",
        "--raw",
        "--no-abbrev",
    ]
    command += ["--no-renames", "--relative", f"-n{COMMITS}", "--format=%x1e%H%x1f%cs%x1f%aN%x1f%s", "--", "metrics"]
    try:
        found = subprocess.run(  # noqa: S603 - fixed arguments
            command, capture_output=True, env=git_environment(), timeout=120, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    text = found.stdout.decode("utf-8", "replace") if found.returncode == 0 else ""
    return [_commit(part) for part in reversed(text.split("\x1e")) if part.strip()]


def _commit(text: str) -> _Commit:
    first, *lines = text.split("\n")
    commit, on, by, subject = first.split("\x1f", 3)
    files = []
    for line in lines:
        meta, _, path = line.partition("\t")
        words = meta.split()
        if len(words) == 5 and path.endswith(SUFFIXES):
            files.append((path, words[2], words[3]))
    return _Commit((commit, on, by, subject), tuple(files))


class _Blobs:
    """Reads definitions out of the repository, in one process for all of them."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - fixed arguments
            ["git", "-C", str(root), "cat-file", "--batch"],  # noqa: S607
            env=git_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream("stdin").close()
        self._process.wait()
        self._stream("stdout").close()

    def read(self, blob: str) -> Definitions | None:
        """The definitions in a blob; none of one that is not there, None of one that can't be read."""
        if not blob.strip("0"):
            return {}
        self._stream("stdin").write(f"{blob}\n".encode())
        self._stream("stdin").flush()
        head = self._stream("stdout").readline().split()
        if len(head) != 3:
            return None
        data = self._stream("stdout").read(int(head[2]))
        self._stream("stdout").read(1)
        return _parse(data)

    def _stream(self, name: str) -> IO[bytes]:
        stream: IO[bytes] = getattr(self._process, name)
        return stream


def _parse(data: bytes) -> Definitions | None:
    try:
        content = yaml.load(data, Loader=_Loader)  # noqa: S506 - a base loader makes text, lists and maps only
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError):
        return None
    if content is None:
        return {}
    if not isinstance(content, dict):
        return None
    return {
        (kind, name): value
        for kind in KINDS
        if isinstance(content.get(kind), dict)
        for name, value in content[kind].items()
        if isinstance(name, str)
    }
