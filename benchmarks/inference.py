"""How long the statistics take once the moments are there: sequential bounds and inference, from numbers to results.

Each task is run once to load what it imports, then `--runs` times; medians are reported.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

from metricdef import __version__
from metricdef.stats.futility import futility_design
from metricdef.stats.group_sequential import AlphaSpending, Boundaries, boundaries
from metricdef.stats.repeated import repeated_p
from metricdef.stats.spending import Spending
from metricdef.stats.stagewise import stagewise
from metricdef.stats.true_bounds import PowerShape

RESULT = Path(__file__).resolve().parent / "results" / "inference.json"
BARS_MS = {"bounds, 30 looks": 1000.0}  # daily looks of a month, for one metric

OBRIEN_FLEMING = AlphaSpending(Spending("obrien_fleming"))
POCOCK = AlphaSpending(Spending("pocock"))


def tasks() -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    month = [j / 30 for j in range(1, 31)]
    weeks = [j / 10 for j in range(1, 11)]

    def design(information: list[float]) -> Boundaries:
        return boundaries(POCOCK, information, 0.05, 2)

    daily, weekly = design(month), design(weeks)
    return {
        "bounds, 30 looks": lambda: design(month),
        "bounds, 30 looks, O'Brien–Fleming spending": lambda: boundaries(OBRIEN_FLEMING, month, 0.05, 2),
        "true O'Brien–Fleming bounds, 30 looks": lambda: boundaries(PowerShape(0.0), month, 0.05, 2),
        "futility design, 5 looks": lambda: futility_design(
            OBRIEN_FLEMING, POCOCK, weeks[1::2], 0.025, 0.2, binding=False
        ),
        "repeated p, look 30": lambda: repeated_p(daily, 29, 2.2),
        "stage-wise p, estimate, interval, look 10": lambda: stagewise(weekly, 9, 2.4, 0.1),
    }


def measure(functions: dict[str, Callable[[], object]], runs: int) -> dict[str, list[float]]:
    """Milliseconds of each run of each task; the first is not counted."""
    times: dict[str, list[float]] = {}
    for name, function in functions.items():
        function()
        times[name] = []
        for _ in range(runs):
            began = time.perf_counter()
            function()
            times[name].append((time.perf_counter() - began) * 1000)
    return times


def summary(times: dict[str, list[float]]) -> dict[str, object]:
    """Medians and quartiles per task."""
    return {
        "metricdef": __version__,
        "python": platform.python_version(),
        "runs": len(next(iter(times.values()))),
        "milliseconds": {
            name: {"median": round(median(values), 3), "quartiles": [round(q, 3) for q in quantiles(values, n=4)[::2]]}
            for name, values in times.items()
        },
        "bars_ms": BARS_MS,
    }


def table(times: dict[str, list[float]]) -> str:
    """The result for a person."""
    width = max(map(len, times)) + 2
    lines = [f"{'task':<{width}}{'median ms':>12}{'quartiles':>18}{'bar ms':>10}"]
    for name, values in times.items():
        low, _, high = quantiles(values, n=4)
        bar = f"{BARS_MS[name]:.0f}" if name in BARS_MS else ""
        lines.append(f"{name:<{width}}{median(values):>12.2f}{f'{low:.2f}–{high:.2f}':>18}{bar:>10}")
    return "\n".join(lines)


def main() -> int:
    """Measure, record, print; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=11, help="runs of each task that count (default %(default)s)")
    runs = parser.parse_args().runs
    if runs < 2:
        parser.error("--runs must be at least 2")
    times = measure(tasks(), runs)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(summary(times), indent=2) + "\n", encoding="utf-8")
    print(table(times))
    return 0 if all(median(times[name]) <= bar for name, bar in BARS_MS.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
