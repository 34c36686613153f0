"""The stages of the compiled SQL, in order: a name, a comment and a template filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from metricdef.compiler.plan import Block, Bounds, EntryColumn, Plan, UnitColumn, Value
from metricdef.compiler.sql_text import SqlText
from metricdef.definitions.models import Source

AUDIT = (
    "rows",
    "null_unit",
    "null_time",
    "before_start",
    "on_or_after_end",
    "after_as_of",
    "not_loaded",
    "unknown_arm",
)


@dataclass(frozen=True, slots=True)
class Stage:
    """One named step: a CTE, or a temporary table where the engine would compute the CTE twice."""

    name: str
    comment: tuple[str, ...]
    body: str
    shared: bool = False


def capped_values(block: Block) -> list[tuple[int, Value]]:
    """Columns with a cap, with their position in the block."""
    return [(i, value) for i, value in enumerate(block.values) if value.lower is not None or value.upper is not None]


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    packaged = Path(__file__).parent.parent / "_templates"
    folder = packaged if packaged.is_dir() else Path(__file__).parent.parent.parent / "templates"
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder), undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False
    )


def template(name: str) -> Template:
    """The SQL template of that name."""
    return _environment().get_template(f"{name}.sql.j2")


def stages(plan: Plan, sql: SqlText) -> Iterator[Stage]:
    """Every stage of a plan; the last one returns the result."""
    yield from _entry_stages(plan, sql)
    attributes = [name for name, source in plan.sources.items() if source.kind == "attributes"]
    for name in attributes:
        yield _attributes(plan, sql, name)
    facts = sorted({column.source for column in plan.unit_columns})
    for name in facts:
        yield from _facts(plan, sql, name)
    yield from _unit_stages(plan, sql, attributes, facts)
    yield from _moment_stages(plan, sql, attributes)


def _entry_stages(plan: Plan, sql: SqlText) -> Iterator[Stage]:
    source = plan.sources[plan.exposure_source]
    carried = [column for column in plan.entry_columns if column.source == plan.exposure_source]
    conditions = [
        f"({sql.condition(text, plan.exposure_source, source)})" for text in (*source.filter, *plan.exposure_filter)
    ]
    loaded = _loaded(plan, sql, source)
    arms = sorted(plan.arms, key=lambda arm: arm.code)
    body = template("exposure_rows").render(
        unit=sql.name(source.entities[plan.unit]),
        ts_us=_ts_us(sql, source),
        arm_text=sql.text(sql.name(source.arm or "")),
        arms=[{"key": sql.literal(arm.key), "code": arm.code} for arm in arms],
        columns=[{"name": f"e_{c.name}", "sql": sql.column(c.expression, c.source, source)} for c in carried],
        relation=sql.relation(plan.exposure_source, source),
        key_text=sql.text(sql.name(source.experiment or "")),
        key=sql.literal(plan.experiment_key),
        conditions=conditions,
        loaded=loaded,
    )
    yield Stage(
        "md_exposure_rows",
        ("Exposures of this experiment. Arms are numbered in the order of their keys.",),
        body,
        shared=True,
    )
    instants = {
        "start": sql.instant_us(plan.start),
        "end": sql.instant_us(plan.end),
        "as_of": sql.instant_us(plan.as_of_us),
        "enrolment_end": sql.instant_us(plan.enrolment_end),
        "loaded": loaded,
    }
    yield Stage(
        "md_exposure_audit",
        ("Every exposure row that is left out, counted by reason.",),
        template("exposure_audit").render(**instants),
        shared=True,
    )
    yield Stage(
        "md_entries",
        ("One row per unit: its first exposure; mixed where it saw more than one arm.",),
        template("entries").render(arms=arms, **instants),
        shared=True,
    )
    if carried:
        yield Stage(
            "md_entry_values",
            ("Values at first exposure; of rows at the same instant the smallest value.",),
            template("entry_values").render(
                columns=[_carried(sql, "md_exposure_rows", c) for c in carried], loaded=loaded
            ),
        )


def _carried(sql: SqlText, table: str, column: EntryColumn) -> dict[str, str]:
    """A value that is carried along per unit, of several rows the smallest."""
    name = f"e_{column.name}"
    return {"name": name, "smallest": sql.dialect.smallest.format(x=f"{table}.{name}")}


def _attributes(plan: Plan, sql: SqlText, name: str) -> Stage:
    source = plan.sources[name]
    columns = [c for c in plan.entry_columns if c.source == name]
    valid = {
        key: sql.epoch_us(sql.utc(value, source.timezone)) if value else None
        for key, value in (("valid_from", source.valid_from), ("valid_to", source.valid_to))
    }
    body = template("attributes").render(
        unit=sql.name(source.entities[plan.unit]),
        relation=sql.relation(name, source),
        **valid,
        ever=-(2**62),
        columns=[{**_carried(sql, "valid_rows", c), "sql": sql.column(c.expression, name, source)} for c in columns],
        conditions=[f"({sql.condition(text, name, source)})" for text in source.filter] + _loaded(plan, sql, source),
    )
    return Stage(
        f"md_attributes_{name}",
        (f"Attributes of units from {name}; the latest valid at first exposure; several are counted.",),
        body,
    )


def _facts(plan: Plan, sql: SqlText, name: str) -> Iterator[Stage]:
    source = plan.sources[name]
    columns = [column for column in plan.unit_columns if column.source == name]
    measures = sorted({c.measure for c in columns if c.measure is not None})
    filters = sorted({c.filter for c in columns if c.filter})
    flags = {texts: f"f_{position}" for position, texts in enumerate(filters, 1)}
    inputs = [{"name": f"m_{m}", "sql": sql.column(source.measures[m], name, source)} for m in measures]
    inputs += [
        {"name": flag, "sql": f"CASE WHEN {sql.conditions(texts, name, source)} THEN 1 ELSE 0 END"}
        for texts, flag in flags.items()
    ]
    utc = sql.utc(source.timestamp or "", source.timezone)
    low, high = _scan_bounds(plan, columns)
    conditions = [f"({sql.condition(text, name, source)})" for text in source.filter]
    conditions += [f"{utc} >= {sql.instant(low)}", f"{utc} < {sql.instant(high)}", *_loaded(plan, sql, source)]
    if all(c.filter for c in columns):
        alternatives = [f"({sql.conditions(texts, name, source)})" for texts in filters]
        conditions.append(f"({' OR '.join(alternatives)})" if len(alternatives) > 1 else alternatives[0])
    fixed = any(c.bounds.floor is not None or c.bounds.ceiling is not None for c in columns)
    body = template("facts").render(
        unit=sql.name(source.entities[plan.unit]),
        ts_us=sql.epoch_us(utc),
        inputs=inputs,
        relation=sql.relation(name, source),
        conditions=conditions,
        needs_instant=fixed,
    )
    yield Stage(f"md_facts_{name}", (f"Rows of {name} that some value needs, of exposed units only: one scan.",), body)
    rendered = [{"name": f"u_{c.name}", "sql": _aggregate(sql, c, flags)} for c in columns]
    yield Stage(
        f"md_unit_{name}",
        (f"One row per unit: its values from {name}.",),
        template("unit_values").render(columns=rendered, facts=f"md_facts_{name}"),
    )


def _aggregate(sql: SqlText, column: UnitColumn, flags: Mapping[tuple[str, ...], str]) -> str:
    tests = _bound_tests(sql, column.bounds)
    if column.filter:
        tests.append(f"{flags[column.filter]} = 1")
    when = f"CASE WHEN {' AND '.join(tests)} THEN"
    measure = f"m_{column.measure}"
    match column.agg:
        case "count":
            return f"COUNT({when} 1 END)"
        case "any":
            return f"MAX({when} 1 END)"
        case "count_distinct":
            return f"COUNT(DISTINCT {when} {measure} END)"
        case "sum" | "min" | "max":
            return f"{column.agg.upper()}({when} {sql.double(measure)} END)"


def _bound_tests(sql: SqlText, bounds: Bounds) -> list[str]:
    tests = [f"since_us >= {_duration(bounds.start)}"]
    if bounds.end is not None:
        tests.append(f"since_us < {_duration(bounds.end)}")
    if bounds.floor is not None:
        tests.append(f"ts_us >= {sql.instant_us(bounds.floor)}")
    if bounds.ceiling is not None:
        tests.append(f"ts_us < {sql.instant_us(bounds.ceiling)}")
    return tests


def _duration(us: int) -> str:
    if us == 0:
        return "0"
    for unit, size in (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000)):
        if us % size == 0:
            return f"{us} /* {us // size}{unit} */"
    return str(us)


def _scan_bounds(plan: Plan, columns: list[UnitColumn]) -> tuple[int, int]:
    """First and last instant that any of the columns can need, whatever the unit's first exposure."""
    low = plan.start + min(column.bounds.start for column in columns)
    highs = [
        plan.enrolment_end + c.bounds.end if c.bounds.end is not None else c.bounds.ceiling or plan.as_of_us
        for c in columns
    ]
    return low, min(plan.as_of_us, max(highs))


def _unit_stages(plan: Plan, sql: SqlText, attributes: list[str], facts: list[str]) -> Iterator[Stage]:
    carried = [c for c in plan.entry_columns if c.source == plan.exposure_source]
    columns = []
    for column in plan.entry_columns:
        owner = "md_entry_values" if column.source == plan.exposure_source else f"md_attributes_{column.source}"
        columns.append({"name": f"e_{column.name}", "sql": f"{owner}.e_{column.name}"})
    for unit_column in plan.unit_columns:
        value = f"COALESCE(md_unit_{unit_column.source}.u_{unit_column.name}, 0)"
        columns.append(
            {
                "name": f"u_{unit_column.name}",
                "sql": value if unit_column.agg in ("sum", "min", "max") else sql.double(value),
            }
        )
    owners = {c.name: f"md_unit_{c.source}" for c in plan.unit_columns}
    population = []
    for condition in plan.population:
        if condition.unit_column is not None:
            population.append(f"COALESCE({owners[condition.unit_column]}.u_{condition.unit_column}, 0) = 1")
            continue
        source = plan.sources[condition.source]
        names = {written: f"e_{name}" for written, name in condition.columns}
        texts = [f"({sql.carried_condition(t, condition.source, source, names)})" for t in condition.filter]
        text = " AND ".join(texts)
        # A unit without an attributes row is in no segment of them, whatever the filter says of NULL.
        present = (
            ""
            if condition.source == plan.exposure_source
            else f"md_attributes_{condition.source}.attribute_rows >= 1 AND "
        )
        population.append(f"{present}({text})")
    joins = [
        *(["md_entry_values"] if carried else []),
        *(f"md_attributes_{n}" for n in attributes),
        *(f"md_unit_{n}" for n in facts),
    ]
    body = template("units").render(columns=columns, joins=joins, population=population, attributes=attributes)
    yield Stage("md_units", ("One row per unit: absent values are 0.",), body, shared=True)
    counts = template("arm_counts").render(attributes=attributes)
    yield Stage("md_arm_counts", ("Units by arm of first exposure.",), counts)


def _moment_stages(plan: Plan, sql: SqlText, attributes: list[str]) -> Iterator[Stage]:
    kinds = {**{c.name: "u" for c in plan.unit_columns}, **{c.name: "e" for c in plan.entry_columns}}
    blocks = [
        {"name": b.name, "horizon": b.horizon, "latest": sql.instant_us(plan.as_of_us - (b.horizon or 0))}
        for b in plan.blocks
    ]
    values = [_value(sql, plan, block, value, kinds[value.column]) for block in plan.blocks for value in block.values]
    yield Stage(
        "md_eligible",
        ("Values of the units whose window is complete; NULL for the others.",),
        template("eligible").render(blocks=blocks, values=values),
        shared=True,
    )
    yield Stage(
        "md_centres",
        ("One constant near the mean of every column, the same in all arms: products of differences lose no digits.",),
        template("centres").render(values=values),
        shared=True,
    )
    yield Stage(
        "md_centred", ("Distances from the centres.",), template("centred").render(blocks=blocks, values=values)
    )
    labelled = [_labelled(position, block) for position, block in enumerate(plan.blocks)]
    capped = [
        {"name": v.name, "label": f"w__b{p}_{i}"}
        for p, block in enumerate(plan.blocks)
        for i, v in capped_values(block)
    ]
    yield Stage(
        "md_moments",
        ("n: units, s: sums, q: products, k: cubes, a: largest size, z: non-zero, w: capped; by block and column.",),
        template("moments").render(blocks=labelled, capped=capped),
    )
    body = template("result").render(
        arms=sorted(plan.arms, key=lambda arm: arm.code),
        attributes=attributes,
        audit=[f"audit_{name}" for name in AUDIT],
        blocks=labelled,
        moments=_moment_names(plan),
    )
    yield Stage("", ("Every arm has its rows, also where no unit came.",), body)


def _labelled(position: int, block: Block) -> dict[str, Any]:
    names = [value.name for value in block.values]
    products = [{"left": names[i], "right": names[j], "i": i, "j": j} for i, j in block.products]
    return {"name": block.name, "prefix": f"b{position}", "columns": names, "products": products}


def _moment_names(plan: Plan) -> list[str]:
    names = []
    for p, block in enumerate(plan.blocks):
        columns = range(len(block.values))
        names.append(f"n__{block.name}")
        names += [f"s__b{p}_{i}" for i in columns] + [f"q__b{p}_{i}_{j}" for i, j in block.products]
        names += [f"{letter}__b{p}_{i}" for i in columns for letter in "kaz"] + [
            f"w__b{p}_{i}" for i, _ in capped_values(block)
        ]
    return names


def result_columns(plan: Plan) -> set[str]:
    """Every column that the last statement returns, whatever the dialect."""
    names = {
        "arm",
        "mixed",
        "units_assigned",
        "units_analysed",
        *_moment_names(plan),
        *(f"audit_{name}" for name in AUDIT),
    }
    names |= {f"duplicates_{name}" for name, source in plan.sources.items() if source.kind == "attributes"}
    return names | {f"c__b{p}_{i}" for p, block in enumerate(plan.blocks) for i in range(len(block.values))}


def _value(sql: SqlText, plan: Plan, block: Block, value: Value, kind: str) -> dict[str, Any]:
    raw = f"{kind}_{value.column}"
    if value.missing:
        text = f"CASE WHEN {raw} IS NULL THEN {sql.number(1)} ELSE {sql.number(0)} END"
    else:
        text = raw if kind == "u" else f"COALESCE({sql.double(raw)}, 0)"
    tests, parts = [], []
    for limit, sign in ((value.lower, "<"), (value.upper, ">")):
        if limit is not None:
            tests.append(f"{text} {sign} {sql.number(limit)}")
            parts.append(f"WHEN {text} {sign} {sql.number(limit)} THEN {sql.number(limit)}")
    capped = f"CASE WHEN {' OR '.join(tests)} THEN 1 ELSE 0 END" if tests else None
    clipped = f"CASE {' '.join(parts)} ELSE {text} END" if parts else text
    if block.horizon is not None:
        mature = f"t0_us <= {sql.instant_us(plan.as_of_us - block.horizon)}"
        clipped = f"CASE WHEN {mature} THEN {clipped} END"
        capped = capped and f"CASE WHEN {mature} THEN {capped} END"
    return {"name": value.name, "sql": clipped, "capped": capped}


def _ts_us(sql: SqlText, source: Source) -> str:
    return sql.epoch_us(sql.utc(source.timestamp or "", source.timezone))


def _loaded(plan: Plan, sql: SqlText, source: Source) -> list[str]:
    """Rows that had not arrived by as-of do not count."""
    return [f"{sql.utc(source.loaded_at, source.timezone)} < {sql.instant(plan.as_of_us)}"] if source.loaded_at else []
