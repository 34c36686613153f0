"""`python -m benchmarks.incremental`: 28 days added one by one, with late rows and a restated day, against all at once.

Days are those of the workload's 15 additive metrics, with the arrival of every row declared. Prints the largest difference
and what every day cost.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from benchmarks.agreement import compare, compiled_figures
from benchmarks.measure import Settings, execute
from benchmarks.warehouse import END, START, warehouse
from benchmarks.workload import supported
from metricdef.api import Project
from metricdef.jobs.build import Job

EXPERIMENT = "w_daily"
RESTATED, NOTICED = START + timedelta(days=10), START + timedelta(days=20)
_RESTATE = (
    f"DELETE FROM events WHERE event_at >= TIMESTAMP '{RESTATED}' AND event_at < TIMESTAMP '{RESTATED + timedelta(hours=3)}'",
    f"UPDATE events SET revenue = revenue * 2 WHERE CAST(event_at AS DATE) = DATE '{RESTATED:%Y-%m-%d}'",
)


def jobs(project: Project, first: datetime, last: datetime = END, restate: str | None = None) -> tuple[Job, ...]:
    """The incremental jobs of some days, for DuckDB."""
    dates = f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}"
    return project.build([EXPERIMENT], None, *dates, dialect="duckdb", incremental=True, restate=restate)


def add_days(
    project: Project, settings: Settings, first: datetime, last: datetime, restate: str | None = None
) -> float:
    """Run them in order; the seconds that the last one took."""
    took = 0.0
    for job in jobs(project, first, last, restate):
        began = time.perf_counter()
        execute(job.output.statements, settings)
        took = time.perf_counter() - began
    return took


def day_by_day(settings: Settings, folder: Path, *, restate: bool = True) -> float:
    """The largest relative difference between the state's moments and those of all rows, after 28 days.

    `settings.database` is changed: on the 20th day the rows of the 10th are restated. Raises Disagreement beyond 1e-9,
    as it must where they are not read again (`restate`).
    """
    project = _with_arrival(folder)
    took = []
    for day in range(1, (END - START).days + 1):
        at = START + timedelta(days=day)
        if at == NOTICED:
            _restate(settings)
        again = f"{RESTATED:%Y-%m-%d}" if restate and at == NOTICED else None
        took.append(add_days(project, settings, at, at, again))
    print(f"seconds a day: {', '.join(f'{t:.2f}' for t in took)}", file=sys.stderr)
    (job,) = jobs(project, END)
    stamp = f"{job.query.plan.as_of:%Y-%m-%dT%H:%M:%S.%fZ}"
    kept = execute([f"SELECT * FROM {job.output.table} WHERE md_as_of = '{stamp}'"], settings)[-1]
    whole = project.compile(EXPERIMENT, dialect="duckdb", as_of=END)
    table = execute(whole.statements, settings)[-1]
    return compare(compiled_figures(whole.plan, table), compiled_figures(job.query.plan, kept), "state")


def _with_arrival(folder: Path) -> Project:
    """The benchmark's project, where the events say when they came."""
    supported(folder)
    path = folder / "metrics" / "sources" / "shop.yml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("    timestamp: event_at\n", "    timestamp: event_at\n    loaded_at: loaded_at\n"),
        encoding="utf-8",
    )
    return Project(folder)


def _restate(settings: Settings) -> None:
    with duckdb.connect(str(settings.database)) as connection:
        for statement in _RESTATE:
            connection.execute(statement)


def main() -> int:
    """Copy the warehouse, add the days, print the difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scale", type=float, default=0.1, help="1 is 30 million events (default %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy = shutil.copy(warehouse(arguments.scale), folder / "warehouse.duckdb")
        settings = Settings(Path(copy), state=folder / "state.duckdb")
        worst = day_by_day(settings, folder / "project")
    print(f"largest difference after 28 days: {worst:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
