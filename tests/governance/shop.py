"""An experiment that uses every kind of definition, as plain data that tests change."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from projects import write_definitions

from metricdef.api import Project

PROJECT: dict[str, Any] = {
    "version": 1,
    "name": "shop",
    "entities": ["user", "store"],
    "defaults": {"unit": "user", "window": "14d", "timezone": "UTC", "covariates": {"lookback": "7d"}},
    "profiles": {"local": {"type": "duckdb", "path": "warehouse.duckdb"}},
}

SHOP: dict[str, Any] = {
    "sources": {
        "assignments": {
            "kind": "exposures",
            "table": "assignments",
            "timestamp": "happened_at",
            "entities": {"user": "user_id", "store": "store_id"},
            "experiment": "experiment",
            "arm": "arm",
            "dimensions": ["platform", "city"],
        },
        "orders": {
            "description": "Order lines.",
            "table": "orders",
            "timestamp": "happened_at",
            "entities": {"user": "user_id"},
            "filter": "not is_test",
            "settles_after": "2d",
            "measures": {"amount": "amount - discount", "product": "product"},
            "dimensions": {"status": "status", "paid": "case when status = 'paid' then 1 else 0 end"},
        },
        "visits": {
            "sql": "select user_id, started_at, page, seconds from sessions where not is_bot -- people",
            "timestamp": "started_at",
            "entities": {"user": "user_id"},
            "measures": {"seconds": "seconds"},
        },
        "users": {
            "kind": "attributes",
            "table": "users",
            "entities": {"user": "user_id"},
            "valid_from": "recorded_at",
            "dimensions": ["age", "country"],
        },
    },
    "segments": {"adults": {"source": "users", "filter": "age >= 18", "description": "Of age."}},
    "metrics": {
        "buyers": {"type": "proportion", "source": "orders", "filter": "paid = 1", "direction": "increase"},
        "revenue": {
            "type": "mean",
            "source": "orders",
            "agg": "sum",
            "measure": "amount",
            "cap": {"upper": "p99.5"},
            "direction": "increase",
        },
        "order_count": {"type": "mean", "source": "orders", "agg": "count", "direction": "increase"},
        "order_value": {
            "type": "ratio",
            "numerator": "revenue",
            "denominator": "order_count",
            "direction": "increase",
            "label": "Order value",
        },
        "refund_rate": {
            "type": "ratio",
            "numerator": {"source": "orders", "agg": "count", "filter": ["status = 'refunded'", "amount > 0"]},
            "denominator": "order_count",
            "direction": "decrease",
            "format": "percent",
        },
        "page_views": {"type": "mean", "source": "visits", "agg": "count", "direction": "increase"},
        "minutes": {
            "type": "threshold",
            "source": "visits",
            "agg": "sum",
            "measure": "seconds",
            "at_least": 60,
            "window": "7d",
            "direction": "increase",
        },
    },
    "metric_sets": {"health": {"guardrail": {"refund_rate": {"margin": "0.5pp"}}}},
    "experiments": {
        "checkout": {
            "label": "Checkout",
            "owners": ["growth"],
            "status": "running",
            "hypothesis": "One page instead of three.",
            "exposure": {
                "source": "assignments",
                "mixed": "first_arm",
                "filter": "platform = 'web'",
                "trigger": {"source": "visits", "filter": "page = 'cart'"},
            },
            "population": ["adults"],
            "arms": {"control": {"share": "50%", "key": "old"}, "new": {"share": "50%", "description": "One page."}},
            "ramp": [
                {"from": "2026-01-01", "shares": {"control": "90%", "new": "10%"}},
                {"from": "2026-01-08", "shares": {"control": "50%", "new": "50%"}},
            ],
            "start": "2026-01-01",
            "end": "2026-02-01",
            "metrics": {
                "primary": {"buyers": {"mde": "2%"}},
                "secondary": {"page_views": None, "order_value": {"mde": "3%"}},
                "sets": ["health"],
            },
            "analysis": {"strata": ["platform"], "breakdowns": ["city"], "covariates": {"lookback": "14d", "extra": ["minutes", "users.age"]}},
            "decision": {"practical": {"buyers": "0.1pp"}},
        }
    },
}  # fmt: skip


def changed(tree: dict[str, Any], path: Sequence[str | int], value: object) -> dict[str, Any]:
    """A copy with one value set, or removed where it is None."""
    whole = copy.deepcopy(tree)
    at: Any = whole
    for step in path[:-1]:
        at = at.setdefault(step, {}) if isinstance(at, dict) else at[step]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return whole


def write_shop(root: Path, shop: dict[str, Any] = SHOP, project: dict[str, Any] = PROJECT) -> Project:
    """The project on disk, loaded; it must have no errors."""
    documents = [{kind: shop[kind]} for kind in shop]
    write_definitions(root, *documents, project=project)
    found = Project(root)
    assert not found.loaded.errors, found.loaded.errors
    return found
