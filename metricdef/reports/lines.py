"""Text for a terminal: hostile characters made visible, display widths, wrapping, columns and colour."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format (bidi, zero width), surrogate, line and paragraph separator
_SPACES = {"\n", "\r", "\t"}
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
GAP = "  "


@dataclass(frozen=True, slots=True)
class Pen:
    """Writes styles as ANSI codes, or not at all. Style never carries meaning that the words lack."""

    color: bool

    def __call__(self, text: str, *styles: str) -> str:
        """`text` in the given styles."""
        codes = [_CODES[style] for style in styles if style]
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.color and codes and text else text


def visible(text: object, spaces: bool = True) -> str:
    """Text that can't act on a terminal: control, bidi and zero-width characters are spelled out.

    `spaces`: line breaks and tabs become spaces, and runs of spaces one, as befits a name or a sentence.
    """
    shown = "".join(_visible_character(c, spaces) for c in str(text))
    return " ".join(shown.split()) if spaces else shown


def _visible_character(character: str, spaces: bool) -> str:
    if spaces and character in _SPACES:
        return " "
    if unicodedata.category(character) not in _ESCAPED:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def display_width(text: str) -> int:
    """Columns that `text` takes in a terminal: wide East Asian characters two, combining marks none."""
    return sum(_character_width(c) for c in text)


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def wrap(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """Lines of at most `width` columns; `first` begins the first, `rest` (by default as many spaces) the others."""
    rest = " " * display_width(first) if rest is None else rest
    if display_width(rest) > width // 2:
        rest = "  "
    lines, line, room = [], first, width - display_width(first)
    empty = True
    for word in text.split(" "):
        for piece in _pieces(word, max(1, width - display_width(rest))):
            needed = display_width(piece) + (0 if empty else 1)
            if needed > room and not (empty and line == rest):
                lines.append(line.rstrip())
                line, room, empty, needed = rest, width - display_width(rest), True, display_width(piece)
            line += piece if empty else f" {piece}"
            room -= needed
            empty = False
    return [*lines, line.rstrip()]


def _pieces(word: str, width: int) -> Iterator[str]:
    """A word in pieces that fit into `width`; nearly always the word itself."""
    piece = ""
    for character in word:
        if piece and display_width(piece) + _character_width(character) > width:
            yield piece
            piece = ""
        piece += character
    yield piece


def flow(parts: Iterable[str], width: int, first: str = "", separator: str = " · ") -> list[str]:
    """Parts side by side as far as they fit, each kept whole where it can be."""
    indent = " " * min(display_width(first), width // 2)
    lines: list[str] = []
    line = ""
    for part in parts:
        candidate = f"{line}{separator}{part}" if line else part
        if line and display_width(candidate) > width - len(indent):
            lines.append(line)
            candidate = part
        line = candidate
    lines.append(line)
    return [found for i, text in enumerate(lines) for found in wrap(text, width, first if i == 0 else indent, indent)]


def pad(text: str, width: int, align: str = "<") -> str:
    """`text` filled with spaces to `width` columns."""
    spaces = " " * max(0, width - display_width(text))
    return spaces + text if align == ">" else text + spaces


def column_widths(rows: Iterable[Sequence[str]]) -> list[int]:
    """The widest cell of each column."""
    return [max(map(display_width, column)) for column in zip(*rows, strict=True)]


def table(rows: Sequence[Sequence[str]], aligns: str, width: int, indent: str = GAP) -> list[str] | None:
    """Aligned columns, or None where they don't fit into `width`."""
    widths = column_widths(rows)
    if len(indent) + sum(widths) + len(GAP) * (len(widths) - 1) > width:
        return None
    cells = ([pad(c, w, a) for c, w, a in zip(row, widths, aligns, strict=True)] for row in rows)
    return [(indent + GAP.join(row)).rstrip() for row in cells]
