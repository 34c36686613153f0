"""What the suite needs of an engine: tables to be filled, and a profile to reach it with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from oracle.reading import Table

from metricdef.warehouses import Profile


class Engine(Protocol):
    """A running engine with one set of tables."""

    name: str
    cases: int  # how many generated cases it runs

    def fill(self, tables: Mapping[str, Table]) -> None:
        """Replace all tables. Kinds of columns are text, integer, double, timestamp (UTC, no zone), boolean, decimal (12, 2)
        and instant (a timestamp with a zone)."""

    def profile(self, **options: Any) -> Profile:
        """How metricdef reaches it."""

    def stop(self) -> None:
        """Give everything back."""
