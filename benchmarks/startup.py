"""How long `metricdef --help` takes over an empty Python: what every command pays before it begins.

Both programs are started in turn, so that a busy moment of the machine falls on both; medians are compared.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median, quantiles

from metricdef import __version__

RESULT = Path(__file__).resolve().parent / "results" / "startup.json"
BAR_MS = 100.0
GOAL_MS = 60.0


def programs() -> dict[str, list[str]]:
    """The commands compared, the reference first."""
    python = Path(sys.executable)
    return {
        "python -c pass": [str(python), "-c", "pass"],
        "metricdef --help": [str(python.with_name("metricdef")), "--help"],
    }


def seconds(command: list[str]) -> float:
    """Wall time of one start."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure(commands: dict[str, list[str]], runs: int) -> dict[str, list[float]]:
    """Milliseconds of each start; the first round fills caches and is not counted."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, command in commands.items():
            taken = seconds(command) * 1000
            if turn:
                times[name].append(taken)
    return times


def summary(times: dict[str, list[float]]) -> dict[str, object]:
    """Medians and quartiles per program, then ratio and difference of the medians."""
    (_, reference), (_, ours) = times.items()
    spread = {name: quantiles(values, n=4) for name, values in times.items()}
    return {
        "metricdef": __version__,
        "python": platform.python_version(),
        "runs": len(ours),
        "milliseconds": {
            name: {
                "median": round(median(values), 2),
                "quartiles": [round(spread[name][0], 2), round(spread[name][2], 2)],
            }
            for name, values in times.items()
        },
        "ratio": round(median(ours) / median(reference), 3),
        "difference_ms": round(median(ours) - median(reference), 2),
        "bar_ms": BAR_MS,
        "goal_ms": GOAL_MS,
    }


def table(times: dict[str, list[float]]) -> str:
    """The result for a person."""
    (_, reference), (_, ours) = times.items()
    over, ratio = median(ours) - median(reference), median(ours) / median(reference)
    lines = [f"{'program':<20}{'median ms':>12}{'quartiles':>18}"]
    for name, values in times.items():
        low, _, high = quantiles(values, n=4)
        lines.append(f"{name:<20}{median(values):>12.1f}{f'{low:.1f}–{high:.1f}':>18}")
    verdict = "goal met" if over <= GOAL_MS else "bar met" if over <= BAR_MS else "over the bar"
    lines.append(f"{ratio:.2f} times, {over:+.1f} ms (bar {BAR_MS:.0f}, goal {GOAL_MS:.0f}): {verdict}")
    return "\n".join(lines)


def main() -> int:
    """Measure, record, print; 1 when the bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=21, help="starts of each program that count (default %(default)s)")
    runs = parser.parse_args().runs
    if runs < 2:
        parser.error("--runs must be at least 2")
    times = measure(programs(), runs)
    result = summary(times)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(table(times))
    return 0 if median(times["metricdef --help"]) - median(times["python -c pass"]) <= BAR_MS else 1


if __name__ == "__main__":
    sys.exit(main())
