"""Two states of the definitions: what differs, in which class, and which metrics and experiments it reaches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from metricdef.definitions.project import Kind, Loaded, Project
from metricdef.errors import DefinitionErrors, Diagnostic
from metricdef.governance.changes import Change, changes
from metricdef.governance.findings import check_protocols
from metricdef.governance.meaning import real
from metricdef.governance.renames import renamed_tree
from metricdef.review.experiments import experiment_effect, idle_amendments
from metricdef.review.graph import edges
from metricdef.review.metric_sentences import metric_sentence
from metricdef.review.records import CLASSES, Class, ExperimentEffect, Item, Key, MetricEffect, Review, singular, worst
from metricdef.review.states import KINDS, PROJECT, States, states
from metricdef.review.trees import metric_with_ground, missing_of_metric, own_tree, project_tree

STATUSES = ("running", "stopped", "decided", "draft")
_ADDITIONS = ("measures", "dimensions", "entities", "primary", "secondary", "guardrail")


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
    if base is None:
        notes.append(f"there was no project at {name}: everything is new")
    elif before is None:
        notes.append(f"the definitions at {name} can't be read ({_first(base.errors)}): everything counts as new")
    elif base.errors:
        told = f"{len(base.errors)} error{'s' if len(base.errors) > 1 else ''}"
        notes.append(
            f"the definitions at {name} have {told} ({_first(base.errors)}): what didn't load there counts as changed"
        )
    both = states(before or _nothing(head.project), head.project)
    return replace(_compared(both, head, base), base=name, notes=(*notes, *_notes(both)))


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
    metrics = _metric_effects(both)
    moved = {effect.metric for effect in metrics}
    effects: list[ExperimentEffect] = []
    reached: dict[Key, list[Class]] = {}
    for name in sorted({*both.base.experiments, *both.head.experiments}):
        found = experiment_effect(both, name, {key: c for key, (c, _) in own.items()}, moved)
        if found is not None:
            effects.append(found[0])
            for cause, change in found[1].items():
                reached.setdefault(cause, []).append(change)
    for effect in metrics:
        for cause in effect.causes:
            reached.setdefault(cause, []).append(effect.change)
    items = sorted(
        _items(both, own, reached), key=lambda i: (-CLASSES.index(i.change), KINDS_AND_PROJECT.index(i.kind), i.name)
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


def _metric_effects(both: States) -> list[MetricEffect]:
    """Metrics whose numbers change, and new ones."""
    found = []
    for name in sorted(both.head.metrics):
        old = both.old(name)
        after = None if missing_of_metric(both.head, name) else metric_sentence(both.head, name)
        if old not in both.base.declared("metrics"):
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


def _ground_changes(both: States, old: str, name: str) -> dict[Key, None]:
    """The definitions below a metric that differ."""
    before, after = renamed_tree(metric_with_ground(both.base, old), both.names), metric_with_ground(both.head, name)
    paths = [change.path for change in real(changes(before, after), before, after)]
    return {(PROJECT if path[0] == "project" else (path[0], path[1])): None for path in paths}


# --- definitions --------------------------------------------------------------------------------------------------------


def _items(
    both: States, own: Mapping[Key, tuple[list[Change], list[Change]]], reached: Mapping[Key, list[Class]]
) -> Iterator[Item]:
    for kind in KINDS:
        before, after = set(both.base.declared(kind)), set(both.head.declared(kind))
        for name in sorted(after - before):
            yield _new(both, kind, name, own, reached)
        for name in sorted(before - after):
            if not (kind == "metrics" and name in both.names):
                yield _gone(both, kind, name, reached)
        for name in sorted(before & after):
            yield from _changed(both, kind, name, own, reached)
    if PROJECT in own:
        meaning, words = own[PROJECT]
        change = worst([*reached.get(PROJECT, ()), "metadata"]) or "metadata"
        place = next(d for d in both.head.documents.values() if ("version",) in d.keys).place(("version",), key=True)
        yield Item("project", "project", change, "changed", _told([*meaning, *words]), place=place)


def _new(
    both: States,
    kind: Kind,
    name: str,
    own: Mapping[Key, tuple[list[Change], list[Change]]],
    reached: Mapping[Key, list[Class]],
) -> Item:
    key, place = (kind, name), both.head.place(kind, name)
    if name not in getattr(both.head, kind):
        return Item(kind, name, "breaking", "new", why="does not load", place=place)
    old = both.old(name) if kind == "metrics" else name
    if old != name:
        meaning, words = own.get(key, ([], []))
        floor: list[Class] = ["rename", *(["result-changing"] if meaning else [])]  # type: ignore[list-item]  # literals
        told = _told([*meaning, *(c for c in words if c.path != ("renamed_from",))])
        users = list(_users(both, kind, old))
        why = f"{_listed(users)} {'still names' if len(users) == 1 else 'still name'} it {old}" if users else ""
        change = "breaking" if users else worst([*floor, *reached.get(key, ())]) or "rename"
        return Item(kind, name, change, "changed", told, was=old, why=why, place=place)
    if kind == "tests":
        return Item(kind, name, "metadata", "new", place=place)
    return Item(kind, name, worst(["additive", *reached.get(key, ())]) or "additive", "new", place=place)


def _gone(both: States, kind: Kind, name: str, reached: Mapping[Key, list[Class]]) -> Item:
    found = [*reached.get((kind, name), ())]
    users = list(_users(both, kind, name))
    if users:
        why = f"it is gone, and {_listed(users)} {'still names' if len(users) == 1 else 'still name'} it"
        return Item(kind, name, "breaking", "gone", why=why)
    if kind == "experiments":
        why = "it is gone, and its protocol was no draft" if both.is_frozen(name) else ""
        return Item(kind, name, "breaking" if why else "metadata", "gone", why=why)
    if kind == "metrics" and (heir := _heir(both, name)):
        why = f"{heir} measures the same: with `renamed_from: {name}` there it keeps its history"
        return Item(kind, name, "breaking", "gone", why=why)
    return Item(kind, name, worst([*found, "metadata"]) or "metadata", "gone", why="nothing names it any more")


def _changed(
    both: States,
    kind: Kind,
    name: str,
    own: Mapping[Key, tuple[list[Change], list[Change]]],
    reached: Mapping[Key, list[Class]],
) -> Iterator[Item]:
    key, place = (kind, name), both.head.place(kind, name)
    loads, loaded = name in getattr(both.head, kind), name in getattr(both.base, kind)
    if not loads:
        if loaded:
            yield Item(kind, name, "breaking", "changed", why="does not load any more", place=place)
        return
    if not loaded:
        yield Item(kind, name, worst(["result-changing", *reached.get(key, ())]) or "result-changing", "changed", why="did not load at the base", place=place)  # fmt: skip
        return
    meaning, words = own.get(key, ([], []))
    if not (meaning or words):
        return
    floor: Class = "metadata"
    if meaning:
        floor = "result-changing" if kind == "metrics" else "additive" if _only_adds(meaning) else "metadata"
    change = worst([floor, *reached.get(key, ())]) or floor
    why = (
        "" if CLASSES.index(change) > CLASSES.index("additive") or not meaning else "nothing that is computed reads it"
    )
    broken = [] if kind != "experiments" or change != "breaking" else ["it names something that is gone"]
    yield Item(kind, name, change, "changed", _told([*meaning, *words]), why=broken[0] if broken else why, place=place)


def _only_adds(found: Sequence[Change]) -> bool:
    """New measures, dimensions, metrics of a set; or a query that differs in nothing that is read."""
    return all((c.before is None and c.path[0] in _ADDITIONS) or c.path == ("sql",) for c in found)


def _told(found: Sequence[Change]) -> tuple[str, ...]:
    return tuple(change.what for change in found)


def _users(both: States, kind: Kind, name: str) -> Iterator[str]:
    """What still names a definition that is gone."""
    head = both.head
    if kind == "metrics":
        for other, metric in head.metrics.items():
            extras = metric.covariates.extra if metric.covariates else ()
            if name in extras or any(r.kind == "metric" and r.name == name for r in metric.references()):
                yield f"metric {other}"
        for other, metric_set in head.metric_sets.items():
            if any(name in getattr(metric_set, role) for role in ("primary", "secondary", "guardrail")):
                yield f"metric set {other}"
        extras = head.settings.defaults.covariates.extra if head.settings.defaults.covariates else ()
        if name in extras:
            yield "the project's defaults"
        yield from (f"test {test}" for test, found in head.tests.items() if found.metric == name)
    if kind == "sources":
        for other, metric in head.metrics.items():
            if any(r.kind == "source" and r.name == name for r in metric.references()):
                yield f"metric {other}"
        yield from (f"segment {other}" for other, segment in head.segments.items() if segment.source == name)
    for other, experiment in head.experiments.items():
        trigger = experiment.exposure.trigger
        named = {
            "sources": (experiment.exposure.source, *([trigger.source] if trigger else ())),
            "segments": experiment.population,
            "metric_sets": experiment.metrics.sets,
            "metrics": (
                *experiment.metrics.primary,
                *experiment.metrics.secondary,
                *experiment.metrics.guardrail,
                *(experiment.analysis.covariates.extra if experiment.analysis.covariates else ()),
            ),
        }
        if name in named.get(kind, ()):
            yield f"{singular('experiments')} {other}"


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"


def _heir(both: States, name: str) -> str | None:
    """A new metric that measures what one measured that is gone and was in use."""
    used = any(
        name in {*e.metrics.primary, *e.metrics.secondary, *e.metrics.guardrail} for e in both.base.experiments.values()
    ) or any(r.kind == "metric" and r.name == name for m in both.base.metrics.values() for r in m.references())
    if not used or name not in both.base.metrics:
        return None
    meaning = own_tree(both.base, "metrics", name)[0]
    new = sorted(set(both.head.metrics) - set(both.base.declared("metrics")))
    return next((other for other in new if own_tree(both.head, "metrics", other)[0] == meaning), None)


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
            and finding.rule != "protocol-changed"
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
