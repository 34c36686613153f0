"""Unit tests of metrics: what a test may name, give and expect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from metricdef.definitions.given import read_given, type_family
from metricdef.definitions.lookup import check_unit, unknown
from metricdef.definitions.models import MetricTest
from metricdef.definitions.project import Project
from metricdef.definitions.used import sources_of
from metricdef.errors import Diagnostic
from metricdef.metrics import Metric
from metricdef.metrics.base import Part
from metricdef.metrics.fields import Window
from metricdef.metrics.figures import figures_of_arm, figures_of_unit

_ROW_KEYS = ("arm",)


def check_test(project: Project, name: str) -> Iterator[Diagnostic]:
    """Everything wrong with one test that can be known without running it."""
    test, metric = project.tests[name], project.metrics.get(project.tests[name].metric)
    if not project.is_declared("metrics", test.metric):
        yield unknown(
            "metric",
            test.metric,
            project.declared("metrics"),
            project.place("tests", name, "metric"),
            f"test `{name}`",
        )
    if not test.expect and not test.expect_units:
        yield Diagnostic(
            "test-without-expect",
            f"test `{name}` expects nothing, so it would always pass",
            project.place("tests", name),
            ("add `expect`, or let `metricdef test --record` write it",),
        )
    for source in test.given:
        if not project.is_declared("sources", source):
            place = project.place("tests", name, "given", source, key=True)
            yield unknown("source", source, project.declared("sources"), place, f"test `{name}`")
    problems = list(_check_exposures(project, name))
    yield from problems
    if metric is None or problems or not _is_complete(project, metric):
        return
    yield from _check_given(project, name, metric, unit_of_test(test))
    parts = metric.parts(project.metrics)
    yield from _check_as_of(project, name, parts)
    yield from _check_expect(project, name, metric, parts)
    yield from _check_units(project, name, parts)


def unit_of_test(test: MetricTest) -> str:
    """The entity whose keys the exposures have; rule test-exposures."""
    return next(iter(test.exposures[0].model_extra or {}))


def window_of(project: Project, part: Part) -> Window:
    """The window of a part: its own, else the project's."""
    return part.window or project.settings.defaults.window or Window.parse("experiment")


def _is_complete(project: Project, metric: Metric) -> bool:
    """Whether everything that the metric names is there; what is not is reported where it is named."""
    if any(True for _ in metric.problems()):
        return False
    for reference in metric.references():
        if reference.kind == "metric" and reference.name not in project.metrics:
            return False
        if reference.kind == "metric" and any(True for _ in project.metrics[reference.name].problems()):
            return False
    return sources_of(project, metric) <= set(project.sources)


def _check_exposures(project: Project, name: str) -> Iterator[Diagnostic]:
    """One row per unit, all of the same entity."""
    test = project.tests[name]
    if not test.exposures:
        place = project.place("tests", name, "exposures", key=True)
        help_ = "write for example `exposures: [{user: 1, arm: control, at: 2026-09-01}]`"
        yield Diagnostic("test-exposures", f"test `{name}` exposes no unit", place, (help_,))
        return
    entities = project.settings.entities
    first: str | None = None
    seen: set[str] = set()
    for position, exposure in enumerate(test.exposures):
        keys = exposure.model_extra or {}
        place = project.place("tests", name, "exposures", position)
        wrong = [key for key in keys if key not in entities]
        for key in wrong:
            where = f"exposures of test `{name}`"
            yield unknown(
                "entity", key, entities, project.place("tests", name, "exposures", position, key, key=True), where
            )
        if wrong:
            continue
        if len(keys) != 1:
            what = "names no unit" if not keys else f"names {len(keys)} units"
            help_ = f"write one of {', '.join(entities)}, `arm` and `at`"
            yield Diagnostic("test-exposures", f"an exposure of test `{name}` {what}", place, (help_,))
            continue
        (entity, key), *_ = keys.items()
        place = project.place("tests", name, "exposures", position, entity)
        first = first or entity
        if entity != first:
            what = f"test `{name}` exposes units of `{first}` and of `{entity}`"
            yield Diagnostic("test-exposures", what, place, ("expose units of one entity",))
        elif isinstance(key, dict | list | float | bool) or key is None:
            what = f"test `{name}`: the key of a unit must be a text or a whole number"
            yield Diagnostic("test-exposures", what, place)
        elif str(key) in seen:
            what = f"test `{name}`: {entity} `{key}` is exposed twice"
            yield Diagnostic("test-unit", what, place, ("give every unit one exposure, its first",))
        seen.add(str(key))


def _check_given(project: Project, name: str, metric: Metric, unit: str) -> Iterator[Diagnostic]:
    test = project.tests[name]
    read = sources_of(project, metric)
    for source in test.given:
        if project.is_declared("sources", source) and source not in read:
            what = f"test `{name}`: metric `{test.metric}` does not read source `{source}`"
            place = project.place("tests", name, "given", source, key=True)
            yield Diagnostic("test-given", what, place, (f"it reads {', '.join(sorted(read))}",))
    lacking = [
        d
        for source in sorted(read)
        for d in check_unit(project, unit, source, project.place("tests", name, "exposures", 0, unit), f"test `{name}`")
    ]
    yield from lacking
    if lacking:
        return
    given, problems = read_given(project, name, metric, unit)
    yield from problems
    if type_family(given.unit_type) == "whole":
        for position, exposure in enumerate(test.exposures):
            key = (exposure.model_extra or {})[unit]
            if not isinstance(key, int):
                what = f"test `{name}`: {unit} is {given.unit_type}: `{key}` is not a whole number"
                yield Diagnostic("test-value", what, project.place("tests", name, "exposures", position, unit))


def _check_as_of(project: Project, name: str, parts: Iterable[Part]) -> Iterator[Diagnostic]:
    """Some windows end with the experiment: what they hold depends on when one looks."""
    open_ended = next((w for p in parts if (w := window_of(project, p)).kind != "span" and _is_sensitive(w, p)), None)
    if open_ended is not None and project.tests[name].as_of is None:
        what = f"test `{name}`: what a window of `{open_ended.text}` holds depends on when one looks"
        help_ = "add `as_of: 2026-10-01`; the test's experiment ends then"
        yield Diagnostic("test-as-of", what, project.place("tests", name), (help_,))


def _is_sensitive(window: Window, part: Part) -> bool:
    return window.kind == "last" or part.agg == "observed_days"


# --- expectations -----------------------------------------------------------------------------------------------------


def _check_expect(project: Project, name: str, metric: Metric, parts: tuple[Part, ...]) -> Iterator[Diagnostic]:
    test = project.tests[name]
    arms = dict.fromkeys(exposure.arm for exposure in test.exposures)
    figures = [figure.name for figure in figures_of_arm(metric, parts)]
    yield from _check_names(project, name, [*_ROW_KEYS, *figures])
    seen: set[str] = set()
    for position, row in enumerate(test.expect):
        arm = row.get("arm")
        place = project.place("tests", name, "expect", position, "arm")
        if "arm" not in row:
            what = f"a row of `expect` of test `{name}` names no arm"
            yield Diagnostic("test-expect", what, place, (f"arms: {', '.join(arms)}",))
        elif str(arm) not in arms:
            yield unknown("arm", str(arm), arms, place, f"`expect` of test `{name}`")
        elif str(arm) in seen:
            yield Diagnostic("test-expect", f"test `{name}` expects arm `{arm}` twice", place, ("keep one row",))
        seen.add(str(arm))
        yield from _check_figures(project, name, "expect", position, row, _ROW_KEYS, figures)


def _check_names(project: Project, name: str, figures: list[str]) -> Iterator[Diagnostic]:
    """A step named like another figure could not be told from it."""
    for twice in sorted({figure for figure in figures if figures.count(figure) > 1}):
        what = f"test `{name}`: the funnel's step `{twice}` is named like a figure of every arm"
        place = project.place("tests", name, "metric")
        yield Diagnostic("test-expect", what, place, ("give the step another name",))


def _check_units(project: Project, name: str, parts: tuple[Part, ...]) -> Iterator[Diagnostic]:
    test = project.tests[name]
    unit = unit_of_test(test)
    figures = [figure.name for figure in figures_of_unit(parts)]
    if test.expect_units and not figures:
        what = f"test `{name}`: metric `{test.metric}` is a quantile of events, so a unit has no value"
        place = project.place("tests", name, "expect_units", key=True)
        yield Diagnostic("test-expect", what, place, ("expect `values` and `quantile` of the arms",))
        return
    exposed = {str((exposure.model_extra or {})[unit]) for exposure in test.exposures}
    seen: set[str] = set()
    for position, row in enumerate(test.expect_units):
        place = project.place("tests", name, "expect_units", position, unit)
        if unit not in row:
            what = f"a row of `expect_units` of test `{name}` names no {unit}"
            yield Diagnostic("test-expect", what, place, (f"write `{unit}: ` and its key",))
        elif str(row[unit]) not in exposed:
            what = f"`expect_units` of test `{name}`: {unit} `{row[unit]}` is not exposed"
            yield Diagnostic("test-unit", what, place, (f"exposed: {', '.join(sorted(exposed)[:12])}",))
        elif str(row[unit]) in seen:
            yield Diagnostic("test-unit", f"test `{name}` expects {unit} `{row[unit]}` twice", place, ("keep one row",))
        seen.add(str(row.get(unit)))
        yield from _check_figures(project, name, "expect_units", position, row, (unit,), figures)


def _check_figures(
    project: Project,
    name: str,
    key: str,
    position: int,
    row: Mapping[str, Any],
    keys: tuple[str, ...],
    figures: list[str],
) -> Iterator[Diagnostic]:
    if not set(row) - set(keys):
        what = f"a row of `{key}` of test `{name}` expects nothing"
        place = project.place("tests", name, key, position)
        yield Diagnostic("test-expect", what, place, (f"figures: {', '.join(figures)}",))
    for figure, value in row.items():
        if figure in keys:
            continue
        if figure not in figures:
            place = project.place("tests", name, key, position, figure, key=True)
            yield unknown("figure", figure, figures, place, f"`{key}` of test `{name}`")
        elif value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            place = project.place("tests", name, key, position, figure)
            what = f"`{key}` of test `{name}`: `{figure}` must be a number, or null where there is none"
            yield Diagnostic("test-expect", what, place)
