"""In which order the keys of a definition are written: as the models list them, what it is before how it is computed.

Names (of metrics, arms, measures, ...) and items of lists keep the author's order.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from metricdef.definitions.load import KINDS, MODELS
from metricdef.definitions.models import ProjectSettings, Source
from metricdef.metrics import TYPES, Metric

_METRIC_KEYS = (
    "label", "description", "owner", "tags", "renamed_from", "deprecated",
    "type", "source", "agg", "measure", "numerator", "denominator", "steps", "order", "quantile", "of", "per",
    "at_least", "more_than", "at_most", "less_than", "min_rows", "missing", "filter",
    "window", "immature", "cap", "covariates", "direction", "format",
)  # fmt: skip
_SOURCE_KEYS = (
    "kind", "description", "table", "sql", "dbt_model", "dialect", "entities", "timestamp", "timezone", "loaded_at",
    "valid_from", "valid_to", "experiment", "arm", "grain", "partition", "settles_after", "filter", "measures",
    "dimensions", "expect",
)  # fmt: skip

Shape = tuple[Any, ...]  # what may stand at a place: annotations of the models, or kinds of definitions


class _Root:
    """The top of a file."""


class _Kind:
    """A map from names to definitions of a kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


ROOT: Shape = (_Root(),)


def inside(shape: Shape, step: str | int, value: object) -> Shape:
    """What may stand at `step` of something of that shape; `value` is what stands there."""
    return tuple(found for part in shape for found in _inside(part, step, value))


def _inside(part: Any, step: str | int, value: object) -> Iterable[Any]:
    if isinstance(part, _Root):
        return [_Kind(str(step))] if step in KINDS else _inside(ProjectSettings, step, value)
    if isinstance(part, _Kind):
        return [_model(part.kind, value)]
    if isinstance(part, type) and issubclass(part, BaseModel):
        fields = (field for name, field in part.model_fields.items() if step == (field.alias or name))
        return [found for field in fields for found in _unwrapped(field.annotation)]
    arguments = get_args(part)
    if get_origin(part) is dict and isinstance(step, str):
        return _unwrapped(arguments[1])
    if get_origin(part) in (tuple, list) and isinstance(step, int):
        return _unwrapped(arguments[0])
    return []


def _model(kind: str, value: object) -> type[BaseModel]:
    if kind != "metrics":
        return MODELS[kind]
    return TYPES.get(str(value.get("type")), Metric) if isinstance(value, dict) else Metric


def _unwrapped(annotation: Any) -> list[Any]:
    """The parts of a union, without the annotations around them."""
    if get_origin(annotation) is Annotated:
        return _unwrapped(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [found for part in get_args(annotation) for found in _unwrapped(part)]
    return [annotation]


def ordered(shape: Shape, keys: Sequence[str]) -> list[int]:
    """Positions of `keys` in the order in which they are written; unknown ones stay behind the others."""
    known = next((order for part in shape if (order := _order(part))), ())
    rank = {key: position for position, key in enumerate(dict.fromkeys(known))}
    return sorted(range(len(keys)), key=lambda i: rank.get(keys[i], len(rank))) if rank else list(range(len(keys)))


def _order(part: Any) -> Sequence[str]:
    if isinstance(part, _Root):
        return (*_fields(ProjectSettings), *KINDS)
    if not (isinstance(part, type) and issubclass(part, BaseModel)):
        return ()
    if part.model_config.get("extra") == "allow":
        return ()  # its keys are names
    if issubclass(part, Metric):
        return (*_METRIC_KEYS, *_fields(part))
    return _SOURCE_KEYS if part is Source else _fields(part)


def _fields(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())
