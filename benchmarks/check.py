"""How long `metricdef check` takes on a large catalogue: cold, unchanged, and after one file changed.

The catalogue is generated: metrics of every type over thirty sources, each with a filter of its own, in 480 files; the
rest are sources, segments, experiments and tests.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

RESULT = Path(__file__).resolve().parent / "results" / "check.json"
BARS_S = {"cold": 6.0, "unchanged": 1.0}
SOURCES, FILES, EXPERIMENTS = 30, 480, 200


def write_catalogue(root: Path, metrics: int, seed: int = 1) -> None:
    """A project with `metrics` metrics; 500 files where there are 480 of metrics."""
    draw = random.Random(seed)
    folder = root / "metrics"
    for name in ("sources", "metrics", "experiments"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "project.yml").write_text(_PROJECT, encoding="utf-8")
    for part in range(9):
        (folder / "sources" / f"s{part}.yml").write_text(_sources(range(part, SOURCES, 9)), encoding="utf-8")
    per_file = -(-metrics // FILES)
    for number in range(0, metrics, per_file):
        names = range(number, min(number + per_file, metrics))
        text = "metrics:\n" + "".join(_metric(i, draw) for i in names)
        (folder / "metrics" / f"m{number // per_file:03}.yml").write_text(text, encoding="utf-8")
    for part in range(10):
        text = "experiments:\n" + "".join(_experiment(i, metrics, draw) for i in range(part, EXPERIMENTS, 10))
        (folder / "experiments" / f"e{part}.yml").write_text(text, encoding="utf-8")


_PROJECT = """\
version: 1
name: large
entities: [user]
defaults: {unit: user, window: 14d}
profiles:
  local: {type: duckdb, path: large.duckdb}
lint: {not-locked: "off", window-longer-than-experiment: "off"}
"""


def _sources(numbers: range) -> str:
    text = "sources:\n"
    for i in numbers:
        text += f"""\
  events_{i}:
    sql: |
      SELECT user_id, happened_at, kind, country, amount, discount, item_id
      FROM analytics.events_{i}
    timestamp: happened_at
    entities: {{user: user_id}}
    measures: {{amount: amount, net: amount - discount, item: item_id}}
    dimensions: [kind, country]
"""
        if i == 0:
            text += """\
  assignments:
    kind: exposures
    table: assignments
    timestamp: assigned_at
    entities: {user: user_id}
    experiment: experiment
    arm: arm
"""
    return text


def _metric(i: int, draw: random.Random) -> str:
    source = f"events_{draw.randrange(SOURCES)}"
    where = f"kind = 'k{i}' AND amount > {draw.randrange(900)} AND country IN ('DE', 'FR', 'c{i % 50}')"
    common = f"    source: {source}\n    filter: {where}\n"
    body = (
        f"    type: mean\n{common}    agg: sum\n    measure: net\n    cap: {{upper: p99.5}}\n",
        f"    type: proportion\n{common}    window: 7d\n",
        f"    type: mean\n{common}    agg: count\n",
        f"    type: threshold\n{common}    agg: sum\n    measure: amount\n    at_least: {i % 300 + 1}\n",
        f"    type: retention\n{common}    window: 7d..14d\n",
    )[i % 5]
    return f"  metric_{i}:\n    description: Number {i} of a large catalogue.\n{body}    direction: increase\n"


def _experiment(i: int, metrics: int, draw: random.Random) -> str:
    primary, *secondary = (f"metric_{n}" for n in draw.sample(range(metrics), 8))
    listed = "".join(f"        {name}:\n" for name in secondary)
    return f"""\
  experiment_{i}:
    owners: [team]
    status: stopped
    hypothesis: It helps.
    exposure: {{source: assignments}}
    arms: {{control: {{share: 50%}}, treatment: {{share: 50%}}}}
    start: 2026-01-01
    end: 2026-02-01
    metrics:
      primary:
        {primary}: {{mde: 2%}}
      secondary:
{listed}"""


Taken = tuple[float, float]  # wall and CPU, in seconds


def seconds(root: Path, cache: Path) -> Taken:
    """What one `metricdef check` takes, which must find nothing."""
    command = [sys.executable, "-m", "metricdef", "--project", str(root), "check", "-q"]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = subprocess.run(
        command, env={**os.environ, "METRICDEF_CACHE": str(cache)}, capture_output=True, text=True, check=False
    )
    taken, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    if shown.returncode or not shown.stdout.startswith("No problems"):
        raise SystemExit(shown.stdout[-2000:] + shown.stderr[-2000:])
    return taken, cpu


def measure(root: Path, runs: int) -> dict[str, list[Taken]]:
    """Seconds of each state of the cache, in turn."""
    times: dict[str, list[Taken]] = {"cold": [], "unchanged": [], "one file changed": []}
    changed = root / "metrics" / "metrics" / "m000.yml"
    for run in range(runs):
        cache = root / f"cache{run}"
        times["cold"].append(seconds(root, cache))
        times["unchanged"].append(seconds(root, cache))
        changed.write_text(changed.read_text(encoding="utf-8") + f"# changed {run}\n", encoding="utf-8")
        times["one file changed"].append(seconds(root, cache))
    return times


def main() -> None:
    """Measure, print, and write benchmarks/results/check.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metrics", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_catalogue(root, options.metrics)
        files = sum(1 for _ in (root / "metrics").rglob("*.yml"))
        times = measure(root, options.runs)
    result = {
        state: {"wall": round(median(wall for wall, _ in taken), 3), "cpu": round(median(cpu for _, cpu in taken), 3)}
        for state, taken in times.items()
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"metrics": options.metrics, "files": files, "seconds": result}, indent=2) + "\n")
    for state, value in result.items():
        bar = f"  (bar {BARS_S[state]:g} s)" if state in BARS_S else ""
        print(f"{state:<18}{value['wall']:6.2f} s, CPU {value['cpu']:.2f} s{bar}")


if __name__ == "__main__":
    main()
