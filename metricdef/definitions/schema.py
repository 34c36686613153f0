"""JSON Schemas of the files, generated from the models, for completion, hover texts and findings in an editor.

Language servers read no discriminator: the type of a metric is an `if` for each type, so that completion and messages are
those of that type. Names that a project has are offered and never demanded: a schema may be older than the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from metricdef.definitions.field_notes import field_notes
from metricdef.definitions.load import KINDS, MODELS
from metricdef.definitions.models import ProjectSettings
from metricdef.definitions.project import Project
from metricdef.metrics import TYPES

SCHEMAS = ("definitions", "project")
_DRAFT = "http://json-schema.org/draft-07/schema#"
_KIND_WORDS = {
    "sources": "Tables and queries: events, exposures, attributes.",
    "segments": "Conditions on units, from before exposure.",
    "metrics": "Metrics by name.",
    "metric_sets": "Metrics that experiments take over together.",
    "experiments": "Experiments by name: each is the protocol of its analysis.",
    "tests": "Unit tests of metrics: rows in, expected figures out.",
}
_SNIPPETS = {
    "mean": "source: $2\nagg: ${3:sum}\nmeasure: $4",
    "proportion": "source: $2\nfilter: $3",
    "threshold": "source: $2\nagg: ${3:sum}\nmeasure: $4\nat_least: $5",
    "retention": "source: $2\nwindow: ${3:7d..14d}",
    "ratio": "numerator: $2\ndenominator: $3",
    "funnel": "steps:\n  - {name: $2, source: $3}\n  - {name: $4, source: $5}",
    "quantile": "source: $2\nmeasure: $3\nquantile: ${4:p95}\nof: ${5:events}",
}
Names = Mapping[str, Sequence[str]]  # kind -> names that the project has
Schema = dict[str, Any]


def make_schema(which: str, names: Names | None = None) -> Schema:
    """The schema of project.yml (`project`) or of the other files (`definitions`), with the names of a project if given."""
    models: list[type[BaseModel]] = [ProjectSettings, *MODELS.values(), *TYPES.values()]
    _, generated = models_json_schema([(model, "validation") for model in models], by_alias=True)
    defs = {name: _plain(schema) for name, schema in generated["$defs"].items()}
    types = {model.__name__ for model in TYPES.values()}
    for name, schema in defs.items():
        notes = {**(field_notes().get("Metric", {}) if name in types else {}), **field_notes().get(name, {})}
        for field, note in notes.items():
            if field in schema.get("properties", {}):
                schema["properties"][field] = _noted(schema["properties"][field], note, names or {})
    kinds = {kind: _kind(kind) for kind in KINDS}
    root: Schema = {"type": "object", "properties": kinds, "additionalProperties": False}
    if which == "project":
        root = {**defs["ProjectSettings"], "properties": {**defs["ProjectSettings"]["properties"], **kinds}}
    used = _reachable(root, defs)
    title = {"definitions": "Definitions of metricdef", "project": "A project of metricdef"}[which]
    return {"$schema": _DRAFT, "title": title, **{k: v for k, v in root.items() if k != "title"}, "definitions": used}


def names_of(project: Project) -> dict[str, list[str]]:
    """What completion offers: names of definitions, entities, profiles, measures and dimensions."""
    found = {kind: list(project.declared(kind)) for kind in ("sources", "segments", "metrics", "metric_sets")}
    found["entities"] = sorted(project.settings.entities)
    found["profiles"] = list(project.settings.profiles)
    for key in ("measures", "dimensions"):
        found[key] = sorted({name for source in project.sources.values() for name in getattr(source, key)})
    return found


def _kind(kind: str) -> Schema:
    names = {"pattern": "^[a-z][a-z0-9_]*$", "maxLength": 48}
    inner: Schema = {"$ref": f"#/definitions/{MODELS[kind].__name__}"} if kind in MODELS else _metric()
    return {"type": "object", "description": _KIND_WORDS[kind], "propertyNames": names, "additionalProperties": inner}


def _metric() -> Schema:
    """One metric: which type it is decides what else it may hold."""
    types = [
        {
            "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
            "then": {"$ref": f"#/definitions/{model.__name__}"},
        }
        for name, model in TYPES.items()
    ]
    notes = field_notes()["Metric"]["type"]
    snippets = [
        {
            "label": f"{name} metric",
            "description": (model.__doc__ or "").splitlines()[0],
            "bodyText": f"type: {name}\n{_SNIPPETS[name]}\ndirection: ${{9:increase}}",
        }
        for name, model in TYPES.items()
        if name in _SNIPPETS
    ]
    return {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": list(TYPES), "description": notes["text"]}},
        "allOf": types,
        "defaultSnippets": snippets,
    }


def _plain(schema: Any) -> Any:
    """pydantic's schema as editors like it: no titles, no `null` for what may be left out, names of keys in one place."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _plain(value) for key, value in schema.items() if not (key == "title" and isinstance(value, str))}
    if isinstance(result.get("$ref"), str):
        result["$ref"] = result["$ref"].replace("#/$defs/", "#/definitions/")
    if "default" in result:
        if result["default"] is None and {"type": "null"} in result.get("anyOf", ()):
            result["anyOf"] = [option for option in result["anyOf"] if option != {"type": "null"}]
        if not isinstance(result["default"], str | bool):
            del result["default"]
    if isinstance(result.get("anyOf"), list):
        result["anyOf"] = _with_null(result["anyOf"])
    if isinstance(result.get("anyOf"), list) and len(result["anyOf"]) == 1:
        result = {**result.pop("anyOf")[0], **result}
    if patterns := result.pop("patternProperties", None):
        ((pattern, inner),) = patterns.items()
        result["propertyNames"] = {"pattern": pattern, **result.get("propertyNames", {})}
        result["additionalProperties"] = inner
    return result


def _with_null(options: list[Schema]) -> list[Schema]:
    """A map that may be empty is one option: of two, editors take the empty one and offer nothing."""
    maps = [option for option in options if option.get("type") == "object"]
    if len(options) == 2 and len(maps) == 1 and {"type": "null"} in options:
        return [{**maps[0], "type": ["object", "null"]}]
    return options


def _noted(schema: Schema, note: Mapping[str, Any], names: Names) -> Schema:
    """A field with what the notes say of it. Beside a reference nothing else counts, so it goes into `allOf`."""
    result = {"allOf": [schema]} if "$ref" in schema else dict(schema)
    result["description"] = note["text"]
    if "such_as" in note:
        result["examples"] = note["such_as"]
    if (known := names.get(note.get("names", ""))) and "names" in note:
        result = _offering(result, list(known))
    if (known := names.get(note.get("keys", ""))) and "keys" in note:
        _offer_keys(result, known)
    return result


def _offering(schema: Schema, known: list[str]) -> Schema:
    """Texts, alone or in a list, with the known names offered."""
    offer: Schema = {"enum": known}
    options = schema.pop("anyOf", None) or [{key: schema.pop(key) for key in ("type", "items") if key in schema}]
    offered = []
    for option in options:
        if option == {"type": "string"}:
            offered += [offer, option]
        elif option.get("type") == "array" and option.get("items") == {"type": "string"}:
            offered.append({"type": "array", "items": {"anyOf": [offer, {"type": "string"}]}})
        else:
            offered.append(option)
    schema.pop("examples", None)  # the names are better ones
    return {**schema, "anyOf": offered}


def _offer_keys(schema: Schema, known: Sequence[str]) -> None:
    """The known names as properties of every map among the options."""
    for option in (schema, *schema.get("anyOf", ())):
        inner = option.get("additionalProperties")
        if option.get("type") in ("object", ["object", "null"]) and isinstance(inner, dict):
            option["properties"] = dict.fromkeys(known, inner)


def _reachable(root: Schema, defs: Mapping[str, Schema]) -> dict[str, Schema]:
    """The definitions that are referred to, sorted by name."""
    found: dict[str, Schema] = {}
    todo: list[Any] = [root]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            name = str(item.get("$ref", "")).rpartition("/")[2]
            if name in defs and name not in found:
                found[name] = defs[name]
                todo.append(defs[name])
            todo += item.values()
        elif isinstance(item, list):
            todo += item
    return dict(sorted(found.items()))
