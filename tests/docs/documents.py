"""Reads the project's Markdown: fenced blocks with the directives before them, links, headings.

A directive is an HTML comment right before a fence:

    <!-- file: metrics/sources/shop.yml -->   the block is this file of the document's project
    <!-- not run: needs a Snowflake account -->   the block is left alone, for this reason
    <!-- dialect: snowflake -->               an SQL block in another dialect than DuckDB's

and, anywhere in a document, on a line of its own:

    <!-- project: demo -->                    the document's project starts as a copy of the demo project
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

REPOSITORY = Path(__file__).resolve().parents[2]
DIRECTIVES = {"file", "not run", "dialect", "project"}

_FENCE = re.compile(r"^(?P<indent> *)(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>[^`]*)$")
_DIRECTIVE = re.compile(r"^\s*<!--\s*(?P<name>[a-z][a-z ]*?)\s*:\s*(?P<value>.*?)\s*-->\s*$")
_CODE_SPAN = re.compile(r"(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`)")
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?(?P<target>[^)\s>]*)>?(?:\s+[\"'(][^)]*)?\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?(?P<target>[^\s>]+)")
_ATTRIBUTE = re.compile(r"<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=[\"'](?P<target>[^\"'\s]+)", re.IGNORECASE)
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(?P<text>.+?)\s*#*\s*$")
_ANCHOR = re.compile(r"<[a-z]+\b[^>]*?\b(?:id|name)=[\"'](?P<name>[^\"']+)", re.IGNORECASE)
_LINK_TEXT = re.compile(r"!?\[(?P<text>[^\]]*)\]\([^)]*\)")


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    line: int  # of the opening fence
    directives: dict[str, str] = field(default_factory=dict)

    @property
    def skipped(self) -> bool:
        return "not run" in self.directives


@dataclass(frozen=True)
class Document:
    path: Path
    blocks: tuple[Block, ...]
    prose: tuple[tuple[int, str], ...]  # the numbered lines outside fences
    directives: dict[str, str]  # those of the document
    faults: tuple[str, ...]  # what is wrong with the conventions themselves

    @property
    def name(self) -> str:
        return self.path.relative_to(REPOSITORY).as_posix() if self.path.is_relative_to(REPOSITORY) else self.path.name

    def at(self, block: Block) -> str:
        return f"{self.name}:{block.line}"


def documents() -> list[Document]:
    paths = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    return [read(path) for path in sorted(paths)]


def read(path: Path) -> Document:
    blocks: list[Block] = []
    prose: list[tuple[int, str]] = []
    faults: list[str] = []
    whole: dict[str, str] = {}
    pending: dict[str, str] = {}
    fence: re.Match[str] | None = None
    opened, code = 0, list[str]()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        found = _FENCE.match(line)
        if fence:
            if found and closes(found, fence):
                language = (fence["info"].split() or [""])[0].lower()
                blocks.append(Block(language, "".join(f"{text}\n" for text in code), opened, pending))
                fence, pending = None, {}
            else:
                code.append(line.removeprefix(fence["indent"]))
            continue
        if found:
            fence, opened, code = found, number, []
            continue
        prose.append((number, line))
        if directive := _DIRECTIVE.match(line):
            name, value = directive["name"], directive["value"]
            if name not in DIRECTIVES:
                faults.append(f"line {number}: unknown directive {name!r}; there are {', '.join(sorted(DIRECTIVES))}")
            elif not value:
                faults.append(f"line {number}: {name!r} needs a value")
            elif name == "project":
                whole[name] = value
            else:
                pending[name] = value
        elif line.strip() and pending:
            faults.append(f"line {number}: {', '.join(pending)} must stand right before a fenced block")
            pending = {}
    if fence:
        faults.append(f"line {opened}: the fence is never closed")
    if pending:
        faults.append(f"last line: {', '.join(pending)} must stand right before a fenced block")
    return Document(path, tuple(blocks), tuple(prose), whole, tuple(faults))


def closes(found: re.Match[str], fence: re.Match[str]) -> bool:
    return found["mark"].startswith(fence["mark"]) and not found["info"].strip()


def links(document: Document) -> Iterator[tuple[int, str]]:
    """Targets of links and images that stay inside the repository, with their line."""
    for number, line in document.prose:
        text = _CODE_SPAN.sub("", line)
        found = [*_LINK.finditer(text), *_REFERENCE.finditer(text), *_ATTRIBUTE.finditer(text)]
        for match in found:
            target = unquote(match["target"])
            if target and not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//", target):
                yield number, target


def anchors(document: Document) -> set[str]:
    """The names that a link to this document may end in: its headings, spelled as code forges do, and its ids."""
    seen: dict[str, int] = {}
    names: set[str] = set()
    for _, line in document.prose:
        names.update(match["name"] for match in _ANCHOR.finditer(line))
        if heading := _HEADING.match(line):
            text = _LINK_TEXT.sub(r"\g<text>", heading["text"]).lower()
            slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            count = seen.get(slug, 0)
            seen[slug] = count + 1
            names.add(f"{slug}-{count}" if count else slug)
    return names


def link_fault(document: Document, target: str) -> str | None:
    path, _, anchor = target.partition("#")
    if path.startswith("/"):
        return "is absolute; links inside the repository are relative"
    aim = (document.path.parent / path).resolve() if path else document.path
    if not aim.exists():
        return "does not exist"
    if anchor and aim.suffix == ".md" and anchor not in anchors(read(aim)):
        return f"has no heading {anchor!r}"
    return None
