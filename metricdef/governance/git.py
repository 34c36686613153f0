"""git, asked about the repository that a folder lies in."""

from __future__ import annotations

import os

_WHERE = ("GIT_DIR", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_IMPLICIT_WORK_TREE")


def git_environment() -> dict[str, str]:
    """The environment without what git's hooks say of their repository: with it, git takes any folder for its top.

    Where GIT_WORK_TREE says what the top is, everything stays.
    """
    keep = "GIT_WORK_TREE" in os.environ
    return {name: value for name, value in os.environ.items() if keep or name not in _WHERE}
