"""Pieces of SQL in one dialect: names, literals and analysts' expressions, rendered from their parsed trees."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Literal

from sqlglot import exp, tokenize
from sqlglot.tokens import TokenType

from metricdef.compiler.dialects import DialectTable
from metricdef.compiler.dialects.table import OpenAsOf
from metricdef.compiler.open_instant import OpenInstant
from metricdef.compiler.spelling import spelled, with_truth_tests
from metricdef.definitions.expressions import READ_DIALECT, parse_expression, parse_query
from metricdef.definitions.models import Source
from metricdef.errors import UsageError

Kind = Literal["double", "integer", "text"]  # of a value, by the method of SqlText that makes it one

# Stands for a line break inside a literal until the statement is laid out: indenting must not change a value.
LINE_BREAK = "\ue000"

# Words that some engine reads as something else than a column: `user` is the login name on PostgreSQL.
RESERVED = frozenset(
    [
        "account",
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "asymmetric",
        "at",
        "authorization",
        "between",
        "binary",
        "both",
        "by",
        "case",
        "cast",
        "check",
        "collate",
        "collation",
        "column",
        "concurrently",
        "connect",
        "connection",
        "constraint",
        "create",
        "cross",
        "current",
        "current_catalog",
        "current_date",
        "current_role",
        "current_schema",
        "current_time",
        "current_timestamp",
        "current_user",
        "database",
        "default",
        "deferrable",
        "delete",
        "desc",
        "describe",
        "distinct",
        "do",
        "drop",
        "else",
        "end",
        "except",
        "exists",
        "false",
        "fetch",
        "following",
        "for",
        "foreign",
        "freeze",
        "from",
        "full",
        "grant",
        "group",
        "gscluster",
        "having",
        "ilike",
        "in",
        "increment",
        "initially",
        "inner",
        "insert",
        "intersect",
        "into",
        "is",
        "isnull",
        "issue",
        "join",
        "lambda",
        "lateral",
        "leading",
        "left",
        "like",
        "limit",
        "localtime",
        "localtimestamp",
        "minus",
        "natural",
        "not",
        "notnull",
        "null",
        "of",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "organization",
        "outer",
        "overlaps",
        "pivot",
        "placing",
        "primary",
        "qualify",
        "references",
        "regexp",
        "returning",
        "revoke",
        "right",
        "rlike",
        "row",
        "rows",
        "sample",
        "schema",
        "select",
        "session_user",
        "set",
        "show",
        "similar",
        "some",
        "start",
        "summarize",
        "symmetric",
        "system_user",
        "table",
        "tablesample",
        "then",
        "to",
        "trailing",
        "trigger",
        "true",
        "try_cast",
        "union",
        "unique",
        "unpivot",
        "update",
        "user",
        "using",
        "values",
        "variadic",
        "verbose",
        "view",
        "when",
        "whenever",
        "where",
        "window",
        "with",
    ]
)

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class SqlText:
    """Writes SQL for one dialect. `schemas` maps logical schema names to those of a profile; `as_of` is an open one."""

    dialect: DialectTable
    schemas: Mapping[str, str] = field(default_factory=dict)
    as_of: str = ""

    def name(self, name: str) -> str:
        """An identifier, quoted only where it must be."""
        return self._identifier(name).sql(dialect=self.dialect.sqlglot)

    def literal(self, value: str) -> str:
        """A string literal that holds exactly `value`."""
        return _kept(exp.Literal.string(value).sql(dialect=self.dialect.sqlglot))

    def number(self, value: float) -> str:
        """A double literal that reads back as the same double."""
        return (self.dialect.number or self.dialect.double).format(x=repr(float(value)))

    def sampled(self, text: str, share: Fraction) -> str:
        """Whether what a text names is among a share of all, the same on every engine: by 32 bits of a hash.

        The text has a beginning in front that no assignment to arms has.
        """
        digits = self.dialect.md5.format(x=f"{self.literal('metricdef sample ')} || {text}")
        return f"SUBSTR({digits}, 1, 8) < {self.literal(f'{int(share * 2**32):08x}')}"

    def remainder(self, integer: str, of: object) -> str:
        """The remainder of a positive integer."""
        return self.dialect.remainder.format(x=integer, y=of)

    def kept(self, name: str, parts: str) -> str:
        """The start of a statement that creates a table that stays, in parts where rows are replaced by part."""
        own = self.dialect.overwrite
        start = own.kept_table if own else self.dialect.kept_table
        return start.format(name=name, columns=parts)

    def kept_table(self, name: str, columns: Mapping[str, Kind], parts: str) -> str:
        """A statement that creates a table that stays, without rows, where it is not there yet."""
        table, start = self.dialect, self.kept(name, parts)
        if table.column_types is not None:
            listed = ",\n  ".join(f"{column} {table.column_types[kind]}" for column, kind in columns.items())
            return f"{start} (\n  {listed}\n)"
        listed = ",\n  ".join(f"{getattr(self, kind)('NULL')} AS {column}" for column, kind in columns.items())
        return f"{start} AS\nSELECT\n  {listed}\nWHERE 1 = 0"

    def is_not_a_number(self, double: str) -> str:
        """Whether a double is no number."""
        return self.dialect.is_not_a_number.format(x=double)

    def largest(self, double: str) -> str:
        """The largest of doubles: not a number where one is none, as the readout must refuse it."""
        return self.dialect.largest.format(x=double)

    def aligned(self, kind: Kind, sql: str) -> str:
        """A value that stands above others in a UNION ALL, as the type that it has there."""
        return str(getattr(self, kind)(sql)) if self.dialect.strict_unions else sql

    def us(self, us: int) -> str:
        """Microseconds as an integer."""
        return self._open(us).once.format(x=self._open_us(us)) if isinstance(us, OpenInstant) else str(us)

    def instant_us(self, us: int) -> str:
        """Microseconds as an integer, with the instant beside it for the reader."""
        return self.us(us) if isinstance(us, OpenInstant) else f"{us} /* {_moment(us):%Y-%m-%d %H:%M:%S.%f} UTC */"

    def instant(self, us: int) -> str:
        """A timestamp literal, for pruning by the column itself."""
        if isinstance(us, OpenInstant):
            return self._open(us).once.format(x=self._open(us).timestamp.format(x=self._open_us(us)))
        return self.dialect.instant.format(x=f"{_moment(us):%Y-%m-%d %H:%M:%S.%f}")

    def date(self, us: int) -> str:
        """A date literal: the UTC day of an instant."""
        if isinstance(us, OpenInstant):
            return f"CAST({self.instant(us)} AS DATE)"
        return self.dialect.date.format(x=f"{_moment(us):%Y-%m-%d}")

    def stamp(self, us: int) -> str:
        """An instant as text: `2026-09-02T00:00:00.000000Z`."""
        if isinstance(us, OpenInstant):
            return self._open(us).once.format(x=self._open(us).text.format(x=self._open_us(us)))
        return self.literal(f"{_moment(us):%Y-%m-%dT%H:%M:%S.%f}Z")

    def _open(self, us: OpenInstant) -> OpenAsOf:
        if self.dialect.as_of is None:
            raise UsageError(
                f"SQL for {self.dialect.name} cannot leave as-of open", ["build a file for every date: --as-of, --to"]
            )
        return self.dialect.as_of

    def _open_us(self, us: OpenInstant) -> str:
        """An open instant from the as-of that the session holds."""
        assert us.shift is not None  # noqa: S101 - no rows are wanted without an end
        moved = f" {'+' if us.shift > 0 else '-'} {abs(us.shift)}" if us.shift else ""
        moving = f"({self.as_of}{moved})" if moved and us.latest is None else f"{self.as_of}{moved}"
        return moving if us.latest is None else f"LEAST({moving}, {self.instant_us(us.latest)})"

    def double(self, sql: str) -> str:
        """A value as a double."""
        return self.dialect.double.format(x=sql)

    def integer(self, sql: str) -> str:
        """A value as a 64-bit integer."""
        return self.dialect.integer.format(x=sql)

    def small(self, sql: str, largest: int) -> str:
        """A whole number from 0 to `largest` that every kept row holds."""
        return self.dialect.small.format(x=sql) if largest < 128 else sql

    def text(self, sql: str) -> str:
        """A value as text."""
        return self.dialect.text.format(x=sql)

    def utc(self, column: str, timezone: str | None) -> str:
        """A timestamp column as a UTC timestamp without zone."""
        if timezone is None:
            return self.dialect.to_utc.format(x=self.name(column))
        return self.dialect.from_zone.format(x=self.name(column), zone=self.literal(timezone))

    def epoch_us(self, utc: str) -> str:
        """A UTC timestamp as microseconds since 1970."""
        return self.dialect.epoch_us.format(x=utc)

    def column(self, text: str, source_name: str, source: Source) -> str:
        """A measure's or dimension's own expression: names are physical columns."""
        return self._write(parse_expression(text, source.dialect).copy().transform(self._column), source_name, source)

    def condition(self, text: str, source_name: str, source: Source) -> str:
        """A filter over the source's columns and dimensions; a dimension's expression is put in as one value."""
        dimensions = {name.casefold(): name for name in source.dimensions}

        def resolve(node: exp.Expr) -> exp.Expr:
            dimension = dimensions.get(node.name.casefold()) if isinstance(node, exp.Column) else None
            if dimension is None:
                return self._column(node)
            inner = parse_expression(source.dimensions[dimension], source.dialect).copy().transform(self._column)
            return inner if isinstance(inner, exp.Column) else exp.paren(inner)

        return self._write(
            parse_expression(text, source.dialect).copy().transform(resolve), source_name, source, tested=True
        )

    def carried_condition(self, text: str, source_name: str, source: Source, names: Mapping[str, str]) -> str:
        """A filter over values carried along per unit; `names` maps what it names, in lower case, to their columns."""

        def resolve(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Column):
                return exp.column(exp.to_identifier(names[node.name.casefold()]))
            return self._column(node)

        return self._write(
            parse_expression(text, source.dialect).copy().transform(resolve), source_name, source, tested=True
        )

    def conditions(self, texts: tuple[str, ...], source_name: str, source: Source) -> str:
        """Filters joined by AND."""
        return " AND ".join(f"({self.condition(text, source_name, source)})" for text in texts)

    def _column(self, node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column):
            return exp.column(self._identifier(node.name, quoted=node.this.quoted))
        if isinstance(node, exp.Div | exp.Mod) and not _is_nonzero(node.expression):
            # x / 0 is infinite, NULL or an error, by engine: here it is NULL on all of them.
            node.set("expression", exp.func("NULLIF", node.expression.copy(), exp.Literal.number(0)))
        return node

    def _write(self, tree: exp.Expr, source_name: str, source: Source, *, tested: bool = False) -> str:
        self._check_dialect(source_name, source)
        self._check_outside(source_name, tree)
        return _kept(self._portable(tree, source, tested=tested).sql(dialect=self.dialect.sqlglot))

    def _portable(self, tree: exp.Expr, source: Source, *, tested: bool = False) -> exp.Expr:
        """The portable subset where the engine's own words mean something else; own dialects keep their meaning."""
        if source.dialect is not None:
            return with_truth_tests(tree, self.dialect.sqlglot)
        if self.dialect.rounds_quotients:
            for quotient in list(tree.find_all(exp.Div)):
                # Not of a copy: a quotient may stand in it.
                quotient.set("this", exp.cast(quotient.this, exp.DType.DOUBLE, copy=False))
        if self.dialect.trims_whitespace:
            for trim in tree.find_all(exp.Trim):
                if trim.args.get("expression") is None:
                    trim.set("expression", exp.Literal.string(" "))
        return spelled(tree, self.dialect, tested=tested)

    def relation(self, source_name: str, source: Source) -> str:
        """What stands after FROM for a source."""
        if source.table is not None:
            return self._table(exp.to_table(source.table)).sql(dialect=self.dialect.sqlglot)
        self._check_dialect(source_name, source)
        assert source.sql is not None  # noqa: S101 - dbt models are refused before
        query: exp.Expr = parse_query(source.sql, source.dialect).copy()
        self._check_outside(source_name, query)
        for table in query.find_all(exp.Table):
            self._table(table)
        for literal in query.find_all(exp.Literal):
            literal.set("this", _kept(literal.this))
        query = self._portable(query, source)
        body = query.sql(dialect=self.dialect.sqlglot, pretty=True, comments=False)
        return f"(\n{body}\n) AS source_rows"

    def _table(self, table: exp.Table) -> exp.Table:
        if table.db in self.schemas:
            table.set("db", exp.to_identifier(self.schemas[table.db]))
        for key in ("this", "db", "catalog"):
            part = table.args.get(key)
            if isinstance(part, exp.Identifier):
                table.set(key, self._identifier(part.name, quoted=part.quoted))
        return table

    def _identifier(self, name: str, *, quoted: bool = False) -> exp.Identifier:
        plain = _PLAIN.fullmatch(name) is not None
        if not plain:
            return exp.to_identifier(name, quoted=True)
        if quoted or _is_keyword(name, self.dialect.sqlglot):
            case = {"upper": name.upper(), "lower": name.lower(), "as_is": name}[self.dialect.quoted_case]
            # A name the analyst quoted in mixed case means that case.
            return exp.to_identifier(name if quoted and name not in (name.lower(), name.upper()) else case, quoted=True)
        return exp.to_identifier(name)

    def _check_dialect(self, source_name: str, source: Source) -> None:
        if source.dialect is not None and source.dialect != self.dialect.sqlglot:
            raise UsageError(
                f"source `{source_name}` is written for {source.dialect} and cannot be compiled for {self.dialect.name}",
                [
                    f"write it in the portable subset (without `dialect:`), which is read as {READ_DIALECT} and runs everywhere"
                ],
            )

    def _check_outside(self, source_name: str, tree: exp.Expr) -> None:
        """A source reads the warehouse's tables, not files and addresses."""
        allowed = self.dialect.table_functions
        if allowed is None:
            return
        called = [t.this for t in tree.find_all(exp.Table) if not isinstance(t.this, exp.Identifier)]
        called += [n.args["field"] for n in tree.find_all(exp.In) if isinstance(n.args.get("field"), exp.Func)]
        called += [f for f in tree.find_all(exp.Anonymous) if f.name.lower() == "file"]
        for function in called:
            name = function.name if isinstance(function, exp.Anonymous) else function.key
            if name.lower() not in allowed:
                raise UsageError(
                    f"source `{source_name}`: `{name}` reads what is outside the warehouse",
                    ["load the rows into a table of the warehouse"],
                )


def _moment(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def _kept(text: str) -> str:
    """Text whose line breaks survive the layout of the statement."""
    if LINE_BREAK in text:
        raise UsageError("the private character U+E000 cannot stand in SQL", ["write another character"])
    return text.replace("\n", LINE_BREAK)


def _is_nonzero(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and not node.is_string and float(node.this) != 0


def _is_keyword(name: str, dialect: str) -> bool:
    if name.lower() in RESERVED:
        return True
    tokens = tokenize(name, read=dialect)
    return len(tokens) != 1 or tokens[0].token_type is not TokenType.VAR
