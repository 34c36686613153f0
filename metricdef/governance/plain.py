"""Definitions as plain data in one spelling: how they are written in YAML and SQL makes no difference, what they mean does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sqlglot
from pydantic import BaseModel
from sqlglot.errors import TokenError

from metricdef.definitions.expressions import READ_DIALECT
from metricdef.governance.chain import canonical
from metricdef.metrics.fields import MICROSECONDS, Duration, Instant, Percentile, Size, Window

# Words whose case means nothing; none of them could be the name of a column. Fingerprints depend on this list.
_KEYWORD = re.compile(
    "ALL|AND|AS|ASC|BETWEEN|BY|CASE|CAST|CROSS|DESC|DISTINCT|ELSE|END|EXISTS|FALSE|FROM|FULL|GROUP|HAVING|ILIKE|IN|INNER|"
    "INTERSECT|IS|JOIN|LEFT|LIKE|NOT|NULL|ON|OR|ORDER|OUTER|OVER|PARTITION|QUALIFY|RIGHT|SELECT|THEN|TRUE|UNION|USING|"
    "WHEN|WHERE|WITH",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STEP = re.compile(r"[A-Za-z0-9_]+")


@lru_cache(maxsize=4096)
def normal_sql(text: str, dialect: str | None = None) -> str:
    """SQL with one space between tokens, no comments, keywords and functions in capitals. Names stay as they are.

    The parser only says where tokens begin and end, so that its next version says the same.
    """
    try:
        tokens = sqlglot.tokenize(text, read=dialect or READ_DIALECT)
    except TokenError:
        return " ".join(text.split())  # reported where it stands
    pieces = [piece for token in tokens for piece in _words(text[token.start : token.end + 1])]
    while pieces and pieces[-1] == ";":
        pieces.pop()
    return " ".join(_spelled(piece, after) for piece, after in zip(pieces, [*pieces[1:], ""], strict=True))


def plain(value: object, dialects: Mapping[str, str | None]) -> Any:
    """A definition, or a value in one, as what JSON holds. Fields at their defaults are left out.

    `dialects` has that of each source's SQL, None for the portable subset.
    """
    if isinstance(value, BaseModel):
        own = getattr(value, "dialect", None) or dialects.get(getattr(value, "source", ""))
        return {key: _field(key, item, own, dialects) for key, item in _stated(value)}
    if isinstance(value, Mapping):
        if all(_STEP.fullmatch(str(key)) for key in value):
            return {str(key): plain(item, dialects) for key, item in value.items()}
        return canonical(value)
    if isinstance(value, list | tuple):
        return [plain(item, dialects) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return _spelled_value(value) if isinstance(value, _SPELLED) else value


def _stated(model: BaseModel) -> Iterator[tuple[str, Any]]:
    """Fields that are not at their defaults, by the name that YAML has for them."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if value is not None and value != field.get_default(call_default_factory=True):
            yield field.alias or name, value


def _field(key: str, value: Any, dialect: str | None, dialects: Mapping[str, str | None]) -> Any:
    match key:
        case "filter":  # conditions that must all hold
            return sorted(normal_sql(text, dialect) for text in value)
        case "measures" | "dimensions":
            return {name: normal_sql(text, dialect) for name, text in value.items()}
        case "sql":
            return normal_sql(value, dialect)
        case "ramp" | "steps":  # maps from position, so that a change has a path
            return {str(position): plain(item, dialects) for position, item in enumerate(value)}
    return plain(value, dialects)


_SPELLED = (Duration, Window, Size, Percentile, Instant, Fraction)


def _spelled_value(value: object) -> str | int | float:
    match value:
        case Duration():
            return _duration(value.microseconds)
        case Window(kind="span"):
            end = _duration(value.end or 0)
            return f"{_duration(value.start)}..{end}" if value.start else end
        case Window(kind="last"):
            return f"last {_duration(value.end or 0)}"
        case Size(kind="absolute"):
            return int(value.value) if value.value.is_integer() else value.value
        case Size():
            return f"{value.value * 100:.12g}{'%' if value.kind == 'relative' else 'pp'}"
        case Percentile():
            return f"p{value.fraction * 100:.12g}"
        case Instant():
            return value.day.isoformat() if value.day else f"{value.at('UTC').astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        case Fraction():
            percent = value * 100
            return f"{float(percent):.12g}%" if (percent * 10**6).denominator == 1 else str(value)
    return str(getattr(value, "text", value))


def _duration(microseconds: int) -> str:
    """In the longest unit, up to days, that divides it."""
    unit = next(u for u in ("d", "h", "m") if microseconds % MICROSECONDS[u] == 0)
    return f"{microseconds // MICROSECONDS[unit]}{unit}"


def _words(piece: str) -> list[str]:
    """Several words may be one token, such as GROUP BY."""
    words = piece.split()
    return words if all(_WORD.fullmatch(word) for word in words) else [piece]


def _spelled(piece: str, after: str) -> str:
    is_word = _WORD.fullmatch(piece) is not None
    return piece.upper() if is_word and (after == "(" or _KEYWORD.fullmatch(piece)) else piece
