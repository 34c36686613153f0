"""The protocol's analysis settings with every default filled in (semantics.md, sections 5 to 7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from metricdef.compiler.plan import Plan
from metricdef.definitions.models import ROLES, Decision, Experiment, Role
from metricdef.definitions.project import Project
from metricdef.stats.multiplicity import Method

DETERIORATION_ALPHA = 0.01  # one-sided, Holm over primary and guardrail metrics x arms
DEFAULT_METHODS: dict[Role, Method] = {"primary": "holm", "secondary": "holm", "guardrail": "none"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Levels are one-sided; two-sided intervals of a row have level 1 - 2 * level."""

    confidence: float
    success_alpha: float
    non_inferiority_alpha: float
    deterioration_alpha: float
    srm_alpha: float
    methods: dict[Role, Method]
    mixed: str
    decision: Decision
    prefer: tuple[str, ...]
    shown_from: datetime
    planned_end: datetime
    deviations: tuple[dict[str, str], ...] = field(default_factory=tuple)

    def level(self, role: str) -> float:
        """Two-sided alpha of a row's interval."""
        return 2 * (self.non_inferiority_alpha if role == "guardrail" else self.success_alpha)


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
    return Settings(
        confidence=confidence,
        success_alpha=(alphas and alphas.success) or half,
        non_inferiority_alpha=(alphas and alphas.non_inferiority) or half,
        deterioration_alpha=(alphas and alphas.deterioration) or DETERIORATION_ALPHA,
        srm_alpha=experiment.validation.srm_alpha or (alphas and alphas.quality) or defaults.srm_alpha,
        methods={role: _method(project, experiment, role) for role in ROLES},
        mixed=experiment.exposure.mixed,
        decision=experiment.decision,
        prefer=experiment.prefer,
        shown_from=start + timedelta(microseconds=hold.microseconds if hold else 0),
        planned_end=experiment.end.at(defaults.timezone) + timedelta(microseconds=_longest_wait(project, plan)),
        deviations=tuple({"on": a.on.text, "by": a.by, "what": a.what, "why": a.why} for a in experiment.amendments),
    )


def _method(project: Project, experiment: Experiment, role: Role) -> Method:
    for multiplicity in (experiment.analysis.multiplicity, project.settings.defaults.multiplicity):
        correction = getattr(multiplicity, role) if multiplicity else None
        if correction is not None:
            return correction.method  # type: ignore[no-any-return]  # others are refused before
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
