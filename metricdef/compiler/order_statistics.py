"""The stage of a quantile's order statistics, from the histogram of its values."""

from __future__ import annotations

from metricdef.compiler.plan import QuantilePlan
from metricdef.compiler.sql_text import SqlText
from metricdef.compiler.stages import Stage, template

BAND = 1.96  # the ranks of the bounds lie this many standard errors off, whatever alpha (semantics.md, section 9)


def values_table(quantile: QuantilePlan) -> str:
    """The stage that holds what a quantile is of."""
    return f"md_values_of_{quantile.name}"


def ranks_table(quantile: QuantilePlan) -> str:
    """The stage with the order statistics of every group."""
    return f"md_ranks_of_{quantile.name}"


def low_name(quantile: QuantilePlan) -> str:
    """The column with a unit's rows at or below the quantile, where they are counted with its other values."""
    return f"q_low_{quantile.name}"


def rows_name(quantile: QuantilePlan) -> str:
    """The column with all rows of a unit that the quantile is of."""
    return f"q_rows_{quantile.column}"


def ranks_stage(sql: SqlText, quantile: QuantilePlan, keys: list[str]) -> Stage:
    """Estimate and bounds of every group: type 7 at q and at q -+ 1.96 sqrt(q (1 - q) / total), between 0 and 1."""
    q, total = sql.number(quantile.fraction), sql.double("total")
    band = f"{BAND} * SQRT({sql.number(quantile.fraction * (1 - quantile.fraction))} / {total})"
    lower, upper = f"{q} - {band}", f"{q} + {band}"
    fractions = {
        "estimate": q,
        "lower": f"CASE WHEN {lower} < 0 THEN 0 ELSE {lower} END",
        "upper": f"CASE WHEN {upper} > 1 THEN 1 ELSE {upper} END",
    }
    sets = [["arm", "value"], *(["arm", "value", key] for key in keys)]
    grouping = ", ".join(sets[0])
    if keys:
        grouping = f"GROUPING SETS ({', '.join('(' + ', '.join(columns) + ')' for columns in sets)})"
    body = template("quantile_ranks").render(
        values=values_table(quantile),
        keys=keys,
        grouping=grouping,
        largest=sql.largest("value"),
        is_not_a_number=sql.is_not_a_number(sql.largest("value")),
        ranks=[{"name": name, "sql": f"1 + ({total} - 1) * ({fraction})"} for name, fraction in fractions.items()],
    )
    comment = "The quantile of every group, and the values at the ranks that bound it."
    return Stage(ranks_table(quantile), (comment,), body, shared=True)
