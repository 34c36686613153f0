"""Share of units that complete a sequence of steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from metricdef.metrics.base import Metric, Problem, Reference, source_references
from metricdef.metrics.fields import DurationField, Filter, NameField, Strict, as_tuple

STEPS = range(2, 21)


class Step(Strict):
    """One step of a funnel."""

    name: NameField
    source: str
    filter: Filter = ()
    within: DurationField | None = None


class FunnelMetric(Metric):
    """Share of exposed units that complete every step."""

    type: Literal["funnel"]
    steps: Annotated[tuple[Step, ...], BeforeValidator(as_tuple)]
    order: Literal["sequential", "any"] = "sequential"

    kind: ClassVar[Literal["mean", "binary", "ratio", "quantile"]] = "binary"

    def references(self) -> Iterator[Reference]:
        """Each step's source and columns."""
        for position, step in enumerate(self.steps):
            yield from source_references(step.source, None, step.filter, ("steps", position))

    def problems(self) -> Iterator[Problem]:
        """2 to 20 steps with names of their own."""
        if len(self.steps) not in STEPS:
            yield Problem(("steps",), "funnel-steps", f"a funnel has 2 to 20 steps, this one has {len(self.steps)}")
        seen: set[str] = set()
        for position, step in enumerate(self.steps):
            if step.name in seen:
                yield Problem(("steps", position, "name"), "duplicate-name", f"two steps are named `{step.name}`")
            seen.add(step.name)
