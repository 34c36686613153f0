"""Draws metrics of every type with every option, and their roles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .drawing import Fields
from .expressions import (
    ORDER_FILTERS,
    ORDER_LABELS,
    ORDER_MEASURES,
    SESSION_FILTERS,
    SESSION_LABELS,
    SESSION_MEASURES,
)
from .projects import LOOKBACKS, WINDOWS, Design, draw_events, draw_filter, with_filter

AGGS = (
    "sum",
    "active_days",
    "count",
    "sum",
    "count_distinct",
    "active_days",
    "active_days",
    "first",
    "last",
    "first",
    "last",
    "min",
    "max",
)
PART_AGGS = ("sum", "count", "count_distinct", "active_days")
RETENTION_WINDOWS = ("7d..14d", "1d..3d", "12h..36h", "1d..8d")
WITHINS = ("1h", "12h", "2d", "30m")
LIMITS = ("at_least", "more_than", "at_most", "less_than")
KINDS = (
    "mean",
    "ratio",
    "threshold",
    "mean",
    "funnel",
    "quantile",
    "mean",
    "retention",
    "proportion",
    "mean",
    "ratio",
    "funnel",
    "threshold",
    "quantile",
    "funnel",
    "ratio",
    "quantile",
)


def draw_basis(
    fields: Fields, sources: dict[str, Any], design: Design, aggs: Sequence[str], sessions_percent: int = 40
) -> dict[str, Any]:
    """source, agg, measure and filter of a mean metric or of the inline side of a ratio."""
    source = "sessions" if design.sessions and fields.chance(sessions_percent) else "orders"
    numbers, labels, filters = {
        "orders": (ORDER_MEASURES, ORDER_LABELS, ORDER_FILTERS),
        "sessions": (SESSION_MEASURES, SESSION_LABELS, SESSION_FILTERS),
    }[source]
    agg = fields.pick(aggs)
    basis: dict[str, Any] = {"source": source, "agg": agg}
    if agg not in ("count", "active_days"):
        menu = labels if agg == "count_distinct" else numbers
        sql = fields.pick(list(menu))
        measures: dict[str, str] = sources[source]["measures"]
        basis["measure"] = next(name for name, text in measures.items() if text == sql)
    condition = draw_filter(fields, filters, 40)
    if source == "orders" and design.dimension_expression and fields.chance(30):
        condition = "settled"
    return with_filter(basis, condition)


def draw_missing(fields: Fields, design: Design, basis: dict[str, Any], exclude: bool = True) -> None:
    """Adds `missing`: always to aggregates without an empty value and to quantiles, else sometimes."""
    excludes = exclude and design.ratios and fields.chance(36)
    if excludes:
        basis["missing"] = "exclude"
    elif basis["agg"] in ("min", "max", "first", "last") or fields.chance(15):
        basis["missing"] = "zero"


def draw_cap(fields: Fields, offset: float) -> dict[str, Any]:
    base = offset if offset and fields.chance(80) else 0
    lower: Any = base + fields.pick([-3, 0, 0.5, 2, -10.25])
    upper: Any = lower + fields.pick([1, 10, 5.015625, 0.25, 30])
    cap: dict[str, Any] = fields.pick([{"upper": upper}, {"lower": lower}, {"lower": lower, "upper": upper}])
    if not fields.chance(60):
        return cap
    high, low = fields.pick(["p90", "p95", "p75", "p99.5", "p80"]), fields.pick(["p10", "p5", "p25"])
    cap = fields.pick(
        [
            {"upper": high},
            {"upper": high},
            {"upper": high},
            {"lower": low},
            {"lower": low, "upper": high},
            {"lower": lower, "upper": high},
            {"lower": 5 + base, "upper": high},
            {"lower": low, "upper": upper},
        ]
    )
    if fields.chance(50):
        cap["zeros"] = fields.pick(["exclude", "exclude", "exclude", "include"])
    return cap


def draw_covariates(fields: Fields, design: Design, plain: list[str], numbers: bool = True) -> Any:
    """`off` or a setting; metrics as extras only with a lookback to compute them over."""
    if fields.chance(15):
        return "off"
    lookback = fields.pick(LOOKBACKS)
    pool = list(plain)
    if fields.chance(15):
        lookback, pool = "0d", []
    if numbers:
        pool += design.numbers
    setting: dict[str, Any] = {"lookback": lookback}
    if pool and fields.chance(60):
        setting["extra"] = list(dict.fromkeys([fields.pick(pool), fields.pick(pool)]))
    return setting


def is_plain(metric: dict[str, Any]) -> bool:
    """One number per unit over any interval: what an extra covariate can be."""
    return metric["type"] in ("mean", "proportion", "threshold", "retention") and "per" not in metric


def is_part(metric: dict[str, Any]) -> bool:
    """What a ratio may name."""
    if metric.get("missing") == "exclude" or "per" in metric:
        return False
    return metric["type"] == "proportion" or metric.get("agg") in PART_AGGS


def draw_ratio(fields: Fields, sources: dict[str, Any], design: Design, metrics: dict[str, Any]) -> dict[str, Any]:
    metric: dict[str, Any] = {}
    parts = [name for name, other in metrics.items() if other["type"] in ("mean", "proportion", "threshold")]
    parts = [name for name in parts if is_part(metrics[name])]
    metric["numerator"] = fields.pick(parts) if parts and fields.chance(65) else None
    above = metrics.get(metric["numerator"]) or draw_basis(fields, sources, design, PART_AGGS)
    metric["numerator"] = metric["numerator"] or above
    if parts and fields.chance(45):
        metric["denominator"] = fields.pick(parts)
    else:  # mostly of the other source
        sessions_percent = 85 if above["source"] == "orders" else 15
        metric["denominator"] = draw_basis(fields, sources, design, PART_AGGS, sessions_percent)
    if fields.chance(14):
        metric["window"] = fields.pick(WINDOWS)
    return metric


def draw_funnel(fields: Fields, design: Design) -> dict[str, Any]:
    ordered = not fields.chance(25)
    if ordered and fields.chance(50):  # two steps that no row can serve at once
        first = {"name": "undone", "source": "orders", "filter": "status <> 'paid'"}
        second = {"name": "paid", "source": "orders", "filter": "status = 'paid'", "within": fields.pick(WITHINS)}
        return {"steps": [first, second]}
    steps: list[dict[str, Any]] = []
    for i in range(fields.pick([2, 3, 2, 4])):
        step = {"name": ("cart", "pay", "paid", "done")[i], **draw_events(fields, design, 75)}
        if ordered and fields.chance(30 if i == 0 else 60):
            step["within"] = fields.pick(["2d", "12h"]) if i == 0 else fields.pick(WITHINS)
        steps.append(step)
    return {"steps": steps, **({} if ordered and fields.chance(60) else {"order": "sequential" if ordered else "any"})}


def draw_quantile(fields: Fields, sources: dict[str, Any], design: Design) -> dict[str, Any]:
    of = fields.pick(["units", "events"])
    aggs = AGGS if of == "units" else ("sum",)
    metric = draw_basis(fields, sources, design, aggs)
    if of == "events":
        del metric["agg"]
        metric["of"] = "events"
    else:
        metric["missing"] = fields.pick(["zero", "exclude"])
        if fields.chance(30):
            metric["of"] = "units"
    return {**metric, "quantile": fields.pick(["p50", "p90", "p75", "p95", "p25", "p99.5"])}


def draw_aggregate(fields: Fields, sources: dict[str, Any], design: Design, kind: str, exclude: bool) -> dict[str, Any]:
    """A mean or a threshold."""
    metric = draw_basis(fields, sources, design, AGGS)
    per_day = kind == "mean" and metric["agg"] == "active_days" and design.ratios and fields.chance(70)
    if per_day:
        return {**metric, "per": "day"}
    draw_missing(fields, design, metric, exclude)
    is_value = metric["agg"] in ("sum", "min", "max", "first", "last")
    if fields.chance(40):
        metric["cap"] = draw_cap(fields, design.offset if is_value else 0)
    if kind == "threshold":
        base = design.offset if is_value and fields.chance(80) else 0
        limit = base + fields.pick([1, 2, 0, 3, 10, 0.5])
        metric[fields.pick(LIMITS)] = limit
    return metric


def draw_metrics(block: Callable[[int], Fields], count: int, sources: dict[str, Any], design: Design) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    for i in range(count):
        fields = block(64)
        kinds: Sequence[str] = KINDS if i else ("mean", "proportion", "threshold", "mean", "funnel", "retention")
        excluded = {"ratio"} if not design.ratios else set()
        if design.cluster_effect or design.ramp:
            excluded.add("quantile")
        kind = fields.pick([kind for kind in kinds if kind not in excluded])
        metric: dict[str, Any] = {"type": kind}
        if kind == "ratio":
            metric |= draw_ratio(fields, sources, design, metrics)
        elif kind == "funnel":
            metric |= draw_funnel(fields, design)
        elif kind == "quantile":
            metric |= draw_quantile(fields, sources, design)
        elif kind in ("mean", "threshold"):
            metric |= draw_aggregate(fields, sources, design, kind, exclude=i > 0)
        else:
            metric |= draw_events(fields, design, 40)
        if kind == "retention":
            metric["window"] = fields.pick(RETENTION_WINDOWS)
            if fields.chance(60):
                metric["min_rows"] = fields.pick([2, 1, 2, 3])
        elif kind != "ratio" and fields.chance(70):
            metric["window"] = fields.pick(WINDOWS)
        if fields.chance(30):
            metric["immature"] = "exclude" if kind == "retention" else fields.pick(["include", "exclude"])
        counts_early = "per" in metric or any(isinstance(limit, str) for limit in metric.get("cap", {}).values())
        if counts_early and fields.chance(50):  # what they count then depends on as-of
            metric |= {"immature": "include", "window": fields.pick(("7d", "14d", "3d", "36h"))}
        if kind != "quantile" and fields.chance(25):
            metric["covariates"] = draw_covariates(fields, design, [n for n, m in metrics.items() if is_plain(m)])
        metric["direction"] = fields.pick(["increase", "decrease"])
        metrics[f"metric_{i}"] = metric
    return metrics


def draw_roles(fields: Fields, metrics: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The experiment's `metrics` and the metric sets it names."""
    roles: dict[str, dict[str, Any]] = {"primary": {"metric_0": {"mde": "2%"}}, "secondary": {}, "guardrail": {}}
    for name in list(metrics)[1:]:
        role = fields.pick(["secondary", "guardrail", "primary", "secondary", "secondary", "guardrail", ""])
        if role == "primary" and metrics[name].get("missing") == "exclude":
            role = "secondary"
        if role == "primary":
            roles[role][name] = {"mde": "5%"}
        elif role == "guardrail":
            roles[role][name] = {"margin": "2%"}
        elif role:
            roles[role][name] = None
    listed: dict[str, Any] = {role: members for role, members in roles.items() if members}
    sets: dict[str, Any] = {}
    if "guardrail" in listed and fields.chance(25):
        sets = {"house_rules": {"guardrail": listed.pop("guardrail")}}
        listed["sets"] = ["house_rules"]
    return listed, sets
