"""A clean experiment without any effect: users, exposures, orders and visits in DuckDB, from one seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

START = np.datetime64("2026-03-02T00:00:00", "us")
DAYS, BEFORE, AFTER = 28, 14, 8  # of enrolment, and for how long there are events before and after it
AS_OF = "2026-04-07"  # every window is complete and settled
DAY = np.timedelta64(86_400_000_000, "us")
PLATFORMS = np.array(["web", "app", "tv"])


def clean(connection: duckdb.DuckDBPyConnection, units: int, seed: int, *, ramp: bool = False) -> None:
    """Fill the connection's tables with a clean experiment of about `units` users.

    `ramp`: one in ten is treated in the first half of the enrolment, one in two in the second.
    """
    rng = np.random.default_rng([seed, units])
    user = np.array([f"u{i}" for i in range(units)])
    seen = START + _span(rng, units, DAYS)
    late = seen >= START + DAYS // 2 * DAY
    treated = rng.random(units) < (np.where(late, 0.5, 0.1) if ramp else 0.5)
    rate = rng.gamma(1.0, 1.0, units)
    again = rng.random(units) < 0.2
    exposures = {
        "user_id": np.concatenate([user, user[again]]),
        "experiment": np.full(units + again.sum(), "test"),
        "arm": np.where(np.concatenate([treated, treated[again]]), "treatment", "control"),
        "seen_at": np.concatenate([seen, seen[again] + _span(rng, int(again.sum()), 2)]),
        "platform": PLATFORMS[rng.choice(3, units, p=[0.6, 0.3, 0.1])][
            np.concatenate([np.arange(units), np.flatnonzero(again)])
        ],
    }
    _table(connection, "assignments", exposures)
    _table(connection, "users", {"user_id": user, "score": rate + rng.normal(0, 1, units)})
    at, own = _events(rng, rate * 0.06)
    n = len(own)
    orders = {
        "order_id": np.array([f"o{i}" for i in range(n)]),
        "user_id": user[own],
        "ordered_at": at,
        "amount": np.round(rng.lognormal(3, 0.6, n), 2),
        "status": np.where(rng.random(n) < 0.95, "paid", "refunded"),
        "loaded_at": at + (rng.exponential(1 / 24, n) * 86_400_000_000).astype("timedelta64[us]"),
    }
    _table(connection, "orders", orders)
    at, own = _events(rng, 0.05 + rate * 0.1)
    page = np.where(rng.random(len(own)) < 0.3, "checkout", "shop")
    _table(connection, "visits", {"user_id": user[own], "visited_at": at, "page": page})


def _span(rng: np.random.Generator, n: int, days: float) -> np.ndarray[Any, Any]:
    """Times within some days."""
    return (rng.random(n) * days * 86_400_000_000).astype("timedelta64[us]")


def _events(rng: np.random.Generator, rate: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Events of every user at a rate per day, whatever the exposure, until as-of: their times and users."""
    days = BEFORE + DAYS + AFTER
    own = np.repeat(np.arange(len(rate)), rng.poisson(rate * days))
    return START - BEFORE * DAY + _span(rng, len(own), days), own


def _table(connection: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, np.ndarray[Any, Any]]) -> None:
    rows = pa.table({key: pa.array(values) for key, values in columns.items()})
    connection.register("incoming", rows)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
    connection.unregister("incoming")
