"""Rules of time: windows against the experiment's length, covariates against a ramp that began earlier."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from metricdef.definitions.lookup import metric_place
from metricdef.definitions.maturity import parts_of, window_of
from metricdef.definitions.models import Experiment
from metricdef.definitions.project import Project
from metricdef.definitions.used import covariates_of, experiment_metrics
from metricdef.errors import Diagnostic
from metricdef.metrics.fields import Window


def check_time(project: Project, name: str) -> Iterator[Diagnostic]:
    """What is unlikely to be meant about windows and covariates of one experiment."""
    experiment = project.experiments[name]
    zone = project.settings.defaults.timezone
    try:
        length = experiment.end.at(zone) - experiment.start.at(zone)
        early = bool(experiment.ramp) and experiment.ramp[0].start.at(zone) < experiment.start.at(zone)
    except (KeyError, ValueError):
        return  # a wrong time zone is reported once, in project.yml
    if length <= timedelta(0):
        return  # reported on its own
    for metric_name in experiment_metrics(project, experiment):
        metric = project.metrics.get(metric_name)
        windows = [window_of(project, part) for part in parts_of(project, metric)] if metric else []
        longest = max((w for w in windows if w.end), key=lambda w: w.end or 0, default=None)
        if longest is not None and timedelta(microseconds=longest.end or 0) > length:
            yield from _too_long(project, name, experiment, metric_name, longest)
    if early:
        yield from _ramp_before_start(project, name, experiment)


def _too_long(
    project: Project, name: str, experiment: Experiment, metric_name: str, window: Window
) -> Iterator[Diagnostic]:
    what = f"metric `{metric_name}`: its window `{window.text}` is longer than experiment `{name}` enrols units"
    place = metric_place(project, name, metric_name)
    if window.kind == "last":
        help_ = "write `experiment`, which is what it comes to, or a shorter window"
        yield Diagnostic("window-longer-than-experiment", f"{what}, so it is never full", place, (help_,), "warning")
    elif experiment.status in ("draft", "running"):
        help_ = "it runs on after `end`: wait that long for the result, or choose a shorter window"
        why = f"{what}, so no unit's value is complete at `end`"
        yield Diagnostic("window-longer-than-experiment", why, place, (help_,), "notice")


def _ramp_before_start(project: Project, name: str, experiment: Experiment) -> Iterator[Diagnostic]:
    """Units that an earlier step of the ramp gave a treatment have it inside their lookback."""
    first = experiment.ramp[0]
    treated = [arm for arm, share in first.shares.items() if share and arm != experiment.baseline]
    looked = any(
        (covariates := covariates_of(project, experiment, project.metrics[metric])) and covariates.lookback.microseconds
        for metric in experiment_metrics(project, experiment)
        if metric in project.metrics
    )
    if treated and looked:
        yield Diagnostic(
            "covariate-window-overlaps-exposure",
            f"experiment `{name}`: its ramp gives units `{treated[0]}` from {first.start.text} on, before `start`, so "
            "covariates measured before `start` may hold its effect",
            project.place("experiments", name, "ramp", 0, "from"),
            ("let `start` be the day on which the first unit was treated, or switch covariates off",),
            "warning",
        )
