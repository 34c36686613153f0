"""Columns of an experiment's sources as they were when its protocol was locked."""

from __future__ import annotations

from collections.abc import Mapping

from metricdef.definitions.project import Project
from metricdef.definitions.used import used_by
from metricdef.governance.lock import LockBroken, read_entries, read_lock


def snapshot_columns(project: Project, name: str) -> dict[str, dict[str, str]]:
    """Types of the columns of the sources that an experiment uses, where the project's snapshot has them."""
    used = used_by(project, project.experiments[name]).sources
    return {source: dict(project.schema[source]) for source in used if source in project.schema}


def known_columns(project: Project, name: str) -> Mapping[str, Mapping[str, str]]:
    """The columns at the last lock that knew them, else those of the snapshot; empty where neither is there."""
    try:
        entries = read_entries(project.root)
        states = read_lock(name, entries[name]).states if name in entries else ()
    except LockBroken:
        states = ()  # `run` refuses it
    locked = [state["columns"] for state in states if state.get("columns")]
    return locked[-1] if locked else snapshot_columns(project, name)
