"""Stages that read events: each source once, then one row per unit with every value asked of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sqlglot import exp

from metricdef.compiler.alternatives import any_of
from metricdef.compiler.days import DAY, duration, local_day
from metricdef.compiler.exposure_stages import loaded_conditions, ts_us
from metricdef.compiler.facts import Facts, facts_of, measures_of
from metricdef.compiler.open_instant import may_be_earlier
from metricdef.compiler.order_statistics import low_name, ranks_stage, ranks_table, rows_name, values_table
from metricdef.compiler.plan import Bounds, FunnelColumns, Plan, QuantilePlan, UnitColumn
from metricdef.compiler.row_tests import bound_tests, row_tests, since
from metricdef.compiler.source_checks import check_columns, checks_facts, must_have, rows_table
from metricdef.compiler.sql_text import SqlText
from metricdef.compiler.stages import Stage, template
from metricdef.definitions.expressions import parse_expression
from metricdef.definitions.models import Source
from metricdef.definitions.novelty import days_of
from metricdef.metrics.base import FunnelStep

# Functions of the portable subset that engines refuse some values of.
_MAY_FAIL = (exp.Cast, exp.Exp, exp.Ln, exp.Sqrt, exp.Substring)


def fact_stages(plan: Plan, sql: SqlText) -> Iterator[Stage]:
    """Rows of every source, triggers, values per unit."""
    found = facts_of(plan)
    for facts in found:
        checked = checks_facts(plan, facts.name)
        if checked:
            yield _checked_rows(plan, sql, facts)
        yield rows_stage(plan, sql, facts, checked=checked)
    for facts in found:
        if facts.trigger is not None:
            yield _triggers(plan, sql, facts)
    for facts in found:
        placed = _in_place(plan, facts)
        for quantile, column in placed:
            yield _ranked(plan, sql, facts, quantile, column)
            yield ranks_stage(sql, quantile, [])
        columns = [{"name": f"u_{c.name}", "sql": aggregate(plan, sql, facts, c)} for c in facts.aggregated]
        columns += _counted(plan, sql, facts, placed)
        if columns:
            yield Stage(
                f"md_unit_{facts.name}",
                (f"One row per unit: its values from {facts.name}.",),
                template("unit_values").render(
                    columns=columns,
                    facts=facts.table,
                    triggered=plan.trigger is not None,
                    ranked=[{"ranks": ranks_table(q), "estimates": _estimates(q)} for q, _ in placed],
                    arms=range(len(plan.arms)),
                ),
            )
        for column in facts.columns:
            if column.agg in ("first", "last"):
                yield _extreme(plan, sql, facts, column)
    by_name = {facts.name: facts for facts in found}
    for funnel in plan.funnels:
        yield _funnel(plan, sql, funnel, by_name)


def has_unit_values(plan: Plan, facts: Facts) -> bool:
    """Whether a source has a stage with one row per unit."""
    return bool(facts.aggregated or _in_place(plan, facts))


def counted_names(plan: Plan, facts: Facts) -> list[str]:
    """Columns of the stage with one row per unit that count rows for quantiles."""
    placed = [quantile for quantile, _ in _in_place(plan, facts)]
    return list(dict.fromkeys(name for q in placed for name in (low_name(q), rows_name(q))))


def _in_place(plan: Plan, facts: Facts) -> list[tuple[QuantilePlan, UnitColumn]]:
    """Quantiles of this source's rows that are counted with the other values per unit."""
    return [(q, c) for q in plan.counted_in_place for c in facts.columns if c.name == q.column]


def _counted(
    plan: Plan, sql: SqlText, facts: Facts, placed: list[tuple[QuantilePlan, UnitColumn]]
) -> list[dict[str, str]]:
    """A unit's rows, and how many of them lie at or below each quantile: several may be of the same rows."""
    counts = {}
    for quantile, column in placed:
        measure = f"m_{column.measure}"
        tests = [*row_tests(plan, sql, facts, column.filter, column.bounds), f"{measure} IS NOT NULL"]
        arms = " ".join(f"WHEN {i} THEN {_estimates(quantile)}.arm_{i}" for i in range(len(plan.arms)))
        low = f"{sql.double(measure)} <= CASE {_arm(quantile.block)} {arms} END"
        counts[low_name(quantile)] = f"COUNT(CASE WHEN {' AND '.join([*tests, low])} THEN 1 END)"
        counts[rows_name(quantile)] = f"COUNT(CASE WHEN {' AND '.join(tests)} THEN 1 END)"
    return [{"name": name, "sql": text} for name, text in counts.items()]


def _estimates(quantile: QuantilePlan) -> str:
    """One row with the quantile of every arm: no join, whose size an engine may guess wrong."""
    return f"estimates_of_{quantile.name}"


def _arm(block: str) -> str:
    return f"arm_in_{block}"


def _counting_arm(plan: Plan, sql: SqlText, name: str) -> str:
    """The arm of a unit that counts for the quantiles of a block, known from its exposure; else NULL."""
    block = plan.block(name)
    tests = [] if plan.mixed == "first_arm" else ["md_entries.mixed = 0"]
    if block.horizon is not None:
        tests.append(f"md_entries.exposed_us <= {sql.instant_us(plan.as_of_us - block.horizon)}")
    return f"CASE WHEN {' AND '.join(tests)} THEN md_entries.arm END" if tests else "md_entries.arm"


def _ranked(plan: Plan, sql: SqlText, facts: Facts, quantile: QuantilePlan, column: UnitColumn) -> Stage:
    tests = [f"{_arm(quantile.block)} IS NOT NULL", f"m_{column.measure} IS NOT NULL"]
    body = template("quantile_rows").render(
        arm=_arm(quantile.block),
        value=sql.double(f"m_{column.measure}"),
        facts=facts.table,
        tests=[*tests, *row_tests(plan, sql, facts, column.filter, column.bounds)],
    )
    return Stage(values_table(quantile), (f"What {quantile.name} is a quantile of.",), body)


def rows_stage(
    plan: Plan,
    sql: SqlText,
    facts: Facts,
    only: Sequence[str] = (),
    *,
    instants: bool = False,
    checked: bool = False,
    few_units: bool = False,
) -> Stage:
    """The rows of a source that some value needs, of the units in md_entries, with the columns that values are made of.

    `only`: further conditions over `fact_rows`. `instants`: rows have their instant, also where no value needs it.
    `checked`: they are taken from the stage with all rows. `few_units`: they may all have come lately.
    """
    source = plan.sources[facts.name]
    tests = [f"fact_rows.ts_us - md_entries.exposed_us >= {duration(facts.earliest)}", *only]
    if checked:
        tests += ["fact_rows.is_wanted = 1", "fact_rows.is_loaded = 1"]
    wanted = _wanted(sql, facts, source)
    conditions = [*_conditions(sql, facts, source), *loaded_conditions(plan, sql, source)]
    if few_units:
        conditions += _since_earliest(sql, facts, source)
    body = template("facts").render(
        unit=sql.name(source.entities[plan.unit]),
        ts_us=ts_us(sql, source),
        inputs=list(_inputs(sql, facts, source, wanted=True)),
        carried=[
            {"name": _arm(block), "sql": _counting_arm(plan, sql, block)}
            for block in dict.fromkeys(q.block for q, _ in _in_place(plan, facts))
        ],
        relation=sql.relation(facts.name, source),
        conditions=[*conditions, *([wanted] if wanted else [])],
        needs_instant=instants or _needs_instant(plan, facts),
        seen=_seen(plan, sql, source),
        wanted=tests,
        checked=rows_table(facts.name) if checked else None,
    )
    scan = "" if checked else ": one scan"
    return Stage(
        facts.table,
        (f"Rows of {facts.name} that some value needs, of exposed units only{scan}.",),
        body,
        shared=_read_again(plan, facts),
    )


def _checked_rows(plan: Plan, sql: SqlText, facts: Facts) -> Stage:
    """All rows of the time that values need, of whomever: what the source declares is of each of them."""
    source = plan.sources[facts.name]
    body = template("checked_rows").render(
        unit=sql.name(source.entities[plan.unit]),
        ts_us=ts_us(sql, source),
        columns=[*_inputs(sql, facts, source), *check_columns(plan, sql, facts.name)],
        relation=sql.relation(facts.name, source),
        conditions=list(_conditions(sql, facts, source, untimed=must_have(source, source.timestamp or ""))),
        wanted=_wanted(sql, facts, source),
        loaded=" AND ".join(loaded_conditions(plan, sql, source)),
        seen=_seen(plan, sql, source),
    )
    comment = f"Every row of {facts.name} in the time that values need: one scan. x: it breaks a rule, k: its keys."
    return Stage(rows_table(facts.name), (comment,), body, shared=True)


def _wanted(sql: SqlText, facts: Facts, source: Source) -> str:
    """Whether some value wants a row; empty where every row is wanted."""
    tests = [f"({sql.condition(text, facts.name, source)})" for text in any_of(facts.filters, source.dialect)]
    return f"({' OR '.join(tests)})" if len(tests) > 1 else "".join(tests)


def _inputs(sql: SqlText, facts: Facts, source: Source, *, wanted: bool = False) -> Iterator[dict[str, str]]:
    """Measures, and whether each filter holds. `wanted`: of no rows but those that some value wants."""
    for m in measures_of(facts.columns):
        yield {"name": f"m_{m}", "sql": _measure(sql, facts, source, m, wanted=wanted)}
    yield from facts.flags.columns(sql)


def _measure(sql: SqlText, facts: Facts, source: Source, name: str, *, wanted: bool) -> str:
    """A measure; where it may fail, of no rows but those that some value may take it of.

    Conditions that may fail themselves are left to the values: another place to test them is another place to fail.
    """
    text = sql.column(source.measures[name], facts.name, source)
    taken = {c.filter for c in facts.columns if c.measure == name}
    if not _may_fail(source.measures[name], source) or (wanted and taken == facts.filters):
        return text
    safe = {tuple(t for t in filter_ if not _may_fail(t, source)) for filter_ in taken}
    if () in safe:
        return text
    tests = " OR ".join(f"({sql.conditions(filter_, facts.name, source)})" for filter_ in sorted(safe))
    return f"CASE WHEN {tests} THEN {text} END"


def _may_fail(text: str, source: Source) -> bool:
    fails = _MAY_FAIL if source.dialect is None else (exp.Func,)
    return parse_expression(text, source.dialect).find(*fails) is not None


def _conditions(sql: SqlText, facts: Facts, source: Source, *, untimed: bool = False) -> Iterator[str]:
    """What every row must pass, whatever it is read for. `untimed`: rows without a time pass too."""
    for text in source.filter:
        yield f"({sql.condition(text, facts.name, source)})"
    utc = sql.utc(source.timestamp or "", source.timezone)
    low, high = facts.span
    if untimed:
        yield f"(({utc} >= {sql.instant(low)} AND {utc} < {sql.instant(high)}) OR {utc} IS NULL)"
    else:
        yield f"{utc} >= {sql.instant(low)}"
        yield f"{utc} < {sql.instant(high)}"
    if source.partition is not None:
        # The day of the timestamp, or its time, in whatever zone: at most 14 hours off the instant on either side.
        column = sql.name(source.partition)
        yield f"{column} >= {sql.date(low - DAY)}"
        yield f"{column} < {sql.date(high + 2 * DAY)}"


def _since_earliest(sql: SqlText, facts: Facts, source: Source) -> Iterator[str]:
    """Rows before what any unit needs are not read, on engines that know this bound before they read."""
    if sql.dialect.materialises_ctes and sql.dialect.as_of is not None:
        earliest = sql.dialect.as_of.timestamp.format(x=f"(MIN(exposed_us) + {duration(facts.earliest)})")
        yield f"{sql.utc(source.timestamp or '', source.timezone)} >= (SELECT {earliest} FROM md_entries)"


def _read_again(plan: Plan, facts: Facts) -> bool:
    """Whether more than one stage reads the rows."""
    readers = bool(facts.aggregated) + len(facts.steps) + 2 * sum(c.agg == "events" for c in facts.columns)
    readers += sum(c.agg in ("first", "last") for c in facts.columns) + (facts.trigger is not None) + plan.daily
    return readers > 1


def _needs_instant(plan: Plan, facts: Facts) -> bool:
    bounds = [b for _, b in facts.needs()]
    fixed = any(
        b.floor is not None or (b.ceiling is not None and may_be_earlier(b.ceiling, facts.span[1])) for b in bounds
    )
    days = any(c.agg == "active_days" for c in facts.columns)
    return fixed or days or plan.daily or facts.trigger is not None


def _seen(plan: Plan, sql: SqlText, source: Source) -> str | None:
    """For a daily series: from when on a row was there, its own time or its arrival."""
    if not plan.daily:
        return None
    if not source.loaded_at:
        return ts_us(sql, source)
    loaded, own = sql.epoch_us(sql.utc(source.loaded_at, source.timezone)), ts_us(sql, source)
    return f"CASE WHEN {loaded} > {own} THEN {loaded} ELSE {own} END"


def _triggers(plan: Plan, sql: SqlText, facts: Facts) -> Stage:
    tests = facts.flags.tests(sql, facts.trigger or ())
    body = template("triggers").render(facts=facts.table, tests=tests, enrolment_end=sql.instant_us(plan.enrolment_end))
    return Stage(
        "md_triggers",
        ("The first trigger of every unit, as time since its first exposure.",),
        body,
        shared=True,
    )


def _extreme(plan: Plan, sql: SqlText, facts: Facts, column: UnitColumn) -> Stage:
    """The first or last value: by time, of rows at one instant the smallest."""
    measure = f"m_{column.measure}"
    body = template("extreme").render(
        name=f"u_{column.name}",
        measure=sql.double(measure),
        raw=measure,
        facts=facts.table,
        tests=row_tests(plan, sql, facts, column.filter, column.bounds),
        descending=column.agg == "last",
        triggered=plan.trigger is not None,
    )
    return Stage(f"md_{column.agg}_{column.name}", (f"The {column.agg} value of every unit.",), body)


def _funnel(plan: Plan, sql: SqlText, funnel: FunnelColumns, facts: Mapping[str, Facts]) -> Stage:
    """How far every unit came: a step counts when the step before was reached no later, and not too long before."""
    steps = funnel.funnel.steps
    inputs = []
    for source in dict.fromkeys(step.source for step in steps):
        flags = facts[source].flags
        own = [s.filter if s.source == source else None for s in steps]
        inputs.append(
            {
                "facts": facts[source].table,
                "tests": bound_tests(plan, sql, facts[source], funnel.bounds) or ["since_us IS NOT NULL"],
                "flags": ["0" if f is None else flags.passes(sql, f) for f in own],
                "wanted": [_together(flags.tests(sql, f)) for f in own if f] if all(f != () for f in own) else [],
            }
        )
    body = template("funnel_steps" if funnel.funnel.sequential else "funnel_any").render(
        inputs=inputs,
        since=since(plan, funnel.bounds),
        triggered=plan.trigger is not None,
        daily=plan.daily,
        steps=[
            {"column": column, "within": _within(funnel.bounds, step, first=step is steps[0])}
            for step, column in zip(steps, funnel.columns, strict=True)
        ],
    )
    # Of a series each step is read by itself.
    return Stage(f"md_funnel_{funnel.name}", ("How far every unit came in the funnel.",), body, shared=plan.daily)


def _together(tests: Sequence[str]) -> str:
    return f"({' AND '.join(tests)})" if len(tests) > 1 else "".join(tests)


def _within(bounds: Bounds, step: FunnelStep, *, first: bool) -> str | None:
    """How long after the step before; the first step counts from the anchor, before exposure from the window's start."""
    if step.within is None:
        return None
    return duration(step.within + (min(bounds.start, 0) if first else 0))


def aggregate(plan: Plan, sql: SqlText, facts: Facts, column: UnitColumn) -> str:
    """The conditional aggregate of a unit column over a unit's rows."""
    when = f"CASE WHEN {' AND '.join(row_tests(plan, sql, facts, column.filter, column.bounds))} THEN"
    measure = f"m_{column.measure}"
    match column.agg:
        case "count":
            return f"COUNT({when} 1 END)"
        case "count_distinct":
            return f"COUNT(DISTINCT {when} {measure} END)"
        case "active_days":
            return f"COUNT(DISTINCT {when} {local_day(plan, sql, 'ts_us')} END)"
        case "sum" | "min" | "max":
            return total(sql, column, when, sql.double(measure))
        case "sum_by_day":
            return f"SUM({when} {sql.double(measure)} * {_centred_day(plan, sql, column.bounds)} END)"
        case "count_by_day":
            return f"SUM({when} {_centred_day(plan, sql, column.bounds)} END)"
        case "any_by_day":  # every day has a weight of its own
            return f"SUM(DISTINCT {when} {_centred_day(plan, sql, column.bounds)} END)"
        case _:
            raise AssertionError(column.agg)


def _centred_day(plan: Plan, sql: SqlText, bounds: Bounds) -> str:
    """The day of a window, 24 hours each from its start on, less their mean."""
    own = since(plan, bounds)
    own = f"({own} - {duration(bounds.start)})" if bounds.start else f"({own})"
    days = days_of(bounds.start, bounds.end or 0)
    return f"({sql.double(f'({own} - {sql.remainder(own, DAY)}) / {DAY}')} - {sql.number((days - 1) / 2)})"


def total(sql: SqlText, column: UnitColumn, when: str, measure: str) -> str:
    """SUM, MIN or MAX of the measure of some rows.

    Not a number is above every number for an engine, so that MIN would pass over it; it must be refused like elsewhere.
    """
    match column.agg:
        case "min":
            return f"-{sql.largest(f'{when} -{measure} END')}"
        case "max":
            return sql.largest(f"{when} {measure} END")
        case _:
            return f"SUM({when} {measure} END)"
