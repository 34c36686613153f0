"""Builds small projects by hand, for tests whose numbers are worked out by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from .oracle import Case, Result, Table

T0 = datetime(2026, 3, 2, 12)
DAY = timedelta(days=1)
US = timedelta(microseconds=1)
LATE = datetime(2026, 5, 1)

EXPOSURE_COLUMNS = {
    "user_id": "text",
    "exposed_at": "timestamp",
    "experiment_key": "text",
    "variant": "text",
    "platform": "text",
    "is_bot": "boolean",
    "score": "integer",
    "ingested_at": "timestamp",
    "school_id": "text",
}
ORDER_COLUMNS = {
    "buyer_id": "text",
    "ordered_at": "timestamp",
    "amount": "double",
    "discount": "double",
    "qty": "integer",
    "status": "text",
    "product": "text",
    "is_test": "boolean",
    "ingested_at": "timestamp",
}
SESSION_COLUMNS = {
    "user_id": "text",
    "started_at": "timestamp",
    "pages": "integer",
    "duration": "double",
    "device": "text",
}
USER_COLUMNS = {
    "id": "text",
    "age": "integer",
    "tier": "text",
    "is_employee": "boolean",
    "valid_from": "timestamp",
    "valid_to": "timestamp",
}


def seen(unit: str | None, arm: str | None = "control", at: datetime | None = T0, **more: Any) -> dict[str, Any]:
    return {"user_id": unit, "exposed_at": at, "experiment_key": "checkout", "variant": arm, **more}


def order(unit: str | None, at: datetime | None, amount: float | None = 1.0, **more: Any) -> dict[str, Any]:
    return {"buyer_id": unit, "ordered_at": at, "amount": amount, **more}


def session(unit: str | None, at: datetime | None, pages: int | None = 1, **more: Any) -> dict[str, Any]:
    return {"user_id": unit, "started_at": at, "pages": pages, **more}


def small(
    metrics: dict[str, Any],
    exposures: list[dict[str, Any]],
    orders: list[dict[str, Any]] | None = None,
    users: list[dict[str, Any]] | None = None,
    as_of: datetime = LATE,
    defaults: dict[str, Any] | None = None,
    sources: dict[str, dict[str, Any]] | None = None,
    segments: dict[str, Any] | None = None,
    sessions: list[dict[str, Any]] | None = None,
    **experiment: Any,
) -> Case:
    """A project over exposures, orders and users; `sources` adds fields to a source, the rest to the experiment."""
    definitions: dict[str, dict[str, Any]] = {
        "project.yml": {
            "version": 1,
            "name": "shop",
            "entities": ["user", "school"],
            "defaults": {"unit": "user", **(defaults or {})},
            "profiles": {"local": {"type": "duckdb", "path": "warehouse.duckdb"}},
        },
        "sources.yml": {
            "sources": {
                "assignments": {
                    "kind": "exposures",
                    "table": "exposure_log",
                    "timestamp": "exposed_at",
                    "entities": {"user": "user_id"},
                    "experiment": "experiment_key",
                    "arm": "variant",
                    "dimensions": ["platform", "is_bot", "score"],
                },
                "orders": {
                    "table": "fct_orders",
                    "timestamp": "ordered_at",
                    "entities": {"user": "buyer_id"},
                    "measures": {"amount": "amount", "net": "amount - discount", "product": "product"},
                },
                "returns": {
                    "table": "fct_orders",
                    "timestamp": "ordered_at",
                    "entities": {"user": "buyer_id"},
                    "settles_after": "3d",
                },
                "sessions": {
                    "table": "fct_sessions",
                    "timestamp": "started_at",
                    "entities": {"user": "user_id"},
                    "measures": {"pages": "pages"},
                },
                "users": {
                    "kind": "attributes",
                    "table": "dim_users",
                    "entities": {"user": "id"},
                    "dimensions": ["age", "tier"],
                },
            },
            "segments": segments or {},
        },
        "metrics.yml": {"metrics": metrics},
        "experiment.yml": {
            "experiments": {
                "checkout": {
                    "owners": ["growth"],
                    "status": "running",
                    "hypothesis": "It changes something.",
                    "exposure": {"source": "assignments"},
                    "arms": {"control": {"share": "50%"}, "treatment": {"share": "50%"}},
                    "start": "2026-03-01",
                    "end": "2026-03-29",
                    "metrics": {"primary": {name: {"mde": "2%"} for name in metrics}},
                    **experiment,
                }
            }
        },
    }
    for name, more in (sources or {}).items():
        definitions["sources.yml"]["sources"][name].update(more)
    tables = {
        "exposure_log": Table(EXPOSURE_COLUMNS, exposures),
        "fct_orders": Table(ORDER_COLUMNS, orders or []),
        "fct_sessions": Table(SESSION_COLUMNS, sessions or []),
        "dim_users": Table(USER_COLUMNS, users or []),
    }
    return Case(definitions, "checkout", tables, as_of)


def value(result: Result, metric: str, unit: str, column: str = "y") -> float:
    return float(result.values[metric][unit][column])


REVENUE = {"type": "mean", "source": "orders", "agg": "sum", "measure": "amount"}
COUNT = {"type": "mean", "source": "orders", "agg": "count"}
BUYERS = {"type": "proportion", "source": "orders"}
