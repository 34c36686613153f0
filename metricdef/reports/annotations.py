"""Findings for programs that show them beside the code: GitHub's workflow commands, and SARIF 2.1.0."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from metricdef import __version__
from metricdef.definitions.rules import Rule
from metricdef.errors import Diagnostic
from metricdef.reports.diagnostics import summary
from metricdef.reports.lines import visible

SHOWN_PER_KIND = 10  # GitHub drops further annotations of a kind in a step without a word
SARIF_RESULTS = 25_000  # and refuses a file with more
_SEVERITIES = ("error", "warning", "notice")
_LEVELS = {"error": "error", "warning": "warning", "notice": "note", "off": "note"}


def github_commands(diagnostics: Iterable[Diagnostic], files: int, folder: str = "") -> str:
    """Workflow commands, errors first; what GitHub would drop follows as plain lines, and the last lines count.

    Args:
        diagnostics: In any order.
        files: How many files were read.
        folder: From the top of the repository to where paths start; empty at the top.
    """
    found = _worst_first(diagnostics)
    shown: Counter[str] = Counter()
    commands: list[Diagnostic] = []
    rest: list[Diagnostic] = []
    for d in found:
        shown[d.severity] += 1
        (commands if shown[d.severity] <= SHOWN_PER_KIND else rest).append(d)
    lines = [*(_command(d, folder) for d in commands), *(_plain(d) for d in rest), summary(found, files)]
    if rest:
        lines.append(f"{len(rest)} more only in this log: GitHub shows {SHOWN_PER_KIND} annotations of a kind.")
    return "\n".join(lines)


def sarif(diagnostics: Iterable[Diagnostic], rules: Mapping[str, Rule], folder: str = "") -> str:
    """The findings as a SARIF document with the pages of their rules; errors first, cut where GitHub refuses more."""
    found = _worst_first(diagnostics)[:SARIF_RESULTS]
    used = sorted({d.rule for d in found})
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "metricdef",
                "semanticVersion": __version__,
                "rules": [_sarif_rule(name, rules.get(name)) for name in used],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [_result(d, used.index(d.rule), folder) for d in found],
    }
    document = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _worst_first(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    return sorted(diagnostics, key=lambda d: (_SEVERITIES.index(d.severity), d.order))


def _message(d: Diagnostic) -> str:
    return "\n".join([d.message, *(f"help: {line}" for line in d.help)])


def _path(file: str, folder: str) -> str:
    """From the top of the repository. What lies above it stays as it is."""
    joined = PurePosixPath(folder, file)
    parts: list[str] = []
    for part in joined.parts:
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


# --- GitHub -----------------------------------------------------------------------------------------------------------


def _command(d: Diagnostic, folder: str) -> str:
    properties = {"title": d.rule}
    if d.place:
        place = d.place
        properties = {
            "file": _path(place.file, folder),
            "line": str(place.line),
            "endLine": str(place.line),
            "col": str(place.column),
            "endColumn": str(place.column + place.length),
            **properties,
        }
    written = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{d.severity} {written}::{_data(_message(d))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _plain(d: Diagnostic) -> str:
    """One line that can't be taken for a command."""
    where = f"{visible(d.place.file)}:{d.place.line}:{d.place.column}: " if d.place else ""
    return f"  {where}{d.severity}[{d.rule}]: {visible(d.message)}"


# --- SARIF ------------------------------------------------------------------------------------------------------------


def _sarif_rule(name: str, rule: Rule | None) -> dict[str, Any]:
    if rule is None:
        return {"id": name}
    what, why = (" ".join(text.split()) for text in (rule.what, rule.why))
    examples = "\n\n".join(_example(*pair) for pair in (("Wrong", rule.wrong), ("Right", rule.right)))
    return {
        "id": name,
        "shortDescription": {"text": what},
        "fullDescription": {"text": f"{what} {why}"},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "help": {"text": f"{what} {why}\n\n{examples}", "markdown": f"{what} {why}\n\n{_fenced(rule)}"},
    }


def _example(title: str, text: str) -> str:
    return f"{title}:\n{text.rstrip()}"


def _fenced(rule: Rule) -> str:
    return "\n\n".join(
        f"{title}:\n\n```yaml\n{text.rstrip()}\n```" for title, text in (("Wrong", rule.wrong), ("Right", rule.right))
    )


def _result(d: Diagnostic, index: int, folder: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": d.rule,
        "ruleIndex": index,
        "level": _LEVELS[d.severity],
        "message": {"text": _message(d)},
    }
    if d.place:
        path = _path(d.place.file, folder)
        region = {
            "startLine": d.place.line,
            "startColumn": d.place.column,
            "endLine": d.place.line,
            "endColumn": d.place.column + d.place.length,
        }
        location = {"artifactLocation": {"uri": quote(path), "uriBaseId": "%SRCROOT%"}, "region": region}
        result["locations"] = [{"physicalLocation": location}]
        # Lines move; the same finding in the same file stays the same alert.
        identity = hashlib.sha256(f"{d.rule}\0{path}\0{d.message}".encode()).hexdigest()[:32]
        result["partialFingerprints"] = {"metricdef/v1": identity}
    return result
