"""Tables that a job's file makes for its own later statements, and drops at its end."""

from __future__ import annotations

import re
from collections.abc import Sequence

from metricdef.compiler.dialects import DialectTable
from metricdef.compiler.sql_text import SqlText

_LONGEST = 40  # characters of an experiment's name in those of its tables


def staged(statements: Sequence[str], sql: SqlText, schema: str, experiment: str) -> tuple[str, ...]:
    """The statements with tables in `schema` (SQL) in place of temporary ones, where the dialect keeps rows in these.

    Each is seen under the name of the temporary table that it replaces. A run that breaks off leaves them.
    """
    staging = sql.dialect.staging
    if staging is None:
        return tuple(statements)
    is_temporary = _temporary(sql.dialect)
    made: list[str] = []
    drops: list[str] = []
    for statement in statements:
        found = is_temporary.match(statement)
        if found is None:
            made.append(statement)
            continue
        number = len(drops) + 1
        made.append(f"{staging.create.format(n=number)} AS\n{statement[found.end() :]}")
        made += [text.format(name=found[1], n=number) for text in staging.show]
        drops.append(staging.drop.format(n=number))
    names = staging.declare.format(x=sql.literal(f"{schema}.work_{experiment[:_LONGEST]}_"))
    return (names, *made, *drops)


def _temporary(dialect: DialectTable) -> re.Pattern[str]:
    """The start of a statement that makes a temporary table."""
    return re.compile(re.escape(dialect.temporary_table).replace(re.escape("{name}"), r"(\w+)") + r" AS\n")
