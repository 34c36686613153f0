"""Checks of bayes.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

CHECKS: Mapping[str, Callable[[Any], None]] = {}
