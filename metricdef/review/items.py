"""Each definition that differs, with its class: its own change and what it does elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from metricdef.definitions.project import Kind
from metricdef.governance.changes import Change
from metricdef.review.records import CLASSES, Class, Item, Key, singular, worst
from metricdef.review.states import KINDS, PROJECT, States
from metricdef.review.trees import own_tree

_ADDITIONS = ("measures", "dimensions", "entities", "primary", "secondary", "guardrail")
OwnChanges = Mapping[Key, tuple[list[Change], list[Change]]]  # parts that can change a number, and parts that can't
Reached = Mapping[Key, list[Class]]


def items(both: States, own: OwnChanges, reached: Reached) -> Iterator[Item]:
    """Definitions that differ, are new or are gone. `reached`: classes of what each does to metrics and experiments."""
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
    own: OwnChanges,
    reached: Reached,
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


def _gone(both: States, kind: Kind, name: str, reached: Reached) -> Item:
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
    own: OwnChanges,
    reached: Reached,
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
    if change == "breaking":
        why = "it names something that is gone, or has errors" if kind == "experiments" else "experiments that use it can't be computed any more"  # fmt: skip
    yield Item(kind, name, change, "changed", _told([*meaning, *words]), why=why, place=place)


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
