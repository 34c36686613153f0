"""The queries of jobs: compiled to be written into files, and again to read what they wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from metricdef.analysis.look_record import LookRecord
from metricdef.analysis.planning import plan_experiment
from metricdef.compiler.dialects import dialect_table
from metricdef.compiler.plan import Plan
from metricdef.compiler.query import Query
from metricdef.compiler.render import render
from metricdef.compiler.state import kept_columns
from metricdef.compiler.state_update import keep_state, render_update
from metricdef.definitions.project import Project
from metricdef.errors import UsageError
from metricdef.jobs.build import Job, job_dates, make_job, make_open_job, placeholder_of
from metricdef.jobs.outputs import write_output
from metricdef.jobs.state import days_to_add, restated_days

# Looks of an experiment that are recorded so far; none of a fixed design.
History = Callable[[str], Sequence[LookRecord]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where jobs run: a dialect, names of schemas there, and which of them they write to (None: jobs are not set up)."""

    dialect: str
    schemas: Mapping[str, str]
    schema: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files: as of an instant, of every date to `to`, or of any date where `as_of` is a placeholder.

    `restate` names days, `2026-09-03` or `2026-09-03..2026-09-05`, that incremental jobs read again as a whole.
    """

    as_of: str | datetime | None
    to: str | None = None
    daily: bool = False
    incremental: bool = False
    restate: str | None = None


def build_jobs(
    project: Project, names: Iterable[str], place: Place, wanted: Wanted, history: History
) -> tuple[Job, ...]:
    """The files of experiments, in the order in which they have to run. Raises UsageError for what cannot be built."""
    if place.schema is None:
        raise UsageError("jobs have nowhere to write to", ["add `output_schema: NAME` to project.yml"])
    placeholder = placeholder_of(wanted.as_of)
    if wanted.incremental and wanted.daily:
        raise UsageError("a daily series is not kept in a state", ["build it without `--incremental`"])
    if wanted.restate and not wanted.incremental:
        raise UsageError("`--restate` goes with `--incremental`: other jobs read all days anyway")
    if placeholder is not None and (wanted.incremental or wanted.to is not None):
        raise UsageError(f"`{placeholder}` stands for one date, of a job that is not incremental", ["name dates"])
    if placeholder is None:
        dates = job_dates(wanted.as_of, wanted.to)
        return tuple(_dated(project, name, at, place, wanted, history) for at in dates for name in names)
    jobs = []
    for name in names:
        plan = plan_experiment(project, name, daily=wanted.daily, is_open=True, history=history(name))
        query = render(plan, place.dialect, place.schemas)
        jobs.append(make_open_job(query, write_output(query, place.schema, place.schemas), placeholder))
    return tuple(jobs)


def _dated(
    project: Project, name: str, at: str | datetime | None, place: Place, wanted: Wanted, history: History
) -> Job:
    assert place.schema is not None  # noqa: S101 - refused before
    timezone = project.settings.defaults.timezone
    plan = plan_experiment(project, name, at, daily=wanted.daily, history=history(name))
    update: tuple[str, ...] = ()
    after = None
    if wanted.incremental:
        plan = _kept(project, plan, place)
        days = days_to_add(plan, timezone, restated_days(wanted.restate))
        update, after = render_update(plan, place.dialect, place.schemas, days), days.follows
    query = render(plan, place.dialect, place.schemas)
    return make_job(query, write_output(query, place.schema, place.schemas, update), timezone, after)


def possible_queries(
    project: Project, name: str, at: datetime, place: Place, history: Sequence[LookRecord], *, daily: bool
) -> Iterator[tuple[str, Query]]:
    """The queries that write rows of an experiment as of an instant, where definitions are still the same, by kind of job.

    The kinds are dated, open (a file for any date) and incremental.
    """
    plan = plan_experiment(project, name, at, daily=daily, history=history)
    dated = render(plan, place.dialect, place.schemas)
    yield "dated", dated
    table = dialect_table(place.dialect)
    if table.as_of is not None:
        # The file for any date: its SQL is the same at every as-of, and its rows those of the dated one's.
        opened = plan_experiment(project, name, at, daily=daily, is_open=True, history=history)
        yield "open", replace(dated, sql_hash=render(opened, place.dialect, place.schemas).sql_hash)
    if place.schema is not None and not daily and kept_columns(plan):
        yield "incremental", render(_kept(project, plan, place), place.dialect, place.schemas)


def _kept(project: Project, plan: Plan, place: Place) -> Plan:
    """The plan as an incremental job has it."""
    assert place.schema is not None  # noqa: S101 - asked of places that have one
    timezone = project.settings.defaults.timezone
    at_end = plan_experiment(project, plan.experiment, project.experiments[plan.experiment].end.at(timezone))
    return keep_state(plan, at_end, timezone, place.schema, place.dialect, place.schemas)
