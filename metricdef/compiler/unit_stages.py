"""Stages with one row per unit: everything known of it, then the values that the moments are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metricdef.compiler.days import DAY, duration, local_day
from metricdef.compiler.fact_stages import counted_names, has_unit_values
from metricdef.compiler.facts import facts_of
from metricdef.compiler.open_instant import earlier
from metricdef.compiler.plan import Block, Percentile, Plan, UnitColumn, Value
from metricdef.compiler.sql_text import SqlText
from metricdef.compiler.stages import Stage, template

COUNTS = ("count", "count_distinct", "active_days", "step", "observed_days")  # 0, not NULL, where nothing is


def unit_stages(plan: Plan, sql: SqlText) -> Iterator[Stage]:
    """One row per unit, and how many of them there are."""
    attributes = attribute_names(plan)
    carried = any(c.source == plan.exposure_source for c in plan.entry_columns)
    facts = facts_of(plan)
    extremes = [c for f in facts for c in f.columns if c.agg in ("first", "last")]
    joins = [
        *(["md_entry_values"] if carried else []),
        *(f"md_attributes_{n}" for n in attributes),
        *(f"md_unit_{f.name}" for f in facts if has_unit_values(plan, f)),
        *(f"md_state_{name}" for name in (plan.state.sources if plan.state else ())),
        *(f"md_{c.agg}_{c.name}" for c in extremes),
        *(f"md_funnel_{f.name}" for f in plan.funnels),
        *(["md_triggers"] if plan.trigger else []),
    ]
    body = template("units").render(
        columns=[*_columns(plan), *_cluster_strata(plan, sql)],
        joins=joins,
        population=_population(plan, sql),
        attributes=attributes,
        clustered=plan.cluster is not None,
        triggered=plan.trigger is not None,
    )
    yield Stage("md_units", ("One row per unit.",), body, shared=True)
    counts = template("arm_counts").render(
        attributes=attributes, clustered=plan.cluster is not None, triggered=plan.trigger is not None
    )
    yield Stage("md_arm_counts", ("Units by arm of first exposure.",), counts)
    if plan.cluster is not None:
        audit = template("cluster_audit").render()
        yield Stage("md_cluster_audit", ("Units that belong to no cluster.",), audit)
    if plan.percentiles:
        yield Stage(
            "md_percentiles",
            ("Limits from the data: p the percentile over all arms, h the median of what is not 0.",),
            _percentiles(plan, sql),
            shared=True,
        )


def attribute_names(plan: Plan) -> list[str]:
    """Sources of attributes in use."""
    return [name for name, source in plan.sources.items() if source.kind == "attributes"]


def _columns(plan: Plan) -> Iterator[dict[str, str]]:
    for column in plan.entry_columns:
        owner = "md_entry_values" if column.source == plan.exposure_source else f"md_attributes_{column.source}"
        yield {"name": f"e_{column.name}", "sql": f"{owner}.e_{column.name}"}
    for unit_column in plan.unit_columns:
        if unit_column.agg not in ("events", "observed_days"):
            yield {"name": f"u_{unit_column.name}", "sql": f"{_owner(plan, unit_column)}.u_{unit_column.name}"}
    for fact in facts_of(plan):
        for name in counted_names(plan, fact):
            yield {"name": name, "sql": f"md_unit_{fact.name}.{name}"}
    for funnel in plan.funnels:
        for name in funnel.columns:
            yield {"name": f"u_{name}", "sql": f"md_funnel_{funnel.name}.u_{name}"}


def level(sql: SqlText, value: str) -> str:
    """A value as a level that is never NULL: `v` and its text, `n` for NULL."""
    return f"COALESCE('v' || {sql.text(value)}, 'n')"


def _cluster_strata(plan: Plan, sql: SqlText) -> Iterator[dict[str, str]]:
    """A cluster lies in one stratum: that of its earliest unit, of several the smallest level."""
    for position, dimension in enumerate(plan.dimensions):
        if plan.cluster is not None and dimension.stratum:
            column = next(c for c in plan.entry_columns if c.name == dimension.column)
            owner = "md_entry_values" if column.source == plan.exposure_source else f"md_attributes_{column.source}"
            text = f"CASE WHEN md_entries.is_earliest = 1 THEN 'v' || {sql.text(f'{owner}.e_{column.name}')} END"
            yield {
                "name": f"stratum_{position}",
                "sql": f"COALESCE(MIN({text}) OVER (PARTITION BY md_entries.cluster), 'n')",
            }


def _owner(plan: Plan, column: UnitColumn) -> str:
    if plan.state and column.name in plan.state.columns:
        return f"md_state_{column.source}"
    return f"md_{column.agg}_{column.name}" if column.agg in ("first", "last") else f"md_unit_{column.source}"


def _population(plan: Plan, sql: SqlText) -> list[str]:
    owners = {c.name: _owner(plan, c) for c in plan.unit_columns}
    found = []
    for condition in plan.population:
        if condition.unit_column is not None:
            found.append(f"COALESCE({owners[condition.unit_column]}.u_{condition.unit_column}, 0) > 0")
            continue
        source = plan.sources[condition.source]
        names = {written: f"e_{name}" for written, name in condition.columns}
        texts = [f"({sql.carried_condition(t, condition.source, source, names)})" for t in condition.filter]
        # A unit without an attributes row is in no segment of them, whatever the filter says of NULL.
        if condition.source != plan.exposure_source:
            found.append(f"md_attributes_{condition.source}.attribute_rows >= 1")
        found.append(f"({' AND '.join(texts)})")
    return found


# --- values -----------------------------------------------------------------------------------------------------------


def eligible(plan: Plan, sql: SqlText, block: Block) -> list[str]:
    """When a unit counts in a block: it has an anchor, long enough ago."""
    anchor = anchor_us(plan, block)
    tests = [f"{anchor} IS NOT NULL"] if anchor == "md_units.anchor_us" else []
    if block.horizon is not None:
        tests.append(f"{anchor} <= {sql.instant_us(plan.as_of_us - block.horizon)}")
    return tests


def anchor_us(plan: Plan, block: Block) -> str:
    """The instant from which a block's outcome windows run."""
    return "md_units.anchor_us" if plan.trigger and block.anchor == "outcome" else "md_units.exposed_us"


def rendered_values(plan: Plan, sql: SqlText) -> list[dict[str, Any]]:
    """Every value of every block: its SQL over md_units, and whether the cap changed it."""
    return [
        rendered_value(plan, sql, block, value)
        for block in plan.blocks
        for value in block.values
        if value.presence != "residual"
    ]


def rendered_value(plan: Plan, sql: SqlText, block: Block, value: Value) -> dict[str, Any]:
    """A value over md_units, NULL for a unit that does not count, with whether its cap changed it."""
    text, capped = _uneligible(plan, sql, block, value)
    tests = eligible(plan, sql, block)
    if tests:
        when = " AND ".join(tests)
        text = f"CASE WHEN {when} THEN {text} END"
        capped = capped and f"CASE WHEN {when} THEN {capped} END"
    return {"name": value.name, "sql": text, "capped": capped, "total": value.total}


def _uneligible(plan: Plan, sql: SqlText, block: Block, value: Value) -> tuple[str, str | None]:
    one, zero = sql.number(1), sql.number(0)
    if value.presence == "size":
        return one, None
    raw, present = _source_of(plan, sql, block, value.column)
    if value.presence == "daily":
        return _cut_by_day(plan, sql, block, value, raw), None
    if value.presence == "absent":
        return f"CASE WHEN {present} THEN {zero} ELSE {one} END", None
    if value.presence == "itself":
        return f"CASE WHEN {present} THEN {one} ELSE {zero} END", None
    tests, cases = [], []
    for limit, sign in ((value.lower, "<"), (value.upper, ">")):
        if limit is not None:
            number = f"md_percentiles.p_{limit}" if isinstance(limit, str) else sql.number(limit)
            tests.append(f"{raw} {sign} {number}")
            cases.append(f"WHEN {raw} {sign} {number} THEN {number}")
    capped = f"CASE WHEN {' OR '.join(tests)} THEN 1 ELSE 0 END" if tests else None
    text = f"CASE {' '.join(cases)} ELSE {raw} END" if cases else raw
    if value.limit is not None:
        # Not a number is above every limit for an engine: it must stay what it is and be refused, not pass.
        column = next((c for c in plan.unit_columns if c.name == value.column), None)
        whole = column is None or column.agg in COUNTS
        odd = "" if whole else f"WHEN {sql.is_not_a_number(raw)} THEN {raw} "
        limit = sql.number(value.limit.value)
        text = f"CASE {odd}WHEN {text} {value.limit.op} {limit} THEN {one} ELSE {zero} END"
    if value.presence == "required":
        text = f"CASE WHEN {present} THEN {text} ELSE {zero} END"
        capped = capped and f"CASE WHEN {present} AND ({' OR '.join(tests)}) THEN 1 ELSE 0 END"
    return text, capped


def _cut_by_day(plan: Plan, sql: SqlText, block: Block, value: Value, raw: str) -> str:
    """Daily values cut alike, so that their sum is the unit's value as its cap leaves it."""
    if value.upper is None:
        return raw
    limit = f"md_percentiles.p_{value.upper}" if isinstance(value.upper, str) else sql.number(value.upper)
    whole, _ = _source_of(plan, sql, block, value.minus)
    return f"CASE WHEN {whole} > {limit} AND {whole} <> 0 THEN {raw} * ({limit} / {whole}) ELSE {raw} END"


def _source_of(plan: Plan, sql: SqlText, block: Block, name: str) -> tuple[str, str]:
    """A unit or entry column as a number without NULL, and when there is a value."""
    column = next((c for c in plan.unit_columns if c.name == name), None)
    if column is not None and column.agg == "observed_days":
        days = _observed_days(plan, sql, block, column)
        return days, f"{days} > 0"
    if column is None and any(c.name == name for c in plan.entry_columns):
        raw = f"md_units.e_{name}"
        return f"COALESCE({sql.double(raw)}, 0)", f"{raw} IS NOT NULL"
    raw = f"md_units.u_{name}"
    agg = column.agg if column else "step"
    if agg in COUNTS:
        return sql.double(f"COALESCE({raw}, 0)"), f"COALESCE({raw}, 0) > 0"
    return f"COALESCE({raw}, 0)", f"{raw} IS NOT NULL"


def _observed_days(plan: Plan, sql: SqlText, block: Block, column: UnitColumn) -> str:
    """How many calendar days the window has touched by now."""
    anchor, bounds = anchor_us(plan, block), column.bounds
    first = f"{anchor} + {duration(bounds.start)}" if bounds.start else anchor
    ends = [plan.as_of_us] if bounds.ceiling is None else [earlier(bounds.ceiling, plan.as_of_us)]
    if bounds.floor is not None:
        floor = sql.instant_us(bounds.floor)
        first = f"CASE WHEN {first} < {floor} THEN {floor} ELSE {first} END"
    last = sql.instant_us(ends[0])
    if bounds.end is not None:
        end = f"{anchor} + {duration(bounds.end)}"
        last = f"CASE WHEN {end} < {last} THEN {end} ELSE {last} END"
    first, last = f"({first})", f"({last} - 1)"
    days = f"({local_day(plan, sql, last)} - {local_day(plan, sql, first)}) / {DAY} + 1"
    return f"CASE WHEN {first} <= {last} THEN {sql.double(days)} ELSE {sql.number(0)} END"


def _percentiles(plan: Plan, sql: SqlText) -> str:
    """Every limit and its median: by the engine's exact aggregate, or by rank."""
    quantiles = [quantile for p in plan.percentiles for quantile in _quantiles(plan, sql, p)]
    if sql.dialect.quantile is None:
        ranked = [
            {
                "name": name,
                "value": value,
                "rank": f"1 + ({sql.double(f'total_{name}')} - 1) * {sql.number(fraction)}",
                "largest": sql.largest(f"value_{name}"),
                "is_not_a_number": sql.is_not_a_number(sql.largest(f"value_{name}")),
            }
            for name, fraction, value in quantiles
        ]
        return template("percentiles_by_rank").render(quantiles=ranked)
    exact = [
        {"name": name, "sql": sql.dialect.quantile.format(x=value, q=repr(fraction))}
        for name, fraction, value in quantiles
    ]
    return template("percentiles").render(quantiles=exact)


def _quantiles(plan: Plan, sql: SqlText, percentile: Percentile) -> Iterator[tuple[str, float, str]]:
    """Name, fraction and values of a percentile's two quantiles."""
    block = plan.block(percentile.block)
    raw, present = _source_of(plan, sql, block, percentile.column)
    base = [*eligible(plan, sql, block), *([present] if percentile.present else [])]
    nonzero = [*base, f"{raw} <> 0"]

    def values(tests: list[str]) -> str:
        return f"CASE WHEN {' AND '.join(tests)} THEN {raw} END" if tests else raw

    yield f"p_{percentile.name}", percentile.fraction, values(nonzero if percentile.nonzero else base)
    yield f"h_{percentile.name}", 0.5, values(nonzero)
