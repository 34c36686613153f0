"""Stages of the daily series: what every day adds to the sums of the moments, so that running totals are each day's.

A unit contributes f(state) to a sum and f g to a product. On a day when its state changes from old to new the sum grows
by f(new) - f(old) and the product by f g(new) - f g(old); on its entry day by the whole. Cost is linear in the days on
which units have rows. Values of a block that waits for maturity never change: they enter on the day of maturity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from metricdef.compiler.days import DAY, duration, local_day
from metricdef.compiler.fact_stages import total
from metricdef.compiler.facts import Facts, facts_of
from metricdef.compiler.moment_stages import key_name, slope
from metricdef.compiler.plan import Block, Bounds, MetricPlan, Plan, UnitColumn, Value
from metricdef.compiler.row_tests import row_tests, since
from metricdef.compiler.sql_text import SqlText
from metricdef.compiler.stages import Stage, template
from metricdef.compiler.unit_stages import anchor_us, level, rendered_value

# Aggregates of which the days so far do not add up.
RUNNING = ("min", "max", "step", "last")


@dataclass(frozen=True, slots=True)
class SeriesBlock:
    """The part of a block that has a series."""

    position: int
    block: Block
    values: tuple[int, ...]  # positions of its values
    products: tuple[tuple[int, int], ...]

    @property
    def kind(self) -> str:
        """What rows of its days are called in the result."""
        return f"day:{self.block.name}"

    @property
    def table(self) -> str:
        """The stage with one row per group and day."""
        return f"md_days_of_{self.block.name}"


def no_series(plan: Plan, metric: MetricPlan) -> str | None:
    """Why a metric has no daily series; None where it has one."""
    if plan.cluster is not None:
        return "a cluster-randomised experiment has no daily series"
    if metric.quantile is not None:
        return "a quantile is no sum that grows by the day"
    block = plan.block(metric.block)
    names = {*metric.columns, *metric.uncapped}
    wanted = {value.column: value for value in block.values if value.name in names}
    if block.horizon is not None:
        accruing = [c for c in plan.unit_columns if c.name in wanted and c.bounds.end is None]
        return "one of its parts waits for maturity and the other goes on accruing" if accruing else None
    for column in plan.unit_columns:
        value = wanted.get(column.name)
        if value is None:
            continue
        if plan.sources[column.source].loaded_at and column.agg in ("first", "last"):
            return f"the {column.agg} value may change with rows that arrive late"
        if column.agg == "observed_days" and not _whole(column):
            return "days observed have a daily series only over the window `experiment`"
        plain = column.agg == "count" or (column.agg == "sum" and not value.limit)
        plain = plain and value.presence == "ignored"
        if column.bounds.floor is not None and not plain:
            return "over a window `last ...` only sums, counts and proportions have a daily series"
    funnels = [f for f in plan.funnels if any(name in wanted for name in f.columns)]
    if any(plan.sources[step.source].loaded_at for f in funnels for step in f.funnel.steps):
        return "steps of a funnel may be reached later by rows that arrive late"
    if any(f.bounds.floor is not None for f in funnels):
        return "over a window `last ...` only sums, counts and proportions have a daily series"
    return None


def _whole(column: UnitColumn) -> bool:
    """Whether the window runs from the anchor to the experiment's end."""
    return column.bounds.start == 0 and column.bounds.end is None and column.bounds.floor is None


def series_residual(plan: Plan, metric: MetricPlan) -> str | None:
    """A ratio's residual where it has a series: not over days observed, which grow without a row. They are small."""
    days = {c.name for c in plan.unit_columns if c.agg == "observed_days"}
    below = {v.column for v in plan.block(metric.block).values if v.name in metric.columns[1:]}
    return None if below & days else metric.residual


def series_blocks(plan: Plan) -> list[SeriesBlock]:
    """Blocks that have a series, and which of their values."""
    found = []
    for position, block in enumerate(plan.blocks):
        metrics = [m for m in plan.metrics if m.block == block.name and no_series(plan, m) is None]
        names = {name for m in metrics for name in (*m.columns, *m.covariates, series_residual(plan, m))}
        values = tuple(i for i, value in enumerate(block.values) if value.name in names)
        products = tuple(p for p in block.products if set(p) <= set(values))
        if values and block.anchor == "outcome":
            found.append(SeriesBlock(position, block, values, products))
    return found


def series_stages(plan: Plan, sql: SqlText) -> Iterator[Stage]:
    """One table per block, with what every day adds to the sums of every group."""
    if not plan.daily:
        return
    for part in series_blocks(plan):
        if part.block.horizon is not None:
            yield _matured(plan, part)
        else:
            yield from _accruing(plan, sql, part)


def _labels(part: SeriesBlock) -> dict[str, Any]:
    names = [value.name for value in part.block.values]
    prefix = f"b{part.position}"
    return {
        "block": part.block.name,
        "columns": [{"name": names[i], "label": f"s__{prefix}_{i}"} for i in part.values],
        "products": [{"left": names[i], "right": names[j], "label": f"q__{prefix}_{i}_{j}"} for i, j in part.products],
    }


def _keys(plan: Plan) -> list[str]:
    return [key_name(i) for i, d in enumerate(plan.dimensions) if d.stratum]


def _matured(plan: Plan, part: SeriesBlock) -> Stage:
    body = template("days_matured").render(keys=_keys(plan), **_labels(part))
    comment = "What every day adds: the units that mature on it."
    return Stage(part.table, (comment,), body)


def _accruing(plan: Plan, sql: SqlText, part: SeriesBlock) -> Iterator[Stage]:
    block, name = part.block, part.block.name
    used = {block.values[i].column for i in part.values if block.values[i].presence != "residual"}
    columns = [
        c for c in plan.unit_columns if c.name in used and c.bounds.anchor == "outcome" and c.agg != "observed_days"
    ]
    steps = [s for f in plan.funnels if f.bounds.anchor == "outcome" for s in f.columns if s in used]
    order = [*(c.name for c in columns), *steps]
    modes = {i: _mode(plan, block, block.values[i]) for i in part.values}
    branches = list(_branches(plan, sql, block, columns, steps))
    # A unit's entry goes through the running totals only where a row looks back at it: they are most of the work.
    entered = "row" in modes.values() or not branches
    changes = f"md_changes_of_{name}"
    window = (
        f"(PARTITION BY {changes}.unit ORDER BY {changes}.day_us, {changes}.branch "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    )
    running = {c.name: _running(sql, c.agg, f"{changes}.p_{c.name}") for c in columns}
    running |= {step: _running(sql, "step", f"{changes}.p_{step}") for step in steps}
    latest = {c.name for c in columns if c.agg == "last"}
    entry_day, nulls = local_day(plan, sql, anchor_us(plan, block)), _nulls(sql, columns, steps)
    yield Stage(
        changes,
        (f"What happened to every unit on every day: {'its entry, and ' if entered else ''}its rows.",),
        template("unit_changes")
        .render(columns=order, branches=branches, entered=entered, entry_day=entry_day, nulls=nulls)
        .strip(),
    )
    static = [
        f"u_{c.name}"
        for c in plan.unit_columns
        if c.bounds.anchor == "exposure" and c.agg not in ("events", "observed_days")
    ]
    static += [f"u_{s}" for f in plan.funnels if f.bounds.anchor == "exposure" for s in f.columns]
    static += [f"e_{c.name}" for c in plan.entry_columns]
    yield Stage(
        f"md_states_of_{name}",
        (f"The state of every unit after each of these{'' if entered else ', and when it entered'}.",),
        template("unit_states").render(
            entered=entered,
            entry_day=entry_day,
            nulls=nulls,
            changes=changes,
            running=[{"name": n, "sql": f"{running[n]} OVER {window}", "latest": n in latest} for n in order],
            totals=[c.name for c in columns if c.agg not in RUNNING],
            static=static,
            triggered=plan.trigger is not None,
        ),
    )
    yield Stage(
        f"md_steps_of_{name}",
        ("Distances from the centres, now (d) and before (b); what never changes has no before.",),
        template("unit_steps").render(
            states=f"md_states_of_{name}",
            values=[_series_value(plan, sql, block, i) | {"mode": modes[i]} for i in part.values],
            keys=[
                {"name": key_name(i), "sql": level(sql, f"md_units.e_{d.column}")}
                for i, d in enumerate(plan.dimensions)
                if d.stratum
            ],
            percentiles=plan.percentiles,
        ),
    )
    labels = _labels(part)
    still = {block.values[i].name for i in part.values if modes[i] == "still"}
    body = template("days_accruing").render(keys=_keys(plan), steps=f"md_steps_of_{name}", still=still, **labels)
    yield Stage(part.table, ("What every day adds: the change of every unit's contribution.",), body)


def _running(sql: SqlText, agg: str, change: str) -> str:
    """The aggregate of a unit's changes so far.

    Changes of a last value are counted: the value is the last of them itself, not a sum of differences, which would be
    off by their rounding.
    """
    match agg:
        case "min":
            return f"-{sql.largest(f'-{change}')}"
        case "max":
            return sql.largest(change)
        case "step":
            return f"MAX({change})"
        case "last":
            return f"COUNT({change})"
        case _:
            return f"SUM({change})"


def _mode(plan: Plan, block: Block, value: Value) -> str:
    """How the value before a change is known.

    still: it never changes. total: a running total less what was added; exact for counts, and for sums where nothing
    jumps at a limit. row: from the row before, for the others.
    """
    if value.presence == "residual":
        parts = {_mode(plan, block, block.values[i]) for i in _parts(block, value)}
        return next(mode for mode in ("row", "total", "still") if mode in parts)
    column = next((c for c in plan.unit_columns if c.name == value.column), None)
    is_step = any(value.column in f.columns and f.bounds.anchor == "outcome" for f in plan.funnels)
    if column is None and not is_step:
        return "still"
    if column is not None and (column.bounds.anchor == "exposure" or column.agg == "observed_days"):
        return "still"
    counts = column is not None and column.agg in ("count", "count_distinct", "active_days")
    sums = column is not None and column.agg == "sum" and value.limit is None
    return "total" if (counts or sums) and value.presence == "ignored" else "row"


def _nulls(sql: SqlText, columns: list[UnitColumn], steps: list[str]) -> dict[str, str]:
    return dict.fromkeys((c.name for c in columns), sql.double("NULL")) | dict.fromkeys(steps, sql.integer("NULL"))


def _parts(block: Block, value: Value) -> tuple[int, int]:
    """Positions of what a residual is made of."""
    names = [v.name for v in block.values]
    return names.index(value.column), names.index(value.minus)


def _series_value(plan: Plan, sql: SqlText, block: Block, position: int) -> dict[str, Any]:
    """As in the moments, from the state; days observed are written as what does not change, minus the entry day."""
    value = block.values[position]
    if value.presence == "residual":
        y, x = (_series_value(plan, sql, block, i) for i in _parts(block, value))
        # From the row before where a part is: `before` has no meaning then.
        now, before = (f"({y[when]} - {slope(value)} * {x[when]})" for when in ("sql", "before"))
        return {"name": value.name, "sql": now, "before": before, "centre": sql.number(0)}
    column = next((c for c in plan.unit_columns if c.name == value.column), None)
    if column is not None and column.agg == "observed_days":
        days = f"({local_day(plan, sql, str(plan.start))} - {local_day(plan, sql, anchor_us(plan, block))}) / {DAY}"
        return {"name": value.name, "sql": sql.double(days), "before": sql.double(days), "centre": sql.number(0)}
    now = before = rendered_value(plan, sql, block, value)["sql"]
    if _mode(plan, block, value) != "still":
        before = now.replace(f"md_units.u_{value.column}", f"md_units.b_{value.column}")
    return {"name": value.name, "sql": now, "before": before, "centre": f"md_centres.v_{value.name}"}


def _branches(
    plan: Plan, sql: SqlText, block: Block, columns: list[UnitColumn], steps: list[str]
) -> Iterator[dict[str, Any]]:
    for facts in facts_of(plan):
        own = [c for c in columns if c.source == facts.name]
        plain = [c for c in own if c.agg in ("sum", "count", "min", "max")]
        if plain:
            yield _branch(plan, sql, facts, "seen_us", {c.name: _partial(plan, sql, facts, c) for c in plain})
        for width in sorted({_width(plan, c) for c in plain if c.bounds.floor is not None}):
            leaving = {
                c.name: f"-({_partial(plan, sql, facts, c)})"
                for c in plain
                if c.bounds.floor is not None and _width(plan, c) == width
            }
            before = sql.us(plan.enrolment_end - width)
            yield _branch(plan, sql, facts, _later(f"ts_us + {duration(width)}", "seen_us"), leaving, before=before)
        for column in own:
            if column.agg in ("count_distinct", "active_days"):
                yield _new_values(plan, sql, facts, column)
            elif column.agg in ("first", "last"):
                yield _extreme_changes(plan, sql, facts, column)
    for funnel in plan.funnels:
        wanted = [s for s in funnel.columns if s in steps]
        if wanted:
            for step in wanted:
                at = f"{anchor_us(plan, block)} + md_funnel_{funnel.name}.at_{step}"
                yield {
                    "kind": "step",
                    "table": f"md_funnel_{funnel.name}",
                    "column": step,
                    "day": local_day(plan, sql, f"({at})"),
                }


def _later(first: str, second: str) -> str:
    return f"(CASE WHEN {first} > {second} THEN {first} ELSE {second} END)"


def _width(plan: Plan, column: UnitColumn) -> int:
    assert column.bounds.floor is not None  # noqa: S101 - asked of windows `last ...`
    return plan.enrolment_end - column.bounds.floor


def _branch(
    plan: Plan, sql: SqlText, facts: Facts, instant: str, partials: dict[str, str], before: str | None = None
) -> dict[str, Any]:
    return {
        "kind": "rows",
        "table": facts.table,
        "day": local_day(plan, sql, instant),
        "partials": partials,
        "before": before,
        "since": since(plan, Bounds(0)),
        "triggered": plan.trigger is not None,
    }


def _partial(plan: Plan, sql: SqlText, facts: Facts, column: UnitColumn) -> str:
    """What a unit's rows of one day add. Counts are exact as doubles, and engines add up integers with more digits."""
    tests = _series_tests(plan, sql, facts, column)
    when = f"CASE WHEN {' AND '.join(tests)} THEN"
    if column.agg == "count":
        return sql.double(f"COUNT({when} 1 END)")
    return total(sql, column, when, sql.double(f"m_{column.measure}"))


def _series_tests(plan: Plan, sql: SqlText, facts: Facts, column: UnitColumn) -> list[str]:
    """As in the moments; a window `last ...` had other bounds on other days: every row since exposure was in it."""
    bounds = replace(column.bounds, floor=None)
    return row_tests(plan, sql, facts, column.filter, bounds)


def _new_values(plan: Plan, sql: SqlText, facts: Facts, column: UnitColumn) -> dict[str, Any]:
    """Distinct values by the day on which each was first seen."""
    value = local_day(plan, sql, "ts_us") if column.agg == "active_days" else f"m_{column.measure}"
    return {
        "kind": "distinct",
        "table": facts.table,
        "column": column.name,
        "count": sql.double("COUNT(*)"),
        "value": value,
        "day": f"MIN({local_day(plan, sql, 'seen_us')})",
        "tests": _series_tests(plan, sql, facts, column) + ([f"{value} IS NOT NULL"] if column.measure else []),
        "triggered": plan.trigger is not None,
    }


def _extreme_changes(plan: Plan, sql: SqlText, facts: Facts, column: UnitColumn) -> dict[str, Any]:
    """The first value once, on its day; the last value of every day."""
    return {
        "kind": column.agg,
        "table": facts.table,
        "column": column.name,
        "measure": sql.double(f"m_{column.measure}"),
        "day": local_day(plan, sql, "ts_us"),
        "tests": [*_series_tests(plan, sql, facts, column), f"m_{column.measure} IS NOT NULL"],
        "triggered": plan.trigger is not None,
    }
