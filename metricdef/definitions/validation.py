"""pydantic's findings in the author's words, at the author's lines."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from metricdef.definitions.field_notes import field_notes
from metricdef.definitions.yaml_source import Document, Path
from metricdef.errors import Diagnostic, suggest

_TYPE_WORDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a map",
    "tuple_type": "a list",
    "list_type": "a list",
    "model_type": "a map",
    "model_attributes_type": "a map",
    "int_from_float": "a whole number",
}


SHORT = 6  # values that a help line lists beside the nearest
_ABSENT = object()


def validate(model: type[BaseModel], data: object, document: Document, path: Path) -> tuple[Any, list[Diagnostic]]:
    """Build `model` from `data`, found at `path`. Gives the record or None, and what is wrong."""
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        return None, list(_diagnostics(model, error, data, document, path))


def _diagnostics(
    model: type[BaseModel], error: ValidationError, data: object, document: Document, path: Path
) -> Iterator[Diagnostic]:
    seen: set[tuple[Path, str]] = set()
    items = error.errors(include_url=False)
    written = [str(item["loc"][-1]) for item in items if item["type"] == "extra_forbidden"]
    defined = [i["loc"][:-1] for i in items if i["type"] == "extra_forbidden" and _is_metric_in_place(model, i["loc"])]
    for above in defined:
        yield _metric_in_place((*path, *_in_tree(above, data)), document)
    for item in items:
        if item["type"] == "missing" and suggest(str(item["loc"][-1]), written):
            continue  # it is there, misspelt
        location = _in_tree(item["loc"], data)
        full = (*path, *location)
        kind = item["type"]
        if (full, kind) in seen:
            continue
        seen.add((full, kind))
        if kind == "extra_forbidden":
            if not any(item["loc"][:-1] == other for other in defined):
                yield _unknown_key(model, location, document, full)
        elif kind == "missing":
            # The parent's key names the place: the missing keys themselves stand nowhere.
            keys = _missing_beside(item, items, written)
            above = location[:-1] if location and location[-1] == keys[0] else location
            parent = (*path, *above)
            listed = " and ".join(filter(None, (", ".join(f"`{k}`" for k in keys[:-1]), f"`{keys[-1]}`")))
            what = f"{listed} {'are' if len(keys) > 1 else 'is'} missing{_inside(parent)}"
            examples = [line for key in keys for line in _example(model, (*above, key))]
            yield Diagnostic("missing-key", what, document.place(parent, key=True), tuple(examples))
        else:
            yield _bad_value(model, item, location, full, document)


def _missing_beside(item: Any, items: Sequence[Any], written: Sequence[str]) -> list[str]:
    """All keys that are missing where one is: of one way to write it, where there are several."""
    beside = [i for i in items if i["type"] == "missing" and i["loc"][:-1] == item["loc"][:-1]]
    return [key for i in beside if not suggest(key := str(i["loc"][-1]), written)]


def _in_tree(location: tuple[int | str, ...], data: object) -> Path:
    """The part of pydantic's location that exists in the YAML: it also names unions' branches and map keys."""
    path: list[str | int] = []
    node: Any = data
    for step in location:
        child = _child(node, step)
        if child is not _ABSENT:
            node = child
            path.append(step)
        elif step == "[key]":
            break
    return tuple(path)


def _child(node: Any, step: int | str) -> Any:
    if isinstance(node, dict):
        return node.get(step, _ABSENT)
    return node[step] if isinstance(node, list) and isinstance(step, int) and step < len(node) else _ABSENT


def _unknown_key(model: type[BaseModel], location: Path, document: Document, full: Path) -> Diagnostic:
    name = str(full[-1])
    refused = getattr(model, "refused_keys", {}).get(name) if len(location) == 1 else None
    if refused is not None:
        rule, what, mend = refused
        return Diagnostic(rule, f"`{name}`{_inside(full[:-1])}: {what}", document.place(full, key=True), (mend,))
    known = field_names(model, location[:-1])
    similar = suggest(name, known)
    help_ = f"did you mean `{similar[0]}`?" if similar else f"keys: {', '.join(sorted(known))}"
    return Diagnostic(
        "unknown-key", f"`{name}` is not a key{_inside(full[:-1])}", document.place(full, key=True), (help_,)
    )


def _is_metric_in_place(model: type[BaseModel], location: tuple[int | str, ...]) -> bool:
    """Whether a metric is defined where experiments and sets name one with its target."""
    return location[-1] == "type" and "mde" in field_names(model, tuple(location[:-1]))


def _metric_in_place(path: Path, document: Document) -> Diagnostic:
    what = f"`{path[-1]}`{_inside(path[:-1])} is defined where it should be named"
    help_ = "define it under `metrics:` at the top of a file, and leave its name with a target here: `NAME: {mde: 2%}`"
    return Diagnostic("unknown-key", what, document.place(path, key=True), (help_,))


def _inside(path: Path) -> str:
    names = [str(step) for step in path if isinstance(step, str)]
    return (
        f" of {names[0].removesuffix('s')} `{names[1]}`{''.join(f' › {n}' for n in names[2:])}"
        if len(names) > 1
        else (f" of `{names[0]}`" if names else "")
    )


def _bad_value(model: type[BaseModel], item: Any, location: Path, full: Path, document: Document) -> Diagnostic:
    kind, value = item["type"], item.get("input")
    key_problem = "[key]" in item["loc"]
    place = document.place(full, key=key_problem)
    name = next((str(step) for step in reversed(full) if isinstance(step, str)), "value")
    if kind == "value_error":
        message, _, help_ = str(item["ctx"]["error"]).partition(": ")
        return Diagnostic("invalid-value", message, place, (help_,) if help_ else ())
    if kind == "literal_error":
        allowed = [text.strip(" '") for text in item["ctx"]["expected"].replace(" or ", ", ").split(",")]
        hint = _choice(name, value, allowed)
        return Diagnostic("invalid-value", f"`{_shown(value)}` is not a value of `{name}`", place, (hint,))
    if kind in _TYPE_WORDS:
        return Diagnostic(
            "invalid-type",
            f"`{name}` must be {_TYPE_WORDS[kind]}, not {_shown_kind(value)}",
            place,
            (f'quote it: "{value}"',)
            if kind == "string_type" and isinstance(value, bool | int | float)
            else _example(model, location),
        )
    return Diagnostic("invalid-value", f"`{name}`: {item['msg'].lower()}", place)


def _choice(name: str, value: object, allowed: list[str]) -> str:
    """Which of the values to write."""
    if name == "agg" and value in ("avg", "mean", "average"):
        return (
            "a mean over rows is `type: ratio` with a sum and a count; `type: mean` is the mean over units of any agg"
        )
    similar = suggest(str(value), allowed)
    if len(allowed) == 1:
        return f"write {allowed[0]}"
    if similar and len(allowed) <= SHORT:
        return f"did you mean `{similar[0]}`? It is one of {', '.join(allowed)}"
    return f"did you mean `{similar[0]}`?" if similar else f"write one of {', '.join(allowed)}"


def _example(model: type[BaseModel], location: Path) -> tuple[str, ...]:
    """How the field, or the one around it, is written."""
    for length in range(len(location), 0, -1):
        name = str(location[length - 1])
        for candidate in _models_at(model, location[: length - 1]):
            notes = field_notes()
            note = notes.get(candidate.__name__, {}).get(name) or notes["Metric"].get(name)
            field = next((f for n, f in candidate.model_fields.items() if name == (f.alias or n)), None)
            if field is not None and note and "such_as" in note:
                return (f"write for example `{name}: {_flow(note['such_as'][0])}`",)
            if field is not None and (words := _words_in(field.annotation)):
                return (f"`{name}` is one of {', '.join(words)}",)
    return ()


def _words_in(annotation: Any) -> list[str]:
    """The words that a field takes; none where it takes others too."""
    return [str(word) for word in get_args(annotation)] if get_origin(annotation) is Literal else []


def _flow(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    return "[" + ", ".join(_flow(item) for item in value) + "]" if isinstance(value, list) else str(value)


def _shown(value: object) -> str:
    return str(value) if not isinstance(value, dict | list) else ("a map" if isinstance(value, dict) else "a list")


def _shown_kind(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list):
        return "a list"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def field_names(model: type[BaseModel], path: Path) -> list[str]:
    """The keys allowed at `path` below `model`; empty where anything is allowed."""
    models = _models_at(model, path)
    return sorted({field.alias or name for candidate in models for name, field in candidate.model_fields.items()})


def _models_at(model: type[BaseModel], path: Path) -> list[type[BaseModel]]:
    """The models that may stand at `path` below `model`."""
    models: list[type[BaseModel]] = [model]
    skip = False
    for step in path:
        following: list[type[BaseModel]] = []
        for candidate in models:
            field = next((f for n, f in candidate.model_fields.items() if step in (n, f.alias)), None)
            if field is not None:
                following.extend(_models_in(field.annotation))
        skip = not following
        models = models if skip else following  # a map's own key or a list index: same models
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is Literal:
        return []
    if get_origin(annotation) in (Union, types.UnionType, Annotated, dict, tuple, list):
        return [model for argument in get_args(annotation) for model in _models_in(argument)]
    return []
