"""Classes of cells and what each must satisfy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.calibration.tally import Key, Tally

Class = Literal["A", "B", "C"]

TOLERANCE = 0.1  # of the nominal level: half a point of 5 %
ERRORS = 3.0  # Monte-Carlo errors allowed beyond
TAIL = 1.6  # nominal tails at which a cell must be warned of: 4 % where 2.5 % are nominal
MOST_WARNINGS = 0.01  # in class A
FEWEST_WARNINGS = 0.95  # in class C, where a tail is too large


@dataclass(frozen=True, slots=True)
class Verdict:
    """One cell, judged. `what` is empty where everything holds."""

    key: Key
    tally: Tally
    kind: Class
    reason: str
    what: tuple[str, ...]

    @property
    def lower(self) -> float:
        """Rate of the lower tail."""
        return self.tally.lower / self.tally.replications

    @property
    def upper(self) -> float:
        """Rate of the upper tail."""
        return self.tally.upper / self.tally.replications

    @property
    def rate(self) -> float:
        """Both tails."""
        return self.lower + self.upper

    @property
    def error(self) -> float:
        """Monte-Carlo standard error of the rate."""
        return error(self.rate, self.tally)

    @property
    def warned(self) -> float:
        """Share of replications with a guard, or without a result."""
        return self.tally.fired / self.tally.replications

    @property
    def holds(self) -> bool:
        """Whether the cell does what its class promises."""
        return not self.what


def error(rate: float, tally: Tally) -> float:
    """Monte-Carlo standard error, not below that of the nominal level where nothing was rejected."""
    return math.sqrt(max(rate * (1 - rate), tally.nominal / tally.replications) / tally.replications)


def _excess(kind: Class, tally: Tally) -> float:
    """Monte-Carlo errors by which a rate is off, beyond what its class tolerates."""
    rate = (tally.lower + tally.upper) / tally.replications
    nominal_error = math.sqrt(tally.nominal * (1 - tally.nominal) / tally.replications)
    if kind == "A":
        return (abs(rate - tally.nominal) - TOLERANCE * tally.nominal) / nominal_error
    return (rate - tally.nominal) / nominal_error


def judge(cells: Mapping[Key, Tally], classes: Mapping[Key, tuple[Class, str]]) -> list[Verdict]:
    """Every cell; rates of classes A and B by Holm over all their cells, at the level of three errors for one."""
    from metricdef.stats.multiplicity import adjust
    from metricdef.stats.tails import z_tail

    level = z_tail(ERRORS)
    tested = [key for key in cells if classes[key][0] != "C"]
    p_values = [z_tail(_excess(classes[key][0], cells[key])) for key in tested]
    off = {key for key, no in zip(tested, adjust(p_values, "holm", level).rejected, strict=True) if no}
    found = []
    for key, tally in cells.items():
        kind, reason = classes[key]
        what = []
        if key in off:
            what.append("rate")
        warned = tally.fired / tally.replications
        slack = ERRORS * math.sqrt(MOST_WARNINGS * (1 - MOST_WARNINGS) / tally.replications)
        if kind == "A" and tally.guarded and warned > MOST_WARNINGS + slack:
            what.append("warns")
        worst = max(tally.lower, tally.upper) / tally.replications
        if kind == "C" and worst > TAIL * tally.nominal / tally.sides and warned < FEWEST_WARNINGS:
            what.append("silent")
        found.append(Verdict(key, tally, kind, reason, tuple(what)))
    return found
