"""What a source declares of its rows (`grain`, `expect`): which rows break it, counted from the same scan as the values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from metricdef.compiler.plan import Plan
from metricdef.compiler.sql_text import SqlText
from metricdef.definitions.models import Source


@dataclass(frozen=True, slots=True)
class RowCheck:
    """A rule that single rows break: no unit, no value in `column`, a value that is not accepted, arrival too late."""

    kind: Literal["unit", "not_null", "accepted", "late"]
    column: str


def is_checked(source: Source) -> bool:
    """Whether a source declares anything of its rows."""
    return source.grain is not None or source.expect is not None


def must_have(source: Source, column: str) -> bool:
    """Whether every row must have a value there."""
    return source.expect is not None and column.casefold() in map(str.casefold, source.expect.not_null)


def read_as_facts(plan: Plan) -> set[str]:
    """Sources whose rows make values of units, or triggers."""
    read = {c.source for c in plan.unit_columns if c.agg != "observed_days"}
    read |= {step.source for funnel in plan.funnels for step in funnel.funnel.steps}
    return read | ({plan.trigger.source} if plan.trigger else set())


def checked_sources(plan: Plan) -> list[str]:
    """Sources that declare something, and are read as a whole: not over a state of earlier days."""
    return [] if plan.state is not None else _declaring(plan)


def unchecked_sources(plan: Plan) -> list[str]:
    """Sources that declare something of rows that are not checked: those of earlier days are read from a state."""
    return [] if plan.state is None else _declaring(plan)


def _declaring(plan: Plan) -> list[str]:
    read = {*read_as_facts(plan), plan.exposure_source}
    return [n for n, s in plan.sources.items() if (n in read or s.kind == "attributes") and is_checked(s)]


def checks_facts(plan: Plan, name: str) -> bool:
    """Whether a source is checked where its rows become values."""
    return name in read_as_facts(plan) and name in checked_sources(plan)


def checks_exposures(plan: Plan) -> bool:
    """Whether the experiment's own exposures are checked where they are read."""
    return plan.exposure_source in checked_sources(plan) and plan.exposure_source not in read_as_facts(plan)


def row_checks(plan: Plan, name: str) -> list[RowCheck]:
    """The rules of one source's rows, in the order of the result's columns."""
    source = plan.sources[name]
    # Exposures without a unit are counted with all others that are left out.
    own = name == plan.exposure_source and checks_exposures(plan)
    found = [] if own else [RowCheck("unit", source.entities[plan.unit])]
    if source.expect is not None:
        found += [RowCheck("not_null", column) for column in source.expect.not_null]
        found += [RowCheck("accepted", column) for column in source.expect.accepted]
        if source.expect.max_late is not None and source.loaded_at is not None:
            found.append(RowCheck("late", source.loaded_at))
    return found


def key_columns(source: Source) -> list[str]:
    """Columns whose values must differ between rows, the grain first."""
    unique = source.expect.unique if source.expect is not None else ()
    return list(dict.fromkeys([*([source.grain] if source.grain else []), *unique]))


def counted(plan: Plan) -> list[str]:
    """Columns of the result that hold the counts of a day."""
    names = checked_sources(plan)
    most = max((len(row_checks(plan, name)) for name in names), default=0)
    return ["checked_rows", "checked_newest_us", *(f"checked_{i}" for i in range(most))] if names else []


def totals(plan: Plan) -> list[str]:
    """Columns of the result that hold counts over all days of a source."""
    names = checked_sources(plan)
    most = max((len(key_columns(plan.sources[name])) for name in names), default=0)
    return ["source_not_loaded", *(f"source_repeated_{i}" for i in range(most))] if names else []


def rows_table(name: str) -> str:
    """The stage with every row of a checked source in the time that values need."""
    return f"md_rows_of_{name}"


def read_rows_table(plan: Plan, name: str) -> str:
    """The stage from which the rows of a checked source are counted."""
    own = name == plan.exposure_source and checks_exposures(plan)
    return "md_exposure_rows" if own else rows_table(name)


def days_table(name: str) -> str:
    """The stage with its counts by day."""
    return f"md_checked_{name}"


def totals_table(name: str) -> str:
    """The stage with its counts over all days."""
    return f"md_totals_of_{name}"


def check_columns(plan: Plan, sql: SqlText, name: str) -> Iterator[dict[str, str]]:
    """Of every row: 1 where it breaks a rule (x), and its keys (k)."""
    source = plan.sources[name]
    for i, check in enumerate(row_checks(plan, name)):
        yield {"name": f"x_{i}", "sql": f"CASE WHEN {_broken(sql, name, source, check)} THEN 1 ELSE 0 END"}
    for i, column in enumerate(key_columns(source)):
        yield {"name": f"k_{i}", "sql": _value(sql, name, source, column)}


def _broken(sql: SqlText, name: str, source: Source, check: RowCheck) -> str:
    if check.kind == "unit":
        return f"{sql.name(check.column)} IS NULL"
    assert source.expect is not None  # noqa: S101 - the other rules are its fields
    if check.kind == "late":
        assert source.expect.max_late is not None  # noqa: S101 - row_checks
        loaded, own = (sql.epoch_us(sql.utc(c, source.timezone)) for c in (check.column, source.timestamp or ""))
        return f"{loaded} - {own} > {source.expect.max_late.microseconds}"
    value = _value(sql, name, source, check.column)
    if check.kind == "not_null":
        return f"{value} IS NULL"
    accepted = source.expect.accepted[check.column]
    shown = sql.text(value) if isinstance(accepted[0], str) else value
    return f"{value} IS NOT NULL AND {shown} NOT IN ({', '.join(_literal(sql, x) for x in accepted)})"


def _literal(sql: SqlText, value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return sql.literal(value) if isinstance(value, str) else repr(value)


def _value(sql: SqlText, name: str, source: Source, column: str) -> str:
    """A dimension's expression, or a column of the table."""
    dimension = next((text for key, text in source.dimensions.items() if key.casefold() == column.casefold()), None)
    return f"({sql.column(dimension, name, source)})" if dimension is not None else sql.name(column)
