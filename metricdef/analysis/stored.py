"""Readouts that were written to files, read back."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from metricdef.analysis.readout import SCHEMA, Readout
from metricdef.errors import UsageError

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def read_readout(path: Path) -> Readout:
    """The readout in a JSON file, as `run -o` wrote it. Fields that this version doesn't know are left out.

    Raises UsageError where the file holds no readout, or one of another version of the document.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise UsageError(f"{path} is no readout of this version: its `schema` is {found!r}, not {SCHEMA!r}")
    try:
        return _adapter().validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path} is an incomplete readout: {where}: {first['msg']}") from None


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Readout]:
    from pydantic import TypeAdapter

    return TypeAdapter(Readout)
