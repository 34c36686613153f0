"""Rules of experiments."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from metricdef.definitions.link_corrections import check_corrections
from metricdef.definitions.link_design import check_design
from metricdef.definitions.link_sequential import check_sequential
from metricdef.definitions.link_time import check_time
from metricdef.definitions.lookup import check_extra, check_filter, check_unit, unknown
from metricdef.definitions.models import ROLES, Experiment, Role, Target, Trigger
from metricdef.definitions.novelty import check_novelty
from metricdef.definitions.project import Project
from metricdef.definitions.used import experiment_metrics, extras_of, sources_of, unit_of
from metricdef.errors import Diagnostic
from metricdef.metrics import Metric
from metricdef.metrics.fields import Size


def check_experiment(project: Project, name: str) -> Iterator[Diagnostic]:
    """Everything that can be wrong with one experiment's protocol."""
    experiment = project.experiments[name]
    for key, value in (("hypothesis", experiment.hypothesis.strip()), ("owners", experiment.owners)):
        if not value:
            yield Diagnostic(
                "missing-key", f"`{key}` of experiment `{name}` is empty", project.place("experiments", name, key)
            )
    yield from _check_arms(project, name, experiment)
    yield from _check_time(project, name, experiment)
    yield from _check_exposure(project, name, experiment)
    yield from _check_metrics(project, name, experiment)
    yield from _check_analysis(project, name, experiment)
    yield from _check_decision(project, name, experiment)
    yield from check_novelty(project, name, experiment)
    yield from check_design(project, name)
    yield from check_time(project, name)


def _check_arms(project: Project, name: str, experiment: Experiment) -> Iterator[Diagnostic]:
    place = project.place("experiments", name, "arms", key=True)
    if len(experiment.arms) < 2:
        yield Diagnostic("too-few-arms", f"experiment `{name}` needs at least two arms", place)
    stated = [arm.share for arm in experiment.arms.values() if arm.share is not None]
    if stated and len(stated) != len(experiment.arms):
        silent = [arm for arm, value in experiment.arms.items() if value.share is None]
        yield Diagnostic(
            "shares-not-100",
            f"arm `{silent[0]}` has no share while others have",
            place,
            ("state all shares, or none for equal ones",),
        )
    elif stated and sum(stated, Fraction(0)) != 1:
        total = float(sum(stated, Fraction(0)) * 100)
        yield Diagnostic(
            "shares-not-100",
            f"the shares of experiment `{name}` sum to {total:.10g}%, not 100%",
            place,
            ("write thirds as `1/3`",) if 99 < total < 101 else (),
        )
    if experiment.baseline not in experiment.arms:
        stated_baseline = ("experiments", name, "baseline") in project.origins["experiments", name].values
        where = project.place("experiments", name, "baseline") if stated_baseline else place
        yield Diagnostic(
            "baseline-not-an-arm",
            f"baseline `{experiment.baseline}` is not an arm of experiment `{name}`",
            where,
            (f"write `baseline:` with one of {', '.join(experiment.arms)}",),
        )
    keys: dict[str, str] = {}
    for arm, value in experiment.arms.items():
        key = value.key or arm
        if key in keys:
            yield Diagnostic(
                "duplicate-name",
                f"arms `{keys[key]}` and `{arm}` have the same key `{key}`",
                project.place("experiments", name, "arms", arm, key=True),
            )
        keys[key] = arm
    for position, arm in enumerate(experiment.prefer):
        if arm not in experiment.arms:
            yield unknown(
                "arm", arm, experiment.arms, project.place("experiments", name, "prefer", position), "`prefer`"
            )
        elif arm == experiment.baseline:
            place = project.place("experiments", name, "prefer", position)
            yield Diagnostic("prefer-baseline", f"`prefer` names the baseline `{arm}`, which cannot ship", place)


def _check_time(project: Project, name: str, experiment: Experiment) -> Iterator[Diagnostic]:
    try:
        start, end = (instant.at(project.settings.defaults.timezone) for instant in (experiment.start, experiment.end))
    except (KeyError, ValueError):
        return  # a wrong time zone is reported once, in project.yml
    if end <= start:
        yield Diagnostic(
            "end-before-start", f"experiment `{name}` ends before it starts", project.place("experiments", name, "end")
        )


def _check_exposure(project: Project, name: str, experiment: Experiment) -> Iterator[Diagnostic]:
    exposure = experiment.exposure
    place = project.place("experiments", name, "exposure", "source")
    source = project.sources.get(exposure.source)
    if not project.is_declared("sources", exposure.source):
        yield unknown("source", exposure.source, project.declared("sources"), place, f"exposure of experiment `{name}`")
    elif source is not None and source.kind != "exposures":
        yield Diagnostic(
            "source-kind",
            f"exposure of experiment `{name}`: source `{exposure.source}` holds {source.kind}",
            place,
            ("name a source with `kind: exposures`",),
        )
    elif source is not None:
        for position, text in enumerate(exposure.filter):
            yield from check_filter(
                project, exposure.source, text, ("experiments", name, "exposure", "filter", position)
            )
    unit = unit_of(project, experiment)
    if unit is None:
        yield Diagnostic(
            "missing-key",
            f"experiment `{name}` has no unit",
            project.place("experiments", name),
            ("add `unit:`, or `defaults: {unit: ...}` to project.yml",),
        )
        return
    for key in ("unit", "cluster"):
        value = getattr(experiment, key)
        if value is not None and value not in project.settings.entities:
            yield unknown(
                "entity",
                value,
                project.settings.entities,
                project.place("experiments", name, key),
                f"{key} of experiment `{name}`",
            )
            return
    yield from check_unit(project, unit, exposure.source, place, f"exposure of experiment `{name}`")
    for position, segment_name in enumerate(experiment.population):
        at = project.place("experiments", name, "population", position)
        if not project.is_declared("segments", segment_name):
            yield unknown(
                "segment", segment_name, project.declared("segments"), at, f"population of experiment `{name}`"
            )
        elif segment_name in project.segments:
            yield from _check_segment_use(project, name, experiment, segment_name, unit)
    if exposure.trigger is not None:
        yield from _check_trigger(project, name, exposure.trigger, unit)


def _check_trigger(project: Project, name: str, trigger: Trigger, unit: str) -> Iterator[Diagnostic]:
    at = project.place("experiments", name, "exposure", "trigger", "source")
    if not project.is_declared("sources", trigger.source):
        yield unknown("source", trigger.source, project.declared("sources"), at, f"trigger of experiment `{name}`")
    elif (found := project.sources.get(trigger.source)) is not None:
        if found.kind == "attributes":
            yield Diagnostic(
                "source-kind",
                f"trigger of experiment `{name}`: source `{trigger.source}` holds attributes, which have no time",
                at,
                ("use a source of events",),
            )
        yield from check_unit(project, unit, trigger.source, at, f"trigger of experiment `{name}`")
        for position, text in enumerate(trigger.filter):
            yield from check_filter(
                project,
                trigger.source,
                text,
                ("experiments", name, "exposure", "trigger", "filter", position),
            )


def _check_segment_use(
    project: Project, name: str, experiment: Experiment, segment_name: str, unit: str
) -> Iterator[Diagnostic]:
    segment = project.segments[segment_name]
    position = experiment.population.index(segment_name)
    place = project.place("experiments", name, "population", position)
    yield from check_unit(project, unit, segment.source, place, f"segment `{segment_name}`")
    source = project.sources.get(segment.source)
    if source is not None and source.kind == "exposures" and segment.source != experiment.exposure.source:
        yield Diagnostic(
            "segment-source",
            f"segment `{segment_name}` is on `{segment.source}`, but units are exposed by `{experiment.exposure.source}`",
            place,
            ("a segment on exposures must use the experiment's exposure source",),
        )


def _check_metrics(project: Project, name: str, experiment: Experiment) -> Iterator[Diagnostic]:
    for position, set_name in enumerate(experiment.metrics.sets):
        if not project.is_declared("metric_sets", set_name):
            yield unknown(
                "set",
                set_name,
                project.declared("metric_sets"),
                project.place("experiments", name, "metrics", "sets", position),
                f"experiment `{name}`",
            )
    if not any(getattr(experiment.metrics, role) for role in ROLES) and not experiment.metrics.sets:
        yield Diagnostic(
            "no-metrics", f"experiment `{name}` has no metrics", project.place("experiments", name, "metrics", key=True)
        )
    roles: dict[str, str] = {}
    for role in ROLES:
        for metric_name in getattr(experiment.metrics, role):
            path = ("metrics", role, metric_name)
            place = project.place("experiments", name, *path, key=True)
            if metric_name in roles:
                yield Diagnostic(
                    "two-roles",
                    f"metric `{metric_name}` is {roles[metric_name]} and {role} in experiment `{name}`",
                    place,
                    ("keep one role",),
                )
            roles[metric_name] = role
            if not project.is_declared("metrics", metric_name):
                yield unknown(
                    "metric", metric_name, project.declared("metrics"), place, f"{role} of experiment `{name}`"
                )
    yield from _check_set_roles(project, name, roles)
    for metric_name, (role, target) in experiment_metrics(project, experiment).items():
        if metric_name in project.metrics:
            yield from _check_target(project, name, metric_name, role, target)


def _check_set_roles(project: Project, name: str, roles: dict[str, str]) -> Iterator[Diagnostic]:
    """A set may repeat a metric in its own role (the experiment's line wins), never in another one."""
    seen = dict(roles)
    targets: dict[str, Target] = {}
    for position, set_name in enumerate(project.experiments[name].metrics.sets):
        metric_set = project.metric_sets.get(set_name)
        for role in ROLES if metric_set else ():
            for metric_name in getattr(metric_set, role):
                target = getattr(metric_set, role)[metric_name]
                if metric_name not in roles and targets.setdefault(metric_name, target) != target:
                    yield Diagnostic(
                        "two-targets",
                        f"two sets of experiment `{name}` give metric `{metric_name}` different targets",
                        project.place("experiments", name, "metrics", "sets", position),
                        (f"state `{metric_name}` in the experiment itself: its line wins",),
                    )
                if seen.setdefault(metric_name, role) != role:
                    yield Diagnostic(
                        "two-roles",
                        f"metric `{metric_name}` is {seen[metric_name]} and, by set `{set_name}`, {role} in experiment `{name}`",
                        project.place("experiments", name, "metrics", "sets", position),
                        ("keep one role",),
                    )


def _check_target(project: Project, name: str, metric_name: str, role: Role, target: Target) -> Iterator[Diagnostic]:
    experiment, metric = project.experiments[name], project.metrics[metric_name]
    own = metric_name in getattr(experiment.metrics, role)
    set_name = next(
        (
            s
            for s in experiment.metrics.sets
            if s in project.metric_sets and metric_name in getattr(project.metric_sets[s], role)
        ),
        "",
    )
    path = ("experiments", name, "metrics", role, metric_name) if own else ("metric_sets", set_name, role, metric_name)
    document = project.origins[path[0], path[1]]
    place = document.place(path, key=True)
    if metric.direction is None:
        yield Diagnostic(
            "direction-missing",
            f"metric `{metric_name}` has a role in experiment `{name}` but no direction",
            project.place("metrics", metric_name),
            ("add `direction: increase` or `direction: decrease`",),
        )
    if role == "guardrail" and target.margin is None:
        yield Diagnostic(
            "guardrail-without-margin",
            f"guardrail `{metric_name}` of experiment `{name}` has no margin",
            place,
            (f"write for example `{metric_name}: {{margin: 1%}}`",),
        )
    if role == "primary" and target.mde is None:
        yield Diagnostic(
            "primary-without-mde",
            f"primary metric `{metric_name}` of experiment `{name}` has no mde",
            place,
            (f"write for example `{metric_name}: {{mde: 2%}}`: the smallest effect worth finding",),
            "warning",
        )
    for key in ("mde", "margin", "equivalence"):
        size: Size | None = getattr(target, key)
        if size is not None:
            message = size_problem(metric, size)
            if message:
                yield Diagnostic(
                    "mde-kind", f"`{key}` of `{metric_name}`: {message[0]}", document.place((*path, key)), (message[1],)
                )
    unit = unit_of(project, experiment)
    for source_name in sorted(sources_of(project, metric)):
        if unit is not None:
            yield from check_unit(project, unit, source_name, place, f"metric `{metric_name}`")


def size_problem(metric: Metric, size: Size) -> tuple[str, str] | None:
    """What is wrong with an effect size's unit for this metric, and the mend."""
    if size.kind == "points" and not metric.takes_points:
        return (
            f"points do not fit a metric of type {metric.type}",
            "write `2%` for a relative size, or a number in the metric's unit",
        )
    if size.kind == "absolute" and metric.takes_points:
        return (
            f"`{size.text}` has no unit",
            f"write {_percentages(size)} (relative to the baseline) or `{size.text}pp` (percentage points)",
        )
    if size.value == 0:
        return "the size is 0", "write a size above 0"
    return None


def _percentages(size: Size) -> str:
    """A number below 1 may be a fraction, or a percentage already: 0.2 is meant as 20% as often as 0.2%."""
    return f"`{size.value * 100:g}%`, `{size.text}%`" if size.value < 1 else f"`{size.text}%`"


def _check_extras_in_use(project: Project, name: str, experiment: Experiment) -> Iterator[Diagnostic]:
    """Extra covariates, wherever they are stated, must be there for this experiment's units and exposures."""
    unit, place = unit_of(project, experiment), project.place("experiments", name)
    for extra, user in extras_of(project, experiment).items():
        source_name, dot, _ = extra.partition(".")
        where = f"covariate `{extra}` of metric `{user}`"
        source = project.sources.get(source_name) if dot else None
        if source is not None and source.kind == "exposures" and source_name != experiment.exposure.source:
            yield Diagnostic(
                "covariate-source",
                f"{where}: units of experiment `{name}` are exposed by `{experiment.exposure.source}`, not `{source_name}`",
                place,
            )
        names = (
            {source_name} if dot else sources_of(project, project.metrics[extra]) if extra in project.metrics else set()
        )
        for used in sorted(names):
            if unit is not None:
                yield from check_unit(project, unit, used, place, where)


def _check_analysis(project: Project, name: str, experiment: Experiment) -> Iterator[Diagnostic]:
    document = project.origins["experiments", name]
    covariates = experiment.analysis.covariates
    if covariates is not None:
        for position, extra in enumerate(covariates.extra):
            place = document.place(("experiments", name, "analysis", "covariates", "extra", position))
            yield from check_extra(project, extra, place, no_lookback=not covariates.lookback.microseconds)
    yield from _check_extras_in_use(project, name, experiment)
    alphas, validation = experiment.analysis.alpha, experiment.validation
    if alphas and alphas.quality is not None and validation.srm_alpha is not None:
        yield Diagnostic(
            "two-levels",
            f"experiment `{name}` states `validation.srm_alpha` and `analysis.alpha.quality`, which are the same level",
            document.place(("experiments", name, "analysis", "alpha", "quality"), key=True),
            ("keep one",),
        )
    yield from check_sequential(project, name)
    yield from check_corrections(project, name)


_POSSIBLE = {
    ("ship", "primary"): ("superior", "equivalent"),
    ("ship", "secondary"): ("superior", "equivalent"),
    ("ship", "guardrail"): ("non_inferior",),
    ("stop", "primary"): ("inferior",),
    ("stop", "secondary"): ("inferior",),
    ("stop", "guardrail"): ("inferior",),
}


def _check_decision(project: Project, name: str, experiment: Experiment) -> Iterator[Diagnostic]:
    metrics = experiment_metrics(project, experiment)
    filled = {role for role, _ in metrics.values()}
    broken_sets = set(experiment.metrics.sets) - set(project.metric_sets)  # reported on their own
    for rule in ("ship", "stop"):
        conditions = getattr(experiment.decision, rule)
        if conditions is not None and not any(getattr(conditions, role) for role in ROLES):
            yield Diagnostic(
                "decision-empty",
                f"`{rule}` of experiment `{name}` names no metrics, so it would always hold",
                project.place("experiments", name, "decision", rule, key=True),
                ("write for example `primary: any_superior`, or remove it for the default rule",),
            )
        for role in ROLES:
            condition = getattr(conditions, role) if conditions else None
            possible = _POSSIBLE[rule, role]
            if condition and condition.partition("_")[2] not in possible:
                yield Diagnostic(
                    "decision-condition",
                    f"`{rule}` of experiment `{name}` asks for {role} metrics `{condition}`, which is no reason to {rule}",
                    project.place("experiments", name, "decision", rule, role),
                    (f"write {' or '.join(f'any_{p} or all_{p}' for p in possible)}",),
                )
            if condition and role not in filled and not broken_sets:
                yield Diagnostic(
                    "decision-empty-role",
                    f"`{rule}` of experiment `{name}` asks for {role} metrics, and there are none",
                    project.place("experiments", name, "decision", rule, role),
                )
            if condition and "equivalent" in possible and condition.endswith("_equivalent"):
                without = [m for m, (own, target) in metrics.items() if own == role and target.equivalence is None]
                members = [m for m, (own, _) in metrics.items() if own == role]
                if without and (condition == "all_equivalent" or without == members):
                    yield Diagnostic(
                        "equivalence-missing",
                        f"`{rule}` of experiment `{name}` asks for {role} metrics `{condition}`, and "
                        f"{', '.join(f'`{m}`' for m in without)} states no `equivalence`",
                        project.place("experiments", name, "decision", rule, role),
                        (f"write for example `{without[0]}: {{equivalence: 1%}}`",),
                    )
    for metric_name, size in experiment.decision.practical.items():
        place = project.place("experiments", name, "decision", "practical", metric_name, key=True)
        if metric_name not in metrics:
            yield unknown("metric", metric_name, metrics, place, "`practical`")
        elif metrics[metric_name][0] == "guardrail":
            yield Diagnostic(
                "practical-guardrail",
                f"`practical` names `{metric_name}`, a guardrail: its size is judged by its margin",
                place,
                ("remove it; `practical` is for metrics that are to improve",),
            )
        elif metric_name in project.metrics and (message := size_problem(project.metrics[metric_name], size)):
            yield Diagnostic("mde-kind", f"`practical` of `{metric_name}`: {message[0]}", place, (message[1],))
    if experiment.outcome is not None and experiment.outcome.arm not in experiment.arms:
        yield unknown(
            "arm",
            experiment.outcome.arm,
            experiment.arms,
            project.place("experiments", name, "outcome", "arm"),
            "outcome",
        )
    if experiment.status == "decided" and experiment.outcome is None:
        yield Diagnostic(
            "outcome-missing",
            f"experiment `{name}` is decided but has no outcome",
            project.place("experiments", name, "status"),
            ("write `outcome: {decided: <date>, arm: <arm>}`",),
            "warning",
        )
