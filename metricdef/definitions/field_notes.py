"""What the editor says of every field: texts, examples, and of which kind the names are that stand there."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

_NOTES = Path(__file__).parent / "field_notes.yml"


@cache
def field_notes() -> dict[str, dict[str, dict[str, Any]]]:
    """Notes by model and field."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    notes: dict[str, dict[str, dict[str, Any]]] = yaml.load(_NOTES.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - safe
    return notes
