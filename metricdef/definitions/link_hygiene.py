"""Rules of good housekeeping: off until `lint` in project.yml gives them a severity."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from metricdef.definitions.models import ROLES
from metricdef.definitions.project import Project
from metricdef.definitions.used import extras_of, metric_closure
from metricdef.errors import Diagnostic
from metricdef.metrics import QuantileMetric


def check_hygiene(project: Project) -> Iterator[Diagnostic]:
    """What those rules find that the project asks for."""
    for rule, find in _RULES.items():
        if project.settings.lint.get(rule, "off") != "off":
            yield from find(project)


def _finding(project: Project, rule: str, name: str, message: str, help_: str) -> Diagnostic:
    return Diagnostic(rule, f"metric `{name}` {message}", project.place("metrics", name), (help_,), "notice")


def _unused(project: Project) -> Iterator[Diagnostic]:
    used = {name for experiment in project.experiments.values() for name in extras_of(project, experiment)}
    for holder in (*project.metric_sets.values(), *(e.metrics for e in project.experiments.values())):
        used |= {name for role in ROLES for name in getattr(holder, role)}
    used = metric_closure(project, used)
    for name in project.metrics:
        if name not in used:
            yield _finding(project, "unused-metric", name, "is in no experiment and no metric set", "use or remove it")


def _untested(project: Project) -> Iterator[Diagnostic]:
    tested = {test.metric for test in project.tests.values()}
    for name in project.metrics:
        if name not in tested:
            help_ = "give rows and what it makes of them under `tests:`"
            yield _finding(project, "metric-without-test", name, "has no test", help_)


def _unowned(project: Project) -> Iterator[Diagnostic]:
    for name, metric in project.metrics.items():
        if not metric.owner:
            help_ = "add `owner:` with the team that answers for it"
            yield _finding(project, "metric-without-owner", name, "has no owner", help_)


def _quantiles(project: Project) -> Iterator[Diagnostic]:
    for name, metric in project.metrics.items():
        if isinstance(metric, QuantileMetric):
            help_ = "a threshold metric, the share of units above a limit, does"
            what = "is a quantile, which needs the value of every unit where other metrics need sums"
            yield _finding(project, "quantile-not-suffstat", name, what, help_)


_RULES: dict[str, Callable[[Project], Iterator[Diagnostic]]] = {
    "unused-metric": _unused,
    "metric-without-test": _untested,
    "metric-without-owner": _unowned,
    "quantile-not-suffstat": _quantiles,
}
