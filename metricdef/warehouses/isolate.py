"""One bad metric does not sink the others: what the engine refuses is found, named, and the rest runs without it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING

from metricdef.compiler.build_plan import build_plan
from metricdef.compiler.plan import Plan
from metricdef.compiler.query import Query
from metricdef.compiler.render import render
from metricdef.definitions.models import Experiment
from metricdef.definitions.project import Project
from metricdef.definitions.used import experiment_metrics, used_by
from metricdef.errors import DefinitionErrors, Diagnostic, OverBudget, WarehouseError, WarehouseTimeout
from metricdef.warehouses.base import Warehouse
from metricdef.warehouses.cost import refuse_over
from metricdef.warehouses.inspect import inspect_sources
from metricdef.warehouses.profile import Profile

if TYPE_CHECKING:
    import pyarrow as pa

_FIRST = ("primary", "guardrail", "secondary")  # by what a decision needs
_MOST_LEFT_OUT = 5


@dataclass(frozen=True, slots=True)
class Run:
    """An experiment to be executed as of an instant.

    `frozen`: limits of caps that an earlier look has fixed. `sample`: the share of its units to read; None: all.
    """

    project: Project
    experiment: str
    as_of: datetime
    warehouse: Warehouse
    profile: Profile
    daily: bool
    progress: Callable[[str], None]
    frozen: Mapping[str, float] = field(default_factory=dict)
    sample: Fraction | None = None

    def plan(self, without: dict[str, str]) -> Plan:
        """What is asked of the warehouse without some metrics."""
        return build_plan(
            self.project,
            self.experiment,
            self.as_of,
            daily=self.daily,
            without=without,
            frozen=self.frozen,
            sample=self.sample,
        )

    def query(self, without: dict[str, str]) -> Query:
        """The SQL without some metrics."""
        return render(self.plan(without), self.warehouse.dialect, self.profile.schemas)

    def execute(self, query: Query) -> pa.Table:
        """Its rows. Raises OverBudget, before anything is read, where it would read more than the project allows."""
        limit = self.project.settings.max_bytes
        if limit is not None:
            refuse_over(limit, self.warehouse.cost(query.statements), self.warehouse.dialect)
        return self.warehouse.execute(query.statements)

    def metrics(self) -> list[str]:
        """Every metric of the experiment."""
        return list(experiment_metrics(self.project, self.project.experiment(self.experiment)))


def execute_isolated(run: Run) -> tuple[Query, pa.Table]:
    """Execute the experiment's SQL; metrics that the engine refuses are left out and named in the plan.

    Raises OverBudget, and DefinitionErrors and WarehouseError where what all metrics need is refused, or no metric is left.
    """
    refused = _refused_definitions(run)
    query = run.query(refused)
    run.progress(f"computing moments of {len(query.plan.metrics)} metrics in {len(query.plan.arms)} arms")
    try:
        return query, run.execute(query)
    except (WarehouseTimeout, OverBudget):
        raise
    except WarehouseError as error:
        names = [name for name in run.metrics() if name not in refused]
        run.progress("the warehouse refused the SQL: looking for the metric that it refuses")
        found = _culprits(run, names, error)
        if len(found) == len(names):
            raise
    return _together(run, [name for name in names if name not in found], refused | found)


def _together(run: Run, names: Sequence[str], without: dict[str, str]) -> tuple[Query, pa.Table]:
    """Execute metrics that the engine takes one by one; of those that it refuses together the later ones are left out.

    A measure that only some rows have, for example, is evaluated on more rows where another metric reads them too.
    """
    listed = experiment_metrics(run.project, run.project.experiment(run.experiment))
    left = sorted(names, key=lambda name: _FIRST.index(listed[name][0]))
    low = 0  # the first `low` run
    for attempt in range(_MOST_LEFT_OUT + 1):
        query = run.query(without)
        try:
            return query, run.execute(query)
        except (WarehouseTimeout, OverBudget):
            raise
        except WarehouseError as error:
            if attempt == _MOST_LEFT_OUT:  # the whole is too much, not one of them
                raise
            high, found = len(left), error  # the first `high` do not
            while high - low > 1:
                middle = (low + high) // 2
                refused = _refusal(run, left[:middle])
                low, high, found = (middle, high, found) if refused is None else (low, middle, refused)
            if high < 2 or high == low:
                raise
            last = left.pop(low)
            run.progress(f"the warehouse takes {last} alone, not together with {', '.join(left[:low])}")
            without = without | {last: f"together with other metrics: {found.message}"}
    raise AssertionError(low)  # the last attempt returns or raises


def _refused_definitions(run: Run) -> dict[str, str]:
    """Metrics whose definitions do not fit the warehouse, with the reason."""
    # Of a large catalogue the experiment needs little, and what else is wrong in it does not concern this run.
    own_project = _only(run, run.project.experiment(run.experiment))
    problems = _problems(run, own_project, run.plan({}).sources)
    if not problems:
        return {}
    found = {}
    explained: list[Diagnostic] = []
    for name in run.metrics():
        part = _restricted(run, name)
        own = _problems(run, part, part.sources)
        explained += own
        if own:
            place = own[0].place
            found[name] = own[0].message + (f" ({place.file}:{place.line}:{place.column})" if place else "")
    shared = _restricted(run, None)
    fatal = _problems(run, shared, shared.sources)
    # A problem that no metric has by itself is nobody's to leave out.
    if fatal or len(found) == len(run.metrics()) or any(p not in explained for p in problems):
        if all(d.rule == "unreadable-table" for d in problems):  # the definitions may be right
            raise WarehouseError(problems[0].message, problems[0].help)
        raise DefinitionErrors(problems)
    return found


def _problems(run: Run, project: Project, sources: Iterable[str]) -> list[Diagnostic]:
    _, found = inspect_sources(project, run.warehouse, sources, dict(run.profile.schemas))
    return [d for d in found if d.severity == "error"]


def _restricted(run: Run, metric: str | None) -> Project:
    """The project as if the experiment had one metric, or none, and sources only the measures that it needs."""
    return _only(run, _with_only(run.project.experiment(run.experiment), run.project, metric))


def _only(run: Run, experiment: Experiment) -> Project:
    """The project with this experiment and what it uses."""
    project = run.project
    used = used_by(project, experiment)
    kept = {name: project.metrics[name] for name in used.metrics}
    measures = {(r.source, r.name) for m in kept.values() for r in m.references() if r.kind == "measure"}
    sources = {}
    for name in used.sources:
        source = project.sources[name]
        own = {key: text for key, text in source.measures.items() if (name, key) in measures}
        sources[name] = source.model_copy(update={"measures": own})
    segments = {name: project.segments[name] for name in used.segments}
    return replace(
        project,
        metrics=kept,
        sources=sources,
        segments=segments,
        experiments={run.experiment: experiment},
        tests={},
        metric_sets={name: project.metric_sets[name] for name in used.metric_sets},
    )


def _with_only(experiment: Experiment, project: Project, metric: str | None) -> Experiment:
    role, target = experiment_metrics(project, experiment)[metric] if metric else ("primary", None)
    listed = {r: ({metric: target} if r == role and metric else {}) for r in ("primary", "secondary", "guardrail")}
    metrics = experiment.metrics.model_copy(update={**listed, "sets": ()})
    update: dict[str, object] = {"metrics": metrics}
    if metric is None:  # covariates belong to metrics
        update["analysis"] = experiment.analysis.model_copy(update={"covariates": None})
    return experiment.model_copy(update=update)


def _refusal(run: Run, chosen: Sequence[str]) -> WarehouseError | None:
    """Why the engine refuses these metrics; None where it takes them."""
    try:
        run.execute(run.query({name: "" for name in run.metrics() if name not in chosen}))
    except (WarehouseTimeout, OverBudget):
        raise
    except WarehouseError as found:
        return found
    return None


def _culprits(run: Run, names: Sequence[str], error: WarehouseError) -> dict[str, str]:
    """The metrics without which the SQL runs, by halving. Raises where it does not run without any of them."""

    def search(chosen: Sequence[str], found: WarehouseError) -> dict[str, str]:
        if len(chosen) == 1:
            return {chosen[0]: found.message}
        middle = len(chosen) // 2
        bad: dict[str, str] = {}
        for half in (chosen[:middle], chosen[middle:]):
            refused = _refusal(run, half)
            if refused is not None:
                bad |= search(half, refused)
        return bad

    if _refusal(run, []) is not None:
        raise error
    return search(names, error)
