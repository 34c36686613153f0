"""A small world for the tests of rules: rows in Python, definitions in YAML, a readout out of DuckDB.

Amounts are powers of two wherever rows must be told apart: the sum then says which of them were counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import duckdb
import pyarrow as pa
from databases import filling
from projects import PROJECT, experiment, write_definitions

from metricdef.analysis.readout import EstimateRow, HealthRow, Readout
from metricdef.api import Project

MICRO, HOUR, DAY = timedelta(microseconds=1), timedelta(hours=1), timedelta(days=1)
START, END = datetime(2026, 1, 1), datetime(2026, 2, 1)
T0 = datetime(2026, 1, 5, 12)  # when units are exposed, unless a test says otherwise
LATE = "2026-06-01"  # an as-of at which every window is complete

Row = tuple[object, ...]


def exposure(
    unit: object,
    arm: str | None = "control",
    at: datetime | str | None = T0,
    *,
    platform: str | None = None,
    shop: str | None = None,
    loaded: datetime | None = datetime(2026, 1, 1),
    key: str | None = "test",
) -> Row:
    return unit, key, arm, at, platform, shop, loaded


def order(
    unit: object,
    at: datetime | str | None = T0 + HOUR,
    amount: float | None = 1.0,
    *,
    product: str | None = None,
    status: str | None = "paid",
    loaded: datetime | None = datetime(2026, 1, 1),
) -> Row:
    return unit, at, amount, product, status, loaded


def visit(unit: object, at: datetime | str = T0 + HOUR, page: str | None = "home") -> Row:
    return unit, at, page


def user(
    unit: object,
    *,
    tier: str | None = None,
    age: float | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Row:
    return unit, tier, age, since, until


SOURCES: dict[str, dict[str, Any]] = {
    "assignments": {
        "kind": "exposures",
        "table": "assignments",
        "timestamp": "happened_at",
        "entities": {"user": "user_id", "shop": "shop_id"},
        "experiment": "experiment",
        "arm": "arm",
        "dimensions": ["platform"],
    },
    "orders": {
        "table": "orders",
        "timestamp": "happened_at",
        "entities": {"user": "user_id"},
        "measures": {"amount": "amount", "product": "product"},
        "dimensions": ["status"],
    },
    "visits": {
        "table": "visits",
        "timestamp": "happened_at",
        "entities": {"user": "user_id"},
        "measures": {"page": "page"},
        "dimensions": ["page"],
    },
    "users": {
        "kind": "attributes",
        "table": "users",
        "entities": {"user": "user_id"},
        "valid_from": "valid_from",
        "valid_to": "valid_to",
        "dimensions": ["tier", "age"],
    },
}

TABLES = {
    "assignments": "user_id VARCHAR, experiment VARCHAR, arm VARCHAR, happened_at TIMESTAMP, platform VARCHAR, shop_id VARCHAR, loaded_at TIMESTAMP",
    "orders": "user_id VARCHAR, happened_at TIMESTAMP, amount DOUBLE, product VARCHAR, status VARCHAR, loaded_at TIMESTAMP",
    "visits": "user_id VARCHAR, happened_at TIMESTAMP, page VARCHAR",
    "users": "user_id VARCHAR, tier VARCHAR, age DOUBLE, valid_from TIMESTAMP, valid_to TIMESTAMP",
}

SUM = {"type": "mean", "source": "orders", "agg": "sum", "measure": "amount", "direction": "increase"}
COUNT = {"type": "mean", "source": "orders", "agg": "count", "direction": "increase"}
ANY = {"type": "proportion", "source": "orders", "direction": "increase"}


@dataclass(frozen=True)
class Seen:
    """A readout with short ways to its figures. Figures of an arm are those of the estimates' first row with it."""

    readout: Readout

    def row(
        self, metric: str = "m", level: tuple[str, str | None] | None = None, arm: str = "treatment"
    ) -> EstimateRow:
        segment = dict([level]) if level else None
        return next(r for r in self.readout.estimates if (r.metric, r.segment, r.arm) == (metric, segment, arm))

    def value(self, arm: str = "control", metric: str = "m", level: tuple[str, str | None] | None = None) -> float:
        row = self.row(metric, level, "treatment" if arm == "control" else arm)
        found = row.baseline_value if arm == row.baseline else row.arm_value
        assert found is not None, row.reason
        return found

    def units(self, arm: str = "control", metric: str = "m", level: tuple[str, str | None] | None = None) -> int:
        row = self.row(metric, level, "treatment" if arm == "control" else arm)
        return row.units[0 if arm == row.baseline else 1]

    def total(self, arm: str = "control", metric: str = "m") -> float:
        return round(self.value(arm, metric) * self.units(arm, metric), 6)

    def arm(self, name: str = "control"):
        return next(row for row in self.readout.arms if row.arm == name)

    def health(self, check: str) -> HealthRow:
        return next(row for row in self.readout.health if row.check == check)

    @property
    def excluded(self) -> dict[str, int]:
        return self.readout.excluded_units

    def moments(
        self,
        arm: str = "control",
        column: str = "m",
        segment: dict[str, str | None] | None = None,
        epoch: int | None = None,
    ) -> dict[str, Any]:
        """The figures of one column: n, mean, var, third, max_abs, nonzero, capped, centre, block."""
        for row in self.readout.moments:
            if (row["arm"], row["segment"], row["epoch"]) == (arm, segment, epoch) and column in row["columns"]:
                i = row["columns"].index(column)
                found = {key: row[key][i] for key in ("centre", "mean", "third", "max_abs", "nonzero", "capped")}
                return found | {"n": row["n"], "block": row["block"], "var": row["cov"] and row["cov"][i][i]}
        raise KeyError(column, [row["columns"] for row in self.readout.moments])


def changed(source: str, **changes: object) -> dict[str, dict[str, Any]]:
    """The sources with one of them changed; None removes a key."""
    return {**SOURCES, source: {k: v for k, v in {**SOURCES[source], **changes}.items() if v is not None}}


def defaults(**changes: object) -> dict[str, object]:
    """project.yml with these defaults."""
    return {**PROJECT, "entities": ["user", "shop"], "defaults": {"unit": "user", **changes}}


def build(
    root: Path,
    metrics: Mapping[str, object],
    exposures: Iterable[Row] = (),
    *,
    orders: Sequence[Row] = (),
    visits: Sequence[Row] = (),
    users: Sequence[Row] = (),
    statements: Sequence[str] = (),
    sources: Mapping[str, object] = SOURCES,
    segments: Mapping[str, object] | None = None,
    project: Mapping[str, object] | None = None,
    role: str = "secondary",
    named: Mapping[str, object] | None = None,
    **protocol: object,
) -> Project:
    """A project of its own below root. All `metrics` have `role`, unless `named` says which have which."""
    folder = Path(mkdtemp(dir=root))
    documents: list[dict[str, object]] = [{"sources": sources}, {"metrics": metrics}]
    if segments:
        documents.append({"segments": segments})
    targets = {"secondary": None, "primary": {"mde": "5%"}, "guardrail": {"margin": "5%"}}[role]
    protocol["metrics"] = named or {role: dict.fromkeys(metrics, targets)}
    write_definitions(folder, *documents, experiment(**protocol), project=project or defaults())
    with filling(folder / "warehouse.duckdb") as connection:
        rows = {"assignments": list(exposures), "orders": orders, "visits": visits, "users": users}
        for table, columns in TABLES.items():
            connection.execute(f"CREATE TABLE {table} ({columns})")
            if rows[table]:
                _insert(connection, table, rows[table])
        for statement in statements:
            connection.execute(statement)
    return Project(folder)


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row]) -> None:
    """Insert all rows at once, as text that the engine casts: row by row takes seconds."""
    columns = [[None if x is None else str(x) for x in column] for column in zip(*rows, strict=True)]
    incoming = pa.table([pa.array(c, pa.string()) for c in columns], names=[f"c{i}" for i in range(len(columns))])
    connection.register("incoming", incoming)
    connection.execute(f"INSERT INTO {table} SELECT * FROM incoming")


def see(
    root: Path, metric: Mapping[str, object], exposures: Iterable[Row], *, as_of: str | datetime = LATE, **world: Any
) -> Seen:
    """Run one metric, named `m`, or several by name."""
    metrics = {"m": metric} if "type" in metric else metric
    rows = list(exposures)
    return Seen(build(root, metrics, rows, **world).run("test", as_of=as_of))


def rules(project: Project) -> set[str]:
    """What `check` complains about."""
    return {d.rule for d in project.check()}
