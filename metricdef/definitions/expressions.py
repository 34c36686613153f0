"""SQL that analysts write: scalar expressions and source queries, parsed and checked, never pasted.

Outside a source that declares its own `dialect`, only a portable subset is allowed: everything else is known to mean
different things on different engines without any of them complaining.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from functools import lru_cache

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokens import Token

from metricdef.definitions.own_functions import parse_tokens

READ_DIALECT = "duckdb"  # in which portable expressions are read

_LEAVES = (exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Tuple, exp.DataType, exp.Var)
_LOGIC = (
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
_ARITHMETIC = (
    exp.Add,
    exp.Sub,
    exp.Mul,
    exp.Div,
    exp.Mod,
    exp.Neg,
    exp.Abs,
    exp.Floor,
    exp.Ceil,
    exp.Ln,
    exp.Exp,
    exp.Sqrt,
)
_VALUES = (
    exp.Case,
    exp.If,
    exp.Coalesce,
    exp.Nullif,
    exp.Upper,
    exp.Lower,
    exp.Trim,
    exp.Length,
    exp.Substring,
    exp.DPipe,
)
PORTABLE = (*_LEAVES, *_LOGIC, *_ARITHMETIC, *_VALUES)
# Allowed whatever they hold; a large catalogue consists of them.
_HARMLESS = frozenset(PORTABLE) - {exp.Column, exp.Tuple, exp.Is, exp.Like, exp.Null, exp.Substring}
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
_CURLED = re.compile("[‘’‚‛“”„‟]")  # quotes as word processors set them
PORTABLE_FUNCTIONS = "ABS, CASE, CAST, CEIL, COALESCE, EXP, FLOOR, LENGTH, LN, LOWER, NULLIF, SQRT, SUBSTR, TRIM, UPPER"
_CAST_TARGETS = {exp.DataType.Type.DOUBLE, exp.DataType.Type.VARCHAR, exp.DataType.Type.TEXT, exp.DataType.Type.DATE}
_QUERY = (
    exp.Select,
    exp.From,
    exp.Where,
    exp.Join,
    exp.Table,
    exp.TableAlias,
    exp.Alias,
    exp.With,
    exp.CTE,
    exp.Subquery,
    exp.Union,
    exp.Group,
    exp.Having,
    exp.Distinct,
    exp.Star,
    exp.Sum,
    exp.Count,
    exp.Min,
    exp.Max,
)


# Columns compared with texts and numbers: what most conditions are.
_TEXT_OR_NUMBER = r"(?:'[^'\\]*'|-?\d+(?:\.\d+)?)"
_LISTED = rf"\(\s*{_TEXT_OR_NUMBER}(?:\s*,\s*{_TEXT_OR_NUMBER})*\s*\)"
_TEST = rf"([a-z_]\w*)(?:\s*(?:=|<>|!=|<=|>=|<|>)\s*{_TEXT_OR_NUMBER}|\s+(?:not\s+)?in\s*{_LISTED})"
_TESTS = re.compile(rf"\s*{_TEST}(?:\s+(?:and|or)\s+{_TEST})*\s*", re.IGNORECASE | re.ASCII)
_ONE_TEST = re.compile(_TEST, re.IGNORECASE | re.ASCII)
# A statement that sqlglot knows no grammar of: refused below, in words of our own.
logging.getLogger("sqlglot").addFilter(lambda record: "parsing as a 'Command'" not in record.getMessage())
_READER = Dialect.get_or_raise(READ_DIALECT)
_WORDS_OF_SQL = {*_READER.tokenizer_class.KEYWORDS, *_READER.parser_class.NO_PAREN_FUNCTION_PARSERS}

_NO_WORDS = ("VAR", "STRING", "IDENTIFIER")
_MOST_WORDS = 10  # each is one more parse of the whole text


@dataclass(frozen=True, slots=True)
class SqlProblem(Exception):
    """What is wrong with an expression, and at which characters of its text."""

    rule: str
    message: str
    start: int = 0
    length: int = 0
    help: tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def parse_expression(text: str, dialect: str | None = None) -> exp.Expr:
    """Parse one scalar expression.

    `dialect` is the one a source declares; None means the portable subset. Raises SqlProblem. The returned tree is
    shared: copy it before changing it.
    """
    try:
        return _parse(text, dialect)
    except SqlProblem as problem:
        if problem.rule not in ("sql-parse", "sql-statement"):
            raise
        raise replace(problem, help=_quoted(text, dialect) or problem.help) from None


def _parse(text: str, dialect: str | None) -> exp.Expr:
    tokens = _tokenize(text, dialect)
    _refuse_comments_and_statements(text, tokens)
    try:
        parsed = parse_tokens(tokens, text, _dialect(dialect), is_own=dialect is not None)
    except (ParseError, TokenError) as error:
        raise _parse_problem(text, error) from None
    tree = parsed[0] if len(parsed) == 1 else None
    if tree is None or isinstance(tree, exp.DDL | exp.DML | exp.Command | exp.Drop):
        what = "this is a statement, not an expression"
        help_ = "write one scalar expression such as `amount - discount`"
        raise SqlProblem("sql-statement", what, 0, len(text), (help_,))
    nodes = [node for node in tree.walk() if type(node) not in _HARMLESS]
    for node in nodes:
        _check_scalar(node, text)
    for node in nodes if dialect is None else ():
        _check_portable(node, text, PORTABLE)
    return tree


@lru_cache(maxsize=1024)
def parse_query(text: str, dialect: str | None = None) -> exp.Query:
    """Parse a source's `sql`: exactly one SELECT. Raises SqlProblem."""
    tokens = _tokenize(text, dialect)
    _refuse_comments_and_statements(
        text.rstrip().rstrip(";"), tokens[:-1] if tokens and tokens[-1].text == ";" else tokens, comments=False
    )
    try:
        parsed = [
            tree
            for tree in parse_tokens(tokens, text, _dialect(dialect), is_own=dialect is not None)
            if tree is not None
        ]
    except (ParseError, TokenError) as error:
        raise _parse_problem(text, error) from None
    if len(parsed) != 1 or not isinstance(parsed[0], exp.Query):
        raise SqlProblem(
            "sql-statement", "a source's `sql` must be one SELECT", 0, len(text), ("remove everything but the SELECT",)
        )
    if not parsed[0].selects:
        raise SqlProblem("sql-parse", "the SELECT names no columns", 0, len(text))
    for node in parsed[0].walk():
        if isinstance(node, exp.DDL | exp.DML | exp.Command | exp.Drop | exp.Into) and not isinstance(node, exp.Query):
            raise SqlProblem("sql-statement", "a source's `sql` may only read", 0, len(text))
        if dialect is None:
            _check_portable(node, text, (*PORTABLE, *_QUERY))
    return parsed[0]


def plain_columns(text: str) -> list[tuple[str, int, int]] | None:
    """As `columns_of`, of a portable condition so plain that it needs no parser; None of any other text."""
    if not _TESTS.fullmatch(text):
        return None
    found = [(match[1], match.start(1), len(match[1])) for match in _ONE_TEST.finditer(text)]
    return None if any(name.upper() in _WORDS_OF_SQL for name, _, _ in found) else found


def columns_of(tree: exp.Expr) -> list[tuple[str, int, int]]:
    """Every column named in an expression: its name, and start and length in the text."""
    found = []
    for column in tree.find_all(exp.Column):
        start = column.this.meta.get("start", 0)
        found.append((column.name, start, column.this.meta.get("end", start) - start + 1))
    return found


def output_columns(query: exp.Query) -> list[str] | None:
    """Names of a query's columns; None where a star or an unnamed expression hides them."""
    names = query.named_selects
    return None if not names or any(name in ("", "*") for name in names) else list(names)


def tables_of(query: exp.Query) -> list[str]:
    """Physical tables that a source query reads, CTE names left out."""
    ctes = {cte.alias_or_name for cte in query.find_all(exp.CTE)}
    return sorted({table.sql() for table in query.find_all(exp.Table)} - ctes)


@lru_cache(maxsize=64)
def _dialect(name: str | None) -> Dialect:
    return Dialect.get_or_raise(name or READ_DIALECT)


def _tokenize(text: str, dialect: str | None) -> list[Token]:
    if not text.strip():
        raise SqlProblem("sql-parse", "the expression is empty")
    try:
        tokens = _dialect(dialect).tokenize(text)
    except TokenError:
        raise SqlProblem("sql-parse", "a quote or bracket is never closed", 0, len(text)) from None
    for token in tokens:
        if token.token_type.name == "VAR" and (curled := _CURLED.search(token.text)):
            what = f"`{curled[0]}` is no quote of SQL: the text would be taken for the name of a column"
            raise SqlProblem("sql-parse", what, token.start, len(token.text), ("write ' before and after the text",))
    return tokens


def _refuse_comments_and_statements(text: str, tokens: list[Token], *, comments: bool = True) -> None:
    for token in tokens:
        if token.text == ";" and token.token_type.name == "SEMICOLON":
            raise SqlProblem(
                "sql-statement",
                "`;` ends a statement: only one expression is allowed",
                token.start,
                max(1, len(text) - token.start),
                ("remove everything from `;` on",),
            )
    if comments and (any(token.comments for token in tokens) or not tokens):
        match = re.search(r"--|/\*|#", text)
        start = match.start() if match else 0
        raise SqlProblem(
            "sql-comment",
            "comments are not allowed in expressions",
            start,
            len(text) - start,
            ("use a YAML comment (`#`) on a line of its own",),
        )


def _check_scalar(node: exp.Expr, text: str) -> None:
    if isinstance(node, exp.Query | exp.Subquery | exp.Exists):
        match = re.search(r"\bselect\b", text, re.IGNORECASE)
        start = match.start() if match else 0
        raise SqlProblem(
            "sql-subquery",
            "sub-queries are not allowed in expressions",
            start,
            len(text) - start,
            ("join the rows in the source's `sql`, and filter on a column",),
        )
    if isinstance(node, exp.Window):
        raise SqlProblem(
            "sql-window",
            "window functions are not allowed in expressions",
            *_find_function(node.this, text),
            ("compute the column in the source's `sql`",),
        )
    if isinstance(node, exp.AggFunc):
        raise SqlProblem(
            "sql-aggregate-in-expression",
            f"`{_function_name(node)}` aggregates rows; expressions are evaluated per row",
            *_find_function(node, text),
            ("name the aggregate with the metric's `agg`",),
        )
    if isinstance(node, exp.Star | exp.Placeholder | exp.Parameter | exp.Lambda | exp.Alias):
        raise SqlProblem("sql-parse", f"`{node.sql()}` is not a scalar expression", 0, len(text))
    if isinstance(node, exp.Tuple) and not isinstance(node.parent, exp.In):
        raise SqlProblem("sql-parse", "this is a list of values, not one", 0, len(text))
    if isinstance(node, exp.Null) and isinstance(node.parent, _COMPARISONS):
        raise SqlProblem(
            "sql-null",
            "a comparison with NULL is never true",
            *_find_word("null", text),
            ("write IS NULL or IS NOT NULL",),
        )
    if isinstance(node, exp.Column) and node.table:
        raise SqlProblem(
            "sql-column", f"`{node.sql()}` has a table in front", 0, len(text), (f"write `{node.name}` alone",)
        )


def _check_portable(node: exp.Expr, text: str, allowed: tuple[type[exp.Expr], ...]) -> None:
    if isinstance(node, exp.Cast) and not isinstance(node, exp.TryCast):
        if node.to.this in _CAST_TARGETS:
            return
        raise SqlProblem(
            "sql-function",
            f"a cast to {node.to.sql()} rounds or fails differently between engines",
            *_find_word("cast", text),
            ("cast to DOUBLE, VARCHAR or DATE, or declare `dialect:` on the source",),
        )
    if isinstance(node, exp.Is) and isinstance(node.expression, exp.Boolean):
        raise SqlProblem(
            "sql-function",
            f"`IS {node.expression.sql()}` treats NULL differently between engines",
            *_find_word("is", text),
            ("write the condition itself, with COALESCE(..., FALSE) where it may be NULL",),
        )
    if isinstance(node, exp.Like) and "\\" in node.expression.sql():
        raise SqlProblem(
            "sql-function",
            "a backslash in a LIKE pattern escapes on some engines and not on others",
            *_find_word("like", text),
            ("compare with =, or write the pattern without a backslash",),
        )
    if isinstance(node, exp.Substring) and _is_below_one(node.args.get("start")):
        raise SqlProblem(
            "sql-function",
            "SUBSTR from 0 or from the end gives other characters on other engines",
            *_find_word("substr", text),
            ("count from 1",),
        )
    if isinstance(node, exp.Distinct) and node.args.get("on") is not None:
        raise SqlProblem(
            "sql-function",
            "DISTINCT ON keeps whichever row of several comes first, another one on every engine",
            *_find_word("distinct", text),
            ("name the row: MIN or MAX with GROUP BY",),
        )
    if isinstance(node, exp.Join) and node.method == "POSITIONAL":
        raise SqlProblem(
            "sql-function",
            "a POSITIONAL join takes rows in the order in which they happen to be read",
            *_find_word("positional", text),
            ("join on a key",),
        )
    if not isinstance(node, allowed):
        start, length = _find_function(node, text)
        raise SqlProblem(
            "sql-function",
            f"`{text[start : start + length]}` is not in the portable subset",
            start,
            length,
            (
                *(["write AND in place of `&&`"] if "&&" in text else []),
                f"portable functions: {PORTABLE_FUNCTIONS}",
                "or declare `dialect:` on the source: it then runs on that engine only",
            ),
        )


def _is_below_one(start: exp.Expr | None) -> bool:
    """Whether it is a number that no character has."""
    if isinstance(start, exp.Neg):
        return True
    return isinstance(start, exp.Literal) and not start.is_string and float(start.this) < 1


def _function_name(node: exp.Expr) -> str:
    if isinstance(node, exp.Anonymous):
        return str(node.this)
    return node.sql_name() if isinstance(node, exp.Func) else node.key.upper()


def _find_function(node: exp.Expr, text: str) -> tuple[int, int]:
    names = (
        [str(node.this)]
        if isinstance(node, exp.Anonymous)
        else [*(node.sql_names() if isinstance(node, exp.Func) else ()), node.key]
    )
    for name in names:
        start, length = _find_word(name, text)
        if length < len(text) or text.lower() == name.lower():
            return start, length
    # sqlglot may call a function by another name than the analyst did: take the first call that is not portable.
    for match in re.finditer(r"\b([A-Za-z_]\w*)\s*\(", text):
        if match[1].upper() not in (*PORTABLE_FUNCTIONS.split(", "), "IN", "AND", "OR", "NOT"):
            return match.start(), len(match[1])
    return 0, len(text)


def _find_word(word: str, text: str) -> tuple[int, int]:
    match = re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)
    return (match.start(), len(word)) if match else (0, len(text))


def _quoted(text: str, dialect: str | None) -> tuple[str, ...]:
    """What to write where a column is called like a word of SQL, if that is all that is wrong."""
    try:
        tokens = _dialect(dialect).tokenize(text)
    except TokenError:
        return ()
    words = [(token, text[token.start : token.end + 1]) for token in tokens if token.token_type.name not in _NO_WORDS]
    for token, word in [(token, word) for token, word in words if word.isidentifier()][:_MOST_WORDS]:
        quoted = exp.to_identifier(word, quoted=True).sql(_dialect(dialect))
        mended = f"{text[: token.start]}{quoted}{text[token.end + 1 :]}".strip()
        try:
            tree = _parse(mended, dialect)
        except SqlProblem:
            continue
        if any(column.name == word for column in tree.find_all(exp.Column)):
            # YAML takes what begins with a quote for a whole text.
            mended = f"({mended})" if mended.startswith(quoted) else mended
            return (f"where `{word}`, a word of SQL, is the name of a column, quote it: {mended}",)
    return ()


def _parse_problem(text: str, error: Exception) -> SqlProblem:
    details = getattr(error, "errors", None) or [{}]
    highlight = details[0].get("highlight") or ""
    start = text.find(highlight) if highlight else -1
    near = f" near `{highlight}`" if highlight else ""
    help_ = ("write the condition alone, without WHERE",) if re.match(r"\s*where\b", text, re.IGNORECASE) else ()
    what = f"this is not a SQL expression{near}"
    return SqlProblem("sql-parse", what, max(start, 0), len(highlight) or len(text), help_)
