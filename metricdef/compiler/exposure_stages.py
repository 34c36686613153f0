"""Stages from exposure rows to one row per unit: first exposure, arm, mixed, attributes valid then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from metricdef.compiler.plan import EntryColumn, Plan
from metricdef.compiler.source_checks import check_columns, checked_sources, checks_exposures, rows_table
from metricdef.compiler.sql_text import SqlText
from metricdef.compiler.stages import Stage, template
from metricdef.compiler.state import known_entries
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


def exposure_stages(plan: Plan, sql: SqlText) -> Iterator[Stage]:
    """Exposure rows, what of them is left out, and the units they make."""
    source = plan.sources[plan.exposure_source]
    carried = [column for column in plan.entry_columns if column.source == plan.exposure_source]
    conditions = [
        f"({sql.condition(text, plan.exposure_source, source)})" for text in (*source.filter, *plan.exposure_filter)
    ]
    if plan.sample is not None:
        conditions.append(sql.sampled(sql.text(sql.name(source.entities[plan.unit])), plan.sample))
    loaded = loaded_conditions(plan, sql, source)
    arms = sorted(plan.arms, key=lambda arm: arm.code)
    columns = [{"name": f"e_{c.name}", "sql": sql.column(c.expression, c.source, source)} for c in carried]
    if plan.cluster is not None:
        columns.append({"name": "cluster", "sql": sql.name(source.entities[plan.cluster])})
    if checks_exposures(plan):
        columns += check_columns(plan, sql, plan.exposure_source)
        columns += [] if loaded else [{"name": "is_loaded", "sql": "1"}]
    body = template("exposure_rows").render(
        unit=sql.name(source.entities[plan.unit]),
        ts_us=ts_us(sql, source),
        arm_text=sql.text(sql.name(source.arm or "")),
        arms=[{"key": sql.literal(arm.key), "code": arm.code} for arm in arms],
        columns=columns,
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
    *first, last = _entries(plan, sql, instants)
    yield from first
    yield from [last] if plan.state is None else known_entries(sql, plan.state, plan.as_of_us, last)
    if carried:
        yield Stage(
            "md_entry_values",
            ("Values at first exposure; of rows at the same instant the smallest value.",),
            template("entry_values").render(
                entries=_unit_entries(plan),
                columns=[_smallest(sql, "md_exposure_rows", f"e_{c.name}") for c in carried],
                loaded=loaded,
            ),
        )


def _unit_entries(plan: Plan) -> str:
    return "md_entries_of_units" if plan.cluster else "md_entries"


def _entries(plan: Plan, sql: SqlText, instants: Mapping[str, object]) -> Iterator[Stage]:
    epochs = [{"start": sql.instant_us(epoch.start), "index": i} for i, epoch in enumerate(plan.epochs)]
    yield Stage(
        _unit_entries(plan),
        ("One row per unit: its first exposure; mixed where it saw more than one arm.",),
        template("entries").render(
            number=sql.dialect.numbered.format(x="unit"),
            arm=_earliest_arm(plan, sql, "ts_us", "arm_code"),
            epochs=epochs,
            clustered=plan.cluster is not None,
            **instants,
        ),
        shared=True,
    )
    if plan.cluster is None:
        return
    yield Stage(
        "md_clusters_of_units",
        ("The cluster of every unit at first exposure; of rows at the same instant the smallest.",),
        template("entry_values").render(
            entries="md_entries_of_units", columns=[_smallest(sql, "md_exposure_rows", "cluster")], **instants
        ),
        shared=True,
    )
    yield Stage(
        "md_clusters",
        ("One row per cluster: its earliest exposure; mixed where its units saw more than one arm.",),
        template("clusters").render(
            arm=_earliest_arm(plan, sql, "md_entries_of_units.exposed_us", "md_entries_of_units.arm")
        ),
    )
    yield Stage(
        "md_entries",
        ("Units with the arm of their cluster.",),
        template("clustered_entries").render(epochs=epochs),
        shared=True,
    )


def _earliest_arm(plan: Plan, sql: SqlText, instant: str, code: str) -> str:
    """The arm of the earliest of several rows, of rows at one instant the smallest: one number holds both."""
    count = len(plan.arms)
    first = sql.remainder(f"MIN({instant} * {count} + {code})", count) if count > 1 else f"MIN({code})"
    return sql.small(first, count - 1)


def _smallest(sql: SqlText, table: str, name: str) -> dict[str, str]:
    """A value that is carried along per unit, of several rows the smallest."""
    return {"name": name, "smallest": sql.dialect.smallest.format(x=f"{table}.{name}")}


def attribute_stages(plan: Plan, sql: SqlText) -> Iterator[Stage]:
    """Attributes of units, as they stood at first exposure."""
    for name, source in plan.sources.items():
        if source.kind == "attributes":
            checked = name in checked_sources(plan)
            if checked:
                yield _checked_attributes(plan, sql, name, source)
            yield _attributes(plan, sql, name, source, checked=checked)


def _attributes(plan: Plan, sql: SqlText, name: str, source: Source, *, checked: bool) -> Stage:
    """`checked`: from the stage with all rows."""
    columns: list[EntryColumn] = [column for column in plan.entry_columns if column.source == name]
    texts = {f"e_{c.name}": sql.column(c.expression, name, source) for c in columns}
    valid = _validity(sql, source)
    filters = [f"({sql.condition(text, name, source)})" for text in source.filter]
    body = template("attributes").render(
        unit="unit" if checked else sql.name(source.entities[plan.unit]),
        relation=rows_table(name) if checked else sql.relation(name, source),
        **{key: f"{key}_us" if checked and text else text for key, text in valid.items()},
        ever=-(2**62),  # a row that is valid from ever on starts before all others
        columns=[{"sql": e if checked else text} | _smallest(sql, "valid_rows", e) for e, text in texts.items()],
        conditions=["is_loaded = 1"] if checked else filters + loaded_conditions(plan, sql, source),
    )
    return Stage(
        f"md_attributes_{name}",
        (f"Attributes of units from {name}; the latest valid at first exposure; several are counted.",),
        body,
    )


def _validity(sql: SqlText, source: Source) -> dict[str, str | None]:
    return {
        key: sql.epoch_us(sql.utc(column, source.timezone)) if column else None
        for key, column in (("valid_from", source.valid_from), ("valid_to", source.valid_to))
    }


def _checked_attributes(plan: Plan, sql: SqlText, name: str, source: Source) -> Stage:
    """All rows, of whomever: what the source declares is of each of them."""
    columns = [{"name": f"{key}_us", "sql": text} for key, text in _validity(sql, source).items() if text]
    own = [c for c in plan.entry_columns if c.source == name]
    columns += [{"name": f"e_{c.name}", "sql": sql.column(c.expression, name, source)} for c in own]
    body = template("checked_rows").render(
        unit=sql.name(source.entities[plan.unit]),
        ts_us=sql.integer("NULL"),
        columns=[*columns, *check_columns(plan, sql, name)],
        relation=sql.relation(name, source),
        conditions=[f"({sql.condition(text, name, source)})" for text in source.filter],
        wanted="",
        loaded=" AND ".join(loaded_conditions(plan, sql, source)),
        seen=None,
    )
    comment = f"Every row of {name}: one scan. x: it breaks a rule, k: its keys."
    return Stage(rows_table(name), (comment,), body, shared=True)


def ts_us(sql: SqlText, source: Source) -> str:
    """A source's timestamp in microseconds."""
    return sql.epoch_us(sql.utc(source.timestamp or "", source.timezone))


def loaded_conditions(plan: Plan, sql: SqlText, source: Source) -> list[str]:
    """Rows that had not arrived by as-of do not count."""
    return [f"{sql.utc(source.loaded_at, source.timezone)} < {sql.instant(plan.as_of_us)}"] if source.loaded_at else []
