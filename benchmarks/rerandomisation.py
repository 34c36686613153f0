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
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.rerandomised import (
    ALPHA,
    DESIGNS,
    EARLY,
    LATER,
    LOOKS,
    MARGIN,
    SHOPS,
    TRUTHS,
    UNITS,
    draw,
    fill,
    write_project,
)
from metricdef.analysis.analyse import analyse
from metricdef.analysis.look_record import LookRecord
from metricdef.analysis.readout import Readout
from metricdef.api import Project
from metricdef.compiler.query import Query

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "rerandomisation.md"
SEED = 20260101


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
            days = LOOKS if DESIGNS[design].sequential else LOOKS[-1:]
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
ships or stops; the hybrid, whose parts are bounded by the same rules, under no effect only. So are two designs that are drawn as they are
declared and read at the same looks: a ramp, with {EARLY:.0%} of the units treated at first and {LATER:.0%} later, and clusters, where each of {SHOPS} shops
of different sizes gets an arm. Two primary metrics, one of them capped and adjusted by its own past, both skewed;
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
