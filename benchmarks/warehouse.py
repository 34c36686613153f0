"""A warehouse of one experiment among four, generated from a seed: what the benchmarks read.

At scale 1: 1.6 million users, 1.0 million of them exposed to the experiment `checkout`, 6.85 million exposure rows and
29.9 million events over 56 days. The experiment runs over the last 28. Everything is drawn with one generator in one
order, so equal seed, scale and version give equal rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

VERSION = 1  # of the rows: raise it when the generator changes, and cached files are made anew
SEED = 20250303
DATA = Path(__file__).resolve().parent / "data"

DAY = 86_400_000_000  # microseconds
HOUR = 3_600_000_000
FIRST_DAY = datetime(2025, 3, 3, tzinfo=UTC)
DAYS = 56
START = FIRST_DAY + timedelta(days=28)
END = FIRST_DAY + timedelta(days=DAYS)

EXPERIMENT = "checkout"
ARMS = ("control", "one_page", "two_pages")
# Other experiments on the same users: their share of users. Three arms as well.
OTHERS = {"ranking": 0.45, "onboarding": 0.40, "search_box": 0.35}

PLATFORMS = {"web": 0.45, "android": 0.30, "ios": 0.20, "tv": 0.05}
COUNTRIES = ("us", "gb", "de", "fr", "es", "it", "nl", "pl", "se", "jp", "br")
EVENTS = {
    "page_view": 0.270,
    "session_start": 0.130,
    "search": 0.070,
    "search_click": 0.040,
    "add_to_cart": 0.040,
    "checkout_start": 0.020,
    "purchase": 0.017,
    "refund": 0.003,
    # No metric of the workload reads these.
    "impression": 0.220,
    "product_view": 0.120,
    "scroll": 0.050,
    "wishlist_add": 0.020,
}

Ints = NDArray[np.int64]

_TABLES = """
CREATE TABLE users (
  user_id VARCHAR, user_key INTEGER, platform VARCHAR, country VARCHAR, signed_up_at TIMESTAMP
);
CREATE TABLE exposures (
  user_id VARCHAR, user_key INTEGER, experiment_key VARCHAR, variant VARCHAR, exposed_at TIMESTAMP
);
CREATE TABLE events (
  user_id VARCHAR, user_key INTEGER, event_name VARCHAR, event_at TIMESTAMP, loaded_at TIMESTAMP,
  revenue DOUBLE, latency_ms INTEGER
);
"""
_CHUNK = 2_000_000  # rows handed over at a time


@dataclass(frozen=True, slots=True)
class _Users:
    """Users by position: identifiers, when they signed up (microseconds), and their dimensions as codes."""

    ids: pa.Array
    signed_up: Ints
    platform: NDArray[np.int8]
    country: NDArray[np.int8]

    @property
    def count(self) -> int:
        return len(self.signed_up)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970."""
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


def warehouse(scale: float, seed: int = SEED, folder: Path = DATA) -> Path:
    """The database file of that scale and seed, made unless it is there already."""
    path = folder / f"warehouse-{scale:g}-{seed}.duckdb"
    note = path.with_suffix(".json")
    wanted = {"version": VERSION, "seed": seed, "scale": scale, "duckdb": duckdb.__version__}
    if path.is_file() and note.is_file() and json.loads(note.read_text(encoding="utf-8")) == wanted:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    for old in (path, note, unfinished):
        old.unlink(missing_ok=True)
    generate(unfinished, scale, seed)
    unfinished.rename(path)
    note.write_text(json.dumps(wanted) + "\n", encoding="utf-8")
    return path


def generate(path: Path, scale: float, seed: int) -> None:
    """Write the three tables into a new database file."""
    rng = np.random.default_rng(seed)
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(_TABLES)
        users = _users(rng, round(1_600_000 * scale))
        _write_users(connection, users)
        _write_exposures(connection, rng, users, round(1_000_000 * scale))
        _write_events(connection, rng, users)
        connection.execute("CHECKPOINT")


def _users(rng: np.random.Generator, count: int) -> _Users:
    begin, end = microseconds(FIRST_DAY), microseconds(END)
    old = rng.integers(begin - 730 * DAY, begin, count)
    new = rng.integers(begin, end, count)
    signed_up = np.where(rng.random(count) < 0.30, new, old)
    weights = 0.75 ** np.arange(len(COUNTRIES))
    return _Users(
        _identifiers(count),
        signed_up,
        _draw(rng, list(PLATFORMS.values()), count),
        _draw(rng, list(weights), count),
    )


def _identifiers(count: int) -> pa.Array:
    """16 hexadecimal digits a user: a bijection of the key's 64 bits (splitmix64), so none comes twice."""
    x = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
    octets = x.astype(">u8").view(np.uint8)
    text = np.stack([digits[octets >> 4], digits[octets & 15]], axis=1).reshape(-1)
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(16)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets.tobytes()), pa.py_buffer(text.tobytes()))


def _draw(rng: np.random.Generator, weights: list[float], count: int) -> NDArray[np.int8]:
    """Codes 0, 1, ... with these weights."""
    edges = np.cumsum(weights) / np.sum(weights)
    return np.searchsorted(edges[:-1], rng.random(count), side="right").astype(np.int8)


def _write_users(connection: duckdb.DuckDBPyConnection, users: _Users) -> None:
    columns = {
        "user_id": users.ids,
        "user_key": np.arange(1, users.count + 1, dtype=np.int32),
        "platform": _words(users.platform, tuple(PLATFORMS)),
        "country": _words(users.country, COUNTRIES),
        "signed_up_at": _timestamps(users.signed_up),
    }
    _insert(connection, "users", columns)


def _write_exposures(
    connection: duckdb.DuckDBPyConnection, rng: np.random.Generator, users: _Users, exposed: int
) -> None:
    """Rows of all experiments in the order of time; a user may have several of each experiment."""
    begin, start, end = microseconds(FIRST_DAY), microseconds(START), microseconds(END)
    keys = (EXPERIMENT, *OTHERS)
    parts = []
    for code, key in enumerate(keys):
        chosen = rng.permutation(users.count)[: exposed if key == EXPERIMENT else round(OTHERS[key] * users.count)]
        low = np.maximum(users.signed_up[chosen], start if key == EXPERIMENT else begin)
        # More users enter early than late.
        first = low + ((end - low) * rng.random(len(chosen)) ** 2).astype(np.int64)
        arm = rng.integers(0, len(ARMS), len(chosen))
        repeats = np.repeat(np.arange(len(chosen)), rng.poisson(2.0 if key == EXPERIMENT else 1.0, len(chosen)))
        both = np.flatnonzero(rng.random(len(chosen)) < 0.002)
        later = np.concatenate([repeats, both])
        times = first[later] + ((end - first[later]) * rng.random(len(later))).astype(np.int64)
        other = (arm[both] + rng.integers(1, len(ARMS), len(both))) % len(ARMS)
        parts.append(
            (
                np.concatenate([chosen, chosen[later]]),
                np.full(len(chosen) + len(later), code, dtype=np.int8),
                np.concatenate([arm, arm[repeats], other]),
                np.concatenate([first, times]),
            )
        )
    who, experiment, arms, at = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(at, kind="stable")
    for rows in _chunks(order):
        columns = {
            "user_id": pa.DictionaryArray.from_arrays(who[rows].astype(np.int32), users.ids),
            "user_key": (who[rows] + 1).astype(np.int32),
            "experiment_key": _words(experiment[rows], keys),
            "variant": _words(arms[rows].astype(np.int8), ARMS),
            "exposed_at": _timestamps(at[rows]),
        }
        _insert(connection, "exposures", columns)


def _write_events(connection: duckdb.DuckDBPyConnection, rng: np.random.Generator, users: _Users) -> None:
    """Events in the order of time. Activity is log-normal: median 11 a user, the 99th percentile about 130."""
    counts = np.minimum(np.rint(rng.lognormal(np.log(10.5), 1.07, users.count)), 2_000).astype(np.int64)
    who = np.repeat(np.arange(users.count, dtype=np.int32), counts)
    total = len(who)
    low = np.maximum(users.signed_up, microseconds(FIRST_DAY))[who]
    at = low + ((microseconds(END) - low) * rng.random(total)).astype(np.int64)
    del low
    order = np.argsort(at, kind="stable")
    at, who = at[order], who[order]
    del order
    names = tuple(EVENTS)
    name = _draw(rng, list(EVENTS.values()), total)
    for rows in _chunks(np.arange(total)):
        size = len(rows)
        names_here = name[rows]
        late = rng.random(size) < 0.007
        delay = np.where(late, rng.integers(HOUR, 72 * HOUR, size), rng.integers(1_000_000, 300_000_000, size))
        revenue = np.round(rng.lognormal(3.5, 1.0, size), 2)
        latency = np.rint(rng.lognormal(6.0, 0.6, size)).astype(np.int32) + 20
        columns = {
            "user_id": pa.DictionaryArray.from_arrays(who[rows], users.ids),
            "user_key": who[rows] + np.int32(1),
            "event_name": _words(names_here, names),
            "event_at": _timestamps(at[rows]),
            "loaded_at": _timestamps(at[rows] + delay),
            "revenue": pa.array(revenue, mask=names_here != names.index("purchase")),
            "latency_ms": pa.array(latency, mask=names_here != names.index("page_view")),
        }
        _insert(connection, "events", columns)


def _chunks(rows: Ints) -> list[Ints]:
    return [rows[at : at + _CHUNK] for at in range(0, len(rows), _CHUNK)]


def _words(codes: NDArray[np.int8], words: tuple[str, ...]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(codes, pa.array(words))


def _timestamps(us: Ints) -> pa.Array:
    return pa.array(us).cast(pa.timestamp("us"))


def _insert(connection: duckdb.DuckDBPyConnection, table: str, columns: dict[str, Any]) -> None:
    connection.register("generated_rows", pa.table(columns))
    connection.execute(f"INSERT INTO {table} SELECT * FROM generated_rows")
    connection.unregister("generated_rows")


def main() -> int:
    """Make the warehouse of one scale and say where it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    began = time.perf_counter()
    path = warehouse(arguments.scale, arguments.seed)
    print(f"{path} ({path.stat().st_size / 1e6:.0f} MB, {time.perf_counter() - began:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
