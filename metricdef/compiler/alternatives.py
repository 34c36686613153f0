"""The rows that any of several filters wants, written as short as it can be: engines test it on every row."""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from metricdef.compiler.spelling import with_truth_tests
from metricdef.definitions.expressions import READ_DIALECT, parse_expression
from metricdef.definitions.models import Source

Filter = tuple[str, ...]


def any_of(filters: Iterable[Filter], dialect: str | None) -> list[str]:
    """Conditions of which one must hold for a row that some filter accepts; empty where a filter accepts every row.

    A filter that adds conditions to another one wants no further rows and is left out; comparisons of one column with
    several texts become one list. The answer is in the dialect that the filters are written in.
    """
    written = dialect or READ_DIALECT
    wanted = {frozenset(_conditions(f, dialect, written)) for f in filters}
    if frozenset() in wanted:
        return []
    needed = [w for w in wanted if not any(other < w for other in wanted)]
    lists: dict[str, set[str]] = {}
    others: list[str] = []
    for conditions in needed:
        equal = equality(next(iter(conditions)), dialect) if len(conditions) == 1 else None
        if equal is not None:
            lists.setdefault(equal[0], set()).add(equal[1])
        else:
            others.append(" AND ".join(f"({c})" for c in sorted(conditions)))
    found = [
        f"{column} IN ({', '.join(sorted(values))})" if len(values) > 1 else f"{column} = {next(iter(values))}"
        for column, values in lists.items()
    ]
    return sorted([*found, *others])


def _conditions(texts: Filter, dialect: str | None, written: str) -> Iterable[str]:
    """What must hold all together, each condition in one spelling."""
    for text in texts:
        tree = parse_expression(text, dialect)
        parts = tree.flatten() if isinstance(tree, exp.And) else [tree]
        for part in parts:
            yield with_truth_tests(part.unnest().copy(), written).sql(dialect=written)


def equality(text: str, dialect: str | None) -> tuple[str, str] | None:
    """Column and quoted text of `column = 'text'`."""
    tree, written = parse_expression(text, dialect), dialect or READ_DIALECT
    if not isinstance(tree, exp.EQ):
        return None
    column, value = tree.left, tree.right
    if isinstance(column, exp.Column) and isinstance(value, exp.Literal) and value.is_string:
        return column.sql(dialect=written), value.sql(dialect=written)
    return None


def dimension_texts(filter_: Filter, source: Source) -> tuple[str, ...]:
    """The expressions of dimensions that conditions name, of those that aren't the column of their name."""
    named = {
        column.name.casefold()
        for text in filter_
        for column in parse_expression(text, source.dialect).find_all(exp.Column)
    }
    found = {name.casefold(): text for name, text in source.dimensions.items()}
    return tuple(found[name] for name in sorted(named & found.keys()) if found[name] != name)
