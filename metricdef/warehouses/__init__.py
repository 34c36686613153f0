"""One small adapter per engine: read-only connection, execution, Arrow results, schema. No statistics, no YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metricdef.errors import UsageError
from metricdef.warehouses.base import Warehouse
from metricdef.warehouses.profile import Profile, resolve_profile

ENGINES = ("duckdb",)


def connect(profile: Profile) -> Warehouse:
    """Open a read-only connection. Raises UsageError or WarehouseUnavailable."""
    if profile.type == "duckdb":
        from metricdef.warehouses.duckdb import DuckDBWarehouse

        return DuckDBWarehouse.open(profile)
    raise UsageError(
        f"profile `{profile.name}`: running on {profile.type} is not possible yet",
        ["`metricdef compile` writes the SQL for it; run on a duckdb profile with `--profile`"],
    )


def open_profile(
    name: str | None, profiles: Mapping[str, Mapping[str, Any]], default: str | None, root: Path
) -> Profile:
    """The profile of that name, or the project's default, with its variables filled in."""
    return resolve_profile(name, profiles, default, root)


__all__ = ["ENGINES", "Profile", "Warehouse", "connect", "open_profile"]
