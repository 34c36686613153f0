"""What a change of definitions was found to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from metricdef.definitions.models import Role
from metricdef.errors import Diagnostic, Place

# From harmless to stopping: the class of a whole is the last one of its parts.
Class = Literal["metadata", "additive", "rename", "result-changing", "protocol deviation", "breaking"]
CLASSES: tuple[Class, ...] = (
    "metadata",
    "additive",
    "rename",
    "result-changing",
    "protocol deviation",
    "breaking",
)
ItemKind = Literal["project", "sources", "segments", "metrics", "metric_sets", "experiments", "tests"]
Key = tuple[str, str]  # kind and name of a definition


@dataclass(frozen=True, slots=True)
class Item:
    """One definition that differs.

    Attributes:
        kind: Of the definition.
        name: As it is now, or was where it is gone.
        change: Its class, consequences on experiments included.
        was: The old name, of one that was renamed.
        state: changed, new or gone.
        details: What differs, one text a part: `cap.upper p99.5 -> p99`.
        why: Why the class is this one, where the details don't say it.
        place: Where it stands now; None where it is gone.
    """

    kind: ItemKind
    name: str
    change: Class
    state: Literal["changed", "new", "gone"]
    details: tuple[str, ...] = ()
    was: str | None = None
    why: str = ""
    place: Place | None = None

    @property
    def key(self) -> Key:
        """Kind and name."""
        return self.kind, self.name


@dataclass(frozen=True, slots=True)
class MetricEffect:
    """A metric whose numbers change, also where its own definition doesn't.

    Attributes:
        metric: Its name.
        change: result-changing, or additive for a new one.
        causes: The changed definitions that it rests on.
        before: What it measured, in words; None of a new one.
        after: What it measures now; None of one that is gone.
    """

    metric: str
    change: Class
    causes: tuple[Key, ...]
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Deviation:
    """A part of a frozen protocol that changes.

    Attributes:
        experiment: Whose.
        what: Path, value before and after, as an amendment names it.
        amendment: Who says why; None where nobody does.
        place: Where it stands.
        entry: The amendment to write, on one line.
    """

    experiment: str
    what: str
    amendment: Mapping[str, object] | None
    place: Place | None
    entry: str

    @property
    def is_covered(self) -> bool:
        """Whether an amendment names it."""
        return self.amendment is not None


@dataclass(frozen=True, slots=True)
class ExperimentEffect:
    """An experiment whose results or protocol change.

    Attributes:
        experiment: Its name.
        status: As it was at the base; of a new one as it is now.
        change: The class of the worst that happens to it.
        metrics: Those whose results change, with their roles.
        whole: Whether all its results change.
        causes: The changed definitions that it uses.
        details: What differs, one text a part.
        deviations: Of its frozen protocol.
    """

    experiment: str
    status: str
    change: Class
    metrics: Mapping[str, Role]
    whole: bool
    causes: tuple[Key, ...]
    details: tuple[str, ...]
    deviations: tuple[Deviation, ...] = ()

    @property
    def is_live(self) -> bool:
        """Whether it has results that somebody may have seen."""
        return self.status != "draft"


@dataclass(frozen=True, slots=True)
class SqlChange:
    """Compiled SQL before and after, as a unified diff without context beyond three lines."""

    experiment: str
    diff: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Review:
    """Everything that a change of definitions does.

    Attributes:
        base: What it was compared with.
        items: Definitions that differ.
        metrics: Metrics whose numbers change.
        experiments: Experiments whose results or protocol change.
        errors: Findings that stop the definitions as they are now, and were not there before.
        notes: What else a reviewer should know.
        sql: Compiled SQL that differs, of the experiments that it was asked for.
        edges: Which changed or affected definition rests on which: (upstream, downstream).
        is_first: Whether there was no project to compare with.
        unread: Why the definitions before could not be read, so that nothing is known of what changes; None where they could.
    """

    base: str
    items: tuple[Item, ...] = ()
    metrics: tuple[MetricEffect, ...] = ()
    experiments: tuple[ExperimentEffect, ...] = ()
    errors: tuple[Diagnostic, ...] = ()
    notes: tuple[str, ...] = ()
    sql: tuple[SqlChange, ...] = ()
    edges: tuple[tuple[Key, Key], ...] = field(default=())
    is_first: bool = False
    unread: str | None = None

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Of all experiments."""
        return tuple(d for effect in self.experiments for d in effect.deviations)

    @property
    def change(self) -> Class | None:
        """The worst class; None where nothing differs."""
        return worst([item.change for item in self.items])

    @property
    def blockers(self) -> tuple[str, ...]:
        """Why this must not be merged as it is; none if it may."""
        gone = [i for i in self.items if i.change == "breaking"]
        found = [f"{singular(i.kind)} {i.name}: {i.why or 'does not load'}" for i in gone]
        found += [f"{d.experiment}: {d.what}, and no amendment says so" for d in self.deviations if not d.is_covered]
        caused = [f"`{item.name}`" for item in gone if item.state == "gone"]  # that nothing has such a name any more
        errors = [d for d in self.errors if not (d.rule.startswith("unknown-") and any(n in d.message for n in caused))]
        return (*([self.unread] if self.unread else ()), *found, *(f"{d.rule}: {d.message}" for d in errors))

    @property
    def changes_live_results(self) -> bool:
        """Whether results of an experiment that is no draft change."""
        return any(e.is_live and CLASSES.index(e.change) >= CLASSES.index("result-changing") for e in self.experiments)


def worst(found: list[Class]) -> Class | None:
    """The last class in order; None of none."""
    return max(found, key=CLASSES.index) if found else None


def singular(kind: str) -> str:
    """`metric sets` to `metric set`."""
    return kind.removesuffix("s").replace("_", " ") if kind != "project" else kind
