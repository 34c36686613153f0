"""The cumulative estimates of every day."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metricdef.analysis.observed import View
from metricdef.analysis.settings import Settings


def daily_series(view: View, settings: Settings) -> Iterator[dict[str, Any]]:
    """Nothing yet."""
    return iter(())
