"""An experiment's numbers under two states of its definitions, from the same data and as of the same instant.

Nothing is recorded, and nothing is shown that a run would hide under either state: not in a hold, not between looks, not at a
look of the plan that no run has recorded yet, and no test at the planned end of one state before that of the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction

from metricdef.analysis.analyse import analyse
from metricdef.analysis.look_record import LookRecord, before, carried_over, frozen_caps
from metricdef.analysis.readout import DecisionRow, EstimateRow, Readout
from metricdef.analysis.schedule import iso, stage_of
from metricdef.analysis.settings import analysis_settings
from metricdef.compiler.build_plan import build_plan
from metricdef.definitions.project import Project
from metricdef.definitions.used import renamed_metrics
from metricdef.errors import UsageError
from metricdef.governance.findings import check_protocol
from metricdef.warehouses import Profile, Warehouse
from metricdef.warehouses.isolate import Run, execute_isolated

SAMPLED = "sampled"  # the reason why a row of a sample has no verdict
SAME = 1e-9  # relative to the size of a number and its standard error: engines add in any order


@dataclass(frozen=True, slots=True)
class Pair:
    """One metric in one arm before and now; None where that state has no such comparison."""

    metric: str
    role: str
    arm: str
    before: EstimateRow | None
    after: EstimateRow | None

    @property
    def is_changed(self) -> bool:
        """Whether any number or verdict differs by more than the order of additions can make."""
        if self.before is None or self.after is None:
            return True
        return self.is_flipped or not all(map(_same, _numbers(self.before), _numbers(self.after)))

    @property
    def is_flipped(self) -> bool:
        """Whether the verdict is another one."""
        return self.before is not None and self.after is not None and self.before.verdict != self.after.verdict


@dataclass(frozen=True, slots=True)
class Numbers:
    """An experiment before and now.

    Attributes:
        experiment: Its name.
        base: What it was compared with.
        as_of: Of both runs.
        hidden: Why estimates and decisions are not shown; None where they are.
        units: Units analysed by arm, before and now; None where a state has no such arm.
        pairs: Every comparison; empty where they are hidden.
        decisions: Before and now; None where they are hidden.
        same_sql: Whether both states compile to the same SQL.
        sample: The share of units that both were computed from; None: all. Of a sample nothing is a verdict.
    """

    experiment: str
    base: str
    as_of: str
    hidden: str | None
    units: tuple[tuple[str, int | None, int | None], ...]
    pairs: tuple[Pair, ...]
    decisions: tuple[DecisionRow, DecisionRow] | None
    same_sql: bool
    sample: Fraction | None = None

    @property
    def flips(self) -> tuple[Pair, ...]:
        """Comparisons whose verdict is another one."""
        return tuple(pair for pair in self.pairs if pair.is_flipped)

    @property
    def is_changed(self) -> bool:
        """Whether anything that is shown differs."""
        decided = self.decisions is not None and _call(self.decisions[0]) != _call(self.decisions[1])
        return decided or any(one != two for _, one, two in self.units) or any(pair.is_changed for pair in self.pairs)


def compare_numbers(
    base: Project,
    head: Project,
    experiment: str,
    as_of: datetime,
    warehouse: Warehouse,
    profile: Profile,
    history: Sequence[LookRecord],
    progress: Callable[[str], None],
    name: str,
    sample: Fraction | None = None,
) -> Numbers:
    """Both states, run on one connection.

    Args:
        base: The definitions before.
        head: The definitions now.
        experiment: A name that both have.
        as_of: Rows at or after it don't count.
        warehouse: Where to execute.
        profile: With its schemas.
        history: Recorded looks.
        progress: Told what starts.
        name: What the base is called.
        sample: The share of units to read, the same ones for both.

    Raises MetricdefError where a state can't be run.
    """
    hidden = _refused(base, experiment) or hidden_because(
        base, head, experiment, as_of, history, is_sample=bool(sample)
    )
    readouts = []
    for word, project in (("before", base), ("now", head)):
        progress(f"computing {experiment} as it is defined {word}")
        frozen = frozen_caps(before(carried_over(history, renamed_metrics(project)), as_of))
        run = Run(project, experiment, as_of, warehouse, profile, False, progress, frozen, sample)
        readout = analyse(project, *execute_isolated(run), None, () if sample else history)
        readouts.append(_without_verdicts(readout) if sample else readout)
    one, two = readouts
    return Numbers(
        experiment,
        name,
        iso(as_of),
        hidden,
        _units(one, two),
        () if hidden else tuple(_pairs(one, two, renamed_metrics(head))),
        None if hidden or sample else (one.decision, two.decision),
        _body(one) == _body(two),
        sample,
    )


def _without_verdicts(readout: Readout) -> Readout:
    """Estimates and intervals alone: a sample has less power than was planned, and its tests are nobody's."""
    rows = [
        replace(
            row, verdict="not_computed", reason=row.reason or SAMPLED, p_value=None, p_adjusted=None, tests=(), also=()
        )
        for row in readout.estimates
    ]
    return replace(readout, estimates=tuple(rows))


def _refused(base: Project, experiment: str) -> str | None:
    """Why no run would show the state before: its protocol isn't the locked one, so that it could be chosen to show more."""
    if experiment not in base.experiments:
        return None
    refusal = next((d for d in check_protocol(base, experiment) if d.severity == "error"), None)
    return f"as defined before, a run is refused: {refusal.message}" if refusal else None


def hidden_because(
    base: Project,
    head: Project,
    experiment: str,
    as_of: datetime,
    history: Sequence[LookRecord],
    *,
    is_sample: bool = False,
) -> str | None:
    """Why estimates must not be shown; None where a run may show them under both states."""
    stages = []
    for word, project in (("before", base), ("now", head)):
        if experiment not in project.experiments:
            raise UsageError(f"experiment `{experiment}` is not defined {word}", ["numbers need both states of it"])
        plan = build_plan(project, experiment, as_of)
        settings = analysis_settings(project, plan)
        looks = carried_over(history, renamed_metrics(project))
        stage = stage_of(as_of, settings, looks)
        if stage.hidden:
            return f"as defined {word}: {stage.early}"
        design = settings.sequential
        if (
            design is not None
            and design.method != "always_valid"
            and (stage.look is None or stage.look.recorded is None)
        ):
            return f"as defined {word}, this is a look that is not recorded: `metricdef run` takes and records it"
        if design is not None and is_sample:
            return f"as defined {word}, bounds are for all units of a look: there are none for a sample"
        stages.append(stage)
    if stages[0].early and not stages[1].early:
        return f"as defined before, nothing is tested yet: {stages[0].early}"
    return None


def _units(one: Readout, two: Readout) -> tuple[tuple[str, int | None, int | None], ...]:
    first, second = ({arm.arm: arm.units for arm in readout.arms} for readout in (one, two))
    return tuple((arm, first.get(arm), second.get(arm)) for arm in dict.fromkeys((*first, *second)))


def _pairs(one: Readout, two: Readout, names: dict[str, str]) -> list[Pair]:
    """Overall comparisons by metric and arm, those of a renamed metric under its new name."""
    found: dict[tuple[str, str], list[EstimateRow | None]] = {}
    for position, readout in enumerate((one, two)):
        for row in readout.estimates:
            if row.segment is None:
                metric = names.get(row.metric, row.metric) if position == 0 else row.metric
                found.setdefault((metric, row.arm), [None, None])[position] = row
    pairs = []
    for (metric, arm), (first, second) in found.items():
        role = next((row.role for row in (second, first) if row is not None), "")
        pairs.append(Pair(metric, role, arm, first, second))
    return pairs


def _numbers(row: EstimateRow) -> list[tuple[float | None, float]]:
    """What is compared of a row: numbers, each with the size below which a difference means nothing."""
    scale = row.absolute.std_error or 0.0 if row.absolute else 0.0
    absolute = row.absolute
    shown = (absolute.estimate, absolute.lower, absolute.upper) if absolute else (None, None, None)
    units = row.units or (None, None)
    return [(value, scale) for value in (*units, row.baseline_value, row.arm_value, *shown, row.p_value)]


def _same(one: tuple[float | None, float], two: tuple[float | None, float]) -> bool:
    (first, scale), (second, other) = one, two
    if first is None or second is None:
        return first is second
    return math.isclose(first, second, rel_tol=SAME, abs_tol=SAME * max(scale, other))


def _call(decision: DecisionRow) -> tuple[str, str | None]:
    return decision.recommendation, decision.arm


def _body(readout: Readout) -> str:
    """The SQL without its header, which names versions and hashes."""
    return (readout.sql or "").partition("\n\n")[2]
