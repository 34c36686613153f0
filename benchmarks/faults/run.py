"""`make faults`: every fault on many seeds, clean experiments beside them, and the table of docs/health.md."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.faults.catalogue import FAULTS, Fault
from benchmarks.faults.document import write
from benchmarks.faults.trial import RAMPED, Seen, run_faults

RESULT = Path(__file__).resolve().parent.parent / "results" / "faults.json"
UNITS = 20_000
SMALLER, LARGER = (6_000, 2_000), (60_000, 200_000)
CAUGHT = 0.9
EXPERIMENTS = ("plain", "with_holdout", "triggered", RAMPED)

Task = tuple[int, int, tuple[Fault, ...], tuple[str, ...]]


def _run(task: Task) -> list[Seen]:
    return list(run_faults(*task))


def _trials(pool: multiprocessing.pool.Pool, tasks: Sequence[Task], what: str) -> list[Seen]:
    found: list[Seen] = []
    began = time.monotonic()
    for i, seen in enumerate(pool.imap_unordered(_run, tasks), 1):
        found += seen
        if i % 5 == 0 or i == len(tasks):
            print(f"{what}: {i} of {len(tasks)} seeds, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return found


def rate(found: Sequence[Seen], fault: Fault, units: int) -> float:
    """The share of trials of a fault in which some check raised an alarm."""
    own = [seen for seen in found if seen.fault == fault.name and seen.units == units]
    return sum(bool(seen.alarms) for seen in own) / len(own)


def simulate(processes: int, seeds: int, clean: int, few: int) -> Iterator[list[Seen]]:
    """All trials at the stated size; then smaller ones while 90% are caught, and larger ones until they are.

    Yields what is known after each size, so that a run that breaks off has its trials.
    """
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        tasks: list[Task] = [(UNITS, seed, FAULTS, EXPERIMENTS) for seed in range(seeds)]
        tasks += [(UNITS, seed, (), ("plain",)) for seed in range(seeds, clean)]
        found = _trials(pool, tasks, f"{UNITS:,} users")
        yield found
        caught = [fault for fault in FAULTS if rate(found, fault, UNITS) >= CAUGHT]
        missed = [fault for fault in FAULTS if fault not in caught]
        for faults, sizes, goes_on in ((missed, LARGER, False), (caught, SMALLER, True)):
            left = faults
            for units in sizes:
                tasks = [(units, seed, tuple(left), ()) for seed in range(few) if left]
                found = found + _trials(pool, tasks, f"{units:,} users")
                yield found
                left = [fault for fault in left if few and (rate(found, fault, units) >= CAUGHT) == goes_on]


def main() -> None:
    """Run, keep the trials, write the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=50, help="of every fault, at the stated size")
    parser.add_argument("--clean", type=int, default=200, help="experiments without a fault")
    parser.add_argument("--few", type=int, default=20, help="seeds at the other sizes; 0: the stated size only")
    parser.add_argument("--document-only", action="store_true", help="from the trials of the last run")
    arguments = parser.parse_args()
    if not arguments.document_only:
        RESULT.parent.mkdir(exist_ok=True)
        for found in simulate(arguments.processes, arguments.seeds, arguments.clean, arguments.few):
            rows = [asdict(seen) for seen in sorted(found, key=lambda s: (s.units, s.seed, s.experiment, s.fault))]
            unfinished = RESULT.with_suffix(".new")
            unfinished.write_text(json.dumps(rows), encoding="utf-8")
            unfinished.replace(RESULT)
    rows = json.loads(RESULT.read_text(encoding="utf-8"))
    write([Seen(**{**row, "alarms": tuple(row["alarms"])}) for row in rows])


if __name__ == "__main__":
    main()
