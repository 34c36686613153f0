"""YAML files as plain data plus the place of every key and value.

YAML 1.1 surprises do not happen: only true/false are booleans, only decimal numbers are numbers, dates and `12:30` stay
text, and a key written twice is an error instead of a silent overwrite.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from metricdef.errors import Diagnostic, Place

Path = tuple[str | int, ...]

_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = {"", "~", "null", "Null", "NULL"}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
# Profiles may hold secrets in clear by mistake: the lines kept for messages never show them.
_SECRET = re.compile(
    r"((?:\w*(?:password|pwd|passcode|token|secret|passphrase|private_key|api_?key)\w*[\"']?\s*[:=]\s*)|://)(.+)",
    re.IGNORECASE,
)
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what YAML takes for one
_FAST = getattr(yaml, "CSafeLoader", None)
# What the two readers take differently (tabs, other line breaks, `{a: , b}`, `|#`), and what anchors, tags, directives need.
_ODD = re.compile(r"[\t\r\x85\u2028\u2029\ufeff?&]|!(?!=)|^%|[|>]\S*#|:\s*[,}\]]", re.MULTILINE)
_CONFLICT = re.compile(r"^<{7} .*^>{7} ", re.MULTILINE | re.DOTALL)
_JINJA = re.compile(r"\{\{|\{%|\{#")
_VARIABLE = re.compile(r"\$\{\w+\}")  # of profiles alone, so that definitions mean the same everywhere


@dataclass(slots=True)
class Document:
    """One parsed file: its data, and where each key and value stands."""

    file: str
    lines: list[str]
    data: dict[str, Any] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    scalars: dict[Path, yaml.ScalarNode] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    has_marks: bool = False  # whether a comment may speak to metricdef

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Where `path` stands: its value (or key), else the nearest parent that exists."""
        tables = (self.keys, self.values) if key else (self.values, self.keys)
        for length in range(len(path), 0, -1):
            # A parent is named by its key: its value would be the whole block below.
            for table in tables if length == len(path) else (self.keys, self.values):
                if place := table.get(path[:length]):
                    return place
        return Place(self.file, 1, 1, 1, self.lines[0] if self.lines else "")

    def at(self, mark: Any, length: int = 1) -> Place:
        """The place of a YAML mark."""
        text = self.lines[mark.line] if mark.line < len(self.lines) else ""
        return Place(self.file, mark.line + 1, mark.column + 1, max(1, min(length, len(text) - mark.column)), text)

    def offset(self, path: Path, start: int, length: int) -> Place:
        """The place of characters `start` to `start + length` of a text value; its whole place where unknown."""
        node = self.scalars.get(path)
        whole = self.place(path)
        if (
            node is None
            or node.style == ">"
            or (node.style in ("'", '"') and node.start_mark.line != node.end_mark.line)
        ):
            return whole
        if node.style == "|":
            before = node.value[:start]
            row = node.start_mark.line + 1 + before.count("\n")
            if row >= len(self.lines):
                return whole
            block = next((line for line in self.lines[node.start_mark.line + 1 :] if line.strip()), "")
            indent = len(block) - len(block.lstrip())
            column = start - (before.rfind("\n") + 1) + indent
            return Place(self.file, row + 1, column + 1, max(1, length), self.lines[row])
        if node.start_mark.line != node.end_mark.line:
            return whole
        shift = 1 if node.style in ("'", '"') else 0
        if (
            shift
            and self.lines[node.start_mark.line][node.start_mark.column + 1 : node.end_mark.column - 1] != node.value
        ):
            return whole  # escapes move the columns
        return Place(self.file, whole.line, whole.column + shift + start, max(1, length), whole.text)


def parse_yaml(file: str, text: str) -> Document:
    """Parse one file. Problems are collected in `diagnostics`; `data` holds what could be read."""
    lines = _LINE_BREAK.split(text)
    document = Document(file, [_SECRET.sub(_mask, line) for line in lines] if file.endswith("project.yml") else lines)
    document.has_marks = "metricdef:" in text
    try:
        nodes = compose(text)
    except yaml.YAMLError as error:
        document.diagnostics.append(_syntax_error(document, error))
        return document
    except RecursionError:
        document.diagnostics.append(Diagnostic("yaml-syntax", "the YAML is nested too deeply", Place(file, 1, 1)))
        return document
    if len(nodes) > 1 and nodes[1] is not None:
        document.diagnostics.append(
            Diagnostic(
                "yaml-one-document",
                "the file holds more than one YAML document",
                document.at(nodes[1].start_mark),
                ("keep one document per file",),
            )
        )
    root = nodes[0] if nodes else None
    if root is None or (isinstance(root, yaml.ScalarNode) and root.value in _NULLS):
        document.diagnostics.append(
            Diagnostic(
                "empty-file",
                "the file is empty",
                Place(file, 1, 1, 1, document.lines[0] if document.lines else ""),
                ("write a definition, or remove the file",),
            )
        )
        return document
    if not isinstance(root, yaml.MappingNode):
        document.diagnostics.append(
            Diagnostic(
                "yaml-not-a-map", "the file must start with a key such as `metrics:`", document.at(root.start_mark)
            )
        )
        return document
    if _ODD.search(text) and _find_anchors(document, text):
        return document
    document.data = _mapping(document, root, ())
    return document


def compose(text: str) -> list[yaml.Node | None]:
    """The documents of a file as nodes. Raises yaml.YAMLError.

    libyaml is ten times as fast, and gives the same nodes at the same places where a text has nothing odd: there, and to say
    what is wrong, the slower reader decides.
    """
    if _FAST is not None and not _ODD.search(text):
        try:
            return list(yaml.compose_all(text, Loader=_FAST))
        except yaml.YAMLError:
            pass
    return list(yaml.compose_all(text, Loader=yaml.SafeLoader))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _mask(match: re.Match[str]) -> str:
    return match[1] + "*" * len(match[2])


def _find_anchors(document: Document, text: str) -> bool:
    """Anchors and merge keys defeat positions and review."""
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        tag = getattr(event, "tag", None)
        if tag is not None:
            place = document.at(event.start_mark)
            message = "tags such as `!!str` are not used here"
            document.diagnostics.append(Diagnostic("yaml-anchor", message, place, ("write the value alone",)))
            return True
        anchor = getattr(event, "anchor", None)
        if anchor:
            document.diagnostics.append(
                Diagnostic(
                    "yaml-anchor",
                    f"anchors and aliases are not used here (`{anchor}`)",
                    document.at(event.start_mark, len(anchor) + 1),
                    ("write the value out, or use a metric_set",),
                )
            )
            return True
    return False


def _value(document: Document, node: yaml.Node, path: Path) -> Any:
    if isinstance(node, yaml.MappingNode):
        document.values[path] = document.at(node.start_mark)
        return _mapping(document, node, path)
    if isinstance(node, yaml.SequenceNode):
        document.values[path] = document.at(node.start_mark)
        return [_value(document, item, (*path, position)) for position, item in enumerate(node.value)]
    if not isinstance(node, yaml.ScalarNode):
        raise TypeError(type(node))
    node.style = node.style or None  # libyaml says "" of a plain word
    same_line = node.start_mark.line == node.end_mark.line
    document.values[path] = document.at(
        node.start_mark, node.end_mark.column - node.start_mark.column if same_line else 9999
    )
    document.scalars[path] = node
    return _scalar(document, node, path)


def _mapping(document: Document, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        place = document.at(key_node.start_mark, max(1, key_node.end_mark.column - key_node.start_mark.column))
        if not isinstance(key_node, yaml.ScalarNode):
            document.diagnostics.append(_braces_or_key(place))
            continue
        key = key_node.value
        if key == "<<":
            document.diagnostics.append(
                Diagnostic("yaml-anchor", "merge keys are not used here", place, ("write the keys out",))
            )
            continue
        if key in data:
            first = document.keys[(*path, key)]
            document.diagnostics.append(
                Diagnostic(
                    "duplicate-key",
                    f"`{key}` is written twice",
                    place,
                    (f"first written on line {first.line}; keep one",),
                )
            )
            continue
        if node.flow_style and re.search(r"[()'\"]", key) and getattr(value_node, "value", None) == "":
            document.diagnostics.append(
                Diagnostic(
                    "flow-sql-comma",
                    "a comma inside `{...}` ended the value before it",
                    place,
                    ("quote the SQL, or write the map in block style",),
                )
            )
            continue
        document.keys[(*path, key)] = place
        data[key] = _value(document, value_node, (*path, key))
    return data


def _braces_or_key(place: Place) -> Diagnostic:
    """`{{ x }}` unquoted is, to YAML, a map inside a map's key."""
    if _JINJA.search(place.text):
        return _jinja(place)
    return Diagnostic("yaml-key", "a key must be a word", place, ("quote SQL that has braces or commas",))


def _jinja(place: Place) -> Diagnostic:
    return Diagnostic(
        "jinja-in-yaml",
        "definitions hold no Jinja and no variables",
        place,
        ("write the value out; use `${VAR}` in profiles only, and `defaults` or `metric_sets` against repetition",),
    )


def _scalar(document: Document, node: yaml.ScalarNode, path: Path) -> Any:
    text = node.value
    if "{" in text and (_JINJA.search(text) or (_VARIABLE.search(text) and path[0] != "profiles")):
        document.diagnostics.append(_jinja(document.values[path]))
    return text if node.style is not None else plain_value(text)


def plain_value(text: str) -> bool | int | float | str | None:
    """What a word without quotes stands for."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _syntax_error(document: Document, error: yaml.YAMLError) -> Diagnostic:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = document.at(mark) if mark else Place(document.file, 1, 1)
    line = place.text
    problem = getattr(error, "problem", None) or "cannot be read"
    help_ = ["quote values that contain `: `, `#`, `{`, `[`, `,` or start with a quote, `@`, `>`, `*`, `&` or `%`"]
    if _JINJA.search(line):
        return _jinja(place)
    above = next((text for text in reversed(document.lines[: place.line - 1]) if text.strip()), "")
    if problem.startswith("mapping values") and line.count(": ") == 1 and _indent(line) > _indent(above):
        help_ = ["this line stands deeper than the one above it: indent both alike, or quote the value above"]
    start = getattr(error, "context_mark", None)
    if _CONFLICT.search("\n".join(document.lines)):
        help_ = ["two versions of the file were merged: choose between the lines from `<<<<<<<` to `>>>>>>>`"]
    elif problem == "could not find expected ':'" and start is not None:
        place = document.at(start, len(document.lines[start.line]))
        help_ = ["write `key: value`: there is no colon on this line"]
    elif "flow" in str(getattr(error, "context", "")) and start and mark and start.line < mark.line:
        place = document.at(start)
        help_ = [f"close the `{place.text[place.column - 1]}` on line {place.line}"]
    elif re.search(r":\s*(['\"]).*\1\s*\S", line):
        help_ = ["the value starts with a quote: put the whole SQL in the other kind of quotes, or use a `|` block"]
    elif "{" in line and re.search(r"\bin\s*\(", line, re.IGNORECASE):
        what = "a comma inside `{...}` ended the value before it"
        return Diagnostic("flow-sql-comma", what, place, ("quote the SQL, or write the map in block style",))
    elif "\t" in line:
        help_ = ["indent with spaces, not tabs"]
    return Diagnostic("yaml-syntax", f"invalid YAML: {problem}", place, tuple(help_))
