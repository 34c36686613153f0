"""An experiment's protocol in words, with every default said: whatever changes the protocol changes a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from metricdef.analysis.settings import DEFAULT_METHODS, DETERIORATION_ALPHA
from metricdef.definitions.models import (
    ROLES,
    Arm,
    Conditions,
    Correction,
    Experiment,
    Role,
    Segment,
    Sequential,
    Target,
)
from metricdef.definitions.project import Project
from metricdef.definitions.used import correction_of, experiment_metrics, unit_of
from metricdef.review.metric_sentences import rows_of
from metricdef.review.phrases import counted, duration, instant, listed, one_line, percent, plural, share, size

_CORRECTIONS = {
    "none": "no correction",
    "bonferroni": "Bonferroni",
    "holm": "Holm",
    "hochberg": "Hochberg",
    "hommel": "Hommel",
    "bh": "Benjamini-Hochberg (false discovery rate)",
    "by": "Benjamini-Yekutieli (false discovery rate)",
    "fixed_sequence": "a fixed sequence",
    "graph": "a graph",
    "dunnett": "Dunnett",
    "max_t": "max-T",
}
_RULES = {"obrien_fleming": "O'Brien-Fleming", "pocock": "Pocock", "kim_demets": "Kim-DeMets"}
_RULES |= {"hwang_shih_decani": "Hwang-Shih-DeCani", "haybittle_peto": "Haybittle-Peto"}
_ROLE_NAMES: dict[Role, str] = {"primary": "primary metric", "secondary": "secondary metric", "guardrail": "guardrail"}


@dataclass(frozen=True, slots=True)
class Topic:
    """One aspect of the protocol and what it says."""

    name: str
    text: str


def experiment_topics(project: Project, name: str) -> tuple[Topic, ...]:
    """The protocol of a valid experiment, a topic at a time."""
    experiment = project.experiments[name]
    found = (
        ("hypothesis", one_line(experiment.hypothesis)),
        ("population", " ".join(_population(project, name, experiment))),
        ("arms", " ".join(_arms(experiment))),
        ("dates", " ".join(_dates(project, experiment))),
        ("metrics", " ".join(_metrics(project, experiment))),
        ("tests", " ".join(_tests(project, experiment))),
        ("analysis", " ".join(_analysis(project, experiment))),
        ("looks", " ".join(_looks(experiment.analysis.sequential))),
        ("health", " ".join(_health(project, experiment))),
        ("decision", " ".join(_decision(experiment))),
    )
    return tuple(Topic(topic, text) for topic, text in found if text)


def _population(project: Project, name: str, experiment: Experiment) -> Iterator[str]:
    exposure, unit = experiment.exposure, unit_of(project, experiment) or "unit"
    rows = rows_of(project, exposure.source, exposure.filter)
    yield f"{plural(unit).capitalize()} with their first exposure in {rows}, under the key {exposure.key or name}."
    for segment in experiment.population:
        if segment in project.segments:
            yield f"Only those in {segment}: {segment_words(project, project.segments[segment])}."
    if exposure.trigger is not None:
        trigger = rows_of(project, exposure.trigger.source, exposure.trigger.filter)
        yield f"From the first of the {trigger} on: units that never get there are left out."
    yield {
        "exclude": "Units seen in several arms are left out.",
        "first_arm": "Units seen in several arms count in their first one.",
        "fail": "One unit seen in several arms makes the result invalid.",
    }[exposure.mixed]
    if exposure.assignment == "sticky":
        yield "Assignment is sticky: a unit keeps its arm when shares change."
    if experiment.cluster is not None:
        whole = (
            "each cluster counts the same"
            if experiment.cluster_effect == "per_cluster"
            else "each unit counts the same"
        )
        yield f"Randomised by {experiment.cluster}, so that variance is that between {plural(experiment.cluster)}; {whole}."


def segment_words(project: Project, segment: Segment) -> str:
    """`rows of users where age >= 18, as of first exposure`: what holds of its units."""
    source = project.sources.get(segment.source)
    rows = rows_of(project, segment.source, segment.filter)
    if segment.lookback is not None:
        return f"with {rows} in the {duration(segment.lookback.microseconds)} before first exposure"
    return (
        f"{rows}, at first exposure"
        if source is None or source.kind != "attributes"
        else f"{rows}, as of first exposure"
    )


def _arms(experiment: Experiment) -> Iterator[str]:
    shares = experiment.shares
    told = [_arm(name, arm, share(shares[name]), experiment) for name, arm in experiment.arms.items()]
    yield f"{listed(told)}."
    for step in experiment.ramp:
        shares_then = listed([f"{arm} {share(value)}" for arm, value in step.shares.items()])
        yield f"From {instant(step.start)}: {shares_then}."
    if experiment.prefer:
        yield f"Where several qualify, the first of {', '.join(experiment.prefer)}."


def _arm(name: str, arm: Arm, part: str, experiment: Experiment) -> str:
    notes = [
        note
        for note in ("baseline" if name == experiment.baseline else "", f"key {arm.key}" if arm.key else "")
        if note
    ]
    return f"{name} {part} ({', '.join(notes)})" if notes else f"{name} {part}"


def _dates(project: Project, experiment: Experiment) -> Iterator[str]:
    timezone = project.settings.defaults.timezone
    yield f"Enrolment from {instant(experiment.start)} until before {instant(experiment.end)}, dates by {timezone}."
    hold = experiment.validation.hold
    if hold is not None and hold.microseconds:
        yield f"No estimate is shown in the first {duration(hold.microseconds)}."


def _metrics(project: Project, experiment: Experiment) -> Iterator[str]:
    named = experiment_metrics(project, experiment)
    for role in ROLES:
        own = {metric: target for metric, (found, target) in named.items() if found == role}
        if own:
            noun = _ROLE_NAMES[role] if len(own) == 1 else plural(_ROLE_NAMES[role])
            yield f"{noun.capitalize()}: {'; '.join(_target(metric, target) for metric, target in own.items())}."


def _target(metric: str, target: Target) -> str:
    told = [
        f"{word} {size(value)}"
        for word, value in (
            ("worth finding from", target.mde),
            ("may be worse by less than", target.margin),
            ("equivalent within", target.equivalence),
        )
        if value is not None
    ]
    return f"{metric} ({listed(told)})" if told else metric


def _tests(project: Project, experiment: Experiment) -> Iterator[str]:
    confidence = experiment.analysis.confidence or project.settings.defaults.confidence
    half = round((1 - confidence) / 2, 12)
    alphas = experiment.analysis.alpha
    success = (alphas and alphas.success) or half
    margin = (alphas and alphas.non_inferiority) or half
    harm = (alphas and alphas.deterioration) or DETERIORATION_ALPHA
    named = experiment_metrics(project, experiment).values()
    roles = {role for role, _ in named}
    two_sided = [role for role in ROLES if role in roles and role != "guardrail"]
    parts = [f"{listed(two_sided)} metrics two-sided at {percent(2 * success)}"] if two_sided else []
    if any(target.margin is not None for _, target in named):
        against = "guardrails one-sided against their margins" if "guardrail" in roles else "margins one-sided"
        parts.append(f"{against} at {percent(margin)}")
    harmed = [f"a {_ROLE_NAMES[role]}" for role in ROLES if role in roles and role != "secondary"]
    if harmed:
        parts.append(f"harm to {listed(harmed, 'or')} one-sided at {percent(harm)} by Holm")
    if parts:
        yield f"{parts[0][0].upper()}{', '.join(parts)[1:]}."
    told = [f"{role} {_correction(project, experiment, role)}" for role in ROLES if role in roles]
    if told:
        yield f"Correction: {'; '.join(told)}."


def _correction(project: Project, experiment: Experiment, role: Role) -> str:
    declared = correction_of(project, experiment, role)
    if declared is None:
        ship = experiment.decision.ship
        if role == "primary" and ship and ship.primary == "all_superior":
            return "none, as all must be superior"
        return _CORRECTIONS[DEFAULT_METHODS[role]]
    return _CORRECTIONS[declared.method] + _details(declared)


def _details(correction: Correction) -> str:
    order = f" in the order {', '.join(correction.order)}" if correction.order else ""
    alpha = f" with alpha of {_weights(correction.alpha)}" if correction.alpha else ""
    edges = [f"{one} passes on {_weights(to)}" for one, to in (correction.edges or {}).items()]
    return f"{order}{alpha}{f', where {listed(edges)}' if edges else ''}"


def _weights(weights: Mapping[str, Fraction]) -> str:
    return listed([f"{share(value)} to {name}" for name, value in weights.items()])


def _analysis(project: Project, experiment: Experiment) -> Iterator[str]:
    analysis = experiment.analysis
    stated = "covariates" in analysis.model_fields_set
    covariates = analysis.covariates if stated else project.settings.defaults.covariates
    if covariates is not None:
        lookback = covariates.lookback.microseconds
        told = [f"their value in the {duration(lookback)} before first exposure"] if lookback else []
        told += [listed(sorted(covariates.extra))] if covariates.extra else []
        yield f"Adjusted for {', and for '.join(told) or 'nothing'}, unless a metric says otherwise."
    else:
        yield "No adjustment for values from before exposure."
    if analysis.strata:
        yield f"Stratified by {listed(sorted(analysis.strata))}."
    if analysis.breakdowns:
        yield f"Broken down by {listed(sorted(analysis.breakdowns))}."
    if analysis.sensitivity:
        yield f"Sensitivity analyses: {listed(sorted(text.replace('_', ' ') for text in analysis.sensitivity))}."
    if analysis.novelty:
        yield f"Followed over the days since exposure: {listed(sorted(analysis.novelty))}."
    if analysis.bayes is not None:
        yield f"Bayesian readout beside it: {analysis.bayes}."


def _looks(sequential: Sequential | None) -> Iterator[str]:
    if sequential is None or sequential.method == "fixed":
        yield "A fixed design: read once, when every window is complete."
        return
    yield {
        "group_sequential": "Group-sequential.",
        "always_valid": "Valid at any time.",
        "hybrid": "Planned looks, and tests that are valid at any time between them.",
    }[sequential.method]
    if sequential.looks:
        days = listed([duration(look.microseconds) for look in sequential.looks])
        yield f"{counted(len(sequential.looks), 'look').capitalize()}, {days} after the start."
    for word, rule in (("Alpha is spent by", sequential.spending), ("Bounds of", sequential.bounds)):
        if rule is not None:
            gamma = f" with gamma {sequential.gamma}" if sequential.gamma is not None else ""
            yield f"{word} {_RULES[rule]}{gamma}."
    if sequential.looks:
        hidden = sequential.unplanned == "hide"
        yield "Between looks no estimate is shown." if hidden else "A run between looks is a look, and spends alpha."
    if sequential.planned_units is not None:
        yield f"{sequential.planned_units:,} units are planned."
    for word, alpha in (("at any time", sequential.anytime_alpha), ("at the planned looks", sequential.final_alpha)):
        if alpha is not None:
            yield f"{percent(alpha)} of error {word}."
    futility = sequential.futility
    if futility is not None:
        gamma = f" with gamma {futility.gamma}" if futility.gamma is not None else ""
        binding = "binding" if futility.binding else "not binding"
        yield f"Futility by {_RULES.get(futility.spending, futility.spending)}{gamma}, {binding}."


def _health(project: Project, experiment: Experiment) -> Iterator[str]:
    alphas = experiment.analysis.alpha
    level = experiment.validation.srm_alpha or (alphas and alphas.quality) or project.settings.defaults.srm_alpha
    yield f"Sample ratio tested at {percent(level)}."
    if experiment.validation.aa_lookback is not None:
        yield f"Arms compared over the {duration(experiment.validation.aa_lookback.microseconds)} before exposure."


def _decision(experiment: Experiment) -> Iterator[str]:
    decision = experiment.decision
    if decision.ship is None:
        yield "Ship if any primary metric is superior, every guardrail is within its margin, and nothing is harmed."
    else:
        quality = ["every check of health passes"] if decision.ship.quality else []
        yield f"Ship if {listed([*_conditions(decision.ship), *quality]) or 'nothing stands against it'}."
    if decision.stop is None:
        yield "Stop if any primary metric or guardrail is harmed."
    else:
        yield f"Stop if {listed(_conditions(decision.stop)) or 'never'}."
    if decision.practical:
        sizes = listed([f"{metric} {size(value)}" for metric, value in decision.practical.items()])
        yield f"Effects below these are not worth shipping: {sizes}."
    if decision.authority:
        yield f"An early stop is up to {listed(list(decision.authority))}."


def _conditions(found: Conditions) -> list[str]:
    """`any primary metric is superior`: what must hold, by role."""
    stated = ((role, getattr(found, role)) for role in ROLES)
    return [_condition(role, condition) for role, condition in stated if condition]


def _condition(role: Role, condition: str) -> str:
    """`any_superior` or `all_non_inferior`, in words."""
    how, _, what = condition.partition("_")
    shown = {"non_inferior": "within its margin"}.get(what, what.replace("_", " "))
    return f"{'every' if how == 'all' else how} {_ROLE_NAMES[role]} is {shown}"
