"""Small projects for tests: YAML in, a DuckDB file beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml
from databases import filling

PROJECT = {
    "version": 1,
    "name": "tests",
    "entities": ["user"],
    "lint": {"not-locked": "off"},  # the experiments of tests are over, and locked only where that is what is tested
    "profiles": {"local": {"type": "duckdb", "path": "warehouse.duckdb"}},
}


class _Dumper(yaml.SafeDumper):
    """Writes a value out wherever it stands: definitions have no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def write_definitions(root: Path, *documents: Mapping[str, object], project: Mapping[str, object] = PROJECT) -> Path:
    """One file per document under root/metrics; returns root."""
    folder = root / "metrics"
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in (("project", project), *((f"part_{i}", d) for i, d in enumerate(documents))):
        (folder / f"{name}.yml").write_text(yaml.dump(document, Dumper=_Dumper, sort_keys=False), encoding="utf-8")
    return root


def write_warehouse(root: Path, *statements: str) -> None:
    """A DuckDB file at root/warehouse.duckdb, filled by SQL."""
    with filling(root / "warehouse.duckdb") as connection:
        for statement in statements:
            connection.execute(statement)


SOURCES = {
    "sources": {
        "assignments": {
            "kind": "exposures",
            "table": "assignments",
            "timestamp": "happened_at",
            "entities": {"user": "user_id"},
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
    }
}

METRICS = {
    "metrics": {
        "buyers": {"type": "proportion", "source": "orders", "direction": "increase"},
        "revenue": {"type": "mean", "source": "orders", "agg": "sum", "measure": "amount", "direction": "increase"},
        "orders_per_user": {"type": "mean", "source": "orders", "agg": "count", "direction": "increase"},
        "order_value": {
            "type": "ratio",
            "numerator": "revenue",
            "denominator": "orders_per_user",
            "direction": "increase",
        },
        "refunds": {
            "type": "proportion",
            "source": "orders",
            "filter": "status = 'refunded'",
            "direction": "decrease",
        },
    }
}

TABLES = (
    "CREATE TABLE assignments (user_id VARCHAR, experiment VARCHAR, arm VARCHAR, happened_at TIMESTAMP, platform VARCHAR)",
    "CREATE TABLE orders (user_id VARCHAR, happened_at TIMESTAMP, amount DOUBLE, product VARCHAR, status VARCHAR)",
)


def experiment(**changes: object) -> dict[str, object]:
    """A two-arm experiment in January 2026, changed by `changes`."""
    protocol: dict[str, object] = {
        "owners": ["team"],
        "status": "stopped",
        "hypothesis": "It works.",
        "exposure": {"source": "assignments", "key": "test"},
        "arms": {"control": {"share": "50%"}, "treatment": {"share": "50%"}},
        "start": "2026-01-01",
        "end": "2026-02-01",
        "metrics": {"primary": {"buyers": {"mde": "2%"}}, "secondary": {"revenue": None, "order_value": None}},
    }
    return {"experiments": {"test": {**protocol, **changes}}}


def of_a_file(readout):
    """The document as exported rows give it: nobody knows where they were read."""
    return replace(readout, provenance={**readout.provenance, "place": None}).to_json()
