"""Files to a linked Project. Every problem is collected; one bad definition hides no other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from metricdef.definitions.files import FOLDER, PROJECT_FILE, SCHEMA_FILE, definition_files, shown
from metricdef.definitions.link import link
from metricdef.definitions.models import Experiment, MetricSet, MetricTest, ProjectSettings, Segment, Source
from metricdef.definitions.policy import apply_policy
from metricdef.definitions.project import Columns, Loaded, Project
from metricdef.definitions.validation import validate
from metricdef.definitions.yaml_source import Document, parse_yaml
from metricdef.errors import Diagnostic, Place, UsageError, suggest
from metricdef.metrics import TYPES
from metricdef.metrics.base import Agg
from metricdef.metrics.fields import parse_name

KINDS = ("sources", "segments", "metrics", "metric_sets", "experiments", "tests")

MODELS: dict[str, type[BaseModel]] = {
    "sources": Source,
    "segments": Segment,
    "metric_sets": MetricSet,
    "experiments": Experiment,
    "tests": MetricTest,
}


def load_project(root: Path, *, snapshot: bool = True) -> Loaded:
    """Read, validate and link every definition below `root`/metrics; `snapshot`: with the schema file's columns."""
    documents = _read(root)
    diagnostics = [d for document in documents.values() for d in document.diagnostics]
    settings_file = shown(root, root / FOLDER / PROJECT_FILE)
    if settings_file not in documents:
        raise UsageError(
            f"{settings_file} is missing", ["run `metricdef init`, or name the folder with `--project DIR`"]
        )
    settings, problems = _settings(documents[settings_file])
    diagnostics += problems
    found: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    origins: dict[tuple[str, str], Document] = {}
    for document in documents.values():
        diagnostics += _definitions(document, document.file == settings_file, found, origins)
    if settings is None:
        return Loaded(None, _sorted(diagnostics))
    project = Project(
        root,
        settings,
        found["sources"],
        found["segments"],
        found["metrics"],
        found["metric_sets"],
        found["experiments"],
        found["tests"],
        documents,
        origins,
        read_schema(root) if snapshot else {},
    )
    diagnostics = _without_consequences(documents, [*diagnostics, *link(project)])
    kept, used = apply_policy(project, diagnostics)
    return Loaded(project, _sorted(kept), frozenset(used))


def read_schema(root: Path) -> dict[str, Columns]:
    """The snapshot of the sources' columns, empty where none was taken. Raises UsageError on a broken file."""
    path = root / FOLDER / SCHEMA_FILE
    if not path.is_file():
        return {}
    try:
        sources = json.loads(path.read_text(encoding="utf-8"))["sources"]
        return {str(name): dict(columns) for name, columns in sources.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"{FOLDER}/{SCHEMA_FILE} cannot be read", ["write it anew with `metricdef check --refresh-schema`"]
        ) from None


def _read(root: Path) -> dict[str, Document]:
    documents = {}
    for name, path in definition_files(root).items():
        try:
            documents[name] = parse_yaml(name, path.read_text(encoding="utf-8-sig"))
        except UnicodeDecodeError:
            documents[name] = Document(
                name, [], diagnostics=[Diagnostic("yaml-syntax", "the file is not UTF-8 text", Place(name, 1, 1))]
            )
    return documents


def _settings(document: Document) -> tuple[ProjectSettings | None, list[Diagnostic]]:
    data = {key: value for key, value in document.data.items() if key not in KINDS}
    if not data:
        return None, [] if document.diagnostics else [
            Diagnostic("missing-key", "project.yml has no settings", Place(document.file, 1, 1))
        ]
    settings, problems = validate(ProjectSettings, data, document, ())
    return settings, problems


def _definitions(
    document: Document, is_root: bool, found: dict[str, dict[str, Any]], origins: dict[tuple[str, str], Document]
) -> list[Diagnostic]:
    diagnostics: list[Diagnostic] = []
    for kind, definitions in document.data.items():
        if kind not in KINDS:
            if not is_root:
                similar = suggest(kind, KINDS)
                empty = [name for name in KINDS if name in document.data and document.data[name] is None]
                hint = f"did you mean `{similar[0]}`?" if similar else f"kinds: {', '.join(KINDS)}"
                if empty and isinstance(definitions, dict):
                    hint = f"indent it by two spaces, so that it stands inside `{empty[0]}`"
                diagnostics.append(
                    Diagnostic(
                        "unknown-key",
                        f"`{kind}` is not a kind of definition",
                        document.place((kind,), key=True),
                        (hint,),
                    )
                )
            continue
        if not isinstance(definitions, dict):
            if definitions is None and not is_root and set(document.data) - set(KINDS):
                continue  # what should stand in it stands beside it, which is reported there
            help_ = f"write names below it, indented by two spaces, or remove `{kind}`"
            place = document.place((kind,), key=True)
            diagnostics.append(Diagnostic("invalid-type", f"`{kind}` must be a map of names", place, (help_,)))
            continue
        for name, data in definitions.items():
            diagnostics += _definition(document, kind, name, data, found, origins)
    return diagnostics


def _definition(
    document: Document,
    kind: str,
    name: str,
    data: object,
    found: dict[str, dict[str, Any]],
    origins: dict[tuple[str, str], Document],
) -> list[Diagnostic]:
    path = (kind, name)
    if path in origins:
        first = origins[path].place(path, key=True)
        return [
            Diagnostic(
                "duplicate-name",
                f"{_singular(kind)} `{name}` is defined twice",
                document.place(path, key=True),
                (f"first defined at {first.file}:{first.line}; rename one",),
            )
        ]
    origins[path] = document
    try:
        parse_name(name)
    except ValueError as error:
        message, _, help_ = str(error).partition(": ")
        return [Diagnostic("invalid-name", message, document.place(path, key=True), (help_,))]
    if not isinstance(data, dict):
        return [Diagnostic("invalid-type", f"{_singular(kind)} `{name}` must be a map", document.place(path, key=True))]
    model = MODELS.get(kind) or _metric_model(data)
    if model is None:
        return [_bad_metric_type(document, path, data)]
    value, problems = validate(model, data, document, path)
    if value is not None:
        found[kind][name] = value
    return problems


def _metric_model(data: dict[str, Any]) -> type[BaseModel] | None:
    kind = data.get("type")
    return TYPES.get(kind) if isinstance(kind, str) else None


def _bad_metric_type(document: Document, path: tuple[str, str], data: dict[str, Any]) -> Diagnostic:
    if "type" not in data:
        return Diagnostic(
            "missing-key",
            f"`type` is missing of metric `{path[1]}`",
            document.place(path, key=True),
            (f"types: {', '.join(TYPES)}",),
        )
    similar = suggest(str(data["type"]), TYPES)
    if data["type"] in get_args(Agg):
        hint = f"`{data['type']}` is an aggregate: write `type: mean` and `agg: {data['type']}`"
    else:
        hint = f"did you mean `{similar[0]}`?" if similar else f"types: {', '.join(TYPES)}"
    return Diagnostic(
        "invalid-value",
        f"`{data['type']}` is not a metric type",
        document.place((*path, "type")),
        (hint,),
    )


def _singular(kind: str) -> str:
    return kind.removesuffix("s").replace("_", " ")


def _without_consequences(documents: dict[str, Document], diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    """One mistake, one error: names missing because their file cannot be read are no mistakes of their own."""
    unreadable = any(document.diagnostics and not document.data for document in documents.values())
    unreadable |= any(d.rule == "unknown-key" and d.message.endswith("kind of definition") for d in diagnostics)
    # A name that can't stand is reported where it is defined, and not again by those who write it as it should be.
    meant = {re.sub(r"\W", "_", d.message.split("`")[1].lower()) for d in diagnostics if d.rule == "invalid-name"}
    cut = ("jinja-in-yaml", "flow-sql-comma")  # what YAML made of the rest of such a line means nothing
    spoilt = {(d.place.file, d.place.line) for d in diagnostics if d.rule in cut and d.place}
    return [
        d
        for d in diagnostics
        if not (unreadable and d.rule.startswith("unknown-") and d.rule != "unknown-key")
        and not (d.rule.startswith("unknown-") and any(f"`{name}` is not a" in d.message for name in meant))
        and not (d.place and (d.place.file, d.place.line) in spoilt and d.rule not in cut)
    ]


def _sorted(diagnostics: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    return tuple(sorted(set(diagnostics), key=lambda d: d.order))
