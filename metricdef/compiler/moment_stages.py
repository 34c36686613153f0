"""Stages from values per unit to moments per group, and the result that leaves the warehouse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from metricdef.compiler.days import duration, local_day
from metricdef.compiler.plan import Block, Dimension, Plan, Value
from metricdef.compiler.sql_text import SqlText
from metricdef.compiler.stages import Stage, template
from metricdef.compiler.unit_stages import anchor_us, eligible, level, rendered_values


def key_name(position: int) -> str:
    """The column that holds a dimension's level: `v` and the level, `n` for NULL, NULL where not split by it."""
    return f"k_{position}"


def grouping_sets(plan: Plan, first: tuple[str, ...]) -> str:
    """What to group by: the overall groups and, for each breakdown that is no stratum, those split by it."""
    strata = [key_name(i) for i, d in enumerate(plan.dimensions) if d.stratum]
    splits = [key_name(i) for i, d in enumerate(plan.dimensions) if not d.stratum]
    overall = [*first, *strata]
    if not splits:
        return ", ".join(overall)
    return sets_of([overall, *([*overall, split] for split in splits)])


def sets_of(sets: Sequence[Sequence[str]]) -> str:
    """Several groupings of the same rows."""
    return f"GROUPING SETS ({', '.join('(' + ', '.join(columns) + ')' for columns in sets)})"


def moment_stages(plan: Plan, sql: SqlText, *, with_unit: bool = False) -> Iterator[Stage]:
    """Values of eligible units, their distances from a common centre, and sums of products by group.

    `with_unit`: the rows of eligible units name their unit even where no later stage asks for it.
    """
    values = rendered_values(plan, sql)
    residuals = _residuals(plan)
    keys = [{"name": key_name(i), "sql": _level(plan, sql, i, d)} for i, d in enumerate(plan.dimensions)]
    blocks = [{"name": b.name, "sql": _in_block(plan, sql, b)} for b in plan.blocks]
    clustered = plan.cluster is not None
    days = [] if clustered or not plan.daily else _maturity_days(plan, sql)
    yield Stage(
        "md_eligible_units" if clustered else "md_eligible",
        ("Values of the units whose window is complete; NULL for the others.",),
        template("eligible").render(
            blocks=blocks,
            values=values,
            keys=keys,
            clustered=clustered,
            percentiles=plan.percentiles,
            days=days,
            with_unit=with_unit or any(m.quantile is not None for m in plan.metrics),
        ),
        shared=True,
    )
    if clustered:
        yield Stage(
            "md_eligible",
            ("One row per cluster: totals over its units, means of what was known before.",),
            template("cluster_values").render(
                keys=keys,
                blocks=blocks,
                values=values,
                grouping=grouping_sets(plan, ("arm", "mixed", "epoch", "cluster")),
            ),
            shared=True,
        )
    if not values:
        return
    yield Stage(
        "md_centres",
        ("One constant near the mean of every column, the same in all arms: products of differences lose no digits.",),
        template("centres").render(values=values),
        shared=True,
    )
    yield Stage(
        "md_centred",
        ("Distances from the centres.",),
        template("centred").render(blocks=blocks, values=values, residuals=residuals, keys=keys, days=days),
        shared=plan.daily,
    )
    yield Stage(
        cells_name(plan),
        ("n: units, s: sums, q: products, k: cubes, a: largest size, z: non-zero, w: capped; by block and column.",),
        template("moments").render(blocks=labelled(plan), capped=_capped(plan), keys=keys),
        shared=True,
    )
    if cells_name(plan) != "md_groups":
        columns = [
            {"name": name, "aggregate": "MAX" if name.startswith("a__") else "SUM"}
            for name in ("group_rows", *moment_names(plan))
        ]
        yield Stage(
            "md_groups",
            ("The finest cells added up: overall, and for each breakdown on its own.",),
            template("groups").render(
                columns=columns, keys=keys, grouping=grouping_sets(plan, ("arm", "mixed", "epoch"))
            ),
        )


def _maturity_days(plan: Plan, sql: SqlText) -> list[dict[str, str]]:
    """For a daily series: the day at whose end a unit counts for the first time, by block."""
    return [
        {"name": f"day_{b.name}", "sql": local_day(plan, sql, f"({anchor_us(plan, b)} + {duration(b.horizon)} - 1)")}
        for b in plan.blocks
        if b.horizon is not None and b.anchor == "outcome"
    ]


def slope(residual: Value) -> str:
    """What a residual takes off for each unit of its other column."""
    return f"COALESCE(md_centres.v_{residual.column} / NULLIF(md_centres.v_{residual.minus}, 0), 0)"


def _residuals(plan: Plan) -> list[dict[str, str]]:
    """Values that need the centres of others: see Value."""
    return [
        {"name": v.name, "column": v.column, "minus": v.minus, "slope": slope(v)}
        for block in plan.blocks
        for v in block.values
        if v.presence == "residual"
    ]


def cells_name(plan: Plan) -> str:
    """The stage of the finest cells; where nothing is added up it is the groups themselves."""
    splits = any(not d.stratum for d in plan.dimensions) and plan.cluster is None
    return "md_cells" if splits else "md_groups"


def _level(plan: Plan, sql: SqlText, position: int, dimension: Dimension) -> str:
    if plan.cluster is not None and dimension.stratum:
        return f"md_units.stratum_{position}"
    if not (dimension.stratum or dimension.breakdown):
        return f"CASE WHEN md_units.exposed_us >= {sql.instant_us(dimension.since)} THEN 'v1' ELSE 'v0' END"
    return level(sql, f"md_units.e_{dimension.column}")


def _in_block(plan: Plan, sql: SqlText, block: Block) -> str:
    tests = eligible(plan, sql, block)
    return f"CASE WHEN {' AND '.join(tests)} THEN 1 ELSE 0 END" if tests else "1"


def capped_values(block: Block) -> list[tuple[int, Value]]:
    """Columns with a cap, with their position in the block."""
    return [(i, value) for i, value in enumerate(block.values) if value.is_capped]


def _capped(plan: Plan) -> list[dict[str, str]]:
    return [
        {"name": v.name, "label": f"w__b{p}_{i}"}
        for p, block in enumerate(plan.blocks)
        for i, v in capped_values(block)
    ]


def labelled(plan: Plan) -> list[dict[str, Any]]:
    """Blocks with the names of their columns and products in the result."""
    found = []
    for position, block in enumerate(plan.blocks):
        names = [value.name for value in block.values]
        products = [{"left": names[i], "right": names[j], "i": i, "j": j} for i, j in block.products]
        found.append({"name": block.name, "prefix": f"b{position}", "columns": names, "products": products})
    return found


def moment_names(plan: Plan) -> list[str]:
    """Columns of sums in the result."""
    names = []
    for p, block in enumerate(plan.blocks):
        columns = range(len(block.values))
        names.append(f"n__{block.name}")
        names += [f"s__b{p}_{i}" for i in columns] + [f"q__b{p}_{i}_{j}" for i, j in block.products]
        names += [f"{letter}__b{p}_{i}" for i in columns for letter in "kaz"]
        names += [f"w__b{p}_{i}" for i, _ in capped_values(block)]
    return names
