"""Runs SQL in a process of its own and says what it cost; programs take turns, so that a busy moment falls on all.

`python -m benchmarks.measure` is that process: it reads a job as JSON from standard input and writes the costs.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    # Not in the measured process: its numpy starts threads that turn idly for a tenth of a second, on every program's bill.
    import pyarrow as pa

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Settings:
    """The same for every program."""

    database: Path
    threads: int = 2
    memory: str = "6GB"
    state: Path | None = None  # a file for what incremental jobs write, beside the data that are only read


@dataclass(frozen=True, slots=True)
class Cost:
    """One execution: seconds of wall and CPU time of the statements alone, peak memory of the process in bytes."""

    wall: float
    cpu: float
    peak: int


def execute(statements: Sequence[str], settings: Settings) -> list[pa.Table]:
    """Results of the statements that return rows, in this process."""
    with _connect(settings, None) as connection:
        tables = []
        for statement in statements:
            if _returns_rows(connection, statement):
                tables.append(connection.sql(statement).to_arrow_table())
            else:
                connection.execute(statement)
        return tables


def run(statements: Sequence[str], settings: Settings) -> Cost:
    """Execute the statements in order, in a fresh process. Raises RuntimeError with the process's last words."""
    job = {
        "database": str(settings.database),
        "threads": settings.threads,
        "memory": settings.memory,
        "state": str(settings.state) if settings.state else None,
        "statements": list(statements),
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.measure"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if done.returncode:
        raise RuntimeError(f"a measured program failed:\n{done.stderr.strip()[-2000:]}")
    return Cost(**json.loads(done.stdout))


def take_turns(
    programs: Mapping[str, Sequence[str]],
    settings: Settings,
    repeats: int,
    progress: Callable[[str], None],
) -> dict[str, list[Cost]]:
    """Costs of every program, A B C, A B C, ...; a first round, which fills caches, is not counted."""
    costs: dict[str, list[Cost]] = {name: [] for name in programs}
    for turn in range(repeats + 1):
        for name, statements in programs.items():
            cost = run(statements, settings)
            progress(
                f"{'warm-up' if not turn else f'{turn}/{repeats}'} {name}: {cost.cpu:.2f} s CPU, {cost.wall:.2f} s"
            )
            if turn:
                costs[name].append(cost)
    return costs


def ratio(costs: Mapping[str, Sequence[Cost]], above: str, below: str) -> float:
    """Median over turns of the ratio of CPU time within the turn."""
    return median(a.cpu / b.cpu for a, b in zip(costs[above], costs[below], strict=True))


def scans(statements: Sequence[str], table: str, settings: Settings) -> int:
    """How often the engine's plan reads `table`, over all statements."""
    found = 0
    with _connect(settings, None) as connection:
        for statement in statements:
            rows = connection.execute(f"EXPLAIN (FORMAT json) {statement}").fetchall()
            found += sum(_scans(node, table) for node in json.loads(str(rows[-1][1])))
            if not _returns_rows(connection, statement):
                connection.execute(statement)  # a temporary table that the next ones read
    return found


def _returns_rows(connection: duckdb.DuckDBPyConnection, statement: str) -> bool:
    (parsed,) = connection.extract_statements(statement)
    return parsed.type == duckdb.StatementType.SELECT


def _scans(node: Mapping[str, Any], table: str) -> int:
    named = str(node.get("extra_info", {}).get("Table", "")).split(".")[-1].strip('"')
    here = int("SCAN" in str(node.get("name", "")) and named == table)
    return here + sum(_scans(child, table) for child in node.get("children", []))


def _connect(settings: Settings, spill: str | None) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(settings.database), read_only=True)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET threads = {settings.threads}")
    connection.execute(f"SET memory_limit = '{settings.memory}'")
    if settings.state:
        connection.execute(f"ATTACH '{settings.state}' AS readouts (READ_WRITE)")
    if spill:
        connection.execute(f"SET temp_directory = '{spill}'")
    return connection


def _work(job: Mapping[str, Any]) -> Cost:
    state = Path(job["state"]) if job["state"] else None
    settings = Settings(Path(job["database"]), int(job["threads"]), str(job["memory"]), state)
    with tempfile.TemporaryDirectory() as spill, _connect(settings, spill) as connection:
        before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        for statement in job["statements"]:
            connection.execute(statement).fetchall()
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu, _peak())


def _peak() -> int:
    """The largest resident size of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Linux hands ru_maxrss down from the process that started this one; the high-water mark is its own.
        (line,) = (line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    done = _work(json.load(sys.stdin))
    print(json.dumps({"wall": done.wall, "cpu": done.cpu, "peak": done.peak}))
