"""The protocol's analysis settings with every default filled in (semantics.md, sections 5 to 7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from metricdef.analysis.sequential_design import SequentialDesign, sequential_design
from metricdef.compiler.plan import Plan
from metricdef.definitions.models import ROLES, Correction, Decision, Experiment, Role
from metricdef.definitions.project import Project
from metricdef.definitions.used import correction_of
from metricdef.stats.family import FamilyMethod

DETERIORATION_ALPHA = 0.01  # one-sided, Holm over primary and guardrail metrics x arms
DEFAULT_METHODS: dict[Role, FamilyMethod] = {"primary": "holm", "secondary": "holm", "guardrail": "none"}
MORE_THAN_P = ("graph", "dunnett", "max_t")  # made for the tests of all a role's metrics; other tests of it take Holm


@dataclass(frozen=True, slots=True)
class Settings:
    """Levels are one-sided; two-sided intervals of a row have level 1 - 2 * level."""

    confidence: float
    success_alpha: float
    non_inferiority_alpha: float
    deterioration_alpha: float
    srm_alpha: float
    methods: dict[Role, FamilyMethod]
    mixed: str
    decision: Decision
    prefer: tuple[str, ...]
    shown_from: datetime
    planned_end: datetime
    declared: dict[Role, Correction] = field(default_factory=dict)
    min_units: int = 0  # of an arm at a level of a breakdown, below which its figures are not shown
    sequential: SequentialDesign | None = None  # None: a fixed design

    def level(self, role: str) -> float:
        """Two-sided alpha of a row's interval."""
        return 2 * (self.non_inferiority_alpha if role == "guardrail" else self.success_alpha)

    def equivalence_alpha(self, role: str) -> float:
        """Level of each of the two one-sided tests: the row's interval inside the margins is what they show."""
        return self.level(role) / 2

    def correction(self, role: Role) -> Correction:
        """How a role's main tests are corrected: superiority, of guardrails non-inferiority."""
        return self.declared.get(role) or Correction(method=self.methods[role])

    def equivalence_correction(self, role: Role) -> Correction:
        """How a role's equivalence tests, a family of their own, are corrected.

        As declared; by Holm where that is made for the tests of all the role's metrics. Where nothing is declared: not
        at all if every metric must be equivalent to ship (intersection-union), else by the role's default.
        """
        declared = self.declared.get(role)
        if declared is not None:
            return Correction(method="holm") if declared.method in MORE_THAN_P else declared
        if self.decision.ship and getattr(self.decision.ship, role) == "all_equivalent":
            return Correction(method="none")
        return Correction(method=DEFAULT_METHODS[role])


def analysis_settings(project: Project, plan: Plan) -> Settings:
    """Settings of the plan's experiment."""
    experiment = project.experiments[plan.experiment]
    defaults = project.settings.defaults
    analysis = experiment.analysis
    confidence = analysis.confidence or defaults.confidence
    half = round((1 - confidence) / 2, 12)  # 1 - 0.95 is 0.050000000000000044
    alphas = analysis.alpha
    start = experiment.start.at(defaults.timezone)
    hold = experiment.validation.hold
    planned_end = experiment.end.at(defaults.timezone) + timedelta(microseconds=_longest_wait(project, plan))
    declared = {role: found for role in ROLES if (found := correction_of(project, experiment, role)) is not None}
    return Settings(
        confidence=confidence,
        success_alpha=(alphas and alphas.success) or half,
        non_inferiority_alpha=(alphas and alphas.non_inferiority) or half,
        deterioration_alpha=(alphas and alphas.deterioration) or DETERIORATION_ALPHA,
        srm_alpha=experiment.validation.srm_alpha or (alphas and alphas.quality) or defaults.srm_alpha,
        methods={
            role: declared[role].method if role in declared else _default_method(experiment, role) for role in ROLES
        },
        mixed=experiment.exposure.mixed,
        decision=experiment.decision,
        prefer=experiment.prefer,
        shown_from=start + timedelta(microseconds=hold.microseconds if hold else 0),
        planned_end=planned_end,
        declared=declared,
        min_units=project.settings.min_units or 0,
        sequential=sequential_design(experiment, defaults.timezone, planned_end),
    )


def _default_method(experiment: Experiment, role: Role) -> FamilyMethod:
    ship = experiment.decision.ship
    if role == "primary" and ship and ship.primary == "all_superior":
        return "none"  # all must be superior: intersection-union, each at full level
    return DEFAULT_METHODS[role]


def _longest_wait(project: Project, plan: Plan) -> int:
    """Microseconds after the end of enrolment at which the last unit's last window is complete and settled."""
    waits = [block.horizon or 0 for block in plan.blocks]
    for column in plan.unit_columns:
        settles = project.sources[column.source].settles_after
        waits.append((column.bounds.end or 0) + (settles.microseconds if settles else 0))
    for funnel in plan.funnels:
        sources = [project.sources[step.source].settles_after for step in funnel.funnel.steps]
        settled = max((s.microseconds for s in sources if s), default=0)
        waits.append((funnel.bounds.end or 0) + settled)
    return max([0, *waits])
