"""`make calibrate-stats`: simulate every cell on two processes, judge, write docs/calibration.md."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from benchmarks.calibration import designs, estimators, groups, multiple, ranks, spreads
from benchmarks.calibration.tally import Key, Tallies, Tally
from benchmarks.calibration.worlds import SIZES, SPLITS, WORLDS

RESULT = Path(__file__).resolve().parent.parent / "results" / "calibration.json"
SEED = 20240613
REPLICATIONS = 20_000
VALUES = 2_000_000  # outcomes drawn at once
SRM_FACTOR = 10  # its level is 0.001: more replications, which cost nothing


@dataclass(frozen=True, slots=True)
class Job:
    """Some replications of one cell of one group."""

    group: str
    world: int
    n: int
    split: str
    part: int
    replications: int


Batch = Callable[[np.random.Generator, Job], dict[str, Tallies]]


def _of_world(function: Callable[..., Tallies]) -> Batch:
    return lambda rng, job: {
        WORLDS[job.world].name: function(rng, WORLDS[job.world], job.n, job.split, job.replications)
    }


GROUPS: dict[str, Batch] = {
    "estimators": _of_world(estimators.batch),
    "quantiles of units": lambda rng, job: ranks.unit_batch(rng, job.n, job.split, job.replications),
    "quantiles of events": lambda rng, job: ranks.event_batch(rng, job.n, job.split, job.replications),
    "clusters": _of_world(groups.batch),
    "designs": _of_world(designs.batch),
    "families": _of_world(multiple.batch),
    "srm": lambda rng, job: {"counts": designs.srm_batch(rng, job.n, job.split, job.replications)},
    "spreads": lambda rng, job: spreads.batch(rng, job.n, job.split, job.replications),
}
EVERY_WORLD = ("estimators", "clusters", "designs", "families")


def jobs(replications: int, wanted: list[str]) -> Iterator[Job]:
    """All work, in a fixed order."""
    for group in wanted:
        total = replications * (SRM_FACTOR if group == "srm" else 1)
        for world in range(len(WORLDS) if group in EVERY_WORLD else 1):
            for n in spreads.SIZES if group == "spreads" else SIZES:
                size = min(total, max(100, min(2_000, VALUES // n)))
                for split in SPLITS:
                    for part, begin in enumerate(range(0, total, size)):
                        yield Job(group, world, n, split, part, min(size, total - begin))


def work(job: Job) -> tuple[Job, dict[str, Tallies]]:
    """One job: its randomness depends on nothing but its place."""
    at = (list(GROUPS).index(job.group), job.world, job.n, SPLITS.index(job.split), job.part)
    return job, GROUPS[job.group](np.random.default_rng([SEED, *at]), job)


def simulate(replications: int, wanted: list[str], workers: int) -> dict[Key, Tally]:
    """Counts of every cell."""
    found: dict[Key, Tally] = {}
    began, last = time.perf_counter(), ""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for job, tallies in pool.imap(work, jobs(replications, wanted), chunksize=1):
            for world, by_procedure in tallies.items():
                for procedure, tally in by_procedure.items():
                    key = Key(procedure, world, job.n, job.split)
                    if key in found:
                        found[key].add(tally)
                    else:
                        found[key] = tally
            here = f"{job.group}, {WORLDS[job.world].name}, {job.n} units, {job.split}"
            if here != last:
                print(f"{time.perf_counter() - began:7.0f} s  {here}", file=sys.stderr, flush=True)
                last = here
    return found


def save(found: dict[Key, Tally]) -> None:
    """Add to the results of other groups."""
    kept = {key: tally for key, tally in load().items() if key not in found}
    rows = [{**asdict(key), **asdict(tally)} for key, tally in {**kept, **found}.items()]
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=0) + "\n", encoding="utf-8")


def load() -> dict[Key, Tally]:
    """What earlier runs found."""
    if not RESULT.exists():
        return {}
    names = [f.name for f in fields(Key)]
    found = {}
    for row in json.loads(RESULT.read_text(encoding="utf-8")):
        key = Key(**{name: row.pop(name) for name in names})
        found[key] = Tally(**row)
    return found


def main() -> int:
    """Simulate, judge, write; 1 when a cell fails."""
    from benchmarks.calibration import document

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--replications", type=int, default=REPLICATIONS, help="a cell (default %(default)s)")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--group", action="append", choices=list(GROUPS), help="only these; others keep their results")
    parser.add_argument("--judge", action="store_true", help="judge the results there are, simulate nothing")
    parser.add_argument("--write-docs", action="store_true", help="write the tables of docs/calibration.md")
    options = parser.parse_args()
    if not options.judge:
        save(simulate(options.replications, options.group or list(GROUPS), options.workers))
    verdicts = document.judge_all(load())
    print(document.text(verdicts))
    if options.write_docs:
        document.write(verdicts)
    return 0 if all(v.holds for v in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
