"""The rows that leave the warehouse: their columns, their kinds, and the statement that returns them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from metricdef.compiler.exposure_stages import AUDIT
from metricdef.compiler.moment_stages import key_name, moment_names
from metricdef.compiler.plan import Plan
from metricdef.compiler.quantile_stages import quantile_table, quantiles_of
from metricdef.compiler.sql_text import SqlText
from metricdef.compiler.stages import Stage, template
from metricdef.compiler.unit_stages import attribute_names

ORDER_STATISTICS = ("total", "estimate", "lower", "upper")
EVENT_COUNTS = ("low", "rows_here", "low_low", "low_rows", "rows_rows")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the result. `owner` is the stage that holds it in rows of groups; None where they have none."""

    name: str
    type: str  # double, integer or text
    owner: str | None
    source: str
    sums: bool = False  # a sum over units, which rows of days have too


def result_columns(plan: Plan) -> list[Column]:
    """Every column that the last statement returns, whatever the dialect.

    Rows of kind `group` hold the moments of one group of units, those of kind `quantile` order statistics.
    """
    groups = "md_groups" if any(b.values for b in plan.blocks) else None
    found = [Column(name, "integer", "arms", name) for name in ("arm", "mixed", "epoch")]
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
        ]
    found.append(Column("group_rows", "integer", groups, "group_rows"))
    found += [Column(name, "double", groups, name, sums=name[0] in "nsq") for name in moment_names(plan)]
    if quantiles_of(plan):
        names = (*ORDER_STATISTICS, *(EVENT_COUNTS if any(q.events for q in quantiles_of(plan)) else ()))
        found += [Column(f"quantile_{name}", "double", None, name) for name in names]
    return found


def result_stage(plan: Plan, sql: SqlText) -> Stage:
    """The final statement: every arm has its rows, also where no unit came."""
    columns = result_columns(plan)
    quantiles = quantiles_of(plan)
    kind = {q.name: sql.literal(f"quantile:{q.name}") for q in quantiles}
    rendered = [{"name": "kind", "group": sql.literal("group"), **kind}]
    rendered += [
        {
            "name": column.name,
            "group": _typed(sql, column, f"{column.owner}.{column.source}" if column.owner else None),
            **{q.name: _of_quantile(plan, sql, column, events=q.events) for q in quantiles},
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
        others=[(q.name, quantile_table(q)) for q in quantiles],
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
        return f"COALESCE({text}, 0)"
    return text


def _of_quantile(plan: Plan, sql: SqlText, column: Column, *, events: bool) -> str:
    keys = {key_name(i) for i, d in enumerate(plan.dimensions) if d.breakdown}
    ordered = column.name.startswith("quantile_") and (events or column.source in ORDER_STATISTICS)
    known = column.name == "arm" or column.name in keys or ordered
    return _typed(sql, Column(column.name, column.type, None, column.source), column.source if known else None)
