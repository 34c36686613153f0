"""Stages of quantile metrics: the histogram of every group gives its quantile and the bounds of its interval."""

from __future__ import annotations

from collections.abc import Iterator

from metricdef.compiler.facts import facts_of
from metricdef.compiler.moment_stages import key_name
from metricdef.compiler.order_statistics import low_name, ranks_stage, ranks_table, rows_name, values_table
from metricdef.compiler.plan import Plan, QuantilePlan
from metricdef.compiler.row_tests import row_tests
from metricdef.compiler.sql_text import SqlText
from metricdef.compiler.stages import Stage, template


def quantiles_of(plan: Plan) -> list[QuantilePlan]:
    """The quantiles that the SQL computes: not of clusters, and not across epochs of a ramp."""
    if plan.cluster is not None or len(plan.epochs) > 1:
        return []
    return [m.quantile for m in plan.metrics if m.quantile is not None]


def quantile_stages(plan: Plan, sql: SqlText) -> Iterator[Stage]:
    """For each quantile its values, its order statistics and, of events, the counts that cluster them by unit."""
    keys = [key_name(i) for i, d in enumerate(plan.dimensions) if d.breakdown]
    for quantile in quantiles_of(plan):
        ranks = ranks_table(quantile)
        units = f"md_units_of_{quantile.name}" if quantile.events else None
        in_place = quantile in plan.counted_in_place
        if not in_place:
            what = f"What {quantile.name} is a quantile of."
            yield Stage(values_table(quantile), (what,), _values(plan, sql, quantile, keys), shared=True)
            yield ranks_stage(sql, quantile, keys)
        if units is not None:
            body = (
                template("quantile_counted").render(
                    low=low_name(quantile), rows=rows_name(quantile), tests=_counting(plan, quantile)
                )
                if in_place
                else template("quantile_units").render(values=values_table(quantile), ranks=ranks, keys=keys)
            )
            what = "Rows of every unit, and how many lie at or below the quantile of its group."
            yield Stage(units, (what,), body)
        yield Stage(
            quantile_table(quantile),
            (f"Groups of {quantile.name}.",),
            template("quantile_groups").render(ranks=ranks, units=units, keys=keys),
        )


def _counting(plan: Plan, quantile: QuantilePlan) -> list[str]:
    """Which units count."""
    return [f"md_eligible.in_{quantile.block} = 1", *([] if plan.mixed == "first_arm" else ["md_eligible.mixed = 0"])]


def quantile_table(quantile: QuantilePlan) -> str:
    """The stage with one row per group."""
    return f"md_quantile_of_{quantile.name}"


def _values(plan: Plan, sql: SqlText, quantile: QuantilePlan, keys: list[str]) -> str:
    tests = _counting(plan, quantile)
    if not quantile.events:
        if quantile.responded is not None:
            tests.append(f"md_eligible.v_{quantile.responded} = {sql.number(1)}")
        value, facts = f"md_eligible.v_{quantile.column}", ""
    else:
        column = next(c for c in plan.unit_columns if c.name == quantile.column)
        own = next(f for f in facts_of(plan) if f.name == column.source)
        tests += [f"m_{column.measure} IS NOT NULL", *row_tests(plan, sql, own, column.filter, column.bounds)]
        value, facts = sql.double(f"m_{column.measure}"), own.table
    return template("quantile_values").render(
        keys=keys, value=value, events=quantile.events, facts=facts, tests=tests, triggered=plan.trigger is not None
    )
