"""Which columns of a query are made of a column of a table, and whether its rows depend on it.

sqlglot's own lineage follows values only; here conditions, joins and groups count too: a column in one of these decides which
rows there are. Where a name could belong to several tables, it belongs to each: nothing is missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope


@dataclass(frozen=True, slots=True)
class Reach:
    """What a column reaches in a query.

    Attributes:
        columns: Columns of the result that are made of it, in lower case.
        rows: Whether it decides which rows there are.
    """

    columns: frozenset[str] = frozenset()
    rows: bool = False

    def __bool__(self) -> bool:
        return bool(self.columns) or self.rows


def column_reach(query: exp.Query, table: str, column: str) -> Reach:
    """What `column` of a physical table reaches in a query; `table` with or without the schema in front."""
    found: dict[int, Reach] = {}
    last = Reach()
    for scope in traverse_scope(query):
        last = found[id(scope)] = _scope_reach(scope, found, table, column.casefold())
    return last


def same_table(written: str, asked: str) -> bool:
    """Whether two names can mean one table: equal, or one leaves out the schema of the other."""
    one, two = (_parts(name) for name in (written, asked))
    length = min(len(one), len(two))
    return one[-length:] == two[-length:]


def _parts(name: str) -> list[str]:
    return name.replace('"', "").casefold().split(".")


def _scope_reach(scope: Scope, found: Mapping[int, Reach], table: str, column: str) -> Reach:
    inner = [found.get(id(source)) for source in scope.sources.values() if isinstance(source, Scope)]
    inner += [found.get(id(part)) for part in (*scope.set_operation_scopes, *scope.subquery_scopes)]
    rows = any(reach is not None and reach.rows for reach in inner)
    if scope.set_operation_scopes:
        return _union_reach(scope, found, rows)
    reached = _reached_by_source(scope, found, table, column)
    if not any(reached.values()) and not _has_subquery(scope, found):
        return Reach(frozenset(), rows)
    select = scope.expression
    if not isinstance(select, exp.Select):
        return Reach(frozenset(), rows or any(_is_reached(c, reached) for c in select.find_all(exp.Column)))
    columns: set[str] = set()
    for item in select.expressions:
        if _is_star(item):
            columns |= set().union(*reached.values())
        elif _touches(item, reached) or _touches_subquery(item, scope, found):
            columns.add(item.alias_or_name.casefold())
    outside = [part for key, part in select.args.items() if key not in ("expressions", "with", "with_")]
    parts = [node for part in outside for node in (part if isinstance(part, list) else [part])]
    rows = rows or any(
        _touches(node, reached) for node in parts if isinstance(node, exp.Expr) and not isinstance(node, exp.From)
    )
    rows = rows or _touches_any_subquery(parts, scope, found)
    rows = rows or (select.args.get("distinct") is not None and bool(columns))
    return Reach(frozenset(columns), rows)


def _union_reach(scope: Scope, found: Mapping[int, Reach], rows: bool) -> Reach:
    """Columns go by position; of a UNION that removes duplicates every column decides on the rows."""
    first = _named(scope)
    columns: set[str] = set()
    for part in scope.set_operation_scopes:
        reach = found.get(id(part), Reach())
        named = [name.casefold() for name in _named(part)]
        for position, name in enumerate(named):
            if name in reach.columns:
                columns.add(first[position].casefold() if position < len(first) else name)
        if "*" in named:
            columns |= reach.columns
    distinct = bool(scope.expression.args.get("distinct"))
    return Reach(frozenset(columns), rows or (distinct and bool(columns)))


def _named(scope: Scope) -> list[str]:
    return list(scope.expression.named_selects) if isinstance(scope.expression, exp.Query) else []


def _reached_by_source(scope: Scope, found: Mapping[int, Reach], table: str, column: str) -> dict[str, set[str]]:
    reached: dict[str, set[str]] = {}
    for alias, source in scope.sources.items():
        if isinstance(source, exp.Table):
            name = ".".join(part.name for part in source.parts)
            reached[alias.casefold()] = {column} if same_table(name, table) else set()
        else:
            reached[alias.casefold()] = set(found.get(id(source), Reach()).columns)
    return reached


def _touches(node: exp.Expr, reached: Mapping[str, set[str]]) -> bool:
    """Whether a column in the expression is reached, also from inside an inner query; derived tables have scopes of their own."""
    return any(_is_reached(column, reached) for column in _own_columns(node))


def _own_columns(node: exp.Expr) -> Iterable[exp.Column]:
    for found in node.walk(prune=lambda n: isinstance(n, exp.Subquery) and isinstance(n.parent, exp.From | exp.Join)):
        if isinstance(found, exp.Column):
            yield found
        elif isinstance(found, exp.Join):
            yield from (exp.column(name.name) for name in found.args.get("using") or ())


def _is_reached(column: exp.Column, reached: Mapping[str, set[str]]) -> bool:
    name = column.name.casefold()
    if column.table:
        return name in reached.get(column.table.casefold(), set())
    return any(name in names for names in reached.values())


def _is_star(item: exp.Expr) -> bool:
    return isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star))


def _has_subquery(scope: Scope, found: Mapping[int, Reach]) -> bool:
    return any(found.get(id(inner)) for inner in scope.subquery_scopes)


def _touches_subquery(item: exp.Expr, scope: Scope, found: Mapping[int, Reach]) -> bool:
    inside = {id(node) for node in item.walk()}
    return any(id(inner.expression) in inside and found.get(id(inner)) for inner in scope.subquery_scopes)


def _touches_any_subquery(parts: Iterable[object], scope: Scope, found: Mapping[int, Reach]) -> bool:
    nodes = [part for part in parts if isinstance(part, exp.Expr) and not isinstance(part, exp.From)]
    return any(_touches_subquery(node, scope, found) for node in nodes)
