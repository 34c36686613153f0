"""Markdown that shows what others wrote without obeying it.

Text from definitions stands in code only: there GitHub and GitLab read no HTML, no mention, no link, no reference to an
issue. A code span or block is opened with more backticks than its text holds in a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from metricdef.reports.lines import visible

LONGEST = 200  # characters of one piece of text
_LABEL = re.compile(r"[^A-Za-z0-9_ .-]")
_NAME = re.compile(r"[^A-Za-z0-9_]")


def code(text: object, longest: int = LONGEST) -> str:
    """Text on one line as code."""
    shown = shortened(visible(text), longest)
    if not shown:
        return ""
    fence = "`" * (_longest_run(shown) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}"


def block(lines: Iterable[str], language: str = "", longest: int = LONGEST) -> list[str]:
    """Lines as a block of code."""
    shown = [shortened(visible(line, spaces=False), longest) for line in lines]
    fence = "`" * max(3, max(map(_longest_run, shown), default=0) + 1)
    return [f"{fence}{language}", *shown, fence]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of cells that are Markdown already."""
    line = "|".join(["", *("---" for _ in header), ""])
    return [f"| {' | '.join(header)} |", line, *(f"| {' | '.join(map(_cell, row))} |" for row in rows)]


def _cell(text: str) -> str:
    """A bar ends a cell, also in code. Behind a backslash it doesn't, unless another backslash takes that one."""
    return text.replace("\\|", "\\ |").replace("|", "\\|")


def label(text: str) -> str:
    """A name inside a diagram: whatever isn't part of one is replaced."""
    return _LABEL.sub("?", visible(text))[:80]


def bare(name: str) -> str:
    """The name of a definition outside code, as in the title of a folded part: it can't be a link, a mention or HTML."""
    return _NAME.sub("?", visible(name))[:80]


def shortened(text: str, longest: int = LONGEST) -> str:
    """Text cut to a length that a comment can bear."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
