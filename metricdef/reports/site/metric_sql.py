"""The SQL of a metric alone, in every dialect, as an experiment has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from metricdef.compiler.build_plan import build_plan
from metricdef.compiler.dialects import DIALECTS
from metricdef.compiler.excerpt import RememberedText, render_excerpt
from metricdef.compiler.plan import Plan
from metricdef.compiler.sql_text import SqlText
from metricdef.definitions.maturity import horizon_of
from metricdef.definitions.models import Analysis, Experiment, Outcomes, Target, Validation
from metricdef.definitions.project import Project
from metricdef.definitions.used import sources_of, unit_of
from metricdef.errors import DefinitionErrors, MetricdefError


@dataclass(frozen=True, slots=True)
class MetricSql:
    """What makes one metric's value per unit.

    Attributes:
        experiment: The one whose exposures and dates it has.
        uses: Whether that experiment has the metric, or was only taken for its exposures.
        dialects: The SQL by dialect, or why there is none.
    """

    experiment: str
    uses: bool
    dialects: Mapping[str, Excerpt]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """SQL, or the reason why a dialect has none."""

    sql: str | None
    reason: str | None = None


def texts() -> dict[str, SqlText]:
    """What writes each dialect; of one project only, as it remembers what it wrote."""
    return {name: RememberedText(table) for name, table in DIALECTS.items()}


def metric_sql(project: Project, name: str, using: Sequence[str], texts: Mapping[str, SqlText]) -> MetricSql | str:
    """The SQL of a metric in the experiment that started last of those `using` it; why there is none, where that is so.

    Where none uses it, in one whose unit all its sources know.
    """
    able = using or _able(project, name)
    if not able:
        return "no experiment has exposures of a unit that all its sources know"
    zone = project.settings.defaults.timezone
    experiment = max(able, key=lambda key: (project.experiments[key].start.at(zone), key))
    try:
        plan = _plan_alone(project, name, experiment)
    except DefinitionErrors as error:
        return "; ".join(diagnostic.message for diagnostic in error.diagnostics)
    except MetricdefError as error:
        return error.message
    return MetricSql(experiment, bool(using), {dialect: _excerpt(plan, text) for dialect, text in texts.items()})


def _excerpt(plan: Plan, text: SqlText) -> Excerpt:
    try:
        return Excerpt(render_excerpt(plan, text))
    except MetricdefError as error:
        return Excerpt(None, error.message)


def _able(project: Project, name: str) -> list[str]:
    sources = [project.sources[source] for source in sources_of(project, project.metrics[name])]
    return [
        key
        for key, experiment in project.experiments.items()
        if all(unit_of(project, experiment) in source.entities for source in sources)
    ]


def _plan_alone(project: Project, name: str, experiment_name: str) -> Plan:
    """The experiment with this metric only, without covariates, as of the day on which its last window is complete."""
    metric = project.metrics[name].model_copy(update={"covariates": None})
    defaults = project.settings.defaults.model_copy(update={"covariates": None, "multiplicity": None})
    experiment = _alone(project.experiments[experiment_name], name)
    case = replace(
        project,
        settings=project.settings.model_copy(update={"defaults": defaults}),
        metrics={**project.metrics, name: metric},
        experiments={experiment_name: experiment},
    )
    wait = horizon_of(case, metric, metric.parts(case.metrics)) or 0
    return build_plan(case, experiment_name, experiment.end.at(defaults.timezone) + timedelta(microseconds=wait))


def _alone(experiment: Experiment, metric: str) -> Experiment:
    return experiment.model_copy(
        update={
            "metrics": Outcomes(secondary={metric: Target()}),
            "analysis": Analysis(covariates=None),
            "validation": Validation(),
        }
    )
