"""A metric as a formula: the value of a unit, then the value of an arm."""

from __future__ import annotations

from collections.abc import Iterator

from metricdef.definitions.maturity import window_of
from metricdef.definitions.project import Project
from metricdef.metrics import Metric, Part, QuantileMetric
from metricdef.metrics.fields import Cap, Percentile, Window

_LETTERS = ("y", "x")  # a ratio's numerator, its denominator
_AGGREGATES = {
    "sum": "sum of {m} over {rows}",
    "count": "number of {rows}",
    "count_distinct": "number of different {m} in {rows}",
    "active_days": "number of days with {rows}",
    "min": "smallest {m} of {rows}",
    "max": "largest {m} of {rows}",
    "first": "{m} of the first of the {rows}",
    "last": "{m} of the last of the {rows}",
}
_SIGNS = {">=": "≥", ">": ">", "<=": "≤", "<": "<"}


def formula(project: Project, name: str) -> tuple[str, ...]:
    """Lines of the formula of a valid metric. t is the time of a row, t₀ that of the unit's first exposure or trigger."""
    metric = project.metrics[name]
    parts = metric.parts(project.metrics)
    if any(part.funnel for part in parts):
        return (*_funnel(project, parts), "arm = mean of y over all n units")
    if isinstance(metric, QuantileMetric):
        return tuple(_quantile(project, metric, parts))
    responded = any(part.presence == "itself" for part in parts)
    lines = [line for part, letter in zip(parts, _LETTERS, strict=False) for line in _unit(project, part, letter)]
    return (*lines, _arm(len(parts), responded=responded))


def _arm(parts: int, *, responded: bool) -> str:
    if responded:
        return "arm = Σ y / Σ x = mean of y over the units that have a value"
    return "arm = Σ y / Σ x, sums over all n units" if parts > 1 else "arm = Σ y / n = mean of y over all n units"


def _unit(project: Project, part: Part, letter: str) -> Iterator[str]:
    """The value of a unit, before and after cap and limit."""
    if part.presence == "itself":
        yield f"{letter} = 1 if the unit has a value, else 0"
        return
    if part.agg == "observed_days":
        yield f"{letter} = number of days of the window ({_window(window_of(project, part))}) that have begun"
        return
    text = _aggregate(project, part)
    value = "v" if part.limit is not None else letter
    yield f"{value} = {text}"
    if part.cap is not None:
        yield f"{value} ← {value}, {_cap(part.cap)}"
    if part.limit is not None:
        yield f"{letter} = 1 if v {_SIGNS[part.limit.op]} {part.limit.value:g}, else 0"


def _aggregate(project: Project, part: Part) -> str:
    source = project.sources[part.source]
    measure = source.measures[part.measure] if part.measure else ""
    rows = _rows(project, part.source, part.filter)
    words = _AGGREGATES[part.agg].format(m=f"({' '.join(measure.split())})", rows=rows)
    return f"{words}, {_window(window_of(project, part))}"


def _rows(project: Project, source: str, filters: tuple[str, ...]) -> str:
    texts = [f"({' '.join(text.split())})" for text in (*filters, *project.sources[source].filter)]
    return f"rows of {source}{' where ' + ' and '.join(texts) if texts else ''}"


def _window(window: Window) -> str:
    match window.kind:
        case "span":
            first, dots, second = window.text.partition("..")
            return f"t₀ + {first} ≤ t < t₀ + {second}" if dots else f"t₀ ≤ t < t₀ + {first}"
        case "last":
            return f"end − {window.text.removeprefix('last ').strip()} ≤ t < end, t₀ ≤ t"
    return "t₀ ≤ t < end of the experiment"


def _cap(cap: Cap) -> str:
    limits = [
        f"at {word} {_limit(limit, cap)}"
        for word, limit in (("least", cap.lower), ("most", cap.upper))
        if limit is not None
    ]
    return " and ".join(limits)


def _limit(limit: Percentile | float, cap: Cap) -> str:
    if not isinstance(limit, Percentile):
        return f"{limit:g}"
    return f"the {limit.text} of {'the values other than 0' if cap.zeros == 'exclude' else 'all values'}, all arms together"


def _funnel(project: Project, parts: tuple[Part, ...]) -> Iterator[str]:
    funnel = parts[0].funnel
    if funnel is None:
        return
    for position, step in enumerate(funnel.steps, 1):
        within = f", less than {_hours(step.within)} after step {position - 1}" if step.within and position > 1 else ""
        yield f"step {position}, {parts[position - 1].label}: a row among {_rows(project, step.source, step.filter)}{within}"
    order = "each after the one before" if funnel.sequential else "in any order"
    yield f"y = 1 if the unit has every step, {order}, {_window(window_of(project, parts[0]))}, else 0"


def _hours(microseconds: int) -> str:
    return next(
        f"{microseconds // size}{unit}"
        for unit, size in (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000))
        if microseconds % size == 0
    )


def _quantile(project: Project, metric: QuantileMetric, parts: tuple[Part, ...]) -> Iterator[str]:
    if metric.of == "events":
        measure = project.sources[metric.source].measures[metric.measure or ""]
        rows = _rows(project, metric.source, metric.filter)
        yield f"y = ({' '.join(measure.split())}) of each of the {rows}, {_window(window_of(project, parts[0]))}"
        yield f"arm = {metric.quantile.text} of y over all rows; rows of one unit are taken as dependent"
        return
    yield from _unit(project, parts[0], "y")
    left = " that have a value" if len(parts) > 1 else ""
    yield f"arm = {metric.quantile.text} of y over the units{left}"


def comparison(metric: Metric) -> str:
    """How arms are compared, whatever the metric."""
    better = {"increase": "more is better", "decrease": "less is better"}.get(metric.direction or "", "no direction")
    return f"difference = arm − baseline; relative = difference / baseline ({better})"
