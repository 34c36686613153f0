"""What is kept of every unit from one day to the next, and the stages that read it back.

The tables only grow. A row says when it was written: the as-of of the run that wrote it. What holds at an as-of are the rows
written by then, of every unit since its last new start and of every day since it was last read as a whole. So a run that
breaks off leaves what was there, and an earlier as-of can still be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from metricdef.compiler.plan import MetricPlan, Plan, State, UnitColumn
from metricdef.compiler.sql_text import SqlText
from metricdef.compiler.stages import Stage, template

# Aggregates of which the parts that every calendar day has give the whole.
MERGED = ("sum", "count", "min", "max", "active_days")


def kept_columns(plan: Plan) -> tuple[UnitColumn, ...]:
    """Unit columns that can be kept: a row adds to them once and for all, whatever the as-of.

    Not windows that move with as-of, nor those that start with a trigger, which may be found later.
    """
    return tuple(
        c
        for c in plan.unit_columns
        if c.agg in MERGED and c.bounds.floor is None and not (plan.trigger and c.bounds.anchor == "outcome")
    )


def recomputed_metrics(plan: Plan) -> list[str]:
    """Metrics of which some part is made of the facts anew on every day."""
    assert plan.state is not None  # noqa: S101 - asked of plans that have one
    made = {c.name for c in plan.unit_columns if c.agg != "observed_days"} | {
        n for f in plan.funnels for n in f.columns
    }
    return [m.name for m in plan.metrics if _read_by(plan, m) & (made - plan.state.columns)]


def _read_by(plan: Plan, metric: MetricPlan) -> set[str]:
    """Unit columns that a metric reads."""
    values = {value.name: value.column for block in plan.blocks for value in block.values}
    names = {
        *metric.columns,
        *metric.covariates,
        *metric.uncapped,
        *metric.before,
        *((metric.novelty[0],) if metric.novelty else ()),
        *(metric.diluted[2] if metric.diluted else ()),
    }
    events = metric.quantile is not None and metric.quantile.events
    return {values[name] for name in names} | ({metric.quantile.column} if events and metric.quantile else set())


def state_table(sql: SqlText, state: State, ending: str) -> str:
    """One of the state's tables, as SQL: units, days, late, runs, values_1 and so on."""
    return f"{sql.name(sql.schemas.get(state.schema, state.schema))}.{state.name}_{ending}"


def values_table(sql: SqlText, state: State, source: str) -> str:
    """The table with the values made of a source."""
    return state_table(sql, state, f"values_{state.sources.index(source) + 1}")


def kept_units_stage(sql: SqlText, state: State, as_of_us: int, tests: str, *, gone: bool = False) -> Stage:
    """The units that this run and those before it knew (`tests` of written_us), each since its last new start.

    Of most units there is one row. Where there are more, all but the first have `started_anew`: only those are looked
    through for the last. `gone`: also units that have no exposure any more, without one.

    Runs that broke off don't count. Days follow on one another, so what they left was written before the first run that
    counts, or after the last one. Then neither counts the rest of it: no value of a unit counts that is older than the unit.
    """
    body = template("kept_units").render(
        units=state_table(sql, state, "units"),
        runs=state_table(sql, state, "runs"),
        as_of=sql.instant_us(as_of_us),
        tests=tests,
        gone=gone,
    )
    return Stage("md_kept_units", ("Units in the state, each since its last new start.",), body)


def twice(sql: SqlText, state: State, as_of_us: int, *, own: bool) -> str | None:
    """Units and days of units that the rows of one run have more than once, one row each, as a query.

    Of all runs that count, as a day is made of all before it: those before this one, and, with `own`, this one, which is
    not noted yet. Another attempt at the same run has appended such rows, perhaps days later and without noting itself.
    None where a transaction keeps them out.
    """
    if sql.dialect.transactions:
        return None
    as_of, runs = sql.instant_us(as_of_us), state_table(sql, state, "runs")
    counted = f"written_us < {as_of} AND written_us IN (SELECT written_us FROM {runs})"
    if own:
        counted = f"(written_us = {as_of} OR {counted})"
    keys = {"units": "unit_id"} | {f"values_{i + 1}": "unit_id, day_us" for i in range(len(state.sources))}
    return "\nUNION ALL\n".join(
        f"SELECT 1 AS found FROM {state_table(sql, state, ending)} WHERE {counted}"
        f" GROUP BY written_us, {key} HAVING COUNT(*) > 1"
        for ending, key in keys.items()
    )


def known_entries(sql: SqlText, state: State, as_of_us: int, entries: Stage) -> Iterator[Stage]:
    """The entries as the state knows them.

    An exposure that came after the day was added waits for the next: without its rows it would count as no outcome.
    """
    yield replace(entries, name="md_entries_found", shared=False)
    yield kept_units_stage(sql, state, as_of_us, f"written_us <= {sql.instant_us(as_of_us)}")
    yield replace(
        entries,
        comment=("Of these, those that the state has with the same first exposure.",),
        body=template("known_entries").render(),
    )


def state_stages(plan: Plan, sql: SqlText) -> Iterator[Stage]:
    """One row per unit: the values of every source, merged from those of every day."""
    state = plan.state
    if state is None:
        return
    for source in state.sources:
        body = template("kept_values").render(
            values=values_table(sql, state, source),
            days=state_table(sql, state, "days"),
            source=sql.literal(source),
            as_of=sql.instant_us(plan.as_of_us),
            columns=[
                {"name": f"u_{c.name}", "sql": _merged(sql, c)}
                for c in plan.unit_columns
                if c.source == source and c.name in state.columns
            ],
        )
        yield Stage(f"md_state_{source}", (f"One row per unit: its values from {source}, kept from day to day.",), body)


def _merged(sql: SqlText, column: UnitColumn) -> str:
    part = f"kept_values.u_{column.name}"
    match column.agg:
        case "min":
            return f"-{sql.largest(f'-{part}')}"
        case "max":
            return sql.largest(part)
        case "sum":
            return f"SUM({part})"
        case _:
            return sql.integer(f"SUM({part})")
