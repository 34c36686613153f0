"""One small adapter per engine: read-only connection, execution, Arrow results, schema. No statistics, no YAML."""

from __future__ import annotations

from metricdef.warehouses.base import Session, Warehouse
from metricdef.warehouses.profile import Profile, resolve_profile


def connect(profile: Profile, session: Session = Session()) -> Warehouse:  # noqa: B008 - immutable
    """Open a read-only connection. Raises UsageError or WarehouseUnavailable."""
    if profile.type == "duckdb":
        from metricdef.warehouses.duckdb import DuckDBWarehouse

        return DuckDBWarehouse.open(profile, session)
    if profile.type == "postgres":
        from metricdef.warehouses.postgres import PostgresWarehouse

        return PostgresWarehouse.open(profile, session)
    if profile.type == "snowflake":
        from metricdef.warehouses.snowflake import SnowflakeWarehouse

        return SnowflakeWarehouse.open(profile, session)
    if profile.type == "spark":
        from metricdef.warehouses.spark import SparkWarehouse

        return SparkWarehouse.open(profile, session)
    if profile.type == "clickhouse":
        from metricdef.warehouses.clickhouse import ClickHouseWarehouse

        return ClickHouseWarehouse.open(profile, session)
    raise AssertionError(profile.type)  # resolve_profile has refused others


__all__ = ["Profile", "Session", "Warehouse", "connect", "resolve_profile"]
