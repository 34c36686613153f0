"""The generated world of the re-randomised experiments, their definitions, and how units get their arms.

The design is repeated: every unit by itself, by shares that change (a ramp), or whole shops (clusters).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import yaml

from metricdef.api import Project

UNITS = 2000
SHOPS = 60
MARGIN = 0.05
ALPHA = 0.05  # two-sided
LOOKS = ("2026-01-09", "2026-01-14", "2026-01-19", "2026-01-24", "2026-01-29")
STEP = "2026-01-09"  # of the ramp
EARLY, LATER = 0.2, 0.5  # shares of the treatment before and after it


@dataclass(frozen=True, slots=True)
class Truth:
    """True relative effects, the rates that must stay below a bound under them, and the designs that are run."""

    name: str
    primary: float
    guardrail: float
    bounds: Mapping[str, float]
    designs: tuple[str, ...]


PLAIN = ("fixed", "group_sequential")
TRUTHS = (
    Truth(
        "no effect",
        0.0,
        0.0,
        {"a primary metric superior": ALPHA, "ship": ALPHA / 2, "stop": ALPHA},
        ("fixed", "group_sequential", "hybrid", "ramp", "clusters"),
    ),
    Truth("primaries far superior, the guardrail at its margin", 0.6, -MARGIN, {"ship": ALPHA / 2}, PLAIN),
    Truth("primaries without effect, the guardrail better", 0.0, 0.3, {"ship": ALPHA / 2}, PLAIN),
)


@dataclass(frozen=True, slots=True)
class Design:
    """How an experiment is read, who gets which arm (a column of `arms`), and what its protocol says of that."""

    sequential: Mapping[str, Any] | None
    arm: str = "arm"
    protocol: Mapping[str, Any] = field(default_factory=dict)


_DAYS = ["8d", "13d", "18d", "23d", "28d"]
_GROUP = {"method": "group_sequential", "spending": "pocock", "looks": _DAYS}
_STEPS = (("2026-01-01", EARLY), (STEP, LATER))
DESIGNS = {
    "fixed": Design(None),
    "group_sequential": Design(_GROUP),
    "hybrid": Design(
        {"method": "hybrid", "looks": _DAYS, "anytime_alpha": "1%", "final_alpha": "4%", "planned_units": UNITS}
    ),
    "ramp": Design(
        _GROUP,
        "ramp_arm",
        {
            "exposure": {"source": "entered", "assignment": "sticky"},
            "ramp": [
                {"from": at, "shares": {"control": f"{1 - share:.0%}", "treatment": f"{share:.0%}"}}
                for at, share in _STEPS
            ],
        },
    ),
    "clusters": Design(_GROUP, "shop_arm", {"cluster": "shop"}),
}


def definitions(design: Design, truth: Truth) -> dict[str, Any]:
    """The project: two primary metrics that are correlated, one of them adjusted and capped, and a guardrail."""
    changed = ", ".join(
        f"o.{name} * CASE a.{design.arm} WHEN 'treatment' THEN {1 + effect!r} ELSE 1.0 END AS {name}"
        for name, effect in (("amount", truth.primary), ("visits", truth.primary), ("speed", truth.guardrail))
    )
    sources = {
        "entered": {
            "kind": "exposures",
            "sql": f"SELECT e.user_id, e.shop_id, e.entered_at, 'test' AS experiment, a.{design.arm} AS arm FROM entries AS e"
            " INNER JOIN arms AS a ON a.user_id = e.user_id",
            "timestamp": "entered_at",
            "entities": {"user": "user_id", "shop": "shop_id"},
            "experiment": "experiment",
            "arm": "arm",
        },
        "orders": {
            "sql": f"SELECT o.user_id, o.happened_at, {changed} FROM orders AS o INNER JOIN entries AS e ON e.user_id = o.user_id"
            " INNER JOIN arms AS a ON a.user_id = o.user_id WHERE o.happened_at >= e.entered_at"
            " UNION ALL SELECT o.user_id, o.happened_at, o.amount, o.visits, o.speed FROM orders AS o"
            " INNER JOIN entries AS e ON e.user_id = o.user_id WHERE o.happened_at < e.entered_at",
            "timestamp": "happened_at",
            "entities": {"user": "user_id"},
            "measures": {"amount": "amount", "visits": "visits", "speed": "speed"},
        },
    }
    mean = {"type": "mean", "source": "orders", "agg": "sum", "window": "3d", "direction": "increase"}
    metrics = {
        "amount": {**mean, "measure": "amount", "cap": {"upper": 60}, "covariates": {"lookback": "14d"}},
        "visits": {**mean, "measure": "visits"},
        "speed": {**mean, "measure": "speed"},
    }
    experiment = {
        "owners": ["benchmarks"],
        "status": "stopped",
        "hypothesis": "None.",
        "unit": "user",
        "exposure": {"source": "entered"},
        "arms": {"control": {"share": "50%"}, "treatment": {"share": "50%"}},
        "start": "2026-01-01",
        "end": "2026-01-26",
        "metrics": {
            "primary": {"amount": {"mde": "5%"}, "visits": {"mde": "5%"}},
            "guardrail": {"speed": {"margin": f"{MARGIN:.0%}"}},
        },
        "analysis": {"sequential": dict(design.sequential)} if design.sequential else {},
        **design.protocol,
    }
    return {"sources": sources, "metrics": metrics, "experiments": {"test": experiment}}


def write_project(folder: Path, design: Design, truth: Truth) -> Project:
    """The project in `folder`."""
    settings = {
        "version": 1,
        "name": "rerandomisation",
        "entities": ["user", "shop"],
        "profiles": {"local": {"type": "duckdb", "path": "no.duckdb"}},
    }
    (folder / "metrics").mkdir(parents=True)
    for name, content in (("project", settings), ("all", definitions(design, truth))):
        (folder / "metrics" / f"{name}.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return Project(folder)


def fill(connection: duckdb.DuckDBPyConnection, units: int, rng: np.random.Generator) -> None:
    """Units that enter over 25 days, and their skewed orders before and after; arms come with every replication.

    Shops differ in their size and in what their customers spend.
    """
    entered = rng.uniform(0, 25, units)
    size = rng.gamma(2.0, 1.0, SHOPS)
    shop = rng.choice(SHOPS, units, p=size / size.sum())
    habit = (
        rng.gamma(2.0, 0.5, units) * rng.gamma(20.0, 0.05, SHOPS)[shop]
    )  # what links a unit's orders before and after, and its measures
    owner = np.repeat(np.arange(units), rng.poisson(1 + 4 * habit))
    start = np.datetime64("2026-01-01", "us")
    tables = {
        "entries": {
            "user_id": _names(np.arange(units)),
            "shop_id": _names(shop),
            "entered_at": start + _microseconds(entered),
        },
        "orders": {
            "user_id": _names(owner),
            "happened_at": start + _microseconds(entered[owner] + rng.uniform(-14, 3, owner.size)),
            "amount": rng.lognormal(2, 0.8, owner.size) * habit[owner],
            "visits": 1.0 + rng.poisson(habit[owner]),
            "speed": rng.gamma(4.0, 1.0, owner.size),
        },
    }
    connection.execute(
        "SET threads = 1; SET TimeZone = 'UTC'; CREATE TABLE arms (user_id VARCHAR, arm VARCHAR, ramp_arm VARCHAR, shop_arm VARCHAR)"
    )
    for name, columns in tables.items():
        connection.register("given", pa.table(columns))
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM given")
        connection.unregister("given")


def _names(numbers: np.ndarray[Any, Any]) -> list[str]:
    return [f"u{i}" for i in numbers]


def _microseconds(days: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return (days * 86_400_000_000).astype("timedelta64[us]")


def draw(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    """Give every unit and shop an arm anew, as in production by a hash; the seed is the replication's."""
    connection.execute("DELETE FROM arms")
    half = "CASE WHEN hash({} || ? || '{}') % 1000003 < {} THEN 'control' ELSE 'treatment' END"
    ramp = " ".join(
        f"WHEN {when} THEN {half.format('user_id', 'ramp', round(1_000_003 * (1 - share)))}"
        for when, share in ((f"entered_at < TIMESTAMP '{STEP}'", EARLY), ("TRUE", LATER))
    )
    connection.execute(
        f"INSERT INTO arms SELECT user_id, {half.format('user_id', 'arm', 500_001)}, CASE {ramp} END, "
        f"{half.format('shop_id', 'shop', 500_001)} FROM entries",
        [str(seed)] * 4,
    )
