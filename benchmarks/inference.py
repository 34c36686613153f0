"""How long the statistics take once the moments are there: sequential bounds and inference, from moments to results.

Everything runs on one core. Each task is run once to load what it imports, then `--runs` times; medians are reported.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

import numpy as np

from metricdef import __version__
from metricdef.stats.adjustment import MeanOutcome, choose
from metricdef.stats.effects import difference, relative, test_one_sided, test_superiority
from metricdef.stats.futility import futility_design
from metricdef.stats.group_sequential import AlphaSpending, Boundaries, boundaries
from metricdef.stats.max_t import Contrast, contrast_correlation, max_t
from metricdef.stats.moments import Moments, from_rows, select
from metricdef.stats.multiplicity import Adjusted, adjust
from metricdef.stats.repeated import repeated_p
from metricdef.stats.spending import Spending
from metricdef.stats.stagewise import stagewise
from metricdef.stats.true_bounds import PowerShape

RESULT = Path(__file__).resolve().parent / "results" / "inference.json"
METRICS, ARMS, UNITS = 200, 5, 1000
COVARIATES = ("x1", "x2", "x3")
JOINT = 10  # metrics of the family that asks for max-T
SEED = 20240607

EVERYTHING = f"{METRICS} metrics × {ARMS} arms × {len(COVARIATES)} covariates"
MAX_T = f"besides, if asked: max-T over {JOINT} metrics × {ARMS - 1} arms"
BARS_MS = {
    "bounds, 30 looks": 1000.0,  # daily looks of a month, for one metric
    EVERYTHING: 1000.0,
}

OBRIEN_FLEMING = AlphaSpending(Spending("obrien_fleming"))
POCOCK = AlphaSpending(Spending("pocock"))


def observed() -> list[list[Moments]]:
    """Moments per metric and arm, baseline first; the metrics of the max-T family share their units' moments."""
    rng = np.random.default_rng(SEED)
    names = tuple(f"y{i}" for i in range(JOINT))
    mix = rng.normal(size=(len(COVARIATES), JOINT))

    def units(outcomes: int) -> np.ndarray:
        x = rng.normal(size=(UNITS, len(COVARIATES)))
        return np.column_stack([x @ mix[:, :outcomes] + rng.normal(size=(UNITS, outcomes)) + 5.0, x])

    joint = [from_rows((*names, *COVARIATES), units(JOINT)) for _ in range(ARMS)]
    alone = [[from_rows(("y", *COVARIATES), units(1)) for _ in range(ARMS)] for _ in range(METRICS - JOINT)]
    return [*([select(arm, (name, *COVARIATES)) for arm in joint] for name in names), *alone, joint]


def inference(metrics: list[list[Moments]]) -> Adjusted:
    """What a readout asks of each metric and arm: effect, Fieller's set, three tests; Holm over all of them."""
    p_values = []
    for arms in metrics:
        est = choose(arms, MeanOutcome(arms[0].columns[0]), COVARIATES)
        for arm in range(1, len(arms)):
            difference(est, arm, 0.05)
            relative(est, arm, 0.05)
            p_values.append(test_superiority(est, arm, 0.05).p_value)
            test_one_sided(est, arm, 0.0, True, 0.025, relative=-0.01)
            test_one_sided(est, arm, 0.0, False, 0.025)
    return adjust(p_values, "holm", 0.05)


def joint_inference(joint: list[Moments]) -> object:
    """Correlation of all contrasts of the joint family from its moments, and max-T of their p-values."""
    p_values, contrasts = [], []
    for name in joint[0].columns[:JOINT]:
        est = choose(joint, MeanOutcome(name), COVARIATES)
        for arm in range(1, len(joint)):
            p_values.append(test_superiority(est, arm, 0.05).p_value)
            contrasts.append(Contrast(MeanOutcome(name), arm, "lin", est.covariates))
    return max_t(p_values, range(len(contrasts)), contrast_correlation(joint, contrasts), 0.05)


def tasks() -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    month = [j / 30 for j in range(1, 31)]
    weeks = [j / 10 for j in range(1, 11)]

    def design(information: list[float]) -> Boundaries:
        return boundaries(POCOCK, information, 0.05, 2)

    daily, weekly = design(month), design(weeks)
    *metrics, joint = observed()
    return {
        EVERYTHING: lambda: inference(metrics),
        MAX_T: lambda: joint_inference(joint),
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
    if hasattr(os, "sched_setaffinity"):  # the bars are for one core
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    times = measure(tasks(), runs)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(summary(times), indent=2) + "\n", encoding="utf-8")
    print(table(times))
    return 0 if all(median(times[name]) <= bar for name, bar in BARS_MS.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
