"""Writes what came out of a test into its file: only the figures change, every other byte stays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import yaml

from metricdef.definitions.yaml_source import Document, parse_yaml
from metricdef.errors import Place, UsageError

Value = float | None
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Recorded:
    """Figures to write for one test: those that `expect` and `expect_units` already have a place for, by row and name.

    `arms` becomes `expect` where the test expects nothing yet.
    """

    test: str
    figures: Mapping[tuple[str, int, str], Value]
    arms: Mapping[str, Mapping[str, Value]]


def record(file: str, text: str, tests: Iterable[Recorded]) -> str:
    """The text of a file with the figures of some of its tests. Raises UsageError where a place cannot be written to."""
    document = parse_yaml(file, text.removeprefix("\ufeff"))
    mark = text[: len(text) - len(text.removeprefix("\ufeff"))]
    starts = [0, *(match.end() for match in _LINE_BREAK.finditer(text.removeprefix("\ufeff")))]
    edits: list[tuple[int, int, str]] = []
    for item in tests:
        for (key, position, figure), value in item.figures.items():
            edits.append(_replacement(document, starts, ("tests", item.test, key, position, figure), value))
        if not item.figures:
            edits.append(_insertion(document, starts, text.removeprefix("\ufeff"), item))
    body = text.removeprefix("\ufeff")
    for start, end, new in sorted(edits, reverse=True):
        body = body[:start] + new + body[end:]
    return mark + body


def number(value: Value) -> str:
    """A figure as YAML: whole numbers whole, others with twelve digits, no value as null."""
    if value is None:
        return "null"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.12g}"


def _replacement(
    document: Document, starts: Sequence[int], path: tuple[str | int, ...], value: Value
) -> tuple[int, int, str]:
    node = document.scalars.get(path)
    if node is None or node.start_mark.line != node.end_mark.line:
        raise UsageError(f"`{path[-1]}` of test `{path[1]}` cannot be rewritten", ["write it as a plain number"])
    start, end = (starts[mark.line] + mark.column for mark in (node.start_mark, node.end_mark))
    # A key with nothing behind it ends at its colon.
    return start, end, number(value) if end > start else f" {number(value)}"


def _insertion(document: Document, starts: Sequence[int], text: str, item: Recorded) -> tuple[int, int, str]:
    """A block `expect` below the last line of the test."""
    key, first = document.keys["tests", item.test], _first_key(document, item.test)
    if first is None or first.line == key.line:
        raise UsageError(f"test `{item.test}` is written on one line", ["write it in block style to record into it"])
    replaced = document.keys.get(("tests", item.test, "expect"))
    if replaced is not None:
        raise UsageError(f"`expect` of test `{item.test}` is empty", ["remove the line; it is written anew"])
    last = key.line
    for line in range(key.line + 1, len(document.lines) + 1):
        content = document.lines[line - 1]
        if content.strip() and len(content) - len(content.lstrip()) < first.column - 1:
            break
        last = line if content.strip() else last
    end = starts[last] if last < len(starts) else len(text)
    newline = next((match[0] for match in _LINE_BREAK.finditer(text)), "\n")
    indent = " " * (first.column - 1)
    rows = [
        f"{indent}  - {{{', '.join([f'arm: {_word(arm)}', *(f'{name}: {number(v)}' for name, v in figures.items())])}}}"
        for arm, figures in item.arms.items()
    ]
    block = newline.join([f"{indent}expect:", *rows]) + newline
    return end, end, block if end and _LINE_BREAK.search(text[end - 1]) else newline + block


def _first_key(document: Document, test: str) -> Place | None:
    """Where the first key inside the test stands."""
    return next(
        (place for path, place in document.keys.items() if len(path) == 3 and path[:2] == ("tests", test)), None
    )


def _word(text: str) -> str:
    """Text as YAML that reads back as the same text."""
    if _PLAIN.fullmatch(text) and isinstance(yaml.safe_load(text), str):
        return text
    return "'" + text.replace("'", "''") + "'"
