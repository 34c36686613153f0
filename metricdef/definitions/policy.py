"""What a project wants to hear: severities from `lint` in project.yml, and waivers beside the lines they are about.

Errors guard numbers: neither can lower or silence them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import yaml

from metricdef.definitions.project import Project
from metricdef.definitions.rules import read_rules
from metricdef.definitions.yaml_source import Document
from metricdef.errors import Diagnostic, Place, suggest

_MARK = "metricdef:"
_COMMENT = re.compile(r"(?:^|\s)#\s*metricdef:\s*(?P<text>.*?)\s*$")
_IGNORE = re.compile(r"ignore\s*\[(?P<rules>[^\]]*)\](?P<reason>.*)")
_EXAMPLE = "# metricdef: ignore[primary-without-mde] REASON"
Used = set[tuple[str, int, str]]  # file, line, rule


@dataclass(frozen=True, slots=True)
class Waiver:
    """`# metricdef: ignore[rule] reason`: findings of these rules on line `covers` are known and accepted."""

    rules: tuple[str, ...]
    reason: str
    covers: int
    place: Place


def apply_policy(project: Project, diagnostics: Iterable[Diagnostic]) -> tuple[list[Diagnostic], Used]:
    """The findings that remain, with the severities that the project wants, and which waivers were needed."""
    waived = {
        (waiver.place.file, waiver.covers, rule)
        for document in project.documents.values()
        for waiver in read_waivers(document)
        if waiver.reason
        for rule in waiver.rules
    }
    kept, used = [], set()
    for item in diagnostics:
        key = (item.place.file, item.place.line, item.rule) if item.place else ("", 0, "")
        wanted = project.settings.lint.get(item.rule)
        if item.severity == "error" or (wanted is None and key not in waived):
            kept.append(item)
        elif key in waived:
            used.add(key)
        elif wanted is not None and wanted != "off":
            kept.append(replace(item, severity=wanted))
    return kept, used


def check_policy(project: Project) -> Iterator[Diagnostic]:
    """Everything wrong with `lint` and with waivers, apart from waivers that nothing needs."""
    settings = project.settings
    if settings.lint:
        root = next(d for d in project.documents.values() if ("version",) in d.keys)
        for rule, severity in settings.lint.items():
            place = root.place(("lint", rule), key=True)
            yield from _check_rule(rule, place, "`lint`", is_lowering=severity != "error")
    for document in project.documents.values():
        for waiver in read_waivers(document):
            if not waiver.rules:
                what, help_ = "this comment is not understood", f"write `{_EXAMPLE}`, or leave out `metricdef:`"
                yield Diagnostic("waiver-syntax", what, waiver.place, (help_,))
                continue
            if not waiver.reason:
                what = f"the waiver of `{', '.join(waiver.rules)}` gives no reason"
                yield Diagnostic("waiver-without-reason", what, waiver.place, (f"write `{_EXAMPLE}`",))
            for rule in waiver.rules:
                yield from _check_rule(rule, waiver.place, "the waiver", is_lowering=True)


def unused_waivers(project: Project, used: Iterable[tuple[str, int, str]]) -> Iterator[Diagnostic]:
    """Waivers of findings that are not there; asked only once everything was checked."""
    needed = set(used)
    for document in project.documents.values():
        for waiver in read_waivers(document):
            for rule in waiver.rules:
                if (document.file, waiver.covers, rule) not in needed:
                    what = f"nothing on line {waiver.covers} needs the waiver of `{rule}`"
                    yield Diagnostic("waiver-unused", what, waiver.place, ("remove it",), "warning")


def _check_rule(rule: str, place: Place, where: str, *, is_lowering: bool) -> Iterator[Diagnostic]:
    known = read_rules()
    if rule not in known:
        similar = suggest(rule, known)
        help_ = f"did you mean `{similar[0]}`?" if similar else "`metricdef explain` lists all rules"
        yield Diagnostic("unknown-rule", f"{where}: `{rule}` is not a rule", place, (help_,))
    elif known[rule].severity == "error" and is_lowering:
        what = f"{where}: `{rule}` is an error, and errors stay: a number could be wrong, or nothing could run"
        yield Diagnostic("error-stays", what, place, (f"mend it: `metricdef explain {rule}` shows how",))


def read_waivers(document: Document) -> Iterator[Waiver]:
    """Every waiver of a file: on a line of its own it is about the next line that isn't a comment."""
    if not document.has_marks:
        return
    for number, line in enumerate(document.lines, 1):
        match = _COMMENT.search(line) if _MARK in line else None
        while match and _is_text(document.scalars.values(), number - 1, line.index("#", match.start())):
            match = _COMMENT.search(line, match.start() + 1)
        if match is None:
            continue
        column = line.index("#", match.start())
        place = Place(document.file, number, column + 1, len(line[match.start() :].strip()), line)
        ignore = _IGNORE.fullmatch(match["text"])
        rules = tuple(rule for word in ignore["rules"].split(",") if (rule := word.strip())) if ignore else ()
        reason = ignore["reason"].strip() if ignore else ""
        yield Waiver(rules, reason, _covered(document, number), place)


def _covered(document: Document, number: int) -> int:
    """The line itself, or, for a comment that stands alone, the next one with something on it."""
    for line in range(number, len(document.lines) + 1):
        text = document.lines[line - 1].strip()
        if text and not text.startswith("#"):
            return line
    return number


def _is_text(nodes: Iterable[yaml.ScalarNode], line: int, column: int) -> bool:
    """Whether a place, counted from 0, lies in quotes or in a text of several lines, where `#` begins no comment."""
    for node in nodes:
        start, end = node.start_mark, node.end_mark
        if node.style in ("|", ">"):
            if start.line < line < end.line:
                return True
        elif (start.line, start.column) <= (line, column) < (end.line, end.column):
            return True
    return False
