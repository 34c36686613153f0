"""The rows that leave the warehouse: their columns, their kinds, and the statement that returns them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from metricdef.compiler.exposure_stages import AUDIT
from metricdef.compiler.health_stages import ENTRY_DAYS, entry_counts
from metricdef.compiler.moment_stages import key_name, moment_names
from metricdef.compiler.plan import Plan
from metricdef.compiler.quantile_stages import quantile_table, quantiles_of
from metricdef.compiler.series_stages import series_blocks
from metricdef.compiler.source_checks import (
    checked_sources,
    counted,
    days_table,
    key_columns,
    row_checks,
    totals,
    totals_table,
)
from metricdef.compiler.sql_text import SqlText
from metricdef.compiler.stages import Stage, template
from metricdef.compiler.unit_stages import attribute_names

ORDER_STATISTICS = ("total", "estimate", "lower", "upper")
EVENT_COUNTS = ("low", "rows_here", "low_low", "low_rows", "rows_rows")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the result. `owner` is the stage that holds it in rows of groups; None where they have none."""

    name: str
    type: Literal["double", "integer", "text"]
    owner: str | None
    source: str


def result_columns(plan: Plan) -> list[Column]:
    """Every column that the last statement returns, whatever the dialect.

    Rows of kind `group` hold the moments of one group of units, those of kind `quantile` order statistics, those of kind
    `entered` how many units came on a local day; `checked` and `source` count rows that break what a source declares.
    """
    groups = "md_groups" if any(b.values for b in plan.blocks) else None
    found = [Column(name, "integer", "arms", name) for name in ("arm", "mixed", "epoch")]
    if plan.daily:
        found.append(Column("day_us", "integer", None, "day_us"))
    found += [Column(key_name(i), "text", groups, key_name(i)) for i in range(len(plan.dimensions))]
    counts = ["units_assigned", "units_in_population", "units_analysed"]
    counts += ["clusters_assigned", "clusters_in_population", "clusters_analysed"] if plan.cluster else []
    counts += [f"duplicates_{name}" for name in attribute_names(plan)]
    found += [Column(name, "integer", "md_arm_counts", name) for name in counts]
    found += [Column(f"audit_{name}", "integer", "md_exposure_audit", f"audit_{name}") for name in AUDIT]
    if plan.cluster:
        found.append(Column("audit_null_cluster", "integer", "md_cluster_audit", "audit_null_cluster"))
    for p in plan.percentiles:
        found += [Column(f"{x}__{p.name}", "double", "md_percentiles", f"{x}_{p.name}") for x in "ph"]
    for position, block in enumerate(plan.blocks):
        found += [
            Column(f"c__b{position}_{i}", "double", "md_centres", f"v_{value.name}")
            for i, value in enumerate(block.values)
            if value.presence != "residual"
        ]
    found.append(Column("group_rows", "integer", groups, "group_rows"))
    found += [Column(name, "double", groups, name) for name in moment_names(plan)]
    if quantiles_of(plan):
        names = (*ORDER_STATISTICS, *(EVENT_COUNTS if any(q.events for q in quantiles_of(plan)) else ()))
        found += [Column(f"quantile_{name}", "double", None, name) for name in names]
    found.append(Column("seen_us", "integer", None, "seen_us"))
    found += [Column(name, "integer", None, name) for name in (*entry_counts(plan), *counted(plan), *totals(plan))]
    return found


def result_stage(plan: Plan, sql: SqlText) -> Stage:
    """The final statement: every arm has its rows, also where no unit came."""
    columns = result_columns(plan)
    others = list(_others(plan))
    kind = {o.table: sql.literal(o.kind) for o in others}
    rendered = [{"name": "kind", "group": sql.literal("group"), **kind}]
    rendered += [
        {
            "name": column.name,
            "group": _typed(sql, column, f"{column.owner}.{column.source}" if column.owner else None),
            **{o.table: _typed(sql, replace(column, owner=None), o.columns.get(column.name)) for o in others},
        }
        for column in columns
    ]
    body = template("result").render(
        columns=rendered,
        scaffolds=list(_scaffolds(plan)),
        constants=[
            *(["md_cluster_audit"] if plan.cluster else []),
            *(["md_percentiles"] if plan.percentiles else []),
            *(["md_centres"] if any(b.values for b in plan.blocks) else []),
        ],
        groups="md_groups" if any(b.values for b in plan.blocks) else None,
        others=[(o.table, o.table) for o in others],
    )
    return Stage("", ("Every arm has its rows, also where no unit came.",), body)


def _scaffolds(plan: Plan) -> Iterator[dict[str, int]]:
    for arm in sorted(plan.arms, key=lambda arm: arm.code):
        for mixed in (0, 1):
            for epoch in range(max(1, len(plan.epochs))):
                yield {"arm": arm.code, "mixed": mixed, "epoch": epoch}


def _typed(sql: SqlText, column: Column, text: str | None) -> str:
    """The column; NULL of its type where a kind of row has none."""
    if text is None:
        return getattr(sql, column.type)("NULL")  # type: ignore[no-any-return]  # double, integer or text
    if column.owner == "md_arm_counts":
        text = f"COALESCE({text}, 0)"
    return sql.aligned(column.type, text)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of another kind: the stage they come from, and its column for each column of the result that they have."""

    kind: str
    table: str
    columns: dict[str, str]


def _others(plan: Plan) -> Iterator[_Rows]:
    known = ["arm", "mixed", "epoch", *entry_counts(plan)]
    yield _Rows("entered", ENTRY_DAYS, {name: name for name in known} | {"seen_us": "day_us"})
    for name in checked_sources(plan):
        known = counted(plan)[: 2 + len(row_checks(plan, name))]
        yield _Rows(f"checked:{name}", days_table(name), {column: column for column in known} | {"seen_us": "day_us"})
        known = totals(plan)[: 1 + len(key_columns(plan.sources[name]))]
        yield _Rows(f"source:{name}", totals_table(name), {column: column for column in known})
    levels = {key_name(i): d for i, d in enumerate(plan.dimensions)}
    for q in quantiles_of(plan):
        known = ["arm", *(key for key, d in levels.items() if d.breakdown)]
        names = (*ORDER_STATISTICS, *(EVENT_COUNTS if q.events else ()))
        columns = {name: name for name in known} | {f"quantile_{name}": name for name in names}
        yield _Rows(f"quantile:{q.name}", quantile_table(q), columns)
    for part in series_blocks(plan) if plan.daily else ():
        known = ["arm", "mixed", "epoch", "day_us", *(key for key, d in levels.items() if d.stratum)]
        known += [f"n__{part.block.name}", *(f"s__b{part.position}_{i}" for i in part.values)]
        known += [f"q__b{part.position}_{i}_{j}" for i, j in part.products]
        yield _Rows(part.kind, part.table, {name: name for name in known})
