"""What a change does to one experiment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from metricdef.definitions.models import ROLES, Experiment, Role
from metricdef.definitions.project import Project
from metricdef.definitions.used import covariates_of, experiment_metrics, metric_closure, used_by
from metricdef.governance.changes import Change, amendments_of
from metricdef.governance.deviations import scope_of
from metricdef.governance.findings import entry_text
from metricdef.governance.places import change_place
from metricdef.governance.protocol import Tree, names_read, read_protocol
from metricdef.review.records import Class, Deviation, ExperimentEffect, Key, worst
from metricdef.review.states import PROJECT, States
from metricdef.review.trees import experiment_tree, missing_of_experiment


@dataclass(frozen=True, slots=True)
class Consequence:
    """One part that differs: its class, and the changed definition that it comes from."""

    change: Change
    change_class: Class
    cause: Key


def experiment_effect(
    states: States, name: str, own_changes: Mapping[Key, Sequence[Change]], moved: set[str]
) -> tuple[ExperimentEffect, dict[Key, Class]] | None:
    """What happens to an experiment, and how bad each cause is for it; None where nothing does.

    `own_changes`: what differs in each definition by itself. `moved`: metrics whose numbers change, under their new names.
    """
    base, head = states.base, states.head
    if name not in head.experiments:
        return _gone(states, name)
    if name not in base.declared("experiments"):
        return _simple(states, name, head.experiments[name].status, "additive", ["new"], [("experiments", name)])
    status = base.experiments[name].status if name in base.experiments else head.experiments[name].status
    missing = missing_of_experiment(head, name)
    if missing:
        known = set(missing_of_experiment(base, name)) if name in base.experiments else set()
        new = [item for item in missing if item not in known]
        details = [f"{kind} {text} is not there, or has errors" for kind, text in new or missing]
        causes = [_missing_cause(states, kind, text) for kind, text in new]
        return _simple(states, name, status, "breaking", details, causes) if new else None
    if name not in base.experiments or missing_of_experiment(base, name):
        return _uncomputed(states, name, status)
    return _both(states, name, own_changes, moved)


def _gone(states: States, name: str) -> tuple[ExperimentEffect, dict[Key, Class]] | None:
    if name in states.head.declared("experiments"):
        return None  # it does not load: a finding of its own
    found = states.base.experiments.get(name)
    change: Class = "breaking" if states.is_frozen(name) else "metadata"
    status = found.status if found else "draft"
    effect = ExperimentEffect(name, status, change, {}, True, (("experiments", name),), ("gone",))
    return effect, {("experiments", name): change}


def _simple(
    states: States, name: str, status: str, change: Class, details: Iterable[str], causes: Iterable[Key]
) -> tuple[ExperimentEffect, dict[Key, Class]]:
    metrics = {m: r for m, (r, _) in experiment_metrics(states.head, states.head.experiments[name]).items()}
    found = tuple(dict.fromkeys(causes))
    return ExperimentEffect(name, status, change, metrics, True, found, tuple(details)), dict.fromkeys(found, change)


def _uncomputed(states: States, name: str, status: str) -> tuple[ExperimentEffect, dict[Key, Class]]:
    """What could not be computed at the base may have been frozen there all the same."""
    found = deviations(states, name) if states.is_frozen(name) else []
    details = ["could not be computed at the base", *(change.what for change, _ in found)]
    change: Class = "protocol deviation" if found else "result-changing"
    effect, causes = _simple(states, name, status, change, details, [("experiments", name)])
    return replace(effect, deviations=tuple(deviation for _, deviation in found)), causes


def _both(
    states: States, name: str, own_changes: Mapping[Key, Sequence[Change]], moved: set[str]
) -> tuple[ExperimentEffect, dict[Key, Class]] | None:
    base, head = states.base, states.head
    deviating = deviations(states, name) if states.is_frozen(name) else []
    frozen = [change for change, _ in deviating]
    others = [
        change
        for change in states.differ(experiment_tree(base, name), experiment_tree(head, name))
        if not any(_overlap(change.path, other.path) for other in frozen)
    ]
    is_draft = not states.is_frozen(name)
    read = names_read(base, name, set(used_by(base, base.experiments[name]).metrics))
    found = [Consequence(c, "protocol deviation", _cause(states, name, c, own_changes)) for c in frozen]
    found += [
        Consequence(
            c, "additive" if is_draft and _adds(c, read) else "result-changing", _cause(states, name, c, own_changes)
        )
        for c in others
    ]
    if not found:
        return None
    causes: dict[Key, Class] = {}
    for consequence in found:
        causes[consequence.cause] = (
            worst([consequence.change_class, causes.get(consequence.cause, "metadata")]) or "metadata"
        )
    metrics, whole = _touched(states, name, [consequence.change for consequence in found], moved)
    effect = ExperimentEffect(
        name,
        base.experiments[name].status,
        worst([consequence.change_class for consequence in found]) or "metadata",
        metrics,
        whole,
        tuple(causes),
        tuple(consequence.change.what for consequence in found),
        tuple(deviation for _, deviation in deviating),
    )
    return effect, causes


def deviations(states: States, name: str) -> list[tuple[Change, Deviation]]:
    """Parts of a frozen protocol that this change changes, each with the amendment that names it, if there is one.

    What deviated before is not repeated. Locked protocols are compared with the lock as it was at the base, so that locking
    again hides nothing.
    """
    base, head = states.base, states.head
    lock = states.lock(name)
    own, now = _at_base(base, name), read_protocol(head, name).frozen
    before = lock.frozen if lock else own
    is_whole = "project" in own
    if not (lock or is_whole):
        now = {part: now[part] for part in own}
    known = {c.what for c in states.differ(before, own) if is_whole or c.path[0] in own} if lock else set()
    earlier = lock.amendments if lock else amendments_of(base.experiments[name])
    new = [amendment for amendment in amendments_of(head.experiments[name]) if amendment not in earlier]
    found = []
    for change in states.differ(before, now):
        if change.what in known:
            continue
        amendment = next((a for a in new if change.what in a["what"]), None)
        entry = entry_text([change.what], "DATE", "NAME", "REASON")
        place = change_place(head, name, change)
        found.append((change, Deviation(name, change.what, amendment, place, entry)))
    return found


def _at_base(base: Project, name: str) -> Tree:
    """The protocol at the base; only the experiment's own part where what it rests on did not load, nothing where it didn't."""
    missing = missing_of_experiment(base, name) if name in base.experiments else [("experiment", name)]
    if any(kind in ("experiment", "set") for kind, _ in missing):
        return {}
    frozen = read_protocol(base, name).frozen
    return {"experiment": frozen["experiment"]} if missing else frozen


def idle_amendments(states: States, name: str) -> list[str]:
    """Changes that new amendments name and that were not made, in words."""
    base, head = states.base.experiments.get(name), states.head.experiments.get(name)
    if base is None or head is None or not states.is_frozen(name):
        return []
    lock = states.lock(name)
    earlier = [*(lock.amendments if lock else ()), *amendments_of(base)]
    new = [text for a in amendments_of(head) if a not in earlier for text in a["what"] if " -> " in text]
    if not new or missing_of_experiment(states.base, name) or missing_of_experiment(states.head, name):
        return []
    made = {deviation.what for _, deviation in deviations(states, name)}
    return [text for text in new if text not in made]


def _overlap(one: Sequence[str], other: Sequence[str]) -> bool:
    length = min(len(one), len(other))
    return tuple(one[:length]) == tuple(other[:length])


def _adds(change: Change, read: Mapping[str, set[str]]) -> bool:
    """Whether it only adds something beside what was computed before, where the names in `read` were read of each source."""
    if change.before is not None:
        lists = isinstance(change.before, list) and isinstance(change.after, list)
        grown = lists and all(item in change.after for item in change.before)
        return grown and change.path in {("experiment", "analysis", key) for key in ("breakdowns", "sensitivity")}
    match change.path:
        case ("experiment", "metrics", *more):
            return len(more) <= 2
        case ("experiment", "analysis", "breakdowns" | "sensitivity"):
            return True
        case ("metrics" | "sources" | "segments", _):
            return True
        case ("sources", _, "measures", *more):
            return len(more) <= 1
        case ("sources", source, "dimensions", *more) if len(more) <= 1:
            # One in the place of a column that was read gives it another meaning.
            return not read.get(source, set()) & {d.casefold() for d in more or change.after}
    return False


def _cause(states: States, name: str, change: Change, own_changes: Mapping[Key, Sequence[Change]]) -> Key:
    """The definition whose change this comes from: itself, or who names it now, or no more."""
    kind, *rest = change.path
    if not rest:  # the first segment, or no segment any more
        return _namer(states, name, own_changes) or ("experiments", name)
    if kind in ("metrics", "sources", "segments"):
        named = len(rest) == 1 or not own_changes.get((kind, rest[0]))
        return _namer(states, name, own_changes) or (kind, rest[0]) if named else (kind, rest[0])
    if kind == "project":
        return PROJECT
    own = own_changes.get(("experiments", name), ())
    if any(_overlap(c.path, rest) for c in own):
        return "experiments", name
    if rest[0] == "metrics":
        return _changed_set(states, name, own_changes) or ("experiments", name)
    return PROJECT if own_changes.get(PROJECT) else ("experiments", name)


def _namer(states: States, name: str, own_changes: Mapping[Key, Sequence[Change]]) -> Key | None:
    """What changed of an experiment that names other definitions: a metric that it uses, itself, a set."""
    head, experiment = states.head, states.head.experiments[name]
    used = sorted({m for metric in experiment_metrics(head, experiment) for m in uses(head, experiment, metric)})
    metric = next((m for m in used if own_changes.get(("metrics", m))), None)
    if own_changes.get(("experiments", name)):
        return "experiments", name
    return ("metrics", metric) if metric else _changed_set(states, name, own_changes)


def _changed_set(states: States, name: str, own_changes: Mapping[Key, Sequence[Change]]) -> Key | None:
    found = (s for s in states.head.experiments[name].metrics.sets if own_changes.get(("metric_sets", s)))
    return next((("metric_sets", s) for s in found), None)


def _touched(states: States, name: str, found: Iterable[Change], moved: set[str]) -> tuple[dict[str, Role], bool]:
    """Metrics whose results or tests are touched, and whether all are."""
    head, experiment = states.head, states.head.experiments[name]
    roles = {m: role for m, (role, _) in experiment_metrics(head, experiment).items()}
    touched: set[str] = set()
    for change in found:
        kind, *rest = change.path
        own = {m for m in roles if uses(head, experiment, m) & moved}
        if kind == "sources" and len(rest) > 2 and rest[1] == "measures":
            touched |= own
            continue
        scope, names = scope_of(head, experiment, change.name)
        if scope == "experiment":
            return roles, True
        if scope == "role":
            touched |= {m for m, role in roles.items() if role in names and role in ROLES}
        else:
            touched |= (set(names) & own) if kind == "sources" else set(names)
    return {m: role for m, role in roles.items() if m in touched}, touched >= set(roles)


def uses(project: Project, experiment: Experiment, name: str) -> set[str]:
    """A metric, its parts, and the metrics that adjust it in an experiment."""
    metric = project.metrics.get(name)
    covariates = covariates_of(project, experiment, metric) if metric else None
    return metric_closure(project, {name, *(covariates.extra if covariates else ())})


def _missing_cause(states: States, kind: str, text: str) -> Key:
    """The definition that should provide what is missing: of a measure its source; of a metric perhaps its new name."""
    if kind in ("measure", "dimension"):
        return "sources", text.partition(".")[0]
    if kind == "metric":
        return "metrics", states.names.get(text, text)
    return ("metric_sets" if kind == "set" else f"{kind}s"), text
