"""Portable SQL in the words of an engine on which sqlglot's own translation means something else."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from metricdef.compiler.dialects import DialectTable
from metricdef.errors import UsageError

_CONDITIONS = (
    exp.And,
    exp.Or,
    exp.Not,
    exp.EQ,
    exp.NEQ,
    exp.GT,
    exp.GTE,
    exp.LT,
    exp.LTE,
    exp.Is,
    exp.In,
    exp.Between,
    exp.Like,
)
# Where a condition is a value, by the node around it and its place there.
_VALUES = {
    (exp.If, "true"),
    (exp.If, "false"),
    (exp.Case, "default"),
    (exp.Case, "this"),
    (exp.Coalesce, "this"),
    (exp.Coalesce, "expressions"),
    (exp.Nullif, "this"),
    (exp.Cast, "this"),
    (exp.Alias, "this"),
    (exp.Select, "expressions"),
}
SMALL = 1000  # a factor that no plausible number of 64 bits overflows with
_POSITIVE = (exp.And, exp.Or, exp.Paren, exp.Where)


def with_truth_tests(tree: exp.Expr, dialect: str) -> exp.Expr:
    """`tree`, which may be changed, where `x IS TRUE` has to be written otherwise.

    sqlglot writes `x` for it on engines that it takes to have no such test, and `NOT x` for IS NOT TRUE: NULL would be
    neither, instead of what is not true.
    """
    if Dialect.get_or_raise(dialect).generator_class.IS_BOOL_ALLOWED:
        return tree
    root = exp.Paren(this=tree)
    for node in reversed(list(root.find_all(exp.Is))):
        if isinstance(node.expression, exp.Boolean):
            wanted = bool(node.expression.this)
            known = exp.func("COALESCE", node.this.unnest(), exp.Boolean(this=not wanted))
            node.replace(known if wanted else exp.paren(exp.not_(known)))
    return root.this.pop()  # type: ignore[no-any-return]  # sqlglot's nodes hold anything


def spelled(tree: exp.Expr, dialect: DialectTable, *, tested: bool = False) -> exp.Expr:
    """`tree`, which may be changed, with the dialect's spellings in place.

    `tested`: it is a condition that rows must pass, not a value. Raises UsageError for what cannot be spelled.
    """
    if not dialect.spellings:
        return tree
    root = exp.Paren(this=tree)
    for node in reversed(list(tree.walk())):
        as_value = dialect.spellings.get("condition") if isinstance(node, _CONDITIONS) else None
        is_value = as_value is not None and _is_value(node, root, tested=tested)
        new = _written(node, dialect)
        if as_value is not None and is_value:
            new = _text(as_value.format(x=new.sql(dialect=dialect.sqlglot)))
        if new is not node:
            node.replace(new)
    return root.this.pop()  # type: ignore[no-any-return]  # sqlglot's nodes hold anything


def _written(node: exp.Expr, dialect: DialectTable) -> exp.Expr:
    """The node as it must be written; its parts are already."""
    if isinstance(node, exp.In) and dialect.in_ignores_null:
        return _without_null(node)
    pattern = dialect.spellings.get(_key(node))
    if pattern is None or (isinstance(node, exp.Mul) and any(_is_small(part) for part in (node.this, node.expression))):
        return node
    parts = [part.sql(dialect=dialect.sqlglot) for part in _parts(node)]
    return _text(
        pattern.format(x=parts[0], y=parts[1]) if isinstance(node, exp.Binary) else pattern.format(x=", ".join(parts))
    )


def _key(node: exp.Expr) -> str:
    return f"cast_{node.to.this.value.lower()}" if isinstance(node, exp.Cast) else str(node.key)


def _parts(node: exp.Expr) -> list[exp.Expr]:
    names = ("this",) if isinstance(node, exp.Cast) else tuple(node.arg_types)
    return [part for name in names if isinstance(part := node.args.get(name), exp.Expr)]


def _is_small(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and not node.is_string and float(node.this) <= SMALL


def _without_null(node: exp.In) -> exp.Expr:
    """A list with a value that may be NULL as comparisons: the engine passes over NULL in lists, also after NOT."""
    if not node.expressions:
        if not isinstance(node.parent, _POSITIVE):
            raise UsageError(
                "`NOT IN (SELECT ...)` passes over NULL on this engine",
                ["join the rows with LEFT JOIN, and keep those that found no partner"],
            )
        return node
    if all(isinstance(value, exp.Literal | exp.Boolean) for value in node.expressions):
        return node
    return exp.paren(exp.or_(*(exp.EQ(this=node.this.copy(), expression=value.copy()) for value in node.expressions)))


def _is_value(node: exp.Expr, root: exp.Expr, *, tested: bool) -> bool:
    """Whether a condition is returned or carried, not only tested."""
    inner, parent = node, node.parent
    while isinstance(parent, exp.Paren) and parent is not root:
        inner, parent = parent, parent.parent
    if parent is root:
        return not tested
    return (type(parent), inner.arg_key) in _VALUES


def _text(sql: str) -> exp.Expr:
    """Written SQL as a node."""
    return exp.Var(this=sql)
