"""A metric in words, from what is computed of it: whatever changes its numbers changes its sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from metricdef.definitions.expressions import SqlProblem, columns_of, parse_expression
from metricdef.definitions.maturity import horizon_of, parts_of, window_of
from metricdef.definitions.models import Experiment
from metricdef.definitions.project import Project
from metricdef.definitions.used import covariates_of, unit_of
from metricdef.metrics import Metric, Part, QuantileMetric
from metricdef.metrics.base import AGGS_WITHOUT_EMPTY_VALUE, Funnel, Limit
from metricdef.metrics.fields import Cap, Percentile, Window
from metricdef.review.phrases import conditions, counted, duration, listed, number, one_line, ordinal, plural

_LIMITS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}


def metric_sentence(project: Project, name: str, experiment: str | None = None) -> str:
    """What a valid metric measures, as text of one or a few sentences.

    Of a metric in an experiment: with the experiment's unit, trigger and covariates; else with the project's defaults.
    """
    metric = project.metrics[name]
    parts = parts_of(project, metric)
    if not parts:
        return "It names something that is not defined."
    found = project.experiments.get(experiment or "")
    words = _Words(project, metric, found, _unit(project, found))
    return " ".join(
        [f"{words.value(parts)}.", *words.maturity(parts), *words.adjustment(parts), *_direction(metric.direction)]
    )


def rows_of(project: Project, source: str, filters: Iterable[str] = ()) -> str:
    """`rows of orders where status = 'paid' and not is_test`: the conditions, then those of the source."""
    definition = project.sources.get(source)
    own = definition.filter if definition else ()
    texts = [*filters, *(text for text in own if text not in filters)]
    where = f" where {conditions(texts)}" if texts else ""
    return f"rows of {source}{where}{_dimensions(project, source, texts)}"


def _dimensions(project: Project, source: str, texts: Iterable[str]) -> str:
    """What the dimensions in conditions are, where they are more than a column."""
    definition = project.sources.get(source)
    if definition is None:
        return ""
    named: dict[str, None] = {}
    for text in texts:
        try:
            named |= {
                column.casefold(): None for column, _, _ in columns_of(parse_expression(text, definition.dialect))
            }
        except SqlProblem:
            continue  # reported where it stands
    told = [
        f"{dimension} is {one_line(text)}"
        for dimension, text in definition.dimensions.items()
        if dimension.casefold() in named and text.casefold() != dimension.casefold()
    ]
    return f" ({listed(told)})" if told else ""


def _unit(project: Project, experiment: Experiment | None) -> str:
    settings = project.settings
    if experiment is not None:
        return unit_of(project, experiment) or "unit"
    return settings.defaults.unit or (settings.entities[0] if len(settings.entities) == 1 else "unit")


def _direction(direction: str | None) -> Iterator[str]:
    if direction is not None:
        yield "Higher is better." if direction == "increase" else "Lower is better."


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of one metric."""

    project: Project
    metric: Metric
    experiment: Experiment | None
    unit: str

    @property
    def units(self) -> str:
        triggered = self.experiment is not None and self.experiment.exposure.trigger is not None
        return f"{'triggered' if triggered else 'exposed'} {plural(self.unit)}"

    @property
    def anchor(self) -> str:
        triggered = self.experiment is not None and self.experiment.exposure.trigger is not None
        return "the trigger" if triggered else "first exposure"

    def value(self, parts: tuple[Part, ...]) -> str:
        """What is estimated."""
        first = parts[0]
        if first.funnel is not None:
            return self._steps(parts, first.funnel)
        if isinstance(self.metric, QuantileMetric):
            rank = ordinal(self.metric.quantile.fraction)
            if first.agg == "events":
                expression = self._measure(first)
                rows = rows_of(self.project, first.source, first.filter)
                return f"{rank} percentile of {expression} over {rows} of {self.units}, {self._window(first)}"
            return f"{rank} percentile over {self._those(parts)} of {self._part(first)}{self._missing(parts)}"
        if self.metric.kind == "ratio":
            top, bottom = self._part(first), self._part(parts[1])
            return f"Sum over {self.units} of {top}{self._named(0)}, divided by the sum of {bottom}{self._named(1)}"
        if len(parts) == 2 and parts[1].agg == "observed_days":
            return f"{self._part(first)}, as a share of the days observed, both summed over {self.units}"
        if first.limit is not None:
            return f"Share of {self._those(parts)} with {self._part(first)}{self._missing(parts)}"
        return f"Mean over {self._those(parts)} of {self._part(first)}{self._missing(parts)}"

    def _those(self, parts: tuple[Part, ...]) -> str:
        only = any(part.presence == "itself" for part in parts)
        return f"{self.units} that have a value" if only else self.units

    def _missing(self, parts: tuple[Part, ...]) -> str:
        filled = len(parts) == 1 and (
            parts[0].agg in AGGS_WITHOUT_EMPTY_VALUE or isinstance(self.metric, QuantileMetric)
        )
        return ", 0 where there is no value" if filled else ""

    def _named(self, side: int) -> str:
        """The metric that a part of a ratio is taken from."""
        name = (getattr(self.metric, "numerator", None), getattr(self.metric, "denominator", None))[side]
        return f" ({name})" if isinstance(name, str) else ""

    def _part(self, part: Part) -> str:
        """One per-unit value with its window and cap, and the comparison made of it."""
        where = f"{self._rows(part)}, {self._window(part)}"
        limit, cap = part.limit, cap_words(part.cap)
        if limit is None:
            return f"{self._aggregate(part)}{where}{cap}"
        if part.agg == "count" and part.measure is None and part.cap is None and _is_presence(limit):
            noun = counted(int(limit.value), "row")
            return f"at least {noun} {rows_of(self.project, part.source, part.filter).removeprefix('rows ')}, {self._window(part)}"
        return f"{self._aggregate(part)}{where}{cap}, that is {_LIMITS[limit.op]} {number(limit.value)}"

    def _aggregate(self, part: Part) -> str:
        expression = self._measure(part)
        match part.agg:
            case "sum":
                return f"SUM({expression}) over "
            case "count":
                return "the number of "
            case "count_distinct":
                return f"the number of distinct values of {expression} in "
            case "active_days":
                days = "Days" if getattr(self.metric, "per", None) == "day" else "the number of days"
                return f"{days}, by the calendar of {self.project.settings.defaults.timezone}, with "
            case "min" | "max":
                return f"the {'smallest' if part.agg == 'min' else 'largest'} {expression} of "
            case "first" | "last":
                return f"the {part.agg} {expression} of "
        return f"{part.agg} of "

    def _measure(self, part: Part) -> str:
        source = self.project.sources.get(part.source)
        return (
            one_line(source.measures.get(part.measure, part.measure)) if source and part.measure else str(part.measure)
        )

    def _rows(self, part: Part) -> str:
        return rows_of(self.project, part.source, part.filter)

    def _window(self, part: Part) -> str:
        return window_words(window_of(self.project, part), self.anchor)

    def _steps(self, parts: tuple[Part, ...], funnel: Funnel) -> str:
        steps = []
        for part, step in zip(parts, funnel.steps, strict=True):
            within = f", within {duration(step.within)} of the step before" if step.within else ""
            steps.append(f"{part.label} ({rows_of(self.project, step.source, step.filter)}{within})")
        order = "in this order" if funnel.sequential else "in any order"
        return f"Share of {self.units} that pass every step {order}, {self._window(parts[0])}: {', '.join(steps)}"

    def maturity(self, parts: tuple[Part, ...]) -> Iterator[str]:
        """From when on a unit counts, where its window has a fixed length."""
        wait = horizon_of(self.project, self.metric, parts)
        units = plural(self.unit).capitalize()
        if wait is not None:
            yield f"{units} count from {duration(wait)} after {self.anchor} on."
        elif any(window_of(self.project, part).kind == "span" for part in parts):
            yield f"{units} count before their window is complete, too."

    def adjustment(self, parts: tuple[Part, ...]) -> Iterator[str]:
        """The values from before exposure that sharpen the estimate."""
        before = self.metric.covariate_parts(parts)
        if self.experiment is not None:
            covariates = covariates_of(self.project, self.experiment, self.metric)
        elif "covariates" in self.metric.model_fields_set:
            covariates = self.metric.covariates
        else:
            covariates = self.project.settings.defaults.covariates
        if covariates is None or not before:
            return
        lookback = covariates.lookback.microseconds
        own = ["the same value"] if lookback else []
        values = [*own, *(extra for extra in covariates.extra if "." not in extra)]
        told = [f"{listed(values)} in the {duration(lookback)} before first exposure"] if values else []
        dimensions = [extra for extra in covariates.extra if "." in extra]
        told += [f"{listed(dimensions)} at first exposure"] if dimensions else []
        if told:
            yield f"Adjusted for {listed(told)}."


def _is_presence(limit: Limit) -> bool:
    return limit.op == ">=" and limit.value.is_integer() and limit.value >= 1


def window_words(window: Window, anchor: str) -> str:
    """`in the 14 days after first exposure`."""
    match window.kind:
        case "experiment":
            return f"from {anchor} until the experiment ends"
        case "last":
            return f"in the last {duration(window.end or 0)} of the experiment, and after {anchor}"
    if window.start:
        return f"from {duration(window.start)} to {duration(window.end or 0)} after {anchor}"
    return f"in the {duration(window.end or 0)} after {anchor}"


def cap_words(cap: Cap | None) -> str:
    """`, capped at the pooled 99.5th percentile`."""
    if cap is None:
        return ""
    below = f"raised to {_limit(cap.lower)} where lower" if cap.lower is not None else ""
    above = f"capped at {_limit(cap.upper)}" if cap.upper is not None else ""
    of = " of values other than 0" if cap.zeros == "exclude" else ""
    return f", {listed([text for text in (below, above) if text])}{of}"


def _limit(limit: Percentile | float) -> str:
    return f"the pooled {ordinal(limit.fraction)} percentile" if isinstance(limit, Percentile) else number(limit)
