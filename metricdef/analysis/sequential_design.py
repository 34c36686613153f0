"""The declared sequential design with every default filled in (semantics.md, section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from metricdef.definitions.link_sequential import look_times
from metricdef.definitions.models import Experiment, Sequential
from metricdef.stats.group_sequential import AlphaSpending
from metricdef.stats.spending import Spending
from metricdef.stats.true_bounds import HaybittlePeto, PlannedSpending, PowerShape

ANYTIME_UNITS = 10_000  # the size at which intervals valid at any time are tightest where none is declared
FUTILITY_BETA = 0.2  # 1 - power of the planned units, of which futility spends (docs/adr/0020-futility.md)


@dataclass(frozen=True, slots=True)
class SequentialDesign:
    """When the data are looked at, and how alpha is spent.

    Attributes:
        method: group_sequential, always_valid or hybrid.
        start: Of the experiment.
        looks: Planned looks, in order; empty for always_valid.
        rule: How the planned looks spend; None for always_valid.
        anytime_share: Part of every test's level that a test valid at any time has: 0, 1, or between for a hybrid.
        planned_units: In all arms by the end; None where nothing depends on it.
        unplanned: What a run between looks is: hide shows no estimate, spend makes it a look.
        futility: How beta is spent; None without futility.
    """

    method: Literal["group_sequential", "always_valid", "hybrid"]
    start: datetime
    looks: tuple[datetime, ...]
    rule: AlphaSpending | None
    anytime_share: float
    planned_units: int | None
    unplanned: Literal["hide", "spend"]
    futility: AlphaSpending | None

    @property
    def fractions(self) -> tuple[float, ...]:
        """Planned fractions j / J."""
        return tuple((j + 1) / len(self.looks) for j in range(len(self.looks)))


def sequential_design(experiment: Experiment, timezone: str, planned_end: datetime) -> SequentialDesign | None:
    """The design of an experiment; None for a fixed one. A hybrid without looks has one, at the planned end."""
    declared = experiment.analysis.sequential
    if declared is None or declared.method == "fixed":
        return None
    looks = () if declared.method == "always_valid" else look_times(experiment, timezone) or (planned_end,)
    share = {"group_sequential": 0.0, "always_valid": 1.0}.get(declared.method)
    if share is None:
        anytime, final = declared.anytime_alpha or 0.0, declared.final_alpha or 0.0
        share = anytime / (anytime + final)
    futility = declared.futility
    return SequentialDesign(
        declared.method,
        experiment.start.at(timezone),
        looks,
        _rule(declared, len(looks)) if looks else None,
        share,
        declared.planned_units,
        declared.unplanned,
        AlphaSpending(Spending(futility.spending, futility.gamma)) if futility else None,  # type: ignore[arg-type]  # rule spending-form
    )


def _rule(declared: Sequential, count: int) -> AlphaSpending:
    """By a spending function; true bounds spend as they would with information as planned, so each look needs only those before."""
    if declared.bounds is None:
        return AlphaSpending(Spending(declared.spending or "obrien_fleming", declared.gamma))
    shapes: dict[str, PowerShape | HaybittlePeto] = {
        "obrien_fleming": PowerShape(0.0),
        "pocock": PowerShape(0.5),
        "haybittle_peto": HaybittlePeto(),
    }
    fractions = tuple((j + 1) / count for j in range(count))
    return AlphaSpending(PlannedSpending(shapes[declared.bounds], fractions, 1))
