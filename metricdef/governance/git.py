"""git, asked about the repository that a folder lies in."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_WHERE = ("GIT_DIR", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_IMPLICIT_WORK_TREE")


def git_environment() -> dict[str, str]:
    """The environment without what git's hooks say of their repository: with it, git takes any folder for its top.

    Where GIT_WORK_TREE says what the top is, everything stays.
    """
    keep = "GIT_WORK_TREE" in os.environ
    return {name: value for name, value in os.environ.items() if keep or name not in _WHERE}


def log_of_commits(root: Path) -> Path | None:
    """The file that git appends to whenever the commit checked out changes; None outside a repository."""
    told = _told(root, "rev-parse", "--git-path", "logs/HEAD")
    return root / told if told else None


def revision(root: Path) -> str | None:
    """The git commit of the project's folder, None outside a repository."""
    # With `-dirty` where tracked files differ from the commit: a hash alone would name other definitions.
    return _told(root, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _told(root: Path, *arguments: str) -> str | None:
    """A line that git prints; None where it prints none, fails, hangs or isn't there."""
    if not _may_be_in_repository(root):
        return None
    try:
        found = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", "-C", str(root), *arguments],  # noqa: S607 - git is found as people's shells find it
            capture_output=True,
            env=git_environment(),
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.rstrip("\n") or None if found.returncode == 0 else None


def _may_be_in_repository(root: Path) -> bool:
    """Whether a folder above has a `.git`, or git was told where the top is: starting git takes longer than looking."""
    here = root.resolve()
    return "GIT_WORK_TREE" in os.environ or any(os.path.lexists(folder / ".git") for folder in (here, *here.parents))
