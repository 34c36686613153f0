"""Dated SQL files for a scheduler, with a manifest of what they read and write."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from metricdef import __version__
from metricdef.analysis.settings import analysis_settings
from metricdef.compiler.open_as_of import PLACEHOLDER
from metricdef.compiler.query import Query
from metricdef.compiler.source_checks import unchecked_sources
from metricdef.compiler.state import recomputed_metrics
from metricdef.compiler.state_update import tables_of_state
from metricdef.definitions.expressions import parse_query, tables_of
from metricdef.definitions.project import Project
from metricdef.errors import UsageError
from metricdef.jobs.outputs import Output, stamp_of

_PLACEHOLDER = re.compile(r"\{\{[^{}\n]+\}\}")


@dataclass(frozen=True, slots=True)
class Job:
    """One file: the moments of one experiment as of one instant.

    Attributes:
        path: Below the target folder.
        text: The whole file.
        query: What is computed.
        output: Where it goes.
        as_of: As the rows have it, or what stands in for a date.
        after: As-of of the run that an incremental job follows on, where the state is not new.
        recomputed: Metrics of an incremental job that are made of all rows anew, in whole or in part.
    """

    path: str
    text: str
    query: Query
    output: Output
    as_of: str
    after: datetime | None = None
    recomputed: tuple[str, ...] = ()


def make_job(query: Query, output: Output, timezone: str, after: datetime | None = None) -> Job:
    """The file of a compiled experiment, named by the date whose midnight in `timezone` is its as-of, or the instant."""
    plan = query.plan
    local = plan.as_of.astimezone(ZoneInfo(timezone))
    day = f"{local:%Y-%m-%d}" if local.time() == time() else f"{plan.as_of:%Y-%m-%dT%H%M%SZ}"
    text = "".join(f"{statement};\n" for statement in output.statements)
    recomputed = tuple(recomputed_metrics(plan)) if plan.state else ()
    return Job(
        f"{plan.experiment}/{query.dialect}/{day}.sql", text, query, output, stamp_of(plan.as_of), after, recomputed
    )


def make_open_job(query: Query, output: Output, placeholder: str) -> Job:
    """The file of an experiment for any date, which is put where `placeholder` stands.

    Its name is the experiment's: some tools know a file by that alone.
    """
    # Nothing else in it is a placeholder: definitions hold none.
    text = "".join(f"{statement};\n" for statement in output.statements).replace(PLACEHOLDER, placeholder)
    name = query.plan.experiment
    return Job(f"{name}/{query.dialect}/{name}.sql", text, query, output, placeholder)


def placeholder_of(as_of: str | datetime | None) -> str | None:
    """The placeholder of a template language that stands in for a date, as in `{{ ds }}`; None where it is none."""
    return as_of if isinstance(as_of, str) and _PLACEHOLDER.fullmatch(as_of) else None


def job_dates(as_of: str | datetime | None, to: str | None) -> list[str | datetime | None]:
    """The instant asked for, or every date from it to `to`. Raises UsageError where either is no date."""
    if to is None:
        return [as_of]
    try:
        first, last = date.fromisoformat(str(as_of)), date.fromisoformat(to)
    except ValueError:
        raise UsageError("a range needs two dates", ["metricdef build --as-of 2026-09-02 --to 2026-09-30"]) from None
    if last < first:
        raise UsageError(f"the range ends on {last}, before it starts on {first}")
    return [(first + timedelta(days=i)).isoformat() for i in range((last - first).days + 1)]


def build_manifest(project: Project, jobs: Sequence[Job]) -> dict[str, Any]:
    """What a scheduler needs to know: files in order, their hashes, tables in and out, owners, when to run."""
    return {
        "schema": "metricdef/build/1",
        "metricdef": __version__,
        "jobs": [_entry(project, order, job) for order, job in enumerate(jobs, 1)],
    }


def _entry(project: Project, order: int, job: Job) -> dict[str, Any]:
    plan = job.query.plan
    experiment = project.experiments[plan.experiment]
    settings = analysis_settings(project, plan)
    timezone = project.settings.defaults.timezone
    looks = [f"{_date_of(look, timezone)}" for look in settings.sequential.looks] if settings.sequential else []
    return {
        "order": order,
        "file": job.path,
        "sha256": hashlib.sha256(job.text.encode()).hexdigest(),
        "experiment": plan.experiment,
        "owners": list(experiment.owners),
        "dialect": job.query.dialect,
        "as_of": job.as_of,
        "definitions": plan.fingerprint,
        "sql": job.query.sql_hash,
        "inputs": sorted(set(_inputs(project, plan.sources))),
        "output": job.output.table,
        "state": _state(job),
        "schedule": {
            "every": "1d",
            "from": experiment.start.text,
            # As of then every window is complete: only then is a fixed design read.
            "until": f"{_date_of(settings.planned_end, timezone)}",
            "timezone": timezone,
            **({"looks": looks} if looks else {}),
        },
    }


def _state(job: Job) -> dict[str, Any] | None:
    """What an incremental job keeps, and whether the file of another date must have run before."""
    state = job.query.plan.state
    if state is None:
        return None
    schema = job.output.table.rpartition(".")[0]
    return {
        "tables": [f"{schema}.{state.name}_{ending}" for ending in tables_of_state(job.query.plan)],
        "after": stamp_of(job.after) if job.after else None,
        "recomputed": list(job.recomputed),
        "unchecked": unchecked_sources(job.query.plan),
    }


def unchecked_notes(jobs: Sequence[Job]) -> list[str]:
    """Of every experiment whose jobs leave unchecked what sources declare of their rows: what that means, in words."""
    found = {job.query.plan.experiment: unchecked_sources(job.query.plan) for job in jobs}
    return [
        f"{experiment}: rows of {', '.join(f'`{name}`' for name in names)} are not checked over a state; "
        "where a source declares `grain`, `ingest` does not say ship"
        for experiment, names in found.items()
        if names
    ]


def _date_of(moment: datetime, timezone: str) -> date:
    """The first date whose midnight is not before an instant."""
    local = moment.astimezone(ZoneInfo(timezone))
    return local.date() + timedelta(days=local.time() > time())


def _inputs(project: Project, sources: Iterable[str]) -> Iterable[str]:
    """Tables that the sources read, as they are named in the definitions."""
    for name in sources:
        source = project.sources[name]
        if source.table is not None:
            yield source.table
        elif source.sql is not None:
            yield from tables_of(parse_query(source.sql, source.dialect))
