"""Rules of an experiment's design: dimensions, ramps, clusters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from itertools import pairwise

from metricdef.definitions.lookup import metric_place, unknown
from metricdef.definitions.models import Experiment
from metricdef.definitions.project import Project
from metricdef.definitions.used import dimension_candidates, experiment_metrics, unit_of
from metricdef.errors import Diagnostic
from metricdef.metrics import QuantileMetric


def check_design(project: Project, name: str) -> Iterator[Diagnostic]:
    """Everything that can be wrong with strata, breakdowns, a ramp or clusters."""
    experiment = project.experiments[name]
    for key in ("strata", "breakdowns"):
        names = getattr(experiment.analysis, key)
        for position, written in enumerate(names):
            yield from _check_dimension(project, name, experiment, key, position, written)
            if written in names[:position]:
                yield Diagnostic(
                    "duplicate-name",
                    f"experiment `{name}` names `{written}` twice in `{key}`",
                    project.place("experiments", name, "analysis", key, position),
                    ("remove one of them",),
                )
    if experiment.ramp:
        yield from _check_ramp(project, name, experiment)
    yield from _check_cluster(project, name, experiment)
    for metric_name, (role, _) in experiment_metrics(project, experiment).items():
        metric = project.metrics.get(metric_name)
        if role == "primary" and getattr(metric, "missing", None) == "exclude":
            yield Diagnostic(
                "primary-missing-exclude",
                f"primary metric `{metric_name}` of experiment `{name}` leaves out units without rows, who may differ by arm",
                metric_place(project, name, metric_name),
                ("make it secondary, or count those units (`missing: zero`)",),
            )
        if isinstance(metric, QuantileMetric) and (experiment.cluster or len(experiment.ramp) > 1):
            what = "clusters" if experiment.cluster else "a ramp"
            yield Diagnostic(
                "quantile-design",
                f"metric `{metric_name}` of experiment `{name}`: quantiles are not computed over {what}",
                metric_place(project, name, metric_name),
                ("use a threshold metric, such as the share of units above a limit",),
            )


def _check_dimension(
    project: Project, name: str, experiment: Experiment, key: str, position: int, written: str
) -> Iterator[Diagnostic]:
    path = ("analysis", key, position)
    if ("experiments", name, *path) not in project.origins["experiments", name].values:
        path = path[:2]  # type: ignore[assignment]  # a single text stands at the key itself
    place = project.place("experiments", name, *path)
    found = dimension_candidates(project, experiment, written)
    if not found:
        known = {
            dimension
            for source_name, source in project.sources.items()
            if source_name == experiment.exposure.source
            or (source.kind == "attributes" and unit_of(project, experiment) in source.entities)
            for dimension in source.dimensions
        }
        yield unknown("dimension", written, known, place, f"`{key}` of experiment `{name}`")
        return
    if len(found) > 1:
        yield Diagnostic(
            "ambiguous-dimension",
            f"`{key}` of experiment `{name}`: `{written}` is a dimension of {' and '.join(f'`{s}`' for s, _ in found)}",
            place,
            (f"write {' or '.join(f'`{s}.{d}`' for s, d in found)}",),
        )
    source = project.sources[found[0][0]]
    if source.kind == "attributes" and source.valid_from is None:
        yield Diagnostic(
            "current-value-attribute",
            f"`{key}` of experiment `{name}`: `{written}` is the current value of `{found[0][0]}`, which the treatment may have changed",
            place,
            ("add `valid_from` to the source, or use attributes that cannot change",),
            "warning",
        )


def _check_ramp(project: Project, name: str, experiment: Experiment) -> Iterator[Diagnostic]:
    def problem(rule: str, message: str, *path: str | int, help_: str = "") -> Diagnostic:
        place = project.place("experiments", name, "ramp", *path, key=True)
        return Diagnostic(rule, f"ramp of experiment `{name}`: {message}", place, (help_,) if help_ else ())

    if experiment.exposure.mixed == "exclude" and experiment.exposure.assignment != "sticky":
        yield problem(
            "ramp-mixed",
            "units that change arm with the shares would be left out, which biases the estimate",
            help_="write `exposure: {mixed: first_arm}`, or `assignment: sticky` where units keep their arm",
        )
    starts = _starts(project, experiment)
    if starts and starts[0] > experiment.start.at(project.settings.defaults.timezone):
        yield problem("ramp-start", "its first step begins after the experiment's start", 0)
    for position, (earlier, later) in enumerate(pairwise(starts), 1):
        if later <= earlier:
            yield problem("ramp-order", "its steps are not in the order of time", position)
    for position, step in enumerate(experiment.ramp):
        odd = [arm for arm in step.shares if arm not in experiment.arms]
        if odd:
            place = project.place("experiments", name, "ramp", position, "shares", key=True)
            yield unknown("arm", odd[0], experiment.arms, place, f"ramp of experiment `{name}`")
        elif set(step.shares) != set(experiment.arms):
            missing = next(arm for arm in experiment.arms if arm not in step.shares)
            yield problem(
                "shares-not-100",
                f"step {position + 1} has no share for arm `{missing}`",
                position,
                help_="write 0% for an arm that is not on",
            )
        elif sum(step.shares.values(), Fraction(0)) != 1:
            total = float(sum(step.shares.values(), Fraction(0)) * 100)
            yield problem(
                "shares-not-100", f"the shares of step {position + 1} sum to {total:.10g}%, not 100%", position
            )


def _starts(project: Project, experiment: Experiment) -> list[datetime]:
    try:
        return [step.start.at(project.settings.defaults.timezone) for step in experiment.ramp]
    except (KeyError, ValueError):
        return []  # a wrong time zone is reported once, in project.yml


def _check_cluster(project: Project, name: str, experiment: Experiment) -> Iterator[Diagnostic]:
    if experiment.cluster is None:
        if experiment.cluster_effect == "per_cluster":
            yield Diagnostic(
                "cluster-missing",
                f"experiment `{name}` has a `cluster_effect` but no cluster",
                project.place("experiments", name, "cluster_effect", key=True),
                ("name the entity that was randomised: `cluster: shop`",),
            )
        return
    place = project.place("experiments", name, "cluster")
    if experiment.cluster == unit_of(project, experiment):
        yield Diagnostic(
            "cluster-is-unit", f"experiment `{name}`: the cluster is the unit itself", place, ("remove `cluster`",)
        )
    source = project.sources.get(experiment.exposure.source)
    known = experiment.cluster in project.settings.entities
    if source is not None and known and experiment.cluster not in source.entities:
        yield Diagnostic(
            "unit-not-in-source",
            f"exposure of experiment `{name}`: source `{experiment.exposure.source}` has no column for cluster `{experiment.cluster}`",
            place,
            (f"add `{experiment.cluster}: <column>` to its `entities`",),
        )
    if experiment.cluster_effect == "per_cluster":
        for metric_name in experiment_metrics(project, experiment):
            metric = project.metrics.get(metric_name)
            if metric is not None and (
                metric.kind == "ratio" or getattr(metric, "missing", None) == "exclude" or getattr(metric, "per", None)
            ):
                yield Diagnostic(
                    "per-cluster-ratio",
                    f"metric `{metric_name}` of experiment `{name}` is a ratio, which has no mean per cluster",
                    metric_place(project, name, metric_name),
                    ("use `cluster_effect: per_unit`",),
                )
