"""The workload's metrics as the programs compared with metricdef know them: conditions on event rows, by hand.

This is a second, independent statement of benchmarks/project/: where the two differ, the numbers disagree.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from benchmarks.warehouse import DAY

LOOKBACK = 28 * DAY
Names = AbstractSet[str]


@dataclass(frozen=True, slots=True)
class Part:
    """A per-unit value: an aggregate of rows of one event name, from `start` to `end` microseconds after exposure."""

    agg: Literal["any", "sum", "count"]
    event: str
    condition: str | None = None
    start: int = 0
    end: int | None = None  # None: until the experiment's end
    mature: bool = False  # whether units without a complete window are left out


@dataclass(frozen=True, slots=True)
class Spec:
    """A metric: one part, or two of a ratio; each with its value before exposure as a covariate, or without."""

    name: str
    parts: tuple[Part, ...]
    covariates: bool = False
    capped: bool = False  # at the pooled 99th percentile of the values that are not 0


@dataclass(frozen=True, slots=True)
class EventQuantile:
    """A quantile of rows, with the counts per unit that its standard error needs."""

    name: str
    event: str
    column: str
    quantile: float


_REVENUE = Part("sum", "purchase")
_ORDERS = Part("count", "purchase")
_PAGE_VIEWS = Part("count", "page_view")
_SESSIONS = Part("count", "session_start")


def _rate(name: str, event: str, condition: str | None = None) -> Spec:
    return Spec(name, (Part("any", event, condition),))


def _retention(name: str, day: int) -> Spec:
    part = Part("any", "session_start", None, day * DAY, (day + 1) * DAY, mature=True)
    return Spec(name, (part,))


SPECS: tuple[Spec | EventQuantile, ...] = (
    _rate("purchase_rate", "purchase"),
    _rate("add_to_cart_rate", "add_to_cart"),
    _rate("checkout_rate", "checkout_start"),
    _rate("search_rate", "search"),
    _rate("refund_rate", "refund"),
    _rate("large_purchase_rate", "purchase", "revenue >= 100"),
    Spec("revenue", (_REVENUE,), covariates=True),
    Spec("orders", (_ORDERS,), covariates=True),
    Spec("page_views", (_PAGE_VIEWS,), covariates=True),
    Spec("add_to_carts", (Part("count", "add_to_cart"),), covariates=True),
    Spec("revenue_7d", (Part("sum", "purchase", end=7 * DAY),), covariates=True),
    Spec("sessions_7d", (Part("count", "session_start", end=7 * DAY),), covariates=True),
    Spec("revenue_per_order", (_REVENUE, _ORDERS), covariates=True),
    Spec("revenue_per_session", (_REVENUE, _SESSIONS), covariates=True),
    Spec("search_click_rate", (Part("count", "search_click"), Part("count", "search"))),
    Spec("revenue_capped", (_REVENUE,), covariates=True, capped=True),
    Spec("page_views_capped", (_PAGE_VIEWS,), covariates=True, capped=True),
    EventQuantile("latency_p90", "page_view", "latency_ms", 0.9),
    _retention("day_7_retention", 7),
    _retention("day_14_retention", 14),
)


def means(names: Names) -> list[Spec]:
    """Those of the named metrics that are made of per-unit values."""
    return [spec for spec in SPECS if isinstance(spec, Spec) and spec.name in names]


def quantiles(names: Names) -> list[EventQuantile]:
    """Those of the named metrics that are quantiles of rows."""
    return [spec for spec in SPECS if isinstance(spec, EventQuantile) and spec.name in names]


def needed_events(names: Names) -> list[str]:
    """Event names that any of the named metrics reads."""
    found = {part.event for spec in means(names) for part in spec.parts}
    return sorted(found | {spec.event for spec in quantiles(names)})


def needed_columns(names: Names) -> list[str]:
    """Columns of the events that the named metrics read, beside user, name and time."""
    revenue = any(p.agg == "sum" or p.condition for s in means(names) for p in s.parts)
    return [*(["revenue"] if revenue else []), *(["latency_ms"] if quantiles(names) else [])]
