"""`make calibrate-sql`: error rates of whole experiments, re-randomised and run through the compiled SQL, look by look.

One generated warehouse; every replication draws who gets the treatment anew, applies the true effects to the rows, and
runs definitions -> SQL -> DuckDB -> readout at each of five looks with the record of those before. Writes docs/rerandomisation.md.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import yaml

from metricdef.analysis.analyse import analyse
from metricdef.analysis.look_record import LookRecord
from metricdef.analysis.readout import Readout
from metricdef.api import Project

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "rerandomisation.md"
UNITS = 2000
LOOKS = ("2026-01-09", "2026-01-14", "2026-01-19", "2026-01-24", "2026-01-29")
MARGIN = 0.05
ALPHA = 0.05  # two-sided
SEED = 20260101


@dataclass(frozen=True, slots=True)
class Truth:
    """True relative effects, and the rates that must stay below a bound under them."""

    name: str
    primary: float
    guardrail: float
    bounds: Mapping[str, float]


TRUTHS = (
    Truth("no effect", 0.0, 0.0, {"a primary metric superior": ALPHA, "ship": ALPHA / 2, "stop": ALPHA}),
    Truth("primaries far superior, the guardrail at its margin", 0.6, -MARGIN, {"ship": ALPHA / 2}),
    Truth("primaries without effect, the guardrail better", 0.0, 0.3, {"ship": ALPHA / 2}),
)
DESIGNS: dict[str, dict[str, Any] | None] = {
    "fixed": None,
    "group_sequential": {
        "method": "group_sequential",
        "spending": "pocock",
        "looks": ["8d", "13d", "18d", "23d", "28d"],
    },
    "hybrid": {
        "method": "hybrid",
        "looks": ["8d", "13d", "18d", "23d", "28d"],
        "anytime_alpha": "1%",
        "final_alpha": "4%",
        "planned_units": UNITS,
    },
}


def definitions(design: Mapping[str, Any] | None, truth: Truth) -> dict[str, Any]:
    """The project: two primary metrics that are correlated, one of them adjusted and capped, and a guardrail."""
    changed = ", ".join(
        f"o.{name} * CASE a.arm WHEN 'treatment' THEN {1 + effect!r} ELSE 1.0 END AS {name}"
        for name, effect in (("amount", truth.primary), ("visits", truth.primary), ("speed", truth.guardrail))
    )
    sources = {
        "entered": {
            "kind": "exposures",
            "sql": "SELECT e.user_id, e.entered_at, 'test' AS experiment, a.arm FROM entries AS e INNER JOIN arms AS a ON a.user_id = e.user_id",
            "timestamp": "entered_at",
            "entities": {"user": "user_id"},
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
        "analysis": {"sequential": design} if design else {},
    }
    return {"sources": sources, "metrics": metrics, "experiments": {"test": experiment}}


def write_project(folder: Path, design: Mapping[str, Any] | None, truth: Truth) -> Project:
    """The project in `folder`."""
    settings = {
        "version": 1,
        "name": "rerandomisation",
        "entities": ["user"],
        "profiles": {"local": {"type": "duckdb", "path": "no.duckdb"}},
    }
    (folder / "metrics").mkdir(parents=True)
    for name, content in (("project", settings), ("all", definitions(design, truth))):
        (folder / "metrics" / f"{name}.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return Project(folder)


def fill(connection: duckdb.DuckDBPyConnection, units: int, rng: np.random.Generator) -> None:
    """Units that enter over 25 days, and their skewed orders before and after; arms come with every replication."""
    entered = rng.uniform(0, 25, units)
    habit = rng.gamma(2.0, 0.5, units)  # what links a unit's orders before and after, and its measures
    owner = np.repeat(np.arange(units), rng.poisson(1 + 4 * habit))
    columns = (
        entered[owner] + rng.uniform(-14, 3, owner.size),
        rng.lognormal(2, 0.8, owner.size) * habit[owner],
        1.0 + rng.poisson(habit[owner]),
        rng.gamma(4.0, 1.0, owner.size),
    )
    rows = [(f"u{i}", *map(float, values)) for i, *values in zip(owner, *columns, strict=True)]
    start = "TIMESTAMP '2026-01-01'"
    connection.execute(
        "CREATE TABLE entries (user_id VARCHAR, entered_at TIMESTAMP);"
        "CREATE TABLE orders (user_id VARCHAR, happened_at TIMESTAMP, amount DOUBLE, visits DOUBLE, speed DOUBLE);"
        "CREATE TABLE arms (user_id VARCHAR, arm VARCHAR); SET threads = 1; SET TimeZone = 'UTC'"
    )
    connection.executemany(
        f"INSERT INTO entries VALUES (?, {start} + TO_MICROSECONDS(CAST(? * 86400000000 AS BIGINT)))",
        [(f"u{i}", float(t)) for i, t in enumerate(entered)],
    )
    connection.execute("CREATE TEMP TABLE given (user_id VARCHAR, day DOUBLE, a DOUBLE, v DOUBLE, s DOUBLE)")
    connection.executemany("INSERT INTO given VALUES (?, ?, ?, ?, ?)", rows)
    connection.execute(
        f"INSERT INTO orders SELECT user_id, {start} + TO_MICROSECONDS(CAST(day * 86400000000 AS BIGINT)), a, v, s FROM given"
    )


def replicate(project: Project, queries: list[Any], connection: duckdb.DuckDBPyConnection, seed: int) -> Iterator[str]:
    """What one experiment said at some look, until it ended: see `bounds`."""
    connection.execute("DELETE FROM arms")
    # Bernoulli, as in production; the seed is the replication's.
    connection.execute(
        "INSERT INTO arms SELECT user_id, CASE WHEN hash(user_id || ? || 'arm') % 1000003 < 500001 THEN 'control' ELSE 'treatment' END FROM entries",
        [str(seed)],
    )
    history: list[LookRecord] = []
    superior = False
    for query in queries:
        table = connection.sql(query.statements[-1]).to_arrow_table()
        readout = analyse(project.definitions, query, table, history=history)
        superior = superior or _superior(readout)
        recommendation = readout.decision.recommendation
        if recommendation in ("ship", "stop"):
            yield recommendation
            break
        if readout.look is not None:
            history.append(LookRecord.from_dict(json.loads(json.dumps(readout.look["record"]))))
    if superior:
        yield "a primary metric superior"


def _superior(readout: Readout) -> bool:
    return any(row.role == "primary" and row.verdict == "superior" for row in readout.estimates)


def run_some(job: tuple[str, str, int, int]) -> Counter[str]:
    """Counts over some replications of one design under one truth."""
    design, truth_name, first, last = job
    truth = next(t for t in TRUTHS if t.name == truth_name)
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        project = write_project(Path(folder) / "project", DESIGNS[design], truth)
        fill(connection, UNITS, np.random.default_rng(SEED))
        days = LOOKS if DESIGNS[design] else LOOKS[-1:]
        queries = [project.compile("test", "duckdb", day) for day in days]
        counts: Counter[str] = Counter()
        for seed in range(first, last):
            counts.update(replicate(project, queries, connection, seed))
    return counts


def table(results: Mapping[tuple[str, str], Counter[str]], replications: int) -> str:
    """A row for each bound."""
    lines = ["| truth | design | what | rate | bound | bound + 3 errors | |", "|---|---|---|---|---|---|---|"]
    for (design, name), counts in results.items():
        truth = next(t for t in TRUTHS if t.name == name)
        for what, bound in truth.bounds.items():
            rate, error = counts[what] / replications, math.sqrt(bound * (1 - bound) / replications)
            holds = "holds" if rate <= bound + 3 * error else "**exceeded**"
            lines.append(
                f"| {name} | {design} | {what} | {rate:.1%} | {bound:.1%} | {bound + 3 * error:.1%} | {holds} |"
            )
    return "\n".join(lines)


def document(text: str, replications: int) -> str:
    """The page."""
    return f"""# Whole experiments, re-randomised

Made by `make calibrate-sql`. One generated warehouse of {UNITS:,} units that enter over 25 days; {replications:,} times the arms
are drawn anew (each unit by itself, 50/50), the true effects are applied to the rows, and the experiment runs from definitions
through the compiled SQL on DuckDB to the decision: once at the end, or at five looks with the record of those before, until it
ships or stops. Two primary metrics, one of them capped and adjusted by its own past, both skewed;
one guardrail with a margin of {MARGIN:.0%}. Level {ALPHA:.0%}, two-sided; the default rule. An error is the Monte-Carlo standard error at the
bound. `ship` under no effect needs a superior primary metric and a guardrail shown non-inferior.

{text}
"""


def main() -> int:
    """Run all, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--replications", type=int, default=1000, help="default %(default)s")
    parser.add_argument("--write-docs", action="store_true", help="write docs/rerandomisation.md")
    arguments = parser.parse_args()
    chunk = max(1, arguments.replications // 10)
    jobs = [
        (design, truth.name, first, min(first + chunk, arguments.replications))
        for truth in TRUTHS
        for design in DESIGNS
        for first in range(0, arguments.replications, chunk)
    ]
    results: dict[tuple[str, str], Counter[str]] = {(d, n): Counter() for d, n, *_ in jobs}
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for job, counts in zip(jobs, pool.imap(run_some, jobs), strict=True):
            results[job[:2]].update(counts)
            print(f"{job[0]}, {job[1]}: to {job[3]}", file=sys.stderr, flush=True)
    text = table(results, arguments.replications)
    print(text)
    if arguments.write_docs:
        DOCUMENT.write_text(document(text, arguments.replications), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
