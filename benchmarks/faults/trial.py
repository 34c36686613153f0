"""Trials: a world, one fault after the other, the compiled SQL on DuckDB, and what the readout says."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb

from benchmarks.faults.catalogue import Fault, chance
from benchmarks.faults.world import AS_OF, clean
from metricdef.analysis.analyse import analyse
from metricdef.analysis.readout import Readout
from metricdef.api import Project
from metricdef.compiler.query import Query

PROJECT = Path(__file__).parent / "project"
RAMPED = "ramped"


@dataclass(frozen=True, slots=True)
class Seen:
    """The alarms of a readout, and the effect on the primary metric with its standard error (None: there is none)."""

    fault: str  # empty: a clean experiment
    experiment: str
    units: int
    seed: int
    alarms: tuple[str, ...]
    invalid: bool
    effect: float | None
    std_error: float | None


@cache
def compiled(experiment: str) -> tuple[Project, Query]:
    """The project and the SQL of an experiment, which are the same in every trial."""
    project = Project(PROJECT)
    return project, project.compile(experiment, "duckdb", as_of=AS_OF)


def run_faults(units: int, seed: int, faults: Sequence[Fault], experiments: Sequence[str]) -> Iterator[Seen]:
    """The clean `experiments` of one seed, then each fault alone, taken back before the next."""
    for ramp in (False, True):
        asked = [name for name in experiments if (name == RAMPED) == ramp]
        wanted = [fault for fault in faults if (fault.experiment == RAMPED) == ramp]
        if not asked and not wanted:
            continue
        with duckdb.connect(config={"threads": 1}) as connection:
            connection.execute("SET enable_progress_bar = false")
            clean(connection, units, seed, ramp=ramp)
            for name in asked:
                yield _seen(read(connection, name), "", name, units, seed)
            for fault in wanted:
                connection.execute("BEGIN")
                corrupt(connection, fault, seed)
                yield _seen(read(connection, fault.experiment), fault.name, fault.experiment, units, seed)
                connection.execute("ROLLBACK")


def corrupt(connection: duckdb.DuckDBPyConnection, fault: Fault, seed: int) -> None:
    """Change the tables."""
    for statement in fault.statements:
        connection.execute(chance(statement, seed))


def read(connection: duckdb.DuckDBPyConnection, experiment: str) -> Readout:
    """The readout of an experiment over the connection's tables."""
    project, query = compiled(experiment)
    for statement in query.statements[:-1]:
        connection.execute(statement)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an extra copy of a few rows; `sql` would bind the statement twice
        table = connection.execute(query.statements[-1]).to_arrow_table()
    return analyse(project.definitions, query, table)


def _seen(found: Readout, fault: str, experiment: str, units: int, seed: int) -> Seen:
    alarms = tuple(dict.fromkeys(row.check for row in found.health if row.status in ("warn", "fail")))
    row = next(r for r in found.estimates if r.metric == "revenue" and r.arm == "treatment" and r.segment is None)
    effect, std_error = (row.absolute.estimate, row.absolute.std_error) if row.absolute else (None, None)
    return Seen(fault, experiment, units, seed, alarms, found.decision.recommendation == "invalid", effect, std_error)
