"""What is asked of the rows of each source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce

from metricdef.compiler.alternatives import Filter
from metricdef.compiler.fact_flags import Flags, flags_of
from metricdef.compiler.open_instant import earlier, later
from metricdef.compiler.plan import Bounds, Plan, UnitColumn
from metricdef.metrics.base import FunnelStep

BY_ROWS = ("first", "last", "events", "observed_days")  # not an aggregate of the stage that has one row per unit


@dataclass(frozen=True, slots=True)
class Facts:
    """What is asked of one source's rows."""

    name: str
    columns: tuple[UnitColumn, ...]
    steps: tuple[tuple[FunnelStep, Bounds], ...]
    trigger: Filter | None
    filters: frozenset[Filter]  # of any of these
    flags: Flags
    span: tuple[int, int]  # every row is at or after the first instant and before the second
    earliest: int  # and at least this long after first exposure

    @property
    def table(self) -> str:
        """The stage that holds the rows."""
        return f"md_facts_{self.name}"

    @property
    def aggregated(self) -> tuple[UnitColumn, ...]:
        """Columns of the stage with one row per unit."""
        return tuple(c for c in self.columns if c.agg not in BY_ROWS)

    def needs(self) -> Iterator[tuple[Filter, Bounds]]:
        """Which rows something wants: a filter and when."""
        for column in self.columns:
            yield column.filter, column.bounds
        for step, bounds in self.steps:
            yield step.filter, bounds


def measures_of(columns: Iterable[UnitColumn]) -> list[str]:
    """What is measured of the rows, each once."""
    return sorted({c.measure for c in columns if c.measure is not None})


def facts_of(plan: Plan) -> list[Facts]:
    """Everything that is asked of each source of events, by name."""
    found = []
    for name in plan.sources:
        columns = tuple(
            c
            for c in plan.unit_columns
            if c.source == name and c.agg != "observed_days" and not (plan.state and c.name in plan.state.columns)
        )
        steps = tuple((s, f.bounds) for f in plan.funnels for s in f.funnel.steps if s.source == name)
        trigger = plan.trigger.filter if plan.trigger and plan.trigger.source == name else None
        if not columns and not steps and trigger is None:
            continue
        filters = frozenset([*(c.filter for c in columns), *(s.filter for s, _ in steps)])
        filters |= set() if trigger is None else {trigger}
        flags = flags_of(filters, name, plan.sources[name], measures_of(columns))
        bounds = [*(c.bounds for c in columns), *(b for _, b in steps)]
        earliest = min([b.start for b in bounds] + ([0] if trigger is not None else []))
        found.append(
            Facts(
                name,
                columns,
                steps,
                trigger,
                filters,
                flags,
                _span(plan, bounds, triggers=trigger is not None),
                earliest,
            )
        )
    return found


def _span(plan: Plan, bounds: list[Bounds], *, triggers: bool) -> tuple[int, int]:
    """First and last instant that any value can need, whatever the unit's first exposure."""
    low = plan.start + min((b.start for b in bounds), default=0)
    highs = [
        plan.enrolment_end + b.end if b.end is not None else b.ceiling if b.ceiling is not None else plan.as_of_us
        for b in bounds
    ]
    if triggers:
        low, highs = min(low, plan.start), [*highs, plan.enrolment_end]
    return low, earlier(plan.as_of_us, reduce(later, highs))
