"""The Python API: a project with its verbs, for notebooks and programs. The command line is a thin layer over it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from metricdef.compiler.build_plan import build_plan
from metricdef.compiler.plan import Plan
from metricdef.compiler.query import Query
from metricdef.compiler.refusals import refuse
from metricdef.compiler.render import render
from metricdef.definitions.load import find_project, load_project
from metricdef.definitions.lookup import source_columns
from metricdef.definitions.project import Loaded
from metricdef.definitions.project import Project as Definitions
from metricdef.errors import DefinitionErrors, Diagnostic, MetricdefError, UsageError
from metricdef.metrics.fields import Instant
from metricdef.warehouses import Profile, connect, resolve_profile
from metricdef.warehouses.profile import profile_type

if TYPE_CHECKING:
    from metricdef.analysis.readout import Readout

Progress = Callable[[str], None]


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

    def check(self, *, live: bool = False, profile: str | None = None) -> tuple[Diagnostic, ...]:
        """Everything wrong with the definitions; `live` also asks the warehouse for tables, columns and types."""
        if self.loaded.project is None or self.loaded.errors:
            return self.loaded.diagnostics
        found = {*self.loaded.diagnostics, *self._refusals()}
        if not live:
            return tuple(sorted(found, key=lambda d: d.order))
        from metricdef.warehouses.inspect import inspect_sources

        project = self.loaded.project
        resolved = self._profile(profile)
        with connect(resolved) as warehouse:
            _, seen = inspect_sources(project, warehouse, project.sources, dict(resolved.schemas))
        return tuple(sorted({*found, *seen}, key=lambda d: d.order))

    def _refusals(self) -> list[Diagnostic]:
        """What `run` would refuse, as warnings: the definitions are right, this version is not there yet."""
        project = self.definitions
        found = [replace(d, severity="warning") for name in project.experiments for d in refuse(project, name)]
        for name in project.tests:
            message = f"test `{name}`: tests of metrics are not run yet"
            found.append(Diagnostic("not-yet", message, project.place("tests", name), (), "warning"))
        return found

    def without_columns(self) -> list[str]:
        """Sources whose columns are not known without asking the warehouse."""
        project = self.loaded.project
        return [name for name in project.sources if source_columns(project, name) is None] if project else []

    def columns(self, profile: str | None = None) -> dict[str, dict[str, str]]:
        """Columns and types of every source, as the warehouse has them."""
        from metricdef.warehouses.inspect import inspect_sources

        project = self.definitions
        resolved = self._profile(profile)
        with connect(resolved) as warehouse:
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

    def plan(self, experiment: str, as_of: str | datetime | None = None, *, daily: bool = False) -> Plan:
        """What the experiment needs, as seen at `as_of`: an instant or a date, by default now."""
        project = self.definitions
        return build_plan(project, experiment, read_as_of(as_of, project.settings.defaults.timezone), daily=daily)

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
        return render(
            self.plan(experiment, as_of, daily=daily), dialect or kind, {} if named and dialect != kind else schemas
        )

    def run(
        self,
        experiment: str,
        profile: str | None = None,
        as_of: str | datetime | None = None,
        progress: Progress = _silent,
        *,
        daily: bool = False,
    ) -> Readout:
        """Compile, execute and analyse; `daily` with the cumulative estimates of every day. Raises MetricdefError with what to do about it."""
        from metricdef.analysis.analyse import analyse
        from metricdef.warehouses.isolate import Run, execute_isolated

        project = self.definitions
        plan = self.plan(experiment, as_of, daily=daily)
        if plan.as_of > datetime.now(UTC):
            raise UsageError(
                f"as-of {plan.as_of:%Y-%m-%d %H:%M} UTC lies in the future: windows would count as complete that are not",
                ["leave `--as-of` out to read the data as they are now"],
            )
        resolved = self._profile(profile)
        progress(f"connecting to {resolved.name} ({resolved.type})")
        with connect(resolved) as warehouse:
            query, table = execute_isolated(Run(project, experiment, plan.as_of, warehouse, resolved, daily, progress))
        progress("analysing")
        return analyse(project, query, table, revision(self.root))

    def _profile(self, name: str | None) -> Profile:
        settings = self.definitions.settings
        return resolve_profile(name, settings.profiles, settings.default_profile, self.root)


def read_as_of(value: str | datetime | None, timezone: str) -> datetime:
    """An instant with a zone. Text is a date (midnight in the project's zone) or an ISO timestamp. Raises UsageError."""
    if value is None:
        return datetime.now(UTC)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    try:
        return Instant.parse(value).at(timezone)
    except ValueError as error:
        raise UsageError(f"--as-of: {error}") from None


def revision(root: Path) -> str | None:
    """The git commit of the project's folder, None outside a repository."""
    try:
        found = subprocess.run(  # noqa: S603 - fixed arguments
            # With `-dirty` where tracked files differ from the commit: a hash alone would name other definitions.
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None


__all__ = ["MetricdefError", "Project", "read_as_of"]
