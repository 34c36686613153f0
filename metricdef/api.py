"""The Python API: a project with its verbs, for notebooks and programs. The command line is a thin layer over it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metricdef.analysis.planning import fixed_limits, plan_experiment, read_as_of, refuse_future
from metricdef.compiler.plan import Plan
from metricdef.compiler.query import Query
from metricdef.compiler.render import render
from metricdef.definitions.files import find_project
from metricdef.definitions.load import load_project
from metricdef.definitions.lookup import source_columns
from metricdef.definitions.project import Loaded
from metricdef.definitions.project import Project as Definitions
from metricdef.definitions.selection import matching, select_tests
from metricdef.errors import DefinitionErrors, Diagnostic, MetricdefError, UsageError
from metricdef.governance.git import revision
from metricdef.metrics.fields import parse_share
from metricdef.reports.shown import show_readouts
from metricdef.warehouses import Profile, Session, Warehouse, connect, resolve_profile
from metricdef.warehouses.profile import profile_type

if TYPE_CHECKING:
    import pyarrow as pa

    from metricdef.analysis.look_record import LookRecord
    from metricdef.analysis.metric_tests import CaseResult
    from metricdef.analysis.readout import Readout
    from metricdef.governance.freeze import Locked
    from metricdef.governance.log import Log
    from metricdef.governance.verify import Verified
    from metricdef.jobs.build import Job
    from metricdef.jobs.ingest import Written
    from metricdef.jobs.queries import Place
    from metricdef.jobs.retention import Expired
    from metricdef.review.costs import RunCost
    from metricdef.review.lineage import Lineage
    from metricdef.review.numbers import Numbers
    from metricdef.review.records import Review
    from metricdef.warehouses.cost import Cost

Progress = Callable[[str], None]
Columns = Mapping[str, Mapping[str, str]]  # types by source and column
Schema = tuple[Columns, Columns]  # as they were, and as they are
show_readouts()


def _silent(message: str) -> None:
    """No progress."""


class Project:
    """A folder of definitions. Loading collects problems; verbs other than `check` refuse to go on with errors."""

    def __init__(self, path: str | Path = ".", *, snapshot: bool = True) -> None:
        """Load the project at `path`, or the nearest one above it. Raises UsageError where there is none.

        `snapshot` uses the columns in metrics/.schema.json; without it columns are known from the warehouse alone.
        """
        self.root = find_project(Path(path))
        self.loaded: Loaded = load_project(self.root, snapshot=snapshot)
        self._running: list[Warehouse] = []

    def check(self, *, live: bool = False, profile: str | None = None) -> tuple[Diagnostic, ...]:
        """Everything wrong with the definitions; `live` also asks the warehouse for tables, columns and types."""
        from metricdef.governance.findings import all_findings

        is_fit = self.loaded.project is not None and not self.loaded.errors
        return all_findings(self.loaded, self._inspected(profile) if live and is_fit else [])

    def known_findings(self, base: str | None = None) -> tuple[str, Counter[tuple[str, str, str]]]:
        """The commit that is compared with, and how often each finding was there without asking the warehouse.

        A finding is its rule, its file below metrics/ and its message: lines move. Raises as `review` does.
        """
        from metricdef.governance.findings import all_findings, identity
        from metricdef.review.revisions import find_revision, load_revision

        revision = find_revision(self.root, base)
        with load_revision(self.root, revision) as before:
            found = all_findings(before) if before else ()
        return revision.shown, Counter(map(identity, found))

    def _inspected(self, profile: str | None) -> list[Diagnostic]:
        """What the warehouse says of the definitions."""
        from metricdef.warehouses.inspect import inspect_sources

        resolved = self._profile(profile)
        with connect(resolved, self._session("metricdef")) as warehouse:
            return inspect_sources(self.definitions, warehouse, self.definitions.sources, dict(resolved.schemas))[1]

    def _refuse_changes(self, experiment: str) -> None:
        """Raise DefinitionErrors where the protocol is locked and not what the definitions say."""
        from metricdef.governance.findings import check_protocol

        self.definitions.experiment(experiment)
        errors = [d for d in check_protocol(self.definitions, experiment) if d.severity == "error"]
        if errors:
            raise DefinitionErrors(errors)

    def is_current(self, experiment: str, readout: Mapping[str, Any]) -> bool:
        """Whether the document of a readout has the protocol, amendments and record of today.

        Raises DefinitionErrors where `run` would refuse.
        """
        from metricdef.governance.current import is_current

        self._refuse_changes(experiment)
        return is_current(self.definitions, experiment, readout)

    def lock(self, experiment: str) -> Locked:
        """Freeze the experiment's protocol in metrics/.protocol.lock.json; after amendments, its next state.

        Raises DefinitionErrors where the definitions have errors or a change is not covered by an amendment.
        """
        from metricdef.governance.freeze import lock_protocol

        return lock_protocol(self.definitions, experiment)

    def log(self, experiment: str | None = None) -> tuple[Log, ...]:
        """What happened to an experiment, by default to each: locks, looks, amendments, decisions. Raises RecordBroken."""
        from metricdef.governance.log import read_log

        names = [experiment] if experiment else list(self.definitions.experiments)
        return tuple(read_log(self.definitions, name) for name in names)

    def verify_log(self, experiment: str | None = None, head: str | None = None) -> tuple[Verified, ...]:
        """Whether the record of an experiment, by default of each, is what was written to it.

        `head`: the hash of a row that must be there, or its beginning, as a readout has it. The definitions may have errors.
        """
        from metricdef.governance.record import recorded
        from metricdef.governance.verify import verify_record

        known = sorted(
            {*recorded(self.root), *(self.loaded.project.declared("experiments") if self.loaded.project else ())}
        )
        if experiment and experiment not in known:
            self.definitions.experiment(experiment)
        return tuple(verify_record(self.root, name, head) for name in ([experiment] if experiment else known))

    def review(self, base: str | None = None, profile: str | None = None, *, compiled: int | None = 5) -> Review:
        """What the definitions, as they are in the work tree, change against a commit: where its history meets that of HEAD.

        Args:
            base: A revision of git; by default origin/main, else main.
            profile: Whose dialect the SQL is compared in.
            compiled: Of how many of the experiments that are reached, the worst first; None for all.

        Raises UsageError outside a repository, for an unknown commit, and where a clone holds too little of the history;
        DefinitionErrors where project.yml can't be used.
        """
        from metricdef.review.compare import compare
        from metricdef.review.revisions import find_revision, load_revision
        from metricdef.review.sql_changes import sql_changes

        revision = find_revision(self.root, base)
        with load_revision(self.root, revision) as before:
            found = compare(before, self.loaded, revision.shown)
            if revision.moved:
                found = replace(found, notes=(f"the project lay in {revision.folder or '.'} then", *found.notes))
            now, was = self.loaded.project, before.project if before else None
            if now is None or was is None or self.loaded.errors or (before and before.errors):
                return found
            _, kind, schemas = profile_type(profile, now.settings.profiles, now.settings.default_profile)
            names = [effect.experiment for effect in found.experiments][:compiled]
            return replace(found, sql=sql_changes(was, now, names, kind, schemas))

    def diff(
        self,
        experiments: Iterable[str],
        base: str | None = None,
        profile: str | None = None,
        as_of: str | datetime | None = None,
        progress: Progress = _silent,
        *,
        sample: str | None = None,
    ) -> tuple[Numbers, ...]:
        """Numbers of experiments as they are defined at a commit and now, from the same data and as of the same instant.

        `sample`: a share such as `10%` of the units, the same ones for both, to read; verdicts and decisions are left out
        then. Nothing is recorded, and nothing is shown that `run` would hide under either state. Both are executed with the
        profile as it is now. Raises as `review` and `run` do; UsageError where one of the states has errors.
        """
        from metricdef.review.numbers import compare_numbers
        from metricdef.review.revisions import find_revision, load_revision

        project, revision = self.definitions, find_revision(self.root, base)
        instant = read_as_of(as_of, project.settings.defaults.timezone)
        refuse_future(instant)
        resolved = self._profile(profile)
        share = read_sample(sample)
        names = list(experiments)
        for name in names:
            project.experiment(name)
        with load_revision(self.root, revision) as before:
            if before is None or before.project is None or before.errors:
                what = before.errors[0].message if before and before.errors else "there is no project"
                raise UsageError(
                    f"the definitions at {revision.shown} can't be run: {what}", ["compare with another --base"]
                )
            progress(f"connecting to {resolved.name} ({resolved.type})")
            with connect(resolved, self._session("metricdef diff")) as warehouse:
                return tuple(
                    compare_numbers(
                        before.project,
                        project,
                        name,
                        instant,
                        warehouse,
                        resolved,
                        self._recorded_looks(name),
                        progress,
                        revision.shown,
                        share,
                    )
                    for name in names
                )

    def costs(
        self,
        experiments: Iterable[str],
        base: str | None = None,
        profile: str | None = None,
        as_of: str | datetime | None = None,
    ) -> tuple[RunCost, ...]:
        """What runs of experiments would read as they are defined at a commit and now, by the warehouse's estimate alone."""
        from metricdef.review.costs import run_costs
        from metricdef.review.revisions import find_revision, load_revision

        project, revision = self.definitions, find_revision(self.root, base)
        instant, resolved = read_as_of(as_of, project.settings.defaults.timezone), self._profile(profile)
        with (
            load_revision(self.root, revision) as before,
            connect(resolved, self._session("metricdef plan")) as warehouse,
        ):
            was = before.project if before and not before.errors else None
            return run_costs(was, project, experiments, instant, warehouse, resolved)

    def _recorded_looks(self, experiment: str) -> tuple[LookRecord, ...]:
        """Looks recorded so far, whatever the design is now."""
        from metricdef.governance.looks import recorded_looks
        from metricdef.governance.record import read, record_path

        return recorded_looks(read(record_path(self.root, experiment)))

    def lineage(self, column: str) -> Lineage:
        """What rests on a column, `table.column` or `source.column`. Raises UsageError where no source reads the table."""
        from metricdef.review.lineage import lineage

        return lineage(self.definitions, column)

    def without_columns(self) -> list[str]:
        """Sources whose columns are not known without asking the warehouse."""
        project = self.loaded.project
        return [name for name in project.sources if source_columns(project, name) is None] if project else []

    def columns(self, profile: str | None = None) -> dict[str, dict[str, str]]:
        """Columns and types of every source, as the warehouse has them."""
        from metricdef.warehouses.inspect import inspect_sources

        project = self.definitions
        resolved = self._profile(profile)
        with connect(resolved, self._session("metricdef")) as warehouse:
            found, problems = inspect_sources(project, warehouse, project.sources, dict(resolved.schemas))
        missing = [d for d in problems if d.rule in ("unknown-table", "source-query")]
        if missing:
            raise DefinitionErrors(missing)
        return {name: dict(columns) for name, columns in found.items()}

    @property
    def definitions(self) -> Definitions:
        """The linked definitions. Raises DefinitionErrors where they have errors."""
        if self.loaded.project is None or self.loaded.errors:
            raise DefinitionErrors(self.loaded.errors)
        return self.loaded.project

    def plan(
        self,
        experiment: str,
        as_of: str | datetime | None = None,
        *,
        daily: bool = False,
        is_open: bool = False,
        history: Sequence[LookRecord] = (),
    ) -> Plan:
        """What the experiment needs, as seen at `as_of`: an instant or a date, by default now.

        `is_open`: as-of is put into the SQL when it runs, whatever `as_of` is. Caps that looks of `history` have fixed are numbers in it.
        """
        return plan_experiment(self.definitions, experiment, as_of, daily=daily, is_open=is_open, history=history)

    def compile(
        self,
        experiment: str,
        dialect: str | None = None,
        as_of: str | datetime | None = None,
        profile: str | None = None,
        *,
        daily: bool = False,
    ) -> Query:
        """The exact SQL that `run` executes. The dialect is the profile's unless one is named."""
        project = self.definitions
        _, kind, schemas = profile_type(profile, project.settings.profiles, project.settings.default_profile)
        named = dialect is not None and profile is None
        plan = self.plan(experiment, as_of, daily=daily, history=self._looks(experiment))
        return render(plan, dialect or kind, {} if named and dialect != kind else schemas)

    def run(
        self,
        experiment: str,
        profile: str | None = None,
        as_of: str | datetime | None = None,
        progress: Progress = _silent,
        *,
        daily: bool = False,
        history: Sequence[LookRecord] | None = None,
    ) -> Readout:
        """Compile, execute and analyse. Raises MetricdefError with what to do about it.

        Args:
            experiment: Its name.
            profile: Where to execute.
            as_of: Rows at or after it don't count.
            progress: Told what starts.
            daily: With the cumulative estimates of every day.
            history: Looks to go on from, of a sequential design; by default those of the project's record, to which this
                one is then added. With it nothing is recorded: the readout's `look.record`, through
                `LookRecord.from_dict`, is what to add.
        """
        project = self.definitions
        instant = read_as_of(as_of, project.settings.defaults.timezone)
        run = partial(self._run, experiment, profile, instant, progress, daily=daily)
        return run(history) if history is not None else self._recorded(experiment, run)

    def _recorded(self, experiment: str, run: Callable[[Sequence[LookRecord]], Readout]) -> Readout:
        """The readout after the looks recorded so far; the look that it is, of a sequential design, is recorded first."""
        from metricdef.governance.looks import run_recorded
        from metricdef.governance.record import record_path

        return run_recorded(record_path(self.root, experiment), run) if self._has_looks(experiment) else run(())

    def _run(
        self,
        experiment: str,
        profile: str | None,
        as_of: datetime,
        progress: Progress,
        history: Sequence[LookRecord],
        *,
        daily: bool,
    ) -> Readout:
        from metricdef.analysis.analyse import analyse
        from metricdef.governance.deviations import with_protocol
        from metricdef.review.in_words import with_words
        from metricdef.warehouses.isolate import Run, execute_isolated

        project = self.definitions
        self._refuse_changes(experiment)
        plan = self.plan(experiment, as_of, daily=daily, history=history)
        refuse_future(plan.as_of)
        resolved = self._profile(profile)
        progress(f"connecting to {resolved.name} ({resolved.type})")
        with connect(resolved, self._session(f"metricdef {experiment}")) as warehouse:
            self._running.append(warehouse)
            try:
                frozen = fixed_limits(project, plan.as_of, history)
                job = Run(project, experiment, plan.as_of, warehouse, resolved, daily, progress, frozen)
                found = execute_isolated(job)
                schema = self._schema(experiment, warehouse, resolved)
            finally:
                self._running.remove(warehouse)
        progress("analysing")
        readout = analyse(project, *found, revision(self.root), history, schema, resolved.place())
        return with_words(with_protocol(readout, project, history), project)

    def place(self, profile: str | None = None) -> dict[str, str]:
        """A profile's name and a hash of where its data are, as a readout's `provenance.place` has them.

        Raises UsageError for an unknown profile or an unset variable.
        """
        return self._profile(profile).place()

    def _schema(self, experiment: str, warehouse: Warehouse, profile: Profile) -> Schema:
        """Columns of the experiment's sources as they were known, and as the warehouse has them."""
        from metricdef.governance.columns import known_columns
        from metricdef.warehouses.inspect import describe_sources

        project = self.definitions
        before = known_columns(project, experiment)
        return before, describe_sources(project, warehouse, before, dict(profile.schemas))

    def _has_looks(self, experiment: str) -> bool:
        sequential = self.definitions.experiment(experiment).analysis.sequential
        return sequential is not None and sequential.method != "fixed"

    def _looks(self, experiment: str) -> tuple[LookRecord, ...]:
        """Looks recorded so far; none of a fixed design."""
        return self._recorded_looks(experiment) if self._has_looks(experiment) else ()

    def cost(
        self,
        experiment: str,
        profile: str | None = None,
        as_of: str | datetime | None = None,
        *,
        daily: bool = False,
    ) -> Cost:
        """What the warehouse expects of a run, without reading a row. Raises OverBudget where `run` would."""
        from metricdef.warehouses.cost import refuse_over

        query, limit = self.compile(experiment, None, as_of, profile, daily=daily), self.definitions.settings.max_bytes
        with connect(self._profile(profile), self._session(f"metricdef {experiment}")) as warehouse:
            found = warehouse.cost(query.statements)
        if limit is not None:
            refuse_over(limit, found, query.dialect)
        return found

    def cancel(self) -> None:
        """Stop the statements that `run` executes in other threads; it raises WarehouseTimeout there."""
        for warehouse in tuple(self._running):
            warehouse.cancel()

    def build(
        self,
        experiments: Iterable[str] = (),
        profile: str | None = None,
        as_of: str | datetime | None = None,
        to: str | None = None,
        *,
        dialect: str | None = None,
        daily: bool = False,
        incremental: bool = False,
        restate: str | None = None,
    ) -> tuple[Job, ...]:
        """Files for a scheduler: of each experiment (by default all that run) as of an instant, or of every date to `to`.

        Where `as_of` is the placeholder of a template, `{{ ds }}`, one file for any date that is put in its place.
        Each puts its moments into a table of the project's `output_schema`; run again, it replaces its own rows.
        `incremental` jobs keep a state of every unit there, add one day to it, and read the moments from it; `restate`
        names days (`2026-09-03` or `2026-09-03..2026-09-05`) that they read again as a whole.
        """
        from metricdef.jobs.queries import Wanted, build_jobs

        project = self.definitions
        place = self._place(profile, dialect)
        names = list(experiments) or [name for name, e in project.experiments.items() if e.status == "running"]
        if not names:
            raise UsageError("no experiment is running", ["name the experiments to build"])
        for name in names:
            self._refuse_changes(name)
        wanted = Wanted(as_of, to, daily, incremental, restate)
        return build_jobs(project, names, place, wanted, self._looks)

    def _place(self, profile: str | None, dialect: str | None) -> Place:
        """Where jobs run; another dialect than the profile's is that of another warehouse, with names of its own."""
        from metricdef.jobs.queries import Place

        settings = self.definitions.settings
        _, kind, schemas = profile_type(profile, settings.profiles, settings.default_profile)
        return Place(dialect or kind, schemas if dialect in (None, kind) else {}, settings.output_schema)

    def expired(self, profile: str | None = None, as_of: str | datetime | None = None) -> Expired:
        """Tables of states to which no day was added within the project's `retention` before `as_of`, by default now.

        Raises WarehouseError where the schema of the states can't be seen.
        """
        from metricdef.jobs.retention import expired_tables

        settings = self.definitions.settings
        if settings.output_schema is None or settings.retention is None:
            raise UsageError(
                "the project does not say how long states are kept, and where",
                ["add `retention: 90d` and `output_schema: NAME` to project.yml"],
            )
        at = read_as_of(as_of, settings.defaults.timezone)
        resolved = self._profile(profile)
        with connect(resolved, self._session("metricdef build --drop-expired")) as warehouse:
            return expired_tables(
                warehouse, settings.output_schema, dict(resolved.schemas), settings.retention.microseconds, at
            )

    def ingest(
        self,
        source: str | Path,
        profile: str | None = None,
        as_of: str | datetime | None = None,
        *,
        job: str | None = None,
    ) -> Readout:
        """The readout of moments that a job wrote: in a table of the profile's warehouse, or exported to a file.

        `job` is dated, open or incremental, where jobs of several kinds wrote rows of that instant. The look that it is,
        of a sequential design, is recorded first, as `run` does. Raises MetricdefError.
        """
        from metricdef.jobs.ingest import read_file, read_table

        at = read_as_of(as_of, self.definitions.settings.defaults.timezone) if as_of is not None else None
        schema = place = None
        if Path(source).suffix.lower() in (".parquet", ".csv"):
            written = self._written(read_file(Path(source)), at)
        else:
            resolved = self._profile(profile)
            with connect(resolved, self._session("metricdef ingest")) as warehouse:
                written, place = self._written(read_table(warehouse, str(source), at), at), resolved.place()
                if written.dialect == warehouse.dialect:  # else the sources are elsewhere
                    schema = self._schema(written.experiment, warehouse, resolved)
        read = partial(self._read_back, written, self._place(profile, written.dialect), schema, place, job)
        return self._recorded(written.experiment, read)

    def _written(self, rows: pa.Table, as_of: datetime | None) -> Written:
        """A job's rows as of an instant, of which a readout may be made now."""
        from metricdef.jobs.ingest import choose

        written = choose(rows, as_of)
        self._refuse_changes(written.experiment)
        refuse_future(written.as_of)
        return written

    def _read_back(
        self,
        written: Written,
        place: Place,
        schema: Schema | None,
        read_at: Mapping[str, str] | None,
        job: str | None,
        history: Sequence[LookRecord],
    ) -> Readout:
        """The readout of a job's rows after a history of looks."""
        from metricdef.analysis.analyse import analyse
        from metricdef.governance.deviations import with_protocol
        from metricdef.jobs.ingest import match
        from metricdef.jobs.queries import possible_queries
        from metricdef.review.in_words import with_words

        project = self.definitions
        possible = possible_queries(project, written.experiment, written.as_of, place, history, daily=written.daily)
        query, table = match(written, possible, job)
        readout = analyse(project, query, table, revision(self.root), history, schema, read_at)
        return with_words(with_protocol(readout, project, history), project)

    def test(self, select: Iterable[str] = ()) -> tuple[CaseResult, ...]:
        """Run the unit tests whose name, or whose metric's name, matches one of `select`; without any all of them."""
        from metricdef.analysis.metric_tests import run_test

        project = self.definitions
        return tuple(run_test(project, name) for name in select_tests(project, select))

    def untested(self, select: Iterable[str] = ()) -> list[str]:
        """Metrics that no test names, of those that match one of `select`."""
        project = self.definitions
        tested = {test.metric for test in project.tests.values()}
        wanted = matching(select, {name: (name,) for name in project.metrics}, "metric")
        return [name for name in wanted if name not in tested]

    def record(self, select: Iterable[str] = ()) -> dict[Path, str]:
        """The files of the selected tests as they would be with the figures that come out, where that changes them.

        Raises WarehouseError where a test cannot run.
        """
        from metricdef.analysis.metric_tests import record_tests

        project, errors = self.loaded.project, [d for d in self.loaded.errors if d.rule != "test-without-expect"]
        if project is None or errors:
            raise DefinitionErrors(errors or self.loaded.errors)
        return record_tests(project, select_tests(project, select))

    def _session(self, tag: str) -> Session:
        limit = self.definitions.settings.query_timeout
        return Session(tag, limit.microseconds / 1e6 if limit else None)

    def _profile(self, name: str | None) -> Profile:
        settings = self.definitions.settings
        return resolve_profile(name, settings.profiles, settings.default_profile, self.root)


def read_readout(path: str | Path) -> Readout:
    """The readout in a JSON file, as `metricdef run -o` writes it. Raises UsageError where it is none."""
    from metricdef.analysis.document import read_document

    return read_document(Path(path).read_text(encoding="utf-8"), str(path))


def read_sample(value: str | None) -> Fraction | None:
    """A share of units such as `10%` or `1/20`. Raises UsageError."""
    if value is None:
        return None
    try:
        share = parse_share(value)
    except ValueError as error:
        raise UsageError(f"--sample: {error}") from None
    if not 0 < share < 1:
        raise UsageError(
            f"--sample: {value} is no part of the units", ["write for example 10%, or leave it out for all"]
        )
    return share


__all__ = ["MetricdefError", "Project", "read_as_of", "read_readout", "read_sample"]
