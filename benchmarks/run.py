"""`make bench`: the workload as metricdef compiles it, against other ways to compute the same numbers.

Writes benchmarks/results/latest.json and prints a table with the bars beside. A missed bar is a result, not a failure.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import duckdb

from benchmarks import agreement, alternatives, document, incremental
from benchmarks.measure import Cost, Settings, execute, ratio, scans, take_turns
from benchmarks.warehouse import END, SEED, VERSION, warehouse
from benchmarks.workload import Supported, compiled, compiled_daily, supported
from metricdef import __version__
from metricdef.compiler.query import Query

RESULT = Path(__file__).resolve().parent / "results" / "latest.json"

Programs = dict[str, list[str]]


@dataclass(slots=True)
class Outcome:
    """What was measured, and what was not with the reason."""

    costs: dict[str, list[Cost]]
    ratios: dict[str, float] = field(default_factory=dict)
    more: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def programs(work: Supported, skipped: dict[str, str]) -> tuple[Programs, Query]:
    """SQL of everything that takes turns, the limit first; `skipped` receives keys that cannot be measured."""
    names = work.metrics("w")
    query = compiled(work.project, "w")
    found: Programs = {
        "limit": alternatives.limit(names),
        "w": list(query.statements),
        "grouped": alternatives.grouped(names),
        "grouped_filtered": alternatives.grouped_filtered(names),
        "per_metric": alternatives.per_metric(names),
        "by_hand": alternatives.by_hand(names),
        "scan": alternatives.scan(names),
    }
    for name in ("w_without_quantile", "w_two", "w_extra", "w_dimensions", "w_daily"):
        if name in work.skipped:
            skipped["dims_over_w" if name == "w_dimensions" else name] = work.skipped[name]
        else:
            found[name] = list(compiled(work.project, name).statements)
    if "w_daily" in found:
        for days in (14, 28):
            found[f"daily_{days}"] = list(compiled_daily(work.project, "w_daily", days).statements)
    return found, query


def programs_by_day(work: Supported, settings: Settings) -> Programs:
    """What an incremental job does on day 28, once the state has the days before; run again it replaces its own rows."""
    *_, last = incremental.jobs(work.project, first=END - timedelta(days=1))
    incremental.add_days(work.project, settings, first=END - timedelta(days=1), last=END - timedelta(days=1))
    statements = list(last.output.statements)
    return {"add_day": statements[: statements.index("COMMIT") + 1], "day_job": statements}


def agree(work: Supported, query: Query, found: Programs, settings: Settings) -> float:
    """Hold every implementation to metricdef's numbers. Returns the largest difference, raises Disagreement."""
    names = work.metrics("w")
    table = execute(query.statements, settings)[-1]
    reference = agreement.compiled_figures(query.plan, table)
    quantiles = agreement.compiled_quantiles(query.plan, table)
    worst = 0.0
    for label in ("grouped", "grouped_filtered", "per_metric", "by_hand"):
        tables = execute(found[label], settings)
        worst = max(worst, agreement.compare(reference, agreement.plain_figures(names, tables), label))
        agreement.compare_quantiles(quantiles, agreement.plain_quantiles(names, tables), label)
    return worst


def measure(work: Supported, settings: Settings, repeats: int) -> Outcome:
    """Check that the numbers agree, then let the programs take turns."""
    skipped: dict[str, str] = {}
    found, query = programs(work, skipped)
    say(f"agreement: {agree(work, query, found, settings):.1e} (bound {agreement.TOLERANCE:g})")
    found |= programs_by_day(work, settings)
    outcome = Outcome(take_turns(found, settings, repeats, say), skipped=skipped)
    costs = outcome.costs

    def put(target: dict[str, float], key: str, above: str, below: str) -> None:
        if above in costs and below in costs:
            target[key] = ratio(costs, above, below)
        else:
            skipped.setdefault(key, "not computed by this version")

    put(outcome.ratios, "w_over_limit", "w", "limit")
    put(outcome.ratios, "grouped_over_w", "grouped", "w")
    put(outcome.ratios, "per_metric_over_w", "per_metric", "w")
    put(outcome.ratios, "dims_over_w", "w_dimensions", "w_without_quantile")
    put(outcome.ratios, "daily_over_w", "daily_28", "w_daily")
    put(outcome.ratios, "days28_over_days14", "daily_28", "daily_14")
    put(outcome.ratios, "incremental_over_full", "add_day", "w_daily")
    put(outcome.more, "day_job_over_full", "day_job", "w_daily")
    put(outcome.more, "grouped_filtered_over_w", "grouped_filtered", "w")
    put(outcome.more, "by_hand_over_w", "by_hand", "w")
    put(outcome.ratios, "extra_metric_over_w", "w_extra", "w")
    put(outcome.more, "metrics19_over_metrics2", "w_without_quantile", "w_two")
    outcome.ratios["fact_scans"] = scans(query.statements, "events", settings)
    outcome.ratios["peak_gb"] = peak(costs["w"]) / 1e9
    outcome.more["peak_over_grouped"] = peak(costs["w"]) / peak(costs["grouped"])
    outcome.more["extra_measure_over_limit"] = more_over_limit(costs, "w_extra", "w")
    further = len(work.metrics("w_without_quantile")) - len(work.metrics("w_two"))
    outcome.more["further_metric_over_limit"] = more_over_limit(costs, "w_without_quantile", "w_two") / further
    return outcome


def more_over_limit(costs: dict[str, list[Cost]], larger: str, smaller: str) -> float:
    """Median over turns of what a program costs more than another, in limits."""
    return median(
        (a.cpu - b.cpu) / limit.cpu for a, b, limit in zip(costs[larger], costs[smaller], costs["limit"], strict=True)
    )


def peak(costs: Sequence[Cost]) -> float:
    """Median of the peaks, in bytes."""
    return median(cost.peak for cost in costs)


def record(outcome: Outcome, work: Supported, settings: Settings, scale: float, repeats: int) -> dict[str, Any]:
    """The contents of latest.json."""
    return {
        "ratios": outcome.ratios,
        "more": outcome.more,
        "skipped": outcome.skipped,
        "dropped_metrics": work.dropped,
        "metrics": len(work.metrics("w")),
        "scale": scale,
        "repeats": repeats,
        "warehouse": {"seed": SEED, "version": VERSION},
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"system": platform.system(), "processor": platform.machine(), "threads": settings.threads},
        "versions": {
            "metricdef": __version__,
            "duckdb": duckdb.__version__,
            "python": platform.python_version(),
        },
        "programs": {
            name: {
                "cpu_s": round(median(c.cpu for c in costs), 4),
                "wall_s": round(median(c.wall for c in costs), 4),
                "peak_gb": round(peak(costs) / 1e9, 3),
                "over_limit": round(ratio(outcome.costs, name, "limit"), 3),
            }
            for name, costs in outcome.costs.items()
        },
    }


def say(line: str) -> None:
    """Progress, kept apart from the result."""
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Measure, record, print; 0 also where a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="1 is 30 million events (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds that count (default %(default)s)")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    arguments = parser.parse_args()
    if arguments.repeats < 1 or not arguments.scale > 0:
        parser.error("--repeats must be at least 1, --scale more than 0")
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(warehouse(arguments.scale), state=Path(folder) / "state.duckdb")
        work = supported(Path(folder))
        for name, reason in (work.dropped | work.skipped).items():
            say(f"left out: {name} ({reason})")
        outcome = measure(work, settings, arguments.repeats)
        result = record(outcome, work, settings, arguments.scale, arguments.repeats)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(document.text(result))
    if arguments.write_docs:
        document.write(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
