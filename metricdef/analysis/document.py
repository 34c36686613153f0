"""A readout's JSON document back into records: for reports of files, whoever made them."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from metricdef.analysis.readout import SCHEMA, Readout
from metricdef.errors import UsageError


def read_document(text: str, name: str = "readout") -> Readout:
    """The readout of a JSON document. Fields that it doesn't know are passed over; absent ones take their default.

    Args:
        text: The document, as `to_json` writes it.
        name: What messages call it.

    Raises:
        UsageError: It is no readout, or one that this version can't read; names the field.
    """
    try:
        found = json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise UsageError(f"{name} is not JSON: {error}", ["`metricdef run EXPERIMENT -o FILE` writes one"]) from None
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA:
        said = f"its `schema` is `{schema}`" if schema else "it has no `schema`"
        raise UsageError(f"{name} is not a readout of this version: {said}, not `{SCHEMA}`")
    try:
        readout: Readout = _record(Readout, found, "")
    except _Mismatch as error:
        raise UsageError(f"{name} is not a readout: {error}") from None
    return readout


class _Mismatch(Exception):
    """A field is not what the contract says."""


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


@lru_cache
def _fields(record: type) -> dict[str, tuple[Any, bool]]:
    """Name -> type, and whether the field must be there."""
    hints = get_type_hints(record)
    absent = dataclasses.MISSING
    return {
        field.name: (hints[field.name], field.default is absent and field.default_factory is absent)
        for field in dataclasses.fields(record)
    }


def _record(record: type, value: Any, path: str) -> Any:
    if not isinstance(value, Mapping):
        raise _Mismatch(f"`{path or 'the document'}` is no object")
    known = {}
    for name, (kind, required) in _fields(record).items():
        where = f"{path}.{name}" if path else name
        if name in value:
            known[name] = _value(kind, value[name], where)
        elif required:
            raise _Mismatch(f"`{where}` is missing")
    return record(**known)


def _value(kind: Any, value: Any, path: str) -> Any:
    """The value as its type has it."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        return _value(next(option for option in inner if option is not type(None)), value, path)
    if origin is Literal:
        kind = str  # a code that a later version adds is shown as itself
    elif origin is tuple:
        return _sequence(inner, value, path)
    elif origin is dict:
        if not isinstance(value, Mapping):
            raise _Mismatch(f"`{path}` is no object")
        return {str(key): _value(inner[1], item, f"{path}.{key}") for key, item in value.items()}
    elif isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _record(kind, value, path)
    return _plain(kind, value, path)


def _sequence(inner: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _Mismatch(f"`{path}` is no list")
    kinds = [inner[0]] * len(value) if inner[-1:] == (Ellipsis,) else list(inner)
    if len(kinds) != len(value):
        raise _Mismatch(f"`{path}` has {len(value)} items instead of {len(kinds)}")
    return tuple(_value(kind, item, f"{path}.{i}") for i, (kind, item) in enumerate(zip(kinds, value, strict=True)))


def _plain(kind: type, value: Any, path: str) -> Any:
    """A text, number or truth value; an integer is a number too."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _Mismatch(f"`{path}` is {json.dumps(value, default=str)[:60]}, not a {kind.__name__}")
    return value
