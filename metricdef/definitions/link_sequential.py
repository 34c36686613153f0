"""Rules of sequential designs: when they look, at which metrics, and with which corrections (semantics.md, section 7)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from metricdef.definitions.lookup import metric_place
from metricdef.definitions.maturity import parts_of, waits_of, window_of
from metricdef.definitions.models import ROLES, Experiment, Sequential
from metricdef.definitions.project import Project
from metricdef.definitions.used import correction_of, experiment_metrics
from metricdef.errors import Diagnostic, Place

# Corrections whose validity rests on the joint law of fixed-sample p-values, which looks change (docs/adr/0019-corrections-at-looks.md).
FIXED_ONLY = ("hochberg", "hommel", "bh", "dunnett", "max_t")
CLOCK_CHANGE = timedelta(hours=2)  # by which 24-hour days from the start may pass the local midnight of the end
_KEYS = {
    "group_sequential": {"spending", "bounds", "gamma", "looks", "unplanned", "planned_units", "futility"},
    "always_valid": {"planned_units"},
    "hybrid": {"spending", "bounds", "gamma", "looks", "planned_units", "anytime_alpha", "final_alpha"},
}
_SPENDING = ("obrien_fleming", "pocock", "kim_demets", "hwang_shih_decani")
_WITH_GAMMA = ("kim_demets", "hwang_shih_decani")


def check_sequential(project: Project, name: str) -> Iterator[Diagnostic]:
    """Everything that can be wrong with an experiment's sequential design."""
    experiment = project.experiments[name]
    sequential = experiment.analysis.sequential
    if sequential is None:
        return
    if sequential.method == "fixed":
        surplus = sequential.model_fields_set - {"method"}
        if surplus:
            yield Diagnostic(
                "fixed-design",
                f"experiment `{name}`: a fixed design has no {', '.join(sorted(surplus))}",
                _place(project, name),
                ("name a sequential `method`, or remove the rest",),
            )
        return
    yield from _check_keys(project, name, sequential)
    yield from _check_spending(project, name, sequential)
    yield from _check_looks(project, name, experiment, sequential)
    yield from _check_windows(project, name, experiment)
    yield from _check_design(project, name, experiment)


def look_times(experiment: Experiment, timezone: str) -> tuple[datetime, ...]:
    """The instants of the declared looks, as written."""
    sequential = experiment.analysis.sequential
    start = experiment.start.at(timezone)
    return tuple(start + timedelta(microseconds=d.microseconds) for d in sequential.looks) if sequential else ()


def _place(project: Project, name: str, *path: str | int, key: bool = True) -> Place:
    return project.place("experiments", name, "analysis", "sequential", *path, key=key)


def _check_keys(project: Project, name: str, sequential: Sequential) -> Iterator[Diagnostic]:
    method = sequential.method
    for key in sorted(sequential.model_fields_set - {"method"} - _KEYS[method]):
        yield Diagnostic(
            "sequential-keys",
            f"experiment `{name}`: `{key}` has no meaning in a design that is {method}",
            _place(project, name, key),
            ("remove it",),
        )
    wanted = {"always_valid": "tune its intervals", "hybrid": "tune its intervals"}
    if sequential.futility is not None:
        wanted["group_sequential"] = "place its futility bounds"
    if sequential.planned_units is None and method in wanted:
        yield Diagnostic(
            "sequential-incomplete",
            f"experiment `{name}`: the design needs `planned_units` to {wanted[method]}",
            _place(project, name),
            ("write the number of units in all arms that you expect by the end",),
        )
    if method == "group_sequential" and not sequential.looks:
        yield Diagnostic(
            "sequential-incomplete",
            f"experiment `{name}`: a group-sequential design needs its looks",
            _place(project, name),
            (
                "write for example `looks: [14d, 21d, 28d]`: times after the start, the last when every window is complete",
            ),
        )
    if method == "hybrid":
        yield from _check_split(project, name, sequential)


def _check_split(project: Project, name: str, sequential: Sequential) -> Iterator[Diagnostic]:
    experiment = project.experiments[name]
    alpha = 1 - (experiment.analysis.confidence or project.settings.defaults.confidence)
    parts = (sequential.anytime_alpha, sequential.final_alpha)
    if None in parts:
        yield Diagnostic(
            "sequential-incomplete",
            f"experiment `{name}`: a hybrid design needs `anytime_alpha` and `final_alpha`",
            _place(project, name),
            (f"write for example `anytime_alpha: {alpha * 20:.3g}%` and `final_alpha: {alpha * 80:.3g}%`",),
        )
        return
    total = sum(part for part in parts if part is not None)
    if abs(total - alpha) > 1e-9:
        yield Diagnostic(
            "hybrid-alpha",
            f"experiment `{name}`: `anytime_alpha` and `final_alpha` sum to {total * 100:.6g}%, not to the {alpha * 100:.6g}% "
            "that the confidence leaves",
            _place(project, name, "anytime_alpha"),
            ("split 1 - confidence between the two",),
        )


def _check_spending(project: Project, name: str, sequential: Sequential) -> Iterator[Diagnostic]:
    def refused(message: str, help_: str, *path: str) -> Diagnostic:
        return Diagnostic("spending-form", f"experiment `{name}`: {message}", _place(project, name, *path), (help_,))

    if sequential.spending and sequential.bounds:
        yield refused("`spending` and `bounds` both say how alpha is spent", "keep one", "bounds")
    if sequential.gamma is not None and sequential.spending not in _WITH_GAMMA:
        yield refused("`gamma` is of kim_demets and hwang_shih_decani", "remove it, or name one of them", "gamma")
    yield from _check_gamma(project, name, sequential.spending, sequential.gamma)
    futility = sequential.futility
    if futility is None:
        return
    if futility.spending not in _SPENDING:
        yield refused(
            f"`{futility.spending}` is no spending function", f"write one of {', '.join(_SPENDING)}", "futility"
        )
    elif futility.gamma is not None and futility.spending not in _WITH_GAMMA:
        yield refused("`gamma` is of kim_demets and hwang_shih_decani", "remove it, or name one of them", "futility")
    yield from _check_gamma(project, name, futility.spending, futility.gamma, "futility")
    if futility.binding:
        yield Diagnostic(
            "futility-binding",
            f"experiment `{name}`: binding futility makes the upper bounds lower, which holds for one-sided tests only; "
            "tests here are two-sided",
            _place(project, name, "futility"),
            ("write `binding: false`: alpha then holds whether or not you stop",),
        )


def _check_gamma(
    project: Project, name: str, spending: str | None, gamma: float | None, *path: str
) -> Iterator[Diagnostic]:
    if spending not in _WITH_GAMMA:
        return
    if gamma is None or (spending == "kim_demets" and gamma <= 0):
        example = "gamma: 3" if spending == "kim_demets" else "gamma: -4"
        yield Diagnostic(
            "spending-form",
            f"experiment `{name}`: {spending} needs a {'positive ' if spending == 'kim_demets' else ''}`gamma`",
            _place(project, name, *path),
            (f"write for example `{example}`",),
        )


def _check_looks(project: Project, name: str, experiment: Experiment, sequential: Sequential) -> Iterator[Diagnostic]:
    timezone = project.settings.defaults.timezone
    try:
        looks, start = look_times(experiment, timezone), experiment.start.at(timezone)
        end = experiment.end.at(timezone)
    except (KeyError, ValueError):
        return  # a wrong time zone is reported once, in project.yml
    hold = experiment.validation.hold
    shown = start + timedelta(microseconds=hold.microseconds if hold else 0)
    waits = waits_of(project, experiment)
    roles = {metric: role for metric, (role, _) in experiment_metrics(project, experiment).items()}
    confirmatory = {metric: wait for metric, wait in waits.items() if roles[metric] != "secondary"}
    mature = end + timedelta(microseconds=max(waits.values(), default=0))
    unknown = any(
        m not in project.metrics or not parts_of(project, project.metrics[m]) for m in roles
    )  # errors of their own
    written = [d.text for d in sequential.looks]

    def problem(rule: str, position: int, message: str, help_: str, severity: str = "error") -> Diagnostic:
        place = _place(project, name, "looks", position, key=False)
        return Diagnostic(
            rule,
            f"experiment `{name}`: look `{written[position]}` {message}",
            place,
            (help_,),
            severity,  # type: ignore[arg-type]  # one of the two
        )

    for position, (earlier, later) in enumerate(pairwise(looks), 1):
        if later <= earlier:
            yield problem("look-order", position, "does not come after the one before", "write looks in order of time")
    for position, at in enumerate(looks):
        early = [m for m, wait in confirmatory.items() if at <= start + timedelta(microseconds=wait)]
        if early:
            first = max(confirmatory[m] for m in early)
            yield problem(
                "look-without-information",
                position,
                f"comes before any unit's window is complete for {', '.join(f'`{m}`' for m in early)}",
                f"look later than {_days(first)} after the start",
            )
        if at < shown:
            yield problem(
                "look-in-hold", position, "lies in the time in which results are held back", "look after `hold`"
            )
        last = position == len(looks) - 1
        if not unknown and (at > mature + CLOCK_CHANGE or (at >= mature and not last)):
            yield problem(
                "look-after-last-maturity",
                position,
                "has nothing new to see: every window is complete before it",
                f"the last look lies {_days(round((mature - start) / timedelta(microseconds=1)))} after the start",
            )
    if not unknown and looks and looks[-1] < mature - CLOCK_CHANGE and looks[-1] > start:
        yield problem(
            "look-before-last-maturity",
            len(looks) - 1,
            "is the last, and units whose window is complete later never count",
            f"write {_days(round((mature - start) / timedelta(microseconds=1)))} to wait for all of them",
            "warning",
        )


def _days(microseconds: int) -> str:
    hours, odd = divmod(microseconds, 3_600_000_000)
    if odd:
        return f"{-(-microseconds // 60_000_000)}m"
    return f"{hours // 24}d" if hours % 24 == 0 else f"{hours}h"


def _check_windows(project: Project, name: str, experiment: Experiment) -> Iterator[Diagnostic]:
    """Units that go on accruing outcome after a look break the joint law of the looks."""
    for metric_name, (role, _) in experiment_metrics(project, experiment).items():
        metric = project.metrics.get(metric_name)
        if metric is None or role == "secondary":
            continue
        growing = [w.text for p in parts_of(project, metric) if (w := window_of(project, p)).kind != "span"]
        include = metric.immature_policy(project.settings.defaults.immature) == "include"
        if growing or include:
            why = f"its window is `{growing[0]}`" if growing else "units whose window is incomplete count"
            yield Diagnostic(
                "look-needs-fixed-window",
                f"{role} metric `{metric_name}` of experiment `{name}` cannot be tested at looks: {why}, so the same unit "
                "changes from look to look",
                metric_place(project, name, metric_name),
                ("give it a window of fixed length and `immature: exclude`, or make it secondary",),
            )


def _check_design(project: Project, name: str, experiment: Experiment) -> Iterator[Diagnostic]:
    used = {role for role, _ in experiment_metrics(project, experiment).values()}
    for role in ROLES:
        correction = correction_of(project, experiment, role)
        if role in used and correction is not None and correction.method in FIXED_ONLY:
            own = getattr(experiment.analysis.multiplicity, role, None) is correction
            at = project.place("experiments", name, "analysis", "multiplicity", role) if own else _place(project, name)
            yield Diagnostic(
                "sequential-correction",
                f"experiment `{name}`: {correction.method} of {role} metrics is not known to hold for p-values taken at looks",
                at,
                ("use holm, bonferroni, fixed_sequence, graph or by",),
            )
    sequential = experiment.analysis.sequential
    assert sequential is not None  # noqa: S101 - asked of sequential designs
    if experiment.cluster is not None and sequential.method != "group_sequential":
        yield Diagnostic(
            "sequential-cluster",
            f"experiment `{name}`: a cluster that gains units between runs changes, so no test of clusters is valid at any time",
            _place(project, name, "method"),
            ("use `method: group_sequential` where clusters are randomised",),
        )
    design = "clusters" if experiment.cluster is not None else "a ramp" if len(experiment.ramp) > 1 else None
    if sequential.futility is not None and design is not None:
        yield Diagnostic(
            "sequential-futility",
            f"experiment `{name}`: futility bounds need looks whose joint law follows from the information, and those of "
            f"{design} do not",
            _place(project, name, "futility"),
            ("leave `futility` out",),
        )
