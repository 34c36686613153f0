"""The two states of a project that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metricdef.definitions.project import Kind, Project
from metricdef.definitions.used import renamed_metrics
from metricdef.governance.changes import Change, changes
from metricdef.governance.lock import Lock, LockBroken, read_entries, read_lock
from metricdef.governance.meaning import real
from metricdef.governance.protocol import Tree
from metricdef.governance.renames import renamed_tree
from metricdef.review.records import Key

KINDS: tuple[Kind, ...] = ("sources", "segments", "metrics", "metric_sets", "experiments", "tests")
PROJECT: Key = ("project", "project")


@dataclass(frozen=True, slots=True)
class States:
    """Before and after. `names` has the new name of every metric that was renamed, by its old one."""

    base: Project
    head: Project
    names: Mapping[str, str]
    locks: Mapping[str, Any] = field(default_factory=dict)  # entries of the lock file at the base

    def lock(self, experiment: str) -> Lock | None:
        """The entry of an experiment at the base; None where there is none that can be read."""
        if experiment not in self.locks:
            return None
        try:
            return read_lock(experiment, self.locks[experiment])
        except LockBroken:
            return None

    def is_frozen(self, experiment: str) -> bool:
        """Whether its protocol may change by amendment only: it was locked at the base, or no draft any more."""
        found = self.base.experiments.get(experiment)
        return experiment in self.locks or (found is not None and found.status != "draft")

    def differ(self, before: Tree, after: Tree) -> list[Change]:
        """What differs between two trees in more than spelling and new names of metrics."""
        named = renamed_tree(before, self.names)
        return real(changes(named, after), named, after)

    def old(self, metric: str) -> str:
        """The name that a metric had at the base."""
        return next((old for old, new in self.names.items() if new == metric), metric)


def states(base: Project, head: Project) -> States:
    """The two states with what connects them."""
    known = set(base.declared("metrics"))
    names = {old: new for old, new in renamed_metrics(head).items() if old in known and new not in known}
    try:
        locks = read_entries(base.root)
    except LockBroken:
        locks = {}  # a finding of `check`
    return States(base, head, names, locks)
