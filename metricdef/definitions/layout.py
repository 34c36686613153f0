"""Lays out a file of definitions: keys in their order, two spaces a level, one space after a colon.

The text is rearranged, never written anew: words, comments and blank lines stay as they are. Every line belongs to one
entry of one map or list. A comment goes with the entry below it, or, indented deeper, stays at the end of the map above.
The result is read again, and refused unless it says the same and has the same comments.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml

from metricdef.definitions.key_order import ROOT, Shape, inside, ordered
from metricdef.definitions.yaml_source import Document, compose, parse_yaml, plain_value
from metricdef.errors import DefinitionErrors, UsageError

STEP = 2
_OTHER_BREAKS = re.compile("[\r\x85\u2028\u2029]")
_START = re.compile(r"(?:[ ]*(?:#[^\n]*)?\n)*---[ ]*\n")
_HEADER = re.compile(r"[|>](?P<marks>[-+0-9]*)")


@dataclass(frozen=True, slots=True)
class _Entry:
    """Lines of one entry of a map or list: those above it, and its own, indented as they shall be."""

    above: list[str]
    own: list[str]


class _Unusual(Exception):
    """Something that is not laid out; `line` counts from 0, None where the entry around it knows."""

    def __init__(self, line: int | None = None, what: str = "what stands here") -> None:
        super().__init__(what)
        self.line, self.what = line, what


def lay_out(file: str, text: str) -> str:
    """The text of a file as it should stand. Raises DefinitionErrors where it can't be read, UsageError where not laid out."""
    given = text.removeprefix("\ufeff").replace("\r\n", "\n")
    document = parse_yaml(file, given)
    if [d.rule for d in document.diagnostics] == ["empty-file"]:
        return text
    if document.diagnostics:
        raise DefinitionErrors(document.diagnostics)
    try:
        if odd := _OTHER_BREAKS.search(given):
            raise _Unusual(given.count("\n", 0, odd.start()), "another line break")
        # A `---` before everything else stays there.
        head = match[0] if (match := _START.match(given)) else ""
        laid_out = head + _file(given[len(head) :], head.count("\n"))
        if not _says_the_same(document, given, laid_out):
            raise _Unusual(0, "something that would not be the same afterwards")
    except _Unusual as found:
        what = f"{file}:{(found.line or 0) + 1}: the file is left as it is: {found.what} can't be laid out safely"
        raise UsageError(what, ["lay it out by hand"]) from None
    return laid_out


def _says_the_same(document: Document, given: str, laid_out: str) -> bool:
    after = parse_yaml(document.file, laid_out)
    return not after.diagnostics and after.data == document.data and comments(laid_out) == comments(given)


def comments(text: str) -> Counter[str]:
    """Every comment of a file and how often it is there: a `#` after space that is in no text."""
    root = compose(text)[0]
    lines = text.split("\n")
    taken = [(node, _end(lines, node, column)) for node, column in _scalars(root, -1)]
    inside_text: dict[int, list[range]] = {}
    for node, end in taken:
        is_block = node.style in ("|", ">")
        for line in range(node.start_mark.line, end):
            is_first = line == node.start_mark.line
            first = node.start_mark.column if is_first else 0
            last = node.end_mark.column if line == node.end_mark.line else len(lines[line])
            last = (first + 1 if is_first else len(lines[line])) if is_block else last
            inside_text.setdefault(line, []).append(range(first, last))
    found: Counter[str] = Counter()
    for number, text_line in enumerate(lines):
        for match in re.finditer(r"(?:^|(?<=\s))#", text_line):
            if not any(match.start() in columns for columns in inside_text.get(number, ())):
                found[text_line[match.start() :].rstrip()] += 1
                break
    return found


def _scalars(node: yaml.Node | None, column: int) -> Iterator[tuple[yaml.ScalarNode, int]]:
    """Every text with the column of the map or list around it."""
    if isinstance(node, yaml.ScalarNode):
        yield node, column
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _scalars(key, column)
            yield from _scalars(value, node.start_mark.column)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _scalars(item, node.start_mark.column)


# --- reading ----------------------------------------------------------------------------------------------------------


def _end(lines: Sequence[str], node: yaml.Node, column: int) -> int:
    """The line after the last one of a node; `column` is that of the map or list around it."""
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        return _block_end(lines, node, column)[0]
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        child = last[1] if isinstance(last, tuple) else last
        floor = int(last[0].end_mark.line if isinstance(last, tuple) else last.start_mark.line) + 1
        return max(floor, _end(lines, child, node.start_mark.column))
    return int(node.end_mark.line) + 1


def _block_end(lines: Sequence[str], node: yaml.ScalarNode, column: int) -> tuple[int, int]:
    """The line after a `|` or `>` text, and the column at which its lines begin."""
    first = node.start_mark.line + 1
    header = _HEADER.match(lines[first - 1], node.start_mark.column)
    marks = header["marks"] if header else ""
    digit = next((int(c) for c in marks if c.isdigit()), 0)
    indent: int = max(column, 0) + digit if digit else 0
    if not digit:
        filled = next((line for line in lines[first:] if line.strip()), "")
        indent = _indent(filled)
        if indent <= column:
            return first, column + STEP  # nothing in it
    end = first
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) >= indent):
        end += 1
    while "+" not in marks and end > first and not lines[end - 1].strip():
        end -= 1
    return end, indent


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


# --- writing ----------------------------------------------------------------------------------------------------------


def _file(text: str, lines_above: int) -> str:
    lines = text.split("\n")
    root = compose(text)[0]
    try:
        for number, line in enumerate(lines):
            if re.match(r"(---|\.\.\.|%)", line):
                raise _Unusual(number, f"`{line[:3].rstrip()}`")
        if not isinstance(root, yaml.MappingNode) or root.flow_style or root.start_mark.column:
            raise _Unusual(
                root.start_mark.line if root else 0, "a file that is no list of keys from the first column on"
            )
        above, own = _block(lines, root, 0, 0, len(lines), ROOT)
    except _Unusual as found:
        raise _Unusual((found.line or 0) + lines_above, found.what) from None
    while own and not own[-1]:
        own.pop()
    return "\n".join([*above, *own]) + "\n"


def _block(
    lines: Sequence[str], node: yaml.CollectionNode, indent: int, first: int, end: int, shape: Shape
) -> tuple[list[str], list[str]]:
    """The lines from `first` to `end`, which hold a map or list in block style: those above its first entry, the others."""
    column = node.start_mark.column
    items = [pair if isinstance(pair, tuple) else (None, pair) for pair in node.value]
    starts = [_start(lines, key, value, column) for key, value in items]
    entries: list[_Entry] = []
    at = first
    for position, (key, value) in enumerate(items):
        above = _comments_at(lines[at : starts[position]], indent)
        following = starts[position + 1] if position + 1 < len(items) else end
        content_end = max(_end(lines, value, column), starts[position] + 1)
        # Comments deeper than this map are the end of what stands in it.
        at = content_end + _deeper(lines[content_end:following], column)
        child = inside(shape, key.value if key is not None else position, _plain(value))
        write = _pair if key is not None else _item
        try:
            more, own = write(lines, key, value, indent, starts[position], at, child)
        except _Unusual as found:
            raise _Unusual(starts[position] if found.line is None else found.line, found.what) from None
        entries.append(_Entry([*above, *more], own))
    if isinstance(node, yaml.MappingNode):
        entries = _in_order(entries, ordered(shape, [key.value for key, _ in items if key is not None]))
    rest = _comments_at(lines[at:end], indent)
    own = [line for n, entry in enumerate(entries) for line in ((*entry.above, *entry.own) if n else entry.own)]
    return entries[0].above, [*own, *rest]


def _in_order(entries: list[_Entry], order: Sequence[int]) -> list[_Entry]:
    """Blank lines divide: those above the first entry stay at the top when another one comes first."""
    found = [entries[i] for i in order]
    if order[0] != 0:
        (top, rest), (gap, others) = _blank_first(entries[0].above), _blank_first(found[0].above)
        old = order.index(0)
        found[0] = _Entry([*top, *others], found[0].own)
        found[old] = _Entry([*gap, *rest], found[old].own)
    return found


def _blank_first(above: list[str]) -> tuple[list[str], list[str]]:
    count = next((i for i, line in enumerate(above) if line), len(above))
    return above[:count], above[count:]


def _start(lines: Sequence[str], key: yaml.Node | None, value: yaml.Node, column: int) -> int:
    """The line on which an entry begins: that of its key, or of its dash."""
    if key is not None:
        if key.start_mark.column != column and lines[key.start_mark.line][:column].strip(" -"):
            raise _Unusual(key.start_mark.line)
        return int(key.start_mark.line)
    line = int(value.start_mark.line)
    while line >= 0 and lines[line][column : column + 1] != "-":
        line -= 1
    if line < 0:
        raise _Unusual(value.start_mark.line)
    return line


def _deeper(between: Sequence[str], column: int) -> int:
    """How many lines, up to the last comment that stands deeper than `column` before one that does not."""
    count = 0
    for number, line in enumerate(between, 1):
        if line.strip():
            if _indent(line) <= column:
                break
            count = number
    return count


def _comments_at(lines: Sequence[str], indent: int) -> list[str]:
    """Blank lines and comments, indented."""
    for line in lines:
        if line.strip() and not line.strip().startswith("#"):
            raise _Unusual
    return [" " * indent + line.strip() if line.strip() else "" for line in lines]


def _pair(
    lines: Sequence[str], key: yaml.Node, value: yaml.Node, indent: int, first: int, end: int, shape: Shape
) -> tuple[list[str], list[str]]:
    """A key with its value, on the lines from `first` to `end`."""
    if key.end_mark.line != key.start_mark.line:
        raise _Unusual
    line = lines[key.start_mark.line]
    word, rest = line[key.start_mark.column : key.end_mark.column], line[key.end_mark.column :].lstrip()
    if not rest.startswith(":"):
        raise _Unusual
    head = f"{' ' * indent}{word}:"
    if _is_empty(value):
        return [], [head + _comment(rest[1:]), *_comments_at(lines[first + 1 : end], indent + STEP)]
    if value.start_mark.line == key.start_mark.line:
        value_lines = _value(lines, value, indent, key.start_mark.column, end, shape)
        return [], [f"{head} {value_lines[0]}", *value_lines[1:]]
    head += _comment(rest[1:])
    if isinstance(value, yaml.CollectionNode) and not value.flow_style:
        above, own = _block(lines, value, indent + STEP, first + 1, end, shape)
        return [], [head, *above, *own]
    between = _comments_at(lines[first + 1 : value.start_mark.line], indent + STEP)
    value_lines = _value(lines, value, indent, key.start_mark.column, end, shape)
    return [], [head, *between, " " * (indent + STEP) + value_lines[0], *value_lines[1:]]


def _item(
    lines: Sequence[str], _key: None, value: yaml.Node, indent: int, first: int, end: int, shape: Shape
) -> tuple[list[str], list[str]]:
    """An item of a list, on the lines from `first` to `end`; comments above its first key go above its dash."""
    dash = lines[first].index("-")
    rest = lines[first][dash + 1 :]
    if _is_empty(value):
        return [], [" " * indent + "-" + _comment(rest), *_comments_at(lines[first + 1 : end], indent + STEP)]
    if isinstance(value, yaml.CollectionNode) and not value.flow_style:
        same_line = value.start_mark.line == first
        note = [] if same_line else [_comment(rest).strip()]
        above, own = _block(lines, value, indent + STEP, first if same_line else first + 1, end, shape)
        own[0] = f"{' ' * indent}- {own[0].lstrip()}"
        return [" " * indent + line.strip() if line else line for line in (*filter(None, note), *above)], own
    if value.start_mark.line != first:
        raise _Unusual
    value_lines = _value(lines, value, indent, dash, end, shape)
    return [], [f"{' ' * indent}- {value_lines[0]}", *value_lines[1:]]


def _value(lines: Sequence[str], node: yaml.Node, indent: int, column: int, end: int, shape: Shape) -> list[str]:
    """A text or a map in braces: what follows its key or dash, and its further lines.

    `indent` is that of the key or dash from now on, `column` where it stood, `end` the line after the entry.
    """
    first, last = node.start_mark.line, node.end_mark.line
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        return _block_text(lines, node, indent, column, end)
    after = _comments_at(lines[last + 1 : end], indent + STEP)
    tail = _comment(lines[last][node.end_mark.column :])
    if first == last:
        return [_inline(lines, node, shape) + tail, *after]
    further = lines[first + 1 : last + 1]
    if isinstance(node, yaml.ScalarNode):
        further = [*further[:-1], further[-1][: node.end_mark.column]]
        inner = [" " * (indent + STEP) + line.strip() if line.strip() else "" for line in further]
        return [lines[first][node.start_mark.column :].rstrip(), *inner[:-1], inner[-1] + tail, *after]
    shift = indent - column
    inner = [" " * max(_indent(line) + shift, indent) + line.strip() if line.strip() else "" for line in further]
    return [lines[first][node.start_mark.column :].rstrip(), *inner, *after]


def _block_text(lines: Sequence[str], node: yaml.ScalarNode, indent: int, column: int, end: int) -> list[str]:
    first = node.start_mark.line + 1
    text_end, old = _block_end(lines, node, column)
    header = _HEADER.match(lines[first - 1], node.start_mark.column)
    digit = next((int(c) for c in header["marks"] if c.isdigit()), 0) if header else 0
    new = indent + (digit or STEP)
    inner = [" " * new + line[old:] if line[old:] else "" for line in lines[first:text_end]]
    return [
        lines[first - 1][node.start_mark.column :].rstrip(),
        *inner,
        *_comments_at(lines[text_end:end], indent + STEP),
    ]


def _inline(lines: Sequence[str], node: yaml.Node, shape: Shape) -> str:
    """What stands on one line: maps in braces have their keys in order and one space between."""
    if isinstance(node, yaml.MappingNode):
        pairs = [
            (key.value, _inline_pair(lines, key, value, inside(shape, key.value, _plain(value))))
            for key, value in node.value
        ]
        order = ordered(shape, [name for name, _ in pairs])
        return "{" + ", ".join(pairs[i][1] for i in order) + "}"
    if isinstance(node, yaml.SequenceNode):
        items = (_inline(lines, item, inside(shape, n, _plain(item))) for n, item in enumerate(node.value))
        return "[" + ", ".join(items) + "]"
    return lines[node.start_mark.line][node.start_mark.column : node.end_mark.column]


def _inline_pair(lines: Sequence[str], key: yaml.Node, value: yaml.Node, shape: Shape) -> str:
    return f"{_inline(lines, key, ())}: {_inline(lines, value, shape)}"


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.style and node.value == ""


def _comment(rest: str) -> str:
    """A comment at the end of a line, with the space before it; nothing else may stand there."""
    note = rest.strip()
    if not note:
        return ""
    if not note.startswith("#"):
        raise _Unusual
    return " " * max(len(rest.rstrip()) - len(note), 1) + note


def _plain(node: yaml.Node) -> object:
    """What decides the shape of what stands inside: the words of a map."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return {
        key.value: plain_value(value.value)
        for key, value in node.value
        if isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)
    }
