"""Stages of quantile metrics: the histogram of every group gives its quantile and the bounds of its interval."""

from __future__ import annotations

from collections.abc import Iterator

from metricdef.compiler.fact_stages import facts_of, row_tests
from metricdef.compiler.moment_stages import key_name, sets_of
from metricdef.compiler.plan import Plan, QuantilePlan
from metricdef.compiler.sql_text import SqlText
from metricdef.compiler.stages import Stage, template
from metricdef.stats.quantiles import RANK_Z

ESTIMATES = ("estimate", "lower", "upper")
COUNTS = ("low", "rows", "low_low", "low_rows", "rows_rows")  # per unit: rows at or below the quantile, and all rows


def quantiles_of(plan: Plan) -> list[QuantilePlan]:
    """The quantiles that the SQL computes: not of clusters, and not across epochs of a ramp."""
    if plan.cluster is not None or len(plan.epochs) > 1:
        return []
    return [m.quantile for m in plan.metrics if m.quantile is not None]


def quantile_stages(plan: Plan, sql: SqlText) -> Iterator[Stage]:
    """For each quantile its values, its order statistics and, of events, the counts that cluster them by unit."""
    keys = [key_name(i) for i, d in enumerate(plan.dimensions) if d.breakdown]
    sets = [["arm", "value"], *(["arm", "value", key] for key in keys)]
    grouping = sets_of(sets) if keys else ", ".join(sets[0])
    for quantile in quantiles_of(plan):
        values, ranks = f"md_values_of_{quantile.name}", f"md_ranks_of_{quantile.name}"
        units = f"md_units_of_{quantile.name}" if quantile.events else None
        yield Stage(
            values, (f"What {quantile.name} is a quantile of.",), _values(plan, sql, quantile, keys), shared=True
        )
        yield Stage(
            ranks,
            ("The quantile of every group, and the values at the ranks that bound it.",),
            template("quantile_ranks").render(
                values=values, keys=keys, grouping=grouping, fractions=_fractions(sql, quantile.fraction)
            ),
            shared=True,
        )
        if units is not None:
            yield Stage(
                units,
                ("Rows of every unit, and how many lie at or below the quantile of its group.",),
                template("quantile_units").render(values=values, ranks=ranks, keys=keys),
            )
        yield Stage(
            quantile_table(quantile),
            (f"Groups of {quantile.name}.",),
            template("quantile_groups").render(ranks=ranks, units=units, keys=keys),
        )


def quantile_table(quantile: QuantilePlan) -> str:
    """The stage with one row per group."""
    return f"md_quantile_of_{quantile.name}"


def _values(plan: Plan, sql: SqlText, quantile: QuantilePlan, keys: list[str]) -> str:
    tests = [f"md_eligible.in_{quantile.block} = 1"]
    if plan.mixed != "first_arm":
        tests.append("md_eligible.mixed = 0")
    if not quantile.events:
        if quantile.responded is not None:
            tests.append(f"md_eligible.v_{quantile.responded} = {sql.number(1)}")
        value, facts = f"md_eligible.v_{quantile.column}", ""
    else:
        column = next(c for c in plan.unit_columns if c.name == quantile.column)
        own = next(f for f in facts_of(plan) if f.name == column.source)
        tests += [f"m_{column.measure} IS NOT NULL", *row_tests(plan, sql, column.filter, column.bounds, own.flags)]
        value, facts = sql.double(f"m_{column.measure}"), own.table
    return template("quantile_values").render(
        keys=keys, value=value, events=quantile.events, facts=facts, tests=tests, triggered=plan.trigger is not None
    )


def _fractions(sql: SqlText, q: float) -> list[dict[str, str]]:
    """Ranks of the quantile and of its bounds, as SQL over `total`, the number of values in the group."""
    total = sql.double("total")
    band = f"{RANK_Z!r} * SQRT({sql.number(q * (1 - q))} / {total})"
    found = []
    for name, shifted in zip(
        ESTIMATES, (sql.number(q), f"({sql.number(q)} - {band})", f"({sql.number(q)} + {band})"), strict=True
    ):
        fraction = (
            f"CASE WHEN {shifted} < 0 THEN 0 WHEN {shifted} > 1 THEN 1 ELSE {shifted} END"
            if name != "estimate"
            else shifted
        )
        found.append({"name": name, "rank": f"(1 + ({total} - 1) * ({fraction}))"})
    return found
