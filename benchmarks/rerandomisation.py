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
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import yaml

from metricdef.analysis.analyse import analyse
from metricdef.analysis.look_record import LookRecord
from metricdef.analysis.readout import Readout
from metricdef.api import Project
from metricdef.compiler.query import Query

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "rerandomisation.md"
UNITS = 2000
LOOKS = ("2026-01-09", "2026-01-14", "2026-01-19", "2026-01-24", "2026-01-29")
MARGIN = 0.05
ALPHA = 0.05  # two-sided
SEED = 20260101


@dataclass(frozen=True, slots=True)
class Truth:
    """True relative effects, the rates that must stay below a bound under them, and the designs that are run."""

    name: str
    primary: float
    guardrail: float
    bounds: Mapping[str, float]
    designs: tuple[str, ...] = ("fixed", "group_sequential", "hybrid")


PLAIN = ("fixed", "group_sequential")
TRUTHS = (
    Truth("no effect", 0.0, 0.0, {"a primary metric superior": ALPHA, "ship": ALPHA / 2, "stop": ALPHA}),
    Truth("primaries far superior, the guardrail at its margin", 0.6, -MARGIN, {"ship": ALPHA / 2}, PLAIN),
    Truth("primaries without effect, the guardrail better", 0.0, 0.3, {"ship": ALPHA / 2}, PLAIN),
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
    start = np.datetime64("2026-01-01", "us")
    tables = {
        "entries": {"user_id": _names(np.arange(units)), "entered_at": start + _microseconds(entered)},
        "orders": {
            "user_id": _names(owner),
            "happened_at": start + _microseconds(entered[owner] + rng.uniform(-14, 3, owner.size)),
            "amount": rng.lognormal(2, 0.8, owner.size) * habit[owner],
            "visits": 1.0 + rng.poisson(habit[owner]),
            "speed": rng.gamma(4.0, 1.0, owner.size),
        },
    }
    connection.execute("SET threads = 1; SET TimeZone = 'UTC'; CREATE TABLE arms (user_id VARCHAR, arm VARCHAR)")
    for name, columns in tables.items():
        connection.register("given", pa.table(columns))
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM given")
        connection.unregister("given")


def _names(numbers: np.ndarray[Any, Any]) -> list[str]:
    return [f"u{i}" for i in numbers]


def _microseconds(days: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return (days * 86_400_000_000).astype("timedelta64[us]")


def draw(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    """Give every unit an arm anew: Bernoulli, as in production; the seed is the replication's."""
    connection.execute("DELETE FROM arms")
    connection.execute(
        "INSERT INTO arms SELECT user_id, CASE WHEN hash(user_id || ? || 'arm') % 1000003 < 500001 THEN 'control' ELSE 'treatment' END FROM entries",
        [str(seed)],
    )


class Results:
    """What the SQL of a replication returns, executed once: designs differ in what they make of it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Of the connection's tables as they are."""
        self.connection = connection
        self.found: dict[str, pa.Table] = {}

    def of(self, query: Query) -> pa.Table:
        """The result of a query. Its first lines name the definitions, and are no part of what is executed."""
        (statement,) = query.statements
        text = "\n".join(line for line in statement.splitlines() if not line.startswith("--"))
        if text not in self.found:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of an extra copy of a few rows; `sql` would bind the text twice
                self.found[text] = self.connection.execute(text).to_arrow_table()
        return self.found[text]


def replicate(project: Project, queries: Sequence[Query], results: Results) -> Iterator[str]:
    """What one experiment said at some look, until it ended: see `bounds`."""
    history: list[LookRecord] = []
    superior = False
    for query in queries:
        readout = analyse(project.definitions, query, results.of(query), history=history)
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


def run_some(job: tuple[str, int, int]) -> dict[str, Counter[str]]:
    """Counts by design over some replications under one truth."""
    truth_name, first, last = job
    truth = next(t for t in TRUTHS if t.name == truth_name)
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        fill(connection, UNITS, np.random.default_rng(SEED))
        runs = {}
        for design in truth.designs:
            project = write_project(Path(folder) / design, DESIGNS[design], truth)
            days = LOOKS if DESIGNS[design] else LOOKS[-1:]
            runs[design] = project, [project.compile("test", "duckdb", day) for day in days]
        counts: dict[str, Counter[str]] = {design: Counter() for design in runs}
        for seed in range(first, last):
            draw(connection, seed)
            results = Results(connection)
            for design, (project, queries) in runs.items():
                counts[design].update(replicate(project, queries, results))
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
ships or stops; the hybrid, whose parts are bounded by the same rules, under no effect only. Two primary metrics, one of them capped and adjusted by its own past, both skewed;
one guardrail with a margin of {MARGIN:.0%}. Level {ALPHA:.0%}, two-sided; the default rule. An error is the Monte-Carlo standard error at the
bound. `ship` under no effect needs a superior primary metric and a guardrail shown non-inferior.

{text}
"""


def main() -> int:
    """Run all, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--replications", type=int, default=1000, help="default %(default)s")
    parser.add_argument("--processes", type=int, default=2, help="default %(default)s")
    parser.add_argument("--write-docs", action="store_true", help="write docs/rerandomisation.md")
    arguments = parser.parse_args()
    chunk = max(1, arguments.replications // 10)
    jobs = [
        (truth.name, first, min(first + chunk, arguments.replications))
        for truth in TRUTHS
        for first in range(0, arguments.replications, chunk)
    ]
    results: dict[tuple[str, str], Counter[str]] = {(d, t.name): Counter() for t in TRUTHS for d in t.designs}
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        for job, found in zip(jobs, pool.imap(run_some, jobs), strict=True):
            for design, counts in found.items():
                results[design, job[0]].update(counts)
            print(f"{job[0]}: to {job[2]}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    text = table(results, arguments.replications)
    print(text)
    if arguments.write_docs:
        DOCUMENT.write_text(document(text, arguments.replications), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
