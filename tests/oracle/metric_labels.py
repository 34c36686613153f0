"""What an analysed metric of a generated case really exercises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from .expressions import evaluate
from .oracle import Oracle
from .reading import ZERO, Definition, Percentile, local_day, parse_duration
from .results import UnitRecord
from .values import LIMITS, Part

Found = Iterator[tuple[str, bool]]


def metric_labels(oracle: Oracle, name: str) -> Found:
    metric = oracle.metrics[name]
    kind = metric["type"]
    parts = oracle.parts(metric)
    windows = oracle.windows(metric)
    eligible = oracle.eligible(metric, oracle.as_of)
    some = bool(eligible)
    excludes = metric.get("missing") == "exclude"
    yield kind, some
    yield "metric_filter", "filter" in metric
    yield "filter_list", any(len(part.filters) > 1 for part in parts.values())
    yield "dimension_expression", any("settled" in part.filters for part in parts.values())
    for window, source in windows:
        yield f"window_{window.kind}", some
        yield "window_later", window.begin > ZERO and some
        wait = window.wait is not None
        yield "settles_after", wait and parse_duration(oracle.sources[source].get("settles_after", "0d")) > ZERO
    anchored = [record for record in oracle.units.values() if record.anchor is not None]
    immature = [r for r in anchored if r.anchor is not None and not oracle.is_mature(metric, r.anchor, oracle.as_of)]
    yield "immature", bool(immature)
    yield "immature_include", oracle.includes_immature(metric) and bool(immature)
    yield "immature_override", {metric.get("immature"), oracle.defaults.get("immature")} == {"include", "exclude"}
    yield "missing_exclude", excludes and kind == "mean" and some
    yield "threshold_exclude", excludes and kind == "threshold" and some
    if excludes and "y" in parts:
        absent = [r for r in eligible if oracle.over_window(parts["y"], r, oracle.as_of) is None]
        yield "missing_exclude_absent", kind != "quantile" and bool(absent)
        yield "missing_exclude_capped", parts["y"].is_capped and bool(absent)
    yield from aggregate_labels(oracle, metric, parts, eligible)
    if kind == "ratio":
        yield from ratio_labels(oracle, metric, parts, eligible)
    elif kind == "funnel":
        yield from funnel_labels(oracle, metric, eligible)
    elif kind == "quantile":
        yield from quantile_labels(oracle, name)
    yield from cap_labels(oracle, name, parts)
    if oracle.cluster is not None and some:
        yield "cluster_covariate", oracle.covariates(metric) is not None
        yield "cluster_trigger", "trigger" in oracle.experiment["exposure"]
        yield "cluster_funnel", kind == "funnel"
        yield "cluster_ratio", oracle.is_ratio(metric)


def aggregate_labels(oracle: Oracle, metric: Definition, parts: dict[str, Part], eligible: list[UnitRecord]) -> Found:
    some = bool(eligible)
    agg = metric.get("agg")
    yield "min_max", agg in ("min", "max") and some
    yield "count_distinct", agg == "count_distinct" and some
    yield "active_days", agg == "active_days" and some
    yield "first_last", agg in ("first", "last") and some
    yield "per_day", "per" in metric and some
    yield "per_day_cut", "per" in metric and any(not oracle.is_mature(metric, begin(r), oracle.as_of) for r in eligible)
    for record in eligible if agg in ("first", "last", "active_days") else ():
        part = parts["y"]
        window = oracle.interval(part.window, begin(record), oracle.as_of)
        rows = oracle.rows_between(part.source, part.filters, record.unit, *window, oracle.as_of)
        if agg == "active_days":
            days = {local_day(time, oracle.timezone) for time, _ in rows}
            yield "active_days_split", len(days) != len({time.date() for time, _ in rows})
        elif stated := Counter(time for time, row in rows if evaluate(str(part.measure), row) is not None):
            at = min(stated) if agg == "first" else max(stated)
            yield "first_last_tie", stated[at] > 1
    if metric["type"] == "threshold":
        limit = next(name for name in LIMITS if name in metric)
        yield limit, some
        yield "threshold_capped", "cap" in metric and some
        yield "ambiguous:threshold_capped_count", "cap" in metric and some
        values = (oracle.over_window(parts["y"], record, oracle.as_of) for record in eligible)
        yield "threshold_on_limit", any((value or 0) == metric[limit] for value in values)
    if metric["type"] == "retention":
        rows_needed = metric.get("min_rows", 1)
        yield "min_rows", rows_needed > 1 and some
        for record in eligible:
            window = oracle.interval(parts["y"].window, begin(record), oracle.as_of)
            rows = oracle.rows_between(parts["y"].source, parts["y"].filters, record.unit, *window, oracle.as_of)
            yield "retention_exact_rows", rows_needed > 1 and len(rows) in (rows_needed, rows_needed - 1)


def begin(record: UnitRecord) -> datetime:
    assert record.anchor is not None
    return record.anchor


def ratio_labels(oracle: Oracle, metric: Definition, parts: dict[str, Part], eligible: list[UnitRecord]) -> Found:
    sides = [metric[side] for side in ("numerator", "denominator")]
    named = [oracle.metrics[side] for side in sides if isinstance(side, str)]
    yield "ratio_window", "window" in metric
    yield "ratio_named", bool(named)
    yield "ratio_inline", len(named) < len(sides)
    yield "ratio_proportion", any(side["type"] == "proportion" for side in named)
    yield "ratio_threshold", any(side["type"] == "threshold" for side in named)
    yield "ratio_active_days", any(part.agg == "active_days" for part in parts.values()) and bool(eligible)
    yield "ratio_capped", any("cap" in side for side in named)
    yield "ratio_two_sources", len({part.source for part in parts.values()}) > 1 and bool(eligible)
    yield "ratio_zero_denominator", any(not oracle.over_window(parts["d"], r, oracle.as_of) for r in eligible)
    default = oracle.defaults.get("immature") or "exclude"
    effective = metric.get("immature") or default
    yield "ambiguous:ratio_part_immature", any((side.get("immature") or default) != effective for side in named)
    yield (
        "ambiguous:ratio_part_covariates",
        any("covariates" in side and side["covariates"] != metric.get("covariates") for side in named),
    )
    if len({part.window for part in parts.values()}) > 1:
        settles = {oracle.sources[part.source].get("settles_after", "0d") for part in parts.values()}
        yield "ambiguous:ratio_maturity", len(settles) > 1


def funnel_labels(oracle: Oracle, metric: Definition, eligible: list[UnitRecord]) -> Found:
    steps = oracle.steps(metric)
    yield "funnel_any", metric.get("order") == "any" and bool(eligible)
    yield "funnel_two_sources", len({step.source for step in steps}) > 1 and bool(eligible)
    yield "funnel_first_within", steps[0].within is not None and bool(eligible)
    if metric.get("order") == "any":
        return
    for record in eligible:
        anchor = begin(record)
        window = oracle.interval(oracle.window(metric), anchor, oracle.as_of)
        times = [
            [time for time, _ in oracle.rows_between(s.source, s.filters, record.unit, *window, oracle.as_of)]
            for s in steps
        ]
        reached = oracle.reached(metric, record.unit, anchor, *window, oracle.as_of)
        yield "funnel_complete", reached[-1]
        greedy: datetime | None = anchor
        for i, (step, own) in enumerate(zip(steps, times, strict=True)):
            previous = times[i - 1] if i else [anchor]
            gaps = {time - before for time in own for before in previous}
            yield "funnel_within_edge", step.within in gaps
            yield "funnel_tie", i > 0 and ZERO in gaps
            within = step.within or timedelta.max
            following = [t for t in own if greedy is not None and t >= greedy and t - greedy < within]
            greedy = min(following, default=None)
            yield "funnel_not_greedy", reached[i] and greedy is None


def quantile_labels(oracle: Oracle, name: str) -> Found:
    metric = oracle.metrics[name]
    rows = oracle.quantile_rows(name)
    values = [value for own in rows.values() for value in own]
    yield f"quantile_{metric.get('of', 'units')}", bool(values)
    yield "quantile_exclude", metric.get("missing") == "exclude" and any(not own for own in rows.values())
    for arm in oracle.arms:
        units = [unit for unit in oracle.in_arm(arm, with_mixed=False) if unit in rows]
        found = {value for unit in units for value in rows[unit]}
        yield "quantile_without_values", bool(units) and not found
        yield "quantile_interpolated", len(found) > 2


def cap_labels(oracle: Oracle, name: str, parts: dict[str, Part]) -> Found:
    metric = oracle.metrics[name]
    yield "cap", "cap" in metric
    yield "cap_lower", "lower" in (metric.get("cap") or {})
    caps = oracle.caps(name)
    for column, part in parts.items():
        limits = [limit for limit in (part.lower, part.upper) if isinstance(limit, Percentile)]
        if not part.is_capped:
            continue
        cap = caps[column]
        values = [
            value
            for record in oracle.eligible(metric, oracle.as_of)
            if (value := oracle.over_window(part, record, oracle.as_of)) is not None
        ]
        yield "ambiguous:cluster_capped_count", oracle.cluster is not None
        if limits:
            yield "cap_percentile", cap.n != 0
            yield "cap_percentile_lower", isinstance(part.lower, Percentile) and cap.n != 0
            yield "cap_percentile_ratio", metric["type"] == "ratio"
            yield "cap_percentile_mixed", any(r.mixed for r in oracle.eligible(metric, oracle.as_of))
            yield "cap_zeros_exclude", not part.zeros and cap.n != 0
            yield "cap_binds", cap.upper is not None and any(value > cap.upper for value in values)
            yield "cap_degenerate", cap.degenerate
            yield "cap_without_units", cap.n == 0
            yield "cap_few_units", cap.n in (1, 2)
            yield "cap_both_kinds", len(limits) == 1 and part.lower is not None and part.upper is not None
            yield (
                "ambiguous:percentile_of_immature",
                any(
                    not oracle.is_mature(metric, begin(r), oracle.as_of) for r in oracle.eligible(metric, oracle.as_of)
                ),
            )
            yield (
                "ambiguous:lower_above_upper",
                cap.lower is not None and cap.upper is not None and cap.lower > cap.upper,
            )
    for column, cap in caps.items():
        yield "cap_percentile_covariate", "@pre" in column and bool(cap.n)


def covariate_labels(oracle: Oracle, name: str) -> Found:
    metric = oracle.metrics[name]
    covariates = oracle.covariates(metric)
    holders = [holder.get("covariates") for holder in (metric, oracle.analysis, oracle.defaults)]
    stated = [setting for setting in holders if setting is not None]
    yield "covariate_override", len({str(setting) for setting in stated}) > 1
    yield "covariate_off", "off" in stated
    if covariates is None or not oracle.eligible(metric, oracle.as_of):
        return
    extras = [extra for extra in covariates.extra if extra != name]
    numbers = [extra for extra in extras if "." in extra]
    others = [oracle.metrics[extra] for extra in extras if "." not in extra]
    yield "covariate", True
    yield "lookback_0d", covariates.lookback == ZERO
    yield "extra_metric", bool(others)
    yield "extra_attribute", any(extra.startswith("users.") for extra in numbers)
    yield "extra_exposure", any(extra.startswith("assignments.") for extra in numbers)
    yield (
        "extra_new_type",
        any(
            other["type"] in ("threshold", "retention") or other.get("agg") in ("first", "last", "active_days")
            for other in others
        ),
    )
    yield (
        "missing_attribute",
        any(oracle.dimension(extra, r) is None for extra in numbers for r in oracle.units.values()),
    )
    sides = [str(metric[side]) for side in ("numerator", "denominator") if side in metric]
    yield "ambiguous:extra_is_part", name in covariates.extra or any(side in extras for side in sides)
    yield "ambiguous:extra_excludes", any(other.get("missing") == "exclude" for other in others)
    if covariates.lookback > ZERO:
        kind = metric["type"]
        yield f"covariate_{kind}", kind in ("threshold", "retention", "funnel")
        yield "covariate_exclude", metric.get("missing") == "exclude"
        yield "ambiguous:per_day_covariate", "per" in metric
        steps = oracle.steps(metric)
        yield "ambiguous:funnel_covariate_within", bool(steps) and steps[0].within is not None
