"""Share of units that complete a sequence of steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from metricdef.metrics.base import (
    CAP_ON_PROPORTION,
    Funnel,
    FunnelStep,
    Metric,
    Part,
    Problem,
    Reference,
    source_references,
)
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
    refused_keys: ClassVar[Mapping[str, tuple[str, str, str]]] = CAP_ON_PROPORTION

    def references(self) -> Iterator[Reference]:
        """Each step's source and columns."""
        for position, step in enumerate(self.steps):
            yield from source_references(step.source, None, step.filter, ("steps", position))

    def problems(self) -> Iterator[Problem]:
        """2 to 20 steps with names of their own."""
        if len(self.steps) not in STEPS:
            yield Problem(("steps",), "funnel-steps", f"a funnel has 2 to 20 steps, this one has {len(self.steps)}")
        if self.order == "any":
            for position, step in enumerate(self.steps):
                if step.within is not None:
                    what = "`within` counts from the step before, and with `order: any` there is none"
                    yield Problem(("steps", position, "within"), "funnel-within", what, "remove `within`")
        seen: set[str] = set()
        for position, step in enumerate(self.steps):
            if step.name in seen:
                yield Problem(("steps", position, "name"), "duplicate-name", f"two steps are named `{step.name}`")
            seen.add(step.name)

    def parts(self, metrics: Mapping[str, Metric]) -> tuple[Part, ...]:
        """One 0/1 value a step: completed it and all before it."""
        funnel = Funnel(
            tuple(FunnelStep(s.source, s.filter, s.within.microseconds if s.within else None) for s in self.steps),
            self.order == "sequential",
        )
        return tuple(
            Part(step.source, "step", None, step.filter, self.window, funnel=funnel, position=position, label=step.name)
            for position, step in enumerate(self.steps)
        )

    @property
    def outcome_parts(self) -> slice:
        """The last step: completion."""
        return slice(len(self.steps) - 1, None)
