"""`make bench-spark`: the workload on Spark over partitioned Parquet, with what its stages read and shuffle.

Each scale runs in a process of its own. Prints a table for docs/scaling.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.warehouse import END, warehouse
from benchmarks.workload import supported
from metricdef.api import Project
from metricdef.compiler.render import render
from metricdef.warehouses import Profile, connect

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {
    "spark.master": "local[2]",
    "spark.driver.memory": "6g",
    "spark.log.level": "ERROR",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "8",
}


def write_tables(database: Path, folder: Path) -> int:
    """The warehouse as Parquet, events in a folder for each day; bytes of the events."""
    folder.mkdir()
    with duckdb.connect(str(database), read_only=True) as connection:
        for name in ("exposures", "users"):
            connection.execute(f"COPY {name} TO '{folder / name}.parquet' (FORMAT parquet)")
        events = "SELECT *, CAST(event_at AS DATE) AS event_date FROM events"
        connection.execute(f"COPY ({events}) TO '{folder}/events.parquet' (FORMAT parquet, PARTITION_BY (event_date))")
    return sum(path.stat().st_size for path in (folder / "events.parquet").rglob("*.parquet"))


def partitioned(folder: Path) -> Project:
    """The workload's project, which says that events are partitioned by day."""
    supported(folder)
    (path,) = (folder / "metrics" / "sources").glob("*.yml")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("timestamp: event_at", "timestamp: event_at\n    partition: event_date"), "utf-8")
    return Project(folder)


def measure(scale: float, experiment: str = "w") -> dict[str, Any]:
    """Run it once in this process, on a Spark that is started for it."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("benchmark")
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    try:
        with tempfile.TemporaryDirectory() as folder:
            size = write_tables(warehouse(scale), Path(folder) / "tables")
            plan = partitioned(Path(folder) / "project").plan(experiment, END)
            options = {"tables": "tables"}
            with connect(Profile("spark", "spark", Path(folder), options, {}, options)) as opened:
                began = time.monotonic()
                opened.execute(render(plan, "spark").statements)
                wall = time.monotonic() - began
            return {"scale": scale, "wall_s": wall, "events_bytes": size, **stages(spark), "scans": scans(spark)}
    finally:
        spark.stop()


def stages(spark: Any) -> dict[str, float]:
    """What the stages that ran add up to."""
    context = spark.sparkContext
    none = context._gateway.new_array(context._jvm.double, 0)  # noqa: SLF001 - the status store has no Python
    found = context._jsc.sc().statusStore().stageList(None, False, False, none, None)  # noqa: SLF001
    ran = [stage for i in range(found.size()) if (stage := found.apply(i)).numCompleteTasks()]
    return {
        "stages": len(ran),
        "tasks": sum(stage.numCompleteTasks() for stage in ran),
        "cpu_s": sum(stage.executorCpuTime() for stage in ran) / 1e9,
        "shuffle_bytes": sum(stage.shuffleWriteBytes() for stage in ran),
        "spilled_bytes": sum(stage.diskBytesSpilled() for stage in ran),
    }


def scans(spark: Any) -> list[dict[str, Any]]:
    """Every scan of Parquet files in the plans that were executed: whether of events, rows, bytes, partitions."""
    store = spark._jsparkSession.sharedState().statusStore()  # noqa: SLF001
    executions, found = store.executionsList(), []
    for i in range(executions.size()):
        number = executions.apply(i).executionId()
        nodes, figures = store.planGraph(number).allNodes(), store.executionMetrics(number)
        for j in range(nodes.size()):
            node = nodes.apply(j)
            if not node.name().startswith("Scan parquet"):
                continue
            held = [node.metrics().apply(k) for k in range(node.metrics().size())]
            values = {
                m.name(): figures.get(m.accumulatorId()).get() for m in held if figures.contains(m.accumulatorId())
            }
            found.append(
                {
                    "execution": number,
                    "events": "number of partitions read" in values,  # no other table is partitioned
                    "rows": int(values.get("number of output rows", "0").replace(",", "")),
                    "bytes": values.get("size of files read", "0.0 B"),
                    "partitions": int(values.get("number of partitions read", "1").replace(",", "")),
                }
            )
    return found


def table(results: list[dict[str, Any]]) -> str:
    """Lines of Markdown."""
    head = "| scale | events, read once | of Parquet | stages | tasks | CPU, s | shuffled | spilled |"
    lines = [head, "|" + "---|" * 8]
    for r in results:
        (events,) = (scan for scan in r["scans"] if scan["events"])
        lines.append(
            f"| {r['scale']:g} | {events['rows']:,} in {events['partitions']} days | {r['events_bytes'] / 1e6:.0f} MB |"
            f" {r['stages']} | {r['tasks']} | {r['cpu_s']:.0f} | {r['shuffle_bytes'] / 1e6:.0f} MB |"
            f" {r['spilled_bytes'] / 1e6:.0f} MB |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure every scale, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scales", type=float, nargs="+", default=[0.01, 0.1], help="1 is 30 million events")
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)  # a scale, in this process, as JSON
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measure(arguments.one)))
        return 0
    results = []
    for scale in arguments.scales:
        command = [sys.executable, "-m", "benchmarks.spark", "--one", str(scale)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
        results.append(json.loads(done.stdout.splitlines()[-1]))
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
