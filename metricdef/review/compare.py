"""Two states of the definitions: what differs, in which class, and which metrics and experiments it reaches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from metricdef.definitions.project import Kind, Loaded, Project
from metricdef.definitions.used import experiment_metrics, metric_closure, used_by
from metricdef.errors import DefinitionErrors, Diagnostic
from metricdef.governance.changes import Change, changes
from metricdef.governance.findings import check_protocols
from metricdef.governance.meaning import real
from metricdef.governance.renames import renamed_tree
from metricdef.review.experiments import experiment_effect, idle_amendments
from metricdef.review.graph import edges
from metricdef.review.items import items as items_of
from metricdef.review.metric_sentences import metric_sentence
from metricdef.review.records import CLASSES, Class, ExperimentEffect, Key, MetricEffect, Review
from metricdef.review.states import KINDS, PROJECT, States, states
from metricdef.review.trees import metric_with_ground, missing_of_metric, own_extras, own_tree, project_tree

STATUSES = ("running", "stopped", "decided", "draft")


def compare(base: Loaded | None, head: Loaded, name: str) -> Review:
    """What the change from `base` to `head` does.

    Args:
        base: The project before; None where there was none.
        head: The project now. It may have errors, which are told, but its project.yml must be usable.
        name: What the base is called.

    Raises DefinitionErrors where the project now can't be read at all.
    """
    if head.project is None:
        raise DefinitionErrors(head.errors)
    before, notes = base.project if base else None, []
    unread = None
    if base is None:
        notes.append(f"there was no project at {name}: everything is new")
    elif before is None:
        unread = f"the definitions at {name} can't be read ({_first(base.errors)}): what this changes can't be told"
    elif base.errors:
        told = f"{len(base.errors)} error{'s' if len(base.errors) > 1 else ''}"
        notes.append(
            f"the definitions at {name} have {told} ({_first(base.errors)}): what didn't load there counts as changed"
        )
    both = states(before or _nothing(head.project), head.project)
    found = _compared(both, head, base)
    return replace(found, base=name, notes=(*notes, *_notes(both)), is_first=base is None, unread=unread)


def _first(errors: Sequence[Diagnostic]) -> str:
    place = errors[0].place
    return f"{f'{place.file}:{place.line}: ' if place else ''}{errors[0].message}"


def _nothing(project: Project) -> Project:
    """A project with the same settings and no definitions."""
    return replace(
        project, sources={}, segments={}, metrics={}, metric_sets={}, experiments={}, tests={}, origins={}, schema={}
    )


def _compared(both: States, head: Loaded, base: Loaded | None) -> Review:
    own = _own_changes(both)
    different = _different(both, own)
    metrics = _metric_effects(both, different)
    moved = {effect.metric for effect in metrics}
    effects: list[ExperimentEffect] = []
    reached: dict[Key, list[Class]] = {}
    meanings = {key: c for key, (c, _) in own.items()}
    for name in sorted({*both.base.experiments, *both.head.experiments}):
        if not different & _ground_of(both, name):
            continue
        found = experiment_effect(both, name, meanings, moved)
        if found is not None:
            effects.append(found[0])
            for cause, change in found[1].items():
                reached.setdefault(cause, []).append(change)
    for effect in metrics:
        for cause in effect.causes:
            reached.setdefault(cause, []).append(effect.change)
    items = sorted(
        items_of(both, own, reached), key=lambda i: (-CLASSES.index(i.change), KINDS_AND_PROJECT.index(i.kind), i.name)
    )
    changed = {item.key for item in items}
    metrics = [replace(e, causes=tuple(c for c in e.causes if c in changed)) for e in metrics]
    effects = [replace(e, causes=tuple(c for c in e.causes if c in changed)) for e in effects]
    metrics.sort(key=lambda e: (("metrics", e.metric) not in changed, e.metric))
    effects.sort(key=lambda e: (-CLASSES.index(e.change), STATUSES.index(e.status), e.experiment))
    review = Review("", tuple(items), tuple(metrics), tuple(effects), tuple(_new_errors(both, head, base)))
    return replace(review, edges=edges(both, review))


KINDS_AND_PROJECT = ("project", *KINDS)


def _own_changes(both: States) -> dict[Key, tuple[list[Change], list[Change]]]:
    """What differs in each definition by itself: parts that can change a number, and parts that can't."""
    found: dict[Key, tuple[list[Change], list[Change]]] = {}
    before, after = project_tree(both.base), project_tree(both.head)
    found[PROJECT] = list(changes(before[0], after[0])), list(changes(before[1], after[1]))
    for kind in KINDS:
        now = getattr(both.head, kind)
        for name in now:
            old = both.old(name) if kind == "metrics" else name
            if old in getattr(both.base, kind):
                found[kind, name] = _definition_changes(both, kind, old, name)
    return {key: value for key, value in found.items() if value[0] or value[1]}


def _different(both: States, own: Mapping[Key, tuple[list[Change], list[Change]]]) -> set[Key]:
    """Definitions that are not the same in both states: different, new, gone, valid in one of them only."""
    found: set[Key] = set(own)
    for kind in KINDS:
        found |= {(kind, name) for name in set(getattr(both.base, kind)) ^ set(getattr(both.head, kind))}
        found |= {(kind, name) for name in set(both.base.declared(kind)) ^ set(both.head.declared(kind))}
    return found


def _ground_of(both: States, name: str) -> set[Key]:
    """Every definition that an experiment rests on, or rested on."""
    found: set[Key] = {PROJECT, ("experiments", name)}
    for project in (both.base, both.head):
        if name in project.experiments:
            used = used_by(project, project.experiments[name])
            found |= {
                (kind, n) for kind in ("metrics", "sources", "segments", "metric_sets") for n in getattr(used, kind)
            }
            found |= {("metrics", n) for n in experiment_metrics(project, project.experiments[name])}
    return found


def _definition_changes(both: States, kind: Kind, old: str, name: str) -> tuple[list[Change], list[Change]]:
    (meaning, words), (now, words_now) = own_tree(both.base, kind, old), own_tree(both.head, kind, name)
    if meaning == now:
        return [], list(changes(words, words_now))
    return list(changes(_renamed(kind, meaning, both.names), now)), list(changes(words, words_now))


def _renamed(kind: Kind, tree: dict[str, object], names: Mapping[str, str]) -> dict[str, object]:
    """A definition with the new names of metrics in it."""
    if kind == "metrics":
        found: dict[str, object] = renamed_tree({"metrics": {"": tree}}, names)["metrics"][""]
        return found
    if kind == "experiments":
        experiment: dict[str, object] = renamed_tree({"experiment": tree}, names)["experiment"]
        return experiment
    if kind == "metric_sets":
        roles: dict[str, object] = renamed_tree({"experiment": {"metrics": tree}}, names)["experiment"]["metrics"]
        return roles
    return tree


# --- metrics ------------------------------------------------------------------------------------------------------------


def _metric_effects(both: States, different: set[Key]) -> list[MetricEffect]:
    """Metrics whose numbers change, and new ones."""
    found = []
    declared = set(both.base.declared("metrics"))
    for name in sorted(both.head.metrics):
        old = both.old(name)
        if not different & _ground_of_metric(both, old, name):
            continue
        after = None if missing_of_metric(both.head, name) else metric_sentence(both.head, name)
        if old not in declared:
            found.append(MetricEffect(name, "additive", (("metrics", name),), None, after))
            continue
        before = None
        if after is None or missing_of_metric(both.base, old):
            causes: tuple[Key, ...] = (("metrics", name),)
        else:
            before = metric_sentence(both.base, old)
            causes = tuple(_ground_changes(both, old, name))
        if causes:
            found.append(MetricEffect(name, "result-changing", causes, before, after))
    return found


def _ground_of_metric(both: States, old: str, name: str) -> set[Key]:
    """Every definition that a metric rests on, or rested on."""
    found: set[Key] = {PROJECT, ("metrics", name), ("metrics", old)}
    for project, own in ((both.base, old), (both.head, name)):
        metrics = [own, *metric_closure(project, {own, *own_extras(project, own)})] if own in project.metrics else []
        for metric in metrics:
            for reference in project.metrics[metric].references():
                found |= {(f"{reference.kind}s", reference.name)} if reference.kind in ("source", "metric") else set()
            found |= {("metrics", metric), *(("metrics", extra) for extra in own_extras(project, metric))}
    return found


def _ground_changes(both: States, old: str, name: str) -> dict[Key, None]:
    """The definitions below a metric that differ."""
    before, after = renamed_tree(metric_with_ground(both.base, old), both.names), metric_with_ground(both.head, name)
    paths = [change.path for change in real(changes(before, after), before, after)]
    return {(PROJECT if path[0] == "project" else (path[0], path[1])): None for path in paths}


# --- findings -----------------------------------------------------------------------------------------------------------


def _new_errors(both: States, head: Loaded, base: Loaded | None) -> Iterator[Diagnostic]:
    """Errors of the definitions, and of locks and records, that were not there before."""
    known = {(d.rule, d.message) for d in base.errors} if base else set()
    yield from (d for d in head.errors if (d.rule, d.message) not in known)
    if head.errors:
        return  # protocols of definitions with errors are not read
    before = set() if base is None or base.project is None or base.errors else _protocol_errors(base.project)
    for name in both.locks:
        if name in both.head.experiments and name not in _locked(both.head):
            what = f"experiment `{name}` was locked, and its entry in the lock file is gone"
            yield Diagnostic("lock-gone", what, both.head.place("experiments", name), ("put the entry back as it was",))
    for finding in check_protocols(both.head):
        if (
            finding.severity == "error"
            and not (finding.rule == "protocol-changed-after-start" and base and base.project)
            and (finding.rule, finding.message) not in before
        ):
            yield finding


def _protocol_errors(project: Project) -> set[tuple[str, str]]:
    return {(d.rule, d.message) for d in check_protocols(project)}


def _locked(project: Project) -> set[str]:
    from metricdef.governance.lock import LockBroken, read_entries

    try:
        return set(read_entries(project.root))
    except LockBroken:
        return set(project.experiments)  # a finding of its own


def _notes(both: States) -> Iterator[str]:
    for name in sorted(both.head.experiments):
        for text in idle_amendments(both, name):
            yield f"{name}: an amendment names `{text}`, which is no change made here"
        if name in both.base.experiments and both.base.experiments[name].status != both.head.experiments[name].status:
            yield f"{name}: {both.base.experiments[name].status} before, {both.head.experiments[name].status} now"
