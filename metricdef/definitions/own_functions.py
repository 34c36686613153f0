"""Functions of an engine's own SQL, which sqlglot writes in other words where it knows some.

ClickHouse's `rand()`, an integer, would become `randCanonical()`, a double below 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError
from sqlglot.parser import Parser
from sqlglot.tokens import Token, TokenType


def parse_tokens(tokens: list[Token], text: str, dialect: Dialect, *, is_own: bool) -> list[exp.Expr | None]:
    """The trees of a text. Raises ParseError.

    `is_own`: it is written in the dialect that a source declares. There functions keep the names that they are called by.
    """
    trees = dialect.parser().parse(tokens, text)
    if not is_own:
        return trees
    kept: set[str] = set()
    tried: set[str] = set()
    while lost := _lost(trees, tokens, dialect) - tried:
        name = min(lost)
        tried.add(name)
        try:
            again = _without_functions(dialect, kept | {name}).parse(tokens, text)
        except ParseError:  # it has a grammar of its own
            continue
        if _shape(again) == _shape(trees):
            trees, kept = again, kept | {name}
    return trees


def _lost(trees: Iterable[exp.Expr | None], tokens: list[Token], dialect: Dialect) -> set[str]:
    """Functions that the trees are not written with."""
    written = "; ".join(tree.sql(dialect) for tree in trees if tree is not None)
    return _called(tokens) - _called(dialect.tokenize(written))


def _called(tokens: list[Token]) -> set[str]:
    """Names, in capitals, that an opening bracket follows."""
    return {name.text.upper() for name, after in pairwise(tokens) if after.token_type is TokenType.L_PAREN}


def _shape(trees: Iterable[exp.Expr | None]) -> tuple[set[str], int, bool]:
    """What is read from a tree: its columns (units of time are none), what aggregates rows, whether it may divide by 0."""
    whole = exp.Tuple(expressions=[tree.copy() for tree in trees if tree is not None])
    columns = {column.sql() for column in whole.find_all(exp.Column)}
    return columns, sum(1 for _ in whole.find_all(exp.AggFunc)), any(whole.find_all(exp.Div, exp.Mod))


def _without_functions(dialect: Dialect, names: set[str]) -> Parser:
    """A parser of the dialect to which these are calls of whatever the engine has under that name."""
    base = dialect.parser_class
    own = {
        table: {name: build for name, build in getattr(base, table).items() if name not in names}
        for table in ("FUNCTIONS", "FUNCTION_PARSERS")
    }
    made: type[Parser] = type(base.__name__, (base,), own)
    return made(dialect=dialect)
