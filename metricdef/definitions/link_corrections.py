"""Rules of corrections: the methods that name a role's metrics must name them all, and can reach each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from metricdef.definitions.lookup import unknown
from metricdef.definitions.models import ROLES, Correction, Experiment, Role
from metricdef.definitions.project import Project
from metricdef.definitions.used import correction_of, experiment_metrics
from metricdef.definitions.yaml_source import Document, Path
from metricdef.errors import Diagnostic, Place

_KEYS = {"fixed_sequence": ("order",), "graph": ("alpha", "edges")}


@dataclass(frozen=True, slots=True)
class _Stated:
    """One role's correction, where it stands, and the metrics that it is about."""

    role: Role
    correction: Correction
    document: Document
    path: Path
    metrics: tuple[str, ...]

    def place(self, *path: str | int, key: bool = False) -> Place:
        """Where the correction, or something inside it, stands."""
        return self.document.place((*self.path, *path), key=key)


def check_corrections(project: Project, name: str) -> Iterator[Diagnostic]:
    """Everything that can be wrong with the corrections that hold for one experiment, its own or the project's."""
    experiment = project.experiments[name]
    for role in ROLES:
        stated = _stated(project, name, experiment, role)
        if stated is None:
            continue
        correction = stated.correction
        surplus = correction.model_fields_set - {"method", *_KEYS.get(correction.method, ())}
        if surplus:
            what = f"`{correction.method}` takes no {', '.join(sorted(surplus))}"
            yield Diagnostic("correction-keys", what, stated.place())
        if set(experiment.metrics.sets) - set(project.metric_sets):
            continue  # a set that is not there is reported on its own; which metrics the role has is not known
        if correction.method == "fixed_sequence":
            yield from _check_order(stated)
        elif correction.method == "graph":
            yield from _check_graph(stated)


def _stated(project: Project, name: str, experiment: Experiment, role: Role) -> _Stated | None:
    correction = correction_of(project, experiment, role)
    metrics = tuple(metric for metric, (own, _) in experiment_metrics(project, experiment).items() if own == role)
    multiplicity = experiment.analysis.multiplicity
    if correction is None:
        return None
    if multiplicity is not None and getattr(multiplicity, role) is correction:
        path: Path = ("experiments", name, "analysis", "multiplicity", role)
        return _Stated(role, correction, project.origins["experiments", name], path, metrics)
    if not metrics:
        return None  # a default of the project for a role that this experiment does not fill
    root = next(d for d in project.documents.values() if ("version",) in d.keys)
    return _Stated(role, correction, root, ("defaults", "multiplicity", role), metrics)


def _check_order(stated: _Stated) -> Iterator[Diagnostic]:
    role, order = stated.role, stated.correction.order
    if not order:
        yield Diagnostic(
            "fixed-sequence-needs-order",
            f"the fixed sequence of {role} metrics has no order",
            stated.place(),
            ("write `{method: fixed_sequence, order: [a, b]}`",),
        )
        return
    for position, metric in enumerate(order):
        if metric not in stated.metrics:
            place = stated.place("order", position)
            yield unknown("metric", metric, stated.metrics, place, f"`order` of {role} metrics")
        elif metric in order[:position]:
            yield Diagnostic("order-repeats", f"`order` names `{metric}` twice", stated.place("order", position))
    missing = [metric for metric in stated.metrics if metric not in order]
    if missing:
        yield Diagnostic(
            "order-incomplete",
            f"`order` lacks the {role} metric{'s' if len(missing) > 1 else ''} {_quoted(missing)}, which could never be shown",
            stated.place("order", key=True),
            ("name every metric of the role, in the order of testing",),
        )


def _check_graph(stated: _Stated) -> Iterator[Diagnostic]:
    role, alpha, edges = stated.role, stated.correction.alpha or {}, stated.correction.edges or {}
    if not any(alpha.values()):
        yield Diagnostic(
            "graph-needs-alpha",
            f"the graph of {role} metrics says nowhere where alpha starts",
            stated.place("alpha", key=True) if stated.correction.alpha is not None else stated.place(),
            ("write `{method: graph, alpha: {a: 50%, b: 50%}, edges: {a: {b: 100%}, b: {a: 100%}}}`",),
        )
        return
    yield from _check_shares(stated, ("alpha",), alpha, "the shares of alpha")
    if 0 < sum(alpha.values(), Fraction(0)) < 1:
        left = f"{float(1 - sum(alpha.values(), Fraction(0))) * 100:.10g}%"
        yield Diagnostic(
            "graph-alpha-left",
            f"the graph of {role} metrics leaves {left} of alpha unused",
            stated.place("alpha", key=True),
            ("let the shares sum to 100%",),
            "warning",
        )
    for metric, targets in edges.items():
        if metric not in stated.metrics:
            place = stated.place("edges", metric, key=True)
            yield unknown("metric", metric, stated.metrics, place, f"`edges` of {role} metrics")
        if metric in targets:
            place = stated.place("edges", metric, metric, key=True)
            yield Diagnostic("graph-loop", f"`{metric}` passes alpha on to itself", place, ("remove it",))
        yield from _check_shares(stated, ("edges", metric), targets, f"the edges of `{metric}`")
    yield from _check_reach(stated, alpha, edges)


def _check_shares(
    stated: _Stated, path: tuple[str, ...], shares: Mapping[str, Fraction], what: str
) -> Iterator[Diagnostic]:
    for metric in shares:
        if metric not in stated.metrics:
            place = stated.place(*path, metric, key=True)
            yield unknown("metric", metric, stated.metrics, place, f"`{path[0]}` of {stated.role} metrics")
    total = sum(shares.values(), Fraction(0))
    if total > 1:
        place = stated.place(*path, key=True)
        yield Diagnostic(
            "graph-over-100",
            f"{what} sum to {float(total) * 100:.10g}%, more than 100%",
            place,
            ("write thirds as `1/3`",),
        )


def _check_reach(
    stated: _Stated, alpha: Mapping[str, Fraction], edges: Mapping[str, Mapping[str, Fraction]]
) -> Iterator[Diagnostic]:
    """A metric without alpha to which none is passed on could never be shown."""
    reached = {metric for metric, share in alpha.items() if share}
    todo = list(reached)
    while todo:
        new = {target for target, share in edges.get(todo.pop(), {}).items() if share} - reached
        reached |= new
        todo += sorted(new)
    missing = [metric for metric in stated.metrics if metric not in reached]
    if missing:
        yield Diagnostic(
            "graph-unreached",
            f"no alpha ever reaches the {stated.role} metric{'s' if len(missing) > 1 else ''} {_quoted(missing)}",
            stated.place("alpha", key=True),
            ("give it a share in `alpha`, or an edge from a metric that has one",),
        )


def _quoted(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
