"""The compiled SQL of affected experiments before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from difflib import unified_diff

from metricdef.compiler.build_plan import build_plan
from metricdef.compiler.render import render
from metricdef.definitions.project import Project
from metricdef.errors import MetricdefError
from metricdef.review.records import SqlChange


def sql_changes(
    base: Project, head: Project, experiments: Iterable[str], dialect: str, schemas: Mapping[str, str]
) -> tuple[SqlChange, ...]:
    """Diffs of the experiments that both states can compile, each as of the end of its enrolment."""
    found = []
    for name in experiments:
        if name in base.experiments and name in head.experiments:
            as_of = head.experiments[name].end.at(head.settings.defaults.timezone)
            before = compiled(base, name, as_of, dialect, schemas)
            after = compiled(head, name, as_of, dialect, schemas)
            if before is not None and after is not None and before != after:
                diff = unified_diff(before.splitlines(), after.splitlines(), "before", "after", lineterm="", n=3)
                found.append(SqlChange(name, tuple(diff)))
    return tuple(found)


def compiled(project: Project, name: str, as_of: datetime, dialect: str, schemas: Mapping[str, str]) -> str | None:
    """The SQL without its header, which names versions and hashes; None where it can't be compiled."""
    try:
        query = render(build_plan(project, name, as_of), dialect, schemas)
    except MetricdefError:
        return None  # a finding of `check`
    first = query.statements[0].partition("\n\n")[2]
    return "".join(f"{statement};\n" for statement in (first, *query.statements[1:]))
